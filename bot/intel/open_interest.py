"""What is kept of a venue's samples between two readings: open interest of the last minutes, the long/short ratio of 30 days.

Pure; used by `venue_statistics.py` alone. Five minutes are five minutes up to a minute more or less (quant 3), and 30 days are known
when hours from all of them are.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from decimal import Decimal

from bot.domain.errors import FeedError
from bot.domain.statistics import AccountRatio, Candle, OpenInterest
from bot.domain.values import NS

SPAN_NS, SLACK_NS = 300 * NS, 60 * NS
MINUTE_NS, HOUR_NS = 60 * NS, 3600 * NS
DAYS_30_NS = 30 * 24 * HOUR_NS
LEAST_HOURS = 648  # nine tenths of 30 days
EDGE_NS = 3 * HOUR_NS  # the oldest hour may lie this much inside: the venues keep 30 days and not a minute more


class OpenInterestSamples:
    """The last ten minutes, whatever the order in which they came."""

    def __init__(self) -> None:
        self._samples: deque[OpenInterest] = deque()
        self.modelled: OpenInterest | None = None  # the last one that the liquidation model has seen

    @property
    def newest(self) -> OpenInterest | None:
        return self._samples[-1] if self._samples else None

    def add(self, sample: OpenInterest) -> None:
        if all(sample.at_ns != each.at_ns for each in self._samples):
            self._samples = deque(sorted([*self._samples, sample], key=_at))
        while self._samples[-1].at_ns - self._samples[0].at_ns > 2 * SPAN_NS:
            self._samples.popleft()

    def reference(self, sample: OpenInterest) -> OpenInterest | None:
        """The one nearest to five minutes before, None where none is within a minute of that."""
        wanted = sample.at_ns - SPAN_NS
        nearest = min(self._samples, key=lambda each: abs(each.at_ns - wanted), default=None)
        return nearest if nearest is not None and abs(nearest.at_ns - wanted) <= SLACK_NS else None

    def newest_pair(self) -> tuple[OpenInterest, OpenInterest] | None:
        """The newest sample that has a reference, and that. At start it can be one of the venue's history."""
        for sample in reversed(self._samples):
            reference = self.reference(sample)
            if reference is not None:
                return reference, sample
        return None


def _at(sample: OpenInterest) -> int:
    return sample.at_ns


def volume_between(minutes: Iterable[Candle], start_ns: int, end_ns: int) -> Decimal:
    """Coins traded in every minute that touches the span: never less than in the span itself. Raises FeedError where one is
    missing, but for the last: a venue lists it with its first trade."""
    coins = {each.start_ns // MINUTE_NS: each.coins for each in minutes}
    first, last = start_ns // MINUTE_NS, end_ns // MINUTE_NS
    missing = [minute for minute in range(first, last) if minute not in coins]
    if missing:
        raise FeedError(f"candles: {len(missing)} of {last - first} minutes are not there")
    return sum((coins.get(minute, Decimal(0)) for minute in range(first, last + 1)), Decimal(0))


def implausible(before: OpenInterest, after: OpenInterest, volume: Decimal) -> str:
    """Why the change says nothing; empty where it does. No contract opens or closes without being traded."""
    if not before.coins:
        return "open interest was 0 five minutes ago"
    change = abs(after.coins - before.coins)
    if change > volume:
        return f"open interest changed by {change:f} coins, but only {volume:f} were traded"
    return ""


class RatioHours:
    """One ratio an hour. An hour's first one stays."""

    def __init__(self) -> None:
        self._hours: dict[int, Decimal] = {}

    def __len__(self) -> int:
        return len(self._hours)

    def add(self, samples: Iterable[AccountRatio]) -> None:
        for sample in samples:
            self._hours.setdefault(sample.at_ns // HOUR_NS, sample.ratio)

    def pages(self, now_ns: int, hours: int) -> Iterator[tuple[int, int]]:
        """Spans of at most so many hours that make up the last 30 days, less the one that may be gone by then."""
        end_ns, oldest_ns = now_ns, now_ns - DAYS_30_NS + HOUR_NS
        while end_ns > oldest_ns:
            start_ns = max(oldest_ns, end_ns - (hours - 1) * HOUR_NS)
            yield start_ns, end_ns
            end_ns = start_ns

    def percentile_95(self, now_ns: int) -> Decimal | None:
        """The smallest ratio that 95 % of the hours do not exceed; None until 30 days are known."""
        oldest = (now_ns - DAYS_30_NS) // HOUR_NS
        self._hours = {hour: ratio for hour, ratio in self._hours.items() if hour >= oldest}
        if len(self._hours) < LEAST_HOURS or min(self._hours) * HOUR_NS > now_ns - DAYS_30_NS + EDGE_NS:
            return None
        return sorted(self._hours.values())[-(-95 * len(self._hours) // 100) - 1]
