"""Options shared by commands, and how they become settings. Nothing heavy is imported before it is needed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from bot.app.settings import Settings

ConfigFiles = Annotated[
    list[Path] | None, typer.Option("--config", "-c", help="a TOML file; repeatable, later ones win", dir_okay=False)
]
DataDir = Annotated[Path | None, typer.Option("--data-dir", help="journal, lock and token live here (default: ./data)")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON for programs")]
Symbols = Annotated[str | None, typer.Option("--symbols", help="comma-separated, e.g. BTC/USDT:USDT")]
Strategies = Annotated[str | None, typer.Option("--strategies", help="comma-separated, e.g. ofi,trend (default: ofi)")]
StrategiesDir = Annotated[
    Path | None, typer.Option("--strategies-dir", help="folder of your own strategies, one NAME.py each, which it runs")
]
Demo = Annotated[bool, typer.Option("--demo", help="the bundled recording with its small demonstration tiers and stop")]


def settings_of(
    *,
    files: list[Path] | None,
    demo: bool = False,
    data_dir: Path | None = None,
    asks_strategies: bool = True,
    **overrides: Any,
) -> Settings:
    """Command line > environment > .env > TOML > defaults. `overrides` are dotted names with `__` between levels; None is unset.

    A command that does not ask strategies runs no file of the user's and passes over what is set about them."""
    from bot.app.settings import load_settings
    from bot.demo import DEMO_SETTINGS

    wanted = [DEMO_SETTINGS, *(files or [])] if demo else list(files or [])
    given = {name.replace("__", "."): value for name, value in overrides.items() if value is not None}
    if data_dir is not None:
        given["data_dir"] = data_dir
    return load_settings(files=wanted, overrides=given, strategies=asks_strategies)


def checked(settings: Settings) -> list[str]:
    """Refuse what this version cannot do; return what it can do but will ignore."""
    from bot.app.settings import unsupported
    from bot.domain.errors import ConfigError

    errors, notices = unsupported(settings)
    if errors:
        raise ConfigError("\n".join(errors))
    return notices


def print_json(data: Any) -> None:
    import orjson

    sys.stdout.buffer.write(orjson.dumps(data, default=str, option=orjson.OPT_APPEND_NEWLINE))
    sys.stdout.buffer.flush()
