"""How late the event loop is: what anything that waits its turn in it waits too long.

Measured by sleeping and looking how much longer that took. `app/run.py` runs it beside the engine; Health shows it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

EVERY_S = 0.25
KEPT = 240  # a minute


class LoopLag:
    def __init__(self, clock: Callable[[], float] | None = None) -> None:
        """`clock` in seconds; None: the loop's."""
        self._clock = clock
        self._late_ms: deque[float] = deque(maxlen=KEPT)

    async def run(self) -> None:
        clock = self._clock or asyncio.get_running_loop().time
        while True:
            before_s = clock()
            await asyncio.sleep(EVERY_S)
            self.add(clock() - before_s)

    def add(self, took_s: float) -> None:
        self._late_ms.append(max(0.0, took_s - EVERY_S) * 1e3)

    def answer(self) -> dict[str, float] | None:
        """Milliseconds of the last minute; None before the first measurement."""
        if not self._late_ms:
            return None
        late = sorted(self._late_ms)
        return {"p50": late[len(late) // 2], "p99": late[-1 - len(late) // 100], "max": late[-1]}
