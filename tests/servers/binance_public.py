"""Binance USD-M's public data on loopback, from the bundled capture: REST and both websocket paths, in real time.

It is the venue's side of the tests: whoever connects gets what the capture holds from the present moment on, a depth snapshot is the
book as it stands then, and a mark price comes every second. It can cut its sockets, fall silent while it still answers pings, lose a
depth message, answer with snapshots that are too old, have a clock that is wrong, or refuse everything.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from decimal import Decimal
from types import TracebackType
from typing import Any

from aiohttp import WSMsgType, web

from bot.demo import BUNDLED_TAPE
from bot.domain.values import MS, NS
from bot.runtime.clock import RealClock
from bot.runtime.tape import Tape
from tests.servers.venue_statistics import VenueStatisticsServer, World

FILTERS = [
    {"filterType": "PRICE_FILTER", "tickSize": "0.10"},
    {"filterType": "LOT_SIZE", "stepSize": "0.001", "minQty": "0.001", "maxQty": "1000"},
    {"filterType": "MARKET_LOT_SIZE", "stepSize": "0.001", "minQty": "0.001", "maxQty": "120"},
    {"filterType": "MIN_NOTIONAL", "notional": "100"},
]
LISTING = {
    "symbol": "BTCUSDT",
    "pair": "BTCUSDT",
    "contractType": "PERPETUAL",
    "status": "TRADING",
    "baseAsset": "BTC",
    "quoteAsset": "USDT",
    "marginAsset": "USDT",
    "filters": FILTERS,
}


class BinancePublic:
    """Use it in a `with`; it runs in a thread of its own."""

    def __init__(self, *, aggregated: bool = False) -> None:
        """`aggregated`: its trades are told as the stream aggTrade does, and those since an hour before the start can be looked up."""
        self.port = 0
        self.trades: list[dict[str, Any]] = []  # as REST tells them
        self.lookups = 0
        self._aggregated = aggregated
        self.snapshots = self.connections = 0
        self.stale_snapshots = 0  # so many to come are of the book as it was at the beginning
        self.silent = self.refusing = False
        self._lose = 0
        self.clock_ahead_s = 0
        self._clock = RealClock()
        self.statistics = VenueStatisticsServer(World(price=_past_price), self._now_ns)
        self._levels: dict[str, dict[str, str]] = {"b": {}, "a": {}}
        self._last_id = 0
        self._sockets: dict[web.WebSocketResponse, str] = {}
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> BinancePublic:
        self._thread.start()
        assert self._ready.wait(30)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    @property
    def settings(self) -> dict[str, str]:
        address = f"127.0.0.1:{self.port}"
        return {"BOT_VENUE__REST_URL": f"http://{address}", "BOT_VENUE__WS_URL": f"ws://{address}"}

    def _now_ns(self) -> int:
        return self._clock.now_ns() + self.clock_ahead_s * NS

    # --- faults ---

    def cut(self) -> None:
        """All sockets end, in the middle of everything."""
        asyncio.run_coroutine_threadsafe(self._cut(), self._loop).result(10)

    def lose_a_depth_message(self) -> None:
        self._lose += 1

    async def _close(self) -> None:
        self._player.cancel()
        await asyncio.gather(self._player, return_exceptions=True)
        await self._cut()
        await self._runner.cleanup()

    async def _cut(self) -> None:
        for socket in list(self._sockets):
            if socket._req is not None and socket._req.transport is not None:
                socket._req.transport.abort()

    # --- the venue ---

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._start())
        self._loop.run_forever()

    async def _start(self) -> None:
        app = web.Application()
        app.add_routes(
            [
                web.get("/fapi/v1/exchangeInfo", self._exchange_info),
                web.get("/fapi/v1/depth", self._depth),
                web.get("/fapi/v1/aggTrades", self._past_trades),
                *(each for each in self.statistics.routes() if "/fapi/" in each.path or "/futures/" in each.path),
                web.get("/{path:public|market}/ws", self._socket),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]
        self._player = asyncio.ensure_future(self._play())
        self._ready.set()

    async def _exchange_info(self, request: web.Request) -> web.Response:
        return web.json_response({"symbols": [LISTING]}, status=503 if self.refusing else 200)

    async def _depth(self, request: web.Request) -> web.Response:
        if self.refusing:
            return web.json_response({"code": -1003, "msg": "Too many requests"}, status=429)
        self.snapshots += 1
        if self.stale_snapshots:
            self.stale_snapshots -= 1
            return web.json_response(self._first)
        book = {side: sorted(self._levels[side].items(), key=lambda level: float(level[0])) for side in ("b", "a")}
        return web.json_response(
            {"lastUpdateId": self._last_id, "E": 1, "T": 1, "bids": book["b"][::-1][:1000], "asks": book["a"][:1000]}
        )

    async def _past_trades(self, request: web.Request) -> web.Response:
        if self.refusing or not self._aggregated:
            return web.json_response({"code": -1003, "msg": "Too many requests"}, status=503)
        self.lookups += 1
        limit = int(request.query["limit"])
        if "fromId" not in request.query:
            return web.json_response(self.trades[-limit:])
        start = max(0, int(request.query["fromId"]) - self.trades[0]["a"])
        return web.json_response(self.trades[start : start + limit])

    def _trade_hour(self) -> None:
        """One each second, every tenth of them a whale's that sells."""
        now_ms = self._now_ns() // MS
        for number in range(3700):
            quantity = "10" if number % 10 == 0 else "0.001"
            row = {"a": 5000 + number, "p": "61700.0", "q": quantity, "T": now_ms - (3700 - number) * 1000, "m": True}
            self.trades.append(row)

    def _aggregate(self, trade: dict[str, Any]) -> None:
        """Makes this message of a trade one of an aggregated trade."""
        number = self.trades[-1]["a"] + 1
        trade |= {"e": "aggTrade", "a": number, "f": number, "l": number}
        del trade["t"]
        self.trades.append({key: trade[key] for key in ("a", "p", "q", "T", "m")})

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        if self.refusing:
            return web.Response(status=503)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            if message.type is WSMsgType.TEXT and json.loads(message.data)["method"] == "SUBSCRIBE":
                await socket.send_str(json.dumps({"result": None, "id": json.loads(message.data)["id"]}))
                self.connections += 1
                self._sockets[socket] = request.match_info["path"]
        self._sockets.pop(socket, None)
        return socket

    async def _play(self) -> None:
        if self._aggregated:
            self._trade_hour()
        started = self._loop.time()
        first_ns = 0
        next_mark = 1.0
        for recv_ns, raw in _messages():
            first_ns = first_ns or recv_ns
            wait_s = started + (recv_ns - first_ns) / NS - self._loop.time()
            if wait_s > 0.002:
                await asyncio.sleep(wait_s)
            message = json.loads(raw)
            data = message.get("data", message)
            if "lastUpdateId" in data:
                self._take(data["bids"], data["asks"], data["lastUpdateId"])
                self._first = data
                continue
            if data["e"] == "depthUpdate":
                self._take(data["b"], data["a"], data["u"])
                if self._lose:
                    self._lose -= 1
                    continue
            data["E"] = data["T"] = self._now_ns() // MS  # it happens now
            if self._aggregated and data["e"] == "trade":
                self._aggregate(data)
            await self._send("market" if data["e"] in ("trade", "aggTrade") else "public", json.dumps(message).encode())
            if self._loop.time() - started > next_mark:
                next_mark += 1
                await self._send("market", self._mark())

    def _take(self, bids: Any, asks: Any, last_id: int) -> None:
        for side, levels in (("b", bids), ("a", asks)):
            for price, quantity in levels:
                if float(quantity):
                    self._levels[side][price] = quantity
                else:
                    self._levels[side].pop(price, None)
        self._last_id = last_id

    def _mark(self) -> bytes:
        mark = str(max(map(float, self._levels["b"])))
        wire = {"e": "markPriceUpdate", "E": self._now_ns() // MS, "s": "BTCUSDT", "p": mark, "i": mark, "P": mark}
        return json.dumps(wire | {"r": "0.0001", "T": 0}).encode()

    async def _send(self, path: str, raw: bytes) -> None:
        if self.silent:
            return
        for socket, of in list(self._sockets.items()):
            if of == path and not socket.closed:
                try:
                    await socket.send_str(raw.decode())
                except (ConnectionError, RuntimeError):
                    self._sockets.pop(socket, None)


def _past_price(at_ns: int) -> Decimal:
    """Never the same for five minutes."""
    return Decimal(61_700) + at_ns // (300 * NS) * 7919 % 400


def _messages() -> Iterator[tuple[int, bytes]]:
    for frame in Tape.open(BUNDLED_TAPE).frames():
        yield frame.recv_ns, frame.raw
