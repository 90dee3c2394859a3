"""Looks up what was traded before a venue's trades began to stream, or while they did not; `VenueFeed` tells when that is.

The newest trades are asked for first, a moment after the stream delivers, so that they overlap with it; then older ones by number,
back to where they are wanted from or as far as the calls reach. What was found goes to the engine as one frame a symbol, which
joins it to the stream (`market/past_trades.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from bot.domain.errors import FeedError, VenueError
from bot.domain.frames import PastTrades, Source
from bot.domain.instrument import Instrument
from bot.domain.trades import PastTrade
from bot.domain.values import NS
from bot.exchanges.base import PastTradeCalls
from bot.runtime.clock import RealClock
from bot.venues.rest import PublicRest

if TYPE_CHECKING:
    from bot.venues.venue_feed import Put

OVERLAP_S = 1.0  # what REST tells may be a moment behind the stream
REACH_NS = 3630 * NS  # an hour, and a clock that is not quite the venue's
MARGIN_NS = 30 * NS  # before a stream was known to have ended, it may have been silent
AGAIN_S = (5.0, 20.0, 60.0)  # after a call that failed; the last one is after the silence that a venue may want
WEIGHT_AT_ONCE, WEIGHT_PER_S = 900, 8.0
"""Of 2,400 a minute that Binance allows: what else is asked keeps more than a third in the first minute and most of the others."""


class PastFeed:
    """`calls` are of the venue, `most` is how many of them one symbol may take."""

    def __init__(self, calls: PastTradeCalls, rest: PublicRest, clock: RealClock, most: int) -> None:
        self._calls, self._rest, self._clock, self._most = calls, rest, clock, most
        self._wanted: dict[str, Instrument] = {}  # by symbol
        self._known_ns: dict[str, int] = {}  # by symbol: up to then the past was found, and streamed after it
        self._stretch = 0  # how often the stream has ended
        self._asked = asyncio.Event()
        self._weight, self._weighed_s = float(WEIGHT_AT_ONCE), 0.0

    def began(self, followed: Iterable[Instrument]) -> None:
        self._wanted.update({each.symbol: each for each in followed})
        self._asked.set()

    def ended(self) -> None:
        """The stream did, of all symbols: what was being looked up is older than the hole now."""
        now_ns = self._clock.now_ns()
        self._known_ns = {symbol: now_ns for symbol in self._known_ns if symbol not in self._wanted}
        self._wanted.clear()
        self._stretch += 1

    async def run(self, put: Put) -> None:
        while True:
            await self._asked.wait()
            self._asked.clear()
            await asyncio.sleep(OVERLAP_S)
            for wait_s in (*AGAIN_S, 0.0):
                for each in list(self._wanted.values()):
                    await self._look_up(each, put)
                if not self._wanted:
                    break
                await asyncio.sleep(wait_s)

    async def _look_up(self, instrument: Instrument, put: Put) -> None:
        """What fails stays wanted."""
        now_ns, stretch = self._clock.now_ns(), self._stretch
        since_ns = max(now_ns - REACH_NS, self._known_ns.get(instrument.symbol, 0) - MARGIN_NS)
        try:
            trades = await self._back_to(instrument.symbol, since_ns)
        except (VenueError, FeedError):
            return
        if stretch != self._stretch:
            return  # the stream ended meanwhile: there is a newer hole
        del self._wanted[instrument.symbol]
        self._known_ns[instrument.symbol] = now_ns
        await put(Source.PAST, msgspec.json.encode(PastTrades(instrument=instrument.id, trades=list(trades))))

    async def _back_to(self, symbol: str, since_ns: int) -> list[PastTrade]:
        """All trades from then on, or as many of the newest as can be had without a hole. Raises VenueError, and FeedError where
        not even the newest can be read."""
        pages: list[list[PastTrade]] = []
        from_id: int | None = None
        for _ in range(self._most):
            try:
                page = await self._page(symbol, from_id)
            except FeedError:
                if not pages:
                    raise
                break
            if pages:
                page = _joining(page, pages[-1][0].trade_id)
            if not page:
                break
            pages.append(page)
            from_id = page[0].trade_id - self._calls.most
            if page[0].exch_ns <= since_ns or from_id <= 0:
                break
        return [trade for page in reversed(pages) for trade in page]

    async def _page(self, symbol: str, from_id: int | None) -> list[PastTrade]:
        await self._afford(self._calls.weight)
        return self._calls.parse(await self._rest.get(self._calls.path(symbol, from_id)))

    async def _afford(self, weight: int) -> None:
        now_s = asyncio.get_running_loop().time()
        saved = (now_s - self._weighed_s) * WEIGHT_PER_S
        self._weight, self._weighed_s = min(WEIGHT_AT_ONCE, self._weight + saved) - weight, now_s
        if self._weight < 0:
            await asyncio.sleep(-self._weight / WEIGHT_PER_S)


def _joining(page: list[PastTrade], next_id: int) -> list[PastTrade]:
    """Those before that trade; none where the last of them is missing."""
    before = [trade for trade in page if trade.trade_id < next_id]
    return before if before and before[-1].trade_id == next_id - 1 else []
