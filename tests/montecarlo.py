"""How often the regime rule calls what: `python -m tests.montecarlo`. The rule is the engine's own code, path by path.

Prints the rates with their standard errors beside the published table (quant reference, sections 1.2 and 1.3), and holds
the goal: on random walks (normal, Student's t with 3 degrees of freedom, GARCH) at most 6 % are called a trend. A minute or
two with the default of 40,000 paths of 100 returns for each truth. Ends with 1 where the goal is missed.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Callable
from math import sqrt
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bot.domain.values import RegimeLabel
from bot.market.regime import hurst_of, label_of, variance_ratio
from tests.market.estimators import Array, fractional_noise, garch, reverting_wick, student

TABLE = Path(__file__).resolve().parent / "fixtures/quant/hurst_montecarlo.json"
GOAL = 0.06
SEED = 20_240_607
PATHS = 40_000

Draw = Callable[[np.random.Generator, int], Array]

TRUTHS: dict[str, Draw] = {
    "H0.5": lambda rng, paths: rng.standard_normal((paths, 100)),
    "t3 iid": student,
    "GARCH(.1,.85) t5": garch,
    "gauss+drift SR .1/bar": lambda rng, paths: rng.standard_normal((paths, 100)) + 0.1,
    "one 8-sigma reverting wick": reverting_wick,
    **{
        f"H{hurst:g}": lambda rng, paths, hurst=hurst: fractional_noise(rng, hurst, paths)  # type: ignore[misc]
        for hurst in (0.3, 0.4, 0.55, 0.6, 0.7)
    },
}
"""Named as in the table. The first three are random walks: the goal is about them."""
RANDOM_WALKS = tuple(TRUTHS)[:3]


class Rates(NamedTuple):
    trend: float
    noise: float
    paths: int

    def error(self, rate: float) -> float:
        """Standard error of a rate."""
        return sqrt(rate * (1 - rate) / self.paths)


def rates(returns: Array, confidence: float = 0.95) -> Rates:
    labels = Counter(_label(row, confidence) for row in returns.tolist())
    count = len(returns)
    return Rates(labels[RegimeLabel.TREND] / count, labels[RegimeLabel.NOISE] / count, count)


def _label(returns: list[float], confidence: float) -> RegimeLabel:
    measured = variance_ratio(returns)
    if measured is None:
        return RegimeLabel.UNKNOWN
    ratio, z = measured
    return label_of(hurst_of(ratio), z, confidence)


def published() -> dict[str, dict[str, float]]:
    table: dict[str, Any] = json.loads(TABLE.read_text())
    measured: dict[str, dict[str, float]] = table["recommended_rule"]["measured"]
    return measured


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.montecarlo", description="Rates of the regime rule.")
    parser.add_argument("--paths", type=int, default=PATHS, help=f"paths for each truth [default: {PATHS}]")
    parser.add_argument("--seed", type=int, default=SEED, help=f"[default: {SEED}]")
    parser.add_argument("--confidence", type=float, default=0.95, help="0.95, 0.975 or 0 [default: 0.95]")
    given = parser.parse_args()
    print(f"seed {given.seed}, {given.paths:,} paths of 100 returns, confidence {given.confidence:g}; percent ± s.e.")
    print(f"{'truth':28}{'TREND':>16}{'published':>11}{'NOISE':>16}{'published':>11}")
    rng, missed = np.random.default_rng(given.seed), []
    for name, draw in TRUTHS.items():
        found = rates(draw(rng, given.paths), given.confidence)
        print(_row(name, found, published()[name] if given.confidence == 0.95 else {}))
        if name in RANDOM_WALKS and not found.trend <= GOAL:
            missed.append(name)
    print(
        f"goal: at most {GOAL:.0%} of random walks are called a trend: {'missed by ' * bool(missed)}{', '.join(missed) or 'met'}"
    )
    return 1 if missed else 0


def _row(name: str, found: Rates, known: dict[str, float]) -> str:
    cells = [f"{name:28}"]
    for rate, key in ((found.trend, "TRUE TREND"), (found.noise, "NOISE")):
        was = f"{100 * known[key]:.2f}" if key in known else ""
        cells.append(f"{100 * rate:9.2f} ± {100 * found.error(rate):.2f}{was:>11}")
    return "".join(cells)


if __name__ == "__main__":
    raise SystemExit(main())
