"""Check values of Hurst exponents: every number of hurst.json and hurst_montecarlo.json that is about one.

Variance ratio, robust z and rule are the engine's own; the other estimators are those of `estimators.py`. Monte-Carlo
tables are drawn again, smaller and with a fixed seed, and must agree within what so few draws allow. Not here: what the
tables say of other libraries' defaults, of looking again and again (`learning/test_peeking.py`), and of ladders.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from math import erfc, exp, log, sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from arch.unitroot import VarianceRatio

from bot.domain.values import RegimeLabel
from bot.market.regime import hurst_of, label_of, variance_ratio
from tests.market import estimators as est
from tests.market.estimators import ESTIMATORS, Array
from tests.montecarlo import GOAL, RANDOM_WALKS, TRUTHS, published, rates

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures/quant"
HURST: dict[str, Any] = json.loads((FIXTURES / "hurst.json").read_text())
MONTE_CARLO: dict[str, Any] = json.loads((FIXTURES / "hurst_montecarlo.json").read_text())
SERIES: list[dict[str, Any]] = HURST["series"]
LAGS = ("2", "4", "8", "16")
HURSTS = ("0.3", "0.4", "0.5", "0.55", "0.6", "0.7")
ROUNDED = 5e-5  # the tables have four digits


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


# --- hurst.json -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("series", SERIES, ids=lambda series: f"H{series['true_H']}")
@pytest.mark.parametrize("lags", LAGS)
def test_the_engines_variance_ratio_and_z(series: dict[str, Any], lags: str) -> None:
    wanted = series["variance_ratio"][lags]
    measured = variance_ratio(series["returns"], int(lags))
    assert measured is not None
    assert measured == pytest.approx((wanted["vr"], wanted["z_robust_arch"]), abs=1e-8)
    assert wanted["z_robust_ref"] == wanted["z_robust_arch"]
    estimate = series["estimates"].get(f"VR({lags})-implied H")
    if estimate is not None:
        assert hurst_of(measured[0], int(lags)) == pytest.approx(estimate, abs=1e-8)


@pytest.mark.parametrize("series", SERIES, ids=lambda series: f"H{series['true_H']}")
@pytest.mark.parametrize("lags", LAGS)
def test_the_z_of_constant_variance_and_its_p_value(series: dict[str, Any], lags: str) -> None:
    wanted = series["variance_ratio"][lags]
    _, robust, plain = est.variance_ratio(np.array([series["returns"]]), int(lags))
    assert plain[0] == pytest.approx(wanted["z_homosk_arch"], abs=1e-8)
    assert wanted["z_homosk_ref"] == wanted["z_homosk_arch"]
    assert erfc(abs(robust[0]) / sqrt(2)) == pytest.approx(wanted["p_two_sided_robust_arch"], abs=1e-8)


@pytest.mark.parametrize("series", SERIES, ids=lambda series: f"H{series['true_H']}")
@pytest.mark.parametrize("name", ESTIMATORS)
def test_every_estimate(series: dict[str, Any], name: str) -> None:
    found = ESTIMATORS[name](np.array([series["returns"]]))
    assert found[0] == pytest.approx(series["estimates"][name], abs=series["tolerance_abs"])


def test_no_estimate_is_left_out() -> None:
    for series in SERIES:
        assert set(series["estimates"]) == set(ESTIMATORS)
        assert set(series["variance_ratio"]) == set(LAGS)
        assert len(series["returns"]) == 100


def test_another_librarys_rescaled_range_with_the_same_blocks() -> None:
    key = "nolds_0.6.2 hurst_rs(fit=poly, nvals=[10,20,25,50,100], corrected=False, unbiased=False)"
    for series in SERIES:
        found = est.rescaled_range(np.array([series["returns"]]))
        assert found[0] == pytest.approx(series["library_cross_check"][key], abs=1e-8)


def test_expected_rescaled_range() -> None:
    for row in HURST["anis_lloyd"]:
        assert est.expected_rescaled(row["n"]) == pytest.approx(row["E_RS_anis_lloyd"], abs=1e-8)
        assert est.peters(row["n"]) == pytest.approx(row["E_RS_with_peters_factor"], abs=1e-8)


WERON = {"ci90": (-7.35, 4.06, -7.07, 3.75), "ci95": (-7.33, 4.21, -7.20, 4.04), "ci99": (-7.19, 4.34, -7.51, 4.58)}


def test_intervals_of_weron() -> None:
    """Weron 2002, Physica A 312:285."""
    for row in HURST["weron_rs_al_empirical_ci (blocks>50; valid N=256..65536)"]:
        y = log(log(log(row["N"], 2)))
        for level, (low_slope, low, high_slope, high) in WERON.items():
            found = [0.5 - exp(low_slope * y + low), 0.5 + exp(high_slope * y + high)]
            assert found == pytest.approx(row[level], abs=1e-8)


def test_edge_cases() -> None:
    cases = {case["name"]: case for case in HURST["edge_cases"]}
    assert variance_ratio([0.001] * 100) is None
    alternating = cases["alternating +-0.1%"]
    returns = [0.001, -0.001] * 50
    two = variance_ratio(returns, 2)
    assert two == pytest.approx((alternating["vr2"], alternating["z2_robust"]), abs=1e-8)
    four = variance_ratio(returns)
    assert four is not None
    assert label_of(hurst_of(four[0]), four[1], 0.95) is RegimeLabel(alternating["regime"])
    assert variance_ratio([*returns[:99], float("nan")]) is None


def test_the_spec_is_what_the_estimators_do() -> None:
    spec = HURST["spec"]
    assert tuple(spec["rs_sizes"]) == est.RS_SIZES
    assert tuple(spec["dfa_sizes"]) == est.DFA_SIZES
    assert tuple(spec["aggvar_sizes"]) == est.AGGREGATED_SIZES


# --- another library ------------------------------------------------------------------------------------------------


def _random_series() -> Iterator[list[float]]:
    draws = rng(7)
    for scale in (1e-5, 1e-3, 0.1):
        for drift in (0.0, 0.3):
            for rows in (est.student(draws, 4), est.garch(draws, 4), est.fractional_noise(draws, 0.65, 4)):
                yield from (scale * (rows + drift)).tolist()


@pytest.mark.parametrize("lags", [2, 4, 8])
def test_variance_ratio_and_z_are_those_of_arch(lags: int) -> None:
    for returns in _random_series():
        path = np.concatenate([[0.0], np.cumsum(returns)])
        theirs = VarianceRatio(path, lags=lags, trend="c", debiased=True, robust=True, overlap=True)
        ours = variance_ratio(np.diff(path).tolist(), lags)
        assert ours == pytest.approx((theirs.vr, theirs.stat), abs=1e-8)


# --- hurst_montecarlo.json ------------------------------------------------------------------------------------------

PUBLISHED_PATHS = 20_000


def close_rate(found: float, wanted: float, paths: int, wanted_paths: int = PUBLISHED_PATHS) -> bool:
    error = sqrt(max(wanted * (1 - wanted), 1 / paths) * (1 / paths + 1 / wanted_paths))
    return bool(abs(found - wanted) <= 4 * error + ROUNDED)


@cache
def noise(hurst: str, paths: int = 2000) -> Array:
    return est.fractional_noise(rng(int(100 * float(hurst))), float(hurst), paths)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_bias_spread_and_rates_of_every_estimator(name: str) -> None:
    table = MONTE_CARLO["estimators"][name]
    paths = 100 if "ML" in name else 1000
    for hurst in HURSTS:
        found = ESTIMATORS[name](noise(hurst)[:paths])
        mean, sd = table["mean"][hurst], table["sd"][hurst]
        assert table["bias"][hurst] == pytest.approx(mean - float(hurst), abs=2 * ROUNDED)
        assert found.mean() == pytest.approx(mean, abs=4 * sd / sqrt(paths) + 4 * sd / sqrt(PUBLISHED_PATHS))
        assert found.std() == pytest.approx(sd, rel=4 / sqrt(paths))  # 1/sqrt(2n) where normal; these are not quite
        for key, hits in (("p_gt_055", found > 0.55), ("p_lt_045", found < 0.45)):
            assert close_rate(hits.mean(), table[key][hurst], paths), (key, hurst)


QUANTILES_OF = {
    "R/S classic": "R/S classic (10,20,25,50,100)",
    "R/S-AL": "R/S Anis-Lloyd corrected",
    "DFA-1": "DFA-1 (5..25)",
    "GHE q=2": "GHE q=2 (Di Matteo 5..19)",
    "VR(2)-H": "VR(2)-implied H",
    "VR(4)-H": "VR(4)-implied H",
    "VR(8)-H": "VR(8)-implied H",
}


@cache
def random_walks(name: str, paths: int) -> Array:
    draw = {"t3 iid": est.student, "GARCH(.1,.85) t5": est.garch}.get(name)
    return rng(11).standard_normal((paths, 100)) if draw is None else draw(rng(12), paths)


def statistic(name: str, returns: Array) -> Array:
    if name in QUANTILES_OF:
        result: Array = ESTIMATORS[QUANTILES_OF[name]](returns)
        return result
    return est.variance_ratio(returns, int(name[5]))[1]  # "z VR(4) robust"


@pytest.mark.parametrize("name", MONTE_CARLO["null_quantiles_n100_iid_gaussian_200k"])
def test_quantiles_on_random_walks(name: str) -> None:
    wanted, paths = MONTE_CARLO["null_quantiles_n100_iid_gaussian_200k"][name], 5_000
    found = statistic(name, random_walks("normal", paths))
    assert found.mean() == pytest.approx(wanted["mean"], abs=5 * wanted["sd"] / sqrt(paths))
    assert found.std() == pytest.approx(wanted["sd"], rel=0.04)
    for key, value in wanted.items():
        if key.startswith("q"):
            assert close_rate((found < value).mean(), float(key[1:]), paths, 200_000), key
        elif key.startswith("P("):
            rate = (found > 0.55).mean() if ">" in key else (found < 0.45).mean()
            assert close_rate(rate, value, paths, 200_000), key


def _truth(name: str, paths: int) -> Array:
    if name.startswith("AR1"):
        return est.autoregressive(rng(13), float(name.removeprefix("AR1 ")), paths)
    return noise(name) if name in HURSTS else random_walks(name, paths)


@pytest.mark.parametrize("name", MONTE_CARLO["vr_z_rules"])
def test_what_z_alone_says(name: str) -> None:
    lags, robust = int(name[3:].split(")")[0]), name.endswith("robust")
    for truth, wanted in MONTE_CARLO["vr_z_rules"][name].items():
        returns = _truth(truth, 2000)
        z = est.variance_ratio(returns, lags)[1 if robust else 2]
        hits = {"p_z_gt_1.645": z > 1.645, "p_z_lt_-1.645": z < -1.645, "p_|z|>1.96": np.abs(z) > 1.96}
        hits |= {key: z < value for key, value in wanted.items() if key.startswith("z_q")}
        for key, value in wanted.items():
            rate = {"z_q95": 0.95, "z_q05": 0.05}.get(key, value)
            assert close_rate(hits[key].mean(), rate, len(returns)), (truth, key)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_false_positives_and_power_at_the_cutoff(name: str) -> None:
    """At the estimator's own 95th percentile on random walks, which is drawn here, and so has an error of its own."""
    table = MONTE_CARLO["estimators"][name]
    paths = 100 if "ML" in name else 2000
    cutoff = np.quantile(ESTIMATORS[name](random_walks("normal", 5 * paths)), 0.95)
    truths = table["power_at_q95"] | table["fp_at_q95_under"]
    for truth, wanted in truths.items():
        rate = float((ESTIMATORS[name](_truth(truth, 2000)[:paths]) > cutoff).mean())
        assert rate == pytest.approx(wanted, abs=0.012 + 4 * sqrt(max(wanted * (1 - wanted), 0.002) / paths)), truth


def test_bound_of_any_unbiased_estimate() -> None:
    for key, wanted in MONTE_CARLO["cramer_rao_sd"].items():
        hurst, count = key.removeprefix("H=").split(",n=")
        assert est.least_deviation(float(hurst), int(count)) == pytest.approx(wanted, abs=ROUNDED)


@pytest.mark.parametrize("count", MONTE_CARLO["vr4_by_window"])
def test_longer_windows(count: str) -> None:
    wanted, paths, draws = MONTE_CARLO["vr4_by_window"][count], 800, rng(int(count))
    found = {
        hurst: est.implied(est.variance_ratio(est.fractional_noise(draws, hurst, paths, int(count)), 4)[0], 4)
        for hurst in (0.5, 0.55, 0.6)
    }
    assert found[0.5].std() == pytest.approx(wanted["sd"], rel=0.1)
    assert close_rate((found[0.5] > 0.55).mean(), wanted["FP(H>0.55|0.5)"], paths, 3000)
    assert close_rate((found[0.5] < wanted["q95"]).mean(), 0.95, paths, 3000)
    for hurst in (0.55, 0.6):
        power = (found[hurst] > wanted["q95"]).mean()
        assert power == pytest.approx(wanted[f"power_{hurst:.2f}"], abs=0.06)


def test_windows_that_share_all_but_one_return() -> None:
    """A day of five-minute bars of a random walk: how much of it is called a trend, and on how many days any of it is."""
    days, slow_days = 200, 40
    path = rng(17).standard_normal((days, 99 + 288))
    windows = np.lib.stride_tricks.sliding_window_view(path, 100, axis=1).reshape(-1, 100)
    ratio, z, _ = est.variance_ratio(windows, 4)
    hurst = est.implied(ratio, 4)
    nulls = MONTE_CARLO["null_quantiles_n100_iid_gaussian_200k"]
    over = (hurst > nulls["VR(4)-H"]["q0.95"]).reshape(days, 288)
    in_a_row = over.copy()
    for back in range(1, 5):
        in_a_row[:, back:] &= over[:, :-back]
    in_a_row[:, :4] = False
    few = windows[: slow_days * 288]
    corrected = est.rescaled_range_corrected(few)
    rules = {
        "R/S classic > 0.55": est.rescaled_range(few) > 0.55,
        "DFA-1 > 0.55": est.detrended_fluctuation(few) > 0.55,
        "R/S-AL > 0.55": corrected > 0.55,
        "R/S-AL > q95 null": corrected > nulls["R/S-AL"]["q0.95"],
        "VR(4)-H > 0.55": hurst > 0.55,
        "VR(4)-H > q95": over,
        "VR(4)-H > q99": hurst > nulls["VR(4)-H"]["q0.99"],
        "VR(4) z > 1.645": z > 1.645,
        "VR(4)-H > q95 on 5 consecutive bars": in_a_row,
    }
    assert set(rules) == set(MONTE_CARLO["rolling_288_bars_random_walk"])
    for name, on in rules.items():
        wanted = MONTE_CARLO["rolling_288_bars_random_walk"][name]
        by_day = on.reshape(-1, 288)
        starts = (by_day[:, 1:] & ~by_day[:, :-1]).sum(axis=1) + by_day[:, 0]
        for found, key in ((by_day.mean(axis=1), "fraction_of_bars"), (starts, "episodes_per_288_bars")):
            assert found.mean() == pytest.approx(wanted[key], abs=4 * found.std() / sqrt(len(found)) + ROUNDED), name
        share = wanted["P(at least one in 288 bars)"]
        assert close_rate(by_day.any(axis=1).mean(), share, len(by_day), len(by_day)), name
        assert on.sum() / starts.sum() == pytest.approx(wanted["mean_episode_bars"], rel=0.3), name


# --- the rule -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("truth", TRUTHS)
def test_rates_of_the_rule(truth: str) -> None:
    paths = 5000 if truth in RANDOM_WALKS else 2000
    found, wanted = rates(TRUTHS[truth](rng(23), paths)), published()[truth]
    tolerance = MONTE_CARLO["recommended_rule"]["test_tolerance_abs_on_rates_with_5000_reps"] * sqrt(5000 / paths)
    assert found.trend == pytest.approx(wanted["TRUE TREND"], abs=tolerance)
    assert found.noise == pytest.approx(wanted["NOISE"], abs=tolerance)
    if "RANDOM" in wanted:
        assert 1 - found.trend - found.noise == pytest.approx(wanted["RANDOM"], abs=2 * tolerance)
    if truth in RANDOM_WALKS:
        assert found.trend <= GOAL + 3 * found.error(GOAL)


def test_without_z_a_wick_would_be_noise() -> None:
    wicks = est.reverting_wick(rng(29), 5000)
    hurst = est.implied(est.variance_ratio(wicks, 4)[0], 4)
    wanted = published()["one 8-sigma reverting wick"]["NOISE(H<q05 only)"]
    assert (hurst < 0.3749).mean() == pytest.approx(wanted, abs=0.02)


def test_the_bare_rule_calls_random_walks_a_trend() -> None:
    walks = random_walks("normal", 5_000)[:2000]
    found, strict = rates(walks, confidence=0.0), rates(walks, confidence=0.975)
    assert (found.trend, found.noise) == pytest.approx((0.2126, 0.2623), abs=0.03)
    assert strict.trend == pytest.approx(0.025, abs=0.011)
