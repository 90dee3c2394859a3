"""Clocks. Whoever needs the time is given one; nothing else in the program reads it.

`RealClock` is the wall clock at start plus the monotonic time since: it is never stepped. `ScaledClock` runs that faster or
slower from a given origin. `TapeClock` stands at the time of the frame last taken: on a recording, time is what the tape says.
"""

from __future__ import annotations

import time

from bot.domain.values import NS


class RealClock:
    speed = 1.0

    def __init__(self) -> None:
        self._offset_ns = time.time_ns() - time.monotonic_ns()

    def now_ns(self) -> int:
        return self._offset_ns + time.monotonic_ns()

    def wait_s(self, until_ns: int) -> float:
        """Wall seconds until this clock shows `until_ns`; not negative."""
        return max(0.0, (until_ns - self.now_ns()) / NS / self.speed)


class ScaledClock(RealClock):
    """Starts at `origin_ns` now and runs `speed` times as fast as the wall."""

    def __init__(self, origin_ns: int, speed: float) -> None:
        self._origin_ns, self.speed = origin_ns, speed
        self._started_ns = time.monotonic_ns()

    def now_ns(self) -> int:
        return self._origin_ns + int((time.monotonic_ns() - self._started_ns) * self.speed)


class TapeClock:
    def __init__(self) -> None:
        self._now_ns = 0

    def advance(self, now_ns: int) -> None:
        self._now_ns = max(self._now_ns, now_ns)

    def now_ns(self) -> int:
        return self._now_ns
