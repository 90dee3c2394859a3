"""Money under any script (hypothesis): after every event equity is, to the last digit, what the fills, fees, fundings, transfers and
marks say when they are added up from nothing; and it has changed by what the account says was realised, unrealised and paid.

The test plays venue, market and operator to the desks `orders`, `positions`, `exits` and `state`.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec.structs import replace

from bot.domain.messages import CloseRequest, FeedChanged, FlattenRequest, KillRequest, ResumeRequest, Sampled
from bot.domain.orders import AmendOrder, CancelOrder, Funding, Order, OrderStatus, PlaceOrder, Transfer
from bot.domain.values import NS, Direction, Side
from bot.trading.money import DAY_NS
from bot.trading.risk import RiskParams
from bot.trading.state import State
from tests.build import BTC, NOW, FakeView, instrument
from tests.trading.desks import Desks

ETH = instrument("ETHUSDT", tick="0.1").id
SYMBOLS = st.sampled_from([BTC, ETH])
START = Decimal(10_000)
TICKS = st.integers(600_000, 700_000)  # prices of 60,000.0 to 70,000.0
LOT = Decimal("0.001")
FEES = st.decimals("-0.5", "3", places=8)
USD = st.decimals("-50", "50", places=8)


@dataclass
class Working:
    order: Order
    filled: Decimal = Decimal(0)

    @property
    def left(self) -> Decimal:
        return self.order.quantity - self.filled


class MoneyMachine(RuleBasedStateMachine):
    @initialize(tick=TICKS, direction=st.sampled_from(Direction), fee=FEES)
    def start(self, tick: int, direction: Direction, fee: Decimal) -> None:
        self.desks = Desks(FakeView(instruments=[instrument(), instrument("ETHUSDT", tick="0.1")]), exit_fee="0.0005")
        self.portfolio = self.desks.portfolio
        self.desks.view.portfolio = self.portfolio  # type: ignore[assignment]
        self.state = State(self.portfolio, RiskParams(on_daily_loss="flatten"))
        self.working: dict[str, Working] = {}
        self.seen_commands = 0
        self.cash = START  # of everything that was ever paid and received
        self.held: dict[str, Decimal] = defaultdict(Decimal)  # signed base coin
        self.before = self._sums()
        self._tell_state(FeedChanged(instrument=BTC, usable=True, reason=""))
        self.a_signal_is_allowed(BTC, direction, 40, [(tick, fee)])

    # --- what the test does as market, venue and operator ---

    @rule(symbol=SYMBOLS, tick=TICKS)
    def the_market_moves(self, symbol: str, tick: int) -> None:
        market, price = self.desks.view.market(symbol), tick / 10
        market.mark = market.last = price
        market.bid, market.ask = price - 0.5, price + 0.5

    @rule(
        symbol=SYMBOLS,
        direction=st.sampled_from(Direction),
        milli=st.integers(2, 80),
        parts=st.one_of(st.lists(st.tuples(TICKS, FEES), min_size=1, max_size=3), st.just([])),
    )
    def a_signal_is_allowed(
        self, symbol: str, direction: Direction, milli: int, parts: list[tuple[int, Decimal]]
    ) -> None:
        """`parts`: fills of its entry that come at once, the rest of it then expires; none: it is left on its way."""
        price = Decimal(repr(self.desks.view.market(symbol).last))
        held = self.portfolio.position(symbol)
        reversal = held is not None and held.direction is not direction
        self.desks.decide(direction, f"0.{milli:03}", reversal=reversal, instrument=symbol, price=price)
        self._take_commands()
        entries = [w for w in self.working.values() if w.order.leg == "entry" and w.order.instrument == symbol]
        for tick, fee in parts:
            for entry in [each for each in entries if each.left]:
                self._fill(entry, entry.left / len(parts), tick, fee)
        for entry in entries if parts else []:
            if entry.order.client_order_id in self.working:
                self._end(entry.order, OrderStatus.EXPIRED)
        self._take_commands()

    @precondition(lambda self: self.working)
    @rule(data=st.data(), tick=TICKS, share=st.integers(1, 3), fee=FEES)
    def an_order_fills(self, data: Any, tick: int, share: int, fee: Decimal) -> None:
        working = data.draw(st.sampled_from(list(self.working.values())))
        self._fill(working, working.left / share, tick, fee)
        self._take_commands()

    @precondition(lambda self: self.working)
    @rule(data=st.data())
    def an_order_ends(self, data: Any) -> None:
        """As IOC orders do; a stop is let live, or no position would ever be old."""
        entries = [w.order for w in self.working.values() if w.order.leg in ("entry", "close")]
        if entries:
            self._end(data.draw(st.sampled_from(entries)), OrderStatus.EXPIRED)
            self._take_commands()

    @rule(symbol=SYMBOLS, usd=USD, hours=st.integers(-16, 1), twice=st.booleans())
    def funding_is_reported(self, symbol: str, usd: Decimal, hours: int, twice: bool) -> None:
        due_ns = (self.desks.view.now_ns // (3600 * NS) + hours) * 3600 * NS
        known = (symbol, due_ns) in self.portfolio._booked
        funding = Funding(
            instrument=symbol, due_ns=due_ns, rate=Decimal(0), mark=Decimal(1), quantity=Decimal(0), usd=usd
        )
        self.cash += 0 if known else usd
        self.desks.say(*[funding] * (1 + twice))

    @rule(usd=USD, name=st.integers(0, 20))
    def money_is_moved(self, usd: Decimal, name: int) -> None:
        known = ("transfer", str(name)) in self.portfolio._booked
        self.cash += 0 if known else usd
        self.desks.say(Transfer(transfer_id=str(name), usd=usd))

    @rule(seconds=st.one_of(st.floats(0, 120), st.floats(0, 200_000)))
    def time_passes_or_jumps_and_a_second_is_sampled(self, seconds: float) -> None:
        self.desks.view.now_ns += round(seconds * NS)
        sampled = Sampled(now_ns=self.desks.view.now_ns)
        self._tell_state(sampled)
        self.desks.say(sampled)
        self._take_commands()

    @rule(request_=st.sampled_from([KillRequest(), FlattenRequest(), *[ResumeRequest()] * 8]))
    def the_operator_acts(self, request_: Any) -> None:
        if not isinstance(request_, ResumeRequest):
            self.desks.say(request_)
        self._tell_state(request_)
        self._take_commands()

    @rule(symbol=SYMBOLS)
    def the_operator_closes(self, symbol: str) -> None:
        self.desks.say(CloseRequest(instrument=symbol))
        self._take_commands()

    # --- what must hold ---

    @invariant()
    def equity_is_everything_added_up_from_nothing(self) -> None:
        marks = {symbol: Decimal(repr(self.desks.view.market(symbol).mark)) for symbol in (BTC, ETH)}
        expected = self.cash + sum(quantity * marks[symbol] for symbol, quantity in self.held.items())
        assert self.portfolio.equity_usd() == expected

    @invariant()
    def it_changes_by_what_the_account_says(self) -> None:
        now, before, self.before = self._sums(), self.before, self._sums()
        change = {name: now[name] - before[name] for name in now}
        assert change["equity"] == (
            change["realised"] + change["unrealised"] - change["fees"] + change["funding"] + change["transfers"]
        )
        money = self.portfolio.money
        made_of = money.realised_usd - money.fees_usd + money.funding_usd + money.transfers_usd
        assert money.wallet_usd == START + made_of

    @invariant()
    def a_position_is_the_sum_of_its_fills_and_there_is_one_a_symbol(self) -> None:
        open_now = {p.instrument: p.direction.sign * p.quantity for p in self.portfolio.positions()}
        assert open_now == {symbol: quantity for symbol, quantity in self.held.items() if quantity}

    @invariant()
    def what_losses_are_measured_from_never_falls_by_itself(self) -> None:
        assert self.portfolio.open_risk_usd() >= 0
        days = [event.data["day"] for event in self.desks.events if event.kind == "DAY_STARTED"]
        assert days == sorted(set(days))
        assert self.portfolio.money.day <= self.desks.view.now_ns // DAY_NS

    # --- plumbing ---

    def _sums(self) -> dict[str, Decimal]:
        money = self.portfolio.money
        return {
            "equity": self.portfolio.equity_usd(),
            "realised": money.realised_usd,
            "unrealised": self.portfolio.unrealised_usd(),
            "fees": money.fees_usd,
            "funding": money.funding_usd,
            "transfers": money.transfers_usd,
        }

    def _tell_state(self, message: Any) -> None:
        self.desks.say(*self.state.on(message, self.desks.view))
        self.desks.view.state, self.desks.view.state_reason = self.state.state, self.state.reason

    def _fill(self, working: Working, wanted: Decimal, tick: int, fee: Decimal) -> None:
        """At least a lot; a reduce-only order no more than there is to reduce, and where there is nothing it expires."""
        order, sign = working.order, 1 if working.order.side is Side.BUY else -1
        most = max(-sign * self.held[order.instrument], Decimal(0)) if order.reduce_only else working.left
        quantity = min(max(wanted.quantize(LOT), LOT), most, working.left)
        if not quantity:
            self._end(order, OrderStatus.EXPIRED)
            return
        working.filled += quantity
        self.cash -= sign * quantity * Decimal(tick) / 10 + fee
        self.held[order.instrument] += sign * quantity
        self.desks.fill(order, str(Decimal(tick) / 10), str(quantity), fee=str(fee))
        if working.left == 0 or (order.close_position and not self.held[order.instrument]):
            self._end(order, OrderStatus.FILLED)

    def _end(self, order: Order, status: OrderStatus) -> None:
        del self.working[order.client_order_id]
        self.desks.report(order, status)

    def _take_commands(self) -> None:
        """Every command is accepted; what that makes the desks ask for is taken too."""
        while self.seen_commands < len(self.desks.commands):
            command = self.desks.commands[self.seen_commands]
            self.seen_commands += 1
            order = command.order
            if isinstance(command, PlaceOrder):
                self.working[order.client_order_id] = Working(order)
                self.desks.report(order, OrderStatus.ACK)
            elif order.client_order_id not in self.working:
                self.desks.report(
                    order, OrderStatus.REJECTED, "cancel" if isinstance(command, CancelOrder) else "amend"
                )
            elif isinstance(command, AmendOrder):
                working = self.working[order.client_order_id]
                working.order = replace(order)
                self.desks.report(order, OrderStatus.ACK, "amend")
            else:
                self._end(order, OrderStatus.CANCELED)


TestMoney = MoneyMachine.TestCase
TestMoney.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)
assert NOW % DAY_NS  # the script begins within a day
