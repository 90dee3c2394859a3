"""Binance USD-M futures over REST: finished klines, past trades, and the trading rules of exchangeInfo. Pure: bytes to values.

What the streams say is read in `binance`.
"""

from __future__ import annotations

import re
from decimal import Context, Decimal
from itertools import pairwise
from typing import Any

import msgspec
from msgspec import Raw, Struct

from bot.domain.instrument import Instrument
from bot.domain.market import Bar, flaw_of
from bot.domain.trades import PastTrade
from bot.domain.values import MS
from bot.exchanges.base import Klines
from bot.exchanges.wire import MAX_BYTES, Id, Ms, Name, NotNegative, Positive, refusal, refuse_duplicate_keys

VENUE = "binanceusdm"

# open time, open, high, low, close, base volume, close time, quote volume, trades, taker buys in base and in quote, unused
_Kline = tuple[
    Ms,
    Positive,
    Positive,
    Positive,
    Positive,
    NotNegative,
    Ms,
    NotNegative,
    Id,
    NotNegative,
    NotNegative,
    Any,
]
_klines = msgspec.json.Decoder(list[_Kline], strict=False)


def parse_klines(raw: bytes, now_ns: int | None = None) -> Klines:
    """The finished bars of a REST klines reply, oldest first.

    The venue sends the running kline last: it is left out by its close time, or without `now_ns` (a file, fetched nobody
    knows when) the last one always is. A kline without trades is no bar. Raises FeedError for anything but klines.
    """
    if len(raw) > MAX_BYTES:
        raise refusal(VENUE, f"klines of {len(raw)} bytes, more than {MAX_BYTES}", raw)
    try:
        klines = _klines.decode(raw)
        if not klines:
            raise ValueError("no klines")
        width_ms = _kline_width_ms(klines)
        bars = [_bar(kline) for kline in klines if kline[8]]
        if flaw := flaw_of(bars, width_ms * MS):
            raise ValueError(flaw)
    except (ValueError, RecursionError) as error:
        raise refusal(VENUE, f"klines: {error}", raw) from None
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


# --- trades of the past -------------------------------------------------------------------------------------------------


class _AggTrade(Struct, gc=False):
    a: Id
    p: Positive
    q: Positive
    T: Ms
    m: bool  # the buyer was the maker

    def neutral(self) -> PastTrade:
        return PastTrade(self.a, self.p, self.q, not self.m, self.T * MS)


_agg_trades = msgspec.json.Decoder(list[_AggTrade], strict=False)


class PastAggTrades:
    """`GET /fapi/v1/aggTrades`, whose numbers are those of the stream `aggTrade`."""

    most, weight = 1000, 20

    def path(self, symbol: str, from_id: int | None) -> str:
        first = "" if from_id is None else f"&fromId={from_id}"
        return f"/fapi/v1/aggTrades?symbol={symbol}{first}&limit={self.most}"

    def parse(self, raw: bytes) -> list[PastTrade]:
        """Raises FeedError for anything but trades numbered one by one."""
        if len(raw) > MAX_BYTES:
            raise refusal(VENUE, f"aggTrades of {len(raw)} bytes, more than {MAX_BYTES}", raw)
        try:
            trades = [trade.neutral() for trade in _agg_trades.decode(raw)]
            for before, after in pairwise(trades):
                if after.trade_id != before.trade_id + 1:
                    raise ValueError(f"{after.trade_id} follows {before.trade_id}")
        except (ValueError, RecursionError) as error:
            raise refusal(VENUE, f"aggTrades: {error}", raw) from None
        return trades


# --- trading rules -------------------------------------------------------------------------------------------------


class _Listing(Struct, gc=False):
    symbol: Name
    contractType: str
    status: str
    baseAsset: Name
    quoteAsset: Name
    marginAsset: Name
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
        raise refusal(VENUE, f"exchangeInfo of {len(raw)} bytes, more than {MAX_BYTES}", raw)
    try:
        listed = _exchange_info.decode(raw).symbols
        refuse_duplicate_keys(raw)
    except (ValueError, RecursionError) as error:
        raise refusal(VENUE, f"exchangeInfo: {error}", raw) from None
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
