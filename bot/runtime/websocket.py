"""One websocket that is kept alive: connects, subscribes, hands every message on, and does it again after every end.

It knows no venue and decodes nothing. Whoever it delivers to may wait: then nothing is read, and TCP pushes back. Messages are data,
pings are not: a socket that answers pings and sends nothing is down after `silence_s`. Before a venue's time limit another
connection takes over, without a message lost or told twice. Randomness is injected.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from msgspec import Struct
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidHandshake, InvalidURI, WebSocketException

from bot.domain.errors import FeedError
from bot.runtime.bursts import Bursts

MAX_MESSAGE = 8 << 20
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 30.0
NEVER = float("inf")
LONGEST_PONG = 200


class StreamRules(Struct, frozen=True, kw_only=True):
    """Times in seconds. `rotate_s` is when another connection takes over (a venue ends each after 24 hours, wherever it then stands),
    `overlap_s` how long both deliver. `ping` is said every `ping_s` where the venue wants more than the protocol's pings; a short message that holds
    `pong` is the answer, which is no data."""

    open_s: float = 10.0
    silence_s: float = 5.0
    ping: bytes = b""
    ping_s: float = 20.0
    pong: bytes = b""
    rotate_s: float = 23 * 3600.0
    overlap_s: float = 1.0


class Listener(Protocol):
    """`up` and `down` come in turns; `deliver` only between them, with one message or more in their order. Each may wait."""

    async def up(self, stream: str) -> None: ...
    async def down(self, stream: str, reason: str) -> None: ...
    async def deliver(self, raws: Sequence[bytes]) -> None: ...


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
        self._connection: Bursts | None = None
        self._next: asyncio.Task[Bursts] | None = None
        self._try_s = 0.0  # not before then

    async def run(self) -> None:
        """Until it is canceled. Raises FeedError for an address that can never work."""
        failures = 0
        while True:
            ended = await self._live()
            failures = 0 if ended.delivered else failures + 1
            await self._listener.down(self._name, ended.reason)
            await asyncio.sleep(backoff_s(failures, self._chance))

    async def say(self, messages: Iterable[bytes]) -> bool:
        """Send these on the connection there is; False where there is none, or it has just ended."""
        if self._connection is None:
            return False
        try:
            async with asyncio.timeout(self._rules.open_s):
                for message in messages:
                    await self._connection.send(message.decode())
        except (OSError, TimeoutError, WebSocketException):
            return False
        return True

    async def _live(self) -> _Ended:
        """From connecting to the end, over as many connections as took over from one another."""
        try:
            self._connection = await self._open()
        except TimeoutError:
            return _Ended(f"cannot connect to {self._url}: no answer within {self._rules.open_s:g} s")
        except (OSError, InvalidHandshake, WebSocketException) as error:
            return _Ended(f"cannot connect to {self._url}: {_said(error)}")
        ended = _Ended("")
        try:
            told: set[bytes] = set()
            while True:
                told = await self._listen(self._connection, ended, told)
        except TimeoutError:
            ended.reason = f"silent for {self._rules.silence_s:g} s"
            self._connection.transport.abort()  # who is silent answers no farewell either, and what follows is urgent
        except (OSError, WebSocketException) as error:
            ended.reason = f"the connection ended: {_said(error)}"
        finally:
            connection, self._connection = self._connection, None
            await asyncio.gather(_close(connection), self._drop_next())
        return ended

    async def _open(self) -> Bursts:
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
                    create_connection=Bursts,
                )
                assert isinstance(connection, Bursts)
                for message in self._subscribe:
                    await connection.send(message.decode())
                return connection
        except InvalidURI as error:
            raise FeedError(f"{self._url} is no websocket address: {error}") from error

    async def _listen(self, connection: Bursts, ended: _Ended, told: set[bytes]) -> set[bytes]:
        """Hand messages on until another connection has taken over; TimeoutError when none comes. The first one is what makes the stream
        live. `told` are those that the connection before has delivered too; the answer is the same for the next."""
        loop, rules = asyncio.get_running_loop(), self._rules
        began_s = heard_s = loop.time()
        ping_s = began_s + rules.ping_s if rules.ping else NEVER
        told_until_s = began_s + 2 * rules.overlap_s
        over_s, overlap = NEVER, set[bytes]()
        while True:
            now_s = loop.time()
            if now_s >= over_s and self._next is not None:
                self._connection, self._next = self._next.result(), None
                await _close(connection)
                return overlap
            if now_s >= ping_s:
                ping_s = now_s + rules.ping_s
                await connection.send(rules.ping.decode())
            if over_s == NEVER and now_s - began_s >= rules.rotate_s and self._next_is_there(now_s):
                over_s = now_s + rules.overlap_s
            try:
                async with asyncio.timeout_at(min(heard_s + rules.silence_s, ping_s, over_s)):
                    arrived = await connection.burst()
            except TimeoutError:
                if loop.time() - heard_s >= rules.silence_s:
                    raise
                continue
            if rules.pong:
                arrived = [raw for raw in arrived if len(raw) > LONGEST_PONG or rules.pong not in raw]
                if not arrived:
                    continue
            heard_s = loop.time()
            if told and heard_s > told_until_s:
                told = set()
            if not ended.delivered:
                ended.delivered = True
                await self._listener.up(self._name)
            await self._listener.deliver([raw for raw in arrived if raw not in told] if told else arrived)
            if self._next is not None:  # it may hear these too
                overlap.update(arrived)
            elif overlap:
                overlap = set()

    def _next_is_there(self, now_s: float) -> bool:
        """The next connection is opened beside this one. What cannot be opened is tried again later."""
        if self._next is None:
            if now_s >= self._try_s:
                self._next = asyncio.ensure_future(self._open())
            return False
        if not self._next.done():
            return False
        if self._next.exception() is None:
            return True
        self._next, self._try_s = None, now_s + LONGEST_WAIT_S
        return False

    async def _drop_next(self) -> None:
        if self._next is not None:
            self._next.cancel()
            with contextlib.suppress(asyncio.CancelledError, OSError, TimeoutError, WebSocketException, FeedError):
                await _close(await self._next)
            self._next = None


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


async def _close(connection: Bursts) -> None:
    try:
        async with asyncio.timeout(2):
            await connection.close()
    except (TimeoutError, OSError, WebSocketException):
        connection.transport.abort()
