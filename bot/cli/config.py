"""`config show|check|schema`."""

from __future__ import annotations

import typer

from bot.cli.options import AsJson, ConfigFiles, DataDir, Demo, StrategiesDir, checked, print_json, settings_of

config = typer.Typer(help="Settings: what is in force, whether it is right, what there is.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    app.add_typer(config, name="config")


@config.command()
def show(
    files: ConfigFiles = None,
    demo: Demo = False,
    data_dir: DataDir = None,
    strategies_dir: StrategiesDir = None,
    as_json: AsJson = False,
) -> None:
    """Every setting with its value and where it comes from; secrets are masked.

    Example: python -m bot config show -c bot.toml
    """
    from bot.app.settings import describe

    rows = describe(settings_of(files=files, demo=demo, data_dir=data_dir, strategies_dir=strategies_dir))
    if as_json:
        print_json([{"name": row.name, "value": row.value, "source": row.source} for row in rows])
        return
    for row in rows:
        print(f"{row.name:<44} {row.value!s:<36} {row.source}")


@config.command()
def check(
    files: ConfigFiles = None,
    demo: Demo = False,
    data_dir: DataDir = None,
    strategies_dir: StrategiesDir = None,
    as_json: AsJson = False,
) -> None:
    """Find every mistake in the settings at once.

    Example: python -m bot config check -c bot.toml
    """
    notices = checked(settings_of(files=files, demo=demo, data_dir=data_dir, strategies_dir=strategies_dir))
    if as_json:
        print_json({"ok": True, "notices": notices})
        return
    for notice in notices:
        print(notice)
    print("settings are fine")


@config.command()
def schema(files: ConfigFiles = None, strategies_dir: StrategiesDir = None) -> None:
    """JSON schema of all settings, those of your own strategies too.

    Example: python -m bot config schema > bot.schema.json
    """
    from bot.app.settings import schema as settings_schema
    from bot.app.settings import settings_model

    print_json(settings_schema(settings_model(files=files or (), overrides={"strategies_dir": strategies_dir})))
