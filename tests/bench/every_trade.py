"""A guard asked on every trade of a replay, beside nautilus_trader on the same trades (G8); and what a replayed trade keeps in memory
(G14).

What is alike: both get the same trades in the same order, keep time by them, have a simulated exchange waiting for orders that never
come, and judge the taker volumes of five minutes after each trade, in Python. That they judge alike is checked before anything
is believed. What is not: ours is the engine of `replay --ask taker_aggression`, with every feature that a trade feeds (taker,
whales, walls, bars) and the desks' look at each second; the peer keeps nothing but two sums. It takes the trades of a second at
once, as nobody waits for one of them, and asks the guard's own rule on the sums after each; the peer wakes its strategy for each.

Both begin once with what they replay again and again ready in memory, ours its columns and the peer its ticks, and once with the
venue's bytes. The goal is held against the first. Ours is shown besides as it goes without columns: frame by frame through
the whole engine, the guard asked in full with its reading and its verdict in words, and the whole gate asked by a signal on
the bus, which writes its events. All of ours answer alike, which is checked too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

from bot.app.replaying import play
from bot.app.settings import load_settings
from bot.app.wiring import Parts, asking, assemble
from bot.domain.events import Event
from bot.domain.frames import Frame
from bot.domain.messages import Message
from bot.domain.ports import Observer
from bot.domain.trades import TradeRun
from bot.domain.values import LONG, Outcome, Signal
from bot.exchanges import binance
from bot.journal.writer import MemoryJournal
from bot.runtime.clock import TapeClock
from bot.runtime.columns import gathered
from bot.trading.guards.taker_aggression import TakerAggression
from tests.bench.capture import Capture
from tests.bench.decision import with_readings
from tests.bench.measure import Row, Run, alone, faster, interleaved, settle_memory, skipped
from tests.bench.nautilus_peer import Nautilus
from tests.bench.processes import empty_folder, peak_mb
from tests.bench.trades import repeated

COPIES = 10
COPIES_OF_GATE = 2  # asking every guard takes a while
GOAL = 3.0
MEMORY_GOAL = 5.0
TRADES = 21_313  # of the capture, which a small process does not read
PRICE = Decimal(60_000)  # of the signals; there is no book to size them by
G8 = "G8 replay, taker guard asked on every trade"
G14 = "G14 memory for each replayed trade"


class AnswersDiffer(Exception):
    """The peer did not judge as we did: comparing times would mean nothing."""


def measure(capture: Capture, rounds: int) -> tuple[list[Row], list[str]]:
    """The rows, and what was checked before anything was measured."""
    frames, few = (list(repeated(capture, copies)) for copies in (COPIES, COPIES_OF_GATE))
    assert len(frames) == COPIES * TRADES
    ours = _Ours(capture)
    peer, why = _peer(capture)
    counts = dict.fromkeys(("one", "made", "none", "one, frames", "none, frames"), len(frames)) | {"all": len(few)}
    runs = list(in_columns(frames))
    checks = [f"{len(frames):,} trades, those of the capture {COPIES} times", ours.same_answers(frames, runs)]
    contenders: dict[str, Callable[[], Run]] = {
        "one": lambda: ours.asking_one(again(runs), frames[0].recv_ns),
        "made": lambda: ours.asking_one(in_columns(frames), frames[0].recv_ns),
        "none": lambda: ours.asking_nobody(again(runs), frames[0].recv_ns),
        "one, frames": lambda: ours.asking_one(frames, frames[0].recv_ns),
        "none, frames": lambda: ours.asking_nobody(frames, frames[0].recv_ns),
        "all": lambda: ours.asking_all(few),
    }
    if peer is not None:
        ticks = peer.ticks(frames)
        checks.append(_same_answers(ours, peer, runs, ticks))
        counts |= {"ready": len(frames), "bytes": len(frames)}
        contenders |= {"ready": lambda: peer.ready_made(ticks), "bytes": lambda: peer.from_bytes(frames)}
    settle_memory()
    rates = {name: counts[name] / spent_s for name, spent_s in interleaved(contenders, rounds).items()}
    if peer is not None:
        peer.close()
    checks.append(f"the gate decided {ours.decisions:,} times a round and asked {ours.guards} guards each time")
    return _rows(rates, why), checks


def _rows(rates: dict[str, float], why: str) -> list[Row]:
    """`why` there are no rates of the peer; empty where there are."""
    if why:
        first = [skipped(G8, alone(rates["one"], "/s"), why, GOAL, "")]
    else:
        first = [
            faster(G8, rates["one"], rates["ready"], Nautilus.name, "/s", GOAL),
            faster("the same, both from the venue's bytes", rates["made"], rates["bytes"], Nautilus.name, "/s"),
        ]
    return [
        *first,
        Row("the same without columns, frame by frame", alone(rates["one, frames"], "/s")),
        Row("replay of trades alone, nobody asked", alone(rates["none"], "/s")),
        Row("the same without columns, frame by frame", alone(rates["none, frames"], "/s")),
        Row("replay of trades alone, the whole gate asked on each", alone(rates["all"], "/s")),
    ]


def memory() -> list[Row]:
    """What more trades add to the most memory that playing them needs. To be called from a small process."""
    with empty_folder() as folder:
        ours = _added_bytes(lambda copies: _replayed_mb(folder, copies))
    try:
        theirs = _added_bytes(lambda copies: peak_mb("-m", "tests.bench.nautilus_peer", str(copies)))
    except ChildProcessError:
        return [skipped(G14, alone(ours, "B"), f"{Nautilus.name} not installed: skipped", MEMORY_GOAL)]
    times = f"{theirs / ours:.1f}x" if ours > 0 else ""
    met = ours <= theirs / MEMORY_GOAL
    return [Row(G14, alone(ours, "B"), f"{Nautilus.name} {alone(theirs, 'B')}", times, f"≥ {MEMORY_GOAL:g}x less", met)]


def _added_bytes(peak: Callable[[int], float]) -> float:
    """For each trade; not less than nothing, which is what the noise of a peak may say."""
    trades = (COPIES - 1) * TRADES
    return max(0.0, peak(COPIES) - peak(1)) * 2**20 / trades


def _replayed_mb(folder: Path, copies: int) -> float:
    tape = str(folder / f"trades{copies}")
    peak_mb("-m", "tests.bench.trades", tape, str(copies))
    return peak_mb("-m", "bot", "replay", tape, "--json")


class _Ours:
    """The engine of `replay`, and who is asked after each trade. `answers` are those of the newest run."""

    def __init__(self, capture: Capture) -> None:
        overrides = {
            "symbols": capture.instrument.unified,
            "guards.session_window.enabled": True,
            "guards.session_window.hours": "00:00-24:00",
        }
        self._settings = load_settings(overrides=overrides, env={})
        self._instrument = capture.instrument
        self.answers: Counter[Outcome] = Counter()
        self.decisions = self.guards = 0

    def asking_nobody(self, pieces: Iterable[Frame | TradeRun], begins_ns: int) -> Run:
        return self._play(self._parts(begins_ns), pieces)

    def asking_one(self, pieces: Iterable[Frame | TradeRun], begins_ns: int) -> Run:
        parts = self._parts(begins_ns)
        asked = parts.intake.asked = asking(parts, [TakerAggression.name])
        self.answers = asked.answers[TakerAggression.name]
        return self._play(parts, pieces)

    def same_answers(self, frames: Sequence[Frame], runs: Sequence[TradeRun]) -> str:
        """Asked in full after each frame, and by the rule in columns."""
        said = []
        for pieces in (frames, again(runs)):
            self.asking_one(pieces, frames[0].recv_ns)()
            said.append(+self.answers)
        if said[0] != said[1]:
            raise AnswersDiffer(f"frame by frame we said {dict(said[0])}, in columns {dict(said[1])}")
        return "answers equal: the guard says the same in columns and asked in full after each frame"

    def asking_all(self, frames: Sequence[Frame]) -> Run:
        """Frame by frame, with a new signal for each trade, and the providers' readings, so that guards judge instead of abstaining."""
        parts = self._parts(frames[0].recv_ns, self._count)
        self.decisions = 0
        apply, numbers, venue = parts.intake.apply, count(), self._instrument.venue

        def applied(frame: Frame, now_ns: int) -> Sequence[Message]:
            messages = apply(frame, now_ns)
            return [*messages, self._signal(next(numbers))] if frame.source == venue else messages

        parts.intake.apply = applied  # type: ignore[method-assign]
        return self._play(parts, list(with_readings(frames, self._instrument)))

    def _play(self, parts: Parts, pieces: Iterable[Frame | TradeRun]) -> Run:
        return lambda: play(parts, pieces, None)

    def _parts(self, begins_ns: int, *observers: Observer) -> Parts:
        parts = assemble(
            self._settings,
            {self._instrument.id: self._instrument},
            journal=MemoryJournal(keep=False),
            session=1,
            last_seq=0,
            clock=TapeClock(),
            observers=observers,
        )
        parts.engine.start_at(begins_ns)
        return parts

    def _count(self, events: Sequence[Event]) -> None:
        for event in events:
            if event.kind == "DECISION":
                self.decisions += 1
                self.guards = len(event.data["verdicts"])

    def _signal(self, number: int) -> Signal:
        return Signal(
            signal_id=f"bench-{number}",
            instrument=self._instrument.id,
            direction=LONG,
            strategy="bench",
            strength=0.5,
            price=PRICE,
            ts_ns=0,
        )


def _peer(capture: Capture) -> tuple[Nautilus | None, str]:
    """The peer, or None and why it is not there. A release that has changed too much to be driven is left out as well."""
    try:
        return Nautilus(capture.instrument), ""
    except ImportError:
        return None, f"{Nautilus.name} not installed: skipped"
    except (AttributeError, TypeError) as error:
        return None, f"{Nautilus.name} cannot be driven ({error}): skipped"


def in_columns(frames: Iterable[Frame]) -> Iterator[TradeRun]:
    """Made of the venue's bytes, as `record columns` does."""
    for run in gathered(frames, binance.VENUE, binance.decode, {"BTCUSDT"}):
        assert isinstance(run, TradeRun)
        yield run


def again(runs: Iterable[TradeRun]) -> list[TradeRun]:
    """The same columns from their beginning."""
    return [replace(run, at=0) for run in runs]


def _same_answers(ours: _Ours, peer: Nautilus, runs: Sequence[TradeRun], ticks: list[Any]) -> str:
    ours.asking_one(again(runs), runs[0].recv_ns)()
    peer.ready_made(ticks)()
    mine, theirs = +ours.answers, +peer.answers
    if mine != theirs:
        raise AnswersDiffer(f"ours said {dict(mine)}, {peer.name} {dict(theirs)}")
    said = ", ".join(f"{outcome} {number:,}" for outcome, number in sorted(mine.items()))
    return f"answers equal: on these trades the guard says {said}, in both"
