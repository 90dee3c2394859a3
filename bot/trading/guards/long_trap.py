"""Guard `long_trap`: no long when the crowd is already long (global long/short account ratio).

A ratio that is high for everyone is not high for a symbol that always has it: once 30 days are known it must also reach
its own 95th percentile. The reading has no percentile for the other end, so shorts are held against the ratio alone.
"""

from __future__ import annotations

from decimal import Decimal
from typing import ClassVar

from pydantic import Field, field_validator

from bot.domain import params
from bot.domain.ports import View
from bot.domain.reading import LongShort
from bot.domain.values import SHORT, Signal
from bot.trading.guards.base import Finding, GuardContext, LongFilter, LongFilterParams, judged, plain, shown


class LongTrapParams(LongFilterParams):
    ratio: Decimal = Field(Decimal("2.0"), gt=0, description="a long/short ratio above this blocks")
    percentile: int = Field(95, description="and at this percentile of its own 30 days (95), or at any (0)")

    @field_validator("percentile")
    @classmethod
    def _known(cls, percentile: int) -> int:
        if percentile not in (0, 95):
            raise ValueError("percentile must be 95, or 0 to use the ratio alone")
        return percentile


class LongTrap(LongFilter[LongTrapParams, LongShort]):
    name: ClassVar[str] = "long_trap"
    event: ClassVar[str] = "LONG_TRAP_DETECTED"
    needs: ClassVar[tuple[str, ...]] = ("long_short",)
    Params: ClassVar[type[params.Params]] = LongTrapParams

    def __init__(self, settings: LongTrapParams, context: GuardContext) -> None:
        super().__init__(settings, context)
        self._threshold = plain(settings.ratio)

    def judge(self, signal: Signal, view: View, data: LongShort) -> Finding:
        limit = self.params.ratio
        if signal.direction is SHORT:
            return judged(data.ratio * limit < 1, shown(data.ratio), shown(1 / limit))
        usual = data.percentile_95 if self.params.percentile else None
        if usual is None or usual <= limit:
            return judged(data.ratio > limit, shown(data.ratio), self._threshold)
        return judged(data.ratio >= usual, shown(data.ratio), plain(usual), "its own 95th percentile of 30 days")
