"""What stands between providers and the engine: faults that nobody expected, and what is said faster than it is taken."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from bot.domain.frames import IntelProblem, Source
from bot.domain.reading import Reading
from bot.intel.provider import AGAIN_S, WAITING, Inlet, run_again

SECRET = "0123456789abcdef"


class Faulty:
    def __init__(self) -> None:
        self.runs = 0

    async def run(self) -> None:
        self.runs += 1
        if self.runs < 3:
            async with asyncio.TaskGroup() as tasks:  # as providers run, one task for each thing they ask
                tasks.create_task(self._ask())
        await asyncio.Event().wait()

    async def _ask(self) -> None:
        raise KeyError(SECRET)

    def resume(self, reading: Reading[Any]) -> None: ...

    def answer(self) -> dict[str, Any]:
        return {}


async def test_a_fault_ends_neither_the_engine_nor_the_provider_and_tells_no_secret() -> None:
    provider, told, waits = Faulty(), list[str](), list[float]()

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        await asyncio.sleep(0)

    task = asyncio.ensure_future(run_again(provider, told.append, sleep))
    async with asyncio.timeout(20):
        while provider.runs < 3:  # noqa: ASYNC110  it has no event for this
            await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled() and waits == [AGAIN_S] * 2
    assert len(told) == 2 and "KeyError in test_provider.py line" in told[0]
    assert SECRET not in "".join(told)


async def test_what_is_said_comes_in_order_and_what_finds_no_room_is_counted() -> None:
    taken: list[tuple[str, bytes]] = []
    free = asyncio.Event()

    async def put(source: str, raw: bytes) -> None:
        await free.wait()
        taken.append((source, raw))

    inlet = Inlet(put)
    report = inlet.problem("deribit")
    for number in range(WAITING - 1):
        inlet.reading(b"%d" % number)
    report("no answer")
    inlet.reading(b"too many")
    assert inlet.lost == 1
    free.set()
    task = asyncio.ensure_future(inlet.run())
    async with asyncio.timeout(20):
        while len(taken) < WAITING:  # noqa: ASYNC110  it has no event for this
            await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert [raw for source, raw in taken if source == Source.READING] == [b"%d" % n for n in range(WAITING - 1)]
    assert taken[-1][0] == Source.INTEL
    assert msgspec.json.decode(taken[-1][1], type=IntelProblem) == IntelProblem(provider="deribit", problem="no answer")
