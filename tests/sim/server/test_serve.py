"""The exchange as its process serves it: where it listens, and what becomes of it when something fails."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator

import pytest
from msgspec import structs

from bot.domain.errors import ConfigError
from bot.domain.values import MS
from bot.sim.events import Event
from bot.sim.market_model import SyntheticMarket
from bot.sim.server import serve
from bot.sim.server.market import TRADES_BEFORE
from bot.sim.server.serve import serving
from tests.sim.server.benches import START_MS, bench, scenario

ORIGIN_NS = (START_MS + 1000) * MS


class Failing(SyntheticMarket):
    """A market that fails after its second second."""

    def events(self) -> Iterator[Event]:
        for event in super().events():
            if event.ms > START_MS + 2000:
                raise RuntimeError("the market is broken")
            yield event


async def test_a_market_that_fails_ends_the_exchange_and_says_why() -> None:
    model = Failing(scenario(1), TRADES_BEFORE)
    async with asyncio.timeout(10):
        with pytest.raises(RuntimeError, match="the market is broken"):
            async with serving(scenario(1), origin_ns=ORIGIN_NS, speed=100, model=model):
                await asyncio.Event().wait()


async def test_the_end_of_a_market_is_told_and_the_exchange_goes_on() -> None:
    over, short = asyncio.Event(), structs.replace(scenario(1), seconds=3)
    async with asyncio.timeout(10), serving(short, origin_ns=ORIGIN_NS, speed=100, over=over.set) as (host, port):
        await over.wait()
        with socket.create_connection((host, port)):
            pass


async def test_a_market_that_does_not_keep_up_says_so_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "LATE_S", 0.05)
    behind_ms: list[int] = []
    over, short = asyncio.Event(), structs.replace(scenario(5), seconds=120)
    async with (
        asyncio.timeout(30),
        serving(short, origin_ns=ORIGIN_NS, speed=1000, over=over.set, late=behind_ms.append),
    ):
        await over.wait()
    assert len(behind_ms) == 1 and behind_ms[0] > 1000
    behind_ms.clear()
    over.clear()
    async with (
        asyncio.timeout(30),
        serving(
            structs.replace(scenario(1), seconds=5), origin_ns=ORIGIN_NS, speed=10, over=over.set, late=behind_ms.append
        ),
    ):
        await over.wait()
    assert behind_ms == []


async def test_where_it_cannot_listen_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"127.0.0.1:{port}.*--port 0"):
            async with serving(scenario(1), origin_ns=ORIGIN_NS, port=port):
                raise AssertionError("it listens where another program does")


async def test_a_client_that_leaves_before_it_is_answered_leaves_no_trace(caplog: pytest.LogCaptureFixture) -> None:
    asked = (
        b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    async with bench(symbols=1) as its:
        host, port = its.url.removeprefix("http://").split(":")
        for _ in range(20):
            with socket.create_connection((host, int(port))) as client:
                client.sendall(asked)
        await its.get("/fapi/v1/ping")
        for _ in range(200):
            await asyncio.sleep(0)
        assert not its.exchange.sockets.clients
    assert not caplog.records
