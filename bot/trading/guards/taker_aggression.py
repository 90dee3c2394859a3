"""Guard `taker_aggression`: no long unless takers of the last five minutes bought clearly more than they sold."""

from __future__ import annotations

from decimal import Decimal
from typing import ClassVar

from pydantic import Field

from bot.domain import params
from bot.domain.ports import View
from bot.domain.reading import Taker
from bot.domain.values import ABSTAIN, SHORT, Direction, Signal
from bot.trading.guards.base import Finding, GuardContext, LongFilterParams, TakerFilter, judged, plain, shown


class TakerAggressionParams(LongFilterParams):
    ratio: Decimal = Field(Decimal("1.10"), gt=0, description="a buy/sell ratio up to and including this blocks")


class TakerAggression(TakerFilter[TakerAggressionParams]):
    """The value is the ratio to four places; the decision multiplies instead, so 1.10 blocks and 1.1001 passes."""

    name: ClassVar[str] = "taker_aggression"
    event: ClassVar[str] = "TAKER_AGGRESSION_BLOCK"
    needs: ClassVar[tuple[str, ...]] = ("taker_5m",)
    Params: ClassVar[type[params.Params]] = TakerAggressionParams

    def __init__(self, settings: TakerAggressionParams, context: GuardContext) -> None:
        super().__init__(settings, context)
        self._threshold = plain(settings.ratio)
        self._ratio, self._to = settings.ratio.as_integer_ratio()  # 11 to 10: whole numbers stay whole

    def judge(self, signal: Signal, view: View, data: Taker) -> Finding:
        if data.sell_usd <= 0:
            return Finding(ABSTAIN, "no taker sales, so there is no ratio")
        blocks, ratio = self.blocks(signal.direction, data.buy_usd, data.sell_usd), shown(data.buy_usd / data.sell_usd)
        return judged(blocks, ratio, shown(1 / self.params.ratio) if signal.direction is SHORT else self._threshold)

    def blocks(self, direction: Direction, buy: Decimal | int, sell: Decimal | int) -> bool:
        if direction is SHORT:
            return self._ratio * buy >= self._to * sell
        return self._to * buy <= self._ratio * sell
