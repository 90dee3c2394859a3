"""One call to CoinGlass at a time: spacing, limits, and what every call has to wait for. Used by `poller` alone.

A call is made once; asking again is the poller's business. The key goes into one header and nowhere else: whatever text
comes back is freed of it. Not here: which call is next, and what an answer means.

The pace is 80 % of the calls a minute that the provider grants (header API-KEY-MAX-LIMIT), 24 until it says so: whether its
window is fixed or rolling is not documented, and even spacing at 80 % suits both.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

import aiohttp
from aiolimiter import AsyncLimiter
from pydantic import SecretStr
from yarl import URL

from bot.domain.values import NS
from bot.intel.budget import PER_MINUTE, Budget
from bot.intel.coinglass.envelope import MAX_BYTES, Refusal, Why, data_of, shorten
from bot.intel.coinglass.plans import Endpoint
from bot.intel.params import COINGLASS_URL, CoinGlassParams

_SHARE_PCT = 80
_MOST_PER_MINUTE = 20_000  # a header beyond this is no limit
_LIMIT_S, _DOWN_S, _LONGEST_S = 15.0, 5.0, 120.0
_USED_UP_S = 10.0
_LONGEST_RETRY_AFTER_S = 3600
_DIGITS = re.compile(r"\d{1,8}", re.ASCII)
_KEY = re.compile(r"[!-~]{1,128}", re.ASCII)


class Client:
    """`speed`: how much faster than real time the provider's clock runs (the embedded exchange can hurry)."""

    def __init__(
        self,
        params: CoinGlassParams,
        key: SecretStr,
        budget: Budget,
        report: Callable[[str], None],
        now_ns: Callable[[], int],
        speed: float = 1.0,
    ) -> None:
        self._params, self._key, self._budget = params, key, budget
        self._report, self._now_ns, self._speed = report, now_ns, speed
        self._session: aiohttp.ClientSession | None = None
        self.per_minute = PER_MINUTE
        self.provider_used: tuple[int, int] | None = None  # calls used and granted this minute, as the provider says
        self.not_before_ns = 0
        self.waits_for = ""
        self._failures = 0
        self._pace()

    async def __aenter__(self) -> Client:
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=None),  # its own swallows a cancellation that comes at the same moment
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            connector=aiohttp.TCPConnector(ttl_dns_cache=300),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    def key_problem(self) -> str:
        """Why this key cannot even be sent; nothing when it can."""
        key = self._key.get_secret_value()
        return "" if _KEY.fullmatch(key) else "no key" if not key else "the key has characters that no key has"

    async def turn(self, priority: int = 0) -> None:
        """Until a call may leave: spaced in this process, counted over all processes of the machine."""
        await self._limiter.acquire()
        await self._budget.take(priority)

    async def get(self, endpoint: Endpoint, query: Mapping[str, str]) -> Any:
        """`data` of the answer; raises Refusal. Only after `turn`."""
        began_ns = self._now_ns()
        try:
            data = await self._ask(endpoint, query)
        except Refusal as refusal:
            said = Refusal(refusal.why, self._clean(refusal.text), refusal.retry_after_s)
            self._failed(said, began_ns)
            raise said from None
        self._failures = 0
        return data

    async def _ask(self, endpoint: Endpoint, query: Mapping[str, str]) -> Any:
        assert self._session is not None
        url = URL((self._params.base_url or COINGLASS_URL) + endpoint.path)
        headers = {"CG-API-KEY": self._key.get_secret_value(), "Accept": "application/json"}
        try:
            async with (
                asyncio.timeout(self._params.timeout_s),
                self._session.get(
                    url, params=query, headers=headers, allow_redirects=False, middlewares=(_once(),)
                ) as answer,
            ):
                self._follow(answer.headers)
                raw = await _body(answer)
        except TimeoutError:
            raise Refusal(Why.DOWN, f"no answer within {self._params.timeout_s:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise Refusal(Why.DOWN, f"{type(error).__name__}: {shorten(error)}") from None
        try:
            return data_of(answer.status, answer.content_type, raw)
        except Refusal as refusal:
            # a text that was cut may hold a part of the key that no comparison finds
            text = "the answer repeats the key" if self._key.get_secret_value().encode() in raw else refusal.text
            raise Refusal(refusal.why, text, _seconds(answer.headers.get("Retry-After"))) from None

    # --- limits -------------------------------------------------------------------------------------------------------

    def _follow(self, headers: Mapping[str, str]) -> None:
        granted = _count(headers.get("API-KEY-MAX-LIMIT"))
        used = _count(headers.get("API-KEY-USE-LIMIT"))
        if not granted or granted > _MOST_PER_MINUTE:
            return
        per_minute = max(1, granted * _SHARE_PCT // 100)
        if per_minute != self.per_minute:
            self.per_minute = per_minute
            self._pace()
        if used is not None:
            self.provider_used = used, granted
            if used >= granted:
                self._wait(_USED_UP_S, f"{used} of {granted} calls of this minute are used, not only by this program")

    def _pace(self) -> None:
        """`_limiter` lets one call through at a time, evenly spaced."""
        self._limiter = AsyncLimiter(1, 60 / self.per_minute / self._speed)
        self._budget.set_per_minute(self.per_minute)

    def _failed(self, refusal: Refusal, began_ns: int) -> None:
        """What holds up every call. Calls that left before the last pause began tell nothing new."""
        if refusal.why not in (Why.LIMIT, Why.DOWN) or began_ns < self.not_before_ns:
            return
        self._failures += 1
        if refusal.why is Why.LIMIT:
            wait_s = refusal.retry_after_s or min(_LONGEST_S, _LIMIT_S * 2.0 ** min(self._failures - 1, 10))
            self._wait(wait_s, str(refusal))
        elif self._failures > 1:  # one may be the endpoint's own trouble
            self._wait(min(_LONGEST_S, _DOWN_S * 2.0 ** min(self._failures - 2, 10)), str(refusal))

    def _wait(self, wait_s: float, reason: str) -> None:
        until_ns = self._now_ns() + int(wait_s * NS)
        if until_ns > self.not_before_ns:
            self.not_before_ns, self.waits_for = until_ns, reason
            self._report(f"no calls for {wait_s:g} s: {reason}")

    def _clean(self, text: str) -> str:
        return text.replace(self._key.get_secret_value(), "***")


def _once() -> aiohttp.ClientMiddlewareType:
    """The library sends a GET again when its connection breaks; that would be a call past the budget."""
    broken: list[aiohttp.ClientError] = []

    async def send(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        if broken:
            raise broken[0]
        try:
            return await handler(request)
        except aiohttp.ClientError as error:
            broken.append(error)
            raise

    return send


async def _body(answer: aiohttp.ClientResponse) -> bytes:
    raw = bytearray()
    async for chunk in answer.content.iter_chunked(65536):
        raw += chunk
        if len(raw) > MAX_BYTES:
            raise Refusal(Why.BAD, f"answer of more than {MAX_BYTES} bytes")
    return bytes(raw)


def _count(header: str | None) -> int | None:
    return int(header) if header is not None and _DIGITS.fullmatch(header) else None


def _seconds(header: str | None) -> float | None:
    seconds = _count(header)
    return float(min(seconds, _LONGEST_RETRY_AFTER_S)) if seconds else None
