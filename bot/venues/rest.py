"""Public REST of a venue: one session, replies that are capped, and silence for as long as the venue asks for it."""

from __future__ import annotations

import asyncio
import contextlib

import aiohttp

from bot.domain.errors import VenueError

TIMEOUT_S = 10.0
MAX_REPLY = 32 << 20
AT_ONCE = 4
LONGEST_SILENCE_S = 3600.0
_ASKED_TO_WAIT = (418, 429)


class PublicRest:
    """`url` is scheme, host and port. Close it when done."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._session: aiohttp.ClientSession | None = None
        self._free = asyncio.Semaphore(AT_ONCE)
        self._silent_until = 0.0  # loop time

    async def get(self, path: str) -> bytes:
        """The body of a 200. Raises VenueError that names address and reason for anything else, at once while the venue wants to be
        left alone."""
        url, now = self.url + path, asyncio.get_running_loop().time()
        if now < self._silent_until:
            raise VenueError(f"{url} is not asked: the venue wants {self._silent_until - now:.0f} s of silence")
        if self._session is None:
            # its own time limit swallows a cancellation that comes at the same moment
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None), trust_env=False)
        try:
            async with (
                self._free,
                asyncio.timeout(TIMEOUT_S),
                self._session.get(url, allow_redirects=False) as response,
            ):
                body = await self._read(response)
                status, retry = response.status, response.headers.get("Retry-After", "")
        except TimeoutError:
            raise VenueError(f"{url} cannot be reached: no answer within {TIMEOUT_S:g} s") from None
        except aiohttp.ClientError as error:
            said = str(error).replace(" ssl:default", "")  # the client says so of plain addresses too
            raise VenueError(f"{url} cannot be reached: {said or type(error).__name__}") from None
        if status in _ASKED_TO_WAIT:
            wait_s = float(retry) if retry.isdecimal() else 60.0
            self._silent_until = now + min(wait_s, LONGEST_SILENCE_S)
        if status != 200:
            raise VenueError(f"{url} answered {status}: {_shown(body)}")
        return body

    async def close(self) -> None:
        if self._session is not None:
            with contextlib.suppress(aiohttp.ClientError, OSError):
                await self._session.close()

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        body = bytearray()
        async for piece in response.content.iter_chunked(1 << 16):
            body += piece
            if len(body) > MAX_REPLY:
                raise aiohttp.ClientPayloadError(f"more than {MAX_REPLY} bytes")
        return bytes(body)


def _shown(body: bytes) -> str:
    return body[:200].decode("utf-8", "replace").encode("unicode_escape").decode()
