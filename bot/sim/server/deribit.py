"""Deribit's public option summary for the simulated market: a chain whose max pain is the market's own.

Open interest lies in a bell around that strike, calls and puts alike, so writers pay least exactly there; the underlying is the
perpetual's mid. A second, farther expiry has a tenth of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from math import exp
from typing import Any

from aiohttp import web

from bot.domain.reading import MaxPain
from bot.sim.outside import strike_apart
from bot.sim.server.limits import answer
from bot.sim.server.market import SimMarket

COINS = ("BTC", "ETH")  # that have options there
PATH = "/api/v2/public/get_book_summary_by_currency"
_STRIKES = 12  # on each side of the fullest
_WIDE = 5.0  # strikes: how broad the bell is
_IV_PCT = 52.0


class DeribitAnswers:
    def __init__(self, market: SimMarket) -> None:
        self._market = market

    def routes(self) -> list[web.RouteDef]:
        return [web.get(PATH, self._handle)]

    async def _handle(self, request: web.Request) -> web.Response:
        coin, kind = request.query.get("currency", ""), request.query.get("kind", "option")
        if coin not in (*COINS, "USDC", "USDT", "SOL", "XRP") or kind not in ("option", "future", "spot"):
            wrong = "currency" if kind in ("option", "future", "spot") else "kind"
            data = {"reason": "wrong value", "param": wrong}
            error = {"code": -32602, "message": "Invalid params", "data": data}
            return answer({"jsonrpc": "2.0", "error": error, **self._stamps()}, 400)
        rows = list(self._rows(coin)) if kind == "option" else []
        return answer({"jsonrpc": "2.0", "result": rows, **self._stamps()})

    def _stamps(self) -> dict[str, Any]:
        now_us = self._market.now_ms() * 1000
        return {"usIn": now_us, "usOut": now_us, "usDiff": 0, "testnet": False}

    def _rows(self, coin: str) -> Iterator[dict[str, Any]]:
        told = self._market.told.get(("max_pain", coin))
        book = self._market.books.get(f"{coin}USDT")
        if coin not in COINS or told is None or book is None or book.mid is None:
            return
        pain = told.value
        assert isinstance(pain, MaxPain)
        near = date.fromisoformat(pain.expiry)
        for expiry, share in ((near, 1.0), (near + timedelta(days=28), 0.1)):
            yield from _chain(coin, expiry, pain, book.mid, share, told.ms)


def _chain(coin: str, expiry: date, pain: MaxPain, spot: float, share: float, ms: int) -> Iterator[dict[str, Any]]:
    apart = strike_apart(Decimal(str(spot)))
    bell = {step: exp(-((step / _WIDE) ** 2) / 2) for step in range(-_STRIKES, _STRIKES + 1)}
    scale = float(pain.notional_usd) / spot * share / (2 * sum(bell.values()))
    day = expiry.strftime("%d%b%y").upper().lstrip("0")
    for step, weight in bell.items():
        strike = pain.price + step * apart
        if strike <= 0:
            continue
        for kind in "CP":
            yield {
                "instrument_name": f"{coin}-{day}-{strike:f}-{kind}",
                "base_currency": coin,
                "quote_currency": coin,
                "underlying_index": f"{coin}-{day}",
                "underlying_price": round(spot, 4),
                "open_interest": round(weight * scale, 1),
                "mark_iv": _IV_PCT,
                "interest_rate": 0.0,
                "creation_timestamp": ms,
            }
