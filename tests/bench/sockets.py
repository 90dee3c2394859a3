"""From a websocket to the finished book: a server and a client, each a process of its own, on loopback.

`websockets` or `picows` for the driver: picows hands a message over for less than a microsecond less where many come at once (the whole
mix flat out 4.6 instead of 5.2 µs from socket to book, on two shared cores), and for some 20 µs less where each comes alone (31 instead
of 53 µs, most of it waking up). It is not taken: three venues with thirty symbols at the capture's own rates cost the whole engine under
a third of one core, of which picows would save a few points; it delivers from a callback, so that a full lane would have to pause
reading by hand where our driver simply does not read; and it brings compiled packages for a path that works everywhere without. What
makes the difference small is `runtime/bursts.py`. Who needs the rest changes one file, `runtime/websocket.py`.
"""

from __future__ import annotations

import subprocess
import sys
from statistics import median

import msgspec

from tests.bench.capture import DEPTH, MIX
from tests.bench.measure import Row, against, alone, percentile, skipped
from tests.bench.processes import ENVIRONMENT, empty_folder
from tests.bench.receiving import SYMBOLS, VENUES, Received
from tests.bench.served import Plan

GOAL = 3.0
PACED_S = 10.0
TIMEOUT_S = 120.0


class BooksDiffer(Exception):
    """Two ways did not end at the same best prices: comparing their cost would mean nothing."""


class _Run(msgspec.Struct):
    received: Received
    sent: list[list[int]]

    @property
    def each_us(self) -> float:
        return self.received.cpu_s * 1e6 / self.received.messages

    @property
    def share_pct(self) -> float:
        return 100 * self.received.cpu_s / self.received.wall_s

    def ages_ms(self) -> list[float]:
        """From the server's sending to what it changed, message by message."""
        pairs = zip(self.sent, self.received.stamps, strict=True)
        return [(took - sent) / 1e6 for each in pairs for sent, took in zip(*each, strict=True)]


def measure(rounds: int) -> list[Row]:
    """Ways take turns in every round."""
    return [*_beside_ccxt(rounds), *_beside_picows(rounds), *_many()]


def _beside_ccxt(rounds: int) -> list[Row]:
    name = "bytes through a socket to the book, flat out"
    ours, theirs = list[_Run](), list[_Run]()
    for _ in range(rounds):
        ours.append(_run("book", Plan(kind=DEPTH, paced=False)))
        try:
            theirs.append(_run("ccxt", Plan(kind=DEPTH, paced=False, snapshots=False)))
        except ChildProcessError as error:
            return [
                skipped(name, alone(_each(ours), "µs"), f"ccxt.pro cannot be run ({str(error)[-60:]}): skipped", GOAL)
            ]
    if {run.received.best for run in ours} != {run.received.best for run in theirs}:
        raise BooksDiffer(f"{ours[0].received.best} and {theirs[0].received.best}")
    return [against(name, _each(ours), _each(theirs), "watch_order_book", "µs", GOAL)]


def _beside_picows(rounds: int) -> list[Row]:
    rows = []
    for name, plan in (
        ("whole mix through a socket, flat out", Plan(kind=MIX, paced=False)),
        ("whole mix at its own rate", Plan(kind=MIX, seconds=PACED_S)),
    ):
        runs: dict[str, list[_Run]] = {"websockets": [], "picows": []}
        missing = ""
        for _ in range(rounds):
            for way in runs if not missing else ("websockets",):
                try:
                    runs[way].append(_run(way, plan))
                except ChildProcessError as error:
                    if way == "websockets":
                        raise
                    missing = f"picows cannot be run ({str(error)[-60:]}): skipped"
        ours = _each(runs["websockets"])
        if missing:
            rows.append(skipped(name, alone(ours, "µs"), missing))
            continue
        rows.append(against(name, ours, _each(runs["picows"]), "picows", "µs"))
        if plan.paced:
            rows += [_ages(f"  age of a message, {way}", of_way) for way, of_way in runs.items()]
    return rows


def _many() -> list[Row]:
    """Ten symbols on each of three venues, each in its own form, the whole engine with every guard, on one core."""
    plan = Plan(symbols=(SYMBOLS,) * len(VENUES), forms=("binance", "bybit", "okx"), seconds=PACED_S)
    run = _run("engine", plan, connections=len(VENUES))
    per_s = run.received.messages / run.received.wall_s
    name = f"{len(VENUES)} venues x {len(SYMBOLS)} symbols, {per_s:,.0f} messages a second"
    return [
        Row(f"{name}: share of one core", alone(run.share_pct, "%")),
        _ages("  age, sent to applied by the engine", [run]),
    ]


def _ages(name: str, runs: list[_Run]) -> Row:
    ages = [run.ages_ms() for run in runs]
    figures = (median(percentile(each, share) for each in ages) for share in (0.5, 0.99))
    return Row(f"{name}, p50 / p99", " / ".join(f"{figure:.2f}" for figure in figures) + " ms")


def _each(runs: list[_Run]) -> float:
    return median(run.each_us for run in runs)


def _run(way: str, plan: Plan, connections: int = 1) -> _Run:
    with empty_folder() as folder:
        told = folder / "received.json"
        asked = msgspec.json.encode(plan).decode()
        server = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.served", asked],
            cwd=folder,
            env=ENVIRONMENT,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert server.stdout is not None
        with server.stdout:
            try:
                port = server.stdout.readline().strip()
                client = subprocess.run(
                    [sys.executable, "-m", "tests.bench.receiving", way, port, str(connections), str(told)],
                    cwd=folder,
                    env=ENVIRONMENT,
                    capture_output=True,
                    timeout=TIMEOUT_S,
                )
                if client.returncode:
                    raise ChildProcessError(client.stderr.decode()[-500:])
                received = msgspec.json.decode(told.read_bytes(), type=Received)
                return _Run(received, msgspec.json.decode(server.stdout.read(), type=list[list[int]]))
            finally:
                server.kill()
                server.wait()
