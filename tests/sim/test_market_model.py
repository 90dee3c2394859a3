"""The synthetic market as a whole: book, trades and quotes agree at every moment, and chance stays chance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from math import sqrt
from statistics import mean

import pytest
from msgspec.structs import replace

from bot.domain.reading import LiquidationClusters, LongShort, MaxPain, OiDelta
from bot.domain.values import MS, NS, Direction, Side
from bot.sim.events import Best, Depth, Event, Mark, Rung, Snapshot, Told, Trade
from bot.sim.market_model import SyntheticMarket
from bot.sim.presets import BTC, COINS, preset
from bot.sim.scenario import BAR_S, Motion, Scenario, Segment, Wall
from tests.sim.scenarios import START_NS, moving, scenario
from tests.sim.variance_ratio import log_returns

HALF_HOUR = 1800


@dataclass
class Replica:
    """The book as whoever listens can know it: what was told, less what was traded since."""

    bids: dict[int, int] = field(default_factory=dict)
    asks: dict[int, int] = field(default_factory=dict)
    last_id: int = 0
    trade_id: int = 0

    def take(self, event: Event) -> None:
        match event:
            case Snapshot():
                assert self.last_id in (0, event.last_id)
                self.bids, self.asks, self.last_id = dict(event.bids), dict(event.asks), event.last_id
            case Depth():
                assert event.prev_id == self.last_id and self.last_id < event.first_id <= event.last_id
                self.last_id = event.last_id
                _apply(self.bids, event.bids)
                _apply(self.asks, event.asks)
            case Trade():
                self._trade(event)
            case Best():
                assert (event.bid, event.ask) == (self.best_bid(), self.best_ask())
            case Mark():
                middle = (self.best_bid()[0] + self.best_ask()[0]) / 2 * float(BTC.tick)
                assert event.mark == pytest.approx(middle)
        assert max(self.bids) < min(self.asks)

    def _trade(self, trade: Trade) -> None:
        assert trade.trade_id == self.trade_id + 1
        self.trade_id = trade.trade_id
        side = self.asks if trade.taker_buys else self.bids
        best = self.best_ask() if trade.taker_buys else self.best_bid()
        assert trade.ticks == best[0] and 0 < trade.lots <= best[1], "a trade is at the best price, of what is there"
        _apply(side, [(trade.ticks, best[1] - trade.lots)])

    def best_bid(self) -> Rung:
        return max(self.bids.items())

    def best_ask(self) -> Rung:
        return min(self.asks.items())


def _apply(side: dict[int, int], rungs: list[Rung]) -> None:
    for ticks, lots in rungs:
        if lots:
            side[ticks] = lots
        else:
            side.pop(ticks, None)


def played(made: Scenario) -> Iterator[tuple[Event, Replica]]:
    replica = Replica()
    for event in SyntheticMarket(made).events():
        replica.take(event)
        yield event, replica


WALLS = tuple(
    Wall(symbol="BTCUSDT", at_s=60 * n, seconds=300, side=side, distance_pct=0.1 * n, usd=40e6, flees_bps=4.0 * (n % 2))
    for n in range(1, 6)
    for side in Side
)


@pytest.mark.parametrize(
    "made",
    [
        scenario(seconds=HALF_HOUR, quotes=True),
        scenario(seconds=600, depth_ms=100, quotes=True),
        scenario(seconds=HALF_HOUR, segments=moving(Motion.TREND, drift_bps_h=600.0), walls=WALLS, quotes=True),
        scenario(seconds=HALF_HOUR, segments=moving(Motion.RANDOM, volatility=5.0), walls=WALLS),
    ],
    ids=["random", "often", "trend with walls", "wild with walls"],
)
def test_book_trades_quotes_and_marks_agree_at_every_moment(made: Scenario) -> None:
    kinds = {Snapshot: 0, Depth: 0, Trade: 0, Best: 0, Mark: 0, Told: 0}
    for event, _ in played(made):
        kinds[type(event)] += 1
    assert kinds[Depth] > made.seconds * 1000 / made.depth_ms * 0.95
    assert kinds[Trade] > made.seconds * 0.8
    assert kinds[Mark] == made.seconds // made.mark_s + 1
    assert (kinds[Best] > kinds[Depth]) == made.quotes


def test_events_come_in_the_order_of_time_on_one_clock() -> None:
    last_ms, symbols = 0, set()
    for event in SyntheticMarket(scenario(coins=COINS[:5], depth_ms=250, seconds=60)).events():
        assert event.ms >= last_ms
        last_ms = event.ms
        symbols.add(getattr(event, "symbol", ""))
    assert symbols >= {coin.symbol for coin in COINS[:5]}
    assert last_ms >= START_NS // MS + 60_000


def test_the_whole_book_is_told_again_when_price_has_moved_far() -> None:
    made = scenario(segments=moving(Motion.TREND, drift_bps_h=3000.0), seconds=HALF_HOUR)
    mids, coverage = [], []
    for event, replica in played(made):
        if isinstance(event, Snapshot):
            mids.append(event.asks[0][0])
        elif isinstance(event, Depth):
            coverage.append(max(replica.asks) / replica.best_ask()[0] - 1)
    assert len(mids) >= 8
    assert all(1.01 < after / before < 1.03 for before, after in pairwise(mids))
    assert min(coverage) > 0.05


def test_what_takers_do_between_moves_says_nothing_about_the_next_move() -> None:
    products = []
    for seed in range(2):
        buys = bid = 0
        for event, replica in played(scenario(seed=seed, seconds=3600)):
            if isinstance(event, Trade) and (event.ms - START_NS // MS) % 1000:  # the others belong to the move itself
                buys += event.lots if event.taker_buys else -event.lots
            elif isinstance(event, Depth):
                products.append((replica.best_bid()[0] - bid) * ((buys > 0) - (buys < 0)) if bid else 0)
                bid, buys = replica.best_bid()[0], 0
    se = sqrt(mean(product * product for product in products) / len(products))
    assert abs(mean(products)) < 3 * se


def test_takers_lean_one_way_for_minutes_but_not_for_good() -> None:
    """The share of buyers in five minutes varies more than fair coins would."""
    shares = []
    busy = replace(BTC, trades_per_s=10.0)
    buys = count = 0
    for event, _ in played(scenario(coins=(busy,), seconds=2 * 3600)):
        if isinstance(event, Trade):
            buys, count = buys + event.taker_buys, count + 1
            if count == 3000:
                shares.append(buys / count)
                buys = count = 0
    assert mean(shares) == pytest.approx(0.5, abs=0.05)
    assert mean((share - 0.5) ** 2 for share in shares) > 3 * 0.25 / 3000


def test_takers_go_with_a_trend() -> None:
    busy = replace(BTC, trades_per_s=5.0)
    market = SyntheticMarket(scenario(coins=(busy,), segments=moving(Motion.TREND), seconds=2 * 3600))
    with_it = count = 0
    for event in market.events():
        lean = market.coins[0].price.lean
        if isinstance(event, Trade) and abs(lean) > 1:
            with_it, count = with_it + (event.taker_buys == (lean > 0)), count + 1
    assert count > 3000
    assert with_it / count > 0.53


def test_takers_push_the_ratio_over_and_under_the_threshold_of_its_guard() -> None:
    flows: list[tuple[int, int]] = []
    for event, _ in played(scenario(seconds=7200)):
        if isinstance(event, Trade) and event.ms >= START_NS // MS:
            slot = (event.ms - START_NS // MS) // 300_000
            while len(flows) <= slot:
                flows.append((0, 0))
            buys, sells = flows[slot]
            flows[slot] = (buys + event.lots, sells) if event.taker_buys else (buys, sells + event.lots)
    over = sum(buys > 1.1 * sells for buys, sells in flows if sells)
    assert 0.1 < over / len(flows) < 0.9


def test_a_wall_appears_where_and_when_it_should_and_is_pulled_untraded() -> None:
    wall = Wall(symbol="BTCUSDT", at_s=100, seconds=200, side=Side.SELL, distance_pct=1.0, usd=40e6)
    sizes: dict[int, float] = {}
    for event, replica in played(scenario(walls=(wall,))):
        if isinstance(event, Depth):
            largest = max(lots * ticks for ticks, lots in replica.asks.items()) * float(BTC.tick * BTC.step)
            sizes[(event.ms - START_NS // MS) // 1000] = largest
    standing = [second for second, usd in sizes.items() if usd > 25e6]
    assert standing == list(range(101, 301))
    assert sizes[200] == pytest.approx(40e6, rel=0.01)


def test_a_wall_holds_the_price_and_comes_back_when_it_is_hit() -> None:
    wall = Wall(symbol="BTCUSDT", at_s=10, seconds=500, side=Side.SELL, distance_pct=0.05, usd=40e6)
    made = scenario(walls=(wall,), segments=moving(Motion.TREND, drift_bps_h=2000.0))
    highest, hit, after = 0, 0, 0
    place = 0
    sizes = []
    for event, replica in played(made):
        second = (event.ms - START_NS // MS) / 1000
        if isinstance(event, Depth) and 11 <= second < 510:
            place = place or max(replica.asks, key=lambda ticks: replica.asks[ticks])
            highest = max(highest, replica.best_ask()[0])
            sizes.append(replica.asks[place])
        elif isinstance(event, Trade) and event.ticks == place and event.taker_buys:
            hit += event.lots
        elif isinstance(event, Depth) and second > 510:
            after = max(after, replica.best_ask()[0])
    full = sizes[0]
    assert highest == place
    assert hit > full, "more was taken out of it than it ever showed"
    assert 0.8 * full < min(sizes) < full
    assert after > place


def test_a_wall_flees_before_price_comes() -> None:
    wall = Wall(symbol="BTCUSDT", at_s=10, seconds=500, side=Side.BUY, distance_pct=0.5, usd=40e6, flees_bps=20)
    made = scenario(walls=(wall,), segments=moving(Motion.TREND, drift_bps_h=-600.0))
    nearest, gone, place = 1.0, False, 0
    for event, replica in played(made):
        if isinstance(event, Depth) and event.ms >= START_NS // MS + 11_000:
            place = place or max(replica.bids, key=lambda ticks: replica.bids[ticks])
            gone = gone or replica.bids.get(place, 0) * place * float(BTC.tick * BTC.step) < 20e6
            if not gone:
                nearest = min(nearest, 1 - place / replica.best_bid()[0])
        elif isinstance(event, Trade):
            assert event.ticks != place or gone
    assert gone
    assert nearest == pytest.approx(0.002, abs=0.0005)


def test_every_reading_that_a_guard_judges_is_told_in_time() -> None:
    told: dict[str, list[Told]] = {}
    for event in SyntheticMarket(scenario(seconds=3600)).events():
        if isinstance(event, Told):
            told.setdefault(event.name, []).append(event)
    every_s = {"oi_delta_5m": 60, "long_short": 300, "max_pain": 300, "liquidation_clusters": 300}
    assert {name: len(events) for name, events in told.items()} == {name: 3600 // s + 1 for name, s in every_s.items()}
    types = {
        "oi_delta_5m": OiDelta,
        "long_short": LongShort,
        "max_pain": MaxPain,
        "liquidation_clusters": LiquidationClusters,
    }
    assert all(type(event.value) is types[name] for name, events in told.items() for event in events)


def test_longs_are_liquidated_below_price_and_shorts_above() -> None:
    sides = set()
    for event, replica in played(scenario(seconds=3600)):
        if isinstance(event, Told) and event.name == "liquidation_clusters":
            price = replica.best_bid()[0] * BTC.tick
            for cluster in event.value.clusters:
                assert (cluster.price < price) == (cluster.side is Direction.LONG)
                assert cluster.usd > 0
                sides.add(cluster.side)
    assert sides == set(Direction)


def test_max_pain_stays_where_its_segment_put_it() -> None:
    segments = (
        Segment(seconds=900, motion=Motion.RANDOM, max_pain_pct=3.0),
        Segment(seconds=900, motion=Motion.RANDOM, max_pain_pct=-3.0),
    )
    seen = [
        float(event.value.price)
        for event in SyntheticMarket(scenario(segments=segments, seconds=1799)).events()
        if isinstance(event, Told) and event.name == "max_pain"
    ]
    assert len(set(seen[:4])) == 1 and len(set(seen[4:])) == 1  # the boundary's own message belongs to the old segment
    assert seen[0] / 65_000 == pytest.approx(1.03, abs=0.008)
    assert seen[-1] / 65_000 == pytest.approx(0.97, abs=0.008)


def test_funding_is_due_every_eight_hours_and_near_its_interest() -> None:
    made = scenario(start_ns=START_NS + 7 * 3600 * NS, seconds=4000)
    marks = [event for event in SyntheticMarket(made).events() if isinstance(event, Mark)]
    assert {mark.funding_ms - START_NS // MS for mark in marks} == {8 * 3_600_000, 16 * 3_600_000}
    assert all(mark.funding_ms > mark.ms for mark in marks)
    assert all(-1e-3 < mark.rate < 1e-3 and mark.rate != 0 for mark in marks)
    assert all(abs(mark.mark / mark.index - 1) < 2e-3 for mark in marks)


def test_history_ends_where_the_market_begins() -> None:
    made = scenario(history=Segment(seconds=120 * BAR_S, motion=Motion.TREND, drift_bps_h=50, volatility=0.6))
    market = SyntheticMarket(made)
    bars = market.warmup["binanceusdm:BTCUSDT"]
    assert [bar.start_ns for bar in bars] == [made.start_ns - n * BAR_S * NS for n in range(120, 0, -1)]
    assert all(bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high for bar in bars)
    assert all(0 < (bar.taker_buy_usd or 0) < bar.usd and (bar.trades or 0) > 0 for bar in bars)
    joints = [(before.close, after.open) for before, after in pairwise(bars)]
    assert all(abs(after / before - 1) < 1e-3 for before, after in joints)
    first = next(event for event in market.events() if isinstance(event, Trade))
    assert first.ms == made.start_ns // MS - 1
    assert first.ticks * float(BTC.tick) == pytest.approx(bars[-1].close)


def test_coins_move_together_as_much_as_is_set() -> None:
    made = scenario(coins=COINS[:2], correlation=0.8, seconds=3600)
    paths: dict[str, list[float]] = {}
    for event in SyntheticMarket(made).events():
        if isinstance(event, Mark):
            paths.setdefault(event.symbol, []).append(event.mark)
    one, other = (log_returns(path) for path in paths.values())
    assert len(one) == len(other) == 1200
    covariance = mean(a * b for a, b in zip(one, other, strict=True))
    assert covariance / sqrt(mean(a * a for a in one) * mean(b * b for b in other)) == pytest.approx(0.8, abs=0.06)


def test_the_mid_of_a_whole_market_at_random_is_fair() -> None:
    gone = []
    for seed in range(60):
        market = SyntheticMarket(scenario(seed=seed, seconds=120))
        before = market.coins[0].mid
        for _ in market.events():
            pass
        gone.append(market.coins[0].mid - before)
    assert abs(mean(gone)) < 3 * sqrt(mean(g * g for g in gone) / len(gone))


def test_a_change_of_one_part_leaves_the_others_as_they_are() -> None:
    """Parts draw from streams of their own: more quotes or a wall far away do not move the price."""
    wall = Wall(symbol="BTCUSDT", at_s=10, seconds=100, side=Side.SELL, distance_pct=4.0, usd=40e6)
    paths = [
        [replica.best_bid()[0] for event, replica in played(made) if isinstance(event, Depth)]
        for made in (scenario(), scenario(quotes=True), scenario(walls=(wall,)), scenario(mark_s=1))
    ]
    assert all(path == paths[0] for path in paths)


def test_null_presets_have_no_walls() -> None:
    assert preset("random", seed=1).walls == ()
