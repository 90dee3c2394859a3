"""Fees by tier and the volume that decides on them."""

from __future__ import annotations

from decimal import Decimal

import pytest
from pydantic import ValidationError

from bot.trading.costs import DAY_NS, FeeParams, Volume

D = Decimal
TIERS = ((D(1000), D("0.016"), D("0.04")), (D(5000), D("-0.005"), D("0.03")))


@pytest.mark.parametrize(
    ("volume", "maker", "taker"),
    [
        ("0", "0.0002", "0.0005"),
        ("999.99", "0.0002", "0.0005"),
        ("1000", "0.00016", "0.0004"),
        ("4999", "0.00016", "0.0004"),
        ("5000", "-0.00005", "0.0003"),
    ],
)
def test_the_highest_tier_that_is_reached_counts(volume: str, maker: str, taker: str) -> None:
    assert FeeParams(tiers=TIERS).rates(D(volume)) == (D(maker), D(taker))


def test_by_default_there_is_one_tier_and_sizing_always_reckons_with_it() -> None:
    assert FeeParams().rates(D(10**12)) == (D("0.0002"), D("0.0005"))
    assert FeeParams(tiers=TIERS).round_trip == D("0.001")


@pytest.mark.parametrize("tiers", [[(0, 0, 0)], [(2, 0, 0), (1, 0, 0)], [(1, 6, 0)], [(1, 0, -1)], [(1, 0)]])
def test_tiers_that_make_no_sense(tiers: list[tuple[int, ...]]) -> None:
    with pytest.raises(ValidationError):
        FeeParams.model_validate({"tiers": tiers})


def test_volume_is_that_of_the_30_days_before_today() -> None:
    volume = Volume()
    volume.add(0, D(1))
    volume.add(DAY_NS - 1, D(2))
    assert volume.usd(DAY_NS - 1) == 0
    assert volume.usd(DAY_NS) == 3
    volume.add(30 * DAY_NS, D(4))
    assert volume.usd(30 * DAY_NS) == 3
    assert volume.usd(31 * DAY_NS) == 4
    assert volume.usd(61 * DAY_NS) == 0


def test_volume_forgets_what_is_too_old() -> None:
    volume = Volume()
    for day in range(100):
        volume.add(day * DAY_NS, D(1))
    assert volume.usd(99 * DAY_NS) == 30
    assert len(volume._by_day) <= 31
