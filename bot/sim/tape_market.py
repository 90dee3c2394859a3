"""A recorded tape of Binance USD-M as the market of the exchange: what was recorded happens again, moved to the exchange's time.

It tells what the tape tells and makes nothing up: no open interest, crowds or options, no klines from before its warm-up. Books are
followed as the engine follows them; one that lost its sequence is told anew once the tape has a snapshot again. What orders of ours take
is not there any more for us, but the tape goes on as it went.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from msgspec import structs

from bot.domain.errors import ConfigError, FeedError
from bot.domain.instrument import Instrument
from bot.domain.market import Bar, BookDiff, BookSnapshot, ForcedOrder, MarkPrice, Quote, TradePrint
from bot.domain.values import LONG, MS, NS, Side
from bot.exchanges import binance
from bot.market.book import Book
from bot.runtime.tape import Tape
from bot.sim.events import Best, Depth, Event, Forced, Mark, Rung, Snapshot, Trade
from bot.sim.scenario import BAR_S, Coin, Motion, Scenario, Segment

_WHOLE = 1_000_000  # levels: all there are


class TapeCoin(Coin, frozen=True, kw_only=True):
    """With the rules that the tape's manifest has."""

    listed: Instrument

    @property
    def symbol(self) -> str:
        return self.listed.symbol

    @property
    def instrument(self) -> Instrument:
        return self.listed


class _NoWalls(NamedTuple):
    standing: tuple[()] = ()


@dataclass(frozen=True, slots=True)
class TapeCoinMarket:
    """What is known of a coin besides its events. `outside` None: nothing of open interest and crowds."""

    coin: Coin
    bars: list[Bar]
    outside: None = None

    @property
    def walls(self) -> _NoWalls:
        return _NoWalls()


class TapeMarket:
    """`origin_ns` is when, on the exchange's clock, the tape begins. Raises ConfigError for a tape of another venue."""

    def __init__(self, tape: Tape, origin_ns: int) -> None:
        if tape.manifest.venue != binance.VENUE:
            raise ConfigError(f"tape {tape.name} is of {tape.manifest.venue}; the exchange speaks as {binance.VENUE}")
        self.tape = tape
        self._shift_ns = origin_ns - tape.first_ns()
        coins = tuple(_coin(each) for each in tape.instruments)
        bars = {key: found for key, width_s, found in tape.warmup() if width_s == BAR_S}
        self.coins = [TapeCoinMarket(coin, self._moved(bars.get(coin.instrument.id, []))) for coin in coins]
        whole = Segment(seconds=1, motion=Motion.RANDOM)
        start_ns = origin_ns - origin_ns % (BAR_S * NS)
        self.scenario = Scenario(
            name=f"tape {tape.name}", seed=0, coins=coins, seconds=1, start_ns=start_ns, segments=(whole,)
        )

    def _moved(self, bars: list[Bar]) -> list[Bar]:
        """By whole bars, so that none lies in the future."""
        whole_ns = self._shift_ns // (BAR_S * NS) * BAR_S * NS
        return [structs.replace(bar, start_ns=bar.start_ns + whole_ns) for bar in bars]

    def events(self) -> Iterator[Event]:
        """At the times at which they arrived."""
        followed = {each.coin.symbol: _Followed(each.coin, self._shift_ns) for each in self.coins}
        only = next(iter(followed)) if len(followed) == 1 else ""  # whom a bare snapshot is of
        for frame in self.tape.frames():
            if frame.source != binance.VENUE:
                continue
            try:
                said = binance.decode(frame.raw)
            except FeedError:
                continue
            of = None if said is None else followed.get(said.symbol or only)
            if said is not None and of is not None:
                yield from of.events(said, (frame.recv_ns + self._shift_ns) // MS)


def _coin(listed: Instrument) -> TapeCoin:
    return TapeCoin(base=listed.base, price=listed.tick, tick=listed.tick, step=listed.step, listed=listed)


class _Followed:
    """One symbol's messages as events."""

    def __init__(self, coin: Coin, shift_ns: int) -> None:
        self._symbol, self._shift_ns = coin.symbol, shift_ns
        self._tick, self._step = float(coin.tick), float(coin.step)
        self._book = Book()
        self._aggregated = False  # both kinds tell of the same trades

    def events(self, said: object, ms: int) -> Iterator[Event]:
        match said:
            case BookSnapshot():
                yield from self._snapshot(said, ms)
            case BookDiff():
                yield from self._diff(said, ms)
            case TradePrint() if said.aggregated or not self._aggregated:
                rung = self._rung(said.price, said.quantity)
                self._aggregated = self._aggregated or said.aggregated
                yield Trade(self._symbol, ms, said.trade_id, *rung, said.taker_buys)
            case Quote():
                bid, ask = self._rung(said.bid, said.bid_quantity), self._rung(said.ask, said.ask_quantity)
                yield Best(self._symbol, ms, said.update_id, bid, ask)
            case MarkPrice():
                due_ns = said.next_funding_ns
                funding_ms = 0 if due_ns is None else (due_ns + self._shift_ns) // MS
                yield Mark(self._symbol, ms, said.mark, said.index or said.mark, said.funding_rate or 0.0, funding_ms)
            case ForcedOrder():
                yield Forced(self._symbol, ms, *self._rung(said.price, said.quantity), said.side is not LONG)

    def _snapshot(self, said: BookSnapshot, ms: int) -> Iterator[Event]:
        """News only to a book that there was not."""
        before = self._book.usable
        self._book.apply_snapshot(said)
        if self._book.usable and not before:
            yield self._whole(ms)

    def _diff(self, said: BookDiff, ms: int) -> Iterator[Event]:
        before, last_id = self._book.usable, self._book.last_id
        self._book.apply_diff(said)
        if self._book.usable and not before:
            yield self._whole(ms)
        elif self._book.usable and self._book.last_id != last_id:
            bids, asks = ([self._rung(*level) for level in levels] for levels in (said.bids, said.asks))
            previous = (last_id or 0) if said.prev_id is None else said.prev_id
            yield Depth(self._symbol, ms, said.first_id, said.last_id, previous, bids, asks)

    def _whole(self, ms: int) -> Snapshot:
        bids, asks = (
            [self._rung(*level) for level in self._book.levels(side, _WHOLE)] for side in (Side.BUY, Side.SELL)
        )
        return Snapshot(self._symbol, ms, self._book.last_id or 0, bids, asks)

    def _rung(self, price: float, quantity: float) -> Rung:
        return round(price / self._tick), round(quantity / self._step)
