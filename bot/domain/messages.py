"""What travels on the signal bus besides signals, decisions, order commands and reports.

Market data never does: a desk is woken by what matters and reads the rest from its view.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from msgspec import Struct

from bot.domain.events import Emit, Event
from bot.domain.orders import (
    AmendOrder,
    CancelOrder,
    Fill,
    Funding,
    Order,
    OrderStatus,
    OrderUpdate,
    PlaceOrder,
    Transfer,
    Trigger,
)
from bot.domain.values import Decision, Direction, Signal


class SetTimer(Struct, frozen=True, kw_only=True):
    """Wake `desk` with a `TimerFired` at `due_ns`; a later one with the same (desk, key) replaces it."""

    desk: str
    key: str
    due_ns: int


class CancelTimer(Struct, frozen=True, kw_only=True):
    desk: str
    key: str


class TimerFired(Struct, frozen=True, kw_only=True):
    desk: str
    key: str
    due_ns: int


class MoreSignals(Struct, frozen=True, kw_only=True):
    """Signals that wait for the one before them to be decided and booked: each is judged on what the last one left."""

    signals: tuple[Signal, ...]


class Sampled(Struct, frozen=True, kw_only=True):
    """One second of engine time has passed and the slow features (walls, OFI window) were brought up to date."""

    now_ns: int


class FeedChanged(Struct, frozen=True, kw_only=True):
    """The market state's view of one instrument's book: usable, or not and why."""

    instrument: str
    usable: bool
    reason: str


class OutsideSignal(Struct, frozen=True, kw_only=True, tag="signal"):
    """An operator's or another program's idea. `external_id` is refused the second time it is seen."""

    external_id: str
    instrument: str
    direction: Direction
    strategy: str = "outside"
    strength: float = 1.0
    price: Decimal | None = None  # None: the market's price when it is taken
    ts_ns: int | None = None  # None: when it is taken


class CloseRequest(Struct, frozen=True, kw_only=True, tag="close"):
    """Close an open position at market; `part_pct` (0 to 100, of what is open now) leaves the rest with its stop and tiers."""

    instrument: str
    reason: str = "operator"
    part_pct: Decimal | None = None


class MoveStopRequest(Struct, frozen=True, kw_only=True, tag="move_stop"):
    """Move a position's stop to `price`; only ever tighter."""

    instrument: str
    price: Decimal


class BlockRequest(Struct, frozen=True, kw_only=True, tag="block"):
    """No entries in an instrument until it is unblocked (`blocked=False`); survives a restart."""

    instrument: str
    blocked: bool = True
    reason: str = "operator"


class KillRequest(Struct, frozen=True, kw_only=True, tag="kill"):
    """HALTED, entry orders canceled, stops kept. Survives a restart; only a resume ends it."""

    reason: str = "operator"


class FlattenRequest(Struct, frozen=True, kw_only=True, tag="flatten"):
    """Kill, and close every position at market."""

    reason: str = "operator"


class PauseRequest(Struct, frozen=True, kw_only=True, tag="pause"):
    reason: str = "operator"


class ResumeRequest(Struct, frozen=True, kw_only=True, tag="resume"):
    reason: str = "operator"


class StopRequest(Struct, frozen=True, kw_only=True, tag="stop"):
    """Clean stop of the engine: no entries from here on, working entry orders are canceled, protection stays."""

    reason: str


class ActNote(Struct, frozen=True, kw_only=True, tag="act"):
    """Somebody is about to ask for something over the API: who, and from where. It goes ahead of what is asked."""

    action: str
    by: str  # "token", or a name for the page's session
    place: str | None = None
    body: dict[str, Any] | None = None


class LearnRequest(Struct, frozen=True, kw_only=True, tag="learn"):
    """A learning cycle now. Events that answer a request of this kind carry its id."""

    request_id: str


class ApplyRequest(Struct, frozen=True, kw_only=True, tag="learn_apply"):
    """One step of a learned multiplier; `anyway` also where the evidence is not significant."""

    request_id: str
    subject: str
    anyway: bool = False


class UndoRequest(Struct, frozen=True, kw_only=True, tag="learn_undo"):
    """Take the newest step of a learned multiplier back; without a subject the newest of all."""

    request_id: str
    subject: str | None = None


OperatorRequest = (
    OutsideSignal
    | CloseRequest
    | MoveStopRequest
    | BlockRequest
    | PauseRequest
    | ResumeRequest
    | KillRequest
    | FlattenRequest
    | StopRequest
    | ActNote
    | LearnRequest
    | ApplyRequest
    | UndoRequest
)


class Adopt(Struct, frozen=True, kw_only=True):
    """The venue holds a position that no signal of ours made (a human's, or the journal was lost): protect it, no more.

    `stop_price` is the trigger of a stop that already rests for it, if there is one."""

    instrument: str
    direction: Direction
    quantity: Decimal
    entry_price: Decimal
    stop_price: Decimal | None = None


class WatchPrice(Struct, frozen=True, kw_only=True):
    """Wake `desk` with a `PriceTouched` once the price reaches `price`; a later one with the same (desk, key) replaces it.

    A watch fires once. It looks at every trade (LAST) or at every change of the mark, not at samples."""

    desk: str
    key: str
    instrument: str
    of: Trigger
    above: bool  # fires at or above `price`; else at or below
    price: Decimal


class UnwatchPrice(Struct, frozen=True, kw_only=True):
    desk: str
    key: str


class PriceTouched(Struct, frozen=True, kw_only=True):
    desk: str
    key: str
    price: Decimal  # that reached the level


class OrderChanged(Struct, frozen=True, kw_only=True):
    """A report about one of our orders, after the desk `orders` has looked the order up."""

    order: Order
    status: OrderStatus
    command: str
    reason: str

    @property
    def finished(self) -> bool:
        """The order itself is over; a refused cancel or amendment leaves it as it was."""
        refused_change = self.status is OrderStatus.REJECTED and self.command in ("cancel", "amend")
        return self.status.terminal and not refused_change


class Executed(Struct, frozen=True, kw_only=True):
    """A fill of one of our orders, booked for the first time."""

    order: Order
    fill: Fill


class FirstFill(Struct, frozen=True, kw_only=True):
    """A position came into being; its stop must rest on the venue at once."""

    position_id: str


class EntryDone(Struct, frozen=True, kw_only=True):
    """The entry order is finished: entry price and quantity are final, the ladder can go out."""

    position_id: str


class Reduced(Struct, frozen=True, kw_only=True):
    """An exit fill made an open position smaller."""

    position_id: str
    leg: str


class Closed(Struct, frozen=True, kw_only=True):
    """Nothing of the position is left; what still rests for it must be canceled."""

    position_id: str


class ShadowsMoved(Struct, frozen=True, kw_only=True):
    """The market did something to a shadow: the desk `shadow` fetches it."""


Message = (
    Signal
    | Decision
    | OutsideSignal
    | CloseRequest
    | MoveStopRequest
    | BlockRequest
    | PauseRequest
    | ResumeRequest
    | KillRequest
    | FlattenRequest
    | StopRequest
    | ActNote
    | LearnRequest
    | ApplyRequest
    | UndoRequest
    | Adopt
    | WatchPrice
    | UnwatchPrice
    | PriceTouched
    | SetTimer
    | CancelTimer
    | TimerFired
    | MoreSignals
    | Sampled
    | FeedChanged
    | OrderChanged
    | Executed
    | FirstFill
    | EntryDone
    | Reduced
    | Closed
    | ShadowsMoved
    | PlaceOrder
    | CancelOrder
    | AmendOrder
    | OrderUpdate
    | Fill
    | Funding
    | Transfer
    | Emit
    | Event
)
