"""Journal to state: folds the events of an account's life back into the desks that wrote them.

Start-up is recovery, and this is its first half: portfolio, positions with their plans, working orders, causes of the trading
state, cool-downs, budgets and the ids of signals seen are as they were after the last event. What was sent and what the venue
reported is kept in order, so that a simulated venue can be brought to the same point. Pure; no order is placed here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import pairwise
from typing import Any

from bot.domain.events import Event
from bot.domain.orders import (
    AmendOrder,
    CancelOrder,
    Fill,
    Funding,
    Order,
    OrderCommand,
    OrderStatus,
    OrderUpdate,
    PlaceOrder,
    Transfer,
)
from bot.domain.values import Direction, Magnet, RegimeLabel, Side
from bot.trading.account import Held
from bot.trading.exits.hold import max_pain_gap_pct
from bot.trading.exits.recall import PlanRecall, number
from bot.trading.fills import Resting
from bot.trading.freeze import nothing_known
from bot.trading.order_limits import Wanted, risk_usd
from bot.trading.orders import ANSWERS, NEVER_ARRIVED, Orders, order_of
from bot.trading.portfolio import Portfolio
from bot.trading.position import Frozen, Position
from bot.trading.state import State

Data = dict[str, Any]
Told = tuple[str, ...]
"""What a report of the venue said: (client order id, command, kind) of an order, (\"fill\", instrument, trade id), (\"funding\",
instrument, due time)."""


@dataclass(slots=True)
class Sent:
    """A command as it left; `after` so many reports of the venue, None where the journal ends before it says so."""

    decided_ns: int
    command: OrderCommand
    after: int | None = None
    frame: int = 0  # in which it was decided

    def due(self, now_ns: int, reports: int) -> bool:
        return self.decided_ns <= now_ns and self.after is not None and reports >= self.after


@dataclass(slots=True)
class VenueState:
    """What a venue that forgot everything must be given: money, positions, what rested, and what was on its way to it."""

    wallet_usd: Decimal
    held: list[Held]
    working: list[Resting]
    traded: list[tuple[int, Decimal]]


class Recall:
    """`instruments` maps unified symbols to ids; `fee` is the taker's, a fraction. Feed it every event of the life in order.

    Without `state` it is the shadow book's (`trading/shadow/recall.py`), which says what each event is to it: see `fold`."""

    def __init__(
        self, portfolio: Portfolio, orders: Orders, state: State | None, instruments: Mapping[str, str], fee: Decimal
    ) -> None:
        self._portfolio, self._orders, self._state = portfolio, orders, state
        self._instruments, self._fee = dict(instruments), fee
        self.sent: list[Sent] = []
        self.told: list[Told] = []
        self.signal_ids: list[str] = []  # given from outside
        self.plans: dict[str, PlanRecall] = {}
        self._unanswered: dict[tuple[str, str], Sent] = {}
        self._working: dict[str, _Working] = {}
        self._traded: list[tuple[int, Decimal]] = []
        self._first_fill: Fill | None = None
        self._handlers: dict[str, Callable[[Event, Data, str], None]] = {
            "SIGNAL": self._signal,
            "SIGNAL_EXPIRED": self._signal,
            "DECISION": self._decision,
            "ORDER_INTENT": self._intent,
            **dict.fromkeys(ANSWERS.values(), self._answered),
            "FILL": self._fill,
            "POSITION_ENTERED": self._entered,
            "POSITION_ADOPTED": self._adopted,
            "POSITION_CLOSED": self._closed,
            "FUNDING": self._funded,
            "TRANSFER": self._transferred,
        }

    def apply(self, event: Event) -> None:
        symbol = event.symbol or ""
        if self._state is not None:
            self._state.recall(event, self._instruments.get(symbol, ""))
        self.fold(event, self._instruments.get(symbol, symbol))  # what is not followed goes by its symbol

    def fold(self, event: Event, instrument: str) -> None:
        """An event about this instrument, whatever its symbol is."""
        data = event.data
        handler = self._handlers.get(event.kind)
        if handler is not None:
            handler(event, data, instrument)
        plan = self.plans.get(data.get("position_id", ""))
        if plan is not None:
            plan.apply(event.ts, event.kind, data)
        if event.kind == "POSITION_CLOSED":
            self.plans.pop(data["position_id"], None)

    def left(self) -> list[Sent]:
        """Commands in the order in which they left. Those of one frame leave together, however few of them the journal tells."""
        for first, then in pairwise(self.sent):
            together = (first.decided_ns, first.frame) == (then.decided_ns, then.frame)
            if then.after is None and first.after is not None and together:
                then.after = first.after + 1  # the other has been reported as sent
        return self.sent

    def in_flight(self) -> list[Sent]:
        """Commands that left and were never answered, oldest first."""
        return list(self._unanswered.values())

    def venue_state(self) -> VenueState:
        positions = list(self._portfolio.positions())
        unrealised = sum((position.realised_usd for position in positions), Decimal(0))
        held = [
            Held(
                instrument=p.instrument,
                quantity=p.direction.sign * p.quantity,
                value_usd=p.direction.sign * (p.entry_value - p.exit_value),
            )
            for p in positions
        ]
        working = [
            Resting(order=each.order, filled=each.filled)
            for each in self._working.values()
            if each.accepted and self._portfolio.by_id(each.order.position_id) is not None
        ]
        return VenueState(self._portfolio.wallet_usd - unrealised, held, working, self._traded)

    # --- signals ---

    def _signal(self, event: Event, data: Data, instrument: str) -> None:
        if "external_id" in data:
            self.signal_ids.append(data["external_id"])

    def _decision(self, event: Event, data: Data, instrument: str) -> None:
        position = self._portfolio.position(instrument)
        plan = None if position is None else self.plans.get(position.position_id)
        if plan is not None:
            plan.apply(event.ts, event.kind, data)

    # --- orders ---

    def _intent(self, event: Event, data: Data, instrument: str) -> None:
        order, command = order_of(data, instrument), data["command"]
        made: OrderCommand
        if command == "place":
            made = PlaceOrder(order=order)
            self._working[order.client_order_id] = _Working(order)
            if order.leg == "entry":
                self._portfolio.entry_sent(order, event.ts, self._risk_usd(order))
        elif command == "amend":
            made = AmendOrder(order=order, reason=data["reason"])
        else:
            made = CancelOrder(order=order, reason=data["reason"])
        self._orders.recall_intent(order, command)
        self._portfolio.order_sent(event.ts)
        self.sent.append(Sent(event.ts, made, frame=event.frame))
        self._unanswered[order.client_order_id, command] = self.sent[-1]

    def _risk_usd(self, order: Order) -> Decimal:
        assert order.price is not None  # entries are limits
        distance = order.stop_distance or Decimal(0)
        return risk_usd(
            Wanted(order.instrument, _direction(order.side), order.quantity, order.price, distance), self._fee
        )

    def _answered(self, event: Event, data: Data, instrument: str) -> None:
        order_id, command, kind = data["client_order_id"], data["command"], event.kind
        if kind == "ORDER_SENT" and (order_id, command) in self._unanswered:
            self._unanswered[order_id, command].after = len(self.told)
        if data["reason"] == NEVER_ARRIVED:  # said by us: the venue has not heard of it, nor ever will
            self.sent = [sent for sent in self.sent if sent.command.order.client_order_id != order_id]
            self._unanswered = {key: sent for key, sent in self._unanswered.items() if key[0] != order_id}
        else:
            self.told.append((order_id, command, kind))
        if kind == "ORDER_SENT":
            return
        pending = self._unanswered.pop((order_id, command), None)
        if kind == "ORDER_ACK" and order_id in self._working:
            working = self._working[order_id]
            working.accepted = True
            if command == "amend" and pending is not None:
                working.order = pending.command.order
        if self._orders.recall_answer(order_id, command, kind):
            self._unanswered.pop((order_id, "place"), None)
            self._over(order_id)

    def _over(self, order_id: str) -> None:
        working = self._working.pop(order_id, None)
        if working is not None and working.order.leg == "entry":
            self._portfolio.entry_done(working.order)

    # --- fills and money ---

    def _fill(self, event: Event, data: Data, instrument: str) -> None:
        fill = _fill_of(data, instrument)
        self.told.append(("fill", instrument, fill.trade_id))
        self._traded.append((event.ts, fill.price * fill.quantity))
        self._orders.recall_fill(fill)
        if fill.client_order_id in self._working:
            self._working[fill.client_order_id].filled += fill.quantity
        position = self._portfolio.by_id(data["position_id"])
        if data["leg"] == "entry" and position is None:
            self._first_fill = fill  # POSITION_ENTERED comes right behind it
        elif position is not None:
            book = self._portfolio.book_entry if data["leg"] == "entry" else self._portfolio.book_exit
            book(position, fill)

    def _funded(self, event: Event, data: Data, instrument: str) -> None:
        self.told.append(("funding", instrument, str(data["due_ns"])))
        money = {name: Decimal(data[name]) for name in ("rate", "mark", "quantity", "usd")}
        self._portfolio.book_funding(Funding(instrument=instrument, due_ns=data["due_ns"], **money))

    def _transferred(self, event: Event, data: Data, instrument: str) -> None:
        self._portfolio.book_transfer(Transfer(transfer_id=data["transfer_id"], usd=Decimal(data["usd"])))

    # --- positions ---

    def _entered(self, event: Event, data: Data, instrument: str) -> None:
        position = Position(
            position_id=data["position_id"],
            signal_id=data["signal_id"],
            instrument=instrument,
            direction=Direction(data["direction"]),
            opened_ns=data["opened_ns"],
            first_price=Decimal(data["first_price"]),
            stop_fraction=Decimal(data["stop_fraction"]),
            frozen=_frozen(data),
            explored=data.get("explored", False),
        )
        assert self._first_fill is not None
        self._portfolio.opened(position)
        self._portfolio.book_entry(position, self._first_fill)
        self.plans[position.position_id] = PlanRecall(position)

    def _adopted(self, event: Event, data: Data, instrument: str) -> None:
        quantity, price = Decimal(data["quantity"]), Decimal(data["entry_price"])
        position = Position(
            position_id=data["position_id"],
            signal_id="",
            instrument=instrument,
            direction=Direction(data["direction"]),
            opened_ns=data["opened_ns"],
            first_price=price,
            stop_fraction=Decimal(data["stop_fraction"]),
            frozen=nothing_known("adopted"),
            entered=quantity,
            entry_value=quantity * price,
            stop_price=number(data["resting_stop_price"]),
            adopted=True,
        )
        self._portfolio.opened(position)
        self.plans[position.position_id] = PlanRecall(position)

    def _closed(self, event: Event, data: Data, instrument: str) -> None:
        position = self._portfolio.by_id(data["position_id"])
        if position is not None:
            self._portfolio.closed(position, event.ts, data["reason"])


def lost(command: OrderCommand) -> OrderUpdate:
    """An entry that was on its way is over; a change or cancel that was is refused, so that it is decided anew."""
    what = {PlaceOrder: "place", CancelOrder: "cancel", AmendOrder: "amend"}[type(command)]
    return OrderUpdate(
        client_order_id=command.order.client_order_id,
        instrument=command.order.instrument,
        status=OrderStatus.CANCELED if what == "place" else OrderStatus.REJECTED,
        command=what,
        reason=NEVER_ARRIVED,
    )


@dataclass(slots=True)
class _Working:
    order: Order
    accepted: bool = False
    filled: Decimal = field(default=Decimal(0))


def _direction(entry_side: Side) -> Direction:
    return Direction.LONG if entry_side is Side.BUY else Direction.SHORT


def _fill_of(data: Data, instrument: str) -> Fill:
    return Fill(
        client_order_id=data["client_order_id"],
        instrument=instrument,
        trade_id=data["trade_id"],
        side=Side(data["side"]),
        price=Decimal(data["price"]),
        quantity=Decimal(data["quantity"]),
        fee=Decimal(data["fee"]),
        fee_asset=data["fee_asset"],
        maker=data["maker"],
        liquidation=data["leg"] == "liquidation",
    )


def _frozen(data: Data) -> Frozen:
    price, pain = Decimal(data["first_price"]), number(data["max_pain_at_entry"])
    return Frozen(
        regime=RegimeLabel(data["regime"]),
        hurst=data["hurst"],
        hurst_z=data["hurst_z"],
        oi_delta_5m_pct=data["oi_delta_5m_pct"],
        true_trend=data["true_trend"],
        true_trend_reason=data["true_trend_reason"],
        max_pain=pain,
        max_pain_expiry=data["max_pain_expiry"],
        max_pain_source=data["max_pain_source"],
        max_pain_gap_pct=None if pain is None else max_pain_gap_pct(price, pain),
        magnet=None if data["magnet"] is None else Magnet(data["magnet"]),
        min_hold_s=data["min_hold_s"],
    )
