"""The exchange with faults that a test writes down, over a market that it moves on by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from bot.sim.faults import Fault, Kind, checked
from bot.sim.server.faults import Faults
from tests.sim.server.benches import START_MS, Bench, bench

BEGUN_S = 65.0
"""A bench is at this second of its market when a test gets it."""


def fault(kind: str, **fields: Any) -> Fault:
    """At once, as soon as time moves."""
    return checked(Fault(at_s=fields.pop("at_s", BEGUN_S), kind=Kind(kind), **fields))


@asynccontextmanager
async def faulty(*faults: Fault, symbols: int = 2) -> AsyncIterator[Bench]:
    """All faults at 65 s have begun."""
    async with bench(symbols, seconds=BEGUN_S - 1, faults=Faults(faults, START_MS)) as on:
        on.move(1.0)
        yield on
