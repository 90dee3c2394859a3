"""Order-book walls on a real book: who is a candidate, when it stands, when it is gone, and what the reading says."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest

from bot.domain.market import BookDiff, BookSnapshot
from bot.domain.reading import Walls
from bot.domain.values import NS, Side
from bot.market.book import Book
from bot.market.walls import WallParams, WallTracker

FIXTURE = Path(__file__).resolve().parents[1] / "fixtures/quant/walls.json"
T0 = 1_700_000_000 * NS
M = 1_000_000
SMALL = 20_000.0  # base resting in every ordinary bucket: about 2M USD
FAR = 101.05  # an ask 105 bps above mid
CLOSE = 100.15  # 15 bps


class Scene:
    """A book around mid 100 with 2M USD in each of the first 20 buckets a side, sampled once a second."""

    def __init__(self, reach: float = 6.0, params: WallParams | None = None, sampled_s: int = 100) -> None:
        self.book = Book()
        self.tracker = WallTracker(params or WallParams(), "BTC", "binanceusdm")
        self.now = T0 - NS
        self._id = 1
        self.load(reach)
        self.run(sampled_s)

    def load(self, reach: float = 6.0, mid: float = 100.0) -> None:
        offsets = [0.005, *(0.05 + 0.1 * i for i in range(1, 20)), reach]
        self._id += 10
        bids = [(round(mid - offset, 3), SMALL) for offset in offsets]
        asks = [(round(mid + offset, 3), SMALL) for offset in offsets]
        assert self.book.apply_snapshot(BookSnapshot(None, self._id, 0, bids, asks)) is None

    def set(self, price: float, quantity: float, side: Side = Side.SELL) -> None:
        levels, before = [(price, quantity)], self._id
        self._id += 1
        bids, asks = (levels, []) if side is Side.BUY else ([], levels)
        assert self.book.apply_diff(BookDiff("BTCUSDT", self._id, self._id, before, 0, bids, asks)) is None

    def rise_to(self, bid: float) -> None:
        """Takes every ask at or under this price away and puts a bid there."""
        for price in [price for price, _ in self.book.levels(Side.SELL, 10_000) if price <= bid]:
            self.set(price, 0)
        self.set(bid, SMALL, Side.BUY)

    def fall_to(self, ask: float) -> None:
        """Takes every bid at or over this price away and puts an ask there."""
        for price in [price for price, _ in self.book.levels(Side.BUY, 10_000) if price >= ask]:
            self.set(price, 0, Side.BUY)
        self.set(ask, SMALL)

    def run(self, seconds: int) -> None:
        for _ in range(seconds):
            self.now += NS
            self.tracker.sample(self.book, self.now)

    def walls(self) -> Walls:
        walls, _, reason = self.tracker.reading()
        assert walls is not None, reason
        return walls

    def asks(self) -> list[float]:
        return [wall.price for wall in self.walls().asks]


# --- standing -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("age_s", "standing"), [(0, False), (59, False), (60, True), (3600, True)])
def test_a_wall_stands_after_its_age(age_s: int, standing: bool) -> None:
    scene = Scene()
    scene.set(FAR, 300_000)
    scene.run(1 + age_s)
    first_seen = scene.now - age_s * NS
    walls = scene.walls()
    assert scene.asks() == ([pytest.approx(FAR)] if standing else [])
    assert [(wall.first_seen_ns, wall.venues) for wall in walls.asks] == [(first_seen, ("binanceusdm",))] * standing
    assert [wall.usd for wall in walls.asks] == [pytest.approx(FAR * 300_000)] * standing
    assert walls.bids == ()


@pytest.mark.parametrize(("missed", "standing"), [(20, True), (21, False)])
def test_a_wall_stands_when_80_percent_of_the_samples_showed_it(missed: int, standing: bool) -> None:
    scene = Scene(params=WallParams(min_age_s=100), sampled_s=150)
    scene.set(FAR, 300_000)
    scene.run(41)
    scene.set(FAR, 200_000)  # 67 %
    scene.run(missed)
    scene.set(FAR, 300_000)
    scene.run(60 - missed)
    assert bool(scene.asks()) == standing
    scene.run(40)  # the misses are still among the last 100
    assert bool(scene.asks()) == standing
    scene.run(22)
    assert scene.asks()


@pytest.mark.parametrize(
    ("quantity", "seconds", "standing"),
    [
        (210_000, 90, True),  # 70 %
        (207_000, 30, True),  # 69 %, seen for 29 s
        (207_000, 31, False),
        (0, 30, True),
        (0, 31, False),
    ],
)
def test_a_wall_is_gone_after_30_s_under_70_percent(quantity: float, seconds: int, standing: bool) -> None:
    scene = standing_wall(FAR)
    scene.set(FAR, quantity)
    scene.run(seconds)
    assert bool(scene.asks()) == standing


def standing_wall(price: float, quantity: float = 300_000) -> Scene:
    scene = Scene()
    scene.set(price, quantity)
    scene.run(61)
    assert scene.asks() == [pytest.approx(price)]
    return scene


def test_while_it_flickers_a_wall_is_reported_as_it_was() -> None:
    scene = standing_wall(FAR)
    before = scene.walls().asks
    scene.set(FAR, 1)
    scene.run(29)
    assert scene.walls().asks == before
    scene.set(FAR, 300_000)
    scene.run(1)
    scene.set(FAR, 1)
    scene.run(30)  # 30 new seconds
    assert scene.walls().asks == before
    scene.run(1)
    assert scene.walls().asks == ()


def test_a_wall_that_returns_has_a_new_age() -> None:
    scene = standing_wall(FAR)
    scene.set(FAR, 0)
    scene.run(31)
    scene.set(FAR, 300_000)
    scene.run(60)
    assert scene.asks() == []
    scene.run(1)
    assert scene.walls().asks[0].first_seen_ns == scene.now - 60 * NS


# --- pulled, not traded ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("price", "left", "traded", "dropped"),
    [
        (CLOSE, 147_000, 0, True),  # 49 % left, 15 bps away
        (CLOSE, 150_000, 0, False),  # exactly half
        (CLOSE, 0, 0, True),
        (CLOSE, 147_000, 4_000, False),  # what was traded did not vanish
        (CLOSE, 147_000, 2_000, True),
        (CLOSE, 0, 300_000, False),
        (FAR, 0, 0, False),  # price did not come near
    ],
)
def test_a_wall_that_vanishes_untraded_as_price_comes_near_is_dropped_at_once(
    price: float, left: float, traded: float, dropped: bool
) -> None:
    scene = standing_wall(price)
    scene.tracker.on_trade(price, traded * price)
    scene.set(price, left)
    scene.run(1)
    assert (scene.asks() == []) == dropped


def test_a_pulled_bid_wall_is_dropped_too() -> None:
    scene = Scene()
    scene.set(99.85, 300_000, Side.BUY)
    scene.run(61)
    assert [wall.price for wall in scene.walls().bids] == [pytest.approx(99.85)]
    scene.set(99.85, 100_000, Side.BUY)
    scene.run(1)
    assert scene.walls().bids == ()


def test_trades_elsewhere_or_before_do_not_explain_what_vanished() -> None:
    scene = standing_wall(CLOSE)
    scene.tracker.on_trade(CLOSE, 300_000 * CLOSE)
    scene.run(1)  # it was there after these
    scene.tracker.on_trade(100.005, 300_000 * 100)
    scene.set(CLOSE, 0)
    scene.run(1)
    assert scene.asks() == []


def test_a_wall_that_vanished_far_away_is_dropped_when_price_comes_near() -> None:
    scene = standing_wall(100.45)
    scene.set(100.45, 0)
    scene.run(5)
    assert scene.asks()
    scene.rise_to(100.2)
    scene.run(1)  # mid 100.225: 22 bps
    assert scene.asks()
    scene.rise_to(100.25)
    scene.run(1)  # mid 100.3: 15 bps
    assert scene.asks() == []


@pytest.mark.parametrize("standing_s", [1, 60])
def test_a_wall_pulled_as_price_turns_away_is_dropped(standing_s: int) -> None:
    scene = Scene()
    scene.set(CLOSE, 300_000)
    scene.run(standing_s)  # near, the last time it was there
    scene.fall_to(99.7)
    scene.set(CLOSE, 0)
    scene.run(1)
    scene.set(CLOSE, 300_000)
    scene.run(60)
    assert scene.asks() == []  # a new wall with a new age
    scene.run(1)
    assert scene.asks()


def test_a_wall_that_shrinks_while_price_is_near_and_vanishes_later_is_dropped() -> None:
    scene = standing_wall(100.25)  # 25 bps
    scene.rise_to(100.1)
    scene.set(100.25, 190_000)
    scene.run(1)  # 63 % left, mid 100.125: 12 bps
    assert scene.asks()
    scene.fall_to(99.9)
    scene.set(100.25, 100_000)
    scene.run(1)
    assert scene.asks() == []


def test_trades_in_another_wall_do_not_explain_what_vanished() -> None:
    scene = Scene()
    scene.set(100.05, 300_000)
    scene.set(CLOSE, 300_000)
    scene.run(61)
    assert len(scene.asks()) == 2
    scene.tracker.on_trade(100.05, 300_000 * 100.05)
    scene.set(100.05, 0)
    scene.set(CLOSE, 0)
    scene.run(1)
    assert [round(price, 1) for price in scene.asks()] == [100.0]


# --- candidates and identity ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("quantity", "candidate"),
    [(SMALL * 4, True), (SMALL * 4 - 100, False)],  # in a bucket that already holds SMALL: 5 times the others, or not
)
def test_a_candidate_has_five_times_the_ordinary_bucket(quantity: float, candidate: bool) -> None:
    scene = Scene()
    for i in range(1, 20):  # the same USD in every bucket, so that the median is plain
        price = round(100.05 + 0.1 * i, 3)
        scene.set(price, 2 * M / price)
    scene.set(101.05, 2 * M / SMALL * (SMALL + quantity) / 101.05)
    scene.run(61)
    assert bool(scene.asks()) == candidate


@pytest.mark.parametrize(("worth", "candidate"), [(25_000_000, False), (25_000_100, True)])
def test_an_institutional_size_is_a_candidate_in_any_company(worth: float, candidate: bool) -> None:
    scene = Scene()
    for i in range(1, 20):
        scene.set(round(100.05 + 0.1 * i, 3), 20 * M / 100)
    scene.set(101.05, worth / 101.05)
    scene.run(61)
    assert bool(scene.asks()) == candidate


def test_the_threshold_of_a_coin_can_be_set() -> None:
    params = WallParams(institutional_usd={"BTC": Decimal(1_900_000), "ETH": Decimal(5)})
    scene = Scene(params=params)
    assert scene.walls().institutional_usd == 1_900_000
    assert len(scene.asks()) > 3  # every ordinary bucket is institutional then
    assert Scene().walls().institutional_usd == 25_000_000


def test_a_wall_keeps_its_identity_while_the_buckets_move() -> None:
    scene = standing_wall(FAR)
    before = scene.walls().asks
    scene.rise_to(100.16)
    scene.run(1)
    assert scene.walls().asks == before
    scene.load()  # the same wall is not in this book
    scene.run(31)
    assert scene.asks() == []


def test_a_size_added_to_a_wall_counts_once_it_has_stood() -> None:
    scene = standing_wall(FAR, 100_000)
    scene.set(FAR, 400_000)
    scene.run(47)
    assert scene.walls().asks[0].usd == pytest.approx(100_000 * FAR)
    scene.run(1)
    assert scene.walls().asks[0].usd == pytest.approx(400_000 * FAR)
    scene.set(FAR, 120_000)  # now it is measured against what it had become
    scene.run(31)
    assert scene.asks() == []


def test_a_smaller_wall_is_reported_as_it_is() -> None:
    scene = standing_wall(FAR)
    scene.set(FAR, 250_000)
    scene.run(1)
    assert scene.walls().asks[0].usd == pytest.approx(250_000 * FAR)


def test_what_stands_out_no_more_is_gone_after_30_s() -> None:
    scene = standing_wall(FAR, 110_000)
    for i in range(1, 20):
        if i != 10:
            scene.set(round(100.05 + 0.1 * i, 3), 60_000)
    scene.run(30)
    assert scene.asks()
    scene.run(1)
    assert scene.asks() == []


def test_two_sizes_in_one_band_are_one_wall_at_their_mean_price() -> None:
    scene = Scene()
    scene.set(101.04, 300_000)
    scene.set(101.06, 100_000)
    scene.run(61)
    (wall,) = scene.walls().asks
    mean = (101.04 * 300_000 + 101.05 * SMALL + 101.06 * 100_000) / (400_000 + SMALL)
    assert wall.price == pytest.approx(mean)
    assert wall.usd == pytest.approx(mean * (400_000 + SMALL))


# --- the reading ----------------------------------------------------------------------------------------------------


def test_the_largest_three_within_5_percent() -> None:
    scene = Scene(reach=8.0)
    for price, quantity in ((100.55, 150_000), (101.05, 230_000), (101.55, 220_000), (104.95, 200_000), (105.1, 9 * M)):
        scene.set(price, quantity)
    scene.run(61)
    assert scene.asks() == [pytest.approx(price) for price in (101.05, 101.55, 104.95)]


def test_a_nearer_institutional_wall_is_not_hidden_by_three_larger_ones_behind_it() -> None:
    scene = Scene(reach=8.0)
    near, small = (100.55, 300_000), (100.25, 60_000)  # 30.2 million USD, and 6 million
    for price, quantity in (small, near, (101.05, 500_000), (101.55, 400_000), (102.05, 450_000)):
        scene.set(price, quantity)
    scene.run(61)
    assert scene.asks() == [pytest.approx(price) for price in (101.05, 102.05, 101.55, 100.55)]


def test_a_wall_that_is_left_more_than_5_percent_behind_is_not_reported() -> None:
    scene = Scene(reach=8.0)
    scene.set(104.95, 350_000)
    scene.run(61)
    assert scene.asks()
    scene.fall_to(99.9)
    scene.run(1)  # mid 99.875, 5.08 %
    assert scene.asks() == []


def test_a_wall_that_price_has_passed_is_not_reported() -> None:
    scene = standing_wall(CLOSE)
    scene.rise_to(100.3)
    scene.tracker.on_trade(CLOSE, 300_000 * CLOSE)
    scene.run(1)
    assert scene.asks() == []


@pytest.mark.parametrize(("sampled_s", "there"), [(60, False), (61, True)])
def test_the_reading_is_missing_until_the_book_was_watched_long_enough(sampled_s: int, there: bool) -> None:
    walls, partial, reason = Scene(sampled_s=sampled_s).tracker.reading()
    if there:
        assert walls is not None
        assert (partial, reason) == (False, "")
    else:
        assert (walls, partial, reason) == (None, False, "59 s of 60 s sampled")


@pytest.mark.parametrize(("reach", "partial"), [(4.99, True), (5.0, False), (5.01, False)])
def test_a_book_that_does_not_reach_5_percent_is_partial(reach: float, partial: bool) -> None:
    scene = Scene(reach=reach)
    walls, is_partial, reason = scene.tracker.reading()
    assert walls is not None
    assert [walls.ask_coverage_pct, walls.bid_coverage_pct] == pytest.approx([reach, reach])
    assert is_partial == partial
    assert reason == (f"book seen to +{reach:.2f} % and -{reach:.2f} %" if partial else "")


def test_an_unusable_book_forgets_everything() -> None:
    scene = standing_wall(FAR)
    crossed = BookDiff("BTCUSDT", 10**6, 10**6, 10**6 - 1, 0, [], [])
    assert scene.book.apply_diff(crossed) is not None
    scene.run(1)
    assert scene.tracker.reading() == (None, False, "no usable book")
    scene._id = 10**6
    scene.load()
    scene.set(FAR, 300_000)
    scene.run(60)
    assert scene.tracker.reading()[0] is None
    scene.run(1)
    assert len(scene.asks()) == 1


@pytest.mark.parametrize(("hole_s", "forgotten"), [(5, False), (6, True)])
def test_a_hole_in_the_sampling_starts_over(hole_s: int, forgotten: bool) -> None:
    scene = standing_wall(FAR)
    scene.now += (hole_s - 1) * NS
    scene.run(1)
    assert (scene.tracker.reading()[0] is None) == forgotten


def test_the_walls_of_the_reference() -> None:
    data = json.loads(FIXTURE.read_text())
    asks = [(price, quantity) for price, quantity in data["asks"]]
    bids = [(2 * data["mid"] - price, quantity) for price, quantity in asks]
    book, tracker = Book(), WallTracker(WallParams(), "BTC", "binanceusdm")
    assert book.apply_snapshot(BookSnapshot(None, 1, 0, bids, asks)) is None
    for second in range(61):
        tracker.sample(book, T0 + second * NS)
    buckets = book.bucket_usd(Side.SELL)
    for wanted in data["top3"]:
        assert buckets[wanted["bucket"]] == pytest.approx(wanted["usd"])
    walls, _, _ = tracker.reading()
    assert walls is not None
    in_band = [(p, q) for p, q in asks if abs(p - data["top3"][0]["vwap"]) <= 0.0005 * data["top3"][0]["vwap"]]
    worth = sum(price * quantity for price, quantity in in_band)
    (wall,) = walls.asks  # only the first is over five medians (436,393 USD)
    assert [wall.usd, wall.price] == pytest.approx([worth, worth / sum(quantity for _, quantity in in_band)])
