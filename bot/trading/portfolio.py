"""Open positions, entries on their way, what they are worth, and what the limits need to remember of the day.

Written by the desk `positions` alone (the desk `state` sets the account's day and peak); guards, sizing, exits and the page read it.
Equity is the wallet and what open positions would bring at mark, so that from event to event it changes by what was realised, by
what the marks did, less fees, plus funding and transfers, exactly.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from bot.domain.orders import Fill, Funding, Order, Transfer
from bot.domain.values import NS, Direction
from bot.trading.margin import SAMPLE, Bracket, liquidation_price, maintenance_usd
from bot.trading.money import DAY_NS, ZERO, Money
from bot.trading.position import Position

MINUTE_NS = 60 * NS
BOOKED_KEPT = 1_000  # fundings and transfers remembered, so that none is booked twice


@dataclass(frozen=True, slots=True)
class _Entry:
    order: Order
    risk_usd: Decimal  # lost if all of it fills at its limit and then stops out


class Portfolio:
    """`mark` gives an instrument's mark price, or None where there is none (then a position counts at its entry price). `exit_fee`
    is the fraction of price that leaving through a stop costs."""

    def __init__(self, wallet_usd: Decimal, mark: Callable[[str], Decimal | None], exit_fee: Decimal = ZERO) -> None:
        self.money = Money(wallet_usd)
        self._mark, self._exit_fee = mark, exit_fee
        self._positions: dict[str, Position] = {}  # by instrument
        self._by_id: dict[str, Position] = {}
        self._entries: dict[str, _Entry] = {}  # working entry orders by client order id
        self._entered: dict[str, set[str]] = {}  # their ids by instrument
        self._last_closed: dict[str, Position] = {}  # by instrument
        self._last_close_ns: dict[str, int] = {}
        self._last_stop_ns: dict[tuple[str, Direction], int] = {}
        self._entries_day = 0
        self._entries_today: dict[str, int] = {}
        self._sent_ns: deque[int] = deque()  # order commands of the last minute
        self._booked: OrderedDict[tuple[str, int | str], None] = OrderedDict()

    # --- money ---

    @property
    def wallet_usd(self) -> Decimal:
        return self.money.wallet_usd

    @property
    def day_start_usd(self) -> Decimal:
        return self.money.day_start_usd

    @property
    def peak_usd(self) -> Decimal:
        return self.money.peak_usd

    def equity_usd(self) -> Decimal:
        return self.money.wallet_usd + self.unrealised_usd()

    def unrealised_usd(self) -> Decimal:
        return sum((p.unrealised_usd(self.price_usd(p)) for p in self._positions.values()), ZERO)

    def valued(self) -> bool:
        """Whether every open position has a mark. Where one has none, equity is a guess that nothing may be concluded from."""
        return all(self._mark(instrument) is not None for instrument in self._positions)

    def open_risk_usd(self) -> Decimal:
        """What would be lost besides what already is, if every stop filled now at its trigger: from mark, because the way from
        entry to mark is in the equity already. Fees out included, entries on their way too, profits locked in by a stop not."""
        held = sum((self._risk_usd(p) for p in self._positions.values()), ZERO)
        return held + sum((entry.risk_usd for entry in self._entries.values()), ZERO)

    def notional_usd(self, instrument: str | None = None) -> Decimal:
        open_usd = sum(
            (p.quantity * self.price_usd(p) for p in self._positions.values() if instrument in (None, p.instrument)),
            ZERO,
        )
        pending_usd = sum(
            (o.quantity * (o.price or 0) for o in self.entries() if instrument in (None, o.instrument)), ZERO
        )
        return open_usd + pending_usd

    def liquidation_price(self, position: Position, brackets: Mapping[str, Sequence[Bracket]]) -> Decimal | None:
        """Where the venue would liquidate it while the others stand as they do (cross margin); None: nowhere. `brackets` by
        instrument; the dated sample for those not in it."""
        others = [each for each in self._positions.values() if each is not position]
        maintenance = (
            maintenance_usd(each.quantity * self.price_usd(each), brackets.get(each.instrument, SAMPLE))
            for each in others
        )
        return liquidation_price(
            self.wallet_usd,
            position.direction.sign,
            position.quantity,
            position.entry_price,
            brackets.get(position.instrument, SAMPLE),
            other_maintenance_usd=sum(maintenance, ZERO),
            other_unrealised_usd=sum((each.unrealised_usd(self.price_usd(each)) for each in others), ZERO),
        )

    # --- positions ---

    def position(self, instrument: str) -> Position | None:
        return self._positions.get(instrument)

    def positions(self) -> Iterable[Position]:
        return self._positions.values()

    def last_position(self, instrument: str) -> Position | None:
        """The open one, else the one that closed last: funding may come up to a minute after a close."""
        return self._positions.get(instrument) or self._last_closed.get(instrument)

    def by_id(self, position_id: str) -> Position | None:
        return self._by_id.get(position_id)

    def exposed(self, direction: Direction) -> list[str]:
        """Instruments with a position or an entry on its way in that direction, in a fixed order."""
        held = [p.instrument for p in self._positions.values() if p.direction is direction]
        coming = [o.instrument for o in self.entries() if o.side is direction.entry_side]
        return list(dict.fromkeys(held + coming))

    # --- entries ---

    def entries(self) -> Iterable[Order]:
        return (entry.order for entry in self._entries.values())

    def pending(self, instrument: str) -> bool:
        return instrument in self._entered

    def pending_count(self) -> int:
        """Entries on their way in instruments without a position yet."""
        return len({o.instrument for o in self.entries()} - self._positions.keys())

    def entries_today(self, now_ns: int, instrument: str | None = None) -> int:
        if now_ns // DAY_NS > self._entries_day:
            return 0
        return sum(self._entries_today.values()) if instrument is None else self._entries_today.get(instrument, 0)

    def orders_last_minute(self, now_ns: int) -> int:
        """Order commands of every kind and leg; one that is 60 s old no longer counts."""
        return sum(1 for at_ns in self._sent_ns if now_ns - at_ns < MINUTE_NS)

    def last_close_ns(self, instrument: str) -> int | None:
        return self._last_close_ns.get(instrument)

    def last_stop_ns(self, instrument: str, direction: Direction) -> int | None:
        return self._last_stop_ns.get((instrument, direction))

    # --- written by the desk `positions` ---

    def order_sent(self, now_ns: int) -> None:
        self._sent_ns.append(now_ns)
        while now_ns - self._sent_ns[0] >= MINUTE_NS:
            self._sent_ns.popleft()

    def entry_sent(self, order: Order, now_ns: int, risk_usd: Decimal = ZERO) -> None:
        self._entries[order.client_order_id] = _Entry(order, risk_usd)
        self._entered.setdefault(order.instrument, set()).add(order.client_order_id)
        self._roll_day(now_ns)
        self._entries_today[order.instrument] = self._entries_today.get(order.instrument, 0) + 1

    def entry_done(self, order: Order) -> None:
        if self._entries.pop(order.client_order_id, None) is not None:
            self._entered[order.instrument].discard(order.client_order_id)
            if not self._entered[order.instrument]:
                del self._entered[order.instrument]

    def opened(self, position: Position) -> None:
        self._positions[position.instrument] = position
        self._by_id[position.position_id] = position

    def book_entry(self, position: Position, fill: Fill) -> None:
        position.entered += fill.quantity
        position.entry_value += fill.price * fill.quantity
        self._pay(position, fill.fee)

    def book_exit(self, position: Position, fill: Fill) -> None:
        self.money.realise(position.book_exit(fill.price, fill.quantity))
        self._pay(position, fill.fee)

    def book_funding(self, funding: Funding) -> bool:
        """False, and nothing booked, for one that was booked before."""
        if not self._is_new(funding.instrument, funding.due_ns):
            return False
        position = self.last_position(funding.instrument)
        if position is not None:
            position.book_funding(funding.usd, funding.due_ns)
        self.money.fund(funding.usd)
        return True

    def book_transfer(self, transfer: Transfer) -> bool:
        """False, and nothing booked, for one that was booked before."""
        if not self._is_new("transfer", transfer.transfer_id):
            return False
        self.money.transfer(transfer.usd)
        return True

    def closed(self, position: Position, now_ns: int, reason: str) -> None:
        del self._positions[position.instrument]
        del self._by_id[position.position_id]
        self._last_closed[position.instrument] = position
        self._last_close_ns[position.instrument] = now_ns
        if reason == "stop":
            self._last_stop_ns[position.instrument, position.direction] = now_ns

    def forget(self, instrument: str) -> None:
        """Everything of it but its money: nobody will ask again."""
        position = self._positions.pop(instrument, None)
        if position is not None:
            del self._by_id[position.position_id]
        for order_id in self._entered.pop(instrument, ()):
            del self._entries[order_id]
        self._last_closed.pop(instrument, None)
        self._last_close_ns.pop(instrument, None)
        self._entries_today.pop(instrument, None)
        for direction in Direction:
            self._last_stop_ns.pop((instrument, direction), None)

    def _roll_day(self, now_ns: int) -> None:
        """The UTC day of engine time; it never goes back."""
        day = now_ns // DAY_NS
        if day > self._entries_day:
            self._entries_day = day
            self._entries_today.clear()

    def _is_new(self, what: str, key: int | str) -> bool:
        if (what, key) in self._booked:
            return False
        self._booked[what, key] = None
        if len(self._booked) > BOOKED_KEPT:
            self._booked.popitem(last=False)
        return True

    def _pay(self, position: Position, fee_usd: Decimal) -> None:
        position.fees_usd += fee_usd
        self.money.pay_fee(fee_usd)

    def price_usd(self, position: Position) -> Decimal:
        """What one coin of it counts: the mark, else what was paid."""
        mark = self._mark(position.instrument)
        return position.entry_price if mark is None else mark

    def _risk_usd(self, position: Position) -> Decimal:
        sign = position.direction.sign
        stop = position.stop_price
        if stop is None:  # on its way to the venue
            stop = position.entry_price * (1 - sign * position.stop_fraction)
        loss = sign * (self.price_usd(position) - stop) + stop * self._exit_fee
        return position.quantity * max(loss, ZERO)
