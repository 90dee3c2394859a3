"""The equity curve that Overview draws: samples of the running engine, before them what the journal says of earlier sessions.

The journal keeps no samples. It has every fill and payment, so equity as of each can be told again, held positions at the price
of their coin's last fill; and it has the exact equity of each new peak and day. Read once, when a session begins.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

from bot.domain.events import Event, text
from bot.domain.values import NS

Point = tuple[int, str]  # ns, USD
POINT_NS = 60 * NS
POINTS_KEPT = 2880  # two days
KEPT_NS = POINTS_KEPT * POINT_NS
PAST_KEPT = 1440  # of earlier sessions: a day of them
ZERO = Decimal(0)


class Equity:
    """Points [ns, USD] of the equity, one a minute of engine time."""

    def __init__(self, now_ns: Callable[[], int], equity_usd: Callable[[], Any], past: Iterable[Point] = ()) -> None:
        self._now_ns, self._equity_usd = now_ns, equity_usd
        self._points: deque[Point] = deque(past, maxlen=POINTS_KEPT)

    def sample(self) -> None:
        now_ns = self._now_ns()
        if not now_ns:
            return  # the engine has not begun
        if not self._points or now_ns - self._points[-1][0] >= POINT_NS:
            self._points.append((now_ns, format(self._equity_usd(), "f")))
        while now_ns - self._points[0][0] > KEPT_NS:
            self._points.popleft()

    def __call__(self) -> list[Point]:
        self.sample()
        return list(self._points)


class PastEquity:
    """An observer of the events of earlier sessions. What another account had is not part of the curve."""

    def __init__(self) -> None:
        self._points: deque[tuple[int, Decimal]] = deque(maxlen=PAST_KEPT)
        self._handlers: dict[str, Callable[[Event, dict[str, Any]], None]] = {
            "ENGINE_STARTED": self._started,
            "FILL": self._filled,
            "POSITION_ADOPTED": self._adopted,
            "FUNDING": self._paid,
            "TRANSFER": self._paid,
            "PEAK": self._told,
            "DAY_STARTED": self._told,
        }
        self._begin(None)

    def _begin(self, cash_usd: Decimal | None) -> None:
        self._cash_usd = cash_usd  # what would be left if everything held were worth nothing; None: nobody says
        self._held: dict[str | None, Decimal] = {}
        self._prices: dict[str | None, Decimal] = {}
        self._points.clear()

    def on_events(self, events: Iterable[Event]) -> None:
        for event in events:
            handler = self._handlers.get(event.kind)
            if handler is not None:
                handler(event, event.data)

    def points(self) -> list[Point]:
        """The last day of them, oldest first, one a minute at most."""
        newest_ns = self._points[-1][0] if self._points else 0
        return [(ns, text(usd) or "") for ns, usd in self._points if newest_ns - ns <= PAST_KEPT * POINT_NS]

    def _started(self, event: Event, data: dict[str, Any]) -> None:
        if data.get("life", data.get("session")) == data.get("session"):
            began = data.get("began_usd")
            self._begin(None if began is None else Decimal(began))

    def _filled(self, event: Event, data: dict[str, Any]) -> None:
        quantity = Decimal(data["quantity"]) * (1 if data["side"] == "buy" else -1)
        self._trade(event.symbol, quantity, Decimal(data["price"]), Decimal(data["fee"]))
        self._add(event.ts)

    def _adopted(self, event: Event, data: dict[str, Any]) -> None:
        """Not of our fills: the wallet has been as it is since before."""
        quantity = Decimal(data["quantity"]) * (1 if data["direction"] == "long" else -1)
        self._trade(event.symbol, quantity, Decimal(data["entry_price"]), ZERO)

    def _trade(self, symbol: str | None, quantity: Decimal, price: Decimal, fee: Decimal) -> None:
        self._held[symbol] = self._held.get(symbol, ZERO) + quantity
        self._prices[symbol] = price
        if self._cash_usd is not None:
            self._cash_usd -= quantity * price + fee

    def _paid(self, event: Event, data: dict[str, Any]) -> None:
        if self._cash_usd is not None:
            self._cash_usd += Decimal(data["usd"])
        self._add(event.ts)

    def _told(self, event: Event, data: dict[str, Any]) -> None:
        self._put(event.ts, Decimal(data["equity_usd"]))

    def _add(self, at_ns: int) -> None:
        if self._cash_usd is not None:
            held = (quantity * self._prices[symbol] for symbol, quantity in self._held.items())
            self._put(at_ns, self._cash_usd + sum(held, ZERO))

    def _put(self, at_ns: int, usd: Decimal) -> None:
        """The last of a minute stands for it."""
        if self._points and at_ns - self._points[-1][0] < POINT_NS:
            self._points[-1] = (self._points[-1][0], usd)
        else:
            self._points.append((at_ns, usd))
