"""Trades, many at a time: those of the past that a venue was asked for, and runs of live ones in columns, which is what a long
recording is replayed from instead of a frame of bytes for each trade.

All trades of a run are of one symbol and follow each other on the tape; the engine takes as many of them at once as nobody has
to be told of one by one. `runtime/columns.py` makes runs of a tape's frames and keeps them in a file.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, final

from bot.domain.frames import Lane
from bot.domain.market import TradePrint


class PastTrade(NamedTuple):
    """One of an instrument whose venue numbers its trades one by one."""

    trade_id: int
    price: float
    quantity: float  # base
    taker_buys: bool
    exch_ns: int


@final
@dataclass(slots=True)
class TradeRun:
    """Six columns of equal length. Quantities (base) and worths (whole micro-USD) are negative where takers sold.

    `times` are those at which the engine takes the trades: receive times, or that of an earlier trade where the clock went back.
    `at` is the first trade that was not taken yet.
    """

    lane: ClassVar[str] = Lane.DATA

    symbol: str
    source: str
    aggregated: bool
    ids: array[int]
    times: array[int]
    stamps: array[int]  # of the venue, ns
    prices: array[float]
    quantities: array[float]
    worths: array[int]
    at: int = 0

    @property
    def recv_ns(self) -> int:
        """Of the next trade."""
        return self.times[self.at]

    @property
    def left(self) -> int:
        return len(self.times) - self.at

    def before(self, until_ns: int) -> int:
        """How many of the next trades come before that time."""
        return bisect_left(self.times, until_ns, self.at) - self.at

    def print_at(self, index: int) -> TradePrint:
        """One trade as the venue's message told it."""
        quantity = self.quantities[index]
        return TradePrint(
            self.symbol,
            self.ids[index],
            self.prices[index],
            abs(quantity),
            quantity > 0,
            self.stamps[index],
            self.aggregated,
        )
