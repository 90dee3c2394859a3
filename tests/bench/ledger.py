"""The ledger over a million journal events: time and the most memory, in a process of its own that reads them from a file.

`python -m tests.bench.ledger` prints it. Each signal makes eight verdicts and, refused or not, a shadow; three in ten are
repeats without one. Decoding the lines is part of the time, as it is for whoever reads a journal.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import msgspec

from bot.domain.events import Event
from bot.learning.ledger import Ledger
from bot.learning.scores import score
from tests.bench.measure import Row, at_most, render
from tests.bench.processes import empty_folder, peak_mb
from tests.learning.histories import HOUR, History

EVENTS = 1_000_000
GOAL_S, GOAL_MB = 10.0, 500.0
GUARDS = tuple(f"guard_{i}" for i in range(8))
SYMBOLS = tuple(f"C{i}/USDT:USDT" for i in range(10))
STRATEGIES = ("ofi", "trend", "outside")


def measure(events: int = EVENTS) -> list[Row]:
    """To be called from a small process. The file is written before, and not timed."""
    with empty_folder() as folder:
        journal, told = folder / "events.jsonl", folder / "told.json"
        _write(journal, events)
        rss_mb = peak_mb("-m", "tests.bench.ledger", str(journal), str(told))
        spent_s = json.loads(told.read_text())["spent_s"]
    what = f"{events:,} journal events to the ledger and its scores"
    return [
        at_most(f"{what}, wall", (spent_s,), "s", (GOAL_S,)),
        at_most(f"{what}, peak memory", (rss_mb,), "MB", (GOAL_MB,)),
    ]


def _write(path: Path, events: int) -> None:
    encoder, random, history, written = msgspec.json.Encoder(), Random(1), History(GUARDS), 0
    with path.open("wb") as file:
        while written < events:
            add_signal(history, random)
            for event in history.events[: events - written]:
                written += 1
                file.write(encoder.encode(msgspec.structs.replace(event, seq=written)) + b"\n")
            history.events.clear()


def add_signal(history: History, random: Random) -> None:
    by = [guard for guard in GUARDS if random.random() < 0.1]
    abstains = [guard for guard in GUARDS if random.random() < 0.05]
    choice = {"strategy": random.choice(STRATEGIES), "symbol": random.choice(SYMBOLS)}
    signal_id = history.decide(by, abstains, random.choice(("long", "short")), **choice)
    for guard in by:
        history.say(guard.upper(), {"signal_id": signal_id})
    if random.random() < 0.7:
        history.close(history.open(signal_id), random.gauss(0, 1))
    if not by:
        history.close(history.open(signal_id, shadow=False), random.gauss(0, 1))
    history.wait(HOUR // 200)


def _events(path: Path) -> Iterator[Event]:
    decoder = msgspec.json.Decoder(Event)
    with path.open("rb") as file:
        for line in file:
            yield decoder.decode(line)


def _child(journal: Path, told: Path) -> None:
    began = time.perf_counter()
    ledger = Ledger()
    ledger.fold(_events(journal))
    score(ledger)
    score(ledger, by_strategy=True, by_symbol=True)
    told.write_text(json.dumps({"spent_s": time.perf_counter() - began}))


if __name__ == "__main__":
    if len(sys.argv) == 3:
        _child(Path(sys.argv[1]), Path(sys.argv[2]))
    else:
        print(render(measure()))
