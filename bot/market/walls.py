"""Order-book walls of one coin: identity, age, and how far the books can be seen.

The book is that of the instrument that is traded; books of the same coin on other venues are added to it, price by price.

Sampled once a second. A 10-bps bucket that is large makes a candidate; from then on the candidate is the fixed price band of
5 bps to each side of the volume-weighted price it was first seen at, whatever the buckets do. It stands, and is reported, only
after it was there long enough; whether a wall is large enough to matter is the guards' and the exits' business.
Rules: product page, "Readings"; quant reference, section 4.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from math import inf
from statistics import median
from types import MappingProxyType
from typing import Annotated

from pydantic import Field

from bot.domain.params import Params
from bot.domain.reading import Wall, Walls
from bot.domain.values import NS, Side
from bot.market.book import BUCKET_BPS, Book

INSTITUTIONAL_USD = Decimal(25_000_000)
REACH_PCT = 5.0
NONE: Mapping[str, Book] = MappingProxyType({})
_TOP = 3
_CANDIDATE_MEDIANS = 5
_THERE = 0.7  # share of its size that a wall must show to be there
_PULLED = 0.5
_NEAR = 0.002  # 20 bps
_HALF_BAND = 0.0005  # 5 bps
_GONE_NS = 30 * NS
_HOLE_NS = 5 * NS  # what stood while nobody looked for longer than this is not known
_PATIENCE_NS = 4 * NS  # nobody looks while the book of another venue is being replaced: less than a hole
_PART = 0.1  # of a wall's size that a venue must show to be named


Coin = Annotated[str, Field(pattern=r"^[A-Z0-9]{1,32}$")]


class WallParams(Params):
    min_age_s: int = Field(60, ge=1, le=3600, description="a wall stands after this long")
    institutional_usd: dict[Coin, Annotated[Decimal, Field(gt=0)]] = Field(
        default_factory=dict, description="threshold by coin, e.g. {BTC = 25000000}, else by its 7-day volume"
    )
    venues: tuple[str, ...] | None = Field(
        None, description="venues whose books are added; default: all, none where venue.rest_url or ws_url is set"
    )
    tiers: tuple[Annotated[int, Field(ge=1, le=4)], ...] = Field(
        (4,), description="ladder tiers that move in front of an institutional wall"
    )


class Joint:
    """Books of one coin, looked at as one. All are measured from the first one's anchor."""

    def __init__(self, books: Mapping[str, Book]) -> None:
        self._books = books
        anchor = next(iter(books.values())).anchor_price
        for book in books.values():
            if anchor is not None and book.anchor_price != anchor:
                book.anchor(anchor)

    def bucket_usd(self, side: Side) -> list[float]:
        return [sum(usd) for usd in zip(*(book.bucket_usd(side) for book in self._books.values()), strict=True)]

    def range_sums(self, side: Side, low: float, high: float) -> tuple[float, float, tuple[str, ...]]:
        """USD and base quantity from `low` to `high`, and the venues that have a part in it."""
        sums = {venue: book.range_sums(side, low, high) for venue, book in self._books.items()}
        usd, quantity = (sum(each[part] for each in sums.values()) for part in (0, 1))
        return usd, quantity, tuple(venue for venue, each in sums.items() if each[0] > _PART * usd)

    def coverage_pct(self, side: Side) -> float:
        """Of the book that reaches farthest."""
        return max(book.coverage_pct(side) for book in self._books.values())


@dataclass(slots=True)
class _Tracked:
    """A candidate or a standing wall.

    `size` is the USD in its band when it qualified, or what it has since stood at where that is more: a size added lately
    says nothing before it has stood as long as any other. `usd` and `price` are of the last sample in which it was there.
    """

    low: float
    high: float
    price: float
    usd: float
    size: float
    first_seen_ns: int
    samples: deque[float]
    venues: tuple[str, ...]
    stands: bool = False
    below_since_ns: int | None = None
    traded: float = 0.0  # USD traded in the band since it was last there
    came_near: bool = False  # price was within 20 bps since, or when, it was last there

    def measure(self, sums: tuple[float, float, tuple[str, ...]], qualifies: float, mid: float, now_ns: int) -> None:
        """Takes a sample. It is there with 70 % of its size, as long as that still stands out (70 % of what qualifies)."""
        usd, quantity, venues = sums
        self.samples.append(usd)
        near = abs(mid - self.price) <= _NEAR * mid
        if usd >= _THERE * max(self.size, qualifies):
            self.price, self.usd, self.venues = usd / quantity, usd, venues
            self.traded, self.came_near, self.below_since_ns = 0.0, near, None
        else:
            self.came_near = self.came_near or near
            if self.below_since_ns is None:
                self.below_since_ns = now_ns
        self._settle(now_ns)

    def lost(self, now_ns: int) -> bool:
        """Gone: not there for 30 s. Pulled: over half of it vanished untraded while price was near."""
        if self.below_since_ns is None:
            return False
        gone = now_ns - self.below_since_ns >= _GONE_NS
        return gone or (self.came_near and self.samples[-1] + self.traded < _PULLED * self.size)

    def _settle(self, now_ns: int) -> None:
        """Whether it stands, from the last `min_age_s` samples; once it does, it does until it is lost."""
        count = self.samples.maxlen
        if count is None or len(self.samples) < count:
            return
        self.size = max(self.size, sorted(self.samples)[count // 5])  # what 80 % of the samples showed
        if not self.stands and now_ns - self.first_seen_ns >= count * NS:
            self.stands = 5 * sum(usd >= _THERE * self.size for usd in self.samples) >= 4 * count


class WallTracker:
    """The walls of a coin, seen from the instrument that is traded on `venue`. Everything is forgotten when its book becomes
    unusable; when another venue's does, what that one had a part in."""

    def __init__(self, params: WallParams, coin: str, venue: str) -> None:
        self._min_age_s = params.min_age_s
        self._fixed_usd = params.institutional_usd.get(coin)
        self.set_institutional(INSTITUTIONAL_USD)
        self._venue = venue
        self.last_ns: int | None = None
        self.reset()

    def set_institutional(self, usd: Decimal) -> None:
        """Of this day, by volume; the settings' own is not changed."""
        self.institutional_usd = usd if self._fixed_usd is None else self._fixed_usd
        self._threshold = float(self.institutional_usd)

    def reset(self) -> None:
        self._tracked: dict[Side, list[_Tracked]] = {side: [] for side in Side}
        self._since_ns: int | None = None
        self._anchor = 0.0
        self._mid = 0.0
        self._coverage_pct: dict[Side, float] = {}
        self._seen: frozenset[str] = frozenset()  # venues whose books were in the last sample
        self._lost_ns: int | None = None  # since when one of them is missing
        self._fence()

    def on_trade(self, price: float, usd: float) -> None:
        if self._bid_high < price < self._ask_low:  # most trades: no band is that near
            return
        for walls in self._tracked.values():
            for wall in walls:
                if wall.low <= price <= wall.high:
                    wall.traded += usd

    def on_trades(self, prices: Sequence[float], worths: Sequence[int]) -> None:
        """Like `on_trade` for each; `worths` are in micro-USD, negative where takers sold."""
        if self._bid_high < min(prices) and max(prices) < self._ask_low:
            return
        for price, worth in zip(prices, worths, strict=True):
            self.on_trade(price, abs(worth) / 1e6)

    def sample(self, book: Book, now_ns: int, others: Mapping[str, Book] = NONE) -> None:
        """Once a second: measures what is tracked, forgets what is lost, finds what is new. `others` are by venue."""
        book.reanchor_if_moved()
        mid, anchor = book.mid, book.anchor_price
        if mid is None or anchor is None:
            if self._since_ns is not None:  # else there is nothing to forget
                self.reset()
            return
        if self.last_ns is not None and now_ns - self.last_ns > _HOLE_NS:
            self.reset()
        books = {self._venue: book, **{venue: other for venue, other in others.items() if other.usable}}
        if self._waits(frozenset(books), now_ns):
            return
        if self._since_ns is None:
            self._since_ns = now_ns
        self.last_ns = now_ns
        self._mid, self._anchor = mid, anchor
        joint = Joint(books)
        self._coverage_pct = {side: joint.coverage_pct(side) for side in Side}
        for side in Side:
            self._follow(joint, side, now_ns)
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
            institutional_usd=self.institutional_usd,
        )
        partial = min(asks, bids) < REACH_PCT
        books = "book" if len(self._seen) == 1 else f"books of {', '.join(sorted(self._seen))}"
        return walls, partial, f"{books} seen to +{asks:.2f} % and -{bids:.2f} %" if partial else ""

    def _waits(self, there: frozenset[str], now_ns: int) -> bool:
        """Whether to look later, because a book that had a part is being replaced; what it had a part in is then forgotten."""
        lost = self._seen - there
        if lost:
            self._lost_ns = now_ns if self._lost_ns is None else self._lost_ns
            if now_ns - self._lost_ns < _PATIENCE_NS:
                return True
            for side, walls in self._tracked.items():
                self._tracked[side] = [wall for wall in walls if not lost.intersection(wall.venues)]
        self._seen, self._lost_ns = there, None
        return False

    def _follow(self, book: Joint, side: Side, now_ns: int) -> None:
        buckets = book.bucket_usd(side)
        ordinary = _CANDIDATE_MEDIANS * median([usd for usd in buckets if usd > 0] or [inf])
        qualifies = min(ordinary, self._threshold)
        for wall in self._tracked[side]:
            wall.measure(book.range_sums(side, wall.low, wall.high), qualifies, self._mid, now_ns)
        self._tracked[side] = [wall for wall in self._tracked[side] if not wall.lost(now_ns)]
        for index, usd in enumerate(buckets):
            if usd >= ordinary or usd > self._threshold:
                self._track(book, side, index, now_ns)

    def _track(self, book: Joint, side: Side, index: int, now_ns: int) -> None:
        """Tracks what is in this bucket, unless its mean price lies in a band that is tracked already."""
        usd, quantity, _ = book.range_sums(side, *self._bucket_range(side, index))
        if quantity == 0:
            return
        price = usd / quantity
        if any(wall.low <= price <= wall.high for wall in self._tracked[side]):
            return
        low, high = price * (1 - _HALF_BAND), price * (1 + _HALF_BAND)
        usd, _, venues = book.range_sums(side, low, high)
        near = abs(self._mid - price) <= _NEAR * self._mid
        samples = deque((usd,), maxlen=self._min_age_s)
        self._tracked[side].append(_Tracked(low, high, price, usd, usd, now_ns, samples, venues, came_near=near))

    def _bucket_range(self, side: Side, index: int) -> tuple[float, float]:
        """Prices of a bucket; the first one holds everything nearer, too."""
        near, far = index * BUCKET_BPS / 1e4, (index + 1) * BUCKET_BPS / 1e4
        if side is Side.BUY:
            return self._anchor * (1 - far), self._anchor * (1 - near) if index else inf
        return self._anchor * (1 + near) if index else 0.0, self._anchor * (1 + far)

    def _fence(self) -> None:
        """The nearest edge of any band on each side."""
        self._bid_high = max((wall.high for wall in self._tracked[Side.BUY]), default=0.0)
        self._ask_low = min((wall.low for wall in self._tracked[Side.SELL]), default=inf)

    def _top(self, side: Side) -> tuple[Wall, ...]:
        sign = 1 if side is Side.SELL else -1
        standing = [
            Wall(price=wall.price, usd=min(wall.usd, wall.size), first_seen_ns=wall.first_seen_ns, venues=wall.venues)
            for wall in self._tracked[side]
            if wall.stands and 0 < sign * (wall.price - self._mid) <= self._mid * REACH_PCT / 100
        ]
        standing.sort(key=lambda wall: wall.usd, reverse=True)
        # A nearer institutional wall is not left out for three larger ones behind it: entries and targets ask for the nearest.
        return tuple(wall for rank, wall in enumerate(standing) if rank < _TOP or wall.usd > self._threshold)
