"""Binance USD-M's public REST over the simulated market: paths, weights, parameters, and the venue's own refusals.

Each call is a function of the exchange's state and a checked query; nothing here waits. `app.py` routes to `Public.handle`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from itertools import islice
from typing import Any, NamedTuple, TypeVar

from aiohttp import web

from bot.domain.values import Side
from bot.sim.exchange.core import ExchangeCore
from bot.sim.refusals import NotKnown, Refused, bad_symbol
from bot.sim.scenario import Coin
from bot.sim.server import public_wire as wire
from bot.sim.server.limits import Limits, answer, refusal
from bot.sim.server.market import SimBook, SimMarket
from bot.sim.server.past import Past, Sample, Series
from bot.sim.server.published import Published
from bot.sim.server.query import Query

T = TypeVar("T")
_PERIODS_MS = {
    period: wire.INTERVALS_MS[period] for period in ("5m", "15m", "30m", "1h", "2h", "4h", "6h", "12h", "1d")
}
_DEPTH_WEIGHTS = {5: 2, 10: 2, 20: 2, 50: 2, 100: 5, 500: 10, 1000: 20}
_FUNDING_CAP = "0.02000000"


class _Route(NamedTuple):
    weight: Callable[[Query], int]
    call: Callable[[Public, Query], Any]


class Public:
    """`pasts` are by symbol, and follow the market."""

    def __init__(
        self, market: SimMarket, published: Published, pasts: Mapping[str, Past], limits: Limits, core: ExchangeCore
    ) -> None:
        self.market, self.pasts, self.limits, self._core = market, pasts, limits, core
        self._books = published.books
        self.clock_off_ms = 0  # what the venue's clock is wrong by

    async def handle(self, request: web.Request) -> web.Response:
        route, address = ROUTES[request.path], request.remote or "?"
        query = Query(request.query)
        try:
            if len(set(request.query)) < len(request.query):
                raise Refused(-1101, "Duplicate values for a parameter detected.")
            self.limits.take(address, route.weight(query), self.market.now_ms())
            response = answer(route.call(self, query))
        except Refused as refused:
            response = refusal(refused)
        response.headers["X-MBX-USED-WEIGHT-1M"] = str(self.limits.used(address))
        return response

    def routes(self) -> list[web.RouteDef]:
        return [web.get(path, self.handle) for path in ROUTES]

    # --- the market itself ---

    def time(self, query: Query) -> Any:
        return {"serverTime": self.market.now_ms() + self.clock_off_ms}

    def exchange_info(self, query: Query) -> Any:
        return {**self._exchange_info, **self.time(query)}

    def listing_changed(self) -> None:
        self.__dict__.pop("_exchange_info", None)

    @cached_property
    def _exchange_info(self) -> dict[str, Any]:
        limit = {
            "rateLimitType": "REQUEST_WEIGHT",
            "interval": "MINUTE",
            "intervalNum": 1,
            "limit": self.limits.per_minute,
        }
        orders = [("MINUTE", 1, 1200), ("SECOND", 10, 300)]
        return {
            "timezone": "UTC",
            "futuresType": "U_MARGINED",
            "rateLimits": [
                limit,
                *({"rateLimitType": "ORDERS", "interval": i, "intervalNum": n, "limit": most} for i, n, most in orders),
            ],
            "exchangeFilters": [],
            "assets": [{"asset": "USDT", "marginAvailable": True, "autoAssetExchange": "-10000"}],
            "symbols": [self._listing(coin) for coin in self._listed()],
        }

    def depth(self, query: Query) -> Any:
        coin, limit = self._coin(query), query.whole("limit", 500)
        if limit not in _DEPTH_WEIGHTS:
            raise Refused(-4021, f"'{limit}' is not valid depth limit.")
        book, told = self._book(coin), self._books[coin.symbol]
        return {
            "lastUpdateId": book.last_id,
            "E": book.changed_ms + 1,
            "T": book.changed_ms,
            "bids": wire.levels(coin, told.rungs(Side.BUY, limit)),
            "asks": wire.levels(coin, told.rungs(Side.SELL, limit)),
        }

    def klines(self, query: Query) -> Any:
        coin, interval, limit = self._coin(query), query.text("interval"), query.whole("limit", 500, 1, 1500)
        if interval not in wire.INTERVALS_MS:
            raise Refused(-1120, "Invalid interval.")
        past, width_ms = self.pasts[coin.symbol], wire.INTERVALS_MS[interval]
        found = _span(query, past.klines(width_ms), lambda kline: kline.start_ms, limit)
        return [wire.kline(coin, kline, width_ms) for kline in found]

    def agg_trades(self, query: Query) -> Any:
        coin, limit = self._coin(query), query.whole("limit", 500, 1, 1000)
        trades, first = self.pasts[coin.symbol].trades, query.whole("fromId", 0)
        if query.has("fromId"):  # they are numbered one by one
            start = max(0, first - trades[0].trade_id) if trades else 0
            found = list(islice(trades, start, start + limit))
        else:
            found = _span(query, trades, lambda trade: trade.ms, limit)
        return [wire.agg_trade(coin, trade) for trade in found]

    def trades(self, query: Query) -> Any:
        coin, limit = self._coin(query), query.whole("limit", 500, 1, 1000)
        return [wire.trade_row(coin, trade) for trade in list(self.pasts[coin.symbol].trades)[-limit:]]

    def premium_index(self, query: Query) -> Any:
        return self._one_or_all(query, self._premium)

    def _premium(self, coin: Coin) -> dict[str, Any]:
        mark = wire.known(self._book(coin).told_mark)
        return {
            "symbol": coin.symbol,
            "markPrice": f"{mark.mark:.8f}",
            "indexPrice": f"{mark.index:.8f}",
            "estimatedSettlePrice": f"{mark.mark:.8f}",
            "lastFundingRate": f"{mark.rate:.8f}",
            "interestRate": "0.00010000",
            "nextFundingTime": mark.funding_ms,
            "time": mark.ms,
        }

    def funding_rate(self, query: Query) -> Any:
        limit = query.whole("limit", 100, 1, 1000)
        coins = [self._coin(query)] if query.has("symbol") else self._listed()
        rows = [(coin, *paid) for coin in coins for paid in self.pasts[coin.symbol].fundings]
        rows.sort(key=lambda row: row[1])
        return [
            {"symbol": coin.symbol, "fundingTime": ms, "fundingRate": f"{rate:.8f}", "markPrice": f"{mark:.8f}"}
            for coin, ms, rate, mark in _span(query, rows, lambda row: row[1], limit)
        ]

    def funding_info(self, query: Query) -> Any:
        caps = {"adjustedFundingRateCap": _FUNDING_CAP, "adjustedFundingRateFloor": f"-{_FUNDING_CAP}"}
        return [
            {"symbol": symbol, **caps, "fundingIntervalHours": 8, "disclaimer": False} for symbol in self.market.coins
        ]

    # --- tickers ---

    def book_ticker(self, query: Query) -> Any:
        return self._one_or_all(query, self._best)

    def _best(self, coin: Coin) -> dict[str, Any]:
        book, told = self._book(coin), self._books[coin.symbol]
        bids, asks = (wire.levels(coin, told.rungs(side, 1)) for side in (Side.BUY, Side.SELL))
        (bid, bid_quantity), (ask, ask_quantity) = wire.known(bids or None)[0], wire.known(asks or None)[0]
        prices = {"bidPrice": bid, "bidQty": bid_quantity, "askPrice": ask, "askQty": ask_quantity}
        return {"symbol": coin.symbol, **prices, "time": book.changed_ms, "lastUpdateId": book.last_id}

    def price_ticker(self, query: Query) -> Any:
        return self._one_or_all(query, self._last)

    def _last(self, coin: Coin) -> dict[str, Any]:
        trade = wire.known(self._book(coin).trade)
        return {"symbol": coin.symbol, "price": wire.price(coin, trade.ticks), "time": trade.ms}

    def day_ticker(self, query: Query) -> Any:
        return self._one_or_all(query, self._day)

    def _day(self, coin: Coin) -> dict[str, Any]:
        past = self.pasts[coin.symbol]
        return wire.day_of(coin, past, wire.known(past.trades[-1] if past.trades else None))

    # --- statistics ---

    def open_interest(self, query: Query) -> Any:
        coin = self._coin(query)
        now = wire.known(self.pasts[coin.symbol].interest_now)
        return {"openInterest": wire.coins(coin, now.value), "symbol": coin.symbol, "time": now.ms}

    def open_interest_hist(self, query: Query) -> Any:
        coin, past = self._of_data(query)
        return [
            {
                "symbol": coin.symbol,
                "sumOpenInterest": wire.coins(coin, sample.value),
                "sumOpenInterestValue": f"{sample.value * float(sample.ticks * coin.tick):.8f}",
                "CMCCirculatingSupply": "0.00000000",
                "timestamp": sample.ms,
            }
            for sample in self._samples(query, past.interest)
        ]

    def account_ratio(self, query: Query) -> Any:
        return self._ratios(query, 1.0)

    def top_account_ratio(self, query: Query) -> Any:
        return self._ratios(query, 0.9)

    def top_position_ratio(self, query: Query) -> Any:
        return self._ratios(query, 0.8)

    def _ratios(self, query: Query, lean: float) -> Any:
        """Large accounts lean less to the crowd's side, so their ratios are drawn to 1 by the power of `lean`."""
        coin, past = self._of_data(query)
        return [
            wire.ratio_row(coin, sample, round(sample.value**lean, 4)) for sample in self._samples(query, past.ratios)
        ]

    def taker_ratio(self, query: Query) -> Any:
        coin, past = self._of_data(query)
        width_ms, limit = _PERIODS_MS[query.text("period")], query.whole("limit", 30, 1, 500)
        found = _span(query, list(past.klines(width_ms))[:-1], lambda kline: kline.start_ms, limit)
        return [wire.taker_row(coin, kline) for kline in found]

    def _samples(self, query: Query, series: Series) -> list[Sample]:
        wide = series.every(_PERIODS_MS[query.text("period")])
        return _span(query, wide, lambda sample: sample.ms, query.whole("limit", 30, 1, 500))

    def _of_data(self, query: Query) -> tuple[Coin, Past]:
        coin = self._coin(query)
        if query.text("period") not in _PERIODS_MS:
            raise Refused(-1130, "Data sent for parameter 'period' is not valid.")
        return coin, self.pasts[coin.symbol]

    # --- help ---

    def _coin(self, query: Query) -> Coin:
        coin = self.market.coins.get(query.text("symbol"))
        if coin is None or coin.symbol in self._core.delisted:
            raise bad_symbol()
        return coin

    def _listed(self) -> list[Coin]:
        return [coin for symbol, coin in self.market.coins.items() if symbol not in self._core.delisted]

    def _listing(self, coin: Coin) -> dict[str, Any]:
        return wire.listing(coin, self._core.instruments[coin.symbol], trading=coin.symbol not in self._core.halted)

    def _book(self, coin: Coin) -> SimBook:
        return self.market.books[coin.symbol]

    def _one_or_all(self, query: Query, one: Callable[[Coin], dict[str, Any]]) -> Any:
        """Of all, those that there is something to tell of."""
        if query.has("symbol"):
            return one(self._coin(query))
        rows = []
        for coin in self._listed():
            with suppress(NotKnown):
                rows.append(one(coin))
        return rows


def _span(query: Query, rows: Iterable[T], at_ms: Callable[[T], int], limit: int) -> list[T]:
    """From `startTime` on the first ones, without it the last ones up to `endTime`."""
    start_ms, end_ms = query.span()
    within: Iterator[T] = (row for row in rows if start_ms <= at_ms(row) <= end_ms)
    return list(islice(within, limit)) if start_ms else list(within)[-limit:]


# --- paths and weights ----------------------------------------------------------------------------------------------


def _flat(weight: int) -> Callable[[Query], int]:
    return lambda query: weight


def _for_all(one: int, all_: int) -> Callable[[Query], int]:
    return lambda query: one if query.has("symbol") else all_


def _depth_weight(query: Query) -> int:
    return _DEPTH_WEIGHTS.get(query.whole("limit", 500), 20)


def _klines_weight(query: Query) -> int:
    limit = query.whole("limit", 500)
    return next(weight for most, weight in ((99, 1), (499, 2), (1000, 5), (1 << 60, 10)) if limit <= most)


ROUTES: dict[str, _Route] = {
    "/fapi/v1/ping": _Route(_flat(1), lambda self, query: {}),
    "/fapi/v1/time": _Route(_flat(1), Public.time),
    "/fapi/v1/exchangeInfo": _Route(_flat(1), Public.exchange_info),
    "/fapi/v1/depth": _Route(_depth_weight, Public.depth),
    "/fapi/v1/klines": _Route(_klines_weight, Public.klines),
    "/fapi/v1/aggTrades": _Route(_flat(20), Public.agg_trades),
    "/fapi/v1/trades": _Route(_flat(5), Public.trades),
    "/fapi/v1/premiumIndex": _Route(_for_all(1, 10), Public.premium_index),
    "/fapi/v1/fundingRate": _Route(_flat(0), Public.funding_rate),
    "/fapi/v1/fundingInfo": _Route(_flat(0), Public.funding_info),
    "/fapi/v1/ticker/bookTicker": _Route(_for_all(2, 5), Public.book_ticker),
    "/fapi/v1/ticker/price": _Route(_for_all(1, 2), Public.price_ticker),
    "/fapi/v2/ticker/price": _Route(_for_all(1, 2), Public.price_ticker),
    "/fapi/v1/ticker/24hr": _Route(_for_all(1, 40), Public.day_ticker),
    "/fapi/v1/openInterest": _Route(_flat(1), Public.open_interest),
    "/futures/data/openInterestHist": _Route(_flat(0), Public.open_interest_hist),
    "/futures/data/globalLongShortAccountRatio": _Route(_flat(0), Public.account_ratio),
    "/futures/data/topLongShortAccountRatio": _Route(_flat(0), Public.top_account_ratio),
    "/futures/data/topLongShortPositionRatio": _Route(_flat(0), Public.top_position_ratio),
    "/futures/data/takerlongshortRatio": _Route(_flat(0), Public.taker_ratio),
}
