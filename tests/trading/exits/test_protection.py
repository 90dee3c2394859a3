"""Where the protective stop is, and which way it may move."""

from __future__ import annotations

from decimal import Decimal as D

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.values import Direction
from bot.trading.exits.protection import StopParams, stop_fraction, stop_price, tighter
from tests.build import instrument

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
