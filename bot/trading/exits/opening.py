"""The ladder of a position whose entry is done, and what the journal is told of it. Part of the desk `exits`."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from bot.domain.events import Emit, rounded, text
from bot.domain.messages import Message
from bot.domain.orders import Order, OrderType, PlaceOrder
from bot.domain.ports import IdFactory, View
from bot.trading.exits.ladder import LadderParams, Tier, build, targets
from bot.trading.exits.plan import Plan, TierPlan
from bot.trading.exits.resizing import SMALL, told_merged
from bot.trading.position import Position


class Opening:
    def __init__(self, ids: IdFactory, ladder: LadderParams) -> None:
        self._ids, self._ladder = ids, ladder

    def ladder(
        self, plan: Plan, position: Position, r: Decimal | None, view: View
    ) -> tuple[list[Message], list[Message]]:
        """Plans the tiers: what to say of merged ones, and the orders. `r` is the stop's distance where tiers are in R."""
        instrument, direction, entry = view.instrument(position.instrument), position.direction, position.entry_price
        true_trend = position.frozen.true_trend
        ladder = build(entry, position.quantity, direction, instrument, self._ladder, true_trend, r)
        nominal = targets(entry, direction, instrument, self._ladder, r)
        for tier in ladder.tiers:
            plan.tiers[tier.tier] = TierPlan(tier.tier, self._order(position, tier), nominal[tier.tier - 1])
        merged = told_merged(position, ladder.merged, SMALL)
        return merged, [PlaceOrder(order=tier.order) for tier in plan.tiers.values()]

    def _order(self, position: Position, tier: Tier) -> Order:
        leg = f"tier_{tier.tier}"
        return Order(
            client_order_id=self._ids.client_order_id(leg),
            instrument=position.instrument,
            signal_id=position.signal_id,
            position_id=position.position_id,
            leg=leg,
            side=position.direction.exit_side,
            type=OrderType.LIMIT,
            quantity=tier.quantity,
            price=tier.price,
            reduce_only=True,
            reason="take_profit",
        )


def opened_event(plan: Plan, position: Position, more: dict[str, Any]) -> Emit:
    data = {**_state(plan, position), **position.frozen.told(), **more}
    because = f"decision:{position.signal_id}"
    return position.event("POSITION_OPENED", "exits", data, key=position.position_id, because=because)


def adopted_event(plan: Plan, position: Position, mark: Decimal | None) -> Emit:
    """`resting_stop_price` is of the stop that was there before ours."""
    found = {"mark": text(mark), "resting_stop_price": text(position.stop_price)}
    data = {**_state(plan, position), "adopted": True, "stop_fraction": text(position.stop_fraction), **found}
    data |= {"true_trend": False, "min_hold_s": 0, "opened_ns": position.opened_ns}
    return position.event("POSITION_ADOPTED", "exits", data, key=position.position_id)


def _state(plan: Plan, position: Position) -> dict[str, Any]:
    """The same keys for every position that comes to be."""
    stop = None if plan.stop is None else plan.stop.wanted(position.direction)
    return {
        "signal_id": position.signal_id,
        "direction": position.direction,
        "entry_price": text(rounded(position.entry_price)),
        "quantity": text(position.quantity),
        "stop_price": text(stop),
        "tiers": [
            {
                "tier": t.tier,
                "price": text(t.order.price),
                "quantity": text(t.order.quantity),
                "nominal": text(t.nominal),
            }
            for t in plan.tiers.values()
        ],
    }
