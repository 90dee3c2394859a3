"""What the projection remembers of each signal, order and position, and the plain form in which it is shown.

Views are JSON-able dicts whose keys are the journal's own wherever it has them; money and quantities are strings. A record is
fed the `data` of events; which record an event belongs to is the projection's affair.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any

from bot.domain.events import text
from bot.domain.values import NS, Direction, Side
from bot.journal.shadows import ShadowRecord

Data = dict[str, Any]
ZERO = Decimal(0)
_USD = frozenset({"USD", "USDT", "USDC"})  # one and the same here
_TIERS = (1, 2, 3, 4)


class OrderState(StrEnum):
    INTENT = "INTENT"
    SENT = "SENT"
    WORKING = "WORKING"
    UNKNOWN = "UNKNOWN"
    ABANDONED = "ABANDONED"  # its session ended while it was one of the above
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"
    REJECTED = "REJECTED"

    @property
    def alive(self) -> bool:
        return self in _ALIVE

    @property
    def finished(self) -> bool:
        return self not in _ALIVE and self is not OrderState.ABANDONED


_ALIVE = frozenset({OrderState.INTENT, OrderState.SENT, OrderState.WORKING, OrderState.UNKNOWN})


class PositionState(StrEnum):
    ENTERING = "ENTERING"  # its entry is under way, or came to nothing
    OPEN = "OPEN"
    ABANDONED = "ABANDONED"  # its session ended while it was open
    CLOSED = "CLOSED"


@dataclass(slots=True)
class Fees:
    by_asset: dict[str, Decimal] = field(default_factory=dict)

    def add(self, fill: Data) -> None:
        asset = fill["fee_asset"]
        self.by_asset[asset] = self.by_asset.get(asset, ZERO) + Decimal(fill["fee"])

    def view(self) -> Data:
        usd = sum((fee for asset, fee in self.by_asset.items() if asset in _USD), ZERO)
        other = {asset: text(fee) for asset, fee in self.by_asset.items() if asset not in _USD}
        return {"fees_usd": text(usd), "fees_other": other}


@dataclass(slots=True)
class Totals:
    """Counts and sums over the events of one session, or of all."""

    kinds: Counter[str] = field(default_factory=Counter)
    blockers: Counter[str] = field(default_factory=Counter)
    allowed: int = 0
    blocked: int = 0
    orders: int = 0
    realised: Decimal = ZERO
    fees: Fees = field(default_factory=Fees)

    def add(self, kind: str, data: Data) -> None:
        if kind == "DECISION" and data["allowed"]:
            self.allowed += 1
        elif kind == "DECISION":
            self.blocked += 1
            self.blockers[data["blocker"] or "unknown"] += 1
        elif kind == "ORDER_INTENT":
            self.orders += places(data)
        elif kind == "FILL":
            self.fees.add(data)
        elif kind == "POSITION_CLOSED":
            self.realised += Decimal(data["pnl_usd"])
        elif kind == "FUNDING" and data.get("after_close"):
            self.realised += Decimal(data["usd"])

    def view(self) -> Data:
        return {
            "signals": self.kinds["SIGNAL"],
            "allowed": self.allowed,
            "blocked": self.blocked,
            "expired": self.kinds["SIGNAL_EXPIRED"],
            "blockers": dict(self.blockers),
            "orders": self.orders,
            "fills": self.kinds["FILL"],
            "opened": self.kinds["POSITION_OPENED"],
            "closed": self.kinds["POSITION_CLOSED"],
            "realised_pnl_usd": text(self.realised),
            **self.fees.view(),
            "events": dict(self.kinds),
        }


def places(data: Data) -> bool:
    """Whether an ORDER_* event is about placing the order, not about amending or canceling a resting one."""
    return bool(data.get("command", "place") == "place")


@dataclass(slots=True)
class OrderRecord:
    symbol: str | None
    ts: int
    data: Data  # as it was placed, then as the venue last accepted it
    state: OrderState = OrderState.INTENT
    filled: Decimal = ZERO
    fills: list[Data] = field(default_factory=list)
    _wanted: Data = field(default_factory=dict)  # by an amendment that is under way

    def intend(self, data: Data) -> None:
        if data.get("command") == "amend":
            self._wanted = {name: data[name] for name in ("price", "stop_price", "quantity")}

    def change(self, state: OrderState, data: Data) -> None:
        """A report on it. What is finished stays finished, and a refused amendment leaves the old order as it was."""
        if data.get("command") == "amend" and state is OrderState.WORKING:
            self.data |= self._wanted
        if state is OrderState.CANCELED and data.get("reason") == "expired":
            state = OrderState.EXPIRED
        known = state is OrderState.SENT and self.state is not OrderState.INTENT
        refused_change = state is OrderState.REJECTED and not places(data)
        if not (self.state.finished or known or refused_change):
            self.state = state
            self.data["reason"] = data.get("reason") or self.data.get("reason")

    def fill(self, data: Data) -> None:
        self.fills.append(data)
        self.filled += Decimal(data["quantity"])
        if self.filled >= Decimal(self.data["quantity"]):
            self.state = OrderState.FILLED

    def view(self) -> Data:
        shown = {"symbol": self.symbol, "ts": self.ts, "filled": text(self.filled), "status": self.state.value}
        return self.data | shown


@dataclass(slots=True)
class PositionRecord:
    """From its entry order's intent on; shown once POSITION_OPENED has come."""

    symbol: str | None
    state: PositionState = PositionState.ENTERING
    first_fill_ns: int | None = None  # its hold starts here
    opened: Data = field(default_factory=dict)  # POSITION_OPENED, frozen
    closed: Data = field(default_factory=dict)
    orders: list[OrderRecord] = field(default_factory=list)
    story: list[Data] = field(default_factory=list)  # deferred exits, moved targets, merged tiers
    max_pain_result: Data | None = None
    _stop_price: str | None = None  # of the stop that rests on the venue
    _quantity: dict[Side, Decimal] = field(default_factory=lambda: dict.fromkeys(Side, ZERO))
    _value: dict[Side, Decimal] = field(default_factory=lambda: dict.fromkeys(Side, ZERO))
    _fees: Fees = field(default_factory=Fees)

    @property
    def done(self) -> bool:
        """Nothing more is expected of it."""
        if self.state is PositionState.ENTERING:
            return not self.first_fill_ns and not any(order.state.alive for order in self.orders)
        return self.state is not PositionState.OPEN

    def accepted(self, order: OrderRecord) -> None:
        """The venue holds `order` as it now is."""
        if order.data["leg"] == "stop":
            self._stop_price = order.data["stop_price"]

    def fill(self, ts: int, data: Data) -> None:
        self.first_fill_ns = self.first_fill_ns or ts
        side, quantity = Side(data["side"]), Decimal(data["quantity"])
        self._quantity[side] += quantity
        self._value[side] += quantity * Decimal(data["price"])
        self._fees.add(data)

    def open(self, ts: int, data: Data) -> None:
        self.state = PositionState.OPEN
        self.first_fill_ns = self.first_fill_ns or ts
        self.opened = data

    def close(self, ts: int, data: Data) -> None:
        self.state = PositionState.CLOSED
        self.closed = data | {"closed_ns": ts}
        for order in self.orders:
            if order.filled and not order.state.finished:  # a stop for all of it ends with less than it was placed for
                order.state = OrderState.FILLED

    def funded_late(self, data: Data) -> None:
        """Funding that was booked after the close."""
        pnl = Decimal(self.closed["pnl_usd"]) + Decimal(data["usd"])
        self.closed |= {"pnl_usd": text(pnl), "funding_usd": data["funding_usd"]}

    def result(self) -> Data:
        return {"state": self.state.value} | {name: self.closed.get(name) for name in ("reason", "pnl_usd", "pnl_r")}

    def view(self) -> Data:
        direction = Direction(self.opened["direction"])
        # An adopted position has no entry fills of ours; a late entry fill makes it larger than it was opened with.
        entered = max(Decimal(self.opened["quantity"]), self._quantity[direction.entry_side])
        exited = self._quantity[direction.exit_side]
        gained = self._value[direction.exit_side] - Decimal(self.opened["entry_price"]) * exited
        now = {
            "symbol": self.symbol,
            "state": self.state.value,
            "opened_ns": self.first_fill_ns,
            "entry_quantity": text(entered),
            "quantity": text(entered - exited),
            "stop_price": self._stop_price or self.opened["stop_price"],
            "tiers": self._tiers(),
            "hold_until_ns": self._hold_until_ns(),
            "realised_pnl_usd": text(gained * direction.sign + ZERO),  # before fees; + 0 turns -0 into 0
        }
        return self.opened | now | self._fees.view() | self.closed

    def _hold_until_ns(self) -> int | None:
        hold_s = self.opened.get("min_hold_s")
        return self.first_fill_ns + round(hold_s * NS) if hold_s and self.first_fill_ns else None

    def _tiers(self) -> list[Data]:
        planned = {tier["tier"]: tier for tier in self.opened["tiers"]}
        return [self._tier(number, planned.get(number, {})) for number in sorted({*_TIERS, *planned})]

    def _tier(self, number: int, planned: Data) -> Data:
        order = self._of_leg(f"tier_{number}")
        rung = order.data if order else planned
        quantity = rung.get("quantity")
        return {
            "tier": number,
            "price": rung.get("price"),
            "quantity": quantity,
            "filled": text(order.filled if order else ZERO),
            "state": _tier_state(order, quantity),
        }

    def _of_leg(self, leg: str) -> OrderRecord | None:
        return next((order for order in reversed(self.orders) if order.data["leg"] == leg), None)


def _tier_state(order: OrderRecord | None, quantity: str | None) -> str:
    """A tier that is planned but whose order is not out yet counts as working."""
    if order is None:
        return "working" if quantity and Decimal(quantity) else "off"
    if order.state is OrderState.FILLED:
        return "filled"
    return "off" if order.state.finished else "working"


@dataclass(slots=True)
class SignalRecord:
    seq: int
    ts: int
    symbol: str | None
    data: Data
    decision: Data | None = None  # without its verdicts
    verdicts: list[Data] = field(default_factory=list)
    expired: Data | None = None
    refused: Data | None = None  # by the limits, last before the wire
    position: PositionRecord | None = None  # what its entry order is for
    shadow: ShadowRecord | None = None

    def outcome(self) -> str:
        if self.expired is not None:
            return "expired"
        if self.refused is not None:
            return "refused"
        if self.decision is None:
            return "pending"
        return "allowed" if self.decision["allowed"] else "blocked"

    def view(self) -> Data:
        decision = self.decision or {}
        opened = self.position if self.position and self.position.opened else None
        now = {
            "seq": self.seq,
            "ts": self.ts,
            "symbol": self.symbol,
            "outcome": self.outcome(),
            "position_id": opened and opened.opened["position_id"],
            "result": opened and opened.result(),
        }
        asked = {name: decision.get(name) for name in ("blocker", "multiplier", "blind", "reversal")}
        return self.data | asked | now
