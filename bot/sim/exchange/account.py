"""One account of the exchange: its keys, its money, its positions, its orders, and what margin is left of it.

Its legs are the `Owner`s of its orders in the matching: fills are booked here. Cross positions share the wallet, isolated ones have a part of
their own, which leaves the wallet with the first fill and comes back with the last. In hedge mode a symbol has a long and a short one, which
are opened and closed apart and share leverage and margin type.
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
from bot.sim.exchange.hedged import hedged_liquidation_price
from bot.sim.exchange.ledger import Income, Ledger
from bot.sim.exchange.position import Position
from bot.sim.exchange.records import AlgoRecord, OrderRecord, PositionSide, TradeRecord
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


@dataclass(frozen=True, slots=True)
class Leg:
    """The `Owner` of an account's orders for one of its positions in each symbol."""

    account: TradingAccount
    side: PositionSide

    def quantity(self, instrument: str) -> Decimal:
        position = self.account.positions.get((instrument.partition(":")[2], self.side))
        return _ZERO if position is None else position.quantity

    def book(
        self, instrument: str, side: Side, price: Decimal, quantity: Decimal, fee_usd: Decimal, now_ns: int
    ) -> None:
        account, symbol, ms = self.account, instrument.partition(":")[2], now_ns // 1_000_000
        position = account.position(symbol, self.side)
        fee = -account.ledger.enter(ms, Income.COMMISSION, -fee_usd, symbol)
        signed = quantity if side is Side.BUY else -quantity
        realised = account.ledger.enter(ms, Income.REALIZED_PNL, position.trade(signed, price, fee, ms), symbol)
        account.booked.append(Booked(fee, realised, account.wallet, account.cross_wallet, replace(position)))


class TradingAccount:
    """`marks` has the mark price of a symbol now."""

    def __init__(self, name: str, keys: Iterable[ApiKey], marks: Marks) -> None:
        self.name, self.keys = name, tuple(keys)
        self.marks = marks
        self.ledger = Ledger()
        self.positions: dict[tuple[str, PositionSide], Position] = {}
        self.hedged = False  # hedge mode
        self.legs = {side: Leg(self, side) for side in PositionSide}
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
        # margin calls whose danger is not over; None: of cross margin
        self.called: set[tuple[str, PositionSide] | None] = set()

    def deposit(self, ms: int, usd: Decimal) -> None:
        self.ledger.enter(ms, Income.TRANSFER, usd, info="TRANSFER")

    def position(self, symbol: str, side: PositionSide = PositionSide.BOTH) -> Position:
        known = self.positions.get((symbol, side))
        if known is None:
            known = self.positions[symbol, side] = Position(symbol, side)
            other = next((each for each in self.positions.values() if each.symbol == symbol), known)
            known.leverage, known.isolated = other.leverage, other.isolated
        return known

    def of(self, symbol: str) -> list[Position]:
        """All of a symbol in the present mode."""
        sides = (PositionSide.LONG, PositionSide.SHORT) if self.hedged else (PositionSide.BOTH,)
        return [self.position(symbol, side) for side in sides]

    def sharing(self, symbol: str) -> list[Position]:
        """All that share its leverage and margin type, those of the other mode too."""
        self.of(symbol)  # they are there now
        return [each for each in self.positions.values() if each.symbol == symbol]

    def shown(self) -> list[Position]:
        """With something in them, or an order that may open something; by symbol."""
        resting = self.resting()
        symbols = sorted(resting.keys() | {each.symbol for each in self.held()})
        positions = [(position, resting.get(symbol, Resting())) for symbol in symbols for position in self.of(symbol)]
        return [position for position, own in positions if self.initial_of(position, own)]

    def opened_by(self, symbol: str, buys: bool) -> Position:
        """The one that an order which may open something changes."""
        return self.of(symbol)[self.hedged and not buys]

    def held(self) -> list[Position]:
        return [position for position in self.positions.values() if position.quantity]

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
        """Margin that the positions and these orders of a symbol take."""
        return sum((self.initial_of(position, resting) for position in self.of(symbol)), _ZERO)

    def initial_of(self, position: Position, resting: Resting) -> Decimal:
        return self.largest(position, resting) / position.leverage

    def largest(self, position: Position, resting: Resting) -> Decimal:
        """Quote coin that the position could come to with these orders, on its worse side; in hedge mode each side by itself."""
        value = position.quantity * self.marks(position.symbol)
        if position.side is PositionSide.BOTH:
            return max(abs(value + resting.bids), abs(value - resting.asks), abs(value))
        return abs(value) + (resting.bids if position.side is PositionSide.LONG else resting.asks)

    @property
    def available(self) -> Decimal:
        """What new orders may take as margin."""
        return max(_ZERO, self.free)

    @property
    def free(self) -> Decimal:
        """The same, below zero where too much is taken. An isolated position has its own, only its orders take from here."""
        taken, resting = _ZERO, self.resting()
        for symbol in resting.keys() | {each.symbol for each in self.held()}:
            own, mark = resting.get(symbol, Resting()), self.marks(symbol)
            for position in self.of(symbol):
                initial = self.initial_of(position, own)
                taken += initial - position.initial(mark) if position.isolated else initial
        return self.cross_wallet + self.unrealised(isolated=False) - taken

    def liquidation_price(self, position: Position) -> Decimal:
        """Zero for none."""
        if not position.quantity:
            return _ZERO
        sign = 1 if position.quantity > 0 else -1
        if position.isolated:
            price = liquidation_price(position.margin, sign, abs(position.quantity), position.entry)
            return price or _ZERO
        others = [each for each in self.held() if not each.isolated and each.symbol != position.symbol]
        needed = sum((each.maintenance(self.marks(each.symbol)) for each in others), _ZERO)
        unrealised = sum((each.unrealised(self.marks(each.symbol)) for each in others), _ZERO)
        if self.hedged:
            legs, mark = self.of(position.symbol), self.marks(position.symbol)
            return hedged_liquidation_price(self.cross_wallet - needed + unrealised, legs, mark)
        price = liquidation_price(
            self.cross_wallet,
            sign,
            abs(position.quantity),
            position.entry,
            other_maintenance_usd=needed,
            other_unrealised_usd=unrealised,
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
