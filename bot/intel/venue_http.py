"""One venue's public REST, asked politely: calls a fixed time apart, and none at all while the venue has told us to wait.

Asked by `venue_statistics.py`. It neither caches nor asks again: whoever called does. A reply is capped, redirects are not followed,
no proxy of the environment is used.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import aiohttp

from bot.domain.errors import FeedError
from bot.domain.values import NS
from bot.exchanges.statistics import MAX_BYTES, Call, VenueCalls

T = TypeVar("T")

_LONGEST_HOLD_S = 3 * 86_400  # the longest ban that a venue announces
_HOLD_S = {429: 60, 418: 600}  # where it does not say how long
_BYBIT_BAN_S = 600  # it answers 403 and documents ten minutes


class Held(FeedError):
    """Not asked, because the venue had told us to wait. Told once, when it did."""


class VenueHttp:
    def __init__(
        self,
        calls: VenueCalls,
        rest_url: str,
        timeout_s: float,
        report: Callable[[str], None],
        now_ns: Callable[[], int],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._calls, self._url = calls, (rest_url or calls.rest_url).rstrip("/")
        self._timeout_s = timeout_s
        self._report, self._now_ns, self._sleep = report, now_ns, sleep
        self._turn = asyncio.Lock()
        self._next_ns = self._held_until_ns = 0
        self.asked = 0

    def session(self) -> aiohttp.ClientSession:
        """Without a time limit of its own: the client's, when it runs out just as the task is cancelled, swallows that."""
        return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None), trust_env=False)

    @property
    def held_s(self) -> float:
        return max(0, self._held_until_ns - self._now_ns()) / NS

    def answer(self) -> dict[str, Any]:
        return {"rest_url": self._url, "calls": self.asked, "held_s": self.held_s}

    async def get(self, session: aiohttp.ClientSession, call: Call[T]) -> T:
        """Raises FeedError, aiohttp.ClientError or TimeoutError; Held without asking."""
        await self._wait_turn()
        self.asked += 1
        async with (
            asyncio.timeout(self._timeout_s),
            session.get(self._url + call.path, params=call.query, allow_redirects=False) as answer,
        ):
            raw = await _capped(answer)
            self._judge(call.name, answer.status, answer.headers.get("Retry-After", ""), raw)
            if answer.content_type != "application/json":
                raise FeedError(f"{self._calls.venue} {call.name}: content type {answer.content_type}, not JSON")
        return call.parse(raw)

    async def _wait_turn(self) -> None:
        """In the order of asking."""
        async with self._turn:
            wait_ns = self._next_ns - self._now_ns()
            if wait_ns > 0:
                await self._sleep(wait_ns / NS)
            if self.held_s:
                raise Held(f"{self._calls.venue} has told us to wait, {self.held_s:.0f} s more")
            self._next_ns = self._now_ns() + round(self._calls.apart_s * NS)

    def _judge(self, name: str, status: int, retry_after: str, raw: bytes) -> None:
        if status == 200:
            return
        said = f"{self._calls.venue} {name}: HTTP {status}"
        if status in _HOLD_S or (status == 403 and self._calls.venue == "bybit"):
            hold_s = _seconds(retry_after) or _HOLD_S.get(status, _BYBIT_BAN_S)
            self._held_until_ns = max(self._held_until_ns, self._now_ns() + hold_s * NS)
            self._report(f"{said}: no call to the venue's statistics for {hold_s} s")
            raise Held(f"{said}, to wait {hold_s} s")
        raise FeedError(f"{said}: {raw[:120]!r}")


async def _capped(answer: aiohttp.ClientResponse) -> bytes:
    raw = bytearray()
    async for chunk in answer.content.iter_chunked(65536):
        raw += chunk
        if len(raw) > MAX_BYTES:
            raise FeedError(f"more than {MAX_BYTES} bytes")
    return bytes(raw)


def _seconds(text: str) -> int:
    """0 where it is no number of seconds."""
    return min(int(text), _LONGEST_HOLD_S) if text.isascii() and text.isdigit() and len(text) < 10 else 0
