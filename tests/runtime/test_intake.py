"""What each kind of frame does, and what an unreadable one does not do."""

from __future__ import annotations

import json
from array import array
from decimal import Decimal
from typing import Any

import pytest

from bot.domain.events import Emit
from bot.domain.frames import Frame
from bot.domain.messages import (
    CloseRequest,
    FeedChanged,
    OutsideSignal,
    PauseRequest,
    PriceTouched,
    ResumeRequest,
    StopRequest,
    WatchPrice,
)
from bot.domain.orders import OrderStatus, OrderUpdate, Transfer, Trigger
from bot.domain.reading import LongShort, WhaleCvd
from bot.domain.trades import TradeRun
from bot.domain.values import NS, Direction
from bot.exchanges import binance
from bot.market.flow import TakerFlow
from bot.market.state import Market
from bot.runtime.intake import Intake
from bot.runtime.watches import Watches
from bot.venues.reports import encode_report
from tests.build import BTC, instrument

T0 = 1_723_161_255 * NS


class Watcher:
    """Stands where the paper venue stands."""

    def __init__(self) -> None:
        self.on = False
        self.seen: list[Any] = []

    def watching(self, instrument: str) -> bool:
        return self.on

    def on_trade(self, instrument: str, trade: Any, market: Any, now_ns: int) -> None:
        self.seen.append(("trade", trade.price, trade.quantity, now_ns))

    def on_book(self, instrument: str, market: Any, now_ns: int) -> None:
        self.seen.append(("book", market.mark, now_ns))

    def on_mark(self, instrument: str, market: Any, now_ns: int) -> None:
        self.seen.append(("mark", market.mark, market.next_funding_ns, now_ns))


@pytest.fixture
def watcher() -> Watcher:
    return Watcher()


@pytest.fixture
def watches() -> Watches:
    return Watches()


@pytest.fixture
def intake(watcher: Watcher, watches: Watches) -> Intake:
    market = Market([instrument()])
    return Intake(market, {binance.VENUE: lambda: binance.decode}, watcher, watches, frozenset({"ETHUSDT"}))


def market_frame(message: Any, at_s: float = 0.0) -> Frame:
    raw = message if isinstance(message, bytes) else json.dumps(message).encode()
    return Frame(T0 + round(at_s * NS), "data", binance.VENUE, raw)


def apply(intake: Intake, frame: Frame) -> list[Any]:
    return list(intake.apply(frame, frame.recv_ns))


def snapshot(last_id: int = 10, symbol: str = "btcusdt") -> dict[str, Any]:
    book = {"lastUpdateId": last_id, "E": 1, "T": 1, "bids": [["64999.9", "2"]], "asks": [["65000.1", "2"]]}
    return {"stream": f"{symbol}@depth_snapshot", "data": book}


def diff(first: int, last: int, previous: int) -> dict[str, Any]:
    ids = {"U": first, "u": last, "pu": previous}
    return {"e": "depthUpdate", "E": 1, "T": 1, "s": "BTCUSDT", **ids, "b": [["64999.9", "3"]], "a": []}


def trade(price: str = "65000.1", symbol: str = "BTCUSDT") -> dict[str, Any]:
    return {"e": "trade", "E": 1, "T": 1, "s": symbol, "t": 1, "p": price, "q": "0.5", "X": "MARKET", "m": False}


def test_a_book_that_becomes_usable_and_one_that_has_a_gap_are_told_at_once(intake: Intake) -> None:
    event, changed = apply(intake, market_frame(snapshot()))
    assert (event.kind, event.data["usable"]) == ("BOOK_RESYNC", True)
    assert changed == FeedChanged(instrument=BTC, usable=True, reason="complete and in sequence")
    assert apply(intake, market_frame(diff(9, 12, 9))) == []
    event, changed = apply(intake, market_frame(diff(15, 16, 14)))  # 13 and 14 are missing
    assert (event.kind, event.data["usable"]) == ("BOOK_RESYNC", False)
    assert "gap" in event.data["reason"]
    assert not changed.usable


def test_the_venue_sees_trades_and_marks_only_while_it_has_something_working(intake: Intake, watcher: Watcher) -> None:
    apply(intake, market_frame(snapshot()))
    apply(intake, market_frame(trade()))
    assert watcher.seen == []
    watcher.on = True
    apply(intake, market_frame(trade()))
    apply(intake, market_frame(diff(9, 12, 9), 1))
    assert watcher.seen == [("trade", 65000.1, 0.5, T0), ("book", 65000.0, T0 + NS)]


def test_the_venue_is_told_of_mark_prices_even_when_nothing_of_ours_works(intake: Intake, watcher: Watcher) -> None:
    message = {
        "e": "markPriceUpdate",
        "E": 1,
        "s": "BTCUSDT",
        "p": "64990",
        "i": "64991",
        "r": "0.0001",
        "T": 28_800_000,
    }
    for watcher.on in (False, True):
        apply(intake, market_frame(message))
    assert watcher.seen == [("mark", 64990.0, 28_800 * NS, T0)] * 2


def test_of_the_same_trades_told_twice_the_venue_sees_one_telling(intake: Intake, watcher: Watcher) -> None:
    watcher.on = True
    apply(intake, market_frame(trade()))
    again = {
        "e": "aggTrade",
        "E": 1,
        "T": 1,
        "s": "BTCUSDT",
        "a": 1,
        "p": "65000.1",
        "q": "0.5",
        "f": 1,
        "l": 1,
        "m": False,
    }
    apply(intake, market_frame(again))
    assert [seen[0] for seen in watcher.seen] == ["trade"]
    assert intake.bad_frames == 0


def touches(messages: list[Any]) -> list[tuple[str, str]]:
    return [(each.key, str(each.price)) for each in messages if isinstance(each, PriceTouched)]


def test_a_watched_price_is_told_once_by_the_very_trade_or_book_change_that_reaches_it(
    intake: Intake, watches: Watches
) -> None:
    def watch(key: str, of: Trigger, above: bool, price: str) -> None:
        watches.set(WatchPrice(desk="exits", key=key, instrument=BTC, of=of, above=above, price=Decimal(price)))

    watch("last up", Trigger.LAST, True, "65000.2")
    watch("last down", Trigger.LAST, False, "64999.8")
    watch("mark", Trigger.MARK, False, "65000.0")
    assert touches(apply(intake, market_frame(trade("65000.1")))) == []  # between the two
    assert touches(apply(intake, market_frame(trade("65000.2")))) == [("last up", "65000.2")]
    assert touches(apply(intake, market_frame(trade("65000.2")))) == []  # it was told
    assert touches(apply(intake, market_frame(snapshot()))) == [("mark", "65000.0")]
    watches.cancel("exits", "last down")
    assert touches(apply(intake, market_frame(trade("64999.7")))) == []
    assert not watches.watching(BTC)


def test_a_transfer_is_of_no_instrument(intake: Intake) -> None:
    transfer = Transfer(transfer_id="T-1", usd=Decimal("-5"))
    assert apply(intake, Frame(T0, "account", "report", encode_report(transfer))) == [transfer]


def test_a_later_watch_replaces_the_earlier_of_the_same_name(intake: Intake, watches: Watches) -> None:
    for price in ("65000.1", "65000.3"):
        level = Decimal(price)
        watches.set(WatchPrice(desk="exits", key="k", instrument=BTC, of=Trigger.LAST, above=True, price=level))
    assert touches(apply(intake, market_frame(trade("65000.2")))) == []
    assert touches(apply(intake, market_frame(trade("65000.3")))) == [("k", "65000.3")]


@pytest.mark.parametrize("garbage", [b"", b"\x00\xff", b"{", b'{"e":"trade"}', b'{"e":"trade","p":"NaN"}', b"[1,2]"])
def test_garbage_is_skipped_counted_and_told_once_a_minute(intake: Intake, garbage: bytes) -> None:
    (event,) = apply(intake, market_frame(garbage))
    assert isinstance(event, Emit)
    assert (event.kind, event.data["frame_source"], event.data["count"]) == ("BAD_FRAME", "binanceusdm", 1)
    assert event.data["problem"]
    for second in range(1, 60):
        assert apply(intake, market_frame(garbage, second)) == []
    (event,) = apply(intake, market_frame(garbage, 60))
    assert event.data["count"] == 60
    assert intake.bad_frames == 61


def test_symbols_of_the_feed_that_are_not_followed_are_passed_over_and_strangers_are_not(intake: Intake) -> None:
    assert apply(intake, market_frame(trade(symbol="ETHUSDT"))) == []
    (event,) = apply(intake, market_frame(trade(symbol="DOGEUSDT")))
    assert event.kind == "BAD_FRAME"
    assert "DOGEUSDT" in event.data["problem"]


def test_a_nameless_snapshot_is_refused_where_the_feed_carries_several_symbols(intake: Intake) -> None:
    (event,) = apply(intake, market_frame(snapshot()["data"]))
    assert "names no symbol" in event.data["problem"]


def test_reports_and_operators_requests_become_messages(intake: Intake) -> None:
    report = OrderUpdate(client_order_id="C1", instrument=BTC, status=OrderStatus.ACK)
    assert apply(intake, Frame(T0, "account", "report", encode_report(report))) == [report]
    assert apply(intake, Frame(T0, "account", "operator", b'{"type":"pause"}')) == [PauseRequest()]


def test_a_bad_reading_is_an_intel_error_that_names_the_field(intake: Intake) -> None:
    raw = json.dumps({"name": "long_short", "key": BTC, "source": "venue", "value": {"ratio": "many"}}).encode()
    (event,) = apply(intake, Frame(T0, "data", "reading", raw))
    assert event.kind == "INTEL_ERROR"
    assert "ratio" in event.data["problem"]


@pytest.mark.parametrize("source", ["reading", "report", "operator", "binanceusdm"])
@pytest.mark.parametrize("raw", [b'{"na\xffme":1}', b"[" * 100_000, b"\xff\xfe", b'{"type":"pause","reason":1}'])
def test_no_bytes_of_any_source_stop_the_engine(intake: Intake, source: str, raw: bytes) -> None:
    (event,) = apply(intake, Frame(T0, "data", source, raw))
    assert event.kind in ("BAD_FRAME", "INTEL_ERROR")


def test_a_frame_nobody_can_read_is_told(intake: Intake) -> None:
    (event,) = apply(intake, Frame(T0, "data", "martian", b"{}"))
    assert "martian" in event.data["problem"]


BAD_READING = b'{"name":"long_short","key":"binanceusdm:BTCUSDT","source":"venue","value":{"ratio":2}}'


def test_each_kind_of_mishap_is_told_on_its_own(intake: Intake) -> None:
    """A noisy feed does not keep a bad reading from being told, and each event counts its own."""

    def reading(at_s: float) -> Frame:
        return Frame(T0 + round(at_s * NS), "data", "reading", BAD_READING)

    told = [*apply(intake, market_frame(b"?", 0)), *apply(intake, market_frame(b"?", 1)), *apply(intake, reading(2))]
    assert [(event.kind, event.data["count"]) for event in told] == [("BAD_FRAME", 1), ("INTEL_ERROR", 1)]
    told = [*apply(intake, reading(59)), *apply(intake, market_frame(b"?", 60)), *apply(intake, reading(62))]
    assert [(event.kind, event.data["count"]) for event in told] == [("BAD_FRAME", 2), ("INTEL_ERROR", 2)]
    assert intake.bad_frames == 6


@pytest.mark.parametrize("source", ["operator", "report", "reading", binance.VENUE])
@pytest.mark.parametrize("raw", [b'{"type":"pause","x":' + b"[" * 100_000, b"[" * 100_000, b"\xff", b"null"])
def test_nothing_that_arrives_as_bytes_can_raise(intake: Intake, source: str, raw: bytes) -> None:
    told = apply(intake, Frame(T0, "data", source, raw))
    assert [event.data["frame_source"] for event in told] == [source] or (told, raw) == ([], b"null")


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b'{"type":"resume","reason":"lunch is over"}', ResumeRequest(reason="lunch is over")),
        (b'{"type":"stop","reason":"interrupted"}', StopRequest(reason="interrupted")),
        (b'{"type":"close","instrument":"binanceusdm:BTCUSDT"}', CloseRequest(instrument=BTC)),
        (
            b'{"type":"signal","external_id":"7","instrument":"binanceusdm:BTCUSDT","direction":"short","price":"65000.5"}',
            OutsideSignal(external_id="7", instrument=BTC, direction=Direction.SHORT, price=Decimal("65000.5")),
        ),
    ],
)
def test_every_request_of_an_operator_is_understood(intake: Intake, raw: bytes, message: Any) -> None:
    assert apply(intake, Frame(T0, "account", "operator", raw)) == [message]


def test_a_reading_is_kept_for_who_asks_and_wakes_nobody(intake: Intake) -> None:
    reading = {"name": "long_short", "key": BTC, "source": "venue", "value": {"ratio": "1.5"}, "observed_ns": T0 - NS}
    assert apply(intake, Frame(T0, "data", "reading", json.dumps(reading).encode())) == []
    kept = intake._market.reading("long_short", BTC, T0)
    assert (kept.value, kept.age_s(T0)) == (LongShort(ratio=Decimal("1.5")), 1.0)


def test_a_tick_only_tells_the_time(intake: Intake) -> None:
    assert apply(intake, Frame(T0, "account", "tick", b"")) == []
    assert intake.bad_frames == 0


@pytest.mark.parametrize("price", ['"NaN"', '"Infinity"', '"-1"', '"0"', '"1e-200000"', '"1e400"'])
def test_a_price_that_is_none_is_refused_from_the_operators_lane_too(intake: Intake, price: str) -> None:
    raw = f'{{"type":"signal","external_id":"x","instrument":"{BTC}","direction":"long","price":{price}}}'
    (event,) = apply(intake, Frame(T0, "account", "operator", raw.encode()))
    assert event.kind == "BAD_FRAME"


def test_a_report_about_an_instrument_nobody_follows_is_refused(intake: Intake) -> None:
    report = OrderUpdate(client_order_id="C1", instrument="binanceusdm:DOGEUSDT", status=OrderStatus.ACK)
    (event,) = apply(intake, Frame(T0, "account", "report", encode_report(report)))
    assert "DOGEUSDT" in event.data["problem"]


def test_a_stream_that_goes_empties_books_and_flow_and_is_told(intake: Intake) -> None:
    apply(intake, market_frame(snapshot()))

    def feed(up: bool, reason: str = "") -> list[Any]:
        raw = json.dumps({"stream": "public", "up": up, "reason": reason}).encode()
        return apply(intake, Frame(T0, "data", "feed", raw))

    down, resync, changed = feed(False, "silent for 5 s")
    assert (down.kind, down.data) == ("FEED_DOWN", {"stream": "public", "reason": "silent for 5 s"})
    assert (resync.kind, changed.usable, changed.reason) == ("BOOK_RESYNC", False, "silent for 5 s")
    assert [event.kind for event in feed(True)] == ["FEED_UP"]


# --- trades of the past ---------------------------------------------------------------------------------------------


def past_frame(*ids: int, symbol: str = "BTCUSDT", at_s: float = 0.0, price: float = 65_000.0) -> Frame:
    rows = [[number, price, 10.0, True, T0 - 3600 * NS] for number in ids]
    raw = json.dumps({"instrument": f"binanceusdm:{symbol}", "trades": rows}).encode()
    return Frame(T0 + round(at_s * NS), "data", "past", raw)


def agg_trade(number: int) -> dict[str, Any]:
    prices = {"p": "65000.1", "q": "0.5", "m": False}
    return {"e": "aggTrade", "E": 1, "T": T0 // 10**6, "s": "BTCUSDT", "a": number, "f": 1, "l": 1, **prices}


def whales(intake: Intake) -> Any:
    return intake._market.market(BTC).whale


def test_past_trades_that_join_the_stream_make_whale_flow_known(intake: Intake) -> None:
    apply(intake, market_frame(agg_trade(13)))
    assert apply(intake, past_frame(10, 11, 12)) == []
    assert whales(intake).value(T0) == (WhaleCvd(direction=None, intensity=0.0), "")


def test_past_trades_say_nothing_where_trades_are_counted_one_by_one(intake: Intake) -> None:
    apply(intake, market_frame(trade() | {"T": T0 // 10**6}))
    apply(intake, past_frame(0))
    assert whales(intake).value(T0)[1] == "0 s of 3600 s unbroken"


@pytest.mark.parametrize("in_columns", [False, True])
def test_past_trades_mend_a_break_where_they_follow_the_last_trade_before_it(intake: Intake, in_columns: bool) -> None:
    apply(intake, market_frame(agg_trade(13)))
    apply(intake, past_frame(10, 11, 12))
    last = run_of(65_000.0, 65_000.0)
    last.ids, last.aggregated = array("q", [14, 15]), True
    if in_columns:
        assert intake.undisturbed(last)
        intake.apply_run(last, 2, T0)
    else:
        for number in (14, 15):
            apply(intake, market_frame(agg_trade(number)))
    apply(intake, Frame(T0, "data", "feed", b'{"stream":"market","up":false}'))
    apply(intake, market_frame(agg_trade(18)))
    assert whales(intake).value(T0)[1] == "0 s of 3600 s unbroken"
    apply(intake, past_frame(16, 17))
    assert whales(intake).value(T0)[1] == ""


@pytest.mark.parametrize(
    ("frame", "problem"),
    [
        (past_frame(10, 12), "past trades of binanceusdm:BTCUSDT: 12 follows 10"),
        (past_frame(10, 10), "past trades of binanceusdm:BTCUSDT: 10 follows 10"),
        (past_frame(11, 10), "past trades of binanceusdm:BTCUSDT: 10 follows 11"),
        (past_frame(10, price=0.0), "Expected `float` > 0.0"),
        (past_frame(10, symbol="XRPUSDT"), "not followed"),
    ],
)
def test_past_trades_that_cannot_be_are_refused(intake: Intake, frame: Frame, problem: str) -> None:
    [told] = apply(intake, frame)
    assert told.kind == "BAD_FRAME" and problem in told.data["problem"]
    apply(intake, market_frame(agg_trade(13)))
    assert whales(intake).value(T0)[1] == "0 s of 3600 s unbroken"


# --- trades in columns ----------------------------------------------------------------------------------------------


def run_of(*prices: float, symbol: str = "BTCUSDT") -> TradeRun:
    times, ones = array("q", [T0 + k for k in range(len(prices))]), array("d", [1.0] * len(prices))
    worths = array("q", [round(price * 1e6) for price in prices])
    ids = array("q", range(1, len(prices) + 1))
    return TradeRun(symbol, binance.VENUE, False, ids, times, times, array("d", prices), ones, worths)


class InBulk:
    """A guard that can be asked in columns, or not."""

    def __init__(self, bulk: bool) -> None:
        self.bulk = bulk

    def in_bulk(self, instrument: str) -> bool:
        return self.bulk

    def after(self, instrument: str) -> None: ...
    def after_each(self, flow: TakerFlow, run: TradeRun, count: int) -> None: ...


def test_trades_are_taken_at_once_only_where_nobody_waits_for_one_of_them(
    intake: Intake, watcher: Watcher, watches: Watches
) -> None:
    run = run_of(65_000.0, 65_001.0)
    assert intake.undisturbed(run)
    watches.set(WatchPrice(desk="exits", key="k", instrument=BTC, price=Decimal(65_001), above=True, of=Trigger.LAST))
    assert not intake.undisturbed(run)
    watches.cancel("exits", "k")
    assert intake.undisturbed(run)
    watcher.on = True
    assert not intake.undisturbed(run)
    assert intake.undisturbed(run_of(1.0, symbol="ETHUSDT")), "nobody follows it"


@pytest.mark.parametrize("bulk", [True, False])
def test_trades_are_taken_at_once_only_where_whoever_asks_can_be_asked_so(intake: Intake, bulk: bool) -> None:
    intake.asked = InBulk(bulk)
    assert intake.undisturbed(run_of(65_000.0, 65_001.0)) is bulk
