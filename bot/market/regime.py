"""Whether price lately persists, reverts or wanders: the variance ratio of 100 five-minute returns, as a Hurst exponent.

H says nothing of direction or drift: the mean return is taken out. With 100 returns the standard error of H is 0.07, so the
familiar 0.55 / 0.45 call 21 to 26 % of random walks a trend and as many noise; the rule here asks for a cutoff in H and for
the robust z besides, which holds each at about 5 %. Formulas, rates and sources: quant reference, section 1.
Pure functions, and `RegimeMeter`, which `market/state.py` asks and which computes once per bar.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import fsum, isfinite, log, sqrt
from typing import NamedTuple

from pydantic import Field, field_validator

from bot.domain.params import Params
from bot.domain.reading import Regime
from bot.domain.values import RegimeLabel
from bot.market.bars import Series

RETURNS = 100
CLOSES = RETURNS + 1
LAGS = 4
_LAST = 12  # returns, one hour
_NO_VARIANCE = (
    1e-12  # standard deviation over the largest return, and variance of a ratio: less is what rounding leaves
)
_NO_RETURN = 1e-14  # a logarithm of prices is not known more exactly


class Rule(NamedTuple):
    """TREND is H over `trend` and z over `z`; NOISE is H under `noise` and z under `-z`; z None: H alone."""

    trend: float
    noise: float
    z: float | None


RULES = {0.95: Rule(0.604, 0.375, 1.645), 0.975: Rule(0.623, 0.351, 1.96), 0.0: Rule(0.55, 0.45, None)}


class RegimeParams(Params):
    confidence: float = Field(0.95, description="0.95, 0.975, or 0: H over 0.55 or under 0.45 alone")

    @field_validator("confidence")
    @classmethod
    def _known(cls, confidence: float) -> float:
        if confidence not in RULES:
            raise ValueError("must be 0.95, 0.975 or 0: for others there are no cutoffs")
        return confidence


def variance_ratio(returns: Sequence[float], lags: int = LAGS) -> tuple[float, float] | None:
    """Ratio of the variance of `lags`-period returns to `lags` times that of single ones, and the z that is robust to
    heteroskedasticity (Lo, MacKinlay 1988, Review of Financial Studies 1:41): overlapping and debiased. None where the
    returns do not vary, or only here and there, or are not numbers."""
    count = len(returns)
    mean = fsum(returns) / count
    deviations = [value - mean for value in returns]
    squares = [value * value for value in deviations]
    total = fsum(squares)
    least = max(_NO_VARIANCE * max(map(abs, returns)), _NO_RETURN)
    if not (isfinite(total) and total > count * least * least):
        return None
    sums = [fsum(deviations[start : start + lags]) for start in range(count - lags + 1)]
    scale = lags * (count - lags + 1) * (1 - lags / count)
    ratio = fsum(value * value for value in sums) / scale / (total / (count - 1))
    theta = fsum(
        (2 * (lags - lag) / lags) ** 2 * count * fsum(map(float.__mul__, squares, squares[lag:])) / (total * total)
        for lag in range(1, lags)
    )
    return (ratio, sqrt(count) * (ratio - 1) / sqrt(theta)) if theta > _NO_VARIANCE else None


def hurst_of(ratio: float, lags: int = LAGS) -> float:
    """The exponent of which `ratio` is the variance ratio; an exponent lies between 0 and 1, a sample's ratio may not."""
    return 0.0 if ratio <= lags**-1.0 else min(1.0, 0.5 + log(ratio) / (2 * log(lags)))


def label_of(hurst: float, z: float, confidence: float) -> RegimeLabel:
    rule = RULES[confidence]
    if hurst > rule.trend and (rule.z is None or z > rule.z):
        return RegimeLabel.TREND
    if hurst < rule.noise and (rule.z is None or z < -rule.z):
        return RegimeLabel.NOISE
    return RegimeLabel.RANDOM


def regime_of(closes: Sequence[float], confidence: float) -> tuple[Regime | None, str]:
    """The regime of the closes of exactly 101 bars in a row; else None and why there is none."""
    if len(closes) != CLOSES:
        return None, f"{len(closes)} of {CLOSES} closed bars"
    returns = [log(close / last) for last, close in pairwise(closes)]
    measured = variance_ratio(returns)
    if measured is None:
        return None, f"price hardly varied in {RETURNS} bars"
    ratio, z = measured
    hurst = hurst_of(ratio)
    regime = Regime(
        label=label_of(hurst, z, confidence), hurst=hurst, z=z, sum_100=fsum(returns), sum_12=fsum(returns[-_LAST:])
    )
    return regime, ""


class RegimeMeter:
    """The regime of one instrument's closed bars, kept until they change."""

    def __init__(self, params: RegimeParams, series: Series) -> None:
        self._confidence = params.confidence
        self._series = series
        self._changes = -1
        self._result: tuple[Regime | None, str] = (None, "")

    @property
    def end_ns(self) -> int | None:
        """When the newest bar ended."""
        return self._series.end_ns

    def value(self) -> tuple[Regime | None, str]:
        series = self._series
        if self._changes != series.changes:
            self._result = regime_of([bar.close for bar in series.newest(CLOSES)], self._confidence)
            self._changes = series.changes
        return self._result
