"""Links, sessions and confirmations end, and are bounded; on a clock of the test's."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import pytest
from aiohttp import web

from bot.api.access import CONFIRM_S, NONCES, SESSIONS, Access


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Request:
    """As much of a request as a confirmation looks at."""

    method, path = "POST", "/api/kill"

    def __init__(self, **headers: str) -> None:
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def test_a_confirmation_ends_after_half_a_minute() -> None:
    for late_s, refused in ((0.0, False), (CONFIRM_S - 1, False), (CONFIRM_S, True)):
        clock = Clock()
        access = Access("token", actions=True, now_s=clock)
        prepared = access.prepare("kill", {}, {"state": "ACTIVE"})
        clock.now_s += late_s
        request: Any = Request(X_Nonce=prepared["nonce"], X_Confirm="kill")
        problem = access.confirmed(request, {}, {"state": "ACTIVE"})
        assert bool(problem) is refused, problem


def test_what_is_kept_is_bounded_and_links_end() -> None:
    clock = Clock()
    access = Access("token", actions=True, now_s=clock)
    codes = [access.link().removeprefix("?login=") for _ in range(SESSIONS + 1)]
    for _ in range(NONCES + 5):
        access.prepare("kill", {}, {})
    assert (len(access._links), len(access._prepared)) == (SESSIONS, NONCES)
    for code, fits in ((codes[0], False), (codes[-1], True)):
        assert (access._links.get(_hashed(code)) is not None) is fits
    clock.now_s += 13 * 3600
    with pytest.raises(web.HTTPForbidden):
        access.enter(codes[-1])


def _hashed(code: str) -> bytes:
    return sha256(code.encode()).digest()
