"""ccxt.pro's Binance USD-M client without a socket: its own Client object, JSON decoding, routing and handlers.

The snapshot goes the way of its own REST reply (`fetch_order_book_snapshot`), on top of the changes it has buffered until
then. Nobody calls `watch_*`, so it neither wakes a caller nor cuts the book to 1,000 levels.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Coroutine
from heapq import nlargest
from typing import Any

from bot.domain.frames import Frame
from bot.domain.instrument import Instrument
from bot.domain.market import Level
from bot.market.book import BUCKET_BPS, BUCKETS
from tests.bench.capture import DEPTH, Capture
from tests.bench.contenders import WALLS, Sizes
from tests.bench.measure import Run


class CcxtPro:
    """Raises ImportError where ccxt is not installed."""

    name = "ccxt.pro"

    def __init__(self, capture: Capture) -> None:
        self._aiohttp = importlib.import_module("aiohttp")
        self._json = importlib.import_module("orjson")
        self._symbol = capture.instrument.unified
        self._loop = asyncio.new_event_loop()
        self._exchange: Any = importlib.import_module("ccxt.pro").binanceusdm()
        self._exchange.set_markets([self._exchange.parse_market(_listing(capture.instrument))])
        self._exchange.fetch_rest_order_book_safe = self._rest_reply
        self._reply = self._json.loads(capture.snapshot.raw)
        self._messages = {kind: self._split(frames, capture.snapshot) for kind, frames in capture.by_kind.items()}
        self._client: Any = None

    def fresh(self, kind: str) -> Run:
        self._do(self._connect())
        handle, snapshot = self._client.handle_message, self._snapshot
        before, after = self._messages[kind]

        async def take() -> None:
            for message in before:
                handle(message)
            if after:
                await snapshot()
            for message in after:
                handle(message)

        return lambda: self._do(take())

    def fresh_walls(self) -> Run:
        self._do(self._connect())
        before, after = self._messages[DEPTH]
        handle, look = self._client.handle_message, self._look

        async def take() -> None:
            for message in before:
                handle(message)
            await self._snapshot()
            for message in after:
                handle(message)
                look()

        return lambda: self._do(take())

    def walls(self, anchor: float) -> tuple[Sizes, Sizes]:
        book = self._book()
        return _largest(book["bids"], anchor, 1.0), _largest(book["asks"], anchor, -1.0)

    def levels(self) -> tuple[list[Level], list[Level]]:
        bids, asks = ([(level[0], level[1]) for level in self._book()[side]] for side in ("bids", "asks"))
        return bids, asks

    def close(self) -> None:
        self._do(self._exchange.close())
        self._loop.close()

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        self._loop.run_until_complete(work)

    def _book(self) -> Any:
        return self._exchange.orderbooks[self._symbol]

    def _look(self) -> object:
        book = self._book()
        bid, ask = book["bids"][0][0], book["asks"][0][0]
        return bid, ask, self.walls((bid + ask) / 2)

    async def _connect(self) -> None:
        """A new client with nothing received yet, as after its subscription was confirmed."""
        exchange = self._exchange
        exchange.clients, exchange.trades, exchange.bidsasks = {}, {}, {}
        exchange.orderbooks = {self._symbol: exchange.order_book({}, 1000)}
        self._client = exchange.client(exchange.get_ws_url("linear", "public") + "/0")
        self._client.subscriptions[f"orderbook::{self._symbol}"] = True

    async def _snapshot(self) -> None:
        subscription = {"symbol": self._symbol, "type": "linear", "limit": 1000}
        await self._exchange.fetch_order_book_snapshot(self._client, None, subscription)

    async def _rest_reply(self, symbol: str, limit: Any = None, params: Any = None) -> Any:
        book = self._exchange.parse_order_book(self._reply, symbol)
        book["nonce"] = self._reply["lastUpdateId"]
        return book

    def _split(self, frames: list[Frame], snapshot: Frame) -> tuple[list[Any], list[Any]]:
        """What came before the snapshot and after it, as its websocket library hands it over."""
        text = self._aiohttp.WSMsgType.TEXT
        made = [self._aiohttp.WSMessage(text, frame.raw.decode(), None) for frame in frames]
        at = frames.index(snapshot) if snapshot in frames else len(frames)
        return made[:at], made[at + 1 :]


def _largest(side: list[list[float]], anchor: float, sign: float) -> Sizes:
    """Its sides are sorted lists of [price, size] from the best on; it has nothing quicker to offer than to walk them."""
    buckets = [0.0] * BUCKETS
    scale = sign * 1e4 / BUCKET_BPS / anchor
    for price, size in side:
        bucket = int((anchor - price) * scale)
        if bucket >= BUCKETS:
            break
        buckets[bucket if bucket > 0 else 0] += price * size
    return nlargest(WALLS, buckets)


def _listing(instrument: Instrument) -> dict[str, Any]:
    """The exchangeInfo entry of the instrument, as far as ccxt looks at it."""
    filters = [
        {"filterType": "PRICE_FILTER", "minPrice": "0.1", "maxPrice": "10000000", "tickSize": str(instrument.tick)},
        {
            "filterType": "LOT_SIZE",
            "minQty": str(instrument.min_quantity),
            "maxQty": str(instrument.max_quantity),
            "stepSize": str(instrument.step),
        },
    ]
    return {
        "symbol": instrument.symbol,
        "pair": instrument.symbol,
        "contractType": "PERPETUAL",
        "status": "TRADING",
        "baseAsset": instrument.base,
        "quoteAsset": instrument.quote,
        "marginAsset": instrument.quote,
        "deliveryDate": 4133404800000,
        "onboardDate": 1569398400000,
        "filters": filters,
    }


def watching(capture: Capture, url: str) -> tuple[Any, str]:
    """The exchange with its socket at `url`, and its symbol; its one REST call, for the snapshot, gives the capture's."""
    exchange: Any = importlib.import_module("ccxt.pro").binanceusdm()
    json = importlib.import_module("orjson")
    exchange.set_markets([exchange.parse_market(_listing(capture.instrument))])
    for name in ("linear", "future"):
        exchange.urls["api"]["ws"][name] = url
    exchange.get_ws_url = lambda *_: url
    reply = json.loads(capture.snapshot.raw)

    async def snapshot(symbol: str, limit: Any = None, params: Any = None) -> Any:
        book = exchange.parse_order_book(reply, symbol)
        book["nonce"] = reply["lastUpdateId"]
        return book

    exchange.fetch_rest_order_book_safe = snapshot
    return exchange, capture.instrument.unified
