"""Delays: the distribution asked for, the same for the same key."""

from __future__ import annotations

from statistics import quantiles

import pytest

from bot.domain.values import MS
from bot.trading.latency import Latency


def test_median_and_99th_percentile_are_those_asked_for() -> None:
    latency = Latency(150, 600)
    drawn = sorted(latency.draw_ns(f"key {i}") for i in range(20_000))
    assert drawn[10_000] / MS == pytest.approx(150, rel=0.02)
    assert quantiles(drawn, n=100)[98] / MS == pytest.approx(600, rel=0.06)
    assert drawn[0] > 0
    assert all(ns % 1000 == 0 for ns in drawn)


def test_a_key_always_draws_the_same() -> None:
    """Fixed for good: a tape that is replayed on another machine, or by a later version, decides the same."""
    assert [Latency(150, 600).draw_ns(key) for key in ("a", "b")] == [102_720_000, 182_629_000]


@pytest.mark.parametrize(("median", "p99"), [(150, 150), (150, 0), (0, 600), (0, 0)])
def test_without_spread_or_without_delay(median: int, p99: int) -> None:
    latency = Latency(median, p99)
    assert {latency.draw_ns(str(i)) for i in range(100)} == {median * MS}
