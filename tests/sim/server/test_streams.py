"""The exchange's market streams: what each says, on both path forms, and what bad requests get."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import aiohttp
import pytest

from bot.domain.values import Side
from bot.exchanges.binance import decode
from bot.sim.events import Best, Depth, Event, Forced, Mark, Trade
from bot.sim.server import sockets
from bot.sim.server.streams import path_of
from tests.sim.server.benches import Bench, bench

Socket = aiohttp.ClientWebSocketResponse


async def opened(on: Bench, path: str, *streams: str) -> Socket:
    socket = await on.session.ws_connect(on.ws + path, max_msg_size=1 << 24)
    if streams:
        assert await say(socket, "SUBSCRIBE", list(streams)) == {"result": None, "id": 1}
    return socket


async def say(socket: Socket, method: str, params: Any = None, number: int = 1) -> Any:
    await socket.send_json({"method": method, "params": params or [], "id": number})
    return await socket.receive_json(timeout=5)


async def drained(socket: Socket) -> list[Any]:
    """All that waits, up to an answer that is asked for last. Streams speak in between, so it is known by its number."""
    await socket.send_json({"method": "LIST_SUBSCRIPTIONS", "id": 99})
    got = []
    while (message := await socket.receive_json(timeout=5)).get("id") != 99:
        got.append(message)
    return got


async def until(there: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not there():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


CHANNELS = {
    "depth@100ms": Depth,
    "aggTrade": Trade,
    "trade": Trade,
    "bookTicker": Best,
    "markPrice@1s": Mark,
}


async def test_each_event_is_told_once_and_the_engines_decoder_reads_it() -> None:
    events: list[Event] = []
    async with bench(events=events) as on:
        socket = await opened(on, "/ws", *(f"btcusdt@{channel}" for channel in CHANNELS))
        before = len(events)
        on.move(20)
        made = [e for e in events[before:] if getattr(e, "symbol", "") == "BTCUSDT"]
        told = await drained(socket)
        names = {"depth@100ms": "depthUpdate", "markPrice@1s": "markPriceUpdate"}
        for channel, kind in CHANNELS.items():
            of = [message for message in told if message["e"] == names.get(channel, channel)]
            assert len(of) == sum(isinstance(event, kind) for event in made) > 0, channel
        for message in told:
            read = decode(json.dumps(message).encode())
            assert read is not None and read.symbol == "BTCUSDT"


@pytest.mark.parametrize("channel", ["depth@100ms", "depth", "depth@250ms", "depth@500ms"])
async def test_a_snapshot_and_the_changes_after_it_make_the_book(channel: str) -> None:
    async with bench() as on:
        socket = await opened(on, "/public/ws", f"btcusdt@{channel}")
        on.move(5)
        snapshot = await on.get("/fapi/v1/depth", symbol="BTCUSDT", limit=1000)
        on.move(60)
        diffs = [d for d in await drained(socket) if d["u"] >= snapshot["lastUpdateId"]]
        assert diffs[0]["U"] <= snapshot["lastUpdateId"] <= diffs[0]["u"] or diffs[0]["pu"] == snapshot["lastUpdateId"]
        assert all(after["pu"] == before["u"] for before, after in pairwise(diffs))
        period_ms = {"depth@100ms": 100, "depth@500ms": 500}.get(channel, 250)
        assert len({d["T"] // period_ms for d in diffs}) == len(diffs) > 60_000 / period_ms / 2
        held = {side: {float(p): float(q) for p, q in snapshot[side]} for side in ("bids", "asks")}
        for diff in diffs:
            for side in ("bids", "asks"):
                held[side].update({float(p): float(q) for p, q in diff[side[0]]})
        book = on.market.books["BTCUSDT"]
        if diffs[-1]["u"] == book.last_id:
            for side, of in (("bids", Side.BUY), ("asks", Side.SELL)):
                best = sorted(((p, q) for p, q in held[side].items() if q), reverse=of is Side.BUY)
                assert best[:100] == book.levels(of, 100)
        else:
            assert channel != "depth@100ms"  # gathered ones come when their time is over


@pytest.mark.parametrize(("channel", "count"), [("depth5@100ms", 5), ("depth10", 10), ("depth20@500ms", 20)])
async def test_partial_books_are_the_best_levels(channel: str, count: int) -> None:
    async with bench() as on:
        socket = await opened(on, "/ws", f"ethusdt@{channel}")
        on.move(2)
        told = await drained(socket)
        assert 4 <= len(told) <= 20
        assert all(len(message["b"]) == len(message["a"]) == count for message in told)
        assert all(after["pu"] == before["u"] and after["U"] > after["pu"] for before, after in pairwise(told))
        if channel == "depth5@100ms":
            book = on.market.books["ETHUSDT"]
            assert told[-1]["u"] == book.last_id
            assert [float(p) for p, _ in told[-1]["b"]] == [p for p, _ in book.levels(Side.BUY, 5)]


async def test_klines_run_and_close_as_rest_tells_them() -> None:
    async with bench() as on:
        socket = await opened(on, "/market/ws", "btcusdt@kline_1m")
        on.move(130)
        told = [message["k"] for message in await drained(socket)]
        closed = [k for k in told if k["x"]]
        assert len(closed) == 2 and len(told) > 50
        rows = {row[0]: row for row in await on.get("/fapi/v1/klines", symbol="BTCUSDT", interval="1m", limit=5)}
        for k in closed:
            assert [k["o"], k["h"], k["l"], k["c"], k["v"], k["T"], k["q"], k["n"]] == rows[k["t"]][1:9]
            trades = await on.get("/fapi/v1/aggTrades", symbol="BTCUSDT", startTime=k["t"], endTime=k["T"], limit=1000)
            assert (k["f"], k["L"]) == (trades[0]["f"], trades[-1]["l"])


async def test_mark_prices_come_each_second_or_each_third() -> None:
    async with bench() as on:
        second, third = await opened(on, "/ws", "btcusdt@markPrice@1s"), await opened(on, "/ws", "btcusdt@markPrice")
        on.move(30)
        assert len(await drained(second)) == 30 and 10 <= len(await drained(third)) <= 11


async def test_forced_orders_are_told_and_open_interest_falls() -> None:
    events: list[Event] = []
    async with bench(seconds=1, events=events) as on:
        socket = await opened(on, "/market/ws", "btcusdt@forceOrder", "!forceOrder@arr")
        while not any(isinstance(e, Forced) and e.symbol == "BTCUSDT" for e in events):
            on.move(10)
        forced = next(e for e in events if isinstance(e, Forced) and e.symbol == "BTCUSDT")
        told = await drained(socket)
        assert {m["o"]["s"] for m in told} >= {"BTCUSDT"}
        order = next(m["o"] for m in told if m["o"]["s"] == "BTCUSDT")
        assert order["S"] == ("BUY" if forced.buys else "SELL") and order["T"] == forced.ms
        assert any(
            isinstance(e, Trade) and (e.ms, e.ticks, e.lots) == (forced.ms, forced.ticks, forced.lots) for e in events
        )


async def test_combined_streams_say_where_they_are_from() -> None:
    async with bench() as on:
        for path in ("/stream", "/public/stream"):
            socket = await opened(on, f"{path}?streams=btcusdt@bookTicker/ethusdt@bookTicker")
            on.move(1)
            told = await drained(socket)
            assert {(m["stream"], m["data"]["s"]) for m in told} == {
                ("btcusdt@bookTicker", "BTCUSDT"),
                ("ethusdt@bookTicker", "ETHUSDT"),
            }
        one = await opened(on, "/ws/btcusdt@aggTrade")
        on.move(10)
        assert {m["e"] for m in await drained(one)} == {"aggTrade"}


async def test_each_path_serves_its_own_streams_only() -> None:
    wanted = ["btcusdt@depth@100ms", "btcusdt@bookTicker", "btcusdt@aggTrade", "btcusdt@markPrice@1s"]
    async with bench() as on:
        kinds = {}
        for path in ("public", "market"):
            socket = await opened(on, f"/{path}/ws", *wanted)
            on.move(5)
            kinds[path] = {m["e"] for m in await drained(socket)}
        assert kinds == {"public": {"depthUpdate", "bookTicker"}, "market": {"aggTrade", "markPriceUpdate"}}
    assert [path_of(name) for name in ("x@nothing", "@depth", "", "btcusdt", "BTCUSDT@depth")] == [None] * 5


async def test_requests_about_subscriptions() -> None:
    async with bench() as on:
        socket = await opened(on, "/ws", "btcusdt@bookTicker", "btcusdt@nothing")
        listed = await say(socket, "LIST_SUBSCRIPTIONS", number=2)
        assert listed == {"result": ["btcusdt@bookTicker", "btcusdt@nothing"], "id": 2}
        assert await say(socket, "SET_PROPERTY", ["combined", True], 3) == {"result": None, "id": 3}
        on.move(0.5)
        assert {m["stream"] for m in await drained(socket)} == {"btcusdt@bookTicker"}
        assert await say(socket, "UNSUBSCRIBE", ["btcusdt@bookTicker"], 4) == {"result": None, "id": 4}
        on.move(5)
        assert await drained(socket) == []


BAD: list[tuple[str, int]] = [
    ("{", 3),
    ("", 3),
    ("[" * 10_000, 2),
    ("nonsense", 3),
    ("[]", 2),
    ("{}", 2),
    ('{"method": 5}', 2),
    ('{"method": "SUBSCRIBE", "params": "x", "id": 1}', 2),
    ('{"method": "SUBSCRIBE", "params": [1], "id": 1}', 2),
    ('{"method": "LOGIN", "id": 1}', 2),
    ('{"method": "LIST_SUBSCRIPTIONS", "id": 9223372036854775808}', 2),
    ('{"method": "LIST_SUBSCRIPTIONS", "id": 1e400}', 2),
    ('{"method": "GET_PROPERTY", "params": ["x"], "id": 1}', 0),
]


async def test_bad_frames_get_an_error_and_the_socket_goes_on() -> None:
    async with bench() as on:
        for raw, code in BAD:
            socket = await opened(on, "/ws")
            await socket.send_str(raw)
            answer = await socket.receive_json(timeout=5)
            assert answer.get("error", answer)["code"] == code, raw[:40]
            await socket.send_bytes(b"\xff\xfe")
            assert (await socket.receive_json(timeout=5))["code"] == 3
            assert (await say(socket, "LIST_SUBSCRIPTIONS"))["result"] == []
            await socket.close()
        many = [f"btcusdt@x{n}" for n in range(1025)]
        socket = await opened(on, "/ws")
        assert (await say(socket, "SUBSCRIBE", many))["error"]["code"] == 2
        async with on.session.get(on.url + "/ws") as plain:
            assert plain.status == 400


async def test_who_asks_too_fast_or_sends_too_much_is_let_go() -> None:
    async with bench() as on:
        fast = await opened(on, "/ws")
        for number in range(40):
            await fast.send_json({"method": "LIST_SUBSCRIPTIONS", "id": number})
        kinds = [(await fast.receive(timeout=5)).type for _ in range(20)]
        assert aiohttp.WSMsgType.CLOSE in kinds and fast.close_code == 1008
        large = await opened(on, "/ws")
        await large.send_str("x" * (1 << 17))
        assert (await large.receive(timeout=5)).type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)
        assert (await on.get("/fapi/v1/ping")) == {}


async def test_who_does_not_read_is_let_go_and_nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "MOST_WAITING", 500)
    async with bench() as on:
        slow = await opened(on, "/ws", "btcusdt@bookTicker")
        quick = await opened(on, "/ws", "ethusdt@markPrice@1s")
        assert len(on.exchange.sockets.clients) == 2
        on.move(300)  # all at once: more than may wait
        assert len(await drained(quick)) == 300
        await until(lambda: len(on.exchange.sockets.clients) == 1)
        await slow.close()


async def test_a_thousand_sockets_are_all_served() -> None:
    async with bench() as on:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            url = f"{on.ws}/ws/btcusdt@aggTrade"
            opened_ = await asyncio.gather(*(session.ws_connect(url) for _ in range(1000)))
            await until(lambda: len(on.exchange.sockets.clients) == 1000)
            on.move(10)
            first = await asyncio.gather(*(socket.receive_json(timeout=20) for socket in opened_))
            assert all(message == first[0] for message in first) and first[0]["e"] == "aggTrade"
            for socket in opened_:  # cut, not closed
                assert socket._response.connection is not None
                socket._response.connection.close()
        on.move(1)
        await until(lambda: not on.exchange.sockets.clients)


async def test_the_same_seed_says_the_same_bytes() -> None:
    said: list[list[str]] = []
    for _ in range(2):
        async with bench() as on:
            socket = await opened(
                on, "/ws", *(f"btcusdt@{c}" for c in (*CHANNELS, "kline_1m", "depth20", "depth@500ms"))
            )
            on.move(15)
            await socket.send_json({"method": "LIST_SUBSCRIPTIONS", "id": 99})
            got: list[str] = []
            while '"id":99' not in (text := await socket.receive_str(timeout=5)):
                got.append(text)
            said.append(got)
    assert said[0] == said[1] and len(said[0]) > 400


@pytest.mark.parametrize(("kind", "event"), [("ticker", "24hrTicker"), ("miniTicker", "24hrMiniTicker")])
async def test_tickers_are_the_day_as_rest_tells_it(kind: str, event: str) -> None:
    async with bench() as on:
        socket = await opened(on, "/market/ws", f"btcusdt@{kind}")
        on.move(10)
        told = await drained(socket)
        assert 4 <= len(told) <= 6
        assert {each["e"] for each in told} == {event} and {each["s"] for each in told} == {"BTCUSDT"}
        last = told[-1]
        day = await on.get("/fapi/v1/ticker/24hr", symbol="BTCUSDT")
        assert (last["o"], last["h"], last["l"]) == (day["openPrice"], day["highPrice"], day["lowPrice"])
        assert float(last["v"]) <= float(day["volume"]) < float(last["v"]) * 1.01
        assert set(last) == (set("eEscohlvq") if kind == "miniTicker" else set("eEspPwcQohlvqOCFLn"))


async def test_tickers_of_all_tell_who_traded_once_a_second() -> None:
    async with bench() as on:
        socket = await on.session.ws_connect(on.ws + "/market/ws/!ticker@arr")
        await say(socket, "LIST_SUBSCRIPTIONS")
        on.move(10)
        rows = [await socket.receive_json(timeout=5) for _ in range(9)]
        assert all(isinstance(row, list) and len({each["s"] for each in row}) == len(row) for row in rows)
        assert {each["s"] for row in rows for each in row} == {"BTCUSDT", "ETHUSDT"}
        seconds = [max(each["E"] for each in row) // 1000 for row in rows]
        assert seconds == sorted(set(seconds))


async def test_a_connection_ends_after_a_day(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "LIFE_S", 0.2)
    async with bench() as on:
        socket = await opened(on, "/ws", "btcusdt@aggTrade")
        on.move(1)
        async with asyncio.timeout(5):
            kinds = [message.type async for message in socket]
        assert kinds and socket.close_code == aiohttp.WSCloseCode.OK
        await until(lambda: not on.exchange.sockets.clients)
