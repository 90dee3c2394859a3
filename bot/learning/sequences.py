"""Interval and p-value of a mean that may be looked at as often as one likes.

The normal-mixture confidence sequence: Howard, Ramdas, McAuliffe, Sekhon (2021), Ann. Stat. 49:1055; its inversion as a
p-value: Johari, Koomen, Pekelis, Walsh (2022), "Always Valid Inference". With an estimated spread it holds for many
observations only, hence `FIRST_N`. Observations must not depend on each other: callers give one for each 4 h block.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, fsum, log, sqrt

from msgspec import Struct

ALPHA = 0.05
RHO2 = 0.01  # variance of the mixture, in units of the observations' variance: tightest for some hundreds of them
FIRST_N = 20


class Mean(Struct, frozen=True, kw_only=True):
    """`lo` and `hi` are None while there are too few observations for an interval; `p` is then 1."""

    n: int
    mean: float | None = None
    sd: float | None = None  # of the sample, n - 1
    lo: float | None = None
    hi: float | None = None
    p: float = 1.0

    def __neg__(self) -> Mean:
        return Mean(n=self.n, mean=_minus(self.mean), sd=self.sd, lo=_minus(self.hi), hi=_minus(self.lo), p=self.p)


def half_width(n: int, sd: float, alpha: float = ALPHA, rho2: float = RHO2) -> float:
    """sd·sqrt(2(nρ²+1)/(n²ρ²)·ln(sqrt(nρ²+1)/α)), in the unit of `sd`."""
    grown = n * rho2 + 1
    return sd * sqrt(2 * grown / (n * n * rho2) * log(sqrt(grown) / alpha))


def p_value(n: int, mean: float, sd: float, rho2: float = RHO2) -> float:
    """Of a true mean of nothing, two-sided: the largest alpha whose interval still contains it, at most 1."""
    if sd == 0:
        return 1.0 if mean == 0 else 0.0
    grown = n * rho2 + 1
    return min(1.0, sqrt(grown) * exp(-((n * mean / sd) ** 2) * rho2 / (2 * grown)))


def mean_of(values: Sequence[float], first_n: int = FIRST_N) -> Mean:
    """Mean with its always-valid 95 % interval, from `first_n` (at least 2) observations on."""
    n = len(values)
    if n < 2:
        return Mean(n=n, mean=values[0] if values else None)
    mean = fsum(values) / n
    sd = sqrt(fsum((value - mean) ** 2 for value in values) / (n - 1))
    if n < first_n:
        return Mean(n=n, mean=mean, sd=sd)
    width = half_width(n, sd)
    return Mean(n=n, mean=mean, sd=sd, lo=mean - width, hi=mean + width, p=p_value(n, mean, sd))


def _minus(value: float | None) -> float | None:
    return None if value is None else -value
