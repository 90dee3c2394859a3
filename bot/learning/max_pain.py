"""Whether price came to max pain while a TRUE TREND position had to be held, and whether chance explains it (product 8).

Rules and arithmetic for whoever watches a position's window, and `MaxPainHits`, which the ledger feeds with what the
journal tells. It watches no market itself. Chance of a driftless walk: reflection principle, 2Φ(-x/(σ·sqrt(t))).

Keys relied on: POSITION_OPENED and SHADOW_OPENED `position_id, true_trend, magnet, max_pain_gap_pct, max_pain_expiry`,
SHADOW_OPENED also `tradable`; MAX_PAIN_RESULT `position_id, hit, chance, window_s`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from math import erfc, isfinite, log, sqrt
from typing import Any

from msgspec import Struct

from bot.domain.values import NS, Magnet
from bot.learning.clusters import block_of
from bot.learning.proportions import e_value, wilson, z_against_chances
from bot.trading.learned import MAX_GAP_PCT, MIN_GAP_PCT

NEAR_PCT = Decimal("0.5")  # of max pain: as near as this is a hit
TARGET = 0.6
MIN_N, MIN_E, MIN_Z = 20, 20.0, 1.645
EXPIRY_HOUR = 8  # UTC, Deribit
YEAR_S = 365 * 86400
_EPOCH = date(1970, 1, 1).toordinal()


class NoHit(StrEnum):
    """Why a position's window is no observation."""

    NOT_TRUE_TREND = "not TRUE TREND"
    LOSING_SIDE = "max pain not on the profit side"
    GAP = "gap not over 0.5 % and up to 10 %"
    EXPIRED = "expiry before the window"
    UNTRADABLE = "could not have been opened"
    SAME_BLOCK = "another one of this expiry and 4 h block counts"
    NO_CHANCE = "no volatility, so no chance to compare with"
    OTHER_RULES = "opened under another configuration"
    NOT_WATCHED = "the mark was not seen all the time"


class MaxPainScore(Struct, frozen=True, kw_only=True):
    """`lo` and `hi`: Wilson 95 %. `significant` is all of e-value ≥ 20 against 60 %, z > 1.645 against the chances, n ≥ 20."""

    n: int
    hits: int
    rate: float | None
    lo: float
    hi: float
    mean_chance: float | None
    e_value: float
    z: float | None
    significant: bool
    left_out: dict[str, int]

    @property
    def above_target(self) -> bool:
        return self.hits * 5 > self.n * 3  # 60 %, exactly


def expiry_ns(expiry: str) -> int:
    """08:00 UTC of an ISO date. Raises ValueError for anything else."""
    return ((date.fromisoformat(expiry).toordinal() - _EPOCH) * 24 + EXPIRY_HOUR) * 3600 * NS


def window_end_ns(first_fill_ns: int, min_hold_s: int, expiry: str) -> int:
    return min(first_fill_ns + min_hold_s * NS, expiry_ns(expiry))


def no_hit(
    true_trend: bool, magnet: str | None, gap_pct: Decimal | None, expiry: str | None, first_fill_ns: int
) -> NoHit | None:
    """Why this position is not eligible; None when it is. `gap_pct` in percent of max pain, exact."""
    if not true_trend:
        return NoHit.NOT_TRUE_TREND
    if magnet != Magnet.WITH or gap_pct is None or expiry is None:
        return NoHit.LOSING_SIDE
    if not MIN_GAP_PCT < gap_pct <= MAX_GAP_PCT:
        return NoHit.GAP
    return None if first_fill_ns < expiry_ns(expiry) else NoHit.EXPIRED


def is_hit(mark: Decimal, max_pain: Decimal) -> bool:
    return abs(mark - max_pain) * 100 <= NEAR_PCT * max_pain  # multiplied, not divided: exact at the edge


def touch_chance(distance: float, sd: float) -> float:
    """Of a driftless walk to touch a level `distance` away while its spread grows to `sd`, both logarithmic."""
    return erfc(abs(distance) / (sd * sqrt(2)))


def closer_chance(distance: float, sd: float) -> float:
    """Of the same walk to end closer to the level than it began: Φ(2d) - 1/2, never a half."""
    return 0.5 - erfc(2 * abs(distance) / (sd * sqrt(2))) / 2


def hit_chance(price: float, max_pain: float, sigma: float | None, window_s: float) -> float | None:
    """Chance of a hit from `price`, to the near edge; `sigma` is a year's, as a fraction. None where it is not known."""
    if sigma is None or not (isfinite(sigma) and sigma > 0) or not window_s > 0:
        return None
    near = float(NEAR_PCT) / 100
    if abs(price - max_pain) <= near * max_pain:
        return 1.0
    edge = max_pain * (1 - near if price < max_pain else 1 + near)
    return touch_chance(log(price / edge), sigma * sqrt(window_s / YEAR_S))


@dataclass(slots=True)
class _Watched:
    rules: str
    opened_ns: int
    left_out: NoHit | None
    hit: bool | None = None
    chance: float | None = None
    ends_ns: int = 0


class MaxPainHits:
    """One observation for each expiry and 4 h block: its first eligible position, however soon another one of it hits."""

    def __init__(self) -> None:
        self._watched: dict[str, _Watched] = {}
        self._first: set[tuple[str, str, int]] = set()

    def opened(self, data: Mapping[str, Any], rules: str, now_ns: int) -> None:
        left_out = _left_out(data, now_ns)
        if left_out is NoHit.NOT_TRUE_TREND:
            return  # most positions; not even a candidate
        if left_out is None:
            observation = rules, data["max_pain_expiry"], block_of(now_ns)
            if observation in self._first:
                left_out = NoHit.SAME_BLOCK
            self._first.add(observation)
        self._watched[data["position_id"]] = _Watched(rules, now_ns, left_out)

    def result(self, data: Mapping[str, Any], rules: str) -> None:
        watched = self._watched.get(data["position_id"])
        if watched is None or watched.hit is not None:
            return
        watched.hit, watched.chance = bool(data["hit"]), data["chance"]
        if data["hit"] is None:
            watched.left_out = watched.left_out or NoHit.NOT_WATCHED
        watched.ends_ns = watched.opened_ns + round(data["window_s"] * NS)
        if watched.rules != rules:
            watched.left_out = watched.left_out or NoHit.OTHER_RULES
        if not _is_chance(watched.chance):
            watched.left_out = watched.left_out or NoHit.NO_CHANCE

    def score(self, rules: str, now_ns: int) -> MaxPainScore:
        """Of windows that are over: a hit is known earlier than a miss, and must not count earlier."""
        over = [w for w in self._watched.values() if w.rules == rules and w.hit is not None and w.ends_ns <= now_ns]
        left_out = Counter(str(w.left_out) for w in over if w.left_out)
        counted = self.observations(rules, now_ns)
        return score([hit for hit, _ in counted], [chance for _, chance in counted], dict(left_out))

    def observations(self, rules: str, now_ns: int, since_ns: int = 0) -> list[tuple[bool, float]]:
        """Hit and chance of the windows that count and are over, of positions opened from `since_ns` on, in their order."""
        return [
            (bool(w.hit), w.chance or 0.0)
            for w in self._watched.values()
            if w.rules == rules
            and w.left_out is None
            and w.hit is not None
            and w.ends_ns <= now_ns
            and w.opened_ns >= since_ns
        ]


def score(hits: list[bool], chances: list[float], left_out: dict[str, int] | None = None) -> MaxPainScore:
    n, count = len(hits), sum(hits)
    lo, hi = wilson(count, n)
    e, z = e_value(count, n, TARGET), z_against_chances(count, chances)
    return MaxPainScore(
        n=n,
        hits=count,
        rate=count / n if n else None,
        lo=lo,
        hi=hi,
        mean_chance=sum(chances) / n if n else None,
        e_value=e,
        z=z,
        significant=n >= MIN_N and e >= MIN_E and z is not None and z > MIN_Z,
        left_out=left_out or {},
    )


def _left_out(data: Mapping[str, Any], now_ns: int) -> NoHit | None:
    if not data.get("tradable", True):
        return NoHit.UNTRADABLE
    gap = data.get("max_pain_gap_pct")
    exact = None if gap is None else Decimal(str(gap))
    return no_hit(data["true_trend"], data.get("magnet"), exact, data.get("max_pain_expiry"), now_ns)


def _is_chance(chance: float | None) -> bool:
    return chance is not None and 0 <= chance <= 1
