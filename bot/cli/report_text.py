"""The report in a few lines, for a terminal: what `report` prints when it is asked for no file."""

from __future__ import annotations

from typing import Any

from rich.markup import escape
from rich.table import Table

from bot.cli import tables
from bot.cli.guard_table import time_text, value_text

Row = dict[str, Any]
_SIDES = {"all": "all", "long": "longs", "short": "shorts"}


def print_report(report: Row) -> None:
    console, all_ = tables.console, report["sides"]["all"]
    if not report["sessions"]:
        console.print("nothing ran yet: start with `python -m bot run`")
        return
    console.print(
        f"account {escape(report['account'])}, {report['mode']}, {time_text(report['began_ns'])} to {time_text(report['now_ns'])} UTC"
    )
    console.print(
        f"equity {float(report['equity_usd']):,.2f} USD ({float(report['pnl_usd']):+,.2f}), deepest drawdown {_deepest(report['deepest'])}, "
        f"open positions {report['open_positions']}"
    )
    if report["earlier_accounts"]:
        console.print(f"{report['earlier_accounts']} earlier paper account(s) of this journal are not in it")
    if not all_["trades"]:
        console.print("no position has closed yet; `python -m bot why` tells why the last signal was or was not taken")
        return
    console.print(_sides(report["sides"]))
    console.print(_months(report["months"]))
    console.print("more: --html FILE (a page with charts), --csv DIR, --json; guards: `python -m bot guards`")


def _deepest(point: Row) -> str:
    pct = "" if point["drawdown_pct"] is None else f" ({point['drawdown_pct']:+.2f} %)"
    return f"{float(point['drawdown_usd']):+,.2f} USD{pct}"


def _sides(sides: dict[str, Row]) -> Table:
    table = _table("", "trades", "won", "net USD", "fees", "funding", "profit factor, 95 %", "mean R of 4 h, 95 %")
    for name, heading in _SIDES.items():
        side = sides[name]
        factor = side["profit_factor"]
        table.add_row(
            heading,
            str(side["trades"]),
            "-" if side["win_rate"] is None else f"{side['win_rate']:.0%}",
            f"{float(side['pnl_usd']):+,.2f}",
            f"{float(side['fees_usd']):,.2f}",
            f"{float(side['funding_usd']):+,.2f}",
            "-" if factor is None else f"{factor['value']:.2f} ({factor['lo']:.2f} to {factor['hi']:.2f})",
            escape(value_text(side)),
        )
    return table


def _months(months: list[Row]) -> Table:
    table = _table("month", "trades", "won", "net USD", "return")
    for row in months:
        known = "-" if row["return_pct"] is None else f"{row['return_pct']:+.2f} %"
        table.add_row(row["month"], str(row["trades"]), str(row["won"]), f"{float(row['pnl_usd']):+,.2f}", known)
    return table


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for i, heading in enumerate(headings):
        table.add_column(heading, justify="right" if i else "left")
    return table
