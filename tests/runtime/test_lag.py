from __future__ import annotations

import asyncio
import time
from contextlib import suppress

import pytest

from bot.runtime.lag import EVERY_S, KEPT, LoopLag


def test_it_tells_how_late_the_last_minute_was() -> None:
    lag = LoopLag()
    assert lag.answer() is None
    for late_ms in (500.0, *range(KEPT)):  # the first is forgotten
        lag.add(EVERY_S + late_ms / 1e3)
    answer = lag.answer()
    assert answer is not None
    assert (
        answer["p50"] == pytest.approx(120)
        and answer["p99"] == pytest.approx(237)
        and answer["max"] == pytest.approx(239)
    )


def test_a_clock_set_back_is_not_a_gain() -> None:
    lag = LoopLag()
    lag.add(-3.0)
    assert lag.answer() == {"p50": 0.0, "p99": 0.0, "max": 0.0}


async def test_a_loop_that_is_held_up_is_late() -> None:
    lag = LoopLag()
    running = asyncio.create_task(lag.run())
    await asyncio.sleep(EVERY_S / 2)
    time.sleep(EVERY_S)  # noqa: ASYNC251  what is measured
    await asyncio.sleep(EVERY_S / 10)  # its turn comes at once: it is overdue
    answer = lag.answer()
    assert answer is not None and answer["max"] >= EVERY_S / 4 * 1e3
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
