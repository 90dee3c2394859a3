"""`record live`: a venue's public data as a tape, without trading.

It is the engine itself, with no strategy, no API and no journal on disk: so books are followed as they would be, a lost message is
seen and its book fetched again, and the tape holds what an engine takes. A tape of it starts as any engine's does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from random import Random
from typing import Any

from bot.app.connections import SIM
from bot.app.providers import Providers
from bot.app.recorded import manifest_of
from bot.app.run import INTERRUPTED, begin, finish, on_signals, open_market, run_until_done
from bot.app.settings import Settings
from bot.app.wiring import Parts, assemble, pick_instruments
from bot.domain.errors import ConfigError
from bot.domain.events import Event
from bot.domain.instrument import Instrument
from bot.journal.digest import Digest
from bot.journal.writer import MemoryJournal
from bot.runtime.clock import RealClock, TapeClock
from bot.runtime.recorder import Recorder
from bot.runtime.supervisor import supervise
from bot.venues.public import PublicMarket

SHOW_S = 1.0
TIME_UP = "time is up"


def record_live(
    settings: Settings,
    out: Path,
    *,
    hours: float | None,
    told: Callable[[str], None],
    show: Callable[[str], None] | None,
) -> dict[str, Any]:
    """Until `hours` are over or a signal comes; what was recorded. `told` gets what a user must know, `show` a line a second of how it goes.
    Raises VenueError or TapeError before anything is recorded."""
    return run_until_done(_record(settings, out, hours, told, show))


async def _record(
    settings: Settings,
    out: Path,
    hours: float | None,
    told: Callable[[str], None],
    show: Callable[[str], None] | None,
) -> dict[str, Any]:
    if settings.venue.name == SIM:
        raise ConfigError("a made-up market is not recorded but made: python -m bot record synthetic")
    recorder = Recorder(out, settings.record, told)
    market, clock = await open_market(settings)
    if not isinstance(market, PublicMarket):
        raise ConfigError("a tape is a recording already: name a venue, e.g. --venue binanceusdm")
    try:
        return await _record_market(settings, market, clock, recorder, hours, told, show)
    finally:
        await market.close()


async def _record_market(
    settings: Settings,
    market: PublicMarket,
    clock: RealClock | TapeClock,
    recorder: Recorder,
    hours: float | None,
    told: Callable[[str], None],
    show: Callable[[str], None] | None,
) -> dict[str, Any]:
    instruments = pick_instruments(settings, market.instruments, market.name)
    await market.follow(instruments.values(), settings.bars.widths_s)
    feeds, digest = Feeds(), Digest()
    parts = assemble(
        settings.model_copy(update={"strategies": ()}),
        instruments,
        journal=MemoryJournal(keep=False),
        session=1,
        last_seq=0,
        clock=clock,
        others=market.others,
        unfollowed=frozenset(each.symbol for each in market.instruments if each.id not in instruments),
        observers=(market.on_events, feeds.on_events, digest.update),
        recorder=recorder,
    )
    for problem in market.problems:
        told(problem)
    begin(parts, market)
    recorder.begin(manifest_of(parts, market, fresh=True))
    ending = _Ending(parts)
    try:
        with on_signals(lambda: ending.stop(INTERRUPTED)):
            beside = _beside(settings, parts, market, recorder, ending, hours, feeds, show)
            await supervise(parts.engine.run(), beside)
    except BaseException:
        recorder.close()
        raise
    finish(parts, ending.reason, failed=False)
    recorder.close(digest=digest.hexdigest(), reason=ending.reason)
    return {
        **recorder.answer(),
        "symbols": list(settings.symbols),
        "reason": ending.reason,
        "problems": market.problems,
    }


def _beside(
    settings: Settings,
    parts: Parts,
    market: PublicMarket,
    recorder: Recorder,
    ending: _Ending,
    hours: float | None,
    feeds: Feeds,
    show: Callable[[str], None] | None,
) -> dict[str, Coroutine[Any, Any, None]]:
    assert isinstance(parts.clock, RealClock)
    put = market.put_into(parts.inbox)
    providers = Providers(settings, list(parts.view.instruments()), put, parts.clock, parts.market.institutional_usd)

    def add_others(instruments: Sequence[Instrument]) -> None:
        parts.add_others(instruments)
        recorder.also(instruments)

    tasks = {**market.parts(put, parts.market, add_others, Random().random), "recorder": recorder.run()}
    tasks |= providers.parts()
    tasks |= {f"desk {name}": desk.run() for name, desk in parts.bus.tasks.items()}
    tasks |= {f"orders {lane}": parts.executor.run_lane(lane) for lane in ("protective", "entry")}
    if hours is not None:
        tasks["end"] = ending.after(hours * 3600)
    if show is not None:
        tasks["progress"] = _progress(parts, recorder, feeds, show)
    return tasks


class _Ending:
    """Ends the engine once, for the first reason that comes."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self.reason = ""

    def stop(self, reason: str) -> None:
        if not self.reason:
            self.reason = reason
            self._parts.stop(reason)

    async def after(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self.stop(TIME_UP)


class Feeds:
    """Which streams deliver, from the events that say so."""

    def __init__(self) -> None:
        self._up: dict[str, bool] = {}

    def on_events(self, events: Sequence[Event]) -> None:
        for event in events:
            if event.kind in ("FEED_UP", "FEED_DOWN"):
                self._up[f"{event.data.get('venue', '')} {event.data['stream']}".strip()] = event.kind == "FEED_UP"

    def line(self) -> str:
        down = [name for name, up in self._up.items() if not up]
        return f"{', '.join(down)} DOWN" if down else f"{len(self._up)} stream(s) up"


async def _progress(parts: Parts, recorder: Recorder, feeds: Feeds, show: Callable[[str], None]) -> None:
    views = [parts.view.market(each.id) for each in parts.view.instruments()]
    while True:
        await asyncio.sleep(SHOW_S)
        answer, usable = recorder.answer(), sum(view.usable for view in views)
        missing = f", {answer['missing_frames']:,} missing" if answer["missing_frames"] else ""
        show(
            f"{answer['frames']:,} frames{missing}, {answer['bytes'] / 1e6:.1f} MB, {feeds.line()}, "
            f"{usable} of {len(views)} book(s) usable"
        )
