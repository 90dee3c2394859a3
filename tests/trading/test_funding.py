"""Funding: published payments and rates, and who pays around the funding time."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from bot.domain.values import NS, Side
from bot.trading.account import Account
from bot.trading.funding import TOLERANCE_NS, FundingBook, funding_rate, payment_usd
from tests.trading.venue_kit import BTC, D, Market, published

DUE = 1_700_006_400 * NS
MINUTE = 60 * NS


def test_published_payments() -> None:
    for case in published("funding_payment"):
        quantity = D(case["side"]) * D(str(case["qty"]))
        assert payment_usd(quantity, D(str(case["mark"])), D(str(case["rate"]))) == D(str(case["cash"]))


def test_published_rates() -> None:
    for case in published("funding_rate"):
        rate = funding_rate(case["premium"], case["interest"], case["interval_h"])
        assert rate == pytest.approx(case["rate"], abs=1e-15)


def test_a_shorter_interval_takes_its_share_and_a_cap_holds_both_ways() -> None:
    assert funding_rate(0.001, interval_h=4) == pytest.approx(0.00025)
    assert funding_rate(0.05, cap=0.02) == 0.02
    assert funding_rate(-0.05, cap=0.02) == -0.02


class Books:
    def __init__(self) -> None:
        self.account = Account(D(1000))
        self.funding = FundingBook(self.account)

    def hold(self, change: str, at_ns: int) -> None:
        quantity = D(change)
        side = Side.BUY if quantity > 0 else Side.SELL
        self.account.book(BTC, side, D(100), abs(quantity), D(0), at_ns)

    def tell(self, at_ns: int, due_ns: int = DUE, **market: Any) -> int | None:
        fields: dict[str, Any] = {"funding_rate": 0.0001, "mark": 100.0, "next_funding_ns": due_ns} | market
        return self.funding.on_mark(BTC, Market(**fields), at_ns)

    def settle(self, due_ns: int = DUE) -> Decimal | None:
        booked = self.funding.settle(BTC, due_ns)
        return None if booked is None else booked.usd


AROUND = [
    # changes of the position (when, how much): what 0.01 % of a mark of 100 costs; the rate's sign is turned for receivers
    ([(-3600 * NS, "2")], "-0.02", "0.02"),
    ([(-3600 * NS, "-2")], "0.02", "-0.02"),
    ([(-MINUTE - 1, "2")], "-0.02", "0.02"),  # opened before the minute: pays or receives
    ([(-MINUTE, "2")], "-0.02", "0"),  # within it: pays, never receives
    ([(0, "2")], "-0.02", "0"),
    ([(MINUTE, "2")], "-0.02", "0"),
    ([(-3600 * NS, "2"), (-MINUTE - 1, "-2")], None, None),  # closed before the minute
    ([(-3600 * NS, "2"), (-MINUTE, "-2")], "-0.02", "0"),
    ([(-3600 * NS, "2"), (MINUTE, "-2")], "-0.02", "0"),
    ([(-3600 * NS, "2"), (NS, "-1")], "-0.02", "0.01"),  # receives on the least, pays on the most
    ([(-3600 * NS, "2"), (NS, "-3")], "-0.02", "-0.01"),  # turned around
    ([], None, None),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "costs", "gives"), AROUND)
@pytest.mark.parametrize("rate", [0.0001, -0.0001])
def test_who_comes_or_leaves_within_a_minute_pays_but_never_receives(
    changes: list[tuple[int, str]], costs: str | None, gives: str | None, rate: float
) -> None:
    books = Books()
    for at_ns, change in changes:
        books.hold(change, DUE + at_ns)
    books.tell(DUE - NS, funding_rate=rate)
    expected = costs if rate > 0 else gives
    assert books.settle() == (None if expected is None else D(expected))
    assert books.account.wallet_usd == 1000 + D(expected or 0)


def test_a_funding_time_is_told_once_and_booked_once() -> None:
    books = Books()
    books.hold("1", DUE - 3600 * NS)
    assert books.tell(DUE - 2 * NS) == DUE
    assert books.tell(DUE - NS) is None
    assert books.settle() == D("-0.01")
    assert books.settle() is None


UNKNOWN: list[tuple[int, dict[str, Any]]] = [
    (DUE - NS, {"funding_rate": None}),
    (DUE - NS, {"next_funding_ns": None}),
    (DUE - NS, {"mark_source": "mid"}),
    (DUE - NS, {"mark": None}),
    (DUE, {}),  # told only when it had passed
    (DUE - MINUTE - 1, {}),  # nothing came in the last minute, or the venue has moved the time
]


@pytest.mark.parametrize(("at_ns", "market"), UNKNOWN)
def test_what_is_not_known_is_not_booked(at_ns: int, market: dict[str, Any]) -> None:
    books = Books()
    books.hold("1", DUE - 3600 * NS)
    books.tell(at_ns, **market)
    assert books.settle() is None
    assert books.account.wallet_usd == 1000


def test_a_rate_told_a_minute_before_is_still_known() -> None:
    books = Books()
    books.hold("1", DUE - 3600 * NS)
    books.tell(DUE - MINUTE)
    assert books.settle() == D("-0.01")


def test_the_last_rate_and_mark_before_the_time_count() -> None:
    books = Books()
    books.hold("1", DUE - 3600 * NS)
    books.tell(DUE - TOLERANCE_NS, funding_rate=0.5, mark=1.0)
    books.tell(DUE - 1)
    books.tell(DUE, funding_rate=0.7, mark=7.0)
    books.tell(DUE - 1, due_ns=DUE + 8 * 3600 * NS, funding_rate=0.9, mark=9.0)
    assert books.settle() == D("-0.01")
