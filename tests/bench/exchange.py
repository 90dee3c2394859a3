"""What the embedded exchange sustains: orders, their round trip, and market messages to many sockets; and its memory.

`python -m tests.bench.exchange` prints it. The exchange is a process of its own on loopback, as `python -m bot sim` starts it. Each order is a
signed market order that fills and is told on a user stream; accounts take turns, because the exchange holds each to the venue's 300 in
ten seconds. Clients share the machine with it, so on two cores the figures are what both can do together.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import cycle
from pathlib import Path
from typing import Any

import aiohttp
import uvloop

from tests.bench.measure import Row, alone, percentile, render
from tests.bench.processes import ENVIRONMENT

ROUND_TRIPS, WORKERS, SECONDS, SOCKETS, SPEED = 1_000, 16, 6.0, 20, 20
ACCOUNTS, PER_ACCOUNT = 300, 250
STREAMS = ("depth@100ms", "aggTrade", "markPrice@1s", "bookTicker", "kline_1m")
Account = dict[str, str]


def measure() -> list[Row]:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_orders()) + runner.run(_market())


async def _orders() -> list[Row]:
    async with (
        _exchange("--symbols", 2, "--accounts", ACCOUNTS) as (process, address),
        aiohttp.ClientSession() as session,
    ):
        accounts, url = address["accounts"], address["rest_url"]
        answered, told = await _round_trips(session, url, address["ws_url"], accounts[:10])
        before_mb = _rss_mb(process)
        turns, until_s, done = cycle(accounts[10:]), time.perf_counter() + SECONDS, 0
        counts = {each["api_key"]: 0 for each in accounts}

        async def work() -> None:
            nonlocal done
            while time.perf_counter() < until_s:
                account = next(turns)
                counts[account["api_key"]] += 1
                if counts[account["api_key"]] <= PER_ACCOUNT:
                    await _order(session, url, account, "BUY" if counts[account["api_key"]] % 2 else "SELL")
                    done += 1

        started_s, cpu_s = time.perf_counter(), _cpu_s(process)
        await asyncio.gather(*(work() for _ in range(WORKERS)))
        took_s = time.perf_counter() - started_s
        grown_mb = _rss_mb(process) - before_mb
        each_us = (_cpu_s(process) - cpu_s) / done * 1e6
    trip = f"{percentile(answered, 0.5):.2f} / {percentile(answered, 0.99):.2f} ms"
    stream = f"{percentile(told, 0.5):.2f} / {percentile(told, 0.99):.2f} ms"
    what = f"embedded exchange, {WORKERS} clients at once"
    return [
        Row("embedded exchange, order to its answer, p50 / p99", trip),
        Row("embedded exchange, order to its fill on the user stream, p50 / p99", stream),
        Row(f"{what}: filled orders", alone(done / took_s, "/s")),
        Row(f"{what}: its CPU", alone(each_us, "µs an order")),
        Row(f"{what}: memory grown by {done:,} orders", alone(grown_mb, "MB")),
    ]


async def _round_trips(
    session: aiohttp.ClientSession, url: str, ws_url: str, accounts: list[Account]
) -> tuple[list[float], list[float]]:
    """Milliseconds until the answer, and until the fill is told, of one order after the other."""
    answered, told = [], []
    for account in accounts:
        headers = {"X-MBX-APIKEY": account["api_key"]}
        async with session.post(f"{url}/fapi/v1/listenKey", headers=headers) as answer:
            key = (await answer.json())["listenKey"]
        async with session.ws_connect(f"{ws_url}/ws/{key}") as socket:
            for number in range(ROUND_TRIPS // len(accounts)):
                started_s = time.perf_counter()
                sent = asyncio.create_task(_order(session, url, account, "SELL" if number % 2 else "BUY"))
                while json.loads((await socket.receive()).data).get("o", {}).get("X") != "FILLED":
                    pass
                told.append((time.perf_counter() - started_s) * 1000)
                answered.append(await sent * 1000)
    return answered, told


async def _order(session: aiohttp.ClientSession, url: str, account: Account, side: str) -> float:
    """Seconds until it was answered."""
    text = f"symbol=BTCUSDT&side={side}&type=MARKET&quantity=0.001&timestamp={time.time_ns() // 1_000_000}"
    signature = hmac.new(account["api_secret"].encode(), text.encode(), hashlib.sha256).hexdigest()
    started_s = time.perf_counter()
    async with session.post(
        f"{url}/fapi/v1/order",
        data=f"{text}&signature={signature}".encode(),
        headers={"X-MBX-APIKEY": account["api_key"], "Content-Type": "application/x-www-form-urlencoded"},
    ) as answer:
        body = await answer.read()
        if answer.status != 200:
            raise ChildProcessError(f"an order was refused: {body!r}")
    return time.perf_counter() - started_s


async def _market() -> list[Row]:
    async with _exchange("--symbols", 5, "--speed", SPEED) as (process, address), aiohttp.ClientSession() as session:
        names = [f"{symbol.lower()}@{stream}" for symbol in address["symbols"] for stream in STREAMS]
        got = 0

        async def listen() -> None:
            nonlocal got
            async with session.ws_connect(
                f"{address['ws_url']}/stream?streams={'/'.join(names)}", max_msg_size=0
            ) as socket:
                async for _ in socket:
                    got += 1

        tasks = [asyncio.create_task(listen()) for _ in range(SOCKETS)]
        await asyncio.sleep(1.0)  # until all are there
        before, cpu_s, started_s = got, _cpu_s(process), time.perf_counter()
        await asyncio.sleep(SECONDS)
        took_s = time.perf_counter() - started_s
        rate, share = (got - before) / took_s, (_cpu_s(process) - cpu_s) / took_s * 100
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    what = f"embedded exchange, 5 symbols at {SPEED}x, {SOCKETS} sockets with all streams"
    return [
        Row(f"{what}: messages sent", alone(rate, "/s")),
        Row(f"{what}: its CPU", alone(share, "% of a core"), goal="≤ 100 % of a core", met=share <= 100),
    ]


@asynccontextmanager
async def _exchange(*options: object) -> AsyncIterator[tuple[subprocess.Popen[bytes], Any]]:
    """The process, and what it says of itself."""
    command = [sys.executable, "-m", "bot", "sim", "--port", "0", "--json", *(str(each) for each in options)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=ENVIRONMENT)  # noqa: ASYNC220 (nothing else runs yet)
    try:
        assert process.stdout is not None
        yield process, json.loads(await asyncio.to_thread(process.stdout.readline))
    finally:
        process.terminate()
        process.wait(10)


def _cpu_s(process: subprocess.Popen[bytes]) -> float:
    """User and system time (proc(5), in clock ticks)."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def _rss_mb(process: subprocess.Popen[bytes]) -> float:
    (line,) = [
        each for each in Path(f"/proc/{process.pid}/status").read_text().splitlines() if each.startswith("VmRSS")
    ]
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    print(render(measure()))
