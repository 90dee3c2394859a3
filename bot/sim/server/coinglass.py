"""CoinGlass API V4 as its clients ask it, answering from the simulated market: any key is one of the plan PROFESSIONAL.

Readings of one coin agree with what the exchange itself tells: taker volume is that of its trades, large orders are its walls,
the heatmap has the clusters of its truth. Other exchanges are shares of the same market, for a list needs more than one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import takewhile
from typing import Any

from aiohttp import web

from bot.domain.reading import LiquidationClusters, MaxPain
from bot.domain.values import MS
from bot.market.readings import COINGLASS, DERIBIT
from bot.sim.scenario import Coin
from bot.sim.server.limits import Limits, OverLimit, answer
from bot.sim.server.market import SimMarket
from bot.sim.server.past import HOUR_MS, Past
from bot.sim.server.public_wire import INTERVALS_MS, known

PER_MINUTE = 1200
PLAN = "PROFESSIONAL"
_SHARES = {"Binance": 1.0, "Bybit": 0.5, "OKX": 0.4}
_TAKER = "/api/futures/taker-buy-sell-volume/exchange-list"
_PAIN = "/api/option/max-pain"
_ORDERS = "/api/futures/orderbook/large-limit-order"
_HEATMAP = "/api/futures/liquidation/aggregated-heatmap/model1"
_INTEREST = "/api/futures/open-interest/exchange-list"
_CROWD = "/api/futures/global-long-short-account-ratio/history"
_SUBSCRIPTION = "/api/user/account/subscription"
_PAIRS = "/api/futures/supported-exchange-pairs"

_TAKEN_MS = {name: INTERVALS_MS[name] for name in ("5m", "15m", "30m", "1h", "4h", "12h")} | {"24h": INTERVALS_MS["1d"]}
_HEATMAP_RANGES = dict.fromkeys(("12h", "24h", "3d", "7d", "30d", "90d", "180d", "1y"), 0)
_INTERVALS_MS = {name: width_ms for name, width_ms in INTERVALS_MS.items() if name not in ("2h", "3d")}
_INTERVALS_MS["1w"] = 7 * INTERVALS_MS["1d"]
_MOST_ROWS = 1000

_Query = Mapping[str, str]


class _Wrong(Exception):
    """What is wrong with a request, with the code in the body; the HTTP status is 200, as with the provider."""

    def __init__(self, code: str, msg: str) -> None:
        super().__init__(msg)
        self.body = {"code": code, "msg": msg}


class CoinGlassAnswers:
    def __init__(self, market: SimMarket, pasts: Mapping[str, Past]) -> None:
        self._market, self._pasts = market, pasts
        self._limits = Limits(PER_MINUTE)
        self._bases = {coin.base: coin for coin in market.coins.values()}
        self._calls: dict[str, tuple[tuple[str, ...], Callable[[_Query], Any]]] = {
            _TAKER: (("symbol", "range"), self._taker),
            _PAIN: (("symbol", "exchange"), self._pain),
            _ORDERS: (("exchange", "symbol"), self._orders),
            _HEATMAP: (("symbol", "range"), self._heatmap),
            _INTEREST: (("symbol",), self._interest),
            _CROWD: (("exchange", "symbol", "interval"), self._crowd),
            _SUBSCRIPTION: ((), self._subscription),
            _PAIRS: ((), self._pairs),
        }

    def routes(self) -> list[web.RouteDef]:
        return [web.get(path, self._handle) for path in self._calls] + [web.get("/api/{path:.*}", self._not_found)]

    async def _handle(self, request: web.Request) -> web.Response:
        key = request.headers.get("CG-API-KEY", "")
        if not key:
            return answer({"code": "401", "msg": "Invalid or missing API key"}, 401)
        try:
            self._limits.take(key, 1, self._market.now_ms())
        except OverLimit:
            return self._counted(answer({"code": "429", "msg": "Too Many Requests"}, 429), key)
        needed, call = self._calls[request.path]
        try:
            for name in needed:
                if not request.query.get(name):
                    raise _Wrong("400", f"Required String parameter '{name}' is not present")
            body = {"code": "0", "msg": "success", "data": call(request.query)}
        except _Wrong as wrong:
            body = wrong.body
        return self._counted(answer(body), key)

    async def _not_found(self, request: web.Request) -> web.Response:
        msg = "Endpoint not found. Please refer to the API documentation: https://docs.coinglass.com/reference/endpoint-overview"
        return answer({"code": "404", "msg": msg}, 404)

    def _counted(self, response: web.Response, key: str) -> web.Response:
        response.headers["API-KEY-MAX-LIMIT"] = str(PER_MINUTE)
        response.headers["API-KEY-USE-LIMIT"] = str(min(PER_MINUTE, self._limits.used(key)))
        return response

    # --- data of each call ---

    def _taker(self, query: _Query) -> Any:
        coin, width_ms = self._coin(query), _one_of(_TAKEN_MS, query, "range")
        buy, sell = self._taken(coin, width_ms)
        rows = [{"exchange": name, **_volumes(buy * share, sell * share)} for name, share in _SHARES.items()]
        total = sum(_SHARES.values())
        return {"symbol": coin.base, **_volumes(buy * total, sell * total), "exchange_list": rows}

    def _taken(self, coin: Coin, width_ms: int) -> tuple[float, float]:
        """USD that takers bought and sold so far back; of more than an hour by whole minutes."""
        past, since_ms = self._pasts[coin.symbol], self._market.now_ms() - width_ms
        if width_ms <= HOUR_MS:
            trades = takewhile(lambda trade: trade.ms >= since_ms, reversed(past.trades))
            worths = [(t.ticks * t.lots * t.taker_buys, t.ticks * t.lots) for t in trades]
        else:
            worths = [(k.buy_worth, k.worth) for k in past.minutes if k.start_ms >= since_ms]
        buy, both = (
            (sum(each) * float(coin.tick * coin.step) for each in zip(*worths, strict=True)) if worths else (0.0, 0.0)
        )
        return buy, both - buy

    def _pain(self, query: _Query) -> Any:
        told = self._market.told.get(("max_pain", query["symbol"]))
        if told is None or query["exchange"] != "Deribit" or told.source != DERIBIT:
            return []
        pain = told.value
        assert isinstance(pain, MaxPain)
        half, coins = float(pain.notional_usd) / 2, float(pain.notional_usd / pain.price) / 2
        sides = {f"{side}_{name}": value for side in ("call", "put") for name, value in _side(half, coins).items()}
        year, month, day = pain.expiry.split("-")
        return [{"date": f"{year[2:]}{month}{day}", "max_pain_price": f"{pain.price:f}", **sides}]

    def _orders(self, query: _Query) -> Any:
        """The walls of the exchange itself; on the others none is large enough."""
        if query["symbol"] not in {row["instrument_id"] for row in self._pairs(query).get(query["exchange"], [])}:
            raise _Wrong(
                "400",
                "The requested pair does not exist on the exchange. Please check the documentation to view supported pairs.",
            )
        coin = self._market.coins.get(query["symbol"])
        if query["exchange"] != "Binance" or coin is None:
            return []
        of = next(each for each in self._market.model.coins if each.coin is coin)
        start_ms, now_ms = self._market.scenario.start_ns // MS, self._market.now_ms()
        numbers = self._market.scenario.walls.index  # an order keeps its number
        return [
            _order(
                coin,
                numbers(wall),
                start_ms + wall.at_s * 1000,
                now_ms,
                ticks,
                lots,
                1 if wall.side.value == "sell" else 2,
            )
            for wall, ticks, lots in of.walls.standing
        ]

    def _heatmap(self, query: _Query) -> Any:
        """The clusters there are, whatever range is asked."""
        coin, _ = self._coin(query), _one_of(_HEATMAP_RANGES, query, "range")
        told = self._market.told.get(("liquidation_clusters", coin.instrument.id))
        if told is None or told.source != COINGLASS:
            raise _Wrong("500", "Server Error")
        clusters = told.value
        assert isinstance(clusters, LiquidationClusters)
        levels: dict[float, float] = {}
        for each in clusters.clusters:
            levels[float(each.price)] = levels.get(float(each.price), 0.0) + float(each.usd)
        axis = sorted(levels)
        candles = [k for k, _ in zip(reversed(self._pasts[coin.symbol].fives), range(3), strict=False)][::-1]
        cells = [[len(candles) - 1, index, levels[at]] for index, at in enumerate(axis)]
        return {
            "y_axis": axis,
            "liquidation_leverage_data": cells,
            "price_candlesticks": [
                [k.start_ms // 1000, *(f"{t * coin.tick:f}" for t in (k.open, k.high, k.low, k.close)), str(k.lots)]
                for k in candles
            ],
        }

    def _interest(self, query: _Query) -> Any:
        coin = self._coin(query)
        now, price = (
            known(self._pasts[coin.symbol].interest_now).value,
            self._market.books[coin.symbol].mid or float(coin.price),
        )
        shares = {"All": sum(_SHARES.values()), **_SHARES}
        return [
            {
                "exchange": name,
                "symbol": coin.base,
                "open_interest_usd": round(now * price * share, 4),
                "open_interest_quantity": round(now * share, 4),
            }
            for name, share in shares.items()
        ]

    def _crowd(self, query: _Query) -> Any:
        past = self._pasts.get(query["symbol"])
        if past is None or query["exchange"] != "Binance":
            raise _Wrong(
                "400",
                "The requested pair does not exist on the exchange. Please check the documentation to view supported pairs.",
            )
        start_ms, end_ms = _whole(query, "start_time", 0), _whole(query, "end_time", 1 << 53)
        limit = min(_MOST_ROWS, max(1, _whole(query, "limit", _MOST_ROWS)))
        samples = past.ratios.every(_one_of(_INTERVALS_MS, query, "interval"))
        rows = []
        for sample in [sample for sample in samples if start_ms <= sample.ms <= end_ms][-limit:]:
            long_pct = 100 * sample.value / (1 + sample.value)
            rows.append(
                {
                    "time": sample.ms,
                    "global_account_long_percent": round(long_pct, 2),
                    "global_account_short_percent": round(100 - long_pct, 2),
                    "global_account_long_short_ratio": round(sample.value, 2),
                }
            )
        return rows

    def _subscription(self, query: _Query) -> Any:
        return {"level": PLAN, "expire_time": 4_102_444_800_000, "expired": False}

    def _pairs(self, query: _Query) -> dict[str, list[dict[str, str]]]:
        names: dict[str, Callable[[Coin], str]] = {
            "Binance": lambda coin: coin.symbol,
            "Bybit": lambda coin: coin.symbol,
            "OKX": lambda coin: f"{coin.base}-USDT-SWAP",
        }
        return {
            exchange: [
                {"instrument_id": name(coin), "base_asset": coin.base, "quote_asset": "USDT"}
                for coin in self._market.coins.values()
            ]
            for exchange, name in names.items()
        }

    def _coin(self, query: _Query) -> Coin:
        coin = self._bases.get(query["symbol"])
        if coin is None:
            raise _Wrong(
                "400", "The requested coin does not exist. Please check the documentation to view supported coins."
            )
        return coin


def _one_of(known: Mapping[str, int], query: _Query, name: str) -> int:
    if query[name] not in known:
        raise _Wrong("400", f"The requested {name} is not supported. Please check the documentation.")
    return known[query[name]]


def _whole(query: _Query, name: str, default: int) -> int:
    text = query.get(name) or str(default)
    if not (text.isascii() and text.isdigit()) or len(text) > 18:
        raise _Wrong("400", f"The requested {name} is not a number. Please check the documentation.")
    return int(text)


def _volumes(buy: float, sell: float) -> dict[str, float]:
    ratio = 100 * buy / (buy + sell) if buy + sell else 50.0
    ratios = {"buy_ratio": round(ratio, 2), "sell_ratio": round(100 - ratio, 2)}
    return {**ratios, "buy_vol_usd": round(buy, 4), "sell_vol_usd": round(sell, 4)}


def _side(usd: float, coins: float) -> dict[str, float]:
    worth = {"open_interest_notional": round(usd, 2), "open_interest_market_value": round(usd * 0.012, 2)}
    return {"open_interest": round(coins, 4), **worth}


def _order(coin: Coin, number: int, start_ms: int, now_ms: int, ticks: int, lots: int, side: int) -> dict[str, Any]:
    quantity, price = lots * coin.step, ticks * coin.tick
    usd = float(round(quantity * price, 4))
    return {
        "id": 2_900_000_000 + number,
        "exchange_name": "Binance",
        "symbol": coin.symbol,
        "base_asset": coin.base,
        "quote_asset": "USDT",
        "price": float(price),
        "start_time": start_ms,
        "start_quantity": float(quantity),
        "start_usd_value": usd,
        "current_quantity": float(quantity),
        "current_usd_value": usd,
        "current_time": now_ms,
        "executed_volume": 0.0,
        "executed_usd_value": 0.0,
        "trade_count": 0,
        "order_side": side,
        "order_state": 1,
    }
