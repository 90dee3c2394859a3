"""What one symbol's REST can look back on: klines, trades, open interest, crowding and paid funding.

Bars lie in whole numbers, by minute for a day and by five minutes for eleven. The newest five-minute ones are those of the
generator's own history, so that a driver and a tape begin with the same regime; what lies before is a random walk back from there,
which only fills a page. `Past` is a listener of the market: what happens is added as it does.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice, takewhile
from math import exp, sqrt
from random import Random
from statistics import mean
from typing import NamedTuple

from bot.domain.market import Bar
from bot.domain.reading import LongShort
from bot.domain.values import MS
from bot.sim.events import Event, Mark, Told, Trade
from bot.sim.server.kline import Kline, add, copy, fold
from bot.sim.server.market import TRADES_BEFORE, CoinModel
from bot.sim.server.past_trades import count_of, kline_of, trades_of

MINUTE_MS, FIVE_MS, HOUR_MS = 60_000, 300_000, 3_600_000
_MINUTES_KEPT, _FIVES_KEPT = 1600, 11 * 288
_TRADES_KEPT_MS = 65 * MINUTE_MS
_TRADES_KEPT = 500_000  # at most, where accounts trade faster than any market
_SAMPLES_KEPT, _HOURS_KEPT = 600, 30 * 24
_FUNDING_MS = 8 * HOUR_MS
_FUNDINGS = 90


class Sample(NamedTuple):
    """`ticks`: the coin's price then."""

    ms: int
    value: float
    ticks: int


class Series:
    """What was so at full five minutes: the newest of them, and full hours of a month."""

    def __init__(self) -> None:
        self._fives: deque[Sample] = deque(maxlen=_SAMPLES_KEPT)
        self._hours: deque[Sample] = deque(maxlen=_HOURS_KEPT)

    def add(self, sample: Sample) -> None:
        """The first one of five minutes is that of their beginning."""
        ms = sample.ms - sample.ms % FIVE_MS
        if self._fives and ms <= self._fives[-1].ms:
            return
        self._fives.append(sample._replace(ms=ms))
        if ms % HOUR_MS == 0:
            self._hours.append(self._fives[-1])

    def every(self, width_ms: int) -> Iterator[Sample]:
        """Oldest first."""
        samples = self._fives if width_ms % HOUR_MS else self._hours
        return (sample for sample in samples if sample.ms % width_ms == 0)


class Past:
    """Of one symbol. `seed` makes what lies before the generator's history."""

    def __init__(self, market: CoinModel, start_ms: int, seed: int) -> None:
        self.coin, self._outside = market.coin, market.outside
        self.minutes: deque[Kline] = deque(maxlen=_MINUTES_KEPT)
        self.fives: deque[Kline] = deque(maxlen=_FIVES_KEPT)
        self.trades: deque[Trade] = deque()  # of an hour and a bit
        self.interest, self.ratios = Series(), Series()  # open interest in coins; long accounts for each short one
        self.interest_now: Sample | None = None
        self.fundings: deque[tuple[int, float, float]] = deque(maxlen=_FUNDINGS)  # ms, rate, mark
        self._mark: Mark | None = None
        rng = Random(f"{seed}:{self.coin.symbol}:past")
        if market.outside is None:  # nothing is made up beside what is real
            self.fives.extend(self._kline(bar) for bar in market.bars)
            return
        self.interest_now = Sample(start_ms, self.coins_open(1.0), round(self.coin.price / self.coin.tick))
        self._look_back(market.bars, start_ms, rng)
        self._trade_back(Random(f"{seed}:{self.coin.symbol}:trades"))
        self._guess(start_ms, rng)

    def coins_open(self, share: float) -> float:
        """Open interest in coins, for a multiple of the coin's usual one."""
        return self.coin.open_interest_usd / float(self.coin.price) * share

    # --- what happens ---

    def on_event(self, event: Event) -> None:
        kind = type(event)
        if kind is Trade:
            self._traded(event)  # type: ignore[arg-type]
        elif kind is Mark:
            self._marked(event)  # type: ignore[arg-type]
        elif kind is Told:
            self._told(event)  # type: ignore[arg-type]

    def _traded(self, trade: Trade) -> None:
        trades = self.trades
        trades.append(trade)
        while trades[0].ms < trade.ms - _TRADES_KEPT_MS or len(trades) > _TRADES_KEPT:
            trades.popleft()
        start_ms = trade.ms - trade.ms % MINUTE_MS
        if not self.minutes or self.minutes[-1].start_ms < start_ms:
            if self.minutes:
                self._fold_minute(self.minutes[-1])
            self.minutes.append(Kline(start_ms, trade.ticks, trade.ticks, trade.ticks, trade.ticks))
        self.minutes[-1].add(trade.ticks, trade.lots, trade.taker_buys)

    def _fold_minute(self, done: Kline) -> None:
        """`fives` has all but the running minute."""
        start_ms = done.start_ms - done.start_ms % FIVE_MS
        if self.fives and self.fives[-1].start_ms == start_ms:
            add(self.fives[-1], done)
        elif not self.fives or self.fives[-1].start_ms < start_ms:
            self.fives.append(copy(done, start_ms))

    def _marked(self, mark: Mark) -> None:
        before, self._mark = self._mark, mark
        if before is not None and 0 < before.funding_ms <= mark.ms:  # 0: a tape does not know
            self.fundings.append((before.funding_ms, before.rate, mark.mark))

    def _told(self, told: Told) -> None:
        ticks = self.minutes[-1].close
        if told.name == "oi_delta_5m" and self._outside is not None:
            self.interest_now = Sample(told.ms, self.coins_open(self._outside.open_interest), ticks)
            self.interest.add(self.interest_now)
        elif told.name == "long_short" and isinstance(told.value, LongShort):
            self.ratios.add(Sample(told.ms, float(told.value.ratio), ticks))

    # --- what can be asked ---

    def klines(self, width_ms: int) -> Iterator[Kline]:
        """All there are of that width, the running one last."""
        if width_ms % FIVE_MS:
            yield from fold(self.minutes, width_ms)
        else:
            yield from fold([*self.fives, *list(self.minutes)[-1:]], width_ms)

    def kline(self, width_ms: int, start_ms: int) -> Kline | None:
        """The one that begins there, as far as it has come."""
        minutes = reversed(self.minutes)
        newest_first = minutes if width_ms % FIVE_MS else chain(islice(minutes, 1), reversed(self.fives))
        since = takewhile(lambda kline: kline.start_ms >= start_ms, newest_first)
        parts = [kline for kline in since if kline.start_ms < start_ms + width_ms]
        return next(fold(reversed(parts), width_ms), None)

    # --- before the beginning ---

    def _look_back(self, bars: Sequence[Bar], start_ms: int, rng: Random) -> None:
        newer = [self._kline(bar) for bar in bars]
        opened = newer[0].open if newer else round(self.coin.price / self.coin.tick)
        first_ms = newer[0].start_ms if newer else start_ms
        count = _FIVES_KEPT - len(newer) - 1
        self.fives.extend(newer)
        self.fives.extendleft(list(self._walk_back(opened, first_ms, count, rng)))
        for five in list(self.fives)[-_MINUTES_KEPT // 5 + 20 :]:
            self.minutes.extend(_minutes_of(five, rng))
        if self.minutes:  # the newest minute still runs: a last trade of history is to come
            running = list(self.minutes)[-5:-1]
            self.fives[-1] = next(fold(running, FIVE_MS))

    def _trade_back(self, rng: Random) -> None:
        """The newest minutes, and the five minutes that they fold into, are made of trades that are told one by one."""
        minutes = list(self.minutes)[-_TRADES_KEPT_MS // MINUTE_MS :]
        first_id = TRADES_BEFORE + 1 - sum(count_of(minute) for minute in minutes)
        for back, minute in zip(range(len(minutes), 0, -1), minutes, strict=True):
            trades = trades_of(minute, self.coin.symbol, first_id, rng)
            self.minutes[-back] = kline_of(minute, trades)
            self.trades.extend(trades)
            first_id += len(trades)
        folded = list(fold(list(self.minutes)[-len(minutes) : -1], FIVE_MS))  # the newest minute still runs
        for back, five in zip(range(len(folded), 0, -1), folded, strict=True):
            self.fives[-back] = five

    def _kline(self, bar: Bar) -> Kline:
        tick, lot = float(self.coin.tick), float(self.coin.step)
        opened, high, low, close = (round(price / tick) for price in (bar.open, bar.high, bar.low, bar.close))
        lots = max(1, round(bar.usd / (bar.close * lot)))
        buys = round(lots * ((bar.taker_buy_usd or 0.0) / bar.usd if bar.usd else 0.5))
        worths = lots * close, buys * close
        return Kline(bar.start_ns // MS, opened, high, low, close, lots, buys, *worths, bar.trades or 0)

    def _walk_back(self, close: int, until_ms: int, count: int, rng: Random) -> Iterator[Kline]:
        coin = self.coin
        sd = coin.volatility_bps / 1e4 * sqrt(300.0)
        known = list(self.fives)
        usual = mean(five.trades for five in known) if known else coin.trades_per_s * 300
        worth = mean(five.worth for five in known) if known else usual * coin.trade_usd / float(coin.tick * coin.step)
        for index in range(1, count + 1):
            opened = max(10, round(close * exp(rng.gauss(0.0, sd))))
            reach = sd * close * abs(rng.gauss(0.0, 0.5))
            high, low = round(max(opened, close) + reach), max(1, round(min(opened, close) - reach))
            lots = max(1, round(worth * exp(rng.gauss(0.0, 0.3)) / close))
            buys = round(lots * min(0.8, max(0.2, 0.5 + rng.gauss(0.0, 0.04))))
            start_ms = until_ms - index * FIVE_MS
            yield Kline(start_ms, opened, high, low, close, lots, buys, lots * close, buys * close, round(usual))
            close = opened

    def _guess(self, start_ms: int, rng: Random) -> None:
        """Open interest and crowding of the past: they wander as those of the market do, and end where it begins."""
        share, ratio = 1.0, 1.5
        opened = {five.start_ms: five.open for five in self.fives}
        ticks = self.fives[0].open  # before it
        interest, ratios = [], []
        for back in range(1, _HOURS_KEPT * (HOUR_MS // FIVE_MS) + 1):
            share *= exp(rng.gauss(0.0, 2e-4 * sqrt(5.0)))
            ratio = max(0.4, ratio + (1.5 - ratio) / 12 + rng.gauss(0.0, 0.13))
            ms = start_ms - back * FIVE_MS
            if back <= _SAMPLES_KEPT or ms % HOUR_MS == 0:
                then = opened.get(ms, ticks)
                interest.append(Sample(ms, self.coins_open(share), then))
                ratios.append(Sample(ms, ratio, then))
        for series, samples in ((self.interest, interest), (self.ratios, ratios)):
            for sample in reversed(samples):
                series.add(sample)
        for back in range(_FUNDINGS):
            paid_ms = start_ms // _FUNDING_MS * _FUNDING_MS - back * _FUNDING_MS
            rate = round(1e-4 + rng.gauss(0.0, 2e-5), 8)
            price = float(opened.get(paid_ms, ticks) * self.coin.tick)
            self.fundings.appendleft((paid_ms, rate, price))


class Pasts(dict[str, Past]):
    """Of all symbols; a listener of the market."""

    def __init__(self, markets: Iterable[CoinModel], start_ms: int, seed: int) -> None:
        super().__init__({each.coin.symbol: Past(each, start_ms, seed) for each in markets})
        self._by_key = {past.coin.instrument.id: past for past in self.values()}

    def on_event(self, event: Event) -> None:
        past = self._by_key.get(event.key) if isinstance(event, Told) else self[event.symbol]
        if past is not None:
            past.on_event(event)


def _minutes_of(five: Kline, rng: Random) -> Iterator[Kline]:
    """Five that fold into this one: its high is in one of them, its low in another."""
    ends = [five.open, *(round(five.low + (five.high - five.low) * rng.random()) for _ in range(4)), five.close]
    top, bottom = rng.sample(range(5), 2)
    for index in range(5):
        opened, close = ends[index], ends[index + 1]
        high = five.high if index == top else max(opened, close)
        low = five.low if index == bottom else min(opened, close)
        parts = (_part(whole, index) for whole in (five.lots, five.buy_lots, five.worth, five.buy_worth, five.trades))
        yield Kline(five.start_ms + index * MINUTE_MS, opened, high, low, close, *parts)


def _part(whole: int, index: int) -> int:
    """The whole in five that add up."""
    return whole // 5 + (index < whole % 5)
