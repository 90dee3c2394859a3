"""Engine processes that share one budget, against a loopback server that stamps what arrives.

`python -m tests.budget_processes ENGINES MINUTES SPEED` runs it at length; tests/intel/test_budget_processes.py is a short form.
Each process follows 20 symbols with the real scheduler and the real budget on a clock that runs SPEED times as fast.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from bot.domain.values import NS
from bot.intel.budget import WINDOW_NS, SqliteBudget
from bot.intel.scheduler import Scheduler
from tests.budget_simulation import wants_of

SYMBOLS = 20
PER_MINUTE = 24


class Arrival(NamedTuple):
    at_ns: int  # of the fast clock
    engine: int
    transit_ns: int  # since the budget gave its word


class Outcome(NamedTuple):
    arrivals: list[Arrival]
    length_ns: int
    killed_ns: int | None

    @property
    def used_pct(self) -> float:
        """Of what the budget allows in this time."""
        return 100 * len(self.arrivals) / (PER_MINUTE * self.length_ns / WINDOW_NS)

    @property
    def most_in_60_s(self) -> int:
        times = [arrival.at_ns for arrival in self.arrivals]
        return max(bisect_left(times, at_ns + 60 * NS) - index for index, at_ns in enumerate(times))

    @property
    def least_gap_s(self) -> float:
        """As the server sees it. On a fast clock a machine that is busy for 10 ms takes `speed` times as much from it."""
        return _least_gap_s([arrival.at_ns for arrival in self.arrivals])

    @property
    def least_gap_leaving_s(self) -> float:
        """As the calls left, which is all that a budget can see to."""
        return _least_gap_s(sorted(arrival.at_ns - arrival.transit_ns for arrival in self.arrivals))

    def by_engine(self, since_ns: int = 0) -> Counter[int]:
        return Counter(arrival.engine for arrival in self.arrivals if arrival.at_ns >= since_ns)


def _least_gap_s(times: list[int]) -> float:
    return min(after - before for before, after in pairwise(times)) / NS


def fast_clock(speed: int) -> Callable[[], int]:
    return lambda: time.monotonic_ns() * speed


async def engine(path: Path, port: int, number: int, speed: int) -> None:
    """One process: asks what the scheduler says whenever the budget lets it, until it is killed."""
    now_ns = fast_clock(speed)

    async def sleep(seconds: float) -> None:
        await asyncio.sleep(seconds / speed)

    budget = SqliteBudget(path, "a key", print, per_minute=PER_MINUTE, now_ns=now_ns, sleep=sleep)
    scheduler = Scheduler(wants_of(SYMBOLS, "hobbyist"))
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"ready\n")
    await reader.readline()
    while True:
        if scheduler.next(now_ns()) is None:
            await sleep(0.2)
            continue
        await budget.take()
        want = scheduler.next(now_ns())
        assert want is not None
        scheduler.asked(want.call, now_ns())
        writer.write(b"%d %d\n" % (number, now_ns()))
        await reader.readline()
        scheduler.got(want.call, now_ns(), now_ns())


async def run(engines: int, minutes: float, speed: int, *, kill: bool = False) -> Outcome:
    """`kill`: one of them is killed half-way."""
    arrivals: list[Arrival] = []
    ready, start = asyncio.Semaphore(0), asyncio.Event()
    now_ns = fast_clock(speed)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        ready.release()
        await start.wait()
        writer.write(b"go\n")
        while line := await reader.readline():
            at_ns = now_ns()
            number, left_ns = map(int, line.split())
            arrivals.append(Arrival(at_ns, number, at_ns - left_ns))
            writer.write(b"ok\n")
        writer.close()

    with tempfile.TemporaryDirectory() as folder:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        given = (str(Path(folder) / "budget.sqlite3"), str(port))
        processes = [
            await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tests.budget_processes", "engine", *given, str(number), str(speed)
            )
            for number in range(engines)
        ]
        try:
            for _ in processes:
                await asyncio.wait_for(ready.acquire(), 60)
            start.set()
            start_ns = now_ns()
            await asyncio.sleep(minutes * 30 / speed)
            killed_ns = now_ns() if kill else None
            if kill:
                processes[0].send_signal(signal.SIGKILL)
            await asyncio.sleep(minutes * 30 / speed)
            end_ns = now_ns()
        finally:
            for process in processes:
                if process.returncode is None:
                    process.kill()
                await process.wait()
            server.close()
            await server.wait_closed()
    return Outcome([each for each in arrivals if each.at_ns <= end_ns], end_ns - start_ns, killed_ns)


def main(args: list[str]) -> None:
    if args[:1] == ["engine"]:
        asyncio.run(engine(Path(args[1]), *map(int, args[2:])))
        return
    engines, minutes, speed = map(int, args or ["4", "30", "20"])
    out = asyncio.run(run(engines, minutes, speed, kill=engines > 1))
    transits = sorted(arrival.transit_ns / speed / 1e6 for arrival in out.arrivals)
    print(
        f"{engines} engines, {minutes} min at {speed}x on {os.cpu_count()} cores: {len(out.arrivals)} calls, "
        f"{out.used_pct:.1f} % of the budget, at most {out.most_in_60_s} in 60 s, least gap {out.least_gap_s:.3f} s "
        f"({out.least_gap_leaving_s:.3f} s as they left); "
        f"by engine {dict(sorted(out.by_engine().items()))}; on the way p50 {transits[len(transits) // 2]:.2f} ms, "
        f"most {transits[-1]:.2f} ms"
    )


if __name__ == "__main__":
    main(sys.argv[1:])
