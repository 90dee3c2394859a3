"""Guard `whale_conflict`: no trade against what large taker orders of the last 15 minutes clearly do.

It looks both ways alike, so there is nothing to mirror.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from bot.domain import params
from bot.domain.ports import View
from bot.domain.reading import WhaleCvd
from bot.domain.values import Signal
from bot.trading.guards.base import DataGuard, DataGuardParams, Finding, GuardContext, judged, plain, shown


class WhaleConflictParams(DataGuardParams):
    intensity: float = Field(30.0, ge=0, le=100, description="whale intensity from which a conflict blocks")


class WhaleConflict(DataGuard[WhaleConflictParams, WhaleCvd]):
    name: ClassVar[str] = "whale_conflict"
    event: ClassVar[str] = "WHALE_CONFLICT"
    needs: ClassVar[tuple[str, ...]] = ("whale_cvd",)
    Params: ClassVar[type[params.Params]] = WhaleConflictParams

    def __init__(self, settings: WhaleConflictParams, context: GuardContext) -> None:
        super().__init__(settings, context)
        self._threshold = plain(settings.intensity)

    def judge(self, signal: Signal, view: View, data: WhaleCvd) -> Finding:
        against = data.direction is signal.direction.opposite
        blocks = against and data.intensity >= self.params.intensity
        whales = f"whales {data.direction}" if data.direction else "whales undecided"
        return judged(blocks, shown(data.intensity), self._threshold, whales)
