"""Binance USD-M's public market data: streams, the depth snapshots that belong to them, instruments and history over REST.

No key, no order. Raw messages go into the data lane as they came; a snapshot is fetched whenever a book has to be replaced and goes
the same way, so that what a recording holds is all there was. `run` is one of the engine's long-lived parts.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import aiohttp
import msgspec

from bot.domain.errors import FeedError, VenueError
from bot.domain.events import Event
from bot.domain.frames import FeedState, Frame, Lane, Source
from bot.domain.instrument import Instrument
from bot.domain.market import Bar
from bot.exchanges import binance
from bot.runtime.clock import RealClock
from bot.runtime.inbox import Inbox
from bot.runtime.websocket import Stream, StreamRules, backoff_s

REST_URL, WS_URL = "https://fapi.binance.com", "wss://fstream.binance.com"
PUBLIC, MARKET = ("depth@100ms", "bookTicker"), ("aggTrade", "markPrice@1s")
"""Channels of the venue's two public paths (it splits them since 2025)."""
DEPTH_LIMIT = 1000
HISTORY_BARS = 499
BAR_S = 300
APART_S = 1.0  # between two snapshots of a symbol
TIMEOUT = aiohttp.ClientTimeout(total=10)
MAX_REPLY = 32 << 20


class PublicMarket:
    """What is played instead of a tape. Make it with `open`."""

    id = ""  # nothing to take up again: every start is a new stretch of the same market
    name = binance.VENUE

    def __init__(self, rest_url: str, ws_url: str, instruments: Sequence[Instrument], clock: RealClock) -> None:
        self.instruments, self.clock = list(instruments), clock
        self.problems: list[str] = []
        self._rest_url, self._ws_url = rest_url.rstrip("/"), ws_url.rstrip("/")
        self._followed: list[Instrument] = []
        self._history: list[tuple[str, int, list[Bar]]] = []
        self._wanted: dict[str, None] = {}  # symbols whose book must be replaced, each once
        self._asked = asyncio.Event()
        self._symbols: dict[str, str] = {}
        self._put: Callable[[str, bytes], Any] = lambda source, raw: None

    @classmethod
    async def open(cls, rest_url: str | None, ws_url: str | None, clock: RealClock) -> PublicMarket:
        """Raises VenueError when the venue cannot be reached or does not answer with instruments."""
        rest = (rest_url or REST_URL).rstrip("/")
        raw = await _get(f"{rest}/fapi/v1/exchangeInfo")
        try:
            instruments, _ = binance.parse_exchange_info(raw)
        except FeedError as error:
            raise VenueError(f"{rest} answered, but not with its instruments: {error}") from error
        return cls(rest, ws_url or WS_URL, list(instruments.values()), clock)

    async def follow(self, instruments: Iterable[Instrument]) -> None:
        """Get the history of what is traded; without it the regime is unknown for its first hours, and `problems` says so."""
        self._followed = list(instruments)
        self._symbols = {each.unified: each.symbol for each in self._followed}
        for each in self._followed:
            query = f"symbol={each.symbol}&interval={BAR_S // 60}m&limit={HISTORY_BARS}"
            try:
                klines = binance.parse_klines(
                    await _get(f"{self._rest_url}/fapi/v1/klines?{query}"), self.clock.now_ns()
                )
            except (VenueError, FeedError) as error:
                self.problems.append(f"no history of {each.symbol}: {error}")
                continue
            self._history.append((each.id, klines.width_s, klines.bars))

    # --- as a tape would say it ---

    def first_ns(self) -> int:
        return self.clock.now_ns()

    def warmup(self) -> Iterator[tuple[str, int, list[Bar]]]:
        yield from self._history

    def frames(self) -> Iterator[Frame]:
        return iter(())

    # --- while it runs ---

    def on_events(self, events: Sequence[Event]) -> None:
        """A book that became unusable is asked for anew."""
        for event in events:
            if event.kind == "BOOK_RESYNC" and not event.data["usable"] and event.symbol in self._symbols:
                self._want(self._symbols[event.symbol])

    def parts(self, inbox: Inbox, chance: Callable[[], float], rules: StreamRules | None = None) -> dict[str, Any]:
        """What must run beside the engine, by name."""

        async def put(source: str, raw: bytes) -> None:
            frame = Frame(self.clock.now_ns(), Lane.DATA, source, raw)
            if not inbox.offer_data(frame):
                await inbox.put_data(frame)

        symbols = [each.symbol for each in self._followed]
        listener = _Listener(put, self._up)
        streams = {
            name: Stream(
                name,
                f"{self._ws_url}/{name}/ws",
                [binance.subscribe(symbols, list(channels), 1)],
                listener,
                chance,
                rules,
            ).run()
            for name, channels in (("public", PUBLIC), ("market", MARKET))
        }
        return {**{f"stream {name}": run for name, run in streams.items()}, "snapshots": self._snapshots(put, chance)}

    def _up(self, stream: str) -> None:
        """A depth stream that has begun needs a snapshot it can follow."""
        if stream == "public":
            for each in self._followed:
                self._want(each.symbol)

    def _want(self, symbol: str) -> None:
        self._wanted[symbol] = None
        self._asked.set()

    async def _snapshots(self, put: Callable[[str, bytes], Any], chance: Callable[[], float]) -> None:
        """One at a time, a symbol at most once a second; what fails is asked again, later each time."""
        loop = asyncio.get_running_loop()
        last: dict[str, float] = {}
        failures = 0
        while True:
            while not self._wanted:
                self._asked.clear()
                await self._asked.wait()
            symbol = next(iter(self._wanted))
            await asyncio.sleep(max(0.0, last.get(symbol, -APART_S) + APART_S - loop.time()))
            del self._wanted[symbol]
            last[symbol] = loop.time()
            try:
                reply = await _get(f"{self._rest_url}/fapi/v1/depth?symbol={symbol}&limit={DEPTH_LIMIT}")
            except VenueError:
                failures += 1
                self._wanted[symbol] = None
                await asyncio.sleep(backoff_s(failures, chance))
                continue
            failures = 0
            stream = symbol.lower() + binance.SNAPSHOT_STREAM
            await put(
                binance.VENUE, b'{"stream":"%b","data":%b}' % (stream.encode(), reply.strip().replace(b"\n", b" "))
            )


class _Listener:
    def __init__(self, put: Callable[[str, bytes], Any], began: Callable[[str], None]) -> None:
        self._put, self._began = put, began
        self._up: set[str] = set()

    async def up(self, stream: str) -> None:
        self._up.add(stream)
        await self._put(Source.FEED, msgspec.json.encode(FeedState(stream=stream, up=True)))
        self._began(stream)

    async def down(self, stream: str, reason: str) -> None:
        """Told once; tries that fail afterwards are no news."""
        if stream in self._up:
            self._up.discard(stream)
            await self._put(Source.FEED, msgspec.json.encode(FeedState(stream=stream, up=False, reason=reason)))

    async def deliver(self, raw: bytes) -> None:
        await self._put(binance.VENUE, raw)


async def _get(url: str) -> bytes:
    """The body of a 200. Raises VenueError that names address and reason for anything else."""
    try:
        async with (
            aiohttp.ClientSession(timeout=TIMEOUT, trust_env=False) as session,
            session.get(url, allow_redirects=False) as response,
        ):
            body = await response.content.read(MAX_REPLY)
            status = response.status
    except (aiohttp.ClientError, TimeoutError) as error:
        raise VenueError(f"{url} cannot be reached: {str(error) or type(error).__name__}") from None
    if status != 200:
        with contextlib.suppress(UnicodeDecodeError):
            raise VenueError(f"{url} answered {status}: {body[:200].decode()}")
        raise VenueError(f"{url} answered {status}")
    return body
