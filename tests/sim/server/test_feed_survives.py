"""The engine's own feed on an exchange where something goes wrong: its book becomes the exchange's again, and no wrong one is used."""

from __future__ import annotations

import asyncio

import pytest

from bot.domain.events import Emit, Event
from bot.domain.frames import Frame
from bot.domain.messages import Message
from bot.domain.values import Side
from bot.exchanges import binance
from bot.market.state import Market
from bot.runtime.clock import RealClock
from bot.runtime.intake import Intake
from bot.runtime.watches import Watches
from bot.sim.server import fault_answers
from bot.sim.server.app import Exchange
from bot.sim.server.faults import Faults
from bot.venues import venue_feed
from bot.venues.venue_feed import VenueFeed
from tests.runtime.test_intake import Watcher
from tests.servers.listening import listening
from tests.sim.server import benches
from tests.sim.server.fault_bench import fault
from tests.sim.server.test_streams import until

DEPTH, REST = "btcusdt@depth@100ms", "/fapi/v1/depth"

BROKEN = [  # and what must become of the book meanwhile
    (fault("lose", stream=DEPTH), False),
    (fault("swap", stream=DEPTH), False),
    (fault("delay", stream=DEPTH, ms=300), False),
    (fault("wrong_pu", stream=DEPTH), False),
    (fault("no_pu", stream=DEPTH), False),
    (fault("crossed", stream=DEPTH), False),
    (fault("malformed", stream=DEPTH), False),
    (fault("huge", stream=DEPTH), False),
    (fault("double", stream=DEPTH), True),
]
CUT = [fault("abort"), fault("close")]
NO_SNAPSHOT = [
    fault(kind, route=REST)
    for kind in ("stale", "too_many", "unavailable", "html", "truncated", "cut", "empty", "disconnected")
]


class Reader:
    """The engine's intake behind its feed."""

    def __init__(self, feed: VenueFeed, exchange: Exchange) -> None:
        self.feed, self.exchange = feed, exchange
        self.instrument = exchange.market.coins["BTCUSDT"].instrument
        self.market = Market([self.instrument])
        self.intake = Intake(self.market, {binance.VENUE: lambda: binance.decode}, Watcher(), Watches())
        self.lost = self.snapshots = 0

    async def put(self, source: str, *raws: bytes) -> None:
        for raw in raws:
            now_ns = RealClock().now_ns()
            self.snapshots += binance.SNAPSHOT_STREAM.encode() in raw[:60]
            for message in self.intake.apply(Frame(now_ns, "data", source, raw), now_ns):
                self._told(message)

    def _told(self, message: Message | Event | Emit) -> None:
        if getattr(message, "kind", "") == "BOOK_RESYNC" and not message.data["usable"]:  # type: ignore[union-attr]
            self.lost += 1
            self.feed.want("BTCUSDT")

    @property
    def right(self) -> bool:
        """Whether it sees what the exchange publishes. A book that it uses is never another one."""
        mine, there = self.market.market(self.instrument.id).book, self.exchange.market.books["BTCUSDT"]
        if not mine.usable or mine.last_id != there.last_id:
            return False
        for side in Side:
            assert mine.levels(side, 20) == there.levels(side, 20)
        return True


async def test_its_book_is_right_again_after_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(venue_feed, "APART_S", 0.01)
    monkeypatch.setattr("bot.runtime.websocket.FIRST_WAIT_S", 0.01)
    monkeypatch.setattr(fault_answers, "RETRY_S", 0)
    faults = Faults([], benches.START_MS)
    async with benches.live(1, faults=faults) as (exchange, app), listening(app) as url:
        feed = VenueFeed(binance.EXCHANGE, url, url.replace("http", "ws"), RealClock())
        reader = Reader(feed, exchange)
        feed.follow([reader.instrument])
        tasks = [asyncio.ensure_future(each) for each in feed.parts(reader.put, lambda: 0.5, lambda _: 0.0).values()]
        try:
            await until(lambda: reader.right)
            for each, keeps in BROKEN:
                lost = reader.lost
                faults.begin(each, exchange.market.now_ms())
                await until(lambda: not faults.active[-1].left)
                if not keeps:
                    await until(lambda: reader.lost > lost)  # noqa: B023 (waited for at once)
                await until(lambda: reader.right)
                assert (reader.lost == lost) == keeps, each
            for each in CUT:
                lost = reader.lost
                faults.begin(each, exchange.market.now_ms())
                await until(lambda: not reader.right)
                await until(lambda: reader.right)
            for each in NO_SNAPSHOT:
                served = reader.snapshots
                faults.begin(each, exchange.market.now_ms())
                feed.want("BTCUSDT")
                await until(lambda: not faults.active[-1].left)
                await until(lambda: reader.snapshots > served)  # noqa: B023
                await until(lambda: reader.right)
        finally:
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            await feed.close()
        assert all(isinstance(each, asyncio.CancelledError) for each in ended), ended
