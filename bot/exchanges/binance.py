"""Binance USD-M futures on the wire: market messages in, neutral structs out, trading rules, and the SUBSCRIBE message.

Pure: bytes to values, no socket and no state. Each message is decoded once, straight into typed floats, and every number is
checked in that step (finite, on the right side of zero, of a sane size), so that nothing behind this module looks at it again.
Quantities are in base coin already: the contracts are linear.

A key that is not named here is skipped; a key given twice is refused.
"""

from __future__ import annotations

import json
import re
from decimal import Context, Decimal
from typing import Annotated, Any, ClassVar, NamedTuple

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from bot.domain.errors import FeedError
from bot.domain.instrument import Instrument
from bot.domain.market import Bar, BookDiff, BookSnapshot, MarketMessage, MarkPrice, Quote, TradePrint, flaw_of
from bot.domain.values import MS

VENUE = "binanceusdm"
MAX_BYTES = 8 * 1024 * 1024
SNAPSHOT_STREAM = "@depth_snapshot"  # not the venue's: how a recorder names the symbol of a REST depth reply

_IGNORED = {"24hrMiniTicker", "24hrTicker", "assetIndexUpdate", "compositeIndex", "continuous_kline"}
_IGNORED |= {"contractInfo", "forceOrder", "indexPriceUpdate", "kline", "tradingSession"}

# NaN is neither `ge` nor `le` anything: these bounds are also the check that a number is finite.
_Positive = Annotated[float, Meta(ge=1e-18, le=1e18)]
_NotNegative = Annotated[float, Meta(ge=0.0, le=1e18)]
_Rate = Annotated[float, Meta(ge=-1.0, le=1.0)]
_Id = Annotated[int, Meta(ge=0, le=2**62)]
_Ms = Annotated[int, Meta(ge=0, le=9 * 10**12)]
_Name = Annotated[str, Meta(min_length=1, max_length=64)]


class _Event(Struct, tag_field="e", gc=False):
    """What all events carry. `keys` is the number of required keys, with `e`; `_check_optional_keys` knows the others.

    `neutral` raises ValueError where the fields, right each by itself, make no sense together.

    `X` is MARKET for an ordinary trade; those of the insurance fund and of ADL say NA. The others are not used.
    """

    keys: ClassVar[int]

    s: _Name
    E: _Ms
    X: str | UnsetType = UNSET
    st: Raw | UnsetType = UNSET
    ps: Raw | UnsetType = UNSET
    nq: Raw | UnsetType = UNSET


class _Depth(_Event, tag="depthUpdate", kw_only=True, gc=False):
    keys = 9

    T: _Ms
    U: _Id
    u: _Id
    pu: _Id
    b: list[tuple[_Positive, _NotNegative]]
    a: list[tuple[_Positive, _NotNegative]]

    def neutral(self) -> BookDiff:
        if self.u < self.U:
            raise ValueError(f"first update id {self.U} is after the last, {self.u}")
        return BookDiff(self.s, self.U, self.u, self.pu, self.T * MS, self.b, self.a)


class _Trade(_Event, tag="trade", kw_only=True, gc=False):
    """Price and quantity may be 0 where `X` is not MARKET."""

    keys = 8

    T: _Ms
    t: _Id
    p: _NotNegative
    q: _NotNegative
    m: Any  # lax decoding would take 1 and "true" for a bool

    def neutral(self) -> TradePrint | None:
        if (self.X != "MARKET" and self.X is not UNSET) or not self.p or not self.q:
            return None
        return TradePrint(self.s, self.t, self.p, self.q, _taker_buys(self.m), self.T * MS)


class _AggTrade(_Event, tag="aggTrade", kw_only=True, gc=False):
    keys = 10

    T: _Ms
    a: _Id
    f: _Id
    l: _Id  # noqa: E741 (the venue's name)
    p: _Positive
    q: _Positive
    m: Any

    def neutral(self) -> TradePrint:
        return TradePrint(self.s, self.a, self.p, self.q, _taker_buys(self.m), self.T * MS, True)


class _BookTicker(_Event, tag="bookTicker", kw_only=True, gc=False):
    keys = 9

    T: _Ms
    u: _Id
    b: _Positive
    B: _NotNegative
    a: _Positive
    A: _NotNegative

    def neutral(self) -> Quote:
        if self.b >= self.a:
            raise ValueError(f"crossed quote: bid {self.b} >= ask {self.a}")
        return Quote(self.s, self.u, self.b, self.B, self.a, self.A, self.T * MS)


class _MarkPrice(_Event, tag="markPriceUpdate", kw_only=True, gc=False):
    """`T` is the next funding time, 0 where there is none. One a second: not worth counting its optional keys."""

    keys = 0

    p: _Positive
    i: _Positive | UnsetType = UNSET
    r: _Rate | UnsetType = UNSET
    T: _Ms = 0

    def neutral(self) -> MarkPrice:
        index = None if self.i is UNSET else self.i
        rate = None if self.r is UNSET else self.r
        return MarkPrice(self.s, self.p, index, rate, self.T * MS or None, self.E * MS)


def _taker_buys(m: Any) -> bool:
    """`m`: the buyer was the maker, so the taker sold."""
    if m is False:
        return True
    if m is True:
        return False
    raise ValueError(f"m is {m!r:.40}, not true or false")


class _Snapshot(Struct, gc=False):
    """`T` is 0 where the reply does not tell."""

    lastUpdateId: _Id
    bids: list[tuple[_Positive, _Positive]]
    asks: list[tuple[_Positive, _Positive]]
    T: _Ms = 0


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
_outline = msgspec.json.Decoder(_Outline)

_S = ord(
    "s"
)  # of {"stream": a look at one byte. Whatever key it begins, there is one key beside `data`, as is counted on


def decode(raw: bytes) -> MarketMessage | None:
    """The message in neutral form, None for one that is known and not used; FeedError for anything else.

    A REST depth reply names no symbol: bare it gets None, as `{"stream":"btcusdt@depth_snapshot","data":...}` BTCUSDT.
    """
    if len(raw) > MAX_BYTES:
        raise _refusal(f"message of {len(raw)} bytes, more than {MAX_BYTES}", raw)
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
        raise _refusal(error, raw) from None


def _check_optional_keys(raw: bytes, event: _MarketEvent, keys: int) -> None:
    """Refuses a key given twice. `keys` counts the required ones, with those around the event.

    Each required key is there, or decoding had failed: with as many colons as keys known to be there, none is there twice.
    """
    optional = (event.X is not UNSET) + (event.st is not UNSET) + (event.ps is not UNSET) + (event.nq is not UNSET)
    if raw.count(b":") != keys + optional:
        _refuse_duplicate_keys(raw)


def _slowly(raw: bytes) -> MarketMessage | None:
    """Any accepted message, whatever the order of its keys."""
    top = _outline.decode(raw)
    _refuse_duplicate_keys(raw)
    body = raw if top.data is UNSET else bytes(top.data)
    inner = top if top.data is UNSET else _outline.decode(body)
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


def _refuse_duplicate_keys(raw: bytes) -> None:
    json.loads(raw, object_pairs_hook=_unique)


def _unique(pairs: list[tuple[str, Any]]) -> None:
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        raise ValueError(f"a key is given twice among {', '.join(names)}")


def _refusal(problem: object, raw: bytes) -> FeedError:
    """Cut and escaped: what comes over a socket can neither fill a log nor forge a line of it."""
    return FeedError(f"{VENUE}: {str(problem)[:200].encode('unicode_escape').decode()}: {raw[:120]!r}")


def subscribe(symbols: list[str], channels: list[str], request_id: int) -> bytes:
    """Channels as the venue names them, without the symbol: `depth@100ms`, `trade`, `bookTicker`, `markPrice@1s`."""
    params = [f"{symbol.lower()}@{channel}" for symbol in symbols for channel in channels]
    return msgspec.json.encode({"method": "SUBSCRIBE", "params": params, "id": request_id})


# --- history ------------------------------------------------------------------------------------------------------

# open time, open, high, low, close, base volume, close time, quote volume, trades, taker buys in base and in quote, unused
_Kline = tuple[
    _Ms,
    _Positive,
    _Positive,
    _Positive,
    _Positive,
    _NotNegative,
    _Ms,
    _NotNegative,
    _Id,
    _NotNegative,
    _NotNegative,
    Any,
]
_klines = msgspec.json.Decoder(list[_Kline], strict=False)


class Klines(NamedTuple):
    width_s: int
    bars: list[Bar]


def parse_klines(raw: bytes, now_ns: int | None = None) -> Klines:
    """The finished bars of a REST klines reply, oldest first.

    The venue sends the running kline last: it is left out by its close time, or without `now_ns` (a file, fetched nobody
    knows when) the last one always is. A kline without trades is no bar. Raises FeedError for anything but klines.
    """
    if len(raw) > MAX_BYTES:
        raise _refusal(f"klines of {len(raw)} bytes, more than {MAX_BYTES}", raw)
    try:
        klines = _klines.decode(raw)
        if not klines:
            raise ValueError("no klines")
        width_ms = _kline_width_ms(klines)
        bars = [_bar(kline) for kline in klines if kline[8]]
        if flaw := flaw_of(bars, width_ms * MS):
            raise ValueError(flaw)
    except (ValueError, RecursionError) as error:
        raise _refusal(f"klines: {error}", raw) from None
    finished_ns = klines[-1][0] * MS if now_ns is None else now_ns
    return Klines(width_ms // 1000, [bar for bar in bars if bar.start_ns + width_ms * MS <= finished_ns])


def _kline_width_ms(klines: list[_Kline]) -> int:
    """A kline's close time is its last millisecond."""
    widths = {kline[6] - kline[0] + 1 for kline in klines}
    if len(widths) > 1:
        raise ValueError(f"of several widths: {', '.join(f'{width} ms' for width in sorted(widths))}")
    width_ms = widths.pop()
    if width_ms <= 0 or width_ms % 1000:
        raise ValueError(f"a width of {width_ms} ms is not whole seconds")
    return width_ms


def _bar(kline: _Kline) -> Bar:
    start_ms, opened, high, low, close, _, _, usd, trades, _, taker_buy_usd, _ = kline
    return Bar(start_ms * MS, opened, high, low, close, usd, taker_buy_usd, trades)


# --- trading rules -------------------------------------------------------------------------------------------------


class _Listing(Struct, gc=False):
    symbol: _Name
    contractType: str
    status: str
    baseAsset: _Name
    quoteAsset: _Name
    marginAsset: _Name
    filters: list[dict[str, Raw]]


class _ExchangeInfo(Struct):
    symbols: list[Raw]


_exchange_info = msgspec.json.Decoder(_ExchangeInfo)
_listing = msgspec.json.Decoder(_Listing)

_NUMBER = re.compile(rb'"?([0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,2})?)"?')
_EXACT = Context(prec=60)


def parse_exchange_info(raw: bytes) -> tuple[dict[str, Instrument], dict[str, str]]:
    """The perpetuals that trade, by venue symbol; and those left out because their rules cannot be read, with the reason.

    Anything that is not a trading perpetual is in neither.
    """
    if len(raw) > MAX_BYTES:
        raise _refusal(f"exchangeInfo of {len(raw)} bytes, more than {MAX_BYTES}", raw)
    try:
        listed = _exchange_info.decode(raw).symbols
        _refuse_duplicate_keys(raw)
    except (ValueError, RecursionError) as error:
        raise _refusal(f"exchangeInfo: {error}", raw) from None
    instruments: dict[str, Instrument] = {}
    left_out: dict[str, str] = {}
    for position, text in enumerate(listed):
        name = f"symbols[{position}]"
        try:
            listing = _listing.decode(text)
            name = listing.symbol
            if listing.contractType != "PERPETUAL" or listing.status != "TRADING":
                continue
            if name in instruments:
                raise ValueError("listed twice, the first is used")
            instruments[name] = _instrument(listing)
        except ValueError as error:
            left_out[name] = str(error)
    return instruments, left_out


def _instrument(listing: _Listing) -> Instrument:
    rules = _Rules(listing.filters)
    instrument = Instrument(
        id=f"{VENUE}:{listing.symbol}",
        venue=VENUE,
        symbol=listing.symbol,
        unified=f"{listing.baseAsset}/{listing.quoteAsset}:{listing.marginAsset}",
        base=listing.baseAsset,
        quote=listing.quoteAsset,
        tick=rules.number("PRICE_FILTER", "tickSize"),
        step=rules.number("LOT_SIZE", "stepSize"),
        min_quantity=rules.number("LOT_SIZE", "minQty"),
        max_quantity=rules.number("LOT_SIZE", "maxQty"),
        max_market_quantity=rules.number("MARKET_LOT_SIZE", "maxQty"),
        min_notional=rules.number("MIN_NOTIONAL", "notional"),
    )
    if instrument.min_quantity > instrument.max_quantity:
        raise ValueError(f"LOT_SIZE.minQty {instrument.min_quantity} > maxQty {instrument.max_quantity}")
    return instrument


class _Rules:
    """The filters of one listing. Numbers are read from their text, must be positive, and lose trailing zeros."""

    def __init__(self, filters: list[dict[str, Raw]]) -> None:
        self._by_type = {bytes(rule.get("filterType", b"")).strip(b'"').decode(): rule for rule in filters}

    def number(self, filter_type: str, key: str) -> Decimal:
        text = bytes(self._by_type.get(filter_type, {}).get(key, b"missing"))
        match = _NUMBER.fullmatch(text)
        value = Decimal(match[1].decode()) if match and len(text) <= 40 else Decimal(0)
        if not value or abs(value.adjusted()) > 18:
            raise ValueError(f"{filter_type}.{key} is {text[:40].decode(errors='replace')}, not a positive number")
        return _EXACT.normalize(value) if value % 1 else _EXACT.quantize(value, Decimal(1))
