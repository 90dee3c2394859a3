"""Trades of the time before a stream began, joined to those that have come since.

They are asked for once the stream delivers, so they come late. Until then whale flow counts the live trades as ever, while what it was
before them and they themselves are kept. Then flow begins anew from there: the past, and the live trades once more. The venue numbers
its trades one by one, so one that is missing in between is seen; only what comes after it is unbroken then.

`market/state.py` feeds it on the hot path. It asks nobody; `venues/past_feed.py` does.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bot.domain.trades import PastTrade
from bot.market.flow import MINUTE_NS, WhaleFlow, micro_usd

AWAITED_NS = 10 * MINUTE_NS
MOST_HELD = 50_000

Live = tuple[int, int, bool, int, int]
"""Number of the trade, micro-USD, whether the taker bought, the venue's stamp and our time."""


class PastJoin:
    """Of one instrument's `flow`. While `waiting` every trade goes through here; else to `flow` itself, and its number to `last_id`."""

    def __init__(self, flow: WhaleFlow) -> None:
        self._flow = flow
        # as it was when the stream broke; None: no past is awaited any more
        self._before: WhaleFlow | None = flow.copy()
        self._break_id: int | None = None  # of the last trade in it
        self._held: list[Live] = []
        self._past: tuple[PastTrade, ...] = ()  # no live trade has followed yet
        self.last_id: int | None = None

    @property
    def waiting(self) -> bool:
        return self._before is not None

    def gap(self) -> None:
        """The stream broke. Call it before `flow.gap()`: a past that reaches the break mends it."""
        if self._before is None:
            self._before, self._break_id = self._flow.copy(), self.last_id
        self._held, self._past = [], ()

    def add(self, trade_id: int, micro: int, taker_buys: bool, exch_ns: int, now_ns: int) -> None:
        self._flow.add(micro, taker_buys, exch_ns, now_ns)
        self.last_id = trade_id
        self._held.append((trade_id, micro, taker_buys, exch_ns, now_ns))
        self._check()

    def add_all(self, ids: Sequence[int], worths: Sequence[int], stamps: Sequence[int], times: Sequence[int]) -> None:
        """Like `add` for each, in the columns of `WhaleFlow.add_all`."""
        self._flow.add_all(worths, stamps, times)
        self.last_id = ids[-1]
        self._held += [
            (trade_id, abs(worth), worth > 0, exch_ns, now_ns)
            for trade_id, worth, exch_ns, now_ns in zip(ids, worths, stamps, times, strict=True)
        ]
        self._check()

    def take(self, past: Iterable[PastTrade]) -> None:
        """Oldest first, numbered without a hole. What comes too late changes nothing."""
        if self._before is not None:
            self._past = tuple(past)
            self._check()

    def _check(self) -> None:
        """Join as soon as a live trade is newer than the past: before that, nothing says whether one is missing."""
        held = self._held
        if not held:
            return
        if self._past and held[-1][0] > self._past[-1].trade_id:
            self._join()
            self._forget()
        elif held[-1][4] - held[0][4] > AWAITED_NS or len(held) > MOST_HELD:
            self._forget()

    def _join(self) -> None:
        flow, before, held, last_id = self._flow, self._before, self._held, self._past[-1].trade_id
        assert before is not None
        flow.become(before)
        missed = [trade for trade in self._past if self._break_id is None or trade.trade_id > self._break_id]
        if missed and self._break_id is not None and missed[0].trade_id != self._break_id + 1:
            flow.gap()
        if not missed and self._break_id is not None:
            last_id = self._break_id
        self._replay(missed)
        followed = [live for live in held if live[0] > last_id]
        if not followed or followed[0][0] != last_id + 1:
            flow.gap()
        for _, micro, taker_buys, exch_ns, now_ns in followed:
            flow.add(micro, taker_buys, exch_ns, now_ns)

    def _replay(self, missed: Iterable[PastTrade]) -> None:
        """At the times at which they would have reached us: the venue's clock is not ours."""
        behind_ns = min(now_ns - exch_ns for *_, exch_ns, now_ns in self._held)
        latest_ns = self._held[0][4]
        at_ns = min(latest_ns, self._flow.last_ns or 0)
        for trade in missed:
            at_ns = min(latest_ns, max(at_ns, trade.exch_ns + behind_ns))
            self._flow.add(micro_usd(trade.price, trade.quantity), trade.taker_buys, trade.exch_ns, at_ns)

    def _forget(self) -> None:
        self._before, self._held, self._past = None, [], ()
