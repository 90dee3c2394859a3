"""The figures of a report, worked out by hand."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.values import NS
from bot.learning.performance import profit_factor
from bot.learning.proportions import wilson
from bot.learning.tearsheet import curve_of, months_of, sheet
from bot.learning.trades import Change, TradeBook
from tests.learning.accounts import Account, busy
from tests.learning.histories import BLOCK, START


def book_of(account: Account) -> TradeBook:
    book = TradeBook()
    book.fold(account.events)
    return book


def ns(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * NS


def test_equity_and_drawdown() -> None:
    money = [Change(1, Decimal(200), False), Change(2, Decimal(-300), False), Change(3, Decimal(50), False)]
    curve = curve_of(0, Decimal(1000), money)
    assert [point.equity_usd for point in curve] == [1000, 1200, 900, 950]
    assert [point.drawdown_usd for point in curve] == [0, 0, -300, -250]
    assert [point.drawdown_pct for point in curve] == pytest.approx([0, 0, -25, -100 * 250 / 1200])


@pytest.mark.parametrize("usd", [-500, 500])
def test_a_transfer_is_neither_profit_nor_drawdown(usd: int) -> None:
    curve = curve_of(0, Decimal(1000), [Change(1, Decimal(-100), False), Change(2, Decimal(usd), True)])
    assert curve[-1].equity_usd == 900 + usd
    assert curve[-1].drawdown_usd == -100  # before and after
    account = Account()
    account.trade(-4.0)
    account.moved(str(usd))
    told = sheet(book_of(account))
    assert (told["pnl_usd"], told["transfers_usd"], told["equity_usd"]) == ("-100.0000", str(usd), f"{9900 + usd}.0000")


def test_the_curve_never_goes_back_in_time() -> None:
    money = [Change(ts_ns, Decimal(1), False) for ts_ns in (5, 3, 7)]
    assert [point.ts_ns for point in curve_of(0, None, money)] == [0, 5, 5, 7]


def test_a_trade_that_brought_nothing_is_neither_won_nor_lost() -> None:
    account = Account()
    for r in (1.0, 0.0, -1.0):
        account.trade(r)
    side = sheet(book_of(account))["sides"]["all"]
    assert (side["trades"], side["won"], side["lost"]) == (3, 1, 1)


def test_without_a_starting_sum_there_are_no_percentages() -> None:
    account = Account()
    account.begin(None).trade(1.0)
    told = sheet(book_of(account))
    assert [point["drawdown_pct"] for point in told["curve"]] == [None, None]
    assert (told["began_usd"], told["pnl_usd"], told["months"][0]["return_pct"]) == (None, "25.0000", None)


def test_nothing_at_all_is_told_as_such() -> None:
    told = sheet(TradeBook())
    assert (told["sessions"], told["trades"], told["months"], told["pnl_usd"]) == (0, [], [], "0")
    assert told["sides"]["all"]["win_rate"] is None and told["sides"]["all"]["mean_r"] is None
    assert len(told["curve"]) == 1


def test_months_are_of_utc_and_none_is_left_out() -> None:
    book = TradeBook(began_usd=Decimal(1000))
    for at, usd, transfer in (
        ("2026-01-31 23:59:59", 100, False),
        ("2026-02-01 00:00:00", -110, False),
        ("2026-02-10 00:00:00", 10, True),
        ("2026-04-01 00:00:00", 50, False),
    ):
        book.money.append(Change(ns(at), Decimal(usd), transfer))
    told = [(month.month, int(month.pnl_usd), month.return_pct) for month in months_of(book)]
    assert told == [("2026-01", 100, 10.0), ("2026-02", -110, -10.0), ("2026-03", 0, 0.0), ("2026-04", 50, 5.0)]


def test_months_count_trades_by_their_close() -> None:
    account = Account()
    account.now_ns = ns("2026-12-31 23:00:00")
    account.trade(1.0, held_s=7200)
    account.trade(-1.0)
    account.trade(0.0)
    (month,) = sheet(book_of(account))["months"]
    assert (month["month"], month["trades"], month["won"], month["pnl_usd"]) == ("2027-01", 3, 1, "0.0000")


def test_longs_and_shorts_are_never_pooled_but_in_all() -> None:
    account = Account()
    for r in (2.0, -1.0, 1.0):
        account.trade(r, direction="long")
        account.wait(BLOCK)
    account.trade(-1.0, direction="short", fee="2")
    account.trade(1.0, direction="short", pnl_usd=None)
    sides = sheet(book_of(account))["sides"]
    assert {name: side["trades"] for name, side in sides.items()} == {"all": 5, "long": 3, "short": 2}
    long, short = sides["long"], sides["short"]
    assert (long["won"], long["lost"], long["pnl_usd"], long["fees_usd"]) == (2, 1, "50.0000", "9.0")
    assert (long["win_lo"], long["win_hi"]) == wilson(2, 3)
    factor = profit_factor([50.0, -25.0, 25.0])
    assert factor is not None and long["profit_factor"]["value"] == factor.value == 3.0
    assert (long["best_usd"], long["worst_usd"]) == ("50.0000", "-25.0000")
    assert (long["mean_win_usd"], long["mean_loss_usd"]) == ("37.5000", "-25.0000")
    assert (short["unknown"], short["won"], short["win_rate"], short["profit_factor"]) == (1, 0, 0.0, None)
    assert (long["effective_n"], long["mean_r"]) == (3, pytest.approx(2 / 3))


def test_the_mean_is_of_blocks_and_has_an_interval_from_twenty_on() -> None:
    account = Account()
    for i in range(19):
        account.now_ns = START + i * BLOCK
        account.trade(1.0 + i % 2)
        account.trade(3.0)  # in the same block
    nineteen = sheet(book_of(account))["sides"]["all"]
    assert (nineteen["effective_n"], nineteen["lo_r"]) == (19, None)
    account.now_ns = START + 19 * BLOCK
    account.trade(1.0)
    twenty = sheet(book_of(account))["sides"]["all"]
    assert twenty["effective_n"] == 20 and twenty["lo_r"] < twenty["mean_r"] < twenty["hi_r"]


@given(st.lists(st.tuples(st.integers(-500, 500), st.booleans()), max_size=40))
def test_the_curve_ends_where_the_sums_do_and_never_rises_above_its_peak(changes: list[tuple[int, bool]]) -> None:
    money = [Change(i, Decimal(usd), transfer) for i, (usd, transfer) in enumerate(changes)]
    curve = curve_of(0, Decimal(10_000), money)
    assert curve[-1].equity_usd == 10_000 + sum(usd for usd, _ in changes)
    assert all(point.drawdown_usd <= 0 for point in curve)
    assert [point.ts_ns for point in curve] == sorted(point.ts_ns for point in curve)


def test_all_of_it_adds_up() -> None:
    told: dict[str, Any] = sheet(book_of(busy(200)))
    results = [Decimal(trade["pnl_usd"]) for trade in told["trades"]]
    assert Decimal(told["pnl_usd"]) == sum(results) == sum(Decimal(month["pnl_usd"]) for month in told["months"])
    assert Decimal(told["equity_usd"]) == 10_000 + sum(results) == Decimal(told["curve"][-1]["equity_usd"])
    both = [told["sides"][name] for name in ("long", "short")]
    assert sum(side["trades"] for side in both) == len(results) == 200
    assert sum(Decimal(side["pnl_usd"]) for side in both) == sum(results)
    assert told["deepest"] in told["curve"]
