"""What an account is told of by itself: the exchange's side of the user stream, before it becomes bytes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from bot.sim.exchange.account import TradingAccount
from bot.sim.exchange.position import Position
from bot.sim.exchange.records import AlgoRecord, OrderRecord, TradeRecord


@dataclass(frozen=True, slots=True)
class OrderNotice:
    """`execution` is what happened: NEW, TRADE, CALCULATED (by force), AMENDMENT, CANCELED, EXPIRED."""

    order: OrderRecord
    execution: str
    trade: TradeRecord | None = None
    reason: str = "0"


@dataclass(frozen=True, slots=True)
class MoneyNotice:
    """Balances and positions right after a change; `change` is what was not from trading."""

    reason: str
    wallet: Decimal
    cross_wallet: Decimal
    positions: tuple[Position, ...]
    change: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class AlgoNotice:
    algo: AlgoRecord


@dataclass(frozen=True, slots=True)
class TriggerRejected:
    algo: AlgoRecord


@dataclass(frozen=True, slots=True)
class LeverageNotice:
    position: Position


@dataclass(frozen=True, slots=True)
class MarginCall:
    """`cross_wallet` is None where an isolated position is in danger."""

    cross_wallet: Decimal | None
    positions: tuple[Position, ...]


Notice = OrderNotice | MoneyNotice | AlgoNotice | TriggerRejected | LeverageNotice | MarginCall
Listener = Callable[[TradingAccount, int, Notice], None]
"""Of which account, when (ms), and what; the records in it go on changing, so whoever listens takes from them at once."""
