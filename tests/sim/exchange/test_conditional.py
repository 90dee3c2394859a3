"""Conditional orders: when their price has come, what becomes of them, and what they do not do before."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from bot.sim.exchange.notices import AlgoNotice, TriggerRejected
from bot.sim.exchange.records import AlgoRecord, Kind, Working
from bot.sim.refusals import Refused
from tests.sim.exchange.floor import BTC, Floor

D = Decimal
MARK, LAST = Working.MARK_PRICE, Working.CONTRACT_PRICE


def refusal(act: Any, *args: Any, **more: Any) -> int:
    with pytest.raises(Refused) as caught:
        act(*args, **more)
    return caught.value.code


def holding(quantity: Any = 1, side: str = "buy") -> Floor:
    floor = Floor()
    floor.order(0, side, quantity)
    floor.pass_s(2)  # what was taken is there again
    floor.told.clear()
    return floor


def statuses(floor: Floor, algo: AlgoRecord) -> list[str]:
    """Told are records, which go on changing: what matters is which notices came."""
    return [type(notice).__name__ for _, notice in floor.told if getattr(notice, "algo", None) is algo]


@pytest.mark.parametrize(
    ("side", "kind", "trigger", "before", "at"),
    [
        ("sell", Kind.STOP_MARKET, 59_500, 59_500.1, 59_500),
        ("buy", Kind.STOP_MARKET, 60_500, 60_499.9, 60_500),
        ("sell", Kind.TAKE_PROFIT_MARKET, 60_500, 60_499.9, 60_500),
        ("buy", Kind.TAKE_PROFIT_MARKET, 59_500, 59_500.1, 59_500),
    ],
)
@pytest.mark.parametrize("working", [MARK, LAST])
def test_goes_off_at_its_price_and_not_before(
    side: str, kind: Kind, trigger: float, before: float, at: float, working: Working
) -> None:
    floor = holding(side="buy" if side == "sell" else "sell")
    algo = floor.algo(0, side, kind, 1, trigger_price=trigger, working=working)
    for price, done in ((before, False), (at, True)):
        if working is MARK:
            floor.trade(BTC, at, 1, buys=True)  # the other price does nothing
            floor.mark(BTC, price)
        else:
            floor.mark(BTC, at)
            floor.trade(BTC, price, 1, buys=True)
            assert algo.open, "on the last trade it waits for the book after it"
            floor.show(BTC, floor.books[BTC].bids, floor.books[BTC].asks)
        assert (algo.status == "FINISHED") is done, price
    assert algo.order is not None and algo.order.origin is kind and algo.order.kind is Kind.MARKET
    assert floor.quantity(0) == 0 and algo.order.order_id != algo.algo_id
    assert algo.order.client_id == algo.asked.client_id


def test_a_stop_limit_rests_when_the_market_is_past_its_limit() -> None:
    floor = holding()
    algo = floor.algo(0, "sell", Kind.STOP, 1, trigger_price=59_900, price=60_001, working=MARK)
    floor.mark(BTC, 59_900)
    assert algo.status == "TRIGGERED" and algo.order is not None and algo.order.open
    floor.trade(BTC, 60_002, 1, buys=True)
    assert algo.status == "FINISHED" and algo.order.filled == 1


def test_it_is_refused_where_it_would_go_off_at_once() -> None:
    floor = holding()
    assert refusal(floor.algo, 0, "sell", Kind.STOP_MARKET, 1, trigger_price=60_000, working=MARK) == -2021
    assert refusal(floor.algo, 0, "sell", Kind.TAKE_PROFIT_MARKET, 1, trigger_price=60_000, working=MARK) == -2021
    trailing = {"callback_pct": 1, "activate_price": 60_000}
    assert refusal(floor.algo, 0, "sell", Kind.TRAILING_STOP_MARKET, 1, **trailing) == -2021
    assert refusal(floor.algo, 0, "buy", Kind.TRAILING_STOP_MARKET, 1, **trailing) == -2021
    assert refusal(floor.algo, 0, "sell", Kind.LIMIT, 1, price=60_000) == -1116


def test_a_trailing_stop_follows_and_turns() -> None:
    floor = holding()
    algo = floor.algo(
        0, "sell", Kind.TRAILING_STOP_MARKET, 1, activate_price=60_600, callback_pct=1, working=MARK, reduce_only=True
    )
    for price in (59_000.0, 60_500.0):  # not active yet: no fall sets it off
        floor.mark(BTC, price)
    assert algo.open and not algo.active
    for price in (60_600.0, 61_000.0, 60_390.1):
        floor.mark(BTC, price)
    assert algo.open and algo.extreme == 61_000
    floor.mark(BTC, 60_390)  # one percent under the best
    assert algo.status == "FINISHED" and floor.quantity(0) == 0


def test_close_position_closes_whatever_is_open_then() -> None:
    floor = holding(1)
    algo = floor.algo(0, "sell", Kind.STOP_MARKET, trigger_price=59_500, close_position=True, working=MARK)
    floor.order(0, "buy", 2)
    floor.pass_s(2)
    floor.mark(BTC, 59_400)
    assert algo.order is not None and algo.order.filled == 3 and floor.quantity(0) == 0
    assert refusal(floor.algo, 0, "sell", Kind.STOP_MARKET, 1, trigger_price=59_000, close_position=True) == -4137
    assert refusal(floor.algo, 0, "sell", Kind.STOP, trigger_price=59_000, price=59_000, close_position=True) == -4136
    assert refusal(floor.algo, 0, "sell", Kind.STOP_MARKET, 1, trigger_price=0) == -4006


def test_nothing_is_reserved_before_and_refused_when_it_cannot_be_carried() -> None:
    floor = Floor(usd=1_000)
    free = floor.accounts[0].available
    algo = floor.algo(0, "buy", Kind.STOP_MARKET, 1, trigger_price=60_500, working=MARK)
    assert floor.accounts[0].available == free == 1_000
    floor.mark(BTC, 60_500)
    assert (algo.status, algo.reason) == ("REJECTED", "Margin is insufficient.")
    assert any(isinstance(notice, TriggerRejected) for _, notice in floor.told)
    assert not floor.accounts[0].open_algos and floor.quantity(0) == 0


def test_a_stop_without_a_position_is_rejected_not_traded() -> None:
    floor = holding()
    algo = floor.algo(0, "sell", Kind.STOP_MARKET, 1, trigger_price=59_500, reduce_only=True, working=MARK)
    floor.order(0, "sell", 1)
    floor.mark(BTC, 59_000)
    assert algo.status == "REJECTED" and floor.quantity(0) == 0


def test_cancelled_and_found_again() -> None:
    floor = holding()
    core, account = floor.core, floor.accounts[0]
    algo = floor.algo(0, "sell", Kind.STOP_MARKET, 1, trigger_price=59_500, client_id="stop", working=MARK)
    assert refusal(floor.algo, 0, "sell", Kind.STOP_MARKET, 1, trigger_price=59_400, client_id="stop") == -4116
    assert core.algos.find(account, None, "stop") is core.algos.find(account, algo.algo_id, None) is algo
    core.algos.cancel(account, None, "stop")
    assert refusal(core.algos.cancel, account, algo.algo_id, None) == -2011
    assert refusal(core.algos.find, account, 1, None) == -2013
    floor.mark(BTC, 59_000)
    assert algo.status == "CANCELED" and floor.quantity(0) == 1
    assert statuses(floor, algo) == [AlgoNotice.__name__] * 2


def test_price_protection_waits_until_mark_and_last_agree() -> None:
    floor = holding()
    algo = floor.algo(0, "sell", Kind.STOP_MARKET, 1, trigger_price=59_500, price_protect=True, working=LAST)
    floor.trade(BTC, 56_000, 1, buys=False)  # 7 % from mark
    floor.show(BTC, floor.books[BTC].bids, floor.books[BTC].asks)
    assert algo.open
    floor.trade(BTC, 59_400, 1, buys=False)
    floor.show(BTC, floor.books[BTC].bids, floor.books[BTC].asks)
    assert algo.status == "FINISHED"
