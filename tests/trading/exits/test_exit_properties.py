"""An open position under whatever venue, market and operator may do: never more in targets than is held, never without a stop
that covers all of it (or a way out), stops only ever tighter, and the journal tells all of it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.domain.events import Emit
from bot.domain.messages import CloseRequest, FlattenRequest, MoveStopRequest
from bot.domain.orders import AmendOrder, CancelOrder, Fill, Order, OrderStatus, OrderType, PlaceOrder
from bot.domain.reading import Wall, Walls
from bot.domain.values import NS, Direction
from tests.build import BTC, NOW, FakeView, reading
from tests.trading.desks import Desks
from tests.trading.exits.folding import recalled, told
from tests.trading.exits.test_tightening import trending

STEP = Decimal("0.001")


class Script:
    """Plays venue, market and operator. Commands arrive in order, when the script says so."""

    def __init__(self, direction: Direction, steps: int, view: FakeView) -> None:
        view.market(BTC).ranges[300, 14] = 60.0
        self.desks = Desks(view, trailing=True, time_stop_s=900, liquidation=lambda p: Decimal(30_000))
        self.side = direction.sign
        self.working: dict[str, Order] = {}
        self.filled: dict[str, Decimal] = {}
        self.arrived = 0
        self.seconds = 0.0
        self.stops: list[Decimal] = []
        self.trades = 0
        self.desks.decide(direction, str(steps * STEP))
        self.deliver(0)
        entry = self.desks.orders("entry")[0]
        self.fill(entry, 65000, steps * STEP)
        self.settle()

    @property
    def open(self) -> bool:
        return self.desks.portfolio.position(BTC) is not None

    def held(self) -> Decimal:
        position = self.desks.portfolio.position(BTC)
        return Decimal(0) if position is None else position.quantity

    # --- the venue ---

    def settle(self) -> None:
        while self.arrived < len(self.desks.commands):
            self.deliver(0)

    def deliver(self, whim: int) -> None:
        """The next command arrives; every seventh is refused, unless it is a cancel."""
        if self.arrived == len(self.desks.commands):
            return
        command = self.desks.commands[self.arrived]
        self.arrived += 1
        order = command.order
        if whim % 7 == 6 and order.leg != "entry" and not isinstance(command, CancelOrder):
            what = "place" if isinstance(command, PlaceOrder) else "amend"
            self.desks.report(order, OrderStatus.REJECTED, what, "not now")
        elif isinstance(command, PlaceOrder):
            self.place(order, whim)
        elif isinstance(command, AmendOrder):
            self.amend(order)
        else:
            self.cancel(order)

    def place(self, order: Order, whim: int) -> None:
        self.working[order.client_order_id] = order
        self.filled[order.client_order_id] = Decimal(0)
        self.desks.report(order, OrderStatus.ACK)
        if order.type is OrderType.MARKET:
            shown = (order.quantity * (whim % 5) / 4).quantize(STEP) if whim else order.quantity
            self.fill(order, 65000, min(shown, self.held()))
            if self.working.pop(order.client_order_id, None):
                self.desks.report(order, OrderStatus.EXPIRED)

    def amend(self, order: Order) -> None:
        accepted = order.client_order_id in self.working and (
            order.leg == "stop" or order.quantity > self.filled[order.client_order_id]
        )
        if accepted:
            self.working[order.client_order_id] = order
        self.desks.report(order, OrderStatus.ACK if accepted else OrderStatus.REJECTED, "amend")

    def cancel(self, order: Order) -> None:
        known = self.working.pop(order.client_order_id, None)
        self.desks.report(order, OrderStatus.CANCELED if known else OrderStatus.REJECTED, "cancel")

    def fill(self, order: Order, price: float, quantity: Decimal) -> None:
        if quantity <= 0:
            return
        self.filled[order.client_order_id] += quantity
        done = order.close_position or self.filled[order.client_order_id] >= order.quantity
        if done:
            self.working.pop(order.client_order_id, None)
        self.desks.fill(order, str(price), str(quantity), fee="0.01")
        if done:
            self.desks.report(order, OrderStatus.FILLED)

    # --- what may happen ---

    def tier(self, whim: int) -> None:
        tiers = [o for o in self.working.values() if o.leg.startswith("tier")]
        if tiers and self.open:
            order = tiers[whim % len(tiers)]
            left = min(order.quantity - self.filled[order.client_order_id], self.held())
            self.fill(order, 65500, min(left, STEP * (1 + whim % 9)))

    def mark(self, whim: int) -> None:
        """Between 0.9 % against and 2 % with the position; a stop that is passed fills."""
        mark = 65000 * (1 + self.side * (whim - 300) / 100_000 * 3)
        self.desks.mark(mark)
        for watch in list(self.desks.watches.values()):
            if (mark >= float(watch.price)) is watch.above:
                self.desks.touch(str(watch.price))
        for order in [o for o in self.working.values() if o.leg == "stop"]:
            if order.stop_price is not None and self.side * (Decimal(repr(mark)) - order.stop_price) <= 0:
                self.fill(order, float(order.stop_price), self.held())

    def time(self, whim: int) -> None:
        self.seconds += 1 + whim % 90
        due = sorted((at, key) for key, at in self.desks.timers.items() if at <= NOW + self.seconds * NS)
        for _, key in due:
            if key in self.desks.timers:
                self.desks.fire(key)
        self.desks.sample(max(self.seconds, (self.desks.view.now_ns - NOW) / NS))

    def walls(self, whim: int) -> None:
        price = 65000 * (1 + self.side * (200 + whim) / 100_000 * 2)
        wall = Wall(price=price, usd=30e6 if whim % 2 else 1e6, first_seen_ns=NOW, venues=("binanceusdm",))
        asks, bids = ((wall,), ()) if self.side > 0 else ((), (wall,))
        seen = Walls(
            asks=asks, bids=bids, ask_coverage_pct=5, bid_coverage_pct=5, institutional_usd=Decimal(25_000_000)
        )
        self.desks.view.put(reading("walls", seen, now_ns=self.desks.view.now_ns))

    def part(self, whim: int) -> None:
        self.desks.say(CloseRequest(instrument=BTC, part_pct=Decimal(1 + whim % 80)))

    def move(self, whim: int) -> None:
        price = Decimal(65000) - self.side * Decimal(whim - 200)
        self.desks.say(MoveStopRequest(instrument=BTC, price=price))

    def reversal(self, whim: int) -> None:
        position = self.desks.portfolio.position(BTC)
        if position is None:
            return
        against = position.direction.opposite
        data = {"allowed": True, "reversal": True, "direction": against, "signal_ts_ns": self.desks.view.now_ns}
        self.desks._tell(Emit(kind="DECISION", data=data, source="gate", instrument=BTC))
        self.desks.decide(against, reversal=True)

    def lost(self, whim: int) -> None:
        for order in [o for o in self.working.values() if o.leg == "stop"][:1]:
            del self.working[order.client_order_id]
            self.desks.report(order, OrderStatus.CANCELED, "")

    def liquidation(self, whim: int) -> None:
        position = self.desks.portfolio.position(BTC)
        if position is not None:
            self.trades += 1
            fill = Fill(
                client_order_id="autoclose-1",
                instrument=BTC,
                trade_id=f"L{self.trades}",
                side=position.direction.exit_side,
                price=Decimal(61000),
                quantity=min(position.quantity, STEP * (1 + whim % 20)),
                fee=Decimal("0.5"),
                fee_asset="USDT",
                maker=False,
                liquidation=True,
            )
            self.desks.say(fill)

    def leave(self, whim: int) -> None:
        self.desks.say(FlattenRequest() if whim % 2 else CloseRequest(instrument=BTC))

    # --- what must hold ---

    def check(self) -> None:
        position = self.desks.portfolio.position(BTC)
        if position is None:
            return
        plan = self.desks.plan
        assert position.quantity > 0
        assert plan.stop is not None or plan.close_reason
        if plan.stop is not None:
            if self.stops:
                assert self.side * (plan.stop.price - self.stops[-1]) >= 0
            self.stops.append(plan.stop.price)
            assert plan.stop.order.close_position
        self.check_tiers(position.quantity)
        self.check_journal()

    def check_tiers(self, held: Decimal) -> None:
        """What was asked for; and once all of it has arrived, what rests."""
        plan = self.desks.plan
        if all(tier.before is None for tier in plan.open_tiers()):
            assert plan.in_tiers() + min(plan.part, held) <= held
        if self.arrived == len(self.desks.commands):
            resting = [o for o in self.working.values() if o.leg.startswith("tier")]
            assert sum((o.quantity - self.filled[o.client_order_id] for o in resting), Decimal(0)) <= held

    def check_journal(self) -> None:
        position = self.desks.portfolio.position(BTC)
        portfolio, recall = recalled(zip(self.desks.stamps, self.desks.events, strict=True))
        assert position is not None
        assert portfolio.position(BTC) == position
        assert portfolio.wallet_usd == self.desks.portfolio.wallet_usd
        assert told(recall.plans[position.position_id].plan, position) == told(self.desks.plan, position)


ACTS = {
    name: getattr(Script, name)
    for name in (
        *("deliver", "tier", "mark", "time", "walls", "part", "move"),
        *("reversal", "lost", "liquidation", "leave"),
    )
}
OFTEN = ("deliver", "deliver", "deliver", "tier", "mark", "time", "time", "walls", "part", "move")
acts = st.lists(st.tuples(st.sampled_from([*OFTEN, *ACTS]), st.integers(0, 1000)), max_size=40)


@settings(max_examples=200, deadline=None)
@given(acts=acts, direction=st.sampled_from(Direction), steps=st.integers(2, 60), trend=st.booleans())
def test_whatever_happens_targets_fit_a_stop_covers_and_the_journal_knows(
    acts: list[tuple[str, int]], direction: Direction, steps: int, trend: bool
) -> None:
    script = Script(direction, steps, trending(direction) if trend else FakeView())
    script.check()
    for name, whim in acts:
        ACTS[name](script, whim)
        script.check()
    script.settle()
    script.check()
    if not script.open:
        assert script.working == {}
        assert not script.desks.watches and not script.desks.timers


@pytest.mark.parametrize("direction", Direction)
def test_every_exit_reaches_its_end(direction: Direction) -> None:
    """A position with everything asked of it is gone when the venue answers; nothing of it is left there."""
    script: Any = Script(direction, 40, trending(direction))
    script.part(20)
    script.settle()
    script.leave(0)
    script.settle()
    assert not script.open
    assert script.working == {}
