"""Runs the exchange: the market advances as its clock does, and the application listens on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

from aiohttp import web

from bot.domain.errors import ConfigError
from bot.domain.values import MS
from bot.runtime.clock import ScaledClock
from bot.runtime.supervisor import first_of
from bot.sim.exchange.account import AccountSpec
from bot.sim.scenario import Scenario
from bot.sim.server.app import make_app
from bot.sim.server.faults import Faults
from bot.sim.server.market import Model, SimMarket

TICK_S = 0.005
AT_ONCE = 2_000  # events between two looks at the sockets
LATE_S = 10.0  # with no pause between events: the market does not keep up with its clock


async def play(
    market: SimMarket, over: Callable[[], None] = lambda: None, late: Callable[[int], None] = lambda ms: None
) -> None:
    """Until the scenario ends: then `over` is called. `late` is told, once, by how much a market is late that does not keep up."""
    now_s = asyncio.get_running_loop().time
    idle_s = now_s()
    while not market.ended:
        more = market.advance(market.now_ms(), AT_ONCE)
        if not more:
            idle_s = now_s()
        elif now_s() - idle_s > LATE_S:
            late(market.now_ms() - market.at_ms)
            idle_s = math.inf
        await asyncio.sleep(0 if more else TICK_S)
    over()


class _Door:
    """The listening socket, which a fault shuts: then connections are refused, and those that are there go on."""

    def __init__(self, runner: web.AppRunner, host: str, port: int) -> None:
        self._runner, self._host, self._port = runner, host, port
        self._last: asyncio.Task[None] | None = None

    def shut(self) -> None:
        self._then(self._shut)

    def open(self) -> None:
        self._then(self._open)

    def _then(self, act: Callable[[], Awaitable[None]]) -> None:
        self._last = asyncio.create_task(self._after(self._last, act), name="door")

    async def _after(self, last: asyncio.Task[None] | None, act: Callable[[], Awaitable[None]]) -> None:
        if last is not None:
            await asyncio.wait([last])
        await act()

    async def _shut(self) -> None:
        for site in list(self._runner.sites):
            await site.stop()

    async def _open(self) -> None:
        if not self._runner.sites:
            await web.TCPSite(self._runner, self._host, self._port, reuse_address=True).start()


async def _listen(runner: web.AppRunner, host: str, port: int) -> None:
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        raise ConfigError(
            f"the exchange cannot listen on {host}:{port} ({error.strerror}); --port 0 takes any free one"
        ) from None


@contextlib.asynccontextmanager
async def serving(
    scenario: Scenario,
    *,
    origin_ns: int,
    speed: float = 1.0,
    host: str = "127.0.0.1",
    port: int = 0,
    accounts: Iterable[AccountSpec] = (),
    faults: Faults | None = None,
    model: Model | None = None,
    over: Callable[[], None] = lambda: None,
    late: Callable[[int], None] = lambda ms: None,
) -> AsyncIterator[tuple[str, int]]:
    """The host and port it listens on. What happened between the scenario's start and `origin_ns` has happened by then; from then on
    its clock runs `speed` times as fast as the wall. What fails in the market ends the block; for `over` and `late` see `play`. Raises ConfigError when it cannot listen."""
    clock: ScaledClock | None = None
    market = SimMarket(scenario, lambda: origin_ns if clock is None else clock.now_ns(), model)
    app = make_app(market, accounts=accounts, faults=faults)
    market.advance(origin_ns // MS)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    try:
        await _listen(runner, host, port)
        address = runner.addresses[0]
        if faults is not None:
            faults.door = _Door(runner, host, address[1])
        clock = ScaledClock(origin_ns, speed)
        async with asyncio.TaskGroup() as group:
            player = group.create_task(play(market, over, late), name="market")
            yield address[0], address[1]
            player.cancel()
    except BaseExceptionGroup as failures:
        raise first_of(failures) from None
    finally:
        await runner.cleanup()
