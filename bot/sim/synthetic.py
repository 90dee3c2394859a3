"""A synthetic market as frames, and as a session tape that `run --tape` and `replay` play. Behind `record synthetic`."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from math import exp
from pathlib import Path
from random import Random
from typing import cast

from msgspec import Struct, structs

from bot import __version__
from bot.domain.frames import BarRow, Frame, Lane
from bot.domain.market import Bar
from bot.domain.values import MS
from bot.exchanges.binance import VENUE
from bot.runtime.tape import Manifest, Origin
from bot.runtime.tape_writer import TapeWriter, refuse_used
from bot.sim.binance_wire import BinanceWire
from bot.sim.market_model import SyntheticMarket
from bot.sim.scenario import BAR_S, VERSION, Scenario

ORIGIN = "synthetic"
_DELAY_MS = 12.0  # median time from the venue to us
_DELAYS = 1024
_PROGRESS_EVERY = 10_000  # frames


class Written(Struct, frozen=True, kw_only=True):
    """What `write_tape` wrote."""

    frames: int
    start_ns: int
    end_ns: int
    origin: str


def frames_of(market: SyntheticMarket) -> Iterator[Frame]:
    """Every event as it reaches us: a few ms after it happened, one after the other."""
    rng = Random(f"{market.scenario.seed}:delay")
    delays = [round(_DELAY_MS * exp(rng.gauss(0.0, 0.5)) * MS) for _ in range(_DELAYS)]
    render, chance, last_ns = BinanceWire(market.scenario.coins).render, rng.random, 0
    for event in market.events():
        arrives_ns = event.ms * MS + delays[int(chance() * _DELAYS)]
        last_ns = arrives_ns if arrives_ns > last_ns else last_ns + 1
        source, raw = render(event)
        yield Frame(last_ns, Lane.DATA, source, raw)


def write_tape(scenario: Scenario, out: Path, *, progress: Callable[[int], None] | None = None) -> Written:
    """Write the scenario as a tape to `out`, whole or not at all. `progress` is told of engine time now and then, in ns."""
    refuse_used(out)
    market = SyntheticMarket(scenario)
    manifest = Manifest(
        venue=VENUE,
        instruments=[coin.instrument for coin in scenario.coins],
        versions={"bot": __version__, ORIGIN: str(VERSION)},
        warmup={key: {str(BAR_S): [_row(bar) for bar in bars]} for key, bars in market.warmup.items()},
    )
    writer = TapeWriter(out.with_name(out.name + ".partial"), manifest)
    digest = hashlib.sha256()
    try:
        with writer:
            for count, frame in enumerate(frames_of(market)):
                writer.write(frame)
                digest.update(b"%d %b\n" % (frame.recv_ns, frame.raw))
                if progress is not None and count % _PROGRESS_EVERY == 0:
                    progress(frame.recv_ns)
            writer.manifest = structs.replace(manifest, origin=_origin(scenario, digest.hexdigest()))
        writer.path.replace(out)
    except BaseException:
        shutil.rmtree(writer.path)
        raise
    return _written(writer.manifest)


def describe(scenario: Scenario) -> str:
    return f"synthetic, seed {scenario.seed}, preset {scenario.name}, generator version {VERSION}"


def _origin(scenario: Scenario, sha256: str) -> Origin:
    note = (
        f"{describe(scenario)}. Made up by a program: no market was recorded, and no reading in it was ever published."
    )
    return Origin(name=ORIGIN, sha256=sha256, note=note)


def _row(bar: Bar) -> BarRow:
    return cast(BarRow, structs.astuple(bar))


def _written(manifest: Manifest) -> Written:
    assert manifest.frames is not None and manifest.start_ns is not None and manifest.end_ns is not None
    assert manifest.origin is not None
    return Written(
        frames=manifest.frames, start_ns=manifest.start_ns, end_ns=manifest.end_ns, origin=manifest.origin.note
    )
