"""Estimators of the Hurst exponent that the engine does not use, for many paths at once, and the paths to try them on.

They are here to hold the check values against: what the engine computes should be seen beside what it could have computed.
Returns come as an array of one path a row; sizes and lags are those of the quant reference, section 1.1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from math import gamma, pi, sqrt
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

RS_SIZES = (10, 20, 25, 50, 100)
DFA_SIZES = (5, 6, 8, 10, 12, 16, 20, 25)
AGGREGATED_SIZES = (1, 2, 4, 5, 10, 20)


def demeaned(returns: Array) -> Array:
    result: Array = returns - returns.mean(axis=1, keepdims=True)
    return result


def slope(x: Sequence[float] | Array, y: Array) -> Array:
    """Of each row of `y` on `x`, by least squares."""
    off = np.asarray(x) - np.mean(x)
    result: Array = y @ off / (off @ off)
    return result


def _rescaled(returns: Array, size: int) -> Array:
    blocks = returns[:, : returns.shape[1] // size * size].reshape(len(returns), -1, size)
    off = np.cumsum(blocks - blocks.mean(axis=2, keepdims=True), axis=2)
    span = np.maximum(off.max(axis=2), 0) - np.minimum(off.min(axis=2), 0)
    mean: Array = (span / blocks.std(axis=2)).mean(axis=1)
    return mean


def rescaled_range(returns: Array) -> Array:
    logs = np.log(np.stack([_rescaled(returns, size) for size in RS_SIZES], axis=1))
    return slope(np.log(RS_SIZES), logs)


def expected_rescaled(size: int) -> float:
    """Anis, Lloyd 1976, for independent normal returns."""
    ratio = gamma((size - 1) / 2) / (sqrt(pi) * gamma(size / 2))
    return float(ratio * sum(sqrt((size - i) / i) for i in range(1, size)))


def peters(size: int) -> float:
    return expected_rescaled(size) * (size - 0.5) / size


def rescaled_range_corrected(returns: Array) -> Array:
    logs = np.log(np.stack([_rescaled(returns, size) / expected_rescaled(size) for size in RS_SIZES], axis=1))
    return 0.5 + slope(np.log(RS_SIZES), logs)


def detrended_fluctuation(returns: Array) -> Array:
    profile = np.cumsum(demeaned(returns), axis=1)
    return slope(np.log(DFA_SIZES), np.stack([np.log(_fluctuation(profile, size)) for size in DFA_SIZES], axis=1))


def _fluctuation(profile: Array, size: int) -> Array:
    whole = profile.shape[1] // size * size
    halves = [profile[:, :whole], profile[:, profile.shape[1] - whole :]]
    boxes = np.concatenate([half.reshape(len(profile), -1, size) for half in halves], axis=1)
    line = np.vander(np.arange(size), 2).astype(float)
    residual = boxes - boxes @ (line @ np.linalg.pinv(line)).T
    root: Array = np.sqrt((residual**2).mean(axis=(1, 2)))
    return root


def generalised(returns: Array, power: int) -> Array:
    path = np.cumsum(demeaned(returns), axis=1)
    path = np.concatenate([np.zeros((len(path), 1)), path], axis=1)
    moments = [np.log((np.abs(path[:, lag:] - path[:, :-lag]) ** power).mean(axis=1)) for lag in range(1, 20)]
    logs = np.stack(moments, axis=1)
    slopes = [slope(np.log(np.arange(1, longest + 1)), logs[:, :longest]) for longest in range(5, 20)]
    mean: Array = np.mean(slopes, axis=0) / power
    return mean


def lagged_spread(returns: Array) -> Array:
    """The snippet found in many blogs, biased downwards."""
    path = np.cumsum(returns, axis=1)
    path = np.concatenate([np.zeros((len(path), 1)), path], axis=1)
    logs = [np.log((path[:, lag:] - path[:, :-lag]).std(axis=1)) for lag in range(2, 20)]
    return slope(np.log(np.arange(2, 20)), np.stack(logs, axis=1))


def aggregated_variance(returns: Array) -> Array:
    logs = [
        np.log(returns.reshape(len(returns), -1, size).mean(axis=2).var(axis=1, ddof=1)) for size in AGGREGATED_SIZES
    ]
    return 1 + slope(np.log(AGGREGATED_SIZES), np.stack(logs, axis=1)) / 2


def variance_ratio(returns: Array, lags: int) -> tuple[Array, Array, Array]:
    """Ratio, robust z and the z of constant variance: a second way to what the engine computes for one path."""
    count = returns.shape[1]
    off = demeaned(returns)
    squares = off**2
    total = squares.sum(axis=1)
    path = np.concatenate([np.zeros((len(off), 1)), np.cumsum(off, axis=1)], axis=1)
    sums = ((path[:, lags:] - path[:, :-lags]) ** 2).sum(axis=1)
    ratio = sums / (lags * (count - lags + 1) * (1 - lags / count)) / (total / (count - 1))
    theta = sum(
        (2 * (lags - k) / lags) ** 2 * count * (squares[:, k:] * squares[:, :-k]).sum(axis=1) / total**2
        for k in range(1, lags)
    )
    plain = sqrt(2 * (2 * lags - 1) * (lags - 1) / (3 * lags))
    return ratio, sqrt(count) * (ratio - 1) / np.sqrt(theta), sqrt(count) * (ratio - 1) / plain


def implied(ratio: Array, lags: int) -> Array:
    result: Array = 0.5 + np.log(ratio) / (2 * np.log(lags))
    return result


def _refined(grid: Array, objective: Array) -> Array:
    """Where the parabola through the smallest value and its neighbours is smallest; rows are grid points."""
    best = np.clip(objective.argmin(axis=0), 1, len(grid) - 2)
    paths = np.arange(objective.shape[1])
    left, low, right = (objective[best + step, paths] for step in (-1, 0, 1))
    bend = left - 2 * low + right
    shift = np.where(bend > 0, 0.5 * (left - right) / np.where(bend > 0, bend, 1.0), 0.0)
    result: Array = grid[best] + np.clip(shift, -1, 1) * (grid[1] - grid[0])
    return result


def local_whittle(returns: Array, frequencies: int) -> Array:
    """Robinson 1995, Annals of Statistics 23:1630."""
    count = returns.shape[1]
    power = np.abs(np.fft.rfft(demeaned(returns), axis=1)[:, 1 : frequencies + 1]) ** 2 / (2 * pi * count)
    omega = 2 * pi * np.arange(1, frequencies + 1) / count
    grid = np.arange(-0.495, 0.7501, 0.005)
    objective = [np.log((power * omega ** (2 * d)).mean(axis=1)) - 2 * d * np.log(omega).mean() for d in grid]
    return _refined(grid, np.stack(objective)) + 0.5


# --- fractional Gaussian noise --------------------------------------------------------------------------------------


def autocovariance(hurst: float, count: int) -> Array:
    k = np.arange(count, dtype=float)
    result: Array = 0.5 * (np.abs(k + 1) ** (2 * hurst) - 2 * k ** (2 * hurst) + np.abs(k - 1) ** (2 * hurst))
    return result


def covariance(hurst: float, count: int) -> Array:
    steps = np.arange(count)
    matrix: Array = autocovariance(hurst, count)[np.abs(steps[:, None] - steps)]
    return matrix


def maximum_likelihood(returns: Array) -> Array:
    """Restricted to what does not depend on the mean; scale profiled out."""
    grid = np.arange(0.02, 0.98, 0.005)
    return _refined(grid, np.stack([_restricted(returns, float(hurst)) for hurst in grid]))


@cache
def _inverse(hurst: float, count: int) -> tuple[Array, float]:
    matrix = covariance(hurst, count)
    inverse: Array = np.linalg.inv(matrix).astype(np.float64)
    return inverse, float(np.linalg.slogdet(matrix)[1])


def _restricted(returns: Array, hurst: float) -> Array:
    count = returns.shape[1]
    inverse, determinant = _inverse(round(hurst, 6), count)
    ones = inverse.sum(axis=0)
    weight = ones.sum()
    form = ((returns @ inverse) * returns).sum(axis=1) - (returns @ ones) ** 2 / weight
    result: Array = (count - 1) * np.log(form) + determinant + np.log(weight)
    return result


def least_deviation(hurst: float, count: int) -> float:
    """Cramer-Rao bound of the standard deviation of an unbiased estimate, mean and scale unknown."""
    change = (covariance(hurst + 1e-5, count) - covariance(hurst - 1e-5, count)) / 2e-5
    by_hurst = np.linalg.solve(covariance(hurst, count), change)
    own, shared, scale = (by_hurst * by_hurst.T).sum() / 2, np.trace(by_hurst) / 2, count / 2
    return float(1 / sqrt(own - shared**2 / scale))


def fractional_noise(rng: np.random.Generator, hurst: float, paths: int, count: int = 100) -> Array:
    """Exact, by circulant embedding (Davies, Harte 1987)."""
    row = autocovariance(hurst, count + 1)
    spectrum = np.fft.fft(np.concatenate([row, row[-2:0:-1]])).real
    size = len(spectrum)
    noise = rng.standard_normal((paths, size)) + 1j * rng.standard_normal((paths, size))
    result: Array = np.fft.fft(np.sqrt(np.maximum(spectrum, 0) / size) * noise, axis=1).real[:, :count]
    return result


def student(rng: np.random.Generator, paths: int, count: int = 100) -> Array:
    return rng.standard_t(3, (paths, count))


def garch(rng: np.random.Generator, paths: int, count: int = 100) -> Array:
    """GARCH(1,1), 0.10 and 0.85, innovations Student's t with 5 degrees of freedom and variance 1, from a steady state."""
    shocks = rng.standard_t(5, (paths, 500 + count)) * sqrt(3 / 5)
    variance, last = np.ones(paths), np.zeros(paths)
    returns = np.empty_like(shocks)
    for step in range(shocks.shape[1]):
        variance = 0.05 + 0.10 * last**2 + 0.85 * variance
        last = returns[:, step] = np.sqrt(variance) * shocks[:, step]
    return returns[:, 500:]


def autoregressive(rng: np.random.Generator, phi: float, paths: int, count: int = 100) -> Array:
    shocks = rng.standard_normal((paths, 50 + count))
    for step in range(1, shocks.shape[1]):
        shocks[:, step] += phi * shocks[:, step - 1]
    return shocks[:, 50:]


def reverting_wick(rng: np.random.Generator, paths: int, count: int = 100) -> Array:
    """A random walk with one price eight standard deviations off, and back with the next bar."""
    returns = rng.standard_normal((paths, count))
    at = rng.integers(0, count - 1, paths)
    returns[np.arange(paths), at] += 8
    returns[np.arange(paths), at + 1] -= 8
    return returns


ESTIMATORS: dict[str, Callable[[Array], Any]] = {
    "R/S classic (10,20,25,50,100)": rescaled_range,
    "R/S Anis-Lloyd corrected": rescaled_range_corrected,
    "DFA-1 (5..25)": detrended_fluctuation,
    "GHE q=1 (Di Matteo 5..19)": lambda returns: generalised(returns, 1),
    "GHE q=2 (Di Matteo 5..19)": lambda returns: generalised(returns, 2),
    "std-of-lags snippet (2..19)": lagged_spread,
    "Aggregated variance (1..20)": aggregated_variance,
    "VR(2)-implied H": lambda returns: implied(variance_ratio(returns, 2)[0], 2),
    "VR(4)-implied H": lambda returns: implied(variance_ratio(returns, 4)[0], 4),
    "VR(8)-implied H": lambda returns: implied(variance_ratio(returns, 8)[0], 8),
    "Local Whittle m=n^0.65=19": lambda returns: local_whittle(returns, 19),
    "Local Whittle m=n^0.8=39": lambda returns: local_whittle(returns, 39),
    "fGn exact ML (REML)": maximum_likelihood,
}
