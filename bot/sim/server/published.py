"""What the exchange publishes: the market's books and trades, with those of its accounts among them.

The market does not know the accounts, and the fill rules want it so; everybody who looks must see one book. With each depth message the
accounts' resting limits are added, what they took is missing for as long as it is for them (`trading/takings.py`), and quotes at or
beyond an account's own order are left out, for they would have met it: so no published book is crossed. Trades of accounts are
numbered among the others and are the last price. Where no account does anything, every event passes as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from heapq import nlargest, nsmallest

from msgspec import structs

from bot.domain.values import Side
from bot.sim.events import Best, Depth, Event, Forced, Rung, Trade
from bot.sim.exchange.core import ExchangeCore
from bot.sim.exchange.crossing import Print
from bot.sim.server.market import Listener, SimBook, SimMarket

Lots = dict[int, int]
"""By ticks."""


class PublishedBook:
    """One symbol's. `bids` and `asks` have only what is told otherwise than the market has it."""

    def __init__(self, market: SimBook) -> None:
        self.market = market
        self.bids: Lots = {}
        self.asks: Lots = {}
        self.trades_between = 0  # of accounts, which move the numbers of all later ones

    def rungs(self, side: Side, count: int) -> list[Rung]:
        """The best `count` (ticks, lots), best first, as of the last depth message."""
        told, first = (self.bids, nlargest) if side is Side.BUY else (self.asks, nsmallest)
        if not told:
            return self.market.rungs(side, count)
        held = {**dict(self.market.rungs(side, count + len(told))), **told}
        return [(ticks, held[ticks]) for ticks in first(count, (ticks for ticks, lots in held.items() if lots))]


class Published:
    """A listener of the market, of the accounts' trades and of their liquidations; `listeners` get what everybody may know."""

    def __init__(self, market: SimMarket, core: ExchangeCore) -> None:
        self.books: Mapping[str, PublishedBook] = {symbol: PublishedBook(book) for symbol, book in market.books.items()}
        self.listeners: list[Listener] = []
        self._market, self._core = market, core
        core.on_print.append(self._printed)
        core.on_forced.append(self._forced)

    def on_event(self, event: Event) -> None:
        kind = type(event)
        if kind is Depth:
            self._tell(self._depth(event))  # type: ignore[arg-type]
        elif kind is Trade:
            between = self.books[event.symbol].trades_between  # type: ignore[union-attr]
            self._tell(structs.replace(event, trade_id=event.trade_id + between) if between else event)  # type: ignore[union-attr]
        elif kind is Best:
            self._best(event)  # type: ignore[arg-type]
        else:
            self._tell(event)

    def _tell(self, event: Event) -> None:
        for listener in self.listeners:
            listener(event)

    # --- trades of accounts ---

    def _printed(self, printed: Print) -> None:
        book = self.books[printed.symbol]
        coin, before = book.market.coin, book.market.trade
        if before is None:  # nobody knows yet how trades are numbered
            return
        book.trades_between += 1
        ticks, lots = int(printed.price / coin.tick), int(printed.quantity / coin.step)
        trade = Trade(printed.symbol, self._market.at_ms, before.trade_id, ticks, lots, printed.buys)
        book.market.traded(trade)
        self._tell(structs.replace(trade, trade_id=before.trade_id + book.trades_between))
        self._core.algos.on_last(printed.symbol, printed.price)

    def _forced(self, printed: Print) -> None:
        """`price` is the average of an account's liquidation."""
        coin = self._market.coins[printed.symbol]
        ticks, lots = round(printed.price / coin.tick), int(printed.quantity / coin.step)
        self._tell(Forced(printed.symbol, self._market.at_ms, ticks, lots, printed.buys))

    # --- books ---

    def _depth(self, event: Depth) -> Depth:
        book = self.books[event.symbol]
        self._core.at(event.ms)
        bids, asks = self._overlay(book)
        if not (bids or asks or book.bids or book.asks):
            return event
        told_bids = _changes(event.bids, book.market.bids, book.bids, bids)
        told_asks = _changes(event.asks, book.market.asks, book.asks, asks)
        book.bids, book.asks = bids, asks
        return structs.replace(event, bids=sorted(told_bids.items(), reverse=True), asks=sorted(told_asks.items()))

    def _overlay(self, book: PublishedBook) -> tuple[Lots, Lots]:
        """Levels of both sides that are to be told otherwise than the market has them."""
        matching, market, coin = self._core.matching, book.market, book.market.coin
        resting: dict[Side, Lots] = {Side.BUY: {}, Side.SELL: {}}
        for side, price, quantity in matching.standing(coin.instrument.id):
            ticks = int(price / coin.tick)
            resting[side][ticks] = resting[side].get(ticks, 0) + int(quantity / coin.step)
        gone: dict[Side, Lots] = {Side.BUY: {}, Side.SELL: {}}
        for side, level, quantity in matching.missing(coin.instrument.id):
            gone[side][round(level / float(coin.tick))] = int(quantity / coin.step)
        bid, ask = max(resting[Side.BUY], default=0), min(resting[Side.SELL], default=1 << 62)
        met_bids = [ticks for ticks in market.bids if ticks >= ask] if ask <= market.best_bid else []
        met_asks = [ticks for ticks in market.asks if ticks <= bid] if bid >= market.best_ask else []
        return (
            _levels(market.bids, resting[Side.BUY], gone[Side.BUY], met_bids),
            _levels(market.asks, resting[Side.SELL], gone[Side.SELL], met_asks),
        )

    def _best(self, event: Best) -> None:
        book = self.books[event.symbol]
        if book.bids or book.asks:
            bid, ask = _top(book, Side.BUY, event.bid), _top(book, Side.SELL, event.ask)
            if bid is None or ask is None:
                return
            event = structs.replace(event, bid=bid, ask=ask)
        self._tell(event)


def _levels(held: Lots, resting: Lots, gone: Lots, met: Iterable[int]) -> Lots:
    told = {ticks: max(0, held.get(ticks, 0) - lots) for ticks, lots in gone.items()}
    told |= dict.fromkeys(met, 0)
    for ticks, lots in resting.items():
        told[ticks] = told.get(ticks, held.get(ticks, 0)) + lots
    return told


def _changes(changed: Iterable[Rung], held: Lots, before: Lots, after: Lots) -> Lots:
    """What differs from what was told before; `held` is the market's side, `changed` what changed in it."""
    told = {ticks: after.get(ticks, lots) for ticks, lots in changed}
    for ticks in before.keys() | after.keys():
        lots, there = after.get(ticks, held.get(ticks, 0)), held.get(ticks, 0)
        if ticks not in told and lots != before.get(ticks, there):
            told[ticks] = lots
    return told


def _top(book: PublishedBook, side: Side, now: Rung) -> Rung | None:
    """The best level; `now` is the market's, which may have been traded at since the book was told."""
    best = book.rungs(side, 1)
    if not best or best[0][0] != now[0]:
        return best[0] if best else None
    held = book.market.bids if side is Side.BUY else book.market.asks
    return now[0], max(1, best[0][1] - held.get(now[0], now[1]) + now[1])
