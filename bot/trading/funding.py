"""Funding of perpetuals: the payment, the venue's formula for the rate, and what an account owes at each funding time.

Pure. `venues/paper.py` tells it of every mark price and asks for the booking a minute after the funding time. A rate that is not
known books nothing: whoever reads the books sees that the time passed without a booking, which is not the same as zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from bot.domain.instrument import exact
from bot.domain.orders import Funding
from bot.domain.ports import MarketView
from bot.domain.values import NS
from bot.trading.account import Account

TOLERANCE_NS = 60 * NS
"""Venues tell of up to a minute around the funding time within which a position may or may not count."""
_INTEREST = 0.0001  # 0.01 % per 8 h
_CLAMP = 0.0005


def payment_usd(quantity: Decimal, mark: Decimal, rate: Decimal) -> Decimal:
    """What the wallet gets for a signed quantity (long above zero): negative where it pays. `rate` is a fraction."""
    return -quantity * mark * rate


def funding_rate(
    premium: float, interest: float = _INTEREST, interval_h: float = 8, *, cap: float | None = None
) -> float:
    """The rate of one interval, a fraction, from the mean premium index: P + clamp(I - P, -0.05 %, +0.05 %) (Binance, Gate).

    `interest` is per 8 h; shorter intervals take their share, which is usual but nowhere written. `cap` holds both ways.
    """
    rate = (premium + min(_CLAMP, max(-_CLAMP, interest - premium))) * interval_h / 8
    return rate if cap is None else min(cap, max(-cap, rate))


@dataclass(slots=True)
class _Due:
    rate: float | None
    mark: float
    seen_ns: int


class FundingBook:
    """What is known of each instrument's next funding, and the booking when it has passed."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._due: dict[tuple[str, int], _Due] = {}

    def on_mark(self, instrument: str, market: MarketView, now_ns: int) -> int | None:
        """A mark price came. The funding time, if it is a new one: `settle` it when `TOLERANCE_NS` more have passed."""
        due_ns, mark = market.next_funding_ns, market.mark
        if due_ns is None or mark is None or market.mark_source != "venue" or now_ns >= due_ns:
            return None
        key = (instrument, due_ns)
        new = key not in self._due
        self._due[key] = _Due(market.funding_rate, mark, now_ns)
        return due_ns if new else None

    def settle(self, instrument: str, due_ns: int) -> Funding | None:
        """Book it; None if nothing was held around then, or the rate of that time is not known.

        Of all quantities held within the tolerance the one that costs most counts: who came or left in that minute pays,
        but never receives. The rate counts if a mark price told it within the last minute before: an announced time that
        the venue then moved is none.
        """
        due = self._due.pop((instrument, due_ns), None)
        if due is None or due.rate is None or due_ns - due.seen_ns > TOLERANCE_NS:
            return None
        held = self._account.extremes(instrument, due_ns - TOLERANCE_NS)
        if not any(held):
            return None
        rate, mark = exact(due.rate), exact(due.mark)
        usd, quantity = min((payment_usd(quantity, mark, rate), quantity) for quantity in held)
        self._account.pay_funding(usd)
        return Funding(instrument=instrument, due_ns=due_ns, rate=rate, mark=mark, quantity=quantity, usd=usd)
