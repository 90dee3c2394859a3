"""Trade flow: taker volumes, whale orders and order-flow imbalance from our own streams.

Each part is fed by `market/state.py` on the hot path and answers `value(now_ns)` with a payload, or None and the reason why
there is none. A part knows nothing of sources or ages: `market/readings.py` does. USD is summed in whole micro-USD, so
what expires takes away exactly what was added. `now_ns` is engine time and never goes back.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from decimal import Decimal
from math import log
from typing import Generic, TypeVar

from pydantic import Field

from bot.domain.params import Params
from bot.domain.reading import Ofi, Taker, WhaleCvd
from bot.domain.values import MS, NS, Direction

MICRO = 1_000_000
MINUTE_NS = 60 * NS
HOUR_NS = 60 * MINUTE_NS
DAY_NS = 24 * HOUR_NS

Number = TypeVar("Number", int, float)


class TakerParams(Params):
    min_usd: Decimal = Field(Decimal(50000), ge=0, description="five-minute volume under which the ratio means nothing")


class WhaleParams(Params):
    floor_usd: Decimal = Field(Decimal(100000), gt=0, description="smallest taker order that counts as a whale's")


class OfiParams(Params):
    window_s: int = Field(10, ge=1, le=300, description="window of the order-flow imbalance reading")


def micro_usd(price: float, quantity: float) -> int:
    """The worth of a fill in whole micro-USD."""
    return int(price * quantity * 1e6 + 0.5)


class Slots(Generic[Number]):
    """A ring of time slots with a few sums each: the running slot and the `count - 1` before it.

    The window is therefore between `count - 1` and `count` slots long. Totals are kept while slots pass: exact for whole
    numbers; float sums are taken over `rows` instead, so that nothing drifts.
    """

    def __init__(self, count: int, width_ns: int, zeros: tuple[Number, ...]) -> None:
        self._count = count
        self._width_ns = width_ns
        self._zeros: list[Number] = list(zeros)
        self._rows: list[list[Number]] = [list(zeros) for _ in range(count)]
        self._newest = 0
        self._until_ns = 0  # end of the running slot
        self._running: list[Number] = self._rows[0]
        self._closed: list[Number] = list(zeros)  # sums over all slots but the running one

    def row(self, now_ns: int) -> list[Number]:
        """The running slot's sums, to be added to in place."""
        if now_ns >= self._until_ns:
            self._advance(now_ns // self._width_ns)
        return self._running

    def rows(self, now_ns: int) -> list[list[Number]]:
        """All slots of the window, in no particular order."""
        self.row(now_ns)
        return self._rows

    def totals(self, now_ns: int) -> list[Number]:
        running = self.row(now_ns)
        return [closed + now for closed, now in zip(self._closed, running, strict=True)]

    def copy(self) -> Slots[Number]:
        made = copy(self)
        made._rows = [row.copy() for row in self._rows]
        made._closed = self._closed.copy()
        made._running = made._rows[self._newest % self._count]
        return made

    def _advance(self, slot: int) -> None:
        closed, rows, count = self._closed, self._rows, self._count
        for index, now in enumerate(self._running):
            closed[index] += now
        for passed in range(max(self._newest + 1, slot - count + 1), slot + 1):
            for index, expired in enumerate(rows[passed % count]):
                closed[index] -= expired
            rows[passed % count] = self._zeros.copy()
        self._newest, self._until_ns = slot, (slot + 1) * self._width_ns
        self._running = self._rows[slot % self._count]


class TakerFlow:
    """Taker buys and sells of the last five minutes.

    Slots are one second wide: the window is the running second and the 299 before it, never longer than five minutes. There
    is no value until five unbroken minutes of the trade stream were seen, counted from its first message after a start or a gap.
    """

    WINDOW_S = 300

    def __init__(self, params: TakerParams) -> None:
        self._min_micro = int(params.min_usd * MICRO)
        self._slots = Slots(self.WINDOW_S, NS, (0, 0))
        self._since_ns: int | None = None
        self.last_ns: int | None = None

    def add(self, micro: int, taker_buys: bool, now_ns: int) -> None:
        if self._since_ns is None:
            self._since_ns = now_ns
        self.last_ns = now_ns
        self._slots.row(now_ns)[0 if taker_buys else 1] += micro

    def add_all(self, bought: int, sold: int, times: Sequence[int]) -> None:
        """Like `add` for trades of one second, which bought and sold so many micro-USD together."""
        if self._since_ns is None:
            self._since_ns = times[0]
        self.last_ns = times[-1]
        row = self._slots.row(times[0])
        row[0] += bought
        row[1] += sold

    def totals(self, now_ns: int) -> tuple[int, int]:
        """Micro-USD bought and sold in the window."""
        buy, sell = self._slots.totals(now_ns)
        return buy, sell

    def gap(self) -> None:
        """Trades may have been missed: the sums start over."""
        self._since_ns = None
        self._slots = Slots(self.WINDOW_S, NS, (0, 0))

    def known_from_ns(self, now_ns: int) -> int:
        """When the stream has been whole for five minutes, if it does not break and began now at the latest."""
        return (now_ns if self._since_ns is None else self._since_ns) + self.WINDOW_S * NS

    def tells(self, buy: int, sell: int) -> bool:
        """Whether so many micro-USD in the window make a value."""
        return buy + sell >= self._min_micro and sell > 0

    def value(self, now_ns: int) -> tuple[Taker | None, str]:
        lacking = _unbroken(self._since_ns, self.WINDOW_S, now_ns)
        if self._since_ns is None:
            return None, lacking
        buy, sell = self._slots.totals(now_ns)
        if self.tells(buy, sell) and not lacking:
            return Taker(buy_usd=Decimal(buy) / MICRO, sell_usd=Decimal(sell) / MICRO), ""
        if lacking:
            return None, f"{lacking}, so far buys {buy / MICRO / 1e6:.2f}M and sells {sell / MICRO / 1e6:.2f}M USD"
        if buy + sell < self._min_micro:
            return None, f"only {(buy + sell) // MICRO} USD traded in 5 min, needs {self._min_micro // MICRO}"
        return None, "no taker sells in 5 min"


class OrderSizes:
    """How large taker orders were: one histogram for each of the last 24 hours (23 to 24 hours of orders).

    Bins are 1 % wide, from the floor to a thousand times the floor; smaller orders share one bin, because there the floor
    rules anyway, larger ones another. The percentile is its bin's lower edge, so at most 1 % too low.
    """

    BINS = 700
    _STEP = 1.01

    def __init__(self, floor_micro: int) -> None:
        self._floor = floor_micro
        self._hours = Slots(24, HOUR_NS, (0,) * (self.BINS + 1))

    def copy(self) -> OrderSizes:
        made = copy(self)
        made._hours = self._hours.copy()
        return made

    def record(self, micro: int, now_ns: int) -> None:
        self._hours.row(now_ns)[self._bin(micro)] += 1

    def percentile_99(self, now_ns: int) -> int:
        """Micro-USD; the floor where the percentile lies below it."""
        counts = self._hours.totals(now_ns)
        allowed_above, above = sum(counts) // 100, 0
        for index in range(self.BINS, 0, -1):
            above += counts[index]
            if above > allowed_above:
                return int(self._floor * self._STEP ** (index - 1))
        return self._floor

    def _bin(self, micro: int) -> int:
        if micro < self._floor:
            return 0
        return min(self.BINS, 1 + int(log(micro / self._floor) / log(self._STEP)))


class WhaleFlow:
    """Large taker orders of the last 15 minutes (one-second slots).

    Fills of one side in one exchange millisecond are one taker order, since a sweep over several prices is reported as
    several fills. It is a whale's from the threshold on: the floor, or once 24 hours of trades are known the 99th percentile of
    taker orders where that is larger (taken anew once a minute; an order is judged by the threshold of its moment).
    There is no value until one unbroken hour of trades was seen. A gap restarts that hour, not the percentile: a
    sample with a hole in it is still a sample, and venues cut every connection daily. Trades of before the first message
    count like those of the stream where they join it (`past_trades.py`).
    """

    WINDOW_S = 900
    MIN_ORDERS = 3

    def __init__(self, params: WhaleParams) -> None:
        self._floor = self._threshold = int(params.floor_usd * MICRO)
        self._sizes = OrderSizes(self._floor)
        self._slots = Slots(self.WINDOW_S, NS, (0, 0, 0))  # buys, sells, orders
        self._ms = self._buy = self._sell = 0
        self._refresh_ns = 0
        self._since_ns: int | None = None
        self.last_ns: int | None = None

    @property
    def threshold_usd(self) -> Decimal:
        return Decimal(self._threshold) / MICRO

    def add(self, micro: int, taker_buys: bool, exch_ns: int, now_ns: int) -> int:
        """Takes a fill; returns what its taker order amounts to so far, in micro-USD."""
        if self._since_ns is None:
            self._start(now_ns)
        self.last_ns = now_ns
        ms = exch_ns // MS
        if ms != self._ms:
            self._close(now_ns)
            self._ms = ms
        if taker_buys:
            order = self._buy = self._buy + micro
        else:
            order = self._sell = self._sell + micro
        if order >= self._threshold:
            self._count(self._slots.row(now_ns), order, micro, taker_buys)
        return order

    def add_all(self, worths: Sequence[int], stamps: Sequence[int], times: Sequence[int]) -> None:
        """Like `add` for each; `worths` are negative where takers sold, `stamps` are the venue's, `times` ours and of one second."""
        if self._since_ns is None:
            self._start(times[0])
        self.last_ns = times[-1]
        row = self._slots.row(times[0])
        ms, buy, sell, threshold = self._ms, self._buy, self._sell, self._threshold
        for worth, exch_ns, now_ns in zip(worths, stamps, times, strict=True):
            if exch_ns // MS != ms:
                self._buy, self._sell = buy, sell
                self._close(now_ns)
                ms, buy, sell, threshold = exch_ns // MS, 0, 0, self._threshold
            if worth > 0:
                order = buy = buy + worth
            else:
                order = sell = sell - worth
            if order >= threshold:
                self._count(row, order, abs(worth), worth > 0)
        self._ms, self._buy, self._sell = ms, buy, sell

    def gap(self) -> None:
        """Trades may have been missed. What was summed before has expired by the time there is a value again."""
        self._since_ns = None

    def copy(self) -> WhaleFlow:
        made = copy(self)
        made._sizes, made._slots = self._sizes.copy(), self._slots.copy()
        return made

    def become(self, other: WhaleFlow) -> None:
        """What the other is, which must not be used any more."""
        self.__dict__.update(other.__dict__)

    def totals(self, now_ns: int) -> tuple[int, int, int]:
        """Micro-USD bought, micro-USD sold and number of whale orders in the window."""
        buy, sell, orders = self._slots.totals(now_ns)
        return buy, sell, orders

    def value(self, now_ns: int) -> tuple[WhaleCvd | None, str]:
        lacking = _unbroken(self._since_ns, 3600, now_ns)
        if lacking:
            return None, lacking
        buy, sell, orders = self.totals(now_ns)
        if orders < self.MIN_ORDERS:
            return WhaleCvd(direction=None, intensity=0.0), ""
        intensity = 100 * abs(buy - sell) / (buy + sell)  # of whole numbers: rounded once, so that 30 is 30.0
        return WhaleCvd(direction=_heavier(buy, sell), intensity=intensity), ""

    def _start(self, now_ns: int) -> None:
        if self.last_ns is None or now_ns - self.last_ns > DAY_NS:  # nothing left to take a percentile of
            self._threshold = self._floor
            self._refresh_ns = now_ns + DAY_NS
        self._since_ns = now_ns

    def _close(self, now_ns: int) -> None:
        for order in (self._buy, self._sell):
            if order:
                self._sizes.record(order, now_ns)
        self._buy = self._sell = 0
        if now_ns >= self._refresh_ns:
            self._threshold = self._sizes.percentile_99(now_ns)
            self._refresh_ns = now_ns + MINUTE_NS

    def _count(self, row: list[int], order: int, micro: int, taker_buys: bool) -> None:
        became_whale = order - micro < self._threshold
        row[0 if taker_buys else 1] += order if became_whale else micro
        row[2] += became_whale


class OrderFlowImbalance:
    """Order-flow imbalance at the best prices (Cont, Kukanov, Stoikov 2014, Journal of Financial Econometrics 12:47).

    e_n adds what joined or improved the bid and what left the ask, and takes away the opposite, in base units. The window is
    in slots of 100 ms. Depth is the mean of both best sizes, averaged within a slot and then over the slots that saw an
    update, so that a burst of updates does not outweigh the rest. No value until one whole window since the last reset.
    """

    SLOT_NS = 100 * MS

    def __init__(self, params: OfiParams) -> None:
        self._window_s = params.window_s
        self._slots = Slots(params.window_s * NS // self.SLOT_NS, self.SLOT_NS, (0.0, 0.0, 0.0))  # e_n, depth, updates
        self._best = (0.0, 0.0, 0.0, 0.0)  # bid, its quantity, ask, its quantity
        self._since_ns: int | None = None
        self.last_ns: int | None = None

    def update(self, bid: float, bid_quantity: float, ask: float, ask_quantity: float, now_ns: int) -> float:
        """Takes the next best prices and sizes; returns their e_n, which is 0 for the first ones after a reset."""
        e_n = 0.0
        if self._since_ns is None:
            self._since_ns = now_ns
        else:
            old_bid, old_bid_quantity, old_ask, old_ask_quantity = self._best
            if bid >= old_bid:
                e_n += bid_quantity
            if bid <= old_bid:
                e_n -= old_bid_quantity
            if ask <= old_ask:
                e_n -= ask_quantity
            if ask >= old_ask:
                e_n += old_ask_quantity
        row = self._slots.row(now_ns)
        row[0] += e_n
        row[1] += (bid_quantity + ask_quantity) / 2
        row[2] += 1.0
        self._best = (bid, bid_quantity, ask, ask_quantity)
        self.last_ns = now_ns
        return e_n

    def reset(self) -> None:
        """The book was resynced or the stream broke: differences across that mean nothing, older ones have expired by the
        time there is a value again."""
        self._since_ns = None

    def value(self, now_ns: int) -> tuple[Ofi | None, str]:
        lacking = _unbroken(self._since_ns, self._window_s, now_ns)
        if lacking:
            return None, lacking
        rows = self._slots.rows(now_ns)
        depths = [depth / updates for _, depth, updates in rows if updates]
        mean = sum(depths) / len(depths) if depths else (self._best[1] + self._best[3]) / 2
        if mean == 0:
            return None, "nothing rests at the best prices"
        base = sum(row[0] for row in rows)
        return Ofi(base=base, depths=base / mean), ""


def _unbroken(since_ns: int | None, needed_s: int, now_ns: int) -> str:
    """Why the stream has not been whole for long enough; empty when it has."""
    if since_ns is None:
        return "nothing received yet"
    if now_ns - since_ns < needed_s * NS:
        return f"{(now_ns - since_ns) // NS} s of {needed_s} s unbroken"
    return ""


def _heavier(buy: int, sell: int) -> Direction | None:
    if buy == sell:
        return None
    return Direction.LONG if buy > sell else Direction.SHORT
