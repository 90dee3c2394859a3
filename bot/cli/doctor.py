"""`doctor`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from bot.cli.options import AsJson, ConfigFiles, DataDir, Symbols, print_json, settings_of


def register(app: typer.Typer) -> None:
    app.command()(doctor)


def doctor(
    config: ConfigFiles = None,
    venue: Annotated[
        str | None, typer.Option("--venue", help="tape, binanceusdm, bybit or okx (default: as set)")
    ] = None,
    symbols: Symbols = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Whether everything is there that the settings ask for.

    Folder, venue, CoinGlass' key and plan; which sources each reading has, and which guards filter longs only. With an engine running, its
    readings too.

    Example: python -m bot doctor --venue binanceusdm
    """
    from bot.app.doctor import examine

    settings = settings_of(files=config, data_dir=data_dir, venue__name=venue, symbols=symbols, asks_strategies=False)
    health, readings = _running(settings.data_dir, settings)
    found = {**examine(settings, health), "now": readings}
    if as_json:
        print_json(found)
    else:
        from bot.cli import tables

        tables.print_doctor(found)
    raise typer.Exit(found["exit_code"])


def _running(data_dir: Path, settings: Any) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
    """Health and readings of the engine that holds the folder."""
    from bot.cli.source import EngineSource, open_source
    from bot.journal.lock import running_api

    if running_api(data_dir) is None:
        return None, []
    source = open_source(settings)
    if not isinstance(source, EngineSource):  # it has just ended
        return None, []
    return source.get("/api/health"), source.get("/api/readings")
