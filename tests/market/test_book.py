"""The order book: what it takes for a change to be applied, and that a usable book is never wrong."""

from __future__ import annotations

import json
import math
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.domain.market import BookDiff, BookSnapshot, Level
from bot.domain.values import Side
from bot.market import book as module
from bot.market.book import BUCKETS, BUFFERED, RECENT, SWEEP_AT, Book

WALLS = Path(__file__).resolve().parents[1] / "fixtures/quant/walls.json"
BIDS: list[Level] = [(99.0, 1.0), (98.0, 2.0), (97.0, 3.0)]
ASKS: list[Level] = [(101.0, 1.0), (102.0, 2.0), (103.0, 3.0)]


def snapshot(last_id: int, bids: list[Level] = BIDS, asks: list[Level] = ASKS) -> BookSnapshot:
    return BookSnapshot("BTCUSDT", last_id, 0, list(bids), list(asks))


def diff(
    first: int, last: int, prev: int | None, bids: list[Level] | None = None, asks: list[Level] | None = None
) -> BookDiff:
    return BookDiff("BTCUSDT", first, last, prev, 0, bids or [], asks or [])


def synced(bids: list[Level] = BIDS, asks: list[Level] = ASKS, last_id: int = 10) -> Book:
    book = Book()
    assert book.apply_snapshot(snapshot(last_id, bids, asks)) is None
    return book


def state(book: Book) -> tuple[list[Level], list[Level]]:
    return book.levels(Side.BUY, 10_000), book.levels(Side.SELL, 10_000)


def summed(levels: list[Level]) -> tuple[float, float]:
    return sum(price * quantity for price, quantity in levels), sum(quantity for _, quantity in levels)


# --- sequencing ----------------------------------------------------------------------------------------------------

OLD = "snapshot 10 older than the first change after it"
# Each script: messages with the reason they must give (None: fine), then the last id of the book (None: not usable).
SCRIPTS: list[tuple[str, list[tuple[Any, str | None]], int | None]] = [
    ("a snapshot is a book", [(snapshot(10), None)], 10),
    ("changes alone are not", [(diff(1, 5, 0), None), (diff(6, 8, 5), None)], None),
    ("before the snapshot: dropped", [(diff(1, 5, 0), None), (diff(6, 9, 5), None), (snapshot(10), None)], 10),
    ("the first spans it", [(diff(8, 12, 7), None), (snapshot(10), None)], 12),
    ("the first begins with it", [(diff(10, 12, 9), None), (snapshot(10), None)], 12),
    ("the first ends with it", [(diff(8, 10, 7), None), (snapshot(10), None), (diff(11, 12, 10), None)], 12),
    ("the first follows it", [(diff(15, 17, 10), None), (snapshot(10), None)], 17),
    ("the first is too late by one id", [(diff(11, 12, 9), None), (snapshot(10), OLD)], None),
    ("the first is too late", [(diff(15, 17, 14), None), (snapshot(10), OLD)], None),
    ("the same without a buffer", [(snapshot(10), None), (diff(15, 17, 14), OLD)], None),
    ("too late, then a newer snapshot", [(diff(15, 17, 14), None), (snapshot(10), OLD), (snapshot(16), None)], 17),
    (
        "a hole in the buffer",
        [(diff(9, 12, 8), None), (diff(16, 18, 15), None), (snapshot(10), "gap: expected pu 12, got 15")],
        None,
    ),
    (
        "after it the buffer is still good for the next snapshot",
        [
            (diff(9, 12, 8), None),
            (diff(16, 18, 15), None),
            (diff(19, 20, 18), None),
            (snapshot(10), "gap: expected pu 12, got 15"),
            (snapshot(17), None),
        ],
        20,
    ),
    ("a chain", [(snapshot(10), None), (diff(9, 12, 8), None), (diff(20, 22, 12), None), (diff(23, 23, 22), None)], 23),
    ("a gap", [(snapshot(10), None), (diff(9, 12, 8), None), (diff(16, 18, 15), "gap: expected pu 12, got 15")], None),
    ("ids without a hole are no chain", [(snapshot(10), None), (diff(9, 12, 8), None), (diff(13, 14, 11), "gap")], None),
    ("a duplicate is no gap", [(snapshot(10), None), (diff(9, 12, 8), None), (diff(9, 12, 8), None)], 12),
    ("nor is an older one", [(snapshot(10), None), (diff(9, 12, 8), None), (diff(3, 5, 2), None)], 12),
    (
        "a gap is healed by the next snapshot and the change that showed it",
        [(snapshot(10), None), (diff(9, 12, 8), None), (diff(16, 18, 15), "gap"), (snapshot(17), None)],
        18,
    ),
    ("a snapshot older than the book", [(snapshot(10), None), (diff(9, 12, 8), None), (snapshot(11), None)], 12),
    ("a newer one replaces it", [(snapshot(10), None), (diff(9, 12, 8), None), (snapshot(30), None)], 30),
    (
        "and the chain begins anew",
        [(snapshot(10), None), (diff(9, 12, 8), None), (snapshot(30), None), (diff(9, 12, 8), None), (diff(28, 33, 27), None)],
        33,
    ),
    ("no prev_id: ids follow", [(snapshot(10), None), (diff(11, 12, None), None), (diff(13, 15, None), None)], 15),
    ("no prev_id: the first spans it", [(snapshot(10), None), (diff(8, 12, None), None)], 12),
    ("no prev_id: old ones are dropped", [(diff(8, 10, None), None), (snapshot(10), None), (diff(11, 11, None), None)], 11),
    ("no prev_id: the first is too late", [(snapshot(10), None), (diff(12, 13, None), OLD)], None),
    (
        "no prev_id: a gap",
        [(snapshot(10), None), (diff(11, 12, None), None), (diff(14, 15, None), "gap: expected first id 13, got 14")],
        None,
    ),
    (
        "no prev_id: an overlap is a gap",
        [(snapshot(10), None), (diff(11, 13, None), None), (diff(13, 15, None), "gap: expected first id 14, got 13")],
        None,
    ),
    ("crossed", [(snapshot(10), None), (diff(9, 12, 8, [(101.5, 1.0)]), "crossed: bid 101.5 >= ask 101")], None),
    ("locked", [(snapshot(10), None), (diff(9, 12, 8, [], [(99.0, 1.0)]), "crossed: bid 99 >= ask 99")], None),
    ("no bids left", [(snapshot(10), None), (diff(9, 12, 8, [(99.0, 0.0), (98.0, 0.0), (97.0, 0.0)]), "no bids left")], None),
    ("no asks left", [(snapshot(10, BIDS, [(101.0, 1.0)]), None), (diff(9, 12, 8, [], [(101.0, 0.0)]), "no asks left")], None),
    ("crossed in the buffer", [(diff(9, 12, 8, [(101.0, 1.0)]), None), (snapshot(10), "crossed")], None),
    ("a crossed snapshot", [(snapshot(10, [(102.0, 1.0)]), "snapshot 10: crossed: bid 102 >= ask 101")], None),
    ("an empty side", [(snapshot(10, []), "snapshot 10: bids: no levels")], None),
    ("the other one", [(snapshot(10, BIDS, []), "snapshot 10: asks: no levels")], None),
    ("a price twice", [(snapshot(10, [(99.0, 1.0), (99.0, 2.0)]), "bids: a price twice")], None),
    ("a level without size", [(snapshot(10, BIDS, [(101.0, 0.0)]), "asks: a level without size")], None),
    (
        "a bad snapshot leaves the buffer for a good one",
        [(diff(9, 12, 8), None), (snapshot(10, []), "no levels"), (snapshot(10), None)],
        12,
    ),
    ("a bad newer snapshot ends a good book", [(snapshot(10), None), (snapshot(11, []), "no levels")], None),
]  # fmt: skip


@pytest.mark.parametrize(("script", "last_id"), [row[1:] for row in SCRIPTS], ids=[row[0] for row in SCRIPTS])
def test_sequencing(script: list[tuple[BookSnapshot | BookDiff, str | None]], last_id: int | None) -> None:
    book = Book()
    for message, reason in script:
        got = book.apply_diff(message) if isinstance(message, BookDiff) else book.apply_snapshot(message)
        assert (got is None) is (reason is None), got
        assert reason is None or reason in str(got)
    assert book.last_id == last_id
    assert book.usable is (last_id is not None)
    if last_id is None:
        nothing_to_see(book)


def nothing_to_see(book: Book) -> None:
    assert not book.usable
    assert (book.bid, book.ask, book.mid, book.bid_quantity, book.ask_quantity) == (None,) * 5
    assert (book.last_id, book.anchor_price) == (None, None)
    for side in Side:
        assert book.levels(side, 10) == []
        assert book.range_sums(side, 0.0, 1e18) == (0.0, 0.0)
        assert book.coverage_pct(side) == 0.0
        assert book.bucket_usd(side) == [0.0] * BUCKETS
    assert not book.reanchor_if_moved()


def test_a_new_book_shows_nothing() -> None:
    nothing_to_see(Book())


def test_the_buffered_changes_are_applied_on_the_snapshot_not_those_before_it() -> None:
    book = Book()
    for change in (diff(6, 9, 5, [(99.5, 7.0)]), diff(10, 12, 9, [(98.5, 4.0)]), diff(13, 14, 12, [(99.0, 0.0)])):
        book.apply_diff(change)
    assert book.apply_snapshot(snapshot(10)) is None
    assert book.levels(Side.BUY, 9) == [(98.5, 4.0), (98.0, 2.0), (97.0, 3.0)]


def test_a_change_that_ends_with_the_snapshot_tells_what_lies_beyond_it() -> None:
    book = synced()
    assert book.apply_diff(diff(8, 10, 7, [(90.0, 4.0)])) is None
    assert book.levels(Side.BUY, 9) == [*BIDS, (90.0, 4.0)]
    assert book.apply_diff(diff(8, 10, 7, [(90.0, 5.0)])) is None  # once
    assert book.levels(Side.BUY, 9) == [*BIDS, (90.0, 4.0)]


def test_a_snapshot_of_the_same_id_is_taken() -> None:
    book = synced()
    book.apply_snapshot(snapshot(10, [*BIDS, (90.0, 1.0)]))
    assert book.coverage_pct(Side.BUY) == 10.0


def test_nothing_of_the_old_book_is_spliced_into_the_new_one() -> None:
    book = synced()
    assert book.apply_diff(diff(9, 12, 8, [(96.0, 9.0)])) is None
    assert book.apply_diff(diff(20, 21, 19, [(95.0, 9.0)]))
    assert book.apply_snapshot(snapshot(30)) is None
    assert state(book) == (BIDS, ASKS)


def test_waiting_for_a_snapshot_is_bounded() -> None:
    book = Book()
    reasons = [book.apply_diff(diff(i, i, i - 1)) for i in range(1, BUFFERED + 2)]
    assert [i for i, reason in enumerate(reasons, 1) if reason] == [BUFFERED + 1]
    assert f"no snapshot within {BUFFERED}" in str(reasons[-1])
    assert book.apply_snapshot(snapshot(BUFFERED - 1)) == (
        f"snapshot {BUFFERED - 1} older than the first change after it, {BUFFERED + 1} to {BUFFERED + 1}"
    )


def test_a_full_buffer_is_applied() -> None:
    book = Book()
    assert not any(book.apply_diff(diff(i, i, i - 1)) for i in range(1, BUFFERED + 1))
    assert book.apply_snapshot(snapshot(1)) is None
    assert book.last_id == BUFFERED


def test_a_lost_feed_leaves_nothing() -> None:
    book = synced()
    book.reset()
    nothing_to_see(book)
    book.apply_diff(diff(15, 17, 14))
    book.reset()
    assert book.apply_snapshot(snapshot(10)) is None


def test_the_best_of_both_sides() -> None:
    book = synced()
    assert (book.bid, book.bid_quantity, book.ask, book.ask_quantity) == (99.0, 1.0, 101.0, 1.0)
    assert book.mid == 100.0
    book.apply_diff(diff(9, 12, 8, [(99.0, 0.0), (98.0, 5.0)], [(100.5, 0.25), (101.0, 4.0)]))
    assert (book.bid, book.bid_quantity, book.ask, book.ask_quantity) == (98.0, 5.0, 100.5, 0.25)
    assert book.mid == 99.25


def test_sizes_are_absolute_and_an_unknown_level_cannot_be_deleted() -> None:
    book = synced()
    assert (
        book.apply_diff(diff(9, 12, 8, [(98.0, 7.0), (50.0, 0.0)], [(102.5, 1.5), (103.0, 0.0), (500.0, 0.0)])) is None
    )
    assert state(book) == ([(99.0, 1.0), (98.0, 7.0), (97.0, 3.0)], [(101.0, 1.0), (102.0, 2.0), (102.5, 1.5)])


@pytest.mark.parametrize("count", [0, 1, 2, 3, 99])
def test_levels_come_best_first(count: int) -> None:
    book = synced(list(reversed(BIDS)), [ASKS[1], ASKS[0], ASKS[2]])
    assert book.levels(Side.BUY, count) == BIDS[:count]
    assert book.levels(Side.SELL, count) == ASKS[:count]


@pytest.mark.parametrize(
    ("low", "high", "bids", "asks"),
    [
        (97.0, 102.0, BIDS, ASKS[:2]),
        (97.5, 101.5, BIDS[:2], ASKS[:1]),
        (98.0, 98.0, BIDS[1:2], []),
        (102.0, 200.0, [], ASKS[1:]),
        (99.5, 100.5, [], []),
        (103.0, 97.0, [], []),
    ],
)
def test_a_range_includes_both_ends(low: float, high: float, bids: list[Level], asks: list[Level]) -> None:
    book = synced()
    assert book.range_sums(Side.BUY, low, high) == summed(bids)
    assert book.range_sums(Side.SELL, low, high) == summed(asks)


def test_coverage_reaches_to_the_last_level_of_the_snapshot() -> None:
    book = synced()
    assert book.coverage_pct(Side.BUY) == 3.0
    assert book.coverage_pct(Side.SELL) == 3.0
    book.apply_diff(diff(9, 12, 8, [(90.0, 1.0), (97.0, 0.0)], [(110.0, 1.0)]))
    assert (book.coverage_pct(Side.BUY), book.coverage_pct(Side.SELL)) == (3.0, 3.0)


def test_a_size_is_known_as_far_as_the_snapshot_reached() -> None:
    book = synced()
    last = book.levels(Side.BUY, 100)[-1][0]
    for side, inside, outside in ((Side.BUY, last, last - 0.1), (Side.SELL, 103.0, 103.1)):
        assert book.size_at(side, inside) == dict(book.levels(side, 100))[inside]
        assert book.size_at(side, outside) is None
    assert (book.size_at(Side.BUY, 98.95), book.size_at(Side.SELL, 101.05)) == (0.0, 0.0)
    book.apply_diff(diff(9, 12, 8, [(90.0, 1.5)], [(103.0, 0.0)]))
    assert (book.size_at(Side.BUY, 90.0), book.size_at(Side.BUY, 91.0)) == (1.5, None)
    assert book.size_at(Side.SELL, 103.0) == 0.0
    book.reset()
    assert book.size_at(Side.BUY, 99.0) is None


def test_coverage_shrinks_as_the_price_leaves_what_was_seen() -> None:
    book = synced()
    rise: list[Level] = [(101.0, 0.0), (102.0, 0.0), (103.0, 0.0), (105.0, 1.0)]
    book.apply_diff(diff(9, 12, 8, [(103.0, 1.0)], rise))
    assert book.mid == 104.0
    assert book.coverage_pct(Side.SELL) == 0.0
    assert book.coverage_pct(Side.BUY) == pytest.approx(7 / 104 * 100)


# --- buckets -------------------------------------------------------------------------------------------------------


def from_scratch(book: Book, side: Side) -> list[float]:
    """The sums as quant.md defines them; a level on the other side's ground of the anchor counts as the nearest."""
    anchor = book.anchor_price
    assert anchor is not None
    sums = [0.0] * BUCKETS
    for price, quantity in book.levels(side, 10_000):
        beyond = price > anchor if side is Side.BUY else price < anchor
        bucket = 0 if beyond else math.floor(abs(price - anchor) / anchor * 1e4 / 10)
        if bucket < BUCKETS:
            sums[bucket] += price * quantity
    return sums


def test_buckets_match_the_check_values() -> None:
    case = json.loads(WALLS.read_text())
    asks = [(price, quantity) for price, quantity in case["asks"]]
    book = synced([(2 * case["mid"] - asks[0][0], 1.0)], asks)
    assert book.mid == book.anchor_price == case["mid"]
    usd = book.bucket_usd(Side.SELL)
    ranked = sorted(range(BUCKETS), key=lambda bucket: -usd[bucket])
    assert ranked[:3] == [wall["bucket"] for wall in case["top3"]]
    for wall in case["top3"]:
        assert usd[wall["bucket"]] == pytest.approx(wall["usd"], abs=0.01)
        low, high = (case["mid"] * (1 + (wall["bucket"] + edge) / 1000) for edge in (0, 1))
        in_band_usd, base = book.range_sums(Side.SELL, low, high)
        assert in_band_usd / base == pytest.approx(wall["vwap"], abs=1e-6)
        assert (wall["vwap"] / case["mid"] - 1) * 1e4 == pytest.approx(wall["dist_bps"], abs=1e-3)
    assert (case["max_bps"], case["bucket_bps"]) == (BUCKETS * 10, 10)
    assert median(x for x in usd if x) == pytest.approx(case["median_nonempty_bucket_usd"], abs=0.01)


@pytest.mark.parametrize(
    ("distance", "bucket"), [(0.01, 0), (0.99, 0), (1.0, 1), (1.01, 1), (49.99, 49), (50.0, None), (500.0, None)]
)
def test_a_level_is_counted_by_its_distance_from_the_anchor(distance: float, bucket: int | None) -> None:
    book = synced([(1000 - distance, 2.0)], [(1000 + distance, 3.0)])
    for side, usd in ((Side.BUY, 2 * (1000 - distance)), (Side.SELL, 3 * (1000 + distance))):
        assert book.bucket_usd(side) == [usd if b == bucket else 0.0 for b in range(BUCKETS)]


def test_steps_are_the_buckets_of_both_sides_and_none_without_a_book() -> None:
    assert Book().steps() is None
    book = synced([(999.0, 1.0), (985.0, 2.0)], [(1001.0, 3.0)])
    steps = book.steps()
    assert steps is not None and steps.anchor == 1000.0
    assert (steps.ask_usd, steps.bid_usd) == (book.bucket_usd(Side.SELL), book.bucket_usd(Side.BUY))
    assert (steps.ask_coverage_pct, steps.bid_coverage_pct) == pytest.approx((0.1, 1.5))


@pytest.mark.parametrize("anchor", [95.0, 97.5, 100.0, 102.5, 120.0])
def test_an_anchor_may_be_anywhere(anchor: float) -> None:
    book = synced()
    book.anchor(anchor)
    book.apply_diff(diff(9, 12, 8, [(99.5, 2.0), (98.0, 0.0)], [(100.5, 3.0)]))
    for side in Side:
        assert book.bucket_usd(side) == pytest.approx(from_scratch(book, side))


def test_an_emptied_bucket_is_exactly_empty() -> None:
    book = synced()
    for i in range(1, 50):
        book.apply_diff(diff(10 + i, 10 + i, 9 + i, [(98.7, 0.1 * i), (98.8, 0.3 * i)]))
    book.apply_diff(diff(60, 60, 59, [(98.7, 0.0), (98.8, 0.0)]))
    assert book.bucket_usd(Side.BUY) == synced().bucket_usd(Side.BUY)


def test_the_anchor_stays_until_mid_has_moved_more_than_a_bucket() -> None:
    book = synced([(999.9, 1.0)], [(1000.1, 1.0)])
    assert book.anchor_price == 1000.0
    assert book.apply_diff(diff(10, 11, 9, [(1000.9, 1.0)], [(1000.1, 0.0), (1001.1, 1.0)])) is None
    assert book.mid == 1001.0
    assert not book.reanchor_if_moved()
    assert book.apply_diff(diff(12, 12, 11, [(1001.0, 1.0)])) is None
    assert book.bucket_usd(Side.BUY)[0] == pytest.approx(999.9 + 1000.9 + 1001.0)
    assert book.reanchor_if_moved()
    assert book.anchor_price == book.mid == 1001.05
    assert book.bucket_usd(Side.BUY)[:2] == pytest.approx([1000.9 + 1001.0, 999.9])
    assert not book.reanchor_if_moved()


def test_a_best_that_was_deleted_comes_back() -> None:
    book = synced()
    assert book.apply_diff(diff(9, 12, 8, [(99.0, 0.0)], [(101.0, 0.0)])) is None
    assert (book.bid, book.ask) == (98.0, 102.0)
    assert book.apply_diff(diff(13, 14, 12, [(99.0, 1.0)], [(101.0, 1.0)])) is None
    assert state(book) == (BIDS, ASKS)


def test_a_deleted_level_comes_back_into_the_bucket_of_its_distance_now() -> None:
    book = synced([(999.9, 1.0), (990.0, 2.0)], [(1000.1, 1.0)])
    assert book.apply_diff(diff(9, 12, 8, [(990.0, 0.0)])) is None
    book.anchor(995.0)
    assert book.apply_diff(diff(13, 14, 12, [(990.0, 2.0)])) is None
    assert book.bucket_usd(Side.BUY) == [999.9, *[0.0] * 4, 1980.0, *[0.0] * 44]


def test_prices_that_were_deleted_do_not_gather() -> None:
    book = synced()
    for i in range(5000):
        moved = [((1000 + i) / 100, 1.0), ((999 + i) / 100, 0.0)]
        assert book.apply_diff(diff(11 + i, 11 + i, 10 + i, moved)) is None
    assert len(book._bids.keys) == len(book._bids.levels) <= SWEEP_AT + 2 * len(BIDS) + 3
    assert book.levels(Side.BUY, 99) == [*BIDS, (59.99, 1.0)]


# --- properties: a venue that is always right, a line that is not --------------------------------------------------

ticks = st.tuples(st.integers(1, 300), st.integers(0, 5))
changes = st.tuples(st.lists(ticks, max_size=6), st.lists(ticks, max_size=6))
flicker = st.lists(st.tuples(st.integers(1, 6), st.integers(0, 1)), max_size=4)
step = st.one_of(
    st.tuples(st.just("deliver"), changes),
    st.tuples(st.just("deliver"), changes),
    st.tuples(st.just("lose"), changes),
    st.tuples(st.just("cross"), changes),
    st.tuples(st.just("repeat"), st.integers(1, 6)),
    st.tuples(st.just("late"), st.integers(1, 6)),
    st.tuples(st.just("snapshot"), st.integers(0, 4)),
    st.tuples(st.just("anchor"), st.just(0)),
)


class Venue:
    """The truth: every book it ever had, by id, and every change it ever sent. Prices are 100 ∓ ticks of 0.1."""

    def __init__(self) -> None:
        self.diffs: list[BookDiff] = []
        self.books: dict[int, tuple[dict[float, float], dict[float, float]]] = {}
        self._change(({99.0: 1.0}, {101.0: 1.0}), 1)

    def _change(self, book: tuple[dict[float, float], dict[float, float]], last_id: int) -> None:
        self.books[last_id] = book
        self.last_id = last_id

    def move(self, change: tuple[list[tuple[int, int]], list[tuple[int, int]]]) -> BookDiff:
        first, last = self.last_id + 2, self.last_id + 4
        bids = [(round(100 - t / 10, 1), float(q)) for t, q in change[0]]
        asks = [(round(100 + t / 10, 1), float(q)) for t, q in change[1]]
        message = BookDiff("X", first, last, self.last_id, 0, bids, asks)
        self._change((after(self.books[self.last_id][0], bids), after(self.books[self.last_id][1], asks)), last)
        self.diffs.append(message)
        return message

    def snapshot(self, back: int) -> BookSnapshot:
        last_id = list(self.books)[-1 - min(back, len(self.books) - 1)]
        bids, asks = self.books[last_id]
        return BookSnapshot("X", last_id, 0, list(bids.items()), list(asks.items()))


def after(levels: dict[float, float], change: list[Level]) -> dict[float, float]:
    """The naive model."""
    new = levels | dict(change)
    return {price: quantity for price, quantity in new.items() if quantity}


def agrees(book: Book, venue: Venue) -> None:
    """A usable book is exactly the venue's of that id, sorted and uncrossed; an unusable one shows nothing."""
    if not book.usable:
        nothing_to_see(book)
        return
    assert book.last_id is not None
    bids, asks = venue.books[book.last_id]
    assert state(book) == (sorted(bids.items(), reverse=True), sorted(asks.items()))
    assert book.bid is not None
    assert book.ask is not None
    assert book.bid < book.ask
    assert (book.bid, book.bid_quantity) == book.levels(Side.BUY, 1)[0]
    assert (book.ask, book.ask_quantity) == book.levels(Side.SELL, 1)[0]
    for side in Side:
        assert book.bucket_usd(side) == pytest.approx(from_scratch(book, side), abs=1e-6)


def play(book: Book, venue: Venue, kind: str, value: Any) -> None:
    if kind == "deliver":
        book.apply_diff(venue.move(value))
    elif kind == "lose":
        venue.move(value)
    elif kind == "cross":  # a damaged change: its ids are right, its prices are not
        good = venue.move(value)
        bad = BookDiff("X", good.first_id, good.last_id, good.prev_id, 0, [(150.0, 1.0)], [(50.0, 1.0)])
        book.apply_diff(bad)
        assert not book.usable
    elif kind == "repeat":
        for message in venue.diffs[-value:]:
            book.apply_diff(message)
    elif kind == "late" and len(venue.diffs) > value:
        book.apply_diff(venue.diffs[-value])
    elif kind == "snapshot":
        book.apply_snapshot(venue.snapshot(value))
    elif kind == "anchor":
        book.reanchor_if_moved()


@settings(max_examples=150, deadline=None)
@given(st.lists(step, max_size=40), st.sampled_from([SWEEP_AT, 0]))
def test_a_usable_book_is_the_venues_book(steps: list[tuple[str, Any]], sweep_at: int) -> None:
    """Whether deleted levels are kept for long, or swept as soon as they are half of all."""
    book, venue = Book(), Venue()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "SWEEP_AT", sweep_at)
        for kind, value in steps:
            play(book, venue, kind, value)
            agrees(book, venue)
    book.reset()
    assert book.apply_snapshot(venue.snapshot(0)) is None or not all(venue.books[venue.last_id])
    agrees(book, venue)


@settings(deadline=None)
@given(st.lists(st.tuples(flicker, flicker), max_size=20), st.sampled_from([SWEEP_AT, 0]))
def test_levels_come_and_go_where_the_best_are(moves: list[Any], sweep_at: int) -> None:
    book, venue = Book(), Venue()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "SWEEP_AT", sweep_at)
        book.apply_snapshot(venue.snapshot(0))
        for bids, asks in moves:
            assert book.apply_diff(venue.move(([*bids, (50, 1)], [*asks, (50, 1)]))) is None
            agrees(book, venue)


@settings(deadline=None)
@given(st.lists(changes, min_size=3, max_size=12), st.data())
def test_a_lost_change_is_noticed_with_the_next_one(moves: list[Any], data: st.DataObject) -> None:
    book, venue = Book(), Venue()
    first = venue.snapshot(0)
    never_empty: list[tuple[int, int]] = [(10, 1)]
    sent = [venue.move((move[0] + never_empty, move[1] + never_empty)) for move in moves]
    lost = data.draw(st.integers(0, len(sent) - 2))
    book.apply_snapshot(first)
    assert [book.apply_diff(message) for message in sent[:lost]] == [None] * lost
    assert book.apply_diff(sent[lost + 1])
    assert not book.usable


# --- a snapshot of a book that is usable ---------------------------------------------------------------------------


def narrow() -> Book:
    """Up to date with change 13, seen to 99 and 101; a snapshot was asked for after change 10."""
    book = Book()
    book.apply_snapshot(BookSnapshot(None, 10, 0, [(99.9, 1.0), (99.0, 1.0)], [(100.1, 1.0), (101.0, 1.0)]))
    book.expect_snapshot()
    for number in (11, 12, 13):
        book.apply_diff(BookDiff("BTCUSDT", number, number, number - 1, 0, [(99.8, float(number))], []))
    return book


def wide(last_id: int, best: float = 99.9) -> BookSnapshot:
    bids = [(best, 1.0), (99.8, float(last_id)), (99.0, 1.0), (90.0, 7.0)]
    return BookSnapshot(None, last_id, 0, bids, [(100.1, 1.0), (101.0, 1.0), (110.0, 7.0)])


@pytest.mark.parametrize("last_id", [11, 12])
def test_an_older_snapshot_widens_what_is_seen_and_changes_nothing_else(last_id: int) -> None:
    book = narrow()
    before = (book.last_id, book.bid, book.ask, book.levels(Side.BUY, 3))
    assert book.coverage_pct(Side.BUY) == pytest.approx(1.0)
    assert book.apply_snapshot(wide(last_id)) is None
    assert (book.last_id, book.bid, book.ask, book.levels(Side.BUY, 3)) == before
    assert book.coverage_pct(Side.BUY) == pytest.approx(10.0)
    assert book.size_at(Side.BUY, 90.0) == 7.0
    assert book.apply_diff(BookDiff("BTCUSDT", 14, 14, 13, 0, [(99.8, 0.0)], [])) is None
    assert book.size_at(Side.BUY, 99.8) == 0.0


@pytest.mark.parametrize("snapshot", [wide(9), wide(12, best=99.95)], ids=["changes since are gone", "another best"])
def test_an_older_snapshot_that_does_not_lead_to_the_same_book_is_passed_over(snapshot: BookSnapshot) -> None:
    book = narrow()
    assert book.apply_snapshot(snapshot) is None
    assert (book.usable, book.last_id, book.bid) == (True, 13, 99.9)
    assert book.coverage_pct(Side.BUY) == pytest.approx(1.0)


def test_a_snapshot_nobody_asked_for_or_that_comes_too_late_changes_nothing() -> None:
    for changes in (None, RECENT + 1):
        book = Book()
        book.apply_snapshot(BookSnapshot(None, 10, 0, [(99.9, 1.0), (99.0, 1.0)], [(100.1, 1.0), (101.0, 1.0)]))
        if changes is not None:
            book.expect_snapshot()
        for number in range(11, 11 + (changes or 3)):
            book.apply_diff(BookDiff("BTCUSDT", number, number, number - 1, 0, [(99.8, float(number))], []))
        assert book.apply_snapshot(wide(11)) is None
        assert book.usable and book.coverage_pct(Side.BUY) == pytest.approx(1.0)


def test_a_streamed_book_is_seen_to_the_last_level_it_shows() -> None:
    """Its venue takes levels away that go out of sight and adds those that come into it."""
    book = Book()
    book.apply_snapshot(BookSnapshot("X", 1, 0, [(99.0, 1.0), (98.0, 1.0)], [(101.0, 1.0), (102.0, 1.0)], True))
    assert book.coverage_pct(Side.BUY) == pytest.approx(2.0)
    book.apply_diff(BookDiff("X", 2, 2, 1, 0, [(97.0, 1.0)], []))
    assert book.coverage_pct(Side.BUY) == pytest.approx(3.0)
    book.apply_diff(BookDiff("X", 3, 3, 2, 0, [(97.0, 0.0), (98.0, 0.0)], []))
    assert book.coverage_pct(Side.BUY) == pytest.approx(1.0)
    assert book.coverage_pct(Side.SELL) == pytest.approx(2.0)


def test_an_older_snapshot_without_the_changes_that_lead_on_is_passed_over() -> None:
    book = Book()
    book.apply_snapshot(BookSnapshot(None, 10, 0, [(99.9, 1.0), (99.0, 1.0)], [(100.1, 1.0), (101.0, 1.0)]))
    assert book.apply_snapshot(wide(9)) is None
    assert (book.last_id, book.size_at(Side.BUY, 90.0)) == (10, None)
