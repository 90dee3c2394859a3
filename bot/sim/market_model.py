"""The synthetic market: all coins of a scenario on one clock of the venue.

Pure: a generator that is asked for the next event. Its chance is its own, from the scenario's seed, and it has no clock. The
parts of a coin's market draw from streams of their own, so that a change of one does not change the others.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from heapq import merge
from operator import attrgetter
from random import Random

from bot.domain.market import Bar
from bot.sim.coin_market import CoinMarket
from bot.sim.events import Event
from bot.sim.scenario import Scenario


class SyntheticMarket:
    """All coins of a scenario. `events` may be asked for once; `warmup` is what happened before, `trades_before` how many trades of each
    coin are numbered before the first one."""

    def __init__(self, scenario: Scenario, trades_before: int = 0) -> None:
        self.scenario = scenario
        common = _Common(Random(f"{scenario.seed}:common"))
        self.coins = [CoinMarket(scenario, index, common, trades_before) for index in range(len(scenario.coins))]

    @property
    def warmup(self) -> dict[str, list[Bar]]:
        """Closed five-minute bars by instrument id, up to the start."""
        return {market.coin.instrument.id: market.bars for market in self.coins}

    def events(self) -> Iterator[Event]:
        """In the order of the venue's time."""
        if len(self.coins) == 1:
            return self.coins[0].events()
        return merge(*(market.events() for market in self.coins), key=attrgetter("ms"))


class _Common:
    """What all coins share in a step. Coins ask in turn, so none is more than a step or two ahead of another."""

    def __init__(self, rng: Random) -> None:
        self._gauss = rng.gauss
        self._recent: deque[float] = deque(maxlen=4)
        self._made = 0

    def at(self, step: int) -> float:
        while self._made <= step:
            self._recent.append(self._gauss(0.0, 1.0))
            self._made += 1
        return self._recent[step - self._made]
