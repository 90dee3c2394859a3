"""The guards' ledger on a terminal. The table as `learning/table.py` answers in, lines out."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from rich.markup import escape
from rich.table import Table
from rich.text import Text

from bot.cli import tables
from bot.domain.values import NS

Row = dict[str, Any]
_STYLE = {"helpful": "green", "harmful": "bold red", "not enough evidence": "dim"}
_BY = ("strategy", "symbol")
_COUNTS = ("signals", "blocks", "abst.", "alone", "net", "net USD", "n")
EMPTY = "no signal was decided under this configuration yet: `python -m bot signals` shows what came, `doctor` why nothing might"


def print_guards(told: Row) -> None:
    console = tables.console
    console.print(
        f"configuration {escape(told['config_hash'] or '?')}, {_window(told)}, as of {time_text(told['now_ns'])} UTC{_age(told)}"
    )
    if not told["guards"]:
        console.print(EMPTY)
        return
    console.print(_table(told))
    _print_notes(told)


def time_text(ns: int) -> str:
    return f"{datetime.fromtimestamp(ns // NS, UTC):%Y-%m-%d %H:%M:%S}"


def _window(told: Row) -> str:
    name = told["window"]["name"]
    return "whole history" if name == "all" else f"window {escape(name)}"


def _age(told: Row) -> str:
    return f", computed {told['age_s']:.0f} s ago" if told["age_s"] >= 1 else ""


def _table(told: Row) -> Table:
    by = [name for name in _BY if name in told["by"]]
    headings = (
        "guard",
        "side",
        *by,
        "signals",
        "blocks",
        "abst.",
        "alone",
        "avoided",
        "missed",
        "net",
        "net USD",
        "value in R, 95 %",
        "n",
        "verdict",
    )
    table = Table(box=None, pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold", justify="right" if heading in _COUNTS else "left")
    for row in told["guards"]:
        cells = (
            row["guard"],
            row["direction"],
            *(row[name] or "" for name in by),
            *(str(row[name]) for name in ("signals", "blocks", "abstentions", "blocked_alone")),
            _half(row["losses_avoided"], row["avoided_r"]),
            _half(row["profits_missed"], row["missed_r"]),
            f"{row['net_r']:+.2f} R" if row["trades"] else "-",
            f"{float(row['net_usd']):+.2f}" if row["trades"] else "-",
            value_text(row["value"]),
            str(row["value"]["effective_n"]),
        )
        table.add_row(*map(escape, cells), _verdict(row))
    return table


def _half(count: int, r: float) -> str:
    return f"{count}: {r:.2f} R" if count else "-"


def value_text(value: Row) -> str:
    if value["mean_r"] is None:
        return "-"
    interval = "" if value["lo_r"] is None else f" [{value['lo_r']:+.2f}, {value['hi_r']:+.2f}]"
    return f"{value['mean_r']:+.2f}{interval}"


def _verdict(row: Row) -> Text:
    reason = f" ({row['reason']})" if row["reason"] else ""
    return Text(row["judgement"], style=_STYLE[row["judgement"]]) + Text(reason, style="dim")


def _print_notes(told: Row) -> None:
    console = tables.console
    console.print(
        "value: what refusing was worth, mean R of each 4 h in which trades that only this guard had refused came to their end; n: of how many"
    )
    notes = [told["note"]] if told["note"] else []
    if told["clock_set_back"]:
        notes.append(
            f"the clock was set back {told['clock_set_back']} times: what came after counts in the latest 4 h known"
        )
    notes += [
        f"left out, once for each guard that refused it: {count} finished trades, {why}"
        for why, count in _left_out(told).items()
    ]
    for note in notes:
        console.print(f"[yellow]{escape(note)}[/yellow]")


def _left_out(told: Row) -> dict[str, int]:
    found: dict[str, int] = dict(told["unattributed"])
    for row in told["guards"]:
        for why, count in row["left_out"].items():
            found[why] = found.get(why, 0) + count
    return found
