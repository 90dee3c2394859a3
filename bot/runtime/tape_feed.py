"""Plays a tape into the data lane at its own pace times `speed`, or as fast as the engine takes it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from bot.domain.frames import Frame
from bot.runtime.clock import ScaledClock
from bot.runtime.inbox import Inbox

SLACK_S = 0.002  # frames this close together are released together: a timer is not finer anyway


class TapeFeed:
    """Time begins at `origin_ns`; `on_end` is awaited once after the last frame has been handed in."""

    def __init__(
        self, frames: Iterable[Frame], inbox: Inbox, speed: float, origin_ns: int, on_end: Callable[[], Awaitable[None]]
    ) -> None:
        self._origin_ns = origin_ns
        self._frames, self._inbox, self._speed, self._on_end = frames, inbox, speed, on_end

    async def run(self) -> None:
        pace = ScaledClock(self._origin_ns, self._speed)
        for frame in self._frames:
            wait_s = pace.wait_s(frame.recv_ns)
            if wait_s > SLACK_S:
                await asyncio.sleep(wait_s)
            if not self._inbox.offer_data(frame):
                await self._inbox.put_data(frame)
        await self._on_end()
