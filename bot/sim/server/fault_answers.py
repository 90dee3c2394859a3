"""Spoiled answers of REST, in the words of whoever is asked: the exchange, CoinGlass or Deribit.

A fault acts before the request is carried out (it never arrived) or `after` (it was, and nobody is told).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import Enum
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import parse_qsl

import orjson
from aiohttp import web

from bot.sim.faults import ANSWERS, Fault, Kind
from bot.sim.server.faults import Active, Faults
from bot.sim.server.form import body_of
from bot.sim.server.limits import answer
from bot.sim.server.sockets import Handler

RETRY_S = 5
_DEPTH = "/fapi/v1/depth"
_PAGE = "<html><head><title>502 Bad Gateway</title></head><body><center><h1>502 Bad Gateway</h1></center></body></html>"


class _Who(Enum):
    VENUE, COINGLASS, DERIBIT = range(3)

    @classmethod
    def of(cls, path: str) -> _Who:
        return (
            cls.DERIBIT if path.startswith("/api/v2/public/") else cls.COINGLASS if path[:5] == "/api/" else cls.VENUE
        )


def spoiling(faults: Faults) -> Any:
    """The middleware. It stands between all others and the handlers."""

    @web.middleware
    async def spoiled(request: web.Request, handler: Handler) -> web.StreamResponse:
        if faults.of(Kind.REFUSE):
            return _cut(request)
        fault = await _one(faults, request)
        if fault is None:
            return await handler(request)
        return await _Spoiler(faults, fault, request, handler).answer()

    return spoiled


async def _one(faults: Faults, request: web.Request) -> Active | None:
    """The first that this request meets."""
    for each in [each for each in faults.active if each.kind in ANSWERS]:
        if await _meets(each.fault, request) and each.hit():
            return each
    return None


async def _meets(fault: Fault, request: web.Request) -> bool:
    if fault.kind in (Kind.CODE, Kind.PLAN) and _Who.of(request.path) is not _Who.COINGLASS:
        return False
    if "Sec-WebSocket-Key" in request.headers and (fault.route == "*" or fault.after):
        return False  # a socket is not asked and answered
    if not (fnmatchcase(request.path, fault.route) and fnmatchcase(request.method, fault.method)):
        return False
    return fault.symbol == "*" or fnmatchcase(await _symbol(request), fault.symbol)


async def _symbol(request: web.Request) -> str:
    body = (await body_of(request)).decode(errors="replace")
    return request.query.get("symbol") or dict(parse_qsl(body)).get("symbol", "")


class _Spoiler:
    def __init__(self, faults: Faults, active: Active, request: web.Request, handler: Handler) -> None:
        self._faults, self._active, self._fault = faults, active, active.fault
        self._request, self._handler = request, handler
        self._who = _Who.of(request.path)

    async def answer(self) -> web.StreamResponse:
        kind = self._fault.kind
        if kind is Kind.SLOW:
            return await self._slow()
        if kind in (Kind.TRUNCATED, Kind.EMPTY, Kind.STALE):
            return await self._changed(await self._handler(self._request))
        if self._fault.after:
            await self._handler(self._request)
        return _cut(self._request) if kind is Kind.CUT else _SAID[kind](self._who)

    async def _slow(self) -> web.StreamResponse:
        if not self._fault.after:
            await self._wait()
        response = await self._handler(self._request)
        if self._fault.after:
            await self._wait()
        return response

    async def _wait(self) -> None:
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._faults.later(self._fault.ms, lambda: None if waiting.done() else waiting.set_result(None))
        await waiting

    async def _changed(self, response: web.StreamResponse) -> web.StreamResponse:
        if not isinstance(response, web.Response) or not isinstance(response.body, bytes) or response.status != 200:
            return response
        if self._fault.kind is Kind.TRUNCATED:
            return await self._half(response, response.body)
        made = _without_data(response.body) if self._fault.kind is Kind.EMPTY else self._stale(response.body)
        kept = {name: value for name, value in response.headers.items() if name.startswith(("X-", "API-"))}
        return web.Response(body=made, headers=kept, content_type="application/json")

    async def _half(self, whole: web.Response, body: bytes) -> web.StreamResponse:
        """As long as the whole one, it says, and then the connection ends."""
        half = web.StreamResponse(headers={"Content-Length": str(len(body)), "Content-Type": "application/json"})
        await half.prepare(self._request)
        await half.write(body[: len(body) // 2])
        if self._request.transport is not None:
            self._request.transport.close()
        return half

    def _stale(self, body: bytes) -> bytes:
        symbol = self._request.query.get("symbol", "")
        if self._request.path == _DEPTH and symbol in self._active.books:
            limit, book = int(self._request.query.get("limit") or 500), self._active.books[symbol]
            return orjson.dumps({name: v[:limit] if isinstance(v, list) else v for name, v in book.items()})
        return self._active.answers.setdefault(self._request.path_qs, body)


def _cut(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)


def _without_data(body: bytes) -> bytes:
    said = orjson.loads(body)
    if isinstance(said, list):
        return b"[]"
    name = next((name for name in ("data", "result") if name in said), None)
    return orjson.dumps({} if name is None else said | {name: []})


# --- in whose words ---


def _venue(code: int, msg: str, status: int, **headers: str) -> web.Response:
    return answer({"code": code, "msg": msg}, status, headers)


def _coinglass(code: str, msg: str, status: int = 200) -> web.Response:
    return answer({"code": code, "msg": msg}, status)


def _too_many(who: _Who) -> web.Response:
    if who is _Who.COINGLASS:
        return _coinglass("429", "Too Many Requests", 429)
    if who is _Who.DERIBIT:
        error = {"code": 10028, "message": "too_many_requests"}
        return answer({"jsonrpc": "2.0", "error": error, "testnet": False}, 429)
    return answer({"code": -1003, "msg": "Too many requests."}, 429, {"Retry-After": str(RETRY_S)})


def _banned(who: _Who) -> web.Response:
    if who is not _Who.VENUE:
        return _too_many(who)
    msg = "Way too many requests; IP banned. Please use the websocket for live updates to avoid bans."
    return answer({"code": -1003, "msg": msg}, 418, {"Retry-After": str(RETRY_S)})


def _broken(code: int, msg: str, status: int) -> Callable[[_Who], web.Response]:
    """The others only have a server error."""

    def said(who: _Who) -> web.Response:
        if who is _Who.COINGLASS:
            return _coinglass("500", "Server Error", status)
        if who is _Who.DERIBIT:
            return answer({"jsonrpc": "2.0", "error": {"code": 11094, "message": "internal_server_error"}}, status)
        return _venue(code, msg, status)

    return said


_SAID: dict[Kind, Callable[[_Who], web.Response]] = {
    Kind.TOO_MANY: _too_many,
    Kind.BANNED: _banned,
    Kind.UNKNOWN: _broken(-1000, "Unknown error, please check your request or try again later.", 503),
    Kind.UNAVAILABLE: _broken(-1000, "Service Unavailable.", 503),
    Kind.DISCONNECTED: _broken(-1001, "Internal error; unable to process your request. Please try again.", 500),
    Kind.TIMEOUT: _broken(
        -1007,
        "Timeout waiting for response from backend server. Send status unknown; execution status unknown.",
        408,
    ),
    Kind.OVERLOADED: _broken(
        -1008, "Server is currently overloaded with other requests. Please try again in a few minutes.", 503
    ),
    Kind.HTML: lambda who: web.Response(text=_PAGE, status=502, content_type="text/html"),
    Kind.CODE: lambda who: _coinglass("500", "Server Error"),
    Kind.PLAN: lambda who: _coinglass("401", "Upgrade plan"),
}
