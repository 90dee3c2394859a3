"""`sim`: the embedded exchange alone."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bot.cli.options import AsJson, print_json

if TYPE_CHECKING:
    import asyncio

    from bot.app.simulation import Address, Simulation


PRESET = "demo"


def register(app: typer.Typer) -> None:
    app.command()(sim)


def sim(
    preset: Annotated[str | None, typer.Option("--preset", help=f"which synthetic market (default: {PRESET})")] = None,
    seed: Annotated[int, typer.Option("--seed", help="same seed and start, same market")] = 7,
    symbols: Annotated[
        int | None, typer.Option("--symbols", help="how many coins (default: as the preset has)")
    ] = None,
    speed: Annotated[float, typer.Option("--speed", min=0.01, max=1000, help="of its clock, times real time")] = 1.0,
    port: Annotated[int, typer.Option("--port", min=0, max=65_535, help="0: any free one")] = 8788,
    host: Annotated[str, typer.Option("--host", help="think twice before you open it to others")] = "127.0.0.1",
    start: Annotated[
        int | None,
        typer.Option("--start", min=10**18, max=4 * 10**18, help="its clock's first time, in ns (default: now)"),
    ] = None,
    accounts: Annotated[int, typer.Option("--accounts", min=0, max=1000, help="with keys to trade on it")] = 2,
    equity_usd: Annotated[float, typer.Option("--equity-usd", min=1, max=1e12, help="in each account")] = 10_000,
    tape: Annotated[Path | None, typer.Option("--tape", help="a recorded market instead of a synthetic one")] = None,
    faults: Annotated[str, typer.Option("--faults", help="what goes wrong: a seed, or a script file (TOML)")] = "",
    as_json: AsJson = False,
    with_parent: Annotated[bool, typer.Option("--with-parent", hidden=True)] = False,
) -> None:
    """Run the embedded exchange: Binance USD-M's protocol, CoinGlass V4 and Deribit's options over a synthetic market.

    Example: python -m bot sim --symbols 3 --speed 20
    """
    from bot.app.run import run_until_done
    from bot.app.simulation import Simulation
    from bot.domain.errors import ConfigError
    from bot.domain.instrument import exact

    if tape is not None and (preset is not None or symbols is not None):
        raise ConfigError("--tape plays the symbols that were recorded: leave out --preset and --symbols")
    origin_ns = time.time_ns() if start is None else start
    asked = Simulation(
        preset=PRESET if preset is None else preset,
        seed=seed,
        symbols=symbols,
        speed=speed,
        origin_ns=origin_ns,
        host=host,
        port=port,
        accounts=accounts,
        equity_usd=exact(equity_usd),
        tape=tape,
        faults=faults,
    )
    asked.played(), asked.coming_faults()  # what there is not is said before anything starts
    run_until_done(_serve(asked, as_json, with_parent))


async def _serve(asked: Simulation, as_json: bool, with_parent: bool) -> None:
    from bot.app.simulation import serve

    await serve(
        asked,
        lambda address: _tell(address, as_json, asked.tape is not None),
        lambda: _told_to_stop(with_parent),
        _warn,
    )


def _tell(address: Address, as_json: bool, of_tape: bool) -> None:
    import msgspec

    if as_json:
        print_json(msgspec.to_builtins(address))
        return
    played = (
        f"RECORDED market, {address.preset}," if of_tape else f"SYNTHETIC market {address.preset}, seed {address.seed},"
    )
    print(f"{played} at {address.speed:g} times real time: {', '.join(address.symbols)}")
    print(f"  Binance USD-M REST   {address.rest_url}/fapi/v1/exchangeInfo")
    print(f"  streams              {address.ws_url}/public/ws, /market/ws and /private/ws")
    if not of_tape:
        print(f"  CoinGlass V4         {address.rest_url} (any key)")
        print(
            f"  Deribit options      {address.rest_url}/api/v2/public/get_book_summary_by_currency?currency=BTC&kind=option"
        )
    for account in address.accounts:
        print(f"  account {account.name}, {account.usd.normalize():f} USDT, made-up keys that open nothing else:")
        print(f"    API key    {account.api_key}")
        print(f"    API secret {account.api_secret}")
    print(
        f"trade on it on paper: python -m bot run --venue binanceusdm with BOT_VENUE__REST_URL={address.rest_url} "
        f"BOT_VENUE__WS_URL={address.ws_url}; Ctrl-C ends it",
        flush=True,
    )


def _warn(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _told_to_stop(with_parent: bool) -> asyncio.Future[None]:
    """Done with the first signal to end, or when whoever started this is gone."""
    import asyncio

    from bot.app.run import STOP_SIGNALS

    loop = asyncio.get_running_loop()
    told: asyncio.Future[None] = loop.create_future()

    def stop() -> None:
        if not told.done():
            told.set_result(None)

    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, stop)
    if with_parent:
        loop.add_reader(sys.stdin.fileno(), stop)  # nothing is ever written to it, so this is its end
    return told
