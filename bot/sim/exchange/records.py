"""What the exchange remembers of orders and trades, and what is asked of it. Values only; `core.py` makes and changes them."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bot.sim.exchange.account import TradingAccount

NEVER_MS = 1 << 62
_ZERO = Decimal(0)


class Kind(StrEnum):
    LIMIT = "LIMIT"
    MARKET = "MARKET"
    STOP = "STOP"
    STOP_MARKET = "STOP_MARKET"
    TAKE_PROFIT = "TAKE_PROFIT"
    TAKE_PROFIT_MARKET = "TAKE_PROFIT_MARKET"
    TRAILING_STOP_MARKET = "TRAILING_STOP_MARKET"

    @property
    def conditional(self) -> bool:
        return self not in (Kind.LIMIT, Kind.MARKET)


class Tif(StrEnum):
    GTC = "GTC"
    IOC = "IOC"
    FOK = "FOK"
    GTX = "GTX"
    GTD = "GTD"


class SelfTrade(StrEnum):
    """What becomes of an order that would meet one of its own account."""

    NONE = "NONE"
    EXPIRE_TAKER = "EXPIRE_TAKER"
    EXPIRE_MAKER = "EXPIRE_MAKER"
    EXPIRE_BOTH = "EXPIRE_BOTH"


class PositionSide(StrEnum):
    """Which position of a symbol: the only one, or in hedge mode one of two."""

    BOTH = "BOTH"
    LONG = "LONG"
    SHORT = "SHORT"


class Working(StrEnum):
    """Which price triggers."""

    MARK_PRICE = "MARK_PRICE"
    CONTRACT_PRICE = "CONTRACT_PRICE"


class PriceMatch(StrEnum):
    """Which level's price a limit takes: the other side's, or its own side's."""

    NONE = "NONE"
    OPPONENT = "OPPONENT"
    OPPONENT_5 = "OPPONENT_5"
    OPPONENT_10 = "OPPONENT_10"
    OPPONENT_20 = "OPPONENT_20"
    QUEUE = "QUEUE"
    QUEUE_5 = "QUEUE_5"
    QUEUE_10 = "QUEUE_10"
    QUEUE_20 = "QUEUE_20"

    @property
    def level(self) -> int:
        """1 for the best."""
        return int(self.partition("_")[2] or 1)

    @property
    def opposing(self) -> bool:
        return self.startswith("OPPONENT")


@dataclass(slots=True, kw_only=True)
class NewOrder:
    """As asked for, checked for form only. Conditional ones have a trigger price or, trailing ones, a callback rate in percent."""

    symbol: str
    buys: bool
    kind: Kind
    position_side: PositionSide = PositionSide.BOTH
    quantity: Decimal = _ZERO
    price: Decimal | None = None
    price_match: PriceMatch = PriceMatch.NONE  # instead of a price
    tif: Tif = Tif.GTC
    client_id: str = ""
    reduce_only: bool = False
    close_position: bool = False
    trigger_price: Decimal | None = None
    activate_price: Decimal | None = None
    callback_pct: Decimal | None = None
    working: Working = Working.CONTRACT_PRICE
    price_protect: bool = False
    self_trade: SelfTrade = SelfTrade.EXPIRE_MAKER
    good_till_ms: int = 0

    @property
    def closes(self) -> bool:
        """In hedge mode: a sale of what is long, a purchase of what is short."""
        return self.position_side is (PositionSide.SHORT if self.buys else PositionSide.LONG)


@dataclass(slots=True, kw_only=True, eq=False)
class OrderRecord:
    """`kind` and `tif` as executed; `origin` is the kind of the conditional order it came from."""

    account: TradingAccount
    order_id: int
    client_id: str
    symbol: str
    buys: bool
    position_side: PositionSide
    kind: Kind
    origin: Kind
    tif: Tif
    price: Decimal
    quantity: Decimal
    reduce_only: bool
    close_position: bool
    self_trade: SelfTrade
    good_till_ms: int
    time_ms: int
    update_ms: int
    trigger_price: Decimal = _ZERO
    working: Working = Working.CONTRACT_PRICE
    price_protect: bool = False
    price_match: PriceMatch = PriceMatch.NONE
    status: str = "NEW"
    filled: Decimal = _ZERO
    cost: Decimal = _ZERO  # of what is filled, quote coin
    algo: AlgoRecord | None = None
    modified: int = 0
    forced: bool = False  # the exchange's own doing

    @property
    def average(self) -> Decimal:
        return self.cost / self.filled if self.filled else _ZERO

    @property
    def open(self) -> bool:
        return self.status in ("NEW", "PARTIALLY_FILLED")


@dataclass(slots=True, kw_only=True)
class TradeRecord:
    """One fill of one account. `realised` and `fee` in quote coin; a fee above zero was paid."""

    trade_id: int
    order_id: int
    symbol: str
    buys: bool
    position_side: PositionSide
    price: Decimal
    quantity: Decimal
    realised: Decimal
    fee: Decimal
    maker: bool
    time_ms: int


@dataclass(slots=True, kw_only=True, eq=False)
class AlgoRecord:
    """A conditional order: NEW until its price comes, TRIGGERING, TRIGGERED with an order of its own, then FINISHED; or CANCELED,
    EXPIRED, REJECTED."""

    account: TradingAccount
    algo_id: int
    asked: NewOrder
    time_ms: int
    update_ms: int
    status: str = "NEW"
    triggered_ms: int = 0
    order: OrderRecord | None = None
    reason: str = ""
    active: bool = True  # of a trailing one: its activation price was seen
    extreme: Decimal | None = None  # of a trailing one: the best price since then

    @property
    def open(self) -> bool:
        return self.status == "NEW"

    @property
    def ends_ms(self) -> int:
        return self.asked.good_till_ms if self.asked.tif is Tif.GTD else NEVER_MS
