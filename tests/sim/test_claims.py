"""What the synthetic market says of itself, measured: regimes that the engine's own detector recovers, tails, bursts, and walls."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import pytest
from msgspec import structs
from numpy.typing import NDArray
from statsmodels.stats.diagnostic import acorr_ljungbox

from bot.domain.values import RegimeLabel
from bot.market.regime import regime_of
from bot.sim.events import Mark
from bot.sim.market_model import SyntheticMarket
from bot.sim.presets import preset
from bot.sim.scenario import Motion, Wall
from tests.sim.test_price import moves, path

SEEDS = range(100, 140)


@pytest.mark.parametrize(
    ("motion", "segment", "label", "least"),
    [
        (Motion.TREND, {"drift_bps_h": 60, "volatility": 0.6}, RegimeLabel.TREND, 0.9),
        (Motion.REVERT, {}, RegimeLabel.NOISE, 0.9),
        (Motion.RANDOM, {}, RegimeLabel.RANDOM, 0.75),
    ],
)
def test_the_engines_detector_finds_what_the_market_is_in(
    motion: Motion, segment: dict[str, Any], label: RegimeLabel, least: float
) -> None:
    """Of 60 paths of 100 five-minute returns it found 60, 59 and 53."""
    found = [regime_of(path(motion, seed, **segment), 0.95)[0] for seed in SEEDS]
    assert sum(regime is not None and regime.label is label for regime in found) >= least * len(SEEDS)


Values = NDArray[np.float64]


def second_moves(seed: int, steps: int) -> Values:
    made: Values = np.array(moves(seed, steps), float)
    centred: Values = made - made.mean()
    return centred


def kurtosis(values: Values) -> float:
    return float((values**4).mean() / (values**2).mean() ** 2)


def hill(values: Values, tail: int) -> float:
    """Tail exponent (Hill 1975, Annals of Statistics 3:1163) of absolute values."""
    top = np.sort(np.abs(values))[::-1][: tail + 1]
    return float(1 / np.log(top[:tail] / top[tail]).mean())


@pytest.mark.parametrize("seed", [3, 4, 5])
def test_tails_of_a_seconds_moves_are_heavier_than_normal(seed: int) -> None:
    """Kurtosis 3.4 to 4.3 where normal moves have 3.0 with a standard error of 0.02; tail exponents of 5 to 9, where as many normal
    ones have 12: lighter than real coins', about 3."""
    made = second_moves(seed, 40_000)
    normal = np.random.default_rng(seed).normal(size=40_000)
    assert 3.25 < kurtosis(made) < 8 and abs(kurtosis(normal) - 3) < 0.15
    assert hill(made, 200) < 10 < hill(normal, 200)


@pytest.mark.parametrize("seed", [3, 4])
def test_volatility_comes_in_clusters_and_direction_does_not(seed: int) -> None:
    made = second_moves(seed, 40_000)
    size = np.abs(made)

    def after(values: Values, lag: int) -> float:
        return float(np.corrcoef(values[:-lag], values[lag:])[0, 1])

    near, minute, later = (after(size, lag) for lag in (1, 60, 300))
    assert near > 0.06 and minute > 0.04 and near > later  # it fades within minutes; chance has 0.005
    assert abs(after(made, 1)) < 0.02
    whole = acorr_ljungbox(size[:6000], lags=[20])["lb_pvalue"].iloc[0]
    assert whole < 1e-12 and acorr_ljungbox(made[:6000], lags=[20])["lb_pvalue"].iloc[0] > 1e-4


def test_walls_of_the_demo_have_the_size_and_life_that_it_states_and_hold() -> None:
    made = structs.replace(preset("demo", seed=11, symbols=1), seconds=2000, depth_ms=250)
    market = SyntheticMarket(made)
    coin, start_ms = market.coins[0], made.start_ns // 10**6
    unit = float(coin.coin.tick * coin.coin.step)
    seen: defaultdict[Wall, list[tuple[int, float]]] = defaultdict(list)
    for event in market.events():
        if not isinstance(event, Mark):
            continue
        second = (event.ms - start_ms) // 1000
        for wall, ticks, lots in coin.walls.standing:
            seen[wall].append((second, ticks * lots * unit))
            assert (ticks > coin.mid) == (wall.side.value == "sell")  # price is held
    due = [wall for wall in made.walls if wall.at_s + wall.seconds < 2000]
    assert len(due) >= 4 and any(wall.flees_bps for wall in due)
    for wall in due:
        first, last = seen[wall][0][0], seen[wall][-1][0]
        assert wall.at_s <= first <= wall.at_s + 1
        assert last <= wall.at_s + wall.seconds and (last >= wall.at_s + wall.seconds - 1 or wall.flees_bps)
        assert seen[wall][0][1] == pytest.approx(wall.usd, rel=0.05)
        assert min(usd for _, usd in seen[wall]) > 0.3 * wall.usd  # what is taken comes back
