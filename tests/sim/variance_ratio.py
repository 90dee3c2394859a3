"""The variance ratio of Lo and MacKinlay (1988), written from quant 1.1 for these tests alone."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import log, sqrt


def hurst_and_z(returns: Sequence[float], q: int = 4) -> tuple[float, float]:
    """H implied by the debiased, overlapping VR(q), and the heteroscedasticity-robust z of VR = 1."""
    count = len(returns)
    mean = sum(returns) / count
    errors = [r - mean for r in returns]
    squares = [e * e for e in errors]
    total = sum(squares)
    windows = [sum(errors[i : i + q]) ** 2 for i in range(count - q + 1)]
    ratio = sum(windows) / (q * (count - q + 1) * (1 - q / count)) / (total / (count - 1))
    theta = 0.0
    for lag in range(1, q):
        delta = count * sum(squares[i] * squares[i - lag] for i in range(lag, count)) / total**2
        theta += (2 * (q - lag) / q) ** 2 * delta
    return 0.5 + log(ratio) / (2 * log(q)), sqrt(count) * (ratio - 1) / sqrt(theta)


def log_returns(prices: Sequence[float]) -> list[float]:
    return [log(after / before) for before, after in pairwise(prices)]
