"""Brings a restarted engine to where its journal ends: a recording is read again up to there, and nothing is decided.

Market state, strategies and the simulated venue live through the same frames and timers once more; orders reach the venue when
the journal says they left. What strategies answer is dropped, what the venue reports is handed back: the first of it stands in
the journal already, the rest is what the engine was killed before it could take. Live there is nothing to read again, and
nothing that happened meanwhile is made up.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Protocol

from bot.domain.frames import Frame, Lane
from bot.domain.messages import Sampled
from bot.domain.orders import OrderCommand
from bot.domain.ports import Desk, View
from bot.domain.values import NS
from bot.runtime.clock import TapeClock
from bot.runtime.engine import ENGINE, SAMPLE, FrameHandler, next_sample_ns
from bot.runtime.inbox import Inbox
from bot.runtime.timers import Timers


class Sent(Protocol):
    """An order as it left, with the engine time of its decision."""

    @property
    def command(self) -> OrderCommand: ...
    @property
    def decided_ns(self) -> int: ...
    def due(self, now_ns: int, reports: int) -> bool:
        """Whether it had left by now, so many reports after the start."""
        ...


class TimedView(View, Protocol):
    now_ns: int

    def begin(self, frame: int, now_ns: int) -> None: ...


class CatchUp:
    """`leave` sends one order to the venue as of its decision; `owners` fire the venue's timers; both may put reports into
    the inbox, from where they are taken."""

    def __init__(
        self,
        *,
        inbox: Inbox,
        timers: Timers,
        handler: FrameHandler,
        strategies: Desk,
        view: TimedView,
        owners: Mapping[str, Callable[[str], None]],
        leave: Callable[[OrderCommand, int], None],
        clock: TapeClock,
    ) -> None:
        self._inbox, self._timers, self._handler, self._strategies = inbox, timers, handler, strategies
        self._view, self._owners, self._leave, self._clock = view, dict(owners), leave, clock
        self._commands: deque[Sent] = deque()
        self.reports: list[Frame] = []

    def run(self, frames: Iterable[Frame], commands: Sequence[Sent], until_ns: int) -> Iterator[Frame]:
        """Takes what lies at or before `until_ns` and returns the frames that come after it. `commands` are the orders that
        left, oldest first."""
        self._commands = deque(commands)
        rest = iter(frames)
        for frame in rest:
            if not self._view.now_ns:
                self._start(frame.recv_ns)
            self._fire(min(frame.recv_ns, until_ns), frame)
            if frame.recv_ns > until_ns:
                rest = chain([frame], rest)
                break
            if frame.lane == Lane.DATA:
                self._at(frame.recv_ns)
                self._handler.apply(frame, self._view.now_ns)
                self._collect()
        else:
            self._fire(until_ns, None)  # the journal goes on where no market message is
        self._at(until_ns)
        while self._commands:  # what left at the last moment
            self._leave_next()
        return rest

    def _start(self, now_ns: int) -> None:
        self._timers.set(ENGINE, SAMPLE, (now_ns // NS + 1) * NS)

    def _fire(self, until_ns: int, ahead: Frame | None) -> None:
        while self._next_due(until_ns) is not None:
            timer = self._timers.pop()
            self._at(timer.due_ns)
            if timer.desk == ENGINE:
                self._timers.set(ENGINE, SAMPLE, next_sample_ns(timer.due_ns, ahead))
                self._handler.sample(self._view.now_ns)
                self._strategies.on(Sampled(now_ns=self._view.now_ns), self._view)
            elif timer.desk in self._owners:
                self._owners[timer.desk](timer.key)
            self._collect()

    def _next_due(self, until_ns: int) -> int | None:
        """The next timer there is once every order that left before it has left: each may bring one that is sooner."""
        while True:
            due_ns = self._timers.next_due()
            if due_ns is not None and due_ns > until_ns:
                due_ns = None
            if not (self._commands and self._commands[0].decided_ns < (until_ns if due_ns is None else due_ns)):
                return due_ns
            self._at(self._commands[0].decided_ns)
            self._leave_next()

    def _at(self, now_ns: int) -> None:
        """Orders that left before this moment leave before anything of it happens."""
        while self._commands and self._commands[0].decided_ns < now_ns:
            self._leave_next()
        self._view.now_ns = max(self._view.now_ns, now_ns)
        self._view.begin(0, self._view.now_ns)
        self._clock.advance(self._view.now_ns)

    def _collect(self) -> None:
        """The reports of what has just happened; then the orders of this very moment whose turn it was then, so that frames of
        one stamp do not blur the order."""
        self._take_reports()
        while self._commands and self._commands[0].due(self._view.now_ns, len(self.reports)):
            self._leave_next()

    def _leave_next(self) -> None:
        sent = self._commands.popleft()
        self._leave(sent.command, sent.decided_ns)
        self._take_reports()

    def _take_reports(self) -> None:
        while self._inbox.head() is not None:
            self.reports.append(self._inbox.pop())
