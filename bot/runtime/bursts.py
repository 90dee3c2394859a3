"""A client connection of `websockets` that hands over all messages of one read at a time.

The library parses every frame in a generator and passes every message through a queue: more than decoding it and changing a book with
it. Nearly all that a venue sends are whole, plain data frames; these are cut out of what was read right here. Everything else (the
handshake, pings, closing, fragments, what is wrong) goes to the library byte for byte, one frame at a time, and is its business.
Frames: RFC 6455, section 5.2.
"""

from __future__ import annotations

import asyncio
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.frames import DATA_OPCODES
from websockets.protocol import State

_PLAIN = (0x81, 0x82)  # final frames of text and of binary data, without extension
_SHORT, _LONG = 126, 127
_END_OF_HEADERS = b"\r\n\r\n"
HELD_BYTES = 1 << 20  # messages that nobody has taken, until reading pauses


class Bursts(ClientConnection):
    """Give it to `connect` as `create_connection`; then `burst` takes the place of `recv`, which must not be called."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._open = False  # the handshake's headers have passed
        self._given_up = False  # the end has begun, or something came that the library knows how to refuse
        self._fragments: list[bytes] = []
        self._rest = b""  # of a frame that is not whole yet
        self._arrived: list[bytes] = []
        self._held = 0
        self._paused = False
        self._waiter: asyncio.Future[None] | None = None

    async def burst(self) -> list[bytes]:
        """The messages that have arrived, at least one. Raises ConnectionClosed when there are none left and none will come."""
        while not self._arrived:
            if self.connection_lost_waiter.done():
                raise self.protocol.close_exc
            self._waiter = self.loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        arrived, self._arrived, self._held = self._arrived, [], 0
        if self._paused:
            self._paused = False
            self.transport.resume_reading()
        return arrived

    def data_received(self, data: bytes) -> None:
        if self._given_up:
            super().data_received(data)
            return
        if self._open:
            self._frames(self._rest + data if self._rest else data)
            return
        whole = self._rest + data
        end = whole.find(_END_OF_HEADERS)
        if end < 0:
            self._rest = whole
            return
        end += len(_END_OF_HEADERS)
        self._open, self._rest = True, b""
        super().data_received(whole[:end])
        if len(whole) > end:
            self._frames(whole[end:])

    def eof_received(self) -> None:
        if self._rest:
            super().data_received(self._rest)
            self._rest = b""
        super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._wake()

    def process_event(self, event: Any) -> None:
        """What the library has made of the other frames; of fragments the message is made here."""
        if self.response is None or event.opcode not in DATA_OPCODES:
            super().process_event(event)
            return
        self._fragments.append(bytes(event.data))
        if event.fin:
            message, self._fragments = b"".join(self._fragments), []
            self._arrived.append(message)
            self._held += len(message)

    def _frames(self, data: bytes) -> None:
        """Cuts off all whole frames and keeps the rest."""
        protocol, arrived = self.protocol, self._arrived
        at, end, limit = 0, len(data), protocol.max_message_size or 0
        while end - at >= 2:
            length, begin = data[at + 1], at + 2
            if length == _SHORT:
                if end - begin < 2:
                    break
                length = data[begin] << 8 | data[begin + 1]
                begin += 2
            elif length > _SHORT:
                masked = length > _LONG  # which nothing from a server is: like what is too long, the library refuses it
                if not masked and end - begin < 8:
                    break
                length = int.from_bytes(data[begin : begin + 8], "big")
                begin += 8
                if masked or length > limit:
                    self._give_up(data[at:])
                    return
            after = begin + length
            if after > end:
                break
            if data[at] in _PLAIN and protocol.current_size is None:
                arrived.append(data[begin:after])
                self._held += length
            else:
                super().data_received(data[at:after])
                if protocol.state is not State.OPEN:  # what comes after a closing frame, or a wrong one, is no message
                    self._give_up(data[after:])
                    return
            at = after
        self._rest = data[at:]
        if self._held > HELD_BYTES and not self._paused:
            self._paused = True
            self.transport.pause_reading()
        self._wake()

    def _give_up(self, data: bytes) -> None:
        """From here on everything is the library's."""
        self._given_up, self._rest = True, b""
        super().data_received(data)
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
