"""`replay`: the engine of `run` over a tape, without a wall clock or a journal file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from bot.app.desks import build_guards
from bot.app.recorded import judged, why_not_again
from bot.app.restart import TAPE_ENDED
from bot.app.run import Outcome, begin, finish, folding, others_of, summary_of, unfollowed_of
from bot.app.settings import Settings
from bot.app.wiring import Parts, asking, assemble, pick_instruments
from bot.demo import BUNDLED_TAPE
from bot.domain.frames import Frame
from bot.domain.ports import Observer
from bot.domain.trades import TradeRun
from bot.journal.digest import Digest
from bot.journal.projection import Projection
from bot.journal.writer import MemoryJournal
from bot.runtime.clock import TapeClock
from bot.runtime.columns import ColumnTape, with_columns
from bot.runtime.rerun import Rerun
from bot.runtime.tape import Tape


def replay(
    settings: Settings,
    *,
    progress: Callable[[int], None] | None = None,
    observers: Sequence[Observer] = (),
    columns: bool = True,
    ask: Sequence[str] = (),
) -> Outcome:
    """Play a tape as fast as it goes. Same tape and settings, same digest. The tape of an engine with the same rules is played as it
    was recorded, and the summary says whether the same was decided (`as_recorded`); else paper fills are computed anew.

    `observers` are shown every event as it is noted; no file keeps them. `columns` may be used where they lie beside the tape.
    `ask` names guards that are asked after every trade, see `trading/asking.py`; they change no decision.
    """
    tape = Tape.open(settings.venue.tape or BUNDLED_TAPE)
    projection, digest = Projection(), Digest()
    instruments = pick_instruments(settings, tape.instruments)
    recorded, why_not = tape.manifest.engine, why_not_again(tape, build_guards(settings)[0])
    rerun, session = None, 1
    if recorded is not None and not why_not:
        rerun, session = Rerun(), recorded.session
        settings = settings.model_copy(update={"account": recorded.account})
    elif columns:
        tape = with_columns(tape)
    parts = assemble(
        settings,
        instruments,
        journal=MemoryJournal(keep=False),
        session=session,
        last_seq=0,
        clock=TapeClock(),
        others=others_of(tape, settings),
        unfollowed=unfollowed_of(tape, instruments),
        observers=(digest.update, folding(projection), *observers),
        rerun=rerun,
    )
    if parts.config_hash == tape.manifest.config_hash:
        parts.learning.take_over(tape.manifest.adjustments, tape.manifest.probation)
    asked = parts.intake.asked = asking(parts, ask) if ask else None
    reason = TAPE_ENDED
    if rerun is None:
        frames = begin(parts, tape)
        play(parts, tape.pieces() if isinstance(tape, ColumnTape) else frames, progress)
        parts.stop(TAPE_ENDED)
        parts.engine.run_now()
    elif recorded is not None:
        begin(parts, tape, begins_ns=recorded.began_ns)
        reason = _play_again(parts, tape, rerun, recorded.reason)
    finish(parts, reason, failed=False)
    summary = summary_of(parts, projection, digest, tape)
    if recorded is not None:
        summary["as_recorded"] = judged(tape, summary["digest"], why_not, rerun)
    if asked is not None:
        summary["asked"] = asked.told()
    return Outcome(summary, TAPE_ENDED)


def _play_again(parts: Parts, tape: Tape, rerun: Rerun, reason: str | None) -> str:
    """As it was recorded; returns why the engine ended."""
    rerun.play(tape.taken(), parts.engine, parts.inbox, parts.venue)
    if not rerun.stopped:  # it was killed
        parts.stop(TAPE_ENDED)
        parts.engine.run_now()
    return reason or TAPE_ENDED


def play(parts: Parts, pieces: Iterable[Frame | TradeRun], progress: Callable[[int], None] | None) -> None:
    """Each run of trades is taken before the next is read: a lane full of them would need gigabytes."""
    for piece in pieces:
        if type(piece) is TradeRun or not parts.inbox.offer_data(piece):
            parts.engine.run_now()
            parts.inbox.offer_data(piece)
            if progress is not None:
                progress(parts.engine.frames)
    parts.engine.run_now()
