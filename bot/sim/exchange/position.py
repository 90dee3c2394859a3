"""One account's position in one symbol, as the venue keeps it: average cost, realised profit, isolated margin.

Formulas: Binance USD-M's help (quant.md 6). Cost is the signed sum of what was paid; closing a part takes its share of the cost off, rounded to
the ledger's unit, so that all parts together realise exactly what was earned.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from bot.sim.exchange.ledger import cents
from bot.sim.exchange.records import PositionSide
from bot.trading.margin import SAMPLE, maintenance_usd

_ZERO = Decimal(0)
LEVERAGES = (125, 100, 50, 20, 10, 5, 4, 3, 2, 1)  # at most, by bracket of `margin.SAMPLE` (Binance, same date)
LAST_CAP_USD = 500_000_000


@dataclass(slots=True)
class Position:
    """`quantity` signed base coin, long above zero; `cost` its value when it was opened, same sign."""

    symbol: str
    side: PositionSide = PositionSide.BOTH
    leverage: int = 20
    isolated: bool = False
    quantity: Decimal = _ZERO
    cost: Decimal = _ZERO
    margin: Decimal = _ZERO  # isolated wallet
    realised: Decimal = _ZERO  # before fees, of all times
    paid: Decimal = _ZERO  # fees since it was opened
    update_ms: int = 0

    @property
    def entry(self) -> Decimal:
        return self.cost / self.quantity if self.quantity else _ZERO

    @property
    def break_even(self) -> Decimal:
        return (self.cost + self.paid) / self.quantity if self.quantity else _ZERO

    @property
    def most_notional(self) -> Decimal:
        """The largest position at this leverage."""
        caps = [cap.cap_usd for cap, most in zip(SAMPLE, LEVERAGES, strict=True) if most >= self.leverage]
        return caps[-1] or Decimal(LAST_CAP_USD)

    def unrealised(self, mark: Decimal) -> Decimal:
        return cents(self.quantity * mark - self.cost)

    def maintenance(self, mark: Decimal) -> Decimal:
        return maintenance_usd(abs(self.quantity * mark)) if self.quantity else _ZERO

    def initial(self, mark: Decimal) -> Decimal:
        return abs(self.quantity * mark) / self.leverage

    def trade(self, signed: Decimal, price: Decimal, fee: Decimal, ms: int) -> Decimal:
        """A fill; what it realised. Beyond zero it opens anew at this price."""
        before, self.update_ms = self.quantity, ms
        closing = _ZERO
        if before * signed < 0:
            closing = min(abs(signed), abs(before)) * (1 if signed > 0 else -1)
        realised = self._close(closing, price) if closing else _ZERO
        opening = signed - closing
        if opening:
            self.cost += price * opening
            self.quantity += opening
            if self.isolated:
                self.margin += cents(abs(price * opening) / self.leverage)
        self.paid = self.paid + fee if self.quantity and self.quantity * before > 0 else fee if self.quantity else _ZERO
        return realised

    def _close(self, closing: Decimal, price: Decimal) -> Decimal:
        """`closing` has the other sign; its share of the cost goes, and of an isolated margin."""
        whole = closing == -self.quantity
        share = self.cost if whole else cents(self.cost * -closing / self.quantity)
        released = self.margin if whole else cents(self.margin * -closing / self.quantity)
        realised = -closing * price - share
        self.cost -= share
        self.quantity += closing
        self.margin -= released
        self.realised += realised
        return realised
