"""A client in a process of its own: from a websocket to the finished book, one way of several.

`python -m tests.bench.receiving WAY PORT CONNECTIONS FILE` writes a `Received` as JSON to the file. CPU is counted from the first message to the last.
The ways: `book` is our driver and the book alone, `websockets` the driver and the whole market state, `picows` the same state behind that
library, `ccxt` is ccxt.pro's watch_order_book,
`engine` is our driver and the whole engine with every guard, on one core: ten symbols of Binance traded, the same of Bybit and OKX beside.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic_ns, process_time
from typing import Any

import msgspec
from msgspec import Struct

from bot.app.run import GC_THRESHOLD
from bot.app.settings import load_settings
from bot.app.wiring import assemble
from bot.domain.frames import Frame, Lane
from bot.domain.instrument import Instrument
from bot.domain.market import BookDiff, BookSnapshot
from bot.exchanges import binance, bybit, okx
from bot.journal.writer import MemoryJournal
from bot.market.book import Book
from bot.market.state import Market
from bot.runtime.clock import RealClock
from bot.runtime.websocket import Stream
from tests.bench.capture import Capture, read_capture
from tests.bench.forms import CONTRACT

SYMBOLS = tuple(f"S{number:02}USDT" for number in range(10))
VENUES = (binance.VENUE, bybit.VENUE, okx.VENUE)
REPLY = b'{"result"'
SUBSCRIBE = b'{"method":"SUBSCRIBE","params":["all"],"id":1}'


class Received(Struct, kw_only=True):
    """`stamps`: when each message had been applied (monotonic ns), by connection."""

    cpu_s: float = 0.0
    wall_s: float = 0.0
    messages: int = 0
    stamps: list[list[int]]
    best: tuple[float | None, float | None] = (None, None)


class _Meter:
    def __init__(self, connections: int) -> None:
        self.received = Received(stamps=[[] for _ in range(connections)])
        self._began: tuple[float, int] | None = None

    def took(self, connection: int) -> None:
        now_ns = monotonic_ns()
        if self._began is None:
            gc.collect()
            gc.freeze()
            self._began = process_time(), now_ns
        self.received.stamps[connection].append(now_ns)
        self.received.messages += 1

    def done(self) -> None:
        assert self._began is not None
        self.received.cpu_s = process_time() - self._began[0]
        self.received.wall_s = (monotonic_ns() - self._began[1]) / 1e9


class _Ended(Exception):
    """The server has sent everything."""


class _Listener:
    def __init__(self, take: Callable[[bytes], None]) -> None:
        self._take = take

    async def up(self, stream: str) -> None: ...

    async def down(self, stream: str, reason: str) -> None:
        raise _Ended(reason)

    async def deliver(self, raws: Sequence[bytes]) -> None:
        for raw in raws:
            self._take(raw)


def _booking(capture: Capture, meter: _Meter) -> tuple[Callable[[bytes], None], Market]:
    market = Market([capture.instrument])
    apply, took, decode = market.apply, meter.took, binance.decode

    def take(raw: bytes) -> None:
        if raw.startswith(REPLY):
            return
        message = decode(raw)
        if message is not None:
            apply(message, monotonic_ns())
        took(0)

    return take, market


async def by_websockets(port: int, meter: _Meter, capture: Capture) -> None:
    take, market = _booking(capture, meter)
    stream = Stream("bench", f"ws://127.0.0.1:{port}/0", [SUBSCRIBE], _Listener(take), lambda: 0.0)
    with suppress(_Ended):
        await stream.run()
    _best(market, capture, meter)


async def by_book(port: int, meter: _Meter, capture: Capture) -> None:
    """Nothing but the book, as `watch_order_book` has it."""
    book, took, decode = Book(), meter.took, binance.decode

    def take(raw: bytes) -> None:
        if raw.startswith(REPLY):
            return
        message = decode(raw)
        if type(message) is BookDiff:
            book.apply_diff(message)
        elif type(message) is BookSnapshot:
            book.apply_snapshot(message)
        took(0)

    stream = Stream("bench", f"ws://127.0.0.1:{port}/0", [SUBSCRIBE], _Listener(take), lambda: 0.0)
    with suppress(_Ended):
        await stream.run()
    meter.done()
    meter.received.best = (book.bid, book.ask)


async def by_picows(port: int, meter: _Meter, capture: Capture) -> None:
    picows: Any = importlib.import_module("picows")

    take, market = _booking(capture, meter)

    class Listener(picows.WSListener):  # type: ignore[misc]
        def on_ws_connected(self, transport: Any) -> None:
            transport.send(picows.WSMsgType.TEXT, SUBSCRIBE)

        def on_ws_frame(self, transport: Any, frame: Any) -> None:
            if frame.msg_type == picows.WSMsgType.TEXT:
                take(frame.get_payload_as_bytes())
            elif frame.msg_type == picows.WSMsgType.CLOSE:
                transport.disconnect()

    transport, _ = await picows.ws_connect(Listener, f"ws://127.0.0.1:{port}/0")
    with suppress(picows.WSError):
        await transport.wait_disconnected()
    _best(market, capture, meter)


async def by_ccxt(port: int, meter: _Meter, capture: Capture) -> None:
    """Its caller reads the book it is given as often as it is given one; messages are counted where its client hands them on."""
    from tests.bench.ccxt_pro import watching

    exchange, symbol = watching(capture, f"ws://127.0.0.1:{port}")
    client_class = type(exchange.client(exchange.get_ws_url("linear", "public")))
    exchange.clients = {}
    plain = client_class.handle_message

    def counted(self: Any, message: Any) -> None:
        plain(self, message)
        data = message.data if isinstance(message.data, str) else ""
        if data and not data.startswith('{"result"'):
            meter.took(0)

    client_class.handle_message = counted
    network_error = importlib.import_module("ccxt").NetworkError

    book: Any = None
    with suppress(network_error):
        while True:
            book = await exchange.watch_order_book(symbol)
    meter.received.best = (book["bids"][0][0], book["asks"][0][0])
    meter.done()
    await exchange.close()


async def by_engine(port: int, meter: _Meter, capture: Capture, connections: int) -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    instruments, *others = (
        [_renamed(capture.instrument, venue, symbol) for symbol in SYMBOLS] for venue in VENUES[:connections]
    )
    settings = load_settings(overrides={"symbols": ",".join(each.unified for each in instruments)}, env={})
    clock = RealClock()
    parts = assemble(
        settings,
        {each.id: each for each in instruments},
        journal=MemoryJournal(keep=False),
        session=1,
        last_seq=0,
        clock=clock,
        others=[each for venue in others for each in venue],
        observers=(),
    )
    parts.engine.start_at(clock.now_ns())
    gc.set_threshold(50_000)
    inbox, apply = parts.inbox, parts.intake.apply
    of: dict[int, int] = {}

    def applied(frame: Frame, now_ns: int) -> Any:
        messages = apply(frame, now_ns)
        connection = of.pop(id(frame), None)
        if connection is not None:
            meter.took(connection)
        return messages

    parts.intake.apply = applied  # type: ignore[method-assign]

    async def put(connection: int, raw: bytes) -> None:
        if raw.startswith(REPLY):
            return
        frame = Frame(clock.now_ns(), Lane.DATA, VENUES[connection], raw)
        of[id(frame)] = connection
        await inbox.put_data(frame)

    async def stream(connection: int) -> None:
        listener = _Queued(lambda raw: put(connection, raw))
        with suppress(_Ended):
            url = f"ws://127.0.0.1:{port}/{connection}"
            await Stream(str(connection), url, [SUBSCRIBE], listener, lambda: 0.0).run()

    async def streams() -> None:
        await asyncio.gather(*(stream(number) for number in range(connections)))
        await parts.engine.idle()
        meter.done()
        parts.stop("done")

    tasks = [asyncio.ensure_future(desk.run()) for desk in parts.bus.tasks.values()]
    tasks += [asyncio.ensure_future(parts.executor.run_lane(lane)) for lane in ("protective", "entry")]
    ending = asyncio.ensure_future(streams())
    await parts.engine.run()
    await ending
    for task in tasks:
        task.cancel()
    ages = [parts.market.book_age_ns(venue, symbol, clock.now_ns()) for venue in VENUES for symbol in SYMBOLS]
    if parts.intake.bad_frames or None in ages:
        raise RuntimeError(f"{parts.intake.bad_frames} frames could not be read, or a book is not usable")


class _Queued(_Listener):
    def __init__(self, put: Callable[[bytes], Any]) -> None:
        self._put = put

    async def deliver(self, raws: Sequence[bytes]) -> None:
        for raw in raws:
            await self._put(raw)


def _renamed(instrument: Instrument, venue: str, symbol: str) -> Instrument:
    base = symbol.removesuffix("USDT")
    unified = f"{base}/USDT:USDT"
    return msgspec.structs.replace(
        instrument,
        id=f"{venue}:{symbol}",
        venue=venue,
        symbol=symbol,
        unified=unified,
        base=base,
        contract_size=CONTRACT if venue == okx.VENUE else instrument.contract_size,
    )


def _best(market: Market, capture: Capture, meter: _Meter) -> None:
    meter.done()
    book = market.market(capture.instrument.id).book
    meter.received.best = (book.bid, book.ask)


def main() -> None:
    import uvloop

    way, port, connections = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    meter, capture = _Meter(connections), read_capture()
    ways = {"book": by_book, "websockets": by_websockets, "picows": by_picows, "ccxt": by_ccxt}
    if way != "ccxt":
        gc.set_threshold(GC_THRESHOLD)  # as `run` sets it; whoever calls ccxt has Python's own
    if way == "engine":
        uvloop.run(by_engine(port, meter, capture, connections))
    else:
        uvloop.run(ways[way](port, meter, capture))
    Path(sys.argv[4]).write_bytes(msgspec.json.encode(meter.received))


if __name__ == "__main__":
    main()
