"""OKX's public statistics of linear swaps: open interest now and every five minutes, account ratio, candles.

Pure. The venue counts contracts and says base coin beside them (`oiCcy`, `volCcy`): that is what is read, so nothing here has to know
what a contract is. Statistics (`rubik`) allow five calls in two seconds and keep their last 1440 samples.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
from msgspec import Raw, Struct

from bot.domain.statistics import AccountRatio, Candle, OpenInterest
from bot.domain.values import MS
from bot.exchanges.statistics import Call, Text, TextMs, candle, in_order, positive, strictly

VENUE = "okx"


class _Reply(Struct):
    code: str
    msg: str = ""
    data: Raw = Raw(b"null")


class _Now(Struct):
    instId: str
    oiCcy: Text
    ts: TextMs


# ts, contracts, coins, USD
_Sample = tuple[TextMs, Text, Text, Text]
# ts, open, high, low, close, contracts, coins, quote volume, closed
_Candle = tuple[TextMs, Text, Text, Text, Text, Text, Text, Text, str]

_reply = msgspec.json.Decoder(_Reply).decode
_now = msgspec.json.Decoder(list[_Now]).decode
_samples = msgspec.json.Decoder(list[_Sample]).decode
_ratios = msgspec.json.Decoder(list[tuple[TextMs, Text]]).decode
_candles = msgspec.json.Decoder(list[_Candle]).decode


class OkxStatistics:
    venue = VENUE
    rest_url = "https://www.okx.com"
    apart_s = 0.5
    history_page = 100
    ratio_page = 100

    def open_interest(self, symbol: str) -> Call[OpenInterest]:
        def read(raw: bytes) -> OpenInterest:
            rows = _now(_good(raw))
            if len(rows) != 1 or rows[0].instId != symbol:
                raise ValueError(f"instId is {', '.join(row.instId for row in rows)!r:.40}, asked was {symbol}")
            return OpenInterest(int(rows[0].ts) * MS, Decimal(rows[0].oiCcy))

        return _call("open-interest", "/api/v5/public/open-interest", {"instType": "SWAP", "instId": symbol}, read)

    def open_interest_history(self, symbol: str, count: int) -> Call[list[OpenInterest]]:
        def read(raw: bytes) -> list[OpenInterest]:
            return in_order(OpenInterest(int(ts) * MS, Decimal(coins)) for ts, _, coins, _ in _samples(_good(raw)))

        query = {"instId": symbol, "period": "5m", "limit": str(count)}
        return _call("open-interest-history", "/api/v5/rubik/stat/contracts/open-interest-history", query, read)

    def account_ratio(self, symbol: str) -> Call[list[AccountRatio]]:
        return _account_ratio(symbol, {"period": "5m", "limit": "1"})

    def account_ratio_hours(self, symbol: str, start_ns: int, end_ns: int) -> Call[list[AccountRatio]]:
        span = {"begin": str(start_ns // MS), "end": str(end_ns // MS)}
        return _account_ratio(symbol, {"period": "1H", "limit": str(self.ratio_page), **span})

    def candles(self, symbol: str, minutes: int, count: int) -> Call[list[Candle]]:
        def read(raw: bytes) -> list[Candle]:
            return in_order(candle(int(row[0]) * MS, row[2], row[3], row[4], row[6]) for row in _candles(_good(raw)))

        query = {"instId": symbol, "bar": f"{minutes}m", "limit": str(count)}
        return _call("candles", "/api/v5/market/candles", query, read)


def _account_ratio(symbol: str, query: dict[str, str]) -> Call[list[AccountRatio]]:
    def read(raw: bytes) -> list[AccountRatio]:
        return in_order(AccountRatio(int(ts) * MS, positive("ratio", ratio)) for ts, ratio in _ratios(_good(raw)))

    path = "/api/v5/rubik/stat/contracts/long-short-account-ratio-contract"
    return _call("long-short-account-ratio-contract", path, {"instId": symbol, **query}, read)


def _good(raw: bytes) -> Raw:
    reply = _reply(raw)
    if reply.code != "0":
        raise ValueError(f"code {reply.code} {reply.msg}")
    return reply.data


def _call(name: str, path: str, query: dict[str, str], read: Any) -> Call[Any]:
    return Call(name, path, query, strictly(VENUE, name, read))
