"""`kill -9` at random moments, again and again: `python -m tests.kill_loop [--kills N] [--seed S]`.

A synthetic recording is played once undisturbed, and once by processes that are killed at random times and started again in the same
folder until the recording ends. Fills, closed positions, equity and the journal's chain must be the same as without. Exit code 1 if not.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from random import Random
from typing import Any

from bot.journal.reader import read_events, verify_chain
from bot.journal.schema import FILE

IDS = ("position_id", "client_order_id", "signal_id")  # these name the session


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--hours", type=float, default=6)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        tape = Path(folder) / "tape"
        _bot("record", "synthetic", tape, "--preset", "day", "--seed", asked.seed, "--hours", asked.hours).wait()
        whole = Path(folder) / "whole"
        started = time.monotonic()
        if _run(tape, whole).wait() != 0:
            sys.exit("the undisturbed run failed")
        took_s = time.monotonic() - started
        killed = _kill(tape, Path(folder) / "killed", Random(asked.seed), asked.kills, took_s)
        sys.exit(_compare(whole, Path(folder) / "killed", killed, asked.seed))


def _bot(*command: object) -> subprocess.Popen[bytes]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("BOT_")}
    environment |= {"BOT_API__PORT": "0", "BOT_STRATEGIES": "ofi,trend"}
    return subprocess.Popen(
        [sys.executable, "-m", "bot", *map(str, command)], env=environment, stdout=subprocess.DEVNULL
    )


def _run(tape: Path, data_dir: Path) -> subprocess.Popen[bytes]:
    return _bot("run", "--tape", tape, "--speed", 10_000, "--json", "--data-dir", data_dir)


def _kill(tape: Path, data_dir: Path, chance: Random, kills: int, took_s: float) -> int:
    """How many kills it took; after `kills` of them the last process may finish."""
    done = 0
    while True:
        process = _run(tape, data_dir)
        try:
            limit_s = None if done >= kills else 0.3 + chance.random() * took_s / 2
            if process.wait(limit_s) == 0:
                return done
            sys.exit(f"after {done} kills the engine ended with {process.returncode}")
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            done += 1


def _compare(whole: Path, killed: Path, kills: int, seed: int) -> int:
    count, broken = verify_chain(killed / FILE)
    told = {name: (_stories(whole, name), _stories(killed, name)) for name in ("FILL", "POSITION_CLOSED", "FUNDING")}
    for name, (expected, seen) in told.items():
        print(
            f"{name}: {len(expected)} without kills, {len(seen)} with: {'the same' if expected == seen else 'DIFFERENT'}"
        )
    odd = sum(1 for event in read_events(killed) if event.kind == "DISCREPANCY")
    print(
        f"seed {seed}, {kills} kills, {count} events, chain {'whole' if broken is None else f'broken at {broken}'}, discrepancies {odd}"
    )
    return int(broken is not None or odd > 0 or any(expected != seen for expected, seen in told.values()))


def _stories(data_dir: Path, kind: str) -> list[Any]:
    return [
        (event.ts, json.dumps({key: value for key, value in event.data.items() if key not in IDS}, sort_keys=True))
        for event in read_events(data_dir)
        if event.kind == kind
    ]


if __name__ == "__main__":
    main()
