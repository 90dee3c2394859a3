"""All protocols, on one page: what the pure middle may see (views), what a plug-in is, what the edges must do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import Any, ClassVar, Protocol

from bot.domain.events import Event
from bot.domain.instrument import Instrument
from bot.domain.market import Bar
from bot.domain.messages import Message
from bot.domain.orders import OrderCommand
from bot.domain.params import Params
from bot.domain.reading import Reading
from bot.domain.values import Direction, Side, Signal, TradingState, Verdict

# --- what a desk sees: read-only faces of the live state, valid only inside `on()` ---------------------------------


class PriceView(Protocol):
    """One instrument's prices and book, as a venue that fills orders needs them. Prices are floats or None; ages are
    nanoseconds or None where nothing came yet."""

    @property
    def usable(self) -> bool: ...  # the book is complete, sequenced and uncrossed
    @property
    def bid(self) -> float | None: ...
    @property
    def ask(self) -> float | None: ...
    @property
    def mid(self) -> float | None: ...
    @property
    def last(self) -> float | None: ...
    @property
    def mark(self) -> float | None: ...  # the venue's, else mid
    @property
    def mark_source(self) -> str: ...  # "venue", "mid" (derived) or "none"
    def book_age_ns(self, now_ns: int) -> int | None: ...
    def trade_age_ns(self, now_ns: int) -> int | None: ...
    def mark_age_ns(self, now_ns: int) -> int | None: ...
    def levels(self, side: Side, count: int) -> list[tuple[float, float]]:
        """The best `count` (price, quantity) on the side of resting bids (BUY) or asks (SELL), best first."""
        ...

    def size_at(self, side: Side, price: float) -> float | None:
        """The displayed quantity at that price; None where the book does not reach, or is not usable."""
        ...


class MarketView(PriceView, Protocol):
    """The same with what decisions ask of it besides."""

    @property
    def stamped_ahead_ns(
        self,
    ) -> int | None: ...  # the venue's stamp of the newest mark, from when it reached us; None: no mark
    @property
    def funding_rate(self) -> float | None: ...  # of the next funding, a fraction; None: not known
    @property
    def next_funding_ns(self) -> int | None: ...
    @property
    def past_funding(
        self,
    ) -> tuple[float | None, int] | None: ...  # rate and time of the funding before that, once seen
    def bars(self, width_s: int, count: int) -> Sequence[Bar]:
        """The newest closed bars of that width without a gap between them, oldest first: `count` of them or fewer.

        Empty for a width that is not kept."""
        ...

    def atr(self, width_s: int, count: int) -> float | None:
        """Average true range (Wilder) over `count` closed bars, in price units; None where there are too few."""
        ...


class PositionView(Protocol):
    """An open position, as guards, limits and exits see it."""

    @property
    def position_id(self) -> str: ...
    @property
    def signal_id(self) -> str: ...
    @property
    def instrument(self) -> str: ...
    @property
    def direction(self) -> Direction: ...
    @property
    def quantity(self) -> Decimal: ...
    @property
    def entry_price(self) -> Decimal: ...
    @property
    def opened_ns(self) -> int: ...
    @property
    def stop_price(self) -> Decimal | None: ...  # of the stop that protects it now
    @property
    def adopted(self) -> bool: ...  # not of our making: protected, otherwise left alone


class PortfolioView(Protocol):
    """Money and positions of the one account. Equity is wallet plus unrealised profit at mark, in USD."""

    @property
    def wallet_usd(self) -> Decimal: ...
    @property
    def day_start_usd(self) -> Decimal: ...  # equity at 00:00 UTC, moved by transfers since
    @property
    def peak_usd(self) -> Decimal: ...  # largest equity, moved by transfers since
    def equity_usd(self) -> Decimal: ...
    def open_risk_usd(self) -> Decimal: ...  # lost besides if every stop filled now, entries on their way included
    def position(self, instrument: str) -> PositionView | None: ...
    def positions(self) -> Iterable[PositionView]: ...
    def pending(self, instrument: str) -> bool: ...  # an entry is on its way
    def pending_count(self) -> int: ...
    def notional_usd(self, instrument: str | None = None) -> Decimal: ...  # open and pending; None: gross of all
    def exposed(self, direction: Direction) -> Sequence[str]: ...  # instruments held or on their way in that direction
    def orders_last_minute(self, now_ns: int) -> int: ...  # commands of every kind and leg
    def entries_today(self, now_ns: int, instrument: str | None = None) -> int: ...  # UTC day of engine time
    def last_close_ns(self, instrument: str) -> int | None: ...
    def last_stop_ns(self, instrument: str, direction: Direction) -> int | None: ...  # of the newest stop-out that way


class View(Protocol):
    @property
    def now_ns(self) -> int: ...
    @property
    def state(self) -> TradingState: ...
    @property
    def state_reason(self) -> str: ...
    @property
    def portfolio(self) -> PortfolioView: ...
    def blocked(self, instrument: str) -> str | None: ...  # who allows no entries in it
    def on_probation(self, instrument: str) -> str | None: ...  # why learning keeps entries out of it
    def learned(self, subject: str) -> float: ...  # multiplier in force, 1 where nothing was learned
    def instruments(self) -> Iterable[Instrument]: ...
    def instrument(self, instrument: str) -> Instrument: ...
    def market(self, instrument: str) -> MarketView: ...
    def reading(self, name: str, instrument: str) -> Reading[Any]:
        """The deciding reading: the first fresh source in order, else the first stale one, else a missing one."""
        ...

    def other_readings(self, deciding: Reading[Any], instrument: str) -> Sequence[Reading[Any]]:
        """What other fresh sources say of the same thing."""
        ...


# --- plug-ins: one file each ---------------------------------------------------------------------------------------


class Guard(Protocol):
    """A reason to refuse. `safety` guards cannot be removed, cannot abstain and block when they raise."""

    name: ClassVar[str]
    version: ClassVar[int]
    event: ClassVar[str]
    needs: ClassVar[tuple[str, ...]]  # names of readings
    safety: ClassVar[bool]
    Params: ClassVar[type[Params]]

    def applies(self, direction: Direction) -> bool: ...
    def check(self, signal: Signal, view: View) -> Verdict: ...


class Idea(Protocol):
    """What a strategy answers when asked: a direction with a strength (0-1)."""

    @property
    def direction(self) -> Direction: ...
    @property
    def strength(self) -> float: ...


class Strategy(Protocol):
    name: ClassVar[str]
    version: ClassVar[int]
    traded_on: ClassVar[tuple[str, ...]]  # readings it trades on
    Params: ClassVar[type[Params]]

    def on_sample(self, instrument: str, view: View) -> Idea | None:
        """Asked once a second for each instrument."""
        ...


class Desk(Protocol):
    """A pure core on the signal bus: one message in, messages out."""

    name: ClassVar[str]

    def on(self, message: Message, view: View) -> Sequence[Message]: ...


class IdFactory(Protocol):
    def unique(self) -> str: ...
    def client_order_id(self, leg: str, attempt: int = 0) -> str: ...


# --- edges ---------------------------------------------------------------------------------------------------------


class Venue(Protocol):
    """Where orders go. Outcomes come back as account frames, never as return values."""

    name: str

    def send(self, command: OrderCommand, decided_ns: int) -> None: ...


class JournalSink(Protocol):
    """Takes events in order. `put` never waits and raises JournalError when the queue is full."""

    def put(self, events: Sequence[Event]) -> None: ...
    async def committed(self, seq: int) -> None:
        """Returns when every event up to `seq` is durable."""
        ...


Observer = Callable[[Sequence[Event]], None]
"""Gets the events of one frame after the frame; must not wait."""
