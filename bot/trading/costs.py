"""What trading costs: fee rates, used alike by sizing, exits and paper fills."""

from __future__ import annotations

from decimal import Decimal

from pydantic import Field

from bot.domain.params import Params


class FeeParams(Params):
    """Binance USD-M's base tier (2026); read your own tier on the venue and set it here."""

    maker_pct: Decimal = Field(Decimal("0.02"), ge=-1, le=5, description="fee of a resting order, percent of notional")
    taker_pct: Decimal = Field(
        Decimal("0.05"), ge=0, le=5, description="fee of an order that takes, percent of notional"
    )

    @property
    def maker(self) -> Decimal:
        return self.maker_pct / 100

    @property
    def taker(self) -> Decimal:
        return self.taker_pct / 100

    @property
    def round_trip(self) -> Decimal:
        """In and out as a taker, a fraction of notional: what a trade costs when nothing goes well."""
        return 2 * self.taker
