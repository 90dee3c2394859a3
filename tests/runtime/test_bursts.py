"""Frames cut out of what is read, however it comes: against a server that writes raw bytes."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, ConnectionClosedError
from websockets.frames import Frame, Opcode

from bot.runtime.bursts import HELD_BYTES, Bursts

MAX = 70_000


def frame(data: bytes, opcode: Opcode = Opcode.TEXT, fin: bool = True) -> bytes:
    """As the library itself writes it, which nobody here wrote."""
    return Frame(opcode, data, fin).serialize(mask=False)


@asynccontextmanager
async def talking(pieces: Sequence[bytes], with_headers: bool = False) -> AsyncIterator[Bursts]:
    """A connection to a server that writes these pieces one by one and then hangs up. `with_headers`: the first one in the same write as
    the end of the handshake."""
    answered = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        key = next(
            line.split(b": ")[1] for line in request.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key")
        )
        accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
        rest = list(pieces)
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n" + (rest.pop(0) if with_headers else b"")
        )
        for piece in rest:
            await writer.drain()
            await asyncio.sleep(0)
            writer.write(piece)
        await writer.drain()
        answered.set()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        connection = await connect(
            url, max_size=MAX, compression=None, ping_interval=None, create_connection=Bursts, proxy=None
        )
        assert isinstance(connection, Bursts)
        yield connection
        connection.transport.abort()


async def heard(connection: Bursts) -> list[bytes]:
    """Everything until the end."""
    messages: list[bytes] = []
    try:
        async with asyncio.timeout(20):
            while True:
                messages += await connection.burst()
    except ConnectionClosed:
        return messages


def cut(data: bytes, at: Sequence[int]) -> list[bytes]:
    places = [0, *sorted(at), len(data)]
    return [data[first:last] for first, last in pairwise(places) if first < last]


SIZES = st.sampled_from([0, 1, 125, 126, 127, 65_535, 65_536, MAX])


@settings(max_examples=40, deadline=None)
@given(st.lists(SIZES, min_size=1, max_size=6), st.data(), st.booleans())
def test_messages_of_every_length_come_whole_and_in_order_wherever_they_are_cut(
    sizes: list[int], data: st.DataObject, with_headers: bool
) -> None:
    messages = [bytes([65 + number]) * size for number, size in enumerate(sizes)]
    wire = b"".join(map(frame, messages))
    pieces = cut(wire, data.draw(st.lists(st.integers(0, len(wire)), max_size=8)))

    async def play() -> None:
        async with talking(pieces, with_headers) as connection:
            assert await heard(connection) == messages

    asyncio.run(play())


async def test_fragments_pings_and_binary_data_between_plain_messages() -> None:
    wire = [
        frame(b"one"),
        frame(b"ping", Opcode.PING),
        frame(b"t", fin=False),
        frame(b"ping", Opcode.PING),
        frame(b"w", Opcode.CONT, fin=False),
        frame(b"o", Opcode.CONT),
        frame(b"three", Opcode.BINARY),
    ]
    for pieces in ([b"".join(wire)], wire, cut(b"".join(wire), range(40))):
        async with talking(pieces) as connection:
            assert await heard(connection) == [b"one", b"two", b"three"]


@pytest.mark.parametrize(
    "bad",
    [
        frame(b"x" * (MAX + 1)),
        b"\x81\x7f" + (2**63 + 5).to_bytes(8, "big"),
        b"\x81\x83abcdxyz",  # masked
        b"\xc1\x03xyz",  # of an extension that was not agreed upon
        b"\x83\x03xyz",  # no such opcode
        frame(b"x", Opcode.CONT),  # of nothing
        frame(b"x", fin=False) + frame(b"y"),
    ],
)
async def test_what_is_wrong_ends_the_connection_after_what_was_right(bad: bytes) -> None:
    async with talking([frame(b"good") + bad + frame(b"never heard")]) as connection:
        assert await heard(connection) == [b"good"]
        with pytest.raises(ConnectionClosedError):
            await connection.burst()


async def test_a_frame_that_is_never_finished_is_no_message() -> None:
    async with talking([frame(b"good") + frame(b"cut off")[:-2]]) as connection:
        assert await heard(connection) == [b"good"]


async def test_reading_pauses_while_nobody_takes_and_goes_on_afterwards() -> None:
    messages = [bytes([65 + number % 26]) * 60_000 for number in range(400)]
    async with talking([frame(message) for message in messages]) as connection:
        async with asyncio.timeout(20):
            while connection.transport.is_reading():  # noqa: ASYNC110  nothing tells of it
                await asyncio.sleep(0.01)
        first = await connection.burst()
        assert HELD_BYTES < sum(map(len, first)) < HELD_BYTES + 2_000_000
        assert first + await heard(connection) == messages
