"""Liquidations that the venue tells of, over a day, and whether our own model knew where: its check against what happens.

A liquidation is a hit when it lies within 0.5 % of a cluster of its side that was known before. Beside it stands what a model that
knows nothing would get: how much of the 5 % of price on that side its clusters cover. Fed by `market/state.py`; decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from msgspec import Struct

from bot.domain.market import ForcedOrder
from bot.domain.reading import LiquidationClusters
from bot.domain.values import LONG, NS, Direction

WINDOW_S = 86_400
NEAR = 0.005  # of the cluster's price
RANGE = 0.05  # of mid, on the side where positions of this side are liquidated
_MINUTE_NS = 60 * NS


class ForcedSummary(Struct, frozen=True, kw_only=True):
    """Of the last day. `checked_usd` happened while the model had clusters; the shares are of it, None where it is 0.
    `complete` is False where the venue does not tell of every one: USD are lower bounds then, and None where none came."""

    count: int
    long_usd: float
    short_usd: float
    checked_count: int
    checked_usd: float
    hit_share: float | None
    chance_share: float | None
    complete: bool | None


@dataclass(slots=True)
class _Minute:
    count: int = 0
    long_usd: float = 0.0
    short_usd: float = 0.0
    checked_count: int = 0
    checked_usd: float = 0.0
    hit_usd: float = 0.0
    chance_usd: float = 0.0


class ForcedFlow:
    """Sums by minute, so that a day of panic takes no more room than a quiet one."""

    def __init__(self) -> None:
        self._minutes: dict[int, _Minute] = {}
        self._complete: bool | None = None

    def add(self, order: ForcedOrder, clusters: LiquidationClusters | None, mid: float, now_ns: int) -> None:
        """`clusters` are those that the model had told before, None where it had none that are fresh."""
        minute = self._minute(now_ns)
        usd = order.price * order.quantity
        minute.count += 1
        if order.side is LONG:
            minute.long_usd += usd
        else:
            minute.short_usd += usd
        self._complete = order.complete
        if clusters is not None:
            self._check(minute, order, clusters, mid, usd)

    def _minute(self, now_ns: int) -> _Minute:
        at = now_ns // _MINUTE_NS
        if at not in self._minutes:
            self._forget(now_ns)
            self._minutes[at] = _Minute()
        return self._minutes[at]

    def _check(
        self, minute: _Minute, order: ForcedOrder, clusters: LiquidationClusters, mid: float, usd: float
    ) -> None:
        near = _near(clusters, order.side)
        minute.checked_count += 1
        minute.checked_usd += usd
        minute.chance_usd += usd * _covered(near, order.side, mid)
        if any(low <= order.price <= high for low, high in near):
            minute.hit_usd += usd

    def _forget(self, now_ns: int) -> None:
        oldest = now_ns // _MINUTE_NS - WINDOW_S // 60
        for at in [at for at in self._minutes if at <= oldest]:
            del self._minutes[at]

    def summary(self, now_ns: int) -> ForcedSummary:
        self._forget(now_ns)
        minutes = self._minutes.values()
        checked_usd = sum(minute.checked_usd for minute in minutes)
        return ForcedSummary(
            count=sum(minute.count for minute in minutes),
            long_usd=sum(minute.long_usd for minute in minutes),
            short_usd=sum(minute.short_usd for minute in minutes),
            checked_count=sum(minute.checked_count for minute in minutes),
            checked_usd=checked_usd,
            hit_share=_share((minute.hit_usd for minute in minutes), checked_usd),
            chance_share=_share((minute.chance_usd for minute in minutes), checked_usd),
            complete=self._complete,
        )


def _share(parts: Iterable[float], whole: float) -> float | None:
    return sum(parts) / whole if whole else None


def _near(clusters: LiquidationClusters, side: Direction) -> list[tuple[float, float]]:
    prices = sorted(float(each.price) for each in clusters.clusters if each.side is side)
    return [(price - price * NEAR, price + price * NEAR) for price in prices]


def _covered(near: Sequence[tuple[float, float]], side: Direction, mid: float) -> float:
    """The share of the range of this side that lies in one of the spans, which are in order. Longs are liquidated below."""
    at, end = sorted((mid, mid * (1 - side.sign * RANGE)))
    covered = 0.0
    for low, high in near:
        low, high = max(low, at), min(high, end)
        if high > low:
            covered, at = covered + high - low, high
    return covered / (mid * RANGE)
