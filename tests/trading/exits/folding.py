"""An open position and its plan, read back from nothing but the events: what the journal must be able to tell after a restart."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from msgspec.structs import replace

from bot.domain.events import Emit
from bot.domain.orders import Order, OrderType, TimeInForce, Trigger
from bot.domain.values import NS, Direction, Magnet, RegimeLabel, Side
from bot.trading.exits.hold import max_pain_gap_pct
from bot.trading.exits.leaving import backoff_s
from bot.trading.exits.plan import Plan, StopPlan, TierPlan
from bot.trading.position import Frozen, Position

Data = dict[str, Any]


def number(value: str | None) -> Decimal | None:
    return None if value is None else Decimal(value)


class Fold:
    """Of one position; feed it everything in order."""

    def __init__(self) -> None:
        self.position: Position | None = None
        self.plan = Plan("")
        self._nominal: dict[int, Decimal] = {}
        self._goal: Decimal | None = None  # of a stop that was lost
        self._handlers: dict[str, Callable[[int, Emit, Data], None]] = {
            "DECISION": self._decision,
            "POSITION_ENTERED": self._entered,
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
        }

    def apply(self, ts: int, event: Emit) -> None:
        handler = self._handlers.get(event.kind)
        if handler is not None:
            handler(ts, event, event.data)

    def _decision(self, ts: int, event: Emit, data: Data) -> None:
        if data["allowed"] and data["reversal"]:
            self.plan.newest_allowed = (Direction(data["direction"]), data["signal_ts_ns"])

    def _entered(self, ts: int, event: Emit, data: Data) -> None:
        price, pain = Decimal(data["first_price"]), number(data["max_pain_at_entry"])
        frozen = Frozen(
            regime=RegimeLabel(data["regime"]),
            hurst=data["hurst"],
            hurst_z=data["hurst_z"],
            oi_delta_5m_pct=data["oi_delta_5m_pct"],
            true_trend=data["true_trend"],
            true_trend_reason=data["true_trend_reason"],
            max_pain=pain,
            max_pain_expiry=data["max_pain_expiry"],
            max_pain_source=data["max_pain_source"],
            max_pain_gap_pct=None if pain is None else max_pain_gap_pct(price, pain),
            magnet=None if data["magnet"] is None else Magnet(data["magnet"]),
            min_hold_s=data["min_hold_s"],
        )
        assert event.instrument is not None
        self.position = Position(
            position_id=data["position_id"],
            signal_id=data["signal_id"],
            instrument=event.instrument,
            direction=Direction(data["direction"]),
            opened_ns=data["opened_ns"],
            first_price=price,
            stop_fraction=Decimal(data["stop_fraction"]),
            frozen=frozen,
        )
        self._fill_of(self.position, self._first_fill)
        self.plan.position_id = data["position_id"]

    def _opened(self, ts: int, event: Emit, data: Data) -> None:
        self._nominal = {tier["tier"]: Decimal(tier["nominal"]) for tier in data["tiers"]}
        self.plan.liquidation_distance = number(data.get("liquidation_distance"))
        self.plan.break_even_due = data.get("break_even") is not None

    # --- fills ---

    def _fill(self, ts: int, event: Emit, data: Data) -> None:
        self._first_fill = data
        if self.position is not None:  # the first one comes just before POSITION_ENTERED
            self._fill_of(self.position, data)

    def _fill_of(self, position: Position, data: Data) -> None:
        price, quantity = Decimal(data["price"]), Decimal(data["quantity"])
        position.fees_usd += Decimal(data["fee"])
        if data["leg"] == "entry":
            position.entered += quantity
            position.entry_value += price * quantity
            return
        position.exited += quantity
        position.exit_value += price * quantity
        self._exit(data["leg"], data["client_order_id"], quantity)

    def _exit(self, leg: str, client_order_id: str, quantity: Decimal) -> None:
        plan = self.plan
        plan.last_exit_leg = leg
        tier = plan.tier_of(client_order_id)
        if tier is not None:
            tier.filled += quantity
        if leg == "close" and plan.close is not None:
            plan.close_filled += quantity
            plan.part = max(plan.part - quantity, Decimal(0))
            if plan.close_filled >= plan.close.quantity:
                plan.close, plan.refusals, plan.retry_ns = None, 0, 0

    # --- orders ---

    def _intent(self, ts: int, event: Emit, data: Data) -> None:
        order, leg, plan = _order(event), data["leg"], self.plan
        if data["command"] == "place" and leg == "stop":
            plan.restored_ns = ts if plan.stop is not None or self._goal is not None or self._lost else None
            plan.stop, self._goal = StopPlan(order, goal=self._goal), None
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

    _lost = False

    def _tier_intent(self, tier: TierPlan, order: Order, command: str) -> None:
        if command == "cancel":
            tier.working = False
        else:
            tier.before = tier.order
            tier.order = replace(tier.order, price=order.price, quantity=order.quantity)

    def _ack(self, ts: int, event: Emit, data: Data) -> None:
        leg, stop = data["leg"], self.plan.stop
        if leg.startswith("tier") and data["command"] == "amend":
            self.plan.tiers[int(leg[-1])].answered(refused=False)
        if leg != "stop" or self.position is None:
            return
        self.position.stop_price = number(data["stop_price"])
        if stop is None or data["client_order_id"] != stop.order.client_order_id:
            return
        if data["command"] == "amend" and stop.pending is not None:
            stop.order, stop.pending, stop.refusals = stop.pending, None, 0
        elif data["command"] == "place":
            stop.seen = True

    def _over(self, ts: int, event: Emit, data: Data) -> None:
        leg, command, plan = data["leg"], data["command"], self.plan
        refused = event.kind == "ORDER_REJECTED"
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
        elif leg == "stop" and command != "amend" and self.position is not None:
            self.position.stop_price = None
            self._goal, plan.stop, self._lost = plan.stop.goal if plan.stop else None, None, True

    # --- stops ---

    def _stop(self) -> StopPlan:
        assert self.plan.stop is not None
        return self.plan.stop

    def _stop_moved(self, ts: int, event: Emit, data: Data) -> None:
        self._stop().goal, self._stop().moved_ns = None, ts

    def _stop_waits(self, ts: int, event: Emit, data: Data) -> None:
        stop = self._stop()
        stop.goal, stop.reason, stop.retry_ns = Decimal(data["price"]), data["reason"], 0

    def _stop_refused(self, ts: int, event: Emit, data: Data) -> None:
        if "wanted_by" not in data:
            return  # by us, not by the venue
        stop = self._stop()
        stop.pending = None
        stop.refusals += 1
        if data["retry_s"] is not None:
            stop.goal, stop.reason = Decimal(data["price"]), data["wanted_by"]
            stop.retry_ns = ts + data["retry_s"] * NS

    def _break_even(self, ts: int, event: Emit, data: Data) -> None:
        self.plan.break_even_due = False

    def _advanced(self, ts: int, event: Emit, data: Data) -> None:
        self.plan.best_price = Decimal(data["best_price"])

    def _adjusted(self, ts: int, event: Emit, data: Data) -> None:
        self.plan.tiers[data["tier"]].moved_ns = ts

    # --- leaving ---

    def _deferred(self, ts: int, event: Emit, data: Data) -> None:
        self.plan.deferred.add(data["wanted"])

    def _decided(self, ts: int, event: Emit, data: Data) -> None:
        if data["part"] is None:
            self.plan.close_reason, self.plan.part = data["reason"], Decimal(0)
        else:
            self.plan.part = Decimal(data["part"])


def _order(event: Emit) -> Order:
    data = event.data
    assert event.instrument is not None
    return Order(
        client_order_id=data["client_order_id"],
        instrument=event.instrument,
        signal_id=data["signal_id"],
        position_id=data["position_id"],
        leg=data["leg"],
        side=Side(data["side"]),
        type=OrderType(data["type"]),
        quantity=Decimal(data["quantity"]),
        price=number(data["price"]),
        stop_price=number(data["stop_price"]),
        trigger=Trigger(data["trigger"]),
        tif=TimeInForce(data["tif"]),
        reduce_only=data["reduce_only"],
        close_position=data["close_position"],
        stop_distance=number(data["stop_distance"]),
        reason=data["reason"],
    )


def told(plan: Plan, position: Position) -> dict[str, Any]:
    """What of a plan decides anything from here on. Finished tiers, a goal that is no gain and times long over do not."""
    stop = plan.stop
    goal = None if stop is None or stop.goal is None else position.direction.sign * (stop.goal - stop.price) > 0
    return {
        "stop": None if stop is None else (stop.order, stop.pending, stop.seen, stop.moved_ns, stop.refusals),
        "goal": (stop.goal, stop.reason, stop.retry_ns) if stop is not None and goal else None,
        "restored": plan.restored_ns,
        "tiers": [
            (t.tier, t.order, t.nominal, t.filled, t.moved_ns, t.before, t.uncut)
            for t in plan.open_tiers()
            if t.before is None
            or t.filled < t.before.quantity  # filled before its amendment arrived, which will be refused
        ],
        "break_even_due": plan.break_even_due,
        "best": plan.best_price,
        "liquidation": plan.liquidation_distance,
        "close": plan.close,
        "close_filled": plan.close_filled if plan.close else None,
        "leaving": (plan.close_reason, plan.part, plan.attempts, plan.refusals),
        "retry": plan.retry_ns if plan.close is None else None,
        "last_exit_leg": plan.last_exit_leg,
        "deferred": plan.deferred,
        "newest_allowed": plan.newest_allowed,
    }
