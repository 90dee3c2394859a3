"""What the terminal view draws, from the snapshot dicts of api/snapshot.py. Pure: a snapshot in, a rich renderable out."""

from __future__ import annotations

from typing import Any

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from bot.app.logs import clock_text

BESIDE_COLUMNS = 110
_STATE_STYLE = {"FRESH": "green", "PARTIAL": "yellow", "STALE": "red", "MISSING": "dim"}
_OUTCOME_STYLE = {"PASS": "green", "BLOCK": "red", "ABSTAIN": "yellow"}
_MARK = {"PASS": "+", "BLOCK": "x", "ABSTAIN": "?"}


def waiting(what: str) -> RenderableType:
    return Panel(Text("waiting for the first frame ..."), title=what)


def whole(what: str, shown: dict[str, Any]) -> RenderableType:
    return Group(
        _head(what, shown["status"]),
        _Beside(_book(shown["market"]), _readings(shown["readings"])),
        _signals(shown["signals"]),
        _positions(shown["positions"]),
        Panel(Text("\n".join(shown["lines"])), title="log", title_align="left"),
    )


class _Beside:
    """Two panels next to each other, or where that would cut them short one above the other."""

    def __init__(self, left: RenderableType, right: RenderableType) -> None:
        self._left, self._right = left, right

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if options.max_width < BESIDE_COLUMNS:
            yield from (self._left, self._right)
            return
        both = Table.grid(expand=True)
        both.add_column(ratio=1)
        both.add_column(ratio=2)
        both.add_row(self._left, self._right)
        yield both


def _head(what: str, status: dict[str, Any]) -> RenderableType:
    style = "bold green" if status["state"] == "ACTIVE" else "bold yellow"
    counts = status["this_session"]
    line = Text.assemble(
        (f"{status['state']} ", style),
        f"({status['state_reason']})  market time {clock_text(status['engine_time_ns'])} UTC  ",
        f"equity {float(status['equity_usd']):.2f} USD  ",
        f"signals {counts['signals']}, allowed {counts['allowed']}, refused {counts['blocked']}  ",
        f"opened {counts['opened']}, closed {counts['closed']}",
        *((f"  strategy {name} is OFF", "bold red") for name, row in status["strategy_errors"].items() if row["off"]),
    )
    return Panel(line, title=what, title_align="left")


def _book(market: dict[str, Any]) -> RenderableType:
    table = Table(expand=True, box=None, show_header=False)
    for justify in ("right", "right", "left"):
        table.add_column(justify=justify)
    depth = market["depth"]
    largest = max((quantity for side in depth.values() for _, quantity in side), default=1.0)
    for side, style in (("asks", "red"), ("bids", "green")):
        levels = depth[side][::-1] if side == "asks" else depth[side]
        for price, quantity in levels:
            table.add_row(
                f"{quantity:.3f}", Text(f"{price:,.2f}", style=style), Text("█" * round(12 * quantity / largest), style)
            )
    mark = "none" if market["mark"] is None else f"{market['mark']:,.2f} ({market['mark_source']})"
    last = "none" if market["last"] is None else f"{market['last']:,.2f}"
    ages = f"book {_age(market['book_age_s'])}, trades {_age(market['trade_age_s'])}"
    return Panel(
        Group(table, Text(f"last {last}  mark {mark}\n{ages}")), title=f"book {market['symbol']}", title_align="left"
    )


def _readings(readings: list[dict[str, Any]]) -> RenderableType:
    table = Table(expand=True, box=None, pad_edge=False)
    for name in ("reading", "state", "value", "source", "age"):
        table.add_column(name, no_wrap=True, ratio=1 if name == "value" else None)  # the others keep all of theirs
    for row in readings:
        state = Text(row["state"], style=_STATE_STYLE[row["state"]])
        value = missing_text(row["reason"]) if row["value"] is None else value_text(row["name"], row["value"])
        table.add_row(row["name"], state, Text(value, overflow="ellipsis"), row["source"], _age(row["age_s"]))
    return Panel(table, title="readings", title_align="left")


def _signals(signals: list[dict[str, Any]]) -> RenderableType:
    body = Text("\n").join(map(_signal, signals))
    title = "last signals, guards: + pass  x block  ? abstain (bot why SIGNAL tells all)"
    return Panel(body, title=title, title_align="left")


def _signal(row: dict[str, Any]) -> Text:
    idea = f"{row['direction']} {row['symbol']} {row['strategy']}"
    answer, style = row["blocker"] or row["outcome"], "green" if row["outcome"] == "allowed" else "red"
    marks = verdict_marks(row["verdicts"])
    return Text.assemble(f"{clock_text(row['ts'])} {idea:<28} ", (f"{answer:<16} ", style), marks)


def verdict_marks(verdicts: list[dict[str, Any]]) -> Text:
    line = Text()
    for verdict in verdicts:
        short = verdict["guard"].partition("_")[0]
        line.append(f"{_MARK[verdict['outcome']]}{short} ", style=_OUTCOME_STYLE[verdict["outcome"]])
    return line


def _positions(positions: list[dict[str, Any]]) -> RenderableType:
    body = Text("\n".join(map(_position, positions))) if positions else Text("none open", style="dim")
    return Panel(body, title="positions", title_align="left")


def _position(row: dict[str, Any]) -> str:
    tiers = "  ".join(
        f"T{t['tier']} {t['quantity']} @ {t['price']} {t['state']}" for t in row["tiers"] if t["quantity"]
    )
    hold = f"hold {row.get('hold_left_s', 0):.0f} s more" if row["min_hold_s"] else "no hold"
    profit = (
        "profit unknown"
        if row.get("profit_usd") is None
        else f"{float(row['profit_usd']):+.2f} USD ({row['profit_r']:+.2f} R)"
    )
    return (
        f"{row['direction']} {row['symbol']} {row['quantity']} at {row['entry_price']}, stop {row['stop_price']}, "
        f"{hold}, {profit}\n  {tiers}"
    )


def value_text(name: str, value: dict[str, Any]) -> str:
    """A reading's value in a few words, with units."""
    if name == "taker_5m":
        buy, sell = float(value["buy_usd"]), float(value["sell_usd"])
        return f"buys {buy / 1e6:.1f}M, sells {sell / 1e6:.1f}M USD, ratio {buy / sell:.3f}" if sell else "no sells"
    if name == "walls":
        seen = f"seen to {value['ask_coverage_pct']:.2f} % up, {value['bid_coverage_pct']:.2f} % down"
        return f"{len(value['asks'])} ask, {len(value['bids'])} bid walls, {seen}"
    if name == "ofi":
        return f"{value['base']:+.1f} base, {value['depths']:+.1f} depths"
    if name == "whale_cvd":
        return f"{value['direction'] or 'level'}, intensity {value['intensity']:.0f}"
    if name == "regime":
        return f"{value['label']}, H {value['hurst']:.3f}, z {value['z']:+.2f}"
    if name == "oi_delta_5m":
        return f"{value['pct']:+.3f} %"
    if name == "liquidation_clusters":
        model = ", a model" if value["model"] else ""
        return f"{len(value['clusters'])} clusters, open interest {float(value['open_interest_usd']) / 1e6:.0f}M USD{model}"
    return ", ".join(f"{key} {item}" for key, item in value.items() if item is not None)


def missing_text(reason: str) -> str:
    """The part of a reason that is news: sources that never spoke are left out where another has something to say."""
    parts = reason.split("; ")
    told = [part for part in parts if not part.endswith("nothing received yet")]
    return "; ".join(told) or f"nothing received from {', '.join(part.partition(':')[0] for part in parts)}"


def _age(age_s: float | None) -> str:
    return "never" if age_s is None else f"{age_s:.1f} s old"
