"""The engine: takes one frame, applies it, lets the desks settle, hands out what came of it, takes the next.

It decides nothing itself. `run` is the live and paper path (desks await their queues), `run_now` the replay path; both choose
frames in `_next`, so their order is the same: account frames before data, and every timer due at or before the frame's time
before the frame.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeVar

from bot.domain.events import Emit, Event
from bot.domain.frames import Frame, Lane, Source
from bot.domain.messages import Message, Sampled, TimerFired
from bot.domain.orders import OrderCommand
from bot.domain.ports import Observer
from bot.domain.trades import TradeRun
from bot.domain.values import NS
from bot.runtime.bus import Bus
from bot.runtime.clock import RealClock, TapeClock
from bot.runtime.eventlog import EventLog
from bot.runtime.inbox import Inbox
from bot.runtime.timers import Timers

T = TypeVar("T")

ENGINE = "engine"  # owner of the once-a-second timer
SAMPLE = "sample"
SILENCE_NS = 60 * NS
YIELD_EVERY = 64  # frames between two chances for sockets and the page


def next_sample_ns(due_ns: int, ahead: Frame | TradeRun | None) -> int:
    """A second later; after a long silence (a hole in a tape) at once at its end, not every second of it."""
    if ahead is None or ahead.recv_ns - due_ns <= SILENCE_NS:
        return due_ns + NS
    return ahead.recv_ns // NS * NS


class FrameHandler(Protocol):
    """Applies one frame to the market state or turns it into messages; see runtime/intake.py."""

    def apply(self, frame: Frame, now_ns: int) -> Sequence[Message]: ...
    def sample(self, now_ns: int) -> Sequence[Message]: ...
    def undisturbed(self, run: TradeRun) -> bool: ...
    def apply_run(self, run: TradeRun, count: int, now_ns: int) -> Sequence[Message]: ...


class Outbox(Protocol):
    """Takes the order commands of one frame, to be sent once the events up to `seq` are durable."""

    def hand_over(self, commands: Sequence[OrderCommand], seq: int, decided_ns: int) -> None: ...
    def send_now(self) -> None: ...
    async def drained(self) -> None: ...


class Numbered(Protocol):
    """Is told of each frame before it is applied (ids, event log)."""

    def begin(self, frame: int, now_ns: int) -> None: ...


class NowHolder(Protocol):
    now_ns: int


class Engine:
    """`owners` are called with the key of a timer that something besides a desk has set (the paper venue).

    `clock` is a TapeClock when time is the tape's: then nothing ticks between frames, and each frame's orders are handed
    to the venue before the next frame is taken."""

    def __init__(
        self,
        *,
        inbox: Inbox,
        timers: Timers,
        bus: Bus,
        log: EventLog,
        view: NowHolder,
        handler: FrameHandler,
        owners: Mapping[str, Callable[[str], None]],
        numbered: Sequence[Numbered],
        commands: list[OrderCommand],
        outbox: Outbox,
        observers: Sequence[Observer],
        clock: RealClock | TapeClock,
    ) -> None:
        self._inbox, self._timers, self._bus, self._log, self._view = inbox, timers, bus, log, view
        self._handler, self._owners, self._numbered = handler, dict(owners), tuple(numbered)
        self._commands, self._outbox, self._observers, self._clock = commands, outbox, tuple(observers), clock
        self._on_tape = isinstance(clock, TapeClock)
        self._waiting: list[Callable[[], None]] = []
        self._waiting_idle: list[Callable[[], None]] = []
        self._waiting_taken: list[Callable[[], None]] = []
        self._stepping = False
        self._sending = False
        self._ending = False
        self.frames = 0
        self.now_ns = 0

    # --- the two drivers ---

    async def run(self) -> None:
        """Until `end` was called and the account lane is empty, or a desk raises."""
        while True:
            frame = self._next()
            if frame is None:
                if self._ending:
                    return
                self._answer(self._waiting_idle)
                await self._wait()
                continue
            self._open(frame)
            if self._bus.pending:
                await self._bus.settle()
            if self._close() and self._on_tape:
                self._sending = True
                await self._outbox.drained()
                self._sending = False
            if self.frames % YIELD_EVERY == 0:
                await asyncio.sleep(0)

    def run_now(self, until: int | None = None) -> None:
        """Take every frame that waits, or up to that number, without tasks or queues."""
        while (until is None or self.frames < until) and (frame := self._next()) is not None:
            self._open(frame)
            if self._bus.pending:
                self._bus.settle_now()
            if self._close():
                self._outbox.send_now()

    def end(self) -> None:
        """No more data frames will be taken; what is in the account lane still is."""
        self._ending = True

    async def inspect(self, look: Callable[[], T]) -> T:
        """Run `look` between two frames, when the state is whole."""
        if not self._stepping:
            return look()
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        def answer() -> None:
            if done.done():  # whoever asked has gone away
                return
            try:
                done.set_result(look())
            except Exception as error:  # noqa: BLE001  it belongs to whoever asked, not to the engine
                done.set_exception(error)

        self._waiting.append(answer)
        return await done

    async def idle(self) -> None:
        """Returns once every frame that waits has been taken and nothing is on its way to the venue."""
        if self._stepping or self._sending or self._inbox.head() is not None:
            await _answered_in(self._waiting_idle)

    async def taken(self) -> None:
        """Returns once no account frame waits: whoever looks now sees what came of those put before."""
        if self._stepping or self._inbox.depths()[0]:
            await _answered_in(self._waiting_taken)

    def add_observer(self, observer: Observer) -> None:
        """Of all events from now on."""
        self._observers = (*self._observers, observer)

    def note(self, emit: Emit) -> None:
        """Journal something from outside the desks (start, stop), between two frames."""
        self._log.begin(self.frames, self.now_ns)
        self._log.emit(emit)
        self._publish_events(self._log.take())

    def wake(self, messages: Sequence[Message]) -> None:
        """Let the desks hear something before the first frame (after a restart)."""
        self.frames += 1
        self._view.now_ns = self.now_ns
        for part in self._numbered:
            part.begin(self.frames, self.now_ns)
        for message in messages:
            self._bus.publish(message)
        self._bus.settle_now()
        self._close()

    def start_at(self, now_ns: int) -> None:
        """Engine time before the first frame; samples follow from the next whole second on."""
        self.now_ns = now_ns
        self._timers.set(ENGINE, SAMPLE, (now_ns // NS + 1) * NS)

    # --- one frame ---

    def _next(self) -> Frame | TradeRun | None:
        """A run stays where it is until its last trade is taken."""
        head = self._inbox.head()
        if head is None or (self._ending and head.lane != Lane.ACCOUNT):
            return None
        due_ns = self._timers.next_due()
        if due_ns is not None and due_ns <= max(head.recv_ns, self.now_ns):
            return Frame(due_ns, Lane.TIMER, Source.TIMER, b"")
        return head if type(head) is TradeRun else self._inbox.pop()

    def _open(self, frame: Frame | TradeRun) -> None:
        self._stepping = True
        if type(frame) is TradeRun:
            messages = self._take(frame)
        else:
            now_ns = self._begin(1, frame.recv_ns)
            messages = (
                self._fire(self._timers.pop()) if frame.lane == Lane.TIMER else self._handler.apply(frame, now_ns)
            )
        for message in messages:
            self._bus.publish(message)

    def _begin(self, frames: int, recv_ns: int) -> int:
        """Counts them and moves the time to that of the last."""
        self.frames += frames
        if recv_ns > self.now_ns:
            self.now_ns = recv_ns
        now_ns = self._view.now_ns = self.now_ns
        if self._on_tape:
            self._clock.advance(now_ns)  # type: ignore[union-attr]
        for part in self._numbered:
            part.begin(self.frames, now_ns)
        return now_ns

    def _take(self, run: TradeRun) -> Sequence[Message]:
        """As many of the next trades as lie before the next timer and within this second, each a frame; one where it may
        concern somebody, or came before what was taken already."""
        count, first_ns = 1, run.recv_ns
        if first_ns >= self.now_ns and self._handler.undisturbed(run):
            until_ns, due_ns = (first_ns // NS + 1) * NS, self._timers.next_due()
            count = run.before(until_ns if due_ns is None else min(until_ns, due_ns))
        if count == run.left:
            self._inbox.pop()
        now_ns = self._begin(count, run.times[run.at + count - 1])
        messages = self._handler.apply_run(run, count, now_ns)
        run.at += count
        return messages

    def _fire(self, timer: TimerFired) -> Sequence[Message]:
        if timer.desk == ENGINE:
            self._timers.set(ENGINE, SAMPLE, next_sample_ns(timer.due_ns, self._inbox.head()))
            return [*self._handler.sample(self.now_ns), Sampled(now_ns=self.now_ns)]
        owner = self._owners.get(timer.desk)
        if owner is None:
            return (timer,)
        owner(timer.key)
        return ()

    def _close(self) -> bool:
        """Hand events to the observers and commands to the outbox; True if there were commands."""
        commands = tuple(self._commands)
        self._commands.clear()
        if self._log.batch:
            self._publish_events(self._log.take())
        if commands:
            self._outbox.hand_over(commands, self._log.last_seq, self.now_ns)
        self._stepping = False
        self._answer(self._waiting)
        if self._waiting_taken and not self._inbox.depths()[0]:
            self._answer(self._waiting_taken)
        return bool(commands)

    @staticmethod
    def _answer(waiting: list[Callable[[], None]]) -> None:
        while waiting:
            waiting.pop(0)()

    def _publish_events(self, events: Sequence[Event]) -> None:
        for observer in self._observers:
            observer(events)

    async def _wait(self) -> None:
        """For a frame; on a live clock no longer than until the next timer, which then comes as a tick."""
        due_ns = None if isinstance(self._clock, TapeClock) else self._timers.next_due()
        await self._inbox.arrival(None if due_ns is None else self._clock.wait_s(due_ns))  # type: ignore[union-attr]
        if due_ns is not None and self._inbox.head() is None and self._clock.now_ns() >= due_ns:
            self._inbox.put_account(Frame(self._clock.now_ns(), Lane.ACCOUNT, Source.TICK, b""))


async def _answered_in(waiting: list[Callable[[], None]]) -> None:
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    waiting.append(lambda: None if done.done() else done.set_result(None))
    await done
