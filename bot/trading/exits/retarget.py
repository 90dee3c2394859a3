"""Moves the targets of an open position in front of institutional walls, and back. Part of the desk `exits`.

Each move is one amendment of a resting order and a TP_ADJUSTED event; if the venue refuses it, the old order stays.
"""

from __future__ import annotations

from decimal import Decimal

from msgspec.structs import replace

from bot.domain.events import Emit, text
from bot.domain.instrument import exact
from bot.domain.messages import Message
from bot.domain.orders import AmendOrder, CancelOrder
from bot.domain.ports import View
from bot.domain.reading import Wall
from bot.market.walls import WallParams
from bot.trading.costs import FeeParams
from bot.trading.exits.plan import Plan, TierPlan
from bot.trading.exits.resizing import rung, told_merged
from bot.trading.exits.walls import TargetParams, Wanted, clamp_lower, decide_move, min_room, wanted_target
from bot.trading.position import Position


class Retarget:
    def __init__(self, walls: WallParams, targets: TargetParams, fees: FeeParams) -> None:
        self._tiers = walls.tiers
        self._params = targets
        self._round_trip = fees.round_trip

    def on_sample(self, plan: Plan, position: Position, view: View) -> list[Message]:
        answers: list[Message] = []
        for number in self._tiers:
            tier = plan.tiers.get(number)
            if tier is not None and tier.open and tier.before is None:
                answers += self._consider(plan, tier, position, view)
        return answers

    def _consider(self, plan: Plan, tier: TierPlan, position: Position, view: View) -> list[Message]:
        market = view.market(position.instrument)
        reading = view.reading("walls", position.instrument)
        current = tier.order.price
        if market.mid is None or market.last is None or current is None:
            return []
        wanted = wanted_target(
            reading,
            view.now_ns,
            entry=position.entry_price,
            direction=position.direction,
            nominal=tier.nominal,
            current=current,
            mid=exact(market.mid),
            instrument=view.instrument(position.instrument),
            room=min_room(self._round_trip, position.stop_fraction, self._params),
            params=self._params,
        )
        if wanted is None:
            return []
        to = decide_move(
            current,
            wanted.price,
            tier.nominal,
            exact(market.last),
            tier.moved_ns or None,
            view.now_ns,
            position.direction,
            self._params,
        )
        return [] if to is None else self._move(plan, tier, to, wanted, reading.source, position, view)

    def _move(
        self, plan: Plan, tier: TierPlan, to: Decimal, wanted: Wanted, source: str, position: Position, view: View
    ) -> list[Message]:
        """Amend the tier; lower tiers that lie beyond its new price are canceled and their quantity joins it."""
        rungs = [rung(each, position) for each in plan.open_tiers()]
        ladder = clamp_lower(rungs, tier.tier, to, position.direction)
        answers: list[Message] = [_adjusted_event(position, tier, to, wanted.wall, source)]
        answers += told_merged(position, ladder.merged, "beyond its new price")
        for merged, _ in ladder.merged:
            gone = plan.tiers[merged]
            gone.working = False
            answers.append(CancelOrder(order=gone.order, reason=f"merged into tier {tier.tier}"))
        open_quantity = next(each.quantity for each in ladder.tiers if each.tier == tier.tier)
        tier.before = tier.order
        tier.order = replace(tier.order, price=to, quantity=tier.filled + open_quantity)
        tier.moved_ns = view.now_ns
        answers.append(AmendOrder(order=tier.order, reason="wall" if wanted.wall is not None else "wall gone"))
        return answers


def _adjusted_event(position: Position, tier: TierPlan, to: Decimal, wall: Wall | None, source: str) -> Emit:
    data = {
        "tier": tier.tier,
        "old_price": text(tier.order.price),
        "new_price": text(to),
        "wall_price": None if wall is None else text(exact(wall.price)),
        "wall_usd": None if wall is None else text(exact(round(wall.usd, 2))),
        "wall_source": source,
    }
    return position.event("TP_ADJUSTED", "exits", data)
