"""`run`: one engine from lock to summary. `replay`: the same engine over a tape, without a wall clock or a journal file.

Start is recovery: lock the data folder, open and check the journal, assemble, then play. Stop order: refuse entries, cancel
entry orders, drain the account lane, flush the journal, close sockets.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bot import __version__
from bot.api.answers import Answers
from bot.api.server import ApiServer
from bot.api.snapshot import Live
from bot.app.logs import LogObserver
from bot.app.restart import TAPE_ENDED, Past, Restart, Start, pages, rehearses
from bot.app.settings import Settings
from bot.app.terminal import Screen
from bot.app.wiring import Parts, assemble, pick_instruments
from bot.demo import BUNDLED_TAPE
from bot.domain.errors import JournalError
from bot.domain.events import Emit
from bot.domain.frames import Frame
from bot.domain.instrument import Instrument
from bot.domain.values import NS
from bot.journal.digest import Digest
from bot.journal.lock import InstanceLock, load_or_create_token
from bot.journal.projection import Projection
from bot.journal.writer import Journal, MemoryJournal
from bot.runtime.clock import TapeClock
from bot.runtime.supervisor import supervise
from bot.runtime.tape import Tape
from bot.runtime.tape_feed import TapeFeed
from bot.trading.orders import never_arrived

INTERRUPTED = "interrupted"
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, *((signal.SIGHUP,) if sys.platform != "win32" else ()))
GC_THRESHOLD = (
    50_000  # new containers between two collections of the youngest; measured: the 99th percentile of decisions
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """`summary` holds counts, money and the digest over all events without receive stamps (journal/digest.py)."""

    summary: dict[str, Any]
    reason: str

    @property
    def exit_code(self) -> int:
        return 130 if self.reason == INTERRUPTED else 0


def run(settings: Settings, *, notices: list[str], screen: bool, quiet: bool = False, fresh: bool = False) -> Outcome:
    """Raises InstanceError, JournalError, TapeError or ConfigError before anything is traded, later whatever a part raised.

    `screen` draws the live view, `quiet` prints nothing at all while it runs, `fresh` begins a new paper account instead of
    going on with that of the last session.
    """
    main = _run(settings, notices, screen, quiet, fresh)
    if sys.platform == "win32":
        return asyncio.run(main)
    import uvloop

    return uvloop.run(main)


async def _run(settings: Settings, notices: list[str], screen: bool, quiet: bool, fresh: bool = False) -> Outcome:
    tape = Tape.open(settings.venue.tape or BUNDLED_TAPE)
    instruments = pick_instruments(settings, tape.instruments)
    begins_ns = first_ns(tape)  # refuses an empty tape before anything is made
    with contextlib.ExitStack() as stack:
        lock = stack.enter_context(InstanceLock(settings.data_dir))
        journal = Journal.open(settings.data_dir, account=settings.account, mode=settings.mode)
        stack.callback(journal.close)
        logs = LogObserver(enabled=not screen and not quiet)
        stack.callback(logs.close)
        earlier = await _Earlier.read(journal)
        start = earlier.past.start(tape_id=tape.id, first_ns=begins_ns, fresh=fresh)
        session = _Session(settings, tape, instruments, journal, logs, earlier, start)
        await session.play(lock, notices, screen)
        return session.outcome()


def replay(settings: Settings, *, progress: Callable[[int], None] | None = None) -> Outcome:
    """Play a tape as fast as it goes; paper fills are computed anew. Same tape and settings, same digest."""
    tape = Tape.open(settings.venue.tape or BUNDLED_TAPE)
    projection, digest = Projection(), Digest()
    instruments = pick_instruments(settings, tape.instruments)
    parts = assemble(
        settings,
        instruments,
        journal=MemoryJournal(keep=False),
        session=1,
        last_seq=0,
        clock=TapeClock(),
        unfollowed=_unfollowed(tape, instruments),
        observers=(digest.update, _each(projection)),
    )
    for count, frame in enumerate(begin(parts, tape), 1):
        if not parts.inbox.offer_data(frame):
            parts.engine.run_now()
            parts.inbox.offer_data(frame)
            if progress is not None:
                progress(count)
    parts.engine.run_now()
    parts.stop(TAPE_ENDED)
    parts.engine.run_now()
    finish(parts, TAPE_ENDED, failed=False)
    return Outcome(summary_of(parts, projection, digest, tape), TAPE_ENDED)


@dataclass(frozen=True, slots=True)
class _Earlier:
    """What earlier sessions left in the journal, so that the running engine answers as the journal would."""

    projection: Projection
    answers: Answers
    past: Past

    @classmethod
    async def read(cls, journal: Journal) -> _Earlier:
        earlier = cls(Projection(), Answers(), Past())
        async for events in pages(journal):
            for event in events:
                earlier.projection.apply(event)
                earlier.past.apply(event)
            earlier.answers.on_events(events)  # a signal's id that was used then is a repeated one now
        return earlier


class _Session:
    """A running engine with all that stands around it."""

    def __init__(
        self,
        settings: Settings,
        tape: Tape,
        instruments: Mapping[str, Instrument],
        journal: Journal,
        logs: LogObserver,
        earlier: _Earlier,
        start: Start,
    ) -> None:
        self._settings, self._tape, self._journal, self._logs = settings, tape, journal, logs
        self._projection, self._answers, self._digest = earlier.projection, earlier.answers, Digest()
        self._parts = parts = assemble(
            settings,
            instruments,
            journal=journal,
            session=journal.session,
            last_seq=journal.last_seq,
            clock=TapeClock(),
            unfollowed=_unfollowed(tape, instruments),
            observers=(_each(self._projection), self._digest.update, self._answers.on_events, logs.on_events),
            trades_of=earlier.past.life if rehearses(start, earlier.past) else None,
        )
        parts.life = journal.session if start is Start.FRESH else earlier.past.life
        self._restart = Restart(parts, start, earlier.past, instruments)
        self._live = Live(
            engine=parts.engine,
            inbox=parts.inbox,
            intake=parts.intake,
            view=parts.view,
            portfolio=parts.portfolio,
            projection=self._projection,
            state=parts.state,
            facts=_facts(parts, tape),
        )
        symbols = {instrument.unified: instrument.id for instrument in instruments.values()}
        given = settings.api.token
        self._token_from = f"in {settings.data_dir / 'api-token'}" if given is None else "as set by api.token"
        token = given.get_secret_value() if given is not None else load_or_create_token(settings.data_dir)
        self._server = ApiServer(self._live, self._answers, journal, parts.operator, symbols, token)
        self._reason = ""

    async def play(self, lock: InstanceLock, notices: list[str], screen: bool) -> None:
        settings, logs = self._settings, self._logs
        await self._restart.read(self._journal)
        url = await self._server.start(settings.api.host, settings.api.port)
        what = describe_tape(self._tape, settings)
        display = Screen(self._live, logs, what=what, live=screen)
        try:
            lock.publish(url)
            for line in (what, *self._restart.told(), f"API on {url}, token {self._token_from}", *notices):
                logs.say(line)
            await self._run_parts(display)
        finally:
            display.close()
            await self._server.close()

    async def _run_parts(self, display: Screen) -> None:
        parts = self._parts
        frames = begin(parts, self._tape, self._restart)
        feed = TapeFeed(frames, parts.inbox, self._settings.venue.speed, parts.started_ns, self._tape_ended)
        tasks = {f"desk {name}": desk.run() for name, desk in parts.bus.tasks.items()}
        tasks |= {f"orders {lane}": parts.executor.run_lane(lane) for lane in ("protective", "entry")}
        tasks |= {"feed": feed.run(), "display": display.run()}
        try:
            with self._on_signals():
                await supervise(parts.engine.run(), tasks)
        except BaseException as error:
            with contextlib.suppress(JournalError):  # it may be what failed
                finish(parts, f"{type(error).__name__}: {error}", failed=True)
            raise
        finish(parts, self._reason, failed=False)

    def outcome(self) -> Outcome:
        return Outcome(summary_of(self._parts, self._projection, self._digest, self._tape), self._reason)

    async def _tape_ended(self) -> None:
        await self._parts.engine.idle()
        self._stop(TAPE_ENDED)

    def _stop(self, reason: str) -> None:
        """Ends the engine once, for the first reason that comes."""
        if not self._reason:
            self._reason = reason
            self._parts.stop(reason)

    @contextlib.contextmanager
    def _on_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in STOP_SIGNALS:
            loop.add_signal_handler(number, self._stop, INTERRUPTED)
        try:
            yield
        finally:
            for number in STOP_SIGNALS:
                loop.remove_signal_handler(number)


def first_ns(tape: Tape) -> int:
    """When it begins; raises TapeError if there is no frame that can be read."""
    return next(tape.frames()).recv_ns


def begin(parts: Parts, tape: Tape, restart: Restart | None = None) -> Iterator[Frame]:
    """Everything up to the first frame to take, which the answer begins with. What was built so far lives as long as the engine:
    the garbage collector need not look at it again, nor often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)
    _warm_up(parts, tape)
    frames, begins_ns = tape.frames(), first_ns(tape)
    if restart is None:
        parts.engine.start_at(begins_ns)
    else:
        frames = restart.begin(frames, begins_ns)
    parts.started_ns = parts.engine.now_ns
    start = Start.FRESH if restart is None else restart.start
    data = {**_facts(parts, tape), "tape_id": tape.id, "life": parts.life or parts.session, "start": start}
    parts.engine.note(Emit(kind="ENGINE_STARTED", source="engine", data=data))
    messages = [] if restart is None else restart.waits()
    if messages:
        parts.engine.wake(messages)
    return frames


def _warm_up(parts: Parts, tape: Tape) -> None:
    """With the history the tape has of what is followed."""
    followed = {instrument.id for instrument in parts.view.instruments()}
    for instrument_id, width_s, bars in tape.warmup():
        if instrument_id in followed:
            parts.market.warm_up(instrument_id, width_s, bars)


def finish(parts: Parts, reason: str, *, failed: bool) -> None:
    """Entries that are still on their way never arrive; what protects or closes does when the recording is taken up again, if
    there is any left of it."""
    for order in parts.venue.on_its_way():
        if order.leg == "entry" or reason == TAPE_ENDED:
            parts.engine.note(never_arrived(order))
    data = {"reason": reason, "failed": failed, "frames": parts.engine.frames, "bad_frames": parts.intake.bad_frames}
    parts.engine.note(Emit(kind="ENGINE_STOPPED", source="engine", data=data))


def _unfollowed(tape: Tape, instruments: Mapping[str, Instrument]) -> frozenset[str]:
    return frozenset(on_tape.symbol for on_tape in tape.instruments if on_tape.id not in instruments)


def describe_tape(tape: Tape, settings: Settings) -> str:
    """What is being played, in one honest line."""
    speed = "" if settings.venue.speed == 1 else f" at {settings.venue.speed:g} times real speed"
    kind = "a synthetic tape (no market was recorded)" if "synthetic" in tape.manifest.versions else "a recording"
    return f"PAPER trading on {kind}: {tape.path.name}, {_length(tape)} of {tape.manifest.venue}{speed}. No orders leave this machine."


def _length(tape: Tape) -> str:
    start_ns, end_ns = tape.manifest.start_ns, tape.manifest.end_ns
    return "unknown length" if start_ns is None or end_ns is None else f"{(end_ns - start_ns) / NS:.0f} s"


def summary_of(parts: Parts, projection: Projection, digest: Digest, tape: Tape) -> dict[str, Any]:
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


def _facts(parts: Parts, tape: Tape) -> dict[str, Any]:
    settings = parts.settings
    return {
        "version": __version__,
        "session": parts.session,
        "config_hash": parts.config_hash,
        "mode": settings.mode,
        "venue": settings.venue.name,
        "tape": tape.path.name,
        "symbols": list(settings.symbols),
        "strategies": list(settings.strategies),
    }


def _each(projection: Projection) -> Callable[[Any], None]:
    def observe(events: Any) -> None:
        for event in events:
            projection.apply(event)

    return observe
