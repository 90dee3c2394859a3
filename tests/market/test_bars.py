"""Bars from trades: whose trade is whose, when a bar ends, which bars count, and how history joins them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from bot.domain.market import Bar
from bot.domain.values import NS
from bot.market.bars import AHEAD_NS, GRACE_NS, BarParams, Bars
from bot.market.flow import MICRO

T0 = 1_700_000_100 * NS  # starts a bar of 60, 300 and 900 s
MINUTE = 60 * NS
assert T0 % (900 * NS) == 0


class Stream:
    """A trade stream whose stamps are `skew_ns` ahead of our clock. Times are seconds after T0, of the venue."""

    def __init__(self, skew_ns: int = 0, **params: int) -> None:
        self.bars = Bars(BarParams(**params))
        self.skew_ns = skew_ns
        self.trade_ns: int | None = None

    def trade(self, second: float, price: float = 100.0, usd: int = 1, buys: bool = True) -> None:
        exch_ns = T0 + round(second * NS)
        self.trade_ns = exch_ns - self.skew_ns
        self.bars.add(price, usd * MICRO, buys, exch_ns, self.trade_ns)

    def sample(self, second: float) -> None:
        self.sample_ns(T0 + round(second * NS))

    def sample_ns(self, venue_ns: int) -> None:
        self.bars.sample(venue_ns - self.skew_ns, self.trade_ns)

    def closed(self, width_s: int = 60) -> list[int]:
        """When the closed bars began, seconds after T0."""
        return [(bar.start_ns - T0) // NS for bar in self.bars.of(width_s).newest(1_000)]


def started(skew_ns: int = 0) -> Stream:
    """A stream that began in the minute before T0, so that the bar at T0 counts."""
    stream = Stream(skew_ns)
    stream.trade(-10)
    return stream


def bar(second: int, price: float = 50.0, width_s: int = 300) -> Bar:
    return Bar(T0 + second * NS, price, price + 1, price - 1, price, 10.0 * width_s, 5.0 * width_s, 7)


# --- whose trade is whose -------------------------------------------------------------------------------------------


def test_a_bar_is_what_was_traded_between_its_ends() -> None:
    stream = started()
    for second, price, usd, buys in (
        (0, 101.0, 5, True),
        (20, 103.0, 7, False),
        (30, 99.5, 11, True),
        (59.999, 100.5, 13, False),
        (60, 200.0, 1, True),
    ):
        stream.trade(second, price, usd, buys)
    assert stream.bars.of(60).newest(1) == (Bar(T0, 101.0, 103.0, 99.5, 100.5, 36.0, 16.0, 4),)


def test_wider_bars_are_folded_from_narrow_ones() -> None:
    stream = started()
    for minute, price in enumerate((101.0, 105.0, 98.0, 99.0)):  # none in the fifth minute
        stream.trade(60 * minute, price, 2)
        stream.trade(60 * minute + 30, price + 1, 3, buys=False)
    stream.trade(300)
    assert stream.bars.of(300).newest(1) == (Bar(T0, 101.0, 106.0, 98.0, 100.0, 20.0, 8.0, 8),)
    assert stream.closed(300) == [0]
    assert stream.closed(900) == []


@pytest.mark.parametrize("skew_ns", [-3 * NS, 0, 5 * NS])
@pytest.mark.parametrize(("after_ns", "there"), [(-1, False), (0, True)])
def test_a_bar_closes_a_grace_after_its_end_by_the_venues_clock(skew_ns: int, after_ns: int, there: bool) -> None:
    stream = started(skew_ns)
    stream.trade(0)
    stream.trade(59)
    stream.sample_ns(T0 + MINUTE + GRACE_NS + after_ns)
    assert stream.closed() == ([0] if there else [])


@pytest.mark.parametrize(("second", "there"), [(59.999, False), (60, True)])
def test_a_bar_closes_with_the_first_trade_of_a_later_one(second: float, there: bool) -> None:
    stream = started()
    stream.trade(0)
    stream.trade(second)
    assert stream.closed() == ([0] if there else [])


@pytest.mark.parametrize(("second", "late"), [(59.999, 1), (60, 0), (30, 1)])
def test_a_trade_of_a_closed_bar_is_left_out_and_counted(second: float, late: int) -> None:
    stream = started()
    stream.trade(0, 100.0)
    stream.trade(61, 100.0)
    stream.trade(second, 999.0)
    stream.trade(110, 100.0)
    stream.sample(130)
    assert stream.bars.late == late
    assert [each.high for each in stream.bars.of(60).newest(2)] == [100.0, 100.0 if late else 999.0]


def test_a_trade_of_an_empty_bar_that_has_passed_is_late_too() -> None:
    stream = started()
    stream.trade(59)
    stream.sample(62)
    stream.sample(119)
    assert stream.closed() == [0]
    stream.sample(122)  # silent for longer than a minute, too
    stream.trade(119)
    stream.trade(121)
    stream.trade(181)
    stream.trade(240)
    assert (stream.bars.late, stream.closed()) == (1, [180])


def test_the_start_of_a_bar_belongs_to_it_also_when_the_clock_closed_the_one_before() -> None:
    stream = started()
    stream.trade(0)
    stream.trade(59)
    stream.sample(62)
    stream.trade(60, 103.0)
    stream.trade(120)
    assert stream.bars.late == 0
    assert [each.open for each in stream.bars.of(60).newest(2)] == [100.0, 103.0]


def test_within_a_bar_the_order_of_arrival_counts() -> None:
    stream = started()
    stream.trade(30, 100.0)
    stream.trade(29, 98.0)  # the venue's stamps may go back
    stream.trade(60)
    (closed,) = stream.bars.of(60).newest(1)
    assert (closed.open, closed.close) == (100.0, 98.0)


@pytest.mark.parametrize(("ahead_ns", "taken"), [(AHEAD_NS, True), (AHEAD_NS + 1, False)])
def test_a_stamp_from_the_future_does_not_close_the_bars_until_then(ahead_ns: int, taken: bool) -> None:
    stream = started()
    stream.trade(0)
    stream.bars.add(999.0, 1, True, T0 + 200 * NS, T0 + 200 * NS - ahead_ns)
    assert stream.bars.ahead == (0 if taken else 1)
    assert stream.closed() == ([0] if taken else [])
    assert bool(stream.bars.left_out) != taken


# --- which bars count -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("first", "there"), [(-0.001, [0]), (0, []), (0.001, [])])
def test_the_bar_a_stream_began_in_does_not_count(first: float, there: list[int]) -> None:
    """Even with a first trade exactly at its start: another of the same millisecond may have gone before."""
    stream = Stream()
    stream.trade(first)
    stream.trade(30)
    stream.trade(60)
    assert stream.closed() == there


def test_a_bar_without_trades_is_a_hole_and_only_what_follows_it_is_answered() -> None:
    stream = Stream(max_silence_s=200)
    for minute in (-1, 0, 1, 2, 4, 5):
        stream.trade(60 * minute + 30)
        for second in range(60):
            stream.sample(60 * minute + 30 + second)
        assert stream.closed()[-1:] == [60 * minute] * (minute >= 0)
    assert stream.closed() == [240, 300]
    assert stream.closed(300) == [0]  # one minute without trades is no hole in five


@pytest.mark.parametrize(
    ("gap_at", "narrow", "wide"),
    [
        (130, [180, 240], []),  # in the third minute: it and the whole five minutes do not count
        (179, [180, 240], []),
        (None, [0, 60, 120, 180, 240], [0]),
    ],
)
def test_a_gap_spoils_the_bars_it_falls_into(gap_at: int | None, narrow: list[int], wide: list[int]) -> None:
    stream = started()
    for second in range(0, 301, 10):
        if second - 10 < (gap_at or -99) <= second:
            stream.bars.gap()
        stream.trade(second - 1)
    stream.trade(302)
    assert stream.closed()[:5] == narrow
    assert stream.closed(300) == wide


def test_a_gap_before_a_bar_was_closed_spoils_it_as_its_last_trades_may_be_missing() -> None:
    stream = started()
    stream.trade(0)
    stream.trade(59)
    stream.bars.gap()  # at 61 s, say
    stream.trade(62)
    stream.trade(120)
    stream.trade(180)
    assert stream.closed() == [120]


@pytest.mark.parametrize(("silent_s", "there"), [(60, [0, 60]), (60.001, [])])
def test_a_silent_stream_may_have_lost_trades(silent_s: float, there: list[int]) -> None:
    stream = started()
    stream.trade(0)
    stream.trade(30)
    stream.trade(59)
    stream.sample(59 + silent_s)
    stream.trade(59 + silent_s)
    stream.trade(125)
    assert stream.closed() == there


# --- answers --------------------------------------------------------------------------------------------------------


def test_answers_are_the_newest_oldest_first_and_no_more_than_kept() -> None:
    stream = Stream()
    for minute in range(-1, 1_202):
        stream.trade(60 * minute + 1)
        stream.trade(60 * minute + 31)
    assert stream.closed() == [60 * minute for minute in range(201, 1_201)]
    series = stream.bars.of(60)
    assert [each.start_ns for each in series.newest(2)] == [T0 + 1_199 * MINUTE, T0 + 1_200 * MINUTE]
    assert series.newest(0) == series.newest(-1) == ()
    assert series.end_ns == T0 + 1_201 * MINUTE
    assert stream.bars.get(61) is None


@pytest.mark.parametrize(
    ("widths_s", "refused"),
    [((300,), False), ((900, 60, 300), False), ((60, 300, 450), True), ((60, 900), True), ((0, 300), True), ((), True)],
)
def test_widths_that_cannot_be_folded_are_refused(widths_s: tuple[int, ...], refused: bool) -> None:
    if refused:
        with pytest.raises(ValidationError):
            BarParams(widths_s=widths_s)
    else:
        assert BarParams(widths_s=widths_s).widths_s == tuple(sorted(widths_s))


# --- history --------------------------------------------------------------------------------------------------------


def feed(stream: Stream, first_s: int, last_s: int) -> None:
    for second in range(first_s, last_s, 20):
        stream.trade(second)


@pytest.mark.parametrize(
    ("history", "first_trade", "expected"),
    [
        ([-600, -300], 10, [300, 600]),  # the bar under way began in its middle: a hole
        ([-600, -300, 0], 10, [-600, -300, 0, 300, 600]),  # history has it
        ([-600, -300], -5, [-600, -300, 0, 300, 600]),  # trades have it
        ([-600], -5, [0, 300, 600]),  # a hole before it
        ([-600, -300, 0, 300], -5, [-600, -300, 0, 300, 600]),  # no bar twice
        ([-1200, -600, -300], -5, [-600, -300, 0, 300, 600]),  # a hole in history
        ([-600, -300, 0, 900], 10, [-600, -300, 0, 300, 600]),  # nothing of the future
        ([], 10, [300, 600]),
    ],
)
def test_history_joins_what_trades_build(history: list[int], first_trade: int, expected: list[int]) -> None:
    stream = Stream()
    stream.bars.warm_up(300, [bar(second) for second in history])
    feed(stream, first_trade, 901)
    stream.trade(901)
    assert stream.closed(300) == expected
    closes = [each.close for each in stream.bars.of(300).newest(9)]
    own = [second for second in (0, 300, 600) if second > first_trade]
    assert closes == [100.0 if second in own else 50.0 for second in expected]  # our own where they are whole


def test_history_is_not_seen_before_it_is_past() -> None:
    stream = Stream()
    stream.bars.warm_up(300, [bar(second) for second in (-600, -300, 0)])
    assert stream.closed(300) == []  # what time is it?
    stream.sample_ns(T0 + 10 * NS)
    assert stream.closed(300) == [-600, -300]
    stream.sample_ns(T0 + 300 * NS + GRACE_NS - 1)
    assert stream.closed(300) == [-600, -300]
    stream.sample_ns(T0 + 300 * NS + GRACE_NS)
    assert stream.closed(300) == [-600, -300, 0]


def test_history_fills_a_hole_afterwards() -> None:
    stream = Stream()
    stream.bars.warm_up(300, [bar(second) for second in (-600, -300)])
    feed(stream, 10, 1000)
    assert stream.closed(300) == [300, 600]
    before = stream.bars.of(300).changes
    stream.bars.warm_up(300, [bar(second) for second in (0, -300, -600, 300)])
    assert stream.closed(300) == [-600, -300, 0, 300, 600]
    assert [each.close for each in stream.bars.of(300).newest(3)] == [50.0, 100.0, 100.0]
    assert stream.bars.of(300).changes > before
    feed(stream, 1000, 1201)
    assert stream.closed(300) == [-600, -300, 0, 300, 600, 900]


def test_history_stands_in_for_a_bar_spoilt_by_a_gap() -> None:
    stream = started()
    stream.bars.warm_up(300, [bar(300)])
    feed(stream, 0, 500)
    stream.bars.gap()
    feed(stream, 520, 1300)
    assert stream.closed(300) == [0, 300, 600, 900]
    assert [each.close for each in stream.bars.of(300).newest(4)] == [100.0, 50.0, 100.0, 100.0]


def test_history_of_a_width_that_is_not_kept_is_passed_over() -> None:
    stream = Stream()
    stream.bars.warm_up(240, [bar(0)])
    stream.sample(10_000)
    assert stream.closed() == stream.closed(300) == []


# --- against a slow way ---------------------------------------------------------------------------------------------


@dataclass
class Slow:
    """The same from the definitions: which trades were taken, in how many unbroken stretches, and what was closed when."""

    floor_ns: int = 0  # start of the narrowest bar that is not closed
    behind_ns: int = 0
    running: int | None = None
    stretches: list[list[tuple[int, float, int, bool]]] = field(default_factory=lambda: [[]])
    floors_ns: list[int] = field(default_factory=list)  # at the end of each stretch
    late: int = 0

    def trade(self, price: float, usd: int, buys: bool, exch_ns: int, now_ns: int) -> None:
        if exch_ns < self.floor_ns:
            self.late += 1
            return
        start_ns = exch_ns - exch_ns % MINUTE
        if start_ns != self.running:
            self.running, self.floor_ns, self.behind_ns = start_ns, start_ns, now_ns - exch_ns
        self.stretches[-1].append((exch_ns, price, usd, buys))

    def sample(self, now_ns: int) -> None:
        at_ns = now_ns - self.behind_ns - GRACE_NS
        if at_ns - at_ns % MINUTE > self.floor_ns:
            self.floor_ns, self.running = at_ns - at_ns % MINUTE, None

    def gap(self) -> None:
        self.floors_ns.append(self.floor_ns)
        self.stretches.append([])
        self.running = None

    def bars(self, width_ns: int, history: Sequence[Bar]) -> list[Bar]:
        found = {one.start_ns: one for one in history if one.start_ns + width_ns <= self.floor_ns}
        for trades, floor_ns in zip(self.stretches, [*self.floors_ns, self.floor_ns], strict=True):
            for start_ns in {exch_ns - exch_ns % width_ns for exch_ns, *_ in trades}:
                if trades[0][0] < start_ns and start_ns + width_ns <= floor_ns:
                    found[start_ns] = _bar_of(start_ns, [t for t in trades if start_ns <= t[0] < start_ns + width_ns])
        run: list[Bar] = []
        for start_ns in sorted(found):
            if run and run[-1].start_ns + width_ns != start_ns:
                run.clear()
            run.append(found[start_ns])
        return run


def _bar_of(start_ns: int, trades: list[tuple[int, float, int, bool]]) -> Bar:
    prices = [price for _, price, _, _ in trades]
    usd, bought = sum(t[2] for t in trades), sum(t[2] for t in trades if t[3])
    return Bar(start_ns, prices[0], max(prices), min(prices), prices[-1], usd, bought, len(trades))


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["trade"] * 12 + ["sample"] * 6 + ["gap"]),
        st.integers(0, 55),  # seconds since the event before
        st.integers(-90, 4),  # the stamp's seconds beside ours
        st.integers(90, 110),
        st.booleans(),
    ),
    max_size=120,
)


@given(EVENTS, st.integers(-4, 4), st.sets(st.integers(-3, 12)))
@example([("trade", 30, 0, 100, True)] * 60, 0, set())
@example([("trade", 30, 0, 100, True)] * 20 + [("gap", 1, 0, 0, True)] + [("trade", 30, 0, 100, True)] * 50, 2, {1, 2})
def test_bars_are_those_of_a_slow_rebuild(
    events: list[tuple[str, int, int, int, bool]], skew_s: int, history: set[int]
) -> None:
    given_bars = [bar(300 * index) for index in history]
    bars, slow, now_ns, trade_ns = Bars(BarParams()), Slow(), T0 - 77 * NS, None
    bars.warm_up(300, given_bars)
    for kind, step_s, beside_s, price, buys in events:
        now_ns += step_s * NS
        if kind == "trade":
            exch_ns = now_ns + (skew_s + (beside_s if beside_s % 5 == 0 else 0)) * NS  # one in five is astray
            bars.add(float(price), price * MICRO, buys, exch_ns, now_ns)
            slow.trade(float(price), price, buys, exch_ns, now_ns)
            trade_ns = now_ns
        elif kind == "sample":
            if trade_ns is not None and now_ns - trade_ns > MINUTE:
                slow.gap()
            bars.sample(now_ns, trade_ns)
            slow.sample(now_ns)
        else:
            bars.gap()
            slow.gap()
    assert bars.late == slow.late
    for width_s in (60, 300, 900):
        wanted = slow.bars(width_s * NS, given_bars if width_s == 300 else [])
        assert list(bars.of(width_s).newest(1_000)) == wanted


# --- average true range ---------------------------------------------------------------------------------------------


def slow_atr(bars: Sequence[Bar], count: int) -> float:
    """Wilder's definition, written as he did: the last average times `count - 1`, plus the new range, over `count`."""
    ranges = [max(b.high - b.low, abs(b.high - a.close), abs(b.low - a.close)) for a, b in pairwise(bars)]
    average = sum(ranges[:count]) / count
    for true_range in ranges[count:]:
        average = (average * (count - 1) + true_range) / count
    return average


def with_history(*closes: float) -> Bars:
    bars = Bars(BarParams())
    bars.warm_up(
        300,
        [
            Bar(T0 + 300 * k * NS, close, close + 0.5 * (k % 3), close - 0.25 * (k % 4), close, 1.0, 1.0, 1)
            for k, close in enumerate(closes)
        ],
    )
    bars.sample(T0 + 300 * (len(closes) + 1) * NS, None)
    return bars


@given(st.lists(st.floats(50, 150), min_size=2, max_size=60), st.integers(1, 20))
def test_atr_is_wilders(closes: list[float], count: int) -> None:
    series = with_history(*closes).of(300)
    found = series.atr(count)
    if len(closes) <= count:
        assert found is None
    else:
        assert found == pytest.approx(slow_atr(series.newest(100), count), rel=1e-9)


def test_atr_by_hand_and_anew_with_every_bar() -> None:
    bars = Bars(BarParams())
    series = bars.of(300)
    ranges = [(10, 12, 9, 11), (13, 14, 12, 13), (13, 13, 8, 9), (9, 9.5, 9, 9.5)]  # true ranges 3, 5, 0.5
    for k, (opened, high, low, close) in enumerate(ranges):
        bars.warm_up(300, [Bar(T0 + 300 * k * NS, opened, high, low, close, 1.0, 1.0, 1)])
    bars.sample(T0 + 900 * NS + GRACE_NS, None)
    assert series.atr(2) == 4.0
    assert series.atr(3) is None
    assert series.atr(0) is None
    bars.sample(T0 + 1200 * NS + GRACE_NS, None)
    assert series.atr(2) == (4.0 + 0.5) / 2
    assert series.atr(3) == pytest.approx(8.5 / 3)
