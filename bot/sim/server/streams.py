"""Binance USD-M's market streams: who has subscribed to what, and which bytes an event becomes for them.

`Hub` is a listener of what is published; it puts bytes into the boxes of its clients and waits for nobody. `sockets.py` carries a box over
its socket. Nothing is made that nobody wants.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import orjson

from bot.domain.values import Side
from bot.sim.binance_wire import BinanceWire
from bot.sim.events import Best, Depth, Event, Forced, Mark, Trade
from bot.sim.server.past import Past
from bot.sim.server.public_wire import INTERVALS_MS, day_of, kline_fields, levels, price, size
from bot.sim.server.published import Published

PUBLIC, MARKET = "public", "market"
"""The venue's two paths for market data."""

_DIFFS_MS = {"depth@100ms": 100, "depth": 250, "depth@250ms": 250, "depth@500ms": 500}
_PARTS = {
    f"depth{count}{suffix}": (count, period_ms)
    for count in (5, 10, 20)
    for suffix, period_ms in (("@100ms", 100), ("", 250), ("@250ms", 250), ("@500ms", 500))
}
_KLINES = {f"kline_{interval}": interval for interval in INTERVALS_MS}
_MINI_NAMES = {
    "c": "lastPrice",
    "o": "openPrice",
    "h": "highPrice",
    "l": "lowPrice",
    "v": "volume",
    "q": "quoteVolume",
}
_TICKER_NAMES = {
    "miniTicker": _MINI_NAMES,
    "ticker": {
        "p": "priceChange",
        "P": "priceChangePercent",
        "w": "weightedAvgPrice",
        "Q": "lastQty",
        **_MINI_NAMES,
        "O": "openTime",
        "C": "closeTime",
        "F": "firstId",
        "L": "lastId",
        "n": "count",
    },
}
_KLINE_EVERY_MS = 250
_MARK_EVERY_MS = 3000
_OF_PUBLIC = {*_DIFFS_MS, *_PARTS, "bookTicker", "trade"}
_TICKERS = {"ticker": 2000, "miniTicker": 2000}
_ALL_TICKERS = {"!ticker@arr": "ticker", "!miniTicker@arr": "miniTicker"}
_ALL_TICKERS_EVERY_MS = 1000
_OF_MARKET = {*_KLINES, *_TICKERS, "aggTrade", "markPrice", "markPrice@1s", "forceOrder"}
_OF_ALL = {"!bookTicker": PUBLIC, "!forceOrder@arr": MARKET, "!markPrice@arr": MARKET, "!markPrice@arr@1s": MARKET}
_OF_ALL |= dict.fromkeys(_ALL_TICKERS, MARKET)


class Client(Protocol):
    def put(self, stream: str, body: bytes) -> None: ...


def path_of(stream: str) -> str | None:
    """Which of the two paths serves this stream; None for a name that the venue does not have."""
    symbol, _, channel = stream.partition("@")
    if stream in _OF_ALL:
        return _OF_ALL[stream]
    if not symbol or symbol != symbol.lower():
        return None
    return PUBLIC if channel in _OF_PUBLIC else MARKET if channel in _OF_MARKET else None


class Hub:
    def __init__(self, published: Published, pasts: Mapping[str, Past]) -> None:
        self._books, self._pasts = published.books, pasts
        self._render = BinanceWire(book.market.coin for book in self._books.values()).render
        self._clients: dict[str, set[Client]] = {}
        self._diffs: dict[str, dict[str, _Diff]] = {}  # by symbol and stream
        self._told_ms: dict[str, int] = {}  # by stream, when it last spoke
        self._traded: dict[str, dict[str, Trade]] = {stream: {} for stream in _ALL_TICKERS}  # since it last spoke
        self._klines: dict[str, int] = {}  # by stream, which one is running
        self._parts: dict[str, int] = {}  # by stream of best levels, which update it told last

    def add(self, client: Client, stream: str) -> None:
        self._clients.setdefault(stream, set()).add(client)
        symbol, _, channel = stream.partition("@")
        if _DIFFS_MS.get(channel, 100) != 100:
            self._diffs.setdefault(symbol.upper(), {}).setdefault(stream, _Diff(_DIFFS_MS[channel]))

    def remove(self, client: Client, stream: str) -> None:
        clients = self._clients.get(stream, set())
        clients.discard(client)
        if not clients:
            self._clients.pop(stream, None)
            self._parts.pop(stream, None)
            self._diffs.get(stream.partition("@")[0].upper(), {}).pop(stream, None)

    # --- what happens ---

    def on_event(self, event: Event) -> None:
        match event:
            case Depth():
                self._depth(event)
            case Best():
                self._send_rendered(event, (f"{event.symbol.lower()}@bookTicker", "!bookTicker"))
            case Trade():
                self._trade(event)
            case Mark():
                self._mark(event)
            case Forced():
                self._forced(event)

    def _send(self, stream: str, body: bytes) -> None:
        for client in self._clients.get(stream, ()):
            client.put(stream, body)

    def _send_rendered(self, event: Event, streams: Iterable[str]) -> None:
        wanted = [stream for stream in streams if stream in self._clients]
        if wanted:
            raw = self._render(event)[1]
            body = raw[raw.index(b'"data":') + 7 : -1]
            for stream in wanted:
                self._send(stream, body)

    def _depth(self, event: Depth) -> None:
        name = event.symbol.lower()
        self._send_rendered(event, (f"{name}@depth@100ms",))
        for stream, diff in self._diffs.get(event.symbol, {}).items():
            for whole in diff.add(event):
                raw = self._render(whole)[1]
                self._send(stream, raw[raw.index(b'"data":') + 7 : -1])
        for channel, (count, period_ms) in _PARTS.items():
            stream = f"{name}@{channel}"
            if stream in self._clients and self._due(stream, event.ms, period_ms):
                self._part(stream, event, count)

    def _part(self, stream: str, event: Depth, count: int) -> None:
        book = self._books[event.symbol]
        bids, asks = (levels(book.market.coin, book.rungs(side, count)) for side in (Side.BUY, Side.SELL))
        before_id = self._parts.get(stream, event.prev_id)
        ids = {"U": before_id + 1, "u": event.last_id, "pu": before_id}
        self._parts[stream] = event.last_id
        self._send(stream, _body("depthUpdate", event.ms, event.symbol, **ids, b=bids, a=asks))

    def _trade(self, event: Trade) -> None:
        name = event.symbol.lower()
        self._send_rendered(event, (f"{name}@aggTrade",))
        if f"{name}@trade" in self._clients:
            coin = self._books[event.symbol].market.coin
            what = {"t": event.trade_id, "p": price(coin, event.ticks), "q": size(coin, event.lots), "X": "MARKET"}
            self._send(f"{name}@trade", _body("trade", event.ms, event.symbol, **what, m=not event.taker_buys))
        for channel, interval in _KLINES.items():
            stream = f"{name}@{channel}"
            if stream in self._clients:
                self._kline(stream, interval, event)
        for kind, every_ms in _TICKERS.items():
            stream = f"{name}@{kind}"
            if stream in self._clients and self._due(stream, event.ms, every_ms):
                self._send(stream, orjson.dumps(self._ticker(kind, event)))
        for stream, kind in _ALL_TICKERS.items():
            if stream in self._clients:
                self._tickers(stream, kind, event)

    def _tickers(self, stream: str, kind: str, event: Trade) -> None:
        """Of all that traded since it was last told."""
        self._traded[stream][event.symbol] = event
        if self._due(stream, event.ms, _ALL_TICKERS_EVERY_MS):
            rows = [self._ticker(kind, each) for each in self._traded[stream].values()]
            self._traded[stream].clear()
            self._send(stream, orjson.dumps(rows))

    def _ticker(self, kind: str, event: Trade) -> dict[str, Any]:
        day = day_of(self._books[event.symbol].market.coin, self._pasts[event.symbol], event)
        names = _TICKER_NAMES[kind]
        whole = {"e": f"24hr{kind[0].upper()}{kind[1:]}", "E": event.ms + 1, "s": event.symbol}
        return whole | {short: day[name] for short, name in names.items()}

    def _kline(self, stream: str, interval: str, event: Trade) -> None:
        """Four a second at most, and the last state of each."""
        start_ms = event.ms - event.ms % INTERVALS_MS[interval]
        running = self._klines.get(stream, start_ms)
        if running != start_ms:
            self._send_kline(stream, interval, event, running, closed=True)
        if running != start_ms or self._due(stream, event.ms, _KLINE_EVERY_MS):
            self._send_kline(stream, interval, event, start_ms, closed=False)
        self._klines[stream] = start_ms

    def _send_kline(self, stream: str, interval: str, event: Trade, start_ms: int, *, closed: bool) -> None:
        kline = self._pasts[event.symbol].kline(INTERVALS_MS[interval], start_ms)
        if kline is not None:
            fields = kline_fields(self._books[event.symbol].market.coin, kline, INTERVALS_MS[interval])
            last_id = event.trade_id - closed  # what closes one is the first trade of the next
            numbers = {"f": last_id - kline.trades + 1, "L": last_id}
            body = {"s": event.symbol, "i": interval, **numbers, **fields, "x": closed}
            self._send(stream, orjson.dumps({"e": "kline", "E": event.ms + 1, "s": event.symbol, "k": body}))

    def _mark(self, event: Mark) -> None:
        name = event.symbol.lower()
        self._send_rendered(event, (f"{name}@markPrice@1s",))
        if f"{name}@markPrice" in self._clients and self._due(f"{name}@markPrice", event.ms, _MARK_EVERY_MS):
            self._send_rendered(event, (f"{name}@markPrice",))
        for stream, every_ms in (("!markPrice@arr@1s", 1), ("!markPrice@arr", _MARK_EVERY_MS)):
            if stream in self._clients and self._due(f"{stream} {name}", event.ms, every_ms):
                raw = self._render(event)[1]
                self._send(stream, b"[%b]" % raw[raw.index(b'"data":') + 7 : -1])

    def _forced(self, event: Forced) -> None:
        """The venue tells one a second."""
        if self._due(f"{event.symbol} forced", event.ms, 1000):
            self._send_rendered(event, (f"{event.symbol.lower()}@forceOrder", "!forceOrder@arr"))

    def _due(self, stream: str, ms: int, every_ms: int) -> bool:
        due = ms // every_ms != self._told_ms.get(stream, -1)
        self._told_ms[stream] = ms // every_ms
        return due


class _Diff:
    """Book changes gathered over a while, as one."""

    def __init__(self, period_ms: int) -> None:
        self._period_ms, self._slot = period_ms, -1
        self._first: Depth | None = None
        self._last: Depth | None = None
        self._bids: dict[int, int] = {}
        self._asks: dict[int, int] = {}

    def add(self, event: Depth) -> list[Depth]:
        done = self._whole() if event.ms // self._period_ms != self._slot else []
        self._slot = event.ms // self._period_ms
        self._first = self._first or event
        self._last = event
        self._bids.update(event.bids)
        self._asks.update(event.asks)
        return done

    def _whole(self) -> list[Depth]:
        first, last = self._first, self._last
        if first is None or last is None:
            return []
        bids, asks = sorted(self._bids.items(), reverse=True), sorted(self._asks.items())
        self._first = None
        self._bids.clear()
        self._asks.clear()
        return [Depth(last.symbol, last.ms, first.first_id, last.last_id, first.prev_id, bids, asks)]


def _body(kind: str, ms: int, symbol: str, **fields: Any) -> bytes:
    return orjson.dumps({"e": kind, "E": ms + 1, "T": ms, "s": symbol, **fields})
