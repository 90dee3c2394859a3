"""The venues' public statistics: their documented examples, what is refused and by which name, and that nothing else is raised."""

from __future__ import annotations

import contextlib
import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.errors import FeedError
from bot.domain.statistics import AccountRatio, Candle, OpenInterest
from bot.domain.values import MS
from bot.exchanges.binance_statistics import BinanceStatistics
from bot.exchanges.bybit_statistics import BybitStatistics
from bot.exchanges.okx_statistics import OkxStatistics
from bot.exchanges.statistics import MAX_BYTES, Call

BINANCE, BYBIT, OKX = BinanceStatistics(), BybitStatistics(), OkxStatistics()


def bybit(result: Any) -> Any:
    return {"retCode": 0, "retMsg": "OK", "result": result, "retExtInfo": {}, "time": 1672053548579}


def okx(data: Any) -> Any:
    return {"code": "0", "msg": "", "data": data}


def kline(at_ms: int) -> list[Any]:
    return [at_ms, "9", "12.5", "8", "10", "300.5", at_ms + 299_999, "3005", 7, "100", "1000", "0"]


CASES: dict[str, tuple[Call[Any], Any, Any]] = {
    "binance now": (
        BINANCE.open_interest("BTCUSDT"),
        {"openInterest": "10659.509", "symbol": "BTCUSDT", "time": 1589437530011},
        OpenInterest(1589437530011 * MS, Decimal("10659.509")),
    ),
    "binance history": (
        BINANCE.open_interest_history("BTCUSDT", 2),
        [
            {
                "symbol": "BTCUSDT",
                "sumOpenInterest": "20403.63",
                "sumOpenInterestValue": "1",
                "timestamp": 1583127900000,
            },
            {
                "symbol": "BTCUSDT",
                "sumOpenInterest": "20401.36",
                "sumOpenInterestValue": "1",
                "timestamp": 1583128200000,
            },
        ],
        [
            OpenInterest(1583127900000 * MS, Decimal("20403.63")),
            OpenInterest(1583128200000 * MS, Decimal("20401.36")),
        ],
    ),
    "binance ratio": (
        BINANCE.account_ratio("BTCUSDT"),
        [{"symbol": "BTCUSDT", "longShortRatio": "0.1960", "longAccount": "0.1639", "timestamp": 1583139600000}],
        [AccountRatio(1583139600000 * MS, Decimal("0.1960"))],
    ),
    "binance candles": (
        BINANCE.candles("BTCUSDT", 5, 2),
        [kline(600_000), kline(900_000)],
        [Candle(at * MS, 12.5, 8.0, 10.0, Decimal("300.5")) for at in (600_000, 900_000)],
    ),
    "bybit now": (
        BYBIT.open_interest("BTCUSDT"),
        bybit({"category": "linear", "list": [{"symbol": "BTCUSDT", "lastPrice": "1", "openInterest": "373504107.0"}]}),
        OpenInterest(1672053548579 * MS, Decimal("373504107.0")),
    ),
    "bybit history": (
        BYBIT.open_interest_history("BTCUSDT", 2),
        bybit(
            {
                "symbol": "BTCUSDT",
                "category": "linear",
                "list": [
                    {"openInterest": "461134384.00", "timestamp": "1669571400000"},
                    {"openInterest": "461134292.00", "timestamp": "1669571100000"},
                ],
            }
        ),
        [
            OpenInterest(1669571100000 * MS, Decimal("461134292.00")),
            OpenInterest(1669571400000 * MS, Decimal("461134384.00")),
        ],
    ),
    "bybit ratio": (
        BYBIT.account_ratio("BTCUSDT"),
        bybit({"list": [{"symbol": "BTCUSDT", "buyRatio": "0.6", "sellRatio": "0.4", "timestamp": "1695772800000"}]}),
        [AccountRatio(1695772800000 * MS, Decimal("1.5"))],  # the value of flow.json for a long share of 0.6
    ),
    "bybit candles": (
        BYBIT.candles("BTCUSDT", 5, 1),
        bybit({"symbol": "BTCUSDT", "list": [["600000", "9", "12.5", "8", "10", "300.5", "3005"]]}),
        [Candle(600_000 * MS, 12.5, 8.0, 10.0, Decimal("300.5"))],
    ),
    "okx now": (
        OKX.open_interest("BTC-USDT-SWAP"),
        okx([{"instId": "BTC-USDT-SWAP", "oi": "2125419", "oiCcy": "21254.19", "oiUsd": "1", "ts": "1743041250440"}]),
        OpenInterest(1743041250440 * MS, Decimal("21254.19")),  # coins, not contracts
    ),
    "okx history": (
        OKX.open_interest_history("BTC-USDT-SWAP", 2),
        okx([["1701417600000", "731377", "7313.77", "111"], ["1701417300000", "731300", "7313", "110"]]),
        [
            OpenInterest(1701417300000 * MS, Decimal(7313)),
            OpenInterest(1701417600000 * MS, Decimal("7313.77")),
        ],
    ),
    "okx ratio": (
        OKX.account_ratio("BTC-USDT-SWAP"),
        okx([["1701417600000", "1.1739"]]),
        [AccountRatio(1701417600000 * MS, Decimal("1.1739"))],
    ),
    "okx candles": (
        OKX.candles("BTC-USDT-SWAP", 5, 1),
        okx([["600000", "9", "12.5", "8", "10", "30050", "300.5", "3005", "0"]]),
        [Candle(600_000 * MS, 12.5, 8.0, 10.0, Decimal("300.5"))],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_documented_shape_is_read_oldest_first(name: str) -> None:
    call, body, expected = CASES[name]
    assert call.parse(json.dumps(body).encode()) == expected


def changed(name: str, path: list[Any], value: Any) -> bytes:
    body = json.loads(json.dumps(CASES[name][1]))
    at = body
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return json.dumps(body).encode()


WRONG = [
    ("binance now", ["openInterest"], "openInterest"),
    ("binance history", [1, "sumOpenInterest"], "sumOpenInterest"),
    ("binance ratio", [0, "longShortRatio"], "longShortRatio"),
    ("bybit now", ["result", "list", 0, "openInterest"], "openInterest"),
    ("bybit history", ["result", "list", 1, "openInterest"], "openInterest"),
    ("bybit ratio", ["result", "list", 0, "sellRatio"], "sellRatio"),
    ("bybit ratio", ["result", "list", 0, "buyRatio"], "buyRatio"),
    ("okx now", ["data", 0, "oiCcy"], "oiCcy"),
    ("okx history", ["data", 1, 2], r"\$\[1\]\[2\]"),
    ("okx ratio", ["data", 0, 1], r"\$\[0\]\[1\]"),
    ("okx candles", ["data", 0, 6], r"\$\[0\]\[6\]"),
    ("binance candles", [0, 5], r"\$\[0\]\[5\]"),
    ("bybit candles", ["result", "list", 0, 5], r"\$\.list\[0\]\[5\]"),
]


@pytest.mark.parametrize(("name", "path", "field"), WRONG)
@pytest.mark.parametrize(
    "value", [None, 1, 1.5, True, "", "-1", "NaN", "1e400", "Infinity", " 1", "1_0", {}, [], "1" * 30]
)
def test_a_wrong_number_is_refused_and_its_field_named(name: str, path: list[Any], field: str, value: Any) -> None:
    with pytest.raises(FeedError, match=field):
        CASES[name][0].parse(changed(name, path, value))


@pytest.mark.parametrize(
    ("name", "path", "value", "said"),
    [
        ("binance now", ["symbol"], "ETHUSDT", "asked was BTCUSDT"),
        ("binance history", [1, "symbol"], "ETHUSDT", "asked was BTCUSDT"),
        ("bybit now", ["result", "list", 0, "symbol"], "ETHUSDT", "asked was BTCUSDT"),
        ("bybit history", ["result", "symbol"], "ETHUSDT", "asked was BTCUSDT"),
        ("bybit ratio", ["result", "list", 0, "symbol"], "ETHUSDT", "asked was BTCUSDT"),
        ("okx now", ["data", 0, "instId"], "ETH-USDT-SWAP", "asked was BTC-USDT-SWAP"),
        ("binance now", ["time"], "1589437530011", "time"),
        ("binance now", ["time"], -1, "time"),
        ("bybit history", ["result", "list", 0, "timestamp"], 1669571400000, "timestamp"),
        ("binance history", [1, "timestamp"], 1583127900000, "two samples of 1583127900000000000"),
        ("okx history", ["data", 1, 0], "1701417600000", "two samples"),
        ("binance ratio", [0, "longShortRatio"], "0", "longShortRatio is 0"),
        ("bybit ratio", ["result", "list", 0, "sellRatio"], "0.0", "sellRatio is 0"),
        ("okx ratio", ["data", 0, 1], "0", "ratio is 0"),
        ("binance candles", [0, 3], "10.1", "lies outside"),
        ("bybit candles", ["result", "list", 0, 2], "9.9", "lies outside"),
        ("okx candles", ["data", 0, 4], "0", "close is 0"),
        ("bybit now", ["retCode"], 10006, "retCode 10006"),
        ("bybit now", ["result", "list"], [], "0 tickers"),
        ("okx now", ["code"], "50011", "code 50011"),
        ("okx now", ["data"], {}, "Expected `array`"),
        ("binance history", [0], {}, "symbol"),
    ],
)
def test_what_makes_no_sense_is_refused(name: str, path: list[Any], value: Any, said: str) -> None:
    with pytest.raises(FeedError, match=said):
        CASES[name][0].parse(changed(name, path, value))


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("raw", [b"", b"null", b"7", b"<html>", b'"x"', b"[" * 5000])
def test_what_is_no_answer_is_refused_by_name_of_the_call(name: str, raw: bytes) -> None:
    call = CASES[name][0]
    with pytest.raises(FeedError, match=call.name):
        call.parse(raw)
    with pytest.raises(FeedError, match="more than"):
        call.parse(b" " * (MAX_BYTES + 1))


@given(st.sampled_from(sorted(CASES)), st.binary(max_size=40), st.integers(0, 300), st.integers(0, 300))
def test_a_damaged_answer_is_refused_and_never_anything_else(name: str, junk: bytes, start: int, end: int) -> None:
    call, body, _ = CASES[name]
    good = json.dumps(body).encode()
    with contextlib.suppress(FeedError):
        call.parse(good[:start] + junk + good[end:])
