"""The guards' ledger on a terminal. The table as `learning/table.py` answers in, lines out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any

from rich.markup import escape
from rich.table import Table
from rich.text import Text

from bot.cli import tables
from bot.domain.values import NS

Row = dict[str, Any]
_STYLE = {"helpful": "green", "harmful": "bold red", "not enough evidence": "dim"}
_BY = ("strategy", "symbol")
_NUMBERS = frozenset({"signals", "blocks", "abst.", "alone", "net R", "net USD", "n"})
WIDE = 175
Column = tuple[str, Callable[[Row], Any]]
EMPTY = "no signal was decided under this configuration yet: `python -m bot signals` shows what came, `doctor` why nothing might"


def print_guards(told: Row) -> None:
    console = tables.console
    console.print(
        f"configuration {escape(told['config_hash'] or '?')}, {_window(told)}, as of {time_text(told['now_ns'])} UTC{_age(told)}"
    )
    if not told["guards"]:
        console.print(EMPTY)
        return
    for table in _tables(told):
        console.print(table)
    _print_notes(told)


def time_text(ns: int) -> str:
    return f"{datetime.fromtimestamp(ns // NS, UTC):%Y-%m-%d %H:%M:%S}"


def _window(told: Row) -> str:
    name = told["window"]["name"]
    return "whole history" if name == "all" else f"window {escape(name)}"


def _age(told: Row) -> str:
    return f", computed {told['age_s']:.0f} s ago" if told["age_s"] >= 1 else ""


def _tables(told: Row) -> list[Table]:
    """One where the terminal is wide enough, else what they did above what it was worth."""
    who: list[Column] = [("guard", lambda row: row["guard"]), ("side", lambda row: row["direction"])]
    who += [(name, itemgetter(name)) for name in _BY if name in told["by"]]
    if tables.console.width >= WIDE:
        return [_table(told, (*who, *_DID, *_WORTH))]
    return [_table(told, (*who, *_DID)), _table(told, (*who, *_WORTH))]


def _table(told: Row, columns: Sequence[Column]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading, _ in columns:
        table.add_column(heading, overflow="fold", justify="right" if heading in _NUMBERS else "left")
    for row in told["guards"]:
        table.add_row(*(_cell(show(row)) for _, show in columns))
    return table


def _cell(shown: str | int | Text) -> Text:
    return shown if isinstance(shown, Text) else Text(str(shown))


def _half(count: int, r: float) -> str:
    return f"{count}: {r:.2f}" if count else "-"


def value_text(value: Row) -> str:
    if value["mean_r"] is None:
        return "-"
    interval = "" if value["lo_r"] is None else f" [{value['lo_r']:+.2f}, {value['hi_r']:+.2f}]"
    return f"{value['mean_r']:+.2f}{interval}"


def _verdict(row: Row) -> Text:
    reason = f" ({row['reason']})" if row["reason"] else ""
    return Text(row["judgement"], style=_STYLE[row["judgement"]]) + Text(reason, style="dim")


_DID: tuple[Column, ...] = (
    ("signals", itemgetter("signals")),
    ("blocks", itemgetter("blocks")),
    ("abst.", itemgetter("abstentions")),
    ("alone", itemgetter("blocked_alone")),
    ("avoided, R", lambda row: _half(row["losses_avoided"], row["avoided_r"])),
    ("missed, R", lambda row: _half(row["profits_missed"], row["missed_r"])),
    ("net R", lambda row: f"{row['net_r']:+.2f}" if row["trades"] else "-"),
    ("net USD", lambda row: f"{float(row['net_usd']):+.2f}" if row["trades"] else "-"),
)
_WORTH: tuple[Column, ...] = (
    ("value in R, 95 %", lambda row: value_text(row["value"])),
    ("n", lambda row: row["value"]["effective_n"]),
    ("verdict", _verdict),
)


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
