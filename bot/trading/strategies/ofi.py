"""Strategy `ofi`: momentum of order-flow imbalance (Cont, Kukanov, Stoikov 2014; quant 3).

Trades the way the best quotes lean once the imbalance of the reading's window is large against the mean size resting
there. It is an opinion about the next seconds, not about a trend. `market/flow.py` computes the imbalance.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from pydantic import Field

from bot.domain import params, reading
from bot.domain.ports import View
from bot.domain.values import NS, Direction
from bot.trading.strategies.base import Idea


class OfiStrategyParams(params.Params):
    """The default threshold gives an idea every 16 s in six busy minutes of BTCUSDT (2024-08-08 23:54 UTC)."""

    threshold_depths: float = Field(
        default=15.0, gt=0, description="imbalance that makes an idea, in multiples of the mean best size"
    )
    rearm_fraction: float = Field(
        default=0.5, ge=0, le=1, description="a side is armed again under this share of the threshold"
    )
    min_interval_s: int = Field(default=15, ge=0, description="between two ideas of a direction in an instrument")


@dataclass(slots=True)
class _State:
    """`leaning`: the side of the last idea until the imbalance lets go of it; no second idea for that side before."""

    leaning: Direction | None = None
    last_ns: dict[Direction, int] = field(default_factory=dict)


class Ofi:
    """One idea each time |imbalance| rises to the threshold; again only after it let go or changed sign."""

    name: ClassVar[str] = "ofi"
    version: ClassVar[int] = 1
    traded_on: ClassVar[tuple[str, ...]] = ("ofi",)

    Params: ClassVar[type[params.Params]] = OfiStrategyParams

    def __init__(self, settings: OfiStrategyParams) -> None:
        self._params = settings
        self._states: dict[str, _State] = {}

    def on_sample(self, instrument: str, view: View) -> Idea | None:
        imbalance: reading.Reading[reading.Ofi] = view.reading("ofi", instrument)
        if imbalance.value is None or imbalance.state(view.now_ns) is not reading.ReadingState.FRESH:
            return None  # nothing is known, so nothing is armed again either
        depths = imbalance.value.depths
        state = self._states.setdefault(instrument, _State())
        self._rearm(state, depths)
        direction = self._side(depths)
        if direction is None or direction is state.leaning or self._too_soon(state, direction, view.now_ns):
            return None
        state.leaning, state.last_ns[direction] = direction, view.now_ns
        return Idea(direction, min(1.0, abs(depths) / (2 * self._params.threshold_depths)))

    def _rearm(self, state: _State, depths: float) -> None:
        """A change of sign lets go as well: it lies under every share of the threshold."""
        let_go = self._params.rearm_fraction * self._params.threshold_depths
        if state.leaning is not None and state.leaning.sign * depths < let_go:
            state.leaning = None

    def _side(self, depths: float) -> Direction | None:
        for direction in Direction:
            if direction.sign * depths >= self._params.threshold_depths:
                return direction
        return None

    def _too_soon(self, state: _State, direction: Direction, now_ns: int) -> bool:
        last_ns = state.last_ns.get(direction)
        return last_ns is not None and now_ns - last_ns < self._params.min_interval_s * NS
