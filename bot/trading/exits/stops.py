"""The resting stop of a position: out with the first fill, seen in time, moved only tighter, never missing. Part of the desk
`exits`.

One amendment is under way at a time. A price that cannot be placed yet (the mark is beyond it, an amendment is unanswered)
waits as the plan's goal and goes out as soon as it can; the old stop stays in force until the venue accepts the new one.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from msgspec.structs import replace

from bot.domain.events import text
from bot.domain.instrument import exact
from bot.domain.messages import CancelTimer, Message, OrderChanged, SetTimer
from bot.domain.orders import AmendOrder, Order, OrderStatus, OrderType, PlaceOrder
from bot.domain.ports import IdFactory, View
from bot.domain.values import NS
from bot.trading.exits.leaving import Leaving, backoff_s
from bot.trading.exits.plan import RESTORE_WINDOW_NS, Plan, StopPlan
from bot.trading.exits.protection import passed, stop_price, tighter, toward_profit
from bot.trading.position import Position

OPERATOR = "operator"
PROTECTED_WITHIN_NS = 2 * NS  # reliability I4: a stop not seen by then means leaving at market


class Stops:
    def __init__(self, ids: IdFactory, leaving: Leaving) -> None:
        self._ids, self._leaving = ids, leaving

    # --- placing ---

    def protect(self, plan: Plan, position: Position, view: View) -> list[Message]:
        """The first stop of a position; it waits for nothing."""
        price = self._adopted_price(position, view) if position.adopted else self._first_price(position, view)
        return self._place(plan, position, price, "protection", view)

    def _first_price(self, position: Position, view: View) -> Decimal:
        instrument = view.instrument(position.instrument)
        return stop_price(position.first_price, position.direction, instrument, position.stop_fraction)

    def _adopted_price(self, position: Position, view: View) -> Decimal:
        """From mark, or where the stop that already rests is if that is tighter. Without a mark the last trade's price and
        then the entry price stand in for it: a stop somewhere is better than none."""
        market = view.market(position.instrument)
        price = market.last if market.mark is None else market.mark
        base = position.first_price if price is None else exact(round(price, 8))
        ours = stop_price(base, position.direction, view.instrument(position.instrument), position.stop_fraction)
        resting = position.stop_price
        return resting if resting is not None and tighter(position.direction, ours, resting) else ours

    def _place(self, plan: Plan, position: Position, price: Decimal, reason: str, view: View) -> list[Message]:
        order = Order(
            client_order_id=self._ids.client_order_id("stop"),
            instrument=position.instrument,
            signal_id=position.signal_id,
            position_id=position.position_id,
            leg="stop",
            side=position.direction.exit_side,
            type=OrderType.STOP_MARKET,
            quantity=position.quantity,
            stop_price=price,
            reduce_only=True,
            close_position=True,
            reason=reason,
        )
        plan.stop = StopPlan(order, goal=None if plan.stop is None else plan.stop.goal)
        key = f"protect:{plan.position_id}"
        return [PlaceOrder(order=order), SetTimer(desk="exits", key=key, due_ns=view.now_ns + PROTECTED_WITHIN_NS)]

    # --- moving ---

    def entry_done(self, plan: Plan, position: Position, view: View) -> list[Message]:
        """The entry's mean price is known now: the stop belongs there if that is tighter, never looser."""
        instrument = view.instrument(position.instrument)
        to = stop_price(position.entry_price, position.direction, instrument, position.stop_fraction)
        return self.move(plan, position, to, "entry complete", view)

    def move(self, plan: Plan, position: Position, to: Decimal, reason: str, view: View) -> list[Message]:
        """Wants the stop at `to`; nothing happens if it is that tight already, or wanted to be."""
        stop = plan.stop
        if stop is None or not tighter(position.direction, stop.wanted(position.direction), to):
            return []
        stop.goal, stop.reason, stop.retry_ns = to, reason, 0
        moved = self.pursue(plan, position, view)
        data = {"price": text(to), "stop_price": text(stop.price), "reason": reason}
        return moved or [position.event("STOP_WAITS", "exits", data)]

    def pursue(self, plan: Plan, position: Position, view: View) -> list[Message]:
        """Send the stop to its goal if it can go there now."""
        stop = plan.stop
        if stop is None or stop.goal is None or stop.pending is not None or view.now_ns < stop.retry_ns:
            return []
        if not tighter(position.direction, stop.price, stop.goal):
            stop.goal = None
            return []
        if passed(position.direction, stop.goal, view.market(position.instrument).mark) is not False:
            return []
        old, to = stop.price, stop.goal
        stop.pending = replace(stop.order, stop_price=to, quantity=position.quantity, reason=stop.reason)
        stop.goal, stop.moved_ns = None, view.now_ns
        data = {"old_price": text(old), "new_price": text(to), "reason": stop.reason}
        return [AmendOrder(order=stop.pending, reason=stop.reason), position.event("STOP_MOVED", "exits", data)]

    # --- what comes back ---

    def amended(self, plan: Plan, position: Position, message: OrderChanged, view: View) -> list[Message]:
        """A refused amendment leaves the old stop in force."""
        stop = plan.stop
        if stop is None or stop.pending is None or message.order.client_order_id != stop.order.client_order_id:
            return []
        if message.status is OrderStatus.ACK:
            stop.order, stop.pending, stop.refusals = stop.pending, None, 0
            return self.pursue(plan, position, view)
        if message.status is not OrderStatus.REJECTED:
            return []
        return [self._refused(stop, stop.pending, position, message.reason, view)]

    def _refused(self, stop: StopPlan, asked: Order, position: Position, reason: str, view: View) -> Message:
        """Told; the operator's wish ends here, a rule's is tried again later."""
        stop.pending = None
        stop.refusals += 1
        price = asked.stop_price or stop.price
        retry_s = None
        if asked.reason != OPERATOR and tighter(position.direction, stop.wanted(position.direction), price):
            retry_s = backoff_s(stop.refusals)
            stop.goal, stop.reason, stop.retry_ns = price, asked.reason, view.now_ns + retry_s * NS
        data: dict[str, Any] = {"price": text(price), "stop_price": text(stop.price), "reason": f"the venue: {reason}"}
        data |= {"wanted_by": asked.reason, "retry_s": retry_s}
        return position.event("STOP_REFUSED", "exits", data)

    def changed(self, plan: Plan, position: Position, message: OrderChanged, view: View) -> list[Message]:
        """A report about the stop order itself."""
        stop = plan.stop
        if stop is None or message.order.client_order_id != stop.order.client_order_id:
            return []
        if message.status is OrderStatus.ACK:
            stop.seen = True
            return [CancelTimer(desk="exits", key=f"protect:{plan.position_id}"), *self.pursue(plan, position, view)]
        if message.status.terminal and message.status is not OrderStatus.FILLED:
            return self._absent(plan, stop, position, message, view)
        return []

    def _absent(
        self, plan: Plan, stop: StopPlan, position: Position, message: OrderChanged, view: View
    ) -> list[Message]:
        """Refused, expired or taken away: one more try in a minute where that can help, else out at market."""
        if passed(position.direction, stop.price, view.market(position.instrument).mark):
            plan.stop = None
            return self._leaving.leave(plan, position, "stop", view)
        lately = plan.restored_ns is not None and view.now_ns - plan.restored_ns < RESTORE_WINDOW_NS
        if (
            lately or plan.close_reason or "trigger" in message.reason
        ):  # the venue's mark is beyond it, whatever ours says
            plan.stop = None
            return self._leaving.leave(plan, position, "unprotected", view)
        plan.restored_ns = view.now_ns
        price = view.instrument(position.instrument).price(stop.price, toward_profit(position.direction))
        again = self._place(plan, position, price, f"again: {message.reason or message.status}", view)
        return again if stop.seen else again[:1]  # the deadline of a first stop stays the first fill's

    def overdue(self, plan: Plan, position: Position, view: View) -> list[Message]:
        seen = plan.stop is not None and plan.stop.seen
        return [] if seen else self._leaving.leave(plan, position, "unprotected", view)
