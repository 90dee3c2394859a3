"""What happens on the synthetic venue, in its own whole numbers: prices in ticks, sizes in lots (steps), times in ms.

`market_model.py` makes these, `binance_wire.py` puts them into bytes. A level is (ticks, lots), 0 lots delete it.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

Rung = tuple[int, int]


class Snapshot(Struct, frozen=True, gc=False):
    """The whole book as of update `last_id`, best levels first."""

    symbol: str
    ms: int
    last_id: int
    bids: list[Rung]
    asks: list[Rung]


class Depth(Struct, frozen=True, gc=False):
    """What changed since the last one, in absolute sizes."""

    symbol: str
    ms: int
    first_id: int
    last_id: int
    prev_id: int
    bids: list[Rung]
    asks: list[Rung]


class Trade(Struct, frozen=True, gc=False):
    """One fill, at what is the best price of the book less all that was traded since its last change."""

    symbol: str
    ms: int
    trade_id: int
    ticks: int
    lots: int
    taker_buys: bool


class Best(Struct, frozen=True, gc=False):
    symbol: str
    ms: int
    update_id: int
    bid: Rung
    ask: Rung


class Mark(Struct, frozen=True, gc=False):
    """`rate` is the fraction paid at `funding_ms`."""

    symbol: str
    ms: int
    mark: float
    index: float
    rate: float
    funding_ms: int


class Forced(Struct, frozen=True, gc=False):
    """A position that the venue closed: its order took `lots` at about `ticks`. Its trades are told as any other."""

    symbol: str
    ms: int
    ticks: int
    lots: int
    buys: bool


class Told(Struct, frozen=True, gc=False):
    """A reading that a provider would give, by the names of `market/readings.py`."""

    ms: int
    name: str
    key: str
    source: str
    value: Any


Event = Snapshot | Depth | Trade | Best | Mark | Forced | Told
