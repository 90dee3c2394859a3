"""Every value of learning.json and the chances of max_pain.json; the same against statsmodels, scipy and arch."""

from __future__ import annotations

import json
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from arch.bootstrap import StationaryBootstrap
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import binom
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from bot.learning import max_pain, multiple, performance, proportions, recommendations, sequences

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures/quant"
LEARNING: dict[str, Any] = json.loads((FIXTURES / "learning.json").read_text())
MAX_PAIN: dict[str, Any] = json.loads((FIXTURES / "max_pain.json").read_text())
R: list[float] = LEARNING["profit_factor"]["r"]
P = st.lists(st.floats(0, 1), min_size=1, max_size=30)


@pytest.mark.parametrize("case", LEARNING["hit_rate"], ids=lambda case: f"{case['k']} of {case['n']}")
def test_hit_rates(case: dict[str, Any]) -> None:
    k, n = case["k"], case["n"]
    assert proportions.wilson(k, n) == pytest.approx(case["wilson95"], abs=1e-8)
    for rate in (0.5, 0.6):
        assert proportions.binomial_tail(k, n, rate) == pytest.approx(case[f"p_one_sided_vs_{rate}"], abs=1e-9)
        assert proportions.e_value(k, n, rate) == pytest.approx(case[f"e_value_H0_p<={rate}"], abs=1e-6)


@pytest.mark.parametrize(("hits", "n"), [(0, 1), (1, 1), (0, 30), (30, 30), (7, 19), (800, 1000)])
def test_wilson_tail_and_e_value_are_those_of_other_libraries(hits: int, n: int) -> None:
    assert proportions.wilson(hits, n) == pytest.approx(proportion_confint(hits, n, method="wilson"), abs=1e-12)
    assert proportions.binomial_tail(hits, n, 0.6) == pytest.approx(binom.sf(hits - 1, n, 0.6), rel=1e-9)
    likelihood = quad(lambda p: (p / 0.6) ** hits * ((1 - p) / 0.4) ** (n - hits), 0.6, 1, points=[0.8], epsabs=0)[0]
    assert proportions.e_value(hits, n, 0.6) == pytest.approx(likelihood / 0.4, rel=1e-6)


def test_nothing_seen_says_nothing() -> None:
    assert proportions.wilson(0, 0) == (0, 1)
    assert proportions.e_value(0, 0, 0.6) == pytest.approx(1)
    assert proportions.z_against_chances(0, []) is None
    assert proportions.z_against_chances(1, [1.0]) is None  # a sure thing proves nothing


def test_an_e_value_stays_finite() -> None:
    assert 1e300 < proportions.e_value(20_000, 20_000, 0.6) < float("inf")
    assert proportions.e_value(0, 20_000, 0.6) < 1e-300


@pytest.mark.parametrize("rate", [0.5, 0.6])
def test_an_e_value_is_a_fair_bet_at_the_target(rate: float) -> None:
    """Its mean is 1 there, which is why it may be looked at again and again."""
    expected = sum(binom.pmf(k, 40, rate) * proportions.e_value(k, 40, rate) for k in range(41))
    assert expected == pytest.approx(1)


def test_hits_against_each_events_own_chance() -> None:
    case = LEARNING["poisson_binomial_hits"]
    assert proportions.z_against_chances(case["hits"], case["p_i"]) == pytest.approx(case["z"], abs=1e-8)


def test_benjamini_hochberg() -> None:
    case = LEARNING["bh"]
    assert multiple.adjusted(case["p"]) == pytest.approx(case["adjusted"], abs=1e-8)
    assert sum(multiple.rejected(case["p"], case["alpha"])) == case["n_reject"]
    assert sum(p <= case["alpha"] / len(case["p"]) for p in case["p"]) == case["bonferroni_reject"]


def test_at_the_edge_it_is_rejected() -> None:
    assert multiple.rejected([0.0, 0.0, 1.0, 1.0, 1.0, 0.05], 0.1) == [True, True, False, False, False, True]


@given(P)
def test_benjamini_hochberg_is_that_of_statsmodels(p_values: list[float]) -> None:
    rejected, adjusted, _, _ = multipletests(p_values, alpha=0.1, method="fdr_bh")
    assert multiple.adjusted(p_values) == pytest.approx(list(adjusted))
    if all(abs(p - 0.1) > 1e-9 for p in adjusted):  # at the very edge the two round differently
        assert multiple.rejected(p_values) == list(rejected)


@pytest.mark.parametrize("case", LEARNING["confidence_sequence"], ids=lambda case: f"n={case['n']}")
def test_confidence_sequence(case: dict[str, Any]) -> None:
    n, sigma = case["n"], case["sigma"]
    width = sequences.half_width(n, sigma, case["alpha"], case["rho2"])
    assert width == pytest.approx(case["halfwidth"], abs=1e-8)
    assert proportions.Z95 * sigma / sqrt(n) == pytest.approx(case["fixed_n_halfwidth"], abs=1e-8)


@given(st.integers(2, 10_000), st.floats(0.01, 100))
def test_a_mean_at_the_edge_of_the_interval_has_a_p_of_alpha(n: int, sd: float) -> None:
    width = sequences.half_width(n, sd)
    assert sequences.p_value(n, width, sd) == pytest.approx(0.05)
    assert sequences.p_value(n, -width * 1.01, sd) < 0.05 < sequences.p_value(n, width * 0.99, sd)


def test_an_interval_begins_at_twenty_observations() -> None:
    values = [1.0, -1.0] * 10
    assert sequences.mean_of([]).mean is None and sequences.mean_of([2.0]).mean == 2.0
    assert sequences.mean_of(values[:19]).hi is None and sequences.mean_of(values[:19]).p == 1
    assert sequences.mean_of(values).hi == pytest.approx(sequences.half_width(20, sqrt(20 / 19)))


def test_what_never_varies_is_certain() -> None:
    mean = sequences.mean_of([-1.0] * 20)
    assert (mean.lo, mean.hi, mean.p) == (-1, -1, 0)
    assert sequences.mean_of([0.0] * 20).p == 1


def test_a_mean_turned_round() -> None:
    mean = sequences.mean_of(R)
    turned = -mean
    assert (turned.mean, turned.lo, turned.hi) == pytest.approx((-mean.mean, -mean.hi, -mean.lo))  # type: ignore[operator]
    assert turned.p == mean.p


def test_the_always_valid_interval_contains_that_of_one_look() -> None:
    """arch's block bootstrap is the fixture's; who may look again and again pays for it with a wider interval."""
    case = LEARNING["mean_block_bootstrap"]
    bootstrap = StationaryBootstrap(case["block"], np.array(R), seed=123)
    lo, hi = bootstrap.conf_int(np.mean, reps=5000, method="percentile").ravel()
    assert (lo, hi) == pytest.approx(case["ci95_percentile_arch_seed123"], abs=case["tolerance_abs"])
    mean = sequences.mean_of(R)
    assert mean.mean == pytest.approx(case["mean"], abs=1e-8)
    assert mean.lo is not None and mean.hi is not None
    assert mean.lo < lo < hi < mean.hi


def test_looking_at_every_trade_hardly_ever_finds_what_is_not_there() -> None:
    """quant 7: |t| > 1.96 at some trade from 20 to 500 in 40 % of runs of nothing, this in 1.3 %."""
    values = np.random.default_rng(7).standard_normal((2000, 500))
    n = np.arange(1, 501)
    mean = values.cumsum(axis=1) / n
    sd = np.sqrt(np.maximum((values**2).cumsum(axis=1) - n * mean**2, 0) / np.maximum(n - 1, 1))
    unit = np.array([sequences.half_width(int(k), 1.0) for k in n])
    always = (np.abs(mean) > sd * unit)[:, 19:].any(axis=1).mean()
    fixed = (np.abs(mean) > 1.96 * sd / np.sqrt(n))[:, 19:].any(axis=1).mean()
    assert always < 0.03 and 0.35 < fixed < 0.45


def test_profit_factor() -> None:
    case = LEARNING["profit_factor"]
    factor = performance.profit_factor(R)
    assert factor is not None
    found = (factor.value, factor.se_log, factor.lo, factor.hi)
    assert found == pytest.approx((case["pf"], case["se_log"], case["lo"], case["hi"]), abs=1e-7)
    assert performance.profit_factor([1.0, 2.0]) is None and performance.profit_factor([-1.0]) is None


def test_deflated_sharpe() -> None:
    case = LEARNING["dsr"][0]
    year = case["periods_per_year"]
    sharpe, n = case["SR_annual"] / sqrt(year), case["T"]
    best = performance.expected_best(case["trials"], case["var_of_annual_trial_SR"] / year)
    assert best == pytest.approx(case["SR0_per_period"], abs=1e-6)
    shape = (case["skew"], case["kurt_raw"])
    assert performance.deflated_sharpe(sharpe, n, *shape, best) == pytest.approx(case["DSR"], abs=1e-7)
    assert performance.deflated_sharpe(sharpe, n, *shape, 0) == pytest.approx(case["PSR_vs_0"], abs=1e-7)
    assert performance.expected_best(1, 0.5) == 0


@pytest.mark.parametrize("case", LEARNING["sample_size"], ids=lambda case: f"{case['delta']}")
def test_needed_trades(case: dict[str, Any]) -> None:
    assert performance.needed_n(case["delta"], case["sigma"]) == case["n_two_sided_5pct_80pct"]


@pytest.mark.parametrize("case", LEARNING["multiplier_step"], ids=lambda case: f"{case['m']}, z {case['z']}")
def test_multiplier_step(case: dict[str, Any]) -> None:
    assert recommendations.stepped(case["m"], case["z"]) == pytest.approx(case["new"], abs=1e-8)


@pytest.mark.parametrize("case", MAX_PAIN["base_rates_random_walk"], ids=lambda case: f"{case['d_sigma']}")
def test_what_chance_gives_of_max_pain(case: dict[str, Any]) -> None:
    assert max_pain.touch_chance(case["d_sigma"], 1) == pytest.approx(case["touch"], abs=1e-6)
    assert max_pain.closer_chance(-case["d_sigma"], 1) == pytest.approx(case["closer_at_expiry"], abs=1e-6)
