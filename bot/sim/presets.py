"""Scenarios by name. What a position of product size needs to run to its end is in `day`."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from msgspec import structs

from bot.domain.errors import ConfigError
from bot.domain.values import NS, Side
from bot.sim.scenario import Coin, Motion, Scenario, Segment, Wall

_MIDNIGHT_NS = 1_760_054_400 * NS  # 2025-10-10 00:00 UTC
_HOUR_S = 3600

BTC = Coin(base="BTC", price=Decimal(65000), tick=Decimal("0.1"), step=Decimal("0.001"))


def _coin(base: str, price: str, tick: str, step: str, volatility_bps: float, size: float) -> Coin:
    """A smaller market: `size` is a share of BTC's."""
    return Coin(
        base=base,
        price=Decimal(price),
        tick=Decimal(tick),
        step=Decimal(step),
        volatility_bps=volatility_bps,
        usd_per_bps=BTC.usd_per_bps * size,
        touch_usd=BTC.touch_usd * size,
        trade_usd=BTC.trade_usd * size**0.5,
        open_interest_usd=BTC.open_interest_usd * size,
    )


COINS: tuple[Coin, ...] = (
    BTC,
    _coin("ETH", "3200", "0.01", "0.001", 1.0, 0.6),
    _coin("SOL", "155", "0.01", "0.01", 1.3, 0.3),
    _coin("XRP", "2.35", "0.0001", "0.1", 1.2, 0.2),
    _coin("DOGE", "0.21", "0.00001", "1", 1.4, 0.15),
    _coin("BNB", "640", "0.01", "0.01", 0.9, 0.2),
    _coin("ADA", "0.72", "0.0001", "1", 1.3, 0.1),
    _coin("AVAX", "28", "0.001", "0.1", 1.4, 0.08),
    _coin("LINK", "17.5", "0.001", "0.01", 1.3, 0.08),
    _coin("LTC", "96", "0.01", "0.001", 1.1, 0.08),
    _coin("BCH", "480", "0.01", "0.001", 1.2, 0.08),
    _coin("DOT", "4.4", "0.001", "0.1", 1.3, 0.06),
    _coin("TRX", "0.31", "0.00001", "1", 0.8, 0.06),
    _coin("SUI", "3.3", "0.0001", "0.1", 1.6, 0.1),
    _coin("NEAR", "2.9", "0.001", "1", 1.5, 0.05),
    _coin("APT", "5.2", "0.001", "0.1", 1.5, 0.05),
    _coin("ARB", "0.43", "0.0001", "0.1", 1.5, 0.05),
    _coin("OP", "0.78", "0.0001", "0.1", 1.6, 0.05),
    _coin("UNI", "8.1", "0.001", "1", 1.5, 0.05),
    _coin("FIL", "2.6", "0.001", "0.1", 1.5, 0.04),
)


def _hours(hours: float, motion: Motion, **fields: Any) -> Segment:
    return Segment(seconds=round(hours * _HOUR_S), motion=motion, **fields)


def _calm() -> dict[str, Any]:
    """An hour without events, told as often as the venue does."""
    return {
        "seconds": _HOUR_S,
        "segments": (_hours(1, Motion.RANDOM, volatility=0.5),),
        "depth_ms": 100,
        "mark_s": 1,
        "quotes": True,
    }


def _trend() -> dict[str, Any]:
    return {
        "seconds": 10 * _HOUR_S,
        "segments": (_hours(10, Motion.TREND, drift_bps_h=50, volatility=0.6),),
        "history": _hours(10, Motion.TREND, drift_bps_h=50, volatility=0.6),
    }


def _revert() -> dict[str, Any]:
    return {"seconds": 10 * _HOUR_S, "segments": (_hours(10, Motion.REVERT),), "history": _hours(10, Motion.REVERT)}


def _random() -> dict[str, Any]:
    """The null: no walls, no drift, nothing that knows what comes."""
    return {"seconds": 10 * _HOUR_S, "segments": (_hours(10, Motion.RANDOM),)}


def _day() -> dict[str, Any]:
    """From 15:15 UTC: funding at 16:00 falls into the first force-hold, and the budgets and limits of a day begin anew on the way.

    With seed 29 and the strategies `ofi` and `trend` there is one of each: holds of 45 and 75 minutes that run to their end,
    deferred exits that run and that are dropped, a stop-out, stops moved to break-even, a full and a part take-profit, targets
    before walls and back, funding, and budgets that are used up. `tests/e2e/test_synthetic_day.py` plays it."""
    return {
        "seconds": 24 * _HOUR_S,
        "start_ns": _MIDNIGHT_NS + 61 * _HOUR_S // 4 * NS,
        "segments": _DAY,
        "history": _hours(10, Motion.TREND, drift_bps_h=40, volatility=0.6),
        "walls": tuple(_day_walls("BTCUSDT")),
    }


_DAY = (
    _hours(1.5, Motion.TREND, drift_bps_h=50, volatility=0.6, max_pain_pct=1.2),  # held 45 min
    _hours(1.25, Motion.TREND, drift_bps_h=220, volatility=0.6, max_pain_pct=4.5),  # 75 min, or until the last target
    _hours(0.5, Motion.TREND, drift_bps_h=-500, volatility=0.6, max_pain_pct=4.5),  # stops out who is held long
    _hours(0.75, Motion.TREND, drift_bps_h=60, volatility=0.6, max_pain_pct=1.0),
    _hours(0.25, Motion.RANDOM, volatility=0.5, max_pain_pct=-1.0),
    _hours(
        10.0, Motion.TREND, drift_bps_h=-60, volatility=0.6, max_pain_pct=-6.0
    ),  # from midnight first 75 min, then 45
    _hours(0.5, Motion.RANDOM, volatility=1.5, max_pain_pct=2.5),
    _hours(5.0, Motion.REVERT, volatility=1.3, max_pain_pct=0.5),
    _hours(4.25, Motion.TREND, drift_bps_h=80, volatility=0.6, max_pain_pct=2.6),
)


def _day_walls(symbol: str) -> list[Wall]:
    """Every half hour one on each side, in turn far enough to move a target, near enough to refuse an entry, or one that
    flees when price comes."""
    walls = []
    for index, at_s in enumerate(range(600, 24 * _HOUR_S, 1800)):
        for side in Side:
            far, near, flees = (1.4, 0.0), (0.45, 0.0), (0.9, 25.0)
            distance_pct, flees_bps = (far, near, far, flees)[index % 4]
            walls.append(
                Wall(
                    symbol=symbol,
                    at_s=at_s + (900 if side is Side.BUY else 0),
                    seconds=600 if distance_pct > 1 else 300,
                    side=side,
                    distance_pct=distance_pct,
                    usd=40e6,
                    flees_bps=flees_bps,
                )
            )
    return walls


def _many() -> dict[str, Any]:
    """Twenty coins that move together to some degree, each somewhere else in the same day."""
    coins = tuple(structs.replace(coin, shift=index % len(_DAY)) for index, coin in enumerate(COINS))
    return {"seconds": _HOUR_S, "segments": _DAY, "coins": coins, "depth_ms": 500}


def _demo() -> dict[str, Any]:
    """What a newcomer sees: short trends to either side with walls in their way, forced orders and crowds."""
    coins = tuple(structs.replace(coin, shift=index * 2) for index, coin in enumerate(COINS[:5]))
    return {
        "seconds": 24 * _HOUR_S,
        "segments": _DEMO,
        "history": _hours(12, Motion.TREND, drift_bps_h=45, volatility=0.6),
        "coins": coins,
        "walls": tuple(wall for coin in coins for wall in _demo_walls(coin)),
        "depth_ms": 100,
        "mark_s": 1,
        "quotes": True,
        "clustering": 0.5,
        "liquidations": True,
    }


_DEMO = (
    _hours(0.75, Motion.TREND, drift_bps_h=160, volatility=0.8, max_pain_pct=2.5),
    _hours(0.25, Motion.RANDOM, volatility=1.2, max_pain_pct=1.0),
    _hours(0.5, Motion.TREND, drift_bps_h=-220, volatility=0.8, max_pain_pct=-3.0),
    _hours(0.5, Motion.REVERT, volatility=1.0, max_pain_pct=0.8),
    _hours(0.5, Motion.TREND, drift_bps_h=200, volatility=0.9, max_pain_pct=4.0),
    _hours(0.25, Motion.REVERT, volatility=1.3, max_pain_pct=-1.0),
    _hours(0.75, Motion.TREND, drift_bps_h=-120, volatility=0.7, max_pain_pct=-2.0),
)


def _demo_walls(coin: Coin) -> list[Wall]:
    """Every ten minutes one on each side, of a size that is institutional for the coin: far, near, and fleeing in turn."""
    usd = coin.usd_per_bps * 60
    kinds = ((1.4, 600, 0.0), (0.5, 300, 0.0), (0.9, 480, 25.0))
    return [
        Wall(
            symbol=coin.symbol,
            at_s=at_s + (300 if side is Side.BUY else 0),
            seconds=kinds[index % 3][1],
            side=side,
            distance_pct=kinds[index % 3][0],
            usd=usd,
            flees_bps=kinds[index % 3][2],
        )
        for index, at_s in enumerate(range(60, 7 * 24 * _HOUR_S, 600))
        for side in Side
    ]


PRESETS: dict[str, Callable[[], dict[str, Any]]] = {
    "calm": _calm,
    "day": _day,
    "demo": _demo,
    "many": _many,
    "random": _random,
    "revert": _revert,
    "trend": _trend,
}


def preset(name: str, *, seed: int, hours: float | None = None, symbols: int | None = None) -> Scenario:
    """The scenario of that name; `hours` and `symbols` instead of its own length and number of coins.

    Raises ConfigError for what there is not.
    """
    if name not in PRESETS:
        raise ConfigError(f"no preset is called {name!r}; there is {', '.join(PRESETS)}")
    fields: dict[str, Any] = {"start_ns": _MIDNIGHT_NS, "coins": COINS[:1], **PRESETS[name]()}
    if hours is not None:
        fields["seconds"] = round(hours * _HOUR_S)
    if symbols is not None:
        fields["coins"] = _first(symbols, fields["coins"])
        there = {coin.symbol for coin in fields["coins"]}
        fields["walls"] = tuple(wall for wall in fields.get("walls", ()) if wall.symbol in there)
    return Scenario(name=name, seed=seed, **fields)


def _first(count: int, coins: tuple[Coin, ...]) -> tuple[Coin, ...]:
    if not 1 <= count <= len(COINS):
        raise ConfigError(f"symbols: there are 1 to {len(COINS)}, not {count}")
    return (*coins, *COINS[len(coins) :])[:count]
