"""Correlation and volatility of closed bars, against numpy's weighted covariance, and everything that makes them unknown."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.values import NS
from bot.trading.correlation import Correlations, ewma_correlation, ewma_sigma, log_returns
from tests.build import BTC, NOW, FakeView, bars, instrument

ETH = instrument("ETHUSDT")
returns = st.lists(st.integers(-50_000, 50_000).map(lambda r: r / 1e6), min_size=2, max_size=60)


def walk(seed: int, count: int = 289) -> list[float]:
    steps = np.random.default_rng(seed).normal(0, 0.002, count)
    return [float(price) for price in 100 * np.exp(np.cumsum(steps))]


def of_btc_and_eth(btc: list[float], eth: list[float]) -> FakeView:
    view = FakeView(instruments=[instrument(), ETH])
    view.market(BTC).closed[300], view.market(ETH.id).closed[300] = bars(btc), bars(eth)
    return view


@given(st.integers(2, 60), st.integers(1, 100), st.integers(0, 10_000))
def test_it_is_the_weighted_correlation_around_zero(count: int, half_life: int, seed: int) -> None:
    x, y = np.random.default_rng(seed).normal(0, 0.01, (2, count))
    weights = 0.5 ** (np.arange(count)[::-1] / half_life)
    expected = np.sum(weights * x * y) / math.sqrt(np.sum(weights * x * x) * np.sum(weights * y * y))
    assert ewma_correlation(list(x), list(y), half_life) == pytest.approx(expected, abs=1e-12)
    sigma = math.sqrt(np.average(x * x, weights=weights))
    assert ewma_sigma(list(x), half_life) == pytest.approx(sigma, rel=1e-12)


def test_a_half_life_halves() -> None:
    x, y = [1.0, 0.0, 0.0, 1.0], [1.0, 0.0, 0.0, -1.0]  # agreed three bars ago, disagree now
    assert ewma_correlation(x, y, 3) == pytest.approx((0.5 - 1) / (0.5 + 1))


@given(returns, st.floats(0.1, 10.0))
def test_it_knows_no_scale_and_stays_within_one(x: list[float], scale: float) -> None:
    rho = ewma_correlation(x, [r * scale for r in x], 12)
    assert rho is None or rho == pytest.approx(1.0)
    assert rho is None or -1 <= rho <= 1


def test_without_variance_there_is_no_correlation() -> None:
    assert ewma_correlation([0.0, 0.0], [0.1, 0.2], 12) is None
    assert ewma_sigma([], 12) is None


def test_the_newest_common_bars_count_however_long_each_was_followed() -> None:
    btc, eth = walk(1), walk(2)
    whole = Correlations(72).rho(BTC, ETH.id, of_btc_and_eth(btc, eth))
    assert whole == ewma_correlation(log_returns(bars(btc)), log_returns(bars(eth)), 72)
    shorter = Correlations(72).rho(BTC, ETH.id, of_btc_and_eth(btc, eth[-100:]))
    assert shorter == ewma_correlation(log_returns(bars(btc[-100:])), log_returns(bars(eth[-100:])), 72)


def test_one_bar_more_of_one_instrument_shifts_nothing() -> None:
    btc, eth = walk(1), walk(2)
    view = of_btc_and_eth(btc, eth)
    view.market(ETH.id).closed[300] = bars(eth)[:-1]  # its newest bar has not closed yet
    expected = ewma_correlation(log_returns(bars(btc[:-1])), log_returns(bars(eth[:-1])), 72)
    assert Correlations(72).rho(ETH.id, BTC, view) == expected


@pytest.mark.parametrize(("count", "known"), [(72, False), (73, True)])
def test_it_needs_a_half_life_of_returns(count: int, known: bool) -> None:
    view = of_btc_and_eth(walk(1, count), walk(2))
    assert (Correlations(72).rho(BTC, ETH.id, view) is not None) is known
    assert (Correlations(72).sigma(BTC, view) is not None) is known


@pytest.mark.parametrize(("bars_ago", "known"), [(2, True), (3, False)])
def test_old_bars_say_nothing_about_now(bars_ago: int, known: bool) -> None:
    view = of_btc_and_eth(walk(1), walk(2))
    newest_end_ns = view.market(BTC).closed[300][-1].start_ns + 300 * NS
    view.now_ns = newest_end_ns + (bars_ago if known else 2) * 300 * NS + (0 if known else 1)
    assert (Correlations(72).rho(BTC, ETH.id, view) is not None) is known
    assert (Correlations(72).sigma(BTC, view) is not None) is known


def test_no_bars_at_all() -> None:
    view = FakeView(instruments=[instrument(), ETH])
    assert Correlations().rho(BTC, ETH.id, view) is None
    assert Correlations().sigma(BTC, view) is None


def test_what_is_remembered_is_forgotten_with_the_next_bar_of_either() -> None:
    correlations = Correlations(72)
    view = of_btc_and_eth(walk(1), walk(2))
    first = correlations.rho(BTC, ETH.id, view)
    view.market(ETH.id).closed[300] = bars(walk(3), now_ns=NOW + 300 * NS)
    second = correlations.rho(BTC, ETH.id, view)
    assert second == Correlations(72).rho(BTC, ETH.id, view) != first
