"""Closed bars of several widths, built from one instrument's trades and joined to history.

The narrowest width is built trade by trade (the hot path); the wider ones are folded from it when it closes. A trade belongs
to the bar of its own stamp, the venue's. A bar counts only if every trade of it was seen: not the one that a stream began or
broke in. Bars without trades do not exist: there is no padding, and the bar under way is in no answer but `candles`, which nothing
decides by.
`market/state.py` feeds it and asks it; the regime is computed from what it answers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from itertools import islice, pairwise
from typing import TypeVar

from msgspec.structs import replace
from pydantic import Field, field_validator

from bot.domain.market import Bar
from bot.domain.params import Params
from bot.domain.values import NS

Number = TypeVar("Number", int, float)

REGIME_WIDTH_S = 300
GRACE_NS = 2 * NS  # a bar whose end has passed waits so long for trades still on their way
AHEAD_NS = 60 * NS  # a stamp farther ahead of us than any clock is wrong: taken, it would close every bar until then


class BarParams(Params):
    widths_s: tuple[int, ...] = Field(
        (60, 300, 900), min_length=1, description="widths in seconds; multiples of the narrowest, 300 among them"
    )
    keep: int = Field(1000, ge=1000, le=100_000, description="closed bars kept of each width")
    max_silence_s: int = Field(60, ge=1, description="no trade for longer: some may be lost, these bars do not count")

    @field_validator("widths_s")
    @classmethod
    def _foldable(cls, widths_s: tuple[int, ...]) -> tuple[int, ...]:
        widths_s = tuple(sorted(set(widths_s)))
        if not 1 <= widths_s[0] <= widths_s[-1] <= 86_400:
            raise ValueError("a width is 1 to 86400 s")
        if any(width % widths_s[0] for width in widths_s):
            raise ValueError(f"every width must be a multiple of the narrowest, {widths_s[0]} s")
        if REGIME_WIDTH_S not in widths_s:
            raise ValueError(f"{REGIME_WIDTH_S} must be among them: the regime is that of 5-minute bars")
        return widths_s


class Bars:
    """The bars of one instrument. `now_ns` is engine time, every other time is the venue's.

    How far the venue's clock, with the way from there, is behind ours is taken from the first trade of each bar: what the
    once-a-second sample closes is then closed by the venue's clock, however wrong that is. `late` counts trades of bars that
    were closed already, `ahead` those stamped over a minute ahead of us: both are left out.
    """

    __slots__ = (
        "_behind_ns", "_buy", "_close", "_end_ns", "_floor_ns", "_high", "_low", "_micro", "_open", "_series",
        "_silence_ns", "_since_ns", "_start_ns", "_trades", "_width_ns", "ahead", "late",
    )  # fmt: skip

    def __init__(self, params: BarParams) -> None:
        self._series = {width: Series(width, params.keep) for width in params.widths_s}
        self._width_ns = params.widths_s[0] * NS
        self._silence_ns = params.max_silence_s * NS
        self._since_ns: int | None = None  # stamp of the first trade of the unbroken stream
        self._behind_ns = 0
        self._floor_ns = 0  # every bar that began earlier is closed
        self._start_ns = self._end_ns = 0  # the running bar; none before its first trade
        self._open = self._high = self._low = self._close = 0.0
        self._micro = self._buy = self._trades = 0
        self.late = self.ahead = 0

    # --- what comes in ---------------------------------------------------------------------------------------------

    def add(self, price: float, micro: int, taker_buys: bool, exch_ns: int, now_ns: int) -> None:
        """A trade of `micro` micro-USD."""
        if not self._start_ns <= exch_ns < self._end_ns and not self._begin(price, exch_ns, now_ns):
            return
        if price > self._high:
            self._high = price
        elif price < self._low:
            self._low = price
        self._close = price
        self._micro += micro
        if taker_buys:
            self._buy += micro
        self._trades += 1

    def add_all(
        self, prices: Sequence[float], worths: Sequence[int], stamps: Sequence[int], times: Sequence[int]
    ) -> None:
        """Like `add` for each; `worths` are negative where takers sold."""
        if self._start_ns <= min(stamps) and max(stamps) < self._end_ns:
            self._high, self._low = max(self._high, max(prices)), min(self._low, min(prices))
            self._close = prices[-1]
            bought = sum([worth for worth in worths if worth > 0])
            self._micro += 2 * bought - sum(worths)
            self._buy += bought
            self._trades += len(prices)
            return
        for price, worth, exch_ns, now_ns in zip(prices, worths, stamps, times, strict=True):
            self.add(price, abs(worth), worth > 0, exch_ns, now_ns)

    def sample(self, now_ns: int, trade_ns: int | None) -> None:
        """Once a second: closes what has ended. `trade_ns` is when the newest trade reached us."""
        if trade_ns is not None and now_ns - trade_ns > self._silence_ns:
            self.gap()
        self._advance(now_ns - self._behind_ns - GRACE_NS)

    def gap(self) -> None:
        """Trades may have been missed: the bars under way are worth nothing."""
        self._since_ns = None
        self._start_ns = self._end_ns = self._trades = 0  # the wider ones are found broken when they close

    def warm_up(self, width_s: int, bars: Iterable[Bar]) -> None:
        """History of one width: finished bars, in any order. It fills what our own trades do not cover whole; a bar whose
        end has not come yet is held back until then. A width that is not kept is passed over."""
        series = self._series.get(width_s)
        if series is not None:
            series.fill(bars)

    # --- what can be asked -----------------------------------------------------------------------------------------

    def of(self, width_s: int) -> Series:
        return self._series[width_s]

    def get(self, width_s: int) -> Series | None:
        """None for a width that is not kept."""
        return self._series.get(width_s)

    @property
    def left_out(self) -> str:
        """For the reason of a reading that lacks bars: what must be wrong where trades come and no bars are built."""
        if not self.ahead:
            return ""
        return f" ({self.ahead} trades stamped over {AHEAD_NS // NS} s ahead were left out)"

    def candles(self, count: int) -> list[Bar]:
        """For the eye: the newest closed bars of the narrowest width and, as it is so far, the one under way."""
        closed = list(self._series[self.width_s].newest(count))
        if not self._trades:
            return closed
        usd, buy_usd = self._micro / 1e6, self._buy / 1e6
        bar = Bar(self._start_ns, self._open, self._high, self._low, self._close, usd, buy_usd, self._trades)
        return [*closed[-count + 1 :], bar]

    @property
    def width_s(self) -> int:
        """The narrowest."""
        return self._width_ns // NS

    # --- when a bar ends -------------------------------------------------------------------------------------------

    def _begin(self, price: float, exch_ns: int, now_ns: int) -> bool:
        """Opens the bar of a trade that is not of the running one; False where the trade is left out."""
        if exch_ns < self._floor_ns:
            self.late += 1
            return False
        if exch_ns - now_ns > AHEAD_NS:
            self.ahead += 1
            return False
        self._advance(exch_ns)
        if self._since_ns is None:
            self._since_ns = exch_ns
        self._behind_ns = now_ns - exch_ns
        self._start_ns = exch_ns // self._width_ns * self._width_ns
        self._end_ns = self._start_ns + self._width_ns
        self._open = self._high = self._low = price
        self._micro = self._buy = self._trades = 0
        return True

    def _advance(self, at_ns: int) -> None:
        """Closes all that ended at or before `at_ns`."""
        floor_ns = at_ns // self._width_ns * self._width_ns
        if floor_ns <= self._floor_ns:
            return
        self._floor_ns = floor_ns
        bar = self._taken() if self._trades else None
        for series in self._series.values():
            if bar is not None:
                series.fold(bar)
            series.advance(at_ns, self._since_ns)

    def _taken(self) -> Bar:
        bar = Bar(
            self._start_ns,
            self._open,
            self._high,
            self._low,
            self._close,
            self._micro / 1e6,
            self._buy / 1e6,
            self._trades,
        )
        self._start_ns = self._end_ns = self._trades = 0
        return bar


class Series:
    """The closed bars of one width: always the newest run without a hole, at most `keep`."""

    def __init__(self, width_s: int, keep: int) -> None:
        self.width_ns = width_s * NS
        self.closed: deque[Bar] = deque(maxlen=keep)
        self.changes = 0  # grows whenever `closed` changes: whoever computes from it may keep the result until then
        self._running: Bar | None = None
        self._floor_ns = 0  # every bar that began earlier is closed
        self._history: dict[int, Bar] = {}  # given and not past yet, by start
        self._atr: dict[int, tuple[int, float | None]] = {}  # by count: `changes`, result

    @property
    def end_ns(self) -> int | None:
        """When the newest closed bar ended."""
        return self.closed[-1].start_ns + self.width_ns if self.closed else None

    def newest(self, count: int) -> Sequence[Bar]:
        """Oldest first: `count` of them or fewer."""
        return tuple(islice(self.closed, max(0, len(self.closed) - max(0, count)), None))

    def atr(self, count: int) -> float | None:
        """Average true range (Wilder 1978, New Concepts in Technical Trading Systems), in price units: the mean of the first
        `count` true ranges, then `(count - 1) / count` of it and `1 / count` of each later one. The first bar has no true
        range, for it has no close before it: None under `count + 1` bars."""
        changes, value = self._atr.get(count, (-1, None))
        if changes != self.changes:
            value = _wilder(self.closed, count)
            self._atr[count] = (self.changes, value)
        return value

    def fold(self, bar: Bar) -> None:
        """Adds a narrower bar to the running one."""
        whole = self._running
        if whole is None:
            start_ns = bar.start_ns // self.width_ns * self.width_ns
            self._running = bar if start_ns == bar.start_ns else replace(bar, start_ns=start_ns)
            return
        self._running = Bar(
            whole.start_ns,
            whole.open,
            max(whole.high, bar.high),
            min(whole.low, bar.low),
            bar.close,
            whole.usd + bar.usd,
            _sum(whole.taker_buy_usd, bar.taker_buy_usd),
            _sum(whole.trades, bar.trades),
        )

    def advance(self, at_ns: int, since_ns: int | None) -> None:
        """Closes what ended at or before `at_ns`. Our own bar counts where the stream has been whole since before it began,
        else that of history does."""
        floor_ns = at_ns // self.width_ns * self.width_ns
        if floor_ns <= self._floor_ns:
            return
        self._floor_ns = floor_ns
        past = self._past_history() if self._history else {}
        own, self._running = self._running, None
        if own is not None and since_ns is not None and since_ns < own.start_ns:
            past[own.start_ns] = own
        for start_ns in sorted(past):
            self._append(past[start_ns])

    def fill(self, bars: Iterable[Bar]) -> None:
        self._history.update((bar.start_ns, bar) for bar in bars)
        past = self._past_history()
        past.update((bar.start_ns, bar) for bar in self.closed)
        self.closed.clear()
        for start_ns in sorted(past):
            self._append(past[start_ns])

    def _past_history(self) -> dict[int, Bar]:
        """Takes out the bars of history that are closed."""
        past = [start_ns for start_ns in self._history if start_ns < self._floor_ns]
        return {start_ns: self._history.pop(start_ns) for start_ns in past}

    def _append(self, bar: Bar) -> None:
        if self.end_ns not in (None, bar.start_ns):
            self.closed.clear()
        self.closed.append(bar)
        self.changes += 1


def _sum(one: Number | None, other: Number | None) -> Number | None:
    return None if one is None or other is None else one + other


def _wilder(bars: Sequence[Bar], count: int) -> float | None:
    if count < 1 or len(bars) <= count:
        return None
    ranges = [max(bar.high, last.close) - min(bar.low, last.close) for last, bar in pairwise(bars)]
    value = sum(ranges[:count]) / count
    for true_range in ranges[count:]:
        value += (true_range - value) / count
    return value
