"""Matching, a table per rule: orders that take, refusals, resting limits, reductions, stops, cancels and amendments."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from bot.domain.orders import Fill, Order, OrderStatus, OrderType, OrderUpdate, TimeInForce
from bot.domain.values import Side
from bot.trading.fills import Matching
from bot.trading.order_rules import NOTHING_TO_REDUCE, WOULD_TRIGGER
from bot.trading.takings import REFILL_NS
from tests.trading.venue_kit import (
    BTC,
    BUY,
    ETH,
    FEES,
    GTC,
    IOC,
    LIMIT,
    MARKET,
    SELL,
    STOP,
    D,
    Market,
    fills,
    instrument,
    matching,
    order,
    printed,
    published,
    reason,
    story,
)

# --- orders that take ----------------------------------------------------------------------------------------------

WALKS = [
    # side, type, tif, quantity, limit: fills, story
    (BUY, MARKET, GTC, "0.4", None, [("100.1", "0.4")], "ACK fill FILLED"),
    (BUY, MARKET, GTC, "1", None, [("100.1", "1")], "ACK fill FILLED"),
    (BUY, MARKET, GTC, "1.001", None, [("100.1", "1"), ("100.2", "0.001")], "ACK fill fill FILLED"),
    (SELL, MARKET, GTC, "2.5", None, [("99.9", "1"), ("99.8", "1.5")], "ACK fill fill FILLED"),
    (BUY, MARKET, GTC, "8", None, [("100.1", "1"), ("100.2", "2"), ("100.5", "5")], "ACK fill fill fill FILLED"),
    (BUY, MARKET, GTC, "9", None, [("100.1", "1"), ("100.2", "2"), ("100.5", "5")], "ACK fill fill fill EXPIRED"),
    (BUY, LIMIT, IOC, "9", "100.2", [("100.1", "1"), ("100.2", "2")], "ACK fill fill EXPIRED"),
    (BUY, LIMIT, IOC, "3", "100.2", [("100.1", "1"), ("100.2", "2")], "ACK fill fill FILLED"),
    (BUY, LIMIT, IOC, "1", "100.0", [], "ACK EXPIRED"),
    (SELL, LIMIT, IOC, "9", "99.8", [("99.9", "1"), ("99.8", "2")], "ACK fill fill EXPIRED"),
    (SELL, LIMIT, IOC, "1", "100.0", [], "ACK EXPIRED"),
    (BUY, LIMIT, GTC, "9", "100.2", [("100.1", "1"), ("100.2", "2")], "ACK fill fill"),
    (BUY, LIMIT, GTC, "1", "100.1", [("100.1", "1")], "ACK fill FILLED"),
    (BUY, LIMIT, GTC, "1", "100.0", [], "ACK"),
    (SELL, LIMIT, GTC, "1", "100.0", [], "ACK"),
]


@pytest.mark.parametrize(("side", "kind", "tif", "quantity", "limit", "expected", "told"), WALKS)
def test_a_taker_walks_the_book_level_by_level(
    side: Side, kind: OrderType, tif: TimeInForce, quantity: str, limit: str | None, expected: Any, told: str
) -> None:
    made = matching()
    reports = made.place(order(side, kind, quantity, tif=tif, price=limit), Market())
    assert fills(reports) == expected
    assert story(reports) == told
    assert made.watching(BTC) == (told in ("ACK", "ACK fill fill"))
    assert all(not r.maker and r.fee == r.price * r.quantity * D("0.0005") for r in reports if isinstance(r, Fill))


def test_a_crossing_limit_rests_with_what_it_did_not_take() -> None:
    made = matching()
    resting = order(BUY, LIMIT, "9", price="100.2")
    made.place(resting, Market())
    reports = printed(made, 100.1, 0.001)
    assert fills(reports) == [("100.2", "6")]
    assert story(reports) == "fill FILLED"
    assert made.positions() == {BTC: D(9)}


def test_a_large_order_fetches_levels_until_it_has_enough() -> None:
    asks = [(100.0 + i / 10, 0.1) for i in range(1, 101)]
    market = Market(asks=asks)
    reports = matching().place(order(BUY, MARKET, "9.95"), market)
    assert [float(p) for p, _ in fills(reports)] == [p for p, _ in asks]
    assert sum(D(q) for _, q in fills(reports)) == D("9.95")
    small = Market(asks=asks)
    matching().place(order(BUY, MARKET, "0.2"), small)
    assert len(small.asked) == 1 and small.asked[0] < 50


def test_displayed_sizes_are_floored_to_the_step_and_prices_never_rounded_our_way() -> None:
    market = Market(asks=[(100.11, 0.0019), (100.2, 5.0)], bids=[(99.89, 0.0004), (99.79, 5.0)])
    assert fills(matching().place(order(BUY, MARKET, "1"), market)) == [("100.2", "0.001"), ("100.2", "0.999")]
    assert fills(matching().place(order(SELL, MARKET, "1"), market)) == [("99.7", "1")]


def test_what_we_took_is_not_there_twice() -> None:
    made, market = matching(), Market()
    made.place(order(BUY, MARKET, "2"), market)
    assert fills(made.place(order(BUY, MARKET, "2"), market)) == [("100.2", "1"), ("100.5", "1")]
    assert fills(made.place(order(SELL, MARKET, "1"), market)) == [("99.9", "1")], "the other side is untouched"
    market.asks[0] = (100.1, 1.25)
    assert fills(made.place(order(BUY, MARKET, "0.5"), market)) == [("100.1", "0.25"), ("100.5", "0.25")]
    made.now_ns += REFILL_NS - 1
    assert fills(made.place(order(BUY, MARKET, "0.25"), market)) == [("100.5", "0.25")]
    made.now_ns += 1
    assert fills(made.place(order(BUY, MARKET, "1"), market)) == [("100.1", "1")], "a second later it is there again"


def test_an_empty_side_fills_nothing() -> None:
    assert story(matching().place(order(BUY, MARKET, 1), Market(asks=[]))) == "ACK EXPIRED"


# --- refusals ------------------------------------------------------------------------------------------------------

REFUSED = [
    (order(BUY, LIMIT, 1, price="99.95"), "tick"),
    (order(BUY, LIMIT, 1), "above zero"),
    (order(BUY, LIMIT, 1, price=0), "above zero"),
    (order(SELL, STOP, 1, reduce_only=True), "above zero"),
    (order(SELL, STOP, 1, stop_price="98.05", reduce_only=True), "tick"),
    (order(SELL, STOP, 1, stop_price="98", price="97"), "has no price"),
    (order(BUY, MARKET, 1, price="100"), "has no price"),
    (order(BUY, MARKET, 0), "step"),
    (order(BUY, MARKET, -1), "step"),
    (order(BUY, MARKET, "1.0005"), "step"),
    (order(BUY, LIMIT, "0.049", price="100"), "under the minimum 0.05"),
    (order(SELL, LIMIT, "0.049", price="101", reduce_only=True), "under the minimum 0.05"),
    (order(BUY, LIMIT, "1000.001", price="100"), "over the maximum 1000"),
    (order(BUY, MARKET, "120.001"), "over the maximum 120"),
    (order(SELL, STOP, "120.001", stop_price="98"), "over the maximum 120"),
    (order(BUY, LIMIT, "0.1", price="99.9"), "notional 9.99 is under the minimum 10"),
    (order(BUY, MARKET, "0.099"), "notional"),
    (order(BUY, MARKET, 1, reduce_only=True), NOTHING_TO_REDUCE),
    (order(BUY, STOP, 1, stop_price="101", close_position=True), NOTHING_TO_REDUCE),
    (order(SELL, MARKET, 1, close_position=True), "for stops and take-profits only"),
    (order(SELL, STOP, 1, stop_price="100", reduce_only=True), WOULD_TRIGGER),
    (order(SELL, STOP, 1, stop_price="100.1", close_position=True), WOULD_TRIGGER),
    (order(BUY, STOP, 1, stop_price="100"), WOULD_TRIGGER),
    (order(BUY, MARKET, 1, instrument="binanceusdm:XYZUSDT"), "unknown instrument"),
]
RULES: dict[str, Any] = {"min_quantity": D("0.05"), "min_notional": D(10)}


@pytest.mark.parametrize(("refused", "why"), REFUSED)
def test_what_a_venue_would_refuse(refused: Order, why: str) -> None:
    made = matching(position=2, **RULES)
    reports = made.place(refused, Market())
    assert story(reports) == "REJECTED" and why in reason(reports)
    assert not made.watching(BTC) and made.positions() == {BTC: D(2)}


ACCEPTED = [
    order(BUY, LIMIT, "0.05", price="200", tif=IOC),
    order(BUY, LIMIT, "0.1", price="100"),
    order(BUY, LIMIT, 1000, price="99.9"),
    order(BUY, MARKET, 120),
    order(BUY, MARKET, "0.1"),
    order(SELL, LIMIT, "0.05", price="101", reduce_only=True),
    order(SELL, STOP, 1, stop_price="99.9", reduce_only=True),
    order(SELL, STOP, 0, stop_price="99.9", close_position=True),
    order(SELL, STOP, 5000, stop_price="99.9", close_position=True),
    order(BUY, STOP, 1, stop_price="100.1"),
]


@pytest.mark.parametrize("accepted", ACCEPTED)
def test_the_edges_that_pass(accepted: Order) -> None:
    assert story(matching(position=2, **RULES).place(accepted, Market())).startswith("ACK")


@pytest.mark.parametrize("duplicate", ["working", "finished", "rejected"])
def test_a_client_order_id_is_used_once(duplicate: str) -> None:
    made, market = matching(), Market()
    first = order(BUY, LIMIT, 1, price="100.05" if duplicate == "rejected" else "99")
    made.place(first, market)
    if duplicate == "finished":
        made.cancel(first)
    again = made.place(structs.replace(first, price=D("99")), market)
    assert story(again) == "REJECTED" and "duplicate" in reason(again)
    assert made.watching(BTC) == (duplicate == "working")


@pytest.mark.parametrize(
    ("placed", "told"),
    [
        (order(BUY, MARKET, 1), "REJECTED"),
        (order(BUY, LIMIT, 1, price="101", tif=IOC), "REJECTED"),
        (order(BUY, LIMIT, 1, price="101"), "ACK"),
        (order(SELL, STOP, 1, stop_price="99"), "ACK"),
    ],
)
def test_an_unusable_book_is_never_taken_from(placed: Order, told: str) -> None:
    assert story(matching().place(placed, Market(usable=False))) == told


def test_without_a_mark_a_stop_rests_and_a_market_order_cannot_be_valued() -> None:
    made, market = matching(), Market(mark=None)
    assert story(made.place(order(SELL, STOP, 1, stop_price="200"), market)) == "ACK"
    assert "no price" in reason(made.place(order(BUY, MARKET, 1), market))


# --- resting limits ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("side", "limit", "traded", "filled"),
    [
        (SELL, "101.0", 100.9, False),
        (SELL, "101.0", 101.0, False),
        (SELL, "101.0", 101.1, True),
        (BUY, "99.0", 99.1, False),
        (BUY, "99.0", 99.0, False),
        (BUY, "99.0", 98.9, True),
        (SELL, "99.7", 99.7, False),  # as binary fractions these two
        (BUY, "99.6", 99.6, False),  # lie beyond the limit
    ],
)
def test_a_limit_with_others_in_front_fills_when_traded_through(
    side: Side, limit: str, traded: float, filled: bool
) -> None:
    made = matching()
    at = float(limit)
    before = Market(asks=[(at if side is SELL else 102.0, 1.0)], bids=[(at if side is BUY else 98.0, 1.0)])
    made.place(order(side, LIMIT, 3, price=limit), before)
    reports = printed(made, traded, 0.001, buys=side is SELL)
    assert story(reports) == ("fill FILLED" if filled else "")
    assert made.watching(BTC) is not filled
    if filled:
        fill = reports[0]
        assert isinstance(fill, Fill)
        assert (fill.price, fill.quantity, fill.maker) == (D(limit), D(3), True)
        assert fill.fee == D(limit) * 3 * D("0.0002") and fill.fee_asset == "USDT"


@pytest.mark.parametrize(("side", "limit"), [(SELL, "99.7"), (BUY, "99.6")])
def test_the_touch_cases_above_are_real_ones(side: Side, limit: str) -> None:
    naive = float(limit) > D(limit) if side is SELL else float(limit) < D(limit)
    assert naive, "a comparison of the float itself would call this touch a trade-through"


def test_a_trade_elsewhere_or_of_nothing_does_nothing() -> None:
    made = matching()
    made.place(order(SELL, LIMIT, 1, price="101"), Market())
    assert made.on_trade(ETH, 200.0, 1.0, True) == []
    assert printed(made, 200.0, 0.0) == []
    assert printed(made, float("nan"), 1.0) == [] and printed(made, 101.0, float("nan")) == []


def test_a_moving_price_reaches_the_nearest_rung_first() -> None:
    made = matching(position=2)
    for price in ("102", "101", "103"):
        made.place(order(SELL, LIMIT, 1, price=price, reduce_only=True), Market())
    reports = printed(made, 104.0, 1.0)
    assert [p for p, _ in fills(reports)] == ["101", "102"]
    assert story(reports) == "fill FILLED fill FILLED EXPIRED" and reason(reports) == NOTHING_TO_REDUCE


# --- reduce-only (I5) ----------------------------------------------------------------------------------------------

CAPPED = [
    # position, side, type, extra: fills, story
    (2, SELL, MARKET, {}, [("99.9", "1"), ("99.8", "1")], "ACK fill fill EXPIRED"),
    (-2, BUY, MARKET, {}, [("100.1", "1"), ("100.2", "1")], "ACK fill fill EXPIRED"),
    (2, SELL, LIMIT, {"tif": IOC, "price": "99"}, [("99.9", "1"), ("99.8", "1")], "ACK fill fill EXPIRED"),
    (2, SELL, LIMIT, {"price": "99"}, [("99.9", "1"), ("99.8", "1")], "ACK fill fill EXPIRED"),
]


@pytest.mark.parametrize(("position", "side", "kind", "extra", "expected", "told"), CAPPED)
def test_a_reducing_taker_stops_at_zero(
    position: int, side: Side, kind: OrderType, extra: dict[str, Any], expected: Any, told: str
) -> None:
    made = matching(position=position)
    reports = made.place(order(side, kind, 3, reduce_only=True, **extra), Market())
    assert fills(reports) == expected and story(reports) == told
    assert reason(reports) == NOTHING_TO_REDUCE and made.positions() == {} and not made.watching(BTC)


def test_a_resting_reduction_is_capped_and_expires_with_the_position() -> None:
    made = matching(position=2)
    made.place(order(SELL, LIMIT, 3, price="101", reduce_only=True), Market())
    reports = printed(made, 101.1, 1.0)
    assert fills(reports) == [("101", "2")] and story(reports) == "fill EXPIRED"


@pytest.mark.parametrize("flip", [False, True])
def test_reductions_outlive_the_position_and_expire_when_they_would_fill(flip: bool) -> None:
    made = matching(position=1)
    made.place(order(SELL, LIMIT, 1, price="101", reduce_only=True), Market())
    made.place(order(SELL, STOP, 1, stop_price="98", close_position=True), Market())
    made.place(order(SELL, STOP, 1, stop_price="98", reduce_only=True), Market())
    made.place(order(SELL, MARKET, 2 if flip else 1), Market())
    assert made.watching(BTC), "the venue cancels nothing by itself"
    assert story(printed(made, 101.1, 1.0)) == "EXPIRED"
    reports = made.on_mark(BTC, 98.0, Market(usable=False))
    assert story(reports) == "EXPIRED EXPIRED" and reason(reports) == NOTHING_TO_REDUCE
    assert made.positions() == ({BTC: D(-1)} if flip else {}) and not made.watching(BTC)


# --- stops ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("position", "stop", "mark", "triggered"),
    [
        (1, "99.0", 99.1, False),
        (1, "99.0", 99.0, True),
        (1, "99.0", 98.9, True),
        (1, "99.7", 99.7, True),
        (-1, "101.0", 100.9, False),
        (-1, "101.0", 101.0, True),
        (-1, "101.0", 101.1, True),
        (-1, "101.3", 101.3, True),
    ],
)
def test_a_stop_triggers_on_mark_and_takes(position: int, stop: str, mark: float, triggered: bool) -> None:
    made = matching(position=position)
    side = SELL if position > 0 else BUY
    made.place(order(side, STOP, 1, stop_price=stop, reduce_only=True), Market())
    assert printed(made, mark, 1.0) == [], "trades never trigger it"
    reports = made.on_mark(BTC, mark, Market())
    assert story(reports) == ("fill FILLED" if triggered else "")
    assert fills(reports) == ([("99.9" if side is SELL else "100.1", "1")] if triggered else [])
    assert all(not r.maker for r in reports if isinstance(r, Fill))


@pytest.mark.parametrize("quantity", ["0", "0.5", "7"])
def test_a_close_position_stop_closes_what_is_open_then(quantity: str) -> None:
    made = matching(position=1)
    made.place(order(SELL, STOP, quantity, stop_price="99", close_position=True), Market())
    made.place(order(BUY, MARKET, "1.5"), Market())
    reports = made.on_mark(BTC, 99.0, Market())
    assert sum(D(q) for _, q in fills(reports)) == D("2.5") and story(reports) == "fill fill FILLED"
    assert made.positions() == {}


@pytest.mark.parametrize("kind", ["close_position", "reduce_only"])
def test_a_stop_short_of_depth_goes_on_until_done_whatever_mark_does(kind: str) -> None:
    made = matching(position=3)
    made.place(order(SELL, STOP, 3, stop_price="99", **{kind: True}), Market())
    thin = Market(bids=[(98.9, 1.0)])
    assert story(made.on_mark(BTC, 99.0, thin)) == "fill"
    assert story(made.on_mark(BTC, 99.0, thin)) == "", "the same bid is not there twice"
    assert story(made.on_mark(BTC, 99.0, Market(usable=False))) == ""
    assert fills(made.on_mark(BTC, 105.0, Market(bids=[(98.9, 1.0), (98.0, 0.5)]))) == [("98", "0.5")]
    reports = made.on_mark(BTC, 105.0, Market(bids=[(97.0, 9.0)]))
    assert fills(reports) == [("97", "1.5")] and story(reports) == "fill FILLED"


def test_a_half_done_close_expires_when_a_rung_takes_the_rest() -> None:
    made = matching(position=2)
    made.place(order(SELL, STOP, 2, stop_price="99", close_position=True), Market())
    made.place(order(SELL, LIMIT, 2, price="101", reduce_only=True), Market())
    made.on_mark(BTC, 99.0, Market(bids=[(99.0, 1.0)]))
    assert story(printed(made, 102.0, 1.0)) == "fill EXPIRED"
    assert story(made.on_mark(BTC, 99.0, Market())) == "EXPIRED"
    assert made.positions() == {}


# --- cancel and amend ----------------------------------------------------------------------------------------------


def test_cancel_ends_a_working_order_once() -> None:
    made = matching()
    resting = order(SELL, LIMIT, 1, price="101")
    made.place(resting, Market())
    done = made.cancel(resting)
    assert done == [
        OrderUpdate(
            client_order_id=resting.client_order_id, instrument=BTC, status=OrderStatus.CANCELED, command="cancel"
        )
    ]
    assert printed(made, 200.0, 1.0) == [] and not made.watching(BTC)
    again = made.cancel(resting)[0]
    assert isinstance(again, OrderUpdate)
    assert (again.status, again.command, again.reason) == (OrderStatus.REJECTED, "cancel", "order is finished")


def test_a_fill_wins_over_the_cancel_that_comes_after_it() -> None:
    made = matching()
    resting = order(SELL, LIMIT, 1, price="101")
    made.place(resting, Market())
    assert story(printed(made, 101.1, 1.0)) == "fill FILLED"
    assert story(made.cancel(resting)) == "REJECTED" and story(made.amend(resting, Market())) == "REJECTED"
    assert made.positions() == {BTC: D(-1)}


def test_unknown_orders_are_told_apart_from_finished_ones() -> None:
    made, stranger = matching(), order(SELL, LIMIT, 1, price="101")
    for reports, command in ((made.cancel(stranger), "cancel"), (made.amend(stranger, Market()), "amend")):
        assert isinstance(reports[0], OrderUpdate)
        assert (reports[0].command, reports[0].reason) == (command, "unknown order")


AMENDED = [
    # a resting sell of 2 at 101 for a long of 2, reduce-only, half of it filled: what it becomes, story
    ({"price": D("102")}, "ACK"),
    ({"price": D("101.05")}, "REJECTED"),
    ({"price": None}, "REJECTED"),
    ({"quantity": D("0.5")}, "CANCELED"),
    ({"quantity": D("1")}, "CANCELED"),
    ({"quantity": D("1.001")}, "ACK"),
    ({"quantity": D("5")}, "ACK"),
    ({"quantity": D("1001")}, "REJECTED"),
    ({"side": BUY}, "REJECTED"),
    ({"reduce_only": False}, "REJECTED"),
    ({"tif": IOC}, "REJECTED"),
    ({"price": D("99.9"), "reason": "nearer wall"}, "ACK fill FILLED"),
]


@pytest.mark.parametrize(("change", "told"), AMENDED)
def test_amend_changes_price_and_quantity_or_nothing(change: dict[str, Any], told: str) -> None:
    made = matching(position=3)
    resting = order(SELL, LIMIT, 2, price="101", reduce_only=True)
    made.place(resting, Market(bids=[(101.0, 1.0)]))
    assert made.positions() == {BTC: D(2)}
    reports = made.amend(structs.replace(resting, **change), Market())
    assert story(reports) == told
    first = reports[0]
    assert isinstance(first, OrderUpdate) and first.command == "amend"
    if told == "REJECTED":
        assert fills(printed(made, 101.1, 1.0)) == [("101", "1")], "the old order stays as it was"
    if told == "CANCELED":
        assert "1 are filled already" in reason(reports) and not made.watching(BTC)
    if "quantity" in change and told == "ACK":
        through = fills(printed(made, 101.1, 1.0))
        assert through == [("101", str(min(change["quantity"] - 1, D("2"))))]


def test_an_amended_price_decides_from_then_on() -> None:
    made = matching()
    resting = order(SELL, LIMIT, 1, price="101")
    made.place(resting, Market())
    made.amend(structs.replace(resting, price=D("103")), Market())
    assert printed(made, 102.0, 1.0) == []
    assert fills(printed(made, 103.1, 1.0)) == [("103", "1")]


def test_a_crossing_amendment_pays_as_a_taker_and_rests_with_the_remainder() -> None:
    made = matching()
    resting = order(BUY, LIMIT, 2, price="99")
    made.place(resting, Market())
    reports = made.amend(structs.replace(resting, price=D("100.1")), Market())
    assert story(reports) == "ACK fill" and fills(reports) == [("100.1", "1")]
    assert isinstance(reports[1], Fill) and not reports[1].maker
    later = printed(made, 100.0, 1.0)
    assert fills(later) == [("100.1", "1")]
    end = OrderUpdate(client_order_id=resting.client_order_id, instrument=BTC, status=OrderStatus.FILLED)
    assert later[-1] == end and end.command == "place", "an order's end answers its placing"


def test_a_reduction_of_nothing_cannot_be_amended() -> None:
    made = matching(position=1)
    rung = order(SELL, LIMIT, 1, price="101", reduce_only=True)
    made.place(rung, Market())
    made.place(order(SELL, MARKET, 1), Market())
    assert reason(made.amend(structs.replace(rung, price=D("102")), Market())) == NOTHING_TO_REDUCE


@pytest.mark.parametrize(
    ("stop_price", "answer", "triggers_at"),
    [
        ("99.5", "ACK", 99.5),
        ("99.55", "REJECTED", 99.0),
        ("100.0", "REJECTED", 99.0),  # mark stands at 100: it would trigger immediately
        ("98", "ACK", 98.0),
    ],
)
@pytest.mark.parametrize("quantity", ["0", "1"])
def test_a_stop_moves_until_it_has_triggered(stop_price: str, answer: str, triggers_at: float, quantity: str) -> None:
    made = matching(position=2)
    stop = order(SELL, STOP, quantity, stop_price="99", close_position=True)
    made.place(stop, Market())
    moved = structs.replace(stop, stop_price=D(stop_price), quantity=D(2) * D(quantity))
    assert story(made.amend(moved, Market())) == answer
    assert made.on_mark(BTC, triggers_at + 0.1, Market()) == []
    assert story(made.on_mark(BTC, triggers_at, Market(bids=[(90.0, 1.0)]))) == "fill"
    assert "has triggered" in reason(made.amend(moved, Market()))
    assert story(made.on_mark(BTC, 100.0, Market())) == "fill FILLED"


# --- ids, instruments, published values ----------------------------------------------------------------------------


def test_trade_ids_count_per_instrument_and_take_a_prefix() -> None:
    made = matching()
    ids = [
        r.trade_id
        for name in (BTC, ETH, BTC)
        for r in made.place(order(BUY, MARKET, 1, instrument=name), Market())
        if isinstance(r, Fill)
    ]
    assert ids == ["T1", "T1", "T2"]
    assert made.positions() == {BTC: D(2), ETH: D(1)}
    second = Matching({BTC: instrument()}, FEES, trade_prefix="7T").place(order(BUY, MARKET, 1), Market())
    assert [r.trade_id for r in second if isinstance(r, Fill)] == ["7T1"]


def test_published_fees() -> None:
    for case in published("fees"):
        price, maker = case["price"], case["rate"] == 0.0002
        made = matching()
        if maker:
            made.place(order(SELL, LIMIT, str(case["qty"]), price=price), Market())
            reports = printed(made, price + 1, 1.0)
        else:
            reports = made.place(order(BUY, MARKET, str(case["qty"])), Market(asks=[(price, 9.0)]))
        assert [r.fee for r in reports if isinstance(r, Fill)] == [D(str(case["fee"]))]


def test_published_walk() -> None:
    for case in published("l2_walk"):
        levels = [(p, q) for p, q in case["levels"]]
        side = Side(case["side"])
        market = Market(asks=levels) if side is BUY else Market(bids=levels)
        done = [r for r in matching().place(order(side, MARKET, str(case["qty"])), market) if isinstance(r, Fill)]
        filled = sum((f.quantity for f in done), D(0))
        vwap = sum((f.price * f.quantity for f in done), D(0)) / filled
        assert filled == D(str(case["filled"])) and D(str(case["qty"])) - filled == D(str(case["unfilled"]))
        assert vwap == D(str(case["vwap"]))
        touch = D(str(levels[0][0]))
        assert float((vwap / touch - 1) * 10000) == pytest.approx(case["slippage_bps_vs_touch"], abs=1e-8)
