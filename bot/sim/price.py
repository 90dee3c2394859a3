"""How a synthetic price moves, in whole ticks a step.

- RANDOM: the move is drawn around zero and rounded at random so that its mean stays zero: whatever was seen before, the
  expected price is the present one. A martingale in price (not in its logarithm), on the tick grid, with bursts: the
  variance follows a GARCH(1,1) of the moves before.
- TREND: part of the variance comes from a drift that itself wanders (Ornstein-Uhlenbeck around `drift_bps_h`, half an
  hour of memory). Five-minute returns then have VR(4) about 2, where chance has 1.
- REVERT: price is drawn back to where it was when the segment began, by 1/e in five minutes: VR(4) about 0.4.

Measured: over 100 five-minute returns within one segment `market/regime.py` calls TREND 60 of 60, REVERT noise 59 of 60, RANDOM
random 53 of 60; over segments that are shorter than its window (`demo`) it sees a mixture. A second's moves have a kurtosis of
3.4 to 4.3 and a tail exponent of 5 to 9, so lighter tails than real coins (about 3); sizes of moves one second apart correlate by
0.08 to 0.12, five minutes apart by 0.02. `tests/sim/test_claims.py` holds these with a margin.
"""

from __future__ import annotations

from itertools import chain, cycle
from math import floor, sqrt
from random import Random

from bot.sim.scenario import BAR_S, Coin, Motion, Scenario, Segment

_ALPHA = 0.03  # weight of the last second's squared move in the variance
_CALM_DOWN = 0.005  # share of an excess of variance that goes in a second
_WANDER_S = 1800.0  # memory of a trend's drift
_WANDERING = 0.6  # share of a trend's five-minute variance that comes from it
_REVERT_S = 300.0


class Price:
    """`ticks` is the best bid: whoever uses this adds the move that `step` proposes, or less of it."""

    def __init__(self, scenario: Scenario, coin: Coin, correlation: float, rng: Random) -> None:
        self.ticks = round(coin.price / coin.tick)
        shift = coin.shift % len(scenario.segments)
        self._coming = chain(scenario.segments[shift:], cycle(scenario.segments))
        self._rng, self._gauss, self._random = rng, rng.gauss, rng.random
        self._shared, self._own = sqrt(correlation), sqrt(1 - correlation)
        self._sd_s = coin.volatility_bps / 1e4
        self.heat = 1.0  # variance now, in multiples of the usual one
        self._wander = 0.0
        self._begin(scenario.history)
        self.set_step(1.0)

    def set_step(self, step_s: float) -> None:
        self._step_s = step_s
        self._alpha, self._calm = _ALPHA * sqrt(step_s), _CALM_DOWN * step_s

    @property
    def lean(self) -> float:
        """Where a trend is going now, in its standard deviations; 0 for the others."""
        return self._wander / self._wander_sd if self.segment.motion is Motion.TREND else 0.0

    def begin_next(self) -> None:
        self._begin(next(self._coming))

    def step(self, factor: float) -> int:
        """The next move. `factor` is what all coins share, standard normal."""
        self._left_s -= self._step_s
        if self._left_s < -1e-9:
            self.begin_next()
            self._left_s -= self._step_s
        z = self._shared * factor + self._own * self._gauss(0.0, 1.0)
        heat, motion = self.heat, self.segment.motion
        move = self.ticks * self._sd * sqrt(heat * self._step_s) * z
        self.heat = heat + self._calm * (1.0 - heat) + self._alpha * heat * (z * z - 1.0)
        if motion is Motion.TREND:
            move += self.ticks * self._trending()
        elif motion is Motion.REVERT:
            move -= (self.ticks - self._anchor) * self._step_s / _REVERT_S
        return floor(move + self._random())

    def _trending(self) -> float:
        share = self._step_s / _WANDER_S
        self._wander += self._wander_sd * sqrt(2 * share) * self._gauss(0.0, 1.0) - self._wander * share
        return (self._drift_s + self._wander) * self._step_s

    def _begin(self, segment: Segment) -> None:
        self.segment, self._left_s = segment, float(segment.seconds)
        self._anchor = self.ticks
        self._drift_s = segment.drift_bps_h / 1e4 / 3600
        sd_s = self._sd_s * segment.volatility
        wandering = _WANDERING if segment.motion is Motion.TREND else 0.0
        self._sd = sd_s * sqrt(1 - wandering)
        self._wander_sd = sd_s * sqrt(wandering / BAR_S)
