"""Matches what was asked over the API with what the desks said to it. An observer of events."""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

from bot.domain.events import Event

KEPT = 10_000


class Answers:
    """Remembers the latest decisions by the outside's own signal id."""

    def __init__(self) -> None:
        self._external: OrderedDict[str, str] = OrderedDict()  # signal id -> outside id
        self._decided: OrderedDict[str, dict[str, Any]] = OrderedDict()  # outside id -> decision
        self._waiting: dict[str, list[asyncio.Future[dict[str, Any]]]] = {}
        self._sought: dict[asyncio.Future[Event], tuple[str, str, tuple[str, ...]]] = {}

    def on_events(self, events: Sequence[Event]) -> None:
        for event in events:
            if self._sought:
                self._find(event)
            if event.kind == "SIGNAL" and "external_id" in event.data:
                _remember(self._external, event.data["signal_id"], event.data["external_id"])
            elif event.kind == "SIGNAL_EXPIRED" and "external_id" in event.data:  # nothing could be decided about it
                self._answer(event.data["external_id"], {"signal_id": event.corr, "expired": event.data["reason"]})
            elif event.kind == "DECISION" and event.data["signal_id"] in self._external:
                self._decide(self._external[event.data["signal_id"]], event)

    def known(self, external_id: str) -> dict[str, Any] | None:
        return self._decided.get(external_id)

    def awaited(self, external_id: str) -> bool:
        """Whether somebody waits for this one's decision."""
        return external_id in self._waiting

    async def wait(self, external_id: str, timeout_s: float) -> dict[str, Any] | None:
        """The decision, or None if there is none within `timeout_s`."""
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        waiting = self._waiting.setdefault(external_id, [])
        waiting.append(future)
        try:
            async with asyncio.timeout(timeout_s):
                return await future
        except TimeoutError:
            return None
        finally:
            waiting.remove(future)
            if not waiting:
                self._waiting.pop(external_id, None)

    @contextlib.contextmanager
    def next_event(
        self, wanted: str, kinds: tuple[str, ...], key: str = "position_id"
    ) -> Iterator[Callable[[float], Awaitable[Event | None]]]:
        """The first event of these kinds about a position (or whatever `key` is the id of) from here on; None when none comes within
        the given seconds."""
        future: asyncio.Future[Event] = asyncio.get_running_loop().create_future()
        self._sought[future] = (key, wanted, kinds)

        async def said(timeout_s: float) -> Event | None:
            try:
                async with asyncio.timeout(timeout_s):
                    return await future
            except TimeoutError:
                return None

        try:
            yield said
        finally:
            del self._sought[future]

    def _find(self, event: Event) -> None:
        for future, (key, wanted, kinds) in self._sought.items():
            if event.kind in kinds and event.data.get(key) == wanted and not future.done():
                future.set_result(event)

    def _decide(self, external_id: str, event: Event) -> None:
        keys = ("signal_id", "direction", "allowed", "blocker", "multiplier", "quantity", "reversal")
        decision = {"symbol": event.symbol, **{key: event.data.get(key) for key in keys}}
        self._answer(external_id, decision)

    def _answer(self, external_id: str, decision: dict[str, Any]) -> None:
        _remember(self._decided, external_id, decision)
        for future in self._waiting.get(external_id, ()):
            if not future.done():
                future.set_result(decision)


def _remember(store: OrderedDict[str, Any], key: str, value: Any) -> None:
    store[key] = value
    if len(store) > KEPT:
        store.popitem(last=False)
