"""Desk `exits`: protects a position from its first fill on and closes it. It takes what comes in and knows whose it is; the work
is done by its parts (stops, opening, tightening, retarget, resizing, minding, leaving).

The stop goes out with the first fill and waits for nothing; the ladder follows when the entry is done. Discretionary exits are
deferred while a position is in force-hold; the stop, the tiers it has, the operator's close, a flatten and a liquidation that
comes near never are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from bot.domain.events import Emit
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
from bot.trading.exits.ladder import LadderParams
from bot.trading.exits.leaving import Leaving
from bot.trading.exits.minding import Minding
from bot.trading.exits.opening import Liquidation, Opening, adopted_event
from bot.trading.exits.plan import Plan
from bot.trading.exits.protection import StopParams
from bot.trading.exits.recall import PlanRecall
from bot.trading.exits.resizing import fit
from bot.trading.exits.retarget import Retarget
from bot.trading.exits.stops import PROTECTED_WITHIN_NS, Stops
from bot.trading.exits.tightening import BREAK_EVEN, TRAILING, Tightening
from bot.trading.portfolio import Portfolio
from bot.trading.position import Position

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
        self._portfolio, self._hold, self._exits = portfolio, hold, exits
        self._leaving = Leaving(ids)
        self._stops = Stops(ids, self._leaving)
        self._tightening = Tightening(
            self._stops, self._leaving, stop=stop, ladder=ladder, exits=exits, round_trip=fees.round_trip
        )
        self._opening = Opening(
            ids, self._stops, self._tightening, self._leaving, ladder=ladder, exits=exits, liquidation=liquidation
        )
        self._minding = Minding(
            self._stops, self._tightening, self._leaving, retarget, exits=exits, liquidation=liquidation
        )
        self._plans: dict[str, Plan] = {}
        self._flattened: frozenset[str] = frozenset()  # positions that a flatten met before their first fill

    def on(self, message: Message, view: View) -> Sequence[Message]:
        match message:
            case Sampled():
                return self.look_after(list(self._plans), view)
            case FirstFill(position_id=position_id):
                return self._protect(self._position(position_id), view)
            case EntryDone(position_id=position_id):
                return self._opening.open(self._plans[position_id], self._position(position_id), view)
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

    def forget(self, position_id: str) -> None:
        """Its plan; what it waits for comes to nothing."""
        self._plans.pop(position_id, None)

    def _position(self, position_id: str) -> Position:
        position = self._portfolio.by_id(position_id)
        assert position is not None  # published by the desk that owns it, in the same settling
        return position

    def _known(self, position_id: str) -> tuple[Plan, Position] | None:
        plan, position = self._plans.get(position_id), self._portfolio.by_id(position_id)
        return None if plan is None or position is None else (plan, position)

    # --- restart ---

    def recall(self, recalled: Iterable[PlanRecall], view: View) -> list[Message]:
        """Take over plans read from the journal; what they wait for is asked for again."""
        answers: list[Message] = []
        for each in recalled:
            self._plans[each.plan.position_id] = each.plan
            answers += self._waits(each, view)
        return answers

    def _waits(self, recalled: PlanRecall, view: View) -> list[Message]:
        plan, position = recalled.plan, recalled.position
        answers: list[Message] = []
        if plan.stop is not None and not plan.stop.seen:
            due_ns = recalled.stop_placed_ns + PROTECTED_WITHIN_NS
            answers.append(SetTimer(desk=self.name, key=f"protect:{plan.position_id}", due_ns=due_ns))
        if plan.break_even_due:
            answers += self._tightening.wait(plan, position, view)[0]
        timers = self._opening.timers(position) if plan.tiers else []
        answers += [timer for timer in timers if timer.due_ns >= view.now_ns]
        return answers

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
        """A deferred exit runs now if its condition still holds; one that is dropped is told."""
        due = reversal_due(position.direction, plan.newest_allowed, view.now_ns, self._hold)
        if REVERSAL in plan.deferred and due:
            return self._leaving.leave(plan, position, REVERSAL, view)
        told = [self._dropped(plan, position, view)] if REVERSAL in plan.deferred and not plan.close_reason else []
        if TIME_STOP in plan.deferred:  # time does not run back
            return [*told, *self._leaving.leave(plan, position, TIME_STOP, view)]
        return [*told, *(self._tightening.trail(plan, position, view) if TRAILING in plan.deferred else [])]

    def _dropped(self, plan: Plan, position: Position, view: View) -> Message:
        _, signal_ns = plan.newest_allowed or ("", position.opened_ns)
        age_s = round((view.now_ns - signal_ns) / NS, 3)
        reason = f"the newest opposite signal is {age_s:g} s old, limit {self._hold.reversal_max_age_s} s"
        return position.event("EXIT_DROPPED", "exits", {"wanted": REVERSAL, "reason": reason})

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
        part = self._leaving.close(plan, position, request.part_pct, request.reason, view)
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
        if plan.close is not None and plan.close_filled < plan.close.quantity:
            resting.append(plan.close)  # something else was faster; it must not meet the symbol's next position
        answers: list[Message] = [CancelOrder(order=order, reason="position closed") for order in resting]
        answers += [CancelTimer(desk=self.name, key=f"{what}:{position_id}") for what in ("protect", "hold", "time")]
        if plan.break_even_due:
            answers.append(UnwatchPrice(desk=self.name, key=f"{BREAK_EVEN}:{position_id}"))
        return answers

    # --- once a second ---

    def look_after(self, position_ids: Iterable[str], view: View) -> list[Message]:
        answers: list[Message] = []
        for position_id in position_ids:
            known = self._known(position_id)
            if known is not None:
                answers += self._minding.look_after(*known, view)
        return answers


def _nothing_open(request: MoveStopRequest) -> Emit:
    data = {"price": str(request.price), "stop_price": None, "reason": "no position is open"}
    return Emit(kind="STOP_REFUSED", instrument=request.instrument, source="exits", data=data)
