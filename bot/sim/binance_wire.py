"""Synthetic events as the bytes that Binance USD-M would send: combined streams, numbers as text, its keys in its order.

The other way round than `exchanges/binance.py`, which reads them. A reading becomes the bytes of a `reading` frame.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

from bot.domain.frames import Source
from bot.domain.reading import Reading
from bot.domain.values import MS, NS
from bot.exchanges.binance import SNAPSHOT_STREAM, VENUE
from bot.market.readings import encode_reading, rule_of
from bot.sim.events import Best, Depth, Event, Forced, Mark, Rung, Snapshot, Told, Trade
from bot.sim.scenario import Coin

_KEPT = 4_000  # texts of prices or sizes; more of them fill the memory and save no time
_SENT_MS = 1  # what happened at T is sent (E) so much later


class _Texts(dict[int, str]):
    """Decimal text of whole multiples of a unit, kept: most levels show up again and again."""

    def __init__(self, unit: Decimal, before: str, after: str) -> None:
        super().__init__()
        self._unit, self._before, self._after = unit, before, after

    def __missing__(self, count: int) -> str:
        if len(self) >= _KEPT:
            self.clear()
        text = self[count] = f"{self._before}{count * self._unit:f}{self._after}"
        return text


class _CoinWire:
    """The messages of one coin."""

    def __init__(self, coin: Coin) -> None:
        self._symbol, self._stream = coin.symbol, coin.symbol.lower()
        self._prices, self._sizes = _Texts(coin.tick, '["', '","'), _Texts(coin.step, "", '"]')
        self._price, self._size = _Texts(coin.tick, "", ""), _Texts(coin.step, "", "")

    def depth(self, event: Depth) -> str:
        return (
            f'{{"stream":"{self._stream}@depth@100ms","data":{{"e":"depthUpdate","E":{event.ms + _SENT_MS},"T":{event.ms},'
            f'"s":"{self._symbol}","U":{event.first_id},"u":{event.last_id},"pu":{event.prev_id},'
            f'"b":[{self._levels(event.bids)}],"a":[{self._levels(event.asks)}]}}}}'
        )

    def trade(self, event: Trade) -> str:
        return (
            f'{{"stream":"{self._stream}@aggTrade","data":{{"e":"aggTrade","E":{event.ms + _SENT_MS},"a":{event.trade_id},'
            f'"s":"{self._symbol}","p":"{self._price[event.ticks]}","q":"{self._size[event.lots]}",'
            f'"f":{event.trade_id},"l":{event.trade_id},"T":{event.ms},"m":{"false" if event.taker_buys else "true"}}}}}'
        )

    def best(self, event: Best) -> str:
        (bid, bid_lots), (ask, ask_lots) = event.bid, event.ask
        return (
            f'{{"stream":"{self._stream}@bookTicker","data":{{"e":"bookTicker","u":{event.update_id},"s":"{self._symbol}",'
            f'"b":"{self._price[bid]}","B":"{self._size[bid_lots]}","a":"{self._price[ask]}","A":"{self._size[ask_lots]}",'
            f'"T":{event.ms},"E":{event.ms + _SENT_MS}}}}}'
        )

    def mark(self, event: Mark) -> str:
        return (
            f'{{"stream":"{self._stream}@markPrice","data":{{"e":"markPriceUpdate","E":{event.ms},"s":"{self._symbol}",'
            f'"p":"{event.mark:.8f}","P":"{event.mark:.8f}","i":"{event.index:.8f}","r":"{event.rate:.8f}",'
            f'"T":{event.funding_ms}}}}}'
        )

    def forced(self, event: Forced) -> str:
        side, price, size = "BUY" if event.buys else "SELL", self._price[event.ticks], self._size[event.lots]
        return (
            f'{{"stream":"{self._stream}@forceOrder","data":{{"e":"forceOrder","E":{event.ms + _SENT_MS},"o":{{'
            f'"s":"{self._symbol}","S":"{side}","o":"LIMIT","f":"IOC","q":"{size}","p":"{price}","ap":"{price}",'
            f'"X":"FILLED","l":"{size}","z":"{size}","T":{event.ms}}}}}}}'
        )

    def snapshot(self, event: Snapshot) -> str:
        return (
            f'{{"stream":"{self._stream}{SNAPSHOT_STREAM}","data":{{"lastUpdateId":{event.last_id},'
            f'"E":{event.ms + _SENT_MS},"T":{event.ms},'
            f'"bids":[{self._levels(event.bids)}],"asks":[{self._levels(event.asks)}]}}}}'
        )

    def _levels(self, rungs: list[Rung]) -> str:
        prices, sizes = self._prices, self._sizes
        return ",".join([prices[ticks] + sizes[lots] for ticks, lots in rungs])


class BinanceWire:
    """`render` answers with the frame's source and its bytes."""

    def __init__(self, coins: Iterable[Coin]) -> None:
        self._coins = {coin.symbol: _CoinWire(coin) for coin in coins}

    def render(self, event: Event) -> tuple[str, bytes]:
        if type(event) is Told:
            return Source.READING, _reading(event)
        return VENUE, _RENDERERS[type(event)](self._coins[event.symbol], event).encode()  # type: ignore[union-attr]


_RENDERERS: dict[type, Callable[[_CoinWire, Any], str]] = {
    Depth: _CoinWire.depth,
    Trade: _CoinWire.trade,
    Best: _CoinWire.best,
    Mark: _CoinWire.mark,
    Forced: _CoinWire.forced,
    Snapshot: _CoinWire.snapshot,
}


def _reading(told: Told) -> bytes:
    at_ns = told.ms * MS
    reading = Reading(
        name=told.name,
        key=told.key,
        source=told.source,
        value=told.value,
        observed_ns=at_ns,
        received_ns=at_ns,
        max_age_ns=rule_of(told.name).max_age_s * NS,
        reason="synthetic",
    )
    return encode_reading(reading)
