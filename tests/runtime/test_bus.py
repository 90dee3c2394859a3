"""The bus: one FIFO, publication order, and two ways to run it that must not differ."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.domain.errors import InvariantError
from bot.domain.messages import Sampled, TimerFired
from bot.runtime import bus as bus_module
from bot.runtime.bus import Bus


class Ping:
    """A message with a number and a depth: scripted desks answer with deeper ones."""

    def __init__(self, number: int, depth: int = 0) -> None:
        self.number, self.depth = number, depth


class Pong(Ping):
    pass


class Note:
    def __init__(self, text: str) -> None:
        self.text = text


class Scripted:
    """Answers Ping number n with the messages its script has for n; writes down what it got."""

    def __init__(self, name: str, script: dict[int, list[tuple[str, int]]], log: list[str]) -> None:
        self.name, self._script, self._log = name, script, log

    def on(self, message: Any, view: Any) -> Sequence[Any]:
        self._log.append(f"{self.name} {type(message).__name__} {message.number} {message.depth}")
        if message.depth >= 3:
            return []
        kinds = {"ping": Ping, "pong": Pong}
        answers: list[Any] = [Note(f"{self.name} saw {message.number}")]
        answers += [kinds[kind](number, message.depth + 1) for kind, number in self._script.get(message.number, [])]
        return answers


scripts = st.dictionaries(
    st.integers(0, 3), st.lists(st.tuples(st.sampled_from(["ping", "pong"]), st.integers(0, 3)), max_size=3), max_size=4
)


def make_bus(desks: Any, routes: Any, sinks: Any) -> Any:
    return Bus(desks if isinstance(desks, list) else [desks], routes, sinks, None)  # type: ignore[arg-type]


def build(all_scripts: Sequence[dict[int, list[tuple[str, int]]]]) -> tuple[Any, list[str]]:
    log: list[str] = []
    desks = [Scripted(name, script, log) for name, script in zip("abc", all_scripts, strict=True)]
    routes = {Ping: ("a", "b"), Pong: ("c", "a")}
    sinks = {Note: lambda note: log.append(f"note {note.text}")}
    return make_bus(desks, routes, sinks), log


async def settle_with_tasks(bus: Any, first: Sequence[Any]) -> None:
    tasks = [asyncio.ensure_future(desk.run()) for desk in bus.tasks.values()]
    for message in first:
        bus.publish(message)
    try:
        await bus.settle()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@settings(max_examples=150, deadline=None)
@given(st.tuples(scripts, scripts, scripts), st.lists(st.integers(0, 3), max_size=4))
def test_settle_and_settle_now_deliver_and_note_the_same(all_scripts: Any, numbers: list[int]) -> None:
    first = [Ping(number) for number in numbers]
    awaited, awaited_log = build(all_scripts)
    asyncio.run(settle_with_tasks(awaited, first))
    direct, direct_log = build(all_scripts)
    for message in first:
        direct.publish(message)
    direct.settle_now()
    assert awaited_log == direct_log
    assert not awaited.pending
    assert not direct.pending


def test_order_is_publication_order_not_depth_first() -> None:
    bus, log = build(({1: [("ping", 2)]}, {}, {}))
    bus.publish(Ping(1))
    bus.settle_now()
    assert [line for line in log if not line.startswith("note")] == [
        "a Ping 1 0",
        "b Ping 1 0",
        "a Ping 2 1",
        "b Ping 2 1",
    ]


def test_a_desk_that_raises_reaches_the_engine_and_ends_its_task() -> None:
    class Broken:
        name = "broken"

        def on(self, message: Any, view: Any) -> Sequence[Any]:
            raise ZeroDivisionError("by the desk")

    async def scenario() -> None:
        bus = make_bus(Broken(), {Ping: ("broken",)}, {})
        task = asyncio.ensure_future(bus.tasks["broken"].run())
        bus.publish(Ping(1))
        with pytest.raises(ZeroDivisionError, match="by the desk"):
            await bus.settle()
        with pytest.raises(ZeroDivisionError, match="by the desk"):
            await task

    asyncio.run(scenario())


def test_desks_that_never_come_to_rest_are_an_invariant_breach(monkeypatch: pytest.MonkeyPatch) -> None:
    class Echo:
        name = "echo"

        def on(self, message: Any, view: Any) -> Sequence[Any]:
            return [message]

    monkeypatch.setattr(bus_module, "MAX_ROUNDS", 50)
    bus = make_bus(Echo(), {Ping: ("echo",)}, {})
    bus.publish(Ping(1))
    with pytest.raises(InvariantError, match="did not settle in 50"):
        bus.settle_now()


def test_a_timer_goes_to_the_desk_it_names_and_an_unrouted_message_is_an_error() -> None:
    got: list[Any] = []

    class Owner:
        name = "owner"

        def on(self, message: Any, view: Any) -> Sequence[Any]:
            got.append(message)
            return []

    bus = make_bus(Owner(), {}, {})
    fired = TimerFired(desk="owner", key="k", due_ns=5)
    bus.publish(fired)
    bus.settle_now()
    assert got == [fired]
    with pytest.raises(InvariantError, match="nobody handles Sampled"):
        bus.publish(Sampled(now_ns=1))
