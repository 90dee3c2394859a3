"""Which call to make next, so that as many readings as possible stay fresh under a budget. Pure; asked by a poller.

First what a guard lately could not judge for want of a reading, at most every other call; then the earliest deadline. Where that
leaves room in time, long-lived readings are asked before their deadlines come all together. Where the budget cannot keep all
fresh, those named first are kept, as many as it can, and the others share what these leave: a symbol whose readings are all
fresh always is worth more than two of which some are stale half of the time.

The pace of the budget is learned from calls that had to wait, so it is this process's share of it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from msgspec import Struct

from bot.domain.values import NS

LATELY_NS = 300 * NS  # a guard's abstention counts as long as this
_ANSWER_NS = NS  # what an answer may take, beside its turn
_LEFT, _LEAST_LEFT = 2, 0.025
_GOLDEN = 0.6180339887  # its multiples are spread evenly over the unit interval
_SAMPLES, _ENOUGH = 15, 5


class Want(Struct, frozen=True):
    """`call` names it; `serves` are the readings (name, key) that it gives. Asked every `refresh_s`, stale after `max_age_s`."""

    call: str
    serves: tuple[tuple[str, str], ...]
    refresh_s: float
    max_age_s: float


@dataclass(slots=True)
class _Row:
    want: Want
    target_ns: int  # the age at which it is asked again when there is a choice
    life_ns: int  # how long it may wait for its next call
    due_ns: int = 0
    stale_ns: int = 0  # when the reading goes stale, or went
    got_ns: int | None = None
    abstained_ns: int | None = None

    def needed_ns(self) -> int:
        """The latest time for the answer."""
        return max(self.stale_ns, self.due_ns)

    def overdue(self, now_ns: int) -> float:
        """In multiples of its own pace; what never came is more overdue than anything."""
        return float("inf") if self.got_ns is None else (now_ns - self.got_ns) / self.target_ns


class Scheduler:
    """Times in ns, of one clock. Of equals the one named first goes first. `per_minute`: calls that may be made, at first."""

    def __init__(self, wants: Iterable[Want], per_minute: float = 24.0) -> None:
        wants = list(wants)
        shortest_s = min((want.max_age_s for want in wants), default=0.0)
        self._rows = {
            want.call: _Row(want, _target_ns(want, index, shortest_s), max(1, _ns(want.max_age_s) - _ANSWER_NS))
            for index, want in enumerate(wants)
        }
        self._calls_per_ns = sum(1 / row.life_ns for row in self._rows.values())  # that keep all fresh
        self._shortest_ns = min((row.life_ns for row in self._rows.values()), default=1)
        self._call_ns = int(60 * NS / per_minute)
        self._waits: deque[int] = deque(maxlen=_SAMPLES)
        self._last_ns: int | None = None
        self._favoured = False  # the last call was for a guard that had abstained

    def next(self, now_ns: int) -> Want | None:
        """What to ask now; None: nothing is due."""
        due = [row for row in self._rows.values() if row.due_ns <= now_ns]
        if not due:
            return None
        kept = self._kept(now_ns)
        return self._chosen(due, kept, now_ns).want

    def due_ns(self) -> int | None:
        """When something next is."""
        return min((row.due_ns for row in self._rows.values()), default=None)

    def asked(self, call: str, now_ns: int) -> None:
        row = self._rows[call]
        self._learn(row, now_ns)
        self._favoured = _lately(row, now_ns)
        row.abstained_ns = None
        row.due_ns = now_ns + _ns(row.want.refresh_s)

    def got(self, call: str, observed_ns: int, now_ns: int) -> None:
        """Fresh until `observed_ns` + max age, due again after `refresh_s`."""
        row = self._rows[call]
        row.got_ns, row.due_ns = now_ns, now_ns + _ns(row.want.refresh_s)
        row.stale_ns = observed_ns + _ns(row.want.max_age_s)

    def failed(self, call: str, until_ns: int) -> None:
        """Not to be asked before then."""
        self._rows[call].due_ns = until_ns

    def abstained(self, name: str, key: str, now_ns: int) -> None:
        """A guard could not judge for want of this reading."""
        for row in self._rows.values():
            if (name, key) in row.want.serves and row.stale_ns <= now_ns:
                row.abstained_ns = now_ns

    # --- the choice ---------------------------------------------------------------------------------------------------

    def _chosen(self, due: list[_Row], kept: list[_Row], now_ns: int) -> _Row:
        keeping = set(map(id, kept))
        pressing = [row for row in due if id(row) in keeping]
        favoured = [row for row in due if _lately(row, now_ns)]
        ripe = [row for row in pressing if row.overdue(now_ns) >= 1.0]
        given_up = [row for row in due if id(row) not in keeping]
        wanted = max(favoured or ripe or given_up, key=lambda row: row.overdue(now_ns), default=None)
        earliest = min(pressing, key=lambda row: row.stale_ns, default=None)
        if wanted is None or earliest is None:
            return wanted or earliest or due[0]
        first = (favoured and not self._favoured) or self._affordable(wanted, kept, now_ns)
        return wanted if first else earliest

    def _kept(self, now_ns: int) -> list[_Row]:
        """What the budget can keep fresh, of those named first: each needs one call in each of its lives. Some calls of the
        shortest life are left for what comes between."""
        left = 1.0 - max(_LEAST_LEFT, _LEFT * self._call_ns / self._shortest_ns)
        if self._call_ns * self._calls_per_ns <= left:
            return list(self._rows.values())
        kept = []
        for row in self._rows.values():
            need = self._call_ns / row.life_ns
            if row.due_ns <= now_ns + row.life_ns and need <= left:
                left -= need
                kept.append(row)
        return kept

    def _affordable(self, wanted: _Row, kept: list[_Row], now_ns: int) -> bool:
        """Whether all the others that are kept still get their answers in time, one call after the other, after this one."""
        needed = sorted(row.needed_ns() for row in kept if row is not wanted)
        first_ns = now_ns + _ANSWER_NS
        return all(first_ns + turn * self._call_ns <= at_ns for turn, at_ns in enumerate(needed, start=1))

    def _learn(self, row: _Row, now_ns: int) -> None:
        """A call that was due when the last one left has waited for the budget, and for nothing else."""
        if self._last_ns is not None and row.due_ns <= self._last_ns < now_ns:
            self._waits.append(now_ns - self._last_ns)
            if len(self._waits) >= _ENOUGH:
                self._call_ns = sorted(self._waits)[len(self._waits) // 2]
        self._last_ns = now_ns


def _target_ns(want: Want, index: int, shortest_s: float) -> int:
    """Its life; of long lives up to half is given away, of each another part, because those that are first asked at the same
    time would else all go stale at the same time."""
    part = index * _GOLDEN % 1.0 / 2
    return _ns(want.max_age_s - part * (want.max_age_s - shortest_s))


def _lately(row: _Row, now_ns: int) -> bool:
    return row.abstained_ns is not None and now_ns - row.abstained_ns <= LATELY_NS


def _ns(seconds: float) -> int:
    return int(seconds * NS)
