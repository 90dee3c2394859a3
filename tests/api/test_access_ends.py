"""Links, sessions and confirmations end, and are bounded; on a clock of the test's."""

from __future__ import annotations

from hashlib import sha256
from http.cookies import SimpleCookie
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from bot.api.access import CONFIRM_S, COOKIE, NONCES, SESSIONS, Access


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
        access.enter(codes[-1], make_mocked_request("GET", "/"))


def entered(access: Access, **headers: str) -> SimpleCookie:
    """The cookie that a link leads to, for a browser that sends these headers."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return access.enter(access.link().removeprefix("?login="), make_mocked_request("GET", "/", named)).cookies


def test_a_browser_that_enters_again_has_one_session() -> None:
    access = Access("token", actions=True)
    first = entered(access)[COOKIE].value
    second = entered(access, Cookie=f"{COOKIE}={first}")[COOKIE].value
    assert first != second
    by = {
        value: access.session(make_mocked_request("GET", "/", {"Cookie": f"{COOKIE}={value}"}))
        for value in (first, second)
    }
    assert by[first] is None and by[second] is not None


def test_behind_tls_the_cookie_goes_no_other_way() -> None:
    access = Access("token", actions=True)
    assert not entered(access)[COOKIE]["secure"]
    assert entered(access, X_Forwarded_Proto="https")[COOKIE]["secure"]


def test_wrong_tokens_are_counted_and_no_token_is_not() -> None:
    access = Access("token", actions=True)
    for headers in (
        {},
        {"Authorization": "Bearer token"},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Basic eA=="},
    ):
        access.refusal(make_mocked_request("POST", "/api/kill", headers), looks_freely=True)
    assert access.failures == 2


@pytest.mark.parametrize(
    ("path", "query", "refused"),
    [("/", "", True), ("/", "?login=x", False), ("/api/status", "?login=x", True), ("/ws", "?login=x", True)],
)
def test_a_link_opens_the_page_and_nothing_else_where_others_may_hear(path: str, query: str, refused: bool) -> None:
    access = Access("token", actions=True)
    asked = make_mocked_request("GET", path + query)
    assert (access.refusal(asked, looks_freely=False) is not None) is refused


def _hashed(code: str) -> bytes:
    return sha256(code.encode()).digest()
