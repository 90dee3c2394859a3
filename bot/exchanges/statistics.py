"""What the three `*_statistics.py` share: a call to make, and the checks that every list of samples must pass.

Pure. A `Call` is asked by `intel/venue_http.py`; its `parse` takes the body of a 200 and raises FeedError that names the field.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from itertools import pairwise
from typing import Annotated, Any, Generic, Protocol, TypeVar

from msgspec import Meta, Struct

from bot.domain.errors import FeedError
from bot.domain.statistics import AccountRatio, Candle, OpenInterest

T = TypeVar("T")
S = TypeVar("S", OpenInterest, AccountRatio, Candle)

MAX_BYTES = 8 * 1024 * 1024
Text = Annotated[str, Meta(pattern=r"^[0-9]{1,19}(\.[0-9]{1,20})?$")]
"""A number as these venues write it. What is written as a JSON number, signed or with an exponent is something else."""
TextMs = Annotated[str, Meta(pattern=r"^[0-9]{1,13}$")]
Ms = Annotated[int, Meta(ge=0, le=9 * 10**12)]


class Call(Struct, Generic[T], frozen=True):
    name: str  # as told in failures
    path: str
    query: dict[str, str]
    parse: Callable[[bytes], T]


class VenueCalls(Protocol):
    """One venue's statistics. Lists are oldest first; `count` newest samples, those of `[start_ns, end_ns]` where given."""

    venue: str
    rest_url: str
    apart_s: float  # between two calls, so that the venue's limits are never near
    history_page: int  # samples of open interest that one call gives at most
    ratio_page: int

    def open_interest(self, symbol: str) -> Call[OpenInterest]: ...

    def open_interest_history(self, symbol: str, count: int) -> Call[list[OpenInterest]]:
        """Every five minutes."""

    def account_ratio(self, symbol: str) -> Call[list[AccountRatio]]:
        """The newest of five minutes."""

    def account_ratio_hours(self, symbol: str, start_ns: int, end_ns: int) -> Call[list[AccountRatio]]: ...

    def candles(self, symbol: str, minutes: int, count: int) -> Call[list[Candle]]: ...


def refusal(venue: str, call: str, problem: object, raw: bytes) -> FeedError:
    """Cut and escaped: what comes over a socket can neither fill a log nor forge a line of it."""
    text = str(problem)[:200].encode("unicode_escape").decode()
    return FeedError(f"{venue} {call}: {text}: {raw[:80]!r}")


def strictly(venue: str, call: str, read: Callable[[bytes], T]) -> Callable[[bytes], T]:
    """`read` with every failure told as a FeedError of this call."""

    def parse(raw: bytes) -> T:
        if len(raw) > MAX_BYTES:
            raise refusal(venue, call, f"answer of {len(raw)} bytes, more than {MAX_BYTES}", raw)
        try:
            return read(raw)
        except (ValueError, ArithmeticError, RecursionError) as error:
            raise refusal(venue, call, error, raw) from None

    return parse


def in_order(samples: Iterable[S]) -> list[S]:
    """Oldest first, whichever way the venue lists them. A time given twice is refused: one of the two is wrong."""
    ordered = sorted(samples, key=_time)
    for before, after in pairwise(ordered):
        if _time(before) == _time(after):
            raise ValueError(f"two samples of {_time(before)}")
    return ordered


def _time(sample: Any) -> int:
    at: int = sample.start_ns if isinstance(sample, Candle) else sample.at_ns
    return at


def positive(field: str, text: str) -> Decimal:
    value = Decimal(text)
    if not value:
        raise ValueError(f"{field} is 0")
    return value


def candle(start_ns: int, high: str, low: str, close: str, coins: str) -> Candle:
    top, bottom, last = (float(positive(*each)) for each in (("high", high), ("low", low), ("close", close)))
    if not bottom <= last <= top:
        raise ValueError(f"close {last} of the candle at {start_ns} lies outside {bottom} to {top}")
    return Candle(start_ns, top, bottom, last, Decimal(coins))
