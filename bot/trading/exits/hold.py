"""TRUE TREND, the max-pain gap and the force-hold they lead to: all frozen at the first fill."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

from pydantic import Field

from bot.domain.params import Params


class HoldParams(Params):
    min_s: int = Field(2700, ge=0, description="force-hold of a TRUE TREND position")
    extended_s: int = Field(4500, ge=0, description="the same when max pain is farther than extend_gap_pct")
    extend_gap_pct: Decimal = Field(Decimal("2.0"), ge=0)
    extend_side: Literal["any", "profit"] = "any"
    reversal_max_age_s: int = Field(
        900, ge=0, description="a deferred reversal older than this is dropped at the hold's end"
    )


class TrueTrendParams(Params):
    require_direction: bool = Field(True, description="the last 100 and the last 12 returns must point the trade's way")


class ExitParams(Params):
    reversal: bool = Field(True, description="an allowed opposite signal closes the position (it does not flip it)")
