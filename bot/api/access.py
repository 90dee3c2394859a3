"""Who may ask what: programs with the token, the cockpit's page with a session, and everybody on this machine for looking.

The token acts in one step. The page may act only if `cockpit.actions` is set: its browser changes a link that serves once for a
cookie, every request proves that it comes from this very page, and where money moves it takes two steps: what stands is shown with
a nonce that serves once, for half a minute and for this state only, and the trader types the word. Sessions and nonces are kept in
memory, as hashes, and end with the engine.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

import orjson
from aiohttp import web

COOKIE = "bigalpha"
CSRF = "X-CSRF"
SESSION_S = 12 * 3600.0
CONFIRM_S = 30.0
SESSIONS = 20  # open browsers, and links that nobody has used
NONCES = 100
AT_ONCE = frozenset({"pause", "learn/apply", "learn/undo", "prepare"})  # nothing of these moves money
TWO_STEPS = frozenset({"resume", "close", "flatten", "kill"})
ELSEWHERE = ("cross-site", "same-site")  # another port of this machine is the same site
TOKEN_NEEDED = "this needs 'Authorization: Bearer TOKEN'; the token is what api.token is set to, else in the data folder (api-token)"
NO_ACTIONS = "the page only shows: set cockpit.actions to let it act, or use python -m bot"
USED_UP = "this link was used, or is of an earlier start: python -m bot cockpit prints another"


@dataclass(frozen=True, slots=True)
class _Prepared:
    action: str
    body: bytes
    state: bytes
    confirm: str
    until_s: float


class Access:
    """`actions`: whether sessions may act. `now_s` is a clock that never goes back."""

    def __init__(self, token: str, *, actions: bool, now_s: Callable[[], float] = monotonic) -> None:
        self._token, self.actions, self._now_s = token.encode(), actions, now_s
        self.failures = 0  # links and tokens that did not serve
        self._links: dict[bytes, float] = {}  # hashes, and until when they serve
        self._sessions: dict[bytes, float] = {}
        self._prepared: dict[bytes, _Prepared] = {}

    # --- links and sessions ---

    def link(self) -> str:
        """The query of an address that opens one session."""
        code = secrets.token_urlsafe(24)
        _put(self._links, _hash(code), self._now_s() + SESSION_S, SESSIONS)
        return f"?login={code}"

    def enter(self, code: str, request: web.Request) -> web.Response:
        """The page, with a cookie in place of the code; the session that this browser had ends. Raises HTTPForbidden for a code that
        does not serve."""
        until_s = self._links.pop(_hash(code), 0.0)
        if until_s <= self._now_s():
            self.failures += 1
            raise web.HTTPForbidden(text=USED_UP)
        self._sessions.pop(_hash(request.cookies.get(COOKIE, "")), None)
        session = secrets.token_urlsafe(32)
        _put(self._sessions, _hash(session), self._now_s() + SESSION_S, SESSIONS)
        answer = web.Response(status=303, headers={"Location": "/"})
        answer.set_cookie(
            COOKIE,
            session,
            httponly=True,
            samesite="Strict",
            max_age=round(SESSION_S),
            path="/",
            secure=_by_tls(request),
        )
        return answer

    def session(self, request: web.Request) -> str | None:
        """A name for the session that a request belongs to, fit for a journal."""
        given = request.cookies.get(COOKIE, "")
        key = _hash(given)
        return key.hex()[:8] if given and self._sessions.get(key, 0.0) > self._now_s() else None

    def has_token(self, request: web.Request) -> bool:
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        return hmac.compare_digest(given.encode(errors="surrogateescape"), self._token)

    # --- requests ---

    def refusal(self, request: web.Request, *, looks_freely: bool) -> tuple[int, str] | None:
        """Status and reason; None where the request may go on. `looks_freely`: the address is this machine's own."""
        looks = request.method in ("GET", "HEAD")
        if self.has_token(request):
            return None
        if "Authorization" in request.headers:
            self.failures += 1
        if looks and request.path not in ("/", "/ws") and request.headers.get("Sec-Fetch-Site") in ELSEWHERE:
            return 403, "a page of another address asks for this: it may not"
        if looks and (looks_freely or (request.path == "/" and "login" in request.query)):
            return None
        if self.session(request) is None:
            return 401, TOKEN_NEEDED
        return None if looks else self._page_refusal(request)

    def _page_refusal(self, request: web.Request) -> tuple[int, str] | None:
        action = request.path.removeprefix("/api/")
        if not self.actions:
            return 403, NO_ACTIONS
        if not same_origin(request) or request.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
            return 403, "only the page of this very address may act with its session: the Origin must be the same"
        if request.headers.get(CSRF) != "cockpit":
            return 403, "the page's own header X-CSRF is missing"
        if action not in AT_ONCE | TWO_STEPS:
            return 403, f"the page cannot do {action}: use the token"
        return None

    # --- two steps ---

    def prepare(self, action: str, body: Mapping[str, Any], state: Any) -> dict[str, Any]:
        """What is shown to the trader, and what must come back with the action."""
        nonce = secrets.token_urlsafe(18)
        symbol = body.get("symbol")
        confirm = f"{action} {symbol.split('/')[0]}" if isinstance(symbol, str) and symbol.isascii() else action
        until_s = self._now_s() + CONFIRM_S
        kept = _Prepared(action, _canonical(body), _canonical(state), confirm, until_s)
        _put(self._prepared, _hash(nonce), kept, NONCES)
        return {"nonce": nonce, "confirm": confirm, "state": state, "seconds": CONFIRM_S}

    def confirmed(self, request: web.Request, body: Any, state: Any) -> str:
        """Why an action of the page is not confirmed; "" where it is. A nonce serves once, whatever comes of it."""
        kept = self._prepared.pop(_hash(request.headers.get("X-Nonce", "")), None)
        if kept is None:
            return "prepare it first: this confirmation was used, or never given"
        if kept.until_s <= self._now_s():
            return f"the confirmation is older than {CONFIRM_S:.0f} s: look again"
        if (kept.action, kept.body) != (request.path.removeprefix("/api/"), _canonical(body)):
            return "the confirmation is for something else"
        if kept.state != _canonical(state):
            return "what was shown has changed meanwhile: look again"
        if request.headers.get("X-Confirm") != kept.confirm:
            return f"type {kept.confirm!r} to confirm"
        return ""


def same_origin(request: web.Request) -> bool:
    origin = urlsplit(request.headers.get("Origin", ""))
    return origin.scheme in ("http", "https") and origin.netloc == request.host


def _by_tls(request: web.Request) -> bool:
    """As a proxy before us says; a cookie for it then never goes another way."""
    return request.secure or request.headers.get("X-Forwarded-Proto") == "https"


def _hash(secret: str) -> bytes:
    return sha256(secret.encode(errors="surrogateescape")).digest()


def _canonical(value: Any) -> bytes:
    return orjson.dumps(value, default=str, option=orjson.OPT_SORT_KEYS)


def _put(into: dict[bytes, Any], key: bytes, value: Any, limit: int) -> None:
    """The oldest makes room."""
    into[key] = value
    if len(into) > limit:
        del into[next(iter(into))]
