"""Where the protective stop is, and which way it may move."""

from __future__ import annotations

from decimal import Decimal as D

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.values import Direction
from bot.trading.exits.protection import (
    StopParams,
    break_even_price,
    passed,
    stop_distance,
    stop_fraction,
    stop_price,
    tighter,
    trail_price,
)
from tests.build import BTC, FakeView, instrument

LONG, SHORT = Direction.LONG, Direction.SHORT


@pytest.mark.parametrize(
    ("direction", "entry", "pct", "tick", "expected"),
    [
        (LONG, "65000", "1.0", "0.1", "64350.0"),
        (SHORT, "65000", "1.0", "0.1", "65650.0"),
        (LONG, "65000", "0.5", "0.1", "64675.0"),
        (LONG, "2.3457", "1.0", "0.0001", "2.3223"),  # 2.322243 goes up, toward entry
        (SHORT, "2.3457", "1.0", "0.0001", "2.3691"),  # 2.369157 goes down, toward entry
    ],
)
def test_stop_price(direction: Direction, entry: str, pct: str, tick: str, expected: str) -> None:
    assert stop_price(D(entry), direction, instrument(tick=tick), D(pct) / 100) == D(expected)


def test_stop_fraction_is_a_fraction_of_entry() -> None:
    assert stop_fraction(StopParams(pct=D("1.25"))) == D("0.0125")


@pytest.mark.parametrize(
    ("direction", "old", "new", "expected"),
    [
        (LONG, "64350", "64350.1", True),
        (LONG, "64350", "64350", False),
        (LONG, "64350", "64349.9", False),
        (SHORT, "65650", "65649.9", True),
        (SHORT, "65650", "65650", False),
        (SHORT, "65650", "65650.1", False),
    ],
)
def test_tighter(direction: Direction, old: str, new: str, expected: bool) -> None:
    assert tighter(direction, D(old), D(new)) is expected


@given(
    entry=st.decimals(min_value=100, max_value=200_000, places=3),
    direction=st.sampled_from(Direction),
    pct=st.decimals(min_value="0.2", max_value=10, places=2),
)
def test_a_stop_is_on_the_losing_side_and_never_farther_than_sized_for(entry: D, direction: Direction, pct: D) -> None:
    price = stop_price(entry, direction, instrument(), pct / 100)
    risk = direction.sign * (entry - price)
    assert 0 < risk <= entry * pct / 100 < risk + D("0.1")
    assert price % D("0.1") == 0


# --- mode atr ---

ATR = StopParams(mode="atr")


@pytest.mark.parametrize(
    ("atr", "expected"),
    # 2 x ATR over a mid of 65,000, kept between 0.2 % and 5 %
    [
        (325.0, "0.01"),
        (123.4, "0.00379692"),
        (65.0, "0.002"),
        (64.9, "0.002"),
        (65.1, "0.00200308"),
        (1625.0, "0.05"),
        (1625.1, "0.05"),
        (1624.9, "0.04999692"),
    ],
)
def test_a_stop_that_follows_volatility_is_two_ranges_away_within_bounds(atr: float, expected: str) -> None:
    view = FakeView()
    view.market(BTC).ranges[300, 14] = atr
    assert stop_distance(view, BTC, ATR) == D(expected)


@pytest.mark.parametrize("atr", [None, 0.0, -1.0, float("nan"), float("inf")])
def test_without_a_range_the_distance_is_not_known(atr: float | None) -> None:
    view = FakeView()
    if atr is not None:
        view.market(BTC).ranges[300, 14] = atr
    assert stop_distance(view, BTC, ATR) is None
    assert stop_distance(view, BTC, StopParams()) == D("0.01")


def test_without_a_book_the_distance_is_not_known_as_a_fraction() -> None:
    view = FakeView()
    view.market(BTC).ranges[300, 14] = 325.0
    view.market(BTC).bid = None
    assert stop_distance(view, BTC, ATR) is None


def test_bars_and_multiple_are_settings() -> None:
    view = FakeView()
    view.market(BTC).ranges[60, 20] = 130.0
    params = StopParams(mode="atr", atr_multiple=D("2.5"), atr_width_s=60, atr_bars=20)
    assert stop_distance(view, BTC, params) == D("0.005")


def test_bounds_that_cross_are_refused() -> None:
    with pytest.raises(ValueError, match="over stop"):
        StopParams(min_pct=D(2), max_pct=D(1))


# --- where it moves to ---


@pytest.mark.parametrize(
    ("direction", "entry", "tick", "expected"),
    # 5 bps in and 5 bps out, rounded to the profit side
    [
        (LONG, "65000", "0.1", "65065.0"),
        (SHORT, "65000", "0.1", "64935.0"),
        (LONG, "65000.04", "0.1", "65065.1"),
        (SHORT, "64999.96", "0.1", "64934.9"),
        (LONG, "2.3457", "0.0001", "2.3481"),
        (SHORT, "2.3457", "0.0001", "2.3433"),
    ],
)
def test_break_even_includes_the_fees_of_both_sides(direction: Direction, entry: str, tick: str, expected: str) -> None:
    assert break_even_price(D(entry), direction, instrument(tick=tick), D("0.001")) == D(expected)


@pytest.mark.parametrize(
    ("direction", "best", "expected"),
    [(LONG, "66000", "65699.9"), (SHORT, "64000", "64300.1")],  # 300.05 away, then away from price to the tick
)
def test_a_trailing_stop_is_never_nearer_than_asked_for(direction: Direction, best: str, expected: str) -> None:
    assert trail_price(D(best), D("300.05"), direction, instrument()) == D(expected)


@pytest.mark.parametrize(
    ("direction", "mark", "expected"),
    [
        (LONG, 64350.1, False),
        (LONG, 64350.0, True),
        (LONG, 64349.9, True),
        (SHORT, 64349.9, False),
        (SHORT, 64350.0, True),
        (LONG, None, None),
    ],
)
def test_a_stop_triggers_at_its_price(direction: Direction, mark: float | None, expected: bool | None) -> None:
    assert passed(direction, D(64350), mark) is expected
