"""Binance USD-M futures on the wire: market messages in, neutral structs out, and how public data are asked for.

Pure: bytes to values, no socket and no state. Each message is decoded once, straight into typed floats, and every number is
checked in that step (finite, on the right side of zero, of a sane size), so that nothing behind this module looks at it again.
Quantities are in base coin already: the contracts are linear.

A key that is not named here is skipped; a key given twice is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from bot.domain.frames import DEPTH, TRADES
from bot.domain.instrument import Instrument
from bot.domain.market import BookDiff, BookSnapshot, ForcedOrder, MarketMessage, MarkPrice, Quote, TradePrint
from bot.domain.values import LONG, MS, SHORT
from bot.exchanges.base import Decoder, Klines, StreamPlan
from bot.exchanges.binance_rest import PastAggTrades, parse_exchange_info, parse_klines
from bot.exchanges.wire import MAX_BYTES, Id, Ms, Name, NotNegative, Positive, Rate, refusal, refuse_duplicate_keys

VENUE = "binanceusdm"
SNAPSHOT_STREAM = "@depth_snapshot"  # not the venue's: how a recorder names the symbol of a REST depth reply

_IGNORED = {"24hrMiniTicker", "24hrTicker", "assetIndexUpdate", "compositeIndex", "continuous_kline"}
_IGNORED |= {"contractInfo", "indexPriceUpdate", "kline", "tradingSession"}


class _Event(Struct, tag_field="e", gc=False):
    """What all events carry. `keys` is the number of required keys, with `e`; `_check_optional_keys` knows the others.

    `neutral` raises ValueError where the fields, right each by itself, make no sense together.

    `X` is MARKET for an ordinary trade; those of the insurance fund and of ADL say NA. The others are not used.
    """

    keys: ClassVar[int]

    s: Name
    E: Ms
    X: str | UnsetType = UNSET
    st: Raw | UnsetType = UNSET
    ps: Raw | UnsetType = UNSET
    nq: Raw | UnsetType = UNSET


class _Depth(_Event, tag="depthUpdate", kw_only=True, gc=False):
    keys = 9

    T: Ms
    U: Id
    u: Id
    pu: Id
    b: list[tuple[Positive, NotNegative]]
    a: list[tuple[Positive, NotNegative]]

    def neutral(self) -> BookDiff:
        if self.u < self.U:
            raise ValueError(f"first update id {self.U} is after the last, {self.u}")
        return BookDiff(self.s, self.U, self.u, self.pu, self.T * MS, self.b, self.a)


class _Trade(_Event, tag="trade", kw_only=True, gc=False):
    """Price and quantity may be 0 where `X` is not MARKET."""

    keys = 8

    T: Ms
    t: Id
    p: NotNegative
    q: NotNegative
    m: Any  # lax decoding would take 1 and "true" for a bool

    def neutral(self) -> TradePrint | None:
        if (self.X != "MARKET" and self.X is not UNSET) or not self.p or not self.q:
            return None
        return TradePrint(self.s, self.t, self.p, self.q, _taker_buys(self.m), self.T * MS)


class _AggTrade(_Event, tag="aggTrade", kw_only=True, gc=False):
    keys = 10

    T: Ms
    a: Id
    f: Id
    l: Id  # noqa: E741 (the venue's name)
    p: Positive
    q: Positive
    m: Any

    def neutral(self) -> TradePrint:
        return TradePrint(self.s, self.a, self.p, self.q, _taker_buys(self.m), self.T * MS, True)


class _BookTicker(_Event, tag="bookTicker", kw_only=True, gc=False):
    keys = 9

    T: Ms
    u: Id
    b: Positive
    B: NotNegative
    a: Positive
    A: NotNegative

    def neutral(self) -> Quote:
        if self.b >= self.a:
            raise ValueError(f"crossed quote: bid {self.b} >= ask {self.a}")
        return Quote(self.s, self.u, self.b, self.B, self.a, self.A, self.T * MS)


class _MarkPrice(_Event, tag="markPriceUpdate", kw_only=True, gc=False):
    """`T` is the next funding time, 0 where there is none. One a second: not worth counting its optional keys."""

    keys = 0

    p: Positive
    i: Positive | UnsetType = UNSET
    r: Rate | UnsetType = UNSET
    T: Ms = 0

    def neutral(self) -> MarkPrice:
        index = None if self.i is UNSET else self.i
        rate = None if self.r is UNSET else self.r
        return MarkPrice(self.s, self.p, index, rate, self.T * MS or None, self.E * MS)


class _Forced(Struct, gc=False):
    """The order that closes the position: it sells a long. `ap` and `z` are what was filled, `p` the bankruptcy price."""

    s: Name
    S: str
    p: NotNegative
    ap: NotNegative
    z: NotNegative
    T: Ms

    def neutral(self) -> ForcedOrder | None:
        if self.S not in ("BUY", "SELL"):
            raise ValueError(f"S is {self.S!r:.40}, not BUY or SELL")
        if not self.z or not (self.ap or self.p):
            return None
        side = LONG if self.S == "SELL" else SHORT
        return ForcedOrder(self.s, side, self.ap or self.p, self.z, self.T * MS, complete=False)


class _ForceOrder(Struct, gc=False):
    o: _Forced


def _taker_buys(m: Any) -> bool:
    """`m`: the buyer was the maker, so the taker sold."""
    if m is False:
        return True
    if m is True:
        return False
    raise ValueError(f"m is {m!r:.40}, not true or false")


class _Snapshot(Struct, gc=False):
    """`T` is 0 where the reply does not tell."""

    lastUpdateId: Id
    bids: list[tuple[Positive, Positive]]
    asks: list[tuple[Positive, Positive]]
    T: Ms = 0


_MarketEvent = _Depth | _Trade | _AggTrade | _BookTicker | _MarkPrice


class _Wrapped(Struct, gc=False):
    data: _MarketEvent


class _Outline(Struct, gc=False):
    """Just enough to tell what a message is that was not understood at first sight."""

    stream: str = ""
    data: Raw | UnsetType = UNSET
    e: str | UnsetType = UNSET
    lastUpdateId: Raw | UnsetType = UNSET
    id: Raw | UnsetType = UNSET
    result: Any = UNSET


_decode_wrapped = msgspec.json.Decoder(_Wrapped, strict=False).decode
_decode_bare = msgspec.json.Decoder(_MarketEvent, strict=False).decode
_snapshot = msgspec.json.Decoder(_Snapshot, strict=False)
_decode_forced = msgspec.json.Decoder(_ForceOrder, strict=False).decode
_outline = msgspec.json.Decoder(_Outline)

_S = ord(
    "s"
)  # of {"stream": a look at one byte. Whatever key it begins, there is one key beside `data`, as is counted on


def decode(raw: bytes) -> MarketMessage | None:
    """The message in neutral form, None for one that is known and not used; FeedError for anything else.

    A REST depth reply names no symbol: bare it gets None, as `{"stream":"btcusdt@depth_snapshot","data":...}` BTCUSDT.
    """
    if len(raw) > MAX_BYTES:
        raise refusal(VENUE, f"message of {len(raw)} bytes, more than {MAX_BYTES}", raw)
    try:
        if raw[2] == _S:
            event = _decode_wrapped(raw).data
            keys = event.keys + 2
        elif raw.startswith(b'{"e"'):
            event = _decode_bare(raw)
            keys = event.keys
        else:
            return _slowly(raw)
        extra = raw.count(b":") - keys
        if extra and (extra > 1 or event.X is UNSET):  # every trade has an X
            _check_optional_keys(raw, event, keys)
        return event.neutral()
    except (ValueError, RecursionError, IndexError):
        pass  # not one of the five events, or a bad one: the slow way tells which, and what is wrong
    try:
        return _slowly(raw)
    except (ValueError, RecursionError) as error:
        raise refusal(VENUE, error, raw) from None


def _check_optional_keys(raw: bytes, event: _MarketEvent, keys: int) -> None:
    """Refuses a key given twice. `keys` counts the required ones, with those around the event.

    Each required key is there, or decoding had failed: with as many colons as keys known to be there, none is there twice.
    """
    optional = (event.X is not UNSET) + (event.st is not UNSET) + (event.ps is not UNSET) + (event.nq is not UNSET)
    if raw.count(b":") != keys + optional:
        refuse_duplicate_keys(raw)


def _slowly(raw: bytes) -> MarketMessage | None:
    """Any accepted message, whatever the order of its keys."""
    top = _outline.decode(raw)
    refuse_duplicate_keys(raw)
    body = raw if top.data is UNSET else bytes(top.data)
    inner = top if top.data is UNSET else _outline.decode(body)
    if inner.e == "forceOrder":  # seldom, and unlike the others its fields are in an object of their own
        return _decode_forced(body).o.neutral()
    if inner.e is not UNSET:
        return None if inner.e in _IGNORED else _decode_bare(body).neutral()
    if inner.lastUpdateId is not UNSET:
        return _book_snapshot(_snapshot.decode(body), top.stream)
    if top.result is None and top.id is not UNSET:
        return None
    raise ValueError("neither a market event, a depth snapshot nor an acknowledgement")


def _book_snapshot(reply: _Snapshot, stream: str) -> BookSnapshot:
    symbol = stream.removesuffix(SNAPSHOT_STREAM).upper() if stream.endswith(SNAPSHOT_STREAM) else None
    return BookSnapshot(symbol or None, reply.lastUpdateId, reply.T * MS, reply.bids, reply.asks)


def subscribe(symbols: Sequence[str], channels: Sequence[str], request_id: int) -> bytes:
    """Channels as the venue names them, without the symbol: `depth@100ms`, `trade`, `bookTicker`, `markPrice@1s`."""
    params = [f"{symbol.lower()}@{channel}" for symbol in symbols for channel in channels]
    return msgspec.json.encode({"method": "SUBSCRIBE", "params": params, "id": request_id})


# --- public data ---------------------------------------------------------------------------------------------------

DEPTH_LIMIT = 1000
PUBLIC, MARKET = ("depth@100ms", "bookTicker"), ("aggTrade", "markPrice@1s", "forceOrder")
"""Channels of the venue's two public paths (it splits them since 2025)."""


class BinanceUsdm:
    venue = VENUE
    rest_url, ws_url = "https://fapi.binance.com", "wss://fstream.binance.com"
    instruments_path = "/fapi/v1/exchangeInfo"
    past_trades = PastAggTrades()

    def parse_instruments(self, raw: bytes) -> tuple[Mapping[str, Instrument], Mapping[str, str]]:
        return parse_exchange_info(raw)

    def klines_path(self, symbol: str, width_s: int, count: int) -> str:
        interval = "1d" if width_s == 86_400 else f"{width_s // 60}m"
        return f"/fapi/v1/klines?symbol={symbol}&interval={interval}&limit={count}"

    def parse_klines(self, raw: bytes, width_s: int, now_ns: int) -> Klines:
        klines = parse_klines(raw, now_ns)
        if klines.width_s != width_s:
            raise refusal(VENUE, f"klines of {klines.width_s} s, asked were {width_s} s", raw)
        return klines

    def streams(self, symbols: Sequence[str], *, depth_only: bool) -> list[StreamPlan]:
        """Two connections, for the venue serves them on two paths. A mark price comes every second, so that no stream is ever
        silent."""
        depth, market = ("depth@100ms",) if depth_only else PUBLIC, MARKET
        return [
            StreamPlan(name="public", path="/public/ws", subscribe=(subscribe(symbols, depth, 1),), carries=(DEPTH,)),
            StreamPlan(name="market", path="/market/ws", subscribe=(subscribe(symbols, market, 1),), carries=(TRADES,)),
        ]

    def snapshot_path(self, symbol: str) -> str | None:
        return f"/fapi/v1/depth?symbol={symbol}&limit={DEPTH_LIMIT}"

    def snapshot_frame(self, symbol: str, reply: bytes) -> bytes:
        stream = symbol.lower() + SNAPSHOT_STREAM
        return b'{"stream":"%b","data":%b}' % (stream.encode(), reply.strip().replace(b"\n", b" "))

    def again(self, symbol: str) -> tuple[bytes, ...]:
        return ()

    def decoder(self, instruments: Iterable[Instrument]) -> Decoder:
        return decode


EXCHANGE = BinanceUsdm()
