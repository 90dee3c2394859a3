"""What the driver of public data has to know of an exchange: where its data are, how they are asked for, how they read.

Pure, one object an exchange: its file ends in `EXCHANGE = ...`, by which it is found. Nothing here opens a socket.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import NamedTuple, Protocol

from msgspec import Struct

from bot.domain.errors import FeedError
from bot.domain.instrument import Instrument
from bot.domain.market import Bar, MarketMessage
from bot.domain.trades import PastTrade

Decoder = Callable[[bytes], MarketMessage | Sequence[MarketMessage] | None]
"""The messages in neutral form, None for one that is known and not used; raises FeedError for anything else."""


NEVER_S = float("inf")


class BookLost(FeedError):
    """A change of a book that does not follow what came before: the book of `symbol` is of no use until it begins anew."""

    def __init__(self, symbol: str, problem: str) -> None:
        super().__init__(problem[:200].encode("unicode_escape").decode())
        self.symbol = symbol


class Klines(NamedTuple):
    width_s: int
    bars: list[Bar]  # finished ones, oldest first


class StreamPlan(Struct, frozen=True, kw_only=True):
    """One connection: `path` behind the websocket's host, what is said after connecting, and when it counts as dead.

    `carries` says what would be missed without it (`DEPTH`, `TRADES`). `ping` is what the venue wants to hear every `ping_s`, empty
    where the protocol's own pings are enough; a short message that holds `pong` is its answer and no data. `rotate_s` is when another
    connection takes over."""

    name: str
    path: str
    subscribe: tuple[bytes, ...]
    carries: tuple[str, ...]
    silence_s: float = 5.0
    ping: bytes = b""
    ping_s: float = 20.0
    pong: bytes = b""
    rotate_s: float = 23 * 3600.0


class PastTradeCalls(Protocol):
    """Of a venue that numbers its trades one by one and tells them by number as the stream does."""

    most: int  # trades of one call
    weight: int  # of one call, in what the venue allows a minute

    def path(self, symbol: str, from_id: int | None) -> str:
        """The `most` trades from that one on, without it the newest."""
        ...

    def parse(self, raw: bytes) -> list[PastTrade]:
        """Oldest first."""
        ...


class Exchange(Protocol):
    """Paths begin behind the REST host. Whatever parses raises FeedError that names the field."""

    venue: str
    rest_url: str
    ws_url: str
    instruments_path: str

    @property
    def past_trades(self) -> PastTradeCalls | None:
        """None: what was traded before the stream cannot be joined to it."""
        ...

    def parse_instruments(self, raw: bytes) -> tuple[Mapping[str, Instrument], Mapping[str, str]]:
        """The perpetuals that trade, by venue symbol; and those whose rules cannot be read, with the reason."""
        ...

    def klines_path(self, symbol: str, width_s: int, count: int) -> str: ...
    def parse_klines(self, raw: bytes, width_s: int, now_ns: int) -> Klines: ...

    def streams(self, symbols: Sequence[str], *, depth_only: bool) -> list[StreamPlan]:
        """`depth_only`: what the walls of a market need, depth and trades."""
        ...

    def snapshot_path(self, symbol: str) -> str | None:
        """Of the book over REST; None where the stream itself begins with it."""
        ...

    def snapshot_frame(self, symbol: str, reply: bytes) -> bytes:
        """The reply as a message that names its symbol."""
        ...

    def again(self, symbol: str) -> tuple[bytes, ...]:
        """What to say on the stream to get the book anew; empty where a snapshot is fetched instead."""
        ...

    def decoder(self, instruments: Iterable[Instrument]) -> Decoder:
        """Of one connection: it may remember what came before."""
        ...


@cache
def exchanges() -> dict[str, Exchange]:
    """By venue. A module of this package without an `EXCHANGE` is none."""
    import bot.exchanges

    modules = (
        importlib.import_module(f"bot.exchanges.{each.name}") for each in pkgutil.iter_modules(bot.exchanges.__path__)
    )
    found: list[Exchange] = [module.EXCHANGE for module in modules if hasattr(module, "EXCHANGE")]
    return {each.venue: each for each in found}
