"""One websocket that is kept alive: connects, subscribes, hands every message on, and does it again after every end.

It knows no venue and decodes nothing. Whoever it delivers to may wait: then nothing is read, and TCP pushes back. Messages are data,
pings are not: a socket that answers pings and sends nothing is down after `silence_s`. Randomness is injected.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from msgspec import Struct
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, InvalidURI, WebSocketException

from bot.domain.errors import FeedError

MAX_MESSAGE = 8 << 20
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 30.0


class StreamRules(Struct, frozen=True, kw_only=True):
    """Times in seconds. `rotate_s` ends a connection before the venue does (after 24 hours, wherever it then stands)."""

    open_s: float = 10.0
    silence_s: float = 5.0
    ping_s: float = 20.0
    rotate_s: float = 23 * 3600.0


class Listener(Protocol):
    """`up` and `down` come in turns; `deliver` only between them. Each may wait."""

    async def up(self, stream: str) -> None: ...
    async def down(self, stream: str, reason: str) -> None: ...
    async def deliver(self, raw: bytes) -> None: ...


class Stream:
    """`subscribe` are the messages sent after connecting; `chance` gives numbers in [0, 1)."""

    def __init__(
        self,
        name: str,
        url: str,
        subscribe: Sequence[bytes],
        listener: Listener,
        chance: Callable[[], float],
        rules: StreamRules | None = None,
    ) -> None:
        self._name, self._url, self._subscribe = name, url, tuple(subscribe)
        self._listener, self._chance, self._rules = listener, chance, rules or StreamRules()

    async def run(self) -> None:
        """Until it is canceled. Raises FeedError for an address that can never work."""
        failures = 0
        while True:
            ended = await self._live()
            failures = 0 if ended.delivered else failures + 1
            await self._listener.down(self._name, ended.reason)
            await asyncio.sleep(backoff_s(failures, self._chance))

    async def _live(self) -> _Ended:
        """One connection from its beginning to its end."""
        try:
            connection = await self._open()
        except (OSError, TimeoutError, InvalidHandshake, WebSocketException) as error:
            return _Ended(f"cannot connect to {self._url}: {_said(error)}")
        ended = _Ended("")
        try:
            await self._listen(connection, ended)
            ended.reason = "renewed before the venue's time limit"
        except TimeoutError:
            ended.reason = f"silent for {self._rules.silence_s:g} s"
        except (OSError, WebSocketException) as error:
            ended.reason = f"the connection ended: {_said(error)}"
        finally:
            await _close(connection)
        return ended

    async def _open(self) -> ClientConnection:
        rules = self._rules
        try:
            async with asyncio.timeout(rules.open_s):
                connection = await connect(
                    self._url,
                    open_timeout=None,
                    ping_interval=rules.ping_s,
                    ping_timeout=rules.ping_s,
                    close_timeout=1,
                    max_size=MAX_MESSAGE,
                    compression=None,
                    proxy=None,
                )
                for message in self._subscribe:
                    await connection.send(message.decode())
                return connection
        except InvalidURI as error:
            raise FeedError(f"{self._url} is no websocket address: {error}") from error

    async def _listen(self, connection: ClientConnection, ended: _Ended) -> None:
        """Hand messages on; TimeoutError when none comes. The first one is what makes the stream live."""
        loop = asyncio.get_running_loop()
        until_s = loop.time() + self._rules.rotate_s
        while loop.time() < until_s:
            async with asyncio.timeout(self._rules.silence_s):
                raw = await connection.recv(decode=False)
            if not ended.delivered:
                ended.delivered = True
                await self._listener.up(self._name)
            await self._listener.deliver(raw)


@dataclass(slots=True)
class _Ended:
    reason: str
    delivered: bool = False


def backoff_s(failures: int, chance: Callable[[], float]) -> float:
    """Full jitter: anything up to a limit that doubles with each failure in a row (0.5 s to 30 s)."""
    longest: float = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(failures, 10))
    return chance() * longest


def _said(error: Exception) -> str:
    return str(error) or type(error).__name__


async def _close(connection: ClientConnection) -> None:
    try:
        async with asyncio.timeout(2):
            await connection.close()
    except (TimeoutError, OSError, WebSocketException):
        connection.transport.abort()
