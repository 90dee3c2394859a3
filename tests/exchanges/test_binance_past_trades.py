"""Aggregated trades as Binance's REST replies give them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bot.domain.errors import FeedError
from bot.domain.trades import PastTrade
from bot.exchanges.base import exchanges
from bot.exchanges.binance import EXCHANGE

# as the venue's documentation shows it
ROW = {"a": 26129, "p": "0.01633102", "q": "4.70443515", "f": 27781, "l": 27781, "T": 1498793709153, "m": True}
BAD: list[tuple[str, Any]] = [("p", "0"), ("q", "-1"), ("p", "NaN"), ("T", -1), ("m", "x"), ("a", "x")]
CALLS = EXCHANGE.past_trades


def reply(*rows: Any) -> bytes:
    return json.dumps(rows).encode()


def test_a_trade_reads_as_the_venue_documents_it() -> None:
    buy = {**ROW, "a": 26130, "m": False, "nq": "1"}
    sold, bought = CALLS.parse(reply(ROW, buy))
    assert sold == PastTrade(26129, 0.01633102, 4.70443515, False, 1498793709153 * 10**6)
    assert (bought.trade_id, bought.taker_buys) == (26130, True)
    assert CALLS.parse(b"[]") == []


def test_calls_are_by_number_or_of_the_newest() -> None:
    assert CALLS.path("BTCUSDT", None) == "/fapi/v1/aggTrades?symbol=BTCUSDT&limit=1000"
    assert CALLS.path("BTCUSDT", 7) == "/fapi/v1/aggTrades?symbol=BTCUSDT&fromId=7&limit=1000"


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(reply(ROW, {**ROW, "a": 26131}), id="a number is missing"),
        pytest.param(reply(ROW, ROW), id="twice"),
        pytest.param(reply({**ROW, "a": 26130}, ROW), id="newest first"),
        *(pytest.param(reply({**ROW, key: value}), id=f"{key} {value}") for key, value in BAD),
        pytest.param(reply({key: value for key, value in ROW.items() if key != "m"}), id="no side"),
        pytest.param(b'{"code":-1121,"msg":"Invalid symbol."}', id="an error"),
        pytest.param(b"[", id="cut"),
        pytest.param(b" " * (8 * 1024 * 1024 + 1), id="too long"),
    ],
)
def test_anything_else_is_refused(raw: bytes) -> None:
    with pytest.raises(FeedError, match=r"binanceusdm: aggTrades"):
        CALLS.parse(raw)


def test_venues_that_do_not_number_trades_one_by_one_are_not_asked() -> None:
    assert {venue for venue, each in exchanges().items() if each.past_trades is not None} == {"binanceusdm"}
