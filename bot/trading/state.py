"""Desk `state`: may entries be made? STARTING until a book is usable, ACTIVE, REDUCING while a cause lasts.

Exits, stops and cancels never ask. Each change is a STATE event with its cause. (HALTED, and causes that latch over a restart,
belong to the money limits.)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from bot.domain.events import Emit
from bot.domain.messages import FeedChanged, Message, PauseRequest, ResumeRequest, StopRequest
from bot.domain.ports import View
from bot.domain.values import TradingState


class State:
    name: ClassVar[str] = "state"

    def __init__(self) -> None:
        self.state = TradingState.STARTING
        self.reason = "waiting for the first order book"
        self._started = False
        self._causes: dict[str, str] = {}

    def on(self, message: Message, view: View) -> Sequence[Message]:
        match message:
            case FeedChanged(instrument=instrument, usable=True):
                self._started = True
                self._causes.pop(f"book {instrument}", None)
            case FeedChanged(instrument=instrument, reason=reason) if self._started:
                self._causes[f"book {instrument}"] = f"no usable order book of {instrument}: {reason}"
            case PauseRequest(reason=reason):
                self._causes["pause"] = f"paused by {reason}"
            case ResumeRequest():
                self._causes.pop("pause", None)
            case StopRequest(reason=reason):
                self._causes["stop"] = f"stopping: {reason}"
        return self._settle()

    def _settle(self) -> list[Message]:
        state, reason = self._judge()
        if (state, reason) == (self.state, self.reason):
            return []
        before, self.state, self.reason = self.state, state, reason
        return [Emit(kind="STATE", source="state", data={"state": state, "was": before, "reason": reason})]

    def _judge(self) -> tuple[TradingState, str]:
        if self._causes:
            return TradingState.REDUCING, "; ".join(self._causes.values())
        if not self._started:
            return self.state, self.reason
        return TradingState.ACTIVE, "book usable"
