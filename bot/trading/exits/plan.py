"""What rests on the venue for one position, and what has been decided about its exit. Owned by the desk `exits`, whose parts
(stops, tightening, opening, leaving, retarget, resizing) share it.

All of it can be read back from the journal: each field names the events that tell it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from bot.domain.orders import Order
from bot.domain.values import NS, Direction

RESTORE_WINDOW_NS = 60 * NS


@dataclass(slots=True)
class TierPlan:
    """One rung: its resting order as last asked for, and where it would be without walls."""

    tier: int
    order: Order  # ORDER_INTENT and ORDER_ACK of its leg
    nominal: Decimal  # POSITION_OPENED
    working: bool = True  # until ORDER_CANCELED, ORDER_REJECTED (place), or filled
    filled: Decimal = Decimal(0)  # FILL
    moved_ns: int = 0  # time of the last TP_ADJUSTED of the tier
    before: Order | None = None  # as it was before an amendment that is not acknowledged yet
    uncut: bool = False  # the venue refused to make it smaller (ORDER_REJECTED, amend): the next cut takes it away

    @property
    def remaining(self) -> Decimal:
        return self.order.quantity - self.filled

    @property
    def open(self) -> bool:
        return self.working and self.remaining > 0

    @property
    def may_rest(self) -> bool:
        """Whether the venue may still hold some of it: a cut that is under way may be refused."""
        return self.working and max(self.order, self.before or self.order, key=_size).quantity > self.filled

    def answered(self, *, refused: bool) -> None:
        """The amendment under way was; a refused one leaves the old order in force."""
        if refused and self.before is not None:
            self.uncut = self.order.quantity < self.before.quantity
            self.order = self.before
        else:
            self.uncut = False
        self.before = None


def _size(order: Order) -> Decimal:
    return order.quantity


@dataclass(slots=True)
class StopPlan:
    """The one stop that covers all of the position, however much that is when it triggers."""

    order: Order  # as the venue last accepted it; until then as it was placed
    seen: bool = False  # ORDER_ACK (place)
    pending: Order | None = (
        None  # the one amendment under way: ORDER_INTENT (amend) without ORDER_ACK or ORDER_REJECTED
    )
    goal: Decimal | None = None  # where it belongs as soon as it can go there: STOP_WAITS, STOP_REFUSED with a retry_s
    reason: str = ""  # of the goal
    moved_ns: int = 0  # time of the last STOP_MOVED
    refusals: int = 0  # STOP_REFUSED by the venue since the last accepted amendment
    retry_ns: int = 0  # no other try before this time: STOP_REFUSED's and its retry_s

    @property
    def price(self) -> Decimal:
        return self.order.stop_price or Decimal(0)

    def wanted(self, direction: Direction) -> Decimal:
        """The tightest price accepted, asked for or waiting."""
        asked = self.pending.stop_price if self.pending is not None else None
        prices = [p for p in (self.price, asked, self.goal) if p is not None]
        return max(prices) if direction is Direction.LONG else min(prices)


@dataclass(slots=True)
class Plan:
    position_id: str
    stop: StopPlan | None = None  # None: none rests and none is on its way
    restored_ns: int | None = (
        None  # when a stop was last placed again: time of ORDER_INTENT (place, stop) after the first
    )
    tiers: dict[int, TierPlan] = field(default_factory=dict)
    break_even_due: bool = False  # its touch is still waited for: POSITION_OPENED says of what, BREAK_EVEN ends it
    best_price: Decimal | None = None  # TRAIL_ADVANCED
    liquidation_distance: Decimal | None = None  # POSITION_OPENED: of the mark, in price units, when the entry was done
    close: Order | None = None  # the working market exit: ORDER_INTENT of leg close that is not finished
    close_filled: Decimal = Decimal(0)  # FILL of `close`
    close_reason: str = ""  # EXIT_DECIDED without a part; "" while no exit of the whole was decided
    part: Decimal = Decimal(0)  # EXIT_DECIDED with a part, less what the closes after it have filled
    attempts: int = 0  # ORDER_INTENT of leg close
    refusals: int = 0  # closes in a row that filled nothing
    retry_ns: int = 0  # not before this time; the last such close's end and `refusals` give it
    last_exit_leg: str = ""  # FILL
    deferred: set[str] = field(default_factory=set)  # EXIT_DEFERRED
    newest_allowed: tuple[Direction, int] | None = None  # DECISION (allowed, reversal): direction and signal_ts_ns
    dust_told: bool = False  # DUST_LEFT

    def tier_of(self, client_order_id: str) -> TierPlan | None:
        return next((t for t in self.tiers.values() if t.order.client_order_id == client_order_id), None)

    def open_tiers(self) -> list[TierPlan]:
        """Nearest first."""
        return [self.tiers[number] for number in sorted(self.tiers) if self.tiers[number].open]

    @property
    def at_rest(self) -> bool:
        """Nothing is under way or waited for, and every target stands at its nominal price."""
        stop = self.stop
        still = not self.close_reason and not self.part and stop is not None and stop.seen
        if not still or stop is None or stop.goal is not None or stop.pending is not None or not self.tiers:
            return False
        return all(not t.open or (t.before is None and t.order.price == t.nominal) for t in self.tiers.values())

    def in_tiers(self) -> Decimal:
        return sum((tier.remaining for tier in self.open_tiers()), Decimal(0))
