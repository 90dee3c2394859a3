"""Commands about what came of it all: the guards' ledger and the report. They ask the running engine or read its journal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from bot.cli.options import AsJson, ConfigFiles, DataDir, print_json, settings_of

Cut = Annotated[
    list[str] | None,
    typer.Option("--by", help="rows apart by strategy or symbol too; repeatable (longs and shorts always are)"),
]
WindowText = Annotated[str, typer.Option("--window", help="24h, 7d, or UTC dates 2026-01-01..2026-02-01")]
Rules = Annotated[str | None, typer.Option("--rules", help="a configuration's hash (default: the one in force)")]


def register(app: typer.Typer) -> None:
    app.command()(guards)
    app.command()(report)


def guards(
    config: ConfigFiles = None,
    data_dir: DataDir = None,
    by: Cut = None,
    window: WindowText = "all",
    rules: Rules = None,
    as_json: AsJson = False,
) -> None:
    """What every guard saved and cost, with a 95 % interval that holds however often you look.

    Example: python -m bot guards --by strategy --window 7d
    """
    from bot.cli.guard_table import print_guards
    from bot.cli.source import open_source
    from bot.domain.errors import ConfigError
    from bot.learning.table import question

    try:
        asked = question(by or (), window, rules)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    source = open_source(settings_of(files=config, data_dir=data_dir, asks_strategies=False))
    with shown_progress("reading the journal") as progress:
        table = source.guards(asked, progress)
    if as_json:
        print_json(table)
    else:
        print_guards(table)


def report(
    config: ConfigFiles = None,
    data_dir: DataDir = None,
    html: Annotated[
        Path | None, typer.Option("--html", dir_okay=False, help="write one HTML file that needs nothing else")
    ] = None,
    csv: Annotated[
        Path | None, typer.Option("--csv", file_okay=False, help="write trades, shadows, fills, fees and funding there")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """How the account did: equity, drawdown, months, guards, every trade; printed, as a page, or as CSV files.

    Example: python -m bot report --html report.html
    """
    from bot.app.report import KINDS, Report
    from bot.cli.source import open_source, told

    source, made = open_source(settings_of(files=config, data_dir=data_dir, asks_strategies=False)), Report()
    with shown_progress("reading the journal") as progress:
        made.fold(told(source.history(KINDS), source.last_seq(), progress))
    plain = made.plain()
    written = []
    if html is not None:
        written.append(_write_page(html, plain))
    if csv is not None:
        from bot.app.report_csv import write_csv

        written += [f"{csv / name}: {rows:,} rows" for name, rows in write_csv(made.book, csv).items()]
    if as_json:
        print_json(plain)
    elif written:
        print(*written, sep="\n")
    else:
        from bot.cli.report_text import print_report

        print_report(plain)


def _write_page(path: Path, plain: dict[str, Any]) -> str:
    from bot.api.report_page import page
    from bot.domain.errors import ConfigError

    text = page(plain)
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"the report cannot be written to {path}: {error.strerror}") from None
    return f"{path}: {len(text) / 1e6:.1f} MB, open it in any browser"


@contextmanager
def shown_progress(what: str) -> Iterator[Callable[[int, int], object]]:
    """A bar on the terminal that standard error is; nothing where it is none."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(what, total=None)
        yield lambda seq, last: bar.update(task, completed=seq, total=last)
