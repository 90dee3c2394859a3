"""Bybit messages: what each becomes, that a lost frame is noticed on the next, and that nothing else than FeedError is raised."""

from __future__ import annotations

import contextlib
import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.errors import FeedError
from bot.domain.market import BookDiff, BookSnapshot, TradePrint
from bot.exchanges.bybit import Decoder, parse_instruments, subscribe
from bot.market.book import Book

TS = 1_709_891_679_000


def depth(kind: str, u: int, bids: list[list[str]], asks: list[list[str]]) -> bytes:
    data = {"s": "BTCUSDT", "b": bids, "a": asks, "u": u, "seq": 9}
    return json.dumps({"topic": "orderbook.50.BTCUSDT", "type": kind, "ts": TS, "data": data}).encode()


SNAPSHOT = depth("snapshot", 10, [["100", "1"]], [["101", "2"]])
DELTAS = [depth("delta", 10 + n, [["100", str(n)]], [["102", str(n)]]) for n in range(1, 6)]
TRADE = json.dumps(
    {
        "topic": "publicTrade.BTCUSDT",
        "type": "snapshot",
        "ts": TS,
        "data": [
            {"T": TS, "s": "BTCUSDT", "S": side, "v": "0.010", "p": "27451.00", "i": f"{n}" * 32}
            for n, side in enumerate(("Buy", "Sell"))
        ],
    }
).encode()


def test_what_each_message_becomes() -> None:
    decoder = Decoder()
    at = TS * 1_000_000
    assert decoder.decode(SNAPSHOT) == [BookSnapshot("BTCUSDT", 10, at, [(100.0, 1.0)], [(101.0, 2.0)], True)]
    assert decoder.decode(DELTAS[0]) == [BookDiff("BTCUSDT", 11, 11, 10, at, [(100.0, 1.0)], [(102.0, 1.0)])]
    bought, sold = decoder.decode(TRADE)
    assert isinstance(bought, TradePrint) and isinstance(sold, TradePrint)
    assert (bought.price, bought.quantity, bought.taker_buys, sold.taker_buys) == (27451.0, 0.01, True, False)
    assert decoder.decode(b'{"success":true,"ret_msg":"","op":"subscribe"}') == []
    assert json.loads(subscribe(["BTCUSDT"], ["orderbook.50", "publicTrade"], 1))["args"] == [
        "orderbook.50.BTCUSDT",
        "publicTrade.BTCUSDT",
    ]


@pytest.mark.parametrize("lost", range(4))
def test_any_lost_frame_is_noticed_on_the_next_and_a_snapshot_heals(lost: int) -> None:
    decoder = Decoder()
    decoder.decode(SNAPSHOT)
    for raw in DELTAS[:lost]:
        decoder.decode(raw)
    with pytest.raises(FeedError, match=f"gap: expected u {11 + lost}, got {12 + lost}"):
        decoder.decode(DELTAS[lost + 1])
    with pytest.raises(FeedError, match="without a snapshot"):
        decoder.decode(DELTAS[lost])
    decoder.decode(SNAPSHOT)
    decoder.decode(DELTAS[0])


@pytest.mark.parametrize("kind", ["snapshot", "delta"])
def test_update_id_one_starts_the_book_anew(kind: str) -> None:
    decoder, book = Decoder(), Book()
    for raw in (SNAPSHOT, *DELTAS, depth(kind, 1, [["50", "1"]], [["51", "1"]]), depth("delta", 2, [["49", "3"]], [])):
        (message,) = decoder.decode(raw)
        reason = book.apply_snapshot(message) if isinstance(message, BookSnapshot) else None
        reason = book.apply_diff(message) if isinstance(message, BookDiff) else reason
        assert reason is None and book.usable
    assert book.last_id == 2


@given(st.binary(max_size=40), st.integers(0, 200), st.integers(0, 200), st.sampled_from([SNAPSHOT, DELTAS[0], TRADE]))
def test_a_damaged_frame_is_a_feed_error_or_a_message(junk: bytes, start: int, end: int, good: bytes) -> None:
    with contextlib.suppress(FeedError):
        Decoder().decode(good[:start] + junk + good[end:])


LISTING: dict[str, Any] = {
    "symbol": "BTCUSDT",
    "contractType": "LinearPerpetual",
    "status": "Trading",
    "baseCoin": "BTC",
    "quoteCoin": "USDT",
    "settleCoin": "USDT",
    "priceFilter": {"tickSize": "0.10"},
    "lotSizeFilter": {"maxOrderQty": "100", "minOrderQty": "0.001", "qtyStep": "0.001", "minNotionalValue": "5"},
}


def reply(*rows: dict[str, Any], code: int = 0) -> bytes:
    return json.dumps({"retCode": code, "result": {"list": rows}}).encode()


def test_trading_rules() -> None:
    bad = LISTING | {"symbol": "BADUSDT", "priceFilter": {"tickSize": "NaN"}}
    closed = LISTING | {"symbol": "OLDUSDT", "status": "Closed"}
    listed, left_out = parse_instruments(reply(LISTING, bad, closed))
    assert list(listed) == ["BTCUSDT"] and list(left_out) == ["BADUSDT"]
    assert (listed["BTCUSDT"].unified, listed["BTCUSDT"].step) == ("BTC/USDT:USDT", Decimal("0.001"))
    with pytest.raises(FeedError, match="retCode 10001"):
        parse_instruments(reply(code=10001))
