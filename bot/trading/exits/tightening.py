"""Who wants the stop nearer: break-even, the trailing rule, the operator. Part of the desk `exits`.

Break-even is protection: a touch starts it, also in a force-hold. Trailing is discretionary (off by default): it moves the
resting stop, and what it wants while a force-hold lasts is deferred to the hold's end. Neither ever loosens a stop.
"""

from __future__ import annotations

from decimal import Decimal

from bot.domain.events import Emit, rounded, text
from bot.domain.instrument import Instrument, Round, exact
from bot.domain.messages import Message, MoveStopRequest, PriceTouched, WatchPrice
from bot.domain.orders import Trigger
from bot.domain.ports import View
from bot.domain.values import NS, Direction
from bot.trading.exits.hold import ExitParams
from bot.trading.exits.ladder import LadderParams, targets
from bot.trading.exits.leaving import Leaving
from bot.trading.exits.plan import Plan
from bot.trading.exits.protection import (
    StopParams,
    atr_now,
    break_even_price,
    passed,
    tighter,
    trail_price,
)
from bot.trading.exits.stops import OPERATOR, Stops
from bot.trading.position import Position

BREAK_EVEN = "break_even"
TRAILING = "trailing"


class Tightening:
    """`round_trip` is what entry and exit cost, a fraction of price."""

    def __init__(
        self,
        stops: Stops,
        leaving: Leaving,
        *,
        stop: StopParams,
        ladder: LadderParams,
        exits: ExitParams,
        round_trip: Decimal,
    ) -> None:
        self._stops, self._leaving = stops, leaving
        self._stop, self._ladder, self._exits, self._round_trip = stop, ladder, exits, round_trip

    # --- break-even ---

    def break_even_at(self, position: Position, instrument: Instrument) -> tuple[Trigger, Decimal]:
        """Whose touch of which price starts it: last at nominal Tier 1, in TRUE TREND mark at +1 R."""
        side, entry = position.direction, position.entry_price
        if not position.frozen.true_trend:
            return Trigger.LAST, targets(entry, side, instrument, self._ladder, self.r(position))[0]
        plus_r = entry * (1 + side.sign * position.stop_fraction)
        return Trigger.MARK, instrument.price(plus_r, Round.away_from_entry(side))

    def r(self, position: Position) -> Decimal | None:
        """What its tiers are counted in: the stop's distance, None where they are percentages."""
        return position.stop_fraction if self._stop.mode == "atr" else None

    def wait(self, plan: Plan, position: Position, view: View) -> tuple[list[Message], dict[str, str | None] | None]:
        """Ask to be woken by the touch; and how the journal is told of it (None: switched off)."""
        if not self._exits.break_even:
            return [], None
        plan.break_even_due = True
        of, price = self.break_even_at(position, view.instrument(position.instrument))
        watch = WatchPrice(
            desk="exits",
            key=f"{BREAK_EVEN}:{plan.position_id}",
            instrument=position.instrument,
            of=of,
            above=position.direction is Direction.LONG,
            price=price,
        )
        return [watch], {"of": of, "price": text(rounded(price))}

    def touched(self, plan: Plan, position: Position, message: PriceTouched, view: View) -> list[Message]:
        """The stop goes to entry and fees. Where the mark is beyond that already (only last spiked), the stop would trigger
        at once and sell what no rule says to sell: it waits until the mark has come back."""
        plan.break_even_due = False
        instrument = view.instrument(position.instrument)
        to = break_even_price(position.entry_price, position.direction, instrument, self._round_trip)
        data = {"touched_price": text(message.price), "stop_price": text(to)}
        event = position.event("BREAK_EVEN", "exits", data)
        return [event, *self._stops.move(plan, position, to, BREAK_EVEN, view)]

    # --- trailing ---

    def trail(self, plan: Plan, position: Position, view: View) -> list[Message]:
        """Once a second: best mark since entry less k average true ranges."""
        if not self._exits.trailing or position.adopted or plan.stop is None:
            return []
        told = self._advance(plan, position, view)
        level = self._trail_level(plan, position, view)
        if level is None or not self._worth_a_move(plan, position, level):
            return told
        if view.now_ns < position.hold_until_ns:
            return [*told, *self._leaving.defer(plan, position, TRAILING, view)]
        if passed(position.direction, level, view.market(position.instrument).mark):
            return [*told, *self._leaving.leave(plan, position, TRAILING, view)]
        if view.now_ns - plan.stop.moved_ns < self._exits.trail_interval_s * NS:
            return told
        return [*told, *self._stops.move(plan, position, level, TRAILING, view)]

    def _advance(self, plan: Plan, position: Position, view: View) -> list[Message]:
        """The best price goes on in steps, each journaled, so that it is the same after a restart."""
        mark = view.market(position.instrument).mark
        before = plan.best_price or position.first_price
        if mark is None:
            return []
        best = exact(round(mark, 8))
        gain = position.direction.sign * (best - before)
        if gain <= 0 or gain * 10_000 < self._exits.trail_min_move_bps * before:
            return []
        plan.best_price = best
        return [position.event("TRAIL_ADVANCED", "exits", {"best_price": text(best)})]

    def _trail_level(self, plan: Plan, position: Position, view: View) -> Decimal | None:
        atr = atr_now(view, position.instrument, self._stop)
        if atr is None:
            return None
        instrument, best = view.instrument(position.instrument), plan.best_price or position.first_price
        return trail_price(best, self._exits.trail_atr_multiple * atr, position.direction, instrument)

    def _worth_a_move(self, plan: Plan, position: Position, level: Decimal) -> bool:
        assert plan.stop is not None
        now = plan.stop.wanted(position.direction)
        far_enough = abs(level - now) * 10_000 >= self._exits.trail_min_move_bps * now
        return tighter(position.direction, now, level) and far_enough

    # --- the operator ---

    def asked(self, plan: Plan, position: Position, request: MoveStopRequest, view: View) -> list[Message]:
        refusal = self._refusal(plan, position, request.price, view)
        if refusal:
            return [refused(position, request, refusal)]
        return self._stops.move(plan, position, request.price, OPERATOR, view)

    def _refusal(self, plan: Plan, position: Position, price: Decimal, view: View) -> str:
        instrument, side = view.instrument(position.instrument), position.direction
        if plan.stop is None:
            return "there is no stop to move: the position is being closed"
        if not (price.is_finite() and price > 0 and instrument.on_grid(price)):
            return f"{price} is not a multiple of the tick {instrument.tick:f}"
        now = plan.stop.wanted(side)
        if not tighter(side, now, price):
            return f"{price:f} is not tighter than the stop at {now:f} ({side})"
        mark = view.market(position.instrument).mark
        if mark is None:
            return "no mark price to hold it against"
        if passed(side, price, mark):
            return f"{price:f} would trigger at once: mark is {exact(round(mark, 8)):f} ({side})"
        return ""


def refused(position: Position, request: MoveStopRequest, reason: str) -> Emit:
    data = {"price": str(request.price), "stop_price": text(position.stop_price), "reason": reason}
    return position.event("STOP_REFUSED", "exits", data)
