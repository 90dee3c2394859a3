"""CoinGlass API V4 on a loopback port, in the documented shapes: plans, refusals, limits that are really enforced, and ills.

Bodies are those of `tests/fixtures/coinglass`, with the asked coin and times near `now_ns`. Who may ask what is written here a
second time, from the reference, so that a slip in the program's own table is noticed.
"""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

from aiohttp import web

from tests.servers.listening import listening

FIXTURES = Path(__file__).parents[1] / "fixtures/coinglass"
KEY = "0123456789abcdef0123456789abcdef"

TAKER = "/api/futures/taker-buy-sell-volume/exchange-list"
PAIN = "/api/option/max-pain"
ORDERS = "/api/futures/orderbook/large-limit-order"
HEATMAP = "/api/futures/liquidation/aggregated-heatmap/model1"
INTEREST = "/api/futures/open-interest/exchange-list"
CROWD = "/api/futures/global-long-short-account-ratio/history"
SUBSCRIPTION = "/api/user/account/subscription"
PAIRS = "/api/futures/supported-exchange-pairs"

_LEVELS = ["HOBBYIST", "STARTUP", "STANDARD", "PROFESSIONAL", "ENTERPRISE"]
_LEAST = {ORDERS: "STANDARD", HEATMAP: "PROFESSIONAL"}
_GRANTED = {"HOBBYIST": 30, "STARTUP": 80, "STANDARD": 300, "PROFESSIONAL": 1200, "ENTERPRISE": 6000}
_INTERVALS = ["1m", "3m", "5m", "15m", "30m", "1h", "4h", "6h", "8h", "12h", "1d", "1w"]
_SHORTEST = {"HOBBYIST": "4h", "STARTUP": "30m"}
_NEEDS = {
    TAKER: ("symbol", "range"),
    PAIN: ("symbol", "exchange"),
    ORDERS: ("exchange", "symbol"),
    HEATMAP: ("symbol", "range"),
    INTEREST: ("symbol",),
    CROWD: ("exchange", "symbol", "interval"),
    SUBSCRIPTION: (),
    PAIRS: (),
}
_BODY = {
    TAKER: "taker-buy-sell-volume-exchange-list",
    PAIN: "option-max-pain",
    ORDERS: "orderbook-large-limit-order",
    HEATMAP: "liquidation-aggregated-heatmap-model1",
    INTEREST: "open-interest-exchange-list.observed",
    CROWD: "global-long-short-account-ratio-history",
    SUBSCRIPTION: "user-account-subscription",
    PAIRS: "supported-exchange-pairs",
}
_BIG = 9 * 1024 * 1024


def fixture(name: str) -> Any:
    return json.loads((FIXTURES / f"{name}.json").read_text())


class Call:
    def __init__(self, at_ns: int, path: str, query: dict[str, str]) -> None:
        self.at_ns, self.path, self.query = at_ns, path, query


class CoinGlassServer:
    """`level`: the key's plan; `known_level` False: the subscription endpoint is not there.

    `ill` by path, or "*": html, html503, slow, cut, big, redirect, reset, held (until `release`), or the name of an
    error body. `data` by path
    replaces what is answered, `raw` the whole body. `others`: calls that another program has made this minute.
    """

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self.now_ns = now_ns
        self.key, self.level, self.known_level, self.expired = KEY, "HOBBYIST", True, False
        self.granted: int | None = None
        self.granted_text: str | None = None  # what the header says instead
        self.window: Literal["rolling", "fixed"] = "rolling"
        self.limit_status = 429  # or 200, with the code in the body
        self.headers = True
        self.others = 0
        self.ill: dict[str, str] = {}
        self.data: dict[str, Any] = {}
        self.raw: dict[str, bytes] = {}
        self.retry_after: str | None = None
        self.release = asyncio.Event()
        self.coins_grow = 1.0  # open interest in coins, against the fixture's
        self.calls: list[Call] = []
        self.keys: set[str] = set()
        self.url = ""

    def asked(self, path: str) -> list[Call]:
        return [call for call in self.calls if call.path == path]

    # --- answers ------------------------------------------------------------------------------------------------------

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.keys.add(request.headers.get("CG-API-KEY", ""))
        used = self._used() + 1
        granted = self.granted or _GRANTED[self.level]
        self.calls.append(Call(self.now_ns(), request.path, dict(request.query)))
        response = await self._response(request, used > granted)
        if self.headers and not response.prepared:
            response.headers["API-KEY-MAX-LIMIT"] = str(granted) if self.granted_text is None else self.granted_text
            response.headers["API-KEY-USE-LIMIT"] = str(min(used, granted))
        return response

    def _used(self) -> int:
        minute = 60 * 10**9
        now_ns = self.now_ns()
        since = now_ns - minute + 1 if self.window == "rolling" else now_ns // minute * minute
        return self.others + sum(call.at_ns >= since for call in self.calls)

    async def _response(self, request: web.Request, over: bool) -> web.StreamResponse:
        path = request.path
        if request.headers.get("CG-API-KEY") != self.key:
            return _json(401, fixture("error-401-invalid-key"))
        if over:
            response = _json(self.limit_status, fixture("error-429-rate-limit"))
            if self.retry_after is not None:
                response.headers["Retry-After"] = self.retry_after
            return response
        ill = self.ill.get(path) or self.ill.get("*")
        if ill == "held":
            await self.release.wait()
        elif ill:
            return await self._fall_ill(request, ill)
        if path in self.raw:
            return web.Response(body=self.raw[path], content_type="application/json")
        refusal = self._refusal(path, dict(request.query))
        if refusal:
            return _json(404 if "404" in refusal else 200, fixture(f"error-{refusal}"))
        return _json(200, {"code": "0", "msg": "success", "data": self._data(path, dict(request.query))})

    def _refusal(self, path: str, query: dict[str, str]) -> str:
        if path not in _NEEDS or (path == SUBSCRIPTION and not self.known_level):
            return "404-endpoint-not-found"
        if any(name not in query for name in _NEEDS[path]):
            return "400-missing-exchange"
        if self.expired or not self._includes(_LEAST.get(path, "HOBBYIST")):
            return "" if path == SUBSCRIPTION else "401-upgrade-plan"
        shortest = _INTERVALS.index(_SHORTEST.get(self.level, "1m"))
        if "interval" in query and _INTERVALS.index(query["interval"]) < shortest:
            return "403-interval-not-in-plan"
        if path in (ORDERS, CROWD) and not self._listed(query["exchange"], query["symbol"]):
            return "400-unknown-pair"
        return ""

    def _includes(self, level: str) -> bool:
        return _LEVELS.index(self.level) >= _LEVELS.index(level)

    def _listed(self, exchange: str, symbol: str) -> bool:
        pairs = self._data(PAIRS, {})
        return any(row["instrument_id"] == symbol for row in pairs.get(exchange, []))

    def _data(self, path: str, query: dict[str, str]) -> Any:
        if path in self.data:
            return copy.deepcopy(self.data[path])
        data = fixture(_BODY[path])["data"]
        now_s = self.now_ns() // 10**9
        match path:
            case _ if path == TAKER:
                data["symbol"] = query["symbol"]
            case _ if path == PAIN:
                return data if query["symbol"] in ("BTC", "ETH") else []
            case _ if path == SUBSCRIPTION:
                return data | {"level": self.level, "expired": self.expired}
            case _ if path == INTEREST:
                for row in data:
                    row["symbol"] = query["symbol"]
                    row["open_interest_quantity"] *= self.coins_grow
            case _ if path == ORDERS:
                for row in data:
                    row |= {"exchange_name": query["exchange"], "symbol": query["symbol"]}
                    row |= {"start_time": (now_s - 300) * 1000, "current_time": (now_s - 1) * 1000}
            case _ if path == HEATMAP:
                for index, candle in enumerate(data["price_candlesticks"]):
                    candle[0] = now_s // 300 * 300 + 300 * (index - 2)
            case _ if path == CROWD:
                for index, row in enumerate(data):
                    row["time"] = (now_s // 300 * 300 + 300 * (index - 2)) * 1000
        return data

    async def _fall_ill(self, request: web.Request, ill: str) -> web.StreamResponse:
        match ill:
            case "html" | "html503":
                status = 503 if ill == "html503" else 200
                return web.Response(status=status, text="<html>maintenance</html>", content_type="text/html")
            case "slow":
                await asyncio.Event().wait()
            case "redirect":
                return web.Response(status=302, headers={"Location": f"{self.url}{SUBSCRIPTION}"})
            case "reset":
                assert request.transport is not None
                request.transport.close()
                return web.Response()
            case "cut" | "big":
                return await self._cut(request, ill)
        status = int(ill[:3]) if ill[:3] in ("404", "429") else 200
        return _json(status, fixture(f"error-{ill}"))

    async def _cut(self, request: web.Request, ill: str) -> web.StreamResponse:
        body = b'{"code":"0","data":"' + b"x" * (_BIG if ill == "big" else 100)
        headers = {"Content-Type": "application/json"}
        if ill == "cut":
            headers["Content-Length"] = str(2 * len(body))
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        try:
            await response.write(body)
        except ConnectionError:
            return response  # the client has had enough
        if ill == "cut":
            assert request.transport is not None
            request.transport.close()
        return response


def _json(status: int, body: Any) -> web.Response:
    return web.json_response(body, status=status)


@asynccontextmanager
async def coinglass_server(now_ns: Callable[[], int]) -> AsyncIterator[CoinGlassServer]:
    server = CoinGlassServer(now_ns)
    app = web.Application()
    app.router.add_get("/{path:.*}", server.answer)
    async with listening(app) as server.url:
        yield server
