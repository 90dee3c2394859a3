"""The executor: makes an order's intent durable, sends it, and reports what became of the sending as account frames.

Entries wait for their intent's commit (2 s at most, then they are dropped and say so). Protective orders, exits and cancels have
a lane of their own and wait a given time at most, then go; the cancel of an entry stays behind its entry. On a tape the engine
waits until everything was handed over, so that disk speed cannot change what is decided.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import NamedTuple

from bot.domain.errors import JournalError
from bot.domain.orders import AmendOrder, CancelOrder, OrderCommand, OrderStatus, OrderUpdate, PlaceOrder
from bot.domain.ports import JournalSink, Venue

ENTRY_WAIT_S = 2.0
PROTECTIVE_WAIT_S = 0.05
LANE_BOUND = 10_000


class _Batch(NamedTuple):
    commands: tuple[OrderCommand, ...]
    seq: int
    decided_ns: int


class Executor:
    """`report` puts an OrderUpdate into the inbox. `protective_wait_s=None` waits for the commit however long it takes
    (recordings, where nothing is at stake and order must not depend on the disk: one lane takes all)."""

    def __init__(
        self,
        venue: Venue,
        journal: JournalSink,
        report: Callable[[OrderUpdate], None],
        *,
        protective_wait_s: float | None = PROTECTIVE_WAIT_S,
        entry_wait_s: float | None = ENTRY_WAIT_S,
    ) -> None:
        self._venue, self._journal, self._report = venue, journal, report
        self._waits = {"protective": protective_wait_s, "entry": entry_wait_s}
        self._in_order = protective_wait_s is None
        self._lanes: dict[str, asyncio.Queue[_Batch]] = {lane: asyncio.Queue(LANE_BOUND) for lane in self._waits}

    def hand_over(self, commands: Sequence[OrderCommand], seq: int, decided_ns: int) -> None:
        for lane, of_lane in _split(commands):
            self._lanes["protective" if self._in_order else lane].put_nowait(_Batch(of_lane, seq, decided_ns))

    def leave(self, command: OrderCommand, decided_ns: int) -> None:
        """Send one that left before a restart once more, to a venue that lives through it again."""
        self._leave(_Batch((command,), 0, decided_ns))

    def send_now(self) -> None:
        """Send what waits without waiting for any commit: for replays, which keep no journal."""
        for lane in self._lanes.values():
            while not lane.empty():
                self._leave(lane.get_nowait())

    async def drained(self) -> None:
        for lane in self._lanes.values():
            await lane.join()

    async def run_lane(self, name: str) -> None:
        """One task for each of "protective" and "entry"."""
        lane, wait_s = self._lanes[name], self._waits[name]
        while True:
            batch = await lane.get()
            try:
                async with asyncio.timeout(wait_s):
                    await self._journal.committed(batch.seq)
                late = ""
            except (TimeoutError, JournalError) as error:
                late = f"intent not durable in time: {str(error) or 'the commit took too long'}"
            self._leave(batch, late)
            lane.task_done()

    def _leave(self, batch: _Batch, late: str = "") -> None:
        """Sends all but, when it is too late for that, what would create exposure."""
        for command in batch.commands:
            if late and isinstance(command, PlaceOrder) and command.order.leg == "entry":
                self._report(_update(command, OrderStatus.DROPPED, late))
                continue
            self._venue.send(command, batch.decided_ns)
            self._report(_update(command, OrderStatus.SENT, late))


def _split(commands: Sequence[OrderCommand]) -> list[tuple[str, tuple[OrderCommand, ...]]]:
    """Protective first. What is about an entry keeps to one lane: its cancel must not overtake it."""
    entries = tuple(command for command in commands if command.order.leg == "entry")
    others = tuple(command for command in commands if command.order.leg != "entry")
    return [(lane, part) for lane, part in (("protective", others), ("entry", entries)) if part]


def _update(command: OrderCommand, status: OrderStatus, reason: str) -> OrderUpdate:
    order = command.order
    what = "cancel" if isinstance(command, CancelOrder) else "amend" if isinstance(command, AmendOrder) else "place"
    return OrderUpdate(
        client_order_id=order.client_order_id,
        instrument=order.instrument,
        status=status,
        command=what,
        reason=reason,
    )
