"""Plays a recorded engine's tape so that it decides the same again: the recorded frames in the recorded order, account frames too.

Two things depend on a live machine's clock and disk and not on frames: when an order left (its intent had to be durable first) and
when a report was taken. Both are on the tape, as a `sent` line where the order left and as the report itself. So here nothing is
sent by itself, and what the simulated venue reports is not taken but held against the recorded reports. Everything else,
engine timers included, follows from the frames.

Not guaranteed: anything after a frame that is missing; a tape whose beginning was deleted; a machine that stood still for more than a
minute.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence

import msgspec
from msgspec import Struct

from bot.domain.errors import InvariantError, TapeError
from bot.domain.frames import Frame, Source
from bot.domain.messages import Message
from bot.domain.orders import AccountReport, OrderCommand, OrderStatus, OrderUpdate
from bot.domain.ports import Venue
from bot.domain.trades import TradeRun
from bot.runtime.engine import Engine, FrameHandler
from bot.runtime.inbox import Inbox

_SHOWN = 200
_EXECUTORS = frozenset({OrderStatus.SENT, OrderStatus.DROPPED})


class Left(Struct, frozen=True, kw_only=True):
    """What a `sent` line says: which command went to the venue, after so many frames."""

    client_order_id: str
    command: str
    frame: int

    @classmethod
    def of(cls, command: OrderCommand, frame: int) -> Left:
        return cls(client_order_id=command.order.client_order_id, command=type(command).__name__, frame=frame)


class Rerun:
    """Stands where an executor and a venue's reports would: `play` drives the engine made with it."""

    def __init__(self) -> None:
        self._decided: list[tuple[OrderCommand, int]] = []
        self._expected: deque[bytes] = deque()  # what the venue says here and the tape has not said yet
        self._left = msgspec.json.Decoder(Left)
        self._report = msgspec.json.Decoder(AccountReport)
        self._differences = 0
        self._first = ""
        self.stopped = False  # the recorded engine was asked to stop

    @property
    def problems(self) -> list[str]:
        """What did not come out as it was recorded."""
        missing = len(self._expected)
        unsaid = f"the venue here reports {missing} time(s) more than was recorded"
        told = f"{self._differences} time(s) not what was recorded, first: {self._first}"
        return [told] * (self._differences > 0) + [unsaid] * (missing > 0)

    def play(self, frames: Iterable[Frame], engine: Engine, inbox: Inbox, venue: Venue) -> None:
        """Raises TapeError for a line that is none."""
        leaving: list[Left] = []
        for frame in frames:
            if frame.source == Source.SENT:
                leaving.append(self._read(frame))
                continue
            inbox.offer_data(frame)
            for left in leaving:
                engine.run_now(left.frame)
                self._leave(left, venue)
            leaving.clear()
            engine.run_now()
        for left in leaving:
            self._leave(left, venue)

    def _read(self, frame: Frame) -> Left:
        try:
            return self._left.decode(frame.raw)
        except msgspec.MsgspecError as error:
            raise TapeError(f"a line of where an order left cannot be read: {error}") from error

    def _leave(self, left: Left, venue: Venue) -> None:
        for index, (command, decided_ns) in enumerate(self._decided):
            if Left.of(command, left.frame) == left:
                del self._decided[index]
                venue.send(command, decided_ns)
                return
        self._differs(
            f"{left.command} of {left.client_order_id} left after frame {left.frame}, here it was not decided"
        )

    # --- the executor's and the inbox's places ---

    def hand_over(self, commands: Sequence[OrderCommand], seq: int, decided_ns: int) -> None:
        self._decided.extend((command, decided_ns) for command in commands)

    def send_now(self) -> None:
        """Nothing leaves but where it left."""

    async def drained(self) -> None:
        """As `send_now`."""

    def reported(self, raw: bytes) -> None:
        """What the venue would have put into the inbox."""
        self._expected.append(raw)

    def before(self, handler: FrameHandler) -> FrameHandler:
        return Before(self._taken, handler)

    def _taken(self, frame: Frame) -> None:
        if frame.source == Source.OPERATOR:
            self.stopped = self.stopped or frame.raw.startswith(b'{"type":"stop"')
            return
        if frame.source != Source.REPORT:
            return
        report = self._report.decode(frame.raw)
        if isinstance(report, OrderUpdate) and report.status in _EXECUTORS:
            return
        here = self._expected.popleft() if self._expected else b"nothing"
        if here != frame.raw:
            self._differs(f"{frame.raw[:_SHOWN]!r}, here {here[:_SHOWN]!r}")

    def _differs(self, what: str) -> None:
        self._first = self._first or what
        self._differences += 1


class Before:
    """Stands before the frames' handler and sees every frame first, so none may go past it in columns."""

    def __init__(self, taken: Callable[[Frame], None], handler: FrameHandler) -> None:
        self._taken, self._handler = taken, handler

    def undisturbed(self, run: TradeRun) -> bool:
        return False

    def apply_run(self, run: TradeRun, count: int, now_ns: int) -> Sequence[Message]:
        raise InvariantError("what is recorded, or held against a recording, comes frame by frame")

    def apply(self, frame: Frame, now_ns: int) -> Sequence[Message]:
        self._taken(frame)
        return self._handler.apply(frame, now_ns)

    def sample(self, now_ns: int) -> Sequence[Message]:
        return self._handler.sample(now_ns)
