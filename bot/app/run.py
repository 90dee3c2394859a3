"""`run`: one engine from lock to summary. What `replay` (`replaying.py`) and `record live` (`recording.py`) share with it is here too.

Start is recovery: lock the data folder, open and check the journal, assemble, then play. Stop order: refuse entries, cancel
entry orders, drain the account lane, flush the journal, close sockets.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Protocol, TypeVar

from bot import __version__
from bot.api.access import Access
from bot.api.answers import Answers
from bot.api.equity import PastEquity
from bot.api.hosts import is_loopback
from bot.api.server import ApiServer
from bot.api.snapshot import Live
from bot.api.tally import Tally
from bot.app.cockpit import CockpitParts
from bot.app.connections import SIM, TAPE
from bot.app.kept_readings import KeptReadings
from bot.app.logs import LogObserver
from bot.app.providers import Providers
from bot.app.public_data import open_public
from bot.app.recorded import manifest_of
from bot.app.restart import TAPE_ENDED, Past, Restart, Start, pages, rehearses
from bot.app.settings import Settings
from bot.app.simulation import exchange_clock, synthetic_line, with_exchange
from bot.app.terminal import Screen
from bot.app.wiring import Parts, assemble, pick_instruments
from bot.demo import BUNDLED_TAPE
from bot.domain.errors import JournalError
from bot.domain.events import Emit, text
from bot.domain.frames import Frame
from bot.domain.instrument import Instrument
from bot.domain.market import Bar
from bot.domain.values import NS
from bot.journal.digest import Digest
from bot.journal.lock import InstanceLock, load_or_create_token
from bot.journal.projection import Projection
from bot.journal.writer import Journal
from bot.market.volumes import DAY_S
from bot.runtime.clock import RealClock, TapeClock
from bot.runtime.lag import LoopLag
from bot.runtime.recorder import Recorder
from bot.runtime.supervisor import supervise
from bot.runtime.tape import Tape
from bot.runtime.tape_feed import TapeFeed
from bot.trading.orders import never_arrived
from bot.venues.public import PublicMarket

T = TypeVar("T")
INTERRUPTED = "interrupted"
OPEN_TO_OTHERS = "the API can be reached from other machines, without TLS: put a proxy with TLS before it, or use a tunnel to 127.0.0.1"
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, *((signal.SIGHUP,) if sys.platform != "win32" else ()))
GC_THRESHOLD = (
    50_000  # new containers between two collections of the youngest; measured: the 99th percentile of decisions
)

SWITCH_S = 0.0005  # a thread that computes (the ledger) gives way to the loop after this; Python's 5 ms would be a frame's delay


@dataclass(frozen=True, slots=True)
class Outcome:
    """`summary` holds counts, money and the digest over all events without receive stamps (journal/digest.py)."""

    summary: dict[str, Any]
    reason: str

    @property
    def exit_code(self) -> int:
        return 130 if self.reason == INTERRUPTED else 0


def run(
    settings: Settings,
    *,
    notices: list[str],
    screen: bool,
    quiet: bool = False,
    fresh: bool = False,
    record: Path | None = None,
) -> Outcome:
    """Raises InstanceError, JournalError, TapeError or ConfigError before anything is traded, later whatever a part raised.

    `screen` draws the live view, `quiet` prints nothing at all while it runs, `fresh` begins a new paper account instead of
    going on with that of the last session. `record` is an empty or new folder for a tape of what the engine takes.
    """
    return run_until_done(_run(settings, notices, screen, quiet, fresh, record))


def run_until_done(main: Coroutine[Any, Any, T]) -> T:
    if sys.platform == "win32":
        return asyncio.run(main)
    import uvloop

    return uvloop.run(main)


async def _run(
    settings: Settings,
    notices: list[str],
    screen: bool,
    quiet: bool,
    fresh: bool = False,
    record: Path | None = None,
) -> Outcome:
    async with with_exchange(settings) as settings:
        played, clock = await open_market(settings)
        try:
            return await _run_on(played, clock, settings, notices, screen, quiet, fresh, record)
        finally:
            if isinstance(played, PublicMarket):
                await played.close()


async def _run_on(
    played: Played,
    clock: RealClock | TapeClock,
    settings: Settings,
    notices: list[str],
    screen: bool,
    quiet: bool,
    fresh: bool,
    record: Path | None,
) -> Outcome:
    instruments = pick_instruments(
        settings, played.instruments, played.name if isinstance(played, PublicMarket) else ""
    )
    begins_ns = played.first_ns()  # refuses an empty tape before anything is made
    if isinstance(played, PublicMarket):
        await played.follow(instruments.values(), settings.bars.widths_s)
    with contextlib.ExitStack() as stack:
        lock = stack.enter_context(InstanceLock(settings.data_dir))
        journal = Journal.open(settings.data_dir, account=settings.account, mode=settings.mode)
        stack.callback(journal.close)
        logs = LogObserver(enabled=not screen and not quiet)
        stack.callback(logs.close)
        recorder = None if record is None else Recorder(record, settings.record, logs.say)
        earlier = await _Earlier.read(journal)
        anew = (
            fresh or settings.venue.name == SIM
        )  # its market begins anew: what an older one left open has no price in it
        start = earlier.past.start(tape_id=played.id, first_ns=begins_ns, fresh=anew)
        session = _Session(settings, played, clock, instruments, journal, logs, earlier, start, recorder)
        await session.play(lock, notices, screen)
        return session.outcome()


class Played(Protocol):
    """What the market comes from: a tape, or a venue's public data. `id` is "" for what cannot be taken up again."""

    @property
    def instruments(self) -> Sequence[Instrument]: ...
    @property
    def others(self) -> Sequence[Instrument]: ...
    @property
    def problems(self) -> Sequence[str]: ...
    @property
    def id(self) -> str: ...
    @property
    def name(self) -> str: ...
    def first_ns(self) -> int: ...
    def warmup(self) -> Iterator[tuple[str, int, list[Bar]]]: ...
    def frames(self) -> Iterator[Frame]: ...


async def open_market(settings: Settings) -> tuple[Played, RealClock | TapeClock]:
    if settings.venue.name == TAPE:
        return Tape.open(settings.venue.tape or BUNDLED_TAPE), TapeClock()
    clock = await exchange_clock(settings) if settings.venue.name == SIM else RealClock()
    return await open_public(settings, clock), clock


@dataclass(frozen=True, slots=True)
class _Earlier:
    """What earlier sessions left in the journal, so that the running engine answers as the journal would."""

    projection: Projection
    answers: Answers
    past: Past
    tally: Tally
    equity: PastEquity

    @classmethod
    async def read(cls, journal: Journal) -> _Earlier:
        earlier = cls(Projection(), Answers(), Past(), Tally(), PastEquity())
        async for events in pages(journal):
            for event in events:
                earlier.projection.apply(event)
                earlier.past.apply(event)
            earlier.tally.on_events(events)
            earlier.equity.on_events(events)
            earlier.answers.on_events(events)  # a signal's id that was used then is a repeated one now
        return earlier


class _Session:
    """A running engine with all that stands around it."""

    def __init__(
        self,
        settings: Settings,
        played: Played,
        clock: RealClock | TapeClock,
        instruments: Mapping[str, Instrument],
        journal: Journal,
        logs: LogObserver,
        earlier: _Earlier,
        start: Start,
        recorder: Recorder | None,
    ) -> None:
        self._recorder = recorder
        self._whole = start is Start.FRESH and not earlier.past.ordered
        self._settings, self._played, self._journal, self._logs = settings, played, journal, logs
        self._projection, self._answers, self._digest = earlier.projection, earlier.answers, Digest()
        self._parts = parts = assemble(
            settings,
            instruments,
            journal=journal,
            session=journal.session,
            last_seq=journal.last_seq,
            clock=clock,
            others=others_of(played, settings),
            unfollowed=unfollowed_of(played, instruments),
            observers=(
                *(folding(self._projection), self._digest.update, self._answers.on_events, logs.on_events),
                earlier.tally.on_events,
                *((played.on_events,) if isinstance(played, PublicMarket) else ()),
            ),
            trades_of=earlier.past.life if rehearses(start, earlier.past, settings.symbols) else None,
            began_usd=None if start is Start.FRESH else earlier.past.began_usd,
            recorder=recorder,
        )
        parts.life = journal.session if start is Start.FRESH else earlier.past.life
        self._lag = LoopLag()
        self._restart = Restart(parts, start, earlier.past, instruments)
        self._live = Live(
            engine=parts.engine,
            inbox=parts.inbox,
            intake=parts.intake,
            view=parts.view,
            portfolio=parts.portfolio,
            projection=self._projection,
            state=parts.state,
            facts=_facts(parts, played),
            providers=lambda: [] if self._providers is None else self._providers.answer(),
            loop_lag=self._lag.answer,
            learning=lambda: parts.learning.answer(parts.engine.now_ns),
            tally=earlier.tally,
            risk=settings.risk,
        )
        self._providers: Providers | None = None
        self._kept: KeptReadings | None = None
        if isinstance(played, PublicMarket):
            assert isinstance(clock, RealClock)
            put, usd = played.put_into(parts.inbox), parts.market.institutional_usd
            self._providers = Providers(settings, list(instruments.values()), put, clock, usd)
            parts.engine.add_observer(self._providers.on_events)
            if settings.venue.name != SIM:
                self._kept = KeptReadings(settings.data_dir, parts.market.store, clock.now_ns, logs.say)
        symbols = {instrument.unified: instrument.id for instrument in instruments.values()}
        given = settings.api.token
        self._token_from = f"in {settings.data_dir / 'api-token'}" if given is None else "as set by api.token"
        token = given.get_secret_value() if given is not None else load_or_create_token(settings.data_dir)
        self._access = Access(token, actions=settings.cockpit.actions)
        curve = [] if start is Start.FRESH else earlier.equity.points()
        self._cockpit = CockpitParts(self._live, journal, self._access, curve) if settings.cockpit.enabled else None
        page = None if self._cockpit is None else self._cockpit.cockpit
        if self._cockpit is not None:
            parts.engine.add_observer(self._cockpit.on_events)
        hosts = settings.api.hosts
        self._server = ApiServer(self._live, self._answers, journal, parts.operator, symbols, self._access, page, hosts)
        self._reason = ""

    async def play(self, lock: InstanceLock, notices: list[str], screen: bool) -> None:
        settings, logs = self._settings, self._logs
        await self._restart.read(self._journal)
        if self._cockpit is not None:
            await self._cockpit.recall()
        url = await self._server.start(settings.api.host, settings.api.port)
        what = describe(self._played, settings)
        display = Screen(self._live, logs, what=what, live=screen)
        try:
            lock.publish(url)
            problems = self._played.problems if isinstance(self._played, PublicMarket) else ()
            login = self._access.link() if settings.cockpit.actions else ""
            page = () if self._cockpit is None else (f"cockpit on {url}/{login}",)
            told = (*self._restart.told(), f"API on {url}, token {self._token_from}", *page)
            heard = () if is_loopback(settings.api.host) else (OPEN_TO_OTHERS,)
            for line in (what, *problems, *told, *heard, *notices):
                logs.say(line)
            await self._run_parts(display)
        finally:
            display.close()
            await self._server.close()

    async def _run_parts(self, display: Screen) -> None:
        parts = self._parts
        frames = begin(parts, self._played, self._restart)
        if self._kept is not None and self._providers is not None:
            self._kept.restore(parts.inbox, self._providers.resume)
        tasks = self._feed(frames)
        if self._recorder is not None:
            self._recorder.begin(manifest_of(parts, self._played, fresh=self._whole))
            tasks["recorder"] = self._recorder.run()
        tasks |= {f"desk {name}": desk.run() for name, desk in parts.bus.tasks.items()}
        tasks |= {f"orders {lane}": parts.executor.run_lane(lane) for lane in ("protective", "entry")}
        tasks["display"] = display.run()
        tasks["loop lag"] = self._lag.run()
        if self._cockpit is not None:
            tasks["cockpit"] = self._cockpit.cockpit.run()
        try:
            with on_signals(lambda: self._stop(INTERRUPTED)):
                await supervise(parts.engine.run(), tasks)
        except BaseException as error:
            with contextlib.suppress(JournalError):  # it may be what failed
                finish(parts, f"{type(error).__name__}: {error}", failed=True)
            if self._recorder is not None:
                self._recorder.close()
            raise
        finish(parts, self._reason, failed=False)
        if self._kept is not None:
            self._kept.save()
        if self._recorder is not None:
            self._recorder.close(digest=self._digest.hexdigest(), reason=self._reason)

    def _feed(self, frames: Iterator[Frame]) -> dict[str, Coroutine[Any, Any, None]]:
        """What brings the market in."""
        if isinstance(self._played, PublicMarket):
            parts, chance = self._parts, Random().random
            put = self._played.put_into(parts.inbox)
            tasks = self._played.parts(put, parts.market, self._add_others, chance)
            assert self._providers is not None
            kept = {} if self._kept is None else {"kept readings": self._kept.run()}
            return {**tasks, **self._providers.parts(), **kept}
        speed, since_ns = self._settings.venue.speed, self._parts.started_ns
        return {"feed": TapeFeed(frames, self._parts.inbox, speed, since_ns, self._tape_ended).run()}

    def _add_others(self, instruments: Sequence[Instrument]) -> None:
        self._parts.add_others(instruments)
        if self._recorder is not None:
            self._recorder.also(instruments)

    def outcome(self) -> Outcome:
        summary = summary_of(self._parts, self._projection, self._digest, self._played)
        if self._recorder is not None:
            summary["recording"] = self._recorder.answer()
        return Outcome(summary, self._reason)

    async def _tape_ended(self) -> None:
        await self._parts.engine.idle()
        self._stop(TAPE_ENDED)

    def _stop(self, reason: str) -> None:
        """Ends the engine once, for the first reason that comes."""
        if not self._reason:
            self._reason = reason
            self._parts.stop(reason)


@contextlib.contextmanager
def on_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Ctrl-C and its like end the program cleanly."""
    loop = asyncio.get_running_loop()
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in STOP_SIGNALS:
            loop.remove_signal_handler(number)


def begin(parts: Parts, tape: Played, restart: Restart | None = None, begins_ns: int | None = None) -> Iterator[Frame]:
    """Everything up to the first frame to take, which the answer begins with. Engine time begins at `begins_ns` (default: that of the
    first frame). What was built so far lives as long as the engine: the garbage collector need not look at it again, nor often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)
    sys.setswitchinterval(SWITCH_S)
    _warm_up(parts, tape)
    frames, begins_ns = tape.frames(), tape.first_ns() if begins_ns is None else begins_ns
    if restart is None:
        parts.engine.start_at(begins_ns)
    else:
        frames = restart.begin(frames, begins_ns)
    parts.started_ns = parts.engine.now_ns
    start = Start.FRESH if restart is None else restart.start
    data = {**_facts(parts, tape), "tape_id": tape.id, "life": parts.life or parts.session, "start": start}
    data["began_usd"] = text(parts.began_usd)
    parts.engine.note(Emit(kind="ENGINE_STARTED", source="engine", data=data))
    messages = [] if restart is None else restart.waits()
    if messages:
        parts.engine.wake(messages)
    return frames


def _warm_up(parts: Parts, tape: Played) -> None:
    """With the history the tape has of what is followed, and of what is traded a day of any coin."""
    followed = {instrument.id for instrument in parts.view.instruments()}
    coins = {instrument.id: instrument.base for instrument in tape.instruments}
    for instrument_id, width_s, bars in tape.warmup():
        if instrument_id in followed:
            parts.market.warm_up(instrument_id, width_s, bars)
        elif width_s == DAY_S and instrument_id in coins:
            parts.market.add_days(coins[instrument_id], bars)


def finish(parts: Parts, reason: str, *, failed: bool) -> None:
    """Entries that are still on their way never arrive; what protects or closes does when the recording is taken up again, if
    there is any left of it."""
    for order in parts.venue.on_its_way():
        if order.leg == "entry" or reason == TAPE_ENDED:
            parts.engine.note(never_arrived(order))
    data = {"reason": reason, "failed": failed, "frames": parts.engine.frames, "bad_frames": parts.intake.bad_frames}
    parts.engine.note(Emit(kind="ENGINE_STOPPED", source="engine", data=data))


def unfollowed_of(tape: Played, instruments: Mapping[str, Instrument]) -> frozenset[str]:
    return frozenset(on_tape.symbol for on_tape in tape.instruments if on_tape.id not in instruments)


def others_of(tape: Played, settings: Settings) -> list[Instrument]:
    """Whose books only show walls."""
    wanted = settings.walls.venues
    return [each for each in tape.others if wanted is None or each.venue in wanted]


def describe(tape: Played, settings: Settings) -> str:
    """What is being played, in one honest line."""
    if not isinstance(tape, Tape):
        if settings.venue.name == SIM:
            return synthetic_line(settings)
        return f"PAPER trading on the public data of {tape.name}. No orders leave this machine."
    speed = "" if settings.venue.speed == 1 else f" at {settings.venue.speed:g} times real speed"
    kind = "a synthetic tape (no market was recorded)" if "synthetic" in tape.manifest.versions else "a recording"
    return f"PAPER trading on {kind}: {tape.path.name}, {_length(tape)} of {tape.manifest.venue}{speed}. No orders leave this machine."


def _length(tape: Tape) -> str:
    start_ns, end_ns = tape.manifest.start_ns, tape.manifest.end_ns
    return "unknown length" if start_ns is None or end_ns is None else f"{(end_ns - start_ns) / NS:.0f} s"


def summary_of(parts: Parts, projection: Projection, digest: Digest, tape: Played) -> dict[str, Any]:
    """Counts come from a projection of the very events that went to the journal."""
    status = projection.status()
    return {
        **_facts(parts, tape),
        **status,
        "market_s": round((parts.engine.now_ns - parts.started_ns) / NS, 1),
        "frames": parts.engine.frames,
        "bad_frames": parts.intake.bad_frames,
        "tape_problems": list(tape.problems),
        "open": len(projection.positions()),
        "equity_usd": format(parts.portfolio.equity_usd(), "f"),
        "digest": digest.hexdigest(),
    }


def _facts(parts: Parts, tape: Played) -> dict[str, Any]:
    settings = parts.settings
    return {
        "version": __version__,
        "session": parts.session,
        "config_hash": parts.config_hash,
        "mode": settings.mode,
        "venue": settings.venue.name,
        "tape": tape.name,
        "symbols": list(settings.symbols),
        "strategies": list(settings.strategies),
    }


def folding(projection: Projection) -> Callable[[Any], None]:
    def observe(events: Any) -> None:
        for event in events:
            projection.apply(event)

    return observe
