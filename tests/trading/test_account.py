"""The venue's own books of an account: wallet, positions, margin; exact to the last digit."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.values import NS, Side
from bot.trading.account import Account, Held
from tests.trading.venue_kit import BTC, ETH, D


def book(account: Account, *signed: tuple[str, str], fee: str = "0", at_ns: int = 0) -> None:
    for quantity, price in signed:
        side = Side.BUY if D(quantity) > 0 else Side.SELL
        account.book(BTC, side, D(price), abs(D(quantity)), D(fee), at_ns)


CASES = [
    # fills (signed quantity, price): what is realised, what is held and its value
    ([("2", "100")], "0", "2", "200"),
    ([("2", "100"), ("-1", "110")], "0", "1", "90"),  # realised when it is closed, part of the value until then
    ([("2", "100"), ("-1", "110"), ("-1", "90")], "0", "0", "0"),
    ([("2", "100"), ("-2", "110")], "20", "0", "0"),
    ([("-2", "100"), ("2", "110")], "-20", "0", "0"),
    ([("1", "100"), ("-3", "110")], "10", "-2", "-220"),  # turned around: closed at that price, opened at that price
    ([("-1", "100"), ("3", "110")], "-10", "2", "220"),
]


@pytest.mark.parametrize(("filled", "realised", "quantity", "value"), CASES)
def test_profit_is_realised_when_a_position_is_closed(
    filled: list[tuple[str, str]], realised: str, quantity: str, value: str
) -> None:
    account = Account(D(1000))
    book(account, *filled, fee="0.25")
    assert account.realised_usd == D(realised)
    assert account.wallet_usd == 1000 + D(realised) - D("0.25") * len(filled)
    held = {each.instrument: (each.quantity, each.value_usd) for each in account.held()}
    assert held == ({BTC: (D(quantity), D(value))} if D(quantity) else {})


def test_equity_is_at_the_last_mark_and_at_cost_without_one() -> None:
    account = Account(D(1000))
    book(account, ("2", "100"))
    assert account.equity_usd() == 1000
    assert account.see_mark(BTC, 90.0) and not account.see_mark(BTC, 90.0) and not account.see_mark(ETH, 1.0)
    assert account.equity_usd() == 980
    book(account, ("-2", "95"))
    book(account, ("2", "95"))
    assert account.equity_usd() == 990, "an old mark says nothing about a new position"


def test_margin_is_summed_over_positions() -> None:
    account = Account(D(1000))
    book(account, ("600", "100"))
    account.book(ETH, Side.SELL, D(10), D(100), D(0), 0)
    assert account.maintenance_usd() == D(60_000) * D("0.005") - 50 + D(1000) * D("0.004")


def test_what_is_booked_makes_the_next_mark_matter() -> None:
    account = Account(D(1000))
    changes: list[Callable[[], None]] = [
        lambda: book(account, ("1", "100")),
        lambda: account.pay_funding(D(-1)),
        lambda: book(account, ("5", "100")),
    ]
    for i, change in enumerate(changes):
        change()
        assert account.see_mark(BTC, 100.0 + i / 10)
        assert account.spare_usd() > 0
        assert not account.see_mark(BTC, 100.01 + i / 10), "a small move cannot cost that much"


@given(marks=st.lists(st.floats(60, 140), max_size=40), wallet=st.integers(5, 60))
def test_no_mark_that_matters_is_passed_over(marks: list[float], wallet: int) -> None:
    """A look is spared only where it could not have found anything."""
    account = Account(D(wallet))
    book(account, ("1", "100"))
    account.book(ETH, Side.SELL, D(100), D("0.5"), D(0), 0)
    for i, mark in enumerate(marks):
        look = account.see_mark((BTC, ETH)[i % 2], mark)
        assert look or account.equity_usd() > account.maintenance_usd()
        if look and account.spare_usd() <= 0:
            return


def test_extremes_remember_two_minutes() -> None:
    account = Account(D(1000))
    book(account, ("1", "100"), at_ns=100 * NS)
    book(account, ("-3", "100"), at_ns=110 * NS)
    assert account.extremes(BTC, 100 * NS) == (D(-2), D(1))
    assert account.extremes(BTC, 110 * NS) == (D(-2), D(1))
    assert account.extremes(BTC, 110 * NS + 1) == (D(-2), D(-2))
    book(account, ("2", "100"), at_ns=400 * NS)
    assert account.extremes(BTC, 0) == (D(-2), D(0))
    assert account.extremes(ETH, 0) == (D(0), D(0))


def test_restoring_gives_the_same_account() -> None:
    account, again = Account(D(1000)), Account(D(7))
    book(account, ("2", "100"), ("-1", "110"), fee="0.1")
    account.pay_funding(D("-0.5"))
    again.restore(account.wallet_usd, account.held())
    assert (again.wallet_usd, again.equity_usd(), again.held()) == (
        account.wallet_usd, account.equity_usd(), account.held())  # fmt: skip
    for each in (account, again):
        book(each, ("-1", "120"))
    assert again.wallet_usd == account.wallet_usd and again.positions() == {}
    assert Held(instrument=BTC, quantity=D(1), value_usd=D(90)) not in again.held()


FILLS = st.lists(
    st.tuples(
        st.decimals("-50", "50", places=3).filter(bool),
        st.decimals("0.01", "99999", places=2),
        st.decimals("-1", "1", places=8),
        st.decimals("-5", "5", places=10),
    ),
    max_size=25,
)


@given(filled=FILLS, mark=st.decimals("0.01", "99999", places=2))
def test_equity_is_start_plus_cash_plus_what_is_held(
    filled: list[tuple[Decimal, Decimal, Decimal, Decimal]], mark: Decimal
) -> None:
    account, cash, held = Account(D(1000)), Fraction(1000), Fraction(0)
    for quantity, price, fee, funding in filled:
        book(account, (str(quantity), str(price)), fee=str(fee))
        account.pay_funding(funding)
        cash += Fraction(funding) - Fraction(fee) - Fraction(quantity) * Fraction(price)
        held += Fraction(quantity)
    account.see_mark(BTC, float(mark))
    assert Fraction(account.equity_usd()) == cash + held * Fraction(mark)
    assert account.wallet_usd == 1000 + account.realised_usd - account.fees_usd + account.funding_usd
