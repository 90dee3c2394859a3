"""Orders of several accounts: who meets whom, at what price, and what is refused."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from bot.sim.exchange import checks
from bot.sim.exchange.notices import OrderNotice
from bot.sim.exchange.records import Kind, OrderRecord, PriceMatch, SelfTrade, Tif
from bot.sim.refusals import Refused
from tests.sim.exchange.floor import BTC, ETH, Floor, check_books

D = Decimal


def fills(floor: Floor, order: OrderRecord) -> list[tuple[Decimal, Decimal, bool]]:
    return [(each.price, each.quantity, each.maker) for each in order.account.trades if each.order_id == order.order_id]


def refusal(act: Any, *args: Any, **more: Any) -> int:
    with pytest.raises(Refused) as caught:
        act(*args, **more)
    return caught.value.code


def test_a_taker_meets_the_better_price_of_another_account_first() -> None:
    floor = Floor()
    inside = floor.order(0, "sell", 1, 60_000.5)  # better than the book's 60,001
    taker = floor.order(1, "buy", 3)
    assert fills(floor, taker) == [(D("60000.5"), D(1), False), (D(60_001), D(2), False)]
    assert fills(floor, inside) == [(D("60000.5"), D(1), True)] and inside.status == "FILLED"
    assert [each.fee for each in inside.account.trades] == [D("12.0001")]  # 0.02 % as the maker
    assert floor.quantity(0) == -1 and floor.quantity(1) == 3


def test_at_one_price_time_decides() -> None:
    floor = Floor()
    first, second = floor.order(0, "sell", 1, 60_000.5), floor.order(1, "sell", 1, 60_000.5)
    floor.accounts.append(floor.core.open_account("c", [], D(100_000)))
    taker = floor.order(2, "buy", "1.5", 60_000.5, tif=Tif.IOC)
    assert [floor_fill[1] for order in (first, second) for floor_fill in fills(floor, order)] == [D(1), D("0.5")]
    assert taker.status == "FILLED" and second.status == "PARTIALLY_FILLED"


def test_what_the_book_shows_in_front_of_an_order_goes_first() -> None:
    floor = Floor()
    behind = floor.order(0, "sell", 2, 60_001)  # behind the ten of the book
    floor.order(1, "buy", 9, 60_001, tif=Tif.IOC)
    assert behind.filled == 0
    floor.order(1, "buy", "1.5", 60_001, tif=Tif.IOC)
    assert behind.filled == D("0.5"), "one of the book was left, what came then is behind it"


def test_what_arrives_after_an_order_is_behind_it() -> None:
    floor = Floor()
    ours = floor.order(0, "sell", 2, 60_001)
    floor.show(BTC, [(59_999, 10.0)], [(60_001, 4.0), (60_002, 20.0)])  # six left, four are in front now
    floor.show(BTC, [(59_999, 10.0)], [(60_001, 50.0), (60_002, 20.0)])  # 46 came behind
    floor.order(1, "buy", 5, 60_001, tif=Tif.IOC)
    assert ours.filled == 1


def test_one_print_is_shared_among_accounts_and_given_once() -> None:
    floor = Floor()
    first, second = floor.order(0, "sell", 1, 60_000), floor.order(1, "sell", 1, 60_000)
    floor.trade(BTC, 60_000, 1.5, buys=True)
    assert (first.filled, second.filled) == (D(1), D("0.5"))


def test_post_only_is_refused_where_it_would_meet_another_account() -> None:
    floor = Floor()
    floor.order(0, "sell", 1, 60_000)
    assert refusal(floor.order, 1, "buy", 1, 60_000, tif=Tif.GTX) == -5022
    assert floor.order(1, "buy", 1, 59_999.9, tif=Tif.GTX).status == "NEW"
    assert refusal(floor.order, 1, "buy", 1, 60_001, tif=Tif.GTX) == -5022


def test_all_or_nothing() -> None:
    floor = Floor(usd=10_000_000)
    floor.order(0, "sell", 1, 60_000.5)
    assert refusal(floor.order, 1, "buy", "11.001", 60_001, tif=Tif.FOK) == -5021
    assert not floor.accounts[1].trades and not floor.accounts[1].orders
    assert floor.order(1, "buy", 11, 60_001, tif=Tif.FOK).status == "FILLED"


@pytest.mark.parametrize(
    ("mode", "maker", "taker", "filled"),
    [
        (SelfTrade.EXPIRE_MAKER, "EXPIRED_IN_MATCH", "FILLED", 2),
        (SelfTrade.EXPIRE_TAKER, "NEW", "EXPIRED_IN_MATCH", 0),
        (SelfTrade.EXPIRE_BOTH, "EXPIRED_IN_MATCH", "EXPIRED_IN_MATCH", 0),
        (SelfTrade.NONE, "FILLED", "FILLED", 2),
    ],
)
def test_an_account_that_would_meet_itself(mode: SelfTrade, maker: str, taker: str, filled: int) -> None:
    floor = Floor()
    resting = floor.order(0, "sell", 1, 60_000)
    crossing = floor.order(0, "buy", 2, 60_001, self_trade=mode)
    assert (resting.status, crossing.status, crossing.filled) == (maker, taker, D(filled))
    check_books(floor.accounts[0])


def test_a_reduction_never_opens() -> None:
    floor = Floor()
    assert refusal(floor.order, 0, "sell", 1, reduce_only=True) == -2022
    floor.order(0, "buy", 1)
    order = floor.order(0, "sell", 5, reduce_only=True)
    assert (order.status, order.filled, floor.quantity(0)) == ("EXPIRED", D(1), D(0))


@pytest.mark.parametrize(
    ("quantity", "status"), [("10", "CANCELED"), ("0.001", "CANCELED"), ("10.002", "PARTIALLY_FILLED")]
)
def test_an_amendment_to_what_is_filled_cancels(quantity: str, status: str) -> None:
    floor = Floor(usd=100_000_000)
    order = floor.order(0, "buy", "10.001", 60_001)
    assert order.filled == D(10)
    floor.core.amend(floor.accounts[0], BTC, order.order_id, None, True, D(quantity), D(60_000))
    assert (order.status, order.filled) == (status, D(10))
    check_books(floor.accounts[0])


def test_a_market_order_takes_what_there_is() -> None:
    floor = Floor(usd=100_000_000)
    order = floor.order(0, "buy", 31)
    assert (order.status, order.filled) == ("EXPIRED", D(30))
    assert order.average == (10 * D(60_001) + 20 * D(60_002)) / 30


def test_an_amendment_keeps_its_place_only_for_less() -> None:
    floor = Floor()
    order = floor.order(0, "buy", 2, 59_999)
    core, account = floor.core, floor.accounts[0]
    assert refusal(core.amend, account, BTC, order.order_id, None, True, D(2), D(59_999)) == -5027
    assert refusal(core.amend, account, BTC, order.order_id, None, True, D(2), D("59999.05")) == -1111
    core.amend(account, BTC, order.order_id, None, True, D(1), D(59_999))
    floor.trade(BTC, 59_999, 10.5, buys=False)
    assert order.filled == D("0.5"), "ten stood in front as before"
    core.amend(account, BTC, order.order_id, None, True, D(3), D(60_001))
    assert (order.status, order.filled, order.quantity) == ("FILLED", D(3), D(3))
    told = [notice.execution for name, notice in floor.told if isinstance(notice, OrderNotice)]
    assert told == ["NEW", "AMENDMENT", "TRADE", "AMENDMENT", "TRADE"]


def test_orders_end_by_time() -> None:
    floor = Floor()
    order = floor.order(0, "buy", 1, 59_000, tif=Tif.GTD, good_till_ms=floor.ms + 601_000)
    other = floor.order(0, "buy", 1, 58_000)
    floor.pass_s(600.9)
    floor.mark(BTC, 60_000)
    assert order.open
    floor.pass_s(0.1)
    floor.mark(BTC, 60_000)
    assert (order.status, other.status) == ("EXPIRED", "NEW")
    floor.core.count_down(floor.accounts[0], BTC, 5_000)
    floor.pass_s(4)
    floor.core.count_down(floor.accounts[0], BTC, 5_000)  # asked again in time
    floor.pass_s(4)
    floor.mark(BTC, 60_000)
    assert other.open
    floor.pass_s(1)
    floor.mark(BTC, 60_000)
    assert other.status == "CANCELED"


@pytest.mark.parametrize(
    ("code", "side", "quantity", "price", "more"),
    [
        (-1121, "buy", 1, 60_000, {"symbol": "NOPE"}),
        (-1111, "buy", 1, "60000.05", {}),
        (-1111, "buy", "0.0005", 60_000, {}),
        (-4003, "buy", 0, 60_000, {}),
        (-4005, "buy", 10_001, 60_000, {}),
        (-4164, "buy", "0.001", 4_999, {"symbol": ETH, "price": "2999.00"}),
        (-4016, "buy", 1, "63000.1", {}),
        (-4024, "sell", 1, "56999.9", {}),
        (-2019, "buy", 34, 60_000, {}),
        (-4015, "buy", 1, 60_000, {"client_id": "no spaces"}),
        (-4001, "buy", 1, -1, {}),
        (-1102, "buy", 1, 59_000, {"tif": Tif.GTD}),
        (-5040, "buy", 1, 59_000, {"tif": Tif.GTD, "good_till_ms": 1}),
    ],
)
def test_what_is_refused(code: int, side: str, quantity: Any, price: Any, more: dict[str, Any]) -> None:
    floor = Floor()
    assert refusal(floor.order, 0, side, quantity, more.pop("price", price), more.pop("symbol", BTC), **more) == code
    assert not floor.accounts[0].orders and not floor.told


def test_margin_and_leverage_bound_what_can_be_held() -> None:
    floor = Floor(usd=60_000)
    account, core = floor.accounts[0], floor.core
    floor.order(0, "buy", 19, 59_999)  # 57,000 of margin at 20x
    assert refusal(floor.order, 0, "buy", 2, 59_999) == -2019
    floor.order(0, "sell", 19, 60_100)  # the worse side counts, not both
    assert account.available == 60_000 - max(19 * D(59_999), 19 * D(60_100)) / 20
    core.cancel_all(account, BTC)
    core.settings.set_leverage(account, BTC, 125)
    assert refusal(floor.order, 0, "buy", 1, 60_000) == -2027  # 50,000 USD at most
    assert refusal(core.settings.set_leverage, account, BTC, 126) == -4028
    floor.order(0, "buy", "0.8")
    floor.mark(BTC, 63_000)
    assert refusal(core.settings.set_leverage, account, BTC, 125) == -2027
    assert refusal(core.settings.set_isolated, account, BTC, True) == -4048


def test_client_ids_are_unique_among_open_orders() -> None:
    floor = Floor()
    first = floor.order(0, "buy", 1, 59_000, client_id="mine")
    assert refusal(floor.order, 0, "buy", 1, 59_000, client_id="mine") == -4116
    floor.order(1, "buy", 1, 59_000, client_id="mine")
    floor.core.cancel(floor.accounts[0], BTC, None, "mine")
    again = floor.order(0, "buy", 1, 59_000, client_id="mine")
    assert floor.core.find(floor.accounts[0], BTC, None, "mine") is again and first.status == "CANCELED"
    assert refusal(floor.core.cancel, floor.accounts[0], BTC, first.order_id, None) == -2011
    assert refusal(floor.core.find, floor.accounts[0], ETH, again.order_id, None) == -2013


def test_levels_taken_are_gone_for_a_second_and_come_back_behind() -> None:
    floor = Floor(usd=10_000_000)
    ours = floor.order(0, "sell", 2, 60_001)
    floor.order(1, "buy", 9, 60_001, tif=Tif.IOC)
    at_once = floor.order(1, "buy", 5, 60_001, tif=Tif.IOC)
    assert (at_once.filled, ours.filled) == (D(3), D(2)), "one that was left, and ours"
    floor = Floor(usd=10_000_000)
    ours = floor.order(0, "sell", 2, 60_001)
    floor.order(1, "buy", 9, 60_001, tif=Tif.IOC)
    floor.pass_s(1)
    floor.order(1, "buy", "1.5", 60_001, tif=Tif.IOC)
    assert ours.filled == D("0.5"), "what came back stands behind ours"


def test_all_or_nothing_does_not_count_on_ones_own_orders() -> None:
    floor = Floor(usd=10_000_000)
    floor.order(0, "sell", 5, 60_000.5)
    assert refusal(floor.order, 0, "buy", 11, 60_001, tif=Tif.FOK) == -5021
    assert floor.order(0, "buy", 10, 60_001, tif=Tif.FOK).status == "FILLED"


def test_what_may_only_reduce_takes_no_margin() -> None:
    floor = Floor()
    floor.order(0, "buy", 1)
    free = floor.accounts[0].available
    for _ in range(3):
        floor.order(0, "sell", 1, 60_100, reduce_only=True)
    assert floor.accounts[0].available == free


@pytest.mark.parametrize(
    ("side", "match", "price"),
    [
        ("buy", "OPPONENT", 60_001),
        ("sell", "OPPONENT", 59_999),
        ("buy", "OPPONENT_5", 60_005),
        ("buy", "QUEUE", 59_999),
        ("sell", "QUEUE_5", 60_005),
    ],
)
def test_price_match_takes_the_price_of_a_level(side: str, match: str, price: int) -> None:
    floor = Floor()
    floor.around(BTC, 60_000.0)
    order = floor.order(0, side, 1, kind=Kind.LIMIT, price_match=PriceMatch(match))
    assert order.price == price and order.price_match is PriceMatch(match)
    assert (order.status == "FILLED") is ("OPPONENT" in match)


def test_price_match_asks_for_a_level_that_is_there() -> None:
    floor = Floor()
    matched = {"kind": Kind.LIMIT, "price_match": PriceMatch.QUEUE_10}
    assert refusal(floor.order, 0, "buy", 1, **matched) == -5041
    assert refusal(floor.order, 0, "buy", 1, 59_000, price_match=PriceMatch.QUEUE) == -1106
    assert refusal(floor.order, 0, "buy", 1, price_match=PriceMatch.QUEUE) == -5038
    stop = floor.algo(0, "buy", Kind.STOP, 1, trigger_price=60_003, price_match=PriceMatch.OPPONENT_5)
    floor.around(BTC, 60_004.0)
    floor.trade(BTC, 60_004.0, 1.0, buys=True)
    floor.around(BTC, 60_005.0)
    assert stop.order is not None and stop.order.price == 60_010, "the level of when it goes off"


def test_what_an_amendment_refuses() -> None:
    floor = Floor()
    account, core = floor.accounts[0], floor.core
    order = floor.order(0, "buy", 1, 59_990)
    named = (account, BTC, order.order_id, None)
    assert refusal(core.amend, *named, False, D(1), D(59_980)) == -1130
    assert refusal(core.amend, *named, True, D("0.00005"), D(59_980)) in (-1111, -4004)
    small = floor.order(0, "buy", "0.1", 2_990, symbol=ETH)
    assert refusal(core.amend, account, ETH, small.order_id, None, True, D("0.001"), D(2_990)) == -5029
    core.halted.add(BTC)
    assert refusal(core.amend, *named, True, D(1), D(59_980)) == -5024
    core.halted.clear()
    core.amend(*named, True, D(1), D(59_995), PriceMatch.QUEUE)
    assert order.price == 59_995 and order.price_match is PriceMatch.QUEUE


def test_no_more_open_orders_than_the_venue_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "MOST_OPEN", 3)
    floor = Floor()
    for away in range(3):
        floor.order(0, "buy", "0.01", 59_000 - away)
        floor.algo(0, "buy", Kind.STOP_MARKET, "0.01", trigger_price=61_000 + away)
    assert refusal(floor.order, 0, "buy", "0.01", 58_000) == -2025
    assert refusal(floor.algo, 0, "buy", Kind.STOP_MARKET, "0.01", trigger_price=62_000) == -4045
    floor.order(0, "buy", "0.1", 3_000, symbol=ETH)
