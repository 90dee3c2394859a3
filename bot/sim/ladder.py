"""One side of a synthetic order book: which levels stand where, and how they follow the best price.

Levels stand still; the best price moves over them. Everything is counted outward: an ask at price p has u = p, a bid
u = -p, so on both sides the best level has the smallest u. Levels stand at every multiple of `fine` up to `fine_end` and
of `coarse` (a multiple of `fine`) up to `far_end`, beside the best price itself, which may be any.
"""

from __future__ import annotations

from math import exp
from random import Random

from bot.sim.events import Rung
from bot.sim.scenario import Coin

_SIZES = 256  # ready-made sizes: drawing from a table is many times faster than from a distribution
_SPREAD_OF_SIZES = 0.5  # standard deviation of their logarithm
_RELAY_BPS = 3.0  # the zones follow the best price when it has moved this far


class Ladder:
    """`sign` is 1 for asks, -1 for bids; sizes in lots by u. `changed` gathers what `drain` will tell."""

    def __init__(self, coin: Coin, sign: int, touch: int, rng: Random) -> None:
        self.sign, self.touch = sign, touch
        self.sizes: dict[int, int] = {}
        self.walls: dict[int, int] = {}  # full size by u
        self._changed: set[int] = set()
        self._random = rng.random
        bp = abs(touch) / 1e4
        self.fine = max(1, round(coin.fine_bps * bp))
        self.coarse = self.fine * max(1, round(coin.coarse_bps * bp / self.fine))
        self._fine_reach, self._reach = coin.fine_reach_bps / 1e4, coin.reach_pct / 100
        self._slack = max(self.coarse, round(_RELAY_BPS * bp))
        lot_usd = float(coin.step * coin.tick) * abs(touch)
        per_tick = coin.usd_per_bps / bp / lot_usd
        self._fine_sizes = _sizes(per_tick * self.fine, rng)
        self._coarse_sizes = _sizes(per_tick * self.coarse, rng)
        self._touch_sizes = _sizes(coin.touch_usd / lot_usd, rng)
        self._relaid = touch
        self._fine_end, self._far_end = self._ends()
        self._lay(touch + 1, self._fine_end, self.fine, self._fine_sizes)
        self._lay(self._fine_end + 1, self._far_end, self.coarse, self._coarse_sizes)
        self._put(touch, self._draw(self._touch_sizes))

    # --- what orders do --------------------------------------------------------------------------------------------

    def move(self, touch: int) -> None:
        """Make this the best price: nearer, with new levels behind it, or farther, with all in front of it gone."""
        old, self.touch = self.touch, touch
        if touch < old:
            if old % self.fine:
                self._drop(old)
            self._lay(touch + 1, old - 1, self.fine, self._fine_sizes)
        elif touch > old:
            self._drop(old)
            for u in range(_up(old + 1, self.fine), touch, self.fine):
                self._drop(u)
        if touch not in self.sizes:
            self._put(touch, self._draw(self._touch_sizes))
        if abs(touch - self._relaid) > self._slack:
            self._relay()

    def taken_on_the_way(self, touch: int, most: int) -> list[Rung]:
        """What a taker gets of the levels before `touch`, best first, as (u, lots): each whole but the last."""
        got: list[Rung] = []
        u, sizes = self.touch, self.sizes
        while u < touch and len(got) < most and u in sizes:
            got.append((u, sizes[u]))
            u = _up(u + 1, self.fine)
        if got:
            u, lots = got[-1]
            got[-1] = (u, max(1, int(lots * self._random())))
        return got

    def take(self, wanted: int) -> int:
        """Lots that a taker gets at the best price: it never takes the last of it."""
        there = self.sizes[self.touch]
        lots = min(wanted, there - 1 - there // 10)
        if lots <= 0:
            return 0
        self._put(self.touch, there - lots)
        return lots

    def refresh(self, count: int) -> None:
        """Makers change their minds: the best level and some others, mostly near ones, get a new size."""
        if self.touch not in self.walls:
            self._put(self.touch, (self.sizes[self.touch] + self._draw(self._touch_sizes)) // 2 or 1)
        levels = (self._fine_end - self.touch) // self.fine
        for _ in range(count):
            u = _up(self.touch + 1, self.fine) + self.fine * int(levels * self._random() ** 2)
            if u in self.sizes and u not in self.walls:
                self._put(u, self._usual(u))

    # --- walls -----------------------------------------------------------------------------------------------------

    def build_wall(self, u: int, lots: int) -> None:
        self.walls[u] = lots
        self._put(u, lots)

    def refill_walls(self) -> None:
        for u, full in self.walls.items():
            if (there := self.sizes[u]) < full:
                self._put(u, there + (full - there + 1) // 2)

    def pull_wall(self, u: int) -> None:
        del self.walls[u]
        if u > self._far_end:
            self._drop(u)
        else:
            self._put(u, self._draw(self._touch_sizes) if u == self.touch else self._usual(u))

    def wall_place(self, u: int) -> int:
        """The level a wall wanted at u stands on: one that stays whatever the best price does, and has no wall."""
        place = _up(max(u, self.touch + 1), self.coarse)
        while place in self.walls:
            place += self.coarse
        return place

    # --- what is told ----------------------------------------------------------------------------------------------

    def drain(self) -> list[Rung]:
        """Levels changed since the last call, best first, as (ticks, lots)."""
        sign, sizes = self.sign, self.sizes
        told = [(u * sign, sizes.get(u, 0)) for u in sorted(self._changed)]
        self._changed.clear()
        return told

    def levels(self) -> list[Rung]:
        return [(u * self.sign, self.sizes[u]) for u in sorted(self.sizes)]

    # --- levels ----------------------------------------------------------------------------------------------------

    def _relay(self) -> None:
        """The zones follow: what came near is laid finely, what is far again coarsely, the end moves along."""
        self._relaid = self.touch
        old_fine, old_far = self._fine_end, self._far_end
        self._fine_end, self._far_end = self._ends()
        if self._fine_end > old_fine:
            self._relay_finely(max(old_fine, self.touch) + 1, self._fine_end)
        else:
            self._relay_coarsely(self._fine_end + 1, old_fine)
        self._lay(old_far + 1, self._far_end, self.coarse, self._coarse_sizes)
        for u in range(_up(self._far_end + 1, self.coarse), old_far + 1, self.coarse):
            if u not in self.walls:
                self._drop(u)

    def _relay_finely(self, first: int, last: int) -> None:
        for u in range(_up(first, self.fine), last + 1, self.fine):
            if u not in self.walls:
                self._put(u, self._draw(self._fine_sizes))

    def _relay_coarsely(self, first: int, last: int) -> None:
        for u in range(_up(first, self.fine), last + 1, self.fine):
            if u % self.coarse:
                self._drop(u)
            elif u not in self.walls:
                self._put(u, self._draw(self._coarse_sizes))

    def _ends(self) -> tuple[int, int]:
        price = abs(self.touch)
        fine, far = (self.touch + round(price * reach) for reach in (self._fine_reach, self._reach))
        return _up(fine, self.coarse), _up(far, self.coarse)

    def _lay(self, first: int, last: int, every: int, sizes: list[int]) -> None:
        for u in range(_up(first, every), last + 1, every):
            if u not in self.sizes:
                self._put(u, self._draw(sizes))

    def _usual(self, u: int) -> int:
        return self._draw(self._fine_sizes if u <= self._fine_end else self._coarse_sizes)

    def _draw(self, sizes: list[int]) -> int:
        return sizes[int(self._random() * _SIZES)]

    def _put(self, u: int, lots: int) -> None:
        self.sizes[u] = lots
        self._changed.add(u)

    def _drop(self, u: int) -> None:
        if self.sizes.pop(u, None) is not None:
            self._changed.add(u)


def _up(u: int, every: int) -> int:
    """The first multiple of `every` from u on."""
    return -(-u // every) * every


def _sizes(mean: float, rng: Random) -> list[int]:
    sd = _SPREAD_OF_SIZES
    return [max(2, round(mean * exp(rng.gauss(-sd * sd / 2, sd)))) for _ in range(_SIZES)]
