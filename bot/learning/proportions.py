"""Hit rates: interval, evidence against a target, and evidence against the chance that each event had.

Wilson (1927), J. Am. Stat. Assoc. 22:209, for the interval at one look. The e-value (a Beta(1,1) mixture over rates above
the target) may be looked at as often as one likes: it exceeds 1/alpha with probability alpha at most, ever (Ville).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, fsum, lgamma, log, log1p, sqrt

Z95 = 1.959963984540054


def wilson(hits: int, n: int, z: float = Z95) -> tuple[float, float]:
    """95 % limits of a rate; [0, 1] of nothing."""
    if n == 0:
        return 0.0, 1.0
    rate, z2 = hits / n, z * z
    middle = (rate + z2 / (2 * n)) / (1 + z2 / n)
    width = z / (1 + z2 / n) * sqrt(rate * (1 - rate) / n + z2 / (4 * n * n))
    return max(0.0, middle - width), min(1.0, middle + width)


def binomial_tail(hits: int, n: int, rate: float) -> float:
    """P(at least `hits` of `n`), for one look only."""
    return min(1.0, fsum(exp(_log_pmf(k, n, rate)) for k in range(hits, n + 1)))


def e_value(hits: int, n: int, rate: float) -> float:
    """Evidence that the true rate exceeds `rate` (inside 0 to 1): 1 says nothing, 20 is significant at 5 %.

    1/(1-p0)·∫ (p/p0)^k·((1-p)/(1-p0))^(n-k) dp over p0..1, where the incomplete Beta integral is a binomial sum.
    """
    below = fsum(exp(_log_pmf(k, n + 1, rate)) for k in range(hits + 1))
    if below == 0:
        return 0.0
    exponent = log(below) - log1p(-rate) - log(n + 1) - _log_pmf(hits, n, rate)
    return exp(min(exponent, 700.0))  # beyond that a float ends, and no one asks


def z_against_chances(hits: int, chances: Sequence[float]) -> float | None:
    """(Σhits - Σp)/sqrt(Σp(1-p)): how far the hits exceed what each event's own chance gives. None where nothing was open."""
    variance = fsum(p * (1 - p) for p in chances)
    return (hits - fsum(chances)) / sqrt(variance) if variance > 0 else None


def _log_pmf(k: int, n: int, rate: float) -> float:
    choices = lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)
    return choices + k * log(rate) + (n - k) * log1p(-rate)
