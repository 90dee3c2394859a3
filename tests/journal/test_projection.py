from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from bot.domain.events import Event
from bot.domain.values import NS, Direction
from bot.journal.projection import Projection
from bot.journal.reader import read_events
from bot.journal.writer import Journal
from tests.journal.journal_events import BTC, ETH, T0, VERDICTS, Script, event, trade


def folded(events: list[Event], limit: int = 1000) -> Projection:
    projection = Projection(limit)
    for each in events:
        projection.apply(each)
    return projection


def answers(projection: Projection) -> dict[str, Any]:
    return {
        "status": projection.status(),
        "positions": projection.positions(),
        "closed": projection.closed(),
        "orders": projection.orders(),
        "all orders": projection.orders(all=True),
        "signals": projection.signals(),
        "why": [projection.why(name) for name in ("S0", "S1", BTC, ETH)],
    }


def picked(row: dict[str, Any], *names: str) -> tuple[Any, ...]:
    return tuple(row[name] for name in names)


def test_status_counts_what_happened() -> None:
    script = trade().add("A_KIND_FROM_THE_FUTURE", symbol=None, anything=1)
    status = folded(script.events).status()
    assert picked(status, "account", "mode", "session", "state", "started_ns") == (
        "main",
        "paper",
        1,
        "ACTIVE",
        T0 + NS,
    )
    assert picked(status, "last_seq", "last_ts") == (len(script.events), script.events[-1].ts)
    assert picked(status, "signals", "allowed", "blocked", "expired") == (2, 1, 1, 0)
    assert picked(status, "orders", "fills", "opened", "closed") == (6, 2, 1, 0)
    assert picked(status, "fees_usd", "realised_pnl_usd", "blockers") == ("0.02", "0", {"taker_aggression": 1})
    assert status["events"]["TAKER_AGGRESSION_BLOCK"] == 1
    assert status["events"]["A_KIND_FROM_THE_FUTURE"] == 1
    assert sum(status["events"].values()) == len(script.events)
    assert (status["open_positions"], status["working_orders"]) == (1, 5)
    assert status["this_session"]["fills"] == 2
    assert status["abandoned"] == {"positions": [], "orders": []}


def test_status_of_nothing() -> None:
    status = Projection().status()
    assert picked(status, "session", "mode", "last_seq", "state", "signals") == (0, None, None, None, 0)


def test_fees_in_a_coin_are_not_dollars() -> None:
    script = trade().fill("T1", "sell", "65325", "0.1", fee="0.002", fee_asset="BNB")
    script.fill("T2", "sell", "65650", "0.1", fee="0.5", fee_asset="USDC")
    status = folded(script.events).status()
    assert picked(status, "fees_usd", "fees_other") == ("0.52", {"BNB": "0.002"})


def test_an_open_position() -> None:
    [position] = folded(trade().events).positions()
    assert picked(position, "position_id", "signal_id", "symbol", "direction") == ("P1", "S1", BTC, "long")
    assert picked(position, "quantity", "entry_quantity", "entry_price", "stop_price") == (
        "0.4",
        "0.4",
        "65000",
        "64350",
    )
    assert picked(position, "true_trend", "regime", "max_pain_at_entry", "magnet") == (
        True,
        "TREND",
        "67000",
        "MAGNET-WITH",
    )
    assert position["opened_ns"] == T0 + 100 * NS  # the first fill, not the event that sums the entry up
    assert position["hold_until_ns"] == T0 + (100 + 4500) * NS
    assert [picked(tier, "tier", "price", "state") for tier in position["tiers"]] == [
        (1, "65325", "working"),
        (2, "65650", "working"),
        (3, "65975", "working"),
        (4, "66300", "working"),
    ]
    assert picked(position, "realised_pnl_usd", "fees_usd", "state") == ("0", "0.02", "OPEN")


@pytest.mark.parametrize(
    ("direction", "entry", "exit_", "price", "realised"),
    [
        ("long", "buy", "sell", "65325", "32.5"),
        ("short", "sell", "buy", "65325", "-32.5"),
        ("short", "sell", "buy", "64675", "32.5"),
    ],
)
def test_a_filled_tier(direction: str, entry: str, exit_: str, price: str, realised: str) -> None:
    script = Script().add("ENGINE_STARTED").signal("S1", direction).decision("S1")
    script.placed("E1", "entry", side=entry).fill("E1", entry, "65000", "0.4").opened(direction=direction)
    script.placed("T1", "tier_1", side=exit_, quantity="0.1").fill("T1", exit_, price, "0.04")
    [position] = folded(script.events).positions()
    assert picked(position["tiers"][0], "state", "filled") == ("working", "0.04")
    assert position["quantity"] == "0.36"
    script.fill("T1", exit_, price, "0.06")
    [position] = folded(script.events).positions()
    assert picked(position["tiers"][0], "state", "filled") == ("filled", "0.10")
    assert position["quantity"] == "0.30"
    assert Decimal(position["realised_pnl_usd"]) == Decimal(realised)


def test_tiers_that_are_off() -> None:
    """TRUE TREND puts all on tier 4; a tier whose order ended unfilled is off too."""
    script = Script().add("ENGINE_STARTED").placed("E1", "entry").fill("E1", "buy", "65000", "0.4")
    script.opened(
        tiers=[{"tier": 3, "price": "65975", "quantity": "0"}, {"tier": 4, "price": "66300", "quantity": "0.4"}]
    )
    [position] = folded(script.events).positions()
    assert [picked(tier, "state", "quantity") for tier in position["tiers"]] == [
        ("off", None),
        ("off", None),
        ("off", "0"),
        ("working", "0.4"),
    ]
    script.placed("T4", "tier_4", price="66300").order("ORDER_CANCELED", "T4", "tier_4", reason="merged")
    assert folded(script.events).positions()[0]["tiers"][3]["state"] == "off"


def test_without_a_hold_there_is_no_end_of_it() -> None:
    script = Script().placed("E1", "entry").fill("E1", "buy", "65000", "0.4").opened(true_trend=False, min_hold_s=0)
    assert folded(script.events).positions()[0]["hold_until_ns"] is None


def test_a_moved_tier_and_a_tightened_stop() -> None:
    script = trade().add(
        "TP_ADJUSTED",
        position_id="P1",
        tier=4,
        old_price="66300",
        new_price="66133.8",
        wall_price="66200",
        wall_usd="31000000",
        wall_source="depth",
    )
    script.order("ORDER_INTENT", "T4", "tier_4", price="66133.8", command="amend")
    assert folded(script.events).positions()[0]["tiers"][3]["price"] == "66300"  # what rests, not what is wanted
    script.order("ORDER_ACK", "T4", "tier_4", price="66300", command="amend")
    script.placed("X2", "stop", stop_price="65052").order("ORDER_CANCELED", "X1", "stop", reason="replaced")
    projection = folded(script.events)
    [position] = projection.positions()
    assert position["tiers"][3]["price"] == "66133.8"
    assert position["stop_price"] == "65052"
    working = {order["client_order_id"]: order for order in projection.orders()}
    assert working["T4"]["price"] == "66133.8"
    assert "X1" not in working
    assert working["X2"]["stop_price"] == "65052"


def test_a_stop_that_is_only_wanted_does_not_count() -> None:
    script = trade().order("ORDER_INTENT", "X2", "stop", stop_price="65052")
    assert folded(script.events).positions()[0]["stop_price"] == "64350"
    script.order("ORDER_INTENT", "X1", "stop", stop_price="65052", command="amend")
    assert folded(script.events).positions()[0]["stop_price"] == "64350"
    script.order("ORDER_ACK", "X1", "stop", command="amend")
    assert folded(script.events).positions()[0]["stop_price"] == "65052"


AMEND = {"command": "amend", "price": "66133.8", "quantity": "0.2"}
OLD = {"command": "amend"}  # a report on an amendment names the order, which may still be shown as it was


@pytest.mark.parametrize(
    ("steps", "status", "price"),
    [
        ([("ORDER_INTENT", {})], "INTENT", "66300"),
        ([("ORDER_INTENT", {}), ("ORDER_SENT", {})], "SENT", "66300"),
        ([("ORDER_INTENT", {}), ("ORDER_SENT", {}), ("ORDER_ACK", {})], "WORKING", "66300"),
        ([("ORDER_INTENT", {}), ("ORDER_SENT", {}), ("ORDER_UNKNOWN", {})], "UNKNOWN", "66300"),
        ([("ORDER_INTENT", {}), ("ORDER_UNKNOWN", {}), ("ORDER_ACK", {})], "WORKING", "66300"),
        ([("ORDER_INTENT", {}), ("ORDER_REJECTED", {"reason": "margin"})], "REJECTED", "66300"),
        ([("ORDER_INTENT", {}), ("ORDER_ACK", {}), ("ORDER_REJECTED", {"reason": "at trigger"})], "REJECTED", "66300"),
        ([("ORDER_INTENT", {}), ("ORDER_ACK", {}), ("ORDER_CANCELED", {"reason": "operator"})], "CANCELED", "66300"),
        ([("ORDER_INTENT", {}), ("ORDER_ACK", {}), ("ORDER_CANCELED", {"reason": "expired"})], "EXPIRED", "66300"),
        ([("ORDER_INTENT", {}), ("ORDER_CANCELED", {}), ("ORDER_ACK", {})], "CANCELED", "66300"),
        ([("ORDER_INTENT", {}), ("ORDER_ACK", {}), ("ORDER_INTENT", AMEND), ("ORDER_SENT", AMEND)], "WORKING", "66300"),
        ([("ORDER_INTENT", {}), ("ORDER_ACK", {}), ("ORDER_INTENT", AMEND), ("ORDER_ACK", OLD)], "WORKING", "66133.8"),
        (
            [("ORDER_INTENT", {}), ("ORDER_ACK", {}), ("ORDER_INTENT", AMEND), ("ORDER_REJECTED", OLD)],
            "WORKING",
            "66300",
        ),
    ],
    ids=lambda value: "-".join(kind.removeprefix("ORDER_") for kind, _ in value) if isinstance(value, list) else None,
)
def test_the_life_of_an_order(steps: list[tuple[str, dict[str, Any]]], status: str, price: str) -> None:
    script = Script()
    for kind, data in steps:
        script.order(kind, "T4", "tier_4", **({"price": "66300"} | data))
    projection = folded(script.events)
    [order] = projection.orders(all=True)
    assert picked(order, "status", "price") == (status, price)
    assert projection.status()["orders"] == 1
    assert bool(projection.orders()) == (status in {"INTENT", "SENT", "WORKING", "UNKNOWN"})


def test_fills_move_an_order_and_finish_it() -> None:
    script = trade().fill("T1", "sell", "65325", "0.04")
    working = {order["client_order_id"]: order for order in folded(script.events).orders()}
    assert picked(working["T1"], "filled", "status", "leg", "side") == ("0.04", "WORKING", "tier_1", "sell")
    script.fill("T1", "sell", "65325", "0.06")
    assert "T1" not in {order["client_order_id"] for order in folded(script.events).orders()}
    late = script.order("ORDER_CANCELED", "T1", "tier_1", reason="expired")
    done = {order["client_order_id"]: order for order in folded(late.events).orders(all=True)}
    assert done["T1"]["status"] == "FILLED"


def test_an_entry_that_was_not_filled_leaves_no_position() -> None:
    script = (
        Script()
        .signal("S1")
        .decision("S1")
        .placed("E1", "entry")
        .order("ORDER_CANCELED", "E1", "entry", reason="expired")
    )
    projection = folded(script.events)
    assert projection.positions() == []
    [signal] = projection.signals()
    assert picked(signal, "outcome", "position_id", "result") == ("allowed", None, None)
    story = projection.why("S1")
    assert story is not None
    assert [picked(order, "status", "filled") for order in story["orders"]] == [("EXPIRED", "0")]
    assert story["position"] is None


def test_a_closed_position() -> None:
    script = trade().fill("X1", "sell", "64350", "0.4").closed()
    for n in (1, 2, 3, 4):
        script.order("ORDER_CANCELED", f"T{n}", f"tier_{n}", reason="position closed")
    projection = folded(script.events)
    assert projection.positions() == []
    assert projection.orders() == []
    [position] = projection.closed()
    assert picked(position, "state", "reason", "pnl_usd", "pnl_r", "held_s") == ("CLOSED", "stop", "-162.5", -0.6, 600)
    assert picked(position, "quantity", "entry_price", "closed_ns") == ("0.0", "65000", script.events[-5].ts)
    assert picked(projection.status(), "closed", "realised_pnl_usd", "open_positions") == (1, "-162.5", 0)


@pytest.mark.parametrize(("late", "pnl", "funding"), [(True, "-164.5", "-2"), (False, "-162.5", None)])
def test_funding_that_comes_after_the_close_belongs_to_what_closed(late: bool, pnl: str, funding: str | None) -> None:
    """Before the close it is in what POSITION_CLOSED tells."""
    script = trade().fill("X1", "sell", "64350", "0.4").closed(funding_usd=None)
    script.add("FUNDING", position_id="P1", usd="-2", after_close=late, funding_usd="-2")
    script.add("FUNDING", position_id=None, usd="-5")
    projection = folded(script.events)
    assert picked(projection.closed()[0], "pnl_usd", "funding_usd") == (pnl, funding)
    assert projection.status()["realised_pnl_usd"] == pnl
    assert [each["usd"] for each in (projection.why("S1") or {})["exits"]] == ["-2"]


def test_a_stop_for_everything_is_done_when_the_position_is() -> None:
    """It was placed for 0.4; the ladder had sold 0.3 before it triggered."""
    script = trade()
    for n in (1, 2, 3):
        script.fill(f"T{n}", "sell", "66000", "0.1")
    script.fill("X1", "sell", "64350", "0.1").closed()
    left = [order["client_order_id"] for order in folded(script.events).orders()]
    assert left == ["T4"]  # the venue has not said yet that it is canceled


def test_closed_positions_newest_first() -> None:
    script = Script()
    for n in (1, 2, 3):
        script.fill(f"E{n}", "buy", "65000", "0.4", position_id=f"P{n}").opened(position_id=f"P{n}", signal_id=f"S{n}")
    for n in (2, 3, 1):
        script.closed(position_id=f"P{n}", at_s=100 - n)  # a tape played again begins with earlier times
    projection = folded(script.events)
    assert [position["position_id"] for position in projection.closed()] == ["P1", "P3", "P2"]
    assert len(projection.closed(limit=2)) == 2


def test_signals_newest_first_with_what_became_of_them() -> None:
    script = trade().signal("S2").signal("S3").decision("S3").signal("S4", symbol=ETH)
    script.add("SIGNAL_EXPIRED", signal_id="S3", strategy="trend", direction="long", strength=0.7, price="65000")
    rows = folded(script.events).signals()
    names = ("signal_id", "outcome", "blocker", "position_id")
    assert [picked(row, *names) for row in rows] == [
        ("S4", "pending", None, None),
        ("S3", "expired", None, None),
        ("S2", "pending", None, None),
        ("S1", "allowed", None, "P1"),
        ("S0", "blocked", "taker_aggression", None),
    ]
    assert rows[3]["result"] == {"state": "OPEN", "reason": None, "pnl_usd": None, "pnl_r": None}
    assert folded(script.closed().events).signals()[3]["result"] == {
        "state": "CLOSED",
        "reason": "stop",
        "pnl_usd": "-162.5",
        "pnl_r": -0.6,
    }
    assert len(folded(script.events).signals(limit=2)) == 2


def test_why_a_signal_was_blocked() -> None:
    story = folded(trade().events).why("S0")
    assert story is not None
    assert picked(story["signal"], "signal_id", "strategy", "strength") == ("S0", "trend", 0.7)
    assert story["verdicts"] == VERDICTS
    assert picked(story["decision"], "allowed", "blocker", "seq", "ts") == (False, "taker_aggression", 5, T0 + 5 * NS)
    assert "verdicts" not in story["decision"]
    assert (story["orders"], story["position"], story["exits"], story["close"]) == ([], None, [], None)


def test_why_tells_a_trade_from_signal_to_close() -> None:
    script = trade().add("EXIT_DEFERRED", position_id="P1", wanted="reversal", hold_remaining_s=3000)
    script.add("TP_ADJUSTED", position_id="P1", tier=4, old_price="66300", new_price="66133.8")
    script.fill("X1", "sell", "64350", "0.4").closed()
    script.add("MAX_PAIN_RESULT", position_id="P1", hit=False, chance=0.2, window_s=4500)
    script.signal("S9", symbol=ETH)
    projection = folded(script.events)
    story = projection.why(BTC)
    assert story is not None
    assert story == projection.why("S1")
    assert [picked(order, "client_order_id", "status") for order in story["orders"]] == [
        ("E1", "FILLED"),
        ("X1", "FILLED"),
        ("T1", "WORKING"),
        ("T2", "WORKING"),
        ("T3", "WORKING"),
        ("T4", "WORKING"),
    ]
    assert [fill["price"] for fill in story["orders"][0]["fills"]] == ["64990", "65003.3"]
    assert picked(story["decision"], "multiplier", "blind", "config_hash") == (0.5, False, "c0ffee")
    assert picked(story["position"], "hurst", "oi_delta_5m_pct", "max_pain_source") == (0.66, 0.4, "deribit")
    assert [picked(each, "kind") for each in story["exits"]] == [("EXIT_DEFERRED",), ("TP_ADJUSTED",)]
    assert picked(story["close"], "reason", "pnl_usd", "in_force_hold") == ("stop", "-162.5", True)
    assert story["max_pain_result"]["hit"] is False


def test_why_of_what_is_not_known() -> None:
    assert folded(trade().events).why("S99") is None
    assert Projection().why(BTC) is None


def test_a_session_that_ended_in_the_middle_is_abandoned_not_open() -> None:
    script = trade().add("ENGINE_STARTED", symbol=None).signal("S7", symbol=ETH)
    projection = folded(script.events)
    assert projection.positions() == []
    assert projection.orders() == []
    status = projection.status()
    assert picked(status, "session", "state", "open_positions", "working_orders") == (2, "STARTING", 0, 0)
    assert [position["position_id"] for position in status["abandoned"]["positions"]] == ["P1"]
    assert [order["client_order_id"] for order in status["abandoned"]["orders"]] == ["X1", "T1", "T2", "T3", "T4"]
    assert picked(status, "signals", "fills", "orders", "fees_usd") == (3, 2, 6, "0.02")
    assert picked(status["this_session"], "signals", "fills", "orders", "fees_usd") == (1, 0, 0, "0")
    story = projection.why("S1")
    assert story is not None
    assert story["position"]["state"] == "ABANDONED"
    script.closed(reason="reconciled").order("ORDER_CANCELED", "T1", "tier_1", reason="reconciled")
    projection = folded(script.events)
    assert projection.status()["abandoned"]["positions"] == []
    assert "T1" not in {order["client_order_id"] for order in projection.status()["abandoned"]["orders"]}
    assert len(projection.closed()) == 1


def test_a_clean_stop_is_shown() -> None:
    script = trade().add("ENGINE_STOPPED", symbol=None, reason="operator")
    assert picked(folded(script.events).status(), "state", "state_reason") == ("STOPPED", "operator")
    halted = trade().add("STATE", symbol=None, state="HALTED", reason="drawdown 10 %")
    assert picked(folded(halted.events).status(), "state", "state_reason") == ("HALTED", "drawdown 10 %")


def test_old_signals_and_positions_are_forgotten_and_open_ones_never() -> None:
    script = trade()
    for n in range(2, 12):
        script.signal(f"S{n}").decision(f"S{n}")
        script.placed(f"E{n}", "entry", signal_id=f"S{n}", position_id=f"P{n}")
        script.fill(f"E{n}", "buy", "65000", "0.4", position_id=f"P{n}")
        script.opened(signal_id=f"S{n}", position_id=f"P{n}").closed(position_id=f"P{n}")
    projection = folded(script.events, limit=3)
    assert [row["signal_id"] for row in projection.signals()] == ["S11", "S10", "S9"]
    assert [row["position_id"] for row in projection.closed()] == ["P11", "P10"]
    assert [row["position_id"] for row in projection.positions()] == ["P1"]
    assert {order["position_id"] for order in projection.orders(all=True)} == {"P1", "P10", "P11"}
    assert projection.status()["closed"] == 10


def test_only_open_positions_and_no_room() -> None:
    script = Script()
    for n in (1, 2, 3):
        script.fill(f"E{n}", "buy", "65000", "0.4", position_id=f"P{n}").opened(position_id=f"P{n}")
    assert len(folded(script.events, limit=1).positions()) == 3


def test_the_engine_and_a_reader_answer_the_same(tmp_path: Path) -> None:
    """The engine feeds what the desks emitted (decimals, choices, tuples), a reader what the file holds."""
    script = trade().signal("S5", Direction.SHORT, price=Decimal("65000.50"))
    script.decision("S5", "taker_aggression", direction=Direction.SHORT, verdicts=tuple(VERDICTS))
    script.fill("T1", "sell", "65325", "0.1", fee=Decimal("0.0200"))
    script.events.append(
        event(len(script.events) + 1, "ORDER_ACK", script.events[-1].data | {"leg": "tier_2", "price": None})
    )
    script.fill("X1", "sell", "64350", "0.3").closed(pnl_usd=Decimal("-130.00"))
    online = folded(script.events)
    journal = Journal.open(tmp_path, account="main", mode="paper")
    journal.put(script.events)
    journal.close()
    offline = folded(list(read_events(tmp_path)))
    assert answers(online) == answers(offline)
    assert json.loads(json.dumps(answers(online))) == answers(online)
    assert online.signals()[0]["price"] == "65000.50"


def test_what_is_asked_for_does_not_change_what_is_held() -> None:
    events = trade().events
    before = [each.to_dict() | {"data": json.dumps(each.data)} for each in events]
    projection = folded(events)
    answers(projection)
    again = answers(projection)
    assert answers(folded(events)) == again
    assert [each.to_dict() | {"data": json.dumps(each.data)} for each in events] == before


def test_strategies_that_fail_are_told_until_the_next_start() -> None:
    first: dict[str, Any] = {"strategy": "fade", "error": "KeyError: 'x' (line 3)", "errors": 1}
    script = Script().add("ENGINE_STARTED", symbol=None, session=1).add("STRATEGY_ERROR", **first)
    assert folded(script.events).status()["strategy_errors"] == {
        "fade": {"errors": 1, "error": "KeyError: 'x' (line 3)", "off": False}
    }
    script.add("STRATEGY_OFF", **{**first, "errors": 10})
    assert folded(script.events).status()["strategy_errors"]["fade"] == {
        "errors": 10,
        "error": "KeyError: 'x' (line 3)",
        "off": True,
    }
    script.add("ENGINE_STARTED", symbol=None, session=2)
    assert folded(script.events).status()["strategy_errors"] == {}


def test_causes_of_the_state_have_their_beginning_and_go_with_a_new_session() -> None:
    script = Script().add("ENGINE_STARTED", symbol=None, session=1)
    both = {"pause": "paused by operator", "daily_loss": "daily loss 3.1000 %"}
    script.add("STATE", at_s=5, symbol=None, state="REDUCING", reason="", causes={"pause": both["pause"]})
    script.add("STATE", at_s=9, symbol=None, state="REDUCING", reason="", causes=both)
    assert folded(script.events).status()["causes"] == {
        "pause": {"reason": "paused by operator", "since_ns": T0 + 5 * NS},
        "daily_loss": {"reason": "daily loss 3.1000 %", "since_ns": T0 + 9 * NS},
    }
    script.add("ENGINE_STARTED", symbol=None, session=2)
    assert folded(script.events).status()["causes"] == {}


def test_blocked_symbols_outlast_a_session() -> None:
    script = Script().add("SYMBOL_BLOCKED", at_s=3, reason="operator").add("ENGINE_STARTED", symbol=None, session=2)
    assert folded(script.events).status()["blocked_symbols"] == {BTC: {"reason": "operator", "since_ns": T0 + 3 * NS}}
    script.add("SYMBOL_UNBLOCKED", reason="operator")
    assert folded(script.events).status()["blocked_symbols"] == {}


def test_why_tells_of_an_order_that_was_refused_last_before_the_wire() -> None:
    script = Script().signal("S1").add("RISK_LIMIT_BLOCK", signal_id="S1", reason="the guard's own").decision("S1")
    story = folded(script.events).why("S1")
    assert story is not None and story["refused"] is None
    script.add("RISK_LIMIT_BLOCK", signal_id="S1", reason="too far from the mark", last_look=True)
    projection = folded(script.events)
    story = projection.why("S1")
    assert story is not None and story["refused"]["reason"] == "too far from the mark"
    assert projection.signals()[0]["outcome"] == "refused"
