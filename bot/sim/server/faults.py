"""Lets faults happen: begins and ends them by the market's time, and does to sockets, messages, marks and listings what they say.

Answers of REST are spoiled in `fault_answers.py`. Without faults nothing of this is in the way. A fault that is due at an event's
time is there when the event is told.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import count
from typing import Protocol
from weakref import WeakKeyDictionary

from msgspec import structs

from bot.sim.events import Event, Mark
from bot.sim.exchange.core import ExchangeCore
from bot.sim.faults import CUTS, MESSAGES, OF_SYMBOLS, QUIET, Fault, Kind
from bot.sim.server import fault_frames
from bot.sim.server.market import SimMarket
from bot.sim.server.private import Private
from bot.sim.server.public import Public
from bot.sim.server.query import Query
from bot.sim.server.sockets import Box, Sockets
from bot.sim.server.user_stream import UserStreams

USER = "user"
"""What a user stream is called in a fault's `stream`: nobody knows its listen key before."""
_NEVER_MS = 1 << 62
_WIDER = 10
_DEEPEST = 1000


class Door(Protocol):
    """Where connections come in."""

    def shut(self) -> None: ...
    def open(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Parts:
    """What faults happen to."""

    market: SimMarket
    core: ExchangeCore
    public: Public
    private: Private
    sockets: Sockets
    users: UserStreams


@dataclass(slots=True, eq=False)
class Active:
    """A fault that goes on. `left`: how often it still may happen."""

    fault: Fault
    ends_ms: int
    left: int
    last: bytes = b""
    answers: dict[str, bytes] = field(default_factory=dict)  # what a stale venue says, by path and query
    books: dict[str, dict[str, object]] = field(default_factory=dict)

    @property
    def kind(self) -> Kind:
        return self.fault.kind

    def hit(self, body: bytes | None = None) -> bool:
        """Once more, unless it was often enough. The same message to another client is not once more."""
        if body is not None and body is self.last:
            return True
        if not self.left:
            return False
        self.left -= 1
        self.last = body or b""
        return True


class Faults:
    """`coming` are in the order of their times, which count from `origin_ms`."""

    def __init__(self, coming: Iterable[Fault], origin_ms: int) -> None:
        self._coming, self._origin_ms = iter(coming), origin_ms
        self._next = next(self._coming, None)
        self.active: list[Active] = []
        self.door: Door | None = None
        self.begun: list[Fault] = []
        self.on_begin: Callable[[Fault], None] = self.begun.append
        self._due_ms = 0
        self._late: list[tuple[int, int, Callable[[], None]]] = []
        self._numbers = count()
        self._swapped: WeakKeyDictionary[Box, dict[str, bytes]] = WeakKeyDictionary()
        self._closing: set[asyncio.Task[object]] = set()

    def attach(self, parts: Parts) -> None:
        """From now on. Before any other listener of the market."""
        self._parts = parts
        parts.market.of_mark = self._mark
        parts.market.listeners.insert(0, self.on_event)
        parts.sockets.tamper = self

    # --- their time ---

    def on_event(self, event: Event) -> None:
        if event.ms >= self._due_ms:
            self.catch_up(event.ms)

    def catch_up(self, now_ms: int) -> None:
        over = [each for each in self.active if each.ends_ms <= now_ms or not each.left]
        for each in over:
            self.active.remove(each)
            self._changed(each.fault)
        while self._next is not None and self._at_ms(self._next) <= now_ms:
            self.begin(self._next, now_ms)
            self._next = next(self._coming, None)
        while self._late and self._late[0][0] <= now_ms:
            heapq.heappop(self._late)[2]()
        ends = min((each.ends_ms for each in self.active), default=_NEVER_MS)
        starts = _NEVER_MS if self._next is None else self._at_ms(self._next)
        self._due_ms = min(ends, starts, self._late[0][0] if self._late else _NEVER_MS)

    def later(self, ms: int, act: Callable[[], None]) -> None:
        """So much later on the exchange's clock."""
        due_ms = self._parts.market.now_ms() + ms
        heapq.heappush(self._late, (due_ms, next(self._numbers), act))
        self._due_ms = min(self._due_ms, due_ms)

    def _at_ms(self, fault: Fault) -> int:
        return self._origin_ms + round(fault.at_s * 1000)

    def begin(self, fault: Fault, now_ms: int) -> None:
        """Now, whenever it was meant to; `seconds` count from when it was."""
        self.on_begin(fault)
        if fault.kind in CUTS:
            self._cut(fault)
        elif fault.kind is Kind.KEY_EXPIRES:
            self._parts.users.expire_all(now_ms)
        else:
            ends_ms = self._at_ms(fault) + round(fault.seconds * 1000) if fault.seconds else _NEVER_MS
            left = fault.count or (_NEVER_MS if fault.seconds else 1)
            begun = Active(fault, ends_ms, left)
            if fault.kind is Kind.STALE:
                begun.books = self._books()
            self.active.append(begun)
            self._changed(fault)

    def of(self, *kinds: Kind) -> list[Fault]:
        return [each.fault for each in self.active if each.kind in kinds]

    # --- what has a state ---

    def _changed(self, fault: Fault) -> None:
        """Make what is so while a fault lasts so, as it begins and as it ends."""
        if fault.kind is Kind.CLOCK:
            self._parts.public.clock_off_ms = self._parts.private.clock_off_ms = self._clock_off_ms()
        elif fault.kind is Kind.REFUSE and self.door is not None:
            (self.door.shut if self.of(Kind.REFUSE) else self.door.open)()
        elif fault.kind in OF_SYMBOLS:
            self._list()

    def _clock_off_ms(self) -> int:
        return sum(fault.ms for fault in self.of(Kind.CLOCK))

    def _list(self) -> None:
        core, coins = self._parts.core, self._parts.market.coins
        core.halted = {symbol for symbol in coins if self._hits(symbol, Kind.HALTED)}
        core.delisted = {symbol for symbol in coins if self._hits(symbol, Kind.DELISTED)}
        for symbol, coin in coins.items():
            rules = coin.instrument
            if self._hits(symbol, Kind.FILTERS):
                step = rules.step * _WIDER
                least = max(step, rules.min_quantity)
                rules = structs.replace(rules, tick=rules.tick * _WIDER, step=step, min_quantity=least)
            core.instruments[symbol] = rules
        self._parts.public.listing_changed()

    def _hits(self, symbol: str, kind: Kind) -> bool:
        return any(fnmatchcase(symbol, fault.symbol) for fault in self.of(kind))

    def _mark(self, mark: Mark) -> Mark:
        """Each is changed, from the event on that begins the fault."""
        if mark.ms >= self._due_ms:
            self.catch_up(mark.ms)
        for fault in self.of(Kind.MARK_GAP):
            if fnmatchcase(mark.symbol, fault.symbol):
                times = 1 + fault.pct / 100
                mark = structs.replace(mark, mark=mark.mark * times, index=mark.index * times)
        return mark

    def _books(self) -> dict[str, dict[str, object]]:
        asked = {"limit": str(_DEEPEST)}
        return {
            symbol: self._parts.public.depth(Query({"symbol": symbol, **asked}))
            for symbol, book in self._parts.market.books.items()
            if book.usable and symbol not in self._parts.core.delisted
        }

    # --- sockets ---

    def _cut(self, fault: Fault) -> None:
        for box in [box for box in self._parts.sockets.clients if _listens(box, fault)]:
            if fault.kind is Kind.ABORT:
                box.abort()
            else:
                closing = asyncio.ensure_future(box.socket.close())
                self._closing.add(closing)
                closing.add_done_callback(self._closing.discard)

    def silent(self, box: Box) -> bool:
        return any(fault.stream == "*" for fault in self.of(Kind.SILENCE))

    def deaf(self, box: Box) -> bool:
        return any(_listens(box, fault) for fault in self.of(Kind.DEAF))

    def frames(self, box: Box, stream: str, body: bytes) -> list[bytes]:
        bodies, held = [body], self._swapped.get(box, {}).pop(stream, None)
        for each in self.active:
            if each.kind is Kind.SWAP and held is not None:
                continue  # this one is what the held one changes places with
            if each.kind in MESSAGES | QUIET and fnmatchcase(_name(stream), each.fault.stream):
                bodies = [made for old in bodies for made in self._spoiled(each, box, stream, old)]
            elif each.kind is Kind.DELISTED:
                bodies = [old for old in bodies if not _is_of(old, each.fault.symbol)]
        if held is not None:
            bodies.append(held)
        off_ms = self._parts.public.clock_off_ms
        return [fault_frames.later(each, off_ms) for each in bodies] if off_ms else bodies

    def _spoiled(self, each: Active, box: Box, stream: str, body: bytes) -> list[bytes]:
        """What becomes of it; as it is where the fault has nothing to do with it."""
        if each.kind is Kind.SILENCE:
            return []
        if each.kind is Kind.DEAF:
            return [body]
        made = fault_frames.spoil(each.kind, body, self._parts.market)
        if made is None or not each.hit(body):
            return [body]
        if each.kind is Kind.SWAP:
            self._swapped.setdefault(box, {})[stream] = body
        elif each.kind is Kind.DELAY:
            self.later(each.fault.ms, lambda: box.send(stream, body))
        return made


def _name(stream: str) -> str:
    return stream if "@" in stream or stream.startswith("!") else USER


def _listens(box: Box, fault: Fault) -> bool:
    return fault.stream == "*" or any(fnmatchcase(_name(stream), fault.stream) for stream in box.streams)


def _is_of(body: bytes, symbol: str) -> bool:
    return fnmatchcase(fault_frames.symbol_of(body), symbol)
