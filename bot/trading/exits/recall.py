"""The plan of one open position, read back from the events that told of it: what the desk `exits` knew when the engine stopped.

Each event restores what the desk changed when it wrote it; nothing is decided here. The position itself is booked by
`trading/recall.py`, which hands over the events of one position in their order.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from msgspec.structs import replace

from bot.domain.orders import Order
from bot.domain.values import NS, Direction
from bot.trading.exits.leaving import backoff_s
from bot.trading.exits.plan import Plan, StopPlan, TierPlan
from bot.trading.orders import order_of
from bot.trading.position import Position

Data = dict[str, Any]


class PlanRecall:
    def __init__(self, position: Position) -> None:
        self.position = position
        self.plan = Plan(position.position_id)
        self.stop_placed_ns = 0
        self._nominal: dict[int, Decimal] = {}
        self._lost = False  # a stop was, so that the next one is a second
        self._goal: Decimal | None = None  # of that stop
        self._handlers: dict[str, Callable[[int, str, Data], None]] = {
            "DECISION": self._decision,
            "POSITION_OPENED": self._opened,
            "FILL": self._fill,
            "ORDER_INTENT": self._intent,
            "ORDER_ACK": self._ack,
            "ORDER_REJECTED": self._over,
            "ORDER_CANCELED": self._over,
            "STOP_MOVED": self._stop_moved,
            "STOP_WAITS": self._stop_waits,
            "STOP_REFUSED": self._stop_refused,
            "BREAK_EVEN": self._break_even,
            "TRAIL_ADVANCED": self._advanced,
            "TP_ADJUSTED": self._adjusted,
            "EXIT_DEFERRED": self._deferred,
            "EXIT_DECIDED": self._decided,
            "DUST_LEFT": self._dust,
        }

    def apply(self, ts: int, kind: str, data: Data) -> None:
        handler = self._handlers.get(kind)
        if handler is not None:
            handler(ts, kind, data)

    def _decision(self, ts: int, kind: str, data: Data) -> None:
        if data["allowed"] and data["reversal"]:
            self.plan.newest_allowed = (Direction(data["direction"]), data["signal_ts_ns"])

    def _opened(self, ts: int, kind: str, data: Data) -> None:
        self._nominal = {tier["tier"]: Decimal(tier["nominal"]) for tier in data["tiers"]}
        self.plan.liquidation_distance = number(data.get("liquidation_distance"))
        self.plan.break_even_due = data.get("break_even") is not None

    # --- orders ---

    def _fill(self, ts: int, kind: str, data: Data) -> None:
        if data["leg"] == "entry":
            return
        plan, quantity = self.plan, Decimal(data["quantity"])
        plan.last_exit_leg = data["leg"]
        tier = plan.tier_of(data["client_order_id"])
        if tier is not None:
            tier.filled += quantity
        if data["leg"] == "close" and plan.close is not None:
            plan.close_filled += quantity
            plan.part = max(plan.part - quantity, Decimal(0))
            if plan.close_filled >= plan.close.quantity:
                plan.close, plan.refusals, plan.retry_ns = None, 0, 0

    def _intent(self, ts: int, kind: str, data: Data) -> None:
        order, leg, plan = order_of(data, self.position.instrument), data["leg"], self.plan
        if data["command"] == "place" and leg == "stop":
            again = plan.stop is not None or self._goal is not None or self._lost
            plan.restored_ns = ts if again else None
            plan.stop, self._goal, self.stop_placed_ns = StopPlan(order, goal=self._goal), None, ts
        elif data["command"] == "place" and leg.startswith("tier"):
            number_ = int(leg[-1])
            plan.tiers[number_] = TierPlan(number_, order, self._nominal[number_])
        elif data["command"] == "place" and leg == "close":
            plan.close, plan.close_filled = order, Decimal(0)
            plan.attempts += 1
        elif data["command"] == "amend" and leg == "stop" and plan.stop is not None:
            plan.stop.pending = order
        elif leg.startswith("tier"):
            self._tier_intent(plan.tiers[int(leg[-1])], order, data["command"])

    def _tier_intent(self, tier: TierPlan, order: Order, command: str) -> None:
        if command == "cancel":
            tier.working = False
        else:
            tier.before = tier.order
            tier.order = replace(tier.order, price=order.price, quantity=order.quantity)

    def _ack(self, ts: int, kind: str, data: Data) -> None:
        leg, stop = data["leg"], self.plan.stop
        if leg.startswith("tier") and data["command"] == "amend":
            self.plan.tiers[int(leg[-1])].answered(refused=False)
        if leg != "stop":
            return
        self.position.stop_price = number(data["stop_price"])
        if stop is None or data["client_order_id"] != stop.order.client_order_id:
            return
        if data["command"] == "amend" and stop.pending is not None:
            stop.order, stop.pending, stop.refusals = stop.pending, None, 0
        elif data["command"] == "place":
            stop.seen = True

    def _over(self, ts: int, kind: str, data: Data) -> None:
        leg, command, plan = data["leg"], data["command"], self.plan
        refused = kind == "ORDER_REJECTED"
        if refused and command == "cancel":
            return
        if leg.startswith("tier"):
            tier = plan.tiers[int(leg[-1])]
            if refused and command == "amend":
                tier.answered(refused=True)
            else:
                tier.working, tier.before = False, None
        elif leg == "close":
            plan.refusals = 0 if plan.close_filled else plan.refusals + 1
            plan.retry_ns = ts + backoff_s(plan.refusals) * NS if plan.refusals else 0
            plan.close = None
        elif leg == "stop" and command != "amend":
            self.position.stop_price = None
            self._goal, plan.stop, self._lost = plan.stop.goal if plan.stop else None, None, True

    # --- stops ---

    def _stop(self) -> StopPlan:
        assert self.plan.stop is not None  # the event that asks was written about one
        return self.plan.stop

    def _stop_moved(self, ts: int, kind: str, data: Data) -> None:
        self._stop().goal, self._stop().moved_ns = None, ts

    def _stop_waits(self, ts: int, kind: str, data: Data) -> None:
        stop = self._stop()
        stop.goal, stop.reason, stop.retry_ns = Decimal(data["price"]), data["reason"], 0

    def _stop_refused(self, ts: int, kind: str, data: Data) -> None:
        if "wanted_by" not in data:
            return  # by us, not by the venue
        stop = self._stop()
        stop.pending = None
        stop.refusals += 1
        if data["retry_s"] is not None:
            stop.goal, stop.reason = Decimal(data["price"]), data["wanted_by"]
            stop.retry_ns = ts + data["retry_s"] * NS

    def _break_even(self, ts: int, kind: str, data: Data) -> None:
        self.plan.break_even_due = False

    def _advanced(self, ts: int, kind: str, data: Data) -> None:
        self.plan.best_price = Decimal(data["best_price"])

    def _adjusted(self, ts: int, kind: str, data: Data) -> None:
        self.plan.tiers[data["tier"]].moved_ns = ts

    # --- leaving ---

    def _deferred(self, ts: int, kind: str, data: Data) -> None:
        self.plan.deferred.add(data["wanted"])

    def _decided(self, ts: int, kind: str, data: Data) -> None:
        if data["part"] is None:
            self.plan.close_reason, self.plan.part = data["reason"], Decimal(0)
        else:
            self.plan.part = Decimal(data["part"])

    def _dust(self, ts: int, kind: str, data: Data) -> None:
        self.plan.dust_told = True


def number(value: str | None) -> Decimal | None:
    return None if value is None else Decimal(value)
