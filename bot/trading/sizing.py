"""How large: risk per trade, the multiplier, and the caps it is cut to."""

from __future__ import annotations

from pydantic import Field

from bot.domain.params import Params


class SizingParams(Params):
    ultra: float = Field(
        1.5, gt=0, description="multiplier when whale flow and OFI both agree and the strategy used at most one"
    )
    whale_intensity: float = Field(30.0, ge=0, le=100, description="whale intensity that counts as conviction")
    trend: float = Field(1.0, gt=0, description="multiplier in regime TREND")
    no_trend: float = Field(0.5, gt=0, description="multiplier in every other regime")
    blind: float = Field(0.5, gt=0, le=1, description="multiplier when every data guard abstained")
    min_multiplier: float = Field(0.1, gt=0)
    max_multiplier: float = Field(2.5, gt=0)
