"""Trades of the past joined to the stream: what counts as one unbroken hour, and what does not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from itertools import groupby

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.domain.trades import PastTrade
from bot.domain.values import MS, NS
from bot.market import past_trades
from bot.market.flow import DAY_NS, HOUR_NS, MINUTE_NS, WhaleFlow, WhaleParams, micro_usd
from bot.market.past_trades import AWAITED_NS, PastJoin

T0 = 1_700_000_000 * NS
LATE_NS = 40 * MS  # from the venue to us
WHALE = 200_000.0
Rows = Sequence[tuple[int, int, float]]
"""Number, the venue's time in ns, USD: below 0 where the taker sold."""


def past(rows: Rows) -> list[PastTrade]:
    return [PastTrade(number, 1.0, abs(usd), usd > 0, at_ns) for number, at_ns, usd in rows]


class Stream:
    """Live trades, which reach us late; in columns where several are of one second."""

    def __init__(self) -> None:
        self.flow = WhaleFlow(WhaleParams())
        self.join = PastJoin(self.flow)

    def live(self, rows: Rows, late_ns: int = LATE_NS) -> None:
        for number, at_ns, usd in rows:
            micro, now_ns = micro_usd(1.0, abs(usd)), at_ns + late_ns
            if self.join.waiting:
                self.join.add(number, micro, usd > 0, at_ns, now_ns)
            else:
                self.flow.add(micro, usd > 0, at_ns, now_ns)
                self.join.last_id = number

    def live_in_columns(self, rows: Rows) -> None:
        for _, second in groupby(rows, lambda row: (row[1] + LATE_NS) // NS):
            ids, stamps, usds = zip(*second, strict=True)
            worths = [micro_usd(1.0, abs(usd)) * (1 if usd > 0 else -1) for usd in usds]
            times = [at_ns + LATE_NS for at_ns in stamps]
            if self.join.waiting:
                self.join.add_all(ids, worths, stamps, times)
            else:
                self.flow.add_all(worths, stamps, times)
                self.join.last_id = ids[-1]

    def gap(self) -> None:
        self.join.gap()
        self.flow.gap()

    def past(self, rows: Rows) -> None:
        self.join.take(past(rows))

    def lacks(self, now_ns: int) -> str:
        return self.flow.value(now_ns)[1]


def every(seconds: int, first: int, start_ns: int, count: int, usd: float = 1000.0) -> Rows:
    return [(first + k, start_ns + k * seconds * NS, usd) for k in range(count)]


HOUR_BEFORE = every(60, 100, T0 - HOUR_NS, 60)  # numbers 100 to 159, the last one a minute ago


@pytest.mark.parametrize(
    ("live_from", "lacks"),
    [
        pytest.param(160, "", id="the next number"),
        pytest.param(161, "0 s of 3600 s unbroken", id="one is missing"),
        pytest.param(1000, "0 s of 3600 s unbroken", id="many are missing"),
    ],
)
@pytest.mark.parametrize("first", ["the past", "the stream"])
def test_an_hour_counts_where_no_number_is_missing(live_from: int, lacks: str, first: str) -> None:
    stream = Stream()
    if first == "the past":
        stream.past(HOUR_BEFORE)
        assert stream.lacks(T0) == "nothing received yet"
    stream.live([(live_from, T0, WHALE)])
    if first == "the stream":
        assert stream.lacks(T0 + LATE_NS) == "0 s of 3600 s unbroken"
        stream.past(HOUR_BEFORE)
    assert stream.lacks(T0 + LATE_NS) == lacks


def test_what_overlaps_counts_once() -> None:
    live = every(1, 150, T0, 20, WHALE)
    alone, stream = Stream(), Stream()
    alone.live([*every(1, 140, T0 - 10 * NS, 10, WHALE), *live])
    stream.live(live[:5])
    stream.past([*every(1, 140, T0 - 10 * NS, 10, WHALE), *live[:8]])
    assert stream.join.waiting, "nothing has come that is newer than the past"
    stream.live(live[5:])
    now_ns = T0 + 20 * NS
    assert not stream.join.waiting
    assert stream.flow.totals(now_ns) == alone.flow.totals(now_ns) == (30 * round(WHALE * 1e6), 0, 30)


@pytest.mark.parametrize(("missing_ns", "lacks"), [(0, ""), (1, "3599 s of 3600 s unbroken")])
def test_less_than_an_hour_is_told_as_such(missing_ns: int, lacks: str) -> None:
    stream = Stream()
    stream.live([(11, T0, 1.0)])
    stream.past([(10, T0 - HOUR_NS + missing_ns, 1.0)])
    assert stream.lacks(T0 + LATE_NS) == lacks
    assert stream.lacks(T0 + LATE_NS + missing_ns) == ""


def test_a_venue_whose_clock_is_ahead_or_behind_does_not_make_the_hour_longer() -> None:
    for late_ns in (-5 * NS, 5 * NS):
        stream = Stream()
        stream.live([(11, T0, 1.0)], late_ns)
        stream.past([(10, T0 - HOUR_NS, 1.0)])
        assert (stream.lacks(T0 + late_ns), stream.lacks(T0 + late_ns - 1)) == ("", "3599 s of 3600 s unbroken")


def test_an_order_that_the_border_cuts_is_one() -> None:
    stream = Stream()
    stream.live([(12, T0, 30_000.0), (13, T0 + MS, 60_000.0)])
    assert stream.flow.totals(T0 + LATE_NS)[2] == 0
    stream.past([(10, T0 - HOUR_NS, 1.0), (11, T0, 70_000.0)])
    assert stream.flow.totals(T0 + NS) == (100_000 * 10**6, 0, 1)


def test_whales_of_the_past_count_for_fifteen_minutes_of_their_own_time() -> None:
    stream = Stream()
    stream.live([(160, T0, 1.0)])
    stream.past([*HOUR_BEFORE[:50], (150, T0 - 10 * MINUTE_NS, -WHALE), *every(1, 151, T0 - 9 * NS, 9, WHALE)])
    bought, sold, orders = stream.flow.totals(T0 + LATE_NS)
    assert (bought, sold, orders) == (9 * round(WHALE * 1e6), round(WHALE * 1e6), 10)
    assert stream.flow.totals(T0 + 6 * MINUTE_NS)[1] == 0


def test_the_percentile_is_not_known_before_a_day_from_the_oldest_trade() -> None:
    stream = Stream()
    stream.live([(160, T0, 1.0)])
    stream.past([(number, at_ns, 500_000.0) for number, at_ns, _ in HOUR_BEFORE])
    oldest_ns = HOUR_BEFORE[0][1] + LATE_NS
    stream.live([(161, oldest_ns + DAY_NS - 2 * NS, 1.0), (162, oldest_ns + DAY_NS - NS, 1.0)], 0)
    assert stream.flow.threshold_usd == 100_000
    stream.live([(163, oldest_ns + DAY_NS, 1.0)], 0)
    assert stream.flow.threshold_usd > 400_000, "and then of the past too"


def test_what_comes_too_late_changes_nothing() -> None:
    stream = Stream()
    stream.live([(160, T0, 1.0), (161, T0 + AWAITED_NS + 1, 1.0)])
    assert not stream.join.waiting
    stream.past(HOUR_BEFORE)
    assert stream.lacks(T0 + AWAITED_NS + 1 + LATE_NS) == "600 s of 3600 s unbroken"


def test_no_more_is_kept_than_so_many_trades(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(past_trades, "MOST_HELD", 3)
    stream = Stream()
    for count, number in enumerate(range(160, 164), 1):
        assert stream.join.waiting
        stream.live([(number, T0, 1.0)])
        assert stream.join.waiting is (count <= 3)


# --- after a break --------------------------------------------------------------------------------------------------


def an_hour_of_stream() -> Stream:
    stream = Stream()
    stream.live(every(60, 100, T0 - HOUR_NS, 60, WHALE))
    stream.gap()
    stream.live([(165, T0 + 10 * NS, WHALE)])
    return stream


@pytest.mark.parametrize(
    ("found", "lacks", "orders"),
    [
        pytest.param((160, 165), "", 20, id="from the break on"),
        pytest.param((150, 166), "", 20, id="overlaps on both sides"),
        pytest.param((161, 165), "5 s of 3600 s unbroken", 19, id="not as far as the break"),
        pytest.param((160, 164), "0 s of 3600 s unbroken", 19, id="not as far as the stream"),
    ],
)
def test_a_hole_is_mended_where_no_number_is_missing(found: tuple[int, int], lacks: str, orders: int) -> None:
    stream = an_hour_of_stream()
    stream.past([(number, T0 + (number - 156) * NS, WHALE) for number in range(*found)])
    stream.live([(166, T0 + 10 * NS, 1.0)])
    assert stream.lacks(T0 + 10 * NS + LATE_NS) == lacks
    assert stream.flow.totals(T0 + 10 * NS + LATE_NS)[2] == orders


@pytest.mark.parametrize("newest", [61, 60], ids=["up to the break", "from a moment before it"])
def test_a_break_in_which_nothing_was_traded_is_none(newest: int) -> None:
    stream = Stream()
    stream.live([(1, T0 - HOUR_NS, 1.0), *every(60, 2, T0 - HOUR_NS, 60)])
    stream.gap()
    stream.past([(number, T0, 1.0) for number in range(50, newest + 1)])
    stream.live([(62, T0, 1.0)])
    assert stream.lacks(T0 + LATE_NS) == ""


def test_a_break_before_the_past_came_loses_nothing_that_it_tells() -> None:
    stream = Stream()
    stream.live(every(1, 160, T0, 5, WHALE))
    stream.gap()
    stream.live(every(1, 170, T0 + 10 * NS, 5, WHALE))
    stream.past([*HOUR_BEFORE, *every(1, 160, T0, 12, WHALE)])
    now_ns = T0 + 15 * NS
    assert stream.lacks(now_ns) == "" and stream.flow.totals(now_ns)[2] == 15


def test_a_past_of_before_the_newest_break_is_not_taken_for_one_of_it() -> None:
    stream = Stream()
    stream.past(HOUR_BEFORE)
    stream.gap()
    stream.live([(160, T0, 1.0)])
    assert stream.lacks(T0 + LATE_NS) == "0 s of 3600 s unbroken" and stream.join.waiting


# --- any cut --------------------------------------------------------------------------------------------------------

TRADES = st.lists(
    st.tuples(st.integers(0, 40_000) | st.integers(0, 100), st.floats(-400_000.0, 400_000.0).filter(bool)),
    min_size=4,
    max_size=25,
)


@settings(max_examples=40, deadline=None)
@given(TRADES, st.data())
def test_wherever_it_is_cut_flow_is_that_of_one_unbroken_stream(
    steps: Iterable[tuple[int, float]], data: st.DataObject
) -> None:
    rows, at_ns = [], T0
    for number, (step_ms, usd) in enumerate(steps):
        at_ns += step_ms * MS
        rows.append((number, at_ns, usd))
    cut = data.draw(st.integers(1, len(rows) - 1), label="first live trade")
    until = data.draw(st.integers(cut, len(rows) - 1), label="end of the past")
    seen = data.draw(st.integers(cut, len(rows)), label="live trades when the past came")
    whole, joined = Stream(), Stream()
    whole.live(rows)
    live = data.draw(st.sampled_from([joined.live, joined.live_in_columns]), label="how live trades come")
    live(rows[cut:seen])
    joined.past(rows[:until])
    live(rows[seen:])
    now_ns = rows[-1][1] + LATE_NS
    assert joined.flow.totals(now_ns) == whole.flow.totals(now_ns)
    assert joined.flow.value(now_ns) == whole.flow.value(now_ns)
    assert joined.flow.threshold_usd == whole.flow.threshold_usd == Decimal(100_000)
