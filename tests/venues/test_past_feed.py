"""Looking up past trades on a loopback venue: how far, in which calls, and what becomes of failures and breaks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from bot.domain.frames import PastTrades
from bot.domain.values import MS, NS
from bot.exchanges import binance, bybit, okx
from bot.exchanges.base import Exchange
from bot.venues import past_feed
from bot.venues.past_feed import PastFeed
from bot.venues.rest import PublicRest
from bot.venues.venue_feed import VenueFeed
from tests.build import instrument
from tests.servers.listening import listening
from tests.venues.test_public_feed import At, Heard, until

BTC, ETH = instrument(), instrument(symbol="ETHUSDT")
NOW_MS = At.at_ns // MS


class Venue:
    """Trades of one second each, up to now; `failing` answers with an error so often."""

    def __init__(self, count: int, first: int = 1) -> None:
        self.rows: list[dict[str, Any]] = [
            {"a": first + k, "p": "65000.1", "q": "0.5", "T": NOW_MS - (count - 1 - k) * 1000, "m": k % 2 == 0}
            for k in range(count)
        ]
        self.failing, self.most = 0, 1000
        self.asked: list[dict[str, str]] = []
        self.held: asyncio.Event | None = None

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(dict(request.query))
        if self.held is not None:
            await self.held.wait()
        if self.failing:
            self.failing -= 1
            return web.json_response({"code": -1001, "msg": "busy"}, status=503)
        limit = min(int(request.query["limit"]), self.most)
        if "fromId" not in request.query:
            return web.json_response(self.rows[-limit:])
        from_id = int(request.query["fromId"])
        return web.json_response([row for row in self.rows if row["a"] >= from_id][:limit])

    @property
    def from_ids(self) -> list[int | None]:
        return [int(each["fromId"]) if "fromId" in each else None for each in self.asked]


@asynccontextmanager
async def looking(venue: Venue, heard: Heard, most: int = 24) -> AsyncIterator[PastFeed]:
    app = web.Application()
    app.router.add_get("/fapi/v1/aggTrades", venue.answer)
    async with listening(app) as url:
        rest = PublicRest(url)
        calls = binance.EXCHANGE.past_trades
        feed = PastFeed(calls, rest, At(), most)
        task = asyncio.ensure_future(feed.run(heard.put))
        try:
            yield feed
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await rest.close()


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(past_feed, "OVERLAP_S", 0.0)
    monkeypatch.setattr(past_feed, "AGAIN_S", (0.0, 0.0))


async def found(heard: Heard, count: int = 1) -> list[PastTrades]:
    def told() -> list[PastTrades] | None:
        got: list[PastTrades] = heard.of("past", PastTrades)
        return got if len(got) >= count else None

    answer: list[PastTrades] = await until(told)
    return answer


def numbers(past: PastTrades) -> list[int]:
    return [row[0] for row in past.trades]


@pytest.mark.parametrize(
    ("there", "most", "from_ids", "first"),
    [
        pytest.param(8000, 24, [None, 6001, 5001, 4001], 4001, id="an hour and no more"),
        pytest.param(8000, 2, [None, 6001], 6001, id="as far as the calls reach"),
        pytest.param(1500, 24, [None], 501, id="numbers begin"),
        pytest.param(300, 24, [None], 1, id="less than a call"),
    ],
)
async def test_older_trades_are_asked_for_by_number(
    there: int, most: int, from_ids: list[int | None], first: int
) -> None:
    venue, heard = Venue(there), Heard()
    async with looking(venue, heard, most) as feed:
        feed.began([BTC])
        [past] = await found(heard)
    assert venue.from_ids == from_ids
    assert past.instrument == BTC.id and numbers(past) == list(range(first, there + 1))
    assert past.trades[-1] == (there, 65000.1, 0.5, there % 2 == 0, NOW_MS * MS)


async def test_what_the_venue_no_longer_has_ends_the_search() -> None:
    venue, heard = Venue(2500, first=10_001), Heard()
    async with looking(venue, heard) as feed:
        feed.began([BTC])
        [past] = await found(heard)
    assert venue.from_ids == [None, 10_501, 9_501, 9_001]
    assert numbers(past) == list(range(10_001, 12_501))


async def test_a_hole_in_the_answers_ends_the_search() -> None:
    venue, heard = Venue(5000), Heard()
    del venue.rows[3500]
    async with looking(venue, heard) as feed:
        feed.began([BTC])
        [past] = await found(heard)
    assert numbers(past) == list(range(4001, 5001)), "the call that holds the hole is refused"


async def test_answers_that_do_not_meet_end_the_search() -> None:
    venue, heard = Venue(5000), Heard()
    venue.most = 500
    async with looking(venue, heard) as feed:
        feed.began([BTC])
        [past] = await found(heard)
    assert venue.from_ids == [None, 3501] and numbers(past) == list(range(4501, 5001))


async def test_what_fails_is_asked_again_and_then_left() -> None:
    venue, heard = Venue(300), Heard()
    venue.failing = 2
    async with looking(venue, heard) as feed:
        feed.began([BTC, ETH])
        await found(heard, 2)
        assert len(venue.asked) == 4
        feed.ended()
        venue.failing = 1000
        feed.began([BTC])
        await until(lambda: len(venue.asked) == 7)
        await asyncio.sleep(0.1)
        assert len(venue.asked) == 7 and len(heard.frames) == 2
        venue.failing = 0
        feed.began([BTC])
        assert len(await found(heard, 3)) == 3, "the next beginning is another chance"


async def test_after_a_break_only_what_it_took_is_asked_for() -> None:
    venue, heard = Venue(8000), Heard()
    async with looking(venue, heard) as feed:
        feed.began([BTC])
        await found(heard)
        calls = len(venue.asked)
        feed.ended()
        feed.began([BTC])
        _, past = await found(heard, 2)
    assert len(venue.asked) == calls + 1 and numbers(past) == list(range(7001, 8001))


async def test_a_hole_that_was_not_looked_into_is_still_one_after_the_next_break() -> None:
    venue, heard = Venue(8000), Heard()
    async with looking(venue, heard) as feed:
        feed.began([BTC])
        await found(heard)
        feed.ended()
        feed.began([BTC])
        feed.ended()
        feed.began([BTC])
        _, past = await found(heard, 2)
    assert len(past.trades) == 4000


async def test_a_break_during_the_search_begins_it_anew() -> None:
    venue, heard = Venue(8000), Heard()
    venue.held = asyncio.Event()
    async with looking(venue, heard) as feed:
        feed.began([BTC])
        await until(lambda: venue.asked)
        feed.ended()
        feed.began([BTC])
        venue.held.set()
        [past] = await found(heard)
        await asyncio.sleep(0.1)
    assert len(heard.frames) == 1, "what was found before the break would hide what it took"
    assert venue.from_ids.count(None) == 2 and len(past.trades) == 4000, "still the whole hour"


async def test_no_more_is_asked_than_the_weight_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(past_feed, "WEIGHT_AT_ONCE", 40)
    monkeypatch.setattr(past_feed, "WEIGHT_PER_S", 100.0)
    venue, heard, loop = Venue(8000), Heard(), asyncio.get_running_loop()
    async with looking(venue, heard) as feed:
        began_s = loop.time()
        feed.began([BTC])
        await found(heard)
    assert len(venue.asked) == 4 and loop.time() - began_s >= 2 * 20 / 100.0


def test_the_weight_of_a_minute_leaves_the_venue_room() -> None:
    assert past_feed.WEIGHT_AT_ONCE + 60 * past_feed.WEIGHT_PER_S <= 2400 * 2 / 3


def test_an_hour_is_reached_with_some_to_spare() -> None:
    assert 3600 * NS < past_feed.REACH_NS < 3700 * NS


@pytest.mark.parametrize(
    ("exchange", "calls", "asks"),
    [(binance.EXCHANGE, 1, True), (binance.EXCHANGE, 0, False), (bybit.EXCHANGE, 24, False), (okx.EXCHANGE, 24, False)],
)
async def test_only_a_venue_that_can_be_asked_is_and_only_where_calls_are_allowed(
    exchange: Exchange, calls: int, asks: bool
) -> None:
    feed = VenueFeed(exchange, "http://127.0.0.1:9", "ws://127.0.0.1:9", At(), past_calls=calls)
    parts = feed.parts(Heard().put, lambda: 0.0, lambda symbol: None)
    assert (f"{exchange.venue} past trades" in parts) is asks
    for part in parts.values():
        part.close()
    await feed.close()
