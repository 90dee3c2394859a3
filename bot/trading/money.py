"""The account's money to the last digit: wallet, what it is made of, and the equity that losses are measured from.

Pure sums in USD; it knows no positions. The portfolio books into it what fills, funding and transfers bring; the desk `state` sets
the day's beginning and the peak once a second. Whatever moves money in or out moves both with it, so that it is no profit or loss.
"""

from __future__ import annotations

from decimal import Decimal

from bot.domain.values import NS

DAY_NS = 86_400 * NS
ZERO = Decimal(0)
PEAK_STEP = Decimal("1.0001")
"""The peak rises by at least 1 bp at once: each rise is journaled, and a restart must find the very same peak."""


class Money:
    def __init__(self, wallet_usd: Decimal) -> None:
        self.wallet_usd = wallet_usd
        self.realised_usd = ZERO
        self.fees_usd = ZERO
        self.funding_usd = ZERO
        self.transfers_usd = ZERO
        self.day = 0  # of UTC, since 1970; 0 until the first one has begun
        self.day_start_usd = wallet_usd  # equity at 00:00 UTC, or when the account was first seen
        self.peak_usd = wallet_usd

    def realise(self, usd: Decimal) -> None:
        self.realised_usd += usd
        self.wallet_usd += usd

    def pay_fee(self, usd: Decimal) -> None:
        """A rebate is a negative fee."""
        self.fees_usd += usd
        self.wallet_usd -= usd

    def fund(self, usd: Decimal) -> None:
        self.funding_usd += usd
        self.wallet_usd += usd

    def transfer(self, usd: Decimal) -> None:
        """Money the operator moved in, or out (negative)."""
        self.transfers_usd += usd
        self.wallet_usd += usd
        self.day_start_usd += usd
        self.peak_usd += usd

    def start_day(self, now_ns: int, equity_usd: Decimal) -> bool:
        """Whether a new UTC day of engine time has begun, with this equity. A day never begins twice, nor does time go back."""
        day = now_ns // DAY_NS
        if day <= self.day:
            return False
        self.day, self.day_start_usd = day, equity_usd
        return True

    def raise_peak(self, equity_usd: Decimal) -> bool:
        if equity_usd < self.peak_usd * PEAK_STEP or equity_usd <= self.peak_usd:
            return False
        self.peak_usd = equity_usd
        return True
