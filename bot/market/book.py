"""One instrument's order book, kept from a snapshot and the changes after it, or nothing at all.

A book that could be wrong is emptied at once: a gap, a crossing or an empty side makes it unusable until a later snapshot
replaces everything; old and new are never spliced. It asks for nothing and knows no clock: whoever feeds it fetches a
snapshot when `apply_*` gives a reason. Numbers come checked (finite, positive) from the decoders in `exchanges/`.

This is the hot path: a side is a dict of levels and a sorted list of their prices.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import deque

from msgspec import Struct

from bot.domain.market import BookDiff, BookSnapshot, Level
from bot.domain.values import Side

BUCKET_BPS = 10
BUCKETS = 50  # out to 500 bps
SWEEP_AT = 256  # levels added since the last sweep, beyond as many as there were then
BUFFERED = 2000  # changes kept while waiting for a snapshot, at most
RECENT = 200  # changes kept for a snapshot that was asked for, at most; 20 s of them
_DUST_USD = 0.005  # what float sums may leave in an empty bucket; no venue takes orders this small


class _Level(Struct, gc=False):
    """Of a price that was deleted `quantity` is 0.0. `bucket` is BUCKETS where the level is farther out than all of them."""

    quantity: float
    bucket: int


class _Side:
    """Levels by price, and their prices in order: `keys` are prices for bids, negative prices for asks, so that on both sides
    the best is the largest.

    `buckets[b]` holds the USD of the levels `floor(bps from the anchor / 10) == b`. A level beyond the anchor, on the other
    side's ground, counts as the nearest. A level remembers its bucket: finding it anew for every change costs a quarter more.

    Both are swept lazily: a deleted level stays until it is the best, comes back, or too many have gathered, because prices
    that flicker would otherwise be searched for twice. Only the best is always one that exists.
    """

    __slots__ = ("anchor", "buckets", "keys", "levels", "per_bucket", "reach", "sign", "sweep_at")

    def __init__(self, sign: float) -> None:
        self.sign = sign
        self.clear()

    def clear(self) -> None:
        self.levels: dict[float, _Level] = {}
        self.keys: list[float] = []  # of `levels`, ascending
        self.sweep_at = SWEEP_AT
        self.reach = 0.0  # key of the last level of the snapshot
        self.anchor = 0.0
        self.per_bucket = 0.0
        self.buckets = [0.0] * (BUCKETS + 1)

    def load(self, levels: list[Level]) -> str | None:
        """Replaces everything, the buckets are right after `set_anchor`; the reason if these cannot be one side of a book."""
        self.clear()
        if not levels:
            return "no levels"
        if min(quantity for _, quantity in levels) <= 0:
            return "a level without size"
        self.levels = {price: _Level(quantity, BUCKETS) for price, quantity in levels}
        if len(self.levels) < len(levels):
            return "a price twice"
        self._sweep()
        self.reach = self.keys[0]
        return None

    def set_anchor(self, anchor: float) -> None:
        self.anchor = anchor
        self.per_bucket = self.sign * 1e4 / BUCKET_BPS / anchor
        self.buckets = buckets = [0.0] * (BUCKETS + 1)
        for price, level in self.levels.items():
            level.bucket = bucket = self._bucket(price)
            buckets[bucket] += price * level.quantity

    def apply(self, changes: list[Level]) -> None:
        """Absolute sizes; 0 deletes, also what is not there. Only a price that is new needs more than a look-up."""
        levels, buckets, keys = self.levels, self.buckets, self.keys
        get, sign, anchor, per_bucket = levels.get, self.sign, self.anchor, self.per_bucket
        for price, quantity in changes:
            level = get(price)
            if level is not None:
                buckets[level.bucket] += price * (quantity - level.quantity)
                level.quantity = quantity
            elif quantity:
                insort(keys, price * sign)
                bucket = int((anchor - price) * per_bucket)
                if not 0 <= bucket < BUCKETS:
                    bucket = 0 if bucket < 0 else BUCKETS
                levels[price] = _Level(quantity, bucket)
                buckets[bucket] += price * quantity
        while keys and not levels[abs(keys[-1])].quantity:
            del levels[abs(keys.pop())]
        if len(levels) > self.sweep_at:
            self._sweep()

    def _bucket(self, price: float) -> int:
        bucket = int((self.anchor - price) * self.per_bucket)
        if bucket > 0:
            return bucket if bucket < BUCKETS else BUCKETS
        return 0

    def _sweep(self) -> None:
        self.levels = {price: level for price, level in self.levels.items() if level.quantity}
        self.keys = sorted(price * self.sign for price in self.levels)
        self.sweep_at = SWEEP_AT + 2 * len(self.levels)

    def best(self, count: int) -> list[Level]:
        found: list[Level] = []
        for key in reversed(self.keys):
            if len(found) == count:
                break
            price = abs(key)
            if quantity := self.levels[price].quantity:
                found.append((price, quantity))
        return found

    def sums(self, low: float, high: float) -> tuple[float, float]:
        """USD and quantity of the levels priced in [low, high]. Walls ask for this more often than for anything else."""
        levels = self.levels
        usd = total = 0.0
        for price in self._prices(low, high):
            quantity = levels[price].quantity
            usd += price * quantity
            total += quantity
        return usd, total

    def _prices(self, low: float, high: float) -> list[float]:
        """Best first, also of levels without size."""
        first, last = (low, high) if self.sign > 0 else (-high, -low)
        keys = self.keys[bisect_left(self.keys, first) : bisect_right(self.keys, last)]
        keys.reverse()
        return keys if self.sign > 0 else [-key for key in keys]


class Steps(Struct, frozen=True, kw_only=True):
    """Resting USD of both sides by distance from `anchor`, in steps of BUCKET_BPS, and how far each side is known (percent)."""

    anchor: float
    ask_usd: list[float]
    bid_usd: list[float]
    ask_coverage_pct: float
    bid_coverage_pct: float


class Book:
    """The order book of one instrument. Prices are floats, quantities base coin, `Side.BUY` is the side of the bids.

    Sequencing is Binance's for diff depth: drop what ends before the snapshot, the first change applied must span it or follow
    it, then each must name its predecessor. Where a venue names none (`prev_id` is None) ids must follow without a hole.
    A snapshot older than what a usable book has already applied is brought up to date with the changes since (`expect_snapshot`), or
    ignored where these are not at hand; one with which the stream restarts voids everything before it.
    """

    def __init__(self) -> None:
        self._bids = _Side(1.0)
        self._asks = _Side(-1.0)
        self._last_id: int | None = None  # None: unusable, changes are buffered
        self._linked = False  # a change has followed the snapshot, so the two streams meet
        self._buffer: deque[BookDiff] = deque()
        self._recent: list[BookDiff] | None = (
            None  # applied since a snapshot was asked for; kept always they would cost a fifth more
        )
        self._streamed = False  # the venue keeps the whole of what it shows up to date

    # --- what comes in ---------------------------------------------------------------------------------------------

    def apply_snapshot(self, snapshot: BookSnapshot) -> str | None:
        """None, or why there is no usable book now. The buffered changes are applied on top."""
        if snapshot.restarts:
            self.reset()
        if self._last_id is not None and snapshot.last_id < self._last_id:
            self._refresh(snapshot)
            return None
        reason = self._load(snapshot)
        if reason:
            self._clear()
            return f"snapshot {snapshot.last_id}: {reason}"
        waiting, self._buffer = self._buffer, deque()
        for diff in waiting:  # after a gap the rest is buffered again, for the next snapshot
            reason = self.apply_diff(diff) or reason
        return reason

    def apply_diff(self, diff: BookDiff) -> str | None:
        """None, or why the book has just become unusable. Without a snapshot the change is buffered."""
        last_id = self._last_id
        if last_id is None:
            return self._wait(diff)
        if diff.last_id <= last_id and (self._linked or diff.last_id < last_id):
            return None
        reason = None if self._linked and diff.prev_id == last_id else self._hole(diff, last_id)
        if reason is None:
            self._bids.apply(diff.bids)
            self._asks.apply(diff.asks)
            self._last_id = diff.last_id
            self._linked = True
            if self._recent is not None:
                self._keep(diff)
            reason = self._incoherent()
        if reason:
            self._clear()
            self._buffer.append(diff)
        return reason

    def reset(self) -> None:
        """The feed is lost: unusable until the next snapshot, nothing of the old connection is kept."""
        self._clear()
        self._buffer.clear()

    def expect_snapshot(self) -> None:
        """One was asked for and will be older than this book: from now on what it needs to be brought up to date is kept."""
        self._recent = []

    def _keep(self, diff: BookDiff) -> None:
        assert self._recent is not None
        self._recent.append(diff)
        if len(self._recent) > RECENT:
            self._recent = None

    def _refresh(self, snapshot: BookSnapshot) -> None:
        """Take a wider view of the same book: what a snapshot shows that is a little older, and all changes since."""
        recent, self._recent = self._recent or [], None
        fresh = Book()
        if fresh.apply_snapshot(snapshot) is not None:
            return
        for diff in recent:
            if fresh.apply_diff(diff) is not None:
                return
        if fresh.last_id == self._last_id and (fresh.bid, fresh.ask) == (self.bid, self.ask):
            self._bids, self._asks = fresh._bids, fresh._asks
            self.anchor(fresh._bids.anchor)

    def _load(self, snapshot: BookSnapshot) -> str | None:
        if reason := self._bids.load(snapshot.bids):
            return f"bids: {reason}"
        if reason := self._asks.load(snapshot.asks):
            return f"asks: {reason}"
        if reason := self._incoherent():
            return reason
        self._last_id, self._linked = snapshot.last_id, False
        self._streamed = snapshot.restarts
        self.anchor((self._bids.keys[-1] - self._asks.keys[-1]) / 2)
        return None

    def _wait(self, diff: BookDiff) -> str | None:
        full = len(self._buffer) == BUFFERED
        if full:
            self._buffer.clear()
        self._buffer.append(diff)
        return f"no snapshot within {BUFFERED} changes, they were dropped" if full else None

    def _hole(self, diff: BookDiff, last_id: int) -> str | None:
        """Why this change does not follow what is in the book, if it does not."""
        follows = diff.first_id == last_id + 1 if diff.prev_id is None else diff.prev_id == last_id
        if follows or (diff.first_id <= last_id and not self._linked):
            return None
        if not self._linked:
            return f"snapshot {last_id} older than the first change after it, {diff.first_id} to {diff.last_id}"
        if diff.prev_id is None:
            return f"gap: expected first id {last_id + 1}, got {diff.first_id}"
        return f"gap: expected pu {last_id}, got {diff.prev_id}"

    def _incoherent(self) -> str | None:
        bids, asks = self._bids.keys, self._asks.keys
        if not bids or not asks:
            return f"no {'asks' if bids else 'bids'} left"
        if bids[-1] >= -asks[-1]:
            return f"crossed: bid {bids[-1]:.12g} >= ask {-asks[-1]:.12g}"
        return None

    def _clear(self) -> None:
        self._bids.clear()
        self._asks.clear()
        self._last_id, self._linked = None, False
        self._recent = None

    # --- what can be asked -----------------------------------------------------------------------------------------

    @property
    def usable(self) -> bool:
        """Complete as far as it reaches, sequenced, uncrossed, with levels on both sides."""
        return self._last_id is not None

    @property
    def last_id(self) -> int | None:
        return self._last_id

    @property
    def bid(self) -> float | None:
        keys = self._bids.keys
        return keys[-1] if keys else None

    @property
    def ask(self) -> float | None:
        keys = self._asks.keys
        return -keys[-1] if keys else None

    @property
    def mid(self) -> float | None:
        bids, asks = self._bids.keys, self._asks.keys
        return (bids[-1] - asks[-1]) / 2 if bids and asks else None

    @property
    def bid_quantity(self) -> float | None:
        keys = self._bids.keys
        return self._bids.levels[keys[-1]].quantity if keys else None

    @property
    def ask_quantity(self) -> float | None:
        keys = self._asks.keys
        return self._asks.levels[-keys[-1]].quantity if keys else None

    def top(self) -> tuple[float, float, float, float] | None:
        """Best bid with its quantity, best ask with its; None where a side is empty."""
        bids, asks = self._bids, self._asks
        if not bids.keys or not asks.keys:
            return None
        bid, ask = bids.keys[-1], -asks.keys[-1]
        return bid, bids.levels[bid].quantity, ask, asks.levels[ask].quantity

    def levels(self, side: Side, count: int) -> list[Level]:
        """At most `count` levels, best first."""
        return self._side(side).best(count)

    def size_at(self, side: Side, price: float) -> float | None:
        """Quantity at that price; None where nothing is known: beyond the snapshot's last level, or unusable."""
        of = self._side(side)
        key = price * of.sign
        level = of.levels.get(price)
        if level is not None and level.quantity:
            return level.quantity
        return None if not self.usable or key < self._reach(of) else 0.0

    def range_sums(self, side: Side, low: float, high: float) -> tuple[float, float]:
        """USD and base quantity of the levels priced from `low` to `high`, both included."""
        return self._side(side).sums(low, high)

    def coverage_pct(self, side: Side) -> float:
        """How far from mid this side is known completely: to the last level of the snapshot, 0.0 when unusable.

        Farther out there are only the levels that have changed since. Where the stream itself began with the snapshot, its venue keeps
        as many levels up to date as that had: it is known to the last one.
        """
        mid = self.mid
        of = self._side(side)
        return 0.0 if mid is None else max(0.0, (mid * of.sign - self._reach(of)) / mid * 100)

    @property
    def anchor_price(self) -> float | None:
        """Where the buckets are measured from: mid at the snapshot or at the last `anchor`."""
        return self._bids.anchor if self.usable else None

    def bucket_usd(self, side: Side) -> list[float]:
        """Resting USD by distance from the anchor, 50 buckets of 10 bps; all 0.0 when unusable."""
        return [usd if usd > _DUST_USD else 0.0 for usd in self._side(side).buckets[:BUCKETS]]

    def steps(self) -> Steps | None:
        """None while unusable. The sums are kept anyhow: asking costs nothing."""
        if not self.usable:
            return None
        asks, bids = ((self.bucket_usd(side), self.coverage_pct(side)) for side in (Side.SELL, Side.BUY))
        return Steps(
            anchor=self._bids.anchor,
            ask_usd=asks[0],
            bid_usd=bids[0],
            ask_coverage_pct=asks[1],
            bid_coverage_pct=bids[1],
        )

    def anchor(self, mid: float) -> None:
        """Measure the buckets from this price from now on."""
        self._bids.set_anchor(mid)
        self._asks.set_anchor(mid)

    def reanchor_if_moved(self) -> bool:
        """Anchor at mid when it is more than one bucket away; costs a pass over the book, so not for every message."""
        mid, anchor = self.mid, self._bids.anchor
        if mid is None or abs(mid - anchor) / anchor * 1e4 <= BUCKET_BPS:
            return False
        self.anchor(mid)
        return True

    def _reach(self, of: _Side) -> float:
        if not self._streamed:
            return of.reach
        return next((key for key in of.keys if of.levels[abs(key)].quantity), of.reach)

    def _side(self, side: Side) -> _Side:
        return self._bids if side is Side.BUY else self._asks
