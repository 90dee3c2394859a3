"""Our own liquidation model: the published price formula, and a book of positions that never exceeds open interest."""

from __future__ import annotations

import json
from decimal import Decimal
from math import nextafter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from bot.domain.reading import LiquidationCluster
from bot.domain.statistics import Candle, OpenInterest
from bot.domain.values import LONG, NS, SHORT, Direction
from bot.market.liquidation_model import (
    SAMPLE_NS,
    LiquidationModel,
    LiquidationModelParams,
    Step,
    liquidation_price,
    steps,
)

FIXTURE = json.loads((Path(__file__).parents[1] / "fixtures/quant/flow.json").read_text())["est_liq_price"]
ONE = LiquidationModelParams(leverages=((20.0, 1.0),), half_life_h=1e9)


def step(
    before: float, after: float, price: float = 60000.0, *, low: float | None = None, high: float | None = None
) -> Step:
    return Step(0, before, after, price if high is None else high, price if low is None else low, price, price)


def told(model: LiquidationModel, side: Direction) -> list[LiquidationCluster]:
    clusters = model.clusters()
    assert clusters is not None
    assert clusters.model
    return [each for each in clusters.clusters if each.side is side]


@pytest.mark.parametrize("case", FIXTURE)
def test_the_price_of_isolated_liquidation(case: dict[str, float]) -> None:
    side = LONG if case["side"] == 1 else SHORT
    assert liquidation_price(case["entry"], side, case["lev"], case["mmr"]) == pytest.approx(case["price"], abs=5e-5)


def test_what_opens_stands_at_its_liquidation_price_on_both_sides() -> None:
    model = LiquidationModel(ONE)
    model.apply(step(1000, 1010))
    (below,), (above,) = told(model, LONG), told(model, SHORT)
    assert below.price == Decimal("57286.43")
    assert above.price == Decimal("62686.57")
    assert below.usd == Decimal("572864.3")  # ten coins at that price
    clusters = model.clusters()
    assert clusters is not None
    assert clusters.open_interest_usd == Decimal(60_600_000)


@pytest.mark.parametrize(
    ("low", "high", "longs", "shorts"),
    [
        (57286.5, 62686.5, 1, 1),
        (57286.43, 60000.0, 0, 1),  # reached by a low that is the level itself, near enough
        (57000.0, 60000.0, 0, 1),
        (60000.0, 62686.6, 1, 0),
        (57000.0, 63000.0, 0, 0),
    ],
)
def test_price_that_reaches_a_level_clears_it(low: float, high: float, longs: int, shorts: int) -> None:
    model = LiquidationModel(LiquidationModelParams(leverages=((20.0, 1.0),), half_life_h=1e9, least_oi_pct=0.01))
    model.apply(step(1000, 1010))
    passed = step(1010, 1000, low=low, high=high)  # the open interest that was liquidated is gone
    model.apply(passed)
    assert (len(told(model, LONG)), len(told(model, SHORT))) == (longs, shorts)


def test_falling_open_interest_closes_its_share_and_time_the_rest() -> None:
    model = LiquidationModel(ONE)
    model.apply(step(1000, 1100))
    model.apply(step(1100, 550))
    assert model.known_coins(LONG) == pytest.approx(50)
    fading = LiquidationModel(LiquidationModelParams(leverages=((20.0, 1.0),), half_life_h=1.0))
    fading.apply(step(1000, 1100))
    for _ in range(12):  # an hour
        fading.apply(step(1100, 1100))
    assert fading.known_coins(SHORT) == pytest.approx(50)


def test_what_was_liquidated_did_not_close_by_itself() -> None:
    model = LiquidationModel(LiquidationModelParams(leverages=((20.0, 0.5), (50.0, 0.5)), half_life_h=1e9))
    model.apply(step(1000, 1100))
    model.apply(step(1100, 1000, low=59000.0))  # 50 of the hundred coins that are gone were longs at 50 times
    assert model.known_coins(LONG) == pytest.approx(50 * 1000 / 1050)
    assert model.known_coins(SHORT) == pytest.approx(100 * 1000 / 1100)


def test_a_level_is_reached_by_a_price_that_is_exactly_there() -> None:
    at = liquidation_price(60000.0, LONG, 20.0, 0.005)
    for low, left in ((at, 0.0), (nextafter(at, 1e9), 8.0)):
        model = LiquidationModel(ONE)
        model.apply(step(1000, 1008))
        model.apply(step(1008, 1000 if low == at else 1008, low=low))
        assert model.known_coins(LONG) == pytest.approx(left)


def test_a_liquidation_that_leaves_open_interest_as_it_was_was_taken_over_by_somebody() -> None:
    model = LiquidationModel(ONE)
    model.apply(step(1000, 1010))
    model.apply(step(1010, 1010, 57000.0))
    assert model.known_coins(LONG) == pytest.approx(10)
    assert [float(each.price) for each in told(model, LONG)] == [pytest.approx(57000 * 0.95 / 0.995, abs=0.01)]


def test_only_large_clusters_are_told_the_largest_first() -> None:
    params = LiquidationModelParams(leverages=((20.0, 1.0),), half_life_h=1e9, least_oi_pct=0.5, most=2)
    model = LiquidationModel(params)
    for price, opened in ((60000.0, 4), (61000.0, 20), (62000.0, 6), (63000.0, 10)):
        model.apply(step(1000, 1000 + opened, price, high=60000.0, low=60000.0))
    model.apply(step(1000, 1000, 60000.0))
    largest, second = told(model, LONG)
    assert largest.usd > second.usd > Decimal(300_000)
    assert float(largest.price) == pytest.approx(61000 * 0.95 / 0.995)
    edge = LiquidationModel(LiquidationModelParams(leverages=((20.0, 1.0),), half_life_h=1e9, least_oi_pct=1.0))
    edge.apply(step(900, 909.0))
    assert not told(edge, LONG)  # 9 of 909 coins, at a lower price: under one percent of open interest
    assert told(edge, SHORT)


@pytest.mark.parametrize(
    ("low", "high", "close", "longs", "shorts"),
    [(57286.5, 62686.5, 60000.0, 1, 1), (57286.4, 60000.0, 60000.0, 0, 1), (60000.0, 62686.6, 60000.0, 1, 0)],
)
def test_candles_since_the_last_step_clear_without_being_kept(
    low: float, high: float, close: float, longs: int, shorts: int
) -> None:
    model = LiquidationModel(ONE)
    model.apply(step(1000, 1010))
    clusters = model.clusters(
        [Candle(0, high, low, close, Decimal(1)), Candle(SAMPLE_NS, close, close, close, Decimal(1))]
    )
    assert clusters is not None
    assert [each.side for each in clusters.clusters] == [LONG] * longs + [SHORT] * shorts
    assert (len(told(model, LONG)), len(told(model, SHORT))) == (1, 1)
    raised = model.clusters([Candle(0, 61000.0, 60000.0, 61000.0, Decimal(1))])
    assert raised is not None
    assert raised.open_interest_usd == 1010 * 61000


def test_what_opens_as_dust_is_left_out() -> None:
    model = LiquidationModel(ONE)
    model.apply(step(0.0, 5e-324))
    model.apply(step(5e-324, 1000.0))
    assert model.known_coins(LONG) == 1000
    assert len(told(model, LONG)) == 1


def test_a_hole_begins_it_anew() -> None:
    model = LiquidationModel(ONE)
    model.apply(step(1000, 1100))
    model.apply(None)
    assert model.clusters() is None
    assert model.known_coins(LONG) == 0


def test_steps_need_samples_and_a_candle_five_minutes_apart() -> None:
    def sample(at: int, coins: int, late_ns: int = 0) -> OpenInterest:
        return OpenInterest(at * SAMPLE_NS + late_ns, Decimal(coins))

    candles = [Candle(at * SAMPLE_NS, 12.0, 9.0, 9.0, Decimal(1)) for at in (0, 1, 2, 5)]
    samples = [sample(0, 10), sample(1, 11, NS), sample(2, 11, -NS), sample(4, 13), sample(5, 14)]
    first, second = (
        Step(at, *oi, 12.0, 9.0, 10.0, 9.0)
        for at, oi in ((SAMPLE_NS + NS, (10.0, 11.0)), (2 * SAMPLE_NS - NS, (11.0, 11.0)))
    )
    assert list(steps(samples, candles)) == [first, second, None, None]


@pytest.mark.parametrize(
    "leverages",
    [((20.0, 0.9),), ((20.0, 0.6), (50.0, 0.6)), ((1.0, 1.0),), ((200.0, 1.0),), ((20.0, 1.5), (50.0, -0.5)), ()],
)
def test_shares_add_up_and_leverage_leaves_a_margin(leverages: tuple[tuple[float, float], ...]) -> None:
    with pytest.raises(ValidationError):
        LiquidationModelParams(leverages=leverages)


moves = st.lists(
    st.tuples(st.floats(0, 2000), st.floats(50, 150), st.floats(0, 40), st.floats(0, 40)), min_size=1, max_size=30
)


@given(moves)
def test_what_is_known_never_exceeds_open_interest_and_lies_ahead_of_price(
    played: list[tuple[float, float, float, float]],
) -> None:
    model, before = LiquidationModel(LiquidationModelParams(least_oi_pct=1e-9, most=1000)), 1000.0
    for after, price, up, down in played:
        model.apply(step(before, after, price, low=price - down, high=price + up))
        before = after
        for side in (LONG, SHORT):
            assert model.known_coins(side) <= after * (1 + 1e-9) + 1e-9
        for each in told(model, LONG):
            assert each.price < Decimal(price).quantize(Decimal("1e-5"), "ROUND_UP")
        for each in told(model, SHORT):
            assert each.price > Decimal(price).quantize(Decimal("1e-5"), "ROUND_DOWN")
