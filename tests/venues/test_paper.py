"""The paper venue: what arrives when, in which order, and that its bytes are the engine's account frames."""

from __future__ import annotations

import heapq
from decimal import Decimal
from itertools import count
from typing import Any

import msgspec
import pytest

from bot.domain.errors import InvariantError
from bot.domain.market import TradePrint
from bot.domain.orders import (
    AmendOrder,
    CancelOrder,
    Fill,
    Funding,
    Order,
    OrderCommand,
    OrderReport,
    OrderStatus,
    OrderType,
    OrderUpdate,
    PlaceOrder,
    TimeInForce,
    Transfer,
)
from bot.domain.ports import PriceView, Venue
from bot.domain.values import MS, NS, Side
from bot.trading.costs import FeeParams
from bot.trading.fills import Matching
from bot.venues.paper import PaperParams, PaperVenue
from bot.venues.reports import decode_report, encode_report
from tests.trading.venue_kit import BTC, Market, instrument

T0 = 1_700_000_000 * NS
D = Decimal


class Rig:
    """The engine's part: a heap of timers in order of (due, number), the market, and the account frames."""

    def __init__(
        self, latency_ms: int = 150, latency_p99_ms: int = 0, fees: FeeParams | None = None, **paper: Any
    ) -> None:
        params = PaperParams(latency_ms=latency_ms, latency_p99_ms=latency_p99_ms, **paper)
        self.market = Market(bids=[(99.9, 2.0)], asks=[(100.1, 2.0)])
        self.timers: list[tuple[int, int, str]] = []
        self.numbers = count()
        self.frames: list[bytes] = []
        self.now_ns = T0
        self.venue = PaperVenue(
            Matching({BTC: instrument()}, fees or FeeParams(), params, wallet_usd=params.equity_usd),
            params,
            lambda key, due_ns: heapq.heappush(self.timers, (due_ns, next(self.numbers), key)),
            self.frames.append,
        )

    def run_until(self, now_ns: int) -> list[OrderReport]:
        while self.timers and self.timers[0][0] <= now_ns:
            self.venue.on_timer(heapq.heappop(self.timers)[2], self.market_of)
        self.now_ns = now_ns
        return self.reports()

    def market_of(self, instrument: str) -> PriceView:
        assert instrument == BTC
        return self.market

    def trade(self, price: float, quantity: float = 1.0, *, buys: bool = True) -> None:
        trade = TradePrint("BTCUSDT", 1, price, quantity, buys, 0)
        self.venue.on_trade(BTC, trade, self.market, self.now_ns)

    def book(self) -> None:
        self.venue.on_book(BTC, self.market, self.now_ns)

    def mark(self) -> None:
        self.venue.on_mark(BTC, self.market, self.now_ns)

    def fundings(self) -> list[Funding]:
        """What there is of them among the frames; these are taken, the others stay."""
        read = [(raw, decode_report(raw)) for raw in self.frames]
        self.frames[:] = [raw for raw, report in read if not isinstance(report, Funding)]
        return [report for _, report in read if isinstance(report, Funding)]

    def reports(self) -> list[OrderReport]:
        taken, self.frames[:] = [decode_report(raw) for raw in self.frames], []
        assert not any(isinstance(report, Funding) for report in taken)
        return [report for report in taken if not isinstance(report, Funding | Transfer)]


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
    rig.market.asks.append((101.0, 5.0))
    resting = order("a", Side.SELL, OrderType.LIMIT, price=D("101"))
    rig.venue.send(PlaceOrder(order=resting), T0)
    rig.run_until(T0 + NS)
    rig.venue.send(CancelOrder(order=resting), T0 + NS)
    rig.trade(101.0, 5.0)
    assert rig.reports() == [], "a touch that serves those in front is not a fill"
    rig.trade(101.1, 1.0)
    assert story(rig.run_until(T0 + 2 * NS)) == ["a fill", "a FILLED", "a REJECTED"]


def test_an_order_on_its_way_matches_no_trade() -> None:
    rig = Rig()
    rig.venue.send(PlaceOrder(order=order("a", Side.SELL, OrderType.LIMIT, price=D("101"))), T0)
    assert not rig.venue.watching(BTC)
    rig.trade(105.0, 1.0)
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
        rig.book()
        assert rig.reports() == []
    rig.market.mark = 99.0
    rig.book()
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
    rig.trade(102.0, 1.0)
    rig.reports()
    rig.venue.send(buy("b", "1.5"), T0 + NS)
    assert quantities(rig.run_until(T0 + 2 * NS)) == [D("1.5")]


@pytest.mark.parametrize(("later_ns", "filled"), [(0, "0.5"), (NS - 1, "0.5"), (NS, "1.5")])
def test_what_a_stop_took_is_gone_for_a_second_from_then(later_ns: int, filled: str) -> None:
    rig = Rig(0)
    rig.venue.send(buy("a", "1.5"), T0)
    stop = order("s", Side.SELL, OrderType.STOP_MARKET, stop_price=D("99"), close_position=True)
    rig.venue.send(PlaceOrder(order=stop), T0)
    rig.run_until(T0 + 60 * NS)
    rig.market.mark = 98.0
    rig.book()
    assert quantities(rig.reports()) == [D("1.5")]
    sell = order("c", Side.SELL, OrderType.LIMIT, "1.5", price=D("99"), tif=TimeInForce.IOC)
    rig.venue.send(PlaceOrder(order=sell), rig.now_ns + later_ns)
    assert quantities(rig.run_until(rig.now_ns + later_ns)) == [D(filled)]


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
    rig.trade(98.9, 1.0)
    assert quantities(rig.reports()) == []  # nothing to sell into
    rig.market.usable, rig.market.mark = True, 100.0  # price came back: it had triggered all the same
    rig.book()
    assert quantities(rig.reports()) == [D(1)]


# --- delays that are drawn -----------------------------------------------------------------------------------------


def arrivals(rig: Rig, *commands: OrderCommand, at_ns: int = T0) -> list[int]:
    """Delays in the order of sending."""
    seen = len(rig.timers)
    for command in commands:
        rig.venue.send(command, at_ns)
    assert len(rig.timers) == seen + len(commands)
    return [due_ns - at_ns for due_ns, _, _ in sorted(rig.timers, key=lambda timer: timer[1])[seen:]]


def test_a_delay_hangs_on_the_decision_not_on_the_session_that_made_it() -> None:
    first, again = Rig(150, 600), Rig(150, 600)
    one = arrivals(first, buy("session1-frame9"), buy("session1-frame9b"))
    assert one == arrivals(again, buy("session2-frame1"), buy("session2-frame2"))
    assert len({*one, *arrivals(first, buy("c"), at_ns=T0 + 1)}) == 3, "each its own"


def test_no_two_kinds_of_command_draw_alike() -> None:
    of = order("a", Side.BUY, OrderType.LIMIT, price=D("90"))
    exit_ = msgspec.structs.replace(of, client_order_id="b", leg="stop")
    commands: list[OrderCommand] = [
        PlaceOrder(order=of),
        PlaceOrder(order=exit_),
        CancelOrder(order=msgspec.structs.replace(of, client_order_id="z")),
    ]
    assert len(set(arrivals(Rig(150, 600), *commands))) == 3


def test_a_later_command_about_an_order_never_overtakes_an_earlier_one() -> None:
    for i in range(60):
        rig = Rig(150, 600)
        at_ns = T0 + i
        placed = order("a", Side.BUY, OrderType.LIMIT, price=D("90"))
        amended = AmendOrder(order=msgspec.structs.replace(placed, price=D("91")))
        delays = arrivals(rig, PlaceOrder(order=placed), amended, CancelOrder(order=placed), at_ns=at_ns)
        assert delays == sorted(delays)
        assert story(rig.run_until(T0 + 60 * NS)) == ["a ACK", "a ACK", "a CANCELED"]


def test_orders_apart_may_arrive_in_another_order_than_they_were_sent() -> None:
    rig = Rig(150, 600)
    names = [f"n{i}" for i in range(12)]
    for name in names:
        rig.venue.send(PlaceOrder(order=order(name, Side.BUY, OrderType.LIMIT, price=D("90"))), T0)
    arrived = [told.split()[0] for told in story(rig.run_until(T0 + 60 * NS))]
    assert sorted(arrived) == sorted(names) and arrived != names


@pytest.mark.parametrize(
    ("median", "p99", "fine"), [(150, 149, False), (150, 150, True), (150, 0, True), (0, 600, True)]
)
def test_the_slow_ones_are_not_faster_than_the_median(median: int, p99: int, fine: bool) -> None:
    if fine:
        assert PaperParams(latency_ms=median, latency_p99_ms=p99)
    else:
        with pytest.raises(ValueError, match="less than the median"):
            PaperParams(latency_ms=median, latency_p99_ms=p99)


# --- what comes unasked --------------------------------------------------------------------------------------------


def bought(quantity: str = "1", **rig: Any) -> Rig:
    """An account that has just bought."""
    made = Rig(0, **rig)
    made.venue.send(buy("b", quantity), T0)
    made.run_until(T0)
    return made


def test_a_funding_time_that_is_told_again_after_a_restart_is_booked() -> None:
    """Its timer went with the venue that forgot."""
    rig = bought("2")
    due_ns = T0 + 3600 * NS
    rig.market.funding_rate, rig.market.next_funding_ns = 0.0001, due_ns
    rig.mark()
    account = rig.venue.account
    rig.timers.clear()
    rig.venue.restore(account.wallet_usd, account.held(), [])
    rig.now_ns, rig.market.mark = due_ns - NS, 65000.0
    rig.mark()
    for _, _, key in list(rig.timers):
        rig.venue.on_timer(key, rig.market_of)
    assert [told.usd for told in rig.fundings()] == [D(-13)]


def test_funding_is_booked_a_minute_after_its_time_at_the_mark_and_rate_before_it() -> None:
    rig = bought("2")
    due_ns = T0 + 3600 * NS
    rig.market.funding_rate, rig.market.next_funding_ns = 0.0001, due_ns
    for rig.now_ns, rig.market.mark in ((T0 + NS, 90.0), (due_ns - NS, 65000.0)):
        rig.mark()
    rig.market.funding_rate, rig.market.next_funding_ns, rig.market.mark = 0.0005, due_ns + 28800 * NS, 1.0
    rig.now_ns = due_ns + NS
    rig.run_until(due_ns + 60 * NS - 1)
    assert rig.fundings() == []
    rig.market.mark = 100.0
    for due, _, key in sorted(rig.timers)[:1]:
        assert due == due_ns + 60 * NS
        rig.venue.on_timer(key, rig.market_of)
    (told,) = rig.fundings()
    assert told == Funding(
        instrument=BTC, due_ns=due_ns, rate=D("0.0001"), mark=D("65000.0"), quantity=D(2), usd=D(-13)
    )
    account = rig.venue.account
    assert account.wallet_usd == account.start_usd - account.fees_usd - 13
    with pytest.raises(InvariantError):
        rig.venue.on_timer(key, rig.market_of)


def test_where_no_venue_tells_a_rate_nothing_is_booked() -> None:
    rig = bought("2")
    rig.market.mark_source, rig.market.next_funding_ns, rig.market.funding_rate = "mid", T0 + NS, 0.0001
    rig.mark()
    assert rig.timers == []
    rig.market.mark_source, rig.market.funding_rate = "venue", None
    rig.mark()
    rig.run_until(T0 + 100 * NS)
    assert rig.fundings() == []


def test_a_wallet_too_small_for_its_positions_is_liquidated_by_walking_the_book() -> None:
    rig = bought("2", equity_usd=D(100), liquidation_fee_pct=D(1))
    rig.venue.send(PlaceOrder(order=order("tp", Side.SELL, OrderType.LIMIT, price=D("120"), reduce_only=True)), T0)
    rig.run_until(T0)
    assert rig.venue.watching(BTC), "a position alone is reason enough to look at marks"
    rig.market.bids, rig.market.mark = [(50.1, 1.5), (50.0, 9.0)], 50.6
    rig.mark()
    assert rig.reports() == [], "equity 0.8999 is above the maintenance margin 0.4048"
    rig.now_ns, rig.market.mark = T0 + 2 * NS, 50.2
    rig.mark()
    reports = rig.reports()
    assert story(reports) == ["tp CANCELED", "autoclose-T2 fill", "autoclose-T2 fill"]
    assert isinstance(reports[0], OrderUpdate) and "maintenance margin" in reports[0].reason
    closing = [r for r in reports if isinstance(r, Fill)]
    assert [(f.price, f.quantity, f.liquidation, f.maker) for f in closing] == [
        (D("50.1"), D("1.5"), True, False), (D("50.0"), D("0.5"), True, False)]  # fmt: skip
    assert [f.fee for f in closing] == [D("50.1") * D("1.5") * D("0.0105"), D(50) / 2 * D("0.0105")]
    account = rig.venue.account
    spent = D("100.1") * 2 - D("50.1") * D("1.5") - D("25.0")
    assert account.wallet_usd == 100 - spent - account.fees_usd and account.positions() == {}
    assert not rig.venue.watching(BTC)


def test_after_a_restart_the_account_goes_on_and_orders_stand_at_the_back() -> None:
    before = bought("2")
    rung = order("tp", Side.SELL, OrderType.LIMIT, "2", price=D("101"), reduce_only=True)
    stop = order("st", Side.SELL, OrderType.STOP_MARKET, stop_price=D("95"), close_position=True)
    for placed in (rung, stop):
        before.venue.send(PlaceOrder(order=placed), T0)
    before.run_until(T0)
    before.trade(101.0, 0.5)
    assert quantities(before.reports()) == [D("0.5")]
    after = Rig(0)
    account = before.venue.account
    after.venue.restore(account.wallet_usd, account.held(), before.venue.working())
    assert after.venue.account.wallet_usd == account.wallet_usd and after.venue.account.positions() == {BTC: D("1.5")}
    after.market.mark = 94.0
    assert after.reports() == [], "nothing that happened meanwhile is made up"
    after.trade(101.0, 9.0)
    assert after.reports() == [], "who stands in front is not known yet"
    after.market.asks, after.market.mark = [(101.0, 3.0)], 100.0
    after.book()
    after.trade(101.0, 3.5)
    assert quantities(after.reports()) == [D("0.5")], "all that was first seen stood in front"
    after.trade(101.1, 0.001)
    assert story(after.reports()) == ["tp fill", "tp FILLED"]
    assert after.venue.account.positions() == {}


def test_fees_follow_the_accounts_own_volume_of_the_days_before() -> None:
    fees = FeeParams(tiers=((D(100), D("-0.01"), D("0.03")),))
    rig = Rig(0, fees=fees)
    day_ns = 86_400 * NS
    paid = []
    for at_ns in (T0, T0 + NS, T0 + day_ns, T0 + 32 * day_ns):
        rig.venue.send(buy(f"b{at_ns}"), at_ns)
        paid += [f.fee / f.price for f in rig.run_until(at_ns) if isinstance(f, Fill)]
    assert paid == [D("0.0005"), D("0.0005"), D("0.0003"), D("0.0005")]
    rig.venue.restore(D(10_000), [], [], traded=[(T0 + 31 * day_ns, D(100))])
    rig.venue.send(buy("again"), T0 + 32 * day_ns + 2 * NS)
    assert [f.fee / f.price for f in rig.run_until(T0 + 33 * day_ns) if isinstance(f, Fill)] == [D("0.0003")]
