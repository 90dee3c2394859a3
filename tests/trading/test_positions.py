"""Entry rule, fills to positions, money, and what a closed position says. A script: messages in, commands and events out."""

from __future__ import annotations

from decimal import Decimal

import pytest

from bot.domain.messages import StopRequest
from bot.domain.orders import CancelOrder, OrderStatus, OrderType, TimeInForce
from bot.domain.values import NS, Direction, Side
from tests.build import BTC, NOW
from tests.trading.desks import Desks


@pytest.mark.parametrize(
    ("direction", "side", "price"),
    [(Direction.LONG, Side.BUY, "65065.5"), (Direction.SHORT, Side.SELL, "64934.6")],
)
def test_an_entry_is_one_ioc_limit_ten_bps_beyond_the_opposite_best(
    direction: Direction, side: Side, price: str
) -> None:
    # Best 64999.5 / 65000.5; the buy limit rounds down, the sell limit up: never more is paid than asked for.
    desks = Desks()
    desks.decide(direction)
    (order,) = desks.orders()
    assert (order.side, order.type, order.tif, order.price) == (side, OrderType.LIMIT, TimeInForce.IOC, Decimal(price))
    assert order.quantity == Decimal("0.04")
    assert desks.portfolio.pending(BTC)


@pytest.mark.parametrize(("age_s", "expired"), [(10.0, False), (10.001, True)])
def test_a_signal_expires_after_ten_seconds(age_s: float, expired: bool) -> None:
    desks = Desks()
    idea_ns = NOW
    desks.at(age_s)
    desks.decide(price=Decimal(65000))
    desks.events.clear()
    desks.commands.clear()
    late = Desks().at(age_s)
    late.say(_decision_at(idea_ns))
    assert bool(late.orders()) is not expired
    assert ("SIGNAL_EXPIRED" in late.kinds()) is expired


def _decision_at(ts_ns: int):  # type: ignore[no-untyped-def]
    from bot.domain.values import Decision
    from tests.build import signal

    return Decision(
        signal=signal(ts_ns=ts_ns),
        allowed=True,
        blocker=None,
        verdicts=(),
        multiplier=1.0,
        quantity=Decimal("0.04"),
        stop_distance=Decimal("0.01"),
    )


@pytest.mark.parametrize(
    ("reference", "expired"),
    # the ask is 65000.5: 0.3 % above 64,806.08 and 0.3 % under 65,196.09
    [("64806.0", True), ("64806.1", False), ("65196.0", False), ("65196.1", True)],
)
def test_a_signal_expires_when_price_moved_more_than_three_tenths_of_a_percent(reference: str, expired: bool) -> None:
    desks = Desks()
    desks.decide(price=Decimal(reference))
    assert ("SIGNAL_EXPIRED" in desks.kinds()) is expired
    assert bool(desks.orders()) is not expired


def test_without_a_book_a_signal_expires_instead_of_guessing_a_price() -> None:
    desks = Desks()
    desks.view.market(BTC).ask = None
    desks.decide()
    assert desks.event("SIGNAL_EXPIRED")["reason"] == "no order book"
    assert not desks.orders()


def test_entry_price_is_the_mean_of_the_fills_and_a_repeated_fill_counts_once() -> None:
    desks = Desks()
    desks.decide(quantity="0.03")
    entry = desks.orders("entry")[0]
    desks.fill(entry, "65000", "0.01", fee="0.325", trade_id="A")
    desks.fill(entry, "65003", "0.02", fee="0.65", trade_id="B")
    desks.fill(entry, "65003", "0.02", fee="0.65", trade_id="B")
    desks.report(entry, OrderStatus.FILLED)
    assert desks.event("POSITION_OPENED")["entry_price"] == "65002"
    assert desks.event("POSITION_OPENED")["quantity"] == "0.03"
    assert desks.portfolio.wallet_usd == Decimal("9999.025")


def test_an_entry_that_fills_nothing_leaves_nothing_behind() -> None:
    desks = Desks()
    desks.decide()
    desks.report(desks.orders("entry")[0], OrderStatus.EXPIRED)
    assert not desks.portfolio.pending(BTC)
    assert desks.portfolio.position(BTC) is None
    assert "POSITION_OPENED" not in desks.kinds()


@pytest.mark.parametrize(
    ("direction", "exit_price", "pnl"),
    # 0.04 x 100 = 4 USD less fees of 1.3 + 1.3
    [(Direction.LONG, "65100", "1.4"), (Direction.LONG, "64900", "-6.6"), (Direction.SHORT, "64900", "1.4")],
)
def test_a_closed_position_tells_profit_after_fees_in_usd_and_r(
    direction: Direction, exit_price: str, pnl: str
) -> None:
    desks = Desks()
    desks.decide(direction)
    entry = desks.orders("entry")[0]
    desks.fill(entry, "65000", "0.04", fee="1.3")
    desks.report(entry, OrderStatus.FILLED)
    desks.at(90)
    desks.fill(desks.orders("stop")[0], exit_price, "0.04", fee="1.3")
    closed = desks.event("POSITION_CLOSED")
    assert Decimal(closed["pnl_usd"]) == Decimal(pnl)
    assert closed["pnl_r"] == pytest.approx(float(pnl) / 26.0, abs=1e-4)  # 1 R = 0.04 x 65,000 x 1 %
    assert (closed["reason"], closed["fees_usd"], closed["held_s"]) == ("stop", "2.6", 90.0)
    assert desks.portfolio.equity_usd() == Decimal(10_000) + Decimal(pnl)
    assert desks.portfolio.position(BTC) is None
    assert desks.portfolio.last_close_ns(BTC) == NOW + 90 * NS
    assert desks.portfolio.last_stop_ns(BTC, direction) == NOW + 90 * NS
    assert desks.portfolio.last_stop_ns(BTC, direction.opposite) is None


def test_equity_follows_the_mark_to_the_last_digit_also_when_the_mean_price_has_no_end() -> None:
    desks = Desks()
    desks.decide(quantity="0.03")
    entry = desks.orders("entry")[0]
    desks.fill(entry, "65000", "0.01")
    desks.fill(entry, "65000.1", "0.02")  # mean 65000.0666...
    desks.report(entry, OrderStatus.FILLED)
    desks.view.market(BTC).mark = 65010.0
    assert desks.portfolio.equity_usd() == Decimal(10_000) + Decimal("0.01") * 10 + Decimal("0.02") * Decimal("9.9")


def test_funding_is_unknown_not_zero_when_a_funding_time_passed_while_open() -> None:
    desks = Desks()
    stop = desks.open()
    desks.at(8 * 3600)
    desks.fill(stop, "65000", "0.04")
    assert desks.event("POSITION_CLOSED")["funding_usd"] is None


def test_entries_of_the_day_are_counted_and_a_new_utc_day_starts_over() -> None:
    desks = Desks()
    desks.open()
    assert (desks.portfolio.entries_today(NOW, BTC), desks.portfolio.entries_today(NOW)) == (1, 1)
    assert desks.portfolio.entries_today(NOW + 86_400 * NS) == 0


def test_a_clean_stop_cancels_the_entry_that_is_on_its_way_and_nothing_else() -> None:
    desks = Desks()
    desks.decide()
    desks.say(StopRequest(reason="tape ended"))
    assert [c.order.leg for c in desks.commands if isinstance(c, CancelOrder)] == ["entry"]


def test_a_refused_cancel_of_a_filled_entry_changes_nothing() -> None:
    desks = Desks()
    desks.open()
    desks.report(desks.orders("entry")[0], OrderStatus.REJECTED, command="cancel", reason="order is finished")
    assert desks.kinds().count("POSITION_OPENED") == 1
    assert len(desks.orders("tier")) == 4


def test_a_report_about_an_order_nobody_knows_is_a_discrepancy_not_a_crash() -> None:
    desks = Desks()
    stop = desks.open()
    stranger = type(stop)(**{f: getattr(stop, f) for f in stop.__struct_fields__} | {"client_order_id": "STRANGER"})
    desks.fill(stranger, "65000", "0.01")
    desks.report(stranger, OrderStatus.ACK)
    assert desks.kinds().count("DISCREPANCY") == 2
    assert desks.portfolio.position(BTC) is not None
