"""OKX v5 linear swaps on the wire: market messages in, neutral structs out, trading rules, and how data are asked for.

No socket. A `Decoder` belongs to one connection. It keeps each book as the venue's own text, because the checksum is of that
text, and checks sequence and checksum of every change. The venue gave checksums up in 2026 and sends 0 since then (announced for
23 June): 0 or none is no checksum, and the sequence alone decides. Contracts become base coin here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from itertools import zip_longest
from typing import Annotated, Any, Literal, NamedTuple
from zlib import crc32

import msgspec
from msgspec import Meta, Raw, Struct

from bot.domain.errors import FeedError
from bot.domain.frames import DEPTH, TRADES
from bot.domain.instrument import Instrument
from bot.domain.market import (
    Bar,
    BookDiff,
    BookSnapshot,
    ForcedOrder,
    Level,
    MarketMessage,
    MarkPrice,
    TradePrint,
    flaw_of,
)
from bot.domain.values import LONG, MS, NS, SHORT
from bot.exchanges import base as exchange
from bot.exchanges.base import BookLost, Klines, StreamPlan
from bot.exchanges.wire import MAX_BYTES, Ms, NotNegative, Positive, Rate, refusal

VENUE = "okx"
LIQUIDATIONS = "liquidation-orders"
CHECKED = 25  # levels a side in the checksum

_Text = Annotated[str, Meta(pattern=r"^[0-9]{1,19}(\.[0-9]{1,20})?$")]
_Id = Annotated[int, Meta(ge=-1, le=2**62)]
_Row = tuple[_Text, _Text, _Text, _Text]  # price, contracts, unused, orders


class _Arg(Struct, gc=False):
    channel: str
    instId: str = ""


class _Outline(Struct, gc=False):
    arg: _Arg | None = None
    action: str = ""
    data: Raw = Raw(b"null")
    event: str = ""
    msg: str = ""


class _Book(Struct, gc=False):
    asks: list[_Row]
    bids: list[_Row]
    ts: Ms
    seqId: _Id
    prevSeqId: _Id
    checksum: int = 0


class _Trade(Struct, gc=False):
    instId: str
    tradeId: _Id
    px: _Text
    sz: _Text
    side: str
    ts: Ms


class _Detail(Struct, gc=False):
    side: str
    bkPx: _Text
    sz: _Text
    ts: Ms


class _Forced(Struct, gc=False):
    instId: str
    details: list[_Detail]


class _Mark(Struct, gc=False):
    instId: str
    markPx: Positive
    ts: Ms


class _Funding(Struct, gc=False):
    """`fundingTime` is when `fundingRate` is paid; the venue's `nextFundingTime` is the time after that."""

    instId: str
    fundingRate: Rate | Literal[""]
    fundingTime: Ms
    ts: Ms = 0


_outline = msgspec.json.Decoder(_Outline).decode
_marks = msgspec.json.Decoder(list[_Mark], strict=False).decode
_fundings = msgspec.json.Decoder(list[_Funding], strict=False).decode
_books = msgspec.json.Decoder(list[_Book], strict=False).decode
_trades = msgspec.json.Decoder(list[_Trade], strict=False).decode
_liquidations = msgspec.json.Decoder(list[_Forced], strict=False).decode


class _Ladder:
    """One book as text: price -> contracts, with the sequence id it is at."""

    def __init__(self, book: _Book) -> None:
        self.seq_id = book.seqId
        self.bids: dict[str, str] = {}
        self.asks: dict[str, str] = {}
        self.apply(book)

    def follow(self, book: _Book) -> None:
        """Raises ValueError where this change does not come next, or does not give the venue's checksum."""
        if book.prevSeqId != self.seq_id:
            raise ValueError(f"gap: expected prevSeqId {self.seq_id}, got {book.prevSeqId}")
        self.apply(book)

    def apply(self, book: _Book) -> None:
        for side, rows in ((self.bids, book.bids), (self.asks, book.asks)):
            for price, contracts, _, _ in rows:
                if float(contracts):
                    side[price] = contracts
                else:
                    side.pop(price, None)
        self.seq_id = book.seqId
        if book.checksum and self.checksum() != book.checksum:
            raise ValueError(f"checksum {book.checksum}, the book has {self.checksum()}")

    def checksum(self) -> int:
        """CRC32, signed, of `bid:contracts:ask:contracts:...`; where one side is shorter the other goes on alone."""
        bids = sorted(self.bids, key=float, reverse=True)[:CHECKED]
        asks = sorted(self.asks, key=float)[:CHECKED]
        parts: list[str] = []
        for bid, ask in zip_longest(bids, asks):
            parts += [] if bid is None else [bid, self.bids[bid]]
            parts += [] if ask is None else [ask, self.asks[ask]]
        unsigned = crc32(":".join(parts).encode())
        return unsigned - (1 << 32) if unsigned >> 31 else unsigned


class Decoder:
    """`contract_base` is base coin per contract, by instId. After a gap or a wrong checksum every further change of that book
    is refused until its next snapshot: the caller resubscribes."""

    def __init__(self, contract_base: Mapping[str, Decimal]) -> None:
        self._contract_base = contract_base
        self._ladders: dict[str, _Ladder] = {}
        self._marks: dict[str, tuple[float, int]] = {}  # price, venue's time
        self._funding: dict[str, tuple[float | None, int | None]] = {}  # rate, when it is paid

    def decode(self, raw: bytes) -> list[MarketMessage]:
        """The messages in neutral form, none for an acknowledgement, pong or heartbeat; FeedError for anything else, BookLost where a
        change does not follow or does not give the venue's checksum."""
        if len(raw) > MAX_BYTES:
            raise refusal(VENUE, f"message of {len(raw)} bytes, more than {MAX_BYTES}", raw)
        if raw == b"pong":
            return []
        try:
            top = _outline(raw)
            if top.event in ("subscribe", "unsubscribe", "channel-conn-count"):
                return []
            if top.event or top.arg is None:
                raise ValueError(f"{top.event} {top.msg}".strip() or "neither a book, trades nor an acknowledgement")
            if top.arg.channel == "books":
                return [message for book in _books(top.data) for message in self._depth(top, top.arg.instId, book)]
            if top.arg.channel in ("trades", "trades-all"):
                return [self._print(trade, top.arg) for trade in _trades(top.data)]
            if top.arg.channel == "mark-price":
                return [self._mark(mark) for mark in _marks(top.data)]
            if top.arg.channel == "funding-rate":
                return [message for funding in _fundings(top.data) for message in self._fund(funding)]
            if top.arg.channel == LIQUIDATIONS:
                return [self._forced(each.instId, one) for each in self._ours(top.data) for one in each.details]
            raise ValueError(f"channel is {top.arg.channel!r}")
        except (ValueError, RecursionError) as error:
            raise refusal(VENUE, error, raw) from None

    def _depth(self, top: _Outline, symbol: str, book: _Book) -> list[MarketMessage]:
        base, ladder = self._base(symbol), self._ladders.pop(symbol, None)
        if top.action not in ("snapshot", "update"):
            raise ValueError(f"action is {top.action!r}")
        try:
            if top.action == "snapshot":
                ladder = _Ladder(book)
            elif ladder is None:
                raise ValueError(f"change {book.seqId} without a snapshot")
            else:
                ladder.follow(book)
        except ValueError as error:
            raise BookLost(symbol, f"{VENUE} {symbol}: {error}") from None
        self._ladders[symbol] = ladder
        if top.action == "snapshot":
            return [_snapshot(symbol, ladder, book.ts, base)]
        if book.seqId < book.prevSeqId:  # the venue counts anew: what the book is now stands for all before
            return [_snapshot(symbol, ladder, book.ts, base)]
        if book.seqId == book.prevSeqId and not book.bids and not book.asks:
            return []
        bids, asks = _levels(book.bids, base), _levels(book.asks, base)
        return [BookDiff(symbol, book.seqId, book.seqId, book.prevSeqId, book.ts * MS, bids, asks)]

    def _print(self, trade: _Trade, arg: _Arg) -> TradePrint:
        if trade.side not in ("buy", "sell"):
            raise ValueError(f"side is {trade.side!r}, not buy or sell")
        price, quantity = float(trade.px), float(Decimal(trade.sz) * self._base(trade.instId))
        if trade.instId != arg.instId or trade.tradeId < 0 or not price or not quantity:
            raise ValueError("a trade of another instrument, or with a zero price, size or no id")
        bought, merged = trade.side == "buy", arg.channel == "trades"
        return TradePrint(trade.instId, trade.tradeId, price, quantity, bought, trade.ts * MS, merged)

    def _mark(self, mark: _Mark) -> MarketMessage:
        self._base(mark.instId)
        self._marks[mark.instId] = mark.markPx, mark.ts * MS
        return self._mark_price(mark.instId)

    def _fund(self, funding: _Funding) -> list[MarketMessage]:
        """It comes every half minute, a mark price several times a second: nothing before the first of these."""
        self._base(funding.instId)
        rate = None if funding.fundingRate == "" else funding.fundingRate
        self._funding[funding.instId] = rate, funding.fundingTime * MS or None
        return [self._mark_price(funding.instId)] if funding.instId in self._marks else []

    def _mark_price(self, symbol: str) -> MarkPrice:
        mark, exch_ns = self._marks[symbol]
        rate, next_funding_ns = self._funding.get(symbol, (None, None))
        return MarkPrice(symbol, mark, None, rate, next_funding_ns, exch_ns)

    def _ours(self, data: Raw) -> list[_Forced]:
        """The channel tells of every swap of the venue."""
        return [each for each in _liquidations(data) if each.instId in self._contract_base]

    def _forced(self, symbol: str, order: _Detail) -> ForcedOrder:
        """`side` is that of the order that closes the position: it sells a long."""
        if order.side not in ("buy", "sell"):
            raise ValueError(f"side is {order.side!r:.40}, not buy or sell")
        price, quantity = float(order.bkPx), float(Decimal(order.sz) * self._base(symbol))
        if not price or not quantity:
            raise ValueError("a liquidation with a zero bkPx or sz")
        return ForcedOrder(
            symbol, LONG if order.side == "sell" else SHORT, price, quantity, order.ts * MS, complete=False
        )

    def _base(self, symbol: str) -> Decimal:
        base = self._contract_base.get(symbol)
        if base is None:
            raise ValueError(f"size of a contract of {symbol!r:.40} is not known")
        return base


def _snapshot(symbol: str, ladder: _Ladder, ts: int, base: Decimal) -> BookSnapshot:
    bids, asks = _levels(ladder.bids.items(), base), _levels(ladder.asks.items(), base)
    return BookSnapshot(symbol, max(ladder.seq_id, 0), ts * MS, bids, asks, True)


def _levels(rows: Any, base: Decimal) -> list[Level]:
    levels = [(float(row[0]), float(Decimal(row[1]) * base)) for row in rows]
    if not all(price > 0 for price, _ in levels):
        raise ValueError("a level without a price")
    return levels


def subscribe(symbols: Sequence[str], channels: Sequence[str], op: str = "subscribe") -> bytes:
    """Channels as the venue names them: `books`, `trades`; `liquidation-orders` is one of all swaps. The venue echoes no
    request id."""
    args = [{"channel": each, "instId": symbol} for symbol in symbols for each in channels if each != LIQUIDATIONS]
    args += [{"channel": LIQUIDATIONS, "instType": "SWAP"}] if LIQUIDATIONS in channels else []
    return msgspec.json.encode({"op": op, "args": args})


class Listed(NamedTuple):
    instruments: dict[str, Instrument]
    contract_base: dict[str, Decimal]
    left_out: dict[str, str]


class _Instruments(Struct):
    code: str
    data: list[dict[str, Any]]
    msg: str = ""


_instruments = msgspec.json.Decoder(_Instruments).decode


def parse_instruments(raw: bytes) -> Listed:
    """The linear swaps that trade, what a contract of each is in base coin, and those left out with the reason. The venue has
    no smallest notional: it is 0."""
    try:
        reply = _instruments(raw)
        if reply.code != "0":
            raise ValueError(f"code {reply.code} {reply.msg}".strip())
    except (ValueError, RecursionError) as error:
        raise refusal(VENUE, f"instruments: {error}", raw) from None
    listed = Listed({}, {}, {})
    for position, row in enumerate(reply.data):
        if (row.get("instType"), row.get("ctType"), row.get("state")) != ("SWAP", "linear", "live"):
            continue
        symbol = str(row.get("instId", f"data[{position}]"))
        try:
            base = _number(row, "ctVal") * _number(row, "ctMult")
            listed.instruments[symbol] = _instrument(symbol, row, base)
            listed.contract_base[symbol] = base
        except (ValueError, ArithmeticError) as error:
            listed.left_out[symbol] = str(error)
    return listed


def _instrument(symbol: str, row: dict[str, Any], base: Decimal) -> Instrument:
    coin, quote = symbol.split("-")[:2]
    if row.get("ctValCcy") != coin:
        raise ValueError(f"ctValCcy is {row.get('ctValCcy')!r:.40}, not {coin}")
    return Instrument(
        id=f"{VENUE}:{symbol}",
        venue=VENUE,
        symbol=symbol,
        unified=f"{coin}/{quote}:{row.get('settleCcy')}",
        base=coin,
        quote=quote,
        tick=_number(row, "tickSz"),
        step=_number(row, "lotSz") * base,
        min_quantity=_number(row, "minSz") * base,
        max_quantity=_number(row, "maxLmtSz") * base,
        max_market_quantity=_number(row, "maxMktSz") * base,
        min_notional=Decimal(0),
        contract_size=base,
    )


def _number(rules: dict[str, Any], key: str) -> Decimal:
    text = rules.get(key)
    value = Decimal(text) if isinstance(text, str) and len(text) <= 40 else Decimal(0)
    if not (value.is_finite() and value > 0 and abs(value.adjusted()) <= 18):
        raise ValueError(f"{key} is {text!r:.40}, not a positive number")
    return value


# --- klines --------------------------------------------------------------------------------------------------------

# start, open, high, low, close, volume in contracts, in base coin, in quote, "1" once it is finished
_Kline = tuple[Ms, Positive, Positive, Positive, Positive, NotNegative, NotNegative, NotNegative, Literal["0", "1"]]
_WIDTHS = {3600: "1H", 14_400: "4H", 86_400: "1Dutc"}  # a plain 1D begins at midnight in Hong Kong
MOST_KLINES = 300


class _Klines(Struct):
    code: str
    data: list[_Kline]
    msg: str = ""


_klines = msgspec.json.Decoder(_Klines, strict=False).decode


def parse_klines(raw: bytes, width_s: int) -> Klines:
    """The finished bars, oldest first. The venue sends them newest first, and says neither the number of trades nor what takers
    bought. A kline without trades is no bar."""
    try:
        reply = _klines(raw)
        if reply.code != "0":
            raise ValueError(f"code {reply.code} {reply.msg}".strip())
        finished = [row for row in reversed(reply.data) if row[8] == "1" and row[7]]
        bars = [Bar(row[0] * MS, *row[1:5], row[7], None, None) for row in finished]
        if flaw := flaw_of(bars, width_s * NS):
            raise ValueError(flaw)
    except (ValueError, RecursionError) as error:
        raise refusal(VENUE, f"klines: {error}", raw) from None
    return Klines(width_s, bars)


# --- public data ---------------------------------------------------------------------------------------------------


class Okx:
    venue = VENUE
    rest_url, ws_url = "https://www.okx.com", "wss://ws.okx.com:8443"
    instruments_path = "/api/v5/public/instruments?instType=SWAP"
    past_trades = None  # its trades are not numbered one by one

    def parse_instruments(self, raw: bytes) -> tuple[Mapping[str, Instrument], Mapping[str, str]]:
        listed = parse_instruments(raw)
        return listed.instruments, listed.left_out

    def klines_path(self, symbol: str, width_s: int, count: int) -> str:
        bar = _WIDTHS.get(width_s) or f"{width_s // 60}m"
        return f"/api/v5/market/candles?instId={symbol}&bar={bar}&limit={min(count, MOST_KLINES)}"

    def parse_klines(self, raw: bytes, width_s: int, now_ns: int) -> Klines:
        return parse_klines(raw, width_s)

    def streams(self, symbols: Sequence[str], *, depth_only: bool) -> list[StreamPlan]:
        """One connection, for the venue sets no time at which it ends. `books` are 400 levels a side, the most without a login.
        Books of coins that are looked at only may be quiet for longer than those of one that is traded, whose mark price speaks
        too."""
        channels = ["books", "trades", *(() if depth_only else ("mark-price", "funding-rate"))]
        plan = StreamPlan(
            name="public",
            path="/ws/v5/public",
            subscribe=(subscribe(symbols, channels),),
            carries=(DEPTH, TRADES),
            silence_s=10.0 if depth_only else 5.0,
            ping=b"ping",
            pong=b"pong",
            rotate_s=exchange.NEVER_S,
        )
        return [plan]

    def snapshot_path(self, symbol: str) -> str | None:
        return None

    def snapshot_frame(self, symbol: str, reply: bytes) -> bytes:
        raise FeedError(f"{VENUE}: the stream itself begins with the book")

    def again(self, symbol: str) -> tuple[bytes, ...]:
        return tuple(subscribe([symbol], ["books"], op) for op in ("unsubscribe", "subscribe"))

    def decoder(self, instruments: Iterable[Instrument]) -> exchange.Decoder:
        return Decoder({each.symbol: each.contract_size for each in instruments if each.venue == VENUE}).decode


EXCHANGE = Okx()
