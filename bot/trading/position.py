"""A position and what was known when it was opened. Owned by the desk `positions`; everybody else only reads it."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from bot.domain.events import Emit, text
from bot.domain.values import NS, Direction, Magnet, RegimeLabel

LAST_DIGIT = Decimal("1e-8")  # of a dollar, as venues keep it
FUNDING_INTERVAL_NS = 8 * 3600 * NS  # 00:00, 08:00 and 16:00 UTC


@dataclass(frozen=True, slots=True)
class Frozen:
    """Inputs as they were at the first fill; what arrives later changes nothing here."""

    regime: RegimeLabel
    hurst: float | None
    hurst_z: float | None
    oi_delta_5m_pct: float | None
    true_trend: bool
    true_trend_reason: str
    max_pain: Decimal | None
    max_pain_expiry: str | None
    max_pain_source: str | None
    max_pain_gap_pct: Decimal | None
    magnet: Magnet | None
    min_hold_s: int

    def told(self) -> dict[str, Any]:
        """As POSITION_ENTERED and POSITION_OPENED hold it; the gap is rounded there, it follows from price and max pain."""
        gap = self.max_pain_gap_pct
        return {
            "regime": self.regime,
            "hurst": self.hurst,
            "hurst_z": self.hurst_z,
            "oi_delta_5m_pct": self.oi_delta_5m_pct,
            "true_trend": self.true_trend,
            "true_trend_reason": self.true_trend_reason,
            "max_pain_at_entry": text(self.max_pain),
            "max_pain_expiry": self.max_pain_expiry,
            "max_pain_source": self.max_pain_source,
            "max_pain_gap_pct": None if gap is None else round(float(gap), 4),
            "magnet": self.magnet,
            "min_hold_s": self.min_hold_s,
        }


@dataclass(slots=True)
class Position:
    """Quantities in base coin, money in USD. Kept as sums of what was paid and received, so that nothing is ever divided
    before it is shown and profit is exact to the last digit."""

    position_id: str
    signal_id: str
    instrument: str
    direction: Direction
    opened_ns: int
    first_price: Decimal
    stop_fraction: Decimal  # of the entry price: what one R is
    frozen: Frozen
    entered: Decimal = Decimal(0)  # base coins of all entry fills
    entry_value: Decimal = Decimal(0)  # sum of price x quantity of the entry fills
    exited: Decimal = Decimal(0)
    exit_value: Decimal = Decimal(0)
    fees_usd: Decimal = Decimal(0)
    realised_usd: Decimal = Decimal(0)  # booked into the wallet so far, fees not taken off
    funding: Decimal = Decimal(0)  # sum of what was booked, negative: paid
    usual_fundings: int = 0  # of the times below, how many were booked
    stop_price: Decimal | None = None  # of the stop that protects it now, as last accepted by the venue; None: none is
    adopted: bool = False  # not of our making: protected, otherwise left alone
    explored: bool = False  # guards had refused it

    @property
    def quantity(self) -> Decimal:
        return self.entered - self.exited

    @property
    def entry_price(self) -> Decimal:
        """Mean of the entry fills."""
        return self.entry_value / self.entered

    @property
    def exit_price(self) -> Decimal:
        """Mean of the exit fills; only once there is one."""
        return self.exit_value / self.exited

    @property
    def hold_until_ns(self) -> int:
        return self.opened_ns + self.frozen.min_hold_s * NS

    def event(self, kind: str, source: str, data: dict[str, Any], *, key: str | None = None, because: str = "") -> Emit:
        """An event about this position; caused by its opening unless told otherwise."""
        return Emit(
            kind=kind,
            instrument=self.instrument,
            source=source,
            corr=self.signal_id or None,  # an adopted one has no signal
            key=key,
            because=because or self.position_id,
            data={"position_id": self.position_id, **data},
        )

    def profit_usd(self, mark: Decimal) -> Decimal:
        """Realised and unrealised, fees not taken off."""
        return self.direction.sign * (self.exit_value + mark * self.quantity - self.entry_value)

    def r_multiple(self, usd: Decimal) -> float:
        return float(usd / (self.entry_value * self.stop_fraction))

    def unrealised_usd(self, mark: Decimal) -> Decimal:
        """What the wallet has not got yet."""
        return self.profit_usd(mark) - self.realised_usd

    def book_exit(self, price: Decimal, quantity: Decimal) -> Decimal:
        """USD realised. A part's profit is against the mean entry price, to the last digit of a dollar; the last part takes
        what rounding left, so that all parts together are exactly what was paid and received."""
        part = (self.direction.sign * (price - self.entry_price) * quantity).quantize(LAST_DIGIT)
        self.exited += quantity
        self.exit_value += price * quantity
        realised = self.unrealised_usd(Decimal(0)) if self.quantity == 0 else part
        self.realised_usd += realised
        return realised

    def book_funding(self, usd: Decimal, due_ns: int) -> None:
        self.funding += usd
        if due_ns % FUNDING_INTERVAL_NS == 0 and due_ns > self.opened_ns:
            self.usual_fundings += 1

    def funding_usd(self, now_ns: int) -> Decimal | None:
        """What was booked; unknown, not zero, when a usual funding time passed while it was open and the venue did not say."""
        passed = now_ns // FUNDING_INTERVAL_NS - self.opened_ns // FUNDING_INTERVAL_NS
        return None if self.usual_fundings < passed else self.funding
