"""`learn`: what the ledger recommends, and the learned multipliers. Only a running engine can change one."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from bot.cli.options import AsJson, ConfigFiles, DataDir, print_json, settings_of

learn = typer.Typer(
    help="What every guard and strategy is worth by now, and the size multipliers learned from it.",
    no_args_is_help=True,
)


def register(app: typer.Typer) -> None:
    app.add_typer(learn, name="learn")


@learn.command()
def run(config: ConfigFiles = None, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """A learning cycle now, besides the one every 4 h.

    Example: python -m bot learn run
    """
    answer = _post("run", {}, config, data_dir)
    if as_json:
        print_json(answer)
    elif not answer["decided"]:
        print("accepted, but not done yet: python -m bot learn list")
    else:
        show(config, data_dir, as_json=False)


@learn.command(name="list")
def list_(config: ConfigFiles = None, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """What the last cycle recommended, what is in force, and who is on probation.

    Example: python -m bot learn list --json
    """
    show(config, data_dir, as_json=as_json)


@learn.command()
def apply(
    subject: Annotated[str, typer.Argument(help="magnet_aligned, or strategy:NAME")],
    anyway: Annotated[bool, typer.Option("--anyway", help="although the evidence is not significant")] = False,
    config: ConfigFiles = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Move a multiplier one step as the evidence says: at most 5 % in 24 h, from 0.5 to 1.5. Refused while it is not significant.

    Example: python -m bot learn apply magnet_aligned
    """
    _told(_post("apply", {"subject": subject, "anyway": anyway}, config, data_dir), as_json)


@learn.command()
def undo(
    subject: Annotated[str | None, typer.Argument(help="default: what was changed last")] = None,
    config: ConfigFiles = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Take the newest step of a multiplier back.

    Example: python -m bot learn undo magnet_aligned
    """
    _told(_post("undo", {} if subject is None else {"subject": subject}, config, data_dir), as_json)


def show(config: Any, data_dir: Any, *, as_json: bool) -> None:
    from bot.cli import tables
    from bot.cli.source import open_source

    source = open_source(settings_of(files=config, data_dir=data_dir, asks_strategies=False))
    answer = source.get("/api/learning")
    print_json(answer) if as_json else tables.print_learning(answer)


def _told(answer: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(answer)
    elif answer["decided"]:
        print(f"{answer['subject']}: x{answer['before']:.4g} -> x{answer['after']:.4g}")
    else:
        print("accepted, but not decided yet: python -m bot learn list")


def _post(what: str, body: dict[str, Any], config: Any, data_dir: Any) -> dict[str, Any]:
    from bot.cli.source import post

    return post(settings_of(files=config, data_dir=data_dir, asks_strategies=False), f"/api/learn/{what}", body)
