"""Commands that act on the running engine through its API."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from bot.cli.options import AsJson, ConfigFiles, DataDir, print_json, settings_of
from bot.domain.values import Direction

Symbol = Annotated[str, typer.Argument(help="e.g. BTC/USDT:USDT")]


def register(app: typer.Typer) -> None:
    for command in (signal, close, stop, block, pause, resume, kill, flatten):
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


def close(
    symbol: Symbol,
    part: Annotated[
        float | None, typer.Option("--part", min=0, max=100, help="percent of what is open; default: all")
    ] = None,
    config: ConfigFiles = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Close the open position of a symbol at market, or a part of it.

    Example: python -m bot close BTC/USDT:USDT --part 50
    """
    body = {"symbol": symbol} if part is None else {"symbol": symbol, "part": part}
    answer = _post("/api/close", body, config, data_dir)
    share = "" if part is None else f"{part:g} % of "
    print_json(answer) if as_json else print(f"closing {share}position {answer['position_id']} at market")


def stop(
    symbol: Symbol,
    price: Annotated[str, typer.Argument(help="the new trigger price")],
    config: ConfigFiles = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Move the stop of an open position; only ever tighter.

    Example: python -m bot stop BTC/USDT:USDT 61500
    """
    answer = _post("/api/stop", {"symbol": symbol, "price": price}, config, data_dir)
    if as_json:
        print_json(answer)
    elif "new_price" in answer:
        print(f"stop of position {answer['position_id']} moves from {answer['old_price']} to {answer['new_price']}")
    else:
        print("accepted, but not decided yet: python -m bot positions")


def block(
    symbol: Symbol,
    off: Annotated[bool, typer.Option("--off", help="allow entries again")] = False,
    config: ConfigFiles = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Make no more entries in a symbol until told otherwise, also after a restart; its open position goes on.

    Example: python -m bot block BTC/USDT:USDT
    """
    answer = _post("/api/block", {"symbol": symbol, "blocked": not off}, config, data_dir)
    told = f"{symbol}: entries allowed again" if off else f"{symbol}: no entries until `block {symbol} --off`"
    print_json(answer) if as_json else print(told)


def pause(config: ConfigFiles = None, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Make no more entries; exits, stops and cancels go on.

    Example: python -m bot pause
    """
    answer = _post("/api/pause", {}, config, data_dir)
    print_json(answer) if as_json else print("paused: no entries until `python -m bot resume`")


def resume(config: ConfigFiles = None, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Allow entries again after a pause, a kill, a flatten or a drawdown halt.

    Example: python -m bot resume
    """
    answer = _post("/api/resume", {}, config, data_dir)
    print_json(answer) if as_json else print("resumed")


def kill(config: ConfigFiles = None, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Halt: no entries, entry orders canceled, stops kept. Lasts over a restart, until `resume`.

    Example: python -m bot kill
    """
    answer = _post("/api/kill", {}, config, data_dir)
    print_json(answer) if as_json else print("HALTED: entries refused, stops kept; `python -m bot resume` ends it")


def flatten(config: ConfigFiles = None, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Halt, and close every position at market.

    Example: python -m bot flatten
    """
    answer = _post("/api/flatten", {}, config, data_dir)
    print_json(answer) if as_json else print("HALTED: every position is being closed at market")


def _post(path: str, body: dict[str, Any], config: Any, data_dir: Any) -> dict[str, Any]:
    from bot.cli.source import post

    return post(settings_of(files=config, data_dir=data_dir, asks_strategies=False), path, body)
