"""Bybit v5 linear perpetuals on the wire: market messages in, neutral structs out, trading rules, and how data are asked for.

No socket. A `Decoder` belongs to one connection. It remembers the last update id of each book: `u` must be consecutive, a
snapshot (also one with `u` 1, after the venue restarted) begins anew; and what each ticker last said, for its changes name only
the fields that changed. Quantities are in base coin already.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
from msgspec import Raw, Struct

from bot.domain.errors import FeedError
from bot.domain.frames import DEPTH, TRADES
from bot.domain.instrument import Instrument
from bot.domain.market import Bar, BookDiff, BookSnapshot, ForcedOrder, MarketMessage, MarkPrice, TradePrint, flaw_of
from bot.domain.values import LONG, MS, NS, SHORT
from bot.exchanges import base
from bot.exchanges.base import BookLost, Klines, StreamPlan
from bot.exchanges.wire import MAX_BYTES, Id, Ms, Name, NotNegative, Positive, Rate, refusal

VENUE = "bybit"


class _Outline(Struct, gc=False):
    topic: str = ""
    type: str = ""
    ts: Ms = 0
    data: Raw = Raw(b"null")
    op: str = ""
    success: bool = True
    ret_msg: str = ""


class _Book(Struct, gc=False):
    s: Name
    b: list[tuple[Positive, NotNegative]]
    a: list[tuple[Positive, NotNegative]]
    u: Id


class _Trade(Struct, gc=False):
    T: Ms
    s: Name
    S: str
    v: Positive
    p: Positive
    i: str


class _Forced(Struct, gc=False):
    T: Ms
    s: Name
    S: str
    v: Positive
    p: Positive


class _Ticker(Struct, gc=False):
    """Empty text is a field that does not apply; one that is absent has not changed."""

    symbol: Name
    markPrice: str = ""
    indexPrice: str = ""
    fundingRate: str = ""
    nextFundingTime: str = ""


_outline = msgspec.json.Decoder(_Outline).decode
_ticker = msgspec.json.Decoder(dict[str, Any]).decode
_book = msgspec.json.Decoder(_Book, strict=False).decode
_trades = msgspec.json.Decoder(list[_Trade], strict=False).decode
_liquidations = msgspec.json.Decoder(list[_Forced], strict=False).decode


class Decoder:
    """After a gap every further change of that book is refused until its next snapshot: the caller resubscribes."""

    def __init__(self) -> None:
        self._last_ids: dict[str, int] = {}
        self._tickers: dict[str, dict[str, Any]] = {}

    def decode(self, raw: bytes) -> list[MarketMessage]:
        """The messages in neutral form, none for an acknowledgement or pong; FeedError for anything else, BookLost where a change
        does not follow."""
        if len(raw) > MAX_BYTES:
            raise refusal(VENUE, f"message of {len(raw)} bytes, more than {MAX_BYTES}", raw)
        try:
            top = _outline(raw)
            if top.topic.startswith("orderbook."):
                return [self._depth(top)]
            if top.topic.startswith("publicTrade."):
                return [_print(trade) for trade in _trades(top.data)]
            if top.topic.startswith("allLiquidation."):
                return [_forced(order) for order in _liquidations(top.data)]
            if top.topic.startswith("tickers."):
                return self._mark(top)
            if top.op and top.success:
                return []
            raise ValueError(top.ret_msg or "neither a book, trades, a ticker, liquidations nor an acknowledgement")
        except (ValueError, RecursionError) as error:
            raise refusal(VENUE, error, raw) from None

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
            raise BookLost(book.s, f"{VENUE} {book.s}: change {book.u} without a snapshot")
        if book.u != last_id + 1:
            raise BookLost(book.s, f"{VENUE} {book.s}: gap: expected u {last_id + 1}, got {book.u}")
        self._last_ids[book.s] = book.u
        return BookDiff(book.s, book.u, book.u, last_id, top.ts * MS, book.b, book.a)

    def _mark(self, top: _Outline) -> list[MarketMessage]:
        """Nothing before the first mark price."""
        said = _ticker(top.data)
        symbol = said.get("symbol")
        if not isinstance(symbol, str) or top.topic != f"tickers.{symbol}":
            raise ValueError(f"topic {top.topic} with a ticker of {symbol!r:.40}")
        if top.type not in ("snapshot", "delta"):
            raise ValueError(f"type is {top.type!r}")
        before = self._tickers.get(symbol, {}) if top.type == "delta" else {}
        known = {**before, **{key: said[key] for key in _Ticker.__struct_fields__ if key in said}}
        ticker = msgspec.convert(known, _Ticker)
        mark = _optional(ticker.markPrice, Positive)
        index, rate = _optional(ticker.indexPrice, Positive), _optional(ticker.fundingRate, Rate)
        next_ms: int | None = _optional(ticker.nextFundingTime, Ms)
        self._tickers[symbol] = known
        if mark is None:
            return []
        return [MarkPrice(symbol, mark, index, rate, next_ms * MS if next_ms else None, top.ts * MS)]


def _optional(text: str, kind: Any) -> Any:
    """None for an empty text; raises ValueError for what is not of that kind."""
    return msgspec.convert(text, kind, strict=False) if text else None


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


def subscribe(symbols: Sequence[str], channels: Sequence[str], request_id: int, op: str = "subscribe") -> bytes:
    """Channels as the venue names them, without the symbol: `orderbook.50`, `publicTrade`, `allLiquidation`."""
    args = [f"{channel}.{symbol}" for symbol in symbols for channel in channels]
    return msgspec.json.encode({"op": op, "args": args, "req_id": str(request_id)})


class _Listing(Struct, gc=False):
    symbol: Name
    contractType: str
    status: str
    baseCoin: Name
    quoteCoin: Name
    settleCoin: Name
    priceFilter: dict[str, Any]
    lotSizeFilter: dict[str, Any]


class _Result(Struct):
    rows: list[dict[str, Any]] = msgspec.field(name="list")
    nextPageCursor: str = ""


class _Instruments(Struct):
    retCode: int
    result: _Result
    retMsg: str = ""


_instruments = msgspec.json.Decoder(_Instruments).decode


def parse_instruments(raw: bytes) -> tuple[dict[str, Instrument], dict[str, str]]:
    """The perpetuals that trade, by venue symbol; and those left out because their rules cannot be read, with the reason."""
    try:
        reply = _instruments(raw)
        if reply.retCode:
            raise ValueError(f"retCode {reply.retCode} {reply.retMsg}".strip())
    except (ValueError, RecursionError) as error:
        raise refusal(VENUE, f"instruments: {error}", raw) from None
    instruments: dict[str, Instrument] = {}
    left_out: dict[str, str] = {}
    for position, row in enumerate(reply.result.rows):
        try:
            listing = msgspec.convert(row, _Listing)
            if listing.contractType == "LinearPerpetual" and listing.status == "Trading":
                instruments[listing.symbol] = _instrument(listing)
        except (ValueError, ArithmeticError) as error:
            left_out[str(row.get("symbol", f"list[{position}]"))] = str(error)
    if reply.result.nextPageCursor:
        left_out["*"] = f"the venue lists more than the {len(reply.result.rows)} of one page"
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


# --- klines --------------------------------------------------------------------------------------------------------

_Kline = tuple[
    Ms, Positive, Positive, Positive, Positive, NotNegative, NotNegative
]  # ..., base volume, turnover in quote


class _KlineList(Struct):
    symbol: Name
    rows: list[_Kline] = msgspec.field(name="list")


class _Klines(Struct):
    retCode: int
    time: Ms
    result: Raw
    retMsg: str = ""


_klines = msgspec.json.Decoder(_Klines).decode
_kline_list = msgspec.json.Decoder(_KlineList, strict=False).decode


def parse_klines(raw: bytes, width_s: int) -> Klines:
    """The bars that were finished by the venue's own time of the reply, oldest first. It sends them newest first, and says neither
    the number of trades nor what takers bought. A kline without trades is no bar."""
    try:
        reply = _klines(raw)
        if reply.retCode:
            raise ValueError(f"retCode {reply.retCode} {reply.retMsg}".strip())
        rows = _kline_list(reply.result).rows
        finished = [row for row in reversed(rows) if row[0] + width_s * 1000 <= reply.time and row[6]]
        bars = [Bar(row[0] * MS, *row[1:5], row[6], None, None) for row in finished]
        if flaw := flaw_of(bars, width_s * NS):
            raise ValueError(flaw)
    except (ValueError, RecursionError) as error:
        raise refusal(VENUE, f"klines: {error}", raw) from None
    return Klines(width_s, bars)


# --- public data ---------------------------------------------------------------------------------------------------

DEPTH_CHANNEL = "orderbook.1000"
"""The deepest there is, every 200 ms: walls are looked for up to 5 % away, and 200 levels of BTC end after some 0.05 %."""


class Bybit:
    venue = VENUE
    rest_url, ws_url = "https://api.bybit.com", "wss://stream.bybit.com"
    instruments_path = "/v5/market/instruments-info?category=linear&limit=1000"
    past_trades = None  # its trades are not numbered one by one

    def parse_instruments(self, raw: bytes) -> tuple[Mapping[str, Instrument], Mapping[str, str]]:
        return parse_instruments(raw)

    def klines_path(self, symbol: str, width_s: int, count: int) -> str:
        interval = "D" if width_s == 86_400 else str(width_s // 60)
        return f"/v5/market/kline?category=linear&symbol={symbol}&interval={interval}&limit={count}"

    def parse_klines(self, raw: bytes, width_s: int, now_ns: int) -> Klines:
        return parse_klines(raw, width_s)

    def streams(self, symbols: Sequence[str], *, depth_only: bool) -> list[StreamPlan]:
        """One connection, for the venue sets no time at which it ends; a message for each symbol, for it refuses the whole of one in which
        any topic is wrong, such as that of a symbol that is gone. Books of coins that are looked at only may be quiet for
        longer than those of one that is traded, whose ticker speaks too."""
        channels = [DEPTH_CHANNEL, "publicTrade", *(() if depth_only else ("tickers",))]
        plan = StreamPlan(
            name="public",
            path="/v5/public/linear",
            subscribe=tuple(subscribe([symbol], channels, number) for number, symbol in enumerate(symbols, 1)),
            carries=(DEPTH, TRADES),
            silence_s=10.0 if depth_only else 5.0,
            ping=b'{"op":"ping"}',
            pong=b"pong",
            rotate_s=base.NEVER_S,
        )
        return [plan]

    def snapshot_path(self, symbol: str) -> str | None:
        return None

    def snapshot_frame(self, symbol: str, reply: bytes) -> bytes:
        raise FeedError(f"{VENUE}: the stream itself begins with the book")

    def again(self, symbol: str) -> tuple[bytes, ...]:
        return tuple(subscribe([symbol], [DEPTH_CHANNEL], 2, op) for op in ("unsubscribe", "subscribe"))

    def decoder(self, instruments: Iterable[Instrument]) -> base.Decoder:
        return Decoder().decode


EXCHANGE = Bybit()
