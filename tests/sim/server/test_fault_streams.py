"""Faults of sockets and streams on the wire, seen by a plain client."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import aiohttp
import orjson
import pytest
from aiohttp import WSMsgType

from bot.domain.values import Side
from bot.exchanges.binance import decode
from bot.sim.events import Depth, Event, Trade
from bot.sim.faults import seeded_faults
from bot.sim.server import fault_frames
from bot.sim.server.faults import Faults
from tests.sim.server.benches import CLOCK, START_MS, Bench, bench
from tests.sim.server.fault_bench import fault, faulty
from tests.sim.server.signed import ORDER, done
from tests.sim.server.test_streams import drained, opened, say
from tests.sim.server.test_user_stream import listening, start

DEPTH = "btcusdt@depth@100ms"


async def depths(on: Bench, seconds: float = 3.0) -> tuple[list[Any], list[Depth]]:
    """What a client hears, and what happened."""
    socket = await opened(on, "/ws", DEPTH)
    made = list[Event]()
    on.market.listeners.append(made.append)
    on.move(seconds)
    return await drained(socket), [e for e in made if isinstance(e, Depth) and e.symbol == "BTCUSDT"]


async def test_without_a_fault_each_message_comes_once_in_order() -> None:
    async with faulty() as on:
        told, made = await depths(on)
        assert [d["u"] for d in told] == [e.last_id for e in made]


async def test_a_lost_message_is_a_gap() -> None:
    async with faulty(fault("lose", stream=DEPTH, count=2)) as on:
        told, made = await depths(on)
        assert [d["u"] for d in told] == [e.last_id for e in made[2:]]
        assert all(after["pu"] == before["u"] for before, after in pairwise(told))


async def test_all_clients_lose_the_same_message() -> None:
    async with faulty(fault("lose", stream=DEPTH)) as on:
        sockets = [await opened(on, "/ws", DEPTH) for _ in range(3)]
        on.move(2)
        first, *others = [await drained(socket) for socket in sockets]
        assert others == [first, first] and len(first) > 5


@pytest.mark.parametrize("count", [1, 3])
async def test_a_doubled_message(count: int) -> None:
    async with faulty(fault("double", stream=DEPTH, count=count)) as on:
        told, made = await depths(on)
        expected = [e.last_id for e in made for _ in range(2 if e in made[:count] else 1)]
        assert [d["u"] for d in told] == expected


@pytest.mark.parametrize(("count", "order"), [(1, [1, 0, 2, 3, 4]), (2, [1, 0, 3, 2, 4])])
async def test_messages_that_change_places(count: int, order: list[int]) -> None:
    async with faulty(fault("swap", stream=DEPTH, count=count)) as on:
        told, made = await depths(on)
        assert [d["u"] for d in told[:5]] == [made[at].last_id for at in order]
        assert len(told) == len(made)


async def test_a_late_message_comes_on_the_exchanges_clock_after_others() -> None:
    async with faulty(fault("delay", stream=DEPTH, ms=1000)) as on:
        socket = await opened(on, "/ws", DEPTH)
        for _ in range(9):
            on.move(0.1)
        first = [d["U"] for d in await drained(socket)]
        on.move(0.3)
        then = [d["U"] for d in await drained(socket)]
        assert first == sorted(first) and min(then) < min(first) and len(then) >= 2


@pytest.mark.parametrize("kind", ["wrong_pu", "no_pu"])
async def test_what_a_diff_follows_is_wrong_or_missing(kind: str) -> None:
    async with faulty(fault(kind, stream=DEPTH)) as on:
        told, made = await depths(on)
        assert told[0].get("pu") == (made[0].prev_id - 1 if kind == "wrong_pu" else None)
        assert told[0]["u"] == made[0].last_id and [d["pu"] for d in told[1:]] == [e.prev_id for e in made[1:]]


async def test_a_crossed_book_is_what_a_client_would_build() -> None:
    async with faulty(fault("crossed", stream="btcusdt@*", count=2)) as on:
        book = on.market.books["BTCUSDT"]
        told, made = await depths(on, 0.1)
        assert len(told) == len(made) == 1
        assert float(told[0]["b"][0][0]) == book.levels(Side.SELL, 3)[-1][0]  # the bid is above the best ask
        ticker = await opened(on, "/ws", "btcusdt@bookTicker")
        on.move(0.1)
        best = (await drained(ticker))[0]
        assert float(best["b"]) > float(best["a"])


async def test_a_corrupt_number_is_wrong_but_in_form() -> None:
    async with faulty(fault("corrupt", stream="btcusdt@aggTrade")) as on:
        socket = await opened(on, "/ws", "btcusdt@aggTrade")
        made = list[Event]()
        on.market.listeners.append(made.append)
        on.move(5)
        told = await drained(socket)
        prices = [
            float(e.ticks * on.market.coins["BTCUSDT"].tick)
            for e in made
            if isinstance(e, Trade) and e.symbol == "BTCUSDT"
        ]
        assert decode(orjson.dumps(told[0])) is not None and float(told[0]["p"]) != prices[0]
        assert [float(each["p"]) for each in told[1:]] == prices[1:]


@pytest.mark.parametrize("path", ["/ws", "/stream"])
async def test_half_a_message(path: str) -> None:
    async with faulty(fault("malformed", stream=DEPTH)) as on:
        socket = await opened(on, path, DEPTH)
        on.move(1)
        bad = await socket.receive_str(timeout=5)
        with pytest.raises(orjson.JSONDecodeError):
            orjson.loads(bad)
        assert await drained(socket)


async def test_a_message_larger_than_a_client_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fault_frames, "HUGE_BYTES", 5 << 20)
    async with faulty(fault("huge", stream=DEPTH)) as on:
        socket = await on.session.ws_connect(on.ws + "/ws", max_msg_size=4 << 20)
        await say(socket, "SUBSCRIBE", [DEPTH])
        on.move(1)
        message = await socket.receive(timeout=5)
        assert message.type is WSMsgType.ERROR and socket.close_code == aiohttp.WSCloseCode.MESSAGE_TOO_BIG
        other = await opened(on, "/ws", DEPTH)  # the server is well
        on.move(1)
        assert await drained(other)


async def test_one_stream_is_silent_while_others_go_on_and_then_speaks_again() -> None:
    async with faulty(fault("silence", stream="btcusdt@*", seconds=10)) as on:
        socket = await opened(on, "/ws", DEPTH, "ethusdt@depth@100ms")  # and the subscription is acknowledged
        on.move(9)
        assert {d["s"] for d in await drained(socket)} == {"ETHUSDT"}
        on.move(2)
        assert {d["s"] for d in await drained(socket)} == {"BTCUSDT", "ETHUSDT"}


async def test_silence_without_a_close_leaves_only_pings() -> None:
    async with faulty(fault("silence", seconds=10)) as on:
        socket = await on.session.ws_connect(on.ws + "/ws", autoping=False)
        await socket.send_json({"method": "SUBSCRIBE", "params": [DEPTH], "id": 1})
        on.move(5)
        await socket.ping(b"there?")
        first = await socket.receive(timeout=5)
        assert (first.type, first.data) == (WSMsgType.PONG, b"there?")
        on.move(6)
        assert (await socket.receive_json(timeout=5))["e"] == "depthUpdate"


async def test_pings_that_nobody_answers() -> None:
    async with faulty(fault("deaf", seconds=10)) as on:
        socket = await on.session.ws_connect(on.ws + "/ws", autoping=False)
        await socket.ping(b"there?")
        assert (await say(socket, "LIST_SUBSCRIPTIONS"))["result"] == []  # first, so no pong came before
        on.move(11)
        await socket.ping(b"again")
        assert (await socket.receive(timeout=5)).data == b"again"


@pytest.mark.parametrize(
    ("kind", "seen"), [("close", WSMsgType.CLOSE), ("abort", WSMsgType.CLOSED)], ids=["close", "abort"]
)
async def test_a_socket_ends_and_others_do_not(kind: str, seen: WSMsgType) -> None:
    async with faulty(fault(kind, at_s=67, stream="btcusdt@*")) as on:
        hit = await on.session.ws_connect(on.ws + "/ws", autoclose=False)
        await say(hit, "SUBSCRIBE", [DEPTH])
        other = await opened(on, "/ws", "ethusdt@depth@100ms")
        on.move(1.5)
        assert await drained(hit) and await drained(other)
        on.move(1)
        while (message := await hit.receive(timeout=5)).type is WSMsgType.TEXT:
            pass
        assert message.type in (seen, WSMsgType.ERROR if kind == "abort" else seen)
        assert await drained(other)
        assert await opened(on, "/ws", DEPTH)  # whoever comes again is let in


async def test_a_delisted_symbol_is_heard_no_more() -> None:
    async with faulty(fault("delisted", symbol="BTCUSDT", seconds=10)) as on:
        socket = await opened(on, "/ws", DEPTH, "!bookTicker", "ethusdt@aggTrade")
        on.move(5)
        told = await drained(socket)
        assert {each["s"] for each in told} == {"ETHUSDT"}


async def test_a_wrong_clock_stamps_messages_and_answers_alike() -> None:
    async with faulty(fault("clock", ms=-1500, seconds=10)) as on:
        told, made = await depths(on)
        assert [d["T"] for d in told] == [e.ms - 1500 for e in made] and told[0]["E"] == made[0].ms - 1499
        assert (await on.get("/fapi/v1/time"))["serverTime"] == CLOCK[0] - 1500
        on.move(10)
        assert (await on.get("/fapi/v1/time"))["serverTime"] == CLOCK[0]


async def test_a_mark_price_gap_is_everywhere_and_ends() -> None:
    async with faulty(fault("mark_gap", symbol="BTCUSDT", pct=-20.0, seconds=5)) as on:
        book, socket = on.market.books["BTCUSDT"], await opened(on, "/ws", "btcusdt@markPrice@1s")
        on.move(2)
        assert book.mark is not None and book.mid is not None
        assert book.mark / book.mid == pytest.approx(0.8, abs=0.002)
        told = (await drained(socket))[-1]
        rest = await on.get("/fapi/v1/premiumIndex", symbol="BTCUSDT")
        assert float(told["p"]) == float(rest["markPrice"]) == pytest.approx(book.mark)
        other = on.market.books["ETHUSDT"]
        assert other.mark is not None and other.mid is not None and abs(other.mark / other.mid - 1) < 0.002
        on.move(5)
        assert book.mark / book.mid == pytest.approx(1, abs=0.002)


# --- user streams ---

BUY = {"symbol": "BTCUSDT", "type": "MARKET", "side": "BUY", "quantity": "0.02"}


@pytest.mark.parametrize(("kind", "updates"), [("lose", 0), ("double", 2)])
async def test_a_fill_is_not_told_or_told_twice(kind: str, updates: int) -> None:
    async with faulty(fault(kind, stream="user", seconds=5)) as on:
        async with listening(on, f"/ws/{await start(on)}") as ear:
            await done(on, "POST", ORDER, **BUY)
            await ear.socket.send_json({"method": "LIST_SUBSCRIPTIONS", "id": 2})
            while not any(each.get("id") == 2 for each in ear.heard):
                ear.heard.append(orjson.loads((await ear.socket.receive(timeout=5)).data))
        fills = [each for each in ear.of("ORDER_TRADE_UPDATE") if each["o"]["X"] == "FILLED"]
        assert len(fills) == updates


async def test_a_fill_is_told_late() -> None:
    lag = fault("delay", stream="user", ms=2000, seconds=5)
    async with faulty(lag) as on, listening(on, f"/ws/{await start(on)}") as ear:
        await done(on, "POST", ORDER, **BUY)
        await ear.socket.send_json({"method": "LIST_SUBSCRIPTIONS", "id": 2})
        assert (await ear.socket.receive_json(timeout=5))["id"] == 2
        on.move(2.1)
        await ear.until("ORDER_TRADE_UPDATE", 2)


async def test_a_listen_key_ends_before_its_time() -> None:
    async with faulty(fault("key_expires", at_s=70)) as on:
        key = await start(on)
        async with listening(on, f"/ws/{key}") as ear:
            on.move(6)
            await ear.until("listenKeyExpired")
        assert await start(on) != key


async def test_faults_do_not_end_the_server() -> None:
    """All that a seed brings, for a quarter of an hour, to clients who come again."""
    made = Faults(seeded_faults(3, ["BTCUSDT", "ETHUSDT"]), START_MS)
    async with bench(faults=made) as on:
        socket: Any = None
        for _ in range(120):
            if socket is None or socket.closed:
                try:
                    socket = await on.session.ws_connect(on.ws + "/ws", max_msg_size=1 << 25)
                    await socket.send_json({"method": "SUBSCRIBE", "params": [DEPTH], "id": 1})
                except aiohttp.ClientError:
                    socket = None
            on.move(10)
            await asyncio.sleep(0)
        assert len(made.begun) > 15 and len(made.active) < 10
        while made.active:
            on.move(5)
            made._next = None
        assert (await on.get("/fapi/v1/depth", symbol="BTCUSDT"))["lastUpdateId"] == on.market.books["BTCUSDT"].last_id
