"""Small scenarios for tests of the synthetic market."""

from __future__ import annotations

from typing import Any

from bot.domain.values import NS
from bot.sim.presets import BTC
from bot.sim.price import Price
from bot.sim.scenario import BAR_S, Motion, Scenario, Segment

START_NS = 1_760_054_400 * NS


def scenario(**fields: Any) -> Scenario:
    """Ten quiet minutes of BTC, moving at random; without history, for that takes most of the time."""
    defaults: dict[str, Any] = {
        "name": "test",
        "seed": 1,
        "coins": (BTC,),
        "seconds": 600,
        "start_ns": START_NS,
        "segments": (Segment(seconds=36_000, motion=Motion.RANDOM),),
        "history": Segment(seconds=BAR_S, motion=Motion.RANDOM),
    }
    return Scenario(**(defaults | fields))


def moving(motion: Motion, **fields: Any) -> tuple[Segment, ...]:
    return (Segment(seconds=36_000, motion=motion, **fields),)


def closes(price: Price, count: int, factors: Any) -> list[int]:
    """Of that many bars of 300 steps of a second."""
    found = []
    for _ in range(count):
        for _ in range(BAR_S):
            price.ticks += price.step(factors())
        found.append(price.ticks)
    return found
