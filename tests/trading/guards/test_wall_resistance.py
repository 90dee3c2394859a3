"""Guard `wall_resistance`, tick 0.1, price 65 000, smallest worthwhile target max(0.1 % + 5 bps, 0.5 x 1 %) = 0.5 %.

A long's target must reach 65 325.0; 0.1 % in front of a wall W it stands at floor_tick(0.999 W), so a wall from 65 390.4
up leaves room (65 325.009… → 65 325.0) and one at 65 390.3 does not. Shorts: 64 675.0, ceil_tick(1.001 W), up to 64 610.3.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from bot.domain.reading import Wall, Walls
from bot.domain.values import Direction, Outcome, Verdict
from bot.trading.exits.protection import StopParams
from bot.trading.exits.walls import TargetParams
from bot.trading.guards.base import GuardContext
from bot.trading.guards.wall_resistance import WallResistance, WallResistanceParams
from bot.trading.risk import RiskParams
from tests.build import BTC, NOW, FakeView, context, reading, signal

LONG, SHORT = Direction.LONG, Direction.SHORT
BLOCK, PASS, ABSTAIN = Outcome.BLOCK, Outcome.PASS, Outcome.ABSTAIN
BIG = 25_000_001.0


def check(
    *walls: tuple[float, float],
    direction: Direction = LONG,
    coverage_pct: float = 5.0,
    partial: bool = False,
    spread: tuple[float, float] = (65000.0, 65000.0),
    given: GuardContext | None = None,
    atr: float | None = None,
    **settings: object,
) -> Verdict:
    guard = WallResistance(WallResistanceParams.model_validate(settings), given or context())
    standing = tuple(Wall(price=price, usd=usd, first_seen_ns=NOW, venues=("binanceusdm",)) for price, usd in walls)
    ask, bid = (standing, ()) if direction is LONG else ((), standing)
    payload = Walls(
        asks=ask,
        bids=bid,
        ask_coverage_pct=coverage_pct if direction is LONG else 0.0,
        bid_coverage_pct=coverage_pct if direction is SHORT else 0.0,
        institutional_usd=Decimal(25_000_000),
    )
    view = FakeView(reading("walls", payload, partial=partial))
    view.market(BTC).bid, view.market(BTC).ask = spread
    if atr is not None:
        view.market(BTC).ranges[300, 14] = atr
    return guard.check(signal(direction), view)


@pytest.mark.parametrize(
    ("price", "usd", "outcome"),
    [
        (65390.3, BIG, BLOCK),
        (65390.4, BIG, PASS),
        (65390.3, 25_000_000.0, PASS),  # institutional is more than the threshold
        (65000.1, BIG, BLOCK),  # the target would be on the wrong side of entry
        (65000.0, BIG, PASS),  # not above price
        (64900.0, BIG, PASS),
        (66500.0, BIG, PASS),
    ],
)
def test_long(price: float, usd: float, outcome: Outcome) -> None:
    assert check((price, usd)).outcome is outcome


@pytest.mark.parametrize(
    ("price", "usd", "outcome"),
    [
        (64610.4, BIG, BLOCK),
        (64610.3, BIG, PASS),
        (64610.4, 25_000_000.0, PASS),
        (64999.9, BIG, BLOCK),
        (65000.0, BIG, PASS),
    ],
)
def test_short_mirrored(price: float, usd: float, outcome: Outcome) -> None:
    assert check((price, usd), direction=SHORT, mirror_short=True).outcome is outcome


def test_the_nearest_institutional_wall_decides() -> None:
    verdict = check((66500.0, 90_000_000.0), (65130.0, BIG), (65100.0, 20_000_000.0))
    assert (verdict.outcome, verdict.threshold) == (BLOCK, "0.5000")
    assert verdict.value == "0.0997"  # floor_tick(0.999 x 65 130) = 65 064.8
    assert "65130" in verdict.reason


def test_room_is_shown_when_it_is_enough() -> None:
    verdict = check((66500.0, BIG))
    assert (verdict.value, verdict.threshold) == ("2.2054", "0.5000")
    assert check().value is None


@pytest.mark.parametrize(
    ("walls", "coverage_pct", "outcome"),
    [
        ((), 0.60061, PASS),  # reaches 65 390.3965: 0.999 of it is 65 325.006
        ((), 0.6004, ABSTAIN),  # 65 390.26: a wall there would leave 65 324.87
        ((), 0.0, ABSTAIN),
        (((65100.0, BIG),), 0.2, BLOCK),  # a wall that is seen blocks however little is seen
        (((66500.0, BIG),), 0.2, ABSTAIN),  # one farther out says nothing about what is nearer
        (((66500.0, BIG),), 5.0, PASS),
    ],
)
def test_what_is_not_seen_is_not_absent(
    walls: tuple[tuple[float, float], ...], coverage_pct: float, outcome: Outcome
) -> None:
    verdict = check(*walls, coverage_pct=coverage_pct, partial=True)
    assert verdict.outcome is outcome
    if outcome is ABSTAIN:
        assert verdict.reason == f"not seen beyond {coverage_pct:g} %"
        assert (verdict.value, verdict.threshold) == (None, "0.5000")


@pytest.mark.parametrize(("coverage_pct", "outcome"), [(0.60063, ABSTAIN), (0.60069, PASS)])
def test_coverage_reaches_as_far_as_the_tick_grid_asks(coverage_pct: float, outcome: Outcome) -> None:
    """From 65 000.05 the target must reach 65 325.1: a wall at 65 390.46 would leave 65 325.0, so it must be seen."""
    verdict = check(coverage_pct=coverage_pct, partial=True, spread=(65000.0, 65000.1))
    assert verdict.outcome is outcome


@pytest.mark.parametrize(("coverage_pct", "outcome"), [(0.59945, PASS), (0.5992, ABSTAIN)])
def test_short_coverage(coverage_pct: float, outcome: Outcome) -> None:
    verdict = check(direction=SHORT, coverage_pct=coverage_pct, partial=True, mirror_short=True)
    assert verdict.outcome is outcome


@pytest.mark.parametrize(
    ("round_trip", "stop", "threshold"),
    [("0.001", "0.01", "0.5000"), ("0.001", "0.002", "0.1500"), ("0.006", "0.01", "0.6500")],
)
def test_the_minimum_target_follows_costs_and_stop(round_trip: str, stop: str, threshold: str) -> None:
    given = GuardContext(round_trip=Decimal(round_trip), stop_fraction=Decimal(stop), risk=RiskParams())
    assert check(given=given).threshold == threshold


@pytest.mark.parametrize(("atr", "outcome", "threshold"), [(130.0, PASS, "0.2000"), (650.0, BLOCK, "1.0000")])
def test_room_follows_a_stop_that_follows_volatility(atr: float, outcome: Outcome, threshold: str) -> None:
    """Half of two ranges; a wall at 65 400 leaves 0.51 %."""
    given = replace(context(), stop=StopParams(mode="atr"))
    verdict = check((65400.0, BIG), given=given, atr=atr)
    assert (verdict.outcome, verdict.threshold) == (outcome, threshold)


def test_without_a_range_the_room_needed_is_not_known() -> None:
    verdict = check((65001.0, BIG), given=replace(context(), stop=StopParams(mode="atr")))
    assert verdict.outcome is ABSTAIN
    assert verdict.reason.startswith("no ATR yet")


def test_the_target_stands_where_the_exits_will_put_it() -> None:
    given = GuardContext(
        round_trip=Decimal("0.001"),
        stop_fraction=Decimal("0.01"),
        risk=RiskParams(),
        targets=TargetParams(offset_pct=Decimal(0)),
    )
    assert check((65325.0, BIG), given=given).outcome is PASS
    assert check((65324.9, BIG), given=given).outcome is BLOCK
