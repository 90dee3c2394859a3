"""Guard `liquidation_wall`: no long just below a large cluster of short liquidations (quant 3).

Clusters computed from our own open-interest model are guesses about leverage, so by default they decide nothing.
"""

from __future__ import annotations

from decimal import Decimal
from typing import ClassVar

from pydantic import Field

from bot.domain import params
from bot.domain.ports import View
from bot.domain.reading import LiquidationCluster, LiquidationClusters
from bot.domain.values import ABSTAIN, LONG, Direction, Signal
from bot.trading.guards.base import Finding, GuardContext, LongFilter, LongFilterParams, judged, plain, price_now, shown


class LiquidationWallParams(LongFilterParams):
    oi_pct: Decimal = Field(
        Decimal("0.5"), gt=0, description="size from which a cluster blocks, percent of open interest"
    )
    distance_pct: Decimal = Field(Decimal("0.5"), gt=0, description="how far above price it counts, percent of price")
    use_model: bool = Field(False, description="let clusters computed by our own model decide, too")


class LiquidationWall(LongFilter[LiquidationWallParams, LiquidationClusters]):
    """The value is the largest cluster in range, in percent of open interest."""

    name: ClassVar[str] = "liquidation_wall"
    event: ClassVar[str] = "LIQ_WALL_CONFLICT"
    needs: ClassVar[tuple[str, ...]] = ("liquidation_clusters",)
    Params: ClassVar[type[params.Params]] = LiquidationWallParams

    def __init__(self, settings: LiquidationWallParams, context: GuardContext) -> None:
        super().__init__(settings, context)
        self._threshold = plain(settings.oi_pct)

    def judge(self, signal: Signal, view: View, data: LiquidationClusters) -> Finding:
        if data.model and not self.params.use_model:
            return Finding(ABSTAIN, "clusters are from our own model and use_model is off")
        if data.open_interest_usd <= 0:
            return Finding(ABSTAIN, "open interest is not known")
        price = price_now(signal, view)
        largest = self._largest(price, signal.direction, data)
        if largest is None:
            return judged(False, "0", self._threshold, self._nothing(signal.direction))
        return judged(
            largest.usd * 100 >= self.params.oi_pct * data.open_interest_usd,
            shown(largest.usd * 100 / data.open_interest_usd),
            self._threshold,
            f"{largest.side} liquidations at {largest.price:f}, price {price:f}",
        )

    def _largest(self, price: Decimal, direction: Direction, data: LiquidationClusters) -> LiquidationCluster | None:
        """Of the clusters in range the largest, of equal ones the first."""
        side, end = direction.opposite, price * (100 + direction.sign * self.params.distance_pct) / 100
        long, largest = direction is LONG, None
        for cluster in data.clusters:
            at = cluster.price
            in_range = price < at <= end if long else end <= at < price
            if in_range and cluster.side is side and (largest is None or cluster.usd > largest.usd):
                largest = cluster
        return largest

    def _nothing(self, direction: Direction) -> str:
        where = "above" if direction is LONG else "below"
        return f"no {direction.opposite} liquidations within {self.params.distance_pct:f} % {where} price"
