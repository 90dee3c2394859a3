"""How much instruments move together, and how much each moves: exponentially weighted from closed 5-minute bars (quant 8).

Pure. `Correlations` only remembers what the newest bars gave, because the limits of an order ask for every pair of a cluster and
the answer changes once in five minutes. What cannot be known is None here; the limits take it as moving together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from operator import mul

from bot.domain.market import Bar
from bot.domain.ports import View
from bot.domain.values import NS

BAR_S = 300
BARS_PER_YEAR = 365 * 86_400 // BAR_S  # these markets never close
HALF_LIVES = 4  # the window: older returns would weigh less than a sixteenth
STALE_BARS = 2


def log_returns(bars: Sequence[Bar]) -> list[float]:
    """Of bars without a gap between them, oldest first; one fewer than there are bars."""
    closes = [math.log(bar.close) for bar in bars]
    return [after - before for before, after in pairwise(closes)]


def ewma_correlation(x: Sequence[float], y: Sequence[float], half_life: int) -> float | None:
    """Of two series of the same length, newest last, around zero (a 5-minute mean is noise); None without any variance."""
    decay = 0.5 ** (1 / half_life)
    weights = [decay**age for age in range(len(x) - 1, -1, -1)]
    weighted = list(map(mul, weights, x))
    norm = math.sqrt(sum(map(mul, weighted, x))) * math.sqrt(sum(map(mul, map(mul, weights, y), y)))
    if not (norm > 0 and math.isfinite(norm)):
        return None
    covariance: float = sum(map(mul, weighted, y))
    return max(-1.0, min(1.0, covariance / norm))


def ewma_sigma(x: Sequence[float], half_life: int) -> float | None:
    """Standard deviation of one return, around zero."""
    if not x:
        return None
    decay = 0.5 ** (1 / half_life)
    weights = [decay**age for age in range(len(x) - 1, -1, -1)]
    return math.sqrt(sum(w * r * r for w, r in zip(weights, x, strict=True)) / sum(weights))


def vol_target_weight(target: float, sigma_bar: float, bars_per_year: int = BARS_PER_YEAR) -> float:
    """Notional over equity that brings a volatility of `target` a year (a fraction); `sigma_bar` is that of one bar's return."""
    return target / (sigma_bar * math.sqrt(bars_per_year))


class Correlations:
    """Unknown until a half-life of closed bars that both have is there, and when the newest such bar is old."""

    def __init__(self, half_life_bars: int = 72) -> None:
        self._half_life = half_life_bars
        self._known: dict[tuple[str, str], tuple[int, int, float | None]] = {}  # newest bars of both, correlation

    def rho(self, a: str, b: str, view: View) -> float | None:
        a, b = min(a, b), max(a, b)
        newest_a, newest_b = _newest_ns(a, view), _newest_ns(b, view)
        if newest_a is None or newest_b is None:
            return None
        known = self._known.get((a, b))
        if known is None or known[:2] != (newest_a, newest_b):
            known = self._known[a, b] = (newest_a, newest_b, self._correlate(a, b, view))
        return known[2]

    def sigma(self, instrument: str, view: View) -> float | None:
        """Of one 5-minute return."""
        if _newest_ns(instrument, view) is None:
            return None
        returns = log_returns(self._bars(instrument, view))
        return ewma_sigma(returns, self._half_life) if len(returns) >= self._half_life else None

    def _correlate(self, a: str, b: str, view: View) -> float | None:
        x, y = _common(self._bars(a, view), self._bars(b, view))
        if len(x) <= self._half_life:
            return None
        return ewma_correlation(log_returns(x), log_returns(y), self._half_life)

    def _bars(self, instrument: str, view: View) -> Sequence[Bar]:
        return view.market(instrument).bars(BAR_S, HALF_LIVES * self._half_life + 1)


def _newest_ns(instrument: str, view: View) -> int | None:
    """When its newest closed bar began; None where that is too long ago to say anything about now."""
    newest = view.market(instrument).bars(BAR_S, 1)
    if not newest or view.now_ns - newest[-1].start_ns > (1 + STALE_BARS) * BAR_S * NS:
        return None
    return newest[-1].start_ns


def _common(x: Sequence[Bar], y: Sequence[Bar]) -> tuple[list[Bar], list[Bar]]:
    """The bars of the same times: neither has gaps, but one may have closed a bar more or have been followed for longer."""
    times = {bar.start_ns for bar in x} & {bar.start_ns for bar in y}
    return [bar for bar in x if bar.start_ns in times], [bar for bar in y if bar.start_ns in times]
