"""What only a watcher of the events can count: lost books by symbol, how long the venue takes to answer, positions without a stop.

An observer of the engine, also of the events of earlier sessions, so that it knows the stops that still rest. Its counts begin
with each session, as Prometheus expects of a process; `/metrics` and Health show them. Seconds are those of the engine's clock.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from bot.domain.events import Event
from bot.domain.values import NS

ACK_BOUNDS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
GAP_BOUNDS_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 60.0)
UNANSWERED_KEPT = 1_000
ANSWERS = {"ORDER_ACK": "ack", "ORDER_REJECTED": "rejected", "ORDER_UNKNOWN": "unknown"}
LOST_BY = (
    "gap",
    "crossed",
    "snapshot",
    "bids",
    "asks",
    "no ",
)  # how the book's own reasons begin; others are the feed's
LEVELS = ("bids", "asks", "no ")


class Spread:
    """A histogram: how many values were at most each bound, their number and sum."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds, self.sum = bounds, 0.0
        self._counts = [0] * (len(bounds) + 1)

    def add(self, value: float) -> None:
        self._counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def cumulative(self) -> list[int]:
        """One for each bound, and last the number of all."""
        at, sums = 0, []
        for count in self._counts:
            at += count
            sums.append(at)
        return sums


class Lost(NamedTuple):
    """Labels of a book that had to be built anew: `feed` is "book" where it is traded, "walls" where it only shows them."""

    symbol: str
    feed: str
    reason: str


class Tally:
    def __init__(self) -> None:
        self._sent: dict[tuple[str, str], int] = {}  # (order, command) -> ns
        self._stops: dict[str, set[str]] = {}  # position -> its stops that the venue accepted
        self._gaps: dict[str, tuple[str, int]] = {}  # position without one -> its symbol, since when
        self._handlers: dict[str, Callable[[Event, dict[str, Any]], None]] = {
            "ENGINE_STARTED": self._started,
            "BOOK_RESYNC": self._book,
            "ORDER_SENT": self._order_sent,
            **dict.fromkeys(ANSWERS, self._answered),
            "ORDER_CANCELED": self._canceled,
            "FILL": self._filled,
            "POSITION_ADOPTED": self._opened,
            "POSITION_CLOSED": self._closed,
        }
        self._begin()

    def _begin(self) -> None:
        self.resyncs: Counter[Lost] = Counter()
        self.answers: Counter[tuple[str, str]] = Counter()  # (command, answer)
        self.ack_s: dict[str, Spread] = {}  # by command
        self.gap_s = Spread(GAP_BOUNDS_S)

    def on_events(self, events: Iterable[Event]) -> None:
        for event in events:
            handler = self._handlers.get(event.kind)
            if handler is not None:
                handler(event, event.data)

    def lost_books(self, symbol: str) -> int:
        """How often the book that a symbol is traded on was lost in this session."""
        return sum(count for lost, count in self.resyncs.items() if (lost.symbol, lost.feed) == (symbol, "book"))

    def unprotected(self, now_ns: int) -> dict[str, float]:
        """Seconds since when a symbol's position has had no stop at the venue."""
        return {symbol: max(0, now_ns - since_ns) / NS for symbol, since_ns in self._gaps.values()}

    # --- events ---

    def _started(self, event: Event, data: dict[str, Any]) -> None:
        self._begin()
        self._sent.clear()
        if data.get("life", data.get("session")) == data.get("session"):  # another account: what was open is no longer
            self._stops.clear()
            self._gaps.clear()

    def _book(self, event: Event, data: dict[str, Any]) -> None:
        if not data["usable"] and event.symbol is not None:
            self.resyncs[Lost(event.symbol, "walls" if "book" in data else "book", _cause(data["reason"]))] += 1

    def _order_sent(self, event: Event, data: dict[str, Any]) -> None:
        self._sent[data["client_order_id"], data["command"]] = event.ts
        if len(self._sent) > UNANSWERED_KEPT:
            del self._sent[next(iter(self._sent))]

    def _answered(self, event: Event, data: dict[str, Any]) -> None:
        command, answer = data["command"] or "place", ANSWERS[event.kind]
        since_ns = self._sent.pop((data["client_order_id"], command), None)
        self.answers[command, answer] += 1
        if answer == "ack" and since_ns is not None:
            self._took(command, event.ts - since_ns)
        if data["leg"] == "stop" and command == "place":
            (self._protected if answer == "ack" else self._bared)(event, data)

    def _canceled(self, event: Event, data: dict[str, Any]) -> None:
        """Also of what was never sent, and the rest of an order that could not be filled at once."""
        command = data["command"] or "place"
        since_ns = self._sent.pop((data["client_order_id"], command), None)
        if since_ns is not None:
            self.answers[command, "canceled"] += 1
        if since_ns is not None and command == "cancel":
            self._took("cancel", event.ts - since_ns)
        if data["leg"] == "stop":
            self._bared(event, data)

    def _took(self, command: str, took_ns: int) -> None:
        self.ack_s.setdefault(command, Spread(ACK_BOUNDS_S)).add(took_ns / NS)

    def _filled(self, event: Event, data: dict[str, Any]) -> None:
        if data["leg"] == "entry":
            self._opened(event, data)

    def _opened(self, event: Event, data: dict[str, Any]) -> None:
        position = data["position_id"]
        if not self._stops.get(position) and event.symbol is not None:
            self._gaps.setdefault(position, (event.symbol, event.ts))

    def _protected(self, event: Event, data: dict[str, Any]) -> None:
        position = data["position_id"]
        self._stops.setdefault(position, set()).add(data["client_order_id"])
        self._end_gap(position, event.ts)

    def _bared(self, event: Event, data: dict[str, Any]) -> None:
        """A gap only where a position is open and no other stop of it rests."""
        stops = self._stops.get(data["position_id"])
        if stops and data["client_order_id"] in stops:
            stops.discard(data["client_order_id"])
            self._opened(event, data)

    def _closed(self, event: Event, data: dict[str, Any]) -> None:
        self._end_gap(data["position_id"], event.ts)
        self._stops.pop(data["position_id"], None)

    def _end_gap(self, position: str, now_ns: int) -> None:
        gap = self._gaps.pop(position, None)
        if gap is not None:
            self.gap_s.add((now_ns - gap[1]) / NS)


def _cause(reason: str) -> str:
    word = next((each for each in LOST_BY if reason.startswith(each)), "feed")
    if reason.startswith("no snapshot"):
        return "snapshot"
    return "levels" if word in LEVELS else word
