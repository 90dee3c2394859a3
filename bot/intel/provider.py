"""What a provider of readings is to the rest of the program, and the way of what it says into the engine.

A provider (CoinGlass, Deribit, a venue's statistics) runs beside the engine, which never waits for it. What it gives and what it
complains about become frames, so that a recording holds both.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Protocol

import msgspec

from bot.domain.frames import IntelProblem, Source
from bot.domain.reading import Reading

AGAIN_S = 60.0
WAITING = 1000  # readings and problems on their way into the engine, at most


class Provider(Protocol):
    async def run(self) -> None:
        """Until it is canceled."""
        ...

    def resume(self, reading: Reading[Any]) -> None:
        """One of its own from before a restart, still young: a failure must not hide it."""
        ...

    def answer(self) -> dict[str, Any]:
        """What it has asked and will: `provider` is its name, `asked` a list of `{readings: [[name, key], ...], last_s, next_s,
        failures, problem}`; what else it tells is its own."""
        ...


async def run_again(
    provider: Provider, report: Callable[[str], None], sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
) -> None:
    """Until it is canceled: an error that nobody expected ends the provider's turn, not the engine's. What the error says may hold what
    must not be told; where it came from does not."""
    while True:
        try:
            await provider.run()
            problem = "it ended"
        except Exception as fault:  # noqa: BLE001  guards go on without it, and trading does
            error = _first(fault)
            at = traceback.extract_tb(error.__traceback__)[-1]
            problem = f"{type(error).__name__} in {Path(at.filename).name} line {at.lineno}"
        report(f"a fault of this program: {problem}; it begins again in {AGAIN_S:g} s")
        await sleep(AGAIN_S)


def _first(fault: Exception) -> Exception:
    """Of those that a group of tasks ended with."""
    while isinstance(fault, ExceptionGroup):
        fault = fault.exceptions[0]
    return fault


class Inlet:
    """What providers say, in order, until the engine takes it. They cannot wait: what comes when it is full is lost and counted."""

    def __init__(self, put: Callable[[str, bytes], Awaitable[None]]) -> None:
        self._put = put
        self._waiting: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue(WAITING)
        self.lost = 0

    def reading(self, raw: bytes) -> None:
        """The bytes of a `reading` frame."""
        self._offer(Source.READING, raw)

    def problem(self, provider: str) -> Callable[[str], None]:
        """For what goes wrong with this provider."""

        def report(problem: str) -> None:
            self._offer(Source.INTEL, msgspec.json.encode(IntelProblem(provider=provider, problem=problem)))

        return report

    async def run(self) -> None:
        while True:
            await self._put(*await self._waiting.get())

    def _offer(self, source: str, raw: bytes) -> None:
        try:
            self._waiting.put_nowait((source, raw))
        except asyncio.QueueFull:
            self.lost += 1
