"""A guard asked on every trade of a replay, beside nautilus_trader on the same trades (G8); and what a replayed trade keeps in memory
(G14).

What is alike: both get the same trades in the same order, keep time by them, have a simulated exchange waiting for orders that never
come, and judge the taker volumes of five minutes on each trade, in Python. That they judge alike is checked before anything is
believed. What is not: ours is the engine of `replay`, with every feature that a trade feeds (taker, whales, walls, bars), and it
asks the very guard that the gate asks, with its reading and its verdict in words; the peer keeps nothing but two sums.

Ours always begins with the venue's bytes, as every replay does. The peer is measured both ways: with its ticks ready in memory,
which is what it does each time it plays them again, and with the making of them, so that both begin with the same bytes. The
goal is held against the first, the harder one. Our guards are asked where a trade has been applied, which is where the engine asks
whatever a frame concerns; the whole gate is asked as always, by a signal on the bus, and writes its events.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

from bot.app.settings import load_settings
from bot.app.wiring import Parts, assemble, build_guards
from bot.domain.events import Event
from bot.domain.frames import Frame
from bot.domain.messages import Message
from bot.domain.ports import Observer
from bot.domain.values import LONG, Outcome, Signal
from bot.journal.writer import MemoryJournal
from bot.runtime.clock import TapeClock
from bot.trading.guards.taker_aggression import TakerAggression
from tests.bench.capture import Capture
from tests.bench.decision import with_readings
from tests.bench.many_symbols import player
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
    counts = {"one": len(frames), "none": len(frames), "all": len(few)}
    contenders: dict[str, Callable[[], Run]] = {
        "one": lambda: ours.asking_one(frames),
        "none": lambda: ours.asking_nobody(frames),
        "all": lambda: ours.asking_all(few),
    }
    checks = [f"{len(frames):,} trades, those of the capture {COPIES} times"]
    if peer is not None:
        ticks = peer.ticks(frames)
        checks.append(_same_answers(ours, peer, frames, ticks))
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
            faster("the same, both from the venue's bytes", rates["one"], rates["bytes"], Nautilus.name, "/s"),
        ]
    return [
        *first,
        Row("replay of trades alone, nobody asked", alone(rates["none"], "/s")),
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

    def asking_nobody(self, frames: Sequence[Frame]) -> Run:
        return self._play(self._parts(frames), frames)

    def asking_one(self, frames: Sequence[Frame]) -> Run:
        parts = self._parts(frames)
        answers = self.answers = Counter()
        check = next(guard for guard in build_guards(self._settings)[1] if guard.name == TakerAggression.name).check
        apply, view, idea = parts.intake.apply, parts.view, self._signal(0)

        def applied(frame: Frame, now_ns: int) -> Sequence[Message]:
            messages = apply(frame, now_ns)
            answers[check(idea, view).outcome] += 1
            return messages

        parts.intake.apply = applied  # type: ignore[method-assign]
        return self._play(parts, frames)

    def asking_all(self, frames: Sequence[Frame]) -> Run:
        """With a new signal for each trade, and the providers' readings, so that guards judge instead of abstaining."""
        parts = self._parts(frames, self._count)
        self.decisions = 0
        apply, numbers, venue = parts.intake.apply, count(), self._instrument.venue

        def applied(frame: Frame, now_ns: int) -> Sequence[Message]:
            messages = apply(frame, now_ns)
            return [*messages, self._signal(next(numbers))] if frame.source == venue else messages

        parts.intake.apply = applied  # type: ignore[method-assign]
        return self._play(parts, list(with_readings(frames, self._instrument)))

    def _play(self, parts: Parts, frames: Sequence[Frame]) -> Run:
        return player(frames, parts.inbox.offer_data, parts.engine.run_now)

    def _parts(self, frames: Sequence[Frame], *observers: Observer) -> Parts:
        parts = assemble(
            self._settings,
            {self._instrument.id: self._instrument},
            journal=MemoryJournal(keep=False),
            session=1,
            last_seq=0,
            clock=TapeClock(),
            observers=observers,
        )
        parts.engine.start_at(frames[0].recv_ns)
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


def _same_answers(ours: _Ours, peer: Nautilus, frames: Sequence[Frame], ticks: list[Any]) -> str:
    ours.asking_one(frames)()
    peer.ready_made(ticks)()
    mine, theirs = +ours.answers, +peer.answers
    if mine != theirs:
        raise AnswersDiffer(f"ours said {dict(mine)}, {peer.name} {dict(theirs)}")
    said = ", ".join(f"{outcome} {number:,}" for outcome, number in sorted(mine.items()))
    return f"answers equal: on these trades the guard says {said}, in both"
