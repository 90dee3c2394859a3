"""A kline in whole numbers, and how narrow ones make a wide one. `past.py` keeps them, `public.py` tells them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(slots=True)
class Kline:
    """Prices in ticks, volumes in lots and in ticks times lots."""

    start_ms: int
    open: int
    high: int
    low: int
    close: int
    lots: int = 0
    buy_lots: int = 0
    worth: int = 0
    buy_worth: int = 0
    trades: int = 0

    def add(self, ticks: int, lots: int, buys: bool) -> None:
        self.high, self.low, self.close = max(self.high, ticks), min(self.low, ticks), ticks
        self.lots += lots
        self.worth += lots * ticks
        self.buy_lots += lots * buys
        self.buy_worth += lots * ticks * buys
        self.trades += 1


def copy(kline: Kline, start_ms: int) -> Kline:
    k = kline
    return Kline(start_ms, k.open, k.high, k.low, k.close, k.lots, k.buy_lots, k.worth, k.buy_worth, k.trades)


def add(into: Kline, more: Kline) -> None:
    into.high, into.low, into.close = max(into.high, more.high), min(into.low, more.low), more.close
    into.lots += more.lots
    into.buy_lots += more.buy_lots
    into.worth += more.worth
    into.buy_worth += more.buy_worth
    into.trades += more.trades


def fold(klines: Iterable[Kline], width_ms: int) -> Iterator[Kline]:
    running: Kline | None = None
    for kline in klines:
        start_ms = kline.start_ms - kline.start_ms % width_ms
        if running is not None and running.start_ms == start_ms:
            add(running, kline)
            continue
        if running is not None:
            yield running
        running = copy(kline, start_ms)
    if running is not None:
        yield running
