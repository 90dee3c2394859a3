"""Desk `orders`: every order of ours, what became of it, and its events in the journal.

It is the only place that turns commands and reports into ORDER_* and FILL events, so no desk can forget one. Fills are booked
once per (instrument, trade id); a terminal order stays terminal; status never moves quantity.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, ClassVar

from bot.domain.events import Emit, text
from bot.domain.messages import Executed, Message, OrderChanged
from bot.domain.orders import (
    AmendOrder,
    CancelOrder,
    Fill,
    Order,
    OrderStatus,
    OrderType,
    OrderUpdate,
    PlaceOrder,
    TimeInForce,
    Trigger,
)
from bot.domain.ports import View
from bot.domain.values import Side

FINISHED_KEPT = 5_000
NEVER_ARRIVED = "the engine stopped before it reached the venue"
ANSWERS = {
    OrderStatus.SENT: "ORDER_SENT",
    OrderStatus.ACK: "ORDER_ACK",
    OrderStatus.REJECTED: "ORDER_REJECTED",
    OrderStatus.FILLED: "ORDER_FILLED",
    OrderStatus.CANCELED: "ORDER_CANCELED",
    OrderStatus.EXPIRED: "ORDER_CANCELED",
    OrderStatus.DROPPED: "ORDER_CANCELED",
    OrderStatus.UNKNOWN: "ORDER_UNKNOWN",
}
"""The event of each answer of a venue."""


class _Entry:
    """`order` is as the venue last accepted it, `wanted` as an amendment under way asks for it."""

    __slots__ = ("order", "terminal", "wanted")

    def __init__(self, order: Order) -> None:
        self.order = order
        self.wanted: Order | None = None
        self.terminal = False

    def amended(self, status: OrderStatus) -> None:
        if status is OrderStatus.ACK and self.wanted is not None:
            self.order = self.wanted
        if status is not OrderStatus.SENT:
            self.wanted = None


class Orders:
    name: ClassVar[str] = "orders"

    def __init__(self, trades_kept: int = 20 * FINISHED_KEPT) -> None:
        """`trades_kept` are remembered, so that a fill told twice is booked once."""
        self._trades_kept = trades_kept
        self._orders: OrderedDict[str, _Entry] = OrderedDict()
        self._trades: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._finished = 0

    def on(self, message: Message, view: View) -> Sequence[Message]:
        match message:
            case PlaceOrder(order=order):
                self._orders[order.client_order_id] = _Entry(order)
                return [self._intent(order, "place", order.reason)]
            case AmendOrder(order=order, reason=reason):
                if order.client_order_id in self._orders:
                    self._orders[order.client_order_id].wanted = order
                return [self._intent(order, "amend", reason)]
            case CancelOrder(order=order, reason=reason):
                return [self._intent(order, "cancel", reason)]
            case OrderUpdate():
                return self._update(message)
            case Fill():
                return self._fill(message, view)
            case _:
                return []

    def _intent(self, order: Order, command: str, reason: str) -> Emit:
        key = f"{command}:{order.client_order_id}"
        because = f"decision:{order.signal_id}" if order.leg == "entry" else order.position_id
        return _emit("ORDER_INTENT", order, reason, command, key=key, because=because)

    def _update(self, update: OrderUpdate) -> list[Message]:
        entry = self._orders.get(update.client_order_id)
        if entry is None:
            return [_stranger(update.instrument, update.client_order_id, f"{update.status} of an order we do not know")]
        if update.command == "amend":
            entry.amended(update.status)
        answers: list[Message] = []
        reason = update.reason or ("expired" if update.status is OrderStatus.EXPIRED else "")
        because = f"{update.command or 'place'}:{update.client_order_id}"
        answers.append(_emit(ANSWERS[update.status], entry.order, reason, update.command, because=because))
        rejected_change = update.status is OrderStatus.REJECTED and update.command in ("cancel", "amend")
        if update.status.terminal and not rejected_change:
            if entry.terminal:
                return answers
            self._finish(entry)
        answers.append(
            OrderChanged(order=entry.order, status=update.status, command=update.command, reason=update.reason)
        )
        return answers

    def _fill(self, fill: Fill, view: View) -> list[Message]:
        trade = (fill.instrument, fill.trade_id)
        if trade in self._trades:
            return []
        self._trades[trade] = None
        if len(self._trades) > self._trades_kept:
            self._trades.popitem(last=False)
        entry = self._orders.get(fill.client_order_id)
        liquidating = _liquidating(fill, view) if entry is None and fill.liquidation else None
        order = liquidating if entry is None else entry.order
        if order is None:
            return [
                _stranger(fill.instrument, fill.client_order_id, f"fill {fill.trade_id} of an order we do not know")
            ]
        emit = Emit(
            kind="FILL",
            instrument=fill.instrument,
            source="orders",
            corr=order.signal_id or None,
            because=f"place:{order.client_order_id}",
            data={
                "client_order_id": fill.client_order_id,
                "position_id": order.position_id,
                "trade_id": fill.trade_id,
                "side": fill.side,
                "price": text(fill.price),
                "quantity": text(fill.quantity),
                "fee": text(fill.fee),
                "fee_asset": fill.fee_asset,
                "maker": fill.maker,
                "leg": order.leg,
            },
        )
        return [emit, Executed(order=order, fill=fill)]

    def forget(self, client_order_ids: Iterable[str]) -> None:
        """No report about these will come."""
        for each in client_order_ids:
            entry = self._orders.pop(each, None)
            self._finished -= entry is not None and entry.terminal

    # --- restart: the same from the journal, without answers ---

    def recall_intent(self, order: Order, command: str) -> None:
        if command == "place":
            self._orders[order.client_order_id] = _Entry(order)
        elif command == "amend" and order.client_order_id in self._orders:
            self._orders[order.client_order_id].wanted = order

    def recall_answer(self, client_order_id: str, command: str, kind: str) -> bool:
        """Whether the order is over with this ORDER_* event; a refused change leaves it as it was."""
        entry = self._orders.get(client_order_id)
        if entry is None:
            return False
        if command == "amend":
            entry.amended(OrderStatus.ACK if kind == "ORDER_ACK" else OrderStatus.REJECTED)
        over = kind in ("ORDER_CANCELED", "ORDER_FILLED") or (kind == "ORDER_REJECTED" and command == "place")
        if over and not entry.terminal:
            self._finish(entry)
        return over

    def recall_fill(self, fill: Fill) -> None:
        self._trades[fill.instrument, fill.trade_id] = None

    def _finish(self, entry: _Entry) -> None:
        """Remember finished orders for late reports, but not for ever."""
        entry.terminal = True
        self._finished += 1
        if self._finished > FINISHED_KEPT:
            oldest = next(key for key, kept in self._orders.items() if kept.terminal)
            del self._orders[oldest]
            self._finished -= 1


def _emit(
    kind: str, order: Order, reason: str, command: str, *, key: str | None = None, because: str | None = None
) -> Emit:
    data: dict[str, Any] = {
        "client_order_id": order.client_order_id,
        "signal_id": order.signal_id,
        "position_id": order.position_id,
        "leg": order.leg,
        "side": order.side,
        "type": order.type,
        "price": text(order.price),
        "stop_price": text(order.stop_price),
        "quantity": text(order.quantity),
        "reduce_only": order.reduce_only,
        "close_position": order.close_position,
        "tif": order.tif,
        "trigger": order.trigger,
        "stop_distance": text(order.stop_distance),
        "explored": order.explored,
        "order_reason": order.reason,
        "reason": reason,
        "command": command,
    }
    return Emit(
        kind=kind,
        instrument=order.instrument,
        source="orders",
        corr=order.signal_id or None,
        key=key,
        because=because,
        data=data,
    )


def _liquidating(fill: Fill, view: View) -> Order | None:
    """The venue's own order, as an exit of the position it takes away (its id is the venue's: "autoclose-...")."""
    position = view.portfolio.position(fill.instrument)
    if position is None or fill.side is not position.direction.exit_side:
        return None
    return Order(
        client_order_id=fill.client_order_id,
        instrument=fill.instrument,
        signal_id=position.signal_id,
        position_id=position.position_id,
        leg="liquidation",
        side=fill.side,
        type=OrderType.MARKET,
        quantity=fill.quantity,
        reduce_only=True,
        reason="liquidation",
    )


def order_of(data: Mapping[str, Any], instrument: str) -> Order:
    """The order that an ORDER_* event tells of, as asked for or as it was accepted."""
    return Order(
        client_order_id=data["client_order_id"],
        instrument=instrument,
        signal_id=data["signal_id"],
        position_id=data["position_id"],
        leg=data["leg"],
        side=Side(data["side"]),
        type=OrderType(data["type"]),
        quantity=Decimal(data["quantity"]),
        price=_number(data["price"]),
        stop_price=_number(data["stop_price"]),
        trigger=Trigger(data["trigger"]),
        tif=TimeInForce(data["tif"]),
        reduce_only=data["reduce_only"],
        close_position=data["close_position"],
        stop_distance=_number(data["stop_distance"]),
        explored=data.get("explored", False),
        reason=data["order_reason"],
    )


def _number(value: str | None) -> Decimal | None:
    return None if value is None else Decimal(value)


def never_arrived(order: Order) -> Emit:
    """Of an order that was still on its way to a simulated venue when the engine stopped: it is over."""
    return _emit("ORDER_CANCELED", order, NEVER_ARRIVED, "place", because=f"place:{order.client_order_id}")


def _stranger(instrument: str, client_order_id: str, reason: str) -> Emit:
    data = {"client_order_id": client_order_id, "reason": reason}
    return Emit(kind="DISCREPANCY", instrument=instrument, source="orders", data=data)
