"""What became of a signal's shadow, folded from the SHADOW_* events for `why` and the page; part of the projection."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from bot.domain.events import Event

Data = dict[str, Any]

STEPS = ("TP_ADJUSTED", "LADDER_MERGED", "BREAK_EVEN", "STOP_MOVED", "EXIT_DEFERRED", "EXIT_DROPPED", "FUNDING")
KINDS = frozenset(
    {
        "SHADOW_OPENED",
        "SHADOW_CLOSED",
        "SHADOW_EXPIRED",
        "SHADOW_REPEATED",
        "SHADOW_FILL",
        *(f"SHADOW_{step}" for step in STEPS),
    }
)


@dataclass(slots=True)
class ShadowRecord:
    """`of` is another signal, of whose shadow this one is a repeat."""

    of: str | None = None
    opened: Data | None = None
    closed: Data | None = None
    expired: Data | None = None
    fills: int = 0
    repeats: int = 0
    steps: list[Data] = field(default_factory=list)

    def apply(self, event: Event, data: Data) -> None:
        stamped = {"seq": event.seq, "ts": event.ts} | data
        match event.kind:
            case "SHADOW_OPENED":
                self.opened, self.repeats = stamped, data["repeats"]
            case "SHADOW_CLOSED":
                self.closed, self.repeats = stamped, data["repeats"]
            case "SHADOW_EXPIRED":
                self.expired = stamped
            case "SHADOW_REPEATED":
                self.of = data["of"]
            case "SHADOW_FILL":
                self.fills += 1
            case kind:
                self.steps.append({"kind": kind.removeprefix("SHADOW_")} | stamped)

    @property
    def state(self) -> str:
        if self.expired is not None:
            return "not entered"
        if self.closed is not None:
            return "closed"
        return "open" if self.opened is not None or self.fills else "on its way"

    def view(self) -> Data:
        return {
            "state": self.state,
            "repeats": self.repeats,
            "opened": self.opened,
            "closed": self.closed,
            "expired": self.expired,
            "fills": self.fills,
            "steps": self.steps,
        }
