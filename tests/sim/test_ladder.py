"""One side of the synthetic book: what stands there however the best price moves, and that what is told is what is there."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.sim.ladder import Ladder
from bot.sim.presets import BTC, COINS
from bot.sim.scenario import Coin

TOUCH = 650_000


def ladder(sign: int = 1, coin: Coin = BTC, touch: int = TOUCH) -> Ladder:
    made = Ladder(coin, sign, sign * touch, Random(5))
    made.drain()
    return made


def check(side: Ladder) -> None:
    assert min(side.sizes) == side.touch
    assert min(side.sizes.values()) > 0
    near = range(-(-(side.touch + 1) // side.fine) * side.fine, side.touch + side.fine * 20, side.fine)
    assert all(u in side.sizes for u in near)


@given(
    sign=st.sampled_from([1, -1]),
    moves=st.lists(st.integers(-400, 400) | st.integers(-20_000, 20_000), max_size=30),
    walls=st.lists(st.integers(100, 9_000), max_size=2),
)
def test_levels_stand_where_they_should_and_every_change_is_told(sign: int, moves: list[int], walls: list[int]) -> None:
    side = ladder(sign)
    told = dict(side.levels())
    for away in walls:
        side.build_wall(side.wall_place(side.touch + away), 500_000)
    for move in moves:
        side.take(abs(move) + 1)
        side.move(min([side.touch + move, *side.walls]))
        side.refresh(3)
        side.refill_walls()
        for ticks, lots in side.drain():
            if lots:
                told[ticks] = lots
            else:
                told.pop(ticks, None)
        check(side)
        assert told == dict(side.levels())
        assert len(side.sizes) < 600
    for u in list(side.walls):
        side.pull_wall(u)
    check(side)


@pytest.mark.parametrize("coin", COINS, ids=lambda coin: coin.base)
@pytest.mark.parametrize("sign", [1, -1])
def test_the_book_reaches_five_percent_with_some_hundred_levels(coin: Coin, sign: int) -> None:
    touch = round(coin.price / coin.tick)
    side = ladder(sign, coin, touch)
    assert abs(max(side.sizes) - side.touch) / touch >= 0.05
    assert 80 <= len(side.sizes) <= 600


@pytest.mark.parametrize("sign", [1, -1])
def test_levels_are_told_best_first_as_prices(sign: int) -> None:
    side = ladder(sign)
    prices = [ticks for ticks, _ in side.levels()]
    assert prices[0] == TOUCH
    assert prices == sorted(prices, reverse=sign < 0)
    side.move(side.touch + 100)
    changed = [ticks for ticks, _ in side.drain()]
    assert changed == sorted(changed, reverse=sign < 0)
    assert side.drain() == []


def test_what_is_near_has_the_depth_that_was_asked_for() -> None:
    side = ladder()
    usd = sum(lots * u for u, lots in side.sizes.items() if 0 < u - TOUCH <= TOUCH * 0.01) * float(BTC.tick * BTC.step)
    assert usd == pytest.approx(100 * BTC.usd_per_bps, rel=0.2)


def test_a_sweep_takes_whole_levels_but_the_last_and_stops_before_the_new_best() -> None:
    side = ladder()
    new = side.touch + 5 * side.fine
    got = side.taken_on_the_way(new, 3)
    assert len(got) == 3
    assert [u for u, _ in got] == sorted(u for u in side.sizes if u < new)[:3]
    assert all(lots == side.sizes[u] for u, lots in got[:-1])
    assert 0 < got[-1][1] <= side.sizes[got[-1][0]]
    assert side.taken_on_the_way(side.touch, 3) == []


def test_a_taker_never_gets_the_last_of_the_best_price() -> None:
    side = ladder()
    there = side.sizes[side.touch]
    assert side.take(1) == 1
    assert 0 < side.take(10**9) < there
    for _ in range(200):
        side.take(10**9)
    assert side.sizes[side.touch] > 0
    assert side.take(1) == 0


def test_a_wall_comes_back_by_halves_and_goes_to_an_ordinary_size() -> None:
    side = ladder()
    u = side.wall_place(side.touch + 3000)
    side.build_wall(u, 600_000)
    side.sizes[u] = 100_000
    side.refill_walls()
    assert side.sizes[u] == 350_000
    for _ in range(30):
        side.refill_walls()
    assert side.sizes[u] == 600_000
    side.pull_wall(u)
    assert 0 < side.sizes[u] < 200_000
    side.refill_walls()
    assert side.sizes[u] < 200_000


def test_two_walls_never_stand_on_one_level() -> None:
    side = ladder()
    first = side.wall_place(side.touch + 3000)
    side.build_wall(first, 1000)
    assert side.wall_place(side.touch + 3000) == first + side.coarse
    assert side.wall_place(side.touch - 50) > side.touch


@pytest.mark.parametrize("sign", [1, -1])
def test_a_wall_stays_whole_wherever_the_best_price_goes(sign: int) -> None:
    """Among fine levels, among coarse ones, and beyond the end of the book."""
    side = ladder(sign)
    u = side.wall_place(side.touch + 3000)
    side.build_wall(u, 600_000)
    for away in (400, 3000, 20_000, 60_000, 20_000, 100, 0):
        side.move(u - away)
        assert side.sizes[u] == 600_000
    side.move(u - 60_000)
    side.pull_wall(u)
    assert u not in side.sizes, "nothing is left beyond the end"
