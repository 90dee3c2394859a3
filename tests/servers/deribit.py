"""Deribit's option summary on a loopback port, well and ill: `behaviour` says how the next answers go wrong."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from tests.servers.listening import listening

PATH = "/api/v2/public/get_book_summary_by_currency"


class DeribitServer:
    """`behaviour`: ok, slow (never answers), cut, html, type (text/plain), error (HTTP 500), redirect."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self.rows = rows
        self.behaviour = "ok"
        self.queries: list[dict[str, str]] = []
        self.url = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.queries.append(dict(request.query))
        body = json.dumps({"jsonrpc": "2.0", "result": self.rows, "usIn": 1, "usOut": 2, "usDiff": 1, "testnet": False})
        match self.behaviour:
            case "slow":
                await asyncio.Event().wait()
            case "cut":
                return await self._cut(request, body)
            case "html":
                return web.Response(text="<html>maintenance</html>", content_type="text/html")
            case "type":
                return web.Response(text=body)
            case "error":
                return web.Response(status=500, text="{}", content_type="application/json")
            case "redirect":
                return web.Response(status=302, headers={"Location": PATH})
        return web.Response(text=body, content_type="application/json")

    async def _cut(self, request: web.Request, body: str) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(len(body)), "Content-Type": "application/json"})
        await response.prepare(request)
        await response.write(body[: len(body) // 2].encode())
        assert request.transport is not None
        request.transport.close()
        return response


@asynccontextmanager
async def deribit_server(rows: list[dict[str, Any]]) -> AsyncIterator[DeribitServer]:
    server = DeribitServer(rows)
    app = web.Application()
    app.router.add_get(PATH, server.answer)
    async with listening(app) as server.url:
        yield server
