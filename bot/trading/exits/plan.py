"""What rests on the venue for one position, and what has been decided about its exit. Owned by the desk `exits`."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from bot.domain.orders import Order
from bot.domain.values import Direction


@dataclass(slots=True)
class TierPlan:
    """One rung: its resting order as last asked for, and where it would be without walls."""

    tier: int
    order: Order
    nominal: Decimal
    working: bool = True
    filled: Decimal = Decimal(0)
    moved_ns: int = 0
    before: Order | None = None  # as it was before an amendment that is not acknowledged yet

    @property
    def remaining(self) -> Decimal:
        return self.order.quantity - self.filled


@dataclass(slots=True)
class Plan:
    position_id: str
    stop: Order | None = None
    stop_before: Order | None = None  # as it was before an amendment that is not acknowledged yet
    stop_seen: bool = False  # acknowledged by the venue
    tiers: dict[int, TierPlan] = field(default_factory=dict)
    close: Order | None = None  # the working market exit
    close_reason: str = ""  # "" while no exit was decided
    attempts: int = 0
    last_exit_leg: str = ""
    deferred: set[str] = field(default_factory=set)
    newest_allowed: tuple[Direction, int] | None = None  # direction and time of the newest allowed signal

    def tier_of(self, client_order_id: str) -> TierPlan | None:
        return next((t for t in self.tiers.values() if t.order.client_order_id == client_order_id), None)
