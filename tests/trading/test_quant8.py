"""Every check value of quant 8 against the program's code where it uses the rule, and against `quant8.py` where it does not."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from bot.trading.correlation import BARS_PER_YEAR, vol_target_weight
from bot.trading.portfolio import Portfolio
from bot.trading.risk import RiskParams, drawdown, standing
from tests.trading.quant8 import kelly_binary, kelly_continuous, n_eff, portfolio_vol

CHECKS: dict[str, Any] = json.loads((Path(__file__).resolve().parents[1] / "fixtures/quant/risk.json").read_text())
USED = {"fixed_fraction", "kelly_binary", "kelly_continuous", "vol_target", "portfolio_vol", "n_eff", "drawdown"}


def test_no_check_value_is_forgotten() -> None:
    assert set(CHECKS) == USED  # fixed_fraction: test_sizing.py


def test_drawdown_halts_at_the_last_of_these_equities_and_at_none_before() -> None:
    portfolio = Portfolio(Decimal(100), lambda instrument: None)
    account, limit = portfolio.money, RiskParams(drawdown_pct=Decimal(str(CHECKS["drawdown"]["max_dd"])) * 100)
    halts = []
    for equity in CHECKS["drawdown"]["equity"]:
        account.realise(Decimal(str(equity)) - account.wallet_usd)
        account.raise_peak(portfolio.equity_usd())
        halts.append(drawdown(standing(portfolio, limit), limit) is not None)
    assert halts == [False] * 6 + [True]


@pytest.mark.parametrize("row", CHECKS["vol_target"])
def test_volatility_target(row: dict[str, Any]) -> None:
    assert row["bars_per_year"] == BARS_PER_YEAR
    assert vol_target_weight(row["target_ann"], row["sigma_bar"]) == pytest.approx(row["weight"], abs=5e-9)


@pytest.mark.parametrize("row", CHECKS["kelly_binary"])
def test_kelly_of_a_bet(row: dict[str, float]) -> None:
    assert kelly_binary(row["p"], row["b"]) == pytest.approx(row["f"], abs=1e-8)


@pytest.mark.parametrize("row", CHECKS["kelly_continuous"])
def test_kelly_of_a_return(row: dict[str, float]) -> None:
    assert kelly_continuous(row["mu"], row["sigma"]) == pytest.approx(row["f"], abs=5e-9)


def test_portfolio_volatility() -> None:
    row = CHECKS["portfolio_vol"]
    assert portfolio_vol(row["w"], row["sigma_daily"], row["corr"]) == pytest.approx(row["vol"], abs=5e-9)


@pytest.mark.parametrize("row", CHECKS["n_eff"])
def test_effective_number_of_bets(row: dict[str, Any]) -> None:
    assert n_eff(row["N"], row["rho"]) == pytest.approx(row["n_eff"], abs=5e-9)
