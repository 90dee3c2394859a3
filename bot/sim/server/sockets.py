"""The sockets of market data: requests to subscribe, the venue's errors for bad ones, and one writer for each client.

A client that reads too slowly is let go, as is one that asks too much; nobody else waits for either.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Protocol

import msgspec
import orjson
from aiohttp import WSCloseCode, WSMessage, WSMsgType, web

from bot.sim.server.streams import Hub, path_of

MOST_WAITING = 50_000  # messages for a client that does not read them
MOST_STREAMS = 1024
MOST_REQUESTS_S = 10
MOST_BYTES = 1 << 16
PRIVATE = "private"
LIFE_S = 86_400.0  # of a connection, by the wall's clock
_HEARTBEAT_S = 180.0
_METHODS = ("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class _Request(msgspec.Struct):
    method: str
    id: Annotated[int, msgspec.Meta(ge=-(1 << 63), le=(1 << 63) - 1)] | str | None = None
    params: list[Any] = []


class UserStreams(Protocol):
    """Streams that have a listen key for a name."""

    def add(self, box: Box, name: str) -> bool:
        """Whether the name is a listen key; from now on the box gets what its account is told."""
        ...

    def remove(self, box: Box, name: str) -> None: ...


class Tamper(Protocol):
    """What may happen to what a socket is told."""

    def frames(self, box: Box, stream: str, body: bytes) -> list[bytes]:
        """What is sent instead, now."""
        ...

    def silent(self, box: Box) -> bool:
        """Not even answers are sent."""
        ...

    def deaf(self, box: Box) -> bool:
        """Pings are not answered."""
        ...


class Sockets:
    """`users` is set by whoever has accounts, `tamper` by whoever wants faults."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self.users: UserStreams | None = None
        self.tamper: Tamper | None = None
        self.clients: set[Box] = set()

    def routes(self) -> list[web.RouteDef]:
        ends = ("/ws", "/ws/{streams:.+}", "/stream")
        return [web.get(path + end, self.handle) for path in ("", "/{path:public|market|private}") for end in ends]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        path, query = request.match_info.get("path"), request.query
        named = request.match_info.get("streams") or query.get("streams") or query.get("listenKey", "")
        socket = web.WebSocketResponse(heartbeat=_HEARTBEAT_S, compress=False, max_msg_size=MOST_BYTES, autoping=False)
        if not socket.can_prepare(request):
            return web.Response(status=400, text="Bad Request")
        try:
            await socket.prepare(request)
        except ConnectionError:  # gone before it was answered
            return web.Response()
        box = Box(socket, path, self.tamper, wrapped=request.path.endswith("/stream"))
        self.clients.add(box)
        writer = asyncio.ensure_future(box.write())
        try:
            for stream in filter(None, named.split("/")):
                self._subscribe(box, stream)
            with contextlib.suppress(TimeoutError, ConnectionError):  # a day, or gone before it was answered
                async with asyncio.timeout(LIFE_S):
                    await self._listen(box)
            await socket.close()
        finally:
            self.clients.discard(box)
            for stream in box.streams:
                self._leave(box, stream)
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)
        return socket

    async def _listen(self, box: Box) -> None:
        loop = asyncio.get_running_loop()
        asked: deque[float] = deque(maxlen=MOST_REQUESTS_S)
        async for message in box.socket:
            if message.type in (WSMsgType.PING, WSMsgType.PONG):
                if message.type is WSMsgType.PING and not (box.tamper and box.tamper.deaf(box)):
                    await box.socket.pong(message.data)
                continue
            now_s = loop.time()
            if len(asked) == MOST_REQUESTS_S and now_s - asked[0] < 1.0:
                await box.socket.close(code=WSCloseCode.POLICY_VIOLATION, message=b"Too many requests")
                return
            asked.append(now_s)
            box.say(self._answer(box, message))

    def _answer(self, box: Box, message: WSMessage) -> dict[str, Any]:
        """What the venue says to a request; errors have no result."""
        if message.type is not WSMsgType.TEXT:
            return _error(3, "Invalid JSON: expected value at line 1 column 1")
        try:
            request = msgspec.json.decode(message.data, type=_Request)
        except msgspec.ValidationError as error:
            return _error(2, f"Invalid request: {error}")
        except (msgspec.DecodeError, RecursionError, UnicodeError):
            return _error(3, "Invalid JSON: expected value at line 1 column 1")
        if request.method not in _METHODS:
            known = ", ".join(f"`{name}`" for name in _METHODS)
            return _error(
                2, f"Invalid request: unknown variant `{request.method[:40]}`, expected one of {known}", request.id
            )
        return self._do(box, request)

    def _do(self, box: Box, request: _Request) -> dict[str, Any]:
        names = [name for name in request.params if isinstance(name, str)]
        if len(names) < len(request.params) and request.method.endswith("SUBSCRIBE"):
            return _error(2, "Invalid request: request `params` must be an array of strings", request.id)
        match request.method:
            case "SUBSCRIBE":
                if len(box.streams | set(names)) > MOST_STREAMS:
                    return _error(2, f"Invalid request: more than {MOST_STREAMS} streams", request.id)
                for name in names:
                    self._subscribe(box, name)
            case "UNSUBSCRIBE":
                for name in names:
                    box.streams.discard(name)
                    self._leave(box, name)
            case "LIST_SUBSCRIPTIONS":
                return {"result": sorted(box.streams), "id": request.id}
            case "SET_PROPERTY" if request.params[:1] == ["combined"] and isinstance(request.params[-1], bool):
                box.wrapped = request.params[-1]
            case "GET_PROPERTY" if names == ["combined"]:
                return {"result": box.wrapped, "id": request.id}
            case _:
                return _error(0, "Unknown property", request.id)
        return {"result": None, "id": request.id}

    def _subscribe(self, box: Box, stream: str) -> None:
        """A stream that the venue does not have, or serves on its other path, is acknowledged and says nothing."""
        box.streams.add(stream)
        if self.users is not None and box.path in (None, PRIVATE) and self.users.add(box, stream):
            return
        path = path_of(stream)
        if path is not None and box.path in (None, path):
            self._hub.add(box, stream)

    def _leave(self, box: Box, stream: str) -> None:
        self._hub.remove(box, stream)
        if self.users is not None:
            self.users.remove(box, stream)


class Box:
    """What waits for one client. `wrapped`: events say of which stream they are."""

    def __init__(
        self, socket: web.WebSocketResponse, path: str | None, tamper: Tamper | None, *, wrapped: bool
    ) -> None:
        self.socket, self.path, self.tamper, self.wrapped = socket, path, tamper, wrapped
        self.streams: set[str] = set()
        self._waiting: list[bytes] = []
        self._filled = asyncio.Event()

    def put(self, stream: str, body: bytes) -> None:
        for each in (body,) if self.tamper is None else self.tamper.frames(self, stream, body):
            self.send(stream, each)

    def send(self, stream: str, body: bytes) -> None:
        self._add(b'{"stream":"%b","data":%b}' % (stream.encode(), body) if self.wrapped else body)

    def say(self, answer: dict[str, Any]) -> None:
        if self.tamper is None or not self.tamper.silent(self):
            self._add(orjson.dumps(answer))

    def _add(self, raw: bytes) -> None:
        self._waiting.append(raw)
        self._filled.set()
        if len(self._waiting) > MOST_WAITING:
            self.abort()

    async def write(self) -> None:
        """Until the client is gone."""
        with contextlib.suppress(ConnectionError):
            while True:
                await self._filled.wait()
                self._filled.clear()
                waiting, self._waiting = self._waiting, []
                for raw in waiting:
                    await self.socket.send_frame(raw, WSMsgType.TEXT)

    def abort(self) -> None:
        request = self.socket._req
        if request is not None and request.transport is not None:
            request.transport.abort()


def _error(code: int, msg: str, number: Any = None) -> dict[str, Any]:
    error: dict[str, Any] = {"code": code, "msg": msg}
    return {"error": error, "id": number} if number is not None else error
