"""What an account may set: leverage and margin type of a symbol, and the position mode of all. Raises Refused in the venue's words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bot.sim.exchange.account import Resting, TradingAccount
from bot.sim.exchange.notices import LeverageNotice
from bot.sim.exchange.position import Position
from bot.sim.refusals import Refused, over_leverage

if TYPE_CHECKING:
    from bot.sim.exchange.core import ExchangeCore

MOST_LEVERAGE = 125


class AccountSettings:
    def __init__(self, core: ExchangeCore) -> None:
        self._core = core

    def set_leverage(self, account: TradingAccount, symbol: str, leverage: int) -> None:
        self._core.rules(symbol)
        if not 1 <= leverage <= MOST_LEVERAGE:
            raise Refused(-4028, f"Leverage {leverage} is not valid")
        positions, own = account.sharing(symbol), account.resting().get(symbol, Resting())
        self._core.mark(symbol)  # raises before anything is changed
        before = positions[0].leverage
        for position in positions:
            position.leverage = leverage
        refusal = _cannot_carry(account, positions, own, before)
        if refusal is not None:
            for position in positions:
                position.leverage = before
            raise refusal
        self._core.tell(account, LeverageNotice(positions[0]))

    def set_isolated(self, account: TradingAccount, symbol: str, isolated: bool) -> None:
        self._core.rules(symbol)
        positions = account.sharing(symbol)
        if positions[0].isolated is isolated:
            raise Refused(-4046, "No need to change margin type.")
        if any(each.symbol == symbol for each in account.open_orders.values()):
            raise Refused(-4047, "Margin type cannot be changed if there exists open orders.")
        if any(position.quantity for position in positions):
            raise Refused(-4048, "Margin type cannot be changed if there exists position.")
        for position in positions:
            position.isolated = isolated

    def set_hedged(self, account: TradingAccount, hedged: bool) -> None:
        """Hedge mode or one-way mode, for all symbols. Leverage and margin type stay."""
        if account.hedged is hedged:
            raise Refused(-4059, "No need to change position side.")
        if account.open_orders or account.open_algos:
            raise Refused(-4067, "Position side cannot be changed if there exists open orders.")
        if account.held():
            raise Refused(-4068, "Position side cannot be changed if there exists position.")
        account.hedged = hedged


def _cannot_carry(account: TradingAccount, positions: list[Position], own: Resting, before: int) -> Refused | None:
    """Why the leverage that they have now is not for this account."""
    less = positions[0].leverage < before
    active = account.of(positions[0].symbol)
    if any(account.largest(position, own) > position.most_notional for position in active):
        return over_leverage()
    if less and any(position.isolated and position.quantity for position in positions):
        return Refused(-4161, "Leverage reduction is not supported in Isolated Margin Mode with open positions.")
    if less and account.free < 0:
        return Refused(-2028, "Leverage is smaller than permitted: insufficient margin balance.")
    return None
