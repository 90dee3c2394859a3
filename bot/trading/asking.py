"""What guards would say to a long at every trade of a recording, counted: how often each would have let one through.

Nobody trades on it and nothing is journaled. `runtime/intake.py` tells of each trade that counts, once it is applied. A guard is
asked in full, as the gate asks it; those that look at nothing but taker volumes (`TakerFilter`) are asked by their own rule on
the sums after each trade of a run, as long as no other source says something about them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal

from bot.domain.instrument import exact
from bot.domain.ports import Guard, View
from bot.domain.trades import TradeRun
from bot.domain.values import BLOCK, LONG, PASS, Outcome, Signal
from bot.market.flow import TakerFlow
from bot.market.readings import ReadingStore
from bot.trading.guards.base import LongFilterParams, TakerFilter


class Asking:
    """`answers` counts outcomes by guard's name."""

    def __init__(self, guards: Sequence[Guard], view: View, store: ReadingStore) -> None:
        self._guards, self._view, self._store = tuple(guards), view, store
        self._filters = [guard for guard in guards if isinstance(guard, TakerFilter)]
        self.answers: dict[str, Counter[Outcome]] = {guard.name: Counter() for guard in guards}

    def told(self) -> dict[str, dict[str, int]]:
        """Plain words and numbers, outcomes in alphabetical order."""
        return {
            name: {outcome.value: said[outcome] for outcome in sorted(said) if said[outcome]}
            for name, said in self.answers.items()
        }

    def in_bulk(self, instrument: str) -> bool:
        """Whether taker volumes of our own trades are all that the guards would look at."""
        return len(self._filters) == len(self._guards) and not self._store.holds("taker_5m", instrument)

    def after(self, instrument: str) -> None:
        idea = self._idea(instrument)
        for guard in self._guards:
            self.answers[guard.name][guard.check(idea, self._view).outcome] += 1

    def after_each(self, flow: TakerFlow, run: TradeRun, count: int) -> None:
        times, worths = run.times[run.at : run.at + count], run.worths[run.at : run.at + count]
        for guard in self._filters:
            self._judge(guard, flow, worths, times)

    def _judge(
        self, guard: TakerFilter[LongFilterParams], flow: TakerFlow, worths: Sequence[int], times: Sequence[int]
    ) -> None:
        """Own volumes are as old as the trade just taken, so never stale: what they tell is judged, or nothing is known."""
        blocks, direction = guard.blocks, LONG
        buy, sell = flow.totals(times[0])
        whole, told, unknown, blocked = bisect_left(times, flow.known_from_ns(times[0])), False, 0, 0
        for index, worth in enumerate(worths):
            if worth > 0:
                buy += worth
            else:
                sell -= worth
            if not told:  # once they do, sums tell to the end of the second: in it they only grow
                told = index >= whole and flow.tells(buy, sell)
            if not told:
                unknown += 1
            elif blocks(direction, buy, sell):
                blocked += 1
        answers = self.answers[guard.name]
        answers[guard.on_missing] += unknown
        answers[BLOCK] += blocked
        answers[PASS] += len(times) - unknown - blocked

    def _idea(self, instrument: str) -> Signal:
        """An entry at the last price; there is one, for a trade has just been taken."""
        last = self._view.market(instrument).last
        price = Decimal(1) if last is None else exact(last)
        return Signal(
            signal_id="asked",
            instrument=instrument,
            direction=LONG,
            strategy="asked",
            strength=0.5,
            price=price,
            ts_ns=self._view.now_ns,
        )
