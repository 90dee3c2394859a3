"""Limits of the sized order: each with its exact edge and one step beyond, and their order."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from bot.domain.values import Direction, TradingState
from bot.trading.correlation import Correlations, ewma_correlation, log_returns
from bot.trading.margin import Bracket
from bot.trading.order_limits import Wanted, check_liquidation, check_order, cluster, risk_usd
from bot.trading.risk import Breach, RiskParams, standing
from bot.trading.sizing import SizeRules, SizingParams
from tests.build import BTC, FakePosition, FakeView, bars, instrument

LONG, SHORT = Direction.LONG, Direction.SHORT
NAMES = ("ETHUSDT", "SOLUSDT", "XRPUSDT")
ETH, SOL, XRP = (f"binanceusdm:{name}" for name in NAMES)


def rules(**risk: Any) -> SizeRules:
    return SizeRules(
        SizingParams(), RiskParams.model_validate(risk), Decimal("0.0005"), Decimal("0.001"), Decimal("0.01")
    )


def view_of_four() -> FakeView:
    return FakeView(instruments=[instrument(), *(instrument(name) for name in NAMES)])


def wanted(
    quantity: str = "0.03", price: str = "65000", direction: Direction = LONG, stop_distance: str = "0.01"
) -> Wanted:
    return Wanted(BTC, direction, Decimal(quantity), Decimal(price), Decimal(stop_distance))


def refused(order: Wanted, view: FakeView, **risk: Any) -> Breach | None:
    return check_order(order, view, rules(**risk))


def held(name: str, usd: int, direction: Direction = LONG) -> FakePosition:
    return FakePosition(direction, name, Decimal(usd), Decimal(1))


def test_an_ordinary_entry_passes() -> None:
    assert refused(wanted(), FakeView()) is None


# --- price ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("price", "breaks"),
    [("66300.0", False), ("66300.1", True), ("63700.0", False), ("63699.9", True)],  # 65 000 +- 2 %
)
@pytest.mark.parametrize("of", ["mark", "last"])
def test_collar(of: str, price: str, breaks: bool) -> None:
    view = FakeView()
    other = "last" if of == "mark" else "mark"
    setattr(view.market(BTC), other, float(price))
    breach = refused(wanted(price=price), view)
    assert (breach is not None) is breaks
    if breach is not None:
        assert (breach.value, breach.threshold) == ("2.0002", "2")
        assert "mark" in breach.reason if of == "mark" else "last trade" in breach.reason


@pytest.mark.parametrize(
    ("of", "said"), [("mark", "no mark price"), ("last", "no last trade to hold the price against")]
)
def test_a_collar_without_a_price_refuses(of: str, said: str) -> None:
    view = FakeView()
    setattr(view.market(BTC), of, None)
    breach = refused(wanted(), view)
    assert breach is not None and breach.reason == said


# --- notional -------------------------------------------------------------------------------------------------------


def _pending_here(view: FakeView) -> None:
    view.portfolio.pending_usd[BTC] = Decimal(4050)


def _together(view: FakeView) -> None:
    view.portfolio.open(held(ETH, 8050))


def _elsewhere(view: FakeView) -> None:
    view.portfolio.open(held(ETH, 13_050, SHORT))


def _nothing(view: FakeView) -> None:
    pass


@pytest.mark.parametrize(
    ("fill", "risk", "name", "limit"),
    [
        (_pending_here, {}, "symbol limit of 60 % of equity", "6000"),
        (_together, {}, "limit of 100 % of equity for longs that move together", "10000"),
        (_elsewhere, {}, "gross limit of 150 % of equity", "15000"),
        (_elsewhere, {"leverage": "1.5", "gross_pct": 1000}, "margin at leverage 1.5", "15000"),
        (_nothing, {"max_order_usd": "1950"}, "largest order of 1950 USD", "1950"),
    ],
)
def test_limits_of_notional(fill: Callable[[FakeView], None], risk: dict[str, Any], name: str, limit: str) -> None:
    """0.03 at 65 000 are 1 950 USD: just what is left."""
    view = view_of_four()
    fill(view)
    assert refused(wanted(), view, **risk) is None
    breach = refused(wanted("0.030000001"), view, **risk)
    assert breach is not None
    assert Decimal(breach.threshold or 0) == Decimal(limit)
    assert Decimal(breach.value or 0) == Decimal(limit) + Decimal("0.000065")
    assert breach.reason.startswith(name)


def test_margin_counts_the_whole_equity_where_limits_count_the_set_one() -> None:
    view = view_of_four()
    view.portfolio.open(held(ETH, 8050, SHORT))
    assert refused(wanted(), view, equity_usd=5000, symbol_pct=100, gross_pct=200, leverage=1) is None
    breach = refused(wanted(), view, equity_usd=4999, symbol_pct=100, gross_pct=200, leverage=1)
    assert breach is not None and breach.reason.startswith("gross limit of 200 %")


def test_volatility_limit() -> None:
    view = FakeView()
    assert refused(wanted(), view, vol_target_pct=20) is not None  # not known
    view.market(BTC).closed[300] = bars([65_000.0 * math.exp(0.003 * (i % 2)) for i in range(289)])
    most = Decimal(repr(0.2 / (0.003 * math.sqrt(105_120)))) * 10_000 / 65_000
    assert refused(wanted(f"{most:.6f}"[:-1]), view, vol_target_pct=20) is None
    assert refused(wanted(f"{most + Decimal('0.0001'):.4f}"), view, vol_target_pct=20) is not None


# --- what moves together --------------------------------------------------------------------------------------------


def walks(view: FakeView, mixed: dict[str, tuple[float, float]]) -> None:
    """Bars of each instrument: so much of one common random walk, so much of another."""
    draw = np.random.default_rng(7)
    common, other = draw.normal(0, 0.002, (2, 289))
    for name, (a, b) in mixed.items():
        prices = 100 * np.exp(np.cumsum(a * common + b * other))
        view.market(name).closed[300] = bars([float(price) for price in prices])


def rho_of(view: FakeView, a: str, b: str) -> float:
    x, y = (log_returns(view.market(name).closed[300]) for name in (a, b))
    rho = ewma_correlation(x, y, 72)
    assert rho is not None
    return rho


def test_a_cluster_is_who_is_correlated_more_than_the_limit_at_the_edge() -> None:
    view = view_of_four()
    walks(view, {BTC: (1, 0), ETH: (0.8, 0.6)})
    view.portfolio.open(held(ETH, 1000))
    rho = rho_of(view, BTC, ETH)
    assert 0.7 < rho < 0.9
    assert cluster(BTC, LONG, view, rules(cluster_correlation=rho)) == set()
    assert cluster(BTC, LONG, view, rules(cluster_correlation=math.nextafter(rho, 0))) == {ETH}


def test_uncorrelated_holdings_are_no_cluster_unless_the_floor_says_so() -> None:
    view = view_of_four()
    walks(view, {BTC: (1, 0), ETH: (0, 1)})
    view.portfolio.open(held(ETH, 1000))
    assert cluster(BTC, LONG, view, rules()) == set()
    assert cluster(BTC, LONG, view, rules(cluster_correlation=0.5)) == set()
    assert cluster(BTC, LONG, view, rules(cluster_correlation=0.49)) == {ETH}


def test_a_cluster_reaches_over_a_third_and_keeps_to_one_direction() -> None:
    view = view_of_four()
    walks(view, {BTC: (1, 0), ETH: (0.75, 0.66), SOL: (0.1, 0.99), XRP: (1, 0.01)})
    assert rho_of(view, BTC, SOL) < 0.7 < min(rho_of(view, BTC, ETH), rho_of(view, ETH, SOL))
    view.portfolio.open(held(SOL, 1000))
    assert cluster(BTC, LONG, view, rules()) == set()
    view.portfolio.open(held(ETH, 1000))
    view.portfolio.open(held(XRP, 1000, SHORT))
    assert cluster(BTC, LONG, view, rules()) == {ETH, SOL}
    assert cluster(BTC, SHORT, view, rules()) == {XRP}


def test_an_instrument_without_bars_moves_with_everything() -> None:
    view = view_of_four()
    walks(view, {BTC: (1, 0)})
    view.portfolio.pending_usd[ETH] = Decimal(1000)
    assert Correlations().rho(BTC, ETH, view) is None
    assert cluster(BTC, LONG, view, rules()) == {ETH}


# --- money at risk --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("direction", "usd"), [(LONG, "21.44025"), (SHORT, "21.45975")])
def test_risk_of_an_order_is_the_way_to_the_stop_and_both_fees(direction: Direction, usd: str) -> None:
    """0.03 x 650 = 19.50, fees 0.05 % of 1 950 in and of 1 930.50 or 1 969.50 out."""
    assert risk_usd(wanted(direction=direction), Decimal("0.0005")) == Decimal(usd)


def test_no_order_risks_more_than_the_most() -> None:
    own = risk_usd(wanted(), Decimal("0.0005"))
    view = FakeView()
    view.portfolio.equity = own * 1000 / 6  # 0.6 % of it
    limits = {"symbol_pct": 10_000, "gross_pct": 10_000, "cluster_pct": 10_000, "leverage": 100}
    assert refused(wanted(), view, **limits) is None
    view.portfolio.equity -= Decimal("0.01")
    breach = refused(wanted(), view, **limits)
    assert breach is not None and "over 0.6 % of equity" in breach.reason


@pytest.mark.parametrize(("more", "breaks"), [("0", False), ("0.00000001", True)])
def test_loss_today_open_risk_and_its_own_risk_fit_the_daily_limit(more: str, breaks: bool) -> None:
    own = risk_usd(wanted(), Decimal("0.0005"))
    view = FakeView()
    view.portfolio.day_start = Decimal(10_200)  # 306 may be lost, 200 are
    view.portfolio.open_risk = Decimal(106) - own + Decimal(more)
    breach = refused(wanted(), view)
    assert (breach is not None) is breaks
    if breach is not None:
        assert (Decimal(breach.value or 0), Decimal(breach.threshold or 0)) == (own, own - Decimal(more))
        assert "over what the daily loss limit leaves" in breach.reason


@pytest.mark.parametrize(("equity", "breaks"), [("9000.01", False), ("9000", True)])
def test_drawdown(equity: str, breaks: bool) -> None:
    view = FakeView()
    view.portfolio.equity, view.portfolio.peak = Decimal(equity), Decimal(10_000)
    assert (refused(wanted(), view) is not None) is breaks


# --- liquidation ----------------------------------------------------------------------------------------------------


def liquidation(order: Wanted, view: FakeView, **risk: Any) -> Breach | None:
    """BTC needs no maintenance margin here: a wallet of 1 000 USD is lost 1 000 / 0.03 = 33 333 USD from the entry."""
    limits, no_margin = RiskParams.model_validate(risk), {BTC: (Bracket(None, Decimal(0)),)}
    given = SizeRules(SizingParams(), limits, Decimal(0), Decimal(0), Decimal("0.01"), brackets=no_margin)
    return check_liquidation(order, view, given, standing(view.portfolio, limits))


@pytest.mark.parametrize("direction", list(Direction))
@pytest.mark.parametrize(("stop_distance", "breaks"), [("0.1709401", False), ("0.1709402", True)])
def test_liquidation_is_at_least_three_stop_distances_away(
    direction: Direction, stop_distance: str, breaks: bool
) -> None:
    """A third of 33 333.33 is 17.094017 % of 65 000."""
    view = FakeView()
    view.portfolio.equity = Decimal(1000)
    breach = liquidation(wanted(direction=direction, stop_distance=stop_distance), view)
    assert (breach is not None) is breaks
    if breach is not None:
        assert (breach.value, breach.threshold) == ("33333.3333", "33333.3390000")
        assert "under 3 stop distances away" in breach.reason


def test_the_number_of_stop_distances_is_a_setting() -> None:
    view = FakeView()
    view.portfolio.equity = Decimal(1000)
    order = wanted(stop_distance="0.17")
    assert liquidation(order, view, liquidation_stops="3") is None
    assert liquidation(order, view, liquidation_stops="3.02") is not None


def test_others_losses_and_margin_bring_liquidation_nearer() -> None:
    view = view_of_four()
    view.portfolio.equity = Decimal(1000)
    order = wanted(stop_distance="0.16")  # 3 x 10 400 of 33 333 USD
    assert liquidation(order, view) is None
    view.portfolio.open(held(ETH, 20_000))  # 80 USD of maintenance margin: 30 667 left
    breach = liquidation(order, view)
    assert breach is not None
    assert (breach.value, Decimal(breach.threshold or 0)) == ("30666.6667", Decimal(31_200))


def test_an_order_that_would_be_liquidated_too_near_is_refused() -> None:
    """With an equity of 300, 1 950 USD and a margin rate of 0.4 % liquidation is 15 % away."""
    view = FakeView()
    view.portfolio.equity = Decimal(300)
    wide = {"symbol_pct": 1000, "cluster_pct": 1000, "gross_pct": 1000, "leverage": 10, "daily_loss_pct": 100}
    limits = {**wide, "max_risk_pct": 5, "equity_usd": 300}
    assert refused(wanted(stop_distance="0.005"), view, **limits) is None
    breach = refused(wanted(stop_distance="0.005"), view, **limits, liquidation_stops=40)
    assert breach is not None and breach.reason.startswith("liquidation at ")


# --- everything else once more --------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [s for s in TradingState if s is not TradingState.ACTIVE])
def test_only_active_lets_an_entry_out(state: TradingState) -> None:
    view = FakeView()
    view.state, view.state_reason = state, "why"
    assert refused(wanted(), view) == Breach(f"state is {state}: why")


@pytest.mark.parametrize(("sent", "breaks"), [(119, False), (120, True)])
def test_order_rate(sent: int, breaks: bool) -> None:
    view = FakeView()
    view.portfolio.sent = sent
    breach = refused(wanted(), view)
    assert (breach is not None) is breaks
    if breach is not None:
        assert (breach.value, breach.threshold) == ("120", "120")


@pytest.mark.parametrize(("field", "limit_s"), [("book_age_s", 2.0), ("trade_age_s", 5.0), ("mark_age_s", 10.0)])
def test_venue_facts_must_be_fresh_again(field: str, limit_s: float) -> None:
    view = FakeView()
    setattr(view.market(BTC), field, limit_s)
    assert refused(wanted(), view) is None
    setattr(view.market(BTC), field, limit_s + 1e-9)
    assert refused(wanted(), view) is not None
