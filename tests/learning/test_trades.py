"""The trade book: what the journal says of trades and money, told once, of the last account."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from bot.learning.trades import ADOPTED, KINDS, TradeBook
from tests.learning.accounts import Account
from tests.learning.histories import HOUR, START


def book_of(account: Account) -> TradeBook:
    book = TradeBook()
    book.fold(account.events)
    return book


def test_a_trade_is_what_opened_it_and_what_closed_it() -> None:
    account = Account()
    frozen: dict[str, Any] = {"true_trend": True, "magnet": "MAGNET-WITH", "max_pain_gap_pct": 2.5}
    position = account.trade(1.5, held_s=600, direction="short", strategy="trend", symbol="ETH/USDT:USDT", **frozen)
    (trade,) = book_of(account).trades
    assert (trade.position_id, trade.strategy, trade.symbol, trade.direction) == (
        position,
        "trend",
        "ETH/USDT:USDT",
        "short",
    )
    assert (trade.pnl_usd, trade.pnl_r, trade.fees_usd, trade.funding_usd) == (
        Decimal("37.5"),
        1.5,
        Decimal(3),
        Decimal(0),
    )
    assert (trade.opened_ns, trade.closed_ns, trade.held_s) == (START, START + HOUR // 6, 600.0)
    assert (trade.entry_price, trade.exit_price, trade.quantity) == (Decimal(2500), Decimal("2502.50"), Decimal("0.03"))
    assert (trade.true_trend, trade.magnet, trade.max_pain_gap_pct, trade.max_pain_hit) == (
        True,
        "MAGNET-WITH",
        2.5,
        None,
    )


def test_the_account_is_the_last_one_and_the_earlier_ones_are_counted() -> None:
    account = Account()
    account.trade(1.0)
    account.begin(5_000).trade(-1.0)
    account.begin(None, goes_on=True).trade(2.0)
    book = book_of(account)
    assert (book.earlier_accounts, book.sessions, book.began_usd) == (1, 2, Decimal(5_000))
    assert [trade.pnl_r for trade in book.trades] == [-1.0, 2.0]
    assert len(book.fills) == 4 and len(book.shadows) == 2
    assert [change.usd for change in book.money] == [-25, 50]


def test_an_account_that_begins_earlier_by_the_clock_is_told_by_its_own_clock() -> None:
    account = Account()
    account.wait(50 * HOUR).trade(1.0)
    account.now_ns = START - HOUR  # a recording played anew
    account.begin().trade(1.0)
    book = book_of(account)
    assert (book.began_ns, book.now_ns) == (START - HOUR, START - HOUR // 2)


def test_what_the_window_of_max_pain_showed_is_found_before_the_close_and_after_it() -> None:
    account = Account()
    account.trade(1.0, hit=True)
    account.trade(-1.0, hit=False)
    account.trade(-1.0)
    early = account.open(account.decide(), shadow=False, direction="long")
    account.say("MAX_PAIN_RESULT", {"position_id": early, "hit": True, "chance": 0.3, "window_s": 1})
    account.close(early, 1.0)
    assert [trade.max_pain_hit for trade in book_of(account).trades] == [True, False, None, True]


def test_funding_after_the_close_changes_the_result_and_before_it_does_not_again() -> None:
    account = Account()
    position = account.trade(1.0, funding="-0.5")
    account.funded("open", "-0.5")  # in the result of another one
    account.funded(position, "-0.25", after_close=True, so_far="-0.75")
    account.funded(None, "0.1")  # for what nobody knows
    book = book_of(account)
    assert (book.trades[0].pnl_usd, book.trades[0].funding_usd) == (Decimal("24.75"), Decimal("-0.75"))
    assert [change.usd for change in book.money] == [25, Decimal("-0.25"), Decimal("0.1")]
    assert [row.usd for row in book.funding] == [Decimal("-0.5"), Decimal("-0.25"), Decimal("0.1")]


def test_a_result_that_is_unknown_is_no_zero() -> None:
    account = Account()
    account.trade(1.0, pnl_usd=None, funding=None)
    book = book_of(account)
    assert book.trades[0].pnl_usd is None and book.trades[0].funding_usd is None
    assert book.money == []


def test_adopted_positions_are_told_as_such() -> None:
    account = Account()
    facts = {"position_id": "P", "direction": "long", "entry_price": "1", "quantity": "2"}
    account.say("POSITION_ADOPTED", facts)
    account.close("P", -1.0, adopted=True, reason="stop")
    (trade,) = book_of(account).trades
    assert (trade.strategy, trade.signal_id, trade.direction) == (ADOPTED, None, "long")


def test_shadows_tell_who_refused_them_and_open_ones_are_counted() -> None:
    account = Account()
    refused = account.decide(by=["a"])
    account.close(account.open(refused, blocker="a", direction="long"), -0.5, repeats=3)
    account.close(account.open(account.decide(by=["b"]), blocker="b", tradable=False), 1.0)
    account.trade(1.0)
    account.open(account.decide(by=["a"]), blocker="a")
    account.open(account.decide(), shadow=False)
    book = book_of(account)
    told = [(shadow.blocker, shadow.repeats, shadow.tradable, shadow.pnl_r) for shadow in book.shadows]
    assert told == [("a", 3, True, -0.5), ("b", 0, False, 1.0), (None, 0, True, 1.0)]
    assert (len(book.open), len(book.open_shadows)) == (1, 1)


@pytest.mark.parametrize("missing", ["SIGNAL", "POSITION_OPENED"])
def test_a_journal_that_begins_in_the_middle_is_read_all_the_same(missing: str) -> None:
    account = Account()
    account.trade(1.0)
    account.events = [event for event in account.events if event.kind != missing]
    (trade,) = book_of(account).trades
    assert trade.pnl_usd == 25


def test_kinds_are_all_it_needs() -> None:
    account = Account()
    account.trade(1.0, hit=True)
    account.refused(1.0)
    account.moved("100")
    few = TradeBook()
    few.fold(event for event in account.events if event.kind in KINDS)
    assert few == book_of(account)
