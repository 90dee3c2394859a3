"""Liquidations that happened against the clusters that the model had told before, and against chance."""

from __future__ import annotations

from decimal import Decimal

import pytest

from bot.domain.market import BookSnapshot, ForcedOrder
from bot.domain.reading import LiquidationCluster, LiquidationClusters
from bot.domain.values import LONG, NS, SHORT, Direction
from bot.market.liquidations import WINDOW_S, ForcedFlow
from bot.market.state import Market
from tests.build import BTC, NOW, instrument, reading


def forced(price: float, quantity: float = 1.0, side: Direction = LONG, *, complete: bool = False) -> ForcedOrder:
    return ForcedOrder("BTCUSDT", side, price, quantity, 0, complete)


def clusters(*at: tuple[str, Direction]) -> LiquidationClusters:
    found = tuple(LiquidationCluster(price=Decimal(price), usd=Decimal(1), side=side) for price, side in at)
    return LiquidationClusters(clusters=found, open_interest_usd=Decimal(1), model=True)


@pytest.mark.parametrize(
    ("price", "hit"),
    [(98505.0, True), (98504.99, False), (99495.0, True), (99495.01, False), (99000.0, True)],
)
def test_a_hit_lies_within_half_a_percent_of_a_cluster(price: float, hit: bool) -> None:
    flow = ForcedFlow()
    flow.add(forced(price), clusters(("99000", LONG)), 100_000.0, NOW)
    assert flow.summary(NOW).hit_share == (1.0 if hit else 0.0)


def test_a_cluster_of_the_other_side_is_no_hit() -> None:
    flow = ForcedFlow()
    flow.add(forced(99000.0), clusters(("99000", SHORT)), 100_000.0, NOW)
    summary = flow.summary(NOW)
    assert (summary.hit_share, summary.chance_share) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("at", "side", "chance"),
    [
        (["98000"], LONG, 0.196),  # 980 of 5000
        (["98000", "98000"], LONG, 0.196),
        (["98000", "98500"], LONG, (98992.5 - 97510) / 5000),  # they overlap
        (["96000", "98000"], LONG, (960 + 980) / 5000),
        (["100000"], LONG, 0.1),  # the half of it that lies below
        (["90000", "110000"], LONG, 0.0),
        (["95000"], LONG, 475 / 5000),
        (["102000"], SHORT, 1020 / 5000),
        (["98000"], SHORT, 0.0),
        ([], LONG, 0.0),
        ([str(each) for each in range(94500, 100500, 100)], LONG, 1.0),
    ],
)
def test_chance_is_the_covered_part_of_five_percent_on_that_side(at: list[str], side: Direction, chance: float) -> None:
    flow = ForcedFlow()
    flow.add(forced(1.0, side=side), clusters(*((price, side) for price in at)), 100_000.0, NOW)
    assert flow.summary(NOW).chance_share == pytest.approx(chance)


def test_shares_are_of_usd_and_of_what_could_be_checked() -> None:
    flow = ForcedFlow()
    known = clusters(("99000", LONG))
    assert flow.summary(NOW).hit_share is None
    flow.add(forced(99000.0, 2.0), known, 100_000.0, NOW)
    flow.add(forced(90000.0, 1.1), known, 100_000.0, NOW)
    flow.add(forced(99000.0, 50.0), None, 100_000.0, NOW)  # the model said nothing
    flow.add(forced(101_000.0, 1.0, SHORT), None, 100_000.0, NOW)
    summary = flow.summary(NOW)
    assert (summary.count, summary.checked_count, summary.complete) == (4, 2, False)
    assert (summary.long_usd, summary.short_usd) == (99000 * 52 + 99000, 101_000)
    assert summary.checked_usd == 99000 * 3
    assert summary.hit_share == pytest.approx(2 / 3)


def test_after_a_day_it_is_forgotten() -> None:
    flow = ForcedFlow()
    flow.add(forced(99000.0, complete=True), None, 1.0, NOW)
    assert flow.summary(NOW).complete is True
    assert flow.summary(NOW + (WINDOW_S - 60) * NS).count == 1
    assert flow.summary(NOW + WINDOW_S * NS).count == 0


def test_the_market_checks_against_what_was_known_before_and_is_still_fresh() -> None:
    market = Market([instrument()])
    market.apply(BookSnapshot("BTCUSDT", 1, 0, [(99999.5, 1.0)], [(100000.5, 1.0)]), NOW)
    market.apply(forced(99000.0), NOW)  # before the model spoke
    told = reading("liquidation_clusters", clusters(("99000", LONG)), source="model", max_age_s=600.0)
    market.store.put(told)
    market.apply(forced(99100.0), NOW + 600 * NS)
    market.apply(forced(99100.0), NOW + 600 * NS + 1)  # it is stale by now
    summary = market.forced_orders(BTC, NOW + 600 * NS + 1)
    assert (summary.count, summary.checked_count, summary.hit_share) == (3, 1, 1.0)
    assert summary.chance_share == pytest.approx(990 / 5000)


def test_only_the_model_is_checked() -> None:
    market = Market([instrument()])
    market.store.put(reading("liquidation_clusters", clusters(("99000", LONG)), source="coinglass", max_age_s=600.0))
    market.apply(forced(99000.0), NOW)
    assert market.forced_orders(BTC, NOW).checked_count == 0
