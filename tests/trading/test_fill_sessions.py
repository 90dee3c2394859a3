"""Random sessions of a simulated account, whose books are kept apart and compared after every step."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from fractions import Fraction
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec import structs

from bot.domain.orders import Fill, Order, OrderReport, OrderStatus, OrderType, TimeInForce, Trigger
from bot.domain.values import NS, Side
from bot.trading.fill_params import FillParams
from bot.trading.fills import Matching
from bot.trading.funding import TOLERANCE_NS, FundingBook
from bot.trading.queue import QueueModel
from bot.trading.takings import REFILL_NS
from tests.trading.venue_kit import (
    BTC,
    BUY,
    FEES,
    GTC,
    GTX,
    IOC,
    LIMIT,
    MARKET,
    PROFIT,
    SELL,
    STOP,
    D,
    Market,
    instrument,
    order,
    story,
)

GRID = st.integers(196, 204).map(lambda n: n * 0.5)  # 98.0 to 102.0
PRICES = GRID.map(lambda p: D(str(p)))
QUANTITIES = st.integers(1, 40).map(lambda n: D(n) / 10)
PICKS = st.integers(0, 30)
SIDES = st.sampled_from([BUY, SELL])
SHOWN = st.integers(0, 45).map(lambda n: n / 15)  # mostly off the step
LOTS = st.integers(0, 30).map(lambda n: n / 10)
START = D(100_000)
CONDITIONAL = (STOP, PROFIT)


class Session(RuleBasedStateMachine):
    """Keeps its own books from the reports alone and checks each fill against what the market showed at that moment."""

    @initialize(queue=st.sampled_from(QueueModel))
    def begin(self, queue: QueueModel) -> None:
        rules = instrument(tick=D("0.5"), step=D("0.1"), min_quantity=D("0.1"))
        self.made = Matching({BTC: rules}, FEES, FillParams(queue=queue), wallet_usd=START)
        self.made.now_ns = 1_000 * NS
        self.funding = FundingBook(self.made.account)
        self.market = Market(bids=[(99.5, 3.0), (99.0, 9.0)], asks=[(100.5, 3.0), (101.0, 9.0)])
        self.print: tuple[Decimal, bool] | None = (
            None  # the trade that is being told: price, and whether the taker buys
        )
        self.left = D(0)  # of it, for those who stand at its price
        self.current: dict[str, Order] = {}
        self.status: dict[str, OrderStatus] = {}
        self.filled: dict[str, Decimal] = defaultdict(Decimal)
        self.taken: dict[tuple[Side, Decimal], tuple[Decimal, int]] = {}
        self.hit: set[str] = set()
        self.trades: list[str] = []
        self.held: list[tuple[int, Decimal]] = [(0, D(0))]  # since when, and how much
        self.cash = self.fees = self.paid = D(0)

    @property
    def position(self) -> Decimal:
        return self.held[-1][1]

    # --- orders ----------------------------------------------------------------------------------------------------

    @rule(
        side=SIDES, kind=st.sampled_from(OrderType), tif=st.sampled_from(TimeInForce), quantity=QUANTITIES, price=PRICES
    )
    def place_anything(self, **wanted: Any) -> None:
        self.place(**wanted)

    @rule(side=SIDES, quantity=QUANTITIES, away=st.integers(0, 3), tif=st.sampled_from([GTC, GTX]))
    def place_resting(self, side: Side, quantity: Decimal, away: int, tif: TimeInForce) -> None:
        best = self.market.bid if side is BUY else self.market.ask
        price = D(str(best or 100.0)) - away * D("0.5") * (1 if side is BUY else -1)
        self.place(side=side, kind=LIMIT, tif=tif, quantity=quantity, price=price)

    @precondition(lambda self: self.position)
    @rule(kind=st.sampled_from([LIMIT, LIMIT, MARKET]), quantity=QUANTITIES, price=PRICES)
    def reduce(self, **wanted: Any) -> None:
        side = SELL if self.position > 0 else BUY
        self.place(side=side, tif=GTC, reduce_only=True, **wanted)

    @precondition(lambda self: self.position)
    @rule(
        kind=st.sampled_from(CONDITIONAL),
        trigger=st.sampled_from(Trigger),
        quantity=QUANTITIES,
        away=st.integers(1, 4),
        closes=st.booleans(),
    )
    def protect(self, kind: OrderType, trigger: Trigger, quantity: Decimal, away: int, closes: bool) -> None:
        side = SELL if self.position > 0 else BUY
        up = (side is BUY) is (kind is STOP)
        price = D(str(self.market.mark)) + away * D("0.5") * (1 if up else -1)
        extra = {"close_position": closes, "reduce_only": not closes, "trigger": trigger}
        self.place(side=side, kind=kind, tif=GTC, quantity=quantity, price=price, **extra)

    def place(self, *, kind: OrderType, quantity: Decimal, price: Decimal, **fields: Any) -> None:
        name = {LIMIT: "price", STOP: "stop_price", PROFIT: "stop_price"}.get(kind)
        if name:
            fields[name] = price
        made = order(kind=kind, quantity=quantity, **fields)
        self.current[made.client_order_id] = made
        reports = self.made.place(made, self.market)
        self.read(reports)
        status = self.status[made.client_order_id]
        assert status.terminal or not (kind is MARKET or (kind is LIMIT and made.tif is IOC))
        if made.tif is GTX:
            assert all(report.maker for report in reports if isinstance(report, Fill)), "post-only never takes"

    def pick(self, number: int) -> Order | None:
        """Mostly one that works, sometimes a finished one."""
        working = [name for name, status in self.status.items() if not status.terminal]
        names = working if working and number % 4 else list(self.status)
        return self.current[names[number % len(names)]] if names else None

    @rule(number=PICKS)
    def place_again_or_cancel(self, number: int) -> None:
        old = self.pick(number)
        if old is None:
            return
        assert story(self.made.place(old, self.market)) == "REJECTED"
        if number % 3 == 0:
            working = not self.status[old.client_order_id].terminal
            reports = self.made.cancel(old)
            assert story(reports) == ("CANCELED" if working else "REJECTED")
            self.read(reports)

    @rule(number=PICKS, price=PRICES, quantity=QUANTITIES)
    def amend(self, number: int, price: Decimal, quantity: Decimal) -> None:
        before = self.pick(number)
        if before is not None:
            name = "stop_price" if before.type in CONDITIONAL else "price"
            changed = structs.replace(before, quantity=quantity, **{name: price})
            reports = self.made.amend(changed, self.market)
            if story(reports) != "REJECTED":
                assert not self.status[before.client_order_id].terminal
                assert before.client_order_id not in self.hit
                self.current[before.client_order_id] = changed
            self.read(reports)

    # --- the market ------------------------------------------------------------------------------------------------

    @rule(prices=st.lists(st.tuples(GRID, LOTS, st.booleans()), min_size=1, max_size=4))
    def trade(self, prices: list[tuple[float, float, bool]]) -> None:
        for price, quantity, buys in prices:
            self.print, self.left = (D(str(price)), buys), D(str(quantity))
            self.market.last = price
            if quantity:
                self.hits(Trigger.LAST, D(str(price)))
            self.read(self.made.on_trade(BTC, price, quantity, buys))
            for name, status in self.status.items():
                if quantity and not status.terminal and self.current[name].type is LIMIT:
                    assert not self.through(self.current[name]), "a limit traded through is done"
        self.print = None

    @rule(mark=GRID)
    def mark(self, mark: float) -> None:
        self.market.mark = mark
        self.hits(Trigger.MARK, D(str(mark)))
        self.read(self.made.on_mark(BTC, mark, self.market))

    def hits(self, by: Trigger, price: Decimal) -> None:
        for name, status in self.status.items():
            of = self.current[name]
            if of.stop_price is None or of.trigger is not by or status.terminal:
                continue
            falls = (of.side is SELL) is (of.type is STOP)
            if price <= of.stop_price if falls else price >= of.stop_price:
                self.hit.add(name)

    @rule(
        mid=st.integers(198, 202),
        bids=st.lists(SHOWN, max_size=20),
        asks=st.lists(SHOWN, max_size=20),
        told=st.booleans(),
    )
    def book(self, mid: int, bids: list[float], asks: list[float], told: bool) -> None:
        self.market.bids = [((mid - 1 - i) * 0.5, q) for i, q in enumerate(bids) if q]
        self.market.asks = [((mid + 1 + i) * 0.5, q) for i, q in enumerate(asks) if q]
        if told:
            self.read(self.made.on_depth(BTC, self.market))

    @rule(usable=st.sampled_from([True, True, True, False]))
    def feed(self, usable: bool) -> None:
        self.market.usable = usable

    @rule(ns=st.sampled_from([1, REFILL_NS - 1, REFILL_NS, 45 * NS, 70 * NS]))
    def time_passes(self, ns: int) -> None:
        self.made.now_ns += ns

    @rule(rate=st.sampled_from([None, 0.0001, -0.0003]), within_ns=st.sampled_from([NS, 59 * NS]))
    def funding_time(self, rate: float | None, within_ns: int) -> None:
        due_ns = self.made.now_ns + within_ns
        self.market.funding_rate, self.market.next_funding_ns, self.market.mark = rate, due_ns, 100.0
        assert self.funding.on_mark(BTC, self.market, self.made.now_ns) == due_ns
        self.made.now_ns = due_ns + TOLERANCE_NS
        booked = self.funding.settle(BTC, due_ns)
        first = max(i for i, (since_ns, _) in enumerate(self.held) if i == 0 or since_ns < due_ns - TOLERANCE_NS)
        near = [quantity for _, quantity in self.held[first:]]
        if rate is None or not any(near):
            assert booked is None
            return
        assert booked is not None
        worst = min(-quantity * 100 * D(str(rate)) for quantity in near)
        assert booked.usd == worst and booked.usd <= max(D(0), -self.position * 100 * D(str(rate)))
        self.paid += booked.usd

    def through(self, resting: Order) -> bool:
        assert self.print is not None and resting.price is not None
        return self.print[0] > resting.price if resting.side is SELL else self.print[0] < resting.price

    # --- books of our own ------------------------------------------------------------------------------------------

    def read(self, reports: list[OrderReport]) -> None:
        for report in reports:
            name = report.client_order_id
            if isinstance(report, Fill):
                assert not self.status[name].terminal, "a fill after the end"
                self.check_fill(report, self.current[name])
            elif report.command == "place" or report.status is not OrderStatus.REJECTED:
                assert name not in self.status or not self.status[name].terminal, "a finished order stays finished"
                self.status[name] = report.status
                if report.status is OrderStatus.FILLED and not self.current[name].close_position:
                    assert self.filled[name] == self.current[name].quantity

    def check_fill(self, fill: Fill, of: Order) -> None:
        assert fill.quantity > 0 and fill.side is of.side and fill.quantity % D("0.1") == 0
        rate = Fraction(2, 10000) if fill.maker else Fraction(5, 10000)
        assert Fraction(fill.fee) == Fraction(fill.price) * Fraction(fill.quantity) * rate
        if of.price is not None:
            assert fill.price <= of.price if of.side is BUY else fill.price >= of.price, "worse than its limit"
        if fill.maker:
            assert of.price == fill.price
            self.check_served(fill, of)
        else:
            self.check_taken(fill, of)
        self.filled[of.client_order_id] += fill.quantity
        assert of.close_position or self.filled[of.client_order_id] <= of.quantity
        signed = fill.quantity if of.side is BUY else -fill.quantity
        before, after = self.position, self.position + signed
        if of.reduce_only or of.close_position:
            assert before * after >= 0 and abs(after) == abs(before) - fill.quantity
        self.held.append((self.made.now_ns, after))
        self.cash -= signed * fill.price
        self.fees += fill.fee
        self.trades.append(fill.trade_id)

    def check_served(self, fill: Fill, of: Order) -> None:
        if self.print is None:  # the book went beyond it
            assert self.market.usable
            left = fill.quantity
            for price, shown in self.opposite(of).items():  # they have come to us, and are gone like those we take
                if price > fill.price if of.side is SELL else price < fill.price:
                    took = min(left, max(D(0), shown // D("0.1") * D("0.1") - self.gone(of.side, price)))
                    self.took(of.side, price, took)
                    left -= took
            assert left <= 0, "more than quoted beyond it"
        elif not self.through(of):
            assert self.print == (of.price, of.side is SELL), "a trade elsewhere, or of the other side"
            self.left -= fill.quantity
            assert self.left >= 0, "more than was traded"

    def opposite(self, of: Order) -> dict[Decimal, Decimal]:
        return {D(str(p)): D(str(q)) for p, q in (self.market.asks if of.side is BUY else self.market.bids)}

    def check_taken(self, fill: Fill, of: Order) -> None:
        assert self.market.usable and self.print is None
        assert of.type not in CONDITIONAL or of.client_order_id in self.hit
        levels = self.opposite(of)
        assert fill.price in levels, "a price that the book does not show"
        self.took(of.side, fill.price, fill.quantity)
        assert self.gone(of.side, fill.price) <= levels[fill.price], "more than was shown"
        for price, shown in levels.items():
            if price < fill.price if of.side is BUY else price > fill.price:
                assert shown - self.gone(of.side, price) < D("0.1"), "a better level was passed over"

    def took(self, side: Side, price: Decimal, quantity: Decimal) -> None:
        if quantity:
            self.taken[side, price] = self.gone(side, price) + quantity, self.made.now_ns

    def gone(self, side: Side, price: Decimal) -> Decimal:
        quantity, at_ns = self.taken.get((side, price), (D(0), 0))
        return quantity if self.made.now_ns < at_ns + REFILL_NS else D(0)

    @invariant()
    def books_agree(self) -> None:
        if not hasattr(self, "made"):
            return
        account = self.made.account
        assert self.made.positions() == ({BTC: self.position} if self.position else {})
        working = any(not status.terminal for status in self.status.values())
        assert self.made.watching(BTC) == (working or bool(self.position))
        assert self.trades == [f"T{i}" for i in range(1, len(self.trades) + 1)]
        assert account.wallet_usd == START + account.realised_usd - self.fees + self.paid
        value = sum((held.value_usd for held in account.held()), D(0))
        assert account.wallet_usd - value == START + self.cash - self.fees + self.paid
        assert self.position or value == 0


TestSession = Session.TestCase
TestSession.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)
