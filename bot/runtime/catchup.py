"""Brings a restarted engine to where its journal ends: a recording is read again up to there, and nothing is decided.

Market state, strategies and the simulated venue live through the same frames and timers once more; orders reach the venue when
the journal says they left. What strategies answer is dropped, what the venue reports is handed back: the first of it stands in
the journal already, the rest is what the engine was killed before it could take. Live there is nothing to read again, and
nothing that happened meanwhile is made up.
"""

from __future__ import annotations

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


class Past(Protocol):
    """What the journal tells: orders as they left, with the engine time of their decision, oldest first."""

    @property
    def sent(self) -> Sequence[tuple[int, OrderCommand]]: ...
    @property
    def until_ns(self) -> int: ...


class TimedView(View, Protocol):
    now_ns: int


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
        self.reports: list[Frame] = []

    def run(self, frames: Iterable[Frame], past: Past) -> Iterator[Frame]:
        """Takes what lies at or before `past.until_ns` and returns the frames that come after it."""
        sent = iter(past.sent)
        following = next(sent, None)
        rest = iter(frames)
        for frame in rest:
            if not self._view.now_ns:
                self._start(frame.recv_ns)
            for now_ns in self._times(min(frame.recv_ns, past.until_ns), frame):
                following = self._send(following, sent, now_ns)
            if frame.recv_ns > past.until_ns:
                return chain([frame], rest)
            if frame.lane == Lane.DATA:
                self._at(frame.recv_ns)
                self._handler.apply(frame, self._view.now_ns)
                self._collect()
                following = self._send(following, sent, self._view.now_ns)
        return rest

    def _start(self, now_ns: int) -> None:
        self._timers.set(ENGINE, SAMPLE, (now_ns // NS + 1) * NS)

    def _times(self, until_ns: int, ahead: Frame) -> Iterator[int]:
        """Fires what is due, one timer at a time, and yields the time after each."""
        while (due_ns := self._timers.next_due()) is not None and due_ns <= until_ns:
            timer = self._timers.pop()
            self._at(timer.due_ns)
            if timer.desk == ENGINE:
                self._timers.set(ENGINE, SAMPLE, next_sample_ns(timer.due_ns, ahead))
                self._handler.sample(self._view.now_ns)
                self._strategies.on(Sampled(now_ns=self._view.now_ns), self._view)
            elif timer.desk in self._owners:
                self._owners[timer.desk](timer.key)
            self._collect()
            yield self._view.now_ns

    def _at(self, now_ns: int) -> None:
        self._view.now_ns = max(self._view.now_ns, now_ns)
        self._clock.advance(self._view.now_ns)

    def _send(
        self, command: tuple[int, OrderCommand] | None, later: Iterator[tuple[int, OrderCommand]], now_ns: int
    ) -> tuple[int, OrderCommand] | None:
        while command is not None and command[0] <= now_ns:
            self._leave(command[1], command[0])
            self._collect()
            command = next(later, None)
        return command

    def _collect(self) -> None:
        while self._inbox.head() is not None:
            self.reports.append(self._inbox.pop())
