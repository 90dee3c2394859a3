"""Looking again and again: the published rates of false alarms, and that our interval keeps its promise where others do not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bot.learning.sequences import FIRST_N, half_width

FIXTURE = Path(__file__).resolve().parents[1] / "fixtures/quant/hurst_montecarlo.json"
RATES: dict[str, float] = json.loads(FIXTURE.read_text())["peeking_false_positive_rate"]
TRADES, DRAWS = 500, 4000


@pytest.fixture(scope="module")
def looks() -> Any:
    """|mean| and sample deviation of trades that mean nothing, after each of them: (DRAWS, TRADES)."""
    draws = np.random.default_rng(1).standard_normal((DRAWS, TRADES))
    n = np.arange(1, TRADES + 1)
    mean = draws.cumsum(axis=1) / n
    spread = (draws**2).cumsum(axis=1) - n * mean**2
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.abs(mean), np.sqrt(spread / (n - 1)), n


@pytest.mark.parametrize(
    ("name", "step", "first"),
    [("every trade from 20 to 500, |t|>1.96", 1, 20), ("every 10th trade", 10, 20), ("once at 500", 1, 500)],
)
def test_an_ordinary_test_that_is_looked_at_again_and_again_is_wrong_as_often_as_published(
    name: str, step: int, first: int, looks: Any
) -> None:
    mean, sd, n = looks
    seen = slice(first - 1, None, step)
    alarms = (np.sqrt(n[seen]) * mean[:, seen] / sd[:, seen] > 1.96).any(axis=1).mean()
    assert alarms == pytest.approx(RATES[name], abs=4 * np.sqrt(RATES[name] * (1 - RATES[name]) / DRAWS))


def test_ours_may_be_looked_at_after_every_trade(looks: Any) -> None:
    mean, sd, n = looks
    widths = np.array([half_width(int(each), 1.0) for each in n])
    alarms = (mean[:, FIRST_N - 1 :] > widths[FIRST_N - 1 :] * sd[:, FIRST_N - 1 :]).any(axis=1).mean()
    published = RATES["confidence sequence rho2=.01, from 20, sample sd"]
    assert alarms == pytest.approx(published, abs=4 * np.sqrt(published * (1 - published) / DRAWS))
