"""Guard `wall_resistance`: no long when an institutional ask wall leaves no room for the smallest worthwhile target.

Room is measured as the exits desk will use it (`exits/walls.py`): up to the price at which a target would stand in front
of the wall. A wall that is seen blocks however little of the book is seen; that there is none is only said where depth
reaches every price at which one would block.
"""

from __future__ import annotations

from decimal import Decimal
from typing import ClassVar

from bot.domain import params
from bot.domain.instrument import Instrument, Round, exact
from bot.domain.ports import View
from bot.domain.reading import FRESH, PARTIAL, ReadingState, Walls
from bot.domain.values import ABSTAIN, LONG, Direction, Signal
from bot.trading.exits.walls import has_room, institutional, min_room, wall_target
from bot.trading.guards.base import Finding, LongFilter, LongFilterParams, judged, price_now, shown


class WallResistanceParams(LongFilterParams):
    pass


class WallResistance(LongFilter[WallResistanceParams, Walls]):
    """Value and threshold are the room to the nearest wall and the room needed, in percent of price."""

    name: ClassVar[str] = "wall_resistance"
    event: ClassVar[str] = "WALL_RESISTANCE_BLOCK"
    needs: ClassVar[tuple[str, ...]] = ("walls",)
    judges: ClassVar[frozenset[ReadingState]] = frozenset({FRESH, PARTIAL})
    Params: ClassVar[type[params.Params]] = WallResistanceParams

    def judge(self, signal: Signal, view: View, data: Walls) -> Finding:
        stop = self.context.stop_distance(view, signal.instrument)
        if stop is None:
            return Finding(ABSTAIN, "no ATR yet, so the stop's distance and the room needed are not known")
        least = min_room(self.context.round_trip, stop, self.context.targets)
        price, side = price_now(signal, view), signal.direction
        instrument = view.instrument(signal.instrument)
        nearest = _nearest(data, side, price)
        needed = shown(least * 100)
        if nearest is not None:
            target = wall_target(nearest, side, instrument, self.context.targets)
            room = shown(side.sign * (target - price) * 100 / price)
            if not has_room(price, target, side, least):
                return judged(True, room, needed, f"institutional wall at {nearest:.2f}, price {price:f}")
        if not self._covered(price, side, instrument, data, least):
            seen_pct = data.ask_coverage_pct if side is LONG else data.bid_coverage_pct
            return Finding(ABSTAIN, f"not seen beyond {seen_pct:.4g} %", threshold=needed)
        if nearest is None:
            return judged(False, None, needed, "no institutional wall in sight")
        return judged(False, room, needed, f"institutional wall at {nearest:.2f}, price {price:f}")

    def _covered(self, price: Decimal, side: Direction, instrument: Instrument, data: Walls, least: Decimal) -> bool:
        """Whether depth reaches the farthest price at which a wall would still block."""
        seen_pct = data.ask_coverage_pct if side is LONG else data.bid_coverage_pct
        enough = instrument.price(price * (1 + side.sign * least), Round.away_from_entry(side))
        reach = price * (100 + side.sign * exact(seen_pct)) * (100 - side.sign * self.context.targets.offset_pct)
        return side.sign * (reach - enough * 10_000) >= 0


def _nearest(walls: Walls, side: Direction, price: Decimal) -> Decimal | None:
    """The nearest institutional wall ahead of price, in the trade's way."""
    ahead = (exact(wall.price) for wall in institutional(walls, side))
    return next((wall for wall in ahead if side.sign * (wall - price) > 0), None)
