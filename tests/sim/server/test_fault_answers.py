"""Faults of REST on the wire: what each says in whose words, before or after the request is carried out, and for how long."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import orjson
import pytest
from msgspec import structs

from bot.domain.values import MS, Side
from bot.intel.deribit import parse_summary
from bot.sim.faults import ANSWERS, Kind
from bot.sim.server import serve
from bot.sim.server.faults import Faults
from tests.sim.server.benches import CLOCK, START_MS, Bench, scenario
from tests.sim.server.fault_bench import fault, faulty
from tests.sim.server.signed import LIMIT, ORDER, call, done, near
from tests.sim.server.test_streams import until

TIME, DEPTH = "/fapi/v1/time", "/fapi/v1/depth"
TAKER = "/api/futures/taker-buy-sell-volume/exchange-list"
SUMMARY = "/api/v2/public/get_book_summary_by_currency"
BTC = {"symbol": "BTCUSDT"}

SAID = [
    ("too_many", 429, -1003, "Too many requests"),
    ("banned", 418, -1003, "banned"),
    ("unknown", 503, -1000, "Unknown error, please check your request or try again later."),
    ("unavailable", 503, -1000, "Service Unavailable."),
    ("disconnected", 500, -1001, "Internal error"),
    ("timeout", 408, -1007, "execution status unknown"),
    ("overloaded", 503, -1008, "overloaded"),
]


@pytest.mark.parametrize(("kind", "status", "code", "words"), SAID)
async def test_what_the_venue_says_once(kind: str, status: int, code: int, words: str) -> None:
    async with faulty(fault(kind)) as on:
        got, body, headers = await on.ask(TIME)
        assert (got, body["code"]) == (status, code) and words in body["msg"]
        assert headers.get("Retry-After") == ("5" if status in (429, 418) else None)
        assert (await on.ask(TIME))[0] == 200


async def test_a_fault_is_for_its_route_method_symbol_count_and_time_only() -> None:
    async with faulty(fault("unavailable", route="/fapi/v1/d*", symbol="BTC*", count=2, seconds=10)) as on:
        assert (await on.ask(TIME))[0] == 200
        assert (await on.ask(DEPTH, symbol="ETHUSDT"))[0] == 200
        assert [(await on.ask(DEPTH, **BTC))[0] for _ in range(3)] == [503, 503, 200]
    async with faulty(fault("unavailable", method="POST", seconds=10)) as on:
        assert (await on.ask(TIME))[0] == 200
        assert (await call(on, "POST", ORDER, **LIMIT, price=near(on, -100)))[0] == 503
        on.move(10)
        assert (await call(on, "POST", ORDER, **LIMIT, price=near(on, -100)))[0] == 200


# --- orders ---


def waiting(on: Bench) -> list[Any]:
    assert on.exchange.faults is not None
    return list(on.exchange.faults._late)


async def orders_of(on: Bench) -> list[Any]:
    return list(await done(on, "GET", "/fapi/v1/openOrders", **BTC))


@pytest.mark.parametrize("after", [False, True], ids=["never arrived", "answer lost"])
@pytest.mark.parametrize("kind", ["unknown", "timeout", "cut", "html"])
async def test_an_order_that_never_arrived_and_one_whose_answer_is_lost(kind: str, after: bool) -> None:
    async with faulty(fault(kind, route=ORDER, method="POST", after=after)) as on:
        placing = call(on, "POST", ORDER, **LIMIT, price=near(on, -100), newClientOrderId="one")
        if kind == "cut":
            with pytest.raises(aiohttp.ServerDisconnectedError):
                await placing
        elif kind == "html":
            with pytest.raises(orjson.JSONDecodeError):
                await placing
        else:
            assert (await placing)[0] in (503, 408)
        assert [order["clientOrderId"] for order in await orders_of(on)] == ["one"] * after


@pytest.mark.parametrize(("symbol", "status"), [("ETHUSDT", 200), ("BTCUSDT", 408)])
async def test_an_order_in_a_form_is_known_by_its_symbol(symbol: str, status: int) -> None:
    async with faulty(fault("timeout", symbol=symbol, after=True)) as on:
        assert (await call(on, "POST", ORDER, **LIMIT, price=near(on, -100)))[0] == status
        assert len(await orders_of(on)) == 1


@pytest.mark.parametrize("after", [False, True], ids=["acts late", "says late"])
async def test_a_slow_answer_comes_on_the_exchanges_clock(after: bool) -> None:
    async with faulty(fault("slow", route=ORDER, method="POST", ms=3000, after=after)) as on:
        placing = asyncio.create_task(call(on, "POST", ORDER, **LIMIT, price=near(on, -500)))
        await until(lambda: bool(waiting(on)))
        assert len(await orders_of(on)) == int(after)
        on.move(2.9)
        assert not placing.done()
        on.move(0.2)
        assert (await asyncio.wait_for(placing, 5))[0] == 200 and len(await orders_of(on)) == 1


async def test_a_halted_symbol_takes_no_order_and_says_so_in_its_listing() -> None:
    async with faulty(fault("halted", symbol="BTCUSDT", seconds=10)) as on:
        listed = {each["symbol"]: each["status"] for each in (await on.get("/fapi/v1/exchangeInfo"))["symbols"]}
        assert listed == {"BTCUSDT": "SETTLING", "ETHUSDT": "TRADING"}
        status, body, _ = await call(on, "POST", ORDER, **LIMIT, price=near(on, -100))
        assert (status, body["code"]) == (400, -4108)
        on.move(10)
        assert (await on.get("/fapi/v1/exchangeInfo"))["symbols"][0]["status"] == "TRADING"
        await done(on, "POST", ORDER, **LIMIT, price=near(on, -100))


async def test_orders_of_a_halted_symbol_can_be_cancelled() -> None:
    async with faulty(fault("halted", at_s=70, symbol="BTCUSDT", seconds=10)) as on:
        placed = await done(on, "POST", ORDER, **LIMIT, price=near(on, -500))
        on.move(6)
        await done(on, "DELETE", ORDER, **BTC, orderId=placed["orderId"])


async def test_a_delisted_symbol_is_not_there() -> None:
    async with faulty(fault("delisted", symbol="BTCUSDT", seconds=10)) as on:
        assert [each["symbol"] for each in (await on.get("/fapi/v1/exchangeInfo"))["symbols"]] == ["ETHUSDT"]
        assert (await on.ask(DEPTH, **BTC))[1]["code"] == -1121
        assert (await call(on, "POST", ORDER, **LIMIT, price="50000"))[1]["code"] == -1121
        assert {each["symbol"] for each in await on.get("/fapi/v1/premiumIndex")} == {"ETHUSDT"}
        on.move(10)
        await on.get(DEPTH, **BTC)


async def test_wider_filters_are_listed_and_held() -> None:
    async with faulty(fault("filters", symbol="BTCUSDT", seconds=10)) as on:
        filters = (await on.get("/fapi/v1/exchangeInfo"))["symbols"][0]["filters"]
        assert (filters[0]["tickSize"], filters[1]["stepSize"]) == ("1.0", "0.010")
        price = float(near(on, -100)) // 10 * 10
        for off, code in ((0.1, -1111), (0.0, None)):
            _, body, _ = await call(on, "POST", ORDER, **LIMIT, price=f"{price + off:.1f}")
            assert body.get("code") == code
        on.move(10)
        assert (await on.get("/fapi/v1/exchangeInfo"))["symbols"][0]["filters"][0]["tickSize"] == "0.1"


@pytest.mark.parametrize(("ms", "refused"), [(900, False), (-900, False), (6000, True), (-1100, True)])
async def test_a_wrong_clock_refuses_timestamps_that_are_right(ms: int, refused: bool) -> None:
    async with faulty(fault("clock", ms=ms, seconds=10)) as on:
        status, body, _ = await call(on, "GET", "/fapi/v2/balance")
        assert (status, body["code"] if refused else None) == ((400, -1021) if refused else (200, None))


# --- what cannot be read ---


async def test_half_an_answer() -> None:
    async with faulty(fault("truncated", route=DEPTH)) as on:
        with pytest.raises(aiohttp.ClientPayloadError):
            await on.ask(DEPTH, **BTC)
        await on.get(DEPTH, **BTC)


async def test_a_page_instead_of_an_answer() -> None:
    async with faulty(fault("html")) as on, on.session.get(on.url + TIME) as response:
        assert (response.status, response.content_type) == (502, "text/html")


async def test_a_stale_snapshot_is_the_book_as_the_fault_began() -> None:
    async with faulty(fault("stale", route=DEPTH, count=2)) as on:
        book = on.market.books["BTCUSDT"]
        last_id, best = book.last_id, book.levels(Side.BUY, 1)[0]
        on.move(30)
        assert book.last_id != last_id
        told = await on.get(DEPTH, **BTC, limit=5)
        assert told["lastUpdateId"] == last_id and len(told["bids"]) == 5
        assert tuple(map(float, told["bids"][0])) == best
        await on.get(DEPTH, **BTC)
        assert (await on.get(DEPTH, **BTC))["lastUpdateId"] == book.last_id


# --- the others ---

KEY = {"CG-API-KEY": "any"}


async def coinglass(on: Bench) -> tuple[int, Any]:
    query = {"symbol": "BTC", "range": "5m"}
    async with on.session.get(on.url + TAKER, params=query, headers=KEY) as response:
        return response.status, orjson.loads(await response.read())


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        ("too_many", 429, "429"),
        ("unavailable", 503, "500"),
        ("code", 200, "500"),
        ("plan", 200, "401"),
        ("empty", 200, "0"),
    ],
)
async def test_what_coinglass_says(kind: str, status: int, code: str) -> None:
    async with faulty(fault(kind, route="/api/futures/*")) as on:
        got, body = await coinglass(on)
        assert (got, body["code"]) == (status, code)
        assert ("data" in body and body["data"] == []) == (kind == "empty")
        assert body["msg"] == "Upgrade plan" if kind == "plan" else True
        assert (await coinglass(on))[1]["data"]


async def test_coinglass_that_stands_still() -> None:
    async with faulty(fault("stale", route="/api/*", seconds=100)) as on:
        first = await coinglass(on)
        on.move(60)
        assert await coinglass(on) == first
        on.move(60)
        assert await coinglass(on) != first


async def test_what_is_coinglass_own_does_not_happen_to_the_venue() -> None:
    async with faulty(fault("plan", seconds=5)) as on:
        assert (await on.ask(TIME))[0] == 200 and (await coinglass(on))[1]["code"] == "401"


@pytest.mark.parametrize(("kind", "status"), [("too_many", 429), ("disconnected", 500), ("empty", 200)])
async def test_what_deribit_says(kind: str, status: int) -> None:
    async with faulty(fault(kind, route="/api/v2/*")) as on:
        got, body, _ = await on.ask(SUMMARY, currency="BTC", kind="option")
        assert got == status and body.get("result", []) == []
        assert ("error" in body) == (status != 200)
        assert parse_summary(await on.raw(SUMMARY, currency="BTC", kind="option"), "BTC")


# --- sockets are asked for over HTTP too ---


async def test_a_socket_that_is_refused_by_name_and_not_by_what_is_for_answers() -> None:
    async with faulty(fault("unavailable", route="/public/ws"), fault("html", seconds=5)) as on:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await on.session.ws_connect(on.ws + "/public/ws")
        assert refused.value.status == 503
        await on.session.ws_connect(on.ws + "/public/ws")


async def test_connections_are_refused_and_then_not() -> None:
    made = structs.replace(scenario(), seconds=10**6)
    faults = Faults([fault("refuse", at_s=60.2, seconds=2)], START_MS)
    async with (
        serve.serving(made, origin_ns=(START_MS + 60_000) * MS, speed=4, faults=faults) as (host, port),
        aiohttp.ClientSession() as session,
    ):

        async def reached() -> bool:
            try:
                async with session.get(f"http://{host}:{port}{TIME}") as response:
                    return response.status == 200
            except aiohttp.ClientConnectionError:
                return False

        seen = [await reached()]
        async with asyncio.timeout(20):
            while seen[-2:] != [False, True]:
                seen.append(await reached())
    assert seen[0] and seen.count(False)


async def test_every_kind_of_answer_has_something_to_say_to_everybody() -> None:
    for kind in ANSWERS - {Kind.CUT, Kind.TRUNCATED, Kind.SLOW}:
        async with faulty(fault(kind, seconds=5)) as on:
            for path, query in ((TIME, {}), (SUMMARY, {"currency": "BTC"}), (TAKER, {"symbol": "BTC", "range": "5m"})):
                async with on.session.get(on.url + path, params=query, headers=KEY) as response:
                    assert await response.read() and CLOCK[0]
