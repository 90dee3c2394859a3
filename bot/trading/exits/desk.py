"""Desk `exits`: protects a position from its first fill on and closes it. It takes what comes in and knows whose it is; the work
is done by its parts (stops, opening, tightening, retarget, resizing, leaving).

The stop goes out with the first fill and waits for nothing; the ladder follows when the entry is done. Discretionary exits are
deferred while a position is in force-hold; the stop, the tiers it has, the operator's close, a flatten and a liquidation that
comes near never are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import ClassVar

from bot.domain.events import Emit, text
from bot.domain.instrument import exact
from bot.domain.messages import (
    CancelTimer,
    Closed,
    CloseRequest,
    EntryDone,
    Executed,
    FirstFill,
    FlattenRequest,
    Message,
    MoveStopRequest,
    OrderChanged,
    PriceTouched,
    Sampled,
    SetTimer,
    TimerFired,
    UnwatchPrice,
)
from bot.domain.orders import CancelOrder, OrderStatus
from bot.domain.ports import IdFactory, View
from bot.domain.values import NS, Decision
from bot.trading.costs import FeeParams
from bot.trading.exits.hold import ExitParams, HoldParams, reversal_due
from bot.trading.exits.ladder import LadderParams, manageable
from bot.trading.exits.leaving import Leaving, not_closed
from bot.trading.exits.opening import Opening, adopted_event, opened_event
from bot.trading.exits.plan import Plan
from bot.trading.exits.protection import StopParams
from bot.trading.exits.resizing import fit
from bot.trading.exits.retarget import Retarget
from bot.trading.exits.stops import Stops
from bot.trading.exits.tightening import BREAK_EVEN, TRAILING, Tightening, plain
from bot.trading.portfolio import Portfolio
from bot.trading.position import Position

Liquidation = Callable[[Position], Decimal | None]
"""The price at which the venue would liquidate a position; None: none, or not known."""
TIME_STOP = "time_stop"
REVERSAL = "reversal"


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
        fees: FeeParams,
        liquidation: Liquidation = lambda position: None,
    ) -> None:
        self._portfolio, self._retarget, self._liquidation = portfolio, retarget, liquidation
        self._hold, self._exits = hold, exits
        self._leaving = Leaving(ids)
        self._stops = Stops(ids, self._leaving)
        self._opening = Opening(ids, ladder)
        self._tightening = Tightening(
            self._stops, self._leaving, stop=stop, ladder=ladder, exits=exits, round_trip=fees.round_trip
        )
        self._plans: dict[str, Plan] = {}
        self._flattened: frozenset[str] = frozenset()  # positions that a flatten met before their first fill

    def on(self, message: Message, view: View) -> Sequence[Message]:
        match message:
            case Sampled():
                return self._sampled(view)
            case FirstFill(position_id=position_id):
                return self._protect(self._position(position_id), view)
            case EntryDone(position_id=position_id):
                return self._open(self._position(position_id), view)
            case Executed():
                return self._executed(message, view)
            case OrderChanged():
                return self._changed(message, view)
            case Closed(position_id=position_id):
                return self._clean_up(position_id)
            case Decision() if message.allowed and message.reversal:
                return self._reversal(message, view)
            case TimerFired(key=key):
                return self._timer(key, view)
            case PriceTouched(key=key):
                return self._touched(message, key.partition(":")[2], view)
            case CloseRequest() | MoveStopRequest() | FlattenRequest():
                return self._operator(message, view)
            case _:
                return []

    def plan(self, position_id: str) -> Plan | None:
        return self._plans.get(position_id)

    def _position(self, position_id: str) -> Position:
        position = self._portfolio.by_id(position_id)
        assert position is not None  # published by the desk that owns it, in the same settling
        return position

    def _known(self, position_id: str) -> tuple[Plan, Position] | None:
        plan, position = self._plans.get(position_id), self._portfolio.by_id(position_id)
        return None if plan is None or position is None else (plan, position)

    # --- a position comes to be ---

    def _protect(self, position: Position, view: View) -> list[Message]:
        plan = self._plans[position.position_id] = Plan(position.position_id)
        protect = self._stops.protect(plan, position, view)
        if position.adopted:
            mark = view.market(position.instrument).mark
            return [adopted_event(plan, position, None if mark is None else exact(round(mark, 8))), *protect]
        if position.position_id in self._flattened:
            return [*protect, *self._leaving.leave(plan, position, "flatten", view)]
        return protect

    def _open(self, position: Position, view: View) -> list[Message]:
        """Entry price and quantity are final: the stop is held against them, tiers and timers go out."""
        plan = self._plans[position.position_id]
        tighten = self._stops.entry_done(plan, position, view)
        if plan.close_reason:  # on its way out already
            return [*tighten, opened_event(plan, position, {})]
        if not manageable(position.quantity, position.entry_price, view.instrument(position.instrument)):
            told = opened_event(plan, position, {})
            return [*tighten, told, *self._leaving.leave(plan, position, "too_small", view)]
        merged, placed = self._opening.ladder(plan, position, self._tightening.r(position), view)
        more = {"break_even": self._break_even(position, view), **self._measure(plan, position)}
        wait = self._tightening.wait(plan, position, view)
        return [*tighten, *merged, opened_event(plan, position, more), *placed, *wait, *self._timers(position)]

    def _break_even(self, position: Position, view: View) -> dict[str, str | None] | None:
        if not self._exits.break_even:
            return None
        return plain(*self._tightening.break_even_at(position, view.instrument(position.instrument)))

    def _measure(self, plan: Plan, position: Position) -> dict[str, str | None]:
        """How far liquidation is at first."""
        price = self._liquidation(position)
        if price is not None:
            plan.liquidation_distance = position.direction.sign * (position.entry_price - price)
        return {"liquidation_price": text(price), "liquidation_distance": text(plan.liquidation_distance)}

    def _timers(self, position: Position) -> list[Message]:
        ends: list[Message] = []
        if position.frozen.min_hold_s:
            ends.append(SetTimer(desk=self.name, key=f"hold:{position.position_id}", due_ns=position.hold_until_ns))
        if self._exits.time_stop_s:
            due_ns = position.opened_ns + self._exits.time_stop_s * NS
            ends.append(SetTimer(desk=self.name, key=f"time:{position.position_id}", due_ns=due_ns))
        return ends

    # --- what comes back ---

    def _executed(self, executed: Executed, view: View) -> list[Message]:
        order, quantity = executed.order, executed.fill.quantity
        plan, position = self._plans.get(order.position_id), self._portfolio.by_id(order.position_id)
        if plan is None or order.leg == "entry":
            return []
        plan.last_exit_leg = order.leg
        tier = plan.tier_of(order.client_order_id)
        if tier is not None:
            tier.filled += quantity
        if order.leg == "close":
            self._leaving.filled(plan, quantity)
        return [] if position is None else fit(plan, position, view)

    def _changed(self, message: OrderChanged, view: View) -> list[Message]:
        known = self._known(message.order.position_id)
        if known is None:
            return []
        plan, position = known
        leg = message.order.leg
        if message.command == "cancel" and message.status is OrderStatus.REJECTED:
            return []
        if leg == "stop":
            report = self._stops.amended if message.command == "amend" else self._stops.changed
            return report(plan, position, message, view)
        if leg == "close":
            self._leaving.changed(plan, message, view)
            return []
        return self._tier_changed(plan, position, message, view)

    def _tier_changed(self, plan: Plan, position: Position, message: OrderChanged, view: View) -> list[Message]:
        """A refused amendment leaves the old order in force; what was left to do meanwhile is looked at again."""
        tier = plan.tier_of(message.order.client_order_id)
        if tier is None:
            return []
        if message.command == "amend" and message.status in (OrderStatus.ACK, OrderStatus.REJECTED):
            tier.answered(refused=message.status is OrderStatus.REJECTED)
        elif message.finished:
            tier.working, tier.before = False, None
        return fit(plan, position, view)

    def _touched(self, message: PriceTouched, position_id: str, view: View) -> list[Message]:
        known = self._known(position_id)
        return [] if known is None else self._tightening.touched(*known, message, view)

    def _timer(self, key: str, view: View) -> list[Message]:
        what, position_id = key.split(":", 1)
        known = self._known(position_id)
        if known is None:
            return []
        plan, position = known
        if what == "protect":
            return self._stops.overdue(plan, position, view)
        if what == "time":
            return self._leaving.discretionary(plan, position, TIME_STOP, view)
        return self._hold_over(plan, position, view)

    # --- discretionary exits ---

    def _reversal(self, decision: Decision, view: View) -> list[Message]:
        signal = decision.signal
        position = self._portfolio.position(signal.instrument)
        if position is None or position.adopted or not self._exits.reversal or position.direction is signal.direction:
            return []
        plan = self._plans[position.position_id]
        plan.newest_allowed = (signal.direction, signal.ts_ns)
        return self._leaving.discretionary(plan, position, REVERSAL, view)

    def _hold_over(self, plan: Plan, position: Position, view: View) -> list[Message]:
        """A deferred exit runs now if its condition still holds."""
        due = reversal_due(position.direction, plan.newest_allowed, view.now_ns, self._hold)
        if REVERSAL in plan.deferred and due:
            return self._leaving.leave(plan, position, REVERSAL, view)
        if TIME_STOP in plan.deferred:  # time does not run back
            return self._leaving.leave(plan, position, TIME_STOP, view)
        return self._tightening.trail(plan, position, view) if TRAILING in plan.deferred else []

    # --- the operator ---

    def _operator(self, request: CloseRequest | MoveStopRequest | FlattenRequest, view: View) -> list[Message]:
        if isinstance(request, FlattenRequest):
            return self._flatten(view)
        position = self._portfolio.position(request.instrument)
        plan = None if position is None else self._plans.get(position.position_id)
        if position is None or plan is None:
            return [_nothing_open(request)] if isinstance(request, MoveStopRequest) else []
        if isinstance(request, MoveStopRequest):
            return self._tightening.asked(plan, position, request, view)
        return self._close(plan, position, request.part_pct, request.reason, view)

    def _close(
        self, plan: Plan, position: Position, part_pct: Decimal | None, reason: str, view: View
    ) -> list[Message]:
        if part_pct is not None and not (part_pct.is_finite() and part_pct > 0):
            return [not_closed(position, part_pct, f"{part_pct} is not a share between 0 and 100 %")]
        if part_pct is None or part_pct >= 100:
            return self._leaving.leave(plan, position, reason, view)
        part = self._leaving.leave_part(plan, position, part_pct, reason, view)
        return [*fit(plan, position, view), *part]  # the tiers are cut before the market order can reach the venue

    def _flatten(self, view: View) -> list[Message]:
        self._flattened = frozenset(order.position_id for order in self._portfolio.entries())
        answers: list[Message] = []
        for position_id in list(self._plans):
            known = self._known(position_id)
            answers += [] if known is None else self._leaving.leave(*known, "flatten", view)
        return answers

    # --- the end ---

    def _clean_up(self, position_id: str) -> list[Message]:
        plan = self._plans.pop(position_id)
        resting = [tier.order for tier in plan.tiers.values() if tier.may_rest]
        if plan.stop is not None and plan.last_exit_leg != "stop":
            resting.append(plan.stop.order)
        answers: list[Message] = [CancelOrder(order=order, reason="position closed") for order in resting]
        answers += [CancelTimer(desk=self.name, key=f"{what}:{position_id}") for what in ("protect", "hold", "time")]
        if plan.break_even_due:
            answers.append(UnwatchPrice(desk=self.name, key=f"{BREAK_EVEN}:{position_id}"))
        return answers

    # --- once a second ---

    def _sampled(self, view: View) -> list[Message]:
        answers: list[Message] = []
        for position_id in list(self._plans):
            known = self._known(position_id)
            if known is not None:
                answers += self._look_after(*known, view)
        return answers

    def _look_after(self, plan: Plan, position: Position, view: View) -> list[Message]:
        near = [] if plan.close_reason else self._liquidation_near(plan, position, view)
        if plan.close_reason:
            return [*near, *self._leaving.go_on(plan, position, view)]
        answers = [*self._stops.pursue(plan, position, view), *self._tightening.trail(plan, position, view)]
        if plan.part:
            answers += self._leaving.go_on(plan, position, view)
        if plan.tiers:
            answers += self._retarget.on_sample(plan, position, view)
        return [*answers, *fit(plan, position, view), *self._dust(plan, position, view)]

    def _liquidation_near(self, plan: Plan, position: Position, view: View) -> list[Message]:
        """Less than a quarter of the first distance is left: out, hold or not."""
        mark, first = view.market(position.instrument).mark, plan.liquidation_distance
        if mark is None or first is None:
            return []
        price = self._liquidation(position)
        left = None if price is None else position.direction.sign * (exact(round(mark, 8)) - price)
        if left is None or left * 100 >= self._exits.liquidation_pct * first:
            return []
        return self._leaving.leave(plan, position, "liquidation_near", view)

    def _dust(self, plan: Plan, position: Position, view: View) -> list[Message]:
        """What is left is too small to manage and no target covers it: closed at once. A tier's own rest may stay."""
        if position.adopted or not plan.tiers or plan.part or plan.in_tiers() >= position.quantity:
            return []
        if manageable(position.quantity, position.entry_price, view.instrument(position.instrument)):
            return []
        return self._leaving.leave(plan, position, "dust", view)


def _nothing_open(request: MoveStopRequest) -> Emit:
    data = {"price": str(request.price), "stop_price": None, "reason": "no position is open"}
    return Emit(kind="STOP_REFUSED", instrument=request.instrument, source="exits", data=data)
