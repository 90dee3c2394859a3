"""Leaving at market, reduce-only: all of a position or the operator's part of it, now or when the hold is over. Part of the
desk `exits`.

The stop stays until nothing is left. A discretionary exit asks `discretionary`, which a force-hold defers; everything else
calls `leave`, which nothing delays.
"""

from __future__ import annotations

from decimal import Decimal

from bot.domain.events import text
from bot.domain.instrument import exact
from bot.domain.messages import Message, OrderChanged
from bot.domain.orders import Order, OrderType, PlaceOrder
from bot.domain.ports import IdFactory, View
from bot.domain.values import NS
from bot.trading.exits.plan import Plan
from bot.trading.position import Position

LONGEST_WAIT_S = 32  # between two tries of what the venue refuses (a halted symbol): asked again, not hammered


class Leaving:
    def __init__(self, ids: IdFactory) -> None:
        self._ids = ids

    def discretionary(self, plan: Plan, position: Position, reason: str, view: View) -> list[Message]:
        """Leave, or in a force-hold say once that it will be looked at again when that ends."""
        if view.now_ns >= position.hold_until_ns:
            return self.leave(plan, position, reason, view)
        return self.defer(plan, position, reason, view)

    def defer(self, plan: Plan, position: Position, reason: str, view: View) -> list[Message]:
        if reason in plan.deferred:
            return []
        plan.deferred.add(reason)
        remaining_s = round((position.hold_until_ns - view.now_ns) / NS, 3)
        return [position.event("EXIT_DEFERRED", "exits", {"wanted": reason, "hold_remaining_s": remaining_s})]

    def leave(self, plan: Plan, position: Position, reason: str, view: View) -> list[Message]:
        """Close all of it, in parts where the venue takes no larger order. The first reason stands."""
        decided: list[Message] = []
        plan.retry_ns = 0
        if not plan.close_reason:
            plan.close_reason, plan.part = reason, Decimal(0)
            decided = [_decided(position, reason, None)]
        return [*decided, *self.go_on(plan, position, view)]

    def close(self, plan: Plan, position: Position, part_pct: Decimal | None, reason: str, view: View) -> list[Message]:
        """The operator's close: all of it, or that share (above 0 %, 100 % and more are all of it)."""
        if part_pct is not None and not (part_pct.is_finite() and part_pct > 0):
            return [_refused(position, part_pct, f"{part_pct} is not a share between 0 and 100 %")]
        if part_pct is None or part_pct >= 100:
            return self.leave(plan, position, reason, view)
        if plan.close_reason or plan.part:  # a second share would be of a moving whole
            return [_refused(position, part_pct, f"it is being closed already: {plan.close_reason or reason}")]
        return self._leave_part(plan, position, part_pct, reason, view)

    def _leave_part(self, plan: Plan, position: Position, part_pct: Decimal, reason: str, view: View) -> list[Message]:
        """Close a share of what is open: rounded down to the step, at least the minimum, all where the rest would be dust."""
        instrument, market = view.instrument(position.instrument), view.market(position.instrument)
        share = instrument.quantity(position.quantity * part_pct / 100)
        part = max(share, instrument.min_quantity)
        price = position.entry_price if market.mark is None else exact(market.mark)
        if not instrument.tradable(position.quantity - part, price):
            return self.leave(plan, position, reason, view)
        plan.part = part
        return [_decided(position, reason, part), *self.go_on(plan, position, view)]

    def go_on(self, plan: Plan, position: Position, view: View) -> list[Message]:
        """The next market order of what was decided, if none is working; asked again once a second."""
        wanted = position.quantity if plan.close_reason else min(plan.part, position.quantity)
        if plan.close is not None or wanted <= 0 or view.now_ns < plan.retry_ns:
            return []
        instrument = view.instrument(position.instrument)
        quantity = min(wanted, instrument.max_market_quantity)
        if quantity < instrument.min_quantity:
            return self._dust(plan, position, quantity, instrument.min_quantity)
        plan.close = Order(
            client_order_id=self._ids.client_order_id("close", plan.attempts % 1024),
            instrument=position.instrument,
            signal_id=position.signal_id,
            position_id=position.position_id,
            leg="close",
            side=position.direction.exit_side,
            type=OrderType.MARKET,
            quantity=quantity,
            reduce_only=True,
            reason=plan.close_reason or "operator",
        )
        plan.attempts += 1
        plan.close_filled = Decimal(0)
        return [PlaceOrder(order=plan.close)]

    def _dust(self, plan: Plan, position: Position, quantity: Decimal, minimum: Decimal) -> list[Message]:
        """No order can be that small: what closes it is the stop, which covers whatever is open."""
        if not plan.close_reason:
            plan.part = Decimal(0)  # a share is done when less than an order of it is left
            return []
        if plan.dust_told:
            return []
        plan.dust_told = True
        return [position.event("DUST_LEFT", "exits", {"quantity": text(quantity), "minimum": text(minimum)})]

    def filled(self, plan: Plan, quantity: Decimal) -> None:
        """A market exit has filled some."""
        plan.close_filled += quantity
        plan.part = max(plan.part - quantity, Decimal(0))

    def changed(self, plan: Plan, message: OrderChanged, view: View) -> None:
        """If anything is left when a market exit ends, the next sample tries again, later each time nothing was filled."""
        if plan.close is None or message.order.client_order_id != plan.close.client_order_id:
            return
        if not message.status.terminal:
            return
        plan.refusals = 0 if plan.close_filled else plan.refusals + 1
        plan.retry_ns = view.now_ns + backoff_s(plan.refusals) * NS if plan.refusals else 0
        plan.close = None


def backoff_s(refusals: int) -> int:
    """How long to wait after that many refusals in a row."""
    return min(2 ** (refusals - 1), LONGEST_WAIT_S) if refusals else 0


def _refused(position: Position, part_pct: Decimal, reason: str) -> Message:
    return position.event("CLOSE_REFUSED", "exits", {"part_pct": str(part_pct), "reason": reason})


def _decided(position: Position, reason: str, part: Decimal | None) -> Message:
    return position.event("EXIT_DECIDED", "exits", {"reason": reason, "part": text(part)})
