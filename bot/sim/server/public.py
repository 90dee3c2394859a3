"""Binance USD-M's public REST over the simulated market: paths, weights, parameters, and the venue's own refusals.

Each call is a function of the exchange's state and a checked query; nothing here waits. `app.py` routes to `Public.handle`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from functools import cached_property
from itertools import islice
from typing import Any, NamedTuple, TypeVar

from aiohttp import web

from bot.domain.instrument import Instrument
from bot.domain.values import Side
from bot.sim.events import Rung, Trade
from bot.sim.exchange.core import ExchangeCore
from bot.sim.refusals import Refused, bad_symbol
from bot.sim.scenario import Coin
from bot.sim.server.kline import Kline
from bot.sim.server.limits import Limits, answer, refusal
from bot.sim.server.market import SimBook, SimMarket
from bot.sim.server.past import Past, Sample, Series
from bot.sim.server.published import Published

T = TypeVar("T")
MINUTE_MS = 60_000
INTERVALS_MS = {
    f"{count}{unit}": count * width_ms
    for unit, width_ms, counts in (
        ("m", MINUTE_MS, (1, 3, 5, 15, 30)),
        ("h", 60 * MINUTE_MS, (1, 2, 4, 6, 8, 12)),
        ("d", 1440 * MINUTE_MS, (1, 3)),
    )
    for count in counts
}
_PERIODS_MS = {period: INTERVALS_MS[period] for period in ("5m", "15m", "30m", "1h", "2h", "4h", "6h", "12h", "1d")}
_DEPTH_WEIGHTS = {5: 2, 10: 2, 20: 2, 50: 2, 100: 5, 500: 10, 1000: 20}
_FUNDING_CAP = "0.02000000"
ORDER_TYPES = ("LIMIT", "MARKET", "STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET")


class Query:
    """Parameters as text; asking for one checks it."""

    def __init__(self, given: Mapping[str, str]) -> None:
        self._given = given

    def text(self, name: str) -> str:
        value = self._given.get(name, "")
        if not value:
            raise Refused(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")
        return value

    def has(self, name: str) -> bool:
        return bool(self._given.get(name))

    def whole(self, name: str, default: int, least: int = 0, most: int = 1 << 53) -> int:
        text = self._given.get(name)
        if text is None or text == "":
            return default
        if not (text.isascii() and text.isdigit()) or len(text) > 18:
            raise Refused(
                -1100,
                f"Illegal characters found in parameter '{name}'; legal range is '^[0-9]{{1,20}}$'.",
            )
        if not least <= int(text) <= most:
            raise Refused(-1130, f"Data sent for parameter '{name}' is not valid.")
        return int(text)

    def span(self) -> tuple[int, int]:
        """`startTime` and `endTime`, or the widest."""
        start_ms, end_ms = self.whole("startTime", 0), self.whole("endTime", 1 << 53)
        if start_ms > end_ms:
            raise Refused(-1023, "Start time is greater than end time.")
        return start_ms, end_ms


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
            "bids": levels(coin, told.rungs(Side.BUY, limit)),
            "asks": levels(coin, told.rungs(Side.SELL, limit)),
        }

    def klines(self, query: Query) -> Any:
        coin, interval, limit = self._coin(query), query.text("interval"), query.whole("limit", 500, 1, 1500)
        if interval not in INTERVALS_MS:
            raise Refused(-1120, "Invalid interval.")
        past, width_ms = self.pasts[coin.symbol], INTERVALS_MS[interval]
        found = _span(query, past.klines(width_ms), lambda kline: kline.start_ms, limit)
        return [_kline(coin, kline, width_ms) for kline in found]

    def agg_trades(self, query: Query) -> Any:
        coin, limit = self._coin(query), query.whole("limit", 500, 1, 1000)
        trades, first = self.pasts[coin.symbol].trades, query.whole("fromId", 0)
        if query.has("fromId"):  # they are numbered one by one
            start = max(0, first - trades[0].trade_id) if trades else 0
            found = list(islice(trades, start, start + limit))
        else:
            found = _span(query, trades, lambda trade: trade.ms, limit)
        return [_agg_trade(coin, trade) for trade in found]

    def trades(self, query: Query) -> Any:
        coin, limit = self._coin(query), query.whole("limit", 500, 1, 1000)
        return [_trade(coin, trade) for trade in list(self.pasts[coin.symbol].trades)[-limit:]]

    def premium_index(self, query: Query) -> Any:
        return self._one_or_all(query, self._premium)

    def _premium(self, coin: Coin) -> dict[str, Any]:
        mark = known(self._book(coin).told_mark)
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
        bids, asks = (levels(coin, told.rungs(side, 1)) for side in (Side.BUY, Side.SELL))
        (bid, bid_quantity), (ask, ask_quantity) = known(bids or None)[0], known(asks or None)[0]
        prices = {"bidPrice": bid, "bidQty": bid_quantity, "askPrice": ask, "askQty": ask_quantity}
        return {"symbol": coin.symbol, **prices, "time": book.changed_ms, "lastUpdateId": book.last_id}

    def price_ticker(self, query: Query) -> Any:
        return self._one_or_all(query, self._last)

    def _last(self, coin: Coin) -> dict[str, Any]:
        trade = known(self._book(coin).trade)
        return {"symbol": coin.symbol, "price": price(coin, trade.ticks), "time": trade.ms}

    def day_ticker(self, query: Query) -> Any:
        return self._one_or_all(query, self._day)

    def _day(self, coin: Coin) -> dict[str, Any]:
        past = self.pasts[coin.symbol]
        return day_of(coin, past, known(past.trades[-1] if past.trades else None))

    # --- statistics ---

    def open_interest(self, query: Query) -> Any:
        coin = self._coin(query)
        now = known(self.pasts[coin.symbol].interest_now)
        return {"openInterest": _coins(coin, now.value), "symbol": coin.symbol, "time": now.ms}

    def open_interest_hist(self, query: Query) -> Any:
        coin, past = self._of_data(query)
        return [
            {
                "symbol": coin.symbol,
                "sumOpenInterest": _coins(coin, sample.value),
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
        return [_ratio(coin, sample, round(sample.value**lean, 4)) for sample in self._samples(query, past.ratios)]

    def taker_ratio(self, query: Query) -> Any:
        coin, past = self._of_data(query)
        width_ms, limit = _PERIODS_MS[query.text("period")], query.whole("limit", 30, 1, 500)
        found = _span(query, list(past.klines(width_ms))[:-1], lambda kline: kline.start_ms, limit)
        return [_taker(coin, kline) for kline in found]

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
        return _listing(coin, self._core.instruments[coin.symbol], trading=coin.symbol not in self._core.halted)

    def _book(self, coin: Coin) -> SimBook:
        return self.market.books[coin.symbol]

    def _one_or_all(self, query: Query, one: Callable[[Coin], dict[str, Any]]) -> Any:
        if query.has("symbol"):
            return one(self._coin(query))
        return [one(coin) for coin in self._listed()]


# --- rows ---------------------------------------------------------------------------------------------------------


def known(value: T | None) -> T:
    """A tape may not tell of everything, or not yet. Raises Refused."""
    if value is None:
        raise Refused(-1001, "Internal error; unable to process your request. Please try again.", 500)
    return value


def price(coin: Coin, ticks: int) -> str:
    return f"{ticks * coin.tick:f}"


def size(coin: Coin, lots: int) -> str:
    return f"{lots * coin.step:f}"


def levels(coin: Coin, rungs: Iterable[Rung]) -> list[tuple[str, str]]:
    return [(price(coin, ticks), size(coin, lots)) for ticks, lots in rungs]


def day_of(coin: Coin, past: Past, trade: Trade) -> dict[str, Any]:
    """Of the last 24 hours by the minute."""
    day = [k for k in past.minutes if k.start_ms > trade.ms - 1440 * MINUTE_MS]
    opened, close, lots = day[0].open, day[-1].close, sum(k.lots for k in day)
    worth, count = sum(k.worth for k in day), sum(k.trades for k in day)
    return {
        "symbol": coin.symbol,
        "priceChange": price(coin, close - opened),
        "priceChangePercent": f"{(close / opened - 1) * 100:.3f}",
        "weightedAvgPrice": f"{worth / lots * float(coin.tick):.8f}",
        "lastPrice": price(coin, close),
        "lastQty": size(coin, trade.lots),
        "openPrice": price(coin, opened),
        "highPrice": price(coin, max(k.high for k in day)),
        "lowPrice": price(coin, min(k.low for k in day)),
        "volume": size(coin, lots),
        "quoteVolume": _worth(coin, worth),
        "openTime": day[0].start_ms,
        "closeTime": trade.ms,
        "firstId": trade.trade_id - count + 1,
        "lastId": trade.trade_id,
        "count": count,
    }


def _worth(coin: Coin, worth: int) -> str:
    return f"{worth * coin.tick * coin.step:f}"


def _coins(coin: Coin, value: float) -> str:
    return f"{round(value / float(coin.step)) * coin.step:f}"


def _kline(coin: Coin, k: Kline, width_ms: int) -> list[Any]:
    prices = [price(coin, ticks) for ticks in (k.open, k.high, k.low, k.close)]
    taken = [size(coin, k.buy_lots), _worth(coin, k.buy_worth), "0"]
    end_ms = k.start_ms + width_ms - 1
    return [k.start_ms, *prices, size(coin, k.lots), end_ms, _worth(coin, k.worth), k.trades, *taken]


def kline_fields(coin: Coin, k: Kline, width_ms: int) -> dict[str, Any]:
    """As a stream tells a kline."""
    row = _kline(coin, k, width_ms)
    return dict(zip(("t", "o", "h", "l", "c", "v", "T", "q", "n", "V", "Q", "B"), row, strict=True))


def _agg_trade(coin: Coin, trade: Trade) -> dict[str, Any]:
    number = trade.trade_id
    return {
        "a": number,
        "p": price(coin, trade.ticks),
        "q": size(coin, trade.lots),
        "f": number,
        "l": number,
        "T": trade.ms,
        "m": not trade.taker_buys,
    }


def _trade(coin: Coin, trade: Trade) -> dict[str, Any]:
    return {
        "id": trade.trade_id,
        "price": price(coin, trade.ticks),
        "qty": size(coin, trade.lots),
        "quoteQty": _worth(coin, trade.ticks * trade.lots),
        "time": trade.ms,
        "isBuyerMaker": not trade.taker_buys,
        "isRPITrade": False,
    }


def _ratio(coin: Coin, sample: Sample, ratio: float) -> dict[str, Any]:
    long = ratio / (1 + ratio)
    return {
        "symbol": coin.symbol,
        "longShortRatio": f"{ratio:.4f}",
        "longAccount": f"{long:.4f}",
        "shortAccount": f"{1 - long:.4f}",
        "timestamp": sample.ms,
    }


def _taker(coin: Coin, k: Kline) -> dict[str, Any]:
    sells = max(1, k.lots - k.buy_lots)
    return {
        "buySellRatio": f"{k.buy_lots / sells:.4f}",
        "buyVol": size(coin, k.buy_lots),
        "sellVol": size(coin, k.lots - k.buy_lots),
        "timestamp": k.start_ms,
    }


def _span(query: Query, rows: Iterable[T], at_ms: Callable[[T], int], limit: int) -> list[T]:
    """From `startTime` on the first ones, without it the last ones up to `endTime`."""
    start_ms, end_ms = query.span()
    within: Iterator[T] = (row for row in rows if start_ms <= at_ms(row) <= end_ms)
    return list(islice(within, limit)) if start_ms else list(within)[-limit:]


def _listing(coin: Coin, rules: Instrument, *, trading: bool) -> dict[str, Any]:

    def places(unit: Decimal) -> int:
        return max(0, -int(unit.normalize().as_tuple().exponent))

    def lots(kind: str, most: Decimal) -> dict[str, Any]:
        sizes = {"minQty": f"{rules.min_quantity:f}", "maxQty": f"{most:f}", "stepSize": f"{rules.step:f}"}
        return {"filterType": kind, **sizes}

    top, bottom = f"{rules.tick * 10**9:f}", f"{rules.tick:f}"
    return {
        "symbol": coin.symbol,
        "pair": coin.symbol,
        "contractType": "PERPETUAL",
        "deliveryDate": 4_133_404_800_000,
        "onboardDate": 1_569_398_400_000,
        "status": "TRADING" if trading else "SETTLING",
        "maintMarginPercent": "2.5000",
        "requiredMarginPercent": "5.0000",
        "baseAsset": coin.base,
        "quoteAsset": "USDT",
        "marginAsset": "USDT",
        "pricePrecision": places(rules.tick),
        "quantityPrecision": places(rules.step),
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "underlyingSubType": ["PoW"] if coin.base == "BTC" else [],
        "triggerProtect": "0.0500",
        "liquidationFee": "0.012500",
        "marketTakeBound": "0.05",
        "maxMoveOrderLimit": 10_000,
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": bottom, "maxPrice": top, "tickSize": bottom},
            lots("LOT_SIZE", rules.max_quantity),
            lots("MARKET_LOT_SIZE", rules.max_market_quantity),
            {"filterType": "MAX_NUM_ORDERS", "limit": 200},
            {"filterType": "MAX_NUM_ALGO_ORDERS", "limit": 200},
            {"filterType": "MIN_NOTIONAL", "notional": f"{rules.min_notional:f}"},
            {
                "filterType": "PERCENT_PRICE",
                "multiplierUp": "1.0500",
                "multiplierDown": "0.9500",
                "multiplierDecimal": "4",
            },
        ],
        "orderTypes": list(ORDER_TYPES),
        "timeInForce": ["GTC", "IOC", "FOK", "GTX", "GTD"],
    }


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
