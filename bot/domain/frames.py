"""A frame: one thing that can change a decision, as bytes, in the order in which the engine takes it."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


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
    TIMER = "timer"
    TICK = "tick"


class Frame(Struct, frozen=True, gc=False):
    """`recv_ns` is when it arrived; its number is given when it is taken."""

    recv_ns: int
    lane: str
    source: str
    raw: bytes


class FeedState(Struct, frozen=True, kw_only=True):
    """What a `feed` frame says: a stream delivers, or no longer does and why."""

    stream: str
    up: bool
    reason: str = ""
