"""What each venue's liquidation feed says: whose position it was, at which price, and whether the feed is complete."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from bot.domain.errors import FeedError
from bot.domain.market import ForcedOrder
from bot.domain.values import LONG, MS, SHORT
from bot.exchanges import binance, bybit, okx

BINANCE = {
    "s": "BTCUSDT",
    "S": "SELL",
    "o": "LIMIT",
    "f": "IOC",
    "q": "0.020",
    "p": "9910",
    "ap": "9900.5",
    "X": "FILLED",
    "l": "0.014",
    "z": "0.014",
    "T": 1568014460893,
}
BYBIT = {"T": 1739502302929, "s": "ROSEUSDT", "S": "Sell", "v": "20000", "p": "0.04499"}
OKX = {"bkLoss": "0", "bkPx": "64000.5", "ccy": "", "posSide": "net", "side": "buy", "sz": "13", "ts": "1692266434010"}


def of_binance(wrapped: bool = True, **fields: Any) -> Any:
    event = {"e": "forceOrder", "E": 1568014460893, "o": BINANCE | fields}
    wire = {"stream": "btcusdt@forceOrder", "data": event} if wrapped else event
    return binance.decode(json.dumps(wire, separators=(",", ":")).encode())


def of_bybit(*orders: dict[str, Any]) -> Any:
    wire = {"topic": "allLiquidation.ROSEUSDT", "type": "snapshot", "ts": 1739502303204, "data": orders}
    return bybit.Decoder().decode(json.dumps(wire).encode())


def of_okx(*orders: dict[str, Any], symbol: str = "BTC-USDT-SWAP") -> Any:
    data = [{"details": orders, "instFamily": "BTC-USDT", "instId": symbol, "instType": "SWAP", "uly": "BTC-USDT"}]
    wire = {"arg": {"channel": "liquidation-orders", "instType": "SWAP"}, "data": data}
    return okx.Decoder({"BTC-USDT-SWAP": Decimal("0.01")}).decode(json.dumps(wire).encode())


@pytest.mark.parametrize("wrapped", [True, False])
def test_binance_sells_a_long_and_tells_of_the_newest_only(wrapped: bool) -> None:
    at_ns = 1568014460893 * MS
    assert of_binance(wrapped) == ForcedOrder("BTCUSDT", LONG, 9900.5, 0.014, at_ns, complete=False)
    assert of_binance(wrapped, S="BUY").side is SHORT
    assert of_binance(wrapped, ap="0").price == 9910
    assert of_binance(wrapped, z="0") is None  # nothing was closed


def test_bybit_says_the_side_of_the_position_and_tells_of_all() -> None:
    first, second = of_bybit(BYBIT, BYBIT | {"S": "Buy", "v": "5"})
    assert first == ForcedOrder("ROSEUSDT", SHORT, 0.04499, 20000.0, 1739502302929 * MS, complete=True)
    assert (second.side, second.quantity) == (LONG, 5.0)


def test_okx_buys_back_a_short_in_contracts_and_tells_of_swaps_that_are_not_ours() -> None:
    (order,) = of_okx(OKX)
    assert order == ForcedOrder("BTC-USDT-SWAP", SHORT, 64000.5, 0.13, 1692266434010 * MS, complete=False)
    assert [each.side for each in of_okx(OKX, OKX | {"side": "sell"})] == [SHORT, LONG]
    assert of_okx(OKX, symbol="DOGE-USDT-SWAP") == []


def test_each_is_subscribed_as_the_venue_names_it() -> None:
    assert b'"btcusdt@forceOrder"' in binance.subscribe(["BTCUSDT"], ["forceOrder"], 1)
    assert b'"allLiquidation.BTCUSDT"' in bybit.subscribe(["BTCUSDT"], ["allLiquidation"], 1)
    asked = json.loads(okx.subscribe(["BTC-USDT-SWAP", "ETH-USDT-SWAP"], ["books", "liquidation-orders"]))
    assert asked["args"] == [
        {"channel": "books", "instId": "BTC-USDT-SWAP"},
        {"channel": "books", "instId": "ETH-USDT-SWAP"},
        {"channel": "liquidation-orders", "instType": "SWAP"},
    ]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("S", "LONG"),
        ("S", 1),
        ("ap", "-1"),
        ("ap", "NaN"),
        ("z", None),
        ("z", "1e400"),
        ("T", -1),
        ("s", ""),
        ("p", {}),
    ],
)
def test_a_wrong_order_of_binance_is_refused(field: str, value: Any) -> None:
    with pytest.raises(FeedError, match=rf"\$\.o\.{field}\b|{field} is"):
        of_binance(**{field: value})


@pytest.mark.parametrize(
    ("field", "value"), [("S", "Long"), ("v", "0"), ("p", "-1"), ("p", "Infinity"), ("T", None), ("s", "")]
)
def test_a_wrong_order_of_bybit_is_refused(field: str, value: Any) -> None:
    with pytest.raises(FeedError, match=rf"\.{field}\b|{field} is"):
        of_bybit(BYBIT | {field: value})


@pytest.mark.parametrize(
    ("field", "value"), [("side", "long"), ("sz", "0"), ("bkPx", "0"), ("bkPx", "-1"), ("bkPx", 5), ("ts", "x")]
)
def test_a_wrong_order_of_okx_is_refused(field: str, value: Any) -> None:
    with pytest.raises(FeedError, match=field):
        of_okx(OKX | {field: value})
