"""The cockpit in the engine's own loop: the page's files, and the socket that keeps every open page up to date.

Four times a second the sections are copied between two frames, if anybody watches, and each client is sent what is new to it: a
`snap` first, then `tick`s. Clients that have seen the same share one frame. A client that is slow gets fewer and larger ticks,
never a queue of them; one that takes nothing for ten seconds is cut off. It holds no reference to anything that trades, a section
that cannot be copied stops nothing but itself, and a cockpit that is switched off is not built at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

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
SLICE = 8  # clients that are sent to before the loop may do something else
MESSAGE_LIMIT = 16 * 1024
FAULT_CHARS = 200
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


Cursors = Mapping[
    str, Any
]  # what a client has seen of each section; never changed, shared by all who have seen the same
NOTHING_YET: Cursors = {}


class _Client:
    def __init__(self, socket: web.WebSocketResponse, *, may_act: bool) -> None:
        self.socket, self.may_act = socket, may_act
        self.news = asyncio.Event()
        self.cursors = NOTHING_YET


class _Frame(NamedTuple):
    """`before` is kept so that no other cursors can have its id."""

    before: Cursors
    text: bytes
    after: Cursors


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
        self._frames: dict[tuple[int, bool], _Frame] = {}  # of the last look, by who has seen what
        self.faults: dict[str, str] = {}  # sections that cannot be copied now, and why

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
            await self._inspect(self._look if self._clients else self._rest)
            for at, client in enumerate(tuple(self._clients), start=1):
                client.news.set()
                if at % SLICE == 0:
                    await asyncio.sleep(0)

    def _look(self) -> None:
        self._seq += 1
        self._at = self._now()
        self._frames.clear()
        for name, section in self._sections.items():
            self._try(name, section.look)

    def _rest(self) -> None:
        self._try("equity", self._idle)

    def _try(self, name: str, look: Callable[[], None]) -> None:
        """A fault here is told to the pages and counted; the engine, in whose task group this runs, must not stop for it."""
        try:
            look()
        except Exception as error:  # noqa: BLE001  whatever it is, it is about showing
            self.faults[name] = f"{type(error).__name__}: {error}"[:FAULT_CHARS]
        else:
            self.faults.pop(name, None)

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
                    await client.socket.send_frame(self._frame(client), WSMsgType.TEXT)
            except TimeoutError:
                if request.transport is not None:
                    request.transport.abort()
                return
            except ConnectionError:
                return

    def _frame(self, client: _Client) -> bytes:
        """What is new to this client, made once for all who have seen the same."""
        key = (id(client.cursors), client.may_act)
        frame = self._frames.get(key)
        if frame is None:
            frame = self._frames[key] = self._made(client.cursors, may_act=client.may_act)
        client.cursors = frame.after
        return frame.text

    def _made(self, before: Cursors, *, may_act: bool) -> _Frame:
        first = before is NOTHING_YET
        sections, after = [b'"actions":' + encode({"allowed": may_act})] if first else [], dict[str, Any]()
        for name, section in self._sections.items():
            news, after[name] = section.news(before.get(name))
            if news is not None:
                sections.append(encode(name) + b":" + news)
        known = [each.after for each in self._frames.values() if each.after == after]  # from here on they are one
        engine_ns, ages = self._at
        head = {"type": "snap" if first else "tick", "seq": self._seq, "engine_ns": engine_ns, "ages": ages}
        head |= {"faults": self.faults} if self.faults else {}
        return _Frame(before, encode(head)[:-1] + b',"sections":{' + b",".join(sections) + b"}}", (known or [after])[0])


async def _until_closed(socket: web.WebSocketResponse) -> None:
    """What a page says is read, as sockets need, and means nothing."""
    async for message in socket:
        if message.type is WSMsgType.ERROR:
            return
