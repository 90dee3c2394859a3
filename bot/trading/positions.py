"""Desk `positions`: the entry rule, the position book, and the account's money.

A decision becomes one IOC order or a SIGNAL_EXPIRED; fills become positions, and so does what the venue holds already (Adopt).
What protects and closes them is decided by the desk `exits`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import ClassVar

from pydantic import Field

from bot.domain.events import GATE, Emit, rounded, text
from bot.domain.instrument import exact
from bot.domain.messages import (
    Adopt,
    Closed,
    EntryDone,
    Executed,
    FirstFill,
    FlattenRequest,
    KillRequest,
    Message,
    OrderChanged,
    Reduced,
    StopRequest,
)
from bot.domain.orders import (
    AmendOrder,
    CancelOrder,
    Fill,
    Funding,
    Order,
    OrderStatus,
    OrderType,
    PlaceOrder,
    TimeInForce,
    Transfer,
)
from bot.domain.params import Params
from bot.domain.ports import IdFactory, View
from bot.domain.values import NS, Decision, Direction, Side, Signal
from bot.trading.exits.hold import HoldParams, TrueTrendParams
from bot.trading.exits.protection import StopParams, stop_fraction
from bot.trading.freeze import freeze, nothing_known, walls_told
from bot.trading.order_limits import Wanted, check_order, risk_usd
from bot.trading.portfolio import Portfolio
from bot.trading.position import Position
from bot.trading.risk import Breach
from bot.trading.sizing import SizeRules, limit_price

LastLook = Callable[[Wanted, View, SizeRules], Breach | None]
"""The limits that an entry is held against before it leaves."""


class EntryParams(Params):
    max_slip_bps: Decimal = Field(Decimal(10), ge=0, le=500, description="limit beyond the opposite best price")
    max_age_s: float = Field(10.0, gt=0, description="a signal older than this has expired")
    max_move_pct: Decimal = Field(
        Decimal("0.3"), gt=0, description="so has one from which price moved farther than this"
    )


class Positions:
    name: ClassVar[str] = "positions"

    def __init__(
        self,
        portfolio: Portfolio,
        ids: IdFactory,
        *,
        entry: EntryParams,
        hold: HoldParams,
        true_trend: TrueTrendParams,
        stop: StopParams,
        rules: SizeRules,
        last_look: LastLook = check_order,
    ) -> None:
        self._portfolio = portfolio
        self._ids = ids
        self._rules = rules
        self._last_look = last_look
        self._entry, self._hold, self._true_trend, self._stop = entry, hold, true_trend, stop
        self._halted_for = ""  # the liquidation order that trading was halted for

    def on(self, message: Message, view: View) -> Sequence[Message]:
        match message:
            case Decision() if message.allowed and not message.reversal:
                return self._enter(message, view)
            case Executed(order=order) if order.leg == "entry":
                return self._entered(message, view)
            case Executed():
                return self._exited(message, view)
            case OrderChanged(order=order) if order.leg == "entry" and message.finished:
                return self._entry_done(order)
            case OrderChanged(order=order) if order.leg == "stop":
                return self._stop_changed(message)
            case Adopt():
                return self._adopt(message, view)
            case PlaceOrder() | AmendOrder() | CancelOrder():
                self._portfolio.order_sent(view.now_ns)
                return []
            case StopRequest():
                return self._cancel_entries("stopping")
            case KillRequest() | FlattenRequest():
                return self._cancel_entries("killed")
            case Funding():
                return self._funded(message, view)
            case Transfer():
                return self._transferred(message)
            case _:
                return []

    def _enter(self, decision: Decision, view: View) -> list[Message]:
        signal = decision.signal
        expired = self._taken(signal) or self._expired(signal, view)
        if expired is not None:
            return [_expired_event(signal, expired)]
        order = self._entry_order(decision, view)
        wanted = _wanted(order, decision)
        broken = self._last_look(wanted, view, self._rules)
        if broken is not None:
            return [_refused_event(signal, broken)]
        self._portfolio.entry_sent(order, view.now_ns, risk_usd(wanted, self._rules.fee))
        return [PlaceOrder(order=order)]

    def _cancel_entries(self, reason: str) -> list[Message]:
        return [CancelOrder(order=order, reason=reason) for order in self._portfolio.entries()]

    def _taken(self, signal: Signal) -> str | None:
        """One position and one entry a symbol, whatever was decided on the way here."""
        if self._portfolio.position(signal.instrument) is not None or self._portfolio.pending(signal.instrument):
            return "another entry in the symbol came first"
        return None

    def _expired(self, signal: Signal, view: View) -> str | None:
        age_s = (view.now_ns - signal.ts_ns) / NS
        if age_s > self._entry.max_age_s:
            return f"{age_s:.1f} s old, limit {self._entry.max_age_s:g} s"
        best = _opposite_best(signal, view)
        if best is None:
            return "no order book"
        if abs(exact(best) - signal.price) * 100 > self._entry.max_move_pct * signal.price:
            return f"price moved from {signal.price:f} to {exact(best):f}, limit {self._entry.max_move_pct:f} %"
        return None

    def _entry_order(self, decision: Decision, view: View) -> Order:
        """One IOC limit at the opposite best price and a little beyond; the rest is not chased."""
        signal = decision.signal
        instrument = view.instrument(signal.instrument)
        best = exact(_opposite_best(signal, view) or 0.0)
        return Order(
            client_order_id=self._ids.client_order_id("entry"),
            instrument=signal.instrument,
            signal_id=signal.signal_id,
            position_id=self._ids.unique(),
            leg="entry",
            side=signal.direction.entry_side,
            type=OrderType.LIMIT,
            tif=TimeInForce.IOC,
            quantity=decision.quantity,
            price=limit_price(best, signal.direction, self._entry.max_slip_bps / 10_000, instrument),
            stop_distance=decision.stop_distance,
            explored=decision.explored,
            reason=signal.strategy,
        )

    def _entered(self, executed: Executed, view: View) -> list[Message]:
        order, fill = executed.order, executed.fill
        position = self._portfolio.by_id(order.position_id)
        if position is not None:
            self._portfolio.book_entry(position, fill)
            return []
        position = self._of_first_fill(order, fill, view)
        self._portfolio.opened(position)
        self._portfolio.book_entry(position, fill)
        return [_entered_event(position, view), FirstFill(position_id=position.position_id)]

    def _of_first_fill(self, order: Order, fill: Fill, view: View) -> Position:
        """It keeps the rules and inputs of this moment; the stop's distance is the decision's, which it was sized by."""
        direction = _direction(order.side)
        return Position(
            position_id=order.position_id,
            signal_id=order.signal_id,
            instrument=order.instrument,
            direction=direction,
            opened_ns=view.now_ns,
            first_price=fill.price,
            stop_fraction=order.stop_distance or stop_fraction(self._stop),
            frozen=freeze(direction, order.instrument, fill.price, view, self._hold, self._true_trend),
            explored=order.explored,
        )

    def _adopt(self, adopt: Adopt, view: View) -> list[Message]:
        """A position that no signal of ours made: protected, otherwise left alone. Its fees were paid elsewhere."""
        if self._portfolio.position(adopt.instrument) is not None:
            reason = f"the venue's {adopt.quantity:f} was to be adopted where a position of ours is open"
            return [_discrepancy(adopt.instrument, reason)]
        position = Position(
            position_id=self._ids.unique(),
            signal_id="",
            instrument=adopt.instrument,
            direction=adopt.direction,
            opened_ns=view.now_ns,
            first_price=adopt.entry_price,
            stop_fraction=self._stop.adopted_pct / 100,
            frozen=nothing_known("adopted"),
            entered=adopt.quantity,
            entry_value=adopt.quantity * adopt.entry_price,
            stop_price=adopt.stop_price,
            adopted=True,
        )
        self._portfolio.opened(position)
        return [FirstFill(position_id=position.position_id)]

    def _stop_changed(self, message: OrderChanged) -> list[Message]:
        """What protects it is what the venue last accepted."""
        position = self._portfolio.by_id(message.order.position_id)
        if position is None:
            return []
        if message.status is OrderStatus.ACK:
            position.stop_price = message.order.stop_price
        elif message.finished and message.status is not OrderStatus.FILLED:
            position.stop_price = None
        return []

    def _entry_done(self, order: Order) -> list[Message]:
        self._portfolio.entry_done(order)
        position = self._portfolio.by_id(order.position_id)
        return [] if position is None else [EntryDone(position_id=order.position_id)]

    def _exited(self, executed: Executed, view: View) -> list[Message]:
        order, fill = executed.order, executed.fill
        position = self._portfolio.by_id(order.position_id)
        if position is None:
            return [_discrepancy(order.instrument, "exit fill without a position", order.client_order_id)]
        reason = _exit_reason(order)
        self._portfolio.book_exit(position, fill)
        halt = self._halt(fill, view) if fill.liquidation else []
        if position.quantity > 0:
            return [*halt, Reduced(position_id=position.position_id, leg=order.leg)]
        self._portfolio.closed(position, view.now_ns, reason)
        return [*halt, _closed_event(position, view.now_ns, reason), Closed(position_id=position.position_id)]

    def _halt(self, fill: Fill, view: View) -> list[Message]:
        """Asked for once for each order of the venue's."""
        if fill.client_order_id == self._halted_for:
            return []
        self._halted_for = fill.client_order_id
        return [KillRequest(reason=f"liquidation of {view.instrument(fill.instrument).unified}")]

    # --- money that no fill brings ---

    def _funded(self, funding: Funding, view: View) -> list[Message]:
        """What is booked after the close that pays it is not in what POSITION_CLOSED told: it says so, with the new sum."""
        if not self._portfolio.book_funding(funding):
            return []
        position = self._portfolio.last_position(funding.instrument)
        data = {
            "position_id": None if position is None else position.position_id,
            "due_ns": funding.due_ns,
            "rate": text(funding.rate),
            "mark": text(funding.mark),
            "quantity": text(funding.quantity),
            "usd": text(funding.usd),
        }
        if position is None:  # the venue paid for what we know nothing of
            return [Emit(kind="FUNDING", instrument=funding.instrument, source=self.name, data=data)]
        so_far = position.funding_usd(view.now_ns)
        data |= {"after_close": position.quantity == 0, "funding_usd": None if so_far is None else text(so_far)}
        return [position.event("FUNDING", self.name, data)]

    def _transferred(self, transfer: Transfer) -> list[Message]:
        if not self._portfolio.book_transfer(transfer):
            return []
        data = {"transfer_id": transfer.transfer_id, "usd": text(transfer.usd)}
        return [Emit(kind="TRANSFER", source=self.name, data=data)]


def _wanted(order: Order, decision: Decision) -> Wanted:
    assert order.price is not None  # entries are limits
    return Wanted(order.instrument, decision.signal.direction, order.quantity, order.price, decision.stop_distance)


def _opposite_best(signal: Signal, view: View) -> float | None:
    market = view.market(signal.instrument)
    return market.ask if signal.direction.sign > 0 else market.bid


def _direction(entry_side: Side) -> Direction:
    return Direction.LONG if entry_side is Side.BUY else Direction.SHORT


def _exit_reason(order: Order) -> str:
    if order.leg == "close":
        return order.reason
    return "take_profit" if order.leg.startswith("tier") else order.leg


def _discrepancy(instrument: str, reason: str, client_order_id: str | None = None) -> Emit:
    data = {"client_order_id": client_order_id, "reason": reason}
    return Emit(kind="DISCREPANCY", instrument=instrument, source="positions", data=data)


def _entered_event(position: Position, view: View) -> Emit:
    """Everything that is frozen at the first fill: with the fills it makes the position again."""
    data = {
        "signal_id": position.signal_id,
        "direction": position.direction,
        "first_price": text(position.first_price),
        "opened_ns": position.opened_ns,
        "stop_fraction": text(position.stop_fraction),
        "explored": position.explored,
        **position.frozen.told(),
        "walls": walls_told(position.instrument, view),
    }
    because = f"decision:{position.signal_id}"
    return position.event("POSITION_ENTERED", "positions", data, key=position.position_id, because=because)


def _expired_event(signal: Signal, reason: str) -> Emit:
    return Emit(
        kind="SIGNAL_EXPIRED",
        instrument=signal.instrument,
        source="positions",
        corr=signal.signal_id,
        because=signal.signal_id,
        data={
            "signal_id": signal.signal_id,
            "strategy": signal.strategy,
            "direction": signal.direction,
            "strength": signal.strength,
            "price": text(signal.price),
            "reason": reason,
        },
    )


def _refused_event(signal: Signal, broken: Breach) -> Emit:
    """The gate had allowed it: the limits' last look, at the very order, speaks in the gate's name."""
    return Emit(
        kind="RISK_LIMIT_BLOCK",
        instrument=signal.instrument,
        source=GATE,
        corr=signal.signal_id,
        because=f"decision:{signal.signal_id}",
        data={
            "signal_id": signal.signal_id,
            "direction": signal.direction.value,
            "value": broken.value,
            "threshold": broken.threshold,
            "reading_source": None,
            "reading_age_s": None,
            "reason": broken.reason,
            "last_look": True,
        },
    )


def _closed_event(position: Position, now_ns: int, reason: str) -> Emit:
    pnl = position.profit_usd(Decimal(0)) - position.fees_usd + position.funding
    data = {
        "reason": reason,
        "in_force_hold": now_ns < position.hold_until_ns,
        "exit_price": text(rounded(position.exit_price)),
        "pnl_usd": text(pnl),
        "pnl_r": round(position.r_multiple(pnl), 4),
        "fees_usd": text(position.fees_usd),
        "funding_usd": text(position.funding_usd(now_ns)),
        "held_s": round((now_ns - position.opened_ns) / NS, 3),
        "adopted": position.adopted,
    }
    return position.event("POSITION_CLOSED", "positions", data)
