"""Bybit v5 linear perpetuals on the wire: market messages in, neutral structs out, trading rules, and the subscribe message.

No socket. A `Decoder` belongs to one connection and remembers only the last update id of each book: `u` must be consecutive,
a snapshot (also one with `u` 1, after the venue restarted) begins anew. Quantities are in base coin already.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import Meta, Raw, Struct

from bot.domain.errors import FeedError
from bot.domain.instrument import Instrument
from bot.domain.market import BookDiff, BookSnapshot, ForcedOrder, MarketMessage, TradePrint
from bot.domain.values import LONG, MS, SHORT

VENUE = "bybit"
MAX_BYTES = 8 * 1024 * 1024

_Positive = Annotated[float, Meta(ge=1e-18, le=1e18)]
_NotNegative = Annotated[float, Meta(ge=0.0, le=1e18)]
_Id = Annotated[int, Meta(ge=0, le=2**62)]
_Ms = Annotated[int, Meta(ge=0, le=9 * 10**12)]
_Name = Annotated[str, Meta(min_length=1, max_length=64)]


class _Outline(Struct, gc=False):
    topic: str = ""
    type: str = ""
    ts: _Ms = 0
    data: Raw = Raw(b"null")
    op: str = ""
    success: bool = True
    ret_msg: str = ""


class _Book(Struct, gc=False):
    s: _Name
    b: list[tuple[_Positive, _NotNegative]]
    a: list[tuple[_Positive, _NotNegative]]
    u: _Id


class _Trade(Struct, gc=False):
    T: _Ms
    s: _Name
    S: str
    v: _Positive
    p: _Positive
    i: str


class _Forced(Struct, gc=False):
    T: _Ms
    s: _Name
    S: str
    v: _Positive
    p: _Positive


_outline = msgspec.json.Decoder(_Outline).decode
_book = msgspec.json.Decoder(_Book, strict=False).decode
_trades = msgspec.json.Decoder(list[_Trade], strict=False).decode
_liquidations = msgspec.json.Decoder(list[_Forced], strict=False).decode


class Decoder:
    """After a gap every further change of that book is refused until its next snapshot: the caller resubscribes."""

    def __init__(self) -> None:
        self._last_ids: dict[str, int] = {}

    def decode(self, raw: bytes) -> list[MarketMessage]:
        """The messages in neutral form, none for an acknowledgement or pong; FeedError for anything else."""
        if len(raw) > MAX_BYTES:
            raise _refusal(f"message of {len(raw)} bytes, more than {MAX_BYTES}", raw)
        try:
            top = _outline(raw)
            if top.topic.startswith("orderbook."):
                return [self._depth(top)]
            if top.topic.startswith("publicTrade."):
                return [_print(trade) for trade in _trades(top.data)]
            if top.topic.startswith("allLiquidation."):
                return [_forced(order) for order in _liquidations(top.data)]
            if top.op and top.success:
                return []
            raise ValueError(top.ret_msg or "neither a book, trades, liquidations nor an acknowledgement")
        except (ValueError, RecursionError) as error:
            raise _refusal(error, raw) from None

    def _depth(self, top: _Outline) -> MarketMessage:
        book = _book(top.data)
        if not top.topic.endswith("." + book.s):
            raise ValueError(f"topic {top.topic} with a book of {book.s}")
        if top.type == "snapshot" or (top.type == "delta" and book.u == 1):
            self._last_ids[book.s] = book.u
            return BookSnapshot(book.s, book.u, top.ts * MS, book.b, book.a, True)
        if top.type != "delta":
            raise ValueError(f"type is {top.type!r}")
        last_id = self._last_ids.pop(book.s, None)
        if last_id is None:
            raise ValueError(f"{book.s}: change {book.u} without a snapshot")
        if book.u != last_id + 1:
            raise ValueError(f"{book.s}: gap: expected u {last_id + 1}, got {book.u}")
        self._last_ids[book.s] = book.u
        return BookDiff(book.s, book.u, book.u, last_id, top.ts * MS, book.b, book.a)


def _print(trade: _Trade) -> TradePrint:
    """The venue's trade id is a UUID; the number made of it tells trades apart but is in no order."""
    if trade.S not in ("Buy", "Sell"):
        raise ValueError(f"S is {trade.S!r}, not Buy or Sell")
    number = UUID(trade.i).int >> 66
    return TradePrint(trade.s, number, trade.p, trade.v, trade.S == "Buy", trade.T * MS)


def _forced(order: _Forced) -> ForcedOrder:
    """`S` is the side of the position here, not of the order that closes it."""
    if order.S not in ("Buy", "Sell"):
        raise ValueError(f"S is {order.S!r:.40}, not Buy or Sell")
    side = LONG if order.S == "Buy" else SHORT
    return ForcedOrder(order.s, side, order.p, order.v, order.T * MS, complete=True)


def _refusal(problem: object, raw: bytes) -> FeedError:
    """Cut and escaped: what comes over a socket can neither fill a log nor forge a line of it."""
    return FeedError(f"{VENUE}: {str(problem)[:200].encode('unicode_escape').decode()}: {raw[:120]!r}")


def subscribe(symbols: list[str], channels: list[str], request_id: int) -> bytes:
    """Channels as the venue names them, without the symbol: `orderbook.50`, `publicTrade`, `allLiquidation`."""
    args = [f"{channel}.{symbol}" for symbol in symbols for channel in channels]
    return msgspec.json.encode({"op": "subscribe", "args": args, "req_id": str(request_id)})


class _Listing(Struct, gc=False):
    symbol: _Name
    contractType: str
    status: str
    baseCoin: _Name
    quoteCoin: _Name
    settleCoin: _Name
    priceFilter: dict[str, Any]
    lotSizeFilter: dict[str, Any]


class _Result(Struct):
    rows: list[dict[str, Any]] = msgspec.field(name="list")


class _Instruments(Struct):
    retCode: int
    result: _Result


_instruments = msgspec.json.Decoder(_Instruments).decode


def parse_instruments(raw: bytes) -> tuple[dict[str, Instrument], dict[str, str]]:
    """The perpetuals that trade, by venue symbol; and those left out because their rules cannot be read, with the reason."""
    try:
        reply = _instruments(raw)
        if reply.retCode:
            raise ValueError(f"retCode {reply.retCode}")
    except (ValueError, RecursionError) as error:
        raise _refusal(f"instruments: {error}", raw) from None
    instruments: dict[str, Instrument] = {}
    left_out: dict[str, str] = {}
    for position, row in enumerate(reply.result.rows):
        try:
            listing = msgspec.convert(row, _Listing)
            if listing.contractType == "LinearPerpetual" and listing.status == "Trading":
                instruments[listing.symbol] = _instrument(listing)
        except (ValueError, ArithmeticError) as error:
            left_out[str(row.get("symbol", f"list[{position}]"))] = str(error)
    return instruments, left_out


def _instrument(listing: _Listing) -> Instrument:
    lot = listing.lotSizeFilter
    largest = _number(lot, "maxOrderQty")
    return Instrument(
        id=f"{VENUE}:{listing.symbol}",
        venue=VENUE,
        symbol=listing.symbol,
        unified=f"{listing.baseCoin}/{listing.quoteCoin}:{listing.settleCoin}",
        base=listing.baseCoin,
        quote=listing.quoteCoin,
        tick=_number(listing.priceFilter, "tickSize"),
        step=_number(lot, "qtyStep"),
        min_quantity=_number(lot, "minOrderQty"),
        max_quantity=largest,
        max_market_quantity=_number(lot, "maxMktOrderQty") if "maxMktOrderQty" in lot else largest,
        min_notional=_number(lot, "minNotionalValue"),
    )


def _number(rules: dict[str, Any], key: str) -> Decimal:
    text = rules.get(key)
    value = Decimal(text) if isinstance(text, str) and len(text) <= 40 else Decimal(0)
    if not (value.is_finite() and value > 0 and abs(value.adjusted()) <= 18):
        raise ValueError(f"{key} is {text!r:.40}, not a positive number")
    return value
