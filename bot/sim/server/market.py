"""The market behind the exchange's servers: the events of a scenario as time brings them, and each symbol's book as of now.

This is the seam between its halves. `now_ms` is the exchange's time; `views` has a `PriceView` (bot/domain/ports.py) of each symbol;
`listeners` are called, in order, for every event of bot/sim/events.py after its book has it. Whoever owns the loop (`serve.py`, a
test) calls `advance`; nothing in here sleeps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from heapq import nlargest, nsmallest
from typing import Protocol

from bot.domain.market import Bar
from bot.domain.values import MS, Side
from bot.sim.events import Depth, Event, Mark, Rung, Snapshot, Told, Trade
from bot.sim.market_model import SyntheticMarket
from bot.sim.outside import Outside
from bot.sim.scenario import Coin, Scenario, Wall

TRADES_BEFORE = 1_000_000  # of each symbol: those of the past have numbers too
Listener = Callable[[Event], None]


class CoinModel(Protocol):
    """What is known of a coin besides its events."""

    @property
    def coin(self) -> Coin: ...
    @property
    def bars(self) -> list[Bar]: ...
    @property
    def outside(self) -> Outside | None:
        """Open interest and crowds; None where nobody knows of any."""
        ...

    @property
    def walls(self) -> Standing: ...


class Standing(Protocol):
    @property
    def standing(self) -> Sequence[tuple[Wall, int, int]]: ...


class Model(Protocol):
    """Where events come from."""

    @property
    def coins(self) -> Sequence[CoinModel]: ...
    def events(self) -> Iterator[Event]: ...


class SimMarket:
    """`now_ns` is the exchange's clock, injected. The first event lies just before the scenario's start."""

    def __init__(self, scenario: Scenario, now_ns: Callable[[], int], model: Model | None = None) -> None:
        self.scenario, self._now_ns = scenario, now_ns
        self.model: Model = model or SyntheticMarket(scenario, TRADES_BEFORE)
        self.coins: Mapping[str, Coin] = {coin.symbol: coin for coin in scenario.coins}
        self.books: Mapping[str, SimBook] = {symbol: SimBook(coin) for symbol, coin in self.coins.items()}
        self.listeners: list[Listener] = []
        self.told: dict[tuple[str, str], Told] = {}  # the newest of each, by name and key
        self.of_mark: Callable[[Mark], Mark] | None = None  # what becomes of each mark before anybody sees it
        self.at_ms = 0  # of the last event
        self.events = 0
        self._coming = self.model.events()
        self._next = next(self._coming, None)

    @property
    def views(self) -> Mapping[str, SimBook]:
        """By venue symbol (BTCUSDT)."""
        return self.books

    def now_ms(self) -> int:
        return self._now_ns() // MS

    @property
    def ended(self) -> bool:
        return self._next is None

    def advance(self, until_ms: int, most: int = 1 << 62) -> bool:
        """Let happen what is due by then, at most so many events; says whether more is due."""
        event, books, listeners = self._next, self.books, self.listeners
        while event is not None and event.ms <= until_ms:
            if not most:
                return True
            most -= 1
            self.at_ms = event.ms
            self.events += 1
            kind = type(event)
            if kind is Depth or kind is Snapshot:
                books[event.symbol].change(event)  # type: ignore[union-attr, arg-type]
            elif kind is Trade:
                books[event.symbol].traded(event)  # type: ignore[union-attr, arg-type]
            elif kind is Mark:
                if self.of_mark is not None:
                    event = self.of_mark(event)  # type: ignore[arg-type]
                books[event.symbol].marked(event)  # type: ignore[union-attr, arg-type]
            elif kind is Told:
                self.told[event.name, event.key] = event  # type: ignore[union-attr, assignment]
            for listener in listeners:
                listener(event)
            event = self._next = next(self._coming, None)
        return False


class SimBook:
    """One symbol's published book, last trade and mark: a `PriceView`. Lots by ticks are in `bids` and `asks`."""

    mark_source = "venue"

    def __init__(self, coin: Coin) -> None:
        self.coin = coin
        self.bids: dict[int, int] = {}
        self.asks: dict[int, int] = {}
        self.best_bid = self.best_ask = 0  # ticks; 0: none
        self.last_id = self.prev_id = 0
        self.changed_ms = 0
        self.trade: Trade | None = None
        self.told_mark: Mark | None = None

    # --- what happens ---

    def change(self, event: Depth | Snapshot) -> None:
        if type(event) is Snapshot:
            self.bids.clear()
            self.asks.clear()
        _apply(self.bids, event.bids)
        _apply(self.asks, event.asks)
        self.last_id, self.changed_ms = event.last_id, event.ms
        self.best_bid = _best(self.bids, self.best_bid, event.bids, max)
        self.best_ask = _best(self.asks, self.best_ask, event.asks, min)

    def traded(self, event: Trade) -> None:
        self.trade = event

    def marked(self, event: Mark) -> None:
        self.told_mark = event

    # --- PriceView ---

    @property
    def usable(self) -> bool:
        return 0 < self.best_bid < self.best_ask

    @property
    def bid(self) -> float | None:
        return self._price(self.best_bid) if self.usable else None

    @property
    def ask(self) -> float | None:
        return self._price(self.best_ask) if self.usable else None

    @property
    def mid(self) -> float | None:
        return float((self.best_bid + self.best_ask) * self.coin.tick / 2) if self.usable else None

    @property
    def last(self) -> float | None:
        return None if self.trade is None else self._price(self.trade.ticks)

    @property
    def mark(self) -> float | None:
        return self.mid if self.told_mark is None else round(self.told_mark.mark, 8)

    def book_age_ns(self, now_ns: int) -> int | None:
        return now_ns - self.changed_ms * MS if self.changed_ms else None

    def trade_age_ns(self, now_ns: int) -> int | None:
        return None if self.trade is None else now_ns - self.trade.ms * MS

    def mark_age_ns(self, now_ns: int) -> int | None:
        return None if self.told_mark is None else now_ns - self.told_mark.ms * MS

    def levels(self, side: Side, count: int) -> list[tuple[float, float]]:
        return [(self._price(ticks), float(lots * self.coin.step)) for ticks, lots in self.rungs(side, count)]

    def size_at(self, side: Side, price: float) -> float | None:
        """0.0 between levels: all there is is known."""
        if not self.usable:
            return None
        held = self.bids if side is Side.BUY else self.asks
        return float(held.get(round(price / float(self.coin.tick)), 0) * self.coin.step)

    # --- in whole numbers ---

    def rungs(self, side: Side, count: int) -> list[Rung]:
        """The best `count` (ticks, lots), best first."""
        held, first = (self.bids, nlargest) if side is Side.BUY else (self.asks, nsmallest)
        return [(ticks, held[ticks]) for ticks in first(count, held)]

    def _price(self, ticks: int) -> float:
        return float(ticks * self.coin.tick)


def _apply(held: dict[int, int], changes: Iterable[Rung]) -> None:
    for ticks, lots in changes:
        if lots:
            held[ticks] = lots
        else:
            held.pop(ticks, None)


def _best(held: dict[int, int], old: int, changes: list[Rung], first: Callable[..., int]) -> int:
    """The best level after these changes; all are looked at only where the old best is gone."""
    if old not in held:
        return first(held, default=0)
    return next((first(old, ticks) for ticks, lots in changes if lots), old)
