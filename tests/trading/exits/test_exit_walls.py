"""Where a target belongs in front of a wall, when it moves, and which lower tiers it takes with it."""

from __future__ import annotations

import json
from decimal import Decimal as D
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bot.domain.reading import Reading, Wall, Walls
from bot.domain.values import NS, Direction
from bot.trading.exits.ladder import Ladder, Tier
from bot.trading.exits.walls import (
    TargetParams,
    Wanted,
    adjusted,
    clamp_lower,
    decide_move,
    has_room,
    institutional,
    min_room,
    wall_target,
    wanted_target,
)
from tests.build import NOW, instrument, reading

CHECKS = Path(__file__).resolve().parents[2] / "fixtures/quant/exits.json"
LONG, SHORT = Direction.LONG, Direction.SHORT
ROOM = D("0.005")
BIG = 30_000_000.0


def wall(price: float, usd: float = BIG) -> Wall:
    return Wall(price=price, usd=usd, first_seen_ns=NOW - 100 * NS, venues=("binanceusdm",))


def walls(direction: Direction, *standing: Wall, coverage_pct: float = 5.0) -> Walls:
    """`standing` on the side that a trade in `direction` runs into."""
    asks, bids = (standing, ()) if direction is LONG else ((), standing)
    return Walls(
        asks=asks,
        bids=bids,
        ask_coverage_pct=coverage_pct,
        bid_coverage_pct=coverage_pct,
        institutional_usd=D(25_000_000),
    )


def walls_reading(value: Walls | None, age_s: float = 0, partial: bool = False) -> Reading[Walls]:
    return reading("walls", value, key="BTC", age_s=age_s, max_age_s=90, partial=partial)


def test_wall_targets_match_the_check_values() -> None:
    cases: list[dict[str, Any]] = json.loads(CHECKS.read_text(), parse_float=D, parse_int=D)["wall_tp"]
    for case in cases:
        direction = LONG if case["side"] == 1 else SHORT
        assert wall_target(case["wall"], direction, instrument(tick=str(case["tick"]))) == case["tp"]


@pytest.mark.parametrize(
    ("round_trip", "stop_fraction", "expected"),
    [
        ("0.0010", "0.01", "0.005"),  # half the stop distance
        ("0.0010", "0.002", "0.0015"),  # round trip + 5 bps
        ("0.0045", "0.01", "0.005"),  # both the same
        ("0.0046", "0.01", "0.0051"),
    ],
)
def test_minimum_room(round_trip: str, stop_fraction: str, expected: str) -> None:
    assert min_room(D(round_trip), D(stop_fraction)) == D(expected)


@pytest.mark.parametrize(
    ("direction", "target", "expected"),
    [
        (LONG, "65325", True),
        (LONG, "65324.9", False),
        (LONG, "64675", False),
        (SHORT, "64675", True),
        (SHORT, "64675.1", False),
        (SHORT, "65325", False),
    ],
)
def test_room_is_measured_exactly_on_the_profit_side(direction: Direction, target: str, expected: bool) -> None:
    assert has_room(D(65000), D(target), direction, ROOM) is expected


@pytest.mark.parametrize(("usd", "counts"), [(25_000_000.0, False), (25_000_000.01, True), (24_999_999.99, False)])
def test_institutional_is_more_than_the_threshold(usd: float, counts: bool) -> None:
    assert bool(institutional(walls(LONG, wall(65900.0, usd)), LONG)) is counts


def test_institutional_walls_are_those_of_the_profit_side_nearest_first() -> None:
    near, far = wall(65900.0, 26e6), wall(66200.0, 90e6)
    assert institutional(walls(LONG, far, near), LONG) == [near, far]
    assert institutional(walls(LONG, far, near), SHORT) == []
    near, far = wall(64100.0, 26e6), wall(63800.0, 90e6)
    assert institutional(walls(SHORT, far, near), SHORT) == [near, far]


# entry 65 000, room 0.5 %: a long's target must be at or beyond 65 325 and before its nominal 66 300; the wall for a
# target T is T / 0.999. A short's: at or below 64 675, above 63 700.
@pytest.mark.parametrize(
    ("direction", "standing", "expected"),
    [
        (LONG, [wall(66000.0)], ("65934.0", 66000.0)),
        (SHORT, [wall(64000.0)], ("64064.0", 64000.0)),
        (LONG, [], None),
        (LONG, [wall(66000.0, 25e6)], None),  # not more than the threshold
        (LONG, [wall(65390.4)], ("65325.0", 65390.4)),  # exactly enough room
        (LONG, [wall(65390.3)], None),  # a tick too little: skipped, not clamped
        (LONG, [wall(65390.3), wall(66000.0)], ("65934.0", 66000.0)),  # the next one decides
        (LONG, [wall(65800.0), wall(66000.0, 99e6)], ("65734.2", 65800.0)),  # nearest, not largest
        (LONG, [wall(64000.0), wall(66000.0)], ("65934.0", 66000.0)),  # one behind entry does not count
        (LONG, [wall(66366.3)], ("66299.9", 66366.3)),  # a tick nearer than nominal
        (LONG, [wall(66366.4)], None),  # target would be nominal itself
        (LONG, [wall(67000.0)], None),
        (SHORT, [wall(64610.3)], ("64675.0", 64610.3)),  # 64674.9103 rounds up to exactly enough room
        (SHORT, [wall(64610.4)], None),
        (SHORT, [wall(63636.4)], ("63700.1", 63636.4)),
        (SHORT, [wall(63636.3)], None),
    ],
)
def test_adjusted_target(direction: Direction, standing: list[Wall], expected: tuple[str, float] | None) -> None:
    nominal = D(65000) + direction.sign * 1300
    found = adjusted(D(65000), direction, nominal, walls(direction, *standing), instrument(), ROOM)
    assert (found and (found[0], found[1].price)) == (expected and (D(expected[0]), expected[1]))


def wanted(
    read: Reading[Walls], direction: Direction = LONG, current: str = "66300", mid: str = "65100"
) -> Wanted | None:
    return wanted_target(
        read,
        NOW,
        entry=D(65000),
        direction=direction,
        nominal=D(65000) + direction.sign * 1300,
        current=D(current),
        mid=D(mid),
        instrument=instrument(),
        room=ROOM,
    )


def test_wanted_is_the_adjusted_target_or_nominal() -> None:
    seen = wall(66000.0)
    assert wanted(walls_reading(walls(LONG, seen))) == Wanted(D("65934.0"), seen)
    assert wanted(walls_reading(walls(LONG)), current="65934") == Wanted(D(66300), None)
    assert wanted(walls_reading(walls(SHORT)), SHORT, current="64064") == Wanted(D(63700), None)


@pytest.mark.parametrize(
    ("read", "known"),
    [
        (walls_reading(walls(LONG), age_s=90), True),
        (walls_reading(walls(LONG), age_s=90.001), False),
        (walls_reading(walls(LONG, wall(65800.0)), age_s=91), False),
        (walls_reading(walls(LONG, wall(65800.0)), age_s=91, partial=True), False),
        (walls_reading(None), False),
    ],
)
def test_walls_that_are_not_known_move_nothing(read: Reading[Walls], known: bool) -> None:
    assert (wanted(read, current="65934") is not None) is known


# A target at 65 934 stands before a wall at 66 000: 1.3825 % over a mid of 65 100, 1.3839 % in the mirror.
@pytest.mark.parametrize(
    ("coverage_pct", "partial", "stays"),
    [(1.38, True, True), (1.39, True, False), (1.38, False, False)],
)
def test_a_wall_out_of_sight_is_not_gone(coverage_pct: float, partial: bool, stays: bool) -> None:
    long = walls_reading(walls(LONG, coverage_pct=coverage_pct), partial=partial)
    short = walls_reading(walls(SHORT, coverage_pct=coverage_pct), partial=partial)
    assert (wanted(long, LONG, current="65934", mid="65100") is None) is stays
    assert (wanted(short, SHORT, current="64064", mid="64900") is None) is stays


def test_partial_walls_that_are_seen_pull_a_target_nearer() -> None:
    seen = wall(65800.0)
    found = wanted(walls_reading(walls(LONG, seen, coverage_pct=1.1), partial=True), current="65934")
    assert found == Wanted(D("65734.2"), seen)


def move(
    current: str,
    to: str,
    *,
    price: str = "65000",
    nominal: str = "66300",
    since_ns: int | None = None,
    direction: Direction = LONG,
    params: TargetParams | None = None,
) -> D | None:
    last = None if since_ns is None else NOW - since_ns
    return decide_move(D(current), D(to), D(nominal), D(price), last, NOW, direction, params or TargetParams())


@pytest.mark.parametrize(("since_ns", "moves"), [(None, True), (30 * NS, True), (30 * NS - 1, False), (0, False)])
def test_a_target_moves_at_most_once_in_30_seconds(since_ns: int | None, moves: bool) -> None:
    assert move("66300", "65934", since_ns=since_ns) == (D(65934) if moves else None)


@pytest.mark.parametrize(
    ("current", "to", "moves"),
    [
        ("65000", "64987.1", False),  # 12.9 of the 13 that are 2 bps
        ("65000", "64987", True),
        ("65000", "65013", True),
        ("65000", "65012.9", False),
        ("65000", "65000", False),
    ],
)
def test_a_target_moves_by_two_bps_or_not_at_all(current: str, to: str, moves: bool) -> None:
    assert move(current, to, price="64000") == (D(to) if moves else None)
    assert move("65000", "65000", params=TargetParams(min_move_bps=D(0))) is None


@pytest.mark.parametrize(
    ("direction", "price", "moves"),
    [
        (LONG, "65834.1", False),  # 10 bps of 65 900 are 65.9
        (LONG, "65834.09", True),
        (LONG, "65950", False),  # through it: about to be filled
        (SHORT, "64164.1", False),  # 10 bps of 64 100 are 64.1
        (SHORT, "64164.11", True),
        (SHORT, "64050", False),
    ],
)
def test_a_target_does_not_run_away_from_price(direction: Direction, price: str, moves: bool) -> None:
    current, away, nominal = ("65900", "66100", "66300") if direction is LONG else ("64100", "63900", "63700")
    found = move(current, away, price=price, nominal=nominal, direction=direction)
    assert found == (D(away) if moves else None)


def test_a_target_comes_nearer_however_near_price_is() -> None:
    assert move("65900", "65800", price="65890") == D(65800)
    assert move("64100", "64200", price="64110", nominal="63700", direction=SHORT) == D(64200)


def test_a_target_is_never_moved_beyond_nominal() -> None:
    assert move("65934", "66500") == D(66300)
    assert move("64064", "63500", price="65000", nominal="63700", direction=SHORT) == D(63700)
    assert move("66300", "66500") is None


def tiers(direction: Direction, *quantities: str) -> list[Tier]:
    """Tiers 1 to 4 of an entry at 65 000, those that are given a quantity."""
    prices = [D(65000) + direction.sign * 325 * n for n in range(1, 5)]
    rungs = enumerate(zip(prices, quantities, strict=True), 1)
    return [Tier(n, price, D(quantity)) for n, (price, quantity) in rungs if quantity]


@pytest.mark.parametrize("direction", [LONG, SHORT])
@pytest.mark.parametrize(
    ("offset", "quantities", "after", "merged"),
    [
        ("1200", ("1", "1", "1", "1"), {1: "1", 2: "1", 3: "1", 4: "1"}, ()),
        ("975", ("1", "1", "1", "1"), {1: "1", 2: "1", 4: "2"}, ((3, 4),)),  # lands on Tier 3's price
        ("975.1", ("1", "1", "1", "1"), {1: "1", 2: "1", 3: "1", 4: "1"}, ()),
        ("974.9", ("1", "1", "1", "1"), {1: "1", 2: "1", 4: "2"}, ((3, 4),)),
        ("500", ("1", "1", "1", "1"), {1: "1", 4: "3"}, ((2, 4), (3, 4))),
        ("325", ("1", "1", "1", "1"), {4: "4"}, ((1, 4), (2, 4), (3, 4))),
        ("500", ("", "", "0.4", "1"), {4: "1.4"}, ((3, 4),)),  # the rest of a partly filled tier
        ("500", ("", "", "", "4"), {4: "4"}, ()),  # TRUE TREND
    ],
)
def test_lower_tiers_beyond_a_moved_target_merge_into_it(
    direction: Direction,
    offset: str,
    quantities: tuple[str, str, str, str],
    after: dict[int, str],
    merged: tuple[tuple[int, int], ...],
) -> None:
    target = D(65000) + direction.sign * D(offset)
    ladder = clamp_lower(tiers(direction, *quantities), 4, target, direction)
    assert {t.tier: t.quantity for t in ladder.tiers} == {n: D(q) for n, q in after.items()}
    assert ladder.tiers[-1] == Tier(4, target, D(after[4]))
    assert ladder.merged == merged


def test_moving_a_middle_tier_leaves_higher_ones_alone() -> None:
    before = tiers(LONG, "1", "1", "1", "1")
    ladder = clamp_lower(before, 3, D(65600), LONG)
    assert ladder == Ladder((before[0], Tier(3, D(65600), D(2)), before[3]), ((2, 3),))


entries = st.integers(10_000, 200_000).map(D)
standing_walls = st.lists(
    st.tuples(st.integers(-50_000, 50_000), st.floats(1e6, 1e8)), max_size=6
)  # distance from entry in millionths, and size


def placed(entry: D, direction: Direction, found: list[tuple[int, float]]) -> Walls:
    at = [wall(float(entry * (1 + direction.sign * D(ppm) / 10**6)), usd) for ppm, usd in found]
    return walls(direction, *at)


@given(
    entry=entries,
    direction=st.sampled_from(Direction),
    found=standing_walls,
    room=st.decimals(min_value="0.0015", max_value="0.01", places=4),
)
def test_an_adjusted_target_is_nearer_than_nominal_with_room_and_in_front_of_its_wall(
    entry: D, direction: Direction, found: list[tuple[int, float]], room: D
) -> None:
    nominal = entry * (1 + direction.sign * D("0.02"))
    answer = adjusted(entry, direction, nominal, placed(entry, direction, found), instrument(tick="0.01"), room)
    if answer is None:
        return
    target, before = answer
    assert direction.sign * (nominal - target) > 0
    assert has_room(entry, target, direction, room)
    assert direction.sign * (D(repr(before.price)) - target) > 0
    assert D(repr(before.usd)) > 25_000_000


def on_an_edge(ppm: int) -> bool:
    """A percentage of a wall above and of one below differ by this much at the room and at nominal."""
    return abs(ppm - 6_000) < 30 or abs(ppm - 21_000) < 30


@given(entry=entries, found=standing_walls)
def test_long_and_short_adjustments_mirror_each_other(entry: D, found: list[tuple[int, float]]) -> None:
    assume(not any(on_an_edge(ppm) for ppm, _ in found))
    rules = instrument(tick="0.00000001")  # fine enough that rounding does not tell the sides apart
    up, down = (
        adjusted(entry, d, entry * (1 + d.sign * D("0.02")), placed(entry, d, found), rules, ROOM) for d in Direction
    )
    assert (up and up[1].usd) == (down and down[1].usd)


@given(
    current=st.integers(65_330, 66_300),
    to=st.integers(65_000, 67_000),
    price=st.integers(64_000, 67_000),
    direction=st.sampled_from(Direction),
)
def test_no_move_is_ever_worse_than_nominal(current: int, to: int, price: int, direction: Direction) -> None:
    def at(x: int) -> D:
        return D(65_000) + direction.sign * (x - 65_000)

    found = decide_move(at(current), at(to), at(66_300), at(price), None, NOW, direction)
    assert found is None or direction.sign * (at(66_300) - found) >= 0
    assert found is None or found != at(current)


@given(
    direction=st.sampled_from(Direction),
    quantities=st.tuples(*[st.integers(0, 50)] * 3, st.integers(1, 50)),
    offset=st.integers(1, 1400),
)
def test_moving_a_target_keeps_the_quantity_and_the_order_of_tiers(
    direction: Direction, quantities: tuple[int, int, int, int], offset: int
) -> None:
    before = tiers(direction, *(str(q) if q else "" for q in quantities))
    ladder = clamp_lower(before, 4, D(65000) + direction.sign * offset, direction)
    assert sum(t.quantity for t in ladder.tiers) == sum(quantities)
    distances = [direction.sign * (t.price - 65000) for t in ladder.tiers]
    assert distances == sorted(set(distances))
