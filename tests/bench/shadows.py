"""Ten thousand shadows that stay open while twenty synthetic markets go on: what each keeps in memory, and what all of them cost.

`python -m tests.bench.shadows` prints it. Every entry is refused by an operator's block, every shadow has its stop, targets and
timers, and they lie so far away that none is reached; the same markets are played without any in the same process, before. A share
of one core is the same for a day as for the half hour that is played.
"""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from time import process_time
from typing import Any

import msgspec

from bot.app.settings import load_settings
from bot.app.wiring import Parts, assemble
from bot.domain.frames import Frame, Lane, Source
from bot.domain.messages import BlockRequest, OutsideSignal
from bot.domain.values import NS, Direction
from bot.journal.writer import MemoryJournal
from bot.runtime.clock import TapeClock
from bot.sim.market_model import SyntheticMarket
from bot.sim.presets import preset
from bot.sim.synthetic import frames_of
from tests.bench.measure import Row, alone, at_most, render
from tests.bench.processes import empty_folder, peak_mb

OPEN = 10_000
HOURS = 0.5
GOAL_KB, GOAL_PCT = 20.0, 2.0  # of each; of one core, for all of them
WARM_UP_FRAMES, ENTRY_FRAMES, BATCH = 5_000, 10_000, 500
FAR = {"stop.pct": "20", "ladder.targets_pct": '["15", "16", "17", "18"]'}


def measure() -> list[Row]:
    """To be called from a small process."""
    with empty_folder() as folder:
        told = folder / "told.json"
        peak_mb("-m", "tests.bench.shadows", str(told))
        found: dict[str, float] = json.loads(told.read_text())
    return rows(found)


def rows(found: dict[str, float]) -> list[Row]:
    what = f"{found['open']:,.0f} open shadows in {found['markets']:.0f} markets"
    more_pct = found["with_pct"] - found["without_pct"]
    return [
        at_most(f"{what}: memory of each", (found["each_kb"],), "kB", (GOAL_KB,)),
        at_most(
            f"{what}: CPU beside the {found['without_pct']:.2f} % of a core without",
            (more_pct,),
            "% of a core",
            (GOAL_PCT,),
        ),
        Row("opening and entering a shadow", alone(found["entry_us"], "µs")),
    ]


def played(count: int = OPEN, hours: float = HOURS) -> dict[str, float]:
    idle = _Played(hours)
    idle.play(WARM_UP_FRAMES + ENTRY_FRAMES)
    without_pct = idle.rest()
    del idle
    engine = _Played(hours)
    engine.play(WARM_UP_FRAMES)
    gc.collect()
    before, started = _rss_kb(), process_time()
    engine.enter(count)
    engine.play(ENTRY_FRAMES)
    spent_s = process_time() - started
    gc.collect()
    each_kb = (_rss_kb() - before) / count
    with_pct = engine.rest()
    return {
        "open": len(engine.parts.shadows),
        "markets": len(engine.instruments),
        "each_kb": each_kb,
        "entry_us": spent_s * 1e6 / count,
        "without_pct": without_pct,
        "with_pct": with_pct,
    }


class _Played:
    """The whole engine on its markets, with nobody who trades."""

    def __init__(self, hours: float) -> None:
        scenario = preset("many", seed=1, hours=hours)
        self.instruments = {coin.instrument.id: coin.instrument for coin in scenario.coins}
        symbols = ",".join(each.unified for each in self.instruments.values())
        settings = load_settings(overrides={"symbols": symbols, "strategies": "", **FAR}, env={})
        self.parts: Parts = assemble(
            settings,
            self.instruments,
            journal=MemoryJournal(keep=False),
            session=1,
            last_seq=0,
            clock=TapeClock(),
            observers=(),
        )
        self.frames: Iterator[Frame] = frames_of(SyntheticMarket(scenario))
        self.parts.engine.start_at(scenario.start_ns)

    def play(self, count: int | None = None) -> None:
        """As many frames, or all that are left."""
        for frame in islice(self.frames, count):
            self.parts.inbox.offer_data(frame)
            self.parts.engine.run_now()

    def rest(self) -> float:
        """Percent of a core that the engine needs for what is left, without the making of the frames."""
        left, since_ns = list(self.frames), self.parts.engine.now_ns
        self.frames = iter(left)
        started = process_time()
        self.play()
        return (process_time() - started) * 100 / ((self.parts.engine.now_ns - since_ns) / NS)

    def enter(self, count: int) -> None:
        for instrument in self.instruments:
            self._say(BlockRequest(instrument=instrument))
        each = count // len(self.instruments)
        for number in range(each):
            for instrument in self.instruments:
                name = f"s{number}"
                self._say(
                    OutsideSignal(
                        external_id=f"{instrument} {name}",
                        instrument=instrument,
                        direction=Direction.LONG,
                        strategy=name,
                    )
                )
            if number % (BATCH // len(self.instruments)) == 0:
                self.parts.engine.run_now()
        self.parts.engine.run_now()

    def _say(self, request: Any) -> None:
        frame = Frame(self.parts.engine.now_ns, Lane.ACCOUNT, Source.OPERATOR, msgspec.json.encode(request))
        self.parts.inbox.put_account(frame)


def _rss_kb() -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return float(line.split()[1])
    raise OSError("no VmRSS in /proc/self/status")


if __name__ == "__main__":
    found = played()
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(json.dumps(found))
    else:
        print(render(rows(found)))
