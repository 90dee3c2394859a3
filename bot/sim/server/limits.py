"""What the venue says no with, and how many calls an address may make: weights by the minute, 429 and then 418.

Minutes are the exchange's own, so a hurried exchange grants as much a minute of its time. Private routes use the same `Limits`.
"""

from __future__ import annotations

from typing import Any

import orjson
from aiohttp import web

PER_MINUTE = 2400
_BANNED_AFTER = 40  # calls that went on in the face of 429
_BAN_MS = 120_000
MINUTE_MS = 60_000


class Refused(Exception):
    """The venue's own error; what comes back is `{"code": .., "msg": ..}` with that HTTP status."""

    def __init__(self, code: int, msg: str, status: int = 400) -> None:
        super().__init__(msg)
        self.code, self.msg, self.status = code, msg, status


class OverLimit(Refused):
    def __init__(self, status: int, msg: str, retry_s: int) -> None:
        super().__init__(-1003, msg, status)
        self.retry_s = retry_s


class _Used:
    __slots__ = ("against", "banned_ms", "minute", "weight")

    def __init__(self) -> None:
        self.minute = self.weight = self.against = self.banned_ms = 0


class Limits:
    """By address."""

    def __init__(self, per_minute: int = PER_MINUTE) -> None:
        self.per_minute = per_minute
        self._used: dict[str, _Used] = {}

    def take(self, address: str, weight: int, now_ms: int) -> int:
        """What this address has used this minute, with this. Raises OverLimit."""
        used = self._used.setdefault(address, _Used())
        if now_ms < used.banned_ms:
            raise OverLimit(
                418,
                f"Way too many requests; IP({address}) banned until {used.banned_ms}. Please use the websocket for live updates to avoid bans.",
                (used.banned_ms - now_ms) // 1000 + 1,
            )
        minute = now_ms // MINUTE_MS
        if minute != used.minute:
            used.minute, used.weight, used.against = minute, 0, 0
        used.weight += weight
        if used.weight > self.per_minute:
            raise self._over(used, address, now_ms)
        return used.weight

    def used(self, address: str) -> int:
        return self._used[address].weight if address in self._used else 0

    def _over(self, used: _Used, address: str, now_ms: int) -> OverLimit:
        used.against += 1
        if used.against > _BANNED_AFTER:
            used.banned_ms = now_ms + _BAN_MS
        return OverLimit(
            429,
            f"Too many requests; current limit of IP({address}) is {self.per_minute} requests per minute. Please use the websocket for live updates to avoid polling the API.",
            (MINUTE_MS - now_ms % MINUTE_MS) // 1000 + 1,
        )


def answer(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(body=orjson.dumps(body), status=status, headers=headers, content_type="application/json")


def refusal(refused: Refused) -> web.Response:
    headers = {"Retry-After": str(refused.retry_s)} if isinstance(refused, OverLimit) else None
    return answer({"code": refused.code, "msg": refused.msg}, refused.status, headers)
