"""Plain log lines for people: what each event means in one sentence, with the words operators grep for.

Lines go through a bounded queue to a thread, so that a blocked terminal or a full disk cannot stop trading; lines that do not fit
are counted and told.
"""

from __future__ import annotations

import queue
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, TextIO

from bot.domain.events import Event
from bot.domain.values import NS

BOUND = 10_000
RECENT = 200
_GUARD_WORDS = {
    "TAKER_AGGRESSION_BLOCK": "TAKER",
    "WALL_RESISTANCE_BLOCK": "WALL",
    "LIQ_WALL_CONFLICT": "LIQ",
    "LONG_TRAP_DETECTED": "TRAP",
    "WHALE_CONFLICT": "WHALE",
    "PROBATION_BLOCK": "PROBATION",
    "RISK_LIMIT_BLOCK": "RISK",
    "SESSION_WINDOW_BLOCK": "SESSION",
}


class LogObserver:
    """`lines` holds the latest ones for the terminal view; with `enabled` they are also written to `out`."""

    def __init__(self, *, enabled: bool, out: TextIO = sys.stdout) -> None:
        self.lines: deque[str] = deque(maxlen=RECENT)
        self.dropped = 0
        self._out = out
        self._queue: queue.Queue[str | None] = queue.Queue(BOUND)
        self._thread = threading.Thread(target=self._write, name="log", daemon=True) if enabled else None
        if self._thread is not None:
            self._thread.start()

    def on_events(self, events: Sequence[Event]) -> None:
        for event in events:
            line = describe(event)
            if line is not None:
                self.say(f"{clock_text(event.ts)} {line}")

    def say(self, line: str) -> None:
        self.lines.append(line)
        if self._thread is None:
            return
        try:
            self._queue.put_nowait(line)
        except queue.Full:
            self.dropped += 1

    def close(self, deadline_s: float = 1.0) -> None:
        """Write what waits, for so long at most: half of it to get a word in, half of it to be done."""
        if self._thread is None:
            return
        try:
            self._queue.put(None, timeout=deadline_s / 2)
        except queue.Full:
            return
        self._thread.join(timeout=deadline_s / 2)

    def _write(self) -> None:
        told = 0
        try:
            for line in iter(self._queue.get, None):
                print(line, file=self._out, flush=self._queue.empty())
                if self._queue.empty():
                    told = self._tell_dropped(told)
            self._tell_dropped(told)
        except (OSError, ValueError):  # nobody reads it any more
            return

    def _tell_dropped(self, told: int) -> int:
        dropped = self.dropped
        if dropped > told:
            print(f"{dropped - told} log lines were dropped: the output is too slow", file=self._out, flush=True)
        return dropped


def clock_text(ns: int) -> str:
    moment = datetime.fromtimestamp(ns / NS, UTC)
    return f"{moment:%H:%M:%S}.{moment.microsecond // 1000:03d}"


def describe(event: Event) -> str | None:
    """One line for an event worth reading, None for the rest (orders on their way)."""
    if event.kind in _GUARD_WORDS:
        return _guard(event)
    tell = _TELL.get(event.kind)
    return None if tell is None else tell(event)


def _guard(event: Event) -> str:
    data = event.data
    why = data.get("reason") or f"{_or_none(data['value'])} against {_or_none(data['threshold'])}"
    return f"{_GUARD_WORDS[event.kind]} blocks {event.symbol} {data['direction']}: {why}{_origin(data)}"


def _signal(event: Event) -> str:
    data = event.data
    return f"signal {event.symbol} {data['direction']} from {data['strategy']}, strength {data['strength']:.2f}, at {data['price']}"


def _decision(event: Event) -> str:
    data = event.data
    outcomes = [verdict["outcome"] for verdict in data["verdicts"]]
    counts = f"{outcomes.count('PASS')} pass, {outcomes.count('BLOCK')} block, {outcomes.count('ABSTAIN')} abstain"
    if not data["allowed"]:
        return f"refused by {data['blocker']}: {_blocking_reason(data)} ({counts})"
    size = (
        "as an exit only: it is against the open position"
        if data.get("reversal")
        else f"{data.get('quantity')} at x{data['multiplier']:g}"
    )
    return f"allowed, {size} ({counts})"


def _blocking_reason(data: dict[str, Any]) -> str:
    for verdict in data["verdicts"]:
        if verdict["guard"] == data["blocker"]:
            return verdict["reason"] or f"{_or_none(verdict['value'])} against {_or_none(verdict['threshold'])}"
    return "no verdict"


def _opened(event: Event) -> str:
    data = event.data
    tiers = ", ".join(f"T{tier['tier']} {tier['quantity']} @ {tier['price']}" for tier in data["tiers"])
    line = f"OPENED {event.symbol} {data['direction']} {data['quantity']} at {data['entry_price']}, stop {data['stop_price']}, {tiers}"
    if data["true_trend"] and data["max_pain_gap_pct"] is not None:
        line += f"; MAX-PAIN gap {data['max_pain_gap_pct']:.2f} % {data['magnet']}"
    if data["min_hold_s"]:
        line += f"; held for {data['min_hold_s'] // 60} min"
    return line


def _fill(event: Event) -> str:
    data = event.data
    role = "maker" if data["maker"] else "taker"
    return f"fill {event.symbol} {data['side']} {data['quantity']} @ {data['price']} ({role}, fee {data['fee']} {data['fee_asset']})"


def _closed(event: Event) -> str:
    data = event.data
    return (
        f"CLOSED {event.symbol} by {data['reason']} at {data['exit_price']}: "
        f"{float(data['pnl_usd']):+.2f} USD ({data['pnl_r']:+.2f} R) after {data['held_s']:.0f} s, fees {float(data['fees_usd']):.2f}"
        + (f", funding {float(data['funding_usd']):+.2f}" if float(data["funding_usd"] or 0) else "")
    )


def _shadow_closed(event: Event) -> str | None:
    """What a refusal was worth. A twin of what was traded says nothing new, and what could not have been opened nothing at all."""
    data = event.data
    if data["blocker"] is None or not data["tradable"]:
        return None
    saved = "saved" if data["pnl_r"] < 0 else "cost"
    return (
        f"LEARN {data['blocker']} {saved} {abs(float(data['pnl_usd'])):.2f} USD: {event.symbol} would have closed by "
        f"{data['reason']} with {data['pnl_r']:+.2f} R"
    )


def _adjusted(event: Event) -> str:
    data = event.data
    why = (
        "wall gone"
        if data["wall_price"] is None
        else f"WALL of {float(data['wall_usd']) / 1e6:.1f}M at {data['wall_price']}"
    )
    return f"tier {data['tier']} of {event.symbol} moves {data['old_price']} -> {data['new_price']}: {why}"


def _book(event: Event) -> str:
    state = "usable" if event.data["usable"] else "NOT usable"
    return f"order book of {event.symbol} {state}: {event.data['reason']}"


def _cycle(event: Event) -> str:
    told = event.data["evidence"]
    counts = f"{told['signals']} signals, {told['allowed']} allowed, {told['blocked']} blocked"
    lately = told["window"]["note"] or f"{told['window']['signals']} signals"
    return f"LEARN cycle ({event.data['type']}): {counts}; last 4 h: {lately}"


def _recommended(event: Event) -> str:
    data = event.data
    if data["type"] == "LOSSES_IN_A_ROW":
        return f"PROBATION warning for {data['subject']}: {data['reason']}"
    word = " MAGNET" if data["subject"] == "magnet_aligned" else ""
    sure = "significant" if data["significant"] else "not significant"
    return (
        f"LEARN{word} recommends {data['type']} of {data['subject']} ({sure}{', applied' if data['applied'] else ''})"
    )


def _adjustment(event: Event) -> str:
    data = event.data
    if data["type"] == "probation":
        return f"PROBATION: no entries in {data['subject']}: {data['reason']}"
    if data["type"] == "probation_over":
        return f"PROBATION of {data['subject']} is over: {data['reason']}"
    word = " MAGNET" if data["subject"] == "magnet_aligned" else ""
    if not data["applied"]:
        return f"LEARN{word} {data['subject']} is not changed ({data['type']}): {data['reason']}"
    why = f": {data['reason']}" if data["reason"] else ""
    return f"LEARN{word} {data['type']} of {data['subject']}: x{data['before']:.4g} -> x{data['after']:.4g}{why}"


def _max_pain(event: Event) -> str:
    data = event.data
    what = {True: "hit", False: "not hit", None: "not known"}[data["hit"]]
    chance = "unknown" if data["chance"] is None else f"{100 * data['chance']:.0f} %"
    why = f": {data['reason']}" if data["reason"] else ""
    return f"MAX-PAIN of {event.symbol} {what} in {data['window_s'] / 60:.0f} min, chance {chance}{why}"


_TELL: dict[str, Callable[[Event], str | None]] = {
    "SIGNAL": _signal,
    "SIGNAL_EXPIRED": lambda e: f"signal expired: {e.data['reason']}",
    "DECISION": _decision,
    "BLIND_ENTRY": lambda e: f"BLIND entry in {e.symbol}: every data guard that applies abstained, size halved",
    "POSITION_OPENED": _opened,
    "POSITION_CLOSED": _closed,
    "SHADOW_CLOSED": _shadow_closed,
    "SHADOW_ERROR": lambda e: (
        f"LEARN no shadow is followed until the next start ({e.data['shadows']} were): {e.data['error']}"
    ),
    "LEARNING_ERROR": lambda e: f"LEARN nothing is learned until the next start: {e.data['error']}",
    "FILL": _fill,
    "TP_ADJUSTED": _adjusted,
    "LADDER_MERGED": lambda e: f"ladder: tier {e.data['tier']} joins tier {e.data['into']}: {e.data['reason']}",
    "POSITION_ADOPTED": lambda e: (
        f"ADOPTED {e.symbol} {e.data['direction']} {e.data['quantity']} at {e.data['entry_price']}, "
        f"stop {e.data['stop_price']}"
    ),
    "BREAK_EVEN": lambda e: (
        f"{e.symbol} touched {e.data['touched_price']}: stop to break-even at {e.data['stop_price']}"
    ),
    "STOP_MOVED": lambda e: (
        f"stop of {e.symbol} moves {e.data['old_price']} -> {e.data['new_price']}: {e.data['reason']}"
    ),
    "STOP_WAITS": lambda e: (
        f"stop of {e.symbol} stays at {e.data['stop_price']} until it can go to {e.data['price']}: {e.data['reason']}"
    ),
    "STOP_REFUSED": lambda e: f"stop of {e.symbol} stays at {e.data['stop_price']}: {e.data['reason']}",
    "EXIT_DECIDED": lambda e: f"leaving {e.symbol} ({e.data['part'] or 'all of it'}) at market: {e.data['reason']}",
    "CLOSE_REFUSED": lambda e: f"{e.symbol} is not closed by {e.data['part_pct']} %: {e.data['reason']}",
    "DUST_LEFT": lambda e: (
        f"{e.data['quantity']} of {e.symbol} is less than any order ({e.data['minimum']}): the stop covers it"
    ),
    "EXIT_DEFERRED": lambda e: (
        f"exit deferred ({e.data['wanted']}): force-hold for {e.data['hold_remaining_s']:.0f} s more"
    ),
    "EXIT_DROPPED": lambda e: f"deferred exit dropped ({e.data['wanted']}): {e.data['reason']}",
    "ORDER_REJECTED": lambda e: f"order REJECTED ({e.data['leg']}): {e.data['reason']}",
    "STATE": lambda e: f"state {e.data['was']} -> {e.data['state']}: {e.data['reason']}",
    "KILL_SWITCH": lambda e: f"KILL by {e.data['reason']}{', every position is closed' if e.data['flatten'] else ''}",
    "RESUMED": lambda e: f"RESUMED by {e.data['by']}: {', '.join(e.data['cleared'])} cleared",
    "SYMBOL_BLOCKED": lambda e: f"no entries in {e.symbol}: blocked by the {e.data['reason']}",
    "SYMBOL_UNBLOCKED": lambda e: f"entries in {e.symbol} are allowed again by the {e.data['reason']}",
    "DAY_STARTED": lambda e: f"{e.data['day']} begins with an equity of {float(e.data['equity_usd']):.2f} USD",
    "FUNDING": lambda e: f"funding {e.symbol} {float(e.data['usd']):+.2f} USD at a rate of {e.data['rate']}",
    "OPERATOR_ACT": lambda e: f"{e.data['action']} asked for by {e.data['by']} from {e.data['from']}",
    "TRANSFER": lambda e: f"transfer of {float(e.data['usd']):+.2f} USD",
    "BOOK_RESYNC": _book,
    "BAD_FRAME": lambda e: f"unreadable frame skipped ({e.data['count']}): {e.data['problem']}",
    "INTEL_ERROR": lambda e: f"reading refused: {e.data.get('problem') or e.data.get('error')}",
    "STRATEGY_ERROR": lambda e: (
        f"strategy {e.data['strategy']} FAILED on {e.symbol} ({e.data['errors']} errors so far): {e.data['error']}"
    ),
    "STRATEGY_OFF": lambda e: (
        f"strategy {e.data['strategy']} is OFF until the next start: it only fails, last with {e.data['error']}"
    ),
    "LEARNING_CYCLE": _cycle,
    "RECOMMENDATION": _recommended,
    "ADJUSTMENT": _adjustment,
    "MAX_PAIN_RESULT": _max_pain,
    "MAX_PAIN_WINDOW": lambda e: (
        f"MAX-PAIN of {e.symbol} at {e.data['max_pain']} is watched for {(e.data['ends_ns'] - e.data['began_ns']) / NS / 60:.0f} min"
    ),
    "DISCREPANCY": lambda e: f"DISCREPANCY: {e.data['reason']}",
    "ENGINE_STARTED": lambda e: (
        f"engine started, session {e.data['session']}, {e.data['venue']} {e.data['tape']}, config {e.data['config_hash']}"
    ),
    "ENGINE_STOPPED": lambda e: f"engine stopped: {e.data['reason']}",
}


def _origin(data: dict[str, Any]) -> str:
    if data.get("reading_source") is None:
        return ""
    return f" ({data['reading_source']}, {data['reading_age_s']} s old)"


def _or_none(value: str | None) -> str:
    return "no number" if value is None else value
