"""What can be traded, and the only place where a float becomes money.

`Instrument.price()` and `.quantity()` are the border: market data and features are floats on one side of it, prices and
quantities that may reach an order are `Decimal`s on the venue's grid on the other. The rounding direction is always named.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal
from enum import StrEnum
from functools import lru_cache

from msgspec import Struct

from bot.domain.errors import InvariantError
from bot.domain.values import Direction, Side


class Round(StrEnum):
    """Where a price between two ticks goes."""

    DOWN = ROUND_FLOOR
    UP = ROUND_CEILING
    NEAREST = ROUND_HALF_EVEN

    @classmethod
    def away_from_entry(cls, direction: Direction) -> Round:
        """A target is never nearer than asked for: up for a long, down for a short."""
        return cls.UP if direction is Direction.LONG else cls.DOWN

    @classmethod
    def passive(cls, side: Side) -> Round:
        """Never pay more than asked for: a buy rounds down, a sell rounds up."""
        return cls.DOWN if side is Side.BUY else cls.UP


def exact(x: float | Decimal | str) -> Decimal:
    """The shortest decimal that reads back as `x`; refuses NaN and infinities."""
    value = x if isinstance(x, Decimal) else _shortest(x) if isinstance(x, float) and x else Decimal(str(x))
    if not value.is_finite():
        raise InvariantError(f"not a finite number: {x!r}")
    return value


@lru_cache(maxsize=256)
def _shortest(x: float) -> Decimal:
    """A decision asks for the same few prices and limits again and again. Not for zeros: 0.0 and -0.0 are one key."""
    return Decimal(repr(x))


class Instrument(Struct, frozen=True, kw_only=True):
    """A linear perpetual and its trading rules, from the venue's own exchangeInfo.

    `id` is `venue:symbol`, `unified` ccxt's symbol (`BTC/USDT:USDT`). Quantities are in base coin, also where the
    venue counts in contracts of `contract_size` base coin each.
    """

    id: str
    venue: str
    symbol: str
    unified: str
    base: str
    quote: str
    tick: Decimal
    step: Decimal
    min_quantity: Decimal
    max_quantity: Decimal
    max_market_quantity: Decimal
    min_notional: Decimal
    contract_size: Decimal = Decimal(1)

    def price(self, x: float | Decimal | str, rounding: Round) -> Decimal:
        """`x` on the tick grid, rounded as named."""
        return (exact(x) / self.tick).to_integral_value(rounding) * self.tick

    def quantity(self, x: float | Decimal | str) -> Decimal:
        """`x` on the step grid, always rounded towards zero (never more than asked for)."""
        return (exact(x) / self.step).to_integral_value("ROUND_DOWN") * self.step

    def on_grid(self, price: Decimal) -> bool:
        return price % self.tick == 0

    def tradable(self, quantity: Decimal, price: Decimal) -> bool:
        """Whether an order of this size passes the venue's minimum size and notional."""
        return quantity >= self.min_quantity and quantity * price >= self.min_notional
