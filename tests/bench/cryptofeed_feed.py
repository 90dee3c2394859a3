"""cryptofeed's Binance futures feed without a socket: its `message_handler`, which decodes, routes and keeps the book.

It knows trades under the name aggTrade only, so they are renamed before they are given to it; the rest of the message is
the same. It asks for the snapshot itself at the first change, and is given the capture's. No callbacks are registered.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
from typing import Any

from bot.domain.frames import Frame
from bot.domain.market import Level
from tests.bench.capture import TRADE, Capture, kind_of
from tests.bench.measure import Run

_PAIR = "BTC-USDT-PERP"


class CryptofeedFeed:
    """Raises ImportError where cryptofeed is not installed."""

    name = "cryptofeed"

    def __init__(self, capture: Capture) -> None:
        self._feed_class = importlib.import_module("cryptofeed.exchanges.binance_futures").BinanceFutures
        defines = importlib.import_module("cryptofeed.defines")
        self._channels = [defines.L2_BOOK, defines.TRADES, defines.TICKER]
        info = {"tick_size": {_PAIR: str(capture.instrument.tick)}, "instrument_type": {_PAIR: defines.PERPETUAL}}
        symbols = importlib.import_module("cryptofeed.symbols").Symbols
        symbols.set(self._feed_class.id, {_PAIR: capture.instrument.symbol}, info)
        logging.getLogger("feedhandler").setLevel(logging.ERROR)
        self._loop = asyncio.new_event_loop()
        self._rest = _Rest(capture.snapshot.raw.decode())
        self._messages = {
            kind: [_text(frame) for frame in frames if frame is not capture.snapshot]
            for kind, frames in capture.by_kind.items()
        }
        self._feed: Any = None

    def fresh(self, kind: str) -> Run:
        self._feed = self._feed_class(symbols=[_PAIR], channels=self._channels)
        self._feed.http_conn = self._rest
        handle, messages = self._feed.message_handler, self._messages[kind]

        async def take() -> None:
            for message in messages:
                await handle(message, None, 0.0)

        return lambda: self._loop.run_until_complete(take())

    def levels(self) -> tuple[list[Level], list[Level]]:
        book = self._feed._l2_book[_PAIR].book
        bids, asks = (
            [(float(price), float(side[price])) for price in side.keys()]  # noqa: SIM118  it is no dict
            for side in (book.bids, book.asks)
        )
        return bids, asks

    def close(self) -> None:
        self._loop.close()


class _Rest:
    """Its REST connection, with one reply to give."""

    def __init__(self, reply: str) -> None:
        self._reply = reply

    async def read(self, address: str) -> str:
        return self._reply


def _text(frame: Frame) -> str:
    text = frame.raw.decode()
    if kind_of(frame.raw) != TRADE:
        return text
    return text.replace('"e":"trade"', '"e":"aggTrade"', 1).replace('"t":', '"a":', 1)
