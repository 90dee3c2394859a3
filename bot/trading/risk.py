"""Limits of product rules 9 that can be known without a venue account. The guard `risk_limits` asks them."""

from __future__ import annotations

from decimal import Decimal

from pydantic import Field

from bot.domain.params import Params


class RiskParams(Params):
    equity_usd: Decimal | None = Field(None, gt=0, description="trade as if equity were no more than this")
    base_risk_pct: Decimal = Field(Decimal("0.25"), gt=0, le=5, description="equity risked to the stop, costs included")
    max_risk_pct: Decimal = Field(Decimal("0.6"), gt=0, le=5, description="the same after every multiplier, at most")
    symbol_pct: Decimal = Field(Decimal(60), gt=0, description="largest notional of one symbol, percent of equity")
    gross_pct: Decimal = Field(Decimal(150), gt=0, description="largest notional of all positions, percent of equity")
    max_positions: int = Field(5, ge=1)
    cooldown_s: int = Field(900, ge=0, description="no entry in a symbol for this long after a full close")
    stop_cooldown_s: int = Field(1800, ge=0, description="the same, in the same direction, after a stop-out")
    entries_per_symbol_day: int = Field(6, ge=1)
    entries_per_day: int = Field(20, ge=1)
    book_max_age_s: float = Field(2.0, gt=0)
    trade_max_age_s: float = Field(5.0, gt=0)
    mark_max_age_s: float = Field(10.0, gt=0)
