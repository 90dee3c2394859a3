"""Parameters of private calls: what comes in the query string or as a form, checked one by one into what the exchange understands."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any, TypeVar

import orjson
from aiohttp import web

from bot.sim.exchange.records import Kind, NewOrder, PositionSide, PriceMatch, SelfTrade, Tif, Working
from bot.sim.refusals import Refused, invalid, missing
from bot.sim.server.query import Query

E = TypeVar("E", bound=StrEnum)
MOST_BYTES = 1 << 16
MOST_IN_BATCH, MOST_CANCELS = 5, 10
_BODY = web.RequestKey("body", bytes)
_LONGEST_NUMBER = 40


async def body_of(request: web.Request) -> bytes:
    """The body, or a little more than the first `MOST_BYTES` of it. May be asked for more than once."""
    if _BODY not in request:
        parts, size = [], 0
        while size <= MOST_BYTES and (part := await request.content.read(MOST_BYTES + 1 - size)):
            parts.append(part)
            size += len(part)
        request[_BODY] = b"".join(parts)
    return request[_BODY]


class Form(Query):
    def optional(self, name: str) -> str | None:
        return self.text(name) if self.has(name) else None

    def number(self, name: str) -> Decimal | None:
        """A decimal, or None where it was not sent."""
        text = self.optional(name)
        if text is None:
            return None
        try:
            value = (
                Decimal(text) if len(text) <= _LONGEST_NUMBER and text.isascii() and "_" not in text else Decimal("NaN")
            )
        except InvalidOperation:
            value = Decimal("NaN")
        if not value.is_finite() or abs(value) >= 10**15 or (value and value.adjusted() < -18):
            raise Refused(
                -1100,
                f"Illegal characters found in parameter '{name}'; legal range is '^([0-9]{{1,20}})(\\.[0-9]{{1,20}})?$'.",
            )
        return value

    def flag(self, name: str) -> bool:
        text = (self.optional(name) or "false").lower()
        if text not in ("true", "false"):
            raise invalid(name)
        return text == "true"

    def choice(self, name: str, kind: type[E], default: E | None = None, code: int = -1130) -> E:
        text = self.optional(name)
        if text is None:
            if default is None:
                raise missing(name)
            return default
        try:
            return kind(text)
        except ValueError:
            raise Refused(code, _WORDS.get(code, f"Data sent for parameter '{name}' is not valid.")) from None

    def listed(self, name: str, most: int, too_many: Refused) -> list[Any]:
        """A JSON array."""
        try:
            rows = orjson.loads(self.text(name))
        except orjson.JSONDecodeError:
            raise invalid(name) from None
        if not isinstance(rows, list) or not rows:
            raise invalid(name)
        if len(rows) > most:
            raise too_many
        return rows

    def batch(self) -> list[Any]:
        return self.listed("batchOrders", MOST_IN_BATCH, Refused(-4082, "Invalid number of batch place orders."))

    def cancels(self, name: str) -> list[Any]:
        return self.listed(name, MOST_CANCELS, Refused(-4032, "Exceed maximum cancel order size."))

    def buys(self) -> bool:
        side = self.text("side")
        if side not in ("BUY", "SELL"):
            raise Refused(-1117, _WORDS[-1117])
        return side == "BUY"

    def number_or_missing(self, name: str) -> Decimal:
        value = self.number(name)
        if value is None:
            raise missing(name)
        return value


_WORDS = {
    -1115: "Invalid timeInForce.",
    -1116: "Invalid orderType.",
    -1117: "Invalid side.",
    -4031: "Invalid parameter working type",
    -4060: "Invalid position side.",
    -5037: "Invalid price match",
    -5039: "Invalid self trade prevention mode",
}


def plain_order(form: Form) -> NewOrder:
    asked = _common(form, "newClientOrderId")
    if asked.kind is Kind.LIMIT and not form.has("timeInForce"):
        raise missing("timeinforce")
    if form.has("stopPrice") and not asked.kind.conditional:
        raise Refused(-1106, "Parameter 'stopprice' sent when not required.")
    return asked


def algo_order(form: Form) -> NewOrder:
    if form.text("algoType") != "CONDITIONAL":
        raise invalid("algoType")
    asked = _common(form, "clientAlgoId")
    asked.trigger_price = form.number("triggerPrice")
    asked.activate_price = form.number("activatePrice") or form.number("activationPrice")
    asked.callback_pct = form.number("callbackRate")
    return asked


def _common(form: Form, id_name: str) -> NewOrder:
    symbol, buys = form.text("symbol"), form.buys()
    kind = form.choice("type", Kind, code=-1116)
    closes = form.flag("closePosition")
    quantity = form.number("quantity")
    if quantity is None and not closes and not kind.conditional:
        raise missing("quantity")
    return NewOrder(
        symbol=symbol,
        buys=buys,
        kind=kind,
        position_side=form.choice("positionSide", PositionSide, PositionSide.BOTH, -4060),
        quantity=quantity or Decimal(0),
        price=form.number("price"),
        price_match=form.choice("priceMatch", PriceMatch, PriceMatch.NONE, -5037),
        tif=form.choice("timeInForce", Tif, Tif.GTC, -1115),
        client_id=form.optional(id_name) or "",
        reduce_only=form.flag("reduceOnly"),
        close_position=closes,
        working=form.choice("workingType", Working, Working.CONTRACT_PRICE, -4031),
        price_protect=form.flag("priceProtect"),
        self_trade=form.choice("selfTradePreventionMode", SelfTrade, SelfTrade.EXPIRE_MAKER, -5039),
        good_till_ms=form.whole("goodTillDate", 0) // 1000 * 1000,
    )


def form_of(row: Any) -> Form:
    """One element of a batch: a JSON object of texts, numbers and truths."""
    if not isinstance(row, Mapping):
        raise invalid("batchOrders")
    texts: dict[str, str] = {}
    for name, value in row.items():
        if isinstance(value, bool):
            texts[name] = "true" if value else "false"
        elif isinstance(value, (str, int, float)):
            texts[name] = str(value)
    return Form(texts)
