"""Commands that look: they ask the running engine, or read the journal when none runs. Each takes `--json`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from bot.cli.options import AsJson, ConfigFiles, DataDir, print_json, settings_of

Limit = Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="how many, newest first")]


def register(app: typer.Typer) -> None:
    for command in (status, readings, positions, orders, signals, why, events):
        app.command()(command)
    app.command()(version)


def status(config: ConfigFiles = None, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """What the engine is doing, or how its last session ended.

    Example: python -m bot status
    """
    _show("status", _source(config, data_dir).get("/api/status"), as_json)


def readings(
    symbol: Annotated[str | None, typer.Argument(help="e.g. BTC/USDT:USDT (default: all)")] = None,
    config: ConfigFiles = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """What the guards would look at now: each reading's value, source, age and state. Needs a running engine.

    Example: python -m bot readings BTC/USDT:USDT
    """
    query = {} if symbol is None else {"symbol": symbol}
    _show("readings", _source(config, data_dir).get("/api/readings", **query), as_json)


def positions(config: ConfigFiles = None, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Open positions with tiers, stop and hold.

    Example: python -m bot positions --json
    """
    _show("positions", _source(config, data_dir).get("/api/positions"), as_json)


def orders(
    config: ConfigFiles = None,
    data_dir: DataDir = None,
    everything: Annotated[bool, typer.Option("--all", help="finished ones too")] = False,
    as_json: AsJson = False,
) -> None:
    """Working orders.

    Example: python -m bot orders --all
    """
    _show("orders", _source(config, data_dir).get("/api/orders", **({"all": "1"} if everything else {})), as_json)


def signals(config: ConfigFiles = None, data_dir: DataDir = None, limit: Limit = 20, as_json: AsJson = False) -> None:
    """The last signals and what became of them.

    Example: python -m bot signals -n 5
    """
    _show("signals", _source(config, data_dir).get("/api/signals", limit=str(limit)), as_json)


def why(
    what: Annotated[str | None, typer.Argument(help="a signal id or a symbol (default: the latest signal)")] = None,
    config: ConfigFiles = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Why a trade was or was not taken: every verdict with its number, threshold, source and age.

    Example: python -m bot why BTC/USDT:USDT
    """
    source = _source(config, data_dir)
    if what is None:
        latest = source.get("/api/signals", limit="1")
        what = latest[0]["signal_id"] if latest else None
    _show("why", None if what is None else source.get("/api/why", q=what), as_json)


def events(
    config: ConfigFiles = None,
    data_dir: DataDir = None,
    kinds: Annotated[str, typer.Option("--kinds", help="comma-separated, e.g. SIGNAL,DECISION")] = "",
    since: Annotated[int, typer.Option("--since", min=0, help="after this seq")] = 0,
    as_json: AsJson = False,
) -> None:
    """The journal, oldest first; with --json one object a line.

    Example: python -m bot events --json --kinds DECISION
    """
    from bot.app.logs import clock_text

    for event in _source(config, data_dir).events(since, kinds):
        if as_json:
            print_json(event)
        else:
            print(
                f"{event['seq']:>7} {clock_text(event['ts'])} {event['kind']:<20} {event['symbol'] or '':<16} {_brief(event['data'])}"
            )


def version(as_json: AsJson = False) -> None:
    """Version of the program and of what it runs on.

    Example: python -m bot version --json
    """
    import platform
    import sqlite3

    from bot import __version__

    facts = {"bot": __version__, "python": platform.python_version(), "sqlite": sqlite3.sqlite_version}
    if as_json:
        print_json(facts)
    else:
        print(", ".join(f"{name} {value}" for name, value in facts.items()))


def _source(config: list[Path] | None, data_dir: Path | None) -> Any:
    from bot.cli.source import open_source

    return open_source(settings_of(files=config, data_dir=data_dir, asks_strategies=False))


def _show(name: str, data: Any, as_json: bool) -> None:
    if as_json:
        print_json(data)
        return
    from bot.cli import tables

    getattr(tables, f"print_{name}")(data)


def _brief(data: dict[str, Any]) -> str:
    return " ".join(f"{key}={value}" for key, value in data.items() if not isinstance(value, list | dict))
