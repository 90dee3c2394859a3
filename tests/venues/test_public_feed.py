"""One venue's public data over real sockets: a book that stands still, history at the end of a bar, silence that a venue asks for."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from aiohttp import WSMsgType, web

from bot.domain.errors import VenueError
from bot.domain.frames import FeedState, History
from bot.domain.values import NS
from bot.exchanges import binance, bybit
from bot.runtime.clock import RealClock
from bot.venues import venue_feed
from bot.venues.public import PublicMarket
from bot.venues.rest import PublicRest
from bot.venues.venue_feed import VenueFeed
from tests.build import instrument

BTC = instrument(id="bybit:BTCUSDT", venue="bybit")
ETH = instrument("ETHUSDT", id="bybit:ETHUSDT", venue="bybit")
BOOK = {"s": "BTCUSDT", "b": [["99", "1"]], "a": [["101", "1"]], "u": 5}
SNAPSHOT = json.dumps({"topic": "orderbook.1000.BTCUSDT", "type": "snapshot", "ts": 1, "data": BOOK})


class Server:
    """Bybit's paths, answered as `answers` say (status, headers, body); a snapshot for whoever subscribes."""

    def __init__(self) -> None:
        self.answers: dict[str, Callable[[web.Request], web.Response]] = {}
        self.asked: list[str] = []
        self.heard: list[Any] = []
        self.url = ""

    async def rest(self, request: web.Request) -> web.Response:
        self.asked.append(request.path_qs)
        return self.answers[request.path](request)

    async def stream(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                self.heard.append(json.loads(message.data))
                if self.heard[-1]["op"] == "subscribe":
                    await socket.send_str(SNAPSHOT)
        return socket


@asynccontextmanager
async def serving() -> AsyncIterator[Server]:
    server = Server()
    app = web.Application()
    app.router.add_get("/v5/public/linear", server.stream)
    app.router.add_get("/{path:.*}", server.rest)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield server
    finally:
        await runner.cleanup()


class At(RealClock):
    """A clock that stands where it is put."""

    at_ns = 1_709_891_700 * NS

    def now_ns(self) -> int:
        return self.at_ns


@asynccontextmanager
async def feed(server: Server, *, depth_only: bool = False) -> AsyncIterator[VenueFeed]:
    made = VenueFeed(bybit.EXCHANGE, f"http://{server.url}", f"ws://{server.url}", At(), depth_only=depth_only)
    try:
        yield made
    finally:
        await made.close()


class Heard:
    """What is put, and somebody who waits for it."""

    def __init__(self) -> None:
        self.frames: list[tuple[str, bytes]] = []

    async def put(self, source: str, *raws: bytes) -> None:
        self.frames.extend((source, raw) for raw in raws)

    def of(self, source: str, kind: Any) -> list[Any]:
        return [msgspec.json.decode(raw, type=kind) for each, raw in self.frames if each == source]


@asynccontextmanager
async def running(feed: VenueFeed, heard: Heard, age_s: Callable[[str], float | None]) -> AsyncIterator[None]:
    tasks = [asyncio.ensure_future(part) for part in feed.parts(heard.put, lambda: 0.0, age_s).values()]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(each, asyncio.CancelledError) for each in ended), ended


async def until(look: Callable[[], Any]) -> Any:
    async with asyncio.timeout(30):
        while not (seen := look()):  # noqa: ASYNC110 (what it looks at has no event)
            await asyncio.sleep(0.005)
    return seen


# --- books ----------------------------------------------------------------------------------------------------------


async def test_a_stream_that_never_comes_is_told_once_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.runtime.websocket.FIRST_WAIT_S", 0.0)
    heard = Heard()
    nobody = VenueFeed(bybit.EXCHANGE, "http://127.0.0.1:9", "ws://127.0.0.1:9", At())
    nobody.follow([BTC])
    tries = 0

    def chance() -> float:
        nonlocal tries
        tries += 1
        return 0.0

    task = asyncio.gather(*nobody.parts(heard.put, chance, lambda symbol: None).values())
    await until(lambda: tries >= 3)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    [told] = heard.of("feed", FeedState)
    assert (told.up, told.venue) == (False, "bybit") and "cannot connect to ws://127.0.0.1:9" in told.reason
    await nobody.close()


@pytest.mark.parametrize(("age_s", "refused"), [(venue_feed.STALE_S, False), (venue_feed.STALE_S + 0.1, True)])
async def test_a_book_that_stands_still_is_refused_and_asked_for_anew(age_s: float, refused: bool) -> None:
    heard, looks = Heard(), 0

    def age(symbol: str) -> float | None:
        nonlocal looks
        looks += 1
        return age_s if looks == 1 else 0.0

    async with serving() as server, feed(server) as its:
        its.follow([BTC])
        async with running(its, heard, age):
            await until(lambda: looks >= 2)
            if refused:
                await until(lambda: len(server.heard) >= 3)
    told = [state for state in heard.of("feed", FeedState) if not state.up]
    assert [(state.symbol, state.carries, state.venue) for state in told] == [
        ("BTCUSDT", ("depth",), "bybit")
    ] * refused
    assert [each["op"] for each in server.heard] == ["subscribe", "unsubscribe", "subscribe"][: 3 if refused else 1]


async def test_a_book_that_never_comes_is_asked_for_again_while_its_stream_lives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(venue_feed, "ABSENT_S", 1)
    async with serving() as server, feed(server) as its:
        its.follow([BTC])
        async with running(its, Heard(), lambda symbol: None):
            await until(lambda: len(server.heard) >= 3)
    assert server.heard[1]["args"] == ["orderbook.1000.BTCUSDT"]


async def test_no_more_is_said_to_a_stream_than_a_venue_bears_and_no_symbol_takes_the_share_of_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(venue_feed, "APART_S", 0.0)
    async with serving() as server, feed(server) as its:
        its.follow([BTC, ETH])
        share = venue_feed.MOST_AGAIN // 2
        its._said["BTCUSDT"].extend([asyncio.get_running_loop().time()] * (share - 1))
        async with running(its, Heard(), lambda symbol: 0.0):
            await until(lambda: len(server.heard) == 2)
            its.want("BTCUSDT")
            await until(lambda: len(server.heard) == 4)
            its.want("BTCUSDT")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await until(lambda: len(server.heard) > 4)
            its.want("ETHUSDT")
            await until(lambda: len(server.heard) == 6)
            assert server.heard[-1]["args"] == ["orderbook.1000.ETHUSDT"]
            hour_ago = asyncio.get_running_loop().time() - venue_feed.HOUR_S
            its._said["BTCUSDT"][0] = its._not_before["BTCUSDT"] = hour_ago
            its.want("ETHUSDT")  # it is looked at who is due
            await until(lambda: len(server.heard) == 10)
    assert {each["args"][0] for each in server.heard[-4:]} == {"orderbook.1000.BTCUSDT", "orderbook.1000.ETHUSDT"}


def test_a_book_that_does_not_come_is_asked_for_later_each_time() -> None:
    its = VenueFeed(bybit.EXCHANGE, "http://127.0.0.1:9", "ws://127.0.0.1:9", At())
    its.depth_up = True
    assert [second for second in range(1, 201) if its._is_absent("BTCUSDT", None)] == [10, 20, 40, 80, 160]
    assert not its._is_absent("BTCUSDT", 0.0)
    assert [second for second in range(1, 31) if its._is_absent("BTCUSDT", None)] == [10, 20]


async def snapshots_of(
    server: Server, gone: set[str], chance: float, wanted: Callable[[VenueFeed], None], enough: Callable[[], bool]
) -> None:
    """A feed of Binance's, whose books come over REST, until `enough`."""
    server.answers["/fapi/v1/depth"] = lambda request: (
        web.json_response({"code": -1121, "msg": "Invalid symbol."}, status=400)
        if request.query["symbol"] in gone
        else web.json_response({"lastUpdateId": 1, "bids": [], "asks": []})
    )
    its = VenueFeed(binance.EXCHANGE, f"http://{server.url}", "ws://127.0.0.1:9", At())
    task = asyncio.ensure_future(its._replace_books(Heard().put, lambda: chance))
    try:
        wanted(its)
        await until(enough)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await its.close()


async def test_a_symbol_that_is_gone_does_not_keep_the_books_of_others_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(venue_feed, "APART_S", 0.0)
    monkeypatch.setattr("bot.runtime.websocket.FIRST_WAIT_S", 1000.0)
    async with serving() as server:

        def wanted(its: VenueFeed) -> None:
            for symbol in ("GONEUSDT", "BTCUSDT", "ETHUSDT"):
                its.want(symbol)

        await snapshots_of(server, {"GONEUSDT"}, 1.0, wanted, lambda: len(server.asked) == 3)
    assert [path.partition("symbol=")[2].partition("&")[0] for path in server.asked] == [
        *("GONEUSDT", "BTCUSDT", "ETHUSDT")
    ]


async def test_a_venue_that_answers_for_no_symbol_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(venue_feed, "APART_S", 0.0)
    monkeypatch.setattr("bot.runtime.websocket.FIRST_WAIT_S", 1000.0)
    symbols = [f"A{number}USDT" for number in range(5)]
    async with serving() as server:

        def wanted(its: VenueFeed) -> None:
            for symbol in symbols:
                its.want(symbol)

        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await snapshots_of(server, set(symbols), 1.0, wanted, lambda: False)
    assert len(server.asked) == 2


# --- history --------------------------------------------------------------------------------------------------------


def klines(request: web.Request) -> web.Response:
    end_ms = At.at_ns // 1_000_000
    rows = [[str(end_ms - k * 300_000), "10", "12", "9", "11", "5", "50"] for k in range(1, 4)]
    result = {"symbol": request.query["symbol"], "category": "linear", "list": rows}
    return web.json_response({"retCode": 0, "retMsg": "OK", "result": result, "time": end_ms})


async def test_the_bars_a_stream_broke_in_are_fetched_when_they_have_ended() -> None:
    heard = Heard()
    async with serving() as server, feed(server) as its:
        server.answers["/v5/market/kline"] = klines
        its.follow([BTC], (300,))
        clock = its._clock
        assert isinstance(clock, At)
        async with running(its, heard, lambda symbol: 0.0):
            await until(lambda: its._due)
            due_ns = its._due[0][0]
            assert due_ns == At.at_ns + round((300 + venue_feed.SETTLED_S) * NS), "the end of the bar, and a moment"
            assert server.asked == []
            clock.at_ns = due_ns
            its._due_set.set()
            await until(lambda: heard.of("history", History))
    (told,) = heard.of("history", History)
    assert (told.instrument, told.width_s, len(told.bars)) == ("bybit:BTCUSDT", 300, 3)
    assert [row[0] for row in told.bars] == sorted(row[0] for row in told.bars)
    assert told.bars[0][6:] == (None, None), "what the venue does not say"


async def test_history_that_cannot_be_had_is_told_and_the_rest_is_there() -> None:
    async with serving() as server, feed(server) as its:
        server.answers["/v5/market/kline"] = lambda request: (
            klines(request) if request.query["interval"] == "5" else web.Response(status=500, text="no")
        )
        its.follow([BTC], (300, 900))
        got, problems = await its.history()
    assert [(each.id, bars.width_s) for each, bars in got] == [("bybit:BTCUSDT", 300)]
    assert len(problems) == 1 and "900 s" in problems[0] and "answered 500" in problems[0]


# --- silence --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [418, 429])
async def test_a_venue_that_wants_to_be_left_alone_is(status: int) -> None:
    async with serving() as server:
        server.answers["/x"] = lambda request: web.Response(status=status, headers={"Retry-After": "7"})
        rest = PublicRest(f"http://{server.url}")
        with contextlib.suppress(VenueError):
            await rest.get("/x")
        with pytest.raises(VenueError, match=r"wants 7 s of silence"):
            await rest.get("/y")
        assert server.asked == ["/x"]
        rest._silent_until = asyncio.get_running_loop().time()
        server.answers["/x"] = lambda request: web.Response(text="ok")
        assert await rest.get("/x") == b"ok"
        await rest.close()


@pytest.mark.parametrize(("said", "wait_s"), [("", 60), ("soon", 60), ("999999", 3600), ("0", 0)])
async def test_silence_lasts_a_minute_where_nothing_is_said_and_an_hour_at_most(said: str, wait_s: float) -> None:
    async with serving() as server:
        server.answers["/x"] = lambda request: web.Response(status=429, headers={"Retry-After": said} if said else {})
        rest = PublicRest(f"http://{server.url}")
        before = asyncio.get_running_loop().time()
        with pytest.raises(VenueError, match="429"):
            await rest.get("/x")
        assert before + wait_s <= rest._silent_until <= asyncio.get_running_loop().time() + wait_s
        await rest.close()


@pytest.mark.parametrize("status", [301, 404, 500, 503])
async def test_other_answers_are_refusals_without_silence(status: int) -> None:
    async with serving() as server:
        server.answers["/x"] = lambda request: web.Response(status=status, headers={"Location": "/y"}, text="a\nb")
        rest = PublicRest(f"http://{server.url}")
        for _ in range(2):
            with pytest.raises(VenueError, match=rf"answered {status}: a\\nb"):
                await rest.get("/x")
        assert server.asked == ["/x", "/x"], "no redirect is followed"
        await rest.close()


# --- venues that answer late ----------------------------------------------------------------------------------------


def listing(*coins: str) -> Callable[[web.Request], web.Response]:
    lot = {"maxOrderQty": "100", "minOrderQty": "0.001", "qtyStep": "0.001", "minNotionalValue": "5"}
    rows = [
        {
            "symbol": f"{coin}{quote}",
            "contractType": "LinearPerpetual",
            "status": "Trading",
            "baseCoin": coin,
            "quoteCoin": quote,
            "settleCoin": quote,
            "priceFilter": {"tickSize": "0.1"},
            "lotSizeFilter": lot,
        }
        for coin in coins
        for quote in ("USDC", "USDT")
    ]
    body = {"retCode": 0, "result": {"list": rows}}
    return lambda request: web.json_response(body)


async def test_a_venue_that_is_down_at_the_start_is_told_and_joins_with_the_same_coins() -> None:
    async with serving() as home, serving() as late, feed(home) as first, feed(late, depth_only=True) as second:
        home.answers["/v5/market/instruments-info"] = listing("BTC", "ETH")
        home.answers["/v5/market/kline"] = klines
        late.answers["/v5/market/instruments-info"] = lambda request: web.Response(status=503)
        market = PublicMarket({"home": first, "late": second}, At())
        await market.open()
        await market.follow([each for each in market.instruments if each.symbol == "BTCUSDT"], ())
        assert [text for text in market.problems if text.startswith("no walls of bybit yet")]
        assert market.others == []
        joined: list[Any] = []
        parts = market._join_late(second, joined.extend, lambda: 0.0)
        task = asyncio.ensure_future(parts)
        await until(lambda: len(late.asked) >= 3)
        assert joined == [], "asked again and again"
        late.answers["/v5/market/instruments-info"] = listing("BTC", "SOL")
        await until(lambda: joined)
        await task
    assert [each.symbol for each in joined] == ["BTCUSDT"], "the coin that is traded, of its kinds that against USDT"
