"""Rules of quant 8 that nothing in the program uses yet: there is no estimate of an edge to size by. Kept beside their check values."""

from __future__ import annotations

import math
from collections.abc import Sequence


def kelly_binary(p: float, b: float) -> float:
    """Share of equity to stake where `p` wins `b` times the stake and the rest loses it."""
    return p - (1 - p) / b


def kelly_continuous(mu: float, sigma: float) -> float:
    return mu / sigma**2


def portfolio_vol(weights: Sequence[float], sigmas: Sequence[float], rho: Sequence[Sequence[float]]) -> float:
    """sqrt(v' R v) with v = weight x sigma, signed weights."""
    v = [w * s for w, s in zip(weights, sigmas, strict=True)]
    return math.sqrt(sum(a * b * rho[i][j] for i, a in enumerate(v) for j, b in enumerate(v)))


def n_eff(count: int, rho: float) -> float:
    """How many independent bets `count` positions correlated by `rho` are worth."""
    return count / (1 + (count - 1) * rho)
