"""A frame: one thing that can change a decision, as bytes, in the order in which the engine takes it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct


class Lane(StrEnum):
    ACCOUNT = "account"  # order reports and operator commands: always first, never refused
    DATA = "data"  # market messages and readings
    TIMER = "timer"  # made by the engine itself: due timers and ticks


class Source(StrEnum):
    """What kind of bytes a frame holds; market frames carry their venue's name instead (`binanceusdm`)."""

    OPERATOR = "operator"  # JSON of an OperatorRequest
    REPORT = "report"  # JSON of an AccountReport
    FEED = "feed"  # JSON of a FeedState: a stream of market data came or went
    READING = "reading"  # JSON of a Reading, see market/readings.py
    INTEL = "intel"  # JSON of an IntelProblem: what a provider of readings complains about
    WIDEN = "widen"  # JSON of a Widen: a snapshot of a living book was asked for
    HISTORY = "history"  # JSON of a History: finished bars that came late
    PAST = "past"  # JSON of a PastTrades: trades of before the stream, as the venue looked them up
    TIMER = "timer"
    TICK = "tick"
    SENT = "sent"  # on tapes only, never taken: an order left here, see runtime/rerun.py


class Frame(Struct, frozen=True, gc=False):
    """`recv_ns` is when it arrived; its number is given when it is taken."""

    recv_ns: int
    lane: str
    source: str
    raw: bytes


class FeedState(Struct, frozen=True, kw_only=True):
    """What a `feed` frame says: a stream delivers, or no longer does and why.

    `venue` is empty for all of them, `carries` for all that a stream can carry. With a `symbol` it is about the book of that one only,
    which cannot be relied on although its stream delivers."""

    stream: str
    up: bool
    reason: str = ""
    venue: str = ""
    carries: tuple[str, ...] = ()
    symbol: str = ""


class Widen(Struct, frozen=True, kw_only=True):
    """What a `widen` frame says: the next snapshot of this book will be older than the book itself, and show more of it."""

    venue: str
    symbol: str


class IntelProblem(Struct, frozen=True, kw_only=True):
    """What an `intel` frame says: why a provider has no number, naming call and field."""

    provider: str
    problem: str


DEPTH, TRADES = "depth", "trades"
"""What a stream can carry; marks and quotes come with either."""


BarRow = tuple[
    Annotated[int, Meta(ge=0, le=2**62)],
    Annotated[float, Meta(gt=0.0, le=1e18)],
    Annotated[float, Meta(gt=0.0, le=1e18)],
    Annotated[float, Meta(gt=0.0, le=1e18)],
    Annotated[float, Meta(gt=0.0, le=1e18)],
    Annotated[float, Meta(ge=0.0, le=1e18)],
    Annotated[float, Meta(ge=0.0, le=1e18)] | None,
    Annotated[int, Meta(ge=1, le=2**62)] | None,
]
"""The fields of a `Bar`: start_ns, open, high, low, close, usd, taker_buy_usd, trades."""


class History(Struct, frozen=True, kw_only=True):
    """What a `history` frame says: finished bars of an instrument, or of a coin's trading day by day on that venue."""

    instrument: str
    coin: str
    width_s: int
    bars: list[BarRow]


PastRow = tuple[
    Annotated[int, Meta(ge=0, le=2**62)],
    Annotated[float, Meta(gt=0.0, le=1e18)],
    Annotated[float, Meta(gt=0.0, le=1e18)],
    bool,
    Annotated[int, Meta(ge=0, le=2**62)],
]
"""The fields of a `PastTrade`: trade_id, price, quantity, taker_buys, exch_ns."""


class PastTrades(Struct, frozen=True, kw_only=True):
    """What a `past` frame says: trades of an instrument (aggregated ones) up to about now, oldest first."""

    instrument: str
    trades: list[PastRow]
