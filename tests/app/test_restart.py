"""What a starting engine takes over under other settings than the journal was written with."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from bot.app.restart import Past, Restart, Start, rehearses
from bot.domain.errors import ConfigError
from bot.domain.events import Event
from bot.domain.messages import BlockRequest, CloseRequest, KillRequest, PauseRequest
from bot.domain.values import Direction
from tests.world import COIN, World, settings


def test_fills_of_a_venue_that_was_lived_through_otherwise_are_not_taken_for_earlier_ones() -> None:
    """Under a longer delay the entry is filled after the last report that the journal knows. The venue's numbers begin anew, and
    a trade's id is booked once."""
    world = World()
    world.signal(Direction.LONG)
    world.pass_time(1)
    world.trade()
    assert world.open
    world.settings = settings(paper={"latency_ms": 4_000, "latency_p99_ms": 4_000})
    world.crash()
    assert world.of_kind("DISCREPANCY")
    world.say(CloseRequest(instrument=COIN.id))
    for _ in range(6):
        world.pass_time(1)
        world.trade()
    assert not world.open, "the exit is another trade than the entry"
    assert len({event.data["trade_id"] for event in world.of_kind("FILL")}) == 2


class Journal:
    """Events in memory, read as the journal's are."""

    def __init__(self, events: Sequence[Event]) -> None:
        self._events = events

    async def read(self, *, since_seq: int, limit: int) -> Sequence[Event]:
        return [event for event in self._events if event.seq > since_seq][:limit]


def past_of(events: Sequence[Event]) -> Past:
    past = Past()
    for event in events:
        past.apply(event)
    return past


async def test_what_is_open_must_be_followed() -> None:
    world = World()
    world.signal(Direction.LONG)
    world.pass_time(1)
    world.trade()
    assert world.open
    world._session += 1
    restart = Restart(world._assembled(), Start.CARRY, past_of(world.events), {})
    with pytest.raises(ConfigError, match=f"still trades {COIN.unified}, which symbols does not name"):
        await restart.read(Journal(world.events))


async def test_what_is_over_need_not_be_followed() -> None:
    world = World()
    world.signal(Direction.LONG)
    world.pass_time(1)
    world.trade()
    world.say(CloseRequest(instrument=COIN.id))
    world.pass_time(1)
    world.trade()
    assert not world.open
    assert world.of_kind("POSITION_CLOSED")
    wallet_usd = world.parts.portfolio.wallet_usd
    world._session += 1
    parts = world._assembled()
    restart = Restart(parts, Start.CARRY, past_of(world.events), {})
    await restart.read(Journal(world.events))
    assert parts.portfolio.wallet_usd == wallet_usd


def test_a_recording_is_lived_through_again_only_with_all_that_was_traded_on_it() -> None:
    past = Past(life=1, tape_session=1, symbols={"A/USDT:USDT"})
    assert rehearses(Start.RESUME, past, ["A/USDT:USDT", "B/USDT:USDT"])
    assert not rehearses(Start.RESUME, past, ["B/USDT:USDT"])
    assert not rehearses(Start.CARRY, past, ["A/USDT:USDT"])


async def test_why_there_are_no_entries_is_told_at_the_start() -> None:
    world = World()
    for request in (PauseRequest(), KillRequest(), BlockRequest(instrument=COIN.id)):
        world.say(request)
    world._session += 1
    restart = Restart(world._assembled(), Start.CARRY, past_of(world.events), {COIN.id: COIN})
    await restart.read(Journal(world.events))
    assert restart.told()[1:] == [
        "REDUCING, paused by operator: `python -m bot resume` ends it",
        "HALTED, killed by operator: `python -m bot resume` ends it",
        f"no entries in {COIN.unified}: `python -m bot block {COIN.unified} --off` ends it",
    ]
