"""Our own guess at where leveraged positions would be liquidated, from open interest and price (quant 3). A model, not data.

Every five minutes of which open interest grew opened as many longs as shorts near that time's price; how much leverage they took is
not published, so they are spread over usual ones. Price that passes a level clears it, falling open interest closes its share of all,
and what is old is taken to have changed hands. Positions from before the history have no known entry and stay unknown. Pure; fed by
`intel/venue_statistics.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from math import floor, log, log1p
from typing import Self

from msgspec import Struct
from pydantic import Field, model_validator

from bot.domain.params import Params
from bot.domain.reading import LiquidationCluster, LiquidationClusters
from bot.domain.statistics import Candle, OpenInterest
from bot.domain.values import LONG, NS, SHORT, Direction

SAMPLE_NS = 300 * NS
_DUST_USD = 1.0


class LiquidationModelParams(Params):
    leverages: tuple[tuple[float, float], ...] = Field(
        ((5.0, 0.15), (10.0, 0.30), (25.0, 0.25), (50.0, 0.20), (100.0, 0.10)),
        description="leverage and the share of new positions that take it (a guess; shares add up to 1)",
    )
    maintenance_pct: float = Field(0.5, gt=0, lt=1, description="maintenance margin, percent of notional")
    half_life_h: float = Field(24.0, gt=0, description="after this long half of the positions have changed hands")
    bucket_bps: float = Field(20.0, gt=0, description="levels this near to each other are one cluster")
    least_oi_pct: float = Field(0.1, gt=0, description="smaller clusters are not told, percent of open interest")
    most: int = Field(10, gt=0, description="clusters told on each side, the largest")

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if not all(1 < leverage < 100 / self.maintenance_pct and share > 0 for leverage, share in self.leverages):
            raise ValueError("leverages must lie between 1 and where the maintenance margin eats all, shares above 0")
        if abs(sum(share for _, share in self.leverages) - 1) > 1e-9:
            raise ValueError("the shares of leverages must add up to 1")
        return self


class Step(Struct, frozen=True):
    """What happened between two samples. `price` is where positions opened, in the middle of the candles' range."""

    end_ns: int
    coins_before: float
    coins: float
    high: float
    low: float
    price: float
    close: float


def liquidation_price(entry: float, side: Direction, leverage: float, maintenance: float) -> float:
    """Isolated margin, without fees; `maintenance` is a fraction (0.005)."""
    return entry * (1 - side.sign / leverage) / (1 - side.sign * maintenance)


def slot(at_ns: int) -> int:
    """Which five minutes a sample belongs to: venues take them a little before or after the full time."""
    return (at_ns + SAMPLE_NS // 2) // SAMPLE_NS


def steps(samples: Sequence[OpenInterest], candles: Iterable[Candle]) -> Iterator[Step | None]:
    """One for each pair of samples with the candle between them, of five minutes both; None where there is a hole."""
    by_slot = {slot(candle.start_ns): candle for candle in candles}
    for before, after in pairwise(samples):
        candle = by_slot.get(slot(before.at_ns))
        neighbours = slot(after.at_ns) == slot(before.at_ns) + 1
        yield _step(before, after, candle) if neighbours and candle else None


def _step(before: OpenInterest, after: OpenInterest, candle: Candle) -> Step:
    middle = (candle.high + candle.low + candle.close) / 3
    return Step(after.at_ns, float(before.coins), float(after.coins), candle.high, candle.low, middle, candle.close)


class LiquidationModel:
    """Coins by level and side. What is known of a side never exceeds open interest."""

    def __init__(self, params: LiquidationModelParams) -> None:
        self._params = params
        self._width = log1p(params.bucket_bps / 1e4)
        self._keep = 0.5 ** (SAMPLE_NS / NS / 3600 / params.half_life_h)
        self._sides: dict[Direction, _Levels] = {LONG: {}, SHORT: {}}
        self.last: Step | None = None
        self.steps = 0  # since it began

    def apply(self, step: Step | None) -> None:
        """None is a hole in the history: what stood before it may be gone, so the model begins anew."""
        if step is None:
            self._sides, self.last, self.steps = {LONG: {}, SHORT: {}}, None, 0
            return
        for side, levels in self._sides.items():
            _scale(levels, self._keep)
            cleared = _clear(side, levels, step)
            opened = step.coins - step.coins_before + cleared  # of this side, beside those that were liquidated
            if opened > 0:
                self._open(side, levels, step.price, opened)
            elif step.coins_before > cleared:
                _scale(levels, step.coins / (step.coins_before - cleared))
        self.last, self.steps = step, self.steps + 1

    def known_coins(self, side: Direction) -> float:
        return sum(level.coins for level in self._sides[side].values())

    def clusters(self, since: Sequence[Candle] = ()) -> LiquidationClusters | None:
        """What stands after the last step and the candles `since`; None before there was a step. Longs are liquidated below
        the price, shorts above it."""
        last = self.last
        if last is None:
            return None
        close = since[-1].close if since else last.close
        low, high = (min([close, *(c.low for c in since)]), max([close, *(c.high for c in since)]))
        least_usd = last.coins * close * self._params.least_oi_pct / 100
        found: list[LiquidationCluster] = []
        for side, levels in self._sides.items():
            ahead = [level for level in levels.values() if not _reached(side, level.price, low, high)]
            told = sorted((level for level in ahead if level.usd >= least_usd), key=_largest_first)
            found += [_cluster(side, level) for level in told[: self._params.most]]
        open_interest_usd = _decimal(last.coins * close)
        return LiquidationClusters(clusters=tuple(found), open_interest_usd=open_interest_usd, model=True)

    def _open(self, side: Direction, levels: _Levels, entry: float, coins: float) -> None:
        for leverage, share in self._params.leverages:
            at = liquidation_price(entry, side, leverage, self._params.maintenance_pct / 100)
            if coins * share * at < _DUST_USD:
                continue
            level = levels.setdefault(floor(log(at) / self._width), _Level())
            level.coins += coins * share
            level.usd += coins * share * at


@dataclass(slots=True)
class _Level:
    coins: float = 0.0
    usd: float = 0.0

    @property
    def price(self) -> float:
        return self.usd / self.coins


_Levels = dict[int, _Level]


def _scale(levels: _Levels, share: float) -> None:
    """Keep this share of every level, and none of what has become dust."""
    for bucket, level in list(levels.items()):
        level.coins, level.usd = level.coins * share, level.usd * share
        if level.usd < _DUST_USD:
            del levels[bucket]


def _clear(side: Direction, levels: _Levels, step: Step) -> float:
    """Drop the levels that price has reached; the coins that stood there."""
    reached = [b for b, level in levels.items() if _reached(side, level.price, step.low, step.high)]
    return sum(levels.pop(bucket).coins for bucket in reached)


def _reached(side: Direction, price: float, low: float, high: float) -> bool:
    return price >= low if side is LONG else price <= high


def _largest_first(level: _Level) -> float:
    return -level.usd


def _cluster(side: Direction, level: _Level) -> LiquidationCluster:
    return LiquidationCluster(price=_decimal(level.price), usd=_decimal(level.usd), side=side)


def _decimal(x: float) -> Decimal:
    """A guess has no more than seven digits."""
    return Decimal(f"{x:.7g}")
