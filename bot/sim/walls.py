"""The scheduled walls of one coin: they appear, keep price on their side, are hit, and are pulled."""

from __future__ import annotations

from collections.abc import Iterable

from bot.domain.values import Side
from bot.sim.ladder import Ladder
from bot.sim.scenario import Coin, Wall

_HIT_SHARE = 20  # who runs into a wall takes one part in this many of it


class Walls:
    def __init__(self, plans: Iterable[Wall], coin: Coin, bids: Ladder, asks: Ladder) -> None:
        self._plans = sorted(plans, key=lambda wall: wall.at_s, reverse=True)
        self._coin, self._bids, self._asks = coin, bids, asks
        self._standing: list[tuple[Wall, Ladder, int]] = []

    @property
    def standing(self) -> list[tuple[Wall, int, int]]:
        """Those that stand, with their price in ticks and the lots that are left of them."""
        return [(wall, u * ladder.sign, ladder.sizes[u]) for wall, ladder, u in self._standing]

    def tend(self, second: int, mid: float) -> None:
        """Once a second: builds those that are due and pulls those that are over or flee. `mid` is in ticks."""
        while self._plans and self._plans[-1].at_s <= second:
            self._build(self._plans.pop(), mid)
        for standing in list(self._standing):
            wall, ladder, u = standing
            flees = (u - ladder.touch) * 1e4 <= wall.flees_bps * mid and wall.flees_bps > 0
            if flees or second >= wall.at_s + wall.seconds:
                ladder.pull_wall(u)
                self._standing.remove(standing)

    def allowed(self, move: int) -> int:
        """As much of a move as the walls let through: the best price of their side may stand on them."""
        if move > 0 and self._asks.walls:
            return min(move, min(self._asks.walls) - self._asks.touch)
        if move < 0 and self._bids.walls:
            return max(move, self._bids.touch - min(self._bids.walls))
        return move

    def hit(self, ladder: Ladder) -> int:
        """Lots that a taker who does not get past takes, where a wall is the best price already."""
        full = ladder.walls.get(ladder.touch, 0)
        return ladder.take(full // _HIT_SHARE) if full else 0

    def _build(self, wall: Wall, mid: float) -> None:
        ladder = self._asks if wall.side is Side.SELL else self._bids
        u = ladder.wall_place(round(ladder.sign * mid * (1 + ladder.sign * wall.distance_pct / 100)))
        lot_usd = abs(u) * float(self._coin.tick * self._coin.step)
        ladder.build_wall(u, round(wall.usd / lot_usd))
        self._standing.append((wall, ladder, u))
