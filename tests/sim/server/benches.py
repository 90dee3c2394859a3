"""The exchange's servers over a market that a test moves on by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import aiohttp
import orjson
from aiohttp import web
from msgspec import structs

from bot.domain.values import MS
from bot.runtime.clock import ScaledClock
from bot.sim.events import Event
from bot.sim.exchange.account import AccountSpec
from bot.sim.presets import preset
from bot.sim.scenario import Scenario
from bot.sim.server.app import EXCHANGE, Exchange, make_app
from bot.sim.server.faults import Faults
from bot.sim.server.limits import Limits
from bot.sim.server.market import SimMarket
from bot.sim.server.serve import play
from tests.servers.listening import listening

START_MS = 1_760_054_400_000


def scenario(symbols: int = 2, seed: int = 5, name: str = "demo") -> Scenario:
    made = preset(name, seed=seed, symbols=symbols)
    made = structs.replace(made, history=structs.replace(made.history, seconds=3600))
    return structs.replace(made, start_ns=START_MS * MS, depth_ms=100, quotes=True, mark_s=1, seconds=10**7)


class Bench:
    """`move` lets time pass; `events` are all that happened."""

    def __init__(self, market: SimMarket, exchange: Exchange, url: str, session: aiohttp.ClientSession) -> None:
        self.market, self.exchange, self.url, self.session = market, exchange, url, session

    @property
    def ws(self) -> str:
        return self.url.replace("http", "ws", 1)

    def move(self, seconds: float) -> None:
        CLOCK[0] += round(seconds * 1000)
        self.market.advance(CLOCK[0])

    async def ask(self, path: str, **query: Any) -> tuple[int, Any, Mapping[str, str]]:
        async with self.session.get(self.url + path, params={k: str(v) for k, v in query.items()}) as response:
            return response.status, orjson.loads(await response.read()), response.headers

    async def get(self, path: str, **query: Any) -> Any:
        status, body, _ = await self.ask(path, **query)
        assert status == 200, body
        return body

    async def raw(self, path: str, **query: Any) -> bytes:
        async with self.session.get(self.url + path, params={k: str(v) for k, v in query.items()}) as response:
            assert response.status == 200
            return await response.read()


CLOCK = [START_MS]
ACCOUNTS = [AccountSpec.made(number, 5, Decimal(100_000)) for number in (1, 2)]


@asynccontextmanager
async def bench(
    symbols: int = 2,
    seed: int = 5,
    seconds: float = 65.0,
    per_minute: int = 10**9,
    events: list[Event] | None = None,
    faults: Faults | None = None,
) -> AsyncIterator[Bench]:
    """After so many seconds of its market."""
    CLOCK[0] = START_MS
    market = SimMarket(scenario(symbols, seed), lambda: CLOCK[0] * MS)
    app = make_app(market, Limits(per_minute), ACCOUNTS, faults)
    if events is not None:
        market.listeners.append(events.append)
    async with listening(app) as url, aiohttp.ClientSession() as session:
        made = Bench(market, app[EXCHANGE], url, session)
        made.move(seconds)
        yield made


@asynccontextmanager
async def live(
    symbols: int = 2, seed: int = 5, now_ns: Callable[[], int] | None = None, faults: Faults | None = None
) -> AsyncIterator[tuple[Exchange, web.Application]]:
    """A market whose clock runs by itself, as fast as the wall's or as `now_ns`; to be served by whoever asks."""
    clock = now_ns or ScaledClock((START_MS + 65_000) * MS, 1.0).now_ns
    start_ms = clock() // MS - 60_000
    made = structs.replace(scenario(symbols, seed), start_ns=(start_ms - start_ms % 300_000) * MS)
    market = SimMarket(made, clock)
    app = make_app(market, Limits(10**9), ACCOUNTS, faults)
    market.advance(market.now_ms())
    player = asyncio.create_task(play(market))
    try:
        yield app[EXCHANGE], app
    finally:
        player.cancel()
        await asyncio.gather(player, return_exceptions=True)
