"""The market as the engine knows it: one `InstrumentMarket` each, and the readings made of it and of the store.

`apply` is the hot path, run for every market message before any desk is asked: no queue, no task, no log line. Nothing here
decides or waits. Ages count from `now_ns` as given to `apply`, which is when a message reached us: a venue's clock may run
seconds ahead of ours (1.2 s in a real capture), and an age taken from its stamps would be negative.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from msgspec import Struct

from bot.domain.errors import FeedError
from bot.domain.instrument import Instrument
from bot.domain.market import Bar, BookDiff, BookSnapshot, MarketMessage, MarkPrice, Quote, TradePrint
from bot.domain.reading import Reading
from bot.domain.values import Side
from bot.market.bars import REGIME_WIDTH_S, BarParams, Bars
from bot.market.book import Book
from bot.market.flow import (
    OfiParams,
    OrderFlowImbalance,
    TakerFlow,
    TakerParams,
    WhaleFlow,
    WhaleParams,
    micro_usd,
)
from bot.market.readings import COIN, ReadingStore, own_reading, rule_of
from bot.market.regime import RegimeMeter, RegimeParams
from bot.market.volumes import DAY_NS, DAY_S, Volumes
from bot.market.walls import WallParams, WallTracker


class BookNote(Struct, frozen=True):
    """A book became usable, or cannot be used and why: whoever feeds it must fetch a snapshot."""

    instrument: str
    usable: bool
    reason: str


class MarketParams(Struct, frozen=True):
    taker: TakerParams = TakerParams()
    whale: WhaleParams = WhaleParams()
    ofi: OfiParams = OfiParams()
    walls: WallParams = WallParams()
    bars: BarParams = BarParams()
    regime: RegimeParams = RegimeParams()


class InstrumentMarket:
    """One instrument's book, flow, walls, bars and last prices; the `MarketView` that desks see."""

    def __init__(self, instrument: Instrument, params: MarketParams, note: Callable[[BookNote], None]) -> None:
        self.instrument = instrument
        self.id = instrument.id
        self.book = Book()
        self.taker = TakerFlow(params.taker)
        self.whale = WhaleFlow(params.whale)
        self.ofi = OrderFlowImbalance(params.ofi)
        self.walls = WallTracker(params.walls, instrument.base, instrument.venue)
        self.history = Bars(params.bars)
        self._regime = RegimeMeter(params.regime, self.history.of(REGIME_WIDTH_S))
        self._flow: dict[str, TakerFlow | WhaleFlow | OrderFlowImbalance] = {
            "taker_5m": self.taker,
            "whale_cvd": self.whale,
            "ofi": self.ofi,
        }
        self._aggregated: bool | None = None
        self.last: float | None = None
        self.quote: Quote | None = None
        self.venue_mark: MarkPrice | None = None
        self.past_funding: tuple[float | None, int] | None = None
        self._note = note
        self._book_ns: int | None = None
        self._trade_ns: int | None = None
        self._mark_ns: int | None = None

    # --- what comes in ---------------------------------------------------------------------------------------------

    def on_snapshot(self, snapshot: BookSnapshot, now_ns: int) -> None:
        was_usable = self.book.usable
        reason = self.book.apply_snapshot(snapshot)
        self._after_depth(was_usable, reason, now_ns)

    def on_diff(self, diff: BookDiff, now_ns: int) -> None:
        was_usable = self.book.usable
        reason = self.book.apply_diff(diff)
        self._after_depth(was_usable, reason, now_ns)

    def on_trade(self, trade: TradePrint, now_ns: int) -> None:
        if trade.aggregated is not self._aggregated:
            if self._aggregated is not None:
                return  # both streams tell of the same trades: the first one seen counts
            self._aggregated = trade.aggregated
        price, taker_buys = trade.price, trade.taker_buys
        micro = micro_usd(price, trade.quantity)
        self.taker.add(micro, taker_buys, now_ns)
        self.whale.add(micro, taker_buys, trade.exch_ns, now_ns)
        self.walls.on_trade(price, micro / 1e6)
        self.history.add(price, micro, taker_buys, trade.exch_ns, now_ns)
        self.last = price
        self._trade_ns = now_ns

    def on_quote(self, quote: Quote, now_ns: int) -> None:
        """Quotes do not touch the book. They show every change of the best prices, so from the first one OFI follows them."""
        if self.quote is None:
            self.ofi.reset()
        self.quote = quote
        self.ofi.update(quote.bid, quote.bid_quantity, quote.ask, quote.ask_quantity, now_ns)

    def on_mark(self, mark: MarkPrice, now_ns: int) -> None:
        before = self.venue_mark
        if before is not None and before.next_funding_ns is not None and before.next_funding_ns != mark.next_funding_ns:
            self.past_funding = (before.funding_rate, before.next_funding_ns)
        self.venue_mark = mark
        self._mark_ns = now_ns

    def sample(self, now_ns: int) -> None:
        """Once a second of engine time."""
        self.walls.sample(self.book, now_ns)
        self.history.sample(now_ns, self._trade_ns)

    def feed_down(self, reason: str) -> None:
        """Messages may be missing from here on: flow and the bars under way start over, and the book is replaced, never
        continued."""
        was_usable = self.book.usable
        self.book.reset()
        self.taker.gap()
        self.whale.gap()
        self.history.gap()
        self.quote = None
        self._forget_book()
        if was_usable:
            self._note(BookNote(self.instrument.id, False, reason))

    def _after_depth(self, was_usable: bool, reason: str | None, now_ns: int) -> None:
        book = self.book
        if reason is not None:
            self._forget_book()
            self._note(BookNote(self.instrument.id, False, reason))
        if not book.usable:
            return
        self._book_ns = now_ns
        if not was_usable:
            self._note(BookNote(self.instrument.id, True, "complete and in sequence"))
        if self.quote is None:
            self._ofi_from_book(now_ns)

    def _ofi_from_book(self, now_ns: int) -> None:
        bid, bid_quantity, ask, ask_quantity = (
            self.book.bid,
            self.book.bid_quantity,
            self.book.ask,
            self.book.ask_quantity,
        )
        if bid is not None and bid_quantity is not None and ask is not None and ask_quantity is not None:
            self.ofi.update(bid, bid_quantity, ask, ask_quantity, now_ns)

    def _forget_book(self) -> None:
        self.ofi.reset()
        self.walls.reset()

    # --- what can be asked (MarketView) ----------------------------------------------------------------------------

    @property
    def usable(self) -> bool:
        return self.book.usable

    @property
    def bid(self) -> float | None:
        return self.book.bid

    @property
    def ask(self) -> float | None:
        return self.book.ask

    @property
    def mid(self) -> float | None:
        return self.book.mid

    @property
    def mark(self) -> float | None:
        return self.book.mid if self.venue_mark is None else self.venue_mark.mark

    @property
    def mark_source(self) -> str:
        if self.venue_mark is not None:
            return "venue"
        return "none" if self.book.mid is None else "mid"

    def levels(self, side: Side, count: int) -> list[tuple[float, float]]:
        return self.book.levels(side, count)

    def size_at(self, side: Side, price: float) -> float | None:
        return self.book.size_at(side, price)

    @property
    def aggregated(self) -> bool | None:
        """Whether the trades that count are aggregated ones: where both streams come, the first one seen does."""
        return self._aggregated

    def book_age_ns(self, now_ns: int) -> int | None:
        """Since the last depth message that left a usable book."""
        return _age(self._book_ns, now_ns)

    def trade_age_ns(self, now_ns: int) -> int | None:
        return _age(self._trade_ns, now_ns)

    def mark_age_ns(self, now_ns: int) -> int | None:
        if self.venue_mark is not None:
            return _age(self._mark_ns, now_ns)
        return None if self.book.mid is None else self.book_age_ns(now_ns)

    @property
    def funding_rate(self) -> float | None:
        return None if self.venue_mark is None else self.venue_mark.funding_rate

    @property
    def next_funding_ns(self) -> int | None:
        return None if self.venue_mark is None else self.venue_mark.next_funding_ns

    def bars(self, width_s: int, count: int) -> Sequence[Bar]:
        series = self.history.get(width_s)
        return () if series is None else series.newest(count)

    def atr(self, width_s: int, count: int) -> float | None:
        series = self.history.get(width_s)
        return None if series is None else series.atr(count)

    def own(self, name: str, key: str, now_ns: int) -> Reading[Any] | None:
        """What our own streams say now, for the readings that are computed when asked."""
        if name == "walls":
            walls, partial, reason = self.walls.reading()
            return own_reading(name, key, walls, self.walls.last_ns, now_ns, partial=partial, reason=reason)
        if name == "regime":
            regime, reason = self._regime.value()
            return own_reading(name, key, regime, self._regime.end_ns, now_ns, reason=reason + self.history.left_out)
        flow = self._flow.get(name)
        if flow is None:
            return None
        value, reason = flow.value(now_ns)
        return own_reading(name, key, value, flow.last_ns, now_ns, reason=reason)


class Market:
    """All instruments of the engine, and what came from outside about them (`store`)."""

    def __init__(self, instruments: Sequence[Instrument], params: MarketParams | None = None) -> None:
        self.store = ReadingStore()
        self.notes: list[BookNote] = []  # drained by the engine after each frame
        made = [InstrumentMarket(each, params or MarketParams(), self._take_note) for each in instruments]
        self._by_id = {market.instrument.id: market for market in made}
        self._volumes = Volumes()
        self._day: int | None = None  # UTC day for which thresholds by volume are set
        self._by_symbol = {market.instrument.symbol: market for market in made}
        self._keys: dict[tuple[str, str], tuple[InstrumentMarket, str]] = {}  # of a reading's name and an instrument

    def apply(self, message: MarketMessage, now_ns: int) -> str:
        """The id of the instrument it was about. Raises FeedError for a symbol that is not followed, or a nameless
        snapshot where there are several."""
        market = self._by_symbol.get(message.symbol)  # type: ignore[arg-type]
        if market is None:
            market = self._only() if message.symbol is None else self.by_symbol(message.symbol)
        _HANDLERS[type(message)](market, message, now_ns)
        return market.id

    def sample(self, now_ns: int) -> None:
        """Once a second of engine time."""
        if now_ns // DAY_NS != self._day:
            self._begin_day(now_ns)
        for market in self._by_id.values():
            market.sample(now_ns)

    def warm_up(self, instrument_id: str, width_s: int, bars: Iterable[Bar]) -> None:
        """Give an instrument finished bars of its past, as often as there are some; see `Bars.warm_up`. Those of whole days
        also say what a large wall is."""
        market, bars = self.market(instrument_id), tuple(bars)
        market.history.warm_up(width_s, bars)
        if width_s == DAY_S:
            self._volumes.add(market.instrument.base, bars)
            self._day = None

    def feed_down(self, reason: str) -> None:
        for market in self._by_id.values():
            market.feed_down(reason)

    def _begin_day(self, now_ns: int) -> None:
        self._day = now_ns // DAY_NS
        for market in self._by_id.values():
            market.walls.set_institutional(self._volumes.institutional_usd(market.instrument.base, now_ns))

    def market(self, instrument_id: str) -> InstrumentMarket:
        try:
            return self._by_id[instrument_id]
        except KeyError:
            followed = ", ".join(self._by_id)
            raise FeedError(f"instrument {instrument_id!r} is not followed; followed are {followed}") from None

    def by_symbol(self, symbol: str) -> InstrumentMarket:
        market = self._by_symbol.get(symbol)
        if market is None:
            raise FeedError(f"symbol {symbol!r} is not followed; followed are {', '.join(self._by_symbol)}")
        return market

    def reading(self, name: str, instrument_id: str, now_ns: int) -> Reading[Any]:
        """The deciding reading, our own among the sources in the table's order."""
        market, key = self._keyed(name, instrument_id)
        return self.store.best(name, key, now_ns, lambda: market.own(name, key, now_ns))

    def other_readings(self, deciding: Reading[Any], instrument_id: str, now_ns: int) -> list[Reading[Any]]:
        """Fresh ones of other sources."""
        market, key = self._keyed(deciding.name, instrument_id)
        return self.store.others_fresh(deciding, now_ns, lambda: market.own(deciding.name, key, now_ns))

    def _keyed(self, name: str, instrument_id: str) -> tuple[InstrumentMarket, str]:
        found = self._keys.get((name, instrument_id))
        if found is None:
            market = self.market(instrument_id)
            key = market.instrument.base if rule_of(name).keyed_by == COIN else instrument_id
            found = self._keys[name, instrument_id] = market, key
        return found

    def _only(self) -> InstrumentMarket:
        if len(self._by_id) != 1:
            raise FeedError(f"a book snapshot without a symbol, but {len(self._by_id)} instruments are followed")
        return next(iter(self._by_id.values()))

    def _take_note(self, note: BookNote) -> None:
        self.notes.append(note)


_HANDLERS: dict[type, Callable[[InstrumentMarket, Any, int], None]] = {
    BookSnapshot: InstrumentMarket.on_snapshot,
    BookDiff: InstrumentMarket.on_diff,
    TradePrint: InstrumentMarket.on_trade,
    Quote: InstrumentMarket.on_quote,
    MarkPrice: InstrumentMarket.on_mark,
}


def _age(since_ns: int | None, now_ns: int) -> int | None:
    return None if since_ns is None else max(0, now_ns - since_ns)
