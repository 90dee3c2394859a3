"""One stream against a real server of the `websockets` library: what it delivers, and how it comes back."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.utils import accept_key

from bot.domain.errors import FeedError
from bot.domain.frames import Frame, Lane
from bot.runtime.inbox import Inbox
from bot.runtime.websocket import Stream, StreamRules, backoff_s

QUICK = StreamRules(open_s=2, silence_s=0.2, rotate_s=60)


class Heard:
    """Notes everything; `enough` is set once that much was delivered."""

    def __init__(self, wanted: int) -> None:
        self.notes: list[str] = []
        self.enough = asyncio.Event()
        self._left = wanted
        self.pause = asyncio.Event()
        self.pause.set()

    async def up(self, stream: str) -> None:
        self.notes.append(f"{stream} up")

    async def down(self, stream: str, reason: str) -> None:
        self.notes.append(f"{stream} down: {reason}")

    async def deliver(self, raws: Sequence[bytes]) -> None:
        for raw in raws:
            await self._hear(raw)

    async def _hear(self, raw: bytes) -> None:
        await self.pause.wait()
        self.notes.append(raw.decode())
        self._left -= 1
        if self._left <= 0:
            self.enough.set()


async def listen(heard: Heard, address: str, rules: StreamRules = QUICK) -> None:
    """Until enough was heard."""
    task = asyncio.ensure_future(Stream("public", address, [b"please"], heard, lambda: 0.0, rules).run())
    async with asyncio.timeout(30):
        await heard.enough.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def port_of(server: object) -> int:
    return int(server.sockets[0].getsockname()[1])  # type: ignore[attr-defined]


async def test_it_subscribes_delivers_in_order_and_comes_back_after_a_cut() -> None:
    async def venue(socket: ServerConnection) -> None:
        asked = await socket.recv(decode=True)
        await socket.send(f"{asked} 1")
        await socket.send("2")
        socket.transport.abort()

    heard = Heard(4)
    async with serve(venue, "127.0.0.1", 0) as server:
        await listen(heard, f"ws://127.0.0.1:{port_of(server)}")
    assert heard.notes[:3] == ["public up", "please 1", "2"]
    assert heard.notes[3].startswith("public down: the connection ended")
    assert heard.notes[4:7] == ["public up", "please 1", "2"]


async def test_a_socket_that_answers_pings_and_sends_nothing_is_down() -> None:
    async def venue(socket: ServerConnection) -> None:
        await socket.recv()
        await socket.send("once")
        await socket.wait_closed()

    heard = Heard(2)
    async with serve(venue, "127.0.0.1", 0) as server:
        await listen(heard, f"ws://127.0.0.1:{port_of(server)}")
    assert heard.notes[:4] == ["public up", "once", "public down: silent for 0.2 s", "public up"]


async def test_another_connection_takes_over_without_a_message_lost_or_told_twice() -> None:
    """Every connection hears the same counter, as those of a venue do."""
    count, connections = 0, 0
    sockets: list[ServerConnection] = []

    async def venue(socket: ServerConnection) -> None:
        nonlocal connections
        await socket.recv()
        connections += 1
        sockets.append(socket)
        await socket.wait_closed()
        sockets.remove(socket)

    async def counting() -> None:
        nonlocal count
        while True:
            for each in sockets:
                with contextlib.suppress(ConnectionClosed):
                    await each.send(str(count))
            count += bool(sockets)
            await asyncio.sleep(0.005)

    heard = Heard(200)
    async with serve(venue, "127.0.0.1", 0) as server:
        sending = asyncio.ensure_future(counting())
        rules = StreamRules(open_s=2, silence_s=5, rotate_s=0.2, overlap_s=0.1)
        await listen(heard, f"ws://127.0.0.1:{port_of(server)}", rules)
        sending.cancel()
    assert connections >= 3
    assert heard.notes == ["public up", *(str(number) for number in range(len(heard.notes) - 1))]


async def test_what_cannot_take_over_leaves_the_old_connection_alone() -> None:
    connections = 0

    async def venue(socket: ServerConnection) -> None:
        nonlocal connections
        connections += 1
        if connections > 1:
            socket.transport.abort()
            return
        await socket.recv()
        while True:
            await socket.send("tick")
            await asyncio.sleep(0.01)

    heard = Heard(60)
    async with serve(venue, "127.0.0.1", 0) as server:
        rules = StreamRules(open_s=2, silence_s=5, rotate_s=0.05, overlap_s=0.05)
        await listen(heard, f"ws://127.0.0.1:{port_of(server)}", rules)
    assert not [note for note in heard.notes if "down" in note]


async def test_a_ping_of_the_venues_own_is_said_in_time_and_more_can_be_said() -> None:
    said: list[str] = []

    async def venue(socket: ServerConnection) -> None:
        async for message in socket:
            said.append(str(message))
            await socket.send("pong")

    heard = Heard(4)
    async with serve(venue, "127.0.0.1", 0) as server:
        address = f"ws://127.0.0.1:{port_of(server)}"
        stream = Stream("p", address, [b"please"], heard, lambda: 0.0, StreamRules(ping=b"ping", ping_s=0.05))
        assert not await stream.say([b"too early"])
        task = asyncio.ensure_future(stream.run())
        async with asyncio.timeout(30):
            await heard.enough.wait()
        assert await stream.say([b"again"])
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert said[:4] == ["please", "ping", "ping", "ping"]


async def test_who_cannot_take_more_is_not_given_more() -> None:
    """Nothing is read meanwhile, so the sender finds its socket full."""
    sent = 0

    async def venue(socket: ServerConnection) -> None:
        nonlocal sent
        await socket.recv()
        while True:
            await socket.send("x" * 100_000)
            sent += 1

    heard = Heard(400)
    heard.pause.clear()
    async with serve(venue, "127.0.0.1", 0, compression=None) as server:
        listening = asyncio.ensure_future(listen(heard, f"ws://127.0.0.1:{port_of(server)}", StreamRules(silence_s=30)))
        before = -1
        while sent != before or sent == 0:
            before = sent
            await asyncio.sleep(0.3)
        assert sent < 400
        heard.pause.set()
        await listening
    assert sent >= 400


async def test_an_address_that_is_none_is_an_error_and_no_endless_try() -> None:
    with pytest.raises(FeedError, match="no websocket address"):
        await Stream("public", "http://127.0.0.1:1", [], Heard(1), lambda: 0.0, QUICK).run()


def test_waits_have_full_jitter_and_a_longest() -> None:
    assert [backoff_s(failures, lambda: 1.0) for failures in (0, 1, 2, 6, 50)] == [0.5, 1.0, 2.0, 30.0, 30.0]
    assert backoff_s(50, lambda: 0.0) == 0.0


async def test_answers_to_the_venues_own_pings_are_no_data() -> None:
    pings = 0

    async def venue(socket: ServerConnection) -> None:
        nonlocal pings
        await socket.recv()
        await socket.send("once")
        with contextlib.suppress(ConnectionClosed):
            while await socket.recv(decode=True) == "ping":
                pings += 1
                await socket.send("pong")

    heard = Heard(2)
    async with serve(venue, "127.0.0.1", 0) as server:
        rules = StreamRules(open_s=2, silence_s=0.3, ping=b"ping", ping_s=0.05, pong=b"pong")
        await listen(heard, f"ws://127.0.0.1:{port_of(server)}", rules)
    assert pings >= 3
    assert heard.notes[:4] == ["public up", "once", "public down: silent for 0.3 s", "public up"]


async def test_a_long_message_is_data_whatever_word_is_in_it() -> None:
    async def venue(socket: ServerConnection) -> None:
        await socket.recv()
        await socket.send("pong" + "x" * 197)
        await socket.wait_closed()

    heard = Heard(1)
    async with serve(venue, "127.0.0.1", 0) as server:
        await listen(heard, f"ws://127.0.0.1:{port_of(server)}", StreamRules(open_s=2, silence_s=2, pong=b"pong"))
    assert len(heard.notes) == 2


async def test_a_full_lane_holds_three_venues_back_in_order_without_loss_and_without_a_cut() -> None:
    """The engine takes nothing for longer than the streams may be silent: it is late, they are not."""
    wanted, rules = 3_000, StreamRules(open_s=5, silence_s=0.6)
    inbox = Inbox(data_bound=64)
    taken: dict[str, list[int]] = {name: [] for name in ("a", "b", "c")}
    downs: list[str] = []

    async def venue(socket: ServerConnection) -> None:
        await socket.recv()
        with contextlib.suppress(ConnectionClosed):
            for number in range(wanted):
                await socket.send(str(number))
                if number % 50 == 0:
                    await asyncio.sleep(0.001)
            await socket.wait_closed()

    class Into:
        def __init__(self, name: str) -> None:
            self.name = name

        async def up(self, stream: str) -> None: ...

        async def down(self, stream: str, reason: str) -> None:
            if len(taken[self.name]) < wanted:
                downs.append(reason)

        async def deliver(self, raws: Sequence[bytes]) -> None:
            for raw in raws:
                await inbox.put_data(Frame(0, Lane.DATA, self.name, raw))

    async def engine() -> None:
        while any(len(numbers) < wanted for numbers in taken.values()):
            await inbox.arrival(5)
            if sum(map(len, taken.values())) == 1_000:
                await asyncio.sleep(1.5 * rules.silence_s)
                assert inbox.depths()[1] == 64
            frame = inbox.pop()
            taken[frame.source].append(int(frame.raw))

    async with serve(venue, "127.0.0.1", 0) as server:
        address = f"ws://127.0.0.1:{port_of(server)}"
        streams = [
            asyncio.ensure_future(Stream(name, address, [b"x"], Into(name), lambda: 0.0, rules).run()) for name in taken
        ]
        async with asyncio.timeout(30):
            await engine()
        for stream in streams:
            stream.cancel()
        await asyncio.gather(*streams, return_exceptions=True)
    assert downs == []
    assert all(numbers == list(range(wanted)) for numbers in taken.values())
    assert inbox.data_high_water == 64


@contextlib.asynccontextmanager
async def half_open(greets: bool) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A server whose machine is gone as soon as it has accepted a connection (or greeted and said one thing): it ends none. What each
    connection said until its end is noted."""
    sockets: list[asyncio.StreamWriter] = []
    said: list[bytes] = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sockets.append(writer)
        if greets:
            asked = await reader.readuntil(b"\r\n\r\n")
            key = asked.split(b"Sec-WebSocket-Key: ")[1].split(b"\r\n")[0].decode()
            writer.write(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Accept: " + accept_key(key).encode() + b"\r\n\r\n" + b"\x81\x04once"
            )
        with contextlib.suppress(ConnectionError):
            said.append(await reader.read())

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], said
    finally:
        for writer in sockets:
            writer.transport.abort()
        server.close()


@pytest.mark.parametrize(
    ("greets", "reason"), [(False, "no answer within 0.2 s"), (True, "silent for 0.2 s")], ids=["before", "after"]
)
async def test_a_connection_whose_other_end_is_gone_is_given_up_in_time(greets: bool, reason: str) -> None:
    heard = Heard(99)
    rules = StreamRules(open_s=0.2, silence_s=0.2, ping_s=60)
    async with half_open(greets) as (port, said):
        stream = Stream("p", f"ws://127.0.0.1:{port}", [b"please"], heard, lambda: 0.0, rules)
        task = asyncio.ensure_future(stream.run())
        async with asyncio.timeout(30):
            while len(said) < 2:  # noqa: ASYNC110  it has no event for this
                await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    downs = [note for note in heard.notes if "down" in note]
    assert len(downs) >= 2 and all(reason in note for note in downs), heard.notes
    if greets:  # a frame of 6 letters, and no closing one whose answer would be waited for
        assert [len(each) for each in said[:2]] == [12, 12]


async def test_a_name_that_cannot_be_found_is_told_and_tried_until_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    found, left = socket.getaddrinfo, 2

    def getaddrinfo(host: Any, *rest: Any, **more: Any) -> Any:
        nonlocal left
        if host == "venue.invalid":
            left -= 1
            if left >= 0:
                raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
            host = "127.0.0.1"
        return found(host, *rest, **more)

    async def venue(connection: ServerConnection) -> None:
        await connection.recv()
        await connection.send("here")
        await connection.wait_closed()

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    heard = Heard(1)
    async with serve(venue, "127.0.0.1", 0) as server:
        await listen(heard, f"ws://venue.invalid:{port_of(server)}", StreamRules(open_s=2, silence_s=5))
    assert heard.notes[-2:] == ["public up", "here"]
    assert len(heard.notes) == 4 and all("Name or service not known" in note for note in heard.notes[:2])
