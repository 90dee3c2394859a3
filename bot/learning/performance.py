"""Figures of a list of trades at one look: profit factor, deflated Sharpe ratio, and how many trades a difference needs.

For reports. They are not for repeated looks: what is judged every 4 h is in `sequences` and `proportions`.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, e, exp, fsum, sqrt
from statistics import NormalDist

from msgspec import Struct

from bot.learning.proportions import Z95

EULER = 0.5772156649015329
_NORMAL = NormalDist()


class ProfitFactor(Struct, frozen=True, kw_only=True):
    """`lo` and `hi` are 95 % limits on the log scale (delta method, trades that do not depend on each other)."""

    value: float
    lo: float
    hi: float
    se_log: float


def profit_factor(results: Sequence[float]) -> ProfitFactor | None:
    """Wins over losses, in whatever unit; None without a win or without a loss, never infinite."""
    n = len(results)
    wins, losses = [max(r, 0.0) for r in results], [max(-r, 0.0) for r in results]
    if not fsum(wins) or not fsum(losses):
        return None
    se = sqrt((_relative_variance(wins) + _relative_variance(losses) + 2 * n / (n - 1)) / n)
    value = fsum(wins) / fsum(losses)
    return ProfitFactor(value=value, lo=value * exp(-Z95 * se), hi=value * exp(Z95 * se), se_log=se)


def _relative_variance(values: Sequence[float]) -> float:
    n = len(values)
    mean = fsum(values) / n
    return fsum((value - mean) ** 2 for value in values) / (n - 1) / mean**2


def expected_best(trials: int, variance: float) -> float:
    """The Sharpe ratio that the best of so many worthless variants is expected to show; `variance` is that of their ratios."""
    if trials < 2:
        return 0.0
    high, higher = _NORMAL.inv_cdf(1 - 1 / trials), _NORMAL.inv_cdf(1 - 1 / (trials * e))
    return sqrt(variance) * ((1 - EULER) * high + EULER * higher)


def deflated_sharpe(sharpe: float, n: int, skew: float, kurtosis: float, above: float) -> float:
    """P(true ratio > `above`); ratios per period, `kurtosis` raw (3 when normal). Bailey, López de Prado (2014), JPM 40(5):94."""
    spread = sqrt(1 - skew * sharpe + (kurtosis - 1) / 4 * sharpe**2)
    return _NORMAL.cdf((sharpe - above) * sqrt(n - 1) / spread)


def needed_n(difference: float, sd: float, alpha: float = 0.05, power: float = 0.80) -> int:
    """Effective trades to see `difference` in a mean: ((z(1-α/2) + z(power))·sd/difference)², two-sided, rounded up."""
    z = _NORMAL.inv_cdf(1 - alpha / 2) + _NORMAL.inv_cdf(power)
    return ceil((z * sd / difference) ** 2)
