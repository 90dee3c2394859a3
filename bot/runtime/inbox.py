"""The engine's inbox: two bounded FIFO lanes, account and operator frames first, then data.

Nothing is merged or dropped. A full data lane makes its feed wait (the socket is then not read, and the feed's age shows it);
an account frame is never refused, but passing the bound is remembered in `overflowed`.
"""

from __future__ import annotations

import asyncio
from collections import deque

from bot.domain.frames import Frame
from bot.domain.trades import TradeRun

DATA_BOUND = 4096
ACCOUNT_BOUND = 10_000


class Inbox:
    def __init__(self, *, data_bound: int = DATA_BOUND, account_bound: int = ACCOUNT_BOUND) -> None:
        self._account: deque[Frame] = deque()
        self._data: deque[Frame | TradeRun] = deque()
        self._data_bound, self._account_bound = data_bound, account_bound
        self._arrived = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self.data_high_water = 0
        self.account_high_water = 0
        self.overflowed = False

    def put_account(self, frame: Frame) -> None:
        self._account.append(frame)
        depth = len(self._account)
        if depth > self.account_high_water:
            self.account_high_water = depth
            self.overflowed = depth > self._account_bound
        self._arrived.set()

    def offer_data(self, frame: Frame | TradeRun) -> bool:
        """Put a data frame, or a run of many, if there is room; False asks the feed to wait for it."""
        depth = len(self._data)
        if depth >= self._data_bound:
            return False
        self._data.append(frame)
        if depth >= self.data_high_water:
            self.data_high_water = depth + 1
        self._arrived.set()
        return True

    async def put_data(self, frame: Frame) -> None:
        while not self.offer_data(frame):
            self._room.clear()
            await self._room.wait()

    def head(self) -> Frame | TradeRun | None:
        """The frame that `pop` would give."""
        if self._account:
            return self._account[0]
        return self._data[0] if self._data else None

    def pop(self) -> Frame:
        """The frame at the head; a run is only removed, by whoever has taken all of it."""
        if self._account:
            return self._account.popleft()
        frame: Frame = self._data.popleft()  # type: ignore[assignment]
        if not self._room.is_set() and len(self._data) <= self._data_bound // 2:
            self._room.set()
        return frame

    def depths(self) -> tuple[int, int]:
        """Frames waiting: (account, data)."""
        return len(self._account), len(self._data)

    async def arrival(self, timeout_s: float | None) -> None:
        """Wait until a frame is there, or for `timeout_s`; returns either way."""
        self._arrived.clear()
        if self.head() is not None:
            return
        try:
            async with asyncio.timeout(timeout_s):
                await self._arrived.wait()
        except TimeoutError:
            return
