"""What a starting engine takes over from its journal, and from where a recording goes on.

A paper account's life begins with a session that starts from nothing and goes on through every session that continues it: its
positions, orders, limits and halts come back. A recording that was left in its middle is taken up where the journal ends. One
that was played to its end is played anew by a new account, because its time would run backwards for the old one. What an
operator ordered (a kill, a block) holds in every case.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Protocol

from bot.app.wiring import Parts, trade_prefix
from bot.domain.errors import ConfigError
from bot.domain.events import Emit, Event
from bot.domain.frames import Frame
from bot.domain.instrument import Instrument
from bot.domain.messages import FeedChanged, Message
from bot.domain.orders import (
    Fill,
    Funding,
    OrderUpdate,
    PlaceOrder,
)
from bot.trading.exits.recall import number
from bot.trading.orders import ANSWERS
from bot.trading.recall import Recall, Told, lost
from bot.trading.shadow.recall import ShadowRecall
from bot.trading.state import RESUMABLE
from bot.venues.reports import decode_report

PAGE = 2_000
TAPE_ENDED = "tape ended"
ORDERED = frozenset({"KILL_SWITCH", "RESUMED", "SYMBOL_BLOCKED", "SYMBOL_UNBLOCKED"})


class Start(StrEnum):
    FRESH = "fresh"  # a new paper account
    RESUME = "resume"  # the same account, the same recording, from where it was left
    CARRY = "carry"  # the same account, a market that begins after the journal ends


@dataclass(slots=True)
class Past:
    """What the journal says of earlier sessions. `life` is the session in which the account of the last one began."""

    life: int = 0
    life_seq: int = 0  # of the event before its ENGINE_STARTED
    last_ns: int = 0
    taken_ns: int = 0  # frames up to here were taken; an engine that has only begun has taken none
    began_usd: Decimal | None = None  # what the account began with; None: told by nobody
    symbols: set[str] = field(default_factory=set)  # that it has followed
    tape_id: str | None = None
    tape_session: int = 0  # in which the account began to play it
    ended: bool = False  # the last session came to the end of its recording
    ordered: list[Event] = field(default_factory=list)

    def apply(self, event: Event) -> None:
        self.last_ns = event.ts
        if event.kind == "ENGINE_STARTED":
            self._began(event)
            return
        self.taken_ns = event.ts
        if event.kind == "ENGINE_STOPPED":
            self.ended = event.data.get("reason") == TAPE_ENDED
        elif event.kind in ORDERED:
            self.ordered.append(event)

    def _began(self, event: Event) -> None:
        session, life = event.data.get("session", 0), event.data.get("life")
        if life is None or life == session:
            self.life, self.life_seq = session, event.seq - 1
            self.began_usd, self.symbols = number(event.data.get("began_usd")), set()
        self.symbols.update(event.data.get("symbols", ()))
        if event.data.get("start") != Start.RESUME:
            self.tape_session, self.taken_ns = session, event.ts - 1
        self.tape_id, self.ended = event.data.get("tape_id"), False

    def start(self, *, tape_id: str, first_ns: int, fresh: bool) -> Start:
        """How an engine begins that plays a recording whose first frame is of `first_ns`."""
        if fresh or not self.life:
            return Start.FRESH
        if first_ns > self.last_ns:
            return Start.CARRY
        return Start.RESUME if tape_id == self.tape_id and not self.ended else Start.FRESH


class Reader(Protocol):
    """Where the journal's events are read from, a page at a time."""

    async def read(self, *, since_seq: int, limit: int) -> Sequence[Event]: ...


async def pages(journal: Reader, since_seq: int = 0) -> AsyncIterator[Sequence[Event]]:
    while events := await journal.read(since_seq=since_seq, limit=PAGE):
        yield events
        since_seq = events[-1].seq


class Restart:
    """Brings the parts of a new engine to where the journal ends. `begin` is called once, before the first frame is taken.

    `rehearses`: the recording began with this account, so the simulated venue lives through its orders once more; else it is
    given what the journal knows, and what was on its way to it is dropped (entries) or sent again (everything that protects).
    """

    def __init__(self, parts: Parts, start: Start, past: Past, instruments: Mapping[str, Instrument]) -> None:
        self._parts, self.start, self._past = parts, start, past
        self._ids = {instrument.unified: instrument.id for instrument in instruments.values()}
        self.rehearses = rehearses(start, past, self._ids)
        fee = parts.settings.fees.taker
        self.recall = Recall(parts.portfolio, parts.orders, parts.state, self._ids, fee)
        self._shadows = ShadowRecall(parts.shadows, self._ids, fee)

    async def read(self, journal: Reader) -> None:
        """Fold the account's life; of a life that is over only what an operator ordered."""
        if self.start is Start.FRESH:
            for event in self._past.ordered:
                self._parts.state.recall_order(event, self._ids.get(event.symbol or "", ""))
            return
        for event in self._past.ordered:
            if event.seq <= self._past.life_seq:  # the account's own events say only what was ordered since it began
                self._parts.state.recall_order(event, self._ids.get(event.symbol or "", ""))
        async for events in pages(journal, self._past.life_seq):
            self.fold(events)
        self._refuse_to_forget()
        for external_id in self.recall.signal_ids:
            self._parts.gate.recall(external_id)

    def _refuse_to_forget(self) -> None:
        """What is open must be followed: nobody would look after it."""
        still = {p.instrument for p in self._parts.portfolio.positions()}
        still |= {order.instrument for order in self._parts.portfolio.entries()}
        left = sorted(still - set(self._ids.values()))
        if left:
            raise ConfigError(
                f"the paper account still trades {', '.join(left)}, which symbols does not name: add it, or begin a new "
                "account with --fresh"
            )

    def fold(self, events: Iterable[Event]) -> None:
        for event in events:
            self.recall.apply(event)
            self._shadows.apply(event)
            self._parts.log.recall(event)
            self._parts.learning.recall(event)

    def begin(self, frames: Iterator[Frame], first_ns: int) -> Iterator[Frame]:
        """The frames that are left to take. Engine time goes on from where the journal ends, or begins with the market."""
        parts = self._parts
        if self.start is not Start.RESUME:
            parts.engine.start_at(first_ns)
            if self.start is Start.CARRY:
                parts.view.now_ns = first_ns
                self._hand_over(first_ns)
            return frames
        catch_up = parts.catch_up()
        sent = self.recall.left() if self.rehearses else ()
        frames = catch_up.run(frames, sent, self._past.taken_ns)
        parts.engine.start_at(self._past.last_ns)
        missing = self._missing(catch_up.reports) if self.rehearses else None
        if missing is None:
            self._hand_over(self._past.last_ns)
        for frame in missing or ():
            parts.inbox.put_account(frame)
        return frames

    def told(self) -> list[str]:
        """What a user should know of it."""
        parts, past = self._parts, self._past
        if self.start is Start.FRESH:
            kept = "a new paper account; earlier ones stay in the journal, with what they had open"
            return [*([kept] if past.life else []), *self._ordered()]
        held = sum(1 for _ in parts.portfolio.positions())
        where = "the recording where it was left" if self.start is Start.RESUME else "the account of the last session"
        lines = [f"going on with {where} ({held} open position(s)); --fresh begins a new paper account"]
        wanted = parts.settings.paper.equity_usd
        if wanted != parts.began_usd:
            lines.append(f"paper.equity_usd = {wanted:f} is for a new account: this one began with {parts.began_usd:f}")
        return [*lines, *self._ordered()]

    def _ordered(self) -> list[str]:
        """What was ordered earlier, or latched, and still holds."""
        state = self._parts.state
        unified = {instrument: symbol for symbol, instrument in self._ids.items()}
        halted = [
            f"{cause.state}, {cause.reason}: `python -m bot resume` ends it"
            for key, cause in state.causes.items()
            if key in RESUMABLE
        ]
        blocked = [unified[each] for each in state.blocks if each in unified]
        return [*halted, *(f"no entries in {each}: `python -m bot block {each} --off` ends it" for each in blocked)]

    def waits(self) -> list[Message]:
        """What the desks must hear before the first frame: books that are there, and what open positions wait for."""
        parts = self._parts
        books: list[Message] = [
            FeedChanged(instrument=each.id, usable=True, reason="read again")
            for each in parts.view.instruments()
            if parts.view.market(each.id).usable
        ]
        own = parts.exits.recall(self.recall.plans.values(), parts.view)
        return [*books, *own, *self._shadows.resume(parts.view), *parts.learning.waits()]

    def _missing(self, reports: Sequence[Frame]) -> list[Frame] | None:
        """What the venue reported after the journal's last report; None if it did not report the same before."""
        told = self.recall.told
        if [_told(frame) for frame in reports[: len(told)]] == told:
            return list(reports[len(told) :])
        data = {"reason": "the recording, read again, does not make the same fills: the journal's are kept"}
        self._parts.engine.note(Emit(kind="DISCREPANCY", source="restart", data=data))
        return None

    def _hand_over(self, now_ns: int) -> None:
        """The journal is right about a venue that forgot. Nothing that happened meanwhile is made up."""
        parts, state = self._parts, self.recall.venue_state()
        parts.forget_venue_timers()
        prefix = trade_prefix(parts.session)  # whatever it made while the recording was read again never happened
        parts.venue.restore(state.wallet_usd, state.held, state.working, state.traded, prefix)
        for sent in self.recall.in_flight():
            command, order = sent.command, sent.command.order
            if isinstance(command, PlaceOrder) and order.leg != "entry":
                parts.venue.send(command, now_ns)
            else:
                parts.report(lost(command))


def rehearses(start: Start, past: Past, followed: Container[str]) -> bool:
    """`followed` are unified symbols: an order in any other could not be placed again."""
    whole = past.tape_session == past.life and all(symbol in followed for symbol in past.symbols)
    return start is Start.RESUME and whole


def _told(frame: Frame) -> Told:
    match decode_report(frame.raw):
        case Fill(instrument=instrument, trade_id=trade_id):
            return ("fill", instrument, trade_id)
        case Funding(instrument=instrument, due_ns=due_ns):
            return ("funding", instrument, str(due_ns))
        case OrderUpdate() as update:
            return (update.client_order_id, update.command, ANSWERS[update.status])
        case transfer:
            return ("transfer", transfer.transfer_id)
