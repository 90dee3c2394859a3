"""Desk `shadow`: follows what was not done. Every refused signal is entered, protected and left as a real position would be, by
the same desks on a simulated venue of its own, and every allowed one too, so that live can be held against paper.

No order of a shadow leaves this file. Its events are those of a position under names that begin with SHADOW_; the ledger
(`learning/ledger.py`) makes of them what a guard was worth. A refused signal whose kind (instrument, direction, strategy) is
followed already is a repeat of that shadow.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import ClassVar

from msgspec.structs import replace
from pydantic import Field

from bot.domain.errors import told
from bot.domain.events import Emit
from bot.domain.messages import (
    CancelTimer,
    EntryDone,
    Executed,
    FirstFill,
    Message,
    OrderChanged,
    PriceTouched,
    Sampled,
    SetTimer,
    ShadowsMoved,
    TimerFired,
    WatchPrice,
)
from bot.domain.orders import AmendOrder, CancelOrder, Fill, Funding, OrderCommand, OrderUpdate, PlaceOrder
from bot.domain.params import Params
from bot.domain.ports import Desk, View
from bot.domain.values import BLOCK, Decision, Direction, Signal
from bot.trading.exits.desk import Exits
from bot.trading.exits.hold import ExitParams
from bot.trading.exits.recall import PlanRecall
from bot.trading.exits.walls import institutional
from bot.trading.guards.risk_limits import RiskLimits
from bot.trading.orders import Orders
from bot.trading.portfolio import Portfolio
from bot.trading.positions import Positions
from bot.trading.recall import VenueState, lost
from bot.trading.risk import RiskParams, check_reversal
from bot.trading.shadow.record import SOURCE, Shadow, reversal
from bot.trading.shadow.size import Entry, ShadowSize
from bot.trading.shadow.venue import ShadowVenue
from bot.trading.shadow.view import ShadowView, stand_in

_DECIDED, _VENUE = "decided", "venue:"
"""Keys of timers: this desk's own, and the beginning of those that the venue has set. All others are those of the desk `exits`."""


class ShadowParams(Params):
    max_open: int = Field(
        10_000, ge=0, le=100_000, description="refused and allowed signals followed at once; 0: none are"
    )


class Shadows:
    """`orders`, `positions` and `exits` are desks like the real ones, on the shadows' own `portfolio`."""

    name: ClassVar[str] = "shadow"

    def __init__(
        self,
        *,
        orders: Orders,
        positions: Positions,
        exits: Exits,
        portfolio: Portfolio,
        view: ShadowView,
        venue: ShadowVenue,
        size: ShadowSize,
        risk: RiskParams,
        params: ShadowParams,
        leaving: ExitParams,
    ) -> None:
        self.orders, self._exits, self.portfolio = orders, exits, portfolio
        self._view, self._size, self._risk, self._params, self._leaving = view, size, risk, params, leaving
        self.venue = venue
        self._routes: dict[type, tuple[Desk, ...]] = {
            Decision: (positions, exits),
            **dict.fromkeys((PlaceOrder, AmendOrder, CancelOrder), (orders, positions)),
            **dict.fromkeys((OrderUpdate, Fill), (orders,)),
            **dict.fromkeys((OrderChanged, Executed), (positions, exits)),
            Funding: (positions,),
            **dict.fromkeys((FirstFill, EntryDone, TimerFired, PriceTouched), (exits,)),
        }
        self._waiting: list[tuple[Decision, Entry]] = []  # decided in the frame that is being taken
        self._open: dict[str, Shadow] = {}  # by name
        self._newest: dict[tuple[str, Direction, str], Shadow] = {}
        self._of: dict[tuple[str, Direction], dict[str, Shadow]] = {}  # by instrument and direction, then name
        self._restless: dict[str, None] = {}  # names to look after once a second
        self._broken = False
        self.left_out = 0  # signals that found `max_open` shadows open

    def on(self, message: Message, view: View) -> Sequence[Message]:
        """What is only computed must not stop what trades: after a fault of ours no shadow is followed until the next start."""
        if self._broken:
            return []
        self._view.of = view
        try:
            if self.venue.fault is not None:
                raise self.venue.fault
            return self._on(message)
        except Exception as error:  # noqa: BLE001 - whatever it is, positions go on
            return [self._give_up(error)]

    def _give_up(self, error: Exception) -> Emit:
        self._broken = True
        open_ = len(self._open)
        self.venue.close()
        self._open.clear()
        data = {"error": told(error, __name__), "shadows": open_}
        return Emit(kind="SHADOW_ERROR", source=SOURCE, data=data)

    def _on(self, message: Message) -> Sequence[Message]:
        match message:
            case Decision():
                return self._noted(message)
            case ShadowsMoved():
                return self._run(())
            case TimerFired(key=key) if key == _DECIDED:
                return self._decided()
            case TimerFired(key=key):
                return self._timer(key, message.due_ns)
            case Sampled():
                return self._sampled()
            case _:
                return []

    def __len__(self) -> int:
        return len(self._open)

    # --- restart ---

    def resume(
        self,
        shadows: Iterable[Shadow],
        plans: Iterable[PlanRecall],
        state: VenueState,
        in_flight: Iterable[OrderCommand],
        view: View,
    ) -> list[Message]:
        """Go on with these. What was on its way to the venue is sent again if it protects or closes, else refused."""
        self._view.of = view
        self.venue.restore(state.held, state.working)
        for shadow in shadows:
            self._take(shadow)
        answers = self._run(self._exits.recall(plans, self._view))
        for command in in_flight:
            if isinstance(command, PlaceOrder):
                self.venue.send(command, view.now_ns)
            else:
                answers += self._run((lost(command),))
        return answers + self._run(())

    # --- a signal ---

    def _noted(self, decision: Decision) -> list[Message]:
        """Sized on the account as it is now; the rest comes right behind this frame, so that no real order waits for it."""
        self._waiting.append((decision, self._size.entry(decision, self._view.of)))
        return [SetTimer(desk=self.name, key=_DECIDED, due_ns=self._view.now_ns)]

    def _decided(self) -> list[Message]:
        waiting, self._waiting = self._waiting, []
        return [answer for decision, entry in waiting for answer in self._answered(decision, entry)]

    def _answered(self, decision: Decision, entry: Entry) -> list[Message]:
        answers = self._reverse(decision)
        if decision.allowed and decision.reversal:
            return answers  # nothing was to be opened
        signal = decision.signal
        known = None if decision.allowed else self._newest.get((signal.instrument, signal.direction, signal.strategy))
        if known is not None:
            return [*answers, known.repeated_by(signal.signal_id)]
        return answers + self._follow(decision, entry)

    def _follow(self, decision: Decision, entry: Entry) -> list[Message]:
        signal = decision.signal
        shadow = Shadow(
            name=stand_in(signal.instrument, signal.signal_id),
            instrument=signal.instrument,
            signal_id=signal.signal_id,
            direction=signal.direction,
            strategy=signal.strategy,
            blocker=decision.blocker,
            why_not=entry.why_not,
        )
        if len(self._open) >= self._params.max_open:
            self.left_out += 1
            return [shadow.expired(f"{self._params.max_open} signals are followed already")]
        if not entry.quantity:
            return [shadow.expired(entry.why_not)]
        self._take(shadow)
        return self._run([_allowed(decision, shadow.name, entry)])

    def _take(self, shadow: Shadow) -> None:
        self._view.know(shadow.name)
        self._open[shadow.name] = self._newest[shadow.key] = shadow
        self._of.setdefault((shadow.instrument, shadow.direction), {})[shadow.name] = shadow
        self._restless[shadow.name] = None
        self.venue.open(shadow.name)

    def _reverse(self, decision: Decision) -> list[Message]:
        """Shadows in the other direction leave, if the gate would have let this signal close them."""
        signal = decision.signal
        against = self._of.get((signal.instrument, signal.direction.opposite))
        refused = any(v.outcome is BLOCK and v.guard != RiskLimits.name for v in decision.verdicts)
        if not against or refused or not self._leaving.reversal:
            return []
        if check_reversal(signal, self._view.of, self._risk) is not None:
            return []
        ours = [
            replace(_to(decision, name), allowed=True, reversal=True, blocker=None, quantity=Decimal(0))
            for name in against
        ]
        return [reversal(decision, len(ours)), *self._run(ours)]

    # --- time ---

    def _timer(self, key: str, due_ns: int) -> list[Message]:
        if key.startswith(_VENUE):
            self.venue.on_timer(key.removeprefix(_VENUE), self._view.market)
            return self._run(())
        return self._run([TimerFired(desk=self._exits.name, key=key, due_ns=due_ns)])

    def _sampled(self) -> list[Message]:
        """Once a second those are looked after of which something is under way, or whose target a wall may move."""
        names = dict(self._restless)
        for (instrument, direction), shadows in self._of.items():
            if self._leaving.trailing or self._walled(instrument, direction):
                names |= dict.fromkeys(shadows)
        answers = self._run(self._exits.look_after([self._open[name].position_id for name in names], self._view))
        for name in names:
            if name in self._open and self._at_rest(name):
                self._restless.pop(name, None)
        return answers

    def _walled(self, instrument: str, direction: Direction) -> bool:
        walls = self._view.of.reading("walls", instrument).value
        return walls is not None and bool(institutional(walls, direction))

    def _at_rest(self, name: str) -> bool:
        plan = self._exits.plan(self._open[name].position_id)
        return plan is not None and plan.at_rest

    # --- the desks of the shadows ---

    def _run(self, messages: Iterable[Message]) -> list[Message]:
        """Let them settle, then hear what the venue says, one report after the other, until nothing more comes."""
        answers: list[Message] = []
        self._settle(messages, answers)
        while said := self.venue.said():
            for each in said:
                self._settle((each,), answers)
        answers += [SetTimer(desk=self.name, key=_VENUE + key, due_ns=due_ns) for key, due_ns in self.venue.timers()]
        return answers

    def _settle(self, messages: Iterable[Message], answers: list[Message]) -> None:
        waiting, touched = deque(messages), dict[str, None]()
        commands: list[OrderCommand] = []
        while waiting:
            message = waiting.popleft()
            name = _name_of(message)
            if name is not None and name not in self._open:
                continue  # it is over: what its desks still wanted is of no use
            if name is not None:
                touched[name] = None
            for desk in self._routes.get(type(message), ()):
                waiting.extend(desk.on(message, self._view))
            self._out(message, commands, answers)
        for command in commands:
            if command.order.instrument in self._open:
                self.venue.send(command, self._view.now_ns)
        for name in touched:
            self._look_again(name, answers)

    def _out(self, message: Message, commands: list[OrderCommand], answers: list[Message]) -> None:
        """What leaves: events and timers to the engine, orders and watches to the venue."""
        match message:
            case Emit(instrument=str(name)):
                answers.append(self._open[name].told(message))
                if self._open[name].over:
                    self._forget(name)
            case PlaceOrder(order=order) | AmendOrder(order=order) | CancelOrder(order=order):
                commands.append(message)
                self._placed(self._open[order.instrument], message)
            case SetTimer(key=key, due_ns=due_ns):
                answers.append(SetTimer(desk=self.name, key=key, due_ns=due_ns))
            case CancelTimer(key=key):
                answers.append(CancelTimer(desk=self.name, key=key))
            case WatchPrice():
                self.venue.watch(message)

    @staticmethod
    def _placed(shadow: Shadow, command: OrderCommand) -> None:
        shadow.position_id = command.order.position_id
        if isinstance(command, PlaceOrder):
            shadow.orders.append(command.order.client_order_id)

    def _look_again(self, name: str, answers: list[Message]) -> None:
        """Something happened to it. One whose entry has filled nothing is over."""
        shadow = self._open.get(name)
        if shadow is None:
            return
        self._restless[name] = None
        if self.portfolio.position(name) is None and not self.portfolio.pending(name):
            answers.append(shadow.expired("its entry found nothing to fill with"))
            self._forget(name)

    def _forget(self, name: str) -> None:
        shadow = self._open.pop(name)
        self._restless.pop(name, None)
        if self._newest.get(shadow.key) is shadow:
            del self._newest[shadow.key]
        alike = self._of[shadow.instrument, shadow.direction]
        del alike[name]
        if not alike:
            del self._of[shadow.instrument, shadow.direction]
        self.venue.forget(name)
        self._exits.forget(shadow.position_id)
        self.orders.forget(shadow.orders)
        self.portfolio.forget(name)
        del self._view.known[name]


def _name_of(message: Message) -> str | None:
    """The instrument that a message is about, where it says so."""
    match message:
        case Decision(signal=Signal(instrument=name)):
            return name
        case PlaceOrder(order=order) | AmendOrder(order=order) | CancelOrder(order=order):
            return order.instrument
        case OrderChanged(order=order) | Executed(order=order):
            return order.instrument
        case OrderUpdate() | Fill() | Funding() | WatchPrice() | Emit():
            return message.instrument
        case _:
            return None


def _to(decision: Decision, name: str) -> Decision:
    return replace(decision, signal=replace(decision.signal, instrument=name), verdicts=())


def _allowed(decision: Decision, name: str, entry: Entry) -> Decision:
    """As if no guard had refused it."""
    return replace(
        _to(decision, name),
        allowed=True,
        blocker=None,
        reversal=False,
        quantity=entry.quantity,
        stop_distance=entry.stop_distance,
    )
