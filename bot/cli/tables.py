"""How the reading commands look on a terminal. Dicts as the API gives them in, tables out."""

from __future__ import annotations

import sys
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from bot.app.logs import clock_text
from bot.app.panels import missing_text, value_text

Row = dict[str, Any]
_OUTCOME_STYLE = {"PASS": "green", "BLOCK": "bold red", "ABSTAIN": "yellow"}
PIPE_WIDTH = 1000  # for a file or a pipe, where there is no terminal to fit into: nothing wraps
console = Console(highlight=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)


def print_status(status: Row) -> None:
    running = "running" if status["running"] else "not running"
    state = f"state {status['state']} ({status['state_reason']})"
    if not status["running"] and status["state"] != "STOPPED":
        state = f"[yellow]ended without a clean stop[/yellow], last {state}"
    console.print(f"[bold]{running}[/bold], session {status['session']}, {state}")
    if status["running"]:
        console.print(
            f"{status['mode']} on {status['venue']} ({status['tape']}), market time {clock_text(status['engine_time_ns'])} UTC, "
            f"frame {status['frames']:,}, equity {float(status['equity_usd']):.2f} USD"
        )
        for market in status["markets"]:
            book = f"{market['bid']} / {market['ask']}" if market["usable"] else "no usable book"
            console.print(
                f"  {market['symbol']}: {book}, last {market['last']}, mark {market['mark']} ({market['mark_source']})"
            )
        _print_money(status)
    for cause in status["causes"].values():
        console.print(f"  [yellow]since {clock_text(cause['since_ns'])} UTC[/yellow] {cause['reason']}")
    for symbol, block in status["blocked_symbols"].items():
        console.print(f"  [yellow]{symbol}[/yellow]: no entries, blocked by the {block['reason']}")
    _print_counts(status["this_session"], "this session")
    _print_strategy_errors(status["strategy_errors"])
    abandoned = status["abandoned"]["positions"]
    if abandoned:
        console.print(
            f"[yellow]{len(abandoned)} position(s) of earlier paper accounts were open when a new account replaced theirs"
            "[/yellow]"
        )


def _print_money(status: Row) -> None:
    equity, start, peak = (float(status[name]) for name in ("equity_usd", "day_start_usd", "peak_usd"))
    console.print(
        f"  today {equity - start:+.2f} USD, {peak - equity:.2f} USD under the peak, at risk to the stops "
        f"{float(status['open_risk_usd']):.2f} USD, notional {float(status['notional_usd']):.2f} USD"
    )


def print_summary(summary: Row) -> None:
    console.print()
    problems = f", {summary['bad_frames']} unreadable" if summary["bad_frames"] else ""
    console.print(
        f"[bold]{summary['tape']}[/bold]: {summary['market_s']} s of market, {summary['frames']:,} frames taken{problems}"
    )
    for problem in summary["tape_problems"]:
        console.print(f"  [yellow]tape: {problem}[/yellow]")
    _print_recording(summary)
    _print_counts(summary["this_session"], "counts")
    _print_strategy_errors(summary["strategy_errors"])
    for guard, answers in summary.get("asked", {}).items():
        said = ", ".join(f"{outcome} {count:,}" for outcome, count in answers.items())
        console.print(f"{guard}, asked about a long after every trade: {said or 'no trades'}")
    console.print(f"equity {float(summary['equity_usd']):.2f} USD, open positions {summary['open']}")
    console.print(f"configuration {summary['config_hash']}, digest {summary['digest']}")


def _print_recording(summary: Row) -> None:
    if judged := summary.get("as_recorded"):
        if judged["same"] is not None:
            console.print(
                "  the same was decided as when it was recorded"
                if judged["same"]
                else "  [red]NOT what was decided when it was recorded[/red]"
            )
        for problem in judged["problems"]:
            console.print(f"  [yellow]{escape(problem)}[/yellow]")
    if written := summary.get("recording"):
        missing = f", {written['missing_frames']:,} missing" if written["missing_frames"] else ""
        console.print(
            f"  recorded {written['frames']:,} frames{missing}, {written['bytes'] / 1e6:.1f} MB -> {written['folder']}"
        )


def _print_counts(counts: Row, title: str) -> None:
    blockers = ", ".join(f"{name} {count}" for name, count in counts["blockers"].items())
    console.print(
        f"{title}: {counts['signals']} signals, {counts['allowed']} allowed, {counts['blocked']} refused"
        f"{f' ({blockers})' if blockers else ''}, {counts['expired']} expired; {counts['orders']} orders, {counts['fills']} fills; "
        f"positions opened {counts['opened']}, closed {counts['closed']}; "
        f"closed positions {float(counts['realised_pnl_usd']):+.2f} USD net; fees paid so far {float(counts['fees_usd']):.2f}"
    )


def _print_strategy_errors(strategies: Row) -> None:
    for name, row in strategies.items():
        state = "is OFF" if row["off"] else "goes on"
        error = escape(row["error"])  # of anybody's making
        console.print(f"[yellow]strategy {name} {state} after {row['errors']} error(s)[/yellow]: {error}")


def print_readings(rows: list[Row]) -> None:
    table = Table(box=None, pad_edge=False)
    for column in ("symbol", "reading", "state", "value", "unit", "source", "age", "limit", "its sources, in order"):
        table.add_column(column, overflow="fold")
    for row in rows:
        value = missing_text(row["reason"]) if row["value"] is None else value_text(row["name"], row["value"])
        age = "-" if row["age_s"] is None else f"{row['age_s']:.1f} s"
        cells = (
            row["symbol"],
            row["name"],
            row["state"],
            value,
            row["unit"],
            row["source"] or "-",
            age,
            f"{row['max_age_s']:.0f} s",
            ", ".join(map(_source_text, row["sources"])),
        )
        table.add_row(*map(escape, cells))
    console.print(table)
    for row in rows:
        if row.get("check", {}).get("checked_count"):
            console.print(_check_text(row["symbol"], row["check"]))


def _check_text(symbol: str, check: Row) -> str:
    return (
        f"{symbol}: of {check['checked_usd']:,.0f} USD liquidated in {check['checked_count']} orders of the last day, "
        f"{check['hit_share']:.0%} lay within 0.5 % of a cluster that our model had told (by chance: {check['chance_share']:.0%})"
    )


def _source_text(source: Row) -> str:
    again = "" if source["next_s"] is None else f", next in {source['next_s']:.0f} s"
    if source["state"] == "MISSING" and source["reason"].startswith("not in plan"):
        again = " (not in plan)"
    return f"{source['source']} {source['state']}{again}"


_STATE_STYLE = {"ok": "green", "note": "yellow", "problem": "bold red"}


def print_doctor(found: Row) -> None:
    for each in found["findings"]:
        style = _STATE_STYLE[each["state"]]
        console.print(f"[{style}]{each['state']:<8}[/{style}] {each['about']}: {escape(each['text'])}")
    sources = _table("reading", "sources, in order", "limit", "CoinGlass", "guards that ask for it")
    for row in found["readings"]:
        cells = (
            row["name"],
            ", ".join(row["sources"]),
            f"{row['max_age_s']} s",
            row["coinglass"] or "-",
            ", ".join(row["guards"]),
        )
        sources.add_row(*map(escape, cells))
    guards = _table("guard", "on", "filters", "a missing reading")
    for row in found["guards"]:
        filters = "longs only" if len(row["filters"]) == 1 else "longs and shorts"
        guards.add_row(
            row["name"], "yes" if row["enabled"] else "no", filters, f"{row['on_missing']}s" if row["needs"] else "-"
        )
    for table in (sources, guards):
        console.print()
        console.print(table)
    if found["now"]:
        console.print()
        print_readings(found["now"])


def print_positions(rows: list[Row]) -> None:
    for row in rows:
        profit = (
            "profit unknown"
            if row.get("profit_usd") is None
            else f"{float(row['profit_usd']):+.2f} USD ({row['profit_r']:+.2f} R)"
        )
        hold = f"force-hold {row.get('hold_left_s', '?')} s more" if row["min_hold_s"] else "no force-hold"
        mark = f"mark {row['mark']}, " if row.get("mark") is not None else ""
        console.print(
            f"[bold]{row['direction']} {row['symbol']}[/bold] {row['quantity']} of {row['entry_quantity']} at {row['entry_price']}, "
            f"stop {row['stop_price']}, {mark}{profit}, {hold}\n  {_tiers(row['tiers'])}\n  position {row['position_id']}"
        )
    if not rows:
        console.print("no open position")


def print_orders(rows: list[Row]) -> None:
    table = _table("time", "leg", "order", "filled", "status", "reason")
    for row in rows:
        at = row["price"] or row["stop_price"] or ""
        quantity = (
            "all" if row.get("close_position") else row["quantity"]
        )  # it closes whatever is open when it triggers
        order = f"{row['side']} {quantity} {row['symbol']} {row['type']} {at}"
        table.add_row(clock_text(row["ts"]), row["leg"], order, row["filled"], row["status"], row["reason"] or "")
    _print(table, rows, "no order")


def print_signals(rows: list[Row]) -> None:
    table = _table("time", "signal", "idea", "answer", "result")
    for row in rows:
        idea = f"{row['direction']} {row['symbol']} {row['strategy']} {row['strength']:.2f} @ {row['price']}"
        table.add_row(clock_text(row["ts"]), row["signal_id"], idea, _answer(row), _result(row["result"]))
    _print(table, rows, "no signal yet")


def print_why(story: Row | None) -> None:
    if story is None:
        console.print("no such signal, and no signal of such a symbol yet")
        return
    signal = story["signal"]
    console.print(
        f"[bold]{signal['direction']} {signal['symbol']}[/bold] from {signal['strategy']}, strength {signal['strength']:.2f}, "
        f"at {signal['price']}, {clock_text(signal['ts'])} UTC, signal {signal['signal_id']}"
    )
    table = _table("guard", "answer", "number", "threshold", "source", "age", "reason")
    for verdict in story["verdicts"]:
        age_s = verdict["reading_age_s"]
        table.add_row(
            verdict["guard"],
            Text(verdict["outcome"], style=_OUTCOME_STYLE[verdict["outcome"]]),
            verdict["value"] or "-",
            verdict["threshold"] or "-",
            verdict["reading_source"] or "-",
            "-" if age_s is None else f"{age_s:.2f} s",
            verdict["reason"],
        )
    console.print(table)
    console.print(_decision_line(story))
    for order in story["orders"]:
        _print_order(order)
    if story["position"] is not None:
        _print_position(story["position"])
    for step in story["exits"]:
        told = ", ".join(f"{key} {value}" for key, value in step.items() if key not in ("seq", "ts", "position_id"))
        console.print(f"  {clock_text(step['ts'])} {told}")
    if story["close"] is not None:
        close = story["close"]
        funding = "unknown" if close["funding_usd"] is None else f"{float(close['funding_usd']):+.2f} USD"
        console.print(
            f"closed by {close['reason']} at {close['exit_price']} after {close['held_s']:.1f} s: "
            f"{float(close['pnl_usd']):+.2f} USD ({close['pnl_r']:+.2f} R), fees {float(close['fees_usd']):.2f} USD, "
            f"funding {funding}"
        )
    if story.get("shadow") is not None:
        _print_shadow(story["shadow"], twin=bool(story["decision"] and story["decision"]["allowed"]))


def _print_shadow(shadow: Row, *, twin: bool) -> None:
    """What would have become of it."""
    what = "the same on paper beside it" if twin else "had it been taken"
    of = f" (counted for that of signal {shadow['of']}, with {shadow['repeats']} repeats)" if shadow["of"] else ""
    about = shadow["closed"] or shadow["opened"] or shadow["expired"]
    unfit = "" if about is None or about["tradable"] else f"; it could not have been: {about['why_not']}"
    console.print(f"shadow, {what}{of}: {_shadow_result(shadow)}{unfit}")
    for step in shadow["steps"]:
        told = ", ".join(f"{key} {value}" for key, value in step.items() if key not in ("seq", "ts", "position_id"))
        console.print(f"  {clock_text(step['ts'])} {told}")


def _shadow_result(shadow: Row) -> str:
    if shadow["expired"] is not None:
        return f"not entered: {shadow['expired']['reason'] or 'no room'}"
    if shadow["opened"] is None:
        return "on its way in"
    opened = shadow["opened"]
    entered = f"{opened['direction']} {opened['quantity']} at {opened['entry_price']}"
    if shadow["closed"] is None:
        return f"{entered}, still open"
    close = shadow["closed"]
    return (
        f"{entered}, closed by {close['reason']} at {close['exit_price']} after {close['held_s']:.1f} s: "
        f"{float(close['pnl_usd']):+.2f} USD ({close['pnl_r']:+.2f} R)"
    )


def _decision_line(story: Row) -> str:
    decision = story["decision"]
    if decision is None:
        return "not decided yet"
    if story["expired"] is not None:
        return f"allowed, but expired before an order went out: {story['expired']['reason']}"
    if story["refused"] is not None:
        return f"[red]allowed, but refused last before the wire[/red]: {story['refused']['reason']}"
    if not decision["allowed"]:
        return f"[red]refused by {decision['blocker']}[/red]"
    if decision["reversal"]:
        return "[green]allowed[/green] against an open position: it closes that one and opens none"
    blind = ", blind: every data guard that applies abstained" if decision["blind"] else ""
    return f"[green]allowed[/green] with {decision['quantity']} (multiplier {decision['multiplier']:g}{blind})"


def _print_order(order: Row) -> None:
    price = order["price"] or order["stop_price"] or "market"
    line = f"  order {order['leg']}: {order['side']} {order['quantity']} {order['type']} {price}, {order['status']}"
    fills = ", ".join(f"{fill['quantity']} @ {fill['price']} (fee {fill['fee']})" for fill in order["fills"])
    console.print(line + (f", filled {fills}" if fills else "") + (f", {order['reason']}" if order["reason"] else ""))


def _print_position(position: Row) -> None:
    gap = position["max_pain_gap_pct"]
    pain = (
        "max pain unknown"
        if gap is None
        else f"MAX-PAIN gap {gap:.2f} % {position['magnet']} ({position['max_pain_source']})"
    )
    trend = "TRUE TREND" if position["true_trend"] else f"no TRUE TREND ({position.get('true_trend_reason', '')})"
    console.print(
        f"position {position['direction']} {position['entry_quantity']} at {position['entry_price']}, stop {position['stop_price']}, "
        f"tiers {_tiers(position['tiers'])}\n  frozen at entry: regime {position['regime']}, {trend}, {pain}, "
        f"force-hold {position['min_hold_s']} s"
    )


def _tiers(tiers: list[Row]) -> str:
    return "  ".join(f"T{t['tier']} {t['quantity']} @ {t['price']} {t['state']}" for t in tiers if t["quantity"])


def _answer(row: Row) -> Text:
    if row["outcome"] == "blocked":
        return Text(f"refused by {row['blocker']}", style="red")
    return Text(row["outcome"], style="green" if row["outcome"] == "allowed" else "yellow")


def _result(result: Row | None) -> str:
    if result is None:
        return ""
    if result["pnl_usd"] is None:
        return str(result["state"]).lower()
    return f"{result['reason']} {float(result['pnl_usd']):+.2f} USD ({result['pnl_r']:+.2f} R)"


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, no_wrap=column in ("time", "signal", "age"), overflow="fold")
    return table


def _print(table: Table, rows: list[Row], empty: str) -> None:
    console.print(table if rows else empty)


def print_learning(answer: Row) -> None:
    cycle = answer["last_cycle"]
    if cycle is None:
        console.print("no learning cycle yet: there is one every 4 h (UTC), and `python -m bot learn run`")
    else:
        _print_cycle(cycle)
    for each in answer["recommendations"]:
        sure = "[green]significant[/green]" if each["significant"] else "not significant"
        console.print(f"  {each['type']} of {escape(each['subject'])}, {sure}{', applied' if each['applied'] else ''}")
    if cycle is not None and not answer["recommendations"]:
        console.print("  nothing to recommend")
    for subject, value in answer["multipliers"].items():
        console.print(f"  in force: {escape(subject)} x{value:.4g}; `python -m bot learn undo {escape(subject)}`")
    for each in answer["probation"]:
        console.print(f"  [yellow]PROBATION[/yellow] {each['symbol']}: {escape(each['reason'])}")


def _print_cycle(cycle: Row) -> None:
    told, pain = cycle["evidence"], cycle["evidence"]["max_pain"]
    console.print(f"[bold]cycle of {clock_text(cycle['ts'])} UTC[/bold] ({cycle['type']}), rules {told['config_hash']}")
    note = told["note"] or f"{told['signals']} signals: {told['allowed']} allowed, {told['blocked']} blocked"
    console.print(f"  {note}; last 4 h: {told['window']['note'] or str(told['window']['signals']) + ' signals'}")
    console.print(f"  max pain: {pain['hits']} hits in {pain['n']} windows")
    for row in told["guards"]:
        if row["trades"]:
            why = f" ({row['reason']})" if row["reason"] else ""
            console.print(
                f"  {row['guard']} {row['direction']}: {row['judgement']}, net {row['net_r']:+.2f} R in {row['trades']} trades{why}"
            )
