"""Dispatch to a guard: the gate's direct call, beside a message bus that publishes to one subscriber.

The guard does nothing, so that what is measured is the way to it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, ClassVar

from bot.domain import params
from bot.domain.events import Emit
from bot.domain.ports import View
from bot.domain.values import Direction, Outcome, Signal, Verdict
from bot.trading.gate import Gate
from tests.bench.measure import Row, Run, against, alone, interleaved, skipped
from tests.build import FakeView, signal

CALLS = 100_000
GOAL = 4.0
MEASURE = "G7 dispatch to a guard"
NAUTILUS = "nautilus_trader"


class _Silent:
    name: ClassVar[str] = "silent"
    version: ClassVar[int] = 1
    event: ClassVar[str] = "SILENT"
    needs: ClassVar[tuple[str, ...]] = ()
    safety: ClassVar[bool] = False
    Params: ClassVar[type[params.Params]] = params.Params
    answer: ClassVar[Verdict] = Verdict(guard="silent", version=1, outcome=Outcome.PASS)

    def applies(self, direction: Direction) -> bool:
        return True

    def check(self, signal: Signal, view: View) -> Verdict:
        return self.answer

    def heard(self, message: object) -> None:
        """What a message bus calls."""


def measure(rounds: int) -> Row:
    contenders: dict[str, Callable[[], Run]] = {"ours": lambda: _ours}
    publish, why = _nautilus()
    if publish is not None:
        contenders[NAUTILUS] = lambda: publish
    took = {name: total_s * 1e9 / CALLS for name, total_s in interleaved(contenders, rounds).items()}
    if publish is None:
        return skipped(MEASURE, alone(took["ours"], "ns"), why, GOAL)
    return against(MEASURE, took["ours"], took[NAUTILUS], "nautilus publish", "ns", GOAL)


def _ours() -> None:
    ask = Gate._ask
    guard, idea, view, errors = _Silent(), signal(), FakeView(), list[Emit]()
    gate: Any = None  # asking a guard needs nothing of the gate
    for _ in range(CALLS):
        ask(gate, guard, idea, view, errors)


def _nautilus() -> tuple[Run | None, str]:
    try:
        component = importlib.import_module("nautilus_trader.common.component")
        identifiers = importlib.import_module("nautilus_trader.model.identifiers")
    except ImportError:
        return None, f"{NAUTILUS} not installed: skipped"
    bus = component.MessageBus(trader_id=identifiers.TraderId("BENCH-001"), clock=component.TestClock())
    idea = signal()
    bus.subscribe("signals.guard", _Silent().heard)

    def publish() -> None:
        for _ in range(CALLS):
            bus.publish("signals.guard", idea)

    return publish, ""
