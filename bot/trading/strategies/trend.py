"""Strategy `trend`: breakout with regime (product 3).

A breakout begins with a bar whose close lies beyond the channel of the bars before it (Donchian: the highest high and the
lowest low of `lookback` bars) while the close before did not lie beyond its own on that side. It is traded the way it
goes when the regime is a trend whose returns point that way too: the direction rule of TRUE TREND. Each bar is judged
once, when it has closed, from the bars shown and the regime of that moment alone. So a restart forgets nothing that
counts; what closed before the strategy first looked is history. Where bars or the regime are lacking there is no idea.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

from pydantic import Field

from bot.domain import params
from bot.domain.market import Bar
from bot.domain.ports import View
from bot.domain.reading import Regime
from bot.domain.values import NS, Direction, RegimeLabel
from bot.trading.exits.hold import astray, fresh
from bot.trading.strategies.base import Idea


class TrendParams(params.Params):
    """Strength is the mean of two shares, each 0 to 1: the regime's z in `full_z`, and in `full_atr` how many ATR the
    close lies beyond the channel."""

    bar_s: int = Field(default=300, gt=0, description="width of the bars; one that is kept")
    lookback: int = Field(default=36, ge=2, description="bars that make the channel")
    min_interval_s: int = Field(
        default=900,
        ge=0,
        description="a breakout sooner after the last one of its direction, traded or not, is no idea",
    )
    atr_bars: int = Field(default=14, ge=1, description="bars of the average true range")
    full_z: float = Field(default=3.29, gt=0, description="z of the regime that makes its half of the strength full")
    full_atr: float = Field(default=1.0, gt=0, description="ATR beyond the channel that make the other half full")

    @property
    def bars_needed(self) -> int:
        """To judge the last bar: a channel for it, for those that are too soon before it, and for the one before these."""
        too_soon = -(-self.min_interval_s // self.bar_s)  # rounded up, the last one counted
        return self.lookback + 1 + max(1, too_soon)


@dataclass(slots=True)
class _Looked:
    """At an instrument: when first, and at which bar last (the start of it)."""

    first_ns: int
    bar_ns: int | None = None


class Trend:
    """At most one idea a breakout; a close back inside the channel arms it again."""

    name: ClassVar[str] = "trend"
    version: ClassVar[int] = 1
    traded_on: ClassVar[tuple[str, ...]] = ("regime",)

    Params: ClassVar[type[params.Params]] = TrendParams

    def __init__(self, settings: TrendParams) -> None:
        self._params = settings
        self._count = settings.bars_needed
        self._looked: dict[str, _Looked] = {}

    def on_sample(self, instrument: str, view: View) -> Idea | None:
        looked = self._looked.setdefault(instrument, _Looked(view.now_ns))
        bars = view.market(instrument).bars(self._params.bar_s, self._count)
        if not bars or not self._is_news(bars[-1], looked) or len(bars) < self._count:
            return None
        beyond = self._breakout(bars)
        return None if beyond is None else self._idea(beyond, instrument, view)

    def _is_news(self, bar: Bar, looked: _Looked) -> bool:
        if bar.start_ns == looked.bar_ns:
            return False
        looked.bar_ns = bar.start_ns
        return bar.start_ns + self._params.bar_s * NS >= looked.first_ns

    def _breakout(self, bars: Sequence[Bar]) -> float | None:
        """How far the last close lies beyond its channel, in price, below it negative; None where no breakout begins."""
        beyond = [self._beyond(bars, at) for at in range(self._params.lookback, len(bars))]
        sides = [(distance > 0) - (distance < 0) for distance in beyond]
        *lately, now = [side if side != before else 0 for before, side in pairwise(sides)]
        return None if not now or now in lately else beyond[-1]

    def _beyond(self, bars: Sequence[Bar], at: int) -> float:
        """The same for the bar `at`; 0 inside and on the edge."""
        channel, close = bars[at - self._params.lookback : at], bars[at].close
        above = close - max(bar.high for bar in channel)
        return above if above > 0 else min(0.0, close - min(bar.low for bar in channel))

    def _idea(self, beyond: float, instrument: str, view: View) -> Idea | None:
        direction = Direction.LONG if beyond > 0 else Direction.SHORT
        regime: Regime | None = fresh(view.reading("regime", instrument), view.now_ns)
        atr = view.market(instrument).atr(self._params.bar_s, self._params.atr_bars)
        if regime is None or regime.label is not RegimeLabel.TREND or astray(direction, regime):
            return None
        if atr is None or not atr > 0:
            return None  # without a measure for it a breakout has no strength
        return Idea(direction, self._strength(regime.z, abs(beyond) / atr))

    def _strength(self, z: float, size_atr: float) -> float:
        of_regime = max(0.0, z / self._params.full_z)  # it may be negative under the bare rule of `regime.confidence` 0
        return (min(1.0, of_regime) + min(1.0, size_atr / self._params.full_atr)) / 2
