"""The engine's timers: a heap ordered by (due, number), so that equal times fire in the order they were set.

Those of a simulated venue go before all others of the same time: when it is told of an order hangs on the disk, and on a live
engine that may be in the middle of a frame. What fires first must not.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection

from bot.domain.messages import TimerFired


class Timers:
    def __init__(self, first: Collection[str] = ()) -> None:
        """`first` are the owners whose timers go before others that are due at the same time."""
        self._first = frozenset(first)
        self._heap: list[tuple[int, bool, int, str, str]] = []
        self._live: dict[tuple[str, str], int] = {}
        self._number = 0

    def set(self, desk: str, key: str, due_ns: int) -> None:
        """A later call with the same (desk, key) replaces the earlier timer."""
        self._number += 1
        self._live[desk, key] = self._number
        heapq.heappush(self._heap, (due_ns, desk not in self._first, self._number, desk, key))

    def cancel(self, desk: str, key: str) -> None:
        self._live.pop((desk, key), None)

    def cancel_all(self, desk: str) -> None:
        for name in [name for name in self._live if name[0] == desk]:
            del self._live[name]

    def next_due(self) -> int | None:
        heap = self._heap
        while heap:
            due_ns, _, number, desk, key = heap[0]
            if self._live.get((desk, key)) == number:
                return due_ns
            heapq.heappop(heap)
        return None

    def pop(self) -> TimerFired:
        """The timer that `next_due` spoke of."""
        due_ns, _, _, desk, key = heapq.heappop(self._heap)
        del self._live[desk, key]
        return TimerFired(desk=desk, key=key, due_ns=due_ns)
