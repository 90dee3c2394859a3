"""What the venue says no with, and how many calls an address may make: weights by the minute, 429 and then 418.

Minutes are the exchange's own, so a hurried exchange grants as much a minute of its time. Private routes use the same `Limits`.
"""

from __future__ import annotations

from typing import Any

import orjson
from aiohttp import web

from bot.sim.refusals import Refused

PER_MINUTE = 2400
_BANNED_AFTER = 40  # calls that went on in the face of 429
_BAN_MS = 120_000
MINUTE_MS = 60_000


class OverLimit(Refused):
    def __init__(self, status: int, msg: str, retry_s: int, code: int = -1003) -> None:
        super().__init__(code, msg, status)
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


class OrderLimits:
    """Orders by account, in windows of 10 s and of a minute; `take` answers with the headers that tell the counts."""

    SHOWN = (("SECOND", 10, 300), ("MINUTE", 1, 1200))
    _WINDOWS = (
        ("10S", 10_000, 300, "300 orders per TEN_SECONDS"),
        ("1M", MINUTE_MS, 1200, "1200 orders per ONE_MINUTE"),
    )

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], tuple[int, int]] = {}  # by account and window: which window, how many

    def take(self, account: str, orders: int, now_ms: int) -> dict[str, str]:
        """Raises OverLimit, and counts nothing then."""
        counted = []
        for name, width_ms, most, words in self._WINDOWS:
            window, count = self._counts.get((account, name), (0, 0))
            count = orders + (count if window == now_ms // width_ms else 0)
            if count > most:
                wait_s = (width_ms - now_ms % width_ms) // 1000 + 1
                raise OverLimit(429, f"Too many new orders; current limit is {words}.", wait_s, code=-1015)
            counted.append(((account, name), (now_ms // width_ms, count)))
        self._counts.update(counted)
        return {f"X-MBX-ORDER-COUNT-{name}": str(count) for (_, name), (_, count) in counted}


def answer(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(body=orjson.dumps(body), status=status, headers=headers, content_type="application/json")


def refusal(refused: Refused) -> web.Response:
    headers = {"Retry-After": str(refused.retry_s)} if isinstance(refused, OverLimit) else None
    return answer({"code": refused.code, "msg": refused.msg}, refused.status, headers)
