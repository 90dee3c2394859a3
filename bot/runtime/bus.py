"""The signal bus: desks that await their queues, and one FIFO that hands out one message at a time.

Publishing never waits. Because the engine delivers a single message and takes its answers before the next, the order of
everything is the order of publication, and no two desks can block each other. `settle` (live, paper) and `settle_now`
(replay, sweeps, property tests) are the same loop; the second calls the cores without tasks or queues.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from bot.domain.errors import InvariantError
from bot.domain.messages import Message, PriceTouched, TimerFired
from bot.domain.ports import Desk, View

MAX_ROUNDS = 10_000

Delivery = tuple[Message, "asyncio.Future[Sequence[Message]]"]


class DeskTask:
    """Runs one core: await a message, answer it. An exception ends this task and reaches the engine as well."""

    def __init__(self, core: Desk, view: View) -> None:
        self.core = core
        self.queue: asyncio.Queue[Delivery] = asyncio.Queue(maxsize=1)
        self._view = view

    async def run(self) -> None:
        while True:
            message, reply = await self.queue.get()
            try:
                answer = self.core.on(message, self._view)
            except Exception as error:
                reply.set_exception(error)
                raise
            reply.set_result(answer)


class Bus:
    """`routes` maps a message type to the desks that get it, in order; a TimerFired or PriceTouched goes to the desk it names. Types with
    a sink (events, order commands, timers) go there, also when they have a route as well."""

    def __init__(
        self,
        desks: Iterable[Desk],
        routes: Mapping[type, tuple[str, ...]],
        sinks: Mapping[type, Callable[[Any], object]],
        view: View,
    ) -> None:
        self._view = view
        self.tasks = {desk.name: DeskTask(desk, view) for desk in desks}
        self._routes = {kind: tuple(self.tasks[name] for name in names) for kind, names in routes.items()}
        self._sinks = dict(sinks)
        self._fifo: deque[tuple[DeskTask, Message]] = deque()

    @property
    def pending(self) -> bool:
        return bool(self._fifo)

    def publish(self, message: Message) -> None:
        kind = type(message)
        sink = self._sinks.get(kind)
        if sink is not None:
            sink(message)
        if kind is TimerFired or kind is PriceTouched:
            self._fifo.append((self.tasks[message.desk], message))  # type: ignore[union-attr]
            return
        desks = self._routes.get(kind)
        if desks is not None:
            self._fifo.extend((desk, message) for desk in desks)
        elif sink is None:
            raise InvariantError(f"nobody handles {kind.__name__} messages")

    async def settle(self) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(MAX_ROUNDS):
            if not self._fifo:
                return
            desk, message = self._fifo.popleft()
            reply: asyncio.Future[Sequence[Message]] = loop.create_future()
            desk.queue.put_nowait((message, reply))
            for answer in await reply:
                self.publish(answer)
        raise InvariantError(f"the desks did not settle in {MAX_ROUNDS} messages")

    def settle_now(self) -> None:
        for _ in range(MAX_ROUNDS):
            if not self._fifo:
                return
            desk, message = self._fifo.popleft()
            for answer in desk.core.on(message, self._view):
                self.publish(answer)
        raise InvariantError(f"the desks did not settle in {MAX_ROUNDS} messages")
