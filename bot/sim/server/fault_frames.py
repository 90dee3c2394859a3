"""One spoiled message: what is sent instead of it. Pure; `faults.py` says which messages."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import orjson

from bot.domain.values import Side
from bot.sim.faults import Kind
from bot.sim.server.market import SimMarket
from bot.sim.server.public_wire import levels

HUGE_BYTES = 16 << 20
_TIMES = re.compile(rb'"([ET])":(\d{13})\b')
_SYMBOL = re.compile(rb'"s":"([^"]+)"')
_DIGIT = re.compile(rb'":?\[*"[0-9.]*(\d)"')

Made = list[bytes] | None


def spoil(kind: Kind, body: bytes, market: SimMarket) -> Made:
    """None: this kind has nothing to do with such a message. Those that are held back are sent later, by somebody else."""
    return _SPOILERS[kind](body, market)


def symbol_of(body: bytes) -> str:
    found = _SYMBOL.search(body)
    return "" if found is None else found[1].decode()


def later(body: bytes, off_ms: int) -> bytes:
    """As a clock that is ahead by so much stamps it."""
    return _TIMES.sub(lambda found: b'"%b":%d' % (found[1], int(found[2]) + off_ms), body)


def _read(body: bytes, *kinds: str) -> dict[str, Any] | None:
    """Another fault may have been there before."""
    try:
        message = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return message if isinstance(message, dict) and message.get("e") in kinds else None


def _wrong_pu(body: bytes, market: SimMarket) -> Made:
    message = _read(body, "depthUpdate")
    if message is None or "pu" not in message:
        return None
    return [orjson.dumps(message | {"pu": message["pu"] - 1})]


def _no_pu(body: bytes, market: SimMarket) -> Made:
    message = _read(body, "depthUpdate")
    if message is None or "pu" not in message:
        return None
    del message["pu"]
    return [orjson.dumps(message)]


def _crossed(body: bytes, market: SimMarket) -> Made:
    """Somebody bids as much as the third ask wants; of a best bid and ask each is the other."""
    message = _read(body, "depthUpdate", "bookTicker")
    if message is None:
        return None
    if message["e"] == "bookTicker":
        return [orjson.dumps(message | {"b": message["a"], "a": message["b"]})]
    book = market.books[message["s"]]
    bid = levels(book.coin, book.rungs(Side.SELL, 3)[-1:])
    return [orjson.dumps(message | {"b": [*bid, *message["b"]]})]


def _corrupt(body: bytes, market: SimMarket) -> Made:
    """The last digit of the first number in quotes is another one, as no checksum of Binance's would tell."""
    found = _DIGIT.search(body)
    if found is None:
        return None
    at = found.start(1)
    return [body[:at] + b"%d" % ((int(found[1]) + 5) % 10) + body[at + 1 :]]


def _huge(body: bytes, market: SimMarket) -> Made:
    return [body[:-1] + b',"pad":"%b"}' % (b"x" * HUGE_BYTES)] if body.endswith(b"}") else None


_SPOILERS: dict[Kind, Callable[[bytes, SimMarket], Made]] = {
    Kind.LOSE: lambda body, market: [],
    Kind.DOUBLE: lambda body, market: [body, body],
    Kind.SWAP: lambda body, market: [],
    Kind.DELAY: lambda body, market: [],
    Kind.WRONG_PU: _wrong_pu,
    Kind.NO_PU: _no_pu,
    Kind.CROSSED: _crossed,
    Kind.CORRUPT: _corrupt,
    Kind.MALFORMED: lambda body, market: [body[: len(body) // 2]],
    Kind.HUGE: _huge,
}
