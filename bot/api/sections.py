"""What the cockpit's frames are made of: sections, each with what is new in it since a client's last frame.

A section that is a list in time goes on where the client left off; the others are sent whole, and only when they changed. The
socket keeps one cursor for each client and section and knows nothing else about them. Values equal the answers of the API.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from time import monotonic
from typing import Any, Protocol

import orjson

from bot.domain.events import Event
from bot.domain.market import Bar
from bot.domain.values import NS

EVENTS_KEPT = 200
FILLS_KEPT = 200  # a symbol
BARS_SHOWN = 500


def encode(value: Any) -> bytes:
    return orjson.dumps(value, default=str)


class Section(Protocol):
    def look(self) -> None:
        """Copy what is to be shown. Called between two frames of the engine."""
        ...

    def news(self, cursor: Any) -> tuple[bytes | None, Any]:
        """JSON of what came after `cursor` (None: everything), None if nothing did, and the new cursor."""
        ...


class Whole:
    """Sent as a whole whenever it is not what it was. Asked with every look, or with every so many, or once what it is made from
    (`of`) has changed."""

    def __init__(self, ask: Callable[[], Any], every: int = 1, of: Callable[[], Any] | None = None) -> None:
        self._ask, self._every, self._looks = ask, every, 0
        self._of, self._seen = of, object()
        self._shown = b"null"
        self._version = 0

    def look(self) -> None:
        self._looks += 1
        if (self._looks - 1) % self._every or not self._changed():
            return
        shown = encode(self._ask())
        if shown != self._shown:
            self._shown, self._version = shown, self._version + 1

    def _changed(self) -> bool:
        before, self._seen = self._seen, self._of() if self._of is not None else object()
        return before != self._seen

    def news(self, cursor: Any) -> tuple[bytes | None, Any]:
        return (None if cursor == self._version else self._shown), self._version


class Kept:
    """An answer that costs something and is not asked for again within `for_s` seconds."""

    def __init__(self, ask: Callable[[], Any], for_s: float, now_s: Callable[[], float] = monotonic) -> None:
        self._ask, self._for_s, self._now_s = ask, for_s, now_s
        self._until_s, self._said = float("-inf"), None

    def __call__(self) -> Any:
        now_s = self._now_s()
        if now_s >= self._until_s:
            self._said, self._until_s = self._ask(), now_s + self._for_s
        return self._said


class Events:
    """The last events; the cursor is the seq of the last one sent. An observer of the engine."""

    def __init__(self) -> None:
        self._kept: deque[Event] = deque(maxlen=EVENTS_KEPT)
        self._encoded: deque[tuple[int, bytes]] = deque(maxlen=EVENTS_KEPT)

    def on_events(self, events: Iterable[Event]) -> None:
        self._kept.extend(events)

    def look(self) -> None:
        done = self._encoded[-1][0] if self._encoded else -1
        self._encoded.extend((event.seq, encode(event.to_dict())) for event in self._kept if event.seq > done)

    def news(self, cursor: Any) -> tuple[bytes | None, Any]:
        new = [row for seq, row in self._encoded if cursor is None or seq > cursor]
        last = self._encoded[-1][0] if self._encoded else cursor
        return (b"[" + b",".join(new) + b"]" if new or cursor is None else None), last if last is not None else -1


class Chart:
    """Candles of the narrowest width with the fills, by symbol. A tick has the bars from the client's last one on. An observer
    of the engine, for the fills."""

    def __init__(self, symbols: Sequence[str], candles: Callable[[str, int], tuple[int, list[Bar]]]) -> None:
        self._symbols, self._candles = symbols, candles
        self._fills: dict[str, deque[dict[str, Any]]] = defaultdict(lambda: deque(maxlen=FILLS_KEPT))
        self._filled = dict.fromkeys(symbols, 0)
        self._shown: dict[str, tuple[int, list[Bar]]] = {}

    def on_events(self, events: Iterable[Event]) -> None:
        for event in events:
            if event.kind == "FILL" and event.symbol in self._filled:
                self._filled[event.symbol] += 1
                self._fills[event.symbol].append(_marker(event))

    def look(self) -> None:
        self._shown = {symbol: self._candles(symbol, BARS_SHOWN) for symbol in self._symbols}

    def news(self, cursor: Any) -> tuple[bytes | None, Any]:
        seen: Mapping[str, Any] = cursor or {}
        parts = {symbol: self._part(symbol, seen.get(symbol)) for symbol in self._symbols}
        news = {symbol: part for symbol, (part, _) in parts.items() if part}
        return (encode(news) if news or cursor is None else None), {symbol: at for symbol, (_, at) in parts.items()}

    def _part(self, symbol: str, seen: tuple[Bar | None, int] | None) -> tuple[dict[str, Any], tuple[Bar | None, int]]:
        """`seen` is the last bar that was sent, as it then was, and how many fills there had been."""
        width_s, bars = self._shown.get(symbol, (60, []))
        last, filled = (None, -1) if seen is None else seen
        new = [bar for bar in bars if (last is None or bar.start_ns >= last.start_ns) and bar != last]
        part: dict[str, Any] = {"width_s": width_s, "bars": [_row(bar) for bar in new]} if new or seen is None else {}
        if filled != self._filled[symbol]:
            part["trades"] = list(self._fills[symbol])
        return part, (bars[-1] if bars else last, self._filled[symbol])


def _row(bar: Bar) -> list[float]:
    return [bar.start_ns // NS, bar.open, bar.high, bar.low, bar.close, round(bar.usd, 2)]


def _marker(event: Event) -> dict[str, Any]:
    fill = event.data
    return {
        "time": event.ts // NS,
        "side": str(fill["side"]),
        "leg": fill["leg"],
        "price": str(fill["price"]),
        "quantity": str(fill["quantity"]),
    }
