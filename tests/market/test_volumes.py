"""What a large wall is by volume: the check values, the seven days it takes, and when it changes."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest

from bot.domain.market import Bar, BookSnapshot
from bot.market.state import Market, MarketParams
from bot.market.volumes import DAY_NS, DAY_S, Volumes, scaled_usd
from bot.market.walls import WallParams
from tests.build import instrument

WALLS = json.loads((Path(__file__).resolve().parents[1] / "fixtures/quant/walls.json").read_text())
TODAY = 19_700 * DAY_NS  # starts a UTC day
BTC, ETH = "binanceusdm:BTCUSDT", "binanceusdm:ETHUSDT"
WHOLE = Decimal(25_000_000)


def days(*usd: float, until: int = TODAY) -> list[Bar]:
    """Daily bars, the last one of the day before `until`."""
    first = until - len(usd) * DAY_NS
    return [Bar(first + k * DAY_NS, 1.0, 1.0, 1.0, 1.0, each, 0.0, 1) for k, each in enumerate(usd)]


@pytest.mark.parametrize("case", WALLS["threshold_by_adv"], ids=lambda case: f"{case['adv_usd']:g}")
def test_thresholds_of_the_check_values(case: dict[str, float]) -> None:
    found = scaled_usd(case["adv_usd"], case["btc_adv_usd"])
    assert float(found) == pytest.approx(case["threshold_usd"], abs=0.005)


@pytest.mark.parametrize(
    ("volume", "of_btc", "usd"), [(2e9, 1e9, 25_000_000), (1.0, 0.0, 25_000_000), (0.0, 1e9, 250_000)]
)
def test_it_stays_between_250k_and_25m(volume: float, of_btc: float, usd: int) -> None:
    assert scaled_usd(volume, of_btc) == usd


def test_it_is_the_median_of_the_seven_days_before_today() -> None:
    volumes = Volumes()
    volumes.add("BTC", days(*[10e9] * 7))
    volumes.add("ETH", days(99e9, 1e9, 9e9, 2e9, 8e9, 4e9, 5e9, 3e9))  # the first is too old
    assert volumes.median_usd("ETH", TODAY) == volumes.median_usd("ETH", TODAY + DAY_NS - 1) == 4e9
    assert volumes.institutional_usd("ETH", TODAY) == Decimal(10_000_000)
    assert volumes.institutional_usd("BTC", TODAY) == WHOLE


@pytest.mark.parametrize(("known", "of_btc"), [(6, 7), (7, 6), (0, 7)])
def test_unknown_volume_leaves_25m(known: int, of_btc: int) -> None:
    volumes = Volumes()
    volumes.add("BTC", days(*[10e9] * of_btc))
    volumes.add("ETH", days(*[1e9] * known))
    assert volumes.institutional_usd("ETH", TODAY) == WHOLE


def threshold(market: Market, key: str, now_ns: int) -> Decimal:
    """As the walls reading says it after the sample of that moment."""
    market.sample(now_ns)
    walls, _, reason = market.market(key).walls.reading()
    assert walls is not None, reason
    return walls.institutional_usd


def both(**fixed: Decimal) -> Market:
    made = [instrument(), instrument("ETHUSDT")]
    market = Market(made, MarketParams(walls=WallParams(min_age_s=1, institutional_usd=fixed)))
    for each in made:
        market.apply(BookSnapshot(each.symbol, 1, 0, [(99.0, 1.0)], [(101.0, 1.0)]), TODAY)
    market.sample(TODAY)
    return market


def test_history_of_days_sets_it_for_the_day() -> None:
    market, now = both(), TODAY + 5 * 10**9
    market.warm_up(BTC, DAY_S, days(*[10e9] * 7, 20e9, until=TODAY + DAY_NS))
    market.warm_up(ETH, DAY_S, days(*[1e9] * 7, until=TODAY))
    for second in range(1, 5):
        market.sample(TODAY + second * 10**9)
    assert threshold(market, ETH, now) == Decimal(2_500_000)
    assert threshold(market, BTC, now) == WHOLE
    market.warm_up(ETH, DAY_S, days(2e9, 2e9, 2e9, 2e9, 9e9, until=TODAY + DAY_NS))
    assert threshold(market, ETH, now + 10**9) == Decimal(5_000_000)


def test_a_new_day_without_its_history_is_unknown_again() -> None:
    market = both()
    for key in (BTC, ETH):
        market.warm_up(key, DAY_S, days(*[1e9 if key == ETH else 10e9] * 7))
    market.sample(TODAY + 10**9)
    assert threshold(market, ETH, TODAY + 2 * 10**9) == Decimal(2_500_000)
    for second in range(4):
        market.sample(TODAY + DAY_NS + second * 10**9)
    assert threshold(market, ETH, TODAY + DAY_NS + 4 * 10**9) == WHOLE


def test_a_threshold_in_the_settings_stays() -> None:
    market = both(ETH=Decimal(7))
    for key in (BTC, ETH):
        market.warm_up(key, DAY_S, days(*[1e9] * 7))
    market.sample(TODAY + 10**9)
    assert threshold(market, ETH, TODAY + 2 * 10**9) == Decimal(7)
