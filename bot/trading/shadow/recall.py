"""The shadow book read back from the journal: its events are those of positions under other names, and so is their folding."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from msgspec.structs import replace

from bot.domain.events import Event
from bot.domain.messages import Message
from bot.domain.orders import OrderCommand
from bot.domain.ports import View
from bot.domain.values import Direction, Side
from bot.trading.orders import NEVER_ARRIVED
from bot.trading.recall import Recall
from bot.trading.shadow.desk import Shadows
from bot.trading.shadow.record import PREFIX, REVERSAL, Shadow, untold
from bot.trading.shadow.view import stand_in

_OVER = ("SHADOW_CLOSED", "SHADOW_EXPIRED")
_REVERSES = {"allowed": True, "reversal": True}


class ShadowRecall:
    """Feed it every event of the account's life in order, then `resume` once. `instruments` maps unified symbols to ids; `fee` is
    the taker's, a fraction."""

    def __init__(self, shadows: Shadows, instruments: Mapping[str, str], fee: Decimal) -> None:
        self._shadows, self._instruments = shadows, dict(instruments)
        self._recall = Recall(shadows.portfolio, shadows.orders, None, {}, fee)
        self._open: dict[str, Shadow] = {}  # by signal
        self._decided: dict[str, Shadow] = {}  # at the time of the last event, with nothing told of a shadow yet
        self._last_ns = 0

    def apply(self, event: Event) -> None:
        if event.ts > self._last_ns:
            self._last_ns = event.ts
            self._decided.clear()
        if event.symbol is None or event.corr is None:  # SHADOW_ERROR: what was open stays open, and is taken up again
            return
        instrument = self._instruments.get(event.symbol, event.symbol)
        if event.kind == "DECISION":
            self._decision(event, instrument, event.corr)
        if not event.kind.startswith(PREFIX):
            return
        if event.kind != REVERSAL:  # that comes before what the same signal opens
            self._decided.pop(event.corr, None)
        match event.kind:
            case "SHADOW_REPEATED":
                self._open[event.data["of"]].repeats = event.data["repeats"]
            case kind if kind == REVERSAL:
                self._reversed(event, instrument)
            case _:
                self._fold(event, instrument, event.corr)

    def _decision(self, event: Event, instrument: str, signal_id: str) -> None:
        data = event.data
        if not (data["allowed"] and data.get("reversal")):
            self._decided[signal_id] = _unentered(instrument, signal_id, data)

    def _fold(self, event: Event, instrument: str, signal_id: str) -> None:
        shadow = self._shadow(event, instrument, signal_id)
        self._recall.fold(replace(event, kind=untold(event.kind)), shadow.name)
        if event.kind == "SHADOW_ORDER_INTENT" and event.data["command"] == "place":
            shadow.orders.append(event.data["client_order_id"])
        if event.kind in _OVER:
            self._recall.sent.clear()  # only what was never answered counts here
            self._recall.told.clear()
            del self._open[signal_id]
            self._shadows.orders.forget(shadow.orders)
            self._shadows.portfolio.forget(shadow.name)

    def _shadow(self, event: Event, instrument: str, signal_id: str) -> Shadow:
        """Told whole with its first fill."""
        data: dict[str, Any] = event.data
        shadow = self._open.get(signal_id)
        if shadow is None:
            shadow = self._open[signal_id] = _unentered(instrument, signal_id, data)
        if event.kind == "SHADOW_ENTERED":
            shadow.direction, shadow.position_id = Direction(data["direction"]), data["position_id"]
            shadow.strategy, shadow.blocker, shadow.why_not = data["strategy"], data["blocker"], data["why_not"]
            shadow.repeats = data["repeats"]
        return shadow

    def _reversed(self, event: Event, instrument: str) -> None:
        for plan in self._recall.plans.values():
            position = plan.position
            if (
                position.instrument.startswith(stand_in(instrument, ""))
                and position.direction != event.data["direction"]
            ):
                plan.apply(event.ts, "DECISION", {**event.data, **_REVERSES})

    def resume(self, view: View) -> list[Message]:
        """What the desks must do before the first frame. A shadow whose entry was on its way is over, and so is one of a symbol that
        is not followed any more."""
        followed = set(self._instruments.values())
        kept = [each for each in self._open.values() if each.position_id and each.instrument in followed]
        names = {shadow.name for shadow in kept}
        gone = [each for each in self._open.values() if each.name not in names]
        for each in gone:
            self._shadows.portfolio.forget(each.name)
            self._shadows.orders.forget(each.orders)
        commands: list[OrderCommand] = [sent.command for sent in self._recall.in_flight()]
        plans = [plan for plan in self._recall.plans.values() if plan.position.instrument in names]
        answers = self._shadows.resume(
            kept,
            plans,
            self._recall.venue_state(),
            [command for command in commands if command.order.instrument in names],
            view,
        )
        gone += self._decided.values()
        return [*(each.expired(_why(each, followed)) for each in gone), *answers]


def _unentered(instrument: str, signal_id: str, data: dict[str, Any]) -> Shadow:
    """What DECISION and the intent of an entry say of it; the rest comes with its first fill."""
    long = data.get("side") == Side.BUY or data.get("direction") == Direction.LONG
    return Shadow(
        name=stand_in(instrument, signal_id),
        instrument=instrument,
        signal_id=signal_id,
        direction=Direction.LONG if long else Direction.SHORT,
        strategy="",
        blocker=data.get("blocker"),
    )


def _why(shadow: Shadow, followed: set[str]) -> str:
    return NEVER_ARRIVED if shadow.instrument in followed else "its symbol is not followed any more"
