"""Bybit's and OKX's public data on loopback, in their own words: REST and one websocket, playing the bundled capture's book.

Every symbol shows the same book and trades. Whoever subscribes to a book gets it whole as it stands then, and each change after
that with the venue's own sequence. A server can cut its sockets, fall silent while it still answers pings, hold back the depth of
one symbol or know it no more, lose a change, lie in a checksum, or refuse everything. `wall_base` is an order that rests where the 300th ask was. What it says is made here from the venues' documents, without
the program's own code.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from decimal import Decimal
from itertools import chain, islice, zip_longest
from types import TracebackType
from typing import Any, ClassVar, TypeVar
from zlib import crc32

from aiohttp import WSMsgType, web

from bot.demo import BUNDLED_TAPE
from bot.runtime.tape import Tape

V = TypeVar("V", bound="PublicVenue")
Rows = list[list[str]]
COINS = ("BTC", "ETH")
BARS = 250


class PublicVenue:
    """Use it in a `with`; it runs in a thread of its own. `sockets` counts those that subscribed to a book."""

    name: ClassVar[str]
    ws_path: ClassVar[str]
    books: ClassVar[str]  # channel
    depth: ClassVar[int]  # levels a side that are shown, and kept up to date

    def __init__(self, *, refusing: bool = False, wall_base: float = 0) -> None:
        self.port = 0
        self._wall_base, self._wall_price = wall_base, ""
        self.refusing, self.silent = refusing, False
        self.stalled: set[str] = set()
        self.gone: set[str] = set()  # symbols that are not listed any more
        self.again = Counter[str]()  # how often a book was asked for, by symbol
        self.asked: list[str] = []
        self.pings = 0
        self._lose: Counter[str] = Counter()
        self._levels: dict[str, dict[str, str]] = {"b": {}, "a": {}}
        self._shown: dict[str, dict[str, str]] = {"b": {}, "a": {}}  # the best of them, best first
        self._ids = Counter[str]()
        self._subscribed: dict[web.WebSocketResponse, set[tuple[str, str]]] = {}
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self: V) -> V:
        self._thread.start()
        assert self._ready.wait(30)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def settings(self, section: str) -> dict[str, str]:
        """Of `BOT_SECTION__...`: `venue` where it is traded on, its own name where it only shows walls."""
        address = f"127.0.0.1:{self.port}"
        prefix = f"BOT_{section.upper()}__"
        return {f"{prefix}REST_URL": f"http://{address}", f"{prefix}WS_URL": f"ws://{address}"}

    # --- faults ---

    def cut(self) -> None:
        asyncio.run_coroutine_threadsafe(self._cut(), self._loop).result(10)

    def lose_a_change(self, symbol: str) -> None:
        """Of its book."""
        self._lose[symbol] += 1

    # --- what the venues say in words of their own ---

    def symbol(self, coin: str) -> str:
        raise NotImplementedError

    def routes(self) -> list[web.RouteDef]:
        raise NotImplementedError

    def heard(self, text: str) -> tuple[str, list[tuple[str, str]], list[str]]:
        """What is asked (subscribe, unsubscribe, ping), for which channels and symbols; and the answers."""
        raise NotImplementedError

    def book(self, symbol: str, kind: str, bids: Rows, asks: Rows, before: int, now: int) -> str:
        raise NotImplementedError

    def trade(self, symbol: str, trade: dict[str, Any]) -> tuple[str, str]:
        """Channel and message."""
        raise NotImplementedError

    def marks(self, symbol: str, mark: str, number: int) -> list[tuple[str, str]]:
        raise NotImplementedError

    # --- the machinery ---

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._start())
        self._loop.run_forever()

    async def _start(self) -> None:
        app = web.Application(middlewares=[self._gate])
        app.add_routes([*self.routes(), web.get(self.ws_path, self._socket)])
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = self._runner.addresses[0][1]
        self._player = asyncio.ensure_future(self._play())
        self._ready.set()

    async def _close(self) -> None:
        self._player.cancel()
        await asyncio.gather(self._player, return_exceptions=True)
        await self._cut()
        await self._runner.cleanup()

    async def _cut(self) -> None:
        for socket in list(self._subscribed):
            if socket._req is not None and socket._req.transport is not None:
                socket._req.transport.abort()

    @web.middleware
    async def _gate(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.asked.append(request.path)
        if self.refusing:
            return web.json_response({"retMsg": "busy"}, status=503)
        answer: web.StreamResponse = await handler(request)
        return answer

    async def _socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        wanted = self._subscribed[socket] = set()
        async for message in socket:
            if message.type is not WSMsgType.TEXT:
                continue
            asked, channels, answers = self.heard(message.data)
            for answer in answers:
                await socket.send_str(answer)
            if asked == "ping":
                self.pings += 1
            elif asked == "unsubscribe":
                wanted.difference_update(channels)
            else:
                wanted.update(channels)
                for channel, symbol in channels:
                    if channel == self.books:
                        self.again[symbol] += 1
                        await self._begin(socket, symbol)
        self._subscribed.pop(socket, None)
        return socket

    async def _begin(self, socket: web.WebSocketResponse, symbol: str) -> None:
        """The book as it stands; not of a symbol whose depth is held back."""
        if symbol not in self.stalled and self._shown["b"]:
            bids, asks = (_rows(self._shown[side].items()) for side in ("b", "a"))
            now = self._ids[symbol]
            await socket.send_str(self.book(symbol, "snapshot", bids, asks, -1, now))

    async def _play(self) -> None:
        while True:
            self._levels, self._shown = {"b": {}, "a": {}}, {"b": {}, "a": {}}
            started, first_ns, next_mark, number = self._loop.time(), 0, 0.0, 0
            for frame in Tape.open(BUNDLED_TAPE).frames():
                first_ns = first_ns or frame.recv_ns
                now_s = self._loop.time() - started
                if (wait_s := (frame.recv_ns - first_ns) / 1e9 - now_s) > 0.002:
                    await asyncio.sleep(wait_s)
                data = json.loads(frame.raw)
                data = data.get("data", data)
                if "lastUpdateId" in data:
                    self._take(data["bids"], data["asks"])
                    if self._wall_base:
                        self._wall_price = sorted(self._levels["a"], key=float)[299]
                    self._changed()
                    for socket, wanted in list(self._subscribed.items()):
                        for symbol in [symbol for channel, symbol in wanted if channel == self.books]:
                            await self._begin(socket, symbol)
                elif data["e"] == "depthUpdate":
                    self._take(data["b"], data["a"])
                    await self._tell_books(*self._changed())
                elif data["e"] == "trade" and data["X"] == "MARKET":
                    for symbol in map(self.symbol, COINS):
                        channel, text = self.trade(symbol, data)
                        await self._send(channel, symbol, text)
                if now_s > next_mark and self._levels["b"]:
                    next_mark, number = now_s + 0.5, number + 1
                    await self._tell_marks(number)

    def _take(self, bids: Rows, asks: Rows) -> None:
        for side, levels in (("b", bids), ("a", asks)):
            for price, quantity in levels:
                if float(quantity):
                    self._levels[side][price] = quantity
                else:
                    self._levels[side].pop(price, None)

    def _changed(self) -> tuple[Rows, Rows]:
        """What is shown from now on, as changes: also what comes into sight because something before it went, or goes out of it."""
        if self._wall_price:
            self._levels["a"][self._wall_price] = str(self._wall_base)
        changes: list[Rows] = []
        for side, sign in (("b", -1.0), ("a", 1.0)):
            before = self._shown[side]
            ranked = sorted(self._levels[side].items(), key=lambda level: sign * float(level[0]))
            now = self._shown[side] = dict(ranked[: self.depth])
            gone = [[price, "0"] for price in before if price not in now]
            changes.append(gone + [[price, size] for price, size in now.items() if before.get(price) != size])
        return changes[0], changes[1]

    async def _tell_books(self, bids: Rows, asks: Rows) -> None:
        for symbol in map(self.symbol, COINS):
            before = self._ids[symbol]
            self._ids[symbol] += 1
            if not self._shown["b"] or symbol in self.stalled:
                continue
            if self._lose[symbol]:
                self._lose[symbol] -= 1
                continue
            await self._send(self.books, symbol, self.book(symbol, "change", bids, asks, before, before + 1))

    async def _tell_marks(self, number: int) -> None:
        mark = max(self._levels["b"], key=float)
        for symbol in map(self.symbol, COINS):
            for channel, text in self.marks(symbol, mark, number):
                await self._send(channel, symbol, text)

    async def _send(self, channel: str, symbol: str, text: str) -> None:
        if self.silent:
            return
        for socket, wanted in list(self._subscribed.items()):
            if (channel, symbol) in wanted and not socket.closed:
                try:
                    await socket.send_str(text)
                except (ConnectionError, RuntimeError):
                    self._subscribed.pop(socket, None)


class Bybit(PublicVenue):
    name, ws_path, books = "bybit", "/v5/public/linear", "orderbook.1000"
    depth = 1000

    def symbol(self, coin: str) -> str:
        return f"{coin}USDT"

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/v5/market/instruments-info", self._instruments),
            web.get("/v5/market/kline", self._klines),
        ]

    async def _instruments(self, request: web.Request) -> web.Response:
        assert request.query["category"] == "linear"
        return web.json_response(_bybit({"category": "linear", "list": list(map(_bybit_listing, COINS))}))

    async def _klines(self, request: web.Request) -> web.Response:
        width_s = 86_400 if request.query["interval"] == "D" else int(request.query["interval"]) * 60
        rows = [[*row[:6], row[7]] for row in _bars(width_s, int(request.query["limit"]), "60000")]
        return web.json_response(_bybit({"symbol": request.query["symbol"], "category": "linear", "list": rows}))

    def heard(self, text: str) -> tuple[str, list[tuple[str, str]], list[str]]:
        asked = json.loads(text)
        ack = {"success": True, "ret_msg": "", "conn_id": "c", "req_id": asked.get("req_id", ""), "op": asked["op"]}
        if asked["op"] == "ping":
            return "ping", [], [json.dumps(ack | {"ret_msg": "pong"})]
        channels = [tuple(arg.rsplit(".", 1)) for arg in asked["args"]]
        wrong = next((arg for arg in asked["args"] if arg.rpartition(".")[2] in self.gone), None)
        if wrong is not None:  # and nothing of the message is heeded
            refusal = {"success": False, "ret_msg": f"error:handler not found,topic:{wrong}"}
            return asked["op"], [], [json.dumps(ack | refusal)]
        return asked["op"], [(channel, symbol) for channel, symbol in channels], [json.dumps(ack)]

    def book(self, symbol: str, kind: str, bids: Rows, asks: Rows, before: int, now: int) -> str:
        data = {"s": symbol, "b": bids, "a": asks, "u": now + 2, "seq": now * 7}
        topic = f"{self.books}.{symbol}"
        of = "snapshot" if kind == "snapshot" else "delta"
        return json.dumps({"topic": topic, "type": of, "ts": _ms(), "data": data, "cts": _ms()})

    def trade(self, symbol: str, trade: dict[str, Any]) -> tuple[str, str]:
        number = f"{trade['t']:032x}"
        uuid = "-".join((number[:8], number[8:12], number[12:16], number[16:20], number[20:]))
        side = "Sell" if trade["m"] else "Buy"
        row = {"T": _ms(), "s": symbol, "S": side, "v": trade["q"], "p": trade["p"], "L": "PlusTick", "i": uuid}
        message = {"topic": f"publicTrade.{symbol}", "type": "snapshot", "ts": _ms(), "data": [row | {"BT": False}]}
        return "publicTrade", json.dumps(message)

    def marks(self, symbol: str, mark: str, number: int) -> list[tuple[str, str]]:
        """Whole at first, later only the mark price."""
        whole = {"indexPrice": mark, "fundingRate": "0.0001", "nextFundingTime": str(_ms() + 3_600_000)}
        kind, more = ("delta", {}) if number % 8 > 1 else ("snapshot", whole)
        data = {"symbol": symbol, "markPrice": mark, **more}
        message = {"topic": f"tickers.{symbol}", "type": kind, "cs": number, "ts": _ms(), "data": data}
        return [("tickers", json.dumps(message))]


class Okx(PublicVenue):
    """Sizes are in contracts of a hundredth of a coin. `checksums` off sends 0, as the venue does since 2026."""

    name, ws_path, books = "okx", "/ws/v5/public", "books"
    depth = 400

    def __init__(self, *, refusing: bool = False, wall_base: float = 0, checksums: bool = True) -> None:
        super().__init__(refusing=refusing, wall_base=wall_base)
        self.checksums = checksums
        self.lies: Counter[str] = Counter()  # wrong checksums to come, by symbol

    def symbol(self, coin: str) -> str:
        return f"{coin}-USDT-SWAP"

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/api/v5/public/instruments", self._instruments),
            web.get("/api/v5/market/candles", self._klines),
        ]

    async def _instruments(self, request: web.Request) -> web.Response:
        assert request.query["instType"] == "SWAP"
        return web.json_response({"code": "0", "msg": "", "data": list(map(_okx_listing, COINS))})

    async def _klines(self, request: web.Request) -> web.Response:
        assert int(request.query["limit"]) <= 300
        widths = {"1m": 60, "3m": 180, "5m": 300, "15m": 900, "1Dutc": 86_400}
        rows = _bars(widths[request.query["bar"]], int(request.query["limit"]), "60000")
        return web.json_response({"code": "0", "msg": "", "data": rows})

    def heard(self, text: str) -> tuple[str, list[tuple[str, str]], list[str]]:
        if text == "ping":
            return "ping", [], ["pong"]
        asked = json.loads(text)
        answers = [json.dumps(self._answer(asked["op"], arg) | {"connId": "a4d3ae55"}) for arg in asked["args"]]
        listed = [arg for arg in asked["args"] if arg["instId"] not in self.gone]
        return asked["op"], [(arg["channel"], arg["instId"]) for arg in listed], answers

    def _answer(self, op: str, arg: dict[str, str]) -> dict[str, Any]:
        if arg["instId"] not in self.gone:
            return {"event": op, "arg": arg}
        wrong = f"channel:{arg['channel']},instId:{arg['instId']}"
        return {"event": "error", "code": "60018", "msg": f"Wrong URL or {wrong} doesn't exist."}

    def book(self, symbol: str, kind: str, bids: Rows, asks: Rows, before: int, now: int) -> str:
        checksum = self._checksum() if self.checksums else 0
        if kind == "change" and self.lies[symbol]:
            self.lies[symbol] -= 1
            checksum += 1
        rows = {
            side: [[price, _contracts(size), "0", "1"] for price, size in levels]
            for side, levels in (("asks", asks), ("bids", bids))
        }
        data = {**rows, "ts": str(_ms()), "checksum": checksum, "seqId": now * 3, "prevSeqId": max(before * 3, -1)}
        action = "snapshot" if kind == "snapshot" else "update"
        return json.dumps({"arg": {"channel": "books", "instId": symbol}, "action": action, "data": [data]})

    def _checksum(self) -> int:
        bids, asks = (islice(self._shown[side].items(), 25) for side in ("b", "a"))
        levels = [level for pair in zip_longest(bids, asks) for level in pair if level is not None]
        number = crc32(":".join(chain.from_iterable((price, _contracts(size)) for price, size in levels)).encode())
        return number - 2**32 if number >= 2**31 else number

    def trade(self, symbol: str, trade: dict[str, Any]) -> tuple[str, str]:
        side = "sell" if trade["m"] else "buy"
        row = {"instId": symbol, "tradeId": str(trade["t"]), "px": trade["p"], "sz": _contracts(trade["q"])}
        data = [row | {"side": side, "ts": str(_ms()), "count": "1"}]
        return "trades", json.dumps({"arg": {"channel": "trades", "instId": symbol}, "data": data})

    def marks(self, symbol: str, mark: str, number: int) -> list[tuple[str, str]]:
        funding = {"fundingRate": "0.0001", "fundingTime": str(_ms() + 3_600_000), "ts": str(_ms())}
        said = {"mark-price": {"markPx": mark, "ts": str(_ms())}} | (
            {} if number % 8 > 1 else {"funding-rate": funding}
        )
        return [
            (channel, json.dumps({"arg": {"channel": channel, "instId": symbol}, "data": [row | {"instId": symbol}]}))
            for channel, row in said.items()
        ]


def _rows(levels: Iterable[tuple[str, str]]) -> Rows:
    return [list(level) for level in levels]


def _ms() -> int:
    return int(time.time() * 1000)


def _contracts(coins: str) -> str:
    return format((Decimal(coins) * 100).normalize(), "f")


def _bars(width_s: int, count: int, price: str) -> list[list[str]]:
    """OKX's rows, newest first, the first one running: each closes a little elsewhere, so that returns are not all the same."""
    start = int(time.time()) // width_s * width_s
    return list(_each_bar(start, width_s, min(count, BARS), Decimal(price)))


def _each_bar(start: int, width_s: int, count: int, price: Decimal) -> Iterator[list[str]]:
    for number in range(count):
        at = start // width_s - number
        opened, close = (price + Decimal(k * 7919 % 101 - 50) for k in (at, at + 1))
        high, low = max(opened, close) + 5, min(opened, close) - 5
        prices = [str(each) for each in (opened, high, low, close)]
        yield [str((start - number * width_s) * 1000), *prices, "1000", "10", "600000", "0" if number == 0 else "1"]


def _bybit(result: dict[str, Any]) -> dict[str, Any]:
    return {"retCode": 0, "retMsg": "OK", "result": result, "retExtInfo": {}, "time": _ms()}


def _bybit_listing(coin: str) -> dict[str, Any]:
    lot = {"maxOrderQty": "1190.000", "minOrderQty": "0.001", "qtyStep": "0.001", "maxMktOrderQty": "119.000"}
    return {
        "symbol": f"{coin}USDT",
        "contractType": "LinearPerpetual",
        "status": "Trading",
        "baseCoin": coin,
        "quoteCoin": "USDT",
        "settleCoin": "USDT",
        "priceFilter": {"minPrice": "0.10", "maxPrice": "1999999.80", "tickSize": "0.10"},
        "lotSizeFilter": lot | {"minNotionalValue": "5"},
    }


def _okx_listing(coin: str) -> dict[str, Any]:
    return {
        "instType": "SWAP",
        "instId": f"{coin}-USDT-SWAP",
        "ctType": "linear",
        "state": "live",
        "ctVal": "0.01",
        "ctMult": "1",
        "ctValCcy": coin,
        "settleCcy": "USDT",
        "tickSz": "0.1",
        "lotSz": "0.1",
        "minSz": "0.1",
        "maxLmtSz": "100000000",
        "maxMktSz": "12000",
    }
