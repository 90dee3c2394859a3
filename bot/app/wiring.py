"""The only place that chooses: which clock, which market, which desks with which parameters, which venue, who is routed to whom.

`assemble` builds the same engine for `run` and for `replay`; they differ in the clock's owner, the journal and the observers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from difflib import get_close_matches
from functools import partial
from typing import Any

import msgspec

from bot.app.desks import (
    build_guards,
    exit_desk,
    exploration_of,
    mark_of,
    position_desk,
    shadow_desk,
    size_rules,
    strategies_of,
)
from bot.app.settings import Settings
from bot.domain.errors import ConfigError
from bot.domain.events import Emit, Event
from bot.domain.frames import Frame, Lane, Source
from bot.domain.ids import IdSource
from bot.domain.instrument import Instrument
from bot.domain.messages import (
    ActNote,
    Adopt,
    ApplyRequest,
    BlockRequest,
    CancelTimer,
    Closed,
    CloseRequest,
    EntryDone,
    Executed,
    FeedChanged,
    FirstFill,
    FlattenRequest,
    KillRequest,
    LearnRequest,
    MoreSignals,
    MoveStopRequest,
    OrderChanged,
    OutsideSignal,
    PauseRequest,
    Reduced,
    ResumeRequest,
    Sampled,
    SetTimer,
    ShadowsMoved,
    StopRequest,
    TimerFired,
    UndoRequest,
    UnwatchPrice,
    WatchPrice,
)
from bot.domain.orders import AmendOrder, CancelOrder, Fill, Funding, OrderCommand, OrderUpdate, PlaceOrder, Transfer
from bot.domain.ports import Desk, JournalSink, Observer
from bot.domain.values import Decision, Signal
from bot.exchanges.base import Decoder, exchanges
from bot.learning.desk import ACTED_ON, Learning
from bot.market.state import Market, MarketParams
from bot.runtime.bus import Bus
from bot.runtime.catchup import CatchUp
from bot.runtime.clock import RealClock, TapeClock
from bot.runtime.engine import Engine, FrameHandler
from bot.runtime.eventlog import EventLog
from bot.runtime.inbox import Inbox
from bot.runtime.intake import Intake
from bot.runtime.recorder import Recorder, TapedVenue
from bot.runtime.rerun import Before, Rerun
from bot.runtime.timers import Timers
from bot.runtime.view import LiveView
from bot.runtime.watches import Watches
from bot.trading.asking import Asking
from bot.trading.exits.desk import Exits
from bot.trading.fills import Matching
from bot.trading.gate import Gate
from bot.trading.learned import Learned
from bot.trading.orders import Orders
from bot.trading.portfolio import Portfolio
from bot.trading.risk import standing
from bot.trading.shadow.desk import Shadows
from bot.trading.state import State
from bot.trading.strategies.desk import Strategies
from bot.venues.executor import Executor
from bot.venues.paper import PaperVenue
from bot.venues.reports import encode_report

ROUTES: dict[type, tuple[str, ...]] = {
    Sampled: ("state", "learning", "strategies", "exits", "shadow"),
    MoreSignals: ("strategies",),
    Signal: ("gate",),
    OutsideSignal: ("gate",),
    Decision: ("positions", "exits", "shadow"),
    ShadowsMoved: ("shadow",),
    PlaceOrder: ("orders", "positions"),
    AmendOrder: ("orders", "positions"),
    CancelOrder: ("orders", "positions"),
    OrderUpdate: ("orders",),
    Fill: ("orders",),
    OrderChanged: ("positions", "exits"),
    Executed: ("positions", "exits"),
    FirstFill: ("exits",),
    EntryDone: ("exits",),
    Closed: ("exits",),
    CloseRequest: ("exits",),
    MoveStopRequest: ("exits",),
    Adopt: ("positions",),
    ActNote: ("state",),
    BlockRequest: ("state",),
    KillRequest: ("state", "positions"),
    FlattenRequest: ("state", "positions", "exits"),
    Funding: ("positions",),
    Transfer: ("positions",),
    FeedChanged: ("state",),
    PauseRequest: ("state",),
    ResumeRequest: ("state",),
    StopRequest: ("state", "positions"),
    Event: ("learning",),
    LearnRequest: ("learning",),
    ApplyRequest: ("learning",),
    UndoRequest: ("learning",),
    Reduced: (),
    TimerFired: (),
}
VENUE_TIMERS = "venue"
SHADOW_K = 1 << 19  # ids of shadows are numbered from here in each frame


@dataclass(slots=True)
class Parts:
    """The assembled engine and what its owners (run, replay, API, terminal) look at."""

    settings: Settings
    config_hash: str
    session: int
    engine: Engine
    inbox: Inbox
    bus: Bus
    clock: RealClock | TapeClock
    market: Market
    view: LiveView
    log: EventLog
    gate: Gate
    orders: Orders
    state: State
    portfolio: Portfolio
    exits: Exits
    shadows: Shadows
    learning: Learning
    intake: Intake
    executor: Executor
    venue: PaperVenue
    timers: Timers
    known: list[Instrument]  # whose messages can be read: those that are traded, and others
    started_ns: int = 0  # engine time at which it began
    life: int = 0  # session in which its paper account began; 0: this one
    began_usd: Decimal = Decimal(0)  # what that account began with

    def operator(self, raw: bytes) -> None:
        """Put an operator's request (JSON of an OperatorRequest) into the account lane."""
        self.inbox.put_account(Frame(self.clock.now_ns(), Lane.ACCOUNT, Source.OPERATOR, raw))

    def report(self, update: OrderUpdate) -> None:
        """Put what a venue would say into the account lane."""
        self.inbox.put_account(Frame(self.clock.now_ns(), Lane.ACCOUNT, Source.REPORT, encode_report(update)))

    def add_others(self, instruments: Sequence[Instrument]) -> None:
        """Books of a venue that has only now answered."""
        self.known.extend(instruments)
        self.market.add_others(instruments)

    def catch_up(self) -> CatchUp:
        """The same market, strategies and venue, made to live through a recording again without deciding anything."""
        assert isinstance(self.clock, TapeClock)

        def leave(command: OrderCommand, decided_ns: int) -> None:
            self.executor.leave(command, decided_ns)

        return CatchUp(
            inbox=self.inbox,
            timers=self.timers,
            handler=self.intake,
            strategies=self.bus.tasks[Strategies.name].core,
            view=self.view,
            owners={VENUE_TIMERS: lambda key: self.venue.on_timer(key, self.market.market)},
            leave=leave,
            clock=self.clock,
        )

    def forget_venue_timers(self) -> None:
        self.timers.cancel_all(VENUE_TIMERS)

    def stop(self, reason: str) -> None:
        """Clean stop: refuse entries, cancel entry orders, then take no more data."""
        self.operator(msgspec.json.encode(StopRequest(reason=reason)))
        self.engine.end()


def pick_instruments(settings: Settings, available: Sequence[Instrument], venue: str = "") -> dict[str, Instrument]:
    """The instruments of `settings.symbols`, by id; says what there is when one is missing: on a tape, or at a `venue`, which lists
    hundreds."""
    by_unified = {instrument.unified: instrument for instrument in available}
    missing = [symbol for symbol in settings.symbols if symbol not in by_unified]
    if missing and venue:
        near = dict.fromkeys(each for symbol in missing for each in get_close_matches(symbol, by_unified))
        told = f"; near it are {', '.join(near)}" if near else ""
        raise ConfigError(f"{venue} does not list {', '.join(missing)} for trading now{told}")
    if missing:
        raise ConfigError(f"not on the tape: {', '.join(missing)}; it holds {', '.join(sorted(by_unified))}")
    return {by_unified[symbol].id: by_unified[symbol] for symbol in settings.symbols}


def assemble(
    settings: Settings,
    instruments: Mapping[str, Instrument],
    *,
    journal: JournalSink,
    session: int,
    last_seq: int,
    clock: RealClock | TapeClock,
    observers: Sequence[Observer],
    others: Sequence[Instrument] = (),
    unfollowed: frozenset[str] = frozenset(),
    trades_of: int | None = None,
    began_usd: Decimal | None = None,
    recorder: Recorder | None = None,
    rerun: Rerun | None = None,
) -> Parts:
    """`others` are instruments of venues whose books only show walls. `unfollowed` are symbols that the feed carries too and that are
    passed over; `trades_of` is the session that paper trades are numbered for (default: this one), an earlier one when its venue is
    lived through again; `began_usd` is what the paper account began with (default: what the settings say). `recorder` is shown what the engine takes and sends; `rerun` stands for the executor and
    takes the venue's reports."""
    inbox, timers, watches, commands = Inbox(), Timers((VENUE_TIMERS,)), Watches(), list[OrderCommand]()
    ids = IdSource(account=settings.account, session=session)
    log = EventLog(
        account=settings.account, mode=settings.mode, last_seq=last_seq, unified=lambda i: instruments[i].unified
    )
    params = MarketParams(
        taker=settings.taker,
        whale=settings.whale,
        ofi=settings.ofi,
        walls=settings.walls,
        bars=settings.bars,
        regime=settings.regime,
    )
    market = Market(list(instruments.values()), params, others)
    began_usd = settings.paper.equity_usd if began_usd is None else began_usd
    portfolio = Portfolio(began_usd, lambda i: mark_of(market.market(i)), settings.fees.taker)
    state = State(portfolio, settings.risk)
    learned = Learned()
    view = LiveView(market, portfolio, state, instruments, learned)

    def report(raw: bytes) -> None:
        inbox.put_account(Frame(clock.now_ns(), Lane.ACCOUNT, Source.REPORT, raw))

    venue = PaperVenue(
        Matching(
            instruments,
            settings.fees,
            settings.paper,
            wallet_usd=began_usd,
            trade_prefix=trade_prefix(trades_of or session),
        ),
        settings.paper,
        schedule=lambda key, due_ns: timers.set(VENUE_TIMERS, key, due_ns),
        report=report if rerun is None else rerun.reported,
    )
    told = lambda update: report(encode_report(update))  # noqa: E731
    on_tape = isinstance(clock, TapeClock)  # then disk speed must not decide anything
    waits: dict[str, Any] = {"protective_wait_s": None, "entry_wait_s": None} if on_tape else {}
    sends_to = venue if recorder is None else TapedVenue(recorder, venue, lambda: (engine.frames, engine.now_ns))
    executor = Executor(sends_to, journal, told, **waits)
    identity, guards = build_guards(settings)
    rules = size_rules(settings, instruments)
    exits = exit_desk(settings, portfolio, ids, rules)
    gate, orders = Gate(guards, ids, rules, identity, settings.stop, exploration_of(settings)), Orders()
    learning = Learning(
        learned,
        {instrument.unified: instrument.id for instrument in instruments.values()},
        settings.learning,
        identity,
        lambda: standing(portfolio, settings.risk).limited,
    )
    shadow_ids = IdSource(account=settings.account, session=session, k=SHADOW_K)
    shadows = shadow_desk(settings, venue, shadow_ids, rules, market, session)
    desks: list[Desk] = [
        Strategies(strategies_of(settings), ids),
        gate,
        orders,
        position_desk(settings, portfolio, ids, rules),
        exits,
        state,
        shadows,
        learning,
    ]

    def emitted(emit: Emit) -> None:
        """Some events are heard on the bus too."""
        event = log.emit(emit)
        if event.kind in ACTED_ON:
            bus.publish(event)

    bus = Bus(desks, ROUTES, {**_sinks(log, commands, timers, watches), Emit: emitted}, view)
    known = [*instruments.values(), *others]
    intake = Intake(market, decoders_of(known), venue, watches, unfollowed, shadows.venue)
    handler: FrameHandler = intake if recorder is None else Before(recorder.take, intake)
    engine = Engine(
        inbox=inbox,
        timers=timers,
        bus=bus,
        log=log,
        view=view,
        handler=handler if rerun is None else rerun.before(handler),
        owners={VENUE_TIMERS: lambda key: venue.on_timer(key, market.market)},
        numbered=(ids, shadow_ids, log, view),
        commands=commands,
        outbox=executor if rerun is None else rerun,
        observers=(journal.put, learning.observe, *observers),
        clock=clock,
    )
    return Parts(
        settings=settings,
        config_hash=identity,
        session=session,
        engine=engine,
        inbox=inbox,
        bus=bus,
        clock=clock,
        market=market,
        view=view,
        log=log,
        gate=gate,
        orders=orders,
        state=state,
        portfolio=portfolio,
        exits=exits,
        shadows=shadows,
        learning=learning,
        intake=intake,
        executor=executor,
        venue=venue,
        timers=timers,
        known=known,
        began_usd=began_usd,
    )


def decoders_of(instruments: Sequence[Instrument]) -> dict[str, Callable[[], Decoder]]:
    """How the messages of every venue read, for those of these instruments."""
    return {venue: partial(exchange.decoder, instruments) for venue, exchange in exchanges().items()}


def _sinks(
    log: EventLog, commands: list[OrderCommand], timers: Timers, watches: Watches
) -> dict[type, Callable[[Any], object]]:
    """Messages that leave the bus: events to the log, orders to the outbox, timers and price watches to the engine's own."""
    return {
        Emit: log.emit,
        PlaceOrder: commands.append,
        AmendOrder: commands.append,
        CancelOrder: commands.append,
        SetTimer: lambda m: timers.set(m.desk, m.key, m.due_ns),
        CancelTimer: lambda m: timers.cancel(m.desk, m.key),
        WatchPrice: watches.set,
        UnwatchPrice: lambda m: watches.cancel(m.desk, m.key),
    }


def trade_prefix(session: int) -> str:
    """Before the numbers of the paper trades that a session makes, so that each has an id of its own."""
    return f"{session}T"


def asking(parts: Parts, names: Sequence[str]) -> Asking:
    """The enabled guards of these names, to be asked about a long after every trade."""
    enabled = {guard.name: guard for guard in build_guards(parts.settings)[1]}
    unknown = [name for name in names if name not in enabled]
    if unknown:
        raise ConfigError(f"no guard to ask is called {', '.join(unknown)}; enabled are {', '.join(enabled)}")
    return Asking([enabled[name] for name in dict.fromkeys(names)], parts.view, parts.market.store)
