"""The public statistics of Binance USD-M, Bybit and OKX on a loopback port, in their exact shapes, well and ill.

What is true at a time is said by the functions of a `World`; `behaviour` says how the answers to the paths that contain `where` go
wrong. Times are those of the clock it is given.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from aiohttp import web

from bot.domain.values import MS, NS
from tests.servers.listening import listening

FIVE_NS, HOUR_NS, MINUTE_NS = 300 * NS, 3600 * NS, 60 * NS
KEPT_NS = 30 * 24 * HOUR_NS
WIDTHS = {"5m": FIVE_NS, "5min": FIVE_NS, "1h": HOUR_NS, "1H": HOUR_NS}


def _always(value: str) -> Callable[[int], Decimal]:
    return lambda at_ns: Decimal(value)


@dataclass
class World:
    coins: Callable[[int], Decimal] = field(default_factory=lambda: _always("100000"))  # open interest
    ratio: Callable[[int], Decimal] = field(default_factory=lambda: _always("1.5"))
    price: Callable[[int], Decimal] = field(default_factory=lambda: _always("60000"))  # at the start of a candle
    minute_coins: Decimal = Decimal(200)  # traded


class VenueStatisticsServer:
    """`behaviour`: ok, slow (never answers), html, error (500), redirect, limited (429), banned (418), forbidden (403), types (texts as numbers and
    the reverse), empty (no rows), big (9 MB)."""

    def __init__(self, world: World, now_ns: Callable[[], int]) -> None:
        self.world, self._clock = world, now_ns
        self.behaviour, self.where = "ok", ""
        self.ahead_ns = 0  # of the venue's clock before ours
        self.retry_after: str | None = "30"
        self.refused_ns: list[int] = []
        self.asked: list[tuple[int, str, dict[str, str]]] = []
        self.url = ""

    def now_ns(self) -> int:
        return self._clock() + self.ahead_ns

    def routes(self) -> list[web.RouteDef]:
        """Every path with what makes its body."""
        made: dict[str, Callable[[dict[str, str]], Any]] = {
            "/fapi/v1/openInterest": self._binance_now,
            "/futures/data/openInterestHist": self._binance_history,
            "/futures/data/globalLongShortAccountRatio": self._binance_ratio,
            "/fapi/v1/klines": self._binance_klines,
            "/v5/market/tickers": self._bybit_now,
            "/v5/market/open-interest": self._bybit_history,
            "/v5/market/account-ratio": self._bybit_ratio,
            "/v5/market/kline": self._bybit_klines,
            "/api/v5/public/open-interest": self._okx_now,
            "/api/v5/rubik/stat/contracts/open-interest-history": self._okx_history,
            "/api/v5/rubik/stat/contracts/long-short-account-ratio-contract": self._okx_ratio,
            "/api/v5/market/candles": self._okx_candles,
        }
        return [web.get(path, self._answerer(make)) for path, make in made.items()]

    def paths(self) -> list[str]:
        return [path for _, path, _ in self.asked]

    def _answerer(self, make: Callable[[dict[str, str]], Any]) -> Any:
        async def answer(request: web.Request) -> web.StreamResponse:
            query = dict(request.query)
            self.asked.append((self.now_ns(), request.path, query))
            return await self._answer(self.behaviour if self.where in request.path else "ok", make(query))

        return answer

    async def _answer(self, behaviour: str, body: Any) -> web.StreamResponse:
        if behaviour in ("limited", "banned"):
            self.refused_ns.append(self.now_ns())
        waits = {} if self.retry_after is None else {"Retry-After": self.retry_after}
        match behaviour:
            case "slow":
                await asyncio.Event().wait()
            case "html":
                return web.Response(text="<html>maintenance</html>", content_type="text/html")
            case "error":
                return web.json_response({"code": -1000, "msg": "internal"}, status=500)
            case "redirect":
                return web.Response(status=302, headers={"Location": "/fapi/v1/openInterest?symbol=BTCUSDT"})
            case "limited":
                return web.json_response({"code": -1003}, status=429, headers=waits)
            case "banned":
                return web.json_response({"code": -1003}, status=418, headers=waits)
            case "forbidden":
                return web.json_response({"retCode": 403}, status=403)
            case "types":
                body = _swapped(body)
            case "empty":
                body = _emptied(body)
            case "big":
                return web.Response(text=" " * (9 << 20), content_type="application/json")
        return web.Response(text=json.dumps(body), content_type="application/json")

    # --- what is true ---

    def _times(self, query: dict[str, str], width_ns: int, start: str, end: str) -> list[int]:
        """Full times up to now, oldest first: the newest `limit` of those asked for, at most 30 days back."""
        limit = int(query.get("limit", "50"))
        last_ns = min(self.now_ns(), int(query[end]) * MS if end in query else self.now_ns()) // width_ns * width_ns
        first_ns = max(self.now_ns() - KEPT_NS, int(query[start]) * MS if start in query else 0)
        times = range(last_ns - (limit - 1) * width_ns, last_ns + 1, width_ns)
        return [at for at in times if at >= first_ns]

    def _candles(self, query: dict[str, str], width_ns: int) -> Iterable[tuple[int, list[str], str]]:
        """Start; open, high, low and close; coins. Each runs from one price to the next."""
        for at in self._times(query, width_ns, "-", "-"):
            prices = self.world.price(at), self.world.price(min(at + width_ns, self.now_ns()))
            coins = self.world.minute_coins * width_ns / MINUTE_NS
            yield at, [str(price) for price in (prices[0], max(prices), min(prices), prices[1])], str(coins)

    # --- Binance ---

    def _binance_now(self, query: dict[str, str]) -> Any:
        now_ns = self.now_ns()
        return {"openInterest": str(self.world.coins(now_ns)), "symbol": query["symbol"], "time": now_ns // MS}

    def _binance_history(self, query: dict[str, str]) -> Any:
        return [
            {
                "symbol": query["symbol"],
                "sumOpenInterest": f"{self.world.coins(at):.8f}",
                "sumOpenInterestValue": f"{self.world.coins(at) * self.world.price(at):.8f}",
                "CMCCirculatingSupply": "165880.538",
                "timestamp": at // MS,
            }
            for at in self._times(query, WIDTHS[query["period"]], "startTime", "endTime")
        ]

    def _binance_ratio(self, query: dict[str, str]) -> Any:
        rows = []
        for at in self._times(query, WIDTHS[query["period"]], "startTime", "endTime"):
            ratio = self.world.ratio(at)
            long = ratio / (1 + ratio)
            shares = {"longAccount": f"{long:.4f}", "shortAccount": f"{1 - long:.4f}"}
            rows.append({"symbol": query["symbol"], "longShortRatio": str(ratio), **shares, "timestamp": at // MS})
        return rows

    def _binance_klines(self, query: dict[str, str]) -> Any:
        interval = query["interval"]
        width_ns = 24 * HOUR_NS if interval == "1d" else int(interval.removesuffix("m")) * MINUTE_NS
        rows = []
        for at, prices, coins in self._candles(query, width_ns):
            usd, closes = str(Decimal(coins) * Decimal(prices[3])), (at + width_ns) // MS - 1
            rows.append([at // MS, *prices, coins, closes, usd, 100, coins, usd, "0"])
        return rows

    # --- Bybit ---

    def _bybit(self, result: Any) -> Any:
        return {"retCode": 0, "retMsg": "OK", "result": result, "retExtInfo": {}, "time": self.now_ns() // MS}

    def _bybit_now(self, query: dict[str, str]) -> Any:
        coins = str(self.world.coins(self.now_ns()))
        row = {"symbol": query["symbol"], "lastPrice": "60000", "openInterest": coins, "openInterestValue": "1"}
        return self._bybit({"category": "linear", "list": [row]})

    def _bybit_history(self, query: dict[str, str]) -> Any:
        times = self._times(query, WIDTHS[query["intervalTime"]], "startTime", "endTime")
        rows = [{"openInterest": f"{self.world.coins(at):.8f}", "timestamp": str(at // MS)} for at in times]
        return self._bybit({"symbol": query["symbol"], "category": "linear", "list": rows[::-1], "nextPageCursor": ""})

    def _bybit_ratio(self, query: dict[str, str]) -> Any:
        rows = []
        for at in self._times(query, WIDTHS[query["period"]], "startTime", "endTime"):
            long = self.world.ratio(at) / (1 + self.world.ratio(at))
            shares = {"buyRatio": f"{long:.4f}", "sellRatio": f"{1 - long:.4f}"}
            rows.append({"symbol": query["symbol"], **shares, "timestamp": str(at // MS)})
        return self._bybit({"list": rows[::-1], "nextPageCursor": ""})

    def _bybit_klines(self, query: dict[str, str]) -> Any:
        rows = []
        for at, prices, coins in self._candles(query, int(query["interval"]) * MINUTE_NS):
            rows.append([str(at // MS), *prices, coins, "1"])
        return self._bybit({"symbol": query["symbol"], "category": "linear", "list": rows[::-1]})

    # --- OKX: a contract is a hundredth of a coin ---

    def _okx(self, data: Any) -> Any:
        return {"code": "0", "msg": "", "data": data}

    def _okx_now(self, query: dict[str, str]) -> Any:
        coins, ts = self.world.coins(self.now_ns()), str(self.now_ns() // MS)
        row = {"instId": query["instId"], "instType": "SWAP", "oi": str(coins * 100), "oiCcy": str(coins)}
        return self._okx([{**row, "oiUsd": "1", "ts": ts}])

    def _okx_history(self, query: dict[str, str]) -> Any:
        times = self._times(query, WIDTHS[query["period"]], "begin", "end")
        rows = [[str(at // MS), str(self.world.coins(at) * 100), str(self.world.coins(at)), "1"] for at in times]
        return self._okx(rows[::-1])

    def _okx_ratio(self, query: dict[str, str]) -> Any:
        times = self._times(query, WIDTHS[query["period"]], "begin", "end")
        return self._okx([[str(at // MS), str(self.world.ratio(at))] for at in times][::-1])

    def _okx_candles(self, query: dict[str, str]) -> Any:
        rows = []
        for at, prices, coins in self._candles(query, int(query["bar"].removesuffix("m")) * MINUTE_NS):
            contracts = str(Decimal(coins) * 100)
            rows.append([str(at // MS), *prices, contracts, coins, "1", "1"])
        return self._okx(rows[::-1])


def _swapped(body: Any) -> Any:
    """Every number as text and every text as something that is none of both."""
    match body:
        case dict():
            return {key: _swapped(value) for key, value in body.items()}
        case list():
            return [_swapped(value) for value in body]
        case str():
            return {"was": body}
    return str(body)


def _emptied(body: Any) -> Any:
    match body:
        case dict():
            return {key: _emptied(value) for key, value in body.items()}
        case list():
            return []
    return body


@asynccontextmanager
async def venue_statistics_server(world: World, now_ns: Callable[[], int]) -> AsyncIterator[VenueStatisticsServer]:
    server = VenueStatisticsServer(world, now_ns)
    app = web.Application()
    app.add_routes(server.routes())
    async with listening(app) as server.url:
        yield server
