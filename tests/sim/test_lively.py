"""What a scenario can have besides: clustered orders and liquidations. Without them nothing changes."""

from __future__ import annotations

from collections import Counter

import pytest
from msgspec import structs

from bot.domain.errors import ConfigError
from bot.sim.events import Event, Forced, Trade
from bot.sim.market_model import SyntheticMarket
from bot.sim.presets import PRESETS, preset
from bot.sim.scenario import Motion, Scenario, Segment

QUIET = Segment(seconds=3600, motion=Motion.RANDOM, volatility=0.02)
FALL = Segment(seconds=3600, motion=Motion.TREND, drift_bps_h=-900, volatility=0.5)


def made(segment: Segment, *, seconds: int, clustering: float = 0.0, liquidations: bool = False) -> Scenario:
    calm = preset("calm", seed=11)
    return structs.replace(
        calm,
        segments=(segment,),
        seconds=seconds,
        history=structs.replace(calm.history, seconds=3600),
        depth_ms=500,
        clustering=clustering,
        liquidations=liquidations,
    )


def played(scenario: Scenario) -> list[Event]:
    return list(SyntheticMarket(scenario).events())


def per_10_s(events: list[Event]) -> tuple[float, float]:
    """Mean and dispersion (variance by mean) of the number of trades."""
    counts = Counter(event.ms // 10_000 for event in events if isinstance(event, Trade))
    values = [counts[slot] for slot in range(min(counts), max(counts) + 1)][1:-1]
    mean = sum(values) / len(values)
    return mean, sum((value - mean) ** 2 for value in values) / len(values) / mean


def test_orders_bring_about_orders_at_the_same_rate() -> None:
    alone = per_10_s(played(made(QUIET, seconds=5400)))
    together = per_10_s(played(made(QUIET, seconds=5400, clustering=0.5)))
    assert together[0] == pytest.approx(alone[0], rel=0.12)
    # over 10 s a Hawkes process of ratio 0.5 and a memory of 2 s has 2.9; orders that find nothing left are not seen
    assert alone[1] < 1.5 and 1.9 < together[1] < 3.5


def test_a_fall_sells_out_longs_and_less_is_open_afterwards() -> None:
    market = SyntheticMarket(made(FALL, seconds=1800, liquidations=True))
    events = list(market.events())
    forced = [event for event in events if isinstance(event, Forced)]
    assert len(forced) > 20 and sum(not event.buys for event in forced) > 0.8 * len(forced)
    told = {(e.ms, e.ticks, e.lots, e.taker_buys) for e in events if isinstance(e, Trade)}
    assert all((e.ms, e.ticks, e.lots, e.buys) in told for e in forced)
    kept = SyntheticMarket(made(FALL, seconds=1800))
    assert not any(isinstance(event, Forced) for event in kept.events())
    usd = sum(e.lots for e in forced) * float(market.coins[0].coin.step * market.coins[0].coin.price)
    lost = kept.coins[0].outside.open_interest - market.coins[0].outside.open_interest
    assert lost == pytest.approx(usd / market.coins[0].coin.open_interest_usd, rel=0.2)


def test_what_cannot_be_is_refused() -> None:
    for clustering in (-0.1, 1.0):
        with pytest.raises(ConfigError, match="clustering"):
            made(QUIET, seconds=60, clustering=clustering)


@pytest.mark.parametrize("name", sorted(PRESETS))
@pytest.mark.parametrize("symbols", [1, 6])
def test_every_preset_is_playable_with_any_number_of_coins(name: str, symbols: int) -> None:
    scenario = preset(name, seed=1, symbols=symbols)
    assert len(scenario.coins) == symbols
