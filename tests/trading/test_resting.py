"""Resting limits, stops and take-profits against a market: whose turn it is, when, and for how much."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from msgspec import structs

from bot.domain.orders import Fill, Order, OrderReport, OrderType, Trigger
from bot.domain.values import Side
from bot.trading.account import Held
from bot.trading.fill_params import FillParams
from bot.trading.fills import FINISHED_KEPT, LIQUIDATED, Matching, Resting
from bot.trading.order_rules import NOTHING_TO_REDUCE, WOULD_TAKE, WOULD_TRIGGER
from bot.trading.queue import QueueModel
from tests.trading.venue_kit import (
    BTC,
    BUY,
    ETH,
    FEES,
    GTC,
    GTX,
    LIMIT,
    MARKET,
    PROFIT,
    SELL,
    STOP,
    D,
    Market,
    fills,
    instrument,
    matching,
    order,
    printed,
    reason,
    story,
)


def book(at: float = 101.0, size: float = 2.0) -> Market:
    """Asks of 1 at 100.1 and of `size` at `at`."""
    return Market(asks=[(100.1, 1.0), (at, size)])


def rung(made: Matching, quantity: str = "1", price: str = "101", market: Market | None = None, **over: Any) -> Order:
    placed = order(SELL, LIMIT, quantity, price=price, **over)
    assert story(made.place(placed, market or book())) == "ACK"
    return placed


# --- the line ------------------------------------------------------------------------------------------------------


def test_those_in_front_are_served_first_and_the_rest_of_a_trade_is_ours() -> None:
    made = matching()
    rung(made)
    assert printed(made, 101.0, 1.5) == []
    assert printed(made, 101.0, 0.5) == [], "exactly those in front"
    assert fills(printed(made, 101.0, 0.3)) == [("101", "0.3")]
    assert fills(printed(made, 101.0, 0.0004)) == [], "less than a lot"
    assert fills(printed(made, 101.0, 0.0007)) == [("101", "0.001")]
    reports = printed(made, 101.0, 5.0)
    assert fills(reports) == [("101", "0.699")] and story(reports) == "fill FILLED"
    fill = reports[0]
    assert isinstance(fill, Fill) and fill.maker and fill.fee == fill.price * fill.quantity * D("0.0002")


@pytest.mark.parametrize(("side", "price"), [(SELL, "101"), (BUY, "99")])
def test_only_takers_of_the_other_side_come_to_us_at_our_price(side: Side, price: str) -> None:
    made = matching()
    made.place(order(side, LIMIT, 1, price=price), Market())
    assert printed(made, float(price), 9.0, buys=side is BUY) == []
    assert story(printed(made, float(price), 9.0, buys=side is SELL)) == "fill FILLED"


def test_a_trade_beyond_fills_all_whoever_took() -> None:
    for buys in (True, False):
        made = matching()
        rung(made, "7", market=book(size=50.0))
        assert fills(printed(made, 101.1, 0.001, buys=buys)) == [("101", "7")]


def test_two_of_ours_at_a_price_do_not_share_the_same_trade() -> None:
    made = matching()
    first, second = rung(made, "0.4"), rung(made, "0.4")
    reports = printed(made, 101.0, 2.5)
    assert [(r.client_order_id, r.quantity) for r in reports if isinstance(r, Fill)] == [
        (first.client_order_id, D("0.4")),
        (second.client_order_id, D("0.1")),
    ]


def test_what_leaves_the_level_moves_us_by_the_model() -> None:
    def front_gone(model: QueueModel) -> Decimal:
        made = Matching({BTC: instrument()}, FEES, FillParams(queue=model, queue_power=D(1)))
        rung(made, "10", market=book(size=10.0))
        for size in (30.0, 20.0):
            made.on_depth(BTC, book(size=size))
        return sum((r.quantity for r in printed(made, 101.0, 10.0) if isinstance(r, Fill)), D(0))

    # 10 in front, 20 behind, 10 leave: a third of them in front, or all behind
    assert front_gone(QueueModel.RISK_AVERSE) == 0
    assert front_gone(QueueModel.POWER) == D("3.333")


def test_a_level_smaller_than_what_stood_in_front_moves_us_forward() -> None:
    made = matching()
    rung(made)
    made.on_depth(BTC, book(size=0.5))
    made.on_depth(BTC, book(size=9.0))
    assert fills(printed(made, 101.0, 0.7)) == [("101", "0.2")]


def test_a_price_beyond_the_known_book_waits_for_a_trade_beyond_it_or_to_be_seen() -> None:
    made, market = matching(), book()
    market.unknown = {101.0}
    rung(made, market=market)
    assert printed(made, 101.0, 50.0) == []
    market.unknown = set()
    made.on_depth(BTC, market)
    assert fills(printed(made, 101.0, 2.25)) == [("101", "0.25")]


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        ({"quantity": D("0.5")}, True),
        ({"reason": "why not"}, True),
        ({"quantity": D("1.001")}, False),
        ({"price": D("101.1")}, False),
    ],
)
def test_only_a_smaller_quantity_keeps_the_place(change: dict[str, Any], kept: bool) -> None:
    made = matching()
    placed = rung(made)
    printed(made, 101.0, 2.0)  # those in front are gone
    deeper = Market(asks=[(101.0, 2.0), (101.1, 2.0)])
    assert story(made.amend(structs.replace(placed, **change), deeper)) == "ACK"
    assert bool(fills(printed(made, float(change.get("price", 101)), 0.1))) is kept


def test_an_amended_order_goes_behind_our_own_at_its_new_price() -> None:
    made = matching()
    moved, older = rung(made, price="102"), rung(made)
    made.amend(structs.replace(moved, price=D(101)), book())
    reports = printed(made, 101.0, 2.5)
    assert [r.client_order_id for r in reports if isinstance(r, Fill)] == [older.client_order_id]


# --- quotes without prints -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bids", "filled"),
    [
        ([(101.0, 5.0)], []),  # at our price: the print will come
        ([(101.1, 0.4)], [("101", "0.4")]),
        ([(101.2, 0.3), (101.1, 0.4), (101.0, 9.0)], [("101", "0.3"), ("101", "0.4")]),
        ([(101.1, 5.0)], [("101", "1")]),
    ],
)
def test_quotes_beyond_our_price_have_come_to_us_as_far_as_they_show(bids: Any, filled: Any) -> None:
    made, gone = matching(), Market(bids=bids, asks=[(101.5, 1.0)])
    rung(made)
    reports = made.on_depth(BTC, gone)
    assert fills(reports) == filled
    assert all(r.maker for r in reports if isinstance(r, Fill))
    assert fills(made.on_depth(BTC, gone)) == [], "the same quotes do not come twice"


def test_a_buy_is_met_by_falling_asks() -> None:
    made = matching()
    made.place(order(BUY, LIMIT, 1, price="99"), Market())
    assert fills(made.on_depth(BTC, Market(bids=[(98.0, 1.0)], asks=[(99.0, 5.0)]))) == []
    assert fills(made.on_depth(BTC, Market(bids=[(98.0, 1.0)], asks=[(98.9, 5.0)]))) == [("99", "1")]


def test_an_unusable_book_moves_and_fills_nothing() -> None:
    made = matching()
    rung(made)
    assert made.on_depth(BTC, Market(bids=[(105.0, 5.0)], usable=False)) == []


def test_a_limit_that_arrives_blind_takes_as_soon_as_there_is_a_book() -> None:
    made = matching()
    made.place(order(BUY, LIMIT, 2, price="100.1"), Market(usable=False))
    assert printed(made, 100.1, 50.0, buys=False) == [], "nobody knows where it stands"
    reports = made.on_depth(BTC, Market())
    assert fills(reports) == [("100.1", "1")]
    assert all(not r.maker for r in reports if isinstance(r, Fill)), "it came as a taker"
    assert fills(printed(made, 100.1, 0.5, buys=False)) == [("100.1", "0.5")]


# --- post-only -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("side", "price", "told"),
    [
        (BUY, "100.0", "ACK"),
        (BUY, "100.1", "REJECTED"),
        (BUY, "100.2", "REJECTED"),
        (SELL, "100.0", "ACK"),
        (SELL, "99.9", "REJECTED"),
    ],
)
def test_post_only_is_refused_where_it_would_take(side: Side, price: str, told: str) -> None:
    reports = matching().place(order(side, LIMIT, 1, price=price, tif=GTX), Market())
    assert story(reports) == told
    assert told == "ACK" or reason(reports) == WOULD_TAKE


def test_an_amendment_that_would_take_cancels_a_post_only_order() -> None:
    made = matching()
    placed = order(BUY, LIMIT, 1, price="99", tif=GTX)
    made.place(placed, Market())
    assert story(made.amend(structs.replace(placed, price=D("99.5")), Market())) == "ACK"
    reports = made.amend(structs.replace(placed, price=D("100.1")), Market())
    assert story(reports) == "CANCELED" and reason(reports) == WOULD_TAKE and not made.watching(BTC)


def test_post_only_that_arrives_blind_expires_if_it_would_take() -> None:
    made = matching()
    made.place(order(BUY, LIMIT, 1, price="100.1", tif=GTX), Market(usable=False))
    reports = made.on_depth(BTC, Market())
    assert story(reports) == "EXPIRED" and reason(reports) == WOULD_TAKE


@pytest.mark.parametrize("kind", [MARKET, STOP, PROFIT])
def test_post_only_is_for_limits(kind: OrderType) -> None:
    stop = None if kind is MARKET else D(90)
    assert "limits only" in reason(matching().place(order(SELL, kind, 1, tif=GTX, stop_price=stop), Market()))


# --- stops and take-profits ----------------------------------------------------------------------------------------

TRIGGERS = [
    # position, type, price: a price that does nothing yet, and one that triggers
    (1, STOP, "99.0", 99.1, 99.0),
    (1, PROFIT, "101.0", 100.9, 101.0),
    (-1, STOP, "101.0", 100.9, 101.0),
    (-1, PROFIT, "99.0", 99.1, 99.0),
]


@pytest.mark.parametrize("by", Trigger)
@pytest.mark.parametrize(("position", "kind", "price", "before", "at"), TRIGGERS)
def test_each_kind_triggers_at_its_price_on_what_it_watches(
    by: Trigger, position: int, kind: OrderType, price: str, before: float, at: float
) -> None:
    made, market = matching(position=position), Market(last=100.0)
    side = SELL if position > 0 else BUY
    assert story(made.place(order(side, kind, 0, stop_price=price, trigger=by, close_position=True), market)) == "ACK"

    def reach(price: float, watched: Trigger) -> list[OrderReport]:
        if watched is Trigger.LAST:
            assert printed(made, price, 1.0) == [], "what we see of the book may still hold what that trade took"
            return made.on_mark(BTC, 100.0, market)
        return made.on_mark(BTC, price, market)

    other = Trigger.MARK if by is Trigger.LAST else Trigger.LAST
    assert reach(at, other) == [] and reach(before, by) == []
    reports = reach(at, by)
    assert story(reports) == "fill FILLED" and made.positions() == {}
    assert fills(reports) == [("99.9" if position > 0 else "100.1", "1")]


@pytest.mark.parametrize(("position", "kind", "price", "before", "at"), TRIGGERS)
@pytest.mark.parametrize("by", Trigger)
def test_what_would_trigger_at_once_is_refused(
    by: Trigger, position: int, kind: OrderType, price: str, before: float, at: float
) -> None:
    side = SELL if position > 0 else BUY
    for seen, told in ((before, "ACK"), (at, "REJECTED")):
        market = Market(last=seen, mark=100.0) if by is Trigger.LAST else Market(mark=seen, last=100.0)
        placed = order(side, kind, 1, stop_price=price, trigger=by, reduce_only=True)
        reports = matching(position=position).place(placed, market)
        assert story(reports) == told
        assert told == "ACK" or reason(reports) == WOULD_TRIGGER


def test_a_take_profit_and_a_stop_together_close_no_more_than_there_is() -> None:
    made = matching(position=1)
    for kind, price in ((STOP, "99"), (PROFIT, "101")):
        made.place(order(SELL, kind, 1, stop_price=price, reduce_only=True), Market())
    assert story(made.on_mark(BTC, 101.0, Market())) == "fill FILLED"
    reports = made.on_mark(BTC, 99.0, Market())
    assert story(reports) == "EXPIRED" and reason(reports) == NOTHING_TO_REDUCE


# --- what is remembered, restored and closed by force --------------------------------------------------------------


def test_ids_of_finished_orders_are_not_kept_for_ever() -> None:
    made, market = matching(), Market()
    for i in range(FINISHED_KEPT + 10):
        placed = order(BUY, LIMIT, 1, price="99", client_order_id=f"n{i}")
        made.place(placed, market)
        made.cancel(placed)
    assert len(made._finished) == FINISHED_KEPT
    assert "duplicate" in reason(made.place(order(BUY, LIMIT, 1, price="99", client_order_id="n20"), market))
    assert made.cancel(order(BUY, LIMIT, 1, price="99", client_order_id="n1"))[0].reason == "unknown order"  # type: ignore[union-attr]


def test_what_was_taken_is_not_remembered_for_ever() -> None:
    made = matching()
    for i in range(100):
        made.now_ns += 10**9
        made.place(order(BUY, MARKET, 1), Market(asks=[(100.0 + i, 9.0)]))
    assert len(made._takings._taken[BTC]) == 1


def margined(wallet: str, **held: str) -> Matching:
    """An account with positions bought (or sold) at 100."""
    made = Matching({BTC: instrument(), ETH: instrument(ETH)}, FEES, wallet_usd=D(wallet))
    names = {"btc": BTC, "eth": ETH}
    positions = [Held(instrument=names[k], quantity=D(q), value_usd=100 * D(q)) for k, q in held.items()]
    made.restore(D(wallet), positions, [])
    return made


@pytest.mark.parametrize(
    ("wallet", "quantity", "mark", "closed"),
    [
        ("10.36", "1", 90.1, False),  # equity 0.46, maintenance 0.4 % of 90.1 = 0.3604
        ("10.2604", "1", 90.1, True),  # exactly at it
        ("10.2605", "1", 90.1, False),
        ("10.4396", "-1", 109.9, False),
        ("10.3396", "-1", 109.9, True),
    ],
)
def test_the_edge_of_liquidation(wallet: str, quantity: str, mark: float, closed: bool) -> None:
    made = margined(wallet, btc=quantity)
    reports = made.on_mark(BTC, mark, Market(bids=[(90.0, 5.0)], asks=[(110.0, 5.0)]))
    assert bool(reports) is closed and (made.positions() == {}) is closed


def test_a_brackets_rate_can_be_set_by_coin() -> None:
    steep = FillParams(brackets={"BTC": ((D(50), D(5)), (D(1000), D(20)))})
    made = Matching({BTC: instrument()}, FEES, steep, wallet_usd=D(30))
    made.restore(D(30), [Held(instrument=BTC, quantity=D(1), value_usd=D(100))], [])
    assert made.on_mark(BTC, 90.0, Market()) == []  # maintenance 90 x 20 % - 7.5 = 10.5, equity 20
    assert story(made.on_mark(BTC, 78.0, Market())) == "fill"  # 8.1 against 8


@pytest.mark.parametrize(
    "rows", [(), ((D(0), D(1)),), ((D(5), D(1)), (D(5), D(2))), ((D(5), D(2)), (D(9), D(2))), ((D(5), D(100)),)]
)
def test_brackets_that_make_no_sense_are_refused(rows: Any) -> None:
    with pytest.raises(ValueError, match="BTC"):
        FillParams(brackets={"BTC": rows})


def test_a_liquidation_closes_everything_each_on_its_own_book_and_refuses_orders_meanwhile() -> None:
    made = margined("15", btc="1", eth="-1")
    made.on_mark(ETH, 100.0, Market())
    rest = order(BUY, LIMIT, 1, price="90", instrument=ETH)
    made.place(rest, Market())
    thin = Market(bids=[(85.0, 0.4)])
    reports = made.on_mark(BTC, 85.0, thin)
    assert story(reports) == "CANCELED fill", "no more than the book gives"
    assert made.positions() == {BTC: D("0.6"), ETH: D(-1)}
    assert reason(made.place(order(BUY, LIMIT, 1, price="90"), Market())) == LIQUIDATED
    assert story(made.on_mark(BTC, 85.0, thin)) == "", "what was taken is gone for a second"
    assert story(made.on_mark(ETH, 100.0, Market(asks=[(100.1, 5.0)]))) == "fill"
    reports = made.on_mark(BTC, 99.0, Market(bids=[(84.0, 5.0)]))
    assert fills(reports) == [("84", "0.6")], "once begun it goes on, whatever mark does"
    assert all(r.liquidation and r.client_order_id.startswith("autoclose-") for r in reports if isinstance(r, Fill))
    assert made.positions() == {}
    assert story(made.place(order(BUY, LIMIT, 1, price="90"), Market())) == "ACK"


def test_a_book_without_a_wallet_is_never_liquidated() -> None:
    made = matching(position=1)
    assert made.on_mark(BTC, 0.1, Market()) == [] and not made.watching(BTC)


def test_restored_orders_keep_what_is_filled_and_are_told_apart_from_new_ones() -> None:
    made = margined("1000", btc="2")
    placed = order(SELL, LIMIT, 2, price="101", reduce_only=True)
    made.restore(
        D(1000), [Held(instrument=BTC, quantity=D(2), value_usd=D(200))], [Resting(order=placed, filled=D("0.5"))]
    )
    assert "duplicate" in reason(made.place(placed, Market()))
    assert made.working() == [Resting(order=placed, filled=D("0.5"))]
    reports = printed(made, 101.1, 0.001)
    assert fills(reports) == [("101", "1.5")] and story(reports) == "fill FILLED"


@pytest.mark.parametrize("tif", [GTC, GTX])
def test_a_restored_limit_that_the_market_is_beyond_fills_as_the_maker_it_was(tif: Any) -> None:
    made = margined("1000")
    made.restore(D(1000), [], [Resting(order=order(SELL, LIMIT, 1, price="101", tif=tif))])
    reports = made.on_depth(BTC, Market(bids=[(103.0, 9.0)], asks=[(103.1, 9.0)]))
    assert fills(reports) == [("101", "1")]
    assert isinstance(reports[0], Fill) and reports[0].maker
