"""`run` and `replay`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from bot.cli.options import (
    AsJson,
    ConfigFiles,
    DataDir,
    Demo,
    Strategies,
    StrategiesDir,
    Symbols,
    checked,
    print_json,
    settings_of,
)

Speed = Annotated[float | None, typer.Option("--speed", help="times real time (default: 1)")]


def register(app: typer.Typer) -> None:
    app.command()(run)
    app.command()(replay)


def run(
    config: ConfigFiles = None,
    demo: Demo = False,
    mode: Annotated[str | None, typer.Option("--mode", help="paper or live (default: paper)")] = None,
    venue: Annotated[
        str | None,
        typer.Option("--venue", help="sim, tape, binanceusdm, bybit or okx (default: sim, the embedded exchange)"),
    ] = None,
    tape: Annotated[
        Path | None, typer.Option("--tape", help="folder of a recording (default: the bundled one)")
    ] = None,
    speed: Speed = None,
    symbols: Symbols = None,
    strategies: Strategies = None,
    strategies_dir: StrategiesDir = None,
    data_dir: DataDir = None,
    plain: Annotated[bool, typer.Option("--plain", help="log lines instead of the live view")] = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="a new paper account instead of going on with the last session's")
    ] = False,
    record: Annotated[
        Path | None, typer.Option("--record", help="also write a tape of all that the engine takes: a new folder")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run the engine in paper mode: on a synthetic market, a recording, or a venue's public data (no key, no order).

    Example: python -m bot run --speed 20

    Example: python -m bot run --demo --speed 10

    Example: python -m bot run --venue binanceusdm
    """
    settings = settings_of(
        files=config,
        demo=demo,
        data_dir=data_dir,
        mode=mode,
        venue__name=venue,
        venue__tape=tape,
        venue__speed=speed,
        symbols=symbols,
        strategies=strategies,
        strategies_dir=strategies_dir,
    )
    notices = checked(settings)
    from bot.app.run import run as run_engine

    screen = sys.stdout.isatty() and not plain and not as_json
    outcome = run_engine(settings, notices=notices, screen=screen, quiet=as_json, fresh=fresh, record=record)
    _report(outcome.summary, as_json)
    raise typer.Exit(outcome.exit_code)


def replay(
    tape: Annotated[Path | None, typer.Argument(help="folder of a recording (default: the bundled one)")] = None,
    config: ConfigFiles = None,
    demo: Demo = False,
    symbols: Symbols = None,
    strategies: Strategies = None,
    strategies_dir: StrategiesDir = None,
    columns: Annotated[
        bool, typer.Option(help="use the columns that `record columns` left beside the recording, if any")
    ] = True,
    ask: Annotated[
        str | None,
        typer.Option("--ask", help="comma-separated guards: what they would say to a long after every trade, counted"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Play a recording as fast as it goes and print what was decided, with a digest that is the same every time.

    A recording of trades goes several times faster once `record columns` was run on it; what is decided is the same.

    Example: python -m bot replay --demo --ask taker_aggression
    """
    settings = settings_of(
        files=config,
        demo=demo,
        venue__name="tape",
        venue__tape=tape,
        symbols=symbols,
        strategies=strategies,
        strategies_dir=strategies_dir,
    )
    checked(settings)
    from bot.app.replaying import replay as replay_tape

    progress = None if as_json or not sys.stderr.isatty() else _progress
    names = [name.strip() for name in (ask or "").split(",") if name.strip()]
    outcome = replay_tape(settings, progress=progress, columns=columns, ask=names)
    _report(outcome.summary, as_json)


def _progress(frames: int) -> None:
    print(f"\r{frames:,} frames", end="", file=sys.stderr, flush=True)


def _report(summary: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(summary)
        return
    from bot.cli.tables import print_summary

    print_summary(summary)
