"""The synthetic market: each coin's price, book and trades, on one clock of the venue.

At each step the price moves at one instant: takers sweep some levels, the rest is canceled, and the book change that follows
tells of it all. Between two book changes only trades happen, at the best price, and what is shown there less what was
traded is what is there. Which way such a trade goes says nothing about the next move (in a trend: no more than the trend).

Pure: a generator that is asked for the next event. Its chance is its own, from the scenario's seed, and it has no clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from heapq import merge
from math import log, sqrt
from operator import attrgetter
from random import Random

from bot.domain.market import Bar
from bot.domain.values import MS, Side
from bot.sim.events import Best, Depth, Event, Mark, Snapshot, Trade
from bot.sim.history import bars_of
from bot.sim.ladder import Ladder
from bot.sim.outside import Outside
from bot.sim.price import Price
from bot.sim.scenario import Coin, Scenario, Wall

_SWEEP_SHARE = 0.4  # of the moves; in the others makers step back before anyone takes
_SWEEP_LEVELS = 3
_LEAN_MEMORY_S = 600.0
_LEAN_SD = 0.05  # of the share of takers that buy
_TREND_LEAN = 0.06  # the same, for each standard deviation of a trend's drift
_REFRESHED_PER_S = 4.0
_SNAPSHOT_PCT = 1.0  # the whole book is told again when price has moved this far
_ORDER_SIZES = 1024
_WALL_SHARE = 20  # a taker who runs into a wall takes one part in this many of it


class SyntheticMarket:
    """All coins of a scenario. `events` may be asked for once; `warmup` is what happened before."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        common = _Common(Random(f"{scenario.seed}:common"))
        self.coins = [CoinMarket(scenario, index, common) for index in range(len(scenario.coins))]

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


class CoinMarket:
    """One coin's market. `price`, `bids` and `asks` are its present state, between two events."""

    def __init__(self, scenario: Scenario, index: int, common: _Common) -> None:
        self.scenario, self.coin, self._common = scenario, scenario.coins[index], common
        seed = f"{scenario.seed}:{self.coin.symbol}"
        correlation = scenario.correlation if len(scenario.coins) > 1 else 0.0
        self.price = Price(scenario, self.coin, correlation, Random(f"{seed}:price"))
        self.bars = bars_of(self.price, scenario, self.coin, Random(f"{seed}:history"))
        self._step_s = scenario.depth_ms / 1000
        self.price.begin_next()
        self.price.set_step(self._step_s)
        self._start_ms = scenario.start_ns // MS
        self._offset_ms = index * scenario.depth_ms // len(scenario.coins)
        rng = Random(f"{seed}:book")
        self._random = rng.random
        self.asks = Ladder(self.coin, 1, self.price.ticks + self.coin.spread_ticks, rng)
        self.bids = Ladder(self.coin, -1, -self.price.ticks, rng)
        self.outside = Outside(scenario, self.coin, Random(f"{seed}:outside"))
        self._flow(Random(f"{seed}:flow"))
        self._plans = sorted((w for w in scenario.walls if w.symbol == self.coin.symbol), key=lambda w: w.at_s)
        self._standing: list[tuple[Wall, Ladder, int]] = []
        self._update_id = self._told_id = 1_000_000 + index
        self._trade_id = 0
        self._snapshot_at = self.price.ticks
        self._to_refresh = 0.0

    def _flow(self, rng: Random) -> None:
        coin = self.coin
        lot_usd = float(coin.step * coin.price)
        self._orders = [
            max(1, round(coin.trade_usd * rng.paretovariate(1.5) / 3 / lot_usd)) for _ in range(_ORDER_SIZES)
        ]
        self._gauss, self._chance = rng.gauss, rng.random
        self._lean = self._lean_of_trend = 0.0
        self._next_trade_ms = self._start_ms + self._offset_ms + self._gap_ms()

    @property
    def mid(self) -> float:
        """In ticks."""
        return (self.asks.touch - self.bids.touch) / 2

    def events(self) -> Iterator[Event]:
        scenario = self.scenario
        yield self._snapshot(self._start_ms)
        yield from self._second(0)
        steps_a_second = 1000 // scenario.depth_ms
        for step in range(scenario.seconds * steps_a_second):
            at_ms = self._start_ms + self._offset_ms + (step + 1) * scenario.depth_ms
            if self._next_trade_ms < at_ms:
                yield from self._trades(at_ms)
            yield from self._step(step, at_ms)
            if (step + 1) % steps_a_second == 0:
                yield from self._second((step + 1) // steps_a_second)

    # --- one step of the price -------------------------------------------------------------------------------------

    def _step(self, step: int, at_ms: int) -> list[Event]:
        told: list[Event] = []
        asked = self.price.step(self._common.at(step))
        move = self._up_to_the_walls(asked)
        if move != asked:
            told += self._run_into_wall(asked - move, at_ms)
        if move:
            told += self._sweep(move, at_ms)
            self.price.ticks += move
            self.bids.move(-self.price.ticks)
            self.asks.move(self.price.ticks + self.coin.spread_ticks)
        self._reconsider()
        told += self._depth(at_ms)
        return told

    def _sweep(self, move: int, at_ms: int) -> list[Event]:
        """What takers get of the levels that price passes."""
        if self._random() >= _SWEEP_SHARE:
            return []
        passed = self.asks if move > 0 else self.bids
        got = passed.taken_on_the_way(passed.touch + abs(move), 1 + int(self._random() * _SWEEP_LEVELS))
        return [self._trade(at_ms, u * passed.sign, lots, move > 0) for u, lots in got]

    def _reconsider(self) -> None:
        """Makers change sizes at random, and those of walls put back what was taken."""
        self._to_refresh += _REFRESHED_PER_S * self._step_s
        count, self._to_refresh = int(self._to_refresh), self._to_refresh % 1.0
        for ladder in (self.bids, self.asks):
            if count:
                ladder.refresh(count)
            if ladder.walls:
                ladder.refill_walls()

    def _depth(self, at_ms: int) -> list[Event]:
        bids, asks = self.bids.drain(), self.asks.drain()
        changes = len(bids) + len(asks)
        if not changes:
            return []
        first, last = self._told_id + 1, self._update_id + changes
        told: list[Event] = [Depth(self.coin.symbol, at_ms, first, last, self._told_id, bids, asks)]
        self._update_id = self._told_id = last
        if self.scenario.quotes:
            told.append(self._best(at_ms))
        if abs(self.price.ticks - self._snapshot_at) * 100 > _SNAPSHOT_PCT * self._snapshot_at:
            told.append(self._snapshot(at_ms))
        return told

    def _snapshot(self, at_ms: int) -> Snapshot:
        self.bids.drain()
        self.asks.drain()
        self._snapshot_at = self.price.ticks
        return Snapshot(self.coin.symbol, at_ms, self._told_id, self.bids.levels(), self.asks.levels())

    def _best(self, at_ms: int) -> Best:
        bids, asks = self.bids, self.asks
        bid, ask = (-bids.touch, bids.sizes[bids.touch]), (asks.touch, asks.sizes[asks.touch])
        return Best(self.coin.symbol, at_ms, self._update_id, bid, ask)

    # --- trades between ---------------------------------------------------------------------------------------------

    def _trades(self, until_ms: int) -> Iterator[Event]:
        while self._next_trade_ms < until_ms:
            buys = self._chance() < 0.5 + self._lean + self._lean_of_trend
            ladder = self.asks if buys else self.bids
            lots = ladder.take(self._orders[int(self._chance() * _ORDER_SIZES)])
            at_ms = int(self._next_trade_ms)
            self._next_trade_ms += self._gap_ms()
            if lots:
                yield self._trade(at_ms, ladder.touch * ladder.sign, lots, buys)
                if self.scenario.quotes:
                    yield self._best(at_ms)

    def _trade(self, at_ms: int, ticks: int, lots: int, buys: bool) -> Trade:
        self._trade_id += 1
        self._update_id += 1
        return Trade(self.coin.symbol, at_ms, self._trade_id, ticks, lots, buys)

    def _gap_ms(self) -> float:
        return -1000.0 * log(1.0 - self._chance()) / (self.coin.trades_per_s * sqrt(self.price.heat))

    # --- once a second ---------------------------------------------------------------------------------------------

    def _second(self, second: int) -> list[Event]:
        at_ms = self._start_ms + self._offset_ms + second * 1000
        share = 1 / _LEAN_MEMORY_S
        self._lean += _LEAN_SD * sqrt(2 * share) * self._gauss(0.0, 1.0) - share * self._lean
        self._lean_of_trend = _TREND_LEAN * self.price.lean
        self._tend_walls(second)
        told: list[Event] = list(self.outside.told(second, at_ms, self.mid, self.price))
        if second % self.scenario.mark_s == 0:
            told.append(self._mark(at_ms))
        return told

    def _mark(self, at_ms: int) -> Mark:
        mark = self.mid * float(self.coin.tick)
        premium, rate, funding_ms = self.outside.funding(at_ms)
        return Mark(self.coin.symbol, at_ms, mark, mark / (1 + premium), rate, funding_ms)

    # --- walls -----------------------------------------------------------------------------------------------------

    def _tend_walls(self, second: int) -> None:
        while self._plans and self._plans[0].at_s <= second:
            self._build(self._plans.pop(0))
        for standing in list(self._standing):
            wall, ladder, u = standing
            near = wall.flees_bps and (u - ladder.touch) * 1e4 <= wall.flees_bps * self.mid
            if near or second >= wall.at_s + wall.seconds:
                ladder.pull_wall(u)
                self._standing.remove(standing)

    def _build(self, wall: Wall) -> None:
        ladder = self.asks if wall.side is Side.SELL else self.bids
        u = ladder.wall_place(round(ladder.sign * self.mid * (1 + ladder.sign * wall.distance_pct / 100)))
        price = abs(u) * float(self.coin.tick)
        ladder.build_wall(u, round(wall.usd / price / float(self.coin.step)))
        self._standing.append((wall, ladder, u))

    def _up_to_the_walls(self, move: int) -> int:
        """Price does not get past a wall: the best price of that side may stand on it."""
        if self.asks.walls and move > 0:
            move = min(move, min(self.asks.walls) - self.asks.touch)
        if self.bids.walls and move < 0:
            move = max(move, self.bids.touch - min(self.bids.walls))
        return move

    def _run_into_wall(self, blocked: int, at_ms: int) -> list[Event]:
        """Takers who meet a wall take a little of it, if it is the best price already."""
        ladder = self.asks if blocked > 0 else self.bids
        full = ladder.walls.get(ladder.touch)
        lots = ladder.take(full // _WALL_SHARE) if full else 0
        return [self._trade(at_ms, ladder.touch * ladder.sign, lots, blocked > 0)] if lots else []
