"""A whole engine on a market that a test moves: the real wire bytes go in, the events are looked at.

The book is a ladder of equal levels around a price on a coarse grid (1,000.0 in steps of 0.1, which is one basis point), so that a
price change costs few levels. Trades, mark prices, operators' requests and readings are put in by name. Time is the test's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from bot.app.restart import Past, Restart, Start
from bot.app.settings import Settings
from bot.app.wiring import Parts, assemble
from bot.domain.events import Emit, Event
from bot.domain.frames import Frame, Lane, Source
from bot.domain.messages import OperatorRequest, OutsideSignal
from bot.domain.reading import Reading
from bot.domain.values import NS, Direction
from bot.exchanges import binance
from bot.journal.writer import MemoryJournal
from bot.market.readings import encode_reading
from bot.runtime.clock import TapeClock
from tests.build import instrument

TICK = Decimal("0.1")
START_NS = 1_760_054_400 * NS  # 2025-10-10 00:00:00 UTC
COIN = instrument("COINUSDT", tick="0.1", step="0.001", min_notional=Decimal(5), max_market_quantity=Decimal(10_000))
LEVELS = 6
QUIET: dict[str, Any] = {  # nothing refuses but what a test is about
    "strategies": (),
    "symbols": (COIN.unified,),
    "risk": {
        "cooldown_s": 0,
        "stop_cooldown_s": 0,
        "entries_per_symbol_day": 1_000_000,
        "entries_per_day": 1_000_000,
        "max_risk_pct": "0.6",
    },
}


def settings(**groups: Any) -> Settings:
    """`QUIET` with the named groups laid over it."""
    merged = {**QUIET, **{k: {**QUIET.get(k, {}), **v} if isinstance(v, Mapping) else v for k, v in groups.items()}}
    return Settings.model_validate(merged)


class World:
    def __init__(self, chosen: Settings | None = None, *, price: int = 10_000, depth: str = "500") -> None:
        """`price` in ticks; `depth` is each level's size in coins."""
        self.settings = chosen or settings()
        self.price, self.now_ns, self._depth = price, START_NS, depth
        self.events: list[Event] = []
        self._update_id = 0
        self._signals = 0
        self._taken: list[Frame] = []  # what a recording of all this would hold
        self._session = 1
        self.parts = self._assembled()
        self.parts.engine.start_at(self.now_ns)
        self._started(Start.FRESH)
        self._snapshot()
        self.trade()

    def crash(self, *, rehearse: bool = True) -> None:
        """The engine is gone in the middle of everything; a new one takes over from the events, on the same market (or, without
        `rehearse`, on one of which no recording was made)."""
        past = Past()
        for event in self.events:
            past.apply(event)
        self._session += 1
        self.parts = parts = self._assembled()
        start = Start.RESUME if rehearse else Start.CARRY
        restart = Restart(parts, start, past, {COIN.id: COIN})
        restart.fold(self.events)
        parts.life = past.life
        left = list(restart.begin(iter(self._taken), self.now_ns))
        self._started(start)
        parts.engine.wake(restart.waits())
        if not rehearse:
            self._update_id += 1
            self._snapshot()
        for frame in left if rehearse else ():
            parts.inbox.offer_data(frame)
        parts.engine.run_now()

    def _started(self, start: Start) -> None:
        data = {"session": self._session, "life": 1, "start": start, "tape_id": "world"}
        self.parts.engine.note(Emit(kind="ENGINE_STARTED", source="engine", data=data))

    def _assembled(self) -> Parts:
        return assemble(
            self.settings,
            {COIN.id: COIN},
            journal=MemoryJournal(keep=False),
            session=self._session,
            trades_of=1,
            last_seq=len(self.events),
            clock=TapeClock(),
            observers=(self.events.extend,),
        )

    # --- the market ---

    def pass_time(self, seconds: float) -> None:
        self.now_ns += round(seconds * NS)

    def to(self, price: int, *, traded: bool = True) -> None:
        """The book moves to `price` (ticks), with a trade there unless told otherwise."""
        self._diff(price)
        if traded:
            self.trade()

    def trade(self, price: int | None = None, quantity: str = "1", *, buys: bool = True) -> None:
        at = TICK * (self.price if price is None else price)
        stamp = self.now_ns // 1_000_000
        self._data(
            {
                "e": "trade",
                "E": stamp,
                "T": stamp,
                "s": COIN.symbol,
                "t": self._update_id,
                "p": str(at),
                "q": quantity,
                "X": "MARKET",
                "m": not buys,
            }
        )

    def mark(self, price: str, *, funding_rate: str = "0.0001", next_funding_ns: int = 0) -> None:
        stamp = self.now_ns // 1_000_000
        wire = {"e": "markPriceUpdate", "E": stamp, "s": COIN.symbol, "p": price, "i": price, "P": price}
        self._data({**wire, "r": funding_rate, "T": next_funding_ns // 1_000_000})

    def _snapshot(self) -> None:
        book = {"lastUpdateId": self._update_id, "E": 1, "T": 1, "bids": self._side(-1), "asks": self._side(1)}
        self._data({"stream": COIN.symbol.lower() + binance.SNAPSHOT_STREAM, "data": book})

    def _diff(self, price: int) -> None:
        """Everything that is no longer within the ladder goes, everything new comes."""
        before = {sign: set(self._ladder(sign)) for sign in (1, -1)}
        self.price = price
        changes = {}
        for sign in (1, -1):
            now = set(self._ladder(sign))
            changes[sign] = [[_text(p), "0"] for p in sorted(before[sign] - now)]
            changes[sign] += [[_text(p), self._depth] for p in sorted(now - before[sign])]
        first = self._update_id + 1
        wire = {"e": "depthUpdate", "E": 1, "T": 1, "s": COIN.symbol, "U": first, "u": first, "pu": self._update_id}
        self._update_id = first
        self._data({**wire, "b": changes[-1], "a": changes[1]})

    def _ladder(self, sign: int) -> range:
        near, far = sorted((self.price + sign, self.price + sign * LEVELS))
        return range(near, far + 1)

    def _side(self, sign: int) -> list[list[str]]:
        return [[_text(price), self._depth] for price in self._ladder(sign)]

    # --- who acts ---

    def signal(self, direction: Direction) -> None:
        self._signals += 1
        self.say(OutsideSignal(external_id=f"x{self._signals}", instrument=COIN.id, direction=direction))

    def say(self, request: OperatorRequest) -> None:
        self._take(Frame(self.now_ns, Lane.ACCOUNT, Source.OPERATOR, msgspec.json.encode(request)))

    def read(self, reading: Reading[Any]) -> None:
        self._take(Frame(self.now_ns, Lane.DATA, Source.READING, encode_reading(reading)))

    def _data(self, message: dict[str, Any]) -> None:
        self._take(Frame(self.now_ns, Lane.DATA, binance.VENUE, json.dumps(message).encode()))

    def _take(self, frame: Frame) -> None:
        if frame.lane == Lane.ACCOUNT:
            self.parts.inbox.put_account(frame)
        else:
            self._taken.append(frame)
            self.parts.inbox.offer_data(frame)
        self.parts.engine.run_now()

    # --- what came of it ---

    def of_kind(self, kind: str) -> Sequence[Event]:
        return [event for event in self.events if event.kind == kind]

    @property
    def open(self) -> bool:
        return self.parts.portfolio.position(COIN.id) is not None


def _text(ticks: int) -> str:
    return str(TICK * ticks)
