"""What was learned changes sizes and refusals: for whom, and for whom not."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from bot.domain.reading import MaxPain, OiDelta, Regime
from bot.domain.values import Direction, RegimeLabel
from bot.trading.exits.hold import TrueTrendParams
from bot.trading.learned import MAGNET_ALIGNED, learned_factor
from bot.trading.sizing import SizingParams, multiplier
from tests.build import FakeView, reading, signal

LONG, SHORT = Direction.LONG, Direction.SHORT


def view(
    *, pain: str = "66300", label: RegimeLabel = RegimeLabel.TREND, oi: float = 0.5, sign: int = 1, **of: Any
) -> FakeView:
    regime = Regime(label=label, hurst=0.7, z=3.0, sum_100=0.02 * sign, sum_12=0.01 * sign)
    found = MaxPain(price=Decimal(pain), expiry="2025-10-10", notional_usd=Decimal(10**9))
    result = FakeView(
        reading("regime", regime), reading("oi_delta_5m", OiDelta(pct=oi)), reading("max_pain", found, **of)
    )
    result.multipliers = {MAGNET_ALIGNED: 1.2}
    return result


@pytest.mark.parametrize(
    ("direction", "of", "expected"),
    [
        (LONG, {}, 1.2),
        (LONG, {"pain": "64000"}, 1.0),  # on the losing side
        (SHORT, {"pain": "64000", "sign": -1}, 1.2),
        (LONG, {"pain": "65326.63"}, 1.0),  # 0.49999 % away
        (LONG, {"pain": "65326.64"}, 1.2),
        (LONG, {"pain": "72222.22"}, 1.2),  # 10 % away, not more
        (LONG, {"pain": "72222.23"}, 1.0),
        (LONG, {"label": RegimeLabel.RANDOM}, 1.0),
        (LONG, {"oi": 0.0}, 1.0),
        (LONG, {"sign": -1}, 1.0),
        (LONG, {"age_s": 121.0}, 1.0),  # stale
    ],
)
def test_the_magnets_multiplier_is_for_trades_like_those_it_was_learned_from(
    direction: Direction, of: dict[str, Any], expected: float
) -> None:
    assert learned_factor(signal(direction), view(**of), TrueTrendParams()) == expected


@pytest.mark.parametrize(("price", "expected"), [("995", 1.0), ("994.9", 1.2), ("900", 1.2), ("899.9", 1.0)])
def test_gaps_of_exactly_half_a_percent_and_of_ten(price: str, expected: float) -> None:
    assert learned_factor(signal(price=Decimal(price)), view(pain="1000"), TrueTrendParams()) == expected


def test_the_rule_of_true_trend_is_the_one_that_is_set() -> None:
    assert learned_factor(signal(), view(sign=-1), TrueTrendParams(require_direction=False)) == 1.2


def test_a_strategys_multiplier_is_for_that_strategy() -> None:
    market = view(label=RegimeLabel.RANDOM)
    market.multipliers = {"strategy:test": 0.8, "strategy:other": 1.5, "test": 9.0}
    assert learned_factor(signal(), market, TrueTrendParams()) == 0.8
    both = view()
    both.multipliers["strategy:test"] = 0.5
    assert learned_factor(signal(), both, TrueTrendParams()) == 0.6


def test_no_strategys_name_can_mean_the_magnet() -> None:
    market = view(label=RegimeLabel.RANDOM)
    assert learned_factor(signal(strategy=MAGNET_ALIGNED), market, TrueTrendParams()) == 1.0


def test_it_enters_the_size_and_is_clipped_with_the_rest() -> None:
    market = view()
    assert multiplier(signal(), market, SizingParams(), blind=False) == 1.2
    assert multiplier(signal(), market, SizingParams(), blind=True) == 0.6
    assert multiplier(signal(), market, SizingParams(max_multiplier=1.1), blind=False) == 1.1
