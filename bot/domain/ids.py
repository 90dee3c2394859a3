"""Identifiers that a replay makes again: filled from (session, frame, k-th of the frame), never from randomness.

`unique` has ULID's layout (48 bits of milliseconds, then 20 bits of session, 40 of frame, 20 of k, in Crockford's base 32), so ids
sort by time. A client order id adds account tag, leg and attempt, uses letters and digits only and has 25 of them: venues
allow 28 to 36.
"""

from __future__ import annotations

from bot.domain.errors import InvariantError
from bot.domain.values import MS

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = [high + low for high in _ALPHABET for low in _ALPHABET]
LEGS = ("entry", "stop", "tier_1", "tier_2", "tier_3", "tier_4", "close")


def base32(value: int, length: int) -> str:
    """`value` as exactly `length` Crockford letters; raises if it does not fit."""
    if value < 0 or value >> (5 * length):
        raise InvariantError(f"id part {value} does not fit {length} letters")
    pairs = [_PAIRS[(value >> shift) & 1023] for shift in range(10 * (length // 2) - 10, -1, -10)]
    return "".join(pairs) if length % 2 == 0 else _ALPHABET[value >> (5 * length - 5)] + "".join(pairs)


def account_tag(account: str) -> str:
    """Four letters that tell accounts apart: FNV-1a of the name (stable across runs, unlike hash())."""
    digest = 0x811C9DC5
    for byte in account.encode():
        digest = ((digest ^ byte) * 0x01000193) & 0xFFFFFFFF
    return base32(digest & 0xFFFFF, 4)


class IdSource:
    """Hands out the ids of one frame. The engine calls `begin` with each frame it takes.

    A second source of the same session numbers from behind `k`, so that the ids of one do not hang on how many the other gave."""

    def __init__(self, *, account: str, session: int, k: int = 0) -> None:
        self._first_k = k
        self._session = session
        self._account_and_session = account_tag(account) + base32(session, 5)
        self._frame = 0
        self._now_ns = 0
        self._k = k
        self._stamp = ""  # time, session and frame in 10, 4 and 8 letters, once one of them is asked for

    def begin(self, frame: int, now_ns: int) -> None:
        self._frame, self._now_ns, self._k, self._stamp = frame, now_ns, self._first_k, ""

    def unique(self) -> str:
        return self._stamped() + self._next()

    def client_order_id(self, leg: str, attempt: int = 0) -> str:
        frame = self._stamped()[-8:]
        return f"{self._account_and_session}{frame}{self._next()}{base32(LEGS.index(leg), 2)}{base32(attempt, 2)}"

    def _stamped(self) -> str:
        if not self._stamp:
            self._stamp = base32((self._now_ns // MS << 60) | (self._session << 40) | self._frame, 22)
        return self._stamp

    def _next(self) -> str:
        self._k += 1
        return base32(self._k, 4)
