"""The money of one account: a balance that only entries move, each with its reason, so that it can always be told from them.

Every amount is in whole 1e-8 of the quote coin; what a rounding leaves over is nobody's. The sum of all entries is the balance, to the
last digit; the oldest are folded into `opening` once there are too many to keep.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from decimal import Decimal
from enum import StrEnum

from msgspec import Struct

UNIT = Decimal("0.00000001")
KEPT = 100_000


class Income(StrEnum):
    TRANSFER = "TRANSFER"
    REALIZED_PNL = "REALIZED_PNL"
    FUNDING_FEE = "FUNDING_FEE"
    COMMISSION = "COMMISSION"
    INSURANCE_CLEAR = "INSURANCE_CLEAR"


class Entry(Struct, frozen=True):
    number: int
    ms: int
    kind: Income
    amount: Decimal
    symbol: str = ""
    trade_id: int | None = None
    info: str = ""


def cents(amount: Decimal) -> Decimal:
    """Rounded to the ledger's unit, halves to even."""
    return amount.quantize(UNIT)


class Ledger:
    def __init__(self) -> None:
        self.balance = self.opening = Decimal(0)
        self._entries: deque[Entry] = deque()
        self._number = 0

    def enter(
        self, ms: int, kind: Income, amount: Decimal, symbol: str = "", trade_id: int | None = None, info: str = ""
    ) -> Decimal:
        """The one way in which the balance moves; what was entered, after rounding. Nothing is entered for a zero."""
        amount = cents(amount)
        if not amount:
            return amount
        self._number += 1
        self.balance += amount
        self._entries.append(Entry(self._number, ms, kind, amount, symbol, trade_id, info))
        if len(self._entries) > KEPT:
            self.opening += self._entries.popleft().amount
        return amount

    def entries(self) -> Iterator[Entry]:
        """The oldest first."""
        return iter(self._entries)
