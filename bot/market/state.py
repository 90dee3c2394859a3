"""The market as the engine knows it: one `InstrumentMarket` each, and the readings made of it and of the store.

Books of the same coins on other venues are `OtherBook`s: nothing is traded there, they only show walls.

`apply` is the hot path, run for every market message before any desk is asked: no queue, no task, no log line. Nothing here
decides or waits. Ages count from `now_ns` as given to `apply`, which is when a message reached us: a venue's clock may run
seconds ahead of ours (1.2 s in a real capture), and an age taken from its stamps would be negative.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import Any

from msgspec import Struct

from bot.domain.errors import FeedError
from bot.domain.frames import DEPTH, TRADES
from bot.domain.instrument import Instrument
from bot.domain.market import Bar, BookDiff, BookSnapshot, ForcedOrder, MarketMessage, MarkPrice, Quote, TradePrint
from bot.domain.reading import Reading
from bot.domain.trades import PastTrade, TradeRun
from bot.domain.values import Side
from bot.market.bars import REGIME_WIDTH_S, BarParams, Bars
from bot.market.book import Book, Steps
from bot.market.flow import (
    OfiParams,
    OrderFlowImbalance,
    TakerFlow,
    TakerParams,
    WhaleFlow,
    WhaleParams,
    micro_usd,
)
from bot.market.liquidations import ForcedFlow, ForcedSummary
from bot.market.other_book import COMPLETE, BookNote, OtherBook, age_of
from bot.market.past_trades import PastJoin
from bot.market.readings import COIN, MODEL, ReadingStore, own_reading, rule_of
from bot.market.regime import RegimeMeter, RegimeParams
from bot.market.volumes import DAY_NS, DAY_S, Volumes
from bot.market.walls import INSTITUTIONAL_USD, WallParams, WallTracker


class MarketParams(Struct, frozen=True):
    taker: TakerParams = TakerParams()
    whale: WhaleParams = WhaleParams()
    ofi: OfiParams = OfiParams()
    walls: WallParams = WallParams()
    bars: BarParams = BarParams()
    regime: RegimeParams = RegimeParams()


class InstrumentMarket:
    """One instrument's book, flow, walls, bars and last prices; the `MarketView` that desks see."""

    def __init__(
        self, instrument: Instrument, params: MarketParams, note: Callable[[BookNote], None], store: ReadingStore
    ) -> None:
        self.instrument = instrument
        self.id = instrument.id
        self.book = Book()
        self.taker = TakerFlow(params.taker)
        self.whale = WhaleFlow(params.whale)
        self._join = PastJoin(self.whale)
        self.ofi = OrderFlowImbalance(params.ofi)
        self.walls = WallTracker(params.walls, instrument.base, instrument.venue)
        self.others: dict[str, Book] = {}  # the same coin elsewhere, by venue
        self.history = Bars(params.bars)
        self.forced = ForcedFlow()
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
        self._note, self._store = note, store
        self._book_ns: int | None = None
        self._trade_ns: int | None = None
        self._mark_ns: int | None = None
        self.stamped_ahead_ns: int | None = None

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
        if self._join.waiting:
            self._join.add(trade.trade_id, micro, taker_buys, trade.exch_ns, now_ns)
        else:
            self.whale.add(micro, taker_buys, trade.exch_ns, now_ns)
            self._join.last_id = trade.trade_id
        self.walls.on_trade(price, micro / 1e6)
        self.history.add(price, micro, taker_buys, trade.exch_ns, now_ns)
        self.last = price
        self._trade_ns = now_ns

    def on_trades(self, run: TradeRun, count: int) -> None:
        """Like `on_trade` for the next trades of a run, all of one second of engine time."""
        if not self.counts(run.aggregated):
            return
        self._aggregated = run.aggregated
        some = slice(run.at, run.at + count)
        times, prices = run.times[some].tolist(), run.prices[some].tolist()
        stamps, worths = run.stamps[some].tolist(), run.worths[some].tolist()
        bought = sum([worth for worth in worths if worth > 0])
        self.taker.add_all(bought, bought - sum(worths), times)
        if self._join.waiting:
            self._join.add_all(run.ids[some], worths, stamps, times)
        else:
            self.whale.add_all(worths, stamps, times)
            self._join.last_id = run.ids[run.at + count - 1]
        self.walls.on_trades(prices, worths)
        self.history.add_all(prices, worths, stamps, times)
        self.last = prices[-1]
        self._trade_ns = times[-1]

    def on_past(self, trades: Iterable[PastTrade]) -> None:
        """Aggregated trades of before the stream; they say nothing about where others are counted."""
        if self.counts(True):
            self._join.take(trades)

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
        if before is None or mark.exch_ns != before.exch_ns:  # else one that is known, with news of its funding
            self._mark_ns = now_ns
            self.stamped_ahead_ns = mark.exch_ns - now_ns

    def on_forced(self, order: ForcedOrder, now_ns: int) -> None:
        known = self._store.fresh("liquidation_clusters", self.id, MODEL, now_ns)
        self.forced.add(order, known, self.book.mid or order.price, now_ns)

    def sample(self, now_ns: int) -> None:
        """Once a second of engine time."""
        self.walls.sample(self.book, now_ns, self.others)
        self.history.sample(now_ns, self._trade_ns)

    def feed_down(self, reason: str, carries: Sequence[str] = ()) -> None:
        """Messages may be missing from here on: where trades are, flow and the bars under way start over; a book is replaced, never
        continued. `carries` says what the lost stream carried, nothing: everything."""
        if not carries or TRADES in carries:
            self.taker.gap()
            self._join.gap()
            self.whale.gap()
            self.history.gap()
        if carries and DEPTH not in carries:
            return
        was_usable = self.book.usable
        self.book.reset()
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
            self._note(BookNote(self.instrument.id, True, COMPLETE))
        if self.quote is None:
            self._ofi_from_book(now_ns)

    def _ofi_from_book(self, now_ns: int) -> None:
        top = self.book.top()
        if top is not None:
            self.ofi.update(*top, now_ns)

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

    def counts(self, aggregated: bool) -> bool:
        """Whether trades told that way are those that count."""
        return self._aggregated is None or aggregated is self._aggregated

    def book_age_ns(self, now_ns: int) -> int | None:
        """Since the last depth message that left a usable book."""
        return age_of(self._book_ns, now_ns)

    def trade_age_ns(self, now_ns: int) -> int | None:
        return age_of(self._trade_ns, now_ns)

    def mark_age_ns(self, now_ns: int) -> int | None:
        if self.venue_mark is not None:
            return age_of(self._mark_ns, now_ns)
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
    """All instruments of the engine, which are of one venue, and what came from outside about them (`store`). `others` are those of
    other venues: books of coins that are not traded here are passed over."""

    def __init__(
        self, instruments: Sequence[Instrument], params: MarketParams | None = None, others: Sequence[Instrument] = ()
    ) -> None:
        self.store = ReadingStore()
        self.notes: list[BookNote] = []  # drained by the engine after each frame
        made = [InstrumentMarket(each, params or MarketParams(), self._take_note, self.store) for each in instruments]
        self._by_id = {market.instrument.id: market for market in made}
        self._volumes = Volumes()
        self._day: int | None = None  # UTC day for which thresholds by volume are set
        self._by_symbol = {market.instrument.symbol: market for market in made}
        self.elsewhere: dict[str, dict[str, OtherBook]] = {}  # by venue, by symbol
        self.add_others(others)
        self._keys: dict[tuple[str, str], tuple[InstrumentMarket, str]] = {}  # of a reading's name and an instrument

    def add_others(self, instruments: Iterable[Instrument]) -> None:
        """Books of other venues."""
        for each in instruments:
            if seen_by := [market for market in self._by_id.values() if market.instrument.base == each.base]:
                self.elsewhere.setdefault(each.venue, {})[each.symbol] = OtherBook(each, seen_by, self._take_note)

    def apply(self, message: MarketMessage, now_ns: int) -> str:
        """The id of the instrument it was about. Raises FeedError for a symbol that is not followed, or a nameless
        snapshot where there are several."""
        market = self._by_symbol.get(message.symbol)  # type: ignore[arg-type]
        if market is None:
            market = self._only() if message.symbol is None else self.by_symbol(message.symbol)
        _HANDLERS[type(message)](market, message, now_ns)
        return market.id

    def apply_other(self, venue: str, message: MarketMessage, now_ns: int) -> None:
        """A message of a venue where nothing is traded."""
        book = self.elsewhere[venue].get(message.symbol or "")
        if book is None:
            raise FeedError(f"symbol {message.symbol!r} of {venue} is not followed")
        _OTHER_HANDLERS[type(message)](book, message, now_ns)

    def book_age_ns(self, venue: str, symbol: str, now_ns: int) -> int | None:
        """None without a usable book."""
        book = self.elsewhere[venue].get(symbol) if venue in self.elsewhere else self._by_symbol.get(symbol)
        return None if book is None or not book.book.usable else book.book_age_ns(now_ns)

    def expect_snapshot(self, venue: str, symbol: str) -> None:
        """A snapshot of this book was asked for, to see it farther."""
        book = self.elsewhere[venue].get(symbol) if venue in self.elsewhere else self._by_symbol.get(symbol)
        if book is not None:
            book.book.expect_snapshot()

    def follows(self, venue: str, symbol: str) -> bool:
        elsewhere = self.elsewhere.get(venue)
        return symbol in (self._by_symbol if elsewhere is None else elsewhere)

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
            self.add_days(market.instrument.base, bars)

    def add_days(self, coin: str, bars: Iterable[Bar]) -> None:
        """What was traded of a coin, followed or not, day by day."""
        self._volumes.add(coin, bars)
        self._day = None

    def feed_down(self, reason: str, venue: str = "", carries: Sequence[str] = (), symbol: str = "") -> None:
        """Of one venue, stream or symbol, or of all. Raises FeedError for a symbol that is not followed."""
        at_home = [] if venue in self.elsewhere else list(self._by_id.values())
        elsewhere = [book for name, books in self.elsewhere.items() if venue in ("", name) for book in books.values()]
        lost: list[InstrumentMarket | OtherBook] = [*at_home, *elsewhere]
        if symbol:
            lost = [each for each in lost if each.instrument.symbol == symbol]
            if not lost:
                raise FeedError(f"symbol {symbol!r} of {venue} is not followed")
        for each in lost:
            each.feed_down(reason, carries)

    def institutional_usd(self, coin: str) -> Decimal:
        """More than this in one wall of the coin is institutional today."""
        for market in self._by_id.values():
            if market.instrument.base == coin:
                return market.walls.institutional_usd
        return INSTITUTIONAL_USD

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

    def sources(self, name: str, instrument_id: str, now_ns: int) -> list[tuple[str, Reading[Any] | None]]:
        """What each source says, in the table's order."""
        market, key = self._keyed(name, instrument_id)
        return list(self.store.each(name, key, lambda: market.own(name, key, now_ns)))

    def forced_orders(self, instrument_id: str, now_ns: int) -> ForcedSummary:
        """The venue's liquidations of the last day, and how our own model did with them."""
        return self.market(instrument_id).forced.summary(now_ns)

    def candles(self, instrument_id: str, count: int) -> tuple[int, list[Bar]]:
        """Width in seconds, and the newest bars with the one under way."""
        history = self.market(instrument_id).history
        return history.width_s, history.candles(count)

    def depth(self, instrument_id: str) -> Steps | None:
        """Of our own venue's book."""
        return self.market(instrument_id).book.steps()

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
    ForcedOrder: InstrumentMarket.on_forced,
}


_OTHER_HANDLERS: dict[type, Callable[[OtherBook, Any, int], None]] = {
    BookSnapshot: OtherBook.on_snapshot,
    BookDiff: OtherBook.on_diff,
    TradePrint: OtherBook.on_trade,
    Quote: OtherBook.ignore,
    MarkPrice: OtherBook.ignore,
    ForcedOrder: OtherBook.ignore,
}
