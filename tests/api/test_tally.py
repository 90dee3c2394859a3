"""What is counted from the events: lost books, answers of the venue, positions without a stop."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest

from bot.api.tally import ACK_BOUNDS_S, Lost, Spread, Tally
from bot.domain.events import Event
from bot.domain.values import NS

BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"
SEQ = count(1)


def told(tally: Tally, at_s: float, kind: str, symbol: str | None = BTC, **data: Any) -> None:
    tally.on_events(
        [
            Event(
                seq=next(SEQ),
                ts=round(at_s * NS),
                frame=1,
                kind=kind,
                v=1,
                account="main",
                mode="paper",
                symbol=symbol,
                source="test",
                corr=None,
                cause=None,
                data=data,
            )
        ]
    )


def order(tally: Tally, at_s: float, kind: str, leg: str, command: str = "place", name: str = "") -> None:
    told(tally, at_s, kind, client_order_id=name or leg, position_id="P1", leg=leg, command=command)


def fill(tally: Tally, at_s: float, leg: str = "entry") -> None:
    told(tally, at_s, "FILL", position_id="P1", leg=leg, client_order_id="entry")


@pytest.mark.parametrize(
    ("reason", "cause"),
    [
        ("gap: expected pu 4, got 9", "gap"),
        ("crossed: bid 3 >= ask 2", "crossed"),
        ("snapshot 7: no levels", "snapshot"),
        ("no snapshot within 1000 changes, they were dropped", "snapshot"),
        ("no bids left", "levels"),
        ("asks: a price twice", "levels"),
        ("silent for 5 s on wss://somewhere/17", "feed"),
    ],
)
def test_a_lost_book_counts_for_its_symbol_under_a_cause_of_a_fixed_set(reason: str, cause: str) -> None:
    tally = Tally()
    told(tally, 1, "BOOK_RESYNC", usable=False, reason=reason)
    told(tally, 2, "BOOK_RESYNC", usable=True, reason="complete and in sequence")
    assert dict(tally.resyncs) == {Lost(BTC, "book", cause): 1}
    assert (tally.lost_books(BTC), tally.lost_books(ETH)) == (1, 0)


def test_a_book_that_only_shows_walls_is_told_apart() -> None:
    tally = Tally()
    told(tally, 1, "BOOK_RESYNC", usable=False, reason="gap: x", book="okx:BTC-USDT-SWAP")
    assert dict(tally.resyncs) == {Lost(BTC, "walls", "gap"): 1}
    assert tally.lost_books(BTC) == 0


def test_an_acknowledgement_is_timed_from_the_sending_and_by_command() -> None:
    tally = Tally()
    for at_s, kind, command in (
        (1.0, "ORDER_SENT", "place"),
        (1.2, "ORDER_ACK", "place"),
        (2.0, "ORDER_SENT", "cancel"),
    ):
        order(tally, at_s, kind, "tier_1", command)
    order(tally, 2.5, "ORDER_CANCELED", "tier_1", "cancel")
    assert {command: round(spread.sum, 9) for command, spread in tally.ack_s.items()} == {"place": 0.2, "cancel": 0.5}
    assert dict(tally.answers) == {("place", "ack"): 1, ("cancel", "canceled"): 1}


def test_what_was_refused_or_unknown_is_counted_and_not_timed() -> None:
    tally = Tally()
    for name, kind in (("a", "ORDER_REJECTED"), ("b", "ORDER_UNKNOWN")):
        order(tally, 1, "ORDER_SENT", "entry", name=name)
        order(tally, 2, kind, "entry", name=name)
    order(tally, 3, "ORDER_CANCELED", "entry", name="never sent")
    assert dict(tally.answers) == {("place", "rejected"): 1, ("place", "unknown"): 1}
    assert not tally.ack_s


def test_orders_that_nobody_answers_do_not_pile_up() -> None:
    tally = Tally()
    for number in range(3000):
        order(tally, number, "ORDER_SENT", "entry", name=str(number))
    assert len(tally._sent) == 1000


def test_a_position_is_bare_until_the_venue_has_its_stop() -> None:
    tally = Tally()
    fill(tally, 1.0)
    fill(tally, 1.1)  # the rest of the entry does not begin it anew
    assert tally.unprotected(2 * NS) == {BTC: 1.0}
    order(tally, 1.2, "ORDER_SENT", "stop")
    assert BTC in tally.unprotected(2 * NS)  # sent is not seen
    order(tally, 1.5, "ORDER_ACK", "stop")
    assert tally.unprotected(2 * NS) == {}
    assert (tally.gap_s.sum, tally.gap_s.cumulative()[-1]) == (0.5, 1)


@pytest.mark.parametrize("kind", ["ORDER_CANCELED"])
def test_a_stop_that_is_gone_leaves_it_bare_unless_another_rests(kind: str) -> None:
    tally = Tally()
    fill(tally, 1)
    order(tally, 1, "ORDER_ACK", "stop", name="old")
    order(tally, 2, "ORDER_ACK", "stop", name="new")
    order(tally, 3, kind, "stop", name="old")
    assert tally.unprotected(4 * NS) == {}
    order(tally, 5, kind, "stop", name="new")
    assert tally.unprotected(7 * NS) == {BTC: 2.0}


def test_a_stop_that_is_refused_protects_nothing_and_an_amendment_that_is_refused_changes_nothing() -> None:
    tally = Tally()
    fill(tally, 1)
    order(tally, 2, "ORDER_REJECTED", "stop")
    assert tally.unprotected(3 * NS) == {BTC: 2.0}
    order(tally, 3, "ORDER_ACK", "stop", name="second")
    order(tally, 4, "ORDER_REJECTED", "stop", "amend", name="second")
    assert tally.unprotected(5 * NS) == {}


def test_what_is_closed_needs_no_stop() -> None:
    tally = Tally()
    fill(tally, 1)
    told(tally, 3, "POSITION_CLOSED", position_id="P1")
    order(tally, 4, "ORDER_CANCELED", "stop")
    assert tally.unprotected(5 * NS) == {}
    assert tally.gap_s.sum == 2.0


def test_a_session_counts_from_nought_and_knows_the_stops_that_still_rest() -> None:
    tally = Tally()
    told(tally, 1, "BOOK_RESYNC", usable=False, reason="gap: x")
    fill(tally, 1)
    order(tally, 2, "ORDER_ACK", "stop")
    told(tally, 3, "ENGINE_STARTED", None, session=2, life=1)
    assert (tally.lost_books(BTC), tally.gap_s.cumulative()[-1], dict(tally.answers)) == (0, 0, {})
    order(tally, 4, "ORDER_CANCELED", "stop")
    assert tally.unprotected(6 * NS) == {BTC: 2.0}
    told(tally, 7, "ENGINE_STARTED", None, session=3, life=3)  # another account: that position is no more
    assert tally.unprotected(8 * NS) == {}


def test_a_value_at_a_bound_counts_as_within_it() -> None:
    spread = Spread(ACK_BOUNDS_S)
    for value in (0.01, 0.0100001, 99.0):
        spread.add(value)
    assert spread.cumulative()[:2] == [1, 2] and spread.cumulative()[-2:] == [2, 3]
