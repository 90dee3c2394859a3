"""One venue's public data: its streams, the snapshots and history that belong to them, and who looks whether a book still lives.

No key, no order, and no venue known by name: `exchanges/` says where data are and how they are asked for. Raw messages go on as they
came; a snapshot goes the same way, so that what a recording holds is all there was.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, Protocol

import msgspec
from msgspec.structs import astuple

from bot.domain.errors import FeedError, VenueError
from bot.domain.frames import DEPTH, TRADES, FeedState, History, Source, Widen
from bot.domain.instrument import Instrument
from bot.domain.values import NS
from bot.exchanges.base import Exchange, Klines, StreamPlan
from bot.runtime.clock import RealClock
from bot.runtime.websocket import Stream, StreamRules, backoff_s
from bot.venues.past_feed import PastFeed
from bot.venues.rest import PublicRest

Chance = Callable[[], float]

APART_S = 1.0  # between two requests for a book of one symbol
WIDEN_S = 60.0  # a book is seen less far the more price moves: so often it is looked at anew
STALE_S = 10.0  # a book of a living stream that has not changed for so long is none
ABSENT_S = 10  # one that has not come for so long although its stream lives is asked for again, later each time
MOST_AGAIN = 200  # of these an hour where that takes two messages: a venue ends a connection that says more than 480
HOUR_S = 3600.0
BARS = 499
DAYS = 9
DAY_S = 86_400
SETTLED_S = 5.0  # a venue's klines are final so long after their end
KLINE_WIDTHS_S = (60, 180, 300, 900, 1800, 3600, 14_400)


class Put(Protocol):
    async def __call__(self, source: str, *raws: bytes) -> None:
        """Puts frames of these into the engine, and waits where there is no room."""
        ...


class VenueFeed:
    """`book_age_s` answers for a symbol of this venue how old its book is, None without one."""

    def __init__(
        self,
        exchange: Exchange,
        rest_url: str,
        ws_url: str,
        clock: RealClock,
        *,
        depth_only: bool = False,
        past_calls: int = 0,
    ) -> None:
        self.exchange, self.venue = exchange, exchange.venue
        self.followed: list[Instrument] = []
        self.depth_up = False
        self._rest, self._ws_url, self._clock, self._depth_only = (
            PublicRest(rest_url),
            ws_url.rstrip("/"),
            clock,
            depth_only,
        )
        self._wanted: dict[str, None] = {}  # symbols whose book must come anew, each once
        self._not_before: defaultdict[str, float] = defaultdict(float)  # loop time, by symbol
        self._asked = asyncio.Event()
        self._due: list[tuple[int, str, int]] = []  # history to fetch: when, symbol, width; a heap
        self._due_set = asyncio.Event()
        self._widths_s: tuple[int, ...] = ()
        self._coins: list[Instrument] = []
        self._depth: Stream | None = None
        self._absent_s: Counter[str] = Counter()  # by symbol
        self._said: defaultdict[str, deque[float]] = defaultdict(
            deque
        )  # when the stream was asked for a book, loop time

        calls = exchange.past_trades
        self._past = PastFeed(calls, self._rest, clock, past_calls) if calls is not None and past_calls else None

    async def instruments(self) -> list[Instrument]:
        """What trades there. Raises VenueError."""
        raw = await self._rest.get(self.exchange.instruments_path)
        try:
            return list(self.exchange.parse_instruments(raw)[0].values())
        except FeedError as error:
            raise VenueError(f"{self._rest.url} answered, but not with its instruments: {error}") from error

    def follow(
        self, instruments: Iterable[Instrument], widths_s: Iterable[int] = (), coins: Iterable[Instrument] = ()
    ) -> None:
        """`widths_s` are those of the bars that are kept; what is traded of `coins` a day is wanted besides."""
        self.followed, self._coins = list(instruments), list(coins)
        self._widths_s = tuple(width for width in widths_s if width in KLINE_WIDTHS_S)

    async def history(self) -> tuple[list[tuple[Instrument, Klines]], list[str]]:
        """The finished bars of what is followed, and day by day those of its coins; and what could not be had."""
        wanted = [(each, width_s) for each in self.followed for width_s in self._widths_s]
        wanted += [(each, DAY_S) for each in self._coins]
        answers = await asyncio.gather(*(self._klines(*each) for each in wanted), return_exceptions=True)
        got: list[tuple[Instrument, Klines]] = []
        problems: list[str] = []
        for (instrument, width_s), answer in zip(wanted, answers, strict=True):
            if isinstance(answer, Klines):
                got.append((instrument, answer))
            elif isinstance(answer, VenueError | FeedError):
                problems.append(f"no history of {instrument.symbol} in bars of {width_s} s: {answer}")
            else:
                raise answer
        return got, problems

    async def close(self) -> None:
        await self._rest.close()

    # --- while it runs ---

    def want(self, symbol: str) -> None:
        """This book must come anew."""
        self._wanted[symbol] = None
        self._asked.set()

    def parts(
        self,
        put: Put,
        chance: Chance,
        book_age_s: Callable[[str], float | None],
        rules: StreamRules | None = None,
    ) -> dict[str, Coroutine[Any, Any, None]]:
        """What must run beside the engine, by name."""
        symbols = [each.symbol for each in self.followed]
        parts: dict[str, Coroutine[Any, Any, None]] = {}
        for plan in self.exchange.streams(symbols, depth_only=self._depth_only):
            stream = Stream(
                plan.name,
                self._ws_url + plan.path,
                plan.subscribe,
                _Listener(self, plan, put),
                chance,
                rules or _rules(plan),
            )
            if DEPTH in plan.carries:
                self._depth = stream
            parts[f"{self.venue} stream {plan.name}"] = stream.run()
        parts[f"{self.venue} books"] = self._replace_books(put, chance)
        parts[f"{self.venue} watch"] = self._watch(put, book_age_s)
        if self._widths_s:
            parts[f"{self.venue} history"] = self._fetch_history(put)
        if self._past is not None:
            parts[f"{self.venue} past trades"] = self._past.run(put)
        return parts

    def began(self, plan: StreamPlan) -> None:
        """A stream delivers: books of one that has no snapshot in it are fetched, and the bars under way will have to be."""
        if DEPTH in plan.carries:
            for each in self.followed:
                if self.exchange.snapshot_path(each.symbol):
                    self.want(each.symbol)
        if TRADES in plan.carries:
            if self._past is not None:
                self._past.began(self.followed)
            for each in self.followed:
                for width_s in self._widths_s:
                    self._fetch_at_end_of_bar(each.symbol, width_s)

    def ended(self, plan: StreamPlan) -> None:
        """A stream no longer delivers."""
        if TRADES in plan.carries and self._past is not None:
            self._past.ended()

    async def _replace_books(self, put: Put, chance: Chance) -> None:
        """One at a time, a symbol at most once a second; what fails is asked again, later each time. One symbol that fails lets the
        others pass: it may be gone. Where several do, it is the venue, which is then left alone."""
        failures, in_a_row = Counter[str](), set[str]()
        while True:
            symbol = await self._next_wanted()
            self._not_before[symbol] = asyncio.get_running_loop().time() + APART_S
            try:
                await self._replace(symbol, put)
                del failures[symbol]
                in_a_row.clear()
            except VenueError:
                self._wanted[symbol] = None
                failures[symbol] += 1
                in_a_row.add(symbol)
                wait_s = backoff_s(failures[symbol], chance)
                self._not_before[symbol] += wait_s
                if len(in_a_row) > 1:
                    await asyncio.sleep(wait_s)

    async def _next_wanted(self) -> str:
        loop = asyncio.get_running_loop()
        while True:
            symbol = min(self._wanted, key=self._not_before.__getitem__, default=None)
            if symbol is not None and self._not_before[symbol] <= loop.time():
                del self._wanted[symbol]
                return symbol
            self._asked.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(None if symbol is None else self._not_before[symbol]):
                    await self._asked.wait()

    async def _replace(self, symbol: str, put: Put) -> None:
        path = self.exchange.snapshot_path(symbol)
        if path is not None:
            await put(Source.WIDEN, msgspec.json.encode(Widen(venue=self.venue, symbol=symbol)))
            await put(self.venue, self.exchange.snapshot_frame(symbol, await self._rest.get(path)))
        elif self._depth is not None:
            await self._say_again(self._depth, symbol)

    async def _say_again(self, stream: Stream, symbol: str) -> None:
        """Without a connection a new one brings the book anyway. Every symbol has its share of what a venue bears in an hour."""
        said, now_s = self._said[symbol], asyncio.get_running_loop().time()
        while said and said[0] <= now_s - HOUR_S:
            said.popleft()
        if len(said) >= max(1, MOST_AGAIN // len(self.followed)):
            self._not_before[symbol] = said[0] + HOUR_S
            self.want(symbol)
            return
        said.append(now_s)
        await stream.say(self.exchange.again(symbol))

    async def _watch(self, put: Put, book_age_s: Callable[[str], float | None]) -> None:
        """Once a second: a book that stands still while its stream lives is refused, one that lives is looked at anew in turn."""
        turn = 0.0
        while True:
            await asyncio.sleep(1.0)
            for each in self.followed:
                age_s = book_age_s(each.symbol)
                if age_s is not None and age_s > STALE_S * self._clock.speed:
                    await put(Source.FEED, msgspec.json.encode(self._stale(each.symbol, age_s)))
                    self.want(each.symbol)
                if self._is_absent(each.symbol, age_s):
                    self.want(each.symbol)
            turn += len(self.followed) / WIDEN_S
            while turn >= 1.0:
                turn -= 1.0
                self._widen()

    def _is_absent(self, symbol: str, age_s: float | None) -> bool:
        """After ten seconds in which its stream lived without it, after twenty, forty and so on: what was asked for has been lost on the
        way, or the symbol does not trade now."""
        self._absent_s[symbol] = self._absent_s[symbol] + 1 if age_s is None and self.depth_up else 0
        times, rest = divmod(self._absent_s[symbol], ABSENT_S)
        return times > 0 and rest == 0 and times & (times - 1) == 0

    def _stale(self, symbol: str, age_s: float) -> FeedState:
        reason = f"no depth of {symbol} for {age_s:.0f} s"
        return FeedState(
            stream=f"depth of {symbol}", up=False, reason=reason, venue=self.venue, carries=(DEPTH,), symbol=symbol
        )

    def _widen(self) -> None:
        first, *rest = self.followed
        self.followed = [*rest, first]
        if self.depth_up and self.exchange.snapshot_path(first.symbol):
            self.want(first.symbol)

    # --- history ---

    def _fetch_at_end_of_bar(self, symbol: str, width_s: int) -> None:
        """The bar under way was not seen whole: it is fetched once it is finished."""
        end_s = (self._clock.now_ns() // NS // width_s + 1) * width_s
        self._fetch_at(int((end_s + SETTLED_S) * NS), symbol, width_s)

    def _fetch_at(self, due_ns: int, symbol: str, width_s: int) -> None:
        if (due_ns, symbol, width_s) not in self._due:
            heapq.heappush(self._due, (due_ns, symbol, width_s))
            self._due_set.set()

    async def _fetch_history(self, put: Put) -> None:
        by_symbol = {each.symbol: each for each in [*self._coins, *self.followed]}
        for each in self._coins:
            self._fetch_at_end_of_bar(each.symbol, DAY_S)
        while True:
            due_ns = self._due[0][0] if self._due else None
            if due_ns is None or due_ns > self._clock.now_ns():
                await self._until(due_ns)
                continue
            _, symbol, width_s = heapq.heappop(self._due)
            instrument = by_symbol[symbol]
            try:
                klines = await self._klines(instrument, width_s)
            except (VenueError, FeedError):
                self._fetch_at(self._clock.now_ns() + 30 * NS, symbol, width_s)
                continue
            await put(Source.HISTORY, history_of(instrument, klines))
            if width_s == DAY_S:
                self._fetch_at_end_of_bar(symbol, DAY_S)

    async def _until(self, due_ns: int | None) -> None:
        self._due_set.clear()
        wait_s = None if due_ns is None else self._clock.wait_s(due_ns)
        try:
            async with asyncio.timeout(wait_s):
                await self._due_set.wait()
        except TimeoutError:
            return

    async def _klines(self, instrument: Instrument, width_s: int) -> Klines:
        path = self.exchange.klines_path(instrument.symbol, width_s, DAYS if width_s == DAY_S else BARS)
        return self.exchange.parse_klines(await self._rest.get(path), width_s, self._clock.now_ns())


def history_of(instrument: Instrument, klines: Klines) -> bytes:
    """The bytes of a `history` frame."""
    bars: Sequence[Any] = [astuple(bar) for bar in klines.bars]
    history = History(instrument=instrument.id, coin=instrument.base, width_s=klines.width_s, bars=list(bars))
    return msgspec.json.encode(history)


def _rules(plan: StreamPlan) -> StreamRules:
    return StreamRules(
        silence_s=plan.silence_s, ping=plan.ping, ping_s=plan.ping_s, pong=plan.pong, rotate_s=plan.rotate_s
    )


class _Listener:
    def __init__(self, feed: VenueFeed, plan: StreamPlan, put: Put) -> None:
        self._feed, self._plan, self._put = feed, plan, put
        self._told: bool | None = None  # whether it delivers; nothing yet

    async def up(self, stream: str) -> None:
        self._told = True
        self._depth(True)
        await self._tell(True)
        self._feed.began(self._plan)

    async def down(self, stream: str, reason: str) -> None:
        """Told once, also where it never delivered; tries that fail afterwards are no news."""
        if self._told is not False:
            self._told = False
            self._depth(False)
            self._feed.ended(self._plan)
            await self._tell(False, reason)

    async def deliver(self, raws: Sequence[bytes]) -> None:
        await self._put(self._feed.venue, *raws)

    def _depth(self, up: bool) -> None:
        if DEPTH in self._plan.carries:
            self._feed.depth_up = up

    async def _tell(self, up: bool, reason: str = "") -> None:
        said = FeedState(
            stream=self._plan.name, up=up, reason=reason, venue=self._feed.venue, carries=self._plan.carries
        )
        await self._put(Source.FEED, msgspec.json.encode(said))
