"""The desk that keeps our orders: their events, late and repeated reports, amendments."""

from __future__ import annotations

from decimal import Decimal

import pytest
from msgspec.structs import replace

from bot.domain.messages import Executed, OrderChanged
from bot.domain.orders import (
    AmendOrder,
    CancelOrder,
    Fill,
    Order,
    OrderStatus,
    OrderType,
    OrderUpdate,
    PlaceOrder,
)
from bot.domain.values import Side
from bot.trading.orders import Orders
from tests.build import BTC, FakePosition, FakeView

VIEW = FakeView()
TIER = Order(
    client_order_id="C1",
    instrument=BTC,
    signal_id="S1",
    position_id="P1",
    leg="tier_4",
    side=Side.SELL,
    type=OrderType.LIMIT,
    quantity=Decimal("0.04"),
    price=Decimal(66300),
    reduce_only=True,
)


def update(status: OrderStatus, command: str = "place", reason: str = "") -> OrderUpdate:
    return OrderUpdate(client_order_id="C1", instrument=BTC, status=status, command=command, reason=reason)


def fill(trade_id: str = "T1") -> Fill:
    return Fill(
        client_order_id="C1",
        instrument=BTC,
        trade_id=trade_id,
        side=Side.SELL,
        price=Decimal(66300),
        quantity=Decimal("0.01"),
        fee=Decimal("0.1326"),
        fee_asset="USDT",
        maker=True,
    )


@pytest.fixture
def desk() -> Orders:
    orders = Orders()
    (intent,) = orders.on(PlaceOrder(order=TIER), VIEW)
    assert intent.kind == "ORDER_INTENT"  # type: ignore[union-attr]
    return orders


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (OrderStatus.SENT, "ORDER_SENT"),
        (OrderStatus.ACK, "ORDER_ACK"),
        (OrderStatus.REJECTED, "ORDER_REJECTED"),
        (OrderStatus.CANCELED, "ORDER_CANCELED"),
        (OrderStatus.EXPIRED, "ORDER_CANCELED"),
        (OrderStatus.DROPPED, "ORDER_CANCELED"),
        (OrderStatus.UNKNOWN, "ORDER_UNKNOWN"),
    ],
)
def test_each_report_is_one_event_with_the_whole_order(desk: Orders, status: OrderStatus, kind: str) -> None:
    event, changed = desk.on(update(status), VIEW)
    assert event.kind == kind  # type: ignore[union-attr]
    data = event.data  # type: ignore[union-attr]
    assert (data["leg"], data["quantity"], data["position_id"], data["signal_id"]) == ("tier_4", "0.04", "P1", "S1")
    assert isinstance(changed, OrderChanged)


def test_a_finished_order_stays_finished_and_says_so_once(desk: Orders) -> None:
    desk.on(update(OrderStatus.CANCELED), VIEW)
    late = desk.on(update(OrderStatus.FILLED), VIEW)
    assert not [answer for answer in late if isinstance(answer, OrderChanged)]


def test_a_fill_is_booked_once_per_trade_id_and_also_after_the_end(desk: Orders) -> None:
    desk.on(update(OrderStatus.CANCELED), VIEW)
    event, executed = desk.on(fill(), VIEW)
    assert event.kind == "FILL"  # type: ignore[union-attr]
    assert isinstance(executed, Executed)
    assert desk.on(fill(), VIEW) == []
    assert len(desk.on(fill("T2"), VIEW)) == 2


def test_an_amendment_counts_from_its_acknowledgement_on(desk: Orders) -> None:
    wanted = replace(TIER, price=Decimal(66133))
    desk.on(AmendOrder(order=wanted, reason="wall"), VIEW)
    sent, _ = desk.on(update(OrderStatus.SENT, "amend"), VIEW)
    assert sent.data["price"] == "66300"  # type: ignore[union-attr]
    ack, changed = desk.on(update(OrderStatus.ACK, "amend"), VIEW)
    assert ack.data["price"] == "66133"  # type: ignore[union-attr]
    assert changed.order.price == Decimal(66133)  # type: ignore[union-attr]


def test_a_refused_amendment_or_cancel_does_not_finish_the_order(desk: Orders) -> None:
    desk.on(AmendOrder(order=replace(TIER, price=Decimal(66133))), VIEW)
    event, _ = desk.on(update(OrderStatus.REJECTED, "amend", "no"), VIEW)
    assert event.data["price"] == "66300"  # type: ignore[union-attr]
    desk.on(CancelOrder(order=TIER), VIEW)
    desk.on(update(OrderStatus.REJECTED, "cancel", "order is finished"), VIEW)
    filled, changed = desk.on(update(OrderStatus.FILLED), VIEW)
    assert filled.kind == "ORDER_FILLED"  # type: ignore[union-attr]
    assert isinstance(changed, OrderChanged)


def test_an_order_tells_all_that_a_restart_needs_of_it(desk: Orders) -> None:
    stop = replace(
        TIER,
        client_order_id="C2",
        leg="stop",
        type=OrderType.STOP_MARKET,
        price=None,
        stop_price=Decimal(64350),
        close_position=True,
    )
    (intent,) = desk.on(PlaceOrder(order=stop), VIEW)
    data = intent.data  # type: ignore[union-attr]
    assert (data["tif"], data["close_position"], data["trigger"], data["stop_price"]) == ("GTC", True, "mark", "64350")
    (entry,) = desk.on(PlaceOrder(order=replace(TIER, leg="entry", stop_distance=Decimal("0.004"))), VIEW)
    assert entry.data["stop_distance"] == "0.004"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("held", "side", "known"),
    [(True, Side.SELL, True), (True, Side.BUY, False), (False, Side.SELL, False)],
)
def test_a_liquidation_is_an_exit_of_the_position_it_takes_away(held: bool, side: Side, known: bool) -> None:
    view = FakeView()
    if held:
        view.portfolio.open(FakePosition(position_id="P9", signal_id="S9"))
    taken = replace(fill(), client_order_id="autoclose-17", side=side, liquidation=True)
    answers = Orders().on(taken, view)
    assert [answer.kind for answer in answers[:1]] == ["FILL" if known else "DISCREPANCY"]  # type: ignore[union-attr]
    if known:
        (executed,) = answers[1:]
        assert isinstance(executed, Executed)
        assert (executed.order.leg, executed.order.position_id, executed.order.signal_id) == ("liquidation", "P9", "S9")
        assert executed.order.reduce_only


def test_a_fill_under_a_strange_id_that_is_no_liquidation_stays_a_discrepancy() -> None:
    view = FakeView()
    view.portfolio.open(FakePosition())
    (event,) = Orders().on(replace(fill(), client_order_id="autoclose-17"), view)
    assert event.kind == "DISCREPANCY"  # type: ignore[union-attr]
