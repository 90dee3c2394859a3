"""One paper account on a tape, lived by engine after engine: each is dropped in its middle, the next takes over from the events.

`live` does it in this process, so that fifty kills take seconds; `tests/kill_loop.py` does it to real processes. `story` is what
they are compared by. No files but the tape: what a journal would hold is a list, of which a kill may take the last batches that
had not reached the disk.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from bot.app.restart import TAPE_ENDED, Past, Restart, rehearses
from bot.app.run import begin, finish
from bot.app.settings import Settings
from bot.app.wiring import Parts, assemble, pick_instruments
from bot.domain.events import Event
from bot.journal.digest import LEFT_OUT
from bot.journal.writer import MemoryJournal
from bot.runtime.clock import TapeClock
from bot.runtime.tape import Tape

Line = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Kill:
    """Before the first frame of `at_ns` or later is taken; the last `lost` batches of events never reached the disk."""

    at_ns: int
    lost: int = 0


@dataclass(slots=True)
class Account:
    """What is left of it between two engines, and the last of them."""

    settings: Settings
    tape: Tape
    events: list[Event] = field(default_factory=list)
    sessions: int = 0
    _ends: list[int] = field(default_factory=list)  # how many events there were after each batch
    _parts: Parts | None = None

    @property
    def parts(self) -> Parts:
        assert self._parts is not None
        return self._parts

    def live(self, kill: Kill | None = None) -> bool:
        """One engine: until it is killed, or to the end of the tape. Whether it came to the end."""
        for frame in self._begin():
            if kill is not None and frame.recv_ns >= kill.at_ns:
                self._forget(kill.lost)
                return False
            self.parts.inbox.offer_data(frame)
            self.parts.engine.run_now()
        self.parts.stop(TAPE_ENDED)
        self.parts.engine.run_now()
        finish(self.parts, TAPE_ENDED, failed=False)
        return True

    def _begin(self) -> Iterator[Any]:
        past = Past()
        for event in self.events:
            past.apply(event)
        self.sessions += 1
        settings, instruments = self.settings, pick_instruments(self.settings, self.tape.instruments)
        start = past.start(tape_id=self.tape.id, first_ns=self.tape.first_ns(), fresh=False)
        self._parts = assemble(
            settings,
            instruments,
            journal=MemoryJournal(keep=False),
            session=self.sessions,
            last_seq=len(self.events),
            clock=TapeClock(),
            observers=(self._take,),
            trades_of=past.life if rehearses(start, past, settings.symbols) else None,
            began_usd=past.began_usd,
        )
        self._parts.life = past.life or self.sessions
        restart = Restart(self._parts, start, past, instruments)
        asyncio.run(restart.read(self))
        frames = begin(self._parts, self.tape, restart)
        gc.unfreeze()  # engines come and go here
        return frames

    async def read(self, *, since_seq: int, limit: int) -> Sequence[Event]:
        """As a journal is read."""
        return self.events[since_seq : since_seq + limit]

    def _take(self, events: Sequence[Event]) -> None:
        self.events.extend(events)
        self._ends.append(len(self.events))

    def _forget(self, batches: int) -> None:
        """Not the very first batch: without it there is no account yet."""
        batches = min(batches, len(self._ends) - 1)
        if batches:
            del self._ends[-batches:]
            del self.events[self._ends[-1] :]


def live(settings: Settings, tape: Tape, kills: Iterable[Kill] = ()) -> Account:
    """To the end of the tape."""
    account = Account(settings, tape)
    if not any(account.live(kill) for kill in kills):
        account.live()
    return account


# --- what two accounts are compared by -----------------------------------------------------------------------------------


def story(events: Iterable[Event]) -> list[Line]:
    """Everything that was decided and everything that came of it, in order: when, what, all of its data, and which event
    caused it. Ids hold the session's number, so each stands as the place where it first appeared. How sessions began and ended
    is left out, and so are shadows: they stand at the back of their lines again, see `tests/trading/shadow/test_restart.py`."""
    ordinals: dict[str, int] = {}
    lines: list[Line] = []
    places: dict[int, int] = {}
    shadows: set[str] = set()  # their positions, for which max pain is watched too

    def ordinal(value: Any) -> int | None:
        return None if value is None else ordinals.setdefault(str(value), len(ordinals))

    def plain(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {name: plain(inner, name) for name, inner in value.items()}
        if isinstance(value, list | tuple):
            return [plain(inner, key) for inner in value]
        return ordinal(value) if key.endswith("_id") else value

    for event in events:
        if event.kind.startswith("SHADOW_"):
            shadows.add(event.data.get("position_id") or "")
            continue
        if event.kind in LEFT_OUT or event.data.get("position_id") in shadows or _starting(event, lines):
            continue
        places[event.seq] = len(lines)
        cause = None if event.cause is None else places.get(event.cause)
        lines.append((event.ts, event.kind, event.symbol, event.source, ordinal(event.corr), cause, plain(event.data)))
    return lines


def _starting(event: Event, before: Sequence[Line]) -> bool:
    """An engine that takes over tells how it comes to be ACTIVE, though nothing has changed."""
    return event.kind == "STATE" and event.data["was"] == "STARTING" and any(line[1] == "STATE" for line in before)


def standing(account: Account) -> dict[str, Any]:
    """How it stands at the end: money, positions by the engine's and by the venue's books, and what rests there."""
    parts = account.parts
    return {
        "wallet_usd": parts.portfolio.wallet_usd,
        "equity_usd": parts.portfolio.equity_usd(),
        "venue_usd": parts.venue.account.wallet_usd,
        "positions": {p.instrument: p.direction.sign * p.quantity for p in parts.portfolio.positions()},
        "venue": {each: quantity for each, quantity in parts.venue.account.positions().items() if quantity},
        "working": sorted(
            (each.order.instrument, each.order.leg, each.order.price or Decimal(0), each.order.quantity, each.filled)
            for each in parts.venue.working()
        ),
    }
