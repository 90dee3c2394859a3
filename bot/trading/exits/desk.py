"""Desk `exits`: protects a position from its first fill on and closes it.

The stop goes out with the first fill and waits for nothing; the ladder follows when the entry is done. Discretionary exits are
deferred while a position is in force-hold; the stop, the tiers it has and the operator's close never are.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import ClassVar

from msgspec.structs import replace

from bot.domain.events import Emit, rounded, text
from bot.domain.instrument import exact
from bot.domain.messages import (
    CancelTimer,
    Closed,
    CloseRequest,
    EntryDone,
    Executed,
    FirstFill,
    Message,
    OrderChanged,
    Sampled,
    SetTimer,
    TimerFired,
)
from bot.domain.orders import AmendOrder, CancelOrder, Order, OrderStatus, OrderType, PlaceOrder
from bot.domain.ports import IdFactory, View
from bot.domain.values import NS, Decision
from bot.trading.exits.hold import ExitParams, HoldParams, reversal_due
from bot.trading.exits.ladder import LadderParams, Tier, build, manageable, targets
from bot.trading.exits.plan import Plan, TierPlan
from bot.trading.exits.protection import StopParams, stop_price, tighter
from bot.trading.exits.retarget import Retarget
from bot.trading.portfolio import Portfolio
from bot.trading.position import Position

PROTECTED_WITHIN_NS = 2 * NS  # reliability I4: a stop not seen by then means leaving at market


class Exits:
    name: ClassVar[str] = "exits"

    def __init__(
        self,
        portfolio: Portfolio,
        ids: IdFactory,
        retarget: Retarget,
        *,
        ladder: LadderParams,
        stop: StopParams,
        hold: HoldParams,
        exits: ExitParams,
    ) -> None:
        self._portfolio, self._ids, self._retarget = portfolio, ids, retarget
        self._ladder, self._stop, self._hold, self._exits = ladder, stop, hold, exits
        self._plans: dict[str, Plan] = {}

    def on(self, message: Message, view: View) -> Sequence[Message]:
        match message:
            case Sampled():
                return self._sampled(view)
            case FirstFill(position_id=position_id):
                return self._protect(self._position(position_id), view)
            case EntryDone(position_id=position_id):
                return self._open(self._position(position_id), view)
            case Executed(order=order, fill=fill):
                return self._executed(order, fill.quantity)
            case OrderChanged():
                return self._changed(message, view)
            case Closed(position_id=position_id):
                return self._clean_up(position_id)
            case Decision() if message.allowed and message.reversal:
                return self._reversal(message, view)
            case CloseRequest(instrument=instrument, reason=reason):
                position = self._portfolio.position(instrument)
                return [] if position is None else self._leave(position, reason, view)
            case TimerFired(key=key):
                return self._timer(key, view)
            case _:
                return []

    def plan(self, position_id: str) -> Plan | None:
        return self._plans.get(position_id)

    def _position(self, position_id: str) -> Position:
        position = self._portfolio.by_id(position_id)
        assert position is not None  # published by the desk that owns it, in the same settling
        return position

    # --- protection ---

    def _protect(self, position: Position, view: View) -> list[Message]:
        plan = self._plans[position.position_id] = Plan(position.position_id)
        instrument = view.instrument(position.instrument)
        plan.stop = Order(
            client_order_id=self._ids.client_order_id("stop"),
            instrument=position.instrument,
            signal_id=position.signal_id,
            position_id=position.position_id,
            leg="stop",
            side=position.direction.exit_side,
            type=OrderType.STOP_MARKET,
            quantity=position.quantity,
            stop_price=stop_price(position.first_price, position.direction, instrument, self._stop),
            reduce_only=True,
            close_position=True,
            reason="protection",
        )
        deadline = SetTimer(desk=self.name, key=f"protect:{plan.position_id}", due_ns=view.now_ns + PROTECTED_WITHIN_NS)
        return [PlaceOrder(order=plan.stop), deadline]

    def _tighten(self, plan: Plan, position: Position, view: View) -> list[Message]:
        """The entry's mean price is known now: move the stop there if that is tighter, never looser."""
        if plan.stop is None or plan.stop.stop_price is None:
            return []
        instrument = view.instrument(position.instrument)
        wanted = stop_price(position.entry_price, position.direction, instrument, self._stop)
        if not tighter(position.direction, plan.stop.stop_price, wanted):
            return []
        plan.stop_before = plan.stop
        plan.stop = replace(plan.stop, stop_price=wanted, quantity=position.quantity)
        return [AmendOrder(order=plan.stop, reason="entry complete")]

    # --- ladder ---

    def _open(self, position: Position, view: View) -> list[Message]:
        plan = self._plans[position.position_id]
        instrument = view.instrument(position.instrument)
        tighten = self._tighten(plan, position, view)
        if not manageable(position.quantity, position.entry_price, instrument):
            return [*tighten, self._opened_event(plan, position), *self._leave(position, "too_small", view)]
        frozen = position.frozen
        ladder = build(
            position.entry_price, position.quantity, position.direction, instrument, self._ladder, frozen.true_trend
        )
        nominal = targets(position.entry_price, position.direction, instrument, self._ladder)
        for tier in ladder.tiers:
            plan.tiers[tier.tier] = TierPlan(tier.tier, self._tier_order(position, tier), nominal[tier.tier - 1])
        merged: list[Message] = [
            position.event("LADDER_MERGED", self.name, {"tier": tier, "into": into}) for tier, into in ladder.merged
        ]
        placed: list[Message] = [PlaceOrder(order=tier.order) for tier in plan.tiers.values()]
        return [*tighten, *merged, self._opened_event(plan, position), *placed, *self._hold_timer(position)]

    def _tier_order(self, position: Position, tier: Tier) -> Order:
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

    def _opened_event(self, plan: Plan, position: Position) -> Emit:
        frozen = position.frozen
        stop = plan.stop.stop_price if plan.stop is not None else None
        data = {
            "signal_id": position.signal_id,
            "direction": position.direction,
            "entry_price": text(rounded(position.entry_price)),
            "quantity": text(position.quantity),
            "stop_price": text(stop),
            "tiers": [
                {"tier": t.tier, "price": text(t.order.price), "quantity": text(t.order.quantity)}
                for t in plan.tiers.values()
            ],
            "regime": frozen.regime,
            "hurst": frozen.hurst,
            "hurst_z": frozen.hurst_z,
            "oi_delta_5m_pct": frozen.oi_delta_5m_pct,
            "true_trend": frozen.true_trend,
            "true_trend_reason": frozen.true_trend_reason,
            "max_pain_at_entry": text(frozen.max_pain),
            "max_pain_expiry": frozen.max_pain_expiry,
            "max_pain_source": frozen.max_pain_source,
            "max_pain_gap_pct": None if frozen.max_pain_gap_pct is None else round(float(frozen.max_pain_gap_pct), 4),
            "magnet": frozen.magnet,
            "min_hold_s": frozen.min_hold_s,
        }
        because = f"decision:{position.signal_id}"
        return position.event("POSITION_OPENED", self.name, data, key=position.position_id, because=because)

    def _hold_timer(self, position: Position) -> list[Message]:
        if position.frozen.min_hold_s == 0:
            return []
        return [SetTimer(desk=self.name, key=f"hold:{position.position_id}", due_ns=position.hold_until_ns)]

    # --- what comes back ---

    def _executed(self, order: Order, quantity: Decimal) -> list[Message]:
        plan = self._plans.get(order.position_id)
        if plan is None:
            return []
        plan.last_exit_leg = order.leg
        tier = plan.tier_of(order.client_order_id)
        if tier is not None:
            tier.filled += quantity
        return []

    def _changed(self, message: OrderChanged, view: View) -> list[Message]:
        plan = self._plans.get(message.order.position_id)
        position = self._portfolio.by_id(message.order.position_id)
        if plan is None or position is None:
            return []
        leg, status = message.order.leg, message.status
        if message.command in ("cancel", "amend"):
            self._amended(plan, message)
            return []
        if leg == "stop":
            return self._stop_changed(plan, position, status, view)
        tier = plan.tier_of(message.order.client_order_id)
        if tier is not None and status.terminal:
            tier.working = False
        if leg == "close" and status.terminal:
            plan.close = None  # if anything is left, the next sample tries again
        return []

    def _amended(self, plan: Plan, message: OrderChanged) -> None:
        """A refused amendment leaves the old order in force."""
        if message.command != "amend" or message.status not in (OrderStatus.ACK, OrderStatus.REJECTED):
            return
        refused = message.status is OrderStatus.REJECTED
        tier = plan.tier_of(message.order.client_order_id)
        if message.order.leg == "stop" and plan.stop is not None and plan.stop_before is not None:
            plan.stop, plan.stop_before = (plan.stop_before if refused else plan.stop), None
        elif tier is not None and tier.before is not None:
            tier.order, tier.before = (tier.before if refused else tier.order), None

    def _stop_changed(self, plan: Plan, position: Position, status: OrderStatus, view: View) -> list[Message]:
        if status is OrderStatus.ACK:
            plan.stop_seen = True
            return [CancelTimer(desk=self.name, key=f"protect:{plan.position_id}")]
        if status.terminal and status is not OrderStatus.FILLED:
            passed = plan.stop is not None and _passed(plan.stop, position, view)
            plan.stop = None
            return self._leave(position, "stop" if passed else "unprotected", view)
        return []

    def _timer(self, key: str, view: View) -> list[Message]:
        what, position_id = key.split(":", 1)
        plan, position = self._plans.get(position_id), self._portfolio.by_id(position_id)
        if plan is None or position is None:
            return []
        if what == "protect":
            return [] if plan.stop_seen else self._leave(position, "unprotected", view)
        return self._hold_over(plan, position, view)

    # --- leaving ---

    def _reversal(self, decision: Decision, view: View) -> list[Message]:
        signal = decision.signal
        position = self._portfolio.position(signal.instrument)
        if position is None or not self._exits.reversal or position.direction is signal.direction:
            return []
        plan = self._plans[position.position_id]
        plan.newest_allowed = (signal.direction, signal.ts_ns)
        if view.now_ns >= position.hold_until_ns:
            return self._leave(position, "reversal", view)
        if "reversal" in plan.deferred:
            return []
        plan.deferred.add("reversal")
        remaining_s = round((position.hold_until_ns - view.now_ns) / NS, 3)
        data = {"wanted": "reversal", "hold_remaining_s": remaining_s}
        return [position.event("EXIT_DEFERRED", self.name, data)]

    def _hold_over(self, plan: Plan, position: Position, view: View) -> list[Message]:
        """A deferred exit runs now if its condition still holds."""
        due = reversal_due(position.direction, plan.newest_allowed, view.now_ns, self._hold)
        if "reversal" in plan.deferred and due:
            return self._leave(position, "reversal", view)
        return []

    def _leave(self, position: Position, reason: str, view: View) -> list[Message]:
        """Close all of it at market, reduce-only, in parts where the venue takes no larger order. The stop stays until
        nothing is left."""
        plan = self._plans[position.position_id]
        if plan.close is not None:
            return []
        plan.close_reason = plan.close_reason or reason
        plan.close = Order(
            client_order_id=self._ids.client_order_id("close", plan.attempts % 1024),
            instrument=position.instrument,
            signal_id=position.signal_id,
            position_id=position.position_id,
            leg="close",
            side=position.direction.exit_side,
            type=OrderType.MARKET,
            quantity=min(position.quantity, view.instrument(position.instrument).max_market_quantity),
            reduce_only=True,
            reason=plan.close_reason,
        )
        plan.attempts += 1
        return [PlaceOrder(order=plan.close)]

    def _clean_up(self, position_id: str) -> list[Message]:
        plan = self._plans.pop(position_id)
        resting = [tier.order for tier in plan.tiers.values() if tier.working and tier.remaining > 0]
        if plan.stop is not None and plan.last_exit_leg != "stop":
            resting.append(plan.stop)
        answers: list[Message] = [CancelOrder(order=order, reason="position closed") for order in resting]
        timers = [CancelTimer(desk=self.name, key=f"{what}:{position_id}") for what in ("protect", "hold")]
        return answers + timers

    # --- once a second ---

    def _sampled(self, view: View) -> list[Message]:
        answers: list[Message] = []
        for position_id, plan in self._plans.items():
            position = self._portfolio.by_id(position_id)
            if position is None:
                continue
            if plan.close_reason:
                answers += self._leave(position, plan.close_reason, view)
            elif plan.tiers:
                answers += self._retarget.on_sample(plan, position, view)
        return answers


def _passed(stop: Order, position: Position, view: View) -> bool:
    """Whether the mark is already where the stop would have triggered: then leaving is the stop's doing."""
    mark = view.market(position.instrument).mark
    if mark is None or stop.stop_price is None:
        return False
    return position.direction.sign * (exact(mark) - stop.stop_price) <= 0
