"""Identifiers that a replay makes again: filled from (session, frame, k-th of the frame), never from randomness.

`unique` has ULID's layout (48 bits of milliseconds, then 20 bits of session, 40 of frame, 20 of k, in Crockford's base 32), so ids
sort by time. A client order id adds account tag, leg and attempt, uses letters and digits only and has 25 of them: venues
allow 28 to 36.
"""

from __future__ import annotations

from bot.domain.errors import InvariantError
from bot.domain.values import MS

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
LEGS = ("entry", "stop", "tier_1", "tier_2", "tier_3", "tier_4", "close")


def base32(value: int, length: int) -> str:
    """`value` as exactly `length` Crockford letters; raises if it does not fit."""
    if value < 0 or value >> (5 * length):
        raise InvariantError(f"id part {value} does not fit {length} letters")
    return "".join(_ALPHABET[(value >> (5 * i)) & 31] for i in range(length - 1, -1, -1))


def account_tag(account: str) -> str:
    """Four letters that tell accounts apart: FNV-1a of the name (stable across runs, unlike hash())."""
    digest = 0x811C9DC5
    for byte in account.encode():
        digest = ((digest ^ byte) * 0x01000193) & 0xFFFFFFFF
    return base32(digest & 0xFFFFF, 4)


class IdSource:
    """Hands out the ids of one frame. The engine calls `begin` with each frame it takes."""

    def __init__(self, *, account: str, session: int) -> None:
        self._tag = account_tag(account)
        self._session = session
        self._frame = 0
        self._now_ms = 0
        self._k = 0

    def begin(self, frame: int, now_ns: int) -> None:
        self._frame, self._now_ms, self._k = frame, now_ns // MS, 0

    def unique(self) -> str:
        k = self._next()
        return base32((self._now_ms << 80) | (self._session << 60) | (self._frame << 20) | k, 26)

    def client_order_id(self, leg: str, attempt: int = 0) -> str:
        k = self._next()
        parts = ((self._session, 5), (self._frame, 8), (k, 4), (LEGS.index(leg), 2), (attempt, 2))
        return self._tag + "".join(base32(value, length) for value, length in parts)

    def _next(self) -> int:
        self._k += 1
        return self._k
