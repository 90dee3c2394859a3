"""`cockpit`: the page in a process of its own, beside a running engine or on another machine."""

from __future__ import annotations

from typing import Annotated

import typer

from bot.cli.options import ConfigFiles, DataDir, settings_of


def register(app: typer.Typer) -> None:
    app.command()(cockpit)


def cockpit(
    url: Annotated[
        str | None, typer.Option("--url", help="the engine's API; default: the one of the data folder")
    ] = None,
    port: Annotated[int, typer.Option("--port", min=0, max=65_535, help="0: any free port")] = 8788,
    config: ConfigFiles = None,
    data_dir: DataDir = None,
) -> None:
    """Serve the cockpit's page here, as a client of an engine that runs; prints an address that signs one browser in.

    Example: python -m bot cockpit --port 8788
    """
    import asyncio
    from contextlib import suppress

    from bot.app.relaying import relay

    settings = settings_of(files=config, data_dir=data_dir, asks_strategies=False)
    with suppress(KeyboardInterrupt):
        asyncio.run(relay(settings, url, port, lambda line: print(line, flush=True)))
