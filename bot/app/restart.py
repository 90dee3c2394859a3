"""What a starting engine takes over from its journal, and from where a recording goes on.

A paper account's life begins with a session that starts from nothing and goes on through every session that continues it: its
positions, orders, limits and halts come back. A recording that was left in its middle is taken up where the journal ends. One
that was played to its end is played anew by a new account, because its time would run backwards for the old one. What an
operator ordered (a kill, a block) holds in every case.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from bot.domain.events import Event

TAPE_ENDED = "tape ended"
ORDERED = frozenset({"KILL_SWITCH", "RESUMED", "SYMBOL_BLOCKED", "SYMBOL_UNBLOCKED"})


class Start(StrEnum):
    FRESH = "fresh"  # a new paper account
    RESUME = "resume"  # the same account, the same recording, from where it was left
    CARRY = "carry"  # the same account, a market that begins after the journal ends


@dataclass(slots=True)
class Past:
    """What the journal says of earlier sessions. `life` is the session in which the account of the last one began."""

    life: int = 0
    life_seq: int = 0  # of the event before its ENGINE_STARTED
    last_ns: int = 0
    tape_id: str | None = None
    ended: bool = False  # the last session came to the end of its recording
    ordered: list[Event] = field(default_factory=list)

    def apply(self, event: Event) -> None:
        self.last_ns = event.ts
        if event.kind == "ENGINE_STARTED":
            session, life = event.data.get("session", 0), event.data.get("life")
            if life is None or life == session:
                self.life, self.life_seq = session, event.seq - 1
            self.tape_id, self.ended = event.data.get("tape_id"), False
        elif event.kind == "ENGINE_STOPPED":
            self.ended = event.data.get("reason") == TAPE_ENDED
        elif event.kind in ORDERED:
            self.ordered.append(event)

    def start(self, *, tape_id: str, first_ns: int, fresh: bool) -> Start:
        """How an engine begins that plays a recording whose first frame is of `first_ns`."""
        if fresh or not self.life:
            return Start.FRESH
        if first_ns > self.last_ns:
            return Start.CARRY
        return Start.RESUME if tape_id == self.tape_id and not self.ended else Start.FRESH
