"""A venue in a process of its own: the capture's messages on loopback websockets, at their own times or as fast as they are taken.

`python -m tests.bench.served PLAN` (JSON of a `Plan`) prints its port, sends once every connection has subscribed, and at the end prints
when it sent each message (monotonic ns, a list for each connection). Frames are built before anything is sent; nothing is answered but
the subscription.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import sys
from collections.abc import Iterable, Iterator
from heapq import merge
from itertools import islice
from time import monotonic_ns

import msgspec
from msgspec import Struct

from bot.domain.frames import Frame
from bot.domain.values import NS
from bot.exchanges.binance import SNAPSHOT_STREAM
from tests.bench.capture import MIX, SNAPSHOT, Capture, kind_of, read_capture
from tests.bench.forms import Timed, bybit, okx

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_SYMBOL = b"BTCUSDT"
SLACK_NS = 500_000
AT_ONCE = 64


class Plan(Struct, frozen=True, kw_only=True):
    """`symbols` by connection; each symbol's stream is the capture's, shifted a little. `forms` by connection (the last for those that
    have none): binance, bybit or okx. `seconds` of None is all of it."""

    symbols: tuple[tuple[str, ...], ...] = (("BTCUSDT",),)
    forms: tuple[str, ...] = ("binance",)
    kind: str = MIX
    paced: bool = True
    snapshots: bool = True
    seconds: float | None = None


def timed(capture: Capture, plan: Plan, connection: int) -> list[Timed]:
    """Nanoseconds after the start, and the message in its websocket frame."""
    symbols, form = plan.symbols[connection], plan.forms[min(connection, len(plan.forms) - 1)]
    frames = [f for f in capture.by_kind[plan.kind] if plan.snapshots or kind_of(f.raw) != SNAPSHOT]
    first_ns = frames[0].recv_ns
    until_ns = None if plan.seconds is None else round(plan.seconds * NS)
    streams = []
    for number, symbol in enumerate(symbols):
        shift_ns = (number * len(plan.symbols) + connection) * NS // (len(symbols) * len(plan.symbols))
        told = ((recv_ns - first_ns, raw) for recv_ns, raw in FORMS[form](frames, symbol))
        streams.append([(at + shift_ns, framed(raw)) for at, raw in told if until_ns is None or at <= until_ns])
    return list(merge(*streams))


def _binance(frames: Iterable[Frame], symbol: str) -> Iterator[Timed]:
    return ((frame.recv_ns, named(frame.raw, symbol)) for frame in frames)


FORMS = {"binance": _binance, "bybit": bybit, "okx": okx}


def named(raw: bytes, symbol: str) -> bytes:
    """The message as that symbol's; a snapshot is wrapped in its stream's name, as our driver puts it into the engine."""
    if raw.startswith(b'{"lastUpdateId"'):
        raw = b'{"stream":"btcusdt%b","data":%b}' % (SNAPSHOT_STREAM.encode(), raw)
    return raw.replace(_SYMBOL, symbol.encode()).replace(_SYMBOL.lower(), symbol.lower().encode())


def framed(raw: bytes) -> bytes:
    """One unmasked text frame."""
    size = len(raw)
    if size < 126:
        return bytes((0x81, size)) + raw
    if size < 1 << 16:
        return b"\x81\x7e" + size.to_bytes(2, "big") + raw
    return b"\x81\x7f" + size.to_bytes(8, "big") + raw


class _Server:
    def __init__(self, plan: Plan) -> None:
        capture = read_capture()
        self._plan = plan
        self._messages = [timed(capture, plan, number) for number in range(len(plan.symbols))]
        self._stamps: list[list[int]] = [[] for _ in plan.symbols]
        self._there = asyncio.Barrier(len(plan.symbols))
        self._left = len(plan.symbols)
        self._done = asyncio.Event()

    async def run(self) -> None:
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        print(server.sockets[0].getsockname()[1], flush=True)
        await self._done.wait()
        print(msgspec.json.encode(self._stamps).decode(), flush=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        key = re.search(rb"(?i)sec-websocket-key: *(\S+)", head)
        path = re.match(rb"GET /(\d*)", head)
        if key is None or path is None:
            writer.close()
            return
        accept = base64.b64encode(hashlib.sha1(key[1] + _GUID).digest())
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: %b\r\n\r\n" % accept
        )
        asked = await _message(reader)
        number = msgspec.json.decode(asked).get("id", 1)
        writer.write(framed(b'{"result":null,"id":%d}' % number))
        await self._there.wait()
        await self._send(int(path[1] or 0), writer)

    async def _send(self, connection: int, writer: asyncio.StreamWriter) -> None:
        started_ns, stamps = monotonic_ns() + 200_000_000, self._stamps[connection]
        messages = iter(self._messages[connection])
        try:
            if self._plan.paced:
                for at_ns, frame in messages:
                    wait_ns = started_ns + at_ns - monotonic_ns()
                    if wait_ns > SLACK_NS:
                        await asyncio.sleep(wait_ns / NS)
                    stamps.append(monotonic_ns())
                    writer.write(frame)
            while pieces := list(islice(messages, AT_ONCE)):
                stamps.extend([monotonic_ns()] * len(pieces))
                writer.write(b"".join(frame for _, frame in pieces))
                await writer.drain()
            writer.write(b"\x88\x02\x03\xe8")  # close, 1000
            await writer.drain()
            await reader_gone(writer)
        except ConnectionError:
            pass
        self._left -= 1
        if not self._left:
            self._done.set()


async def reader_gone(writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(0.5)
    writer.close()


async def _message(reader: asyncio.StreamReader) -> bytes:
    """One short masked message of a client."""
    _, size = await reader.readexactly(2)
    size &= 0x7F
    if size == 126:
        size = int.from_bytes(await reader.readexactly(2), "big")
    mask = await reader.readexactly(4)
    body = await reader.readexactly(size)
    return bytes(byte ^ mask[at % 4] for at, byte in enumerate(body))


def main() -> None:
    import uvloop

    plan = msgspec.json.decode(sys.argv[1], type=Plan)

    async def serve() -> None:
        await _Server(plan).run()

    uvloop.run(serve())


if __name__ == "__main__":
    main()
