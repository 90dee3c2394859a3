"""Who asks, and whether it is really they: API keys, HMAC-SHA256 signatures and timestamps, refused as Binance refuses them.

The signature covers the query string and the body, one after the other, exactly as sent, without itself.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping

from bot.sim.exchange.account import ApiKey, TradingAccount
from bot.sim.refusals import Refused, missing
from bot.sim.server.query import Query

WINDOW_MS, LONGEST_WINDOW_MS, AHEAD_MS = 5000, 60_000, 1000

Keys = Mapping[str, tuple[TradingAccount, ApiKey]]


def account_of(key: str, keys: Keys) -> tuple[TradingAccount, ApiKey]:
    if not key:
        raise Refused(-2014, "API-key format invalid.", 401)
    if key not in keys:
        raise Refused(-2015, "Invalid API-key, IP, or permissions for action.", 401)
    return keys[key]


def check_signature(query_string: str, body: str, query: Query, secret: str, now_ms: int) -> None:
    """`query` has the parameters of both. Raises Refused."""
    timestamp_ms = query.whole("timestamp", -1)
    if timestamp_ms < 0:
        raise missing("timestamp")
    given = query.text("signature")
    signed = "".join(_without_signature(part) for part in (query_string, body))
    expected = hmac.new(secret.encode(), signed.encode(), hashlib.sha256).hexdigest()
    if not hmac.compare_digest(expected.encode(), given.lower().encode()):
        raise Refused(-1022, "Signature for this request is not valid.")
    window_ms = query.whole("recvWindow", WINDOW_MS)
    if window_ms > LONGEST_WINDOW_MS:
        raise Refused(-1131, "recvWindow must be less than 60000")
    if timestamp_ms >= now_ms + AHEAD_MS:
        raise Refused(-1021, "Timestamp for this request was 1000ms ahead of the server's time.")
    if timestamp_ms < now_ms - window_ms:
        raise Refused(-1021, "Timestamp for this request is outside of the recvWindow.")


def _without_signature(part: str) -> str:
    return "&".join(pair for pair in part.split("&") if not pair.startswith("signature="))
