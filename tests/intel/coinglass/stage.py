"""The provider against the local CoinGlass on a clock that only moves when the provider waits.

One answer is waited for at a time, so that no time passes while a socket works. `Purse` stands for the shared budget: it
spaces calls on the same clock, and another program's calls can be put into it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from pydantic import SecretStr

from bot.domain.instrument import Instrument
from bot.domain.reading import Reading
from bot.domain.values import NS
from bot.intel.coinglass.poller import CoinGlass
from bot.intel.params import CoinGlassParams
from bot.market.readings import ReadingStore, decode_reading
from tests.build import instrument
from tests.servers.coinglass import KEY, CoinGlassServer, coinglass_server

T0 = 1_795_132_800 * NS  # 2026-11-20, the day of the fixtures
BTC, ETH = instrument("BTCUSDT"), instrument("ETHUSDT")


class Clock:
    """Moves only when somebody sleeps on it, and stands still at the end of a run."""

    def __init__(self, start_ns: int = T0) -> None:
        self.ns = self._end_ns = start_ns
        self._going, self.stopped = asyncio.Event(), asyncio.Event()

    def now_ns(self) -> int:
        return self.ns

    def go(self, seconds: float) -> None:
        self._end_ns = self.ns + int(seconds * NS)
        self.stopped.clear()
        self._going.set()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)
        self.ns += max(1, round(seconds * NS))
        if self.ns >= self._end_ns:
            self._going.clear()
            self.stopped.set()
        await self._going.wait()


class Purse:
    """Calls at even spacing."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.per_minute = 24
        self._free_ns = 0
        self.taken: list[int] = []

    async def take(self, priority: int = 0) -> None:
        await self._clock.sleep(max(0, self._free_ns - self._clock.ns) / NS)
        self._free_ns = self._clock.ns + 60 * NS // self.per_minute
        self.taken.append(self._clock.ns)

    def set_per_minute(self, calls: int) -> None:
        self.per_minute = calls

    def spent(self) -> tuple[int, int]:
        since = self._clock.ns - 60 * NS
        return sum(at > since for at in self.taken), self.per_minute


class Stage:
    def __init__(self, server: CoinGlassServer, clock: Clock) -> None:
        self.server, self.clock, self.purse = server, clock, Purse(clock)
        self.frames: list[Reading[Any]] = []
        self.reports: list[str] = []
        self.store = ReadingStore()
        self.provider: CoinGlass
        self._task: asyncio.Task[None] | None = None

    def open(self, instruments: list[Instrument] | None = None, key: str = KEY, **params: Any) -> CoinGlass:
        wanted = {"base_url": self.server.url, "at_once": 1, "timeout_s": 5.0} | params
        self.provider = CoinGlass(
            instruments or [BTC],
            CoinGlassParams(**wanted),
            SecretStr(key),
            self.purse,
            self._put,
            self.reports.append,
            self.clock.now_ns,
            self.clock.sleep,
            speed=1e6,
        )
        return self.provider

    def _put(self, raw: bytes) -> None:
        reading = decode_reading(raw, self.clock.ns)
        self.frames.append(reading)
        self.store.put(reading)

    async def run(self, seconds: float) -> None:
        """This much time of the clock."""
        self.clock.go(seconds)
        if self._task is None:
            self._task = asyncio.create_task(self.provider.run())
        stopped = asyncio.create_task(self.clock.stopped.wait())
        async with asyncio.timeout(60):
            await asyncio.wait([self._task, stopped], return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if self._task.done():
            self._task.result()

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def best(self, name: str, key: str = BTC.id) -> Reading[Any]:
        return self.store.best(name, key, self.clock.ns)

    def values(self, name: str) -> list[Reading[Any]]:
        return [reading for reading in self.frames if reading.name == name and reading.value is not None]

    def payloads(self, name: str) -> list[Any]:
        return [reading.value for reading in self.values(name)]

    def excuses(self, name: str) -> list[str]:
        return [reading.reason for reading in self.frames if reading.name == name and reading.value is None]


@asynccontextmanager
async def stage(prepare: Callable[[CoinGlassServer], None] | None = None) -> AsyncIterator[Stage]:
    clock = Clock()
    async with coinglass_server(clock.now_ns) as server:
        if prepare:
            prepare(server)
        made = Stage(server, clock)
        try:
            yield made
        finally:
            await made.close()
