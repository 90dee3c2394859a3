"""Whose positions a fast move closes: how many orders the liquidations of this second are, how large, and which way.

The farther price has gone in half a minute, measured by its own standard deviation, the likelier. Longs are sold out when it falls,
shorts bought back when it rises. Used by `coin_market.py`, once a second, where the scenario has liquidations.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from math import log, sqrt
from random import Random

from bot.sim.scenario import Coin

_WINDOW_S = 30
_FROM_SD = 1.2  # of the window's move, from where on some are closed
_CHANCE = 0.12  # a second, for each standard deviation beyond
_MOST = 3  # orders a second


class Forcing:
    def __init__(self, coin: Coin, rng: Random) -> None:
        self._coin, self._rng = coin, rng
        self._sd = coin.volatility_bps / 1e4 * sqrt(_WINDOW_S)
        self._mids: deque[float] = deque(maxlen=_WINDOW_S + 1)

    def lots(self, mid: float) -> Iterator[int]:
        """Lots that buy, or negative ones that sell. `mid` is in ticks."""
        self._mids.append(mid)
        move = log(mid / self._mids[0]) / self._sd
        for _ in range(_MOST):
            if self._rng.random() >= _CHANCE * (abs(move) - _FROM_SD):
                return
            usd = self._coin.trade_usd * 2 * self._rng.paretovariate(1.5)
            lots = max(1, round(usd / float(self._coin.step * self._coin.price)))
            yield lots if move > 0 else -lots
