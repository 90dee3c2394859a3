"""What open cockpit pages cost: a running engine, and a server with the cockpit alone over sections of real size; pages in this process.

The engine plays the same seconds of the bundled recording with pages and without; what it then used more, copying its state included,
is theirs. What needs stamps or looks inside is measured on the cockpit alone:

`python -m tests.bench.cockpit` is the server: it prints its port, serves until a line is asked of it, and then answers with what it used.
Status, health and readings change at every look, the rest stands still, as it does between two trades. Pages that are stuck
connect and never read. The age of a frame is from the look, in the server's loop, to the page's socket.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from time import monotonic_ns, process_time
from typing import Any

import uvloop
from aiohttp import ClientSession, web

from bot.api import cockpit
from bot.api.access import Access
from bot.api.cockpit import Cockpit
from bot.api.sections import Section, Whole
from bot.domain.values import NS
from tests.api import page_world
from tests.bench.measure import Row, alone, at_most, percentile
from tests.bench.processes import empty_folder
from tests.e2e.running import START_NS, Engine, until

PAGES = (1, 5, 50)
STUCK = 5
SECONDS = 8.0
CPU_GOAL_PCT, AGE_GOAL_MS, LAG_GOAL_MS, GROWTH_GOAL_MB = 0.5, 60.0, 1.0, 10.0
EVERY_S = 0.01  # a look at how late the loop is
SCHEDSTAT = Path("/proc/self/schedstat").exists()
MEASURED = ("status", "health", "readings")


def measure(seconds: float = SECONDS) -> list[Row]:
    """The pages take turns with a server that nobody watches, whose cost and lateness are subtracted."""
    return asyncio.run(_measure(seconds))


async def _measure(seconds: float) -> list[Row]:
    rows = [await _engine_row(seconds)] if SCHEDSTAT else []
    alone_told, _ = await _watched(0, 0, seconds)
    for pages in PAGES:
        told, ages_ms = await _watched(pages, 0, seconds)
        cpu_pct = 100 * (told["cpu_s"] - alone_told["cpu_s"]) / seconds
        name = f"cockpit, {pages} pages, 4 frames/s"
        rows.append(Row(f"{name}, CPU of the cockpit alone", alone(cpu_pct, "% of a core")))
        p50, p95 = percentile(ages_ms, 0.5), percentile(ages_ms, 0.95)
        if pages == 50:
            rows.append(Row(f"{name}, look to frame p50 / p95", f"{p50:.2f} / {p95:.2f} ms"))
        else:
            rows.append(at_most(f"{name}, look to frame p50 / p95", (p50, p95), "ms", (AGE_GOAL_MS, AGE_GOAL_MS)))
    told, _ = await _watched(PAGES[-1] - STUCK, STUCK, seconds)
    later_ms = max(0.0, told["lag_p99_ms"] - alone_told["lag_p99_ms"])
    what = f"cockpit, {PAGES[-1]} pages of which {STUCK} never read"
    rows.append(at_most(f"{what}, loop lag p99, more than without", (later_ms,), "ms", (LAG_GOAL_MS,)))
    rows.append(at_most(f"{what}, memory from half-time to the end", (told["growth_mb"],), "MB", (GROWTH_GOAL_MB,)))
    return rows


async def _engine_row(seconds: float) -> Row:
    """Each twice, in turns."""
    with empty_folder() as folder:
        used = [await _engine_pct(folder / f"{turn}-{pages}", pages, seconds) for turn in range(2) for pages in (0, 5)]
    more_pct = (used[1] - used[0] + used[3] - used[2]) / 2
    return at_most(
        "cockpit, 5 pages on a running engine, CPU more than without", (more_pct,), "% of a core", (CPU_GOAL_PCT,)
    )


async def _engine_pct(folder: Path, pages: int, seconds: float) -> float:
    """Of a core, from the tenth second of the recording on."""
    with Engine(folder / "data", "--speed", 1, BOT_STRATEGIES="") as engine:
        async with ClientSession() as http:
            url, headers = f"{engine.url}/ws", {"Origin": engine.url}
            sockets = [await http.ws_connect(url, headers=headers, max_msg_size=2**26) for _ in range(pages)]
            reading = [asyncio.create_task(_drain(socket)) for socket in sockets]
            there = lambda: engine.get("/api/status")["engine_time_ns"] >= START_NS + 10 * NS  # noqa: E731
            await asyncio.to_thread(until, there, "the tenth second")
            before_s = _cpu_s(engine.process.pid)
            await asyncio.sleep(seconds)
            used_s = _cpu_s(engine.process.pid) - before_s
            for task in reading:
                task.cancel()
            await asyncio.gather(*reading, return_exceptions=True)
    return 100 * used_s / seconds


async def _drain(socket: Any) -> None:
    async for _ in socket:
        pass


def _cpu_s(pid: int) -> float:
    """Of all its threads."""
    return sum(int(each.read_text().split()[0]) for each in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


async def _watched(pages: int, stuck: int, seconds: float) -> tuple[dict[str, float], list[float]]:
    """What the server used in the given time, and how old every frame was, in ms."""
    pipe = asyncio.subprocess.PIPE
    server = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.bench.cockpit", str(seconds), stdin=pipe, stdout=pipe
    )
    assert server.stdin is not None and server.stdout is not None
    port, ages_ms = int(await server.stdout.readline()), list[float]()
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(ClientSession())
        url = f"http://127.0.0.1:{port}"
        sockets = [await http.ws_connect(f"{url}/ws", headers={"Origin": url}) for _ in range(pages)]
        for _ in range(stuck):
            _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
            writer.write(_HELLO.format(port=port).encode())
            stack.callback(writer.close)
        reading = [asyncio.create_task(_read(socket, ages_ms)) for socket in sockets]
        await asyncio.sleep(1.0)
        ages_ms.clear()  # what came while pages were opened is not what is measured
        server.stdin.write(b"\n")
        told: dict[str, float] = json.loads(await server.stdout.readline())
        for task in reading:
            task.cancel()
        await asyncio.gather(*reading, return_exceptions=True)
        server.stdin.close()
        await server.wait()
    return told, ages_ms


_HELLO = (
    "GET /ws HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nOrigin: http://127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
    "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


async def _read(socket: Any, ages_ms: list[float]) -> None:
    async for message in socket:
        came_ns = monotonic_ns()
        ages_ms.append((came_ns - json.loads(message.data)["engine_ns"]) / 1e6)


async def _serve(seconds: float) -> None:
    cockpit.CLIENTS = max(PAGES)
    access = Access("token", actions=False)
    made = Cockpit(_sections(), _inspect, lambda: (monotonic_ns(), {"book": 0.1}), lambda: None, access)
    app = web.Application()
    app.add_routes(made.routes())
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    ticking = asyncio.create_task(made.run())
    print(runner.addresses[0][1], flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    print(json.dumps(await _used(seconds)), flush=True)
    ticking.cancel()
    os._exit(0)  # its pages are still there


async def _used(seconds: float) -> dict[str, float]:
    loop, late_ms, half_mb = asyncio.get_running_loop(), list[float](), 0.0
    began_s, cpu_s = loop.time(), process_time()
    while loop.time() - began_s < seconds:
        before_s = loop.time()
        await asyncio.sleep(EVERY_S)
        late_ms.append((loop.time() - before_s - EVERY_S) * 1e3)
        half_mb = half_mb or (_peak_mb() if loop.time() - began_s > seconds / 2 else 0.0)
    return {
        "cpu_s": process_time() - cpu_s,
        "lag_p99_ms": percentile(late_ms, 0.99),
        "growth_mb": _peak_mb() - half_mb,
    }


def _peak_mb() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def _sections() -> dict[str, Section]:
    """Those of a fixed snapshot; what moves all the time in an engine carries a number that does."""
    shown = page_world.sections()
    looks = iter(range(10**9))

    def told(name: str, value: Any) -> Whole:
        if name not in MEASURED:
            return Whole(lambda: value)
        return Whole(lambda: {**value, "look": next(looks)} if isinstance(value, dict) else [*value, next(looks)])

    return {name: told(name, value) for name, value in shown.items()}


async def _inspect(look: Any) -> None:
    look()


if __name__ == "__main__":
    uvloop.run(_serve(float(sys.argv[1])))
