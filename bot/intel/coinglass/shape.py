"""CoinGlass rows made into the payloads of readings, by the rules of the product page ("Readings"). Pure; called by `poller`.

Each function gives the payload, or None with the reason: a number that the rules do not allow is missing, not an error.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import NamedTuple

from bot.domain.reading import (
    EXPIRIES_KEPT,
    ExpiryPain,
    LiquidationCluster,
    LiquidationClusters,
    LongShort,
    MaxPain,
    OiDelta,
    Taker,
    Wall,
    Walls,
)
from bot.domain.values import NS, Direction, Side
from bot.intel.coinglass.schema import Crowd, Heatmap, Interest, LargeOrder, PainRow, TakerTotals
from bot.intel.max_pain import choose_expiry
from bot.market.walls import REACH_PCT

WINDOW_NS, SLACK_NS = 300 * NS, 60 * NS  # 5 min ± 60 s
_BUCKET = Decimal("0.001")  # 10 bps of the price they are counted from
_REACH = Decimal(str(REACH_PCT)) / 100
_TOP = 3
_SHARED = Decimal("0.9")  # of all coins, for exchanges that two samples have in common


def taker(totals: TakerTotals, min_usd: Decimal) -> tuple[Taker | None, str]:
    if not totals.sell_usd:
        return None, "no sells"
    if totals.buy_usd + totals.sell_usd < min_usd:
        return None, f"under {min_usd:f} USD traded"
    return Taker(buy_usd=totals.buy_usd, sell_usd=totals.sell_usd), ""


def max_pain(rows: list[PainRow], now_ns: int) -> tuple[MaxPain | None, str]:
    chosen = choose_expiry(sorted(rows, key=lambda row: row.expiry_ns), now_ns)
    if chosen is None:
        return None, "no expiry with enough open interest" if rows else "no options listed"
    ahead = sorted((row for row in rows if row.expiry_ns > now_ns and row.open_interest), key=lambda row: row.expiry_ns)
    expiries = tuple(
        ExpiryPain(expiry=row.date, price=row.price, notional_usd=row.notional_usd) for row in ahead[:EXPIRIES_KEPT]
    )
    return MaxPain(price=chosen.price, expiry=chosen.date, notional_usd=chosen.notional_usd, expiries=expiries), ""


# --- open interest ----------------------------------------------------------------------------------------------------


class Sample(NamedTuple):
    at_ns: int
    interest: Interest


def oi_delta(samples: Iterable[Sample], newest: Sample, volume_usd: Decimal | None) -> tuple[OiDelta | None, str]:
    """Percent change in coins since the sample nearest to five minutes before.

    Only exchanges that both samples list are compared: one that comes or goes is no rise. A change larger than all that was
    traded (`volume_usd`: of five minutes) is a correction of the data, not of positions.
    """
    ages = [(abs(newest.at_ns - sample.at_ns - WINDOW_NS), sample) for sample in samples]
    off_ns, before = min(ages, key=lambda aged: aged[0], default=(SLACK_NS + 1, newest))
    if off_ns > SLACK_NS:
        return None, "no sample of 5 minutes ago"
    now, then = newest.interest.coins, before.interest.coins
    shared = sorted(now.keys() & then.keys())
    total_now, total_then = (sum((coins[name] for name in shared), Decimal(0)) for coins in (now, then))
    if not total_then or total_now < _SHARED * sum(now.values()) or total_then < _SHARED * sum(then.values()):
        return None, "the exchanges listed now and 5 minutes ago differ"
    reason = _impossible(newest, total_now - total_then, volume_usd)
    return (None, reason) if reason else (OiDelta(pct=float((total_now / total_then - 1) * 100)), "")


def _impossible(newest: Sample, coins: Decimal, volume_usd: Decimal | None) -> str:
    price = newest.interest.price
    if volume_usd is None or price is None:
        return "traded volume is not known to hold it against"
    return "changed by more than was traded" if abs(coins) * price > volume_usd else ""


# --- walls ------------------------------------------------------------------------------------------------------------


def walls(
    by_venue: Mapping[str, list[LargeOrder]], mid: Decimal, institutional_usd: Decimal, min_age_s: int, now_ns: int
) -> Walls:
    """Orders that stood for `min_age_s`, summed over venues in buckets of 10 bps from `mid`, within 5 %.

    Coverage is the whole 5 % a side: CoinGlass reports a large order wherever it rests.
    """
    return Walls(
        asks=_side(by_venue, Side.SELL, mid, institutional_usd, now_ns - min_age_s * NS),
        bids=_side(by_venue, Side.BUY, mid, institutional_usd, now_ns - min_age_s * NS),
        ask_coverage_pct=REACH_PCT,
        bid_coverage_pct=REACH_PCT,
        institutional_usd=institutional_usd,
    )


def _side(
    by_venue: Mapping[str, list[LargeOrder]], side: Side, mid: Decimal, institutional_usd: Decimal, until_ns: int
) -> tuple[Wall, ...]:
    buckets: dict[int, list[tuple[str, LargeOrder]]] = {}
    for venue, orders in by_venue.items():
        for order in orders:
            away = (order.price - mid) / mid * (1 if side is Side.SELL else -1)
            if order.side is side and order.start_ns <= until_ns and 0 < away <= _REACH:
                buckets.setdefault(int(away / _BUCKET), []).append((venue, order))
    found = sorted((_wall(members) for members in buckets.values()), key=lambda wall: wall.usd, reverse=True)
    return tuple(wall for rank, wall in enumerate(found) if rank < _TOP or wall.usd > institutional_usd)


def _wall(members: list[tuple[str, LargeOrder]]) -> Wall:
    usd = sum((order.usd for _, order in members), Decimal(0))
    quantity = sum((order.usd / order.price for _, order in members), Decimal(0))
    return Wall(
        price=float(usd / quantity),
        usd=float(usd),
        first_seen_ns=min(order.start_ns for _, order in members),
        venues=tuple(sorted({venue for venue, _ in members})),
    )


# --- liquidations -----------------------------------------------------------------------------------------------------


def clusters(heatmap: Heatmap, open_interest_usd: Decimal) -> LiquidationClusters:
    """Levels within 5 % of price, summed in buckets of 10 bps: longs are liquidated below it, shorts above."""
    buckets: dict[tuple[Direction, int], list[tuple[Decimal, Decimal]]] = {}
    for price, usd in heatmap.levels:
        away = (price - heatmap.price) / heatmap.price
        side = Direction.SHORT if away > 0 else Direction.LONG
        if 0 < abs(away) <= _REACH:
            buckets.setdefault((side, int(abs(away) / _BUCKET)), []).append((price, usd))
    found = [_cluster(side, levels) for (side, _), levels in buckets.items()]
    return LiquidationClusters(
        clusters=tuple(sorted(found, key=lambda cluster: cluster.price)), open_interest_usd=open_interest_usd
    )


def _cluster(side: Direction, levels: list[tuple[Decimal, Decimal]]) -> LiquidationCluster:
    """At the largest of its levels."""
    return LiquidationCluster(
        price=max(levels, key=lambda level: (level[1], -level[0]))[0],
        usd=sum((usd for _, usd in levels), Decimal(0)),
        side=side,
    )


# --- crowding ---------------------------------------------------------------------------------------------------------


def long_short(crowd: Crowd) -> LongShort:
    """Its own percentile would need 30 days of history, which the venue gives without a plan."""
    return LongShort(ratio=crowd.ratio)
