"""`Reading[T]`: a number from the market or a provider, with its source and age. Missing data is never a number.

A payload is typed (walls are not a float). `Reading.state` is FRESH, STALE or MISSING, or PARTIAL for a reading that only
covers part of what was asked (walls); what a guard does about each is written in the guard.
"""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import Generic, TypeVar

from msgspec import Struct

from bot.domain.values import NS, Direction, RegimeLabel

T = TypeVar("T")

EXPIRIES_KEPT = 12  # as many as are listed of a coin at a time


class ReadingState(StrEnum):
    FRESH = "FRESH"
    STALE = "STALE"
    PARTIAL = "PARTIAL"
    MISSING = "MISSING"


# Python 3.11 looks a member up slowly, and every guard asks for some.
FRESH, STALE, PARTIAL, MISSING = ReadingState.FRESH, ReadingState.STALE, ReadingState.PARTIAL, ReadingState.MISSING


class Reading(Struct, Generic[T], frozen=True, kw_only=True):
    """`key` is an instrument id, or a coin (`BTC`) for max pain and walls. `value` is None iff the reading is missing.

    `observed_ns` is the payload's own time where it has one; it never lies after `received_ns`.
    """

    name: str
    key: str
    source: str
    value: T | None
    observed_ns: int
    received_ns: int
    max_age_ns: int
    partial: bool = False
    reason: str = ""  # why it is missing or partial

    def age_s(self, now_ns: int) -> float | None:
        return None if self.value is None else max(0, now_ns - self.observed_ns) / NS

    def state(self, now_ns: int) -> ReadingState:
        if self.value is None:
            return MISSING
        if now_ns - self.observed_ns > self.max_age_ns:
            return STALE
        return PARTIAL if self.partial else FRESH


class Taker(Struct, frozen=True, kw_only=True):
    """Aggressive volume of the last five minutes."""

    buy_usd: Decimal
    sell_usd: Decimal


class ExpiryPain(Struct, frozen=True, kw_only=True):
    """Max pain of one expiry (ISO date), whether or not it is the one that counts."""

    expiry: str
    price: Decimal
    notional_usd: Decimal


class MaxPain(Struct, frozen=True, kw_only=True):
    """`expiries` are all that the source knows, nearest first, `EXPIRIES_KEPT` at most: for looking at, nothing decides by them."""

    price: Decimal
    expiry: str  # ISO date of the chosen expiry
    notional_usd: Decimal
    atm_iv_pct: float | None = None  # implied by options at the money of that expiry, a year; None where nobody says
    expiries: tuple[ExpiryPain, ...] = ()


class Wall(Struct, frozen=True, kw_only=True):
    """A large resting size in one fixed 10-bps band. `price` is the band's volume-weighted price."""

    price: float
    usd: float
    first_seen_ns: int
    venues: tuple[str, ...]


class Walls(Struct, frozen=True, kw_only=True):
    """The three largest standing walls a side and every further institutional one, largest first, and how far from mid
    each side could be seen (percent).

    `institutional_usd` is the threshold of this coin today: a wall of **more than** it is institutional.
    """

    asks: tuple[Wall, ...]
    bids: tuple[Wall, ...]
    ask_coverage_pct: float
    bid_coverage_pct: float
    institutional_usd: Decimal


class LiquidationCluster(Struct, frozen=True, kw_only=True):
    """`side` is the side of the positions that would be liquidated there."""

    price: Decimal
    usd: Decimal
    side: Direction


class LiquidationClusters(Struct, frozen=True, kw_only=True):
    clusters: tuple[LiquidationCluster, ...]
    open_interest_usd: Decimal
    model: bool = False  # computed from open interest and leverage, not observed


class OiDelta(Struct, frozen=True, kw_only=True):
    pct: float  # change of open interest in coins over five minutes


class LongShort(Struct, frozen=True, kw_only=True):
    ratio: Decimal
    percentile_95: Decimal | None = None  # of its own last 30 days; None until they are known


class WhaleCvd(Struct, frozen=True, kw_only=True):
    direction: Direction | None  # None when buys equal sells, or under three whale orders
    intensity: float  # 0 to 100


class Ofi(Struct, frozen=True, kw_only=True):
    base: float  # order-flow imbalance over the window, base units
    depths: float  # the same in multiples of the mean size at the best prices


class Regime(Struct, frozen=True, kw_only=True):
    label: RegimeLabel
    hurst: float
    z: float
    sum_100: float  # sum of the last 100 log returns
    sum_12: float
