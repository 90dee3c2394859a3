"""How fast a recording is replayed: `replay` in this process, and `python -m bot replay` from start to end."""

from __future__ import annotations

import subprocess
import sys
from statistics import median
from time import perf_counter

from bot.app.replaying import replay
from bot.app.settings import load_settings
from bot.demo import DEMO_SETTINGS
from bot.domain.values import NS
from tests.bench.capture import MIX, Capture
from tests.bench.measure import Row, alone, at_least
from tests.bench.processes import ENVIRONMENT, empty_folder

GOAL = 250.0


def measure(capture: Capture, rounds: int) -> list[Row]:
    frames = capture.by_kind[MIX]
    market_s = (frames[-1].recv_ns - frames[0].recv_ns) / NS
    here_s, whole_s = list[float](), list[float]()
    settings = load_settings(files=[DEMO_SETTINGS], env={})
    for _ in range(rounds):
        started = perf_counter()
        replay(settings)
        here_s.append(perf_counter() - started)
        whole_s.append(_process_s())
    return [
        at_least("replay, demonstration settings", market_s / median(here_s), "x real time", GOAL),
        Row("replay, messages a second", alone(len(frames) / median(here_s), "/s")),
        Row("replay, the whole process from start to end", alone(median(whole_s), "s")),
    ]


def _process_s() -> float:
    with empty_folder() as folder:
        started = perf_counter()
        command = [sys.executable, "-m", "bot", "replay", "--demo", "--json"]
        subprocess.run(command, cwd=folder, env=ENVIRONMENT, stdout=subprocess.DEVNULL, check=True)
        return perf_counter() - started
