"""A position whose entry is done: its ladder goes out, its timers and watches are set, and the journal is told. Part of the
desk `exits`."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from bot.domain.events import Emit, rounded, text
from bot.domain.messages import Message, SetTimer
from bot.domain.orders import Order, OrderType, PlaceOrder
from bot.domain.ports import IdFactory, View
from bot.domain.values import NS
from bot.trading.exits.hold import ExitParams
from bot.trading.exits.ladder import LadderParams, Tier, build, manageable, targets
from bot.trading.exits.leaving import Leaving
from bot.trading.exits.plan import Plan, TierPlan
from bot.trading.exits.resizing import SMALL, told_merged
from bot.trading.exits.stops import Stops
from bot.trading.exits.tightening import Tightening
from bot.trading.position import Position

Data = dict[str, Any]


Liquidation = Callable[[Position], Decimal | None]
"""The price at which the venue would liquidate a position; None: none, or not known."""


class Opening:
    def __init__(
        self,
        ids: IdFactory,
        stops: Stops,
        tightening: Tightening,
        leaving: Leaving,
        *,
        ladder: LadderParams,
        exits: ExitParams,
        liquidation: Liquidation,
    ) -> None:
        self._ids, self._stops, self._tightening, self._leaving = ids, stops, tightening, leaving
        self._ladder, self._exits, self._liquidation = ladder, exits, liquidation

    def open(self, plan: Plan, position: Position, view: View) -> list[Message]:
        """Entry price and quantity are final: the stop is held against them, tiers and timers go out."""
        tighten = self._stops.entry_done(plan, position, view)
        if plan.close_reason:  # on its way out already
            return [*tighten, opened_event(plan, position, None)]
        if not manageable(position.quantity, position.entry_price, view.instrument(position.instrument)):
            told = opened_event(plan, position, None)
            return [*tighten, told, *self._leaving.leave(plan, position, "too_small", view)]
        merged, placed = self._tiers(plan, position, view)
        watch, waits_for = self._tightening.wait(plan, position, view)
        self._measure(plan, position)
        opened = opened_event(plan, position, waits_for)
        return [*tighten, *merged, opened, *placed, *watch, *self.timers(position)]

    def _tiers(self, plan: Plan, position: Position, view: View) -> tuple[list[Message], list[Message]]:
        """Plans the ladder: what to say of merged tiers, and the orders."""
        instrument, direction, entry = view.instrument(position.instrument), position.direction, position.entry_price
        true_trend, r = position.frozen.true_trend, self._tightening.r(position)
        ladder = build(entry, position.quantity, direction, instrument, self._ladder, true_trend, r)
        nominal = targets(entry, direction, instrument, self._ladder, r)
        for tier in ladder.tiers:
            plan.tiers[tier.tier] = TierPlan(tier.tier, self._order(position, tier), nominal[tier.tier - 1])
        merged = told_merged(position, ladder.merged, SMALL)
        return merged, [PlaceOrder(order=tier.order) for tier in plan.tiers.values()]

    def _measure(self, plan: Plan, position: Position) -> None:
        """How far away liquidation is at first."""
        price = self._liquidation(position)
        if price is not None:
            plan.liquidation_distance = position.direction.sign * (position.entry_price - price)

    def timers(self, position: Position) -> list[SetTimer]:
        """The ends of what lasts: the force-hold and the longest stay."""
        ends: list[SetTimer] = []
        if position.frozen.min_hold_s:
            ends.append(SetTimer(desk="exits", key=f"hold:{position.position_id}", due_ns=position.hold_until_ns))
        if self._exits.time_stop_s:
            due_ns = position.opened_ns + self._exits.time_stop_s * NS
            ends.append(SetTimer(desk="exits", key=f"time:{position.position_id}", due_ns=due_ns))
        return ends

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


def opened_event(plan: Plan, position: Position, waits_for: Data | None) -> Emit:
    """`waits_for` is the touch that starts break-even; distances are in price units."""
    distance = {"break_even": waits_for, "liquidation_distance": text(plan.liquidation_distance)}
    data = {**_state(plan, position), **position.frozen.told(), **distance, "explored": position.explored}
    because = f"decision:{position.signal_id}"
    return position.event("POSITION_OPENED", "exits", data, key=position.position_id, because=because)


def adopted_event(plan: Plan, position: Position, mark: Decimal | None) -> Emit:
    """`resting_stop_price` is of the stop that was there before ours."""
    found = {"mark": text(mark), "resting_stop_price": text(position.stop_price)}
    data = {**_state(plan, position), "adopted": True, "stop_fraction": text(position.stop_fraction), **found}
    data |= {"true_trend": False, "min_hold_s": 0, "opened_ns": position.opened_ns}
    return position.event("POSITION_ADOPTED", "exits", data, key=position.position_id)


def _state(plan: Plan, position: Position) -> Data:
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
