"""The liquidation price of a long and a short position of one symbol that share a cross wallet (hedge mode).

Binance USD-M's formula for both sides (its help on liquidation, quant.md 6): one price for both, as equity is theirs together.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from bot.sim.exchange.position import Position
from bot.trading.margin import SAMPLE, Bracket

_ZERO = Decimal(0)
_MOST_ROUNDS = 2 * len(SAMPLE)


def hedged_liquidation_price(wallet_usd: Decimal, legs: Iterable[Position], mark: Decimal) -> Decimal:
    """`wallet_usd` with what other positions add and need. Zero for none. Rates belong to the notionals at that price, so they are looked up
    until they agree with it."""
    held = [leg for leg in legs if leg.quantity]
    price = mark
    for _ in range(_MOST_ROUNDS):
        rows = [_bracket(abs(leg.quantity) * price) for leg in held]
        found = _ZERO
        falls = sum((abs(leg.quantity) * row.rate - leg.quantity for leg, row in zip(held, rows, strict=True)), _ZERO)
        if falls:
            cost, spared = sum((leg.cost for leg in held), _ZERO), sum((row.deduction_usd for row in rows), _ZERO)
            found = max(_ZERO, (wallet_usd - cost + spared) / falls)
        if [_bracket(abs(leg.quantity) * found) for leg in held] == rows:
            return found
        price = found
    return price


def _bracket(notional_usd: Decimal) -> Bracket:
    return next(row for row in SAMPLE if row.cap_usd is None or notional_usd <= row.cap_usd)
