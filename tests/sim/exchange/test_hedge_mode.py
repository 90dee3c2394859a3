"""Hedge mode: a long and a short position of one symbol, opened and closed apart, with one leverage and one cross wallet."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from bot.sim.exchange.account import Resting, TradingAccount
from bot.sim.exchange.ledger import Income
from bot.sim.exchange.notices import MarginCall, MoneyNotice
from bot.sim.exchange.records import Kind, OrderRecord, PositionSide
from bot.sim.refusals import Refused
from bot.trading.costs import FeeParams
from tests.sim.exchange.floor import BTC, ETH, Floor, check_books

LONG, SHORT, BOTH = PositionSide.LONG, PositionSide.SHORT, PositionSide.BOTH
D = Decimal
FREE = FeeParams(maker_pct=D(0), taker_pct=D(0))


def hedged(usd: int = 100_000, **more: Any) -> tuple[Floor, TradingAccount]:
    floor = Floor(usd, **more)
    floor.core.settings.set_hedged(floor.accounts[0], True)
    return floor, floor.accounts[0]


def opened(floor: Floor, side: PositionSide, quantity: Any, of: int = 0) -> OrderRecord:
    floor.pass_s(2)
    return floor.order(of, "buy" if side is LONG else "sell", quantity, position_side=side)


def closed(floor: Floor, side: PositionSide, quantity: Any, price: Any = None) -> OrderRecord:
    floor.pass_s(2)
    return floor.order(0, "sell" if side is LONG else "buy", quantity, price, position_side=side)


def test_both_sides_are_opened_and_closed_apart() -> None:
    floor, account = hedged(fees=FREE)
    opened(floor, LONG, 2)
    opened(floor, SHORT, "0.5")
    assert [floor.quantity(0, BTC, side) for side in (LONG, SHORT, BOTH)] == [2, D("-0.5"), 0]
    floor.around(BTC, 61_000.0)
    part = closed(floor, LONG, "0.5")
    assert part.reduce_only and part.position_side is LONG and account.trades[-1].position_side is LONG
    closed(floor, SHORT, "0.5")
    assert [floor.quantity(0, BTC, side) for side in (LONG, SHORT)] == [D("1.5"), 0]
    earned = [entry.amount for entry in account.ledger.entries() if entry.kind is Income.REALIZED_PNL]
    assert earned == [D("0.5") * (60_999 - 60_001), D("-0.5") * (61_001 - 59_999)]
    check_books(account)


@pytest.mark.parametrize(
    ("code", "side", "more"),
    [
        (-4061, "buy", {}),
        (-1106, "sell", {"position_side": LONG, "reduce_only": True}),
        (-2022, "sell", {"position_side": LONG}),
        (-2022, "buy", {"position_side": SHORT}),
    ],
)
def test_what_hedge_mode_refuses(code: int, side: str, more: dict[str, Any]) -> None:
    floor, _ = hedged()
    with pytest.raises(Refused) as refused:
        floor.order(0, side, 1, **more)
    assert refused.value.code == code


def test_one_way_mode_knows_one_position_only() -> None:
    with pytest.raises(Refused) as refused:
        Floor().order(0, "buy", 1, position_side=LONG)
    assert refused.value.code == -4061


def test_nobody_closes_more_than_there_is() -> None:
    floor, account = hedged()
    opened(floor, LONG, 1)
    with pytest.raises(Refused) as refused:
        closed(floor, LONG, "1.001")
    assert refused.value.code == -2022
    first, second = closed(floor, LONG, 1, 60_500), closed(floor, LONG, 1, 60_600)
    floor.trade(BTC, 60_700.0, 5.0, buys=True)
    assert (first.status, second.status) == ("FILLED", "EXPIRED") and not account.held()
    check_books(account)


def test_a_closing_order_takes_no_margin() -> None:
    floor, account = hedged(3_100, fees=FREE)
    opened(floor, LONG, 1)  # 3,000 of margin
    free = account.available
    closed(floor, LONG, 1, 60_500)
    assert account.available == free
    with pytest.raises(Refused) as refused:
        floor.order(0, "sell", "0.1", 60_500, position_side=SHORT)
    assert refused.value.code == -2019


def test_each_side_takes_its_own_margin_at_the_symbols_leverage() -> None:
    floor, account = hedged(fees=FREE)
    opened(floor, LONG, 1)
    opened(floor, SHORT, 1)
    floor.core.settings.set_leverage(account, BTC, 10)
    mark = D(60_000)
    assert [each.leverage for each in account.of(BTC)] == [10, 10]
    assert account.initial(BTC, Resting()) == 2 * mark / 10
    assert account.initial(BTC, Resting(bids=mark, asks=3 * mark)) == 6 * mark / 10
    assert account.position(BTC, LONG).most_notional == account.position(BTC, SHORT).most_notional


def test_each_side_has_the_bound_of_the_leverage_to_itself() -> None:
    floor, account = hedged()
    floor.core.settings.set_leverage(account, BTC, 125)  # 50,000 USD at most
    opened(floor, LONG, "0.8")
    opened(floor, SHORT, "0.8")
    for side in (LONG, SHORT):
        with pytest.raises(Refused) as refused:
            opened(floor, side, "0.1")
        assert refused.value.code == -2027
    floor.mark(BTC, 70_000)
    floor.core.settings.set_leverage(account, BTC, 50)
    with pytest.raises(Refused) as refused:
        floor.core.settings.set_leverage(account, BTC, 125)
    assert refused.value.code == -2027 and [each.leverage for each in account.of(BTC)] == [50, 50]


def test_a_stop_that_closes_may_be_as_small_as_it_wants() -> None:
    floor, account = hedged()
    floor.order(0, "buy", 1, symbol=ETH, position_side=LONG)
    floor.algo(0, "sell", Kind.STOP_MARKET, "0.001", symbol=ETH, trigger_price=2_900, position_side=LONG)
    with pytest.raises(Refused) as refused:
        floor.algo(0, "sell", Kind.STOP_MARKET, "0.001", symbol=ETH, trigger_price=2_900, position_side=SHORT)
    assert refused.value.code == -4164 and len(account.open_algos) == 1


def test_leverage_and_margin_type_outlive_the_mode() -> None:
    floor = Floor()
    account = floor.accounts[0]
    floor.core.settings.set_leverage(account, BTC, 7)
    floor.core.settings.set_hedged(account, True)
    assert [each.leverage for each in account.of(BTC)] == [7, 7]
    floor.core.settings.set_isolated(account, BTC, True)
    floor.core.settings.set_leverage(account, BTC, 9)
    floor.core.settings.set_hedged(account, False)
    assert [(each.side, each.leverage, each.isolated) for each in account.of(BTC)] == [(BOTH, 9, True)]
    floor.core.settings.set_leverage(account, BTC, 11)
    floor.core.settings.set_hedged(account, True)
    assert [(each.side, each.leverage) for each in account.of(BTC)] == [(LONG, 11), (SHORT, 11)]


def test_the_mode_changes_only_where_nothing_is_open() -> None:
    floor, account = hedged()
    core = floor.core

    def refusal(hedged: bool) -> int:
        with pytest.raises(Refused) as refused:
            core.settings.set_hedged(account, hedged)
        return refused.value.code

    assert refusal(True) == -4059
    resting = floor.order(0, "buy", 1, 50_000 + 8_000, position_side=LONG)
    assert refusal(False) == -4067
    core.cancel(account, BTC, resting.order_id, None)
    algo = floor.algo(0, "buy", Kind.STOP_MARKET, 1, trigger_price=61_000, position_side=LONG)
    assert refusal(False) == -4067
    core.algos.cancel(account, algo.algo_id, None)
    opened(floor, SHORT, 1)
    assert refusal(False) == -4068
    closed(floor, SHORT, 1)
    core.settings.set_hedged(account, False)
    assert not account.hedged


def test_a_stop_closes_its_own_side() -> None:
    floor, account = hedged()
    opened(floor, LONG, 1)
    opened(floor, SHORT, 2)
    with pytest.raises(Refused) as refused:
        floor.algo(0, "buy", Kind.STOP_MARKET, trigger_price=61_000, close_position=True, position_side=LONG)
    assert refused.value.code == -2022
    whole = floor.algo(0, "sell", Kind.STOP_MARKET, trigger_price=59_000, close_position=True, position_side=LONG)
    part = floor.algo(0, "buy", Kind.STOP_MARKET, 5, trigger_price=61_000, position_side=SHORT)
    floor.around(BTC, 58_990.0)
    floor.trade(BTC, 58_990.0, 1.0, buys=False)
    floor.around(BTC, 58_990.0)
    assert whole.status == "FINISHED" and whole.order is not None and whole.order.position_side is LONG
    assert [floor.quantity(0, BTC, side) for side in (LONG, SHORT)] == [0, -2]
    floor.trade(BTC, 61_010.0, 1.0, buys=True)
    floor.around(BTC, 61_010.0)
    assert part.status == "FINISHED" and not account.held(), "no more than there was"
    check_books(account)


def test_funding_is_paid_for_one_side_and_earned_for_the_other() -> None:
    floor, account = hedged(fees=FREE)
    opened(floor, LONG, 2)
    opened(floor, SHORT, 1)
    due = floor.ms + 1000
    floor.mark(BTC, 60_000, 0.001, due)
    floor.pass_s(2)
    floor.mark(BTC, 60_000, 0.001, due + 8 * 3_600_000)
    paid = [entry.amount for entry in account.ledger.entries() if entry.kind is Income.FUNDING_FEE]
    assert paid == [-120, 60]


@pytest.mark.parametrize(
    ("long", "short", "usd"),
    [("1", "0.4", 6_000), ("0.2", "1.5", 9_000), ("4", "0.001", 20_000), ("1", "0.95", 2_900)],
)
def test_at_the_liquidation_price_equity_is_what_must_be_kept(long: str, short: str, usd: int) -> None:
    """Not told by the formula: from what the account has and needs at that mark."""
    floor, account = hedged(usd, fees=FREE)
    floor.core.settings.set_leverage(account, BTC, 50)
    opened(floor, LONG, long)
    opened(floor, SHORT, short)
    prices = {account.liquidation_price(each) for each in account.held()}
    assert len(prices) == 1, "one price for both"
    (price,) = prices
    floor.books[BTC].mark = float(price)
    assert account.wallet + account.unrealised() == pytest.approx(account.maintenance(), abs=D("0.01"))
    assert price > 60_000 if D(short) > D(long) else 0 < price < 60_000


def test_a_long_that_its_short_carries_down_to_zero_has_no_liquidation_price() -> None:
    floor, account = hedged(6_000, fees=FREE)
    floor.core.settings.set_leverage(account, BTC, 50)
    opened(floor, LONG, 1)
    opened(floor, SHORT, "0.95")
    assert [account.liquidation_price(each) for each in account.held()] == [0, 0]


def test_a_perfect_hedge_is_liquidated_by_its_maintenance_margin_alone() -> None:
    floor, account = hedged(1_000, fees=FREE)
    floor.core.settings.set_leverage(account, BTC, 125)
    opened(floor, LONG, "0.5")
    opened(floor, SHORT, "0.5")
    price = account.liquidation_price(account.held()[0])
    floor.books[BTC].mark = float(price)
    assert price > 60_000
    assert account.wallet + account.unrealised() == pytest.approx(account.maintenance(), abs=D("0.01"))


def test_a_side_alone_has_the_price_it_would_have_in_one_way_mode() -> None:
    floor, account = hedged(6_000, fees=FREE)
    opened(floor, LONG, 1)
    floor.order(1, "buy", "0.001")
    other = Floor(6_000, fees=FREE)
    other.pass_s(2)
    other.order(0, "buy", 1)
    alone = other.accounts[0]
    assert account.liquidation_price(account.held()[0]) == alone.liquidation_price(alone.held()[0])


def test_liquidation_takes_both_sides_and_the_books_balance() -> None:
    floor, account = hedged(3_000)
    floor.core.settings.set_leverage(account, BTC, 50)
    opened(floor, LONG, 1)
    opened(floor, SHORT, "0.2")
    floor.told.clear()
    floor.around(BTC, 57_600.0, 50.0)
    called = [notice for _, notice in floor.told if isinstance(notice, MarginCall)]
    floor.around(BTC, 56_000.0, 50.0)
    assert not account.held() and account.wallet >= 0
    moved = {
        position.side for _, notice in floor.told if isinstance(notice, MoneyNotice) for position in notice.positions
    }
    assert moved == {LONG, SHORT}
    assert not called or {position.side for position in called[0].positions} == {LONG, SHORT}
    check_books(account)


def test_an_isolated_side_goes_alone() -> None:
    floor, account = hedged(fees=FREE)
    floor.core.settings.set_isolated(account, BTC, True)
    opened(floor, LONG, 1)
    opened(floor, SHORT, 1)
    assert [each.margin for each in account.of(BTC)] == [D("3000.05"), D("2999.95")]
    floor.pass_s(2)
    floor.around(BTC, 57_100.0)
    assert [floor.quantity(0, BTC, side) for side in (LONG, SHORT)] == [0, -1]
    check_books(account)


def test_accounts_in_different_modes_trade_with_each_other() -> None:
    floor, account = hedged()
    floor.show(BTC, [(59_000.0, 1.0)], [(61_000.0, 1.0)])
    maker = floor.order(0, "buy", 1, 60_000, position_side=LONG)
    own = floor.order(0, "sell", 1, 60_000, position_side=SHORT)  # meets one of its own account
    assert maker.status == "EXPIRED_IN_MATCH" and own.status == "NEW"
    floor.order(1, "buy", 1, 60_000)
    assert [floor.quantity(0, BTC, SHORT), floor.quantity(1)] == [-1, 1]
    for each in (account, floor.accounts[1]):
        check_books(each)


def test_the_other_symbol_has_a_mode_too() -> None:
    floor, account = hedged()
    floor.order(0, "sell", 1, symbol=ETH, position_side=SHORT)
    assert [(each.symbol, each.side) for each in account.shown()] == [(ETH, SHORT)]
    floor.order(0, "buy", 1, 59_000, position_side=LONG)
    assert [(each.symbol, each.side) for each in account.shown()] == [(BTC, LONG), (ETH, SHORT)]
