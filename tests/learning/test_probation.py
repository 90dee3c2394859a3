"""Who goes on probation, at which edge, and the way back."""

from __future__ import annotations

from decimal import Decimal

import pytest

from bot.learning.probation import DAY_NS, Finished, standing, stays
from tests.learning.histories import BLOCK, HOUR, START

EQUITY = Decimal(10000)
NOW = START + 7 * DAY_NS


def trade(usd: str, at_ns: int = NOW, r: float | None = None) -> Finished:
    return Finished(closed_ns=at_ns, pnl_usd=Decimal(usd), pnl_r=float(usd) / 100 if r is None else r)


@pytest.mark.parametrize(
    ("losses", "at_ns", "on"),
    [
        (["-150", "-50"], NOW, False),  # 2 % is not more than 2 %
        (["-150", "-50.01"], NOW, True),
        (["-300", "+100"], NOW, False),
        (["-900"], START, False),  # seven days ago
        (["-900"], START + 1, True),
    ],
)
def test_a_weeks_loss(losses: list[str], at_ns: int, on: bool) -> None:
    found = standing([trade(usd, at_ns) for usd in losses], EQUITY, NOW)
    assert (found.on, bool(found.reason)) == (on, on)


@pytest.mark.parametrize(("count", "on"), [(19, False), (20, True)])
def test_a_mean_that_is_surely_negative_from_twenty_trades_on(count: int, on: bool) -> None:
    trades = [trade("-1", START - i * BLOCK, r=-1.0 - (i % 2) / 10) for i in range(count)]
    found = standing(trades, EQUITY, NOW)
    assert found.on is on
    assert not on or "20 trades with a mean of -1.05 R" in found.reason


def test_bad_luck_is_not_enough() -> None:
    trades = [trade("-1", START - i * BLOCK, r=(-1.0, 0.8)[i % 2]) for i in range(40)]
    assert not standing(trades, EQUITY, NOW).on


def test_a_crowd_of_trades_in_one_block_proves_nothing() -> None:
    trades = [trade("-1", START + i, r=-1.0 - i / 100) for i in range(30)]
    assert not standing(trades, EQUITY, NOW).on


def test_what_put_it_there_does_not_do_so_again() -> None:
    trades = [trade("-900", NOW - HOUR)]
    assert standing(trades, EQUITY, NOW, returned_ns=NOW - HOUR - 1).on
    assert not standing(trades, EQUITY, NOW, returned_ns=NOW - HOUR).on


@pytest.mark.parametrize(
    ("results", "warning"),
    [
        (["-1", "-1"], ""),
        (["-1"] * 3, "3 losses in a row"),
        (["-1", "-1", "0", "-1"], ""),
        (["1"] + ["-1"] * 4, "4 losses in a row"),
    ],
)
def test_losses_in_a_row_only_warn(results: list[str], warning: str) -> None:
    found = standing([trade(usd) for usd in results], EQUITY, NOW)
    assert (found.on, found.warning) == (False, warning)


@pytest.mark.parametrize(
    ("hours", "results", "on"),
    [
        (24, [1.0] * 5, False),
        (23.999, [1.0] * 5, True),
        (24, [1.0] * 4, True),
        (24, [1.0, -1.0, 1.0, -1.0, 0.0], True),  # a mean of 0 is not above 0
        (24, [1.0, -1.0, 1.0, -1.0, 0.01], False),
        (24, [float("nan")] * 5, True),
    ],
)
def test_the_way_back(hours: float, results: list[float], on: bool) -> None:
    shadows = [trade("0", NOW + 1, r=r) for r in results]
    found = stays(shadows, NOW, NOW + round(hours * HOUR))
    assert (found.on, bool(found.reason)) == (on, on)


def test_shadows_from_before_do_not_bring_it_back() -> None:
    assert stays([trade("0", NOW, r=1.0)] * 5, NOW, NOW + DAY_NS).on
