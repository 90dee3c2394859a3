"""What every exchange owes the driver of public data: paths, what is said on its streams, klines, and marks that come in parts."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from bot.domain.errors import FeedError
from bot.domain.frames import DEPTH, TRADES
from bot.domain.market import Bar, MarkPrice
from bot.domain.values import MS, NS
from bot.exchanges import bybit, okx
from bot.exchanges.base import BookLost, exchanges
from tests.build import instrument

BTC = "BTC-USDT-SWAP"
T_MS = 1_709_891_700_000  # a multiple of five minutes
WIDTH_S = 300


def test_every_exchange_is_found_and_plans_its_streams() -> None:
    assert set(exchanges()) == {"binanceusdm", "bybit", "okx"}
    for exchange in exchanges().values():
        for depth_only in (False, True):
            plans = exchange.streams(["A", "B"], depth_only=depth_only)
            assert {part for plan in plans for part in plan.carries} == {DEPTH, TRADES}
            assert all(plan.silence_s < 30 and plan.subscribe for plan in plans)
        begins_itself = exchange.snapshot_path("A") is None
        assert bool(exchange.again("A")) is begins_itself, "a book comes from REST or is asked for on the stream"


def said(messages: tuple[bytes, ...]) -> list[Any]:
    return [json.loads(message) for message in messages]


def test_what_is_said_to_bybit() -> None:
    (whole,) = bybit.EXCHANGE.streams(["BTCUSDT", "ETHUSDT"], depth_only=False)
    (walls,) = bybit.EXCHANGE.streams(["BTCUSDT"], depth_only=True)
    assert whole.path == "/v5/public/linear"
    assert [each["args"] for each in said(whole.subscribe)] == [
        [f"{channel}.{symbol}" for channel in ("orderbook.1000", "publicTrade", "tickers")]
        for symbol in ("BTCUSDT", "ETHUSDT")
    ], "one wrong symbol spoils its own message"
    assert said(walls.subscribe)[0]["args"] == ["orderbook.1000.BTCUSDT", "publicTrade.BTCUSDT"]
    again = said(bybit.EXCHANGE.again("BTCUSDT"))
    assert [(each["op"], each["args"]) for each in again] == [
        ("unsubscribe", ["orderbook.1000.BTCUSDT"]),
        ("subscribe", ["orderbook.1000.BTCUSDT"]),
    ]
    assert json.loads(whole.ping) == {"op": "ping"}


def test_what_is_said_to_okx() -> None:
    (whole,) = okx.EXCHANGE.streams([BTC], depth_only=False)
    (walls,) = okx.EXCHANGE.streams([BTC], depth_only=True)
    channels = [[arg["channel"] for arg in said(plan.subscribe)[0]["args"]] for plan in (whole, walls)]
    assert channels == [["books", "trades", "mark-price", "funding-rate"], ["books", "trades"]]
    again = said(okx.EXCHANGE.again(BTC))
    assert [(each["op"], each["args"]) for each in again] == [
        ("unsubscribe", [{"channel": "books", "instId": BTC}]),
        ("subscribe", [{"channel": "books", "instId": BTC}]),
    ]
    assert whole.ping == b"ping"


# --- klines: newest first, the running one not taken, and what is not said not invented ------------------------------


def bybit_klines(*rows: list[str], time_ms: int, code: int = 0) -> bytes:
    result = {"symbol": "BTCUSDT", "category": "linear", "list": rows}
    return json.dumps({"retCode": code, "retMsg": "", "result": result, "time": time_ms}).encode()


def bybit_row(number: int, usd: str = "500") -> list[str]:
    return [str(T_MS + number * WIDTH_S * 1000), "10", "12", "9", "11", "50", usd]


def bar(number: int) -> Bar:
    return Bar(T_MS * MS + number * WIDTH_S * NS, 10.0, 12.0, 9.0, 11.0, 500.0, None, None)


@pytest.mark.parametrize(("late_ms", "finished"), [(-1, 1), (0, 2), (1, 2)])
def test_bybits_bar_is_finished_by_the_venues_own_clock(late_ms: int, finished: int) -> None:
    raw = bybit_klines(bybit_row(2), bybit_row(1), bybit_row(0), time_ms=T_MS + 2 * WIDTH_S * 1000 + late_ms)
    assert bybit.EXCHANGE.parse_klines(raw, WIDTH_S, 0).bars == [bar(number) for number in range(finished)]


def test_a_kline_without_trades_is_no_bar_and_a_refusal_names_itself() -> None:
    raw = bybit_klines(bybit_row(1, usd="0"), bybit_row(0), time_ms=T_MS * 2)
    assert bybit.EXCHANGE.parse_klines(raw, WIDTH_S, 0).bars == [bar(0)]
    with pytest.raises(FeedError, match="retCode 10006"):
        bybit.EXCHANGE.parse_klines(bybit_klines(time_ms=1, code=10006), WIDTH_S, 0)
    with pytest.raises(FeedError, match="cannot start at"):
        bybit.EXCHANGE.parse_klines(raw, 3600, 0)


def okx_klines(*rows: list[str], code: str = "0") -> bytes:
    return json.dumps({"code": code, "msg": "busy" * (code != "0"), "data": rows}).encode()


def okx_row(number: int, confirm: str = "1") -> list[str]:
    return [str(T_MS + number * WIDTH_S * 1000), "10", "12", "9", "11", "5000", "50", "500", confirm]


def test_okxs_bar_is_finished_when_the_venue_says_so() -> None:
    raw = okx_klines(okx_row(2, "0"), okx_row(1), okx_row(0))
    assert okx.EXCHANGE.parse_klines(raw, WIDTH_S, 0).bars == [bar(0), bar(1)]
    with pytest.raises(FeedError, match="code 50011 busy"):
        okx.EXCHANGE.parse_klines(okx_klines(code="50011"), WIDTH_S, 0)
    with pytest.raises(FeedError, match="klines"):
        okx.EXCHANGE.parse_klines(okx_klines(okx_row(0, "2")), WIDTH_S, 0)


def test_the_widths_have_the_venues_names_and_okx_is_not_asked_for_more_than_it_gives() -> None:
    assert bybit.EXCHANGE.klines_path("X", 300, 499).endswith("symbol=X&interval=5&limit=499")
    assert "interval=D" in bybit.EXCHANGE.klines_path("X", 86_400, 9)
    assert okx.EXCHANGE.klines_path("X", 300, 499).endswith("instId=X&bar=5m&limit=300")
    assert "bar=1H" in okx.EXCHANGE.klines_path("X", 3600, 9) and "bar=4H" in okx.EXCHANGE.klines_path("X", 14_400, 9)
    assert "bar=1Dutc" in okx.EXCHANGE.klines_path("X", 86_400, 9)


def test_binance_refuses_klines_of_another_width() -> None:
    row = [T_MS, "10", "12", "9", "11", "50", T_MS + 59_999, "500", 3, "20", "200", "0"]
    with pytest.raises(FeedError, match="klines of 60 s, asked were 300 s"):
        exchanges()["binanceusdm"].parse_klines(json.dumps([row]).encode(), 300, 2**62)


# --- marks ----------------------------------------------------------------------------------------------------------


def ticker(kind: str, **fields: str) -> bytes:
    data = {"symbol": "BTCUSDT", "lastPrice": "1", **fields}
    return json.dumps({"topic": "tickers.BTCUSDT", "type": kind, "ts": T_MS, "data": data}).encode()


def test_bybits_mark_is_pieced_together_from_changes() -> None:
    decode = bybit.EXCHANGE.decoder(())
    first = ticker("snapshot", markPrice="100.5", indexPrice="100", fundingRate="0.0001", nextFundingTime=str(T_MS))
    whole = MarkPrice("BTCUSDT", 100.5, 100.0, 0.0001, T_MS * MS, T_MS * MS)
    assert decode(ticker("delta", indexPrice="99")) == [], "no mark price yet"
    assert decode(first) == [whole]
    assert decode(ticker("delta", volume24h="3")) == [whole]
    assert decode(ticker("delta", markPrice="101")) == [
        MarkPrice("BTCUSDT", 101.0, 100.0, 0.0001, T_MS * MS, T_MS * MS)
    ]
    assert decode(ticker("snapshot", markPrice="7", fundingRate="")) == [
        MarkPrice("BTCUSDT", 7.0, None, None, None, T_MS * MS)
    ], "a snapshot begins anew"


@pytest.mark.parametrize("mark", ["NaN", "-1", "0", "1e400", "x"])
def test_a_bad_mark_is_refused_and_the_last_one_stays(mark: str) -> None:
    decode = bybit.EXCHANGE.decoder(())
    before = decode(ticker("snapshot", markPrice="100"))
    with pytest.raises(FeedError):
        decode(ticker("delta", markPrice=mark))
    assert decode(ticker("delta", volume24h="1")) == before != []


def okx_message(channel: str, **fields: str) -> bytes:
    data = {"instId": BTC, "instType": "SWAP", "ts": str(T_MS), **fields}
    return json.dumps({"arg": {"channel": channel, "instId": BTC}, "data": [data]}).encode()


def test_okxs_mark_and_funding_come_apart_and_the_funding_time_is_the_one_to_come() -> None:
    rules = instrument(id=f"okx:{BTC}", venue="okx", symbol=BTC, contract_size=Decimal("0.01"))
    decode = okx.EXCHANGE.decoder([rules, instrument()])
    later = str(T_MS + 8 * 3_600_000)
    funding = okx_message("funding-rate", fundingRate="0.0002", fundingTime=str(T_MS), nextFundingTime=later)
    assert decode(funding) == []
    assert decode(okx_message("mark-price", markPx="100.5")) == [
        MarkPrice(BTC, 100.5, None, 0.0002, T_MS * MS, T_MS * MS)
    ]
    assert decode(okx_message("funding-rate", fundingRate="", fundingTime=later)) == [
        MarkPrice(BTC, 100.5, None, None, T_MS * MS + 8 * 3600 * NS, T_MS * MS)
    ]
    with pytest.raises(FeedError, match="not known"):
        decode(okx_message("mark-price", markPx="100.5", instId="ETH-USDT-SWAP"))


# --- books ----------------------------------------------------------------------------------------------------------


def okx_book(action: str, prev: int, seq: int, checksum: int | None) -> bytes:
    book = {
        "bids": [["99", "2", "0", "1"]],
        "asks": [["100", "5", "0", "1"]],
        "ts": "1",
        "seqId": seq,
        "prevSeqId": prev,
    }
    book |= {} if checksum is None else {"checksum": checksum}
    return json.dumps({"arg": {"channel": "books", "instId": BTC}, "action": action, "data": [book]}).encode()


@pytest.mark.parametrize("checksum", [0, None])
def test_without_a_checksum_the_sequence_alone_decides(checksum: int | None) -> None:
    decode = okx.Decoder({BTC: Decimal("0.01")}).decode
    assert len(decode(okx_book("snapshot", -1, 10, checksum))) == 1
    assert len(decode(okx_book("update", 10, 11, checksum))) == 1
    with pytest.raises(BookLost, match="gap") as lost:
        decode(okx_book("update", 12, 13, checksum))
    assert lost.value.symbol == BTC


@pytest.mark.parametrize("action", ["snapshot", "update"])
def test_a_checksum_that_is_given_must_be_right(action: str) -> None:
    decode = okx.Decoder({BTC: Decimal("0.01")}).decode
    decode(okx_book("snapshot", -1, 10, 0))
    with pytest.raises(BookLost, match="checksum 5"):
        decode(okx_book(action, 10, 11, 5))
    with pytest.raises(BookLost, match="without a snapshot"):
        decode(okx_book("update", 11, 12, 0))


def test_a_lost_bybit_book_names_its_symbol() -> None:
    decode = bybit.EXCHANGE.decoder(())
    book = {"s": "BTCUSDT", "b": [["9", "1"]], "a": [["10", "1"]], "u": 7}
    raw = {"topic": "orderbook.1000.BTCUSDT", "type": "delta", "ts": 1, "data": book}
    with pytest.raises(BookLost, match="change 7 without a snapshot") as lost:
        decode(json.dumps(raw).encode())
    assert lost.value.symbol == "BTCUSDT"


def test_more_than_one_page_of_instruments_is_told() -> None:
    reply = {"retCode": 0, "result": {"list": [], "nextPageCursor": "next"}}
    assert "more than" in bybit.parse_instruments(json.dumps(reply).encode())[1]["*"]


@pytest.mark.parametrize("before", [9, 10, 12])
def test_a_change_of_okx_follows_exactly_the_one_before(before: int) -> None:
    decode = okx.Decoder({BTC: Decimal("0.01")}).decode
    decode(okx_book("snapshot", -1, 11, 0))
    with pytest.raises(BookLost, match=f"gap: expected prevSeqId 11, got {before}"):
        decode(okx_book("update", before, 13, 0))
