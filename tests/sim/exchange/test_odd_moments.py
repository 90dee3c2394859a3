"""What the exchange does where two things come together that seldom do: delisted while orders rest, no book, several accounts at one price."""

from __future__ import annotations

from decimal import Decimal

import pytest

from bot.sim.exchange.ledger import Income
from bot.sim.exchange.notices import MarginCall
from bot.sim.exchange.records import Kind, PositionSide, SelfTrade, Tif
from bot.sim.refusals import Refused
from tests.sim.exchange.floor import BTC, ETH, Floor, check_books


def wide() -> Floor:
    """A book far away on both sides."""
    floor = Floor()
    floor.show(BTC, [(59_000.0, 5.0)], [(61_000.0, 5.0)])
    return floor


def blind(floor: Floor) -> None:
    floor.books[BTC].bids, floor.books[BTC].asks = [], []


def left_nothing(floor: Floor) -> None:
    """Nothing of an order is left behind."""
    working = {int(each.order.client_order_id) for each in floor.core.matching.working()}
    assert working == {number for account in floor.accounts for number in account.open_orders}
    assert {int(number) for number in floor.core.matching._terms} == working
    for account in floor.accounts:
        check_books(account)


# --- between orders ---


def test_an_amended_order_keeps_its_own_self_trade_prevention() -> None:
    floor = wide()
    floor.order(0, "sell", "0.1", 60_100)
    order = floor.order(0, "buy", "0.1", 59_900)
    floor.order(1, "buy", "0.1", 59_100, self_trade=SelfTrade.NONE)  # another account's wish
    floor.core.amend(floor.accounts[0], BTC, order.order_id, None, True, Decimal("0.1"), Decimal(60_100))
    assert not floor.accounts[0].trades
    left_nothing(floor)


def test_a_book_that_comes_through_serves_the_best_price_first() -> None:
    floor = wide()
    worse, better = floor.order(0, "buy", 1, 59_990), floor.order(1, "buy", 1, 59_995)
    floor.show(BTC, [(59_000.0, 1.0)], [(59_980.0, 1.0), (61_000.0, 1.0)])
    assert [worse.filled, better.filled] == [0, 1]


def test_orders_that_waited_for_a_book_meet_once() -> None:
    floor = wide()
    blind(floor)
    buys, sells = floor.order(0, "buy", 1, 60_200), floor.order(1, "sell", 1, 60_100)
    floor.show(BTC, [(60_150.0, 5.0)], [(61_000.0, 1.0)])
    assert (buys.status, sells.status) == ("FILLED", "FILLED")
    assert [floor.quantity(0), floor.quantity(1)] == [1, -1]
    left_nothing(floor)


def test_an_order_that_self_trade_prevention_ended_ends_no_other() -> None:
    floor = wide()
    blind(floor)
    buys, sells = floor.order(0, "buy", 1, 60_200), floor.order(0, "sell", 1, 60_100)
    floor.show(BTC, [(60_150.0, 5.0)], [(61_000.0, 1.0)])
    assert (buys.status, sells.status) == ("NEW", "EXPIRED_IN_MATCH")
    left_nothing(floor)


def test_fill_or_kill_does_not_count_one_reduction_twice() -> None:
    floor = wide()
    floor.order(1, "buy", 1, 61_000)
    for _ in range(2):
        floor.order(1, "sell", 1, 60_000, reduce_only=True)
    with pytest.raises(Refused, match="FOK order"):
        floor.order(0, "buy", 2, 60_000, tif=Tif.FOK)
    assert floor.order(0, "buy", 1, 60_000, tif=Tif.FOK).status == "FILLED"


@pytest.mark.parametrize("mode", [SelfTrade.EXPIRE_TAKER, SelfTrade.EXPIRE_BOTH])
def test_fill_or_kill_does_not_end_half_way_at_its_own_account(mode: SelfTrade) -> None:
    floor = wide()
    for of in (1, 0, 1):
        floor.order(of, "sell", 1, 60_000)
    with pytest.raises(Refused, match="FOK order"):
        floor.order(0, "buy", 2, 60_000, tif=Tif.FOK, self_trade=mode)
    assert not floor.accounts[0].trades


# --- of the market ---


def test_a_countdown_ends_on_a_delisted_symbol() -> None:
    floor = Floor()
    floor.order(0, "buy", "0.1", 59_000)
    floor.core.count_down(floor.accounts[0], BTC, 1000)
    floor.core.delisted = {BTC}
    floor.pass_s(2)
    floor.mark(ETH, 3_000.0)
    left_nothing(floor)
    assert not floor.accounts[0].open_orders


def test_an_account_with_orders_on_a_delisted_symbol_is_liquidated() -> None:
    floor = Floor(usd=10_000)
    floor.order(0, "buy", "0.1", 59_000)
    floor.order(0, "buy", 20, symbol=ETH)
    floor.core.delisted = {BTC}
    floor.around(ETH, 2_000.0)
    assert not floor.quantity(0, ETH)
    assert not floor.accounts[0].open_orders
    left_nothing(floor)


def test_a_liquidation_without_a_book_goes_to_the_fund_and_leaves_no_order() -> None:
    floor = Floor(usd=10_000)
    floor.order(0, "buy", 2)
    blind(floor)
    floor.mark(BTC, 50_000.0)
    assert not floor.quantity(0)
    assert [each.status for each in floor.accounts[0].orders.values() if each.forced] == ["EXPIRED", "FILLED"]
    left_nothing(floor)


def test_a_position_over_the_largest_order_is_liquidated() -> None:
    floor = Floor(usd=100_000_000)
    account = floor.accounts[0]
    floor.core.settings.set_leverage(account, ETH, 4)
    for _ in range(2):
        floor.show(ETH, [(2_999.0, 50_000.0)], [(3_001.0, 50_000.0)])
        floor.order(0, "buy", 9_000, 3_001, symbol=ETH)
        floor.pass_s(5)
    account.ledger.enter(floor.ms, Income.TRANSFER, Decimal(-88_000_000))
    floor.around(ETH, 2_300.0, 50_000.0)
    assert not floor.quantity(0, ETH)
    assert not account.open_orders
    assert account.wallet >= 0
    book = [each for each in account.orders.values() if each.forced and each.client_id.endswith(ETH)]
    assert [each.quantity for each in book] == [10_000], "the book was not asked for what it may be asked for"
    left_nothing(floor)


def test_funding_is_paid_once_though_later_marks_still_name_it() -> None:
    floor = Floor()
    floor.order(0, "buy", 1)
    due_ms = floor.ms + 1000
    for _ in range(4):
        floor.mark(BTC, 60_000.0, 0.001, due_ms)
        floor.pass_s(1)
    floor.mark(BTC, 60_000.0, 0.001, due_ms + 8 * 3_600_000)
    paid = [each.amount for each in floor.accounts[0].ledger.entries() if each.kind is Income.FUNDING_FEE]
    assert paid == [-60]


# --- margin ---


def test_a_margin_call_is_made_once_though_another_position_is_well() -> None:
    floor = Floor()
    account, core = floor.accounts[0], floor.core
    core.settings.set_isolated(account, BTC, True)
    core.settings.set_hedged(account, True)
    core.settings.set_leverage(account, BTC, 100)
    floor.order(0, "buy", 1, position_side=PositionSide.LONG)
    floor.order(0, "sell", 1, position_side=PositionSide.SHORT)
    for mark in (59_655.0, 59_655.0, 60_000.0, 59_655.0):
        floor.pass_s(1)
        floor.mark(BTC, mark)
    calls = [notice for _, notice in floor.told if isinstance(notice, MarginCall)]
    assert [[each.side for each in call.positions] for call in calls] == [[PositionSide.LONG]] * 2


def test_who_closes_below_bankruptcy_is_left_with_nothing_and_owes_nothing() -> None:
    floor = Floor(usd=1000)
    account, fund_usd = floor.accounts[0], floor.liquidator.fund_usd
    floor.core.settings.set_leverage(account, BTC, 100)
    floor.order(0, "buy", 1)
    floor.show(BTC, [(58_500.0, 10.0)], [(60_001.0, 1.0)])  # mark has not moved yet
    floor.order(0, "sell", 1, reduce_only=True)
    owed = account.wallet
    assert owed < 0
    floor.mark(BTC, 58_500.0)
    assert account.wallet == 0
    assert floor.liquidator.fund_usd == fund_usd + owed
    left_nothing(floor)


# --- far from mark ---


@pytest.mark.parametrize(("side", "best", "beyond"), [("buy", 62_999.0, 63_001.0), ("sell", 57_001.0, 56_999.0)])
def test_a_market_order_takes_nothing_farther_from_mark_than_the_venue_lets_it(
    side: str, best: float, beyond: float
) -> None:
    """An isolated position opened at any price would have more margin than its account ever had."""
    floor = Floor()
    rungs = [(best, 1.0), (beyond, 9.0)]
    floor.show(BTC, *([(59_999.0, 1.0)], rungs) if side == "buy" else (rungs, [(60_001.0, 1.0)]))
    order = floor.order(0, side, 2)
    assert (order.status, order.filled, order.average) == ("EXPIRED", Decimal(1), Decimal(str(best)))
    floor.show(BTC, *([(59_999.0, 1.0)], rungs[1:]) if side == "buy" else (rungs[1:], [(60_001.0, 1.0)]))
    with pytest.raises(Refused) as refused:
        floor.order(0, side, 1)
    assert refused.value.code == -4131
    left_nothing(floor)


def test_a_stop_that_finds_no_price_near_mark_is_rejected() -> None:
    floor = Floor()
    floor.order(0, "buy", 1)
    stop = floor.algo(0, "sell", Kind.STOP_MARKET, trigger_price=59_000, close_position=True)
    floor.show(BTC, [(50_000.0, 5.0)], [(60_001.0, 1.0)])
    floor.trade(BTC, 58_900.0, 1.0, buys=False)
    floor.show(BTC, [(50_000.0, 6.0)], [(60_001.0, 1.0)])
    assert stop.status == "REJECTED" and "PERCENT_PRICE" in stop.reason
    assert floor.quantity(0) == 1
    left_nothing(floor)


def test_more_leverage_must_do_for_open_orders_too() -> None:
    floor = Floor()
    account, settings = floor.accounts[0], floor.core.settings
    resting = floor.order(0, "buy", 1, 59_000)  # 125 times is for 50,000 USD at most
    with pytest.raises(Refused) as refused:
        settings.set_leverage(account, BTC, 125)
    assert refused.value.code == -2027 and account.position(BTC).leverage == 20
    floor.core.cancel(account, BTC, resting.order_id, None)
    settings.set_leverage(account, BTC, 125)


def test_a_conditional_orders_client_id_that_another_has_taken_meanwhile_is_not_given_twice() -> None:
    floor = Floor()
    account = floor.accounts[0]
    stop = floor.algo(0, "buy", Kind.STOP, 1, trigger_price=60_500, price=60_400, client_id="mine")
    first = floor.order(0, "buy", 1, 59_000, client_id="mine")
    floor.trade(BTC, 60_600.0, 1.0, buys=True)
    floor.around(BTC, 60_600.0)
    assert stop.order is not None and stop.order.open and stop.order.client_id != "mine"
    assert floor.core.find(account, BTC, None, "mine") is first
