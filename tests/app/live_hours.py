"""An engine on a live clock that runs fast: a synthetic market comes in as from sockets, the journal is on disk, orders wait for it.

An hour of market takes seconds, and everything that a clock and a disk decide by chance happens more often: orders leave hundreds of
frames after their decision, reports and requests come between any two frames.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from pathlib import Path
from random import Random
from time import monotonic_ns

import msgspec

from bot.app.recorded import manifest_of
from bot.app.run import Outcome, begin, finish, summary_of
from bot.app.settings import Settings
from bot.app.wiring import Parts, assemble, pick_instruments
from bot.domain.events import Event
from bot.domain.frames import Frame
from bot.domain.messages import CloseRequest, OperatorRequest, OutsideSignal
from bot.domain.ports import Observer
from bot.domain.values import NS, Direction
from bot.journal.digest import Digest
from bot.journal.projection import Projection
from bot.journal.writer import Journal
from bot.runtime.clock import RealClock
from bot.runtime.recorder import Recorder
from bot.runtime.supervisor import supervise
from bot.runtime.tape import Tape

SLACK_NS = 2_000_000
REASON = "interrupted"


class FastClock(RealClock):
    """Live for everybody who asks what kind of clock it is; `speed` times as fast as the wall."""

    def __init__(self, origin_ns: int, speed: float) -> None:
        self._origin_ns, self._speed, self._started_ns = origin_ns, speed, monotonic_ns()

    def now_ns(self) -> int:
        return self._origin_ns + round((monotonic_ns() - self._started_ns) * self._speed)

    def wall_s(self, until_ns: int) -> float:
        return (until_ns - self.now_ns()) / self._speed / NS


def each_to(projection: Projection) -> Observer:
    def observe(events: Sequence[Event]) -> None:
        for event in events:
            projection.apply(event)

    return observe


class LiveHours:
    """Plays a tape's frames as if they came from a venue now, and records what the engine takes into `out`."""

    def __init__(self, settings: Settings, tape: Tape, folder: Path, *, speed: float, seed: int) -> None:
        self.settings, self.tape, self.folder = settings, tape, folder
        self.clock, self.chance = FastClock(tape.first_ns(), speed), Random(seed)
        self.told: list[str] = []
        self.recorder = Recorder(folder / "out", settings.record, self.told.append)

    def run(self) -> Outcome:
        return asyncio.run(self._run())

    async def _run(self) -> Outcome:
        instruments = pick_instruments(self.settings, self.tape.instruments)
        journal = Journal.open(self.folder / "data", account=self.settings.account, mode=self.settings.mode)
        projection, digest = Projection(), Digest()
        parts = assemble(
            self.settings,
            instruments,
            journal=journal,
            session=journal.session,
            last_seq=journal.last_seq,
            clock=self.clock,
            observers=(digest.update, each_to(projection)),
            recorder=self.recorder,
        )
        begin(parts, self.tape, begins_ns=self.clock.now_ns())
        self.recorder.begin(manifest_of(parts, self.tape, fresh=True))
        tasks = {f"desk {name}": desk.run() for name, desk in parts.bus.tasks.items()}
        tasks |= {f"orders {lane}": parts.executor.run_lane(lane) for lane in ("protective", "entry")}
        tasks |= {"feed": self._feed(parts, self.tape.frames()), "operator": self._operator(parts)}
        tasks |= {"recorder": self.recorder.run()}
        await supervise(parts.engine.run(), tasks)
        finish(parts, REASON, failed=False)
        self.recorder.close(digest=digest.hexdigest(), reason=REASON)
        journal.close()
        return Outcome(summary_of(parts, projection, digest, self.tape), REASON)

    async def _feed(self, parts: Parts, frames: Iterable[Frame]) -> None:
        for frame in frames:
            wait_s = self.clock.wall_s(frame.recv_ns)
            if wait_s * NS > SLACK_NS:
                await asyncio.sleep(wait_s)
            await parts.inbox.put_data(Frame(self.clock.now_ns(), frame.lane, frame.source, frame.raw))
        parts.stop(REASON)

    async def _operator(self, parts: Parts) -> None:
        """Ideas and closes at any time."""
        instruments = [each.id for each in parts.view.instruments()]
        number = 0
        while True:
            await asyncio.sleep(self.chance.random() * 0.05)
            number += 1
            instrument = self.chance.choice(instruments)
            request: OperatorRequest = CloseRequest(instrument=instrument)
            if self.chance.random() < 0.7:
                direction = self.chance.choice([Direction.LONG, Direction.SHORT])
                request = OutsideSignal(external_id=str(number), instrument=instrument, direction=direction)
            parts.operator(msgspec.json.encode(request))
