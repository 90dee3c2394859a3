"""A run of the bundled recording, held against its own journal: counts, money, orders, protection, verdicts, envelope."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from bot.app.settings import Settings
from bot.demo import BUNDLED_TAPE
from bot.domain.values import NS
from bot.exchanges import binance
from bot.journal.reader import verify_chain
from bot.journal.schema import FILE
from bot.market.state import Market
from bot.runtime.tape import Tape
from tests.e2e.conftest import DemoRun
from tests.e2e.running import BTC, PATIENCE_S, ROOT, Json, bot, environment, parked, recording, scripted, write_tape

ENVELOPE = ["seq", "ts", "frame", "kind", "v", "account", "mode", "symbol", "source", "corr", "cause", "data"]
ORDER_KEYS = {
    *("client_order_id", "signal_id", "position_id", "leg", "side", "type"),
    *("price", "stop_price", "quantity", "reduce_only", "reason"),
}
KEYS = {
    "SIGNAL": {"signal_id", "strategy", "direction", "strength", "price"},
    "DECISION": {"signal_id", "direction", "allowed", "blocker", "multiplier", "config_hash", "verdicts"},
    "ORDER_INTENT": ORDER_KEYS,
    "ORDER_SENT": ORDER_KEYS,
    "ORDER_ACK": ORDER_KEYS,
    "ORDER_CANCELED": ORDER_KEYS,
    "FILL": {
        *("client_order_id", "position_id", "trade_id", "side", "price", "quantity"),
        *("fee", "fee_asset", "maker"),
    },
    "POSITION_OPENED": {
        *("position_id", "signal_id", "direction", "entry_price", "quantity", "stop_price", "tiers", "regime"),
        *("hurst", "hurst_z", "oi_delta_5m_pct", "true_trend", "max_pain_at_entry", "max_pain_expiry"),
        *("max_pain_source", "max_pain_gap_pct", "magnet", "min_hold_s"),
    },
    "POSITION_CLOSED": {
        *("position_id", "reason", "in_force_hold", "exit_price", "pnl_usd", "pnl_r", "fees_usd", "funding_usd"),
        "held_s",
    },
}
VERDICT_KEYS = {"guard", "version", "outcome", "value", "threshold", "reading_source", "reading_age_s", "reason"}
GUARD_EVENTS = {
    "risk_limits": "RISK_LIMIT_BLOCK",
    "taker_aggression": "TAKER_AGGRESSION_BLOCK",
    "wall_resistance": "WALL_RESISTANCE_BLOCK",
}
MONEY = re.compile(r"(price|quantity|usd|fee)$")


# --- the summary against the journal -------------------------------------------------------------------------------


def test_the_summary_counts_what_the_journal_holds(paced: DemoRun) -> None:
    counted = Counter(event["kind"] for event in paced.events)
    summary, decisions = paced.summary, [event["data"] for event in paced.of("DECISION")]
    assert summary["events"] == summary["this_session"]["events"] == counted
    assert [summary[name] for name in ("signals", "fills", "opened", "closed", "expired")] == [
        counted[kind] for kind in ("SIGNAL", "FILL", "POSITION_OPENED", "POSITION_CLOSED", "SIGNAL_EXPIRED")
    ]
    assert summary["allowed"] == sum(decision["allowed"] for decision in decisions)
    assert summary["blocked"] == sum(not decision["allowed"] for decision in decisions)
    assert summary["blockers"] == Counter(decision["blocker"] for decision in decisions if not decision["allowed"])
    assert summary["orders"] == sum(event["data"]["command"] == "place" for event in paced.of("ORDER_INTENT"))
    assert (summary["last_seq"], summary["session"], summary["bad_frames"]) == (len(paced.events), 1, 0)
    stopped = paced.events[-1]["data"]
    assert stopped == {"reason": "tape ended", "failed": False, "frames": summary["frames"], "bad_frames": 0}


def test_something_of_everything_happened(paced: DemoRun) -> None:
    """Else the tests of this module would hold for nothing."""
    summary = paced.summary
    assert summary["signals"] >= 20
    assert min(summary["allowed"], summary["blocked"], summary["opened"], summary["closed"]) >= 4
    assert summary["market_s"] == pytest.approx(344.8, abs=0.1)
    assert summary["frames"] > 93_954  # the tape's, timers and reports
    reasons = {event["data"]["reason"] for event in paced.of("POSITION_CLOSED")}
    assert reasons >= {"stop", "reversal"}


def test_every_signal_was_decided_once_and_came_to_what_was_decided(paced: DemoRun) -> None:
    decisions = {event["data"]["signal_id"]: event["data"] for event in paced.of("DECISION")}
    signals = [event["data"]["signal_id"] for event in paced.of("SIGNAL")]
    assert [event["data"]["signal_id"] for event in paced.of("DECISION")] == signals
    expired = {event["data"]["signal_id"] for event in paced.of("SIGNAL_EXPIRED")}
    entered = Counter(
        event["data"]["signal_id"]
        for event in paced.of("ORDER_INTENT")
        if event["data"]["leg"] == "entry" and event["data"]["command"] == "place"
    )
    for signal_id in signals:
        decision = decisions[signal_id]
        opens = decision["allowed"] and not decision["reversal"]
        assert (signal_id in expired) + entered[signal_id] == opens, decision
    assert paced.summary["allowed"] + paced.summary["blocked"] == len(signals)


def test_every_enabled_guard_answers_every_signal_and_each_block_has_its_event(paced: DemoRun) -> None:
    guards = Settings().guards
    enabled = [name for name in guards.order if getattr(guards, name).enabled]
    events = Counter((event["corr"], event["kind"]) for event in paced.events)
    for decision in (event["data"] for event in paced.of("DECISION")):
        verdicts = decision["verdicts"]
        assert [verdict["guard"] for verdict in verdicts] == enabled
        assert all(verdict.keys() >= VERDICT_KEYS for verdict in verdicts)
        blocking = [verdict["guard"] for verdict in verdicts if verdict["outcome"] == "BLOCK"]
        assert decision["blocker"] == (blocking[0] if blocking else None)
        assert decision["allowed"] == (not blocking)
        told = {kind for kind in GUARD_EVENTS.values() if events[decision["signal_id"], kind]}
        assert told == {GUARD_EVENTS[guard] for guard in blocking}
        abstained = [verdict for verdict in verdicts if verdict["outcome"] == "ABSTAIN"]
        assert all(verdict["reason"] for verdict in abstained)


# --- orders and protection -----------------------------------------------------------------------------------------


def test_an_orders_intent_comes_before_its_sending_and_that_before_the_answer(paced: DemoRun) -> None:
    steps: dict[tuple[str, str], list[str]] = {}
    for event in paced.events:
        if event["kind"].startswith("ORDER_"):
            key = (event["data"]["client_order_id"], event["data"]["command"])
            steps.setdefault(key, []).append(event["kind"])
    assert len(steps) == len(paced.of("ORDER_INTENT"))
    for (_, command), kinds in steps.items():
        assert kinds[:2] == ["ORDER_INTENT", "ORDER_SENT"]
        answer = {"place": "ORDER_ACK", "cancel": "ORDER_CANCELED", "amend": "ORDER_ACK"}[command]
        assert kinds[2] in (answer, "ORDER_REJECTED")


def test_every_order_fill_and_position_traces_to_one_signal(paced: DemoRun) -> None:
    signals = {event["data"]["signal_id"] for event in paced.of("SIGNAL")}
    of_order: dict[str, set[str]] = {}
    for event in paced.events:
        data = event["data"]
        if event["kind"].startswith(("ORDER_", "FILL", "POSITION_")):
            assert event["corr"] in signals, event
            assert data.get("signal_id", event["corr"]) == event["corr"]
            of_order.setdefault(data.get("client_order_id", data["position_id"]), set()).add(event["corr"])
    assert all(len(traced) == 1 for traced in of_order.values())


def test_a_cause_is_an_earlier_event_of_the_same_signal(paced: DemoRun) -> None:
    by_seq = {event["seq"]: event for event in paced.events}
    caused = [event for event in paced.events if event["cause"] is not None]
    assert {event["kind"] for event in caused} >= {"DECISION", "ORDER_INTENT", "FILL", "POSITION_OPENED"}
    for event in caused:
        assert event["cause"] < event["seq"]
        assert by_seq[event["cause"]]["corr"] == event["corr"]


def test_each_position_is_protected_at_once_and_ends_with_a_reason_or_is_told_open(paced: DemoRun) -> None:
    opened = [event["data"]["position_id"] for event in paced.of("POSITION_OPENED")]
    closed = {event["data"]["position_id"]: event["data"] for event in paced.of("POSITION_CLOSED")}
    for position_id in opened:
        mine = [event for event in paced.events if event["data"].get("position_id") == position_id]
        first_fill = next(event for event in mine if event["kind"] == "FILL")
        stop_seen = next(event for event in mine if event["kind"] == "ORDER_ACK" and event["data"]["leg"] == "stop")
        assert 0 < stop_seen["ts"] - first_fill["ts"] <= 2 * NS
        assert position_id not in closed or closed[position_id]["reason"] in ("stop", "take_profit", "reversal")
    still_open = bot("positions", "--json", "--data-dir", paced.data_dir, cwd=paced.data_dir).json()
    assert {row["position_id"] for row in still_open} == set(opened) - closed.keys()
    assert paced.summary["open"] == paced.summary["open_positions"] == len(still_open)
    assert len(set(opened)) == len(opened) == len(closed) + len(still_open)


def test_an_exit_never_sells_more_than_was_bought(paced: DemoRun) -> None:
    held: dict[str, Decimal] = {}
    for fill in (event["data"] for event in paced.of("FILL")):
        legs = {event["data"]["client_order_id"]: event["data"] for event in paced.of("ORDER_INTENT")}
        entering = legs[fill["client_order_id"]]["leg"] == "entry"
        quantity = Decimal(fill["quantity"]) if entering else -Decimal(fill["quantity"])
        held[fill["position_id"]] = held.get(fill["position_id"], Decimal(0)) + quantity
        assert held[fill["position_id"]] >= 0
    closed = {event["data"]["position_id"] for event in paced.of("POSITION_CLOSED")}
    assert all((held[position_id] == 0) == (position_id in closed) for position_id in held)


# --- money ---------------------------------------------------------------------------------------------------------


def cash_of(fills: list[Json]) -> tuple[Decimal, Decimal]:
    """What these fills brought, fees paid, and the quantity that they left."""
    cash = net = Decimal(0)
    for fill in fills:
        price, quantity = Decimal(fill["price"]), Decimal(fill["quantity"])
        sign = 1 if fill["side"] == "buy" else -1
        cash -= sign * price * quantity + Decimal(fill["fee"])
        net += sign * quantity
    return cash, net


def test_a_positions_result_is_the_cash_of_its_fills(paced: DemoRun) -> None:
    fills = [event["data"] for event in paced.of("FILL")]
    results = [event["data"] for event in paced.of("POSITION_CLOSED")]
    for result in results:
        mine = [fill for fill in fills if fill["position_id"] == result["position_id"]]
        assert cash_of(mine) == (Decimal(result["pnl_usd"]), Decimal(0))
        assert Decimal(result["fees_usd"]) == sum(Decimal(fill["fee"]) for fill in mine) > 0
    realised = sum((Decimal(result["pnl_usd"]) for result in results), Decimal(0))
    assert Decimal(paced.summary["realised_pnl_usd"]) == realised
    assert Decimal(paced.summary["fees_usd"]) == sum(Decimal(fill["fee"]) for fill in fills)


def test_equity_is_the_start_and_what_was_realised_and_what_is_open_at_the_last_mark(paced: DemoRun) -> None:
    market = Market(Tape.open(BUNDLED_TAPE).instruments)
    for frame in Tape.open(BUNDLED_TAPE).frames():
        message = binance.decode(frame.raw)
        if message is not None:
            market.apply(message, frame.recv_ns)
    mark = market.market(BTC).mark
    cash, net = cash_of([event["data"] for event in paced.of("FILL")])
    assert Decimal(paced.summary["equity_usd"]) == 10_000 + cash + net * Decimal(repr(mark))
    assert net != 0, "something is open at the end, so that the unrealised part is tested"


# --- the envelope --------------------------------------------------------------------------------------------------


def test_events_have_the_promised_shape(paced: DemoRun) -> None:
    assert [event["seq"] for event in paced.events] == list(range(1, len(paced.events) + 1))
    for before, event in zip([paced.events[0], *paced.events], paced.events, strict=False):
        assert list(event) == ENVELOPE
        assert (event["ts"], event["frame"]) >= (before["ts"], before["frame"])
        assert (event["account"], event["mode"]) == ("main", "paper")
        assert event["symbol"] in (None, "BTC/USDT:USDT")
        assert event["data"].keys() >= KEYS.get(event["kind"], set()), event
    assert {event["source"] for event in paced.of("DECISION")} == {"intelligence_gate"}
    assert verify_chain(paced.data_dir / FILE) == (len(paced.events), None)


def test_money_and_quantities_are_strings_in_plain_notation(paced: DemoRun) -> None:
    seen = set()
    for event in paced.events:
        for key, value in leaves(event["data"]):
            if MONEY.search(key) and value is not None:
                seen.add(key)
                assert isinstance(value, str) and re.fullmatch(r"-?\d+(\.\d+)?", value), (event["kind"], key, value)
    assert seen >= {"price", "quantity", "stop_price", "entry_price", "exit_price", "pnl_usd", "fees_usd", "fee"}


def leaves(data: Any, key: str = "") -> list[tuple[str, Any]]:
    if isinstance(data, dict):
        return [leaf for name, inner in data.items() for leaf in leaves(inner, name)]
    if isinstance(data, list):
        return [leaf for inner in data for leaf in leaves(inner, key)]
    return [(key, data)]


# --- what a person sees --------------------------------------------------------------------------------------------


def test_the_data_folder_is_private(paced: DemoRun) -> None:
    assert {file.name for file in paced.data_dir.iterdir()} == {"api-token", "journal.sqlite3", "lock"}
    assert paced.data_dir.stat().st_mode & 0o077 == 0
    assert all(file.stat().st_mode & 0o077 == 0 for file in paced.data_dir.iterdir())


def test_plain_lines_tell_honestly_what_is_played_and_end_with_a_summary(tmp_path: Path) -> None:
    tape = write_tape(tmp_path / "tape", scripted())
    settings = {"BOT_STRATEGIES": "", "BOT_RISK__COOLDOWN_S": "0", "BOT_COINGLASS__API_KEY": "hush-hush"}
    ran = bot("run", "--tape", tape, "--speed", 10_000, cwd=tmp_path, **settings)
    assert (ran.code, ran.err) == (0, "")
    first = ran.out.splitlines()[0]
    assert "PAPER" in first and "recording" in first and "No orders leave this machine" in first
    assert re.search(r"API on http://127\.0\.0\.1:\d+, token in data/api-token", ran.out)
    assert "coinglass.api_key is set, but a tape asks nobody" in ran.out
    assert "hush-hush" not in ran.out
    wanted = ("TRAP blocks BTC/USDT:USDT long", "refused by long_trap", "OPENED", "CLOSED", "fill", "engine stopped")
    assert [word for word in wanted if word not in ran.out] == []
    assert "counts: 3 signals, 2 allowed, 1 refused (long_trap 1), 0 expired" in ran.out
    assert re.search(r"configuration [0-9a-f]{16}, digest [0-9a-f]{64}\n$", ran.out)
    assert "\x1b[" not in ran.out, "no colours into a pipe"


def test_on_a_terminal_it_draws_a_screen_and_gives_the_terminal_back(tmp_path: Path) -> None:
    tape = write_tape(tmp_path / "tape", [*scripted(), parked()])
    wanted = ("ACTIVE", "61,80", "taker_5m", "MISSING", "long_trap", "T4", "equity", "log")
    screen, rest, code = watch(tmp_path, wanted, "run", "--tape", tape, "--speed", "10000")
    assert "\x1b[?1049h" in screen, "drawn on the alternate screen"
    assert "\x1b[?1049l" in rest, "which is left at the end"
    assert code == 130
    plain = re.sub(r"\x1b\[[?0-9;]*[A-Za-z]", "", rest)
    assert "counts: 3 signals, 2 allowed, 1 refused" in plain
    assert "Traceback" not in screen + rest


def watch(folder: Path, wanted: tuple[str, ...], *command: object) -> tuple[str, str, int]:
    """Run on a terminal until all that is wanted was drawn, then interrupt: what was shown before and after, and the code."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 60, 80, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "bot", *map(str, command)],
        cwd=folder,
        env=environment(TERM="xterm-256color", BOT_STRATEGIES="", BOT_RISK__COOLDOWN_S="0", PYTHONPATH=str(ROOT)),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    shown = rest = ""
    deadline = time.monotonic() + PATIENCE_S
    try:
        while missing := [word for word in wanted if word not in shown]:
            assert time.monotonic() < deadline, f"not on the screen: {missing}"
            shown += read(ours)
        process.send_signal(signal.SIGINT)
        while chunk := read(ours):
            rest += chunk
        return shown, rest, process.wait(PATIENCE_S)
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def read(terminal: int) -> str:
    """What comes next, nothing at the end."""
    ready, _, _ = select.select([terminal], [], [], PATIENCE_S)
    assert ready, "the terminal shows nothing more"
    try:
        return os.read(terminal, 1 << 16).decode(errors="replace")
    except OSError:  # how Linux tells that nobody has the other end open
        return ""


def test_a_reader_that_goes_away_does_not_stop_the_run(tmp_path: Path) -> None:
    tape = write_tape(tmp_path / "tape", recording(1500))
    process = subprocess.Popen(
        [sys.executable, "-m", "bot", "run", "--tape", str(tape), "--speed", "10"],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert "Traceback" not in process.stderr.read()
    process.wait(PATIENCE_S)
    process.stderr.close()
    stopped = bot("events", "--json", "--kinds", "ENGINE_STOPPED", "--data-dir", "data", cwd=tmp_path).json()
    assert stopped["data"]["reason"] == "tape ended"
