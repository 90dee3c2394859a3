"""The embedded exchange as settings and commands want it: which scenario, beginning when; and as a process beside the engine.

It runs in a process of its own, so that exchange and engine each have a core: in one loop, each message would be made, sent and read by
the thread that decides.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from fnmatch import fnmatchcase
from pathlib import Path

import msgspec
from msgspec import Struct, structs
from pydantic import SecretStr

from bot.app.connections import SIM
from bot.app.settings import Settings
from bot.domain.errors import ConfigError, VenueError
from bot.domain.values import MS, NS
from bot.runtime.clock import RealClock, ScaledClock
from bot.runtime.tape import Tape
from bot.sim.exchange.account import AccountSpec
from bot.sim.faults import Fault, in_words, load_faults, seeded_faults
from bot.sim.presets import COINS, preset
from bot.sim.scenario import BAR_S, Scenario
from bot.sim.tape_market import TapeMarket
from bot.venues.rest import PublicRest

START_S = 60.0
BEGUN_S = 60  # an engine joins its market when that has been there for a minute
_FOREVER_S = 10 * 365 * 86_400


class Address(Struct, frozen=True, kw_only=True):
    """What a started exchange says of itself, as one line of JSON. REST, CoinGlass and Deribit are at `rest_url`."""

    rest_url: str
    ws_url: str
    preset: str
    seed: int
    speed: float
    symbols: list[str]
    accounts: list[AccountSpec]


@dataclass(frozen=True, slots=True)
class Simulation:
    """What is asked for. `origin_ns`: when the exchange's clock begins to run; its market began at the full five minutes before."""

    preset: str
    seed: int
    symbols: int | None
    speed: float
    origin_ns: int
    host: str = "127.0.0.1"
    port: int = 0
    accounts: int = 0
    equity_usd: Decimal = Decimal(10_000)
    tape: Path | None = None
    """Real data instead of a preset."""
    faults: str = ""
    """A seed or a script file."""

    def scenario(self) -> Scenario:
        """Told as often as the venue does, and without end. Raises ConfigError."""
        made = preset(self.preset, seed=self.seed, symbols=self.symbols)
        start_ns = self.origin_ns - self.origin_ns % (BAR_S * NS)
        return structs.replace(made, start_ns=start_ns, seconds=_FOREVER_S, depth_ms=100, mark_s=1, quotes=True)

    def played(self) -> tuple[Scenario, TapeMarket | None]:
        """Raises ConfigError, TapeError."""
        if self.tape is None:
            return self.scenario(), None
        model = TapeMarket(Tape.open(self.tape), self.origin_ns)
        return model.scenario, model

    def coming_faults(self) -> Iterable[Fault]:
        """Raises ConfigError."""
        if not self.faults:
            return ()
        symbols = [coin.symbol for coin in self.played()[0].coins]
        if self.faults.isascii() and self.faults.isdigit():
            return seeded_faults(int(self.faults), symbols)
        faults = load_faults(Path(self.faults))
        for fault in faults:
            if not any(fnmatchcase(symbol, fault.symbol) for symbol in symbols):
                raise ConfigError(f"fault {in_words(fault)}: there is only {', '.join(symbols)}")
        return faults


async def serve(
    simulation: Simulation,
    told: Callable[[Address], None],
    until: Callable[[], asyncio.Future[None]],
    warn: Callable[[str], None],
) -> None:
    """Run it in this process; `told` is called once it listens, `warn` with each fault that begins and when a tape is over."""
    from bot.sim.server.faults import Faults
    from bot.sim.server.serve import serving

    scenario, model = simulation.played()
    faults = Faults(simulation.coming_faults(), simulation.origin_ns // MS) if simulation.faults else None
    if faults is not None:
        faults.on_begin = lambda fault: warn(f"fault: {in_words(fault)}")
    accounts = [
        AccountSpec.made(number, simulation.seed, simulation.equity_usd) for number in range(1, simulation.accounts + 1)
    ]
    async with serving(
        scenario,
        origin_ns=simulation.origin_ns,
        speed=simulation.speed,
        host=simulation.host,
        port=simulation.port,
        accounts=accounts,
        faults=faults,
        model=model,
        over=lambda: _warn_of_end(model, warn),
        late=lambda ms: warn(
            f"the market is {ms / 1000:.0f} s of its time behind its clock: too much for this machine at {simulation.speed:g} times "
            "real speed; take a lower speed or fewer symbols"
        ),
    ) as (host, port):
        where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        told(
            Address(
                rest_url=f"http://{where}",
                ws_url=f"ws://{where}",
                preset=scenario.name,
                seed=simulation.seed,
                speed=simulation.speed,
                symbols=[coin.symbol for coin in scenario.coins],
                accounts=accounts,
            )
        )
        await until()


def _warn_of_end(model: TapeMarket | None, warn: Callable[[str], None]) -> None:
    for problem in () if model is None else model.tape.problems:
        warn(problem)
    warn("the market is over: the exchange goes on answering, but nothing happens any more")


@contextlib.asynccontextmanager
async def beside(simulation: Simulation) -> AsyncIterator[Address]:
    """A process of its own, which ends with this block, and also when this process dies. Raises VenueError when it does not start, and
    from wherever the block is when it ends before it."""
    process = await asyncio.create_subprocess_exec(
        *_command(simulation),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=sys.platform != "win32",  # Ctrl-C is for the engine, which ends its exchange last
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        try:
            async with asyncio.timeout(START_S):
                line = await process.stdout.readline()
            address = msgspec.json.decode(line, type=Address)
        except (TimeoutError, msgspec.DecodeError):
            raise VenueError("the embedded exchange did not start") from None
        async with _while_it_lives(process):
            yield address
    finally:
        process.stdin.close()
        await _ended(process)


@contextlib.asynccontextmanager
async def _while_it_lives(process: asyncio.subprocess.Process) -> AsyncIterator[None]:
    """Its market cannot come back, so whoever trades on it ends with it. Raises VenueError then."""
    block = asyncio.current_task()
    assert block is not None

    async def watch() -> str:
        code = await process.wait()
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        gone = f"the embedded exchange ended by itself ({how}), and its market with it; what was traded is in the journal. Start again"
        block.cancel(gone)
        return gone

    watching = asyncio.create_task(watch(), name="embedded exchange")
    try:
        yield
    except asyncio.CancelledError:
        if not watching.done():
            raise
        block.uncancel()
        raise VenueError(watching.result()) from None
    finally:
        watching.cancel()


def _command(simulation: Simulation) -> list[str]:
    options = {
        "preset": simulation.preset,
        "seed": simulation.seed,
        "speed": simulation.speed,
        "start": simulation.origin_ns,
        "host": simulation.host,
        "port": simulation.port,
        "accounts": simulation.accounts,
    }
    if simulation.symbols is not None:
        options["symbols"] = simulation.symbols
    given = [part for name, value in options.items() for part in (f"--{name}", str(value))]
    return [sys.executable, "-m", "bot", "sim", *given, "--json", "--with-parent"]


# --- an engine on it ---


@contextlib.asynccontextmanager
async def with_exchange(settings: Settings) -> AsyncIterator[Settings]:
    """The settings with the addresses of an exchange that was started for them, where they ask for it; else as they are."""
    if settings.venue.name != SIM:
        yield settings
        return
    now_ns = RealClock().now_ns()
    origin_ns = now_ns - now_ns % (BAR_S * NS) + BEGUN_S * NS  # the same stretch of the same market at every start
    symbols = _most_needed(settings)
    simulation = Simulation(
        preset=settings.sim.preset,
        seed=settings.sim.seed,
        symbols=symbols,
        speed=settings.venue.speed,
        origin_ns=origin_ns,
    )
    simulation.scenario()
    async with beside(simulation) as address:
        yield _at(settings, address, f"sim-{origin_ns}")


def _most_needed(settings: Settings) -> int | None:
    """How many of the coins there are, so that those traded are among them; None: the preset's own do."""
    own = {coin.instrument.unified for coin in preset(settings.sim.preset, seed=0).coins}
    if own.issuperset(settings.symbols):
        return None
    return max((at for at, coin in enumerate(COINS, 1) if coin.instrument.unified in settings.symbols), default=None)


def _at(settings: Settings, address: Address, key: str) -> Settings:
    """No key of the user's goes there."""
    groups = {
        "venue": {"rest_url": address.rest_url, "ws_url": address.ws_url},
        "deribit": {"base_url": address.rest_url},
        "coinglass": {"base_url": address.rest_url, "api_key": SecretStr(key)},
    }
    update = {name: getattr(settings, name).model_copy(update=fields) for name, fields in groups.items()}
    return settings.model_copy(update=update)


async def exchange_clock(settings: Settings) -> ScaledClock:
    """Shows what the exchange's clock shows, at its pace. Raises VenueError."""
    rest = PublicRest(settings.venue.rest_url or "")
    try:
        before_ns = time.monotonic_ns()
        told = msgspec.json.decode(await rest.get("/fapi/v1/time"), type=dict[str, int])
        took_ns = time.monotonic_ns() - before_ns
    finally:
        await rest.close()
    speed = settings.venue.speed
    return ScaledClock(told["serverTime"] * MS + round(took_ns / 2 * speed), speed)


def synthetic_line(settings: Settings) -> str:
    """What is being played, honestly, and how to go to a real market."""
    speed = "" if settings.venue.speed == 1 else f" at {settings.venue.speed:g} times real speed"
    return (
        f"PAPER trading on a SYNTHETIC market{speed}: the embedded exchange makes it up (preset {settings.sim.preset}, seed "
        f"{settings.sim.seed}). No orders leave this machine. A real market: python -m bot run --venue binanceusdm"
    )


async def _ended(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(5.0):
            await process.wait()
            return
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.wait()
