"""Order-book walls of one instrument: identity, age, and how far the book can be seen.

Sampled once a second. A 10-bps bucket that is large makes a candidate; from then on the candidate is the fixed price band of
5 bps to each side of the volume-weighted price it was first seen at, whatever the buckets do. It stands, and is reported, only
after it was there long enough; whether a wall is large enough to matter is the guards' and the exits' business.
Rules: product page, "Readings"; quant reference, section 4.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from math import inf
from statistics import median

from pydantic import Field

from bot.domain.market import Level
from bot.domain.params import Params
from bot.domain.reading import Wall, Walls
from bot.domain.values import NS, Side
from bot.market.book import BUCKET_BPS, Book

INSTITUTIONAL_USD = Decimal(25_000_000)
REACH_PCT = 5.0
_TOP = 3
_CANDIDATE_MEDIANS = 5
_THERE = 0.7  # share of its size that a wall must show to be there
_PULLED = 0.5
_NEAR = 0.002  # 20 bps
_HALF_BAND = 0.0005  # 5 bps
_GONE_NS = 30 * NS
_HOLE_NS = 5 * NS  # what stood while nobody looked for longer than this is not known


class WallParams(Params):
    min_age_s: int = Field(60, ge=1, le=3600, description="a wall stands after this long")
    institutional_usd: dict[str, Decimal] = Field(
        default_factory=dict, description="threshold by coin, e.g. {BTC = 25000000}"
    )
    tiers: tuple[int, ...] = Field((4,), description="ladder tiers that move in front of an institutional wall")


@dataclass(slots=True)
class _Tracked:
    """A candidate or a standing wall. `size` is the USD in its band when it qualified, and never changes."""

    side: Side
    low: float
    high: float
    price: float
    size: float
    first_seen_ns: int
    samples: deque[float]
    stands: bool = False
    below_since_ns: int | None = None
    traded: float = 0.0  # USD traded in the band since it was last there
    came_near: bool = False  # price was within 20 bps since, or when, it was last there

    def measure(self, levels: list[Level], mid: float, now_ns: int) -> None:
        usd, quantity = _sums(levels)
        self.samples.append(usd)
        near = abs(mid - self.price) <= _NEAR * mid
        if usd >= _THERE * self.size:
            self.price = usd / quantity
            self.traded, self.came_near, self.below_since_ns = 0.0, near, None
        else:
            self.came_near = self.came_near or near
            if self.below_since_ns is None:
                self.below_since_ns = now_ns

    def lost(self, now_ns: int) -> bool:
        """Gone: not there for 30 s. Pulled: over half of it vanished untraded while price was near."""
        if self.below_since_ns is None:
            return False
        gone = now_ns - self.below_since_ns >= _GONE_NS
        return gone or (self.came_near and self.samples[-1] + self.traded < _PULLED * self.size)

    def update_standing(self, min_age_s: int, now_ns: int) -> None:
        """Once it stands it stands until it is lost."""
        if not self.stands and now_ns - self.first_seen_ns >= min_age_s * NS:
            self.stands = 5 * len(self._there()) >= 4 * min_age_s

    def usd(self) -> float:
        """What at least 80 % of the samples in which it was there showed: a size added lately counts once it has stood."""
        there = sorted(self._there())
        return there[len(there) // 5] if there else 0.0

    def _there(self) -> list[float]:
        return [usd for usd in self.samples if usd >= _THERE * self.size]


class WallTracker:
    """The walls of one instrument's book on one venue. Everything is forgotten when the book becomes unusable."""

    def __init__(self, params: WallParams, coin: str, venue: str) -> None:
        self._min_age_s = params.min_age_s
        self._threshold = params.institutional_usd.get(coin, INSTITUTIONAL_USD)
        self._venues = (venue,)
        self.last_ns: int | None = None
        self.reset()

    def reset(self) -> None:
        self._tracked: list[_Tracked] = []
        self._since_ns: int | None = None
        self._anchor = 0.0  # what the book measures its buckets from; 0.0: not known
        self._mid = 0.0
        self._coverage_pct: dict[Side, float] = {}
        self._fence()

    def reanchored(self) -> None:
        """The book was loaded anew, so it measures its buckets from a price that we do not know."""
        self._anchor = 0.0

    def on_trade(self, price: float, usd: float) -> None:
        if self._bid_high < price < self._ask_low:  # almost every trade: no band is near
            return
        for wall in self._tracked:
            if wall.low <= price <= wall.high:
                wall.traded += usd

    def sample(self, book: Book, now_ns: int) -> None:
        """Once a second: measures what is tracked, forgets what is lost, finds what is new."""
        mid = book.mid
        if mid is None or not book.usable:
            self.reset()
            return
        if self.last_ns is not None and now_ns - self.last_ns > _HOLE_NS:
            self.reset()
        if self._since_ns is None:
            self._since_ns = now_ns
        self.last_ns = now_ns
        self._mid = mid
        self._coverage_pct = {side: book.coverage_pct(side) for side in Side}
        self._keep_anchor(book, mid)
        self._measure(book, mid, now_ns)
        for side in Side:
            self._discover(book, side, mid, now_ns)
        self._fence()

    def reading(self) -> tuple[Walls | None, bool, str]:
        """The payload as of `last_ns` (None while it is missing), whether it is partial, and why."""
        if self._since_ns is None or self.last_ns is None:
            return None, False, "no usable book"
        sampled_ns = self.last_ns - self._since_ns
        if sampled_ns < self._min_age_s * NS:
            return None, False, f"{sampled_ns // NS} s of {self._min_age_s} s sampled"
        asks, bids = self._coverage_pct[Side.SELL], self._coverage_pct[Side.BUY]
        walls = Walls(
            asks=self._top(Side.SELL),
            bids=self._top(Side.BUY),
            ask_coverage_pct=asks,
            bid_coverage_pct=bids,
            institutional_usd=self._threshold,
        )
        partial = min(asks, bids) < REACH_PCT
        return walls, partial, f"book seen to +{asks:.2f} % and -{bids:.2f} %" if partial else ""

    def _keep_anchor(self, book: Book, mid: float) -> None:
        if not self._anchor:
            book.anchor(mid)
        elif not book.reanchor_if_moved():
            return
        self._anchor = mid

    def _measure(self, book: Book, mid: float, now_ns: int) -> None:
        for wall in self._tracked:
            wall.measure(book.range_levels(wall.side, wall.low, wall.high), mid, now_ns)
            wall.update_standing(self._min_age_s, now_ns)
        self._tracked = [wall for wall in self._tracked if not wall.lost(now_ns)]

    def _discover(self, book: Book, side: Side, mid: float, now_ns: int) -> None:
        buckets = book.bucket_usd(side)
        filled = [usd for usd in buckets if usd > 0]
        if not filled:
            return
        ordinary = _CANDIDATE_MEDIANS * median(filled)
        for index, usd in enumerate(buckets):
            if usd >= ordinary or usd > self._threshold:
                self._track(book, side, index, mid, now_ns)

    def _track(self, book: Book, side: Side, index: int, mid: float, now_ns: int) -> None:
        usd, quantity = _sums(book.range_levels(side, *self._bucket_range(side, index)))
        if quantity == 0:
            return
        price = usd / quantity
        if any(wall.side is side and wall.low <= price <= wall.high for wall in self._tracked):
            return
        low, high = price * (1 - _HALF_BAND), price * (1 + _HALF_BAND)
        levels = book.range_levels(side, low, high)
        size, _ = _sums(levels)
        if size == 0:  # two sizes at the ends of a bucket, nothing around their mean
            return
        wall = _Tracked(side, low, high, price, size, now_ns, deque(maxlen=self._min_age_s))
        wall.measure(levels, mid, now_ns)
        self._tracked.append(wall)

    def _bucket_range(self, side: Side, index: int) -> tuple[float, float]:
        """Prices of a bucket; the first one holds everything nearer, too."""
        near, far = index * BUCKET_BPS / 1e4, (index + 1) * BUCKET_BPS / 1e4
        if side is Side.BUY:
            return self._anchor * (1 - far), self._anchor * (1 - near) if index else inf
        return self._anchor * (1 + near) if index else 0.0, self._anchor * (1 + far)

    def _fence(self) -> None:
        """The nearest edge of any band on each side."""
        self._bid_high = max((wall.high for wall in self._tracked if wall.side is Side.BUY), default=0.0)
        self._ask_low = min((wall.low for wall in self._tracked if wall.side is Side.SELL), default=inf)

    def _top(self, side: Side) -> tuple[Wall, ...]:
        mid, sign = self._mid, 1 if side is Side.SELL else -1
        walls: Iterable[Wall] = (
            Wall(price=wall.price, usd=wall.usd(), first_seen_ns=wall.first_seen_ns, venues=self._venues)
            for wall in self._tracked
            if wall.stands and wall.side is side and 0 < sign * (wall.price - mid) <= mid * REACH_PCT / 100
        )
        return tuple(sorted(walls, key=lambda wall: wall.usd, reverse=True)[:_TOP])


def _sums(levels: Iterable[Level]) -> tuple[float, float]:
    """USD and base quantity."""
    usd = quantity = 0.0
    for price, size in levels:
        usd += price * size
        quantity += size
    return usd, quantity
