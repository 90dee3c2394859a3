"""The ledger on the journal of a real run: the keys it relies on are those the engine writes."""

from __future__ import annotations

from collections import Counter

import pytest

from bot.journal.reader import read_events
from bot.learning.ledger import Ledger
from bot.learning.scores import score
from tests.e2e.conftest import DemoRun


def test_the_ledger_of_a_run_counts_what_its_journal_says(hurried: DemoRun) -> None:
    ledger = Ledger()
    ledger.fold(read_events(hurried.data_dir))
    scored = score(ledger)
    decisions = [event["data"] for event in hurried.of("DECISION")]
    assert scored.config_hash == hurried.summary["config_hash"]
    assert sum(row.signals for row in scored.funnel) == len(decisions) > 0
    assert {row.strategy for row in scored.funnel} == {event["data"]["strategy"] for event in hurried.of("SIGNAL")}
    last_looks = Counter(e["data"]["signal_id"] for e in hurried.of("RISK_LIMIT_BLOCK") if e["data"].get("last_look"))
    assert sum(row.allowed for row in scored.funnel) == sum(d["allowed"] for d in decisions) - len(last_looks)
    told = Counter((v["guard"], d["direction"]) for d in decisions for v in d["verdicts"] if v["outcome"] == "BLOCK")
    blocks = {(row.guard, row.direction): row.blocks for row in scored.guards if row.guard != "risk_limits"}
    assert blocks == {key: told[key] for key in blocks} and any(blocks.values())


def test_the_live_trades_of_a_run_add_up(hurried: DemoRun) -> None:
    ledger = Ledger()
    ledger.fold(read_events(hurried.data_dir))
    closed = [event["data"] for event in hurried.of("POSITION_CLOSED")]
    rows = score(ledger).strategies
    assert closed and sum(row.live for row in rows) == len(closed)
    assert sum(float(row.live_usd) for row in rows) == pytest.approx(sum(float(data["pnl_usd"]) for data in closed))
    assert not ledger.unattributed and {row.mode for row in rows} == {"paper"}
