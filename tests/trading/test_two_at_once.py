"""Several signals in one second are judged one after the other, each on what the last one left."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest

from bot.app import wiring
from bot.domain.events import Emit
from bot.domain.ids import IdSource
from bot.domain.messages import Message, Sampled
from bot.domain.orders import PlaceOrder
from bot.domain.values import Direction
from bot.runtime.bus import Bus
from bot.trading.exits.hold import HoldParams, TrueTrendParams
from bot.trading.exits.protection import StopParams
from bot.trading.gate import Gate
from bot.trading.guards.base import GuardContext, GuardParams
from bot.trading.guards.probation import Probation, ProbationParams
from bot.trading.guards.risk_limits import RiskLimits
from bot.trading.orders import Orders
from bot.trading.portfolio import Portfolio
from bot.trading.positions import EntryParams, Positions
from bot.trading.risk import RiskParams
from bot.trading.sizing import SizeRules, SizingParams
from bot.trading.strategies.base import Idea
from bot.trading.strategies.desk import Strategies
from tests.build import NOW, FakeView, context, instrument


class Always:
    version, traded_on = 1, ()
    Params = GuardParams

    def __init__(self, name: str, direction: Direction) -> None:
        self.name, self._idea = name, Idea(direction, 1.0)

    def on_sample(self, instrument: str, view: Any) -> Idea:
        return self._idea


class Deaf:
    """Stands where the exits are; nothing is filled here."""

    name = "exits"

    def on(self, message: Message, view: Any) -> Sequence[Message]:
        return ()


def play(strategies: Sequence[Always], symbols: Sequence[str], **limits: Any) -> tuple[list[PlaceOrder], list[Emit]]:
    view = FakeView(instruments=[instrument(symbol) for symbol in symbols])
    risk = RiskParams(**limits)
    ids = IdSource(account="main", session=1)
    ids.begin(1, NOW)
    portfolio = Portfolio(Decimal(10_000), lambda i: Decimal(65_000))
    view.portfolio = portfolio  # type: ignore[assignment]
    rules = SizeRules(SizingParams(), risk, Decimal("0.0005"), Decimal("0.001"), Decimal("0.01"))
    guard_context: GuardContext = context(**limits)
    guards = [RiskLimits(RiskLimits.Params(), guard_context), Probation(ProbationParams(), guard_context)]  # type: ignore[arg-type]
    positions = Positions(
        portfolio,
        ids,
        entry=EntryParams(),
        hold=HoldParams(),
        true_trend=TrueTrendParams(),
        stop=StopParams(),
        rules=rules,
    )
    desks: list[Any] = [Strategies(strategies, ids), Gate(guards, ids, rules, "x"), Orders(), positions, Deaf()]  # type: ignore[arg-type]
    names = {desk.name for desk in desks}
    routes = {kind: tuple(name for name in to if name in names) for kind, to in wiring.ROUTES.items()}
    orders: list[PlaceOrder] = []
    events: list[Emit] = []
    bus = Bus(desks, routes, {Emit: events.append, PlaceOrder: orders.append}, view)
    bus.publish(Sampled(now_ns=NOW))
    bus.settle_now()
    return orders, events


@pytest.mark.parametrize(
    ("limits", "entries"),
    [({}, 2), ({"max_positions": 1}, 1), ({"entries_per_day": 1}, 1), ({"gross_pct": Decimal(8)}, 1)],
)
def test_limits_hold_for_the_second_symbol_of_the_same_second(limits: dict[str, Any], entries: int) -> None:
    orders, events = play([Always("a", Direction.LONG)], ["BTCUSDT", "ETHUSDT"], **limits)
    assert len(orders) == entries
    decisions = [event.data["allowed"] for event in events if event.kind == "DECISION"]
    assert decisions.count(True) == entries
    assert len(decisions) == 2


@pytest.mark.parametrize("second", [Direction.LONG, Direction.SHORT])
def test_two_strategies_make_one_entry_a_symbol(second: Direction) -> None:
    orders, events = play([Always("a", Direction.LONG), Always("b", second)], ["BTCUSDT"])
    assert len(orders) == 1
    refused = [event.data["blocker"] for event in events if event.kind == "DECISION" and not event.data["allowed"]]
    assert refused == ["risk_limits"]
