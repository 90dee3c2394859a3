"""The cockpit in the engine's own loop: the page's files, and the socket that keeps every open page up to date.

Four times a second the sections are copied between two frames, if anybody watches, and each client is sent what is new to it: a
`snap` first, then `tick`s. A client that is slow gets fewer and larger ticks, never a queue of them; one that takes nothing for
ten seconds is cut off. It holds no reference to anything that trades, and a cockpit that is switched off is not built at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from aiohttp import WSMsgType, web

from bot.api.access import Access, same_origin
from bot.api.sections import Section, encode
from bot.runtime.supervisor import supervise

TICK_S = 0.25
IDLE_S = 1.0
CLIENTS = 20
STUCK_S = 10.0
HEARTBEAT_S = 20.0
CLOSE_S = 1.0
MESSAGE_LIMIT = 16 * 1024
STATIC = Path(__file__).parent / "static"
KEPT_HERE = ("equity", "chart")  # sections that only the cockpit keeps
HEADERS = {
    # The hash is that of the style which the chart library sets for its logo (lightweight-charts 5.2.1).
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "style-src 'self' 'sha256-3pRED1tOXas1FXFoPb9TGCjmYe9XQsmO9OV23khV2nY='; frame-ancestors 'none'; "
    "base-uri 'none'; form-action 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class _Client:
    def __init__(self, socket: web.WebSocketResponse, *, may_act: bool) -> None:
        self.socket, self.may_act = socket, may_act
        self.news = asyncio.Event()
        self.cursors: dict[str, Any] = {}
        self.sent = 0


class Cockpit:
    """`inspect` runs a look between two frames of the engine; `now` answers engine time and the ages of the feeds."""

    def __init__(
        self,
        sections: Mapping[str, Section],
        inspect: Callable[[Callable[[], None]], Awaitable[None]],
        now: Callable[[], tuple[int, dict[str, Any]]],
        idle: Callable[[], None],
        access: Access,
    ) -> None:
        """`idle` is called once a second while nobody watches."""
        self._access = access
        self._sections, self._inspect, self._now, self._idle = dict(sections), inspect, now, idle
        self._clients: set[_Client] = set()
        self._seq = 0
        self._at: tuple[int, dict[str, Any]] = (0, {})

    def routes(self) -> list[web.AbstractRouteDef]:
        return [
            web.get("/", self._index),
            web.get("/ws", self._watch),
            web.static("/static", STATIC),
            *(web.get(f"/api/{name}", self._answer(name)) for name in KEPT_HERE if name in self._sections),
        ]

    @property
    def watching(self) -> int:
        """Open pages."""
        return len(self._clients)

    async def run(self) -> None:
        while True:
            await asyncio.sleep(TICK_S if self._clients else IDLE_S)
            await self._inspect(self._look if self._clients else self._idle)
            for client in self._clients:
                client.news.set()

    def _look(self) -> None:
        self._seq += 1
        self._at = self._now()
        for section in self._sections.values():
            section.look()

    async def _index(self, request: web.Request) -> web.StreamResponse:
        if "login" in request.query:
            return self._access.enter(request.query["login"], request)
        return web.FileResponse(STATIC / "index.html")

    def _answer(self, name: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """The whole of a section."""
        section = self._sections[name]

        async def handler(request: web.Request) -> web.StreamResponse:
            await self._inspect(section.look)
            return web.Response(body=section.news(None)[0], content_type="application/json")

        return handler

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        """Pages of this very address only: any other page in a browser could open a socket to it as well."""
        if not same_origin(request):
            raise web.HTTPForbidden(text="a socket is for the page of this address only: its Origin must be the same")
        if len(self._clients) >= CLIENTS:
            raise web.HTTPServiceUnavailable(text=f"{CLIENTS} pages are open: close one")
        socket = web.WebSocketResponse(
            heartbeat=HEARTBEAT_S, timeout=CLOSE_S, max_msg_size=MESSAGE_LIMIT, compress=False
        )
        client = _Client(socket, may_act=self._access.actions and self._access.session(request) is not None)
        self._clients.add(client)
        try:
            await socket.prepare(request)
            await self._inspect(self._look)
            client.news.set()
            await supervise(_until_closed(socket), {"cockpit page": self._send(client, request)})
        finally:
            self._clients.discard(client)
        return socket

    async def close(self) -> None:
        """Politely, within a second for all of them; whoever takes nothing is cut off when the server ends."""
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                for client in list(self._clients):
                    await client.socket.close()

    async def _send(self, client: _Client, request: web.Request) -> None:
        while True:
            await client.news.wait()
            client.news.clear()
            try:
                async with asyncio.timeout(STUCK_S):
                    await client.socket.send_str(self._frame(client).decode())
            except TimeoutError:
                if request.transport is not None:
                    request.transport.abort()
                return
            except ConnectionError:
                return

    def _frame(self, client: _Client) -> bytes:
        """What is new to this client, put together from what was encoded once for all."""
        sections = [] if client.sent else [b'"actions":' + encode({"allowed": client.may_act})]
        for name, section in self._sections.items():
            news, client.cursors[name] = section.news(client.cursors.get(name))
            if news is not None:
                sections.append(encode(name) + b":" + news)
        engine_ns, ages = self._at
        head = {"type": "tick" if client.sent else "snap", "seq": self._seq, "engine_ns": engine_ns, "ages": ages}
        client.sent += 1
        return encode(head)[:-1] + b',"sections":{' + b",".join(sections) + b"}}"


async def _until_closed(socket: web.WebSocketResponse) -> None:
    """What a page says is read, as sockets need, and means nothing."""
    async for message in socket:
        if message.type is WSMsgType.ERROR:
            return
