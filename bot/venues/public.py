"""A market of venues' public data: one venue whose instruments are traded (on paper), and others whose books only show walls.

It is what is played instead of a tape. The venue that is traded on must answer before anything starts; one of the others that does not
is told of, and asked again until it does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from bot.domain.errors import VenueError
from bot.domain.events import Event
from bot.domain.frames import FeedState, Frame, Lane, Source
from bot.domain.instrument import Instrument
from bot.domain.market import Bar
from bot.domain.values import NS
from bot.market.state import Market
from bot.market.volumes import BTC
from bot.runtime.clock import RealClock
from bot.runtime.inbox import Inbox
from bot.runtime.websocket import StreamRules, backoff_s
from bot.venues.venue_feed import Put, VenueFeed

USD = frozenset({"USDT", "USDC", "USD"})
AGAIN_S = 60.0
OPEN_S = 10.0  # what another venue may take to answer before the start goes on without it


class PublicMarket:
    """Call `open`, then `follow`. `feeds` are by venue, the one that is traded on first."""

    id = ""  # nothing to take up again: every start is a new stretch of the same market

    def __init__(self, feeds: Mapping[str, VenueFeed], clock: RealClock) -> None:
        self.feeds, self.clock = dict(feeds), clock
        self.instruments: list[Instrument] = []
        self.name = next(iter(feeds))
        self.others: list[Instrument] = []
        self.problems: list[str] = []
        self._late: list[VenueFeed] = []
        self._coins: set[str] = set()
        self._history: list[tuple[str, int, list[Bar]]] = []

    async def open(self) -> None:
        """Raises VenueError when the venue cannot be reached or does not answer with instruments."""
        try:
            self.instruments = await self.feeds[self.name].instruments()
        except VenueError:
            await self.close()
            raise

    async def follow(self, instruments: Iterable[Instrument], widths_s: Iterable[int]) -> None:
        """Get the history of what is traded, and what other venues have of the same coins. `problems` says what is not there: without
        history the regime is unknown for its first hours."""
        home, followed = self.feeds[self.name], list(instruments)
        coins = {each.base: each for each in [*_of_btc(self.instruments), *followed]}
        self._coins = {each.base for each in followed}
        home.follow(followed, widths_s, coins.values())
        history, self.problems = await home.history()
        self._history = [(each.id, klines.width_s, klines.bars) for each, klines in history]
        await asyncio.gather(*(self._join(feed) for feed in self.feeds.values() if feed is not home))

    async def _join(self, feed: VenueFeed) -> None:
        try:
            async with asyncio.timeout(OPEN_S):
                await self._find(feed)
        except (VenueError, TimeoutError) as error:
            self.problems.append(f"no walls of {feed.venue} yet: {str(error) or 'no answer'}")
            self._late.append(feed)

    async def _find(self, feed: VenueFeed) -> None:
        """The same coins on another venue. Raises VenueError."""
        same = [each for each in await feed.instruments() if each.base in self._coins and each.quote in USD]
        feed.follow(_one_a_coin(same))
        self.others += feed.followed

    # --- as a tape would say it ---

    def first_ns(self) -> int:
        return self.clock.now_ns()

    def warmup(self) -> Iterator[tuple[str, int, list[Bar]]]:
        yield from self._history

    def frames(self) -> Iterator[Frame]:
        return iter(())

    # --- while it runs ---

    def on_events(self, events: Sequence[Event]) -> None:
        """A book that became unusable is asked for anew."""
        for event in events:
            if event.kind == "BOOK_RESYNC" and not event.data["usable"]:
                venue, _, symbol = event.data.get("book", "").partition(":")
                if venue in self.feeds:
                    self.feeds[venue].want(symbol)
                elif not venue:
                    self._want_at_home(event.symbol)

    def _want_at_home(self, unified: str | None) -> None:
        home = self.feeds[self.name]
        for each in home.followed:
            if each.unified == unified:
                home.want(each.symbol)

    def put_into(self, inbox: Inbox) -> Put:
        """How frames get into the engine: stamped, in order, waiting where there is no room."""

        async def put(source: str, *raws: bytes) -> None:
            for raw in raws:
                frame = Frame(self.clock.now_ns(), Lane.DATA, source, raw)
                if not inbox.offer_data(frame):
                    await inbox.put_data(frame)

        return put

    def parts(
        self,
        put: Put,
        market: Market,
        add_others: Callable[[Sequence[Instrument]], None],
        chance: Callable[[], float],
        rules: StreamRules | None = None,
    ) -> dict[str, Coroutine[Any, Any, None]]:
        """What must run beside the engine, by name. `add_others` is told of instruments of a venue that answers late."""

        def parts_of(feed: VenueFeed) -> dict[str, Coroutine[Any, Any, None]]:
            return feed.parts(put, chance, self._age_of(feed, market), rules)

        home, *others = self.feeds.values()
        parts = parts_of(home)
        for feed in others:
            parts[f"walls of {feed.venue}"] = self._run_other(feed, add_others, parts_of, put, chance)
        return parts

    async def _run_other(
        self,
        feed: VenueFeed,
        add_others: Callable[[Sequence[Instrument]], None],
        parts_of: Callable[[VenueFeed], dict[str, Coroutine[Any, Any, None]]],
        put: Put,
        chance: Callable[[], float],
    ) -> None:
        """Trading does not end with a fault in what only shows walls: it is told, and begins again."""
        await self._join_late(feed, add_others, chance)
        while feed.followed:
            try:
                async with asyncio.TaskGroup() as group:
                    for name, part in parts_of(feed).items():
                        group.create_task(part, name=name)
            except* Exception as faults:  # noqa: BLE001
                kinds = ", ".join(sorted({type(fault).__name__ for fault in faults.exceptions}))
                reason = f"a fault of this program: {kinds}"
                down = FeedState(stream=f"all of {feed.venue}", up=False, reason=reason, venue=feed.venue)
                await put(Source.FEED, msgspec.json.encode(down))
            await asyncio.sleep(AGAIN_S)

    async def _join_late(
        self, feed: VenueFeed, add_others: Callable[[Sequence[Instrument]], None], chance: Callable[[], float]
    ) -> None:
        if feed not in self._late:
            return
        failures = 0
        while feed in self._late:
            failures += 1
            await asyncio.sleep(backoff_s(failures, chance))
            try:
                await self._find(feed)
            except VenueError:
                continue
            self._late.remove(feed)
        add_others(feed.followed)

    def _age_of(self, feed: VenueFeed, market: Market) -> Callable[[str], float | None]:
        def age_s(symbol: str) -> float | None:
            age_ns = market.book_age_ns(feed.venue, symbol, self.clock.now_ns())
            return None if age_ns is None else age_ns / NS

        return age_s

    async def close(self) -> None:
        for feed in self.feeds.values():
            await feed.close()


def _of_btc(instruments: Iterable[Instrument]) -> list[Instrument]:
    """What a large wall is in another coin is measured by this one."""
    return _one_a_coin([each for each in instruments if each.base == BTC and each.quote in USD])


def _one_a_coin(instruments: Sequence[Instrument]) -> list[Instrument]:
    """The most traded kind where a venue lists several: that against USDT, then USDC."""
    order = ("USDT", "USDC", "USD")
    chosen: dict[str, Instrument] = {}
    for each in sorted(instruments, key=lambda each: order.index(each.quote)):
        chosen.setdefault(each.base, each)
    return list(chosen.values())
