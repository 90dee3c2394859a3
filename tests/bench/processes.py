"""What starting costs: processes of their own, timed and weighed from outside.

To be measured first, from a process that is still small: what a child is said to have needed at most is never less than
what its parent held when it started the child. Python's compiled files are kept, in a folder of this run's, and each
program runs once before it is timed: compiling is not what starting costs every day.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import urlsplit

from tests.bench.measure import Row, against, alone, at_most, skipped

_BYTECODE = tempfile.TemporaryDirectory()
_OWN = ("BOT_", "PYTHONDONTWRITEBYTECODE")
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith(_OWN)}
ENVIRONMENT |= {"PYTHONPATH": str(Path(__file__).resolve().parents[2]), "PYTHONPYCACHEPREFIX": _BYTECODE.name}
ENVIRONMENT |= {"BOT_API__PORT": "0"}
TIMEOUT_S = 60.0
POLL_S = 0.002

RUN = ("run", "--demo", "--json", "--speed", "10000", "--data-dir", "data")
IMPORT_OURS = "import bot.cli.app, bot.app.run, uvloop"  # what `run` has loaded when it begins to play
IMPORT_PEER = "import ccxt.pro"
RUN_AND_TELL = f"""
import runpy, sys
sys.argv = ["bot", *{RUN!r}]
try:
    runpy.run_module("bot", run_name="__main__", alter_sys=True)
finally:
    print("\\nccxt loaded:", "ccxt" in sys.modules)
"""


class PeerLoaded(Exception):
    """ccxt takes a second and 100 MB: nothing that a paper run loads may import it."""


@dataclass(frozen=True, slots=True)
class _Ended:
    code: int
    output: str
    cpu_s: float
    rss_mb: float


def measure(rounds: int) -> tuple[list[Row], list[str]]:
    checks = [_without_ccxt()]
    first_s, rss_mb = zip(*(_paper_run() for _ in range(rounds)), strict=True)
    started = at_most("start to first frame of a paper run (wall)", (median(first_s),), "s", (1.5,))
    return [started, at_most("paper run, most memory", (median(rss_mb),), "MB", (120.0,)), *_imports(rounds)], checks


@contextmanager
def empty_folder() -> Iterator[Path]:
    """Where no settings file lies."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def peak_mb(*arguments: str) -> float:
    """The most memory that Python needs for this, in an empty folder."""
    ended = _python(*arguments)
    if ended.code:
        raise ChildProcessError(f"{' '.join(arguments)} ended with exit code {ended.code}: {ended.output[-500:]}")
    return ended.rss_mb


def _imports(rounds: int) -> list[Row]:
    ours, peers = [], []
    _python("-c", IMPORT_PEER)
    for _ in range(rounds):
        ours.append(_python("-c", IMPORT_OURS))
        peers.append(_python("-c", IMPORT_PEER))
    rows = []
    for what, unit, factor in (("cpu_s", "ms", 1000), ("rss_mb", "MB", 1)):
        name = f"G13 import of the paper entry point, {'CPU' if unit == 'ms' else 'memory'}"
        mine, theirs = (median(getattr(each, what) for each in ended) * factor for ended in (ours, peers))
        if any(peer.code for peer in peers):
            rows.append(skipped(name, alone(mine, unit), "ccxt not installed: skipped", 2))
        else:
            rows.append(against(name, mine, theirs, "ccxt.pro", unit, 2))
    return rows


def _without_ccxt() -> str:
    ended = _python("-c", RUN_AND_TELL)
    if ended.code or "ccxt loaded: False" not in ended.output:
        raise PeerLoaded(f"a paper run ended with {ended.code} and said: {ended.output[-500:]}")
    return "ccxt is not among the modules that a paper run loads"


def _python(*arguments: str) -> _Ended:
    with empty_folder() as folder:
        return _ended(_start(folder, *arguments))


def _paper_run() -> tuple[float, float]:
    """Seconds until it has taken its first frame, and MB it needed at most until its end."""
    with empty_folder() as folder:
        started = time.perf_counter()
        process = _start(folder, "-m", "bot", *RUN)
        try:
            first_s = _first_frame(folder / "data", started) - started
        except TimeoutError:
            process.kill()
            raise ChildProcessError(f"no frame within {TIMEOUT_S:g} s: {_ended(process).output[-500:]}") from None
        ended = _ended(process)
    if ended.code:
        raise ChildProcessError(f"a paper run ended with exit code {ended.code}: {ended.output[-500:]}")
    return first_s, ended.rss_mb


def _first_frame(data_dir: Path, started: float) -> float:
    """When its API first tells of a frame."""
    while time.perf_counter() - started < TIMEOUT_S:
        status = _status(data_dir)
        if status is not None and status["frames"]:
            return time.perf_counter()
        time.sleep(POLL_S)
    raise TimeoutError


def _status(data_dir: Path) -> Any:
    try:
        url = urlsplit(json.loads((data_dir / "lock").read_bytes())["api"])
        connection = HTTPConnection(str(url.hostname), url.port, timeout=5)
        connection.request("GET", "/api/status")
        return json.loads(connection.getresponse().read())
    except (OSError, ValueError):  # not there, half written, or not listening yet
        return None


def _start(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, *arguments], cwd=folder, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def _ended(process: subprocess.Popen[bytes]) -> _Ended:
    """Waits for it, and tells what it alone has used."""
    assert process.stdout is not None
    with process.stdout:
        output = process.stdout.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    per_mb = 2**20 if sys.platform == "darwin" else 2**10
    return _Ended(process.returncode, output, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / per_mb)
