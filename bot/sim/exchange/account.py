"""One account of the exchange: its keys, its money, its positions, its orders, and what margin is left of it.

It is the `Owner` of its orders in the matching: fills are booked here. Cross positions share the wallet, isolated ones have a part of
their own, which leaves the wallet with the first fill and comes back with the last.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from msgspec import Struct

from bot.domain.values import Side
from bot.sim.exchange.ledger import Income, Ledger
from bot.sim.exchange.position import Position
from bot.sim.exchange.records import AlgoRecord, OrderRecord, TradeRecord
from bot.trading.margin import liquidation_price

KEPT = 10_000  # finished orders, and trades
_ZERO = Decimal(0)

Marks = Callable[[str], Decimal]


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What a key may do is what `/sapi/v1/account/apiRestrictions` says of it."""

    key: str
    secret: str
    futures: bool = True
    withdrawals: bool = False


class AccountSpec(Struct, frozen=True, kw_only=True):
    """An account to begin with, and the key pair that opens it: made up, good for this exchange only."""

    name: str
    api_key: str
    api_secret: str
    usd: Decimal = Decimal(10_000)

    @classmethod
    def made(cls, number: int, seed: int, usd: Decimal) -> AccountSpec:
        """The same for the same seed; keys look as Binance's do."""
        key, secret = (hashlib.sha256(f"{seed}/{number}/{part}".encode()).hexdigest() for part in ("key", "secret"))
        return cls(name=f"sim{number}", api_key=key, api_secret=secret, usd=usd)


@dataclass(slots=True)
class Booked:
    """What one fill did to the books, and how they stood then."""

    fee: Decimal
    realised: Decimal
    wallet: Decimal
    cross_wallet: Decimal
    position: Position


@dataclass(slots=True)
class Resting:
    """Open orders of one symbol, in quote coin; what may only reduce is not in it."""

    bids: Decimal = _ZERO
    asks: Decimal = _ZERO


class TradingAccount:
    """`marks` has the mark price of a symbol now."""

    def __init__(self, name: str, keys: Iterable[ApiKey], marks: Marks) -> None:
        self.name, self.keys = name, tuple(keys)
        self.marks = marks
        self.ledger = Ledger()
        self.positions: dict[str, Position] = {}
        self.orders: dict[int, OrderRecord] = {}  # by id, the oldest first
        self.by_client: dict[str, OrderRecord] = {}  # the newest of each client id
        self.open_orders: dict[int, OrderRecord] = {}
        self.algos: dict[int, AlgoRecord] = {}
        self.algo_by_client: dict[str, AlgoRecord] = {}
        self.open_algos: dict[int, AlgoRecord] = {}
        self.trades: deque[TradeRecord] = deque(maxlen=KEPT)
        self.booked: deque[Booked] = deque()  # fills whose reports have not been read yet
        self.countdowns: dict[str, int] = {}  # when all orders of a symbol are cancelled, ms
        self.liquidating = False
        self.called = False  # a margin call was made and the danger is not over

    def deposit(self, ms: int, usd: Decimal) -> None:
        self.ledger.enter(ms, Income.TRANSFER, usd, info="TRANSFER")

    def position(self, symbol: str) -> Position:
        if symbol not in self.positions:
            self.positions[symbol] = Position(symbol)
        return self.positions[symbol]

    def held(self) -> list[Position]:
        return [position for position in self.positions.values() if position.quantity]

    # --- Owner -----------------------------------------------------------------------------------------------------

    def quantity(self, instrument: str) -> Decimal:
        position = self.positions.get(instrument.partition(":")[2])
        return _ZERO if position is None else position.quantity

    def book(
        self, instrument: str, side: Side, price: Decimal, quantity: Decimal, fee_usd: Decimal, now_ns: int
    ) -> None:
        symbol, ms = instrument.partition(":")[2], now_ns // 1_000_000
        position = self.position(symbol)
        fee = -self.ledger.enter(ms, Income.COMMISSION, -fee_usd, symbol)
        signed = quantity if side is Side.BUY else -quantity
        realised = self.ledger.enter(ms, Income.REALIZED_PNL, position.trade(signed, price, fee, ms), symbol)
        self.booked.append(Booked(fee, realised, self.wallet, self.cross_wallet, replace(position)))

    # --- margin ----------------------------------------------------------------------------------------------------

    @property
    def wallet(self) -> Decimal:
        return self.ledger.balance

    @property
    def cross_wallet(self) -> Decimal:
        return self.wallet - sum((each.margin for each in self.positions.values()), _ZERO)

    def unrealised(self, *, isolated: bool | None = None) -> Decimal:
        return sum(
            (
                each.unrealised(self.marks(each.symbol))
                for each in self.held()
                if isolated is None or each.isolated is isolated
            ),
            _ZERO,
        )

    def maintenance(self, *, isolated: bool | None = None) -> Decimal:
        return sum(
            (
                each.maintenance(self.marks(each.symbol))
                for each in self.held()
                if isolated is None or each.isolated is isolated
            ),
            _ZERO,
        )

    def resting(self) -> dict[str, Resting]:
        """By symbol."""
        found: dict[str, Resting] = {}
        for order in self.open_orders.values():
            if not order.reduce_only:
                of, value = found.setdefault(order.symbol, Resting()), (order.quantity - order.filled) * order.price
                if order.buys:
                    of.bids += value
                else:
                    of.asks += value
        return found

    def initial(self, symbol: str, resting: Resting) -> Decimal:
        """Margin that the position and these orders of a symbol take: what the worse side could come to."""
        position = self.position(symbol)
        value = position.quantity * self.marks(symbol)
        return max(abs(value + resting.bids), abs(value - resting.asks), abs(value)) / position.leverage

    @property
    def available(self) -> Decimal:
        """What new orders may take as margin."""
        return max(_ZERO, self.free)

    @property
    def free(self) -> Decimal:
        """The same, below zero where too much is taken. An isolated position has its own, only its orders take from here."""
        taken, resting = _ZERO, self.resting()
        for symbol in resting.keys() | {each.symbol for each in self.held()}:
            position = self.position(symbol)
            initial = self.initial(symbol, resting.get(symbol, Resting()))
            taken += initial - position.initial(self.marks(symbol)) if position.isolated else initial
        return self.cross_wallet + self.unrealised(isolated=False) - taken

    def liquidation_price(self, position: Position) -> Decimal:
        """Zero for none."""
        if not position.quantity:
            return _ZERO
        sign = 1 if position.quantity > 0 else -1
        if position.isolated:
            price = liquidation_price(position.margin, sign, abs(position.quantity), position.entry)
            return price or _ZERO
        others = [each for each in self.held() if not each.isolated and each is not position]
        price = liquidation_price(
            self.cross_wallet,
            sign,
            abs(position.quantity),
            position.entry,
            other_maintenance_usd=sum((each.maintenance(self.marks(each.symbol)) for each in others), _ZERO),
            other_unrealised_usd=sum((each.unrealised(self.marks(each.symbol)) for each in others), _ZERO),
        )
        return price or _ZERO

    # --- remembering -----------------------------------------------------------------------------------------------

    def remember(self, order: OrderRecord) -> None:
        self.orders[order.order_id] = self.open_orders[order.order_id] = self.by_client[order.client_id] = order
        _bounded(self.orders)
        _bounded(self.by_client)

    def remember_algo(self, algo: AlgoRecord) -> None:
        self.algos[algo.algo_id] = self.open_algos[algo.algo_id] = algo
        self.algo_by_client[algo.asked.client_id] = algo
        _bounded(self.algos)
        _bounded(self.algo_by_client)


def _bounded(kept: dict[Any, Any]) -> None:
    """Forget the oldest that is over, once there are too many."""
    if len(kept) > KEPT:
        oldest = next((key for key, each in kept.items() if not each.open), None)
        if oldest is not None:
            del kept[oldest]
