"""One coin's synthetic market: its price, book and trades in the order of the venue's time.

At each step the price moves at one instant: takers sweep some levels, the rest is canceled, and the book change that follows
tells of it all. Between two book changes only trades happen, at the best price, and what is shown there less what was
traded is what is there. Which way such a trade goes says nothing about the next move (in a trend: no more than the trend).
"""

from __future__ import annotations

from collections.abc import Iterator
from math import exp, log, sqrt
from random import Random
from typing import Protocol

from msgspec import structs

from bot.domain.market import Bar
from bot.domain.values import MS
from bot.sim.events import Best, Depth, Event, Forced, Mark, Snapshot, Trade
from bot.sim.forcing import Forcing
from bot.sim.history import Flow, bars_of
from bot.sim.ladder import Ladder
from bot.sim.outside import Outside
from bot.sim.price import Price
from bot.sim.scenario import Coin, Scenario
from bot.sim.walls import Walls

_SWEEP_SHARE = 0.4  # of the moves; in the others makers step back before anyone takes
_SWEEP_LEVELS = 3
_LEAN_MEMORY_S = 600.0
_LEAN_SD = 0.05  # of the share of takers that buy
_TREND_LEAN = 0.06  # the same, for each standard deviation of a trend's drift
_REFRESHED_PER_S = 4.0
_SNAPSHOT_PCT = 1.0  # the whole book is told again when price has moved this far
_ORDER_SIZES = 1024
_STEPS_TO_KNOW = 300  # of a market, to know its flow
_EXCITED_S = 2.0  # for how long an order brings about others


class Common(Protocol):
    def at(self, step: int) -> float:
        """What all coins share in this step, standard normal."""
        ...


class CoinMarket:
    """One coin's market. `price`, `bids`, `asks` and `walls` are its present state, between two events."""

    def __init__(self, scenario: Scenario, index: int, common: Common, trades_before: int = 0) -> None:
        self.scenario, self.coin, self._common = scenario, scenario.coins[index], common
        seed = f"{scenario.seed}:{self.coin.symbol}"
        correlation = scenario.correlation if len(scenario.coins) > 1 else 0.0
        self.price = Price(scenario, self.coin, correlation, Random(f"{seed}:price"))
        self.bars: list[Bar] = []
        if scenario.history.seconds:
            flow = flow_of(scenario, self.coin)
            self.bars = bars_of(self.price, scenario, self.coin, Random(f"{seed}:history"), flow)
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
        self._excited = 0.0  # orders a second that earlier ones bring about
        self._forcing = Forcing(self.coin, Random(f"{seed}:forced")) if scenario.liquidations else None
        self._flow(Random(f"{seed}:flow"))
        self.walls = Walls([w for w in scenario.walls if w.symbol == self.coin.symbol], self.coin, self.bids, self.asks)
        self._update_id = self._told_id = 1_000_000 + index
        self.trades_before = self._trade_id = trades_before
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
        yield self._snapshot(self._start_ms - 2)
        yield from self._last_of_history(self._start_ms - 1)
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
        move = self.walls.allowed(asked)
        if move != asked:
            told += self._run_into_wall(asked > 0, at_ms)
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

    def _run_into_wall(self, upward: bool, at_ms: int) -> list[Event]:
        ladder = self.asks if upward else self.bids
        lots = self.walls.hit(ladder)
        return [self._trade(at_ms, ladder.touch * ladder.sign, lots, upward)] if lots else []

    def _reconsider(self) -> None:
        """Makers change sizes at random; those of walls put back what was taken."""
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

    def _last_of_history(self, at_ms: int) -> list[Event]:
        """The trade that closed the last bar before the start: whoever sees it has seen the first bar from its beginning."""
        buys = round(self.bars[-1].close / float(self.coin.tick)) == self.asks.touch if self.bars else True
        ladder = self.asks if buys else self.bids
        lots = ladder.take(1)
        return [self._trade(at_ms, ladder.touch * ladder.sign, lots, buys)] if lots else []

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
        per_s = self.coin.trades_per_s * sqrt(self.price.heat)
        if self.scenario.clustering:
            return self._clustered_ms(per_s)
        return -1000.0 * log(1.0 - self._chance()) / per_s

    def _clustered_ms(self, per_s: float) -> float:
        """A Hawkes process of that mean rate, by thinning (Ogata 1981, IEEE Transactions on Information Theory 27:23)."""
        share, gap_s = self.scenario.clustering, 0.0
        own = per_s * (1 - share)
        while True:
            bound = own + self._excited
            wait_s = -log(1.0 - self._chance()) / bound
            gap_s += wait_s
            self._excited *= exp(-wait_s / _EXCITED_S)
            if self._chance() * bound <= own + self._excited:
                self._excited += share / _EXCITED_S
                return 1000.0 * gap_s

    # --- once a second ---------------------------------------------------------------------------------------------

    def _second(self, second: int) -> list[Event]:
        at_ms = self._start_ms + self._offset_ms + second * 1000
        share = 1 / _LEAN_MEMORY_S
        self._lean += _LEAN_SD * sqrt(2 * share) * self._gauss(0.0, 1.0) - share * self._lean
        self._lean_of_trend = _TREND_LEAN * self.price.lean
        self.walls.tend(second, self.mid)
        told: list[Event] = [] if self._forcing is None else self._force(self._forcing, at_ms)
        told += self.outside.told(second, at_ms, self.mid, self.price)
        if second % self.scenario.mark_s == 0:
            told.append(self._mark(at_ms))
        return told

    def _force(self, forcing: Forcing, at_ms: int) -> list[Event]:
        """Positions that a fast move closes: their orders trade at the best price, and what they held is open no more."""
        told: list[Event] = []
        for wanted in forcing.lots(self.mid):
            ladder = self.asks if wanted > 0 else self.bids
            lots, ticks = ladder.take(abs(wanted)), ladder.touch * ladder.sign
            if lots:
                told += [self._trade(at_ms, ticks, lots, wanted > 0)]
                told += [Forced(self.coin.symbol, at_ms, ticks, lots, wanted > 0)]
                self.outside.closed(lots * float(self.coin.step * self.coin.price))
        if told and self.scenario.quotes:
            told.append(self._best(at_ms))
        return told

    def _mark(self, at_ms: int) -> Mark:
        mark = self.mid * float(self.coin.tick)
        premium, rate, funding_ms = self.outside.funding(at_ms)
        return Mark(self.coin.symbol, at_ms, mark, mark / (1 + premium), round(rate, 8), funding_ms)


def flow_of(scenario: Scenario, coin: Coin) -> Flow:
    """Of another market like this one, which is played for a little: what lies before the start is to have traded as what comes."""
    motion, seconds = scenario.history, max(1, _STEPS_TO_KNOW * scenario.depth_ms // 1000)
    alike = structs.replace(
        scenario,
        coins=(coin,),
        seconds=seconds,
        segments=(structs.replace(motion, seconds=seconds),),
        history=structs.replace(motion, seconds=0),
        walls=(),
        quotes=False,
    )
    market = CoinMarket(alike, 0, _Alone(Random(f"{scenario.seed}:{coin.symbol}:flow of before")))
    worths = [event.ticks * event.lots for event in market.events() if type(event) is Trade]
    return Flow(len(worths) / seconds, sum(worths) * float(coin.tick * coin.step) / seconds)


class _Alone:
    """Nothing is shared with others."""

    def __init__(self, rng: Random) -> None:
        self._gauss = rng.gauss

    def at(self, step: int) -> float:
        return self._gauss(0.0, 1.0)
