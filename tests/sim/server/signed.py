"""Private calls of a test, signed as the venue wants them."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any
from urllib.parse import urlencode

import orjson
from yarl import URL

from tests.sim.server.benches import ACCOUNTS, CLOCK, Bench

ORDER = "/fapi/v1/order"
LIMIT = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.01"}


async def call(
    on: Bench, method: str, path: str, of: Any = 0, *, key: Any = None, signed: Any = True, **given: Any
) -> tuple[int, Any, Any]:
    """Status, body and headers; parameters go into the query string, those of a POST into the body."""
    secret = given.pop("secret", ACCOUNTS[of].api_secret)
    if signed:
        given = {"timestamp": CLOCK[0], **given}
    text = urlencode({name: str(value) for name, value in given.items()})
    if signed:
        text += f"&signature={hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()}"
    headers = {"X-MBX-APIKEY": ACCOUNTS[of].api_key if key is None else key}
    body = text.encode() if method == "POST" else None
    url = on.url + path + ("" if method == "POST" else f"?{text}")
    if method == "POST":
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    async with on.session.request(method, URL(url, encoded=True), headers=headers, data=body) as response:
        return response.status, orjson.loads(await response.read()), response.headers


async def done(on: Bench, method: str, path: str, of: Any = 0, **given: Any) -> Any:
    status, body, _ = await call(on, method, path, of, **given)
    assert status == 200, body
    return body


def near(on: Bench, away: int) -> str:
    """A price so many ticks from the best bid."""
    coin, book = on.market.coins["BTCUSDT"], on.market.books["BTCUSDT"]
    return f"{(book.best_bid + away) * coin.tick:f}"
