"""TRUE TREND and its reasons, the max-pain gap, how long a force-hold is, and what runs when it ends."""

from __future__ import annotations

import math
from decimal import Decimal as D

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.reading import OiDelta, Reading, Regime
from bot.domain.values import NS, Direction, Magnet, RegimeLabel
from bot.trading.exits.hold import (
    HoldParams,
    TrueTrendParams,
    fresh,
    magnet,
    max_pain_gap_pct,
    min_hold_s,
    reversal_due,
    true_trend,
)
from tests.build import NOW, reading

LONG, SHORT = Direction.LONG, Direction.SHORT
MIN = 60


def regime_reading(
    label: RegimeLabel = RegimeLabel.TREND, sum_100: float = 0.02, sum_12: float = 0.004, age_s: float = 0
) -> Reading[Regime]:
    value = Regime(label=label, hurst=0.65, z=2.0, sum_100=sum_100, sum_12=sum_12)
    return reading("regime", value, age_s=age_s, max_age_s=600)


def oi_reading(pct: float = 0.3, age_s: float = 0, partial: bool = False) -> Reading[OiDelta]:
    return reading("oi_delta_5m", OiDelta(pct=pct), age_s=age_s, partial=partial)


@pytest.mark.parametrize(
    ("direction", "regime", "oi", "reason"),
    [
        (LONG, regime_reading(), oi_reading(), ""),
        (SHORT, regime_reading(sum_100=-0.02, sum_12=-0.004), oi_reading(), ""),
        (LONG, regime_reading(), oi_reading(pct=1e-9), ""),
        (LONG, regime_reading(age_s=600), oi_reading(age_s=120), ""),
        (LONG, reading("regime", reason="80 of 100 bars"), oi_reading(), "regime is MISSING: 80 of 100 bars"),
        (LONG, regime_reading(), reading("oi_delta_5m"), "oi_delta_5m is MISSING"),
        (LONG, regime_reading(age_s=600.001), oi_reading(), "regime is STALE"),
        (LONG, regime_reading(), oi_reading(age_s=120.001), "oi_delta_5m is STALE"),
        (LONG, regime_reading(), oi_reading(partial=True), "oi_delta_5m is PARTIAL"),
        (LONG, regime_reading(RegimeLabel.RANDOM), oi_reading(), "regime is RANDOM"),
        (LONG, regime_reading(RegimeLabel.NOISE), oi_reading(), "regime is NOISE"),
        (LONG, regime_reading(RegimeLabel.UNKNOWN), oi_reading(), "regime is UNKNOWN"),
        (LONG, regime_reading(), oi_reading(pct=0.0), "open interest changed by 0 %, which is no rise"),
        (LONG, regime_reading(), oi_reading(pct=-0.1), "open interest changed by -0.1 %, which is no rise"),
        (LONG, regime_reading(), oi_reading(pct=math.nan), "open interest changed by nan %, which is no rise"),
        (
            LONG,
            regime_reading(sum_100=-0.02),
            oi_reading(),
            "the last 100 returns add up to -0.02, which does not point long",
        ),
        (
            LONG,
            regime_reading(sum_12=0.0),
            oi_reading(),
            "the last 12 returns add up to 0, which does not point long",
        ),
        (
            SHORT,
            regime_reading(),
            oi_reading(),
            "the last 100 returns add up to 0.02, which does not point short",
        ),
    ],
)
def test_true_trend_and_the_reason_when_it_is_not(
    direction: Direction, regime: Reading[Regime], oi: Reading[OiDelta], reason: str
) -> None:
    assert true_trend(direction, regime, oi, NOW, TrueTrendParams()) == (reason == "", reason)


def test_direction_may_be_left_out_of_true_trend_but_nothing_else() -> None:
    loose = TrueTrendParams(require_direction=False)
    assert true_trend(SHORT, regime_reading(), oi_reading(), NOW, loose) == (True, "")
    assert true_trend(LONG, regime_reading(RegimeLabel.NOISE), oi_reading(), NOW, loose)[0] is False
    assert true_trend(LONG, regime_reading(), oi_reading(pct=0.0), NOW, loose)[0] is False


def test_only_a_fresh_reading_may_be_used() -> None:
    assert fresh(oi_reading(age_s=120), NOW) == OiDelta(pct=0.3)
    assert fresh(oi_reading(age_s=121), NOW) is None
    assert fresh(oi_reading(partial=True), NOW) is None
    assert fresh(reading("oi_delta_5m"), NOW) is None


@pytest.mark.parametrize(
    ("price", "max_pain", "gap", "long", "short"),
    [
        ("61200", "60000", "2", Magnet.AGAINST, Magnet.WITH),
        ("58800", "60000", "2", Magnet.WITH, Magnet.AGAINST),
        ("61206", "60000", "2.01", Magnet.AGAINST, Magnet.WITH),
        ("60000", "60000", "0", Magnet.AGAINST, Magnet.AGAINST),  # nowhere to be pulled to
    ],
)
def test_gap_and_magnet(price: str, max_pain: str, gap: str, long: Magnet, short: Magnet) -> None:
    assert max_pain_gap_pct(D(price), D(max_pain)) == D(gap)
    assert magnet(LONG, D(price), D(max_pain)) is long
    assert magnet(SHORT, D(price), D(max_pain)) is short


@pytest.mark.parametrize(
    ("is_trend", "direction", "price", "max_pain", "side", "minutes"),
    [
        (True, LONG, "61200", "60000", "any", 45),  # 2.00 %
        (True, LONG, "61200.01", "60000", "any", 75),
        (True, LONG, "61206", "60000", "any", 75),  # 2.01 %
        (True, LONG, "58800", "60000", "any", 45),
        (True, LONG, "58799.99", "60000", "any", 75),
        (True, SHORT, "61206", "60000", "any", 75),
        (True, LONG, "2.39262", "2.3457", "any", 75),  # threshold 2.392614
        (True, LONG, "2.392614", "2.3457", "any", 45),
        (True, LONG, "60000", "60000", "any", 45),
        (True, LONG, "61206", None, "any", 45),
        (False, LONG, "61206", "60000", "any", 0),
        (False, LONG, "61206", None, "any", 0),
        (True, LONG, "61206", "60000", "profit", 45),  # max pain below a long: not on the profit side
        (True, SHORT, "61206", "60000", "profit", 75),
        (True, LONG, "58794", "60000", "profit", 75),
        (True, SHORT, "58794", "60000", "profit", 45),
    ],
)
def test_length_of_the_force_hold(
    is_trend: bool, direction: Direction, price: str, max_pain: str | None, side: str, minutes: int
) -> None:
    params = HoldParams.model_validate({"extend_side": side})
    pain = D(max_pain) if max_pain is not None else None
    assert min_hold_s(is_trend, direction, D(price), pain, params) == minutes * MIN


@given(
    max_pain=st.decimals(min_value=1, max_value=200_000, places=2),
    sign=st.sampled_from([-1, 1]),
    direction=st.sampled_from(Direction),
)
def test_the_edge_of_the_gap_is_exact_at_every_price(max_pain: D, sign: int, direction: Direction) -> None:
    edge = max_pain * (1 + sign * D("0.02"))
    assert min_hold_s(True, direction, edge, max_pain, HoldParams()) == 45 * MIN
    assert min_hold_s(True, direction, edge + sign * D("1e-9"), max_pain, HoldParams()) == 75 * MIN


@pytest.mark.parametrize(
    ("newest", "age_ns", "due"),
    [
        (SHORT, 0, True),
        (SHORT, 900 * NS, True),
        (SHORT, 900 * NS + 1, False),
        (LONG, 0, False),  # a newer signal the trade's own way takes the reversal back
        (None, 0, False),
    ],
)
def test_a_deferred_reversal_runs_only_while_its_condition_holds(
    newest: Direction | None, age_ns: int, due: bool
) -> None:
    signal = (newest, NOW - age_ns) if newest else None
    assert reversal_due(LONG, signal, NOW, HoldParams()) is due
    mirrored = (newest.opposite, NOW - age_ns) if newest else None
    assert reversal_due(SHORT, mirrored, NOW, HoldParams()) is due
