"""The cockpit's socket and files over real connections, and what its frames are made of."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType, WSServerHandshakeError, web
from aiohttp.test_utils import TestServer

from bot.api import cockpit
from bot.api.access import Access
from bot.api.cockpit import CLIENTS, MESSAGE_LIMIT, Cockpit
from bot.api.sections import BARS_SHOWN, Chart, Events, Kept, Whole
from bot.domain.events import Event
from bot.domain.market import Bar
from bot.domain.values import NS

SYMBOL = "BTC/USDT:USDT"


# --- sections ---


def test_a_whole_section_is_sent_when_it_changed_and_not_otherwise() -> None:
    shown = {"a": 1}
    section = Whole(lambda: shown)
    section.look()
    news, cursor = section.news(None)
    assert news == b'{"a":1}'
    section.look()
    assert section.news(cursor) == (None, cursor)
    shown["a"] = 2
    section.look()
    assert section.news(cursor)[0] == b'{"a":2}'
    assert section.news(None)[0] == b'{"a":2}'


def test_what_seldom_changes_is_asked_seldom() -> None:
    section = Whole(itertools.count(1).__next__, every=3)
    for _ in range(7):
        section.look()
    assert section.news(None)[0] == b"3"  # with the first, the fourth and the seventh look


def event(seq: int, kind: str = "STATE", **data: Any) -> Event:
    told: Any = {
        "v": 1,
        "account": "main",
        "mode": "paper",
        "symbol": SYMBOL,
        "source": "test",
        "corr": None,
        "cause": None,
    }
    return Event(seq=seq, ts=seq * NS, frame=seq, kind=kind, data=data, **told)


def test_events_go_on_where_the_client_left_off() -> None:
    section = Events()
    section.on_events([event(1), event(2)])
    section.look()
    first, cursor = section.news(None)
    assert first is not None and [each["seq"] for each in json.loads(first)] == [1, 2]
    assert section.news(cursor) == (None, cursor)
    for seq in (3, 4):  # two looks that a slow client has not heard of come together
        section.on_events([event(seq)])
        section.look()
    more, _ = section.news(cursor)
    assert more is not None and [each["seq"] for each in json.loads(more)] == [3, 4]


def test_no_events_are_an_empty_list_first_and_nothing_later() -> None:
    section = Events()
    section.look()
    news, cursor = section.news(None)
    assert news == b"[]"
    assert section.news(cursor)[0] is None
    section.on_events([event(1)])
    section.look()
    assert section.news(cursor)[0] is not None


def bar(minute: int, close: float) -> Bar:
    return Bar(minute * 60 * NS, 100.0, 110.0, 90.0, close, 1000.0, 500.0, 7)


def test_a_chart_sends_the_bars_that_changed_and_fills_once() -> None:
    bars = [bar(1, 101.0), bar(2, 102.0)]
    chart = Chart([SYMBOL], lambda symbol, count: (60, bars[-count:]))
    chart.look()
    news, cursor = chart.news(None)
    assert news is not None
    whole = json.loads(news)[SYMBOL]
    assert whole["width_s"] == 60 and [row[0] for row in whole["bars"]] == [60, 120] and whole["trades"] == []
    assert chart.news(cursor) == (None, cursor)
    bars[-1] = bar(2, 103.0)
    chart.look()
    news, cursor = chart.news(cursor)
    assert json.loads(news or b"")[SYMBOL] == {"width_s": 60, "bars": [[120, 100.0, 110.0, 90.0, 103.0, 1000.0]]}
    bars[-1:] = [bar(2, 104.0), bar(3, 105.0)]
    chart.look()
    news, cursor = chart.news(cursor)
    assert [(row[0], row[4]) for row in json.loads(news or b"")[SYMBOL]["bars"]] == [(120, 104.0), (180, 105.0)]
    chart.on_events([event(9, "FILL", side="buy", leg="entry", price="100.5", quantity="0.1")])
    news, cursor = chart.news(cursor)
    part = json.loads(news or b"")[SYMBOL]
    assert part == {"trades": [{"time": 9, "side": "buy", "leg": "entry", "price": "100.5", "quantity": "0.1"}]}
    assert chart.news(cursor)[0] is None


def test_what_follows_from_the_events_alone_is_asked_again_after_one() -> None:
    seq, asked = 1, itertools.count(1)
    section = Whole(asked.__next__, of=lambda: seq)
    for _ in range(3):
        section.look()
    assert section.news(None)[0] == b"1"
    seq = 2
    section.look()
    assert section.news(None)[0] == b"2"


def test_an_answer_that_costs_something_is_kept_for_a_while() -> None:
    now_s, asked = 10.0, itertools.count(1)
    kept = Kept(asked.__next__, 2.0, lambda: now_s)
    assert (kept(), kept()) == (1, 1)
    now_s = 11.9
    assert kept() == 1
    now_s = 12.0
    assert kept() == 2


# --- the socket ---


class Served:
    """A cockpit over one number that the test sets."""

    def __init__(self) -> None:
        self.value: Any = 1
        self.broken = ""
        self.running: asyncio.Task[None]
        self.cockpit = Cockpit(
            {"value": Whole(self._told), "after": Whole(lambda: None)},
            self._inspect,
            lambda: (7, {"feed": 0.5}),
            lambda: None,
            Access("token", actions=False),
        )
        app = web.Application()
        app.add_routes(self.cockpit.routes())
        self.server = TestServer(app)

    def _told(self) -> Any:
        if self.broken:
            raise KeyError(self.broken)
        return self.value

    async def _inspect(self, look: Any) -> None:
        look()

    @property
    def url(self) -> str:
        return str(self.server.make_url("/ws"))

    @property
    def origin(self) -> dict[str, str]:
        return {"Origin": str(self.server.make_url("/")).rstrip("/")}


@asynccontextmanager
async def served() -> AsyncIterator[tuple[Served, ClientSession]]:
    it = Served()
    await it.server.start_server()
    running = it.running = asyncio.create_task(it.cockpit.run())
    async with ClientSession() as http:
        yield it, http
        await it.cockpit.close()
    running.cancel()
    await it.server.close()


async def test_a_snapshot_first_then_what_is_new() -> None:
    async with served() as (it, http), http.ws_connect(it.url, headers=it.origin) as socket:
        first = await socket.receive_json(timeout=5)
        assert first == {
            "type": "snap",
            "seq": 1,
            "engine_ns": 7,
            "ages": {"feed": 0.5},
            "sections": {"actions": {"allowed": False}, "value": 1, "after": None},
        }
        it.value = 2
        while (tick := await socket.receive_json(timeout=5))["sections"] == {}:
            pass
        assert (tick["type"], tick["sections"]) == ("tick", {"value": 2})
        after = await socket.receive_json(timeout=5)
        assert after["sections"] == {} and after["seq"] > tick["seq"]  # the page sees that the engine lives


async def test_what_cannot_be_shown_is_told_and_stops_nothing_else() -> None:
    """The cockpit runs in the task group of the engine: an error that left it would end the engine."""
    async with served() as (it, http), http.ws_connect(it.url, headers=it.origin) as socket:
        await socket.receive_json(timeout=5)
        it.broken = "x" * 1000
        while "faults" not in (tick := await socket.receive_json(timeout=5)):
            pass
        assert list(tick["faults"]) == ["value"]
        assert tick["faults"]["value"].startswith("KeyError: 'xxx") and len(tick["faults"]["value"]) == 200
        async with http.ws_connect(it.url, headers=it.origin) as later:
            assert (await later.receive_json(timeout=5))["sections"]["value"] == 1  # as it last was
        it.broken, it.value = "", 2
        while "faults" in (tick := await socket.receive_json(timeout=5)):
            pass
        assert tick["sections"] == {"value": 2} and not it.running.done()


async def test_pages_that_have_seen_the_same_share_a_frame_and_no_other_gets_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = itertools.count()

    def counting(self: Cockpit, *args: Any, **rest: Any) -> Any:
        next(made)
        return whole(self, *args, **rest)

    whole = Cockpit._made
    monkeypatch.setattr(Cockpit, "_made", counting)
    async with served() as (it, http):
        sockets = [await http.ws_connect(it.url, headers=it.origin) for _ in range(5)]
        for socket in sockets:
            assert (await socket.receive_json(timeout=5))["type"] == "snap"
        for value in (2, 3, 4):
            before = it.cockpit._seq, next(made)
            it.value = value
            ticks = [await _with_sections(socket) for socket in sockets]
            assert [tick["sections"] for tick in ticks] == [{"value": value}] * 5
            assert {tick["type"] for tick in ticks} == {"tick"}
        looks, frames = it.cockpit._seq - before[0], next(made) - before[1] - 1
        assert 1 <= frames <= looks  # whenever they came
        async with http.ws_connect(it.url, headers=it.origin) as later:
            assert (await later.receive_json(timeout=5))["type"] == "snap"
        for socket in sockets:
            await socket.close()


def test_of_one_look_each_gets_what_is_new_to_it() -> None:
    value = 1
    nobody: Any = None
    made = Cockpit({"value": Whole(lambda: value)}, nobody, lambda: (7, {}), nobody, Access("token", actions=False))
    steady, slow, new = (cockpit._Client(nobody, may_act=False) for _ in range(3))

    def told(client: cockpit._Client) -> tuple[str, Any]:
        frame = json.loads(made._frame(client))
        return frame["type"], frame["sections"].get("value")

    made._look()
    assert told(steady) == told(slow) == ("snap", 1)
    value = 2
    made._look()
    assert told(steady) == ("tick", 2)
    made._look()
    assert (told(steady), told(slow), told(new)) == (("tick", None), ("tick", 2), ("snap", 2))
    made._look()
    assert {told(each) for each in (steady, slow, new)} == {("tick", None)}


async def _with_sections(socket: ClientWebSocketResponse) -> Any:
    while not (tick := await socket.receive_json(timeout=5))["sections"]:
        pass
    return tick


async def test_a_client_that_comes_later_gets_all_of_it() -> None:
    async with served() as (it, http):
        for value in (1, 2, 3):
            it.value = value
            async with http.ws_connect(it.url, headers=it.origin) as socket:
                assert (await socket.receive_json(timeout=5))["sections"]["value"] == value


@pytest.mark.parametrize(
    "origin",
    [None, "", "null", "http://evil.example", "http://127.0.0.1", "http://127.0.0.1.evil.example", "file://"],
)
async def test_only_the_page_of_this_address_gets_a_socket(origin: str | None) -> None:
    async with served() as (it, http):
        with pytest.raises(WSServerHandshakeError) as refused:
            await http.ws_connect(it.url, headers={} if origin is None else {"Origin": origin})
        assert refused.value.status == 403


async def test_so_many_pages_and_no_more_until_one_is_closed() -> None:
    async with served() as (it, http):
        sockets = [await http.ws_connect(it.url, headers=it.origin) for _ in range(CLIENTS)]
        for socket in sockets:
            await socket.receive_json(timeout=5)
        with pytest.raises(WSServerHandshakeError) as refused:
            await http.ws_connect(it.url, headers=it.origin)
        assert refused.value.status == 503
        await sockets[0].close()
        async with http.ws_connect(it.url, headers=it.origin) as again:
            assert (await again.receive_json(timeout=5))["type"] == "snap"
        for socket in sockets[1:]:
            await socket.close()


async def test_a_page_that_says_too_much_is_cut_off() -> None:
    async with served() as (it, http), http.ws_connect(it.url, headers=it.origin) as socket:
        await socket.send_str("x" * (MESSAGE_LIMIT + 1))
        async with asyncio.timeout(5):
            while (message := await socket.receive()).type is WSMsgType.TEXT:
                pass
        assert message.data == 1009  # message too big


async def test_a_page_that_takes_nothing_is_cut_off_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cockpit, "STUCK_S", 2.0)
    async with served() as (it, http), http.ws_connect(it.url, headers=it.origin, max_msg_size=2**26) as reading:
        it.value = "x" * 2**24  # more than the system takes for one who does not read
        host = f"127.0.0.1:{it.server.port}"
        greeted, writer = await asyncio.open_connection("127.0.0.1", it.server.port, limit=1024)
        writer.write(
            f"GET /ws HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
        )
        async with asyncio.timeout(30):
            assert b"101" in await greeted.readline()
            assert it.cockpit.watching == 2
            while it.cockpit.watching == 2:
                assert (await reading.receive()).type is WSMsgType.TEXT
        assert it.cockpit.watching == 1
        writer.close()


@pytest.mark.parametrize(
    "path", ["/static/../server.py", "/static/%2e%2e/server.py", "/static/..%2fserver.py", "/static/"]
)
async def test_nothing_but_the_pages_own_files_is_served(path: str) -> None:
    async with served() as (it, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", it.server.port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        answer = await reader.read()
        writer.close()
        assert answer.split(b" ", 2)[1] in (b"403", b"404")
        assert b"class ApiServer" not in answer


def test_the_page_asks_for_files_that_are_there() -> None:
    static = Path(__file__).parents[2] / "bot" / "api" / "static"
    page = (static / "index.html").read_text()
    for name in [part.split('"')[0] for part in page.split('"/static/')[1:]]:
        assert (static / name).is_file()
    assert (
        "<style" not in page and "onclick" not in page.lower() and page.count("<script") == page.count("</script>") == 1
    )


def test_a_chart_shows_so_many_bars() -> None:
    asked: list[int] = []

    def candles(symbol: str, count: int) -> tuple[int, list[Bar]]:
        asked.append(count)
        return 60, []

    Chart([SYMBOL], candles).look()
    assert asked == [BARS_SHOWN]
