"""Binance USD-M's public statistics: open interest now and every five minutes, the global long/short account ratio, klines.

Pure: which call to make, and its reply as neutral samples. The venue keeps 30 days of the two histories; `/futures/data` allows
1000 calls in five minutes per address and has no weight, the others cost 1 or 2 of 2400 a minute.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
from msgspec import Struct

from bot.domain.statistics import AccountRatio, Candle, OpenInterest
from bot.domain.values import MS
from bot.exchanges.statistics import Call, Ms, Text, candle, in_order, positive, strictly

VENUE = "binanceusdm"


class _Now(Struct):
    symbol: str
    openInterest: Text
    time: Ms


class _Sample(Struct):
    symbol: str
    sumOpenInterest: Text
    timestamp: Ms


class _Ratio(Struct):
    symbol: str
    longShortRatio: Text
    timestamp: Ms


# open time, open, high, low, close, base volume, close time, quote volume, trades, taker buys in base and in quote, unused
_Kline = tuple[Ms, Text, Text, Text, Text, Text, Ms, Text, int, Text, Text, Any]

_now = msgspec.json.Decoder(_Now).decode
_samples = msgspec.json.Decoder(list[_Sample]).decode
_ratios = msgspec.json.Decoder(list[_Ratio]).decode
_klines = msgspec.json.Decoder(list[_Kline]).decode


class BinanceStatistics:
    venue = VENUE
    rest_url = "https://fapi.binance.com"
    apart_s = 0.35  # 857 calls in five minutes, of the 1000 allowed
    history_page = 500
    ratio_page = 500

    def open_interest(self, symbol: str) -> Call[OpenInterest]:
        def read(raw: bytes) -> OpenInterest:
            now = _now(raw)
            _same(now.symbol, symbol)
            return OpenInterest(now.time * MS, Decimal(now.openInterest))

        return _call("openInterest", "/fapi/v1/openInterest", {"symbol": symbol}, read)

    def open_interest_history(self, symbol: str, count: int) -> Call[list[OpenInterest]]:
        def read(raw: bytes) -> list[OpenInterest]:
            rows = _samples(raw)
            _same(*(row.symbol for row in rows), symbol)
            return in_order(OpenInterest(row.timestamp * MS, Decimal(row.sumOpenInterest)) for row in rows)

        query = {"symbol": symbol, "period": "5m", "limit": str(count)}
        return _call("openInterestHist", "/futures/data/openInterestHist", query, read)

    def account_ratio(self, symbol: str) -> Call[list[AccountRatio]]:
        return _account_ratio(symbol, {"period": "5m", "limit": "1"})

    def account_ratio_hours(self, symbol: str, start_ns: int, end_ns: int) -> Call[list[AccountRatio]]:
        span = {"startTime": str(start_ns // MS), "endTime": str(end_ns // MS)}
        return _account_ratio(symbol, {"period": "1h", "limit": str(self.ratio_page), **span})

    def candles(self, symbol: str, minutes: int, count: int) -> Call[list[Candle]]:
        def read(raw: bytes) -> list[Candle]:
            return in_order(candle(row[0] * MS, row[2], row[3], row[4], row[5]) for row in _klines(raw))

        query = {"symbol": symbol, "interval": f"{minutes}m", "limit": str(count)}
        return _call("klines", "/fapi/v1/klines", query, read)


def _account_ratio(symbol: str, query: dict[str, str]) -> Call[list[AccountRatio]]:
    def read(raw: bytes) -> list[AccountRatio]:
        rows = _ratios(raw)
        _same(*(row.symbol for row in rows), symbol)
        return in_order(
            AccountRatio(row.timestamp * MS, positive("longShortRatio", row.longShortRatio)) for row in rows
        )

    path = "/futures/data/globalLongShortAccountRatio"
    return _call("globalLongShortAccountRatio", path, {"symbol": symbol, **query}, read)


def _call(name: str, path: str, query: dict[str, str], read: Any) -> Call[Any]:
    return Call(name, path, query, strictly(VENUE, name, read))


def _same(*symbols: str) -> None:
    for symbol in symbols[:-1]:
        if symbol != symbols[-1]:
            raise ValueError(f"symbol is {symbol!r:.40}, asked was {symbols[-1]}")
