"""The account: wallet, open positions, entries on their way, and what the limits need to remember of the day.

Written by the desk `positions` alone; guards, sizing, exits and the page read it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal

from bot.domain.orders import Fill, Order
from bot.domain.values import NS, Direction
from bot.trading.position import Position

DAY_NS = 86_400 * NS


class Portfolio:
    """`mark` gives an instrument's mark price, or None where there is none (then a position counts at its entry price)."""

    def __init__(self, wallet_usd: Decimal, mark: Callable[[str], Decimal | None]) -> None:
        self.wallet_usd = wallet_usd
        self._mark = mark
        self._positions: dict[str, Position] = {}  # by instrument
        self._by_id: dict[str, Position] = {}
        self._entries: dict[str, Order] = {}  # working entry orders by client order id
        self._last_close_ns: dict[str, int] = {}
        self._last_stop_ns: dict[tuple[str, Direction], int] = {}
        self._day = 0
        self._entries_today: dict[str, int] = {}

    # --- read ---

    def equity_usd(self) -> Decimal:
        return self.wallet_usd + sum((self._profit(p) for p in self._positions.values()), Decimal(0))

    def position(self, instrument: str) -> Position | None:
        return self._positions.get(instrument)

    def positions(self) -> Iterable[Position]:
        return self._positions.values()

    def by_id(self, position_id: str) -> Position | None:
        return self._by_id.get(position_id)

    def entries(self) -> Iterable[Order]:
        return self._entries.values()

    def pending(self, instrument: str) -> bool:
        return any(order.instrument == instrument for order in self._entries.values())

    def pending_count(self) -> int:
        """Entries on their way in instruments without a position yet."""
        return len({o.instrument for o in self._entries.values()} - self._positions.keys())

    def notional_usd(self, instrument: str | None = None) -> Decimal:
        open_usd = sum(
            (p.quantity * self._price(p) for p in self._positions.values() if instrument in (None, p.instrument)),
            Decimal(0),
        )
        pending_usd = sum(
            (o.quantity * (o.price or 0) for o in self._entries.values() if instrument in (None, o.instrument)),
            Decimal(0),
        )
        return open_usd + pending_usd

    def entries_today(self, now_ns: int, instrument: str | None = None) -> int:
        if now_ns // DAY_NS > self._day:
            return 0
        return sum(self._entries_today.values()) if instrument is None else self._entries_today.get(instrument, 0)

    def last_close_ns(self, instrument: str) -> int | None:
        return self._last_close_ns.get(instrument)

    def last_stop_ns(self, instrument: str, direction: Direction) -> int | None:
        return self._last_stop_ns.get((instrument, direction))

    # --- written by the desk `positions` ---

    def entry_sent(self, order: Order, now_ns: int) -> None:
        self._entries[order.client_order_id] = order
        self._roll_day(now_ns)
        self._entries_today[order.instrument] = self._entries_today.get(order.instrument, 0) + 1

    def entry_done(self, order: Order) -> None:
        self._entries.pop(order.client_order_id, None)

    def opened(self, position: Position) -> None:
        self._positions[position.instrument] = position
        self._by_id[position.position_id] = position

    def book_entry(self, position: Position, fill: Fill) -> None:
        position.entered += fill.quantity
        position.entry_value += fill.price * fill.quantity
        self._pay(position, fill.fee)

    def book_exit(self, position: Position, fill: Fill) -> None:
        position.exited += fill.quantity
        position.exit_value += fill.price * fill.quantity
        self._pay(position, fill.fee)

    def closed(self, position: Position, now_ns: int, reason: str) -> None:
        del self._positions[position.instrument]
        del self._by_id[position.position_id]
        self.wallet_usd += position.profit_usd(Decimal(0))
        self._last_close_ns[position.instrument] = now_ns
        if reason == "stop":
            self._last_stop_ns[position.instrument, position.direction] = now_ns

    def _roll_day(self, now_ns: int) -> None:
        """The UTC day of engine time; it never goes back."""
        day = now_ns // DAY_NS
        if day > self._day:
            self._day = day
            self._entries_today.clear()

    def _pay(self, position: Position, fee_usd: Decimal) -> None:
        position.fees_usd += fee_usd
        self.wallet_usd -= fee_usd

    def _price(self, position: Position) -> Decimal:
        mark = self._mark(position.instrument)
        return position.entry_price if mark is None else mark

    def _profit(self, position: Position) -> Decimal:
        return position.profit_usd(self._price(position))
