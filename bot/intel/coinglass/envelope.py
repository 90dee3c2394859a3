"""The envelope around every CoinGlass answer, and strict access to what is in it. Pure; called by `client` and `schema`.

`data_of` judges HTTP status and body together: refusals come with HTTP 200 and a code in the body, and the same code 401
means a plan that is too small or a key that is refused (reference, section 2). `Row` reads fields by name and type: a field
that is absent, of another type, not finite or out of range raises with its path. Numbers are never taken from text nor text
from numbers, except where the field is documented as text.
"""

from __future__ import annotations

import re
from decimal import Decimal
from enum import StrEnum
from typing import Any

import msgspec

from bot.domain.errors import FeedError

MAX_BYTES = 8 * 1024 * 1024
LARGEST, SMALLEST = Decimal("1e15"), Decimal("1e-12")  # USD, coins or a price: beyond them lies no sense

_NUMBER = re.compile(r"\d{1,18}(?:\.\d{1,18})?", re.ASCII)
_LONGEST_TEXT = 64


class Why(StrEnum):
    """What a refusal is about, which decides what is asked next."""

    PLAN = "not in plan"  # this endpoint
    INTERVAL = "interval not in plan"  # this endpoint at this interval
    KEY = "key refused"  # every call
    REQUEST = "request refused"  # this call: asking again gives the same
    LIMIT = "rate limit"  # every call, for a while
    DOWN = "not reachable"  # every call, for a while
    SERVER = "server error"  # this call, for a while
    BAD = "bad answer"  # this call, for a while


class Refusal(FeedError):
    """No usable answer. The text is cut and escaped; `retry_after_s` only where the provider said it."""

    def __init__(self, why: Why, text: str, retry_after_s: float | None = None) -> None:
        super().__init__(f"{why}: {text}" if text else str(why))
        self.why, self.text, self.retry_after_s = why, text, retry_after_s


def shorten(what: object) -> str:
    """Cut and escaped: what comes over a socket can neither fill a log nor forge a line of it."""
    return str(what)[:160].encode("unicode_escape").decode()[:200]


_BY_CODE = {"400": Why.REQUEST, "404": Why.REQUEST, "405": Why.REQUEST, "422": Why.REQUEST}
_BY_CODE |= {"403": Why.INTERVAL, "408": Why.SERVER, "429": Why.LIMIT}

_decode = msgspec.json.Decoder(float_hook=Decimal).decode


def data_of(status: int, content_type: str, raw: bytes) -> Any:
    """`data` of a successful answer, its fractions as Decimal; anything else raises Refusal."""
    if len(raw) > MAX_BYTES:
        raise Refusal(Why.BAD, f"answer of {len(raw)} bytes, more than {MAX_BYTES}")
    if 300 <= status < 400:
        raise Refusal(Why.BAD, f"HTTP {status}: a redirect is not followed")
    if "json" not in content_type:
        raise _by_status(status, f"content type {shorten(content_type)}, not JSON")
    try:
        body = _decode(raw)
    except (ValueError, ArithmeticError, RecursionError) as error:
        raise _by_status(status, f"not JSON: {shorten(error)}") from None
    code = body.get("code") if isinstance(body, dict) else None
    if isinstance(code, bool) or not isinstance(code, str | int):
        raise _by_status(status, "code: missing or no text")
    if str(code) == "0":
        return _data(status, body)
    raise _by_code(str(code), body.get("msg"))


def _data(status: int, body: dict[str, Any]) -> Any:
    if status != 200:
        raise _by_status(status, "code 0")
    if body.get("data") is None:
        raise Refusal(Why.BAD, "data: missing")
    return body["data"]


def _by_code(code: str, message: object) -> Refusal:
    text = f"code {shorten(code)}, {shorten(message)}" if isinstance(message, str) else f"code {shorten(code)}"
    if code == "401":
        upgrade = isinstance(message, str) and "upgrade" in message.lower()
        return Refusal(Why.PLAN if upgrade else Why.KEY, text)
    if len(code) == 3 and code.startswith("5"):
        return Refusal(Why.SERVER, text)
    return Refusal(_BY_CODE.get(code, Why.BAD), text)


def _by_status(status: int, text: str) -> Refusal:
    """For a body that says nothing: a page of the network in front, or a proxy's."""
    kinds = {401: Why.KEY, 404: Why.REQUEST, 429: Why.LIMIT}
    why = Why.DOWN if status >= 500 or status == 403 else kinds.get(status, Why.BAD)
    return Refusal(why, f"HTTP {status}, {text}")


# --- fields -----------------------------------------------------------------------------------------------------------


def bad(path: str, value: object, wanted: str) -> Refusal:
    return Refusal(Why.BAD, f"{path}: {wanted}, got {shorten(value)}")


def number(path: str, value: object, *, least: Decimal = Decimal(0), most: Decimal = LARGEST) -> Decimal:
    """A JSON number within both bounds; booleans and text are none."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise bad(path, _kind(value), "must be a number")
    return _within(path, Decimal(value), least, most)


def text_number(path: str, value: object, *, least: Decimal = Decimal(0), most: Decimal = LARGEST) -> Decimal:
    """A number that is documented as text."""
    if not isinstance(value, str) or not _NUMBER.fullmatch(value):
        raise bad(path, value if isinstance(value, str) else _kind(value), "must be a number in text")
    return _within(path, Decimal(value), least, most)


def _within(path: str, value: Decimal, least: Decimal, most: Decimal) -> Decimal:
    if not (value.is_finite() and least <= value <= most) or 0 < value < SMALLEST:
        raise bad(path, value, f"must lie between {least} and {most}")
    return value


def whole(path: str, value: object, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise bad(path, value if isinstance(value, int) else _kind(value), f"must be a whole number, {least} to {most}")
    return value


def text(path: str, value: object) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= _LONGEST_TEXT or not value.isprintable():
        raise bad(path, value if isinstance(value, str) else _kind(value), "must be a short text")
    return value


def listed(path: str, value: object) -> list[Any]:
    if not isinstance(value, list):
        raise bad(path, _kind(value), "must be a list")
    return value


def keyed(path: str, value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise bad(path, _kind(value), "must be an object")
    return value


def _kind(value: object) -> str:
    names = {
        dict: "an object",
        list: "a list",
        str: "text",
        bool: "a boolean",
        int: "a whole number",
        Decimal: "a number",
    }
    return "nothing" if value is None else names.get(type(value), "something else")


class Row:
    """One object and where it is, so that each error names its field."""

    def __init__(self, path: str, value: object) -> None:
        self.path, self._fields = path, keyed(path, value)

    def raw(self, field: str) -> tuple[str, Any]:
        return f"{self.path}.{field}", self._fields.get(field)

    def number(self, field: str, *, positive: bool = False) -> Decimal:
        value = number(*self.raw(field))
        if positive and not value:
            raise bad(f"{self.path}.{field}", value, "must be more than zero")
        return value

    def text(self, field: str) -> str:
        return text(*self.raw(field))

    def whole(self, field: str, least: int, most: int) -> int:
        path, value = self.raw(field)
        return whole(path, value, least, most)
