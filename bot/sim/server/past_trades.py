"""Trades of before a market's start, made so that they add up to the minutes that its klines tell.

A minute's prices begin, end and reach as its kline says, what takers bought is about its share, and its worth is the kline's but for
rounding to whole lots: the kline then is made of them, so that both say the same. Sizes are log-normal around the minute's mean, with
the spread that this market's own trades have.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from random import Random

from bot.sim.events import Trade
from bot.sim.server.kline import Kline

LEAST = 4  # trades of a minute: its first, highest, lowest and last
_WITHIN_MS = 59_998  # the market's first trade lies in the minute's last millisecond
_SPREAD = 0.85  # standard deviation of the logarithm


def count_of(minute: Kline) -> int:
    return max(LEAST, minute.trades)


def trades_of(minute: Kline, symbol: str, first_id: int, rng: Random) -> list[Trade]:
    count = count_of(minute)
    stamps = sorted(minute.start_ms + int(rng.random() * _WITHIN_MS) for _ in range(count))
    prices = list(_prices(minute, count, rng))
    weights = [rng.lognormvariate(0.0, _SPREAD) for _ in range(count)]
    lots_per_weight = minute.worth / sum(weight * ticks for weight, ticks in zip(weights, prices, strict=True))
    bought = minute.buy_lots / minute.lots
    return [
        Trade(symbol, ms, first_id + index, ticks, max(1, round(weight * lots_per_weight)), rng.random() < bought)
        for index, (ms, ticks, weight) in enumerate(zip(stamps, prices, weights, strict=True))
    ]


def kline_of(minute: Kline, trades: list[Trade]) -> Kline:
    first = trades[0].ticks
    made = Kline(minute.start_ms, first, first, first, first)
    for trade in trades:
        made.add(trade.ticks, trade.lots, trade.taker_buys)
    return made


def _prices(minute: Kline, count: int, rng: Random) -> Iterator[int]:
    """In ticks: straight from the first over the highest and lowest to the last, each one but those a tick off at most."""
    turns = sorted(rng.sample(range(1, count - 1), 2))
    reached = [minute.high, minute.low] if rng.random() < 0.5 else [minute.low, minute.high]
    fixed = [(0, minute.open), *zip(turns, reached, strict=True), (count - 1, minute.close)]
    for (start, first), (end, last) in pairwise(fixed):
        yield first
        for index in range(start + 1, end):
            ticks = first + (last - first) * (index - start) // (end - start) + int(rng.random() * 3) - 1
            yield min(minute.high, max(minute.low, ticks))
    yield minute.close
