"""Once a second: what an open position needs looked after that no message brings. Part of the desk `exits`.

Moves that wait, the trailing rule, market exits that go on, walls in front of targets, dust, and a liquidation that comes near.
"""

from __future__ import annotations

from bot.domain.instrument import exact
from bot.domain.messages import Message
from bot.domain.ports import View
from bot.trading.exits.hold import ExitParams
from bot.trading.exits.ladder import manageable
from bot.trading.exits.leaving import Leaving
from bot.trading.exits.opening import Liquidation
from bot.trading.exits.plan import Plan
from bot.trading.exits.retarget import Retarget
from bot.trading.exits.stops import Stops
from bot.trading.exits.tightening import Tightening
from bot.trading.position import Position


class Minding:
    def __init__(
        self,
        stops: Stops,
        tightening: Tightening,
        leaving: Leaving,
        retarget: Retarget,
        *,
        exits: ExitParams,
        liquidation: Liquidation,
    ) -> None:
        self._stops, self._tightening, self._leaving, self._retarget = stops, tightening, leaving, retarget
        self._exits, self._liquidation = exits, liquidation

    def look_after(self, plan: Plan, position: Position, view: View) -> list[Message]:
        if plan.close_reason:
            return self._leaving.go_on(plan, position, view)
        if self._liquidation_near(plan, position, view):
            return self._leaving.leave(plan, position, "liquidation_near", view)
        answers = [*self._stops.pursue(plan, position, view), *self._tightening.trail(plan, position, view)]
        if plan.part:
            answers += self._leaving.go_on(plan, position, view)
        if plan.tiers:
            answers += self._retarget.on_sample(plan, position, view)
        if self._is_dust(plan, position, view):
            answers += self._leaving.leave(plan, position, "dust", view)
        return answers

    def _liquidation_near(self, plan: Plan, position: Position, view: View) -> bool:
        """Less than a quarter of the first distance is left: out, hold or not. What is not known is not near."""
        mark, first = view.market(position.instrument).mark, plan.liquidation_distance
        price = None if mark is None or first is None else self._liquidation(position)
        if mark is None or first is None or price is None:
            return False
        left = position.direction.sign * (exact(round(mark, 8)) - price)
        return left * 100 < self._exits.liquidation_pct * first

    def _is_dust(self, plan: Plan, position: Position, view: View) -> bool:
        """What is left is too small to manage and no target covers it. A tier's own rest may stay."""
        if not plan.tiers or plan.in_tiers() >= position.quantity:
            return False
        return not manageable(position.quantity, position.entry_price, view.instrument(position.instrument))
