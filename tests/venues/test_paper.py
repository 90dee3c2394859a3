"""The paper venue: what arrives when, in which order, and that its bytes are the engine's account frames."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from bot.domain.errors import InvariantError
from bot.domain.instrument import Instrument
from bot.domain.orders import (
    AmendOrder,
    CancelOrder,
    Fill,
    Funding,
    Order,
    OrderReport,
    OrderStatus,
    OrderType,
    OrderUpdate,
    PlaceOrder,
    TimeInForce,
)
from bot.domain.ports import PriceView, Venue
from bot.domain.values import MS, NS, Side
from bot.trading.costs import FeeParams
from bot.trading.fills import Matching
from bot.venues.paper import PaperParams, PaperVenue
from bot.venues.reports import decode_report, encode_report

BTC = "binanceusdm:BTCUSDT"
T0 = 1_700_000_000 * NS
D = Decimal


@dataclass
class Market:
    bids: list[tuple[float, float]] = field(default_factory=lambda: [(99.9, 2.0)])
    asks: list[tuple[float, float]] = field(default_factory=lambda: [(100.1, 2.0)])
    mark: float | None = 100.0
    usable: bool = True
    bid: float | None = 99.9
    ask: float | None = 100.1
    mid: float | None = 100.0
    last: float | None = None
    mark_source: str = "venue"

    def book_age_ns(self, now_ns: int) -> int | None:
        return 0

    trade_age_ns = mark_age_ns = book_age_ns

    def levels(self, side: Side, count: int) -> list[tuple[float, float]]:
        return (self.bids if side is Side.BUY else self.asks)[:count]


class Rig:
    """The engine's part: a heap of timers in order of (due, number), the market, and the account frames."""

    def __init__(self, latency_ms: int = 150) -> None:
        instrument = Instrument(
            id=BTC, venue="binanceusdm", symbol="BTCUSDT", unified="BTC/USDT:USDT", base="BTC", quote="USDT",
            tick=D("0.1"), step=D("0.001"), min_quantity=D("0.001"), max_quantity=D(1000),
            max_market_quantity=D(120), min_notional=D(5),
        )  # fmt: skip
        self.market = Market()
        self.timers: list[tuple[int, int, str]] = []
        self.frames: list[bytes] = []
        self.venue = PaperVenue(
            Matching({BTC: instrument}, FeeParams()),
            PaperParams(latency_ms=latency_ms),
            lambda key, due_ns: heapq.heappush(self.timers, (due_ns, len(self.timers), key)),
            self.frames.append,
        )

    def run_until(self, now_ns: int) -> list[OrderReport]:
        while self.timers and self.timers[0][0] <= now_ns:
            self.venue.on_timer(heapq.heappop(self.timers)[2], self.market_of)
        return self.reports()

    def market_of(self, instrument: str) -> PriceView:
        assert instrument == BTC
        return self.market

    def reports(self) -> list[OrderReport]:
        taken, self.frames[:] = [decode_report(raw) for raw in self.frames], []
        return [report for report in taken if not isinstance(report, Funding)]


def order(name: str, side: Side, kind: OrderType, quantity: str = "1", **over: Any) -> Order:
    fields: dict[str, Any] = {"client_order_id": name, "instrument": BTC, "signal_id": "s", "position_id": "p"}
    fields |= {"leg": "entry", "side": side, "type": kind, "quantity": D(quantity)}
    return Order(**(fields | over))


def buy(name: str, quantity: str = "1") -> PlaceOrder:
    return PlaceOrder(order=order(name, Side.BUY, OrderType.MARKET, quantity))


def story(reports: list[OrderReport]) -> list[str]:
    return [f"{r.client_order_id} {'fill' if isinstance(r, Fill) else r.status}" for r in reports]


def quantities(reports: list[OrderReport]) -> list[Decimal]:
    return [r.quantity for r in reports if isinstance(r, Fill)]


@pytest.mark.parametrize("latency_ms", [0, 1, 150])
def test_a_command_acts_on_the_market_of_its_arrival(latency_ms: int) -> None:
    rig = Rig(latency_ms)
    rig.venue.send(buy("a"), T0)
    due_ns = T0 + latency_ms * MS
    assert [timer[0] for timer in rig.timers] == [due_ns]
    assert rig.run_until(due_ns - 1) == [], "nothing happens before"
    rig.market.asks = [(101.0, 2.0)]
    reports = rig.run_until(due_ns)
    assert story(reports) == ["a ACK", "a fill", "a FILLED"]
    assert isinstance(reports[1], Fill) and reports[1].price == D(101)


def test_commands_of_one_moment_arrive_in_the_order_of_sending() -> None:
    rig = Rig()
    names = [f"n{i}" for i in range(12)]
    for name in names:
        rig.venue.send(PlaceOrder(order=order(name, Side.BUY, OrderType.LIMIT, price=D("90"))), T0)
    assert sorted(key for _, _, key in rig.timers) == [key for _, _, key in sorted(rig.timers)]
    assert story(rig.run_until(T0 + NS)) == [f"{name} ACK" for name in names]


def test_place_amend_and_cancel_of_one_moment() -> None:
    rig = Rig()
    placed = order("a", Side.BUY, OrderType.LIMIT, price=D("90"))
    for command in (PlaceOrder(order=placed), AmendOrder(order=msgspec.structs.replace(placed, price=D("91"))),
                    CancelOrder(order=placed), CancelOrder(order=placed)):  # fmt: skip
        rig.venue.send(command, T0)
    reports = rig.run_until(T0 + NS)
    assert [(r.status, r.command) for r in reports if isinstance(r, OrderUpdate)] == [
        (OrderStatus.ACK, "place"),
        (OrderStatus.ACK, "amend"),
        (OrderStatus.CANCELED, "cancel"),
        (OrderStatus.REJECTED, "cancel"),
    ]


def test_a_fill_while_the_cancel_is_on_its_way_wins() -> None:
    rig = Rig()
    resting = order("a", Side.SELL, OrderType.LIMIT, price=D("101"))
    rig.venue.send(PlaceOrder(order=resting), T0)
    rig.run_until(T0 + NS)
    rig.venue.send(CancelOrder(order=resting), T0 + NS)
    rig.venue.on_trade(BTC, 101.0, 1.0, rig.market)
    assert rig.reports() == [], "a touch is not a fill"
    rig.venue.on_trade(BTC, 101.1, 1.0, rig.market)
    assert story(rig.run_until(T0 + 2 * NS)) == ["a fill", "a FILLED", "a REJECTED"]


def test_an_order_on_its_way_matches_no_trade() -> None:
    rig = Rig()
    rig.venue.send(PlaceOrder(order=order("a", Side.SELL, OrderType.LIMIT, price=D("101"))), T0)
    assert not rig.venue.watching(BTC)
    rig.venue.on_trade(BTC, 105.0, 1.0, rig.market)
    assert story(rig.run_until(T0 + NS)) == ["a ACK"]
    assert rig.venue.watching(BTC)


def test_the_book_triggers_stops_by_mark() -> None:
    rig = Rig(0)
    rig.venue.send(buy("a"), T0)
    stop = order("s", Side.SELL, OrderType.STOP_MARKET, stop_price=D("99"), close_position=True)
    rig.venue.send(PlaceOrder(order=stop), T0)
    rig.run_until(T0)
    for mark in (None, 99.1):
        rig.market.mark = mark
        rig.venue.on_book(BTC, rig.market)
        assert rig.reports() == []
    rig.market.mark = 99.0
    rig.venue.on_book(BTC, rig.market)
    assert story(rig.reports()) == ["s fill", "s FILLED"]
    assert not rig.venue.watching(BTC)


@pytest.mark.parametrize(("later_ns", "filled"), [(0, "0.5"), (NS - 1, "0.5"), (NS, "1.5")])
def test_the_book_is_not_refilled_behind_us_for_a_second(later_ns: int, filled: str) -> None:
    rig = Rig()
    rig.venue.send(buy("a", "1.5"), T0)
    rig.run_until(T0 + 150 * MS)
    rig.venue.send(buy("b", "1.5"), T0 + later_ns)
    assert quantities(rig.run_until(T0 + later_ns + 150 * MS)) == [D(filled)]


def test_a_resting_fill_does_not_keep_the_book_empty() -> None:
    rig = Rig()
    rig.venue.send(buy("a", "1.5"), T0)
    rig.venue.send(PlaceOrder(order=order("r", Side.SELL, OrderType.LIMIT, price=D("101"))), T0)
    rig.run_until(T0 + 150 * MS)
    rig.venue.on_trade(BTC, 102.0, 1.0, rig.market)
    rig.reports()
    rig.venue.send(buy("b", "1.5"), T0 + NS)
    assert quantities(rig.run_until(T0 + 2 * NS)) == [D("1.5")]


@pytest.mark.parametrize(("later_ns", "filled"), [(0, "0.5"), (NS - 1, "0.5"), (NS, "1.5")])
def test_a_stop_takes_from_the_book_too_dated_by_the_next_arrival(later_ns: int, filled: str) -> None:
    rig = Rig(0)
    rig.venue.send(buy("a", "1.5"), T0)
    stop = order("s", Side.SELL, OrderType.STOP_MARKET, stop_price=D("99"), close_position=True)
    rig.venue.send(PlaceOrder(order=stop), T0)
    rig.run_until(T0)
    rig.market.mark = 98.0
    rig.venue.on_book(BTC, rig.market)
    assert quantities(rig.reports()) == [D("1.5")]
    dated_ns = T0 + 60 * NS
    if later_ns:
        rig.venue.send(CancelOrder(order=stop), dated_ns)
    sell = order("c", Side.SELL, OrderType.LIMIT, "1.5", price=D("99"), tif=TimeInForce.IOC)
    rig.venue.send(PlaceOrder(order=sell), dated_ns + later_ns)
    assert quantities(rig.run_until(dated_ns + later_ns)) == [D(filled)]


def test_a_key_is_fired_once() -> None:
    rig = Rig()
    rig.venue.send(buy("a"), T0)
    key = rig.timers[0][2]
    rig.run_until(T0 + NS)
    with pytest.raises(InvariantError, match=key):
        rig.venue.on_timer(key, rig.market_of)


def test_it_is_a_venue_named_paper() -> None:
    venue: Venue = Rig().venue
    assert venue.name == "paper"


REPORTS: list[OrderReport] = [
    OrderUpdate(client_order_id="a", instrument=BTC, status=OrderStatus.EXPIRED, command="", reason="why"),
    Fill(
        client_order_id="a", instrument=BTC, trade_id="T1", side=Side.SELL, price=D("65000.10"), quantity=D("0.001"),
        fee=D("0.0325000500"), fee_asset="USDT", maker=False,
    ),
]  # fmt: skip


@pytest.mark.parametrize("report", REPORTS)
def test_reports_survive_their_bytes(report: OrderReport) -> None:
    again = decode_report(encode_report(report))
    assert again == report and repr(again) == repr(report)
    assert encode_report(again) == encode_report(report)


@pytest.mark.parametrize("raw", [b"", b"{}", b'{"type":"order"}', b'{"type":"place"}'])
def test_bytes_that_are_no_report_are_refused(raw: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode_report(raw)


def test_without_a_book_a_trade_beyond_the_stop_triggers_it_and_it_fills_when_there_is_one() -> None:
    rig = Rig()
    rig.venue.send(buy("b"), T0)
    rig.run_until(T0 + NS)
    stop = order("s", Side.SELL, OrderType.STOP_MARKET, stop_price=D("99"), close_position=True)
    rig.venue.send(PlaceOrder(order=stop), T0 + NS)
    rig.run_until(T0 + 2 * NS)
    rig.market.usable, rig.market.mark = False, None
    rig.venue.on_trade(BTC, 98.9, 1.0, rig.market)
    assert quantities(rig.reports()) == []  # nothing to sell into
    rig.market.usable, rig.market.mark = True, 100.0  # price came back: it had triggered all the same
    rig.venue.on_book(BTC, rig.market)
    assert quantities(rig.reports()) == [D(1)]
