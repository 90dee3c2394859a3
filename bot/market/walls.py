"""Order-book walls: identity, age, and how far the book can be seen."""

from __future__ import annotations

from decimal import Decimal

from pydantic import Field

from bot.domain.params import Params


class WallParams(Params):
    min_age_s: int = Field(60, ge=1, le=3600, description="a wall stands after this long")
    institutional_usd: dict[str, Decimal] = Field(
        default_factory=dict, description="threshold by coin, e.g. {BTC = 25000000}"
    )
    tiers: tuple[int, ...] = Field((4,), description="ladder tiers that move in front of an institutional wall")
