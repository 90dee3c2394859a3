"""Orders, what is asked of a venue (commands), and what comes back (reports).

Life of an order: ORDER_INTENT is durable → ORDER_SENT → ORDER_ACK | ORDER_REJECTED | ORDER_UNKNOWN → FILL* → CANCELED/EXPIRED/FILLED.
A command leaves the core; a report comes back as an account frame. Order status never moves quantity: fills do.
"""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum

from msgspec import Struct

from bot.domain.values import Side


class OrderType(StrEnum):
    LIMIT = "limit"
    MARKET = "market"
    STOP_MARKET = "stop_market"
    TAKE_PROFIT_MARKET = "take_profit_market"


class TimeInForce(StrEnum):
    GTC = "GTC"
    IOC = "IOC"
    GTX = "GTX"  # post-only: expires where it would take


class Trigger(StrEnum):
    """Which price sets off a stop or a take-profit."""

    MARK = "mark"
    LAST = "last"


class OrderStatus(StrEnum):
    SENT = "SENT"  # handed to the venue's connection
    ACK = "ACK"  # accepted (and amended, for an amendment)
    REJECTED = "REJECTED"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"  # the unfilled rest of an IOC order
    UNKNOWN = "UNKNOWN"
    DROPPED = "DROPPED"  # never sent: its intent could not be made durable in time

    @property
    def terminal(self) -> bool:
        return self in _TERMINAL


_TERMINAL = frozenset(
    {OrderStatus.REJECTED, OrderStatus.FILLED, OrderStatus.CANCELED, OrderStatus.EXPIRED, OrderStatus.DROPPED}
)


class Order(Struct, frozen=True, kw_only=True):
    """One order of ours. `leg` is one of `ids.LEGS`, or "liquidation" for what the venue did by itself; `price` is None for
    market and stop orders.

    A stop with `close_position` closes whatever is open when it triggers, however much that is then.
    """

    client_order_id: str
    instrument: str
    signal_id: str
    position_id: str
    leg: str
    side: Side
    type: OrderType
    quantity: Decimal
    price: Decimal | None = None
    stop_price: Decimal | None = None
    trigger: Trigger = Trigger.MARK
    tif: TimeInForce = TimeInForce.GTC
    reduce_only: bool = False
    close_position: bool = False
    stop_distance: Decimal | None = None  # of an entry: how far its stop will be, a fraction of price
    explored: bool = False  # an entry that guards had refused
    reason: str = ""


class PlaceOrder(Struct, frozen=True, kw_only=True, tag="place"):
    order: Order


class CancelOrder(Struct, frozen=True, kw_only=True, tag="cancel"):
    order: Order
    reason: str = ""


class AmendOrder(Struct, frozen=True, kw_only=True, tag="amend"):
    """Change a resting limit's price and quantity (fills included), or a stop's trigger; `order` is as it should become.

    If it fails the old one stays. A venue that cannot amend stops places the new one before it cancels the old."""

    order: Order
    reason: str = ""


OrderCommand = PlaceOrder | CancelOrder | AmendOrder


class OrderUpdate(Struct, frozen=True, kw_only=True, tag="order"):
    """`command` tells which of place, cancel and amend this answers ("" when unasked for)."""

    client_order_id: str
    instrument: str
    status: OrderStatus
    command: str = "place"
    reason: str = ""


class Fill(Struct, frozen=True, kw_only=True, tag="fill"):
    """`trade_id` is the venue's: fills are booked once per (instrument, trade_id)."""

    client_order_id: str
    instrument: str
    trade_id: str
    side: Side
    price: Decimal
    quantity: Decimal
    fee: Decimal
    fee_asset: str
    maker: bool
    liquidation: bool = False  # the venue's own doing: `client_order_id` is the venue's then, not ours


class Funding(Struct, frozen=True, kw_only=True, tag="funding"):
    """Funding of one position at one funding time: `usd` is what the wallet gets (negative: pays), -side x quantity x mark x
    rate. `due_ns` is the funding time; an instrument's is booked once per `due_ns`."""

    instrument: str
    due_ns: int
    rate: Decimal
    mark: Decimal
    quantity: Decimal  # signed base coin, long above zero
    usd: Decimal


class Transfer(Struct, frozen=True, kw_only=True, tag="transfer"):
    """The operator moved money into the account, or out of it (negative): no profit and no loss. Booked once per id."""

    transfer_id: str
    usd: Decimal


OrderReport = OrderUpdate | Fill
AccountReport = OrderReport | Funding | Transfer
