"""What a frame does: market bytes change the market state, everything else becomes messages for the desks.

A message that cannot be read is skipped, counted and told once a minute at most; a market message that was a book update then
shows as a gap on the next one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from itertools import pairwise
from typing import Any, Protocol

import msgspec

from bot.domain.errors import FeedError
from bot.domain.events import Emit
from bot.domain.frames import DEPTH, FeedState, Frame, History, IntelProblem, PastTrades, Source, Widen
from bot.domain.market import Bar, BookDiff, BookSnapshot, MarketMessage, MarkPrice, TradePrint, flaw_of
from bot.domain.messages import FeedChanged, Message, OperatorRequest, OutsideSignal
from bot.domain.orders import AccountReport, Transfer, Trigger
from bot.domain.ports import MarketView
from bot.domain.trades import PastTrade, TradeRun
from bot.domain.values import NS
from bot.exchanges.base import BookLost, Decoder
from bot.market.flow import TakerFlow
from bot.market.readings import decode_reading
from bot.market.state import Market
from bot.market.volumes import DAY_S
from bot.runtime.watches import Watches

TOLD_EVERY_NS = 60 * NS
MIN_PRICE, MAX_PRICE = Decimal("1e-12"), Decimal("1e12")
_BOOK = frozenset({BookDiff, BookSnapshot})
_MOVES_MARK = _BOOK | {MarkPrice}


class FillSource(Protocol):
    """A venue that fills orders from the market data we see (paper)."""

    def watching(self, instrument: str) -> bool: ...
    def on_trade(self, instrument: str, trade: TradePrint, market: MarketView, now_ns: int) -> None: ...
    def on_book(self, instrument: str, market: MarketView, now_ns: int) -> None: ...
    def on_mark(self, instrument: str, market: MarketView, now_ns: int) -> None:
        """Told of every mark price, watching or not: funding has to be known before there is a position."""
        ...


class Bystanders(Protocol):
    """Positions that are only computed (trading/shadow): shown what a venue that fills orders is shown, while there are any of the
    instrument."""

    def watching(self, instrument: str) -> bool: ...
    def on_trade(self, instrument: str, trade: TradePrint, market: MarketView, now_ns: int) -> None: ...
    def on_book(self, instrument: str, message: BookDiff | BookSnapshot, market: MarketView, now_ns: int) -> None: ...
    def on_mark(self, instrument: str, market: MarketView, now_ns: int) -> None: ...
    def broke(self, error: Exception) -> None:
        """One of the calls above raised."""
        ...

    def moved(self) -> Sequence[Message]:
        """What the desks are to hear of it."""
        ...


class Asked(Protocol):
    """Whoever wants to know something after each trade that counts, and decides nothing (trading/asking.py)."""

    def in_bulk(self, instrument: str) -> bool: ...
    def after(self, instrument: str) -> None: ...
    def after_each(self, flow: TakerFlow, run: TradeRun, count: int) -> None:
        """Only while `in_bulk`, before these trades are applied."""
        ...


class Intake:
    """`decoders` makes, by a market frame's source, the decoder of that venue's bytes; messages about symbols in `unfollowed` (of the
    venue where we trade) are passed over."""

    def __init__(
        self,
        market: Market,
        decoders: Mapping[str, Callable[[], Decoder]],
        fills: FillSource,
        watches: Watches,
        unfollowed: frozenset[str] = frozenset(),
        bystanders: Bystanders | None = None,
    ) -> None:
        self._market, self._fills, self._watches, self._bystanders = market, fills, watches, bystanders
        self._make = dict(decoders)
        self._decoders = {venue: make() for venue, make in decoders.items()}
        self._unfollowed = unfollowed
        self._operator = msgspec.json.Decoder(OperatorRequest)
        self._report = msgspec.json.Decoder(AccountReport)
        self._feed = msgspec.json.Decoder(FeedState)
        self._widen = msgspec.json.Decoder(Widen)
        self._history = msgspec.json.Decoder(History)
        self._past = msgspec.json.Decoder(PastTrades)
        self._intel = msgspec.json.Decoder(IntelProblem)
        self.asked: Asked | None = None
        self.bad_frames = 0
        self._told_ns: dict[str, int] = {}  # by kind of event
        self._untold: Counter[str] = Counter()

    def apply(self, frame: Frame, now_ns: int) -> Sequence[Message]:
        decode = self._decoders.get(frame.source)
        try:
            if decode is not None:
                said = decode(frame.raw)
                elsewhere = self._market.elsewhere
                if elsewhere and frame.source in elsewhere:
                    return self._apply_elsewhere(frame.source, said, now_ns)
                if type(said) is list:
                    return [message for each in said for message in self._apply_market(each, now_ns)]
                return self._apply_market(said, now_ns)  # type: ignore[arg-type]
            return self._apply_other(frame, now_ns)
        except BookLost as lost:
            return self._book_lost(frame, lost, now_ns)
        except (FeedError, ValueError, msgspec.MsgspecError, RecursionError) as error:
            return self._bad(frame, str(error), now_ns)

    def undisturbed(self, run: TradeRun) -> bool:
        """Whether many of these trades may be applied at once: nobody waits for a price or a fill, or asks in full."""
        if run.symbol in self._unfollowed:
            return True
        instrument = self._market.by_symbol(run.symbol).id
        if self._fills.watching(instrument) or self._watches.watching(instrument) or self._is_followed(instrument):
            return False
        return self.asked is None or self.asked.in_bulk(instrument)

    def apply_run(self, run: TradeRun, count: int, now_ns: int) -> Sequence[Message]:
        """The next `count` trades of a run: more than one only while it is undisturbed, and all of one second."""
        if count == 1:
            return self._apply_market(run.print_at(run.at), now_ns)
        if run.symbol not in self._unfollowed:
            market = self._market.by_symbol(run.symbol)
            if self.asked is not None and market.counts(run.aggregated):
                self.asked.after_each(market.taker, run, count)
            market.on_trades(run, count)
        return ()

    def sample(self, now_ns: int) -> Sequence[Message]:
        self._market.sample(now_ns)
        return self._notes() if self._market.notes else ()

    def _apply_market(self, message: MarketMessage | None, now_ns: int) -> Sequence[Message]:
        if message is None or message.symbol in self._unfollowed:
            return ()
        if message.symbol is None and self._unfollowed:
            raise FeedError("a snapshot that names no symbol, where the feed carries several")
        instrument = self._market.apply(message, now_ns)
        if self.asked is not None and isinstance(message, TradePrint):
            self._ask(self.asked, message, instrument)
        if type(message) is MarkPrice:
            self._fills.on_mark(instrument, self._market.market(instrument), now_ns)
        elif self._fills.watching(instrument):
            self._fill(message, instrument, now_ns)
        moved = self._pass_by(message, instrument, now_ns) if self._is_followed(instrument) else ()
        if self._watches.watching(instrument):
            return [*self._notes(), *self._touched(message, instrument), *moved]
        return [*self._notes(), *moved] if moved or self._market.notes else ()

    def _is_followed(self, instrument: str) -> bool:
        return self._bystanders is not None and self._bystanders.watching(instrument)

    def _pass_by(self, message: MarketMessage, instrument: str, now_ns: int) -> Sequence[Message]:
        bystanders, market = self._bystanders, self._market.market(instrument)
        assert bystanders is not None
        try:
            match message:
                case TradePrint() if message.aggregated is market.aggregated:
                    bystanders.on_trade(instrument, message, market, now_ns)
                case BookDiff() | BookSnapshot():
                    bystanders.on_book(instrument, message, market, now_ns)
                case MarkPrice():
                    bystanders.on_mark(instrument, market, now_ns)
        except Exception as error:  # noqa: BLE001 - what is only computed must not stop what trades
            bystanders.broke(error)
        return bystanders.moved()

    def _apply_elsewhere(
        self, venue: str, said: MarketMessage | Sequence[MarketMessage] | None, now_ns: int
    ) -> Sequence[Message]:
        for message in _each(said):
            self._market.apply_other(venue, message, now_ns)
        return self._notes() if self._market.notes else ()

    def _ask(self, asked: Asked, trade: TradePrint, instrument: str) -> None:
        if trade.aggregated is self._market.market(instrument).aggregated:
            asked.after(instrument)

    def _fill(self, message: MarketMessage, instrument: str, now_ns: int) -> None:
        market = self._market.market(instrument)
        if isinstance(message, TradePrint):
            if message.aggregated is market.aggregated:
                self._fills.on_trade(instrument, message, market, now_ns)
        elif type(message) in _BOOK:
            self._fills.on_book(instrument, market, now_ns)

    def _touched(self, message: MarketMessage, instrument: str) -> Sequence[Message]:
        market = self._market.market(instrument)
        if isinstance(message, TradePrint):
            return () if market.last is None else self._watches.touched(instrument, Trigger.LAST, market.last)
        if type(message) not in _MOVES_MARK or market.mark is None:
            return ()
        return self._watches.touched(instrument, Trigger.MARK, market.mark)

    def _apply_other(self, frame: Frame, now_ns: int) -> Sequence[Message]:
        match frame.source:
            case Source.REPORT:
                report = self._report.decode(frame.raw)
                if not isinstance(report, Transfer):
                    self._market.market(report.instrument)  # raises where it is not followed
                return (report,)
            case Source.OPERATOR:
                return (_sane(self._operator.decode(frame.raw)),)
            case Source.READING:
                self._market.store.put(decode_reading(frame.raw, now_ns))
            case Source.FEED:
                return self._feed_changed(self._feed.decode(frame.raw))
            case Source.WIDEN:
                widen = self._widen.decode(frame.raw)
                self._market.expect_snapshot(widen.venue, widen.symbol)
            case Source.INTEL:
                said = self._intel.decode(frame.raw)
                return (Emit(kind="INTEL_ERROR", source=said.provider, data={"problem": said.problem}),)
            case Source.HISTORY:
                self._take_history(self._history.decode(frame.raw))
            case Source.PAST:
                self._take_past(self._past.decode(frame.raw))
            case Source.TICK:
                pass
            case _:
                raise FeedError(f"no decoder for frames of source {frame.source!r}")
        return ()

    def _feed_changed(self, feed: FeedState) -> list[Message]:
        """Messages may be missing after a stream went: flow starts over, and books are replaced, never continued."""
        if not feed.up:
            self._market.feed_down(feed.reason, feed.venue, feed.carries, feed.symbol)
        if not feed.symbol and (
            not feed.carries or DEPTH in feed.carries
        ):  # what a decoder remembers is of one connection
            self._renew_decoders(feed.venue)
        kind, data = ("FEED_UP" if feed.up else "FEED_DOWN"), {"stream": feed.stream, "reason": feed.reason}
        if feed.venue:
            data["venue"] = feed.venue
        return [Emit(kind=kind, source="feed", data=data), *self._notes()]

    def _book_lost(self, frame: Frame, lost: BookLost, now_ns: int) -> Sequence[Message]:
        """That of a symbol that is not followed is nobody's loss."""
        if self._market.follows(frame.source, lost.symbol):
            self._market.feed_down(str(lost), frame.source, (DEPTH,), lost.symbol)
        elif lost.symbol in self._unfollowed:
            return ()
        return [*self._bad(frame, str(lost), now_ns), *self._notes()]

    def _renew_decoders(self, of: str) -> None:
        for venue, make in self._make.items():
            if of in ("", venue):
                self._decoders[venue] = make()

    def _take_history(self, history: History) -> None:
        bars = [Bar(*row) for row in history.bars]
        if flaw := flaw_of(bars, history.width_s * NS):
            raise FeedError(f"history of {history.instrument}: {flaw}")
        if history.width_s == DAY_S:
            self._market.add_days(history.coin, bars)
        else:
            self._market.warm_up(history.instrument, history.width_s, bars)

    def _take_past(self, past: PastTrades) -> None:
        trades = [PastTrade(*row) for row in past.trades]
        for before, after in pairwise(trades):
            if after.trade_id != before.trade_id + 1:
                raise FeedError(f"past trades of {past.instrument}: {after.trade_id} follows {before.trade_id}")
        self._market.market(past.instrument).on_past(trades)

    def _notes(self) -> list[Message]:
        """A book became usable or unusable: journaled, and told to the desk that keeps the trading state."""
        notes, self._market.notes = self._market.notes, []
        answers: list[Message] = []
        for note in notes:
            data = {"usable": note.usable, "reason": note.reason}
            if note.of:  # of another venue: nothing is traded there
                data["book"] = note.instrument
                answers.append(Emit(kind="BOOK_RESYNC", instrument=note.of, source="market", data=data))
                continue
            answers.append(Emit(kind="BOOK_RESYNC", instrument=note.instrument, source="market", data=data))
            answers.append(FeedChanged(instrument=note.instrument, usable=note.usable, reason=note.reason))
        return answers

    def _bad(self, frame: Frame, problem: str, now_ns: int) -> Sequence[Message]:
        kind = "INTEL_ERROR" if frame.source == Source.READING else "BAD_FRAME"
        self.bad_frames += 1
        self._untold[kind] += 1
        told_ns = self._told_ns.get(kind)
        if told_ns is not None and now_ns - told_ns < TOLD_EVERY_NS:
            return ()
        self._told_ns[kind] = now_ns
        data: dict[str, Any] = {"frame_source": frame.source, "problem": problem, "count": self._untold.pop(kind)}
        return (Emit(kind=kind, source="intake", data=data),)


def _each(said: MarketMessage | Sequence[MarketMessage] | None) -> Sequence[MarketMessage]:
    if said is None:
        return ()
    return said if isinstance(said, Sequence) else (said,)


def _sane(request: OperatorRequest) -> OperatorRequest:
    """JSON decoding takes NaN for a decimal; nothing behind this does."""
    price = request.price if isinstance(request, OutsideSignal) else None
    if price is not None and not (price.is_finite() and MIN_PRICE <= price <= MAX_PRICE):
        raise FeedError(f"price {price} is not a price")
    return request
