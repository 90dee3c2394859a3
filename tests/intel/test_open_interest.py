"""Five minutes up to a minute, volume that covers a change, and a percentile that waits for 30 days."""

from __future__ import annotations

import json
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.domain.errors import FeedError
from bot.domain.statistics import AccountRatio, Candle, OpenInterest
from bot.domain.values import NS
from bot.intel.open_interest import (
    DAYS_30_NS,
    HOUR_NS,
    MINUTE_NS,
    OpenInterestSamples,
    RatioHours,
    implausible,
    volume_between,
)

NOW = 1_760_000_000 * NS
VELOCITY = json.loads((Path(__file__).parents[1] / "fixtures/quant/flow.json").read_text())["oi_velocity"]


def sample(at_ns: int, coins: str = "100") -> OpenInterest:
    return OpenInterest(at_ns, Decimal(coins))


def minutes(first: int, *coins: int) -> list[Candle]:
    return [Candle((first + i) * MINUTE_NS, 1.0, 1.0, 1.0, Decimal(each)) for i, each in enumerate(coins)]


@pytest.mark.parametrize(
    ("before_ns", "found"),
    [
        (240 * NS, True),
        (240 * NS - 1, False),
        (300 * NS, True),
        (360 * NS, True),
        (360 * NS + 1, False),
    ],
)
def test_the_reference_is_five_minutes_old_within_a_minute(before_ns: int, found: bool) -> None:
    samples = OpenInterestSamples()
    for each in (sample(NOW), sample(NOW - before_ns)):
        samples.add(each)
    assert (samples.reference(sample(NOW)) is not None) is found


def test_of_several_the_nearest_is_the_reference_and_old_ones_are_forgotten() -> None:
    samples = OpenInterestSamples()
    for age_s in (0, 250, 290, 320, 600, 601):
        samples.add(sample(NOW - age_s * NS))
        samples.add(sample(NOW - age_s * NS, "7"))  # told before
    found = samples.reference(sample(NOW))
    assert found == sample(NOW - 290 * NS)
    assert samples.newest == sample(NOW)
    assert samples.reference(sample(NOW - 350 * NS)) == sample(NOW - 600 * NS)
    assert samples.reference(sample(NOW - 361 * NS)) is None  # what is older than ten minutes is gone
    assert samples.reference(sample(NOW - 290 * NS)) == sample(NOW - 600 * NS)


def test_at_start_the_newest_of_the_history_can_be_the_newest_that_is_known() -> None:
    samples = OpenInterestSamples()
    for age_s in (0, 100, 400):
        samples.add(sample(NOW - age_s * NS))
    assert samples.newest_pair() == (sample(NOW - 400 * NS), sample(NOW - 100 * NS))
    samples.add(sample(NOW - 299 * NS))
    assert samples.newest_pair() == (sample(NOW - 299 * NS), sample(NOW))
    alone = OpenInterestSamples()
    alone.add(sample(NOW))
    assert alone.newest_pair() is None


def test_the_change_in_coins_is_the_published_one() -> None:
    (before, _), (after, _) = VELOCITY["oi_base_px"]
    change = 100 * (Decimal(after) - Decimal(before)) / Decimal(before)
    assert float(change) == VELOCITY["pct_5m_base"]


@pytest.mark.parametrize(
    ("start_s", "end_s", "volume"),
    [(60, 120, 14), (60, 119, 6), (119, 120, 14), (61, 299, 6 + 8 + 10 + 12), (0, 360, 54)],
)
def test_volume_is_of_every_minute_that_the_span_touches(start_s: int, end_s: int, volume: int) -> None:
    candles = minutes(0, 4, 6, 8, 10, 12, 14)
    assert volume_between(candles, start_s * NS, end_s * NS) == volume


def test_a_missing_minute_is_refused_unless_it_is_the_running_one() -> None:
    assert volume_between(minutes(1, 6, 8), 60 * NS, 181 * NS) == 14
    for there in (minutes(2, 8, 10), minutes(1, 6) + minutes(3, 10)):
        with pytest.raises(FeedError, match="1 of 2 minutes"):
            volume_between(there, 60 * NS, 181 * NS)


@pytest.mark.parametrize(
    ("before", "after", "volume", "said"),
    [
        ("100", "110", "10", ""),
        ("100", "110", "9.999", "changed by 10 coins, but only 9.999 were traded"),
        ("100", "90", "9.999", "changed by 10 coins"),
        ("100", "90", "10", ""),
        ("0", "5", "10", "was 0"),
        ("100", "0", "100", ""),
    ],
)
def test_no_contract_changes_without_being_traded(before: str, after: str, volume: str, said: str) -> None:
    reason = implausible(sample(0, before), sample(1, after), Decimal(volume))
    assert said in reason
    assert bool(reason) is bool(said)


def hours(ratios: list[Decimal], end_ns: int = NOW) -> RatioHours:
    kept = RatioHours()
    kept.add([AccountRatio(end_ns - i * HOUR_NS, ratio) for i, ratio in enumerate(ratios)])
    return kept


@pytest.mark.parametrize(("known", "there"), [(717, False), (718, True), (720, True)])
def test_the_percentile_waits_for_thirty_days(known: int, there: bool) -> None:
    assert (hours([Decimal(1)] * known).percentile_95(NOW) is not None) is there


def test_a_tenth_of_the_hours_may_be_missing_and_old_ones_do_not_count() -> None:
    kept = RatioHours()
    kept.add([AccountRatio(NOW - i * HOUR_NS, Decimal(1)) for i in range(720) if i % 10 or i > 710])
    assert len(kept) >= 648
    assert kept.percentile_95(NOW) == 1
    few = RatioHours()
    few.add([AccountRatio(NOW - i * HOUR_NS, Decimal(1)) for i in range(720) if i % 5])
    assert few.percentile_95(NOW) is None
    assert kept.percentile_95(NOW + 10 * 24 * HOUR_NS) is None
    assert len(kept) < 648


def test_an_hours_first_ratio_stays() -> None:
    kept = hours([Decimal(2)] * 720)
    kept.add([AccountRatio(NOW - i * HOUR_NS, Decimal(9)) for i in range(720)])
    assert kept.percentile_95(NOW) == 2


@settings(max_examples=15)
@given(st.lists(st.integers(1, 10**6), min_size=720, max_size=720))
def test_the_percentile_agrees_with_numpy(ratios: list[int]) -> None:
    kept = hours([Decimal(each) for each in ratios])
    assert float(kept.percentile_95(NOW) or 0) == np.percentile(ratios, 95, method="inverted_cdf")


@pytest.mark.parametrize(("page", "calls"), [(500, 2), (100, 8), (720, 1)])
def test_pages_cover_thirty_days_and_fit(page: int, calls: int) -> None:
    spans = list(RatioHours().pages(NOW, page))
    assert len(spans) == calls
    assert spans[0][1] == NOW
    assert spans[-1][0] == NOW - DAYS_30_NS + HOUR_NS
    assert all(end - start <= (page - 1) * HOUR_NS for start, end in spans)
    assert all(later[0] == earlier[1] for later, earlier in pairwise(spans))
