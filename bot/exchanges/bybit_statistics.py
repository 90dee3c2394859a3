"""Bybit's public statistics of linear perpetuals: open interest now and every five minutes, account ratio, candles.

Pure. Open interest is in base coin. Its documentation calls `openInterest` the sum of both sides and gives one side as
`singleOpenInterest` in some replies only; a change in percent is the same in both, so `openInterest` is used throughout and the two
endpoints stay comparable. Now comes from the ticker, because the history only has whole five minutes.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
from msgspec import Raw, Struct

from bot.domain.statistics import AccountRatio, Candle, OpenInterest
from bot.domain.values import MS
from bot.exchanges.statistics import Call, Ms, Text, TextMs, candle, in_order, positive, strictly

VENUE = "bybit"


class _Reply(Struct):
    retCode: int
    retMsg: str = ""
    result: Raw = Raw(b"null")
    time: Ms = 0


class _Ticker(Struct):
    symbol: str
    openInterest: Text


class _Tickers(Struct):
    rows: list[_Ticker] = msgspec.field(name="list")


class _Sample(Struct):
    openInterest: Text
    timestamp: TextMs


class _Samples(Struct):
    symbol: str
    rows: list[_Sample] = msgspec.field(name="list")


class _Ratio(Struct):
    symbol: str
    buyRatio: Text
    sellRatio: Text
    timestamp: TextMs


class _Ratios(Struct):
    rows: list[_Ratio] = msgspec.field(name="list")


class _Candles(Struct):
    symbol: str
    rows: list[tuple[TextMs, Text, Text, Text, Text, Text, Text]] = msgspec.field(name="list")


_reply = msgspec.json.Decoder(_Reply).decode
_tickers = msgspec.json.Decoder(_Tickers).decode
_samples = msgspec.json.Decoder(_Samples).decode
_ratios = msgspec.json.Decoder(_Ratios).decode
_candles = msgspec.json.Decoder(_Candles).decode


class BybitStatistics:
    venue = VENUE
    rest_url = "https://api.bybit.com"
    apart_s = 0.1  # 600 calls in five seconds are allowed per address
    history_page = 200
    ratio_page = 500

    def open_interest(self, symbol: str) -> Call[OpenInterest]:
        def read(raw: bytes) -> OpenInterest:
            reply = _good(raw)
            rows = _tickers(reply.result).rows
            if len(rows) != 1 or not reply.time:
                raise ValueError(f"{len(rows)} tickers, time {reply.time}")
            _same(rows[0].symbol, symbol)
            return OpenInterest(reply.time * MS, Decimal(rows[0].openInterest))

        return _call("tickers", "/v5/market/tickers", symbol, {}, read)

    def open_interest_history(self, symbol: str, count: int) -> Call[list[OpenInterest]]:
        def read(raw: bytes) -> list[OpenInterest]:
            samples = _samples(_good(raw).result)
            _same(samples.symbol, symbol)
            return in_order(OpenInterest(int(row.timestamp) * MS, Decimal(row.openInterest)) for row in samples.rows)

        query = {"intervalTime": "5min", "limit": str(count)}
        return _call("open-interest", "/v5/market/open-interest", symbol, query, read)

    def account_ratio(self, symbol: str) -> Call[list[AccountRatio]]:
        return _account_ratio(symbol, {"period": "5min", "limit": "1"})

    def account_ratio_hours(self, symbol: str, start_ns: int, end_ns: int) -> Call[list[AccountRatio]]:
        span = {"startTime": str(start_ns // MS), "endTime": str(end_ns // MS)}
        return _account_ratio(symbol, {"period": "1h", "limit": str(self.ratio_page), **span})

    def candles(self, symbol: str, minutes: int, count: int) -> Call[list[Candle]]:
        def read(raw: bytes) -> list[Candle]:
            candles = _candles(_good(raw).result)
            _same(candles.symbol, symbol)
            return in_order(candle(int(row[0]) * MS, row[2], row[3], row[4], row[5]) for row in candles.rows)

        return _call("kline", "/v5/market/kline", symbol, {"interval": str(minutes), "limit": str(count)}, read)


def _account_ratio(symbol: str, query: dict[str, str]) -> Call[list[AccountRatio]]:
    def read(raw: bytes) -> list[AccountRatio]:
        return in_order(_ratio(row, symbol) for row in _ratios(_good(raw).result).rows)

    return _call("account-ratio", "/v5/market/account-ratio", symbol, query, read)


def _ratio(row: _Ratio, symbol: str) -> AccountRatio:
    _same(row.symbol, symbol)
    ratio = positive("buyRatio", row.buyRatio) / positive("sellRatio", row.sellRatio)
    return AccountRatio(int(row.timestamp) * MS, ratio)


def _good(raw: bytes) -> _Reply:
    reply = _reply(raw)
    if reply.retCode:
        raise ValueError(f"retCode {reply.retCode} {reply.retMsg}")
    return reply


def _call(name: str, path: str, symbol: str, query: dict[str, str], read: Any) -> Call[Any]:
    return Call(name, path, {"category": "linear", "symbol": symbol, **query}, strictly(VENUE, name, read))


def _same(symbol: str, asked: str) -> None:
    if symbol != asked:
        raise ValueError(f"symbol is {symbol!r:.40}, asked was {asked}")
