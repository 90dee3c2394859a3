"""Intents are durable before orders leave; what protects never waits long; what was not sent says so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from decimal import Decimal
from typing import Any

import pytest

from bot.domain.errors import JournalError
from bot.domain.events import Event
from bot.domain.orders import CancelOrder, Order, OrderCommand, OrderStatus, OrderType, OrderUpdate, PlaceOrder
from bot.domain.values import Side
from bot.venues.executor import Executor
from tests.build import BTC


def place(name: str, leg: str) -> PlaceOrder:
    order = Order(
        client_order_id=name,
        instrument=BTC,
        signal_id="S1",
        position_id="P1",
        leg=leg,
        side=Side.BUY,
        type=OrderType.MARKET,
        quantity=Decimal(1),
        reduce_only=leg != "entry",
    )
    return PlaceOrder(order=order)


class SlowJournal:
    """Commits when it is told to."""

    def __init__(self) -> None:
        self.commit = asyncio.Event()
        self.failure: str | None = None

    def put(self, events: Sequence[Event]) -> None: ...

    async def committed(self, seq: int) -> None:
        await self.commit.wait()
        if self.failure:
            raise JournalError(self.failure)


class Bench:
    """An executor between a slow journal and a venue that only takes note."""

    def __init__(self, **waits: float | None) -> None:
        self.journal = SlowJournal()
        self.sent: list[str] = []
        self.left = asyncio.Event()
        self.reports: list[OrderUpdate] = []
        self.name = "noted"
        self.executor = Executor(self, self.journal, self.reports.append, **waits)

    def send(self, command: OrderCommand, decided_ns: int) -> None:
        self.sent.append(command.order.client_order_id)
        self.left.set()

    def told(self) -> list[tuple[str, str]]:
        return [(report.client_order_id, report.status.value) for report in self.reports]


def scenario(of: Callable[[Bench], Coroutine[Any, Any, None]], **waits: float | None) -> Bench:
    async def run() -> Bench:
        bench = Bench(**waits)
        lanes = [asyncio.ensure_future(bench.executor.run_lane(lane)) for lane in ("protective", "entry")]
        try:
            await of(bench)
        finally:
            for lane in lanes:
                lane.cancel()
            await asyncio.gather(*lanes, return_exceptions=True)
        return bench

    return asyncio.run(run())


async def turns(count: int = 20) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def test_an_entry_leaves_only_once_its_intent_is_durable() -> None:
    async def script(bench: Bench) -> None:
        bench.executor.hand_over([place("E1", "entry")], 5, 0)
        await turns()
        assert bench.sent == []
        bench.journal.commit.set()
        await bench.executor.drained()

    bench = scenario(script, entry_wait_s=60)
    assert bench.sent == ["E1"]
    assert bench.told() == [("E1", "SENT")]


def test_an_entry_whose_intent_is_not_durable_in_time_is_dropped_and_says_why() -> None:
    async def script(bench: Bench) -> None:
        bench.executor.hand_over([place("E1", "entry")], 5, 0)
        await bench.executor.drained()

    bench = scenario(script, entry_wait_s=0.01)
    assert bench.sent == []
    (report,) = bench.reports
    assert report.status is OrderStatus.DROPPED
    assert report.status.terminal
    assert report.reason == "intent not durable in time: the commit took too long"


def test_a_failed_journal_drops_entries_but_lets_protection_through_marked_late() -> None:
    async def script(bench: Bench) -> None:
        bench.journal.failure = "disk full"
        bench.journal.commit.set()
        bench.executor.hand_over([place("E1", "entry"), place("S1", "stop")], 5, 0)
        await bench.executor.drained()

    bench = scenario(script)
    assert bench.sent == ["S1"]
    assert sorted(bench.told()) == [("E1", "DROPPED"), ("S1", "SENT")]
    assert all("disk full" in report.reason for report in bench.reports)


def test_protection_overtakes_an_entry_that_waits_for_the_disk() -> None:
    async def script(bench: Bench) -> None:
        bench.executor.hand_over([place("E1", "entry")], 5, 0)
        bench.executor.hand_over([place("S1", "stop")], 6, 0)
        async with asyncio.timeout(60):
            await bench.left.wait()
        assert bench.sent == ["S1"]
        await turns()
        assert bench.reports[0].reason.startswith("intent not durable in time")

    scenario(script, protective_wait_s=0.01, entry_wait_s=60)


def test_commands_of_a_lane_leave_in_the_order_they_were_decided() -> None:
    async def script(bench: Bench) -> None:
        for number in range(20):
            bench.executor.hand_over([place(f"S{number:02d}", "tier_1"), place(f"X{number:02d}", "close")], number, 0)
        bench.journal.commit.set()
        await bench.executor.drained()

    sent = scenario(script).sent
    assert sent == [f"{letter}{number:02d}" for number in range(20) for letter in "SX"]


@pytest.mark.parametrize("awaited", [True, False])
def test_replay_and_run_hand_over_in_the_same_order(awaited: bool) -> None:
    commands: list[OrderCommand] = [
        place("E1", "entry"),
        place("S1", "stop"),
        CancelOrder(order=place("T1", "tier_1").order),
    ]

    async def script(bench: Bench) -> None:
        bench.journal.commit.set()
        bench.executor.hand_over(commands, 1, 0)
        if awaited:
            await bench.executor.drained()
        else:
            bench.executor.send_now()

    bench = scenario(script)
    assert bench.sent == ["S1", "T1", "E1"]
    assert [report.command for report in bench.reports] == ["place", "cancel", "place"]


def test_the_cancel_of_an_entry_stays_behind_it_and_is_never_dropped() -> None:
    """Else an entry that waits for the disk would leave after its own cancel was refused as unknown."""
    entry = place("E1", "entry")

    async def durable(bench: Bench) -> None:
        bench.executor.hand_over([entry], 5, 0)
        bench.executor.hand_over([CancelOrder(order=entry.order)], 6, 0)
        await turns()
        assert bench.sent == []
        bench.journal.commit.set()
        await bench.executor.drained()

    async def too_late(bench: Bench) -> None:
        bench.executor.hand_over([entry], 5, 0)
        bench.executor.hand_over([CancelOrder(order=entry.order)], 6, 0)
        await bench.executor.drained()

    told = [
        (report.command, report.status.value)
        for report in scenario(durable, protective_wait_s=0.0, entry_wait_s=60).reports
    ]
    assert told == [("place", "SENT"), ("cancel", "SENT")]
    told = [(report.command, report.status.value) for report in scenario(too_late, entry_wait_s=0.01).reports]
    assert told == [("place", "DROPPED"), ("cancel", "SENT")]


def test_on_a_recording_the_order_of_sending_does_not_depend_on_the_disk() -> None:
    """A commit that ends between two askings: whoever asks second learns of it first."""

    async def script(bench: Bench) -> None:
        bench.executor.hand_over([place("E1", "entry"), place("S1", "stop")], 5, 0)
        committed, asked = bench.journal.committed, iter(range(1))

        async def only_the_first_waits(seq: int) -> None:
            if next(asked, None) is not None:
                await committed(seq)

        bench.journal.committed = only_the_first_waits  # type: ignore[method-assign]
        await turns()
        bench.journal.commit.set()
        await bench.executor.drained()

    assert scenario(script, protective_wait_s=None, entry_wait_s=None).sent == ["S1", "E1"]
