"""Maintenance margin and liquidation prices, against published examples and each other."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.trading.margin import SAMPLE, Bracket, liquidation_price, maintenance_usd, make_brackets
from tests.trading.venue_kit import PAPER_JSON, D, published


def test_the_dated_table_is_the_published_one() -> None:
    rows = published("tiers_binance_btcusdt_2021_03_18")
    assert [(b.rate, b.deduction_usd) for b in SAMPLE] == [(D(str(r["mmr"])), D(str(r["cum"]))) for r in rows]
    assert [b.cap_usd for b in SAMPLE[:-1]] == [D(str(r["cap_usdt"])) for r in rows[:-1]]
    assert SAMPLE[-1].cap_usd is None


@pytest.mark.parametrize("case", published("liq_single_formula_published"), ids=lambda case: case["note"])
def test_published_prices_within_one_bracket(case: dict[str, object]) -> None:
    args: list[float] = case["args_WB_TMM_UPNL_cum_side_Q_EP_MMR"]  # type: ignore[assignment]
    wallet, maintenance, unrealised, deduction, side, quantity, entry, rate = (D(str(each)) for each in args)
    price = liquidation_price(
        wallet,
        int(side),
        quantity,
        entry,
        [Bracket(None, rate, deduction)],
        other_maintenance_usd=maintenance,
        other_unrealised_usd=unrealised,
    )
    assert price is not None
    assert float(price) == pytest.approx(case["lp"], abs=5e-5)
    assert round(float(price), 2) == pytest.approx(case["published"], abs=0.0051)


@pytest.mark.parametrize("case", published("liq_tiered"), ids=str)
def test_the_bracket_is_that_of_the_notional_at_the_price(case: dict[str, float]) -> None:
    price = liquidation_price(D(str(case["WB"])), int(case["side"]), D(str(case["Q"])), D(str(case["EP"])))
    assert price is not None
    assert float(price) == pytest.approx(case["lp"], abs=5e-7)


@pytest.mark.parametrize("case", published("est_liq_price", PAPER_JSON.with_name("flow.json")), ids=str)
def test_an_isolated_position_of_its_own_margin_alone(case: dict[str, float]) -> None:
    """p = E (1 - side / L) / (1 - side MMR), the estimate for positions whose leverage is L."""
    entry, sign = D(str(case["entry"])), int(case["side"])
    flat = (Bracket(None, D(str(case["mmr"]))),)
    price = liquidation_price(entry / D(str(case["lev"])), sign, D(1), entry, flat)
    assert price is not None
    assert float(price) == pytest.approx(case["price"], abs=5e-5)


def test_a_long_that_is_paid_for_has_none_and_a_short_under_water_has_zero() -> None:
    assert liquidation_price(D(1000), 1, D(1), D(1000)) is None
    assert liquidation_price(D("999.99"), 1, D(1), D(1000)) is not None
    assert liquidation_price(D(-2000), -1, D(1), D(1000)) == 0


@pytest.mark.parametrize(
    ("usd", "expected"), [(0, 0), (50_000, 200), ("50000.01", "200.00005"), (500_000, 3_700), (10**9, 399_983_700)]
)
def test_maintenance_by_bracket(usd: str, expected: str) -> None:
    assert maintenance_usd(D(usd)) == D(expected)


def test_maintenance_does_not_jump_between_brackets() -> None:
    for low, high in pairwise(SAMPLE):
        cap = low.cap_usd
        assert cap is not None
        assert cap * low.rate - low.deduction_usd == cap * high.rate - high.deduction_usd


def test_a_table_of_ones_own() -> None:
    assert make_brackets([(D(5000), D("0.01")), (D(20000), D("0.025"))]) == (
        Bracket(D(5000), D("0.01"), D(0)),
        Bracket(None, D("0.025"), D(75)),
    )


MONEY = st.decimals(1, 5_000_000, places=2)


@given(
    wallet=MONEY,
    sign=st.sampled_from([1, -1]),
    quantity=st.decimals("0.001", 900, places=3),
    entry=st.decimals("0.5", 90_000, places=1),
    maintenance=st.decimals(0, 10_000, places=2),
    unrealised=st.decimals(-10_000, 10_000, places=2),
)
def test_at_that_price_equity_is_the_maintenance_margin(
    wallet: Decimal, sign: int, quantity: Decimal, entry: Decimal, maintenance: Decimal, unrealised: Decimal
) -> None:
    def spare(price: Decimal) -> Decimal:
        equity = wallet + unrealised + sign * quantity * (price - entry)
        return equity - maintenance - maintenance_usd(quantity * price)

    price = liquidation_price(
        wallet, sign, quantity, entry, other_maintenance_usd=maintenance, other_unrealised_usd=unrealised
    )
    if price is None:
        assert spare(D("1e-9")) >= -D("1e-3")
    elif price:
        assert abs(spare(price)) < D("1e-9")
        assert spare(price * (1 + sign * D("0.01"))) > 0 > spare(price * (1 - sign * D("0.01")))
    else:
        assert spare(D("1e-9")) <= D("1e-3")
