"""Market messages after decoding, the same for every venue. `exchanges/` makes them, `market/` applies them.

Prices and quantities are floats (quantities in base coin); `exch_ns` is the venue's own stamp, which may run ahead of or
behind our clock. `symbol` is the venue's (`BTCUSDT`).
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from msgspec import Struct

from bot.domain.values import Direction

Level = tuple[float, float]  # price, quantity; quantity 0 deletes the level


class BookSnapshot(Struct, frozen=True, gc=False):
    symbol: str | None  # None: a bare REST reply, which names none
    last_id: int
    exch_ns: int
    bids: list[Level]
    asks: list[Level]
    restarts: bool = False  # sent in the stream itself: what came before is void, and ids may have gone back


class BookDiff(Struct, frozen=True, gc=False):
    """Absolute quantities. `prev_id` is the last id of the message before, None where the venue does not say it."""

    symbol: str
    first_id: int
    last_id: int
    prev_id: int | None
    exch_ns: int
    bids: list[Level]
    asks: list[Level]


class TradePrint(Struct, frozen=True, gc=False):
    symbol: str
    trade_id: int
    price: float
    quantity: float
    taker_buys: bool
    exch_ns: int
    aggregated: bool = False  # several fills in one (aggTrade): the same trades, told another way


class Quote(Struct, frozen=True, gc=False):
    """Best bid and ask as of the book's update `update_id`."""

    symbol: str
    update_id: int
    bid: float
    bid_quantity: float
    ask: float
    ask_quantity: float
    exch_ns: int


class MarkPrice(Struct, frozen=True, gc=False):
    symbol: str
    mark: float
    index: float | None
    funding_rate: float | None  # fraction, 0.0001 = 1 bp
    next_funding_ns: int | None
    exch_ns: int


class ForcedOrder(Struct, frozen=True, gc=False):
    """A position that the venue liquidated. `complete`: the feed tells of every one; else of the newest in a second, so that
    sums are lower bounds and no measure of the other kind (quant 3)."""

    symbol: str
    side: Direction  # of the position
    price: float
    quantity: float
    exch_ns: int
    complete: bool


class Bar(Struct, frozen=True, gc=False):
    """One closed bar of trades, `[start_ns, start_ns + width)` in the venue's own time. USD sums are of price x quantity. What
    takers bought and the number of trades are None in the history of a venue that does not say them."""

    start_ns: int
    open: float
    high: float
    low: float
    close: float
    usd: float
    taker_buy_usd: float | None
    trades: int | None


def flaw_of(bars: Iterable[Bar], width_ns: int) -> str:
    """Why these cannot be bars of that width, one after the other with or without holes; empty where they can."""
    bars = list(bars)
    for bar in bars:
        if bar.start_ns % width_ns:
            return f"a bar of {width_ns} ns cannot start at {bar.start_ns}"
        if not bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high:
            return f"open and close of the bar at {bar.start_ns} lie outside its low and high"
        if bar.taker_buy_usd is not None and not bar.taker_buy_usd <= bar.usd:
            return f"takers bought more than was traded in the bar at {bar.start_ns}"
    for last, bar in pairwise(bars):
        if bar.start_ns <= last.start_ns:
            return f"the bar at {bar.start_ns} follows that at {last.start_ns}"
    return ""


MarketMessage = BookSnapshot | BookDiff | TradePrint | Quote | MarkPrice | ForcedOrder
