"""The exchange over recorded data: it tells what the tape tells, makes nothing up, and orders meet it."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import aiohttp
import pytest
from msgspec import structs

from bot.demo import BUNDLED_TAPE
from bot.domain.errors import ConfigError
from bot.domain.market import Bar
from bot.domain.values import MS, NS, Side
from bot.exchanges import binance
from bot.market.book import Book
from bot.runtime.tape import Tape
from bot.sim.events import Depth, Event, Mark, Snapshot, Trade
from bot.sim.server.app import EXCHANGE, make_app
from bot.sim.server.limits import Limits
from bot.sim.server.market import SimMarket
from bot.sim.server.past import Past
from bot.sim.server.public import ROUTES
from bot.sim.tape_market import TapeCoinMarket, TapeMarket
from tests.servers.listening import listening
from tests.sim.server.benches import ACCOUNTS, CLOCK, START_MS, Bench
from tests.sim.server.signed import ORDER, call, done
from tests.sim.server.test_streams import drained, opened


@asynccontextmanager
async def taped(seconds: float = 30.0) -> AsyncIterator[Bench]:
    CLOCK[0] = START_MS
    model = TapeMarket(Tape.open(BUNDLED_TAPE), START_MS * MS)
    market = SimMarket(model.scenario, lambda: CLOCK[0] * MS, model)
    app = make_app(market, Limits(10**9), ACCOUNTS)
    async with listening(app) as url, aiohttp.ClientSession() as session:
        made = Bench(market, app[EXCHANGE], url, session)
        made.move(seconds)
        yield made


def told(seconds: float) -> tuple[Book, Counter[str]]:
    """The tape's book and how many messages of each kind it has, that far."""
    tape, book, kinds = Tape.open(BUNDLED_TAPE), Book(), Counter[str]()
    first_ns = tape.first_ns()
    for frame in tape.frames():
        if frame.recv_ns > first_ns + seconds * NS:
            break
        said: Any = binance.decode(frame.raw)
        kinds[type(said).__name__] += 1
        if type(said).__name__ == "BookSnapshot":
            book.apply_snapshot(said)
        elif type(said).__name__ == "BookDiff":
            book.apply_diff(said)
    return book, kinds


@pytest.mark.parametrize("seconds", [5.0, 30.0])
async def test_its_book_is_the_tapes(seconds: float) -> None:
    async with taped(seconds) as on:
        book, _ = told(seconds)
        rest = await on.get("/fapi/v1/depth", symbol="BTCUSDT", limit=1000)
        assert book.usable and rest["lastUpdateId"] == book.last_id
        for name, side in (("bids", Side.BUY), ("asks", Side.SELL)):
            assert [(float(p), float(q)) for p, q in rest[name]] == book.levels(side, 1000)


async def test_its_events_are_the_tapes_at_the_exchanges_time() -> None:
    model = TapeMarket(Tape.open(BUNDLED_TAPE), START_MS * MS)
    events: list[Event] = []
    for event in model.events():
        if event.ms > START_MS + 30_000:
            break
        events.append(event)
    _, kinds = told(30)
    made = Counter(type(event).__name__ for event in events)
    assert made["Trade"] == kinds["TradePrint"] > 10 and made["Snapshot"] == 1
    assert 0 <= events[0].ms - START_MS < 5000 and [e.ms for e in events] == sorted(e.ms for e in events)
    depths = [e for e in events if isinstance(e, Depth)]
    assert len(depths) > 100 and all(b.prev_id == a.last_id for a, b in pairwise(depths))


async def test_its_streams_and_klines_go_on_from_it() -> None:
    async with taped(10) as on:
        socket = await opened(on, "/ws", "btcusdt@depth@100ms", "btcusdt@aggTrade")
        made: list[Event] = []
        on.market.listeners.append(made.append)
        on.move(20)
        said = await drained(socket)
        assert sum(each["e"] == "depthUpdate" for each in said) == sum(isinstance(e, Depth) for e in made) > 50
        assert sum(each["e"] == "aggTrade" for each in said) == sum(isinstance(e, Trade) for e in made) > 0
        minute = (await on.get("/fapi/v1/klines", symbol="BTCUSDT", interval="1m", limit=1))[0]
        past = on.exchange.public.pasts["BTCUSDT"]
        assert minute[8] == len([t for t in past.trades if t.ms >= minute[0]])


async def test_orders_meet_it() -> None:
    async with taped() as on:
        book = on.market.books["BTCUSDT"]
        order = {"symbol": "BTCUSDT", "type": "MARKET", "side": "BUY", "quantity": "0.01"}
        filled = await done(on, "POST", ORDER, **order, newOrderRespType="RESULT")
        assert filled["status"] == "FILLED" and float(filled["avgPrice"]) == pytest.approx(book.ask, rel=1e-3)
        rules = (await on.get("/fapi/v1/exchangeInfo"))["symbols"][0]["filters"]
        [listed] = on.market.coins.values()
        assert rules[0]["tickSize"] == str(listed.tick) and rules[1]["stepSize"] == str(listed.step)


async def test_what_the_tape_does_not_tell_is_not_made_up() -> None:
    async with taped() as on:
        status, body, _ = await on.ask("/fapi/v1/openInterest", symbol="BTCUSDT")
        assert (status, body["code"]) == (500, -1001)
        for path in ("openInterestHist", "globalLongShortAccountRatio"):
            assert await on.get(f"/futures/data/{path}", symbol="BTCUSDT", period="5m") == []
        assert await on.get("/fapi/v1/fundingRate", symbol="BTCUSDT") == []
        status, body, _ = await on.ask("/api/v2/public/get_book_summary_by_currency", currency="BTC")
        assert (status, body["code"]) == (404, -5000)
        klines = await on.get("/fapi/v1/klines", symbol="BTCUSDT", interval="1m", limit=1500)
        assert len(klines) <= 2


async def test_before_its_first_book_the_exchange_has_nothing_to_tell() -> None:
    async with taped(0) as on:
        for path in ("premiumIndex", "ticker/price", "ticker/bookTicker", "ticker/24hr"):
            if on.market.books["BTCUSDT"].trade is None or path == "premiumIndex":
                status, body, _ = await on.ask(f"/fapi/v1/{path}", symbol="BTCUSDT")
                assert (status, body.get("code")) in ((500, -1001), (200, None)), path
                rows = await on.get(f"/fapi/v1/{path}")
                assert len(rows) == (status == 200), "of all: what is not known is left out"
        status, body, _ = await call(on, "GET", "/fapi/v2/balance")
        assert status == 200


def test_a_book_that_lost_its_sequence_is_told_no_more_and_not_from_an_old_snapshot() -> None:
    tape = Tape.open(BUNDLED_TAPE)
    frames = list(tape.frames())[:2000]
    snapshot = next(f for f in frames if b"lastUpdateId" in f.raw)
    diffs = [f for f in frames if b'"depthUpdate"' in f.raw]
    broken = [f for f in frames if f is not diffs[40]]
    again = structs.replace(snapshot, recv_ns=frames[-1].recv_ns)

    class Cut(Tape):
        def frames(self) -> Any:
            return iter([*broken, again])

    model = TapeMarket(Cut(tape.path, tape.manifest, tape.parts), START_MS * MS)
    events = [e for e in model.events() if isinstance(e, Depth | Snapshot)]
    kinds = "".join("S" if isinstance(e, Snapshot) else "d" for e in events)
    assert kinds.startswith("Sd") and kinds.count("S") == 1 and len(kinds) < 60
    last: Any = binance.decode(diffs[39].raw)
    assert events[-1].last_id == last.last_id


def test_a_tape_of_another_venue_is_refused() -> None:
    tape = Tape.open(BUNDLED_TAPE)
    tape.manifest = structs.replace(tape.manifest, venue="bybit")
    with pytest.raises(ConfigError, match="bybit"):
        TapeMarket(tape, 0)


async def test_every_path_answers_at_every_moment_in_the_venues_words() -> None:
    asked = {"symbol": "BTCUSDT", "interval": "15m", "period": "1h", "fromId": 1}
    for seconds in (0.0, 0.2, 30.0):
        async with taped(seconds) as on:
            for path in ROUTES:
                for query in (asked, {}):
                    status, body, _ = await on.ask(path, **query)
                    assert status == 200 or body["code"] < 0, (path, body)


@pytest.mark.parametrize("width_ms", [300_000, 900_000, 3_600_000, 14_400_000])
def test_a_running_kline_is_the_same_to_streams_and_to_rest(width_ms: int) -> None:
    """Of the hour in which the tape begins its bars tell the first half."""
    coin = TapeMarket(Tape.open(BUNDLED_TAPE), START_MS * MS).coins[0].coin
    half_ms = START_MS + 1_800_000
    bars = [
        Bar((half_ms - back * 300_000) * MS, 60_000.0, 60_009.0, 59_990.0, 60_000.0, 1e6, 5e5, 9)
        for back in range(9, 0, -1)
    ]
    past = Past(TapeCoinMarket(coin, bars), half_ms, 0)
    for number in range(20):
        past.on_event(Trade("BTCUSDT", half_ms + number * 20_000, number, 600_000 + number, 5, True))
    newest = list(past.klines(width_ms))[-1]
    assert past.kline(width_ms, newest.start_ms) == newest


async def test_an_unknown_time_of_funding_is_not_a_payment() -> None:
    async with taped() as on:
        for ms in (START_MS + 40_000, START_MS + 41_000):
            on.exchange.public.pasts["BTCUSDT"].on_event(Mark("BTCUSDT", ms, 60_000.0, 60_000.0, 1e-4, 0))
        assert await on.get("/fapi/v1/fundingRate", symbol="BTCUSDT") == []
