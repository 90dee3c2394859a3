"""Commands that act on the running engine through its API."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from bot.cli.options import AsJson, ConfigFiles, DataDir, print_json, settings_of
from bot.domain.values import Direction

Symbol = Annotated[str, typer.Argument(help="e.g. BTC/USDT:USDT")]


def register(app: typer.Typer) -> None:
    for command in (signal, close, pause, resume):
        app.command()(command)


def signal(
    symbol: Symbol,
    direction: Annotated[Direction, typer.Argument()],
    strength: Annotated[float, typer.Option(min=0, max=1)] = 1.0,
    config: ConfigFiles = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Hand in a trade idea of your own; it meets the same guards as any other.

    Example: python -m bot signal BTC/USDT:USDT long
    """
    import secrets

    body = {"id": f"cli-{secrets.token_hex(8)}", "symbol": symbol, "direction": direction.value, "strength": strength}
    answer = _post("/api/signals", {**body, "strategy": "operator"}, config, data_dir)
    if as_json:
        print_json(answer)
    elif not answer.get("signal_id"):
        print("accepted, but not decided yet: python -m bot why")
    elif "expired" in answer:
        print(f"expired: {answer['expired']}")
    else:
        decided = "allowed" if answer["allowed"] else f"refused by {answer['blocker']}"
        print(f"{decided}; python -m bot why {answer['signal_id']}")


def close(symbol: Symbol, config: ConfigFiles = None, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Close the open position of a symbol at market.

    Example: python -m bot close BTC/USDT:USDT
    """
    answer = _post("/api/close", {"symbol": symbol}, config, data_dir)
    print_json(answer) if as_json else print(f"closing position {answer['position_id']} at market")


def pause(config: ConfigFiles = None, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Make no more entries; exits, stops and cancels go on.

    Example: python -m bot pause
    """
    answer = _post("/api/pause", {}, config, data_dir)
    print_json(answer) if as_json else print("paused: no entries until `python -m bot resume`")


def resume(config: ConfigFiles = None, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Allow entries again after a pause.

    Example: python -m bot resume
    """
    answer = _post("/api/resume", {}, config, data_dir)
    print_json(answer) if as_json else print("resumed")


def _post(path: str, body: dict[str, Any], config: Any, data_dir: Any) -> dict[str, Any]:
    from bot.cli.source import post

    return post(settings_of(files=config, data_dir=data_dir), path, body)
