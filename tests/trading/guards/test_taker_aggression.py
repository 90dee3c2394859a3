"""Guard `taker_aggression`: 1.10 blocks, 1.1001 passes, and nothing is divided to find out."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.reading import Taker
from bot.domain.values import Direction, Outcome, Verdict
from bot.trading.guards.taker_aggression import TakerAggression, TakerAggressionParams
from tests.build import FakeView, context, reading, signal

BLOCK, PASS, ABSTAIN = Outcome.BLOCK, Outcome.PASS, Outcome.ABSTAIN


def check(buy: str, sell: str, direction: Direction = Direction.LONG, **settings: object) -> Verdict:
    guard = TakerAggression(TakerAggressionParams.model_validate(settings), context())
    taker = Taker(buy_usd=Decimal(buy), sell_usd=Decimal(sell))
    return guard.check(signal(direction), FakeView(reading("taker_5m", taker)))


@pytest.mark.parametrize(
    ("buy", "sell", "outcome", "value"),
    [
        ("1100000", "1000000", BLOCK, "1.1000"),
        ("1100100", "1000000", PASS, "1.1001"),
        ("1100000.01", "1000000", PASS, "1.1000"),  # what is shown is rounded, what decides is not
        ("1099999.99", "1000000", BLOCK, "1.1000"),
        ("330000.33", "300000.30", BLOCK, "1.1000"),
        ("500000", "1000000", BLOCK, "0.5000"),
        ("3000000", "1000000", PASS, "3.0000"),
        ("0", "1000000", BLOCK, "0.0000"),
    ],
)
def test_long(buy: str, sell: str, outcome: Outcome, value: str) -> None:
    verdict = check(buy, sell)
    assert (verdict.outcome, verdict.value, verdict.threshold) == (outcome, value, "1.10")


@pytest.mark.parametrize(
    ("buy", "sell", "outcome"),
    [
        ("1000000", "1100000", BLOCK),  # buy = sell / 1.10
        ("1000000", "1100000.01", PASS),
        ("1000000.01", "1100000", BLOCK),
        ("999999.99", "1100000", PASS),
        ("2000000", "1000000", BLOCK),
        ("0", "1000000", PASS),
    ],
)
def test_short_mirrored(buy: str, sell: str, outcome: Outcome) -> None:
    verdict = check(buy, sell, Direction.SHORT, mirror_short=True)
    assert (verdict.outcome, verdict.threshold) == (outcome, "0.9091")


def test_mirroring_does_not_change_longs() -> None:
    assert check("1100000", "1000000", mirror_short=True).outcome is BLOCK
    assert check("1100100", "1000000", mirror_short=True).outcome is PASS


def test_another_ratio() -> None:
    assert check("1200000", "1000000", ratio="1.2").outcome is BLOCK
    assert check("1200001", "1000000", ratio="1.2").outcome is PASS


def test_no_sales_is_no_ratio() -> None:
    verdict = check("1000000", "0")
    assert (verdict.outcome, verdict.value) == (ABSTAIN, None)


@pytest.mark.parametrize(
    ("second", "told"),
    [
        ("1200000", ""),  # on the same side of the threshold
        ("1100000", "own says 1.1000, which would BLOCK"),
        (None, ""),
    ],
)
def test_a_second_fresh_source_across_the_threshold_is_told_and_does_not_decide(second: str | None, told: str) -> None:
    view = FakeView(reading("taker_5m", Taker(buy_usd=Decimal(1500000), sell_usd=Decimal(1000000)), source="coinglass"))
    value = None if second is None else Taker(buy_usd=Decimal(second), sell_usd=Decimal(1000000))
    view.seconds = [reading("taker_5m", value, source="own")]
    verdict = TakerAggression(TakerAggressionParams(), context()).check(signal(), view)
    assert (verdict.outcome, verdict.value, verdict.reading_source, verdict.reason) == (
        PASS,
        "1.5000",
        "coinglass",
        told,
    )


@given(
    sell=st.integers(1, 10**18),
    off=st.integers(-3, 3),
    ratio=st.sampled_from(["1.10", "1", "0.3333", "2.5"]),
    direction=st.sampled_from(list(Direction)),
)
def test_whole_micro_usd_are_judged_like_a_reading(sell: int, off: int, ratio: str, direction: Direction) -> None:
    """At the edge, which lies between two whole numbers for most sums, and a few micro-USD off it."""
    limit = Decimal(ratio) if direction is Direction.LONG else 1 / Decimal(ratio)
    buy = max(0, int(limit * sell) + off)
    guard = TakerAggression(TakerAggressionParams(ratio=Decimal(ratio), mirror_short=True), context())
    micro = Decimal(1_000_000)
    verdict = guard.check(
        signal(direction), FakeView(reading("taker_5m", Taker(buy_usd=buy / micro, sell_usd=sell / micro)))
    )
    assert guard.blocks(direction, buy, sell) is (verdict.outcome is BLOCK)
    exact = Fraction(buy) <= Fraction(ratio) * sell if direction is Direction.LONG else Fraction(ratio) * buy >= sell
    assert guard.blocks(direction, buy, sell) is exact
