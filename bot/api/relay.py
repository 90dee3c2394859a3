"""The cockpit in a process of its own: the page's files from here, everything else asked of a running engine's API.

What a browser may is decided by the engine, by the session whose cookie is passed on; here is only checked that the browser's page is
this one. Reading carries the token, as this machine's owner may read; acting never does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from aiohttp import (
    ClientError,
    ClientSession,
    ClientTimeout,
    ClientWebSocketResponse,
    WSMsgType,
    WSServerHandshakeError,
    web,
)

from bot.api.access import CSRF, ELSEWHERE, same_origin
from bot.api.cockpit import CLOSE_S, HEADERS, HEARTBEAT_S, MESSAGE_LIMIT, STATIC, STUCK_S
from bot.api.hosts import allowed_hosts
from bot.domain.errors import ConfigError

BODY_LIMIT = 64 * 1024
FRAME_LIMIT = 16 * 1024 * 1024
TIMEOUT = ClientTimeout(total=15)
PASSED = ("Cookie", "Content-Type", "Sec-Fetch-Site", CSRF, "X-Nonce", "X-Confirm")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Relay:
    """`engine` is the address of its API, without a slash at the end."""

    def __init__(self, engine: str, token: str) -> None:
        self._engine, self._token = engine, token
        self._http: ClientSession | None = None
        self._runner: web.AppRunner | None = None
        self._hosts: frozenset[str] = frozenset()

    async def start(self, port: int) -> str:
        """Listen on this machine only; port 0 takes a free one. Returns the address. Raises ConfigError when it cannot."""
        app = web.Application(middlewares=[self._ours], client_max_size=BODY_LIMIT)
        app.on_response_prepare.append(_guard)
        app.add_routes([web.get("/", self._index), web.static("/static", STATIC), web.get("/ws", self._watch)])
        app.add_routes([web.get("/api/{what:.+}", self._pass), web.post("/api/{what:.+}", self._pass)])
        self._http = ClientSession(timeout=TIMEOUT)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=CLOSE_S)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, "127.0.0.1", port).start()
        except OSError as error:
            await self.close()
            raise ConfigError(
                f"the cockpit cannot listen on 127.0.0.1:{port} ({error.strerror}); use another --port"
            ) from None
        bound = self._runner.addresses[0][1]
        self._hosts = allowed_hosts("127.0.0.1", bound)
        return f"http://127.0.0.1:{bound}"

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
        if self._http is not None:
            await self._http.close()

    @web.middleware
    async def _ours(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Neither another name for this address nor another page in the same browser."""
        safe = request.method in ("GET", "HEAD") and request.path != "/ws"
        asked_from = "" if request.path == "/" else request.headers.get("Sec-Fetch-Site", "")
        ours = same_origin(request) or (safe and asked_from not in ELSEWHERE)
        if request.host.lower() not in self._hosts or not ours:
            return web.json_response({"error": "only the page of this very address may ask this"}, status=403)
        return await handler(request)

    def _headers(self, request: web.Request) -> dict[str, str]:
        """As the engine's own page would send them."""
        headers = {name: request.headers[name] for name in PASSED if name in request.headers}
        if "Origin" in request.headers:
            headers["Origin"] = self._engine
        if request.method == "GET" and request.path not in ("/", "/ws"):  # there the session counts, if there is one
            headers["Authorization"] = f"Bearer {self._token}"
        return headers

    def _watching(self, request: web.Request) -> dict[str, str]:
        """A socket reads, so it carries the token as well; whether its page may act, the cookie says."""
        return self._headers(request) | {"Authorization": f"Bearer {self._token}"}

    async def _index(self, request: web.Request) -> web.StreamResponse:
        """The page; a link that signs a browser in is the engine's business."""
        return await self._pass(request) if "login" in request.query else web.FileResponse(STATIC / "index.html")

    async def _pass(self, request: web.Request) -> web.StreamResponse:
        assert self._http is not None
        url, body = self._engine + request.raw_path, await request.read()
        try:
            async with self._http.request(
                request.method, url, data=body or None, headers=self._headers(request), allow_redirects=False
            ) as answer:
                told = web.Response(status=answer.status, body=await answer.read(), content_type=answer.content_type)
                if "Location" in answer.headers:
                    told.headers["Location"] = answer.headers["Location"]
                for cookie in answer.headers.getall("Set-Cookie", ()):
                    told.headers.add("Set-Cookie", cookie)
                return told
        except (ClientError, TimeoutError) as error:
            return web.json_response({"error": f"the engine does not answer: {error}"}, status=502)

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        assert self._http is not None
        try:
            above = await self._http.ws_connect(
                f"{self._engine}/ws", headers=self._watching(request), heartbeat=HEARTBEAT_S, max_msg_size=FRAME_LIMIT
            )
        except WSServerHandshakeError as error:
            why = "the engine has no socket (cockpit.enabled=false)" if error.status == 404 else error.message
            return web.json_response({"error": why}, status=502)
        except (ClientError, TimeoutError) as error:
            return web.json_response({"error": f"the engine does not answer: {error}"}, status=502)
        below = web.WebSocketResponse(
            heartbeat=HEARTBEAT_S, timeout=CLOSE_S, max_msg_size=MESSAGE_LIMIT, compress=False
        )
        async with above:
            await below.prepare(request)
            sending = asyncio.create_task(_down(above, below, request))
            async for _ in below:  # what a page says means nothing
                pass
            sending.cancel()
            with suppress(asyncio.CancelledError):
                await sending
        return below


async def _down(above: ClientWebSocketResponse, below: web.WebSocketResponse, request: web.Request) -> None:
    """Frames to the page; while it takes none, none is taken from the engine, which then makes fewer."""
    try:
        async for message in above:
            if message.type is WSMsgType.TEXT:
                async with asyncio.timeout(STUCK_S):
                    await below.send_str(message.data)
        await below.close()
    except TimeoutError:
        if request.transport is not None:
            request.transport.abort()
    except ConnectionError:
        return


async def _guard(request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(HEADERS)
