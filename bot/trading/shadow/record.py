"""One shadow: what its signal was refused for, and how the journal tells of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace

from bot.domain.events import Emit
from bot.domain.values import Decision, Direction

SOURCE = "shadow"
KINDS = {"POSITION_OPENED": "SHADOW_OPENED", "POSITION_CLOSED": "SHADOW_CLOSED", "SIGNAL_EXPIRED": "SHADOW_EXPIRED"}
PREFIX = "SHADOW_"  # of what else the desks of a shadow tell
_ENDS = frozenset({"SHADOW_CLOSED", "SHADOW_EXPIRED"})
_TELLS_OF_IT = _ENDS | {"SHADOW_ENTERED", "SHADOW_OPENED"}


REVERSAL = "SHADOW_REVERSAL"
_UNTOLD = {told: kind for kind, told in KINDS.items()} | {"SHADOW_ENTERED": "POSITION_ENTERED"}


def untold(kind: str) -> str:
    """What the trading desks call this event of a shadow."""
    return _UNTOLD.get(kind, kind.removeprefix(PREFIX))


def reversal(decision: Decision, shadows: int) -> Emit:
    """A signal that would close that many shadows in the other direction, now or when their force-hold ends."""
    signal = decision.signal
    data = {
        "signal_id": signal.signal_id,
        "direction": signal.direction.value,
        "signal_ts_ns": signal.ts_ns,
        "shadows": shadows,
    }
    because = f"decision:{signal.signal_id}"
    of = signal.signal_id
    return Emit(kind=REVERSAL, instrument=signal.instrument, source=SOURCE, corr=of, because=because, data=data)


@dataclass(slots=True)
class Shadow:
    """`blocker` is None for the twin of an allowed signal. `why_not` says why it could not have been opened, "" where it could."""

    name: str  # of the instrument that stands for the real one
    instrument: str
    signal_id: str
    direction: Direction
    strategy: str
    blocker: str | None
    why_not: str = ""
    repeats: int = 0  # later signals of its kind, while it was open
    position_id: str = ""
    orders: list[str] = field(default_factory=list)
    over: bool = False

    @property
    def key(self) -> tuple[str, Direction, str]:
        """While one is open, a refused signal of the same key is a repeat of it."""
        return self.instrument, self.direction, self.strategy

    def told(self, emit: Emit) -> Emit:
        """An event of the trading desks as one of the shadow book."""
        kind = KINDS.get(emit.kind, f"{PREFIX}{emit.kind.removeprefix('POSITION_')}")
        self.over = self.over or kind in _ENDS
        data = {**emit.data, **self._about()} if kind in _TELLS_OF_IT else emit.data
        return replace(emit, kind=kind, instrument=self.instrument, source=SOURCE, corr=self.signal_id, data=data)

    def event(self, kind: str, data: dict[str, Any], signal_id: str = "") -> Emit:
        """`signal_id` where it is not its own that the event is about."""
        of = signal_id or self.signal_id
        return Emit(
            kind=kind,
            instrument=self.instrument,
            source=SOURCE,
            corr=of,
            because=f"decision:{of}",
            data={"signal_id": of, "direction": self.direction.value, **data},
        )

    def expired(self, reason: str) -> Emit:
        self.over = True
        return self.event("SHADOW_EXPIRED", {"reason": reason, **self._about()})

    def repeated_by(self, signal_id: str) -> Emit:
        self.repeats += 1
        data = {"position_id": self.position_id or None, "of": self.signal_id, "repeats": self.repeats}
        return self.event("SHADOW_REPEATED", data, signal_id)

    def _about(self) -> dict[str, Any]:
        return {
            "signal_id": self.signal_id,
            "direction": self.direction.value,
            "strategy": self.strategy,
            "blocker": self.blocker,
            "repeats": self.repeats,
            "tradable": not self.why_not,
            "why_not": self.why_not,
        }
