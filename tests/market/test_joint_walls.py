"""Walls over the books of several venues: one identity, who is named, how far they reach, and a venue that goes away."""

from __future__ import annotations

from decimal import Decimal

import pytest

from bot.domain.market import BookSnapshot
from bot.domain.reading import Walls
from bot.domain.values import NS, Side
from bot.market.book import Book
from bot.market.walls import Joint, WallParams, WallTracker

T0 = 1_700_000_000 * NS
SMALL = 20_000.0  # base in every ordinary bucket: about 2M USD
FAR = 101.05
PARAMS = WallParams(min_age_s=10, institutional_usd={"BTC": Decimal(10**12)})


def book(reach: float = 6.0, mid: float = 100.0, last_id: int = 1, far: float = 0.0, streamed: bool = True) -> Book:
    made = Book()
    load(made, reach, mid, last_id, far, streamed)
    return made


def load(
    into: Book, reach: float = 6.0, mid: float = 100.0, last_id: int = 1, far: float = 0.0, streamed: bool = True
) -> None:
    offsets = [0.005, *(0.05 + 0.1 * i for i in range(1, 20) if 0.05 + 0.1 * i < reach), reach]
    bids = [(round(mid - offset, 3), SMALL) for offset in offsets]
    asks = [(round(mid + offset, 3), SMALL) for offset in offsets]
    if far:
        asks = [level for level in asks if level[0] != FAR] + [(FAR, far)]
    assert into.apply_snapshot(BookSnapshot(None, last_id, 0, bids, sorted(asks), streamed)) is None


class Scene:
    """Three venues, sampled once a second; `home` is where we trade."""

    def __init__(self, far: float = 60_000) -> None:
        self.home, self.one, self.two = book(), book(mid=100.02, far=far), book(mid=99.98, far=far)
        self.others = {"one": self.one, "two": self.two}
        self.tracker = WallTracker(PARAMS, "BTC", "home")
        self.now = T0
        self.run(30)

    def run(self, seconds: int) -> None:
        for _ in range(seconds):
            self.now += NS
            self.tracker.sample(self.home, self.now, self.others)

    def walls(self) -> Walls:
        walls, _, reason = self.tracker.reading()
        assert walls is not None, reason
        return walls

    def asks(self) -> list[tuple[float, tuple[str, ...]]]:
        return [(wall.price, wall.venues) for wall in self.walls().asks]


@pytest.mark.parametrize(("far", "seen"), [(119_000.0, False), (121_000.0, True)])
def test_sizes_of_venues_at_one_price_are_one_wall(far: float, seen: bool) -> None:
    """Five ordinary buckets of three venues are 300,000 base: what two show there, and 60,000 of ordinary orders."""
    walls = Scene(far).walls().asks
    assert bool(walls) is seen
    for wall in walls:
        assert wall.price == pytest.approx(FAR, rel=1e-4)
        assert wall.venues == ("one", "two")
        assert wall.usd == pytest.approx(FAR * (2 * far + 3 * SMALL), rel=1e-3)


@pytest.mark.parametrize(("far", "named"), [(82_000.0, False), (82_500.0, True)])
def test_a_venue_is_named_from_a_tenth_of_the_wall_on(far: float, named: bool) -> None:
    """900,000 base on one venue, 20,000 at home: 102,222 of the other are a tenth, 20,000 of them ordinary orders."""
    scene = Scene(880_000)
    load(scene.two, mid=99.98, last_id=2, far=far)
    scene.tracker.reset()
    scene.run(20)
    ((_, venues),) = scene.asks()
    assert venues == (("one", "two") if named else ("one",))


def test_coverage_is_that_of_the_book_that_reaches_farthest_on_each_side() -> None:
    scene = Scene()
    for each, reach in ((scene.home, 0.5), (scene.one, 3.0), (scene.two, 1.0)):
        load(each, reach, last_id=9)
    scene.run(1)
    walls, partial, reason = scene.tracker.reading()
    assert walls is not None and partial
    assert [walls.ask_coverage_pct, walls.bid_coverage_pct] == pytest.approx([3.0, 3.0])
    assert "books of home, one, two" in reason


def test_all_books_are_measured_from_the_first_ones_anchor() -> None:
    home, other = book(mid=100.0), book(mid=100.5)
    joint = Joint({"home": home, "other": other})
    assert other.anchor_price == home.anchor_price == pytest.approx(100.0)
    whole = [sum(usd) for usd in zip(home.bucket_usd(Side.SELL), other.bucket_usd(Side.SELL), strict=True)]
    assert joint.bucket_usd(Side.SELL) == whole


@pytest.mark.parametrize(("away_s", "same"), [(1, True), (3, True), (4, True), (5, False), (10, False)])
def test_a_venue_whose_book_is_replaced_quickly_keeps_its_walls(away_s: int, same: bool) -> None:
    """Nobody looks for up to four seconds, for half of what stands there is only out of sight. After that its walls are forgotten:
    when it comes back they are new."""
    scene = Scene(far=160_000)
    (before,) = scene.walls().asks
    scene.two.reset()
    scene.run(away_s)
    load(scene.two, mid=99.98, last_id=5, far=160_000)
    scene.run(15)
    (after,) = scene.walls().asks
    assert after.venues == ("one", "two")
    assert (after.first_seen_ns == before.first_seen_ns) is same


def test_a_venue_that_stays_away_takes_the_walls_it_had_a_part_in_and_leaves_the_others() -> None:
    scene = Scene(far=160_000)
    scene.home.reset()
    load(scene.home, last_id=5)
    bids = [(98.95, 3_000_000.0)]
    scene.home._bids.apply(bids)
    scene.run(20)
    (kept,) = scene.walls().bids
    assert kept.venues == ("home",)
    del scene.others["two"]
    scene.run(4)
    assert scene.walls().asks[0].venues == ("one", "two"), "as it was last seen"
    scene.run(1)
    assert scene.walls().asks == ()
    assert [wall.first_seen_ns for wall in scene.walls().bids] == [kept.first_seen_ns]


def test_a_venue_that_joins_does_not_disturb_what_stands() -> None:
    scene = Scene(far=500_000)
    del scene.others["two"]
    scene.tracker.reset()
    scene.run(20)
    (before,) = scene.walls().asks
    assert before.venues == ("one",)
    scene.others["two"] = scene.two
    scene.run(20)
    (after,) = scene.walls().asks
    assert (after.first_seen_ns, after.venues) == (before.first_seen_ns, ("one", "two"))
    assert after.usd == pytest.approx(FAR * (2 * 500_000 + 3 * SMALL), rel=1e-3)


def test_a_book_that_cannot_be_used_is_not_looked_at() -> None:
    scene = Scene()
    scene.others["three"] = Book()
    scene.run(20)
    assert "three" not in scene.tracker._seen
