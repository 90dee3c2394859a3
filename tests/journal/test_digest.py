from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from bot.domain.events import Event
from bot.journal.digest import Digest
from tests.journal.journal_events import event, trade


def digest(events: list[Event]) -> str:
    result = Digest()
    result.update(events)
    return result.hexdigest()


def later_session(events: list[Event]) -> list[Event]:
    """The same decisions as a later session would journal them: other seqs, stamps and ids."""
    text = msgspec.json.encode([each.to_dict() for each in events]).decode()
    for known in ("S0", "S1", "P1", "E1", "X1", "T1", "T2", "T3", "T4"):
        text = text.replace(f'"{known}"', f'"later-{known}"')
    moved = []
    for row in json.loads(text):
        cause = row["cause"] and row["cause"] + 5000
        moved.append(Event(**(row | {"seq": row["seq"] + 5000, "ts": row["ts"] + 77, "cause": cause})))
    return moved


def caused(events: list[Event]) -> list[Event]:
    """Every event is caused by the one two before it."""
    return [msgspec.structs.replace(each, cause=each.seq - 2 if each.seq > 2 else None) for each in events]


def test_another_session_with_the_same_decisions_has_the_same_digest() -> None:
    events = caused(trade().events)
    assert later_session(events) != events
    assert digest(later_session(events)) == digest(events)


def test_batches_and_the_form_of_numbers_do_not_matter() -> None:
    events = trade().events
    parts = Digest()
    for each in events:
        parts.update([each])
    assert parts.hexdigest() == digest(events)
    as_text, as_decimal = event(1, "FILL", {"price": "65000.10"}), event(1, "FILL", {"price": Decimal("65000.10")})
    assert digest([as_text]) == digest([as_decimal])


def test_how_a_session_begins_and_ends_does_not_matter() -> None:
    """Also where what is left out lies between an event and its cause."""

    def numbered(kinds: list[str]) -> list[Event]:
        seqs = {kind: seq for seq, kind in enumerate(kinds, start=1)}
        return [event(seq, kind, frame=0, data={}, cause=seqs["SIGNAL"]) for kind, seq in seqs.items()]

    plain = numbered(["SIGNAL", "DECISION", "FILL"])
    assert digest(numbered(["ENGINE_STARTED", "SIGNAL", "DECISION", "RECONCILED", "FILL", "ENGINE_STOPPED"])) == digest(
        plain
    )
    assert digest(numbered(["ENGINE_STARTED", "SIGNAL", "DECISION", "STATE", "FILL", "ENGINE_STOPPED"])) != digest(
        plain
    )


def changed(events: list[Event], kind: str, **data: Any) -> list[Event]:
    at = next(index for index, each in enumerate(events) if each.kind == kind)
    other = msgspec.structs.replace(events[at], data=events[at].data | data)
    return [*events[:at], other, *events[at + 1 :]]


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("SIGNAL", {"price": "65000.1"}),
        ("SIGNAL", {"strength": 0.7000000001}),
        ("DECISION", {"allowed": True}),
        ("DECISION", {"verdicts": []}),
        ("DECISION", {"verdicts": [{"guard": "risk_limits", "outcome": "ABSTAIN"}]}),
        ("ORDER_INTENT", {"quantity": "0.401"}),
        ("ORDER_INTENT", {"client_order_id": "S1"}),
        ("FILL", {"fee": "0.02"}),
        ("POSITION_OPENED", {"stop_price": "64350.1"}),
        ("POSITION_OPENED", {"tiers": []}),
        ("POSITION_OPENED", {"extra": None}),
    ],
    ids=str,
)
def test_any_changed_price_order_or_verdict_shows(kind: str, data: dict[str, Any]) -> None:
    events = trade().events
    assert digest(changed(events, kind, **data)) != digest(events)


@pytest.mark.parametrize(
    "change",
    [{"kind": "X"}, {"v": 2}, {"symbol": None}, {"source": "x"}, {"frame": 3}, {"corr": None}, {"cause": 1}],
    ids=str,
)
def test_the_envelope_counts(change: dict[str, Any]) -> None:
    events = [*trade().events]
    events[4] = msgspec.structs.replace(events[4], **change)
    assert digest(events) != digest(trade().events)


def test_the_order_and_the_number_of_events_count() -> None:
    events = trade().events
    assert digest([*events[:-2], events[-1], events[-2]]) != digest(events)
    assert digest(events[:-1]) != digest(events)


def test_which_id_it_is_counts_not_how_it_is_called() -> None:
    def fills(*orders: str) -> list[Event]:
        return [
            event(seq, "FILL", {"client_order_id": order, "corr": "x"}) for seq, order in enumerate(orders, start=1)
        ]

    assert digest(fills("a", "b", "a")) == digest(fills("q", "r", "q"))
    assert digest(fills("a", "b", "a")) != digest(fills("a", "b", "b"))
