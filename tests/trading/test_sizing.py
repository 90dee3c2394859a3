"""Sizes against the check values of quant 8, the multiplier as a table, and every cap a size is cut to."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.reading import Ofi, Regime, WhaleCvd
from bot.domain.values import Direction, RegimeLabel
from bot.trading.order_limits import Wanted, check_order
from bot.trading.risk import RiskParams
from bot.trading.sizing import Sized, SizeRules, SizingParams, fixed_fraction, limit_price, multiplier, risk_usd, size
from tests.build import BTC, FakePosition, FakeView, bars, instrument, reading, signal

RISK_JSON = Path(__file__).resolve().parents[1] / "fixtures/quant/risk.json"
LONG, SHORT = Direction.LONG, Direction.SHORT
ETH = "binanceusdm:ETHUSDT"


def rules(*, fee: str = "0.0005", slip: str = "0.001", stop: str = "0.01", **risk: Any) -> SizeRules:
    return SizeRules(
        sizing=SizingParams(),
        risk=RiskParams.model_validate(risk),
        fee=Decimal(fee),
        slip=Decimal(slip),
        stop=Decimal(stop),
    )


# --- quantity -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", [0, 1])
def test_fixed_fraction_check_values(case: int) -> None:
    row = {k: Decimal(str(v)) for k, v in json.loads(RISK_JSON.read_text())["fixed_fraction"][case].items()}
    quantity = fixed_fraction(
        row["equity"] * row["risk_frac"],
        row["entry"],
        row["stop"],
        fee_in=row["fee_in"],
        fee_out=row["fee_out"],
        slip=Decimal(0),
    )
    assert round(quantity, 8) == row["qty"]


@pytest.mark.parametrize(
    ("direction", "best", "stop"), [(LONG, "65000.5", "64350.495"), (SHORT, "64999.5", "65649.495")]
)
def test_size_loses_the_budget_at_the_stop(direction: Direction, best: str, stop: str) -> None:
    """10 000 x 0.25 % = 25 USD at risk, fees both ways and 10 bps of slip included."""
    step = Decimal("0.00000001")
    sized = size(signal(direction), FakeView(instruments=[instrument(step=str(step))]), rules(), 1.0)
    assert (round(sized.quantity, 3), sized.reason) == (Decimal("0.032"), "risk budget")
    entry, exit_ = Decimal(best), Decimal(stop)

    def loss(quantity: Decimal) -> Decimal:
        return quantity * (abs(entry - exit_) + (entry + exit_) * Decimal("0.0005") + entry * Decimal("0.001"))

    assert loss(sized.quantity) <= 25 < loss(sized.quantity + step)


@pytest.mark.parametrize(("factor", "usd"), [(0.1, "2.5"), (1.0, "25"), (1.5, "37.5"), (2.4, "60"), (2.5, "60")])
def test_risk_is_never_over_its_maximum(factor: float, usd: str) -> None:
    assert risk_usd(Decimal(10000), factor, RiskParams()) == Decimal(usd)


def test_equity_setting_counts_only_if_smaller() -> None:
    whole, half, more = (
        size(signal(), FakeView(), rules(**e), 1.0) for e in ({}, {"equity_usd": "5000"}, {"equity_usd": "20000"})
    )
    assert half.quantity == Decimal("0.016")
    assert more == whole


def test_symbol_cap() -> None:
    sized = size(signal(), FakeView(), rules(symbol_pct="10"), 1.0)
    assert sized.reason == "symbol limit of 10 % of equity"
    assert sized.quantity == Decimal("0.015")  # 1000 USD at 65 000.5 is 0.01538
    view = FakeView()
    view.portfolio.pending_usd[BTC] = Decimal(300)
    assert size(signal(), view, rules(symbol_pct="10"), 1.0).quantity == Decimal("0.010")


def test_gross_cap_counts_what_is_open_and_pending_elsewhere() -> None:
    view = FakeView()
    view.portfolio.open(FakePosition(instrument="x:1", quantity=Decimal("0.2")))  # 13 000 USD
    view.portfolio.pending_usd["x:2"] = Decimal(1000)
    sized = size(signal(SHORT), view, rules(), 1.0)
    assert (sized.quantity, sized.reason) == (Decimal("0.015"), "gross limit of 150 % of equity")


def test_largest_order_of_the_venue() -> None:
    view = FakeView(instruments=[instrument(max_quantity=Decimal("0.012"))])
    assert size(signal(), view, rules(), 1.0) == Sized(Decimal("0.012"), "venue's largest order")


@pytest.mark.parametrize(
    ("fields", "fits"),
    [
        ({"min_quantity": Decimal("0.032")}, True),
        ({"min_quantity": Decimal("0.033")}, False),
        ({"min_notional": Decimal("2080.016")}, True),  # 0.032 x 65 000.5
        ({"min_notional": Decimal("2080.0161")}, False),
        ({"step": Decimal(1), "min_quantity": Decimal(0), "min_notional": Decimal(0)}, False),  # rounds to nothing
    ],
)
def test_too_small_is_nothing_with_a_reason(fields: dict[str, Any], fits: bool) -> None:
    sized = size(signal(), FakeView(instruments=[instrument(**fields)]), rules(), 1.0)
    assert (sized.quantity > 0) is fits
    assert ("risk budget leaves" in sized.reason) is not fits


def test_a_cap_that_is_used_up_leaves_nothing() -> None:
    view = FakeView()
    view.portfolio.pending_usd["x:2"] = Decimal(15001)
    sized = size(signal(SHORT), view, rules(), 1.0)
    assert (sized.quantity, sized.value, sized.threshold) == (Decimal(0), "15001", "15000")
    assert sized.reason.startswith("gross limit of 150 % of equity leaves 0")


def test_longs_that_move_together_share_a_limit_and_so_do_those_of_which_nobody_knows() -> None:
    view = FakeView(instruments=[instrument(), instrument("ETHUSDT")])
    view.portfolio.open(FakePosition(instrument=ETH, quantity=Decimal("0.14")))  # 9 100 USD
    sized = size(signal(), view, rules(), 1.0)
    assert (sized.quantity, sized.reason) == (
        Decimal("0.013"),
        "limit of 100 % of equity for longs that move together",
    )
    assert size(signal(SHORT), view, rules(), 1.0).reason == "risk budget"


def test_gross_notional_needs_margin_at_the_leverage() -> None:
    view = FakeView()
    view.portfolio.pending_usd["x:2"] = Decimal(9000)
    sized = size(signal(SHORT), view, rules(leverage="1"), 1.0)
    assert (sized.quantity, sized.reason) == (Decimal("0.015"), "margin at leverage 1")


def test_largest_order_in_usd() -> None:
    sized = size(signal(), FakeView(), rules(max_order_usd="1000"), 1.0)
    assert (sized.quantity, sized.reason) == (Decimal("0.015"), "largest order of 1000 USD")


@pytest.mark.parametrize(
    ("equity", "quantity", "reason"),
    [
        ("9500.01", "0.030", "risk budget"),  # 23.75 USD at risk
        ("9500", "0.015", "risk budget, halved: drawdown 5.0000 %, limit 5.0 %"),
        ("9000.01", "0.014", "risk budget, halved: drawdown 9.9999 %, limit 5.0 %"),
    ],
)
def test_half_size_from_half_the_drawdown_limit_on(equity: str, quantity: str, reason: str) -> None:
    view = FakeView()
    view.portfolio.equity, view.portfolio.peak = Decimal(equity), Decimal(10_000)
    sized = size(signal(), view, rules(), 1.0)
    assert (sized.quantity, sized.reason) == (Decimal(quantity), reason)


def test_an_entry_is_cut_to_what_the_daily_loss_limit_leaves() -> None:
    view = FakeView()
    view.portfolio.day_start, view.portfolio.open_risk = Decimal(10_200), Decimal(96)  # limit 306, lost 200: 10 left
    sized = size(signal(), view, rules(), 1.0)
    assert (sized.quantity, sized.reason) == (Decimal("0.012"), "what the daily loss limit leaves")
    view.portfolio.open_risk = Decimal(106)
    used_up = size(signal(), view, rules(), 1.0)
    assert (used_up.quantity, used_up.value) == (Decimal(0), "0")


def test_volatility_target_when_set_and_nothing_while_volatility_is_not_known() -> None:
    view = FakeView()
    sized = size(signal(), view, rules(vol_target_pct="20"), 1.0)
    assert sized.quantity == 0
    assert sized.reason.startswith("volatility limit of 20 % a year (volatility is not known yet) leaves 0")
    swings = [65_000.0 * math.exp(0.005 * (i % 2)) for i in range(289)]  # each return 0.5 %: 162 % a year
    view.market(BTC).closed[300] = bars(swings)
    sized = size(signal(), view, rules(vol_target_pct="20"), 1.5)
    weight = 0.2 / (0.005 * math.sqrt(105_120))
    assert sized.quantity == instrument().quantity(weight * 10_000 / 65_065.5)
    assert sized.reason == "volatility limit of 20 % a year"


def test_the_sized_order_is_held_against_the_limits_again() -> None:
    view = FakeView()
    view.market(BTC).last = 63_000.0
    sized = size(signal(), view, rules(), 1.0)
    assert (sized.quantity, sized.value, sized.threshold) == (Decimal(0), "3.2786", "2")  # limit price 65 065.5
    assert sized.reason == "limit price 65065.5 is over 2 % from the last trade 63000.0"


@pytest.mark.parametrize(("direction", "side"), [(LONG, "ask"), (SHORT, "bid")])
def test_without_a_price_there_is_no_size(direction: Direction, side: str) -> None:
    view = FakeView()
    setattr(view.market(BTC), side, None)
    assert size(signal(direction), view, rules(), 1.0) == Sized(Decimal(0), "no opposite best price to size against")


@given(
    equity=st.decimals(1, 10_000_000, places=2),
    factor=st.floats(0.1, 2.5),
    price=st.integers(1, 2_000_000).map(lambda ticks: ticks / 10),
    direction=st.sampled_from(Direction),
    held=st.decimals(0, 2_000_000, places=2),
    lost_pct=st.decimals(0, 12, places=3),
    open_risk=st.decimals(0, 1000, places=2),
)
def test_no_size_breaks_a_limit(
    equity: Decimal,
    factor: float,
    price: float,
    direction: Direction,
    held: Decimal,
    lost_pct: Decimal,
    open_risk: Decimal,
) -> None:
    view = FakeView(instruments=[instrument(), instrument("ETHUSDT")])
    view.portfolio.equity = equity
    view.portfolio.pending_usd[ETH] = held
    view.portfolio.day_start = view.portfolio.peak = equity * (1 + lost_pct / 100)
    view.portfolio.open_risk = open_risk
    market = view.market(BTC)
    market.bid = market.ask = market.last = market.mark = price
    quantity = size(signal(direction), view, rules(), factor).quantity
    notional = quantity * Decimal(repr(price))
    assert quantity >= 0
    assert quantity == instrument().quantity(quantity)
    assert quantity == 0 or instrument().tradable(quantity, Decimal(repr(price)))
    assert notional <= equity * Decimal("0.6")
    assert quantity == 0 or notional + held <= equity * (1 if direction is LONG else Decimal("1.5"))
    assert notional * Decimal("0.01") <= equity * Decimal("0.006")
    if quantity:
        limit = limit_price(Decimal(repr(price)), direction, Decimal("0.001"), instrument())
        assert check_order(Wanted(BTC, direction, quantity, limit, Decimal("0.01")), view, rules()) is None


# --- multiplier -----------------------------------------------------------------------------------------------------


def regime(label: RegimeLabel, **fields: Any) -> Any:
    return reading("regime", Regime(label=label, hurst=0.6, z=2.0, sum_100=0.1, sum_12=0.1), **fields)


def whale(direction: Direction | None, intensity: float, **fields: Any) -> Any:
    return reading("whale_cvd", WhaleCvd(direction=direction, intensity=intensity), **fields)


def ofi(depths: float, **fields: Any) -> Any:
    return reading("ofi", Ofi(base=depths, depths=depths), **fields)


@pytest.mark.parametrize(
    ("readings", "expected"),
    [
        ([regime(RegimeLabel.TREND)], 1.0),
        ([regime(RegimeLabel.NOISE)], 0.5),
        ([regime(RegimeLabel.RANDOM)], 0.5),
        ([regime(RegimeLabel.UNKNOWN)], 0.5),
        ([regime(RegimeLabel.TREND, age_s=121)], 0.5),
        ([], 0.5),
    ],
)
def test_regime(readings: list[Any], expected: float) -> None:
    assert multiplier(signal(), FakeView(*readings), SizingParams(), blind=False) == expected
    assert multiplier(signal(), FakeView(*readings), SizingParams(), blind=True) == expected / 2


@pytest.mark.parametrize(
    ("direction", "readings", "traded_on", "expected"),
    [
        (LONG, [whale(LONG, 30.0), ofi(0.1)], (), 1.5),
        (SHORT, [whale(SHORT, 30.0), ofi(-0.1)], (), 1.5),
        (LONG, [whale(LONG, 29.99), ofi(0.1)], (), 1.0),
        (LONG, [whale(SHORT, 90.0), ofi(0.1)], (), 1.0),
        (LONG, [whale(LONG, 90.0), ofi(-0.1)], (), 1.0),
        (LONG, [whale(LONG, 90.0), ofi(0.0)], (), 1.0),
        (LONG, [whale(None, 90.0), ofi(0.1)], (), 1.0),
        (LONG, [whale(LONG, 90.0)], (), 1.0),
        (LONG, [ofi(0.1)], (), 1.0),
        (LONG, [whale(LONG, 90.0, age_s=121), ofi(0.1)], (), 1.0),
        (LONG, [whale(LONG, 90.0), ofi(0.1, age_s=121)], (), 1.0),
        (LONG, [whale(LONG, 90.0), ofi(0.1)], ("ofi",), 1.5),
        (LONG, [whale(LONG, 90.0), ofi(0.1)], ("ofi", "regime", "whale_cvd"), 1.0),
    ],
)
def test_conviction(direction: Direction, readings: list[Any], traded_on: tuple[str, ...], expected: float) -> None:
    view = FakeView(regime(RegimeLabel.TREND), *readings)
    assert multiplier(signal(direction, traded_on=traded_on), view, SizingParams(), blind=False) == expected


def test_the_product_is_clipped() -> None:
    strong = FakeView(regime(RegimeLabel.TREND), whale(LONG, 90.0), ofi(1.0))
    assert multiplier(signal(), strong, SizingParams(ultra=4.0), blind=False) == 2.5
    assert multiplier(signal(), FakeView(), SizingParams(no_trend=0.1), blind=True) == 0.1
