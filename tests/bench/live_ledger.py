"""What the engine's loop feels while `GET /api/guards` is computed from a long journal: how late it wakes, in wall time.

The journal is a real one, on disk, with its writer; the thread switches are those `run` sets. First the whole history is folded, as on
the first request, then it is scored in the finest cut. What the same loop is late by while nothing is computed, because the machine is
busy with something else, is taken off.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable
from pathlib import Path
from random import Random
from time import perf_counter, sleep

import uvloop
from msgspec.structs import replace

from bot.api.ledger import LiveLedger
from bot.app.run import SWITCH_S
from bot.journal.writer import Journal
from bot.learning.table import Question, question
from tests.bench.ledger import GUARDS, add_signal
from tests.bench.measure import Row, at_most, percentile, render
from tests.bench.processes import empty_folder
from tests.learning.histories import History

EVENTS = 100_000
EVERY_S = 0.001
IDLE_S = 2.0
GOAL_MS = 3.0  # of the 99th percentile


def measure() -> list[Row]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_S)
    try:
        with empty_folder() as folder:
            _write(folder)
            folding, scoring = uvloop.run(_asked(folder))
    finally:
        sys.setswitchinterval(before)
    what = f"loop lag over that of an idle one, p99, while the ledger of {EVENTS:,} events is"
    return [
        at_most(f"{what} folded", (folding,), "ms", (GOAL_MS,)),
        at_most(f"{what} scored", (scoring,), "ms", (GOAL_MS,)),
    ]


def _write(folder: Path) -> None:
    journal, history, random, written = (
        Journal.open(folder, account="main", mode="paper"),
        History(GUARDS),
        Random(1),
        0,
    )
    while written < EVENTS:
        add_signal(history, random)
        journal.put([replace(event, seq=written + i) for i, event in enumerate(history.events, 1)])
        written += len(history.events)
        history.events.clear()
        while journal.stats().depth > 5_000:
            sleep(EVERY_S)
    journal.close(60)


async def _asked(folder: Path) -> tuple[float, float]:
    journal = Journal.open(folder, account="main", mode="paper")
    ledger = LiveLedger(journal, lambda: 0)
    try:
        idle_ms = await _lag_ms(asyncio.sleep(IDLE_S))
        folding_ms = await _lag_ms(_answered(ledger, question()))
        return folding_ms - idle_ms, await _lag_ms(_answered(ledger, question(["strategy", "symbol"]))) - idle_ms
    finally:
        ledger.close()
        journal.close()


async def _answered(ledger: LiveLedger, asked: Question) -> None:
    while "computing" in await ledger.guards(asked):
        pass


async def _lag_ms(meanwhile: Awaitable[None]) -> float:
    late_ms: list[float] = []

    async def wakes() -> None:
        while True:
            began = perf_counter()
            await asyncio.sleep(EVERY_S)
            late_ms.append(1000 * (perf_counter() - began - EVERY_S))

    waking = asyncio.create_task(wakes())
    await meanwhile
    waking.cancel()
    return percentile(late_ms, 0.99)


if __name__ == "__main__":
    print(render(measure()))
