"""Values everyone speaks: choices, signals, verdicts, decisions, positions.

Prices, quantities and money are `Decimal`; scores and features are `float`; times are `int` nanoseconds UTC.
An `instrument` field always holds the internal id, `venue:symbol` (`binanceusdm:BTCUSDT`).
"""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum

from msgspec import Struct

NS = 1_000_000_000
MS = 1_000_000


class Direction(StrEnum):
    LONG = "long"
    SHORT = "short"

    def __init__(self, name: str) -> None:
        self.sign = 1 if name == "long" else -1

    @property
    def opposite(self) -> Direction:
        return SHORT if self.sign > 0 else LONG

    @property
    def entry_side(self) -> Side:
        return Side.BUY if self.sign > 0 else Side.SELL

    @property
    def exit_side(self) -> Side:
        return self.opposite.entry_side


# Python 3.11 looks an enum's member up slowly, and a decision asks dozens of times: it uses these names.
LONG, SHORT = Direction.LONG, Direction.SHORT


class Side(StrEnum):
    BUY = "buy"
    SELL = "sell"


class Outcome(StrEnum):
    PASS = "PASS"
    BLOCK = "BLOCK"
    ABSTAIN = "ABSTAIN"


PASS, BLOCK, ABSTAIN = Outcome.PASS, Outcome.BLOCK, Outcome.ABSTAIN


class TradingState(StrEnum):
    STARTING = "STARTING"
    ACTIVE = "ACTIVE"
    REDUCING = "REDUCING"
    HALTED = "HALTED"


class RegimeLabel(StrEnum):
    TREND = "TREND"
    NOISE = "NOISE"
    RANDOM = "RANDOM"
    UNKNOWN = "UNKNOWN"


class Magnet(StrEnum):
    """Whether max pain lies on the profit side of an entry."""

    WITH = "MAGNET-WITH"
    AGAINST = "MAGNET-AGAINST"


class Signal(Struct, frozen=True, kw_only=True):
    """An opinion. `strength` is 0 to 1, `price` the reference price when it was formed at `ts_ns`."""

    signal_id: str
    instrument: str
    direction: Direction
    strategy: str
    strength: float
    price: Decimal
    ts_ns: int
    external_id: str | None = None  # given by whoever sent it from outside
    traded_on: tuple[str, ...] = ()  # readings the strategy itself used: they do not count twice as conviction


class Verdict(Struct, frozen=True, kw_only=True):
    """One guard's answer on one signal, with the number it looked at.

    `value` and `threshold` are decimal text, or None where the guard had no number to look at.
    """

    guard: str
    version: int
    outcome: Outcome
    value: str | None = None
    threshold: str | None = None
    reading_source: str | None = None
    reading_age_s: float | None = None
    reason: str = ""


class Decision(Struct, frozen=True, kw_only=True):
    """The gate's answer on a signal. `quantity` (base) is zero unless an entry should be made.

    `reversal` marks an allowed signal against an open position: it closes, it does not open.
    """

    signal: Signal
    allowed: bool
    blocker: str | None
    verdicts: tuple[Verdict, ...]
    multiplier: float
    blind: bool = False
    reversal: bool = False
    explored: bool = False  # guards refused it, and it is taken on paper all the same
    quantity: Decimal = Decimal(0)
    stop_distance: Decimal = Decimal(0)  # fraction of price, for sizing and for the position's stop
