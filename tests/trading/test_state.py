"""The trading state and its causes."""

from __future__ import annotations

from bot.domain.events import Emit
from bot.domain.messages import FeedChanged, PauseRequest, ResumeRequest, StopRequest
from bot.domain.values import TradingState
from bot.trading.state import State
from tests.build import BTC, FakeView

VIEW = FakeView()


def test_no_entries_before_the_first_usable_book() -> None:
    state = State()
    assert state.on(FeedChanged(instrument=BTC, usable=False, reason="gap"), VIEW) == []
    assert state.state is TradingState.STARTING
    (event,) = state.on(FeedChanged(instrument=BTC, usable=True, reason=""), VIEW)
    assert isinstance(event, Emit)
    assert (event.data["was"], event.data["state"]) == ("STARTING", "ACTIVE")


def test_a_book_that_is_lost_is_a_cause_until_it_is_back() -> None:
    state = State()
    state.on(FeedChanged(instrument=BTC, usable=True, reason=""), VIEW)
    state.on(FeedChanged(instrument=BTC, usable=False, reason="gap: expected pu 5, got 7"), VIEW)
    assert state.state.value == "REDUCING"
    assert "gap: expected pu 5" in state.reason
    state.on(PauseRequest(), VIEW)
    state.on(FeedChanged(instrument=BTC, usable=True, reason=""), VIEW)
    assert (state.state.value, state.reason) == ("REDUCING", "paused by operator")
    state.on(ResumeRequest(), VIEW)
    assert state.state.value == "ACTIVE"


def test_each_change_is_one_event_and_no_change_is_none() -> None:
    state = State()
    state.on(FeedChanged(instrument=BTC, usable=True, reason=""), VIEW)
    assert len(state.on(PauseRequest(), VIEW)) == 1
    assert state.on(PauseRequest(), VIEW) == []
    assert len(state.on(StopRequest(reason="tape ended"), VIEW)) == 1
    assert "stopping: tape ended" in state.reason
