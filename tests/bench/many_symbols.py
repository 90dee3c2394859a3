"""Twenty symbols beside one: what a message costs and what a symbol keeps in memory, on synthetic markets.

For the cost all coins are alike, so that a message of one is a message of any; the whole engine takes them, with every guard
and the samples of each second. Memory is that of processes of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from msgspec.structs import replace

from bot.app.settings import Settings, load_settings
from bot.app.wiring import assemble
from bot.domain.frames import Frame
from bot.domain.values import NS
from bot.journal.writer import MemoryJournal
from bot.runtime.clock import TapeClock
from bot.sim.market_model import SyntheticMarket
from bot.sim.presets import BTC, preset
from bot.sim.scenario import Motion, Scenario, Segment
from bot.sim.synthetic import frames_of
from tests.bench.measure import Row, Run, alone, at_most, interleaved, settle_memory
from tests.bench.processes import empty_folder, peak_mb

MANY = 20
FLAT = 1.2
MEMORY_GOAL_MB = 2.0
SECONDS = 300
DEPTH_MS = 250
HOURS = 0.5


def measure(rounds: int) -> list[Row]:
    """CPU for a message of one symbol and of twenty."""
    one, many = _Engine(1), _Engine(MANY)
    settle_memory()
    spent_s = interleaved({"one": one.fresh, "many": many.fresh}, rounds)
    each_us = {name: spent_s[name] * 1e6 / len(engine.frames) for name, engine in (("one", one), ("many", many))}
    ratio = each_us["many"] / each_us["one"]
    return [
        Row("message through the engine, 1 synthetic symbol", alone(each_us["one"], "µs")),
        at_most(f"the same with {MANY}: {each_us['many']:.1f} µs, that is", (ratio,), "times as much", (FLAT,)),
    ]


def memory() -> list[Row]:
    """What each of nineteen more symbols adds to the most memory that a replay needs. To be called from a small process."""
    with empty_folder() as folder:
        one_mb, many_mb = (_replayed_mb(folder, count) for count in (1, MANY))
    each_mb = (many_mb - one_mb) / (MANY - 1)
    what = f"memory for each further symbol ({one_mb:.0f} MB with 1, {many_mb:.0f} MB with {MANY})"
    return [at_most(what, (each_mb,), "MB", (MEMORY_GOAL_MB,))]


def _replayed_mb(folder: Path, count: int) -> float:
    tape = str(folder / f"tape{count}")
    options = ("--preset", "many", "--seed", "1", "--hours", str(HOURS), "--symbols", str(count))
    peak_mb("-m", "bot", "record", "synthetic", tape, *options)
    symbols = ",".join(coin.instrument.unified for coin in preset("many", seed=1, symbols=count).coins)
    return peak_mb("-m", "bot", "replay", tape, "--symbols", symbols, "--json")


def _alike(count: int) -> Scenario:
    coins = tuple(replace(BTC, base=f"C{number:02}") for number in range(count))
    return Scenario(
        name="alike",
        seed=1,
        coins=coins,
        seconds=SECONDS,
        start_ns=1_760_054_400 * NS,
        segments=(Segment(seconds=SECONDS, motion=Motion.RANDOM),),
        history=Segment(seconds=300, motion=Motion.RANDOM),
        depth_ms=DEPTH_MS,
    )


class _Engine:
    def __init__(self, count: int) -> None:
        scenario = _alike(count)
        self.frames: Sequence[Frame] = list(frames_of(SyntheticMarket(scenario)))
        self._instruments = {coin.instrument.id: coin.instrument for coin in scenario.coins}
        symbols = ",".join(instrument.unified for instrument in self._instruments.values())
        self._settings: Settings = load_settings(overrides={"symbols": symbols}, env={})

    def fresh(self) -> Run:
        parts = assemble(
            self._settings,
            self._instruments,
            journal=MemoryJournal(keep=False),
            session=1,
            last_seq=0,
            clock=TapeClock(),
            observers=(),
        )
        parts.engine.start_at(self.frames[0].recv_ns)
        return player(self.frames, parts.inbox.offer_data, parts.engine.run_now)


def player(frames: Iterable[Frame], offer: Callable[[Frame], bool], run_now: Callable[[], None]) -> Run:
    """What takes all frames as `replay` does."""

    def take() -> None:
        for frame in frames:
            if not offer(frame):
                run_now()
                offer(frame)
        run_now()

    return take
