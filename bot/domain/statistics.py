"""What venues publish about a perpetual beside its market data, the same for every venue: open interest, crowding, candles.

`exchanges/` makes these of REST replies, `intel/venue_statistics.py` and `market/liquidation_model.py` use them. Quantities are in
base coin, times are the venue's.
"""

from __future__ import annotations

from decimal import Decimal

from msgspec import Struct


class OpenInterest(Struct, frozen=True):
    at_ns: int
    coins: Decimal


class AccountRatio(Struct, frozen=True):
    """Accounts that are net long over accounts that are net short. Counts accounts, not size."""

    at_ns: int
    ratio: Decimal


class Candle(Struct, frozen=True):
    """The newest of a list is still running. `coins` is traded volume."""

    start_ns: int
    high: float
    low: float
    close: float
    coins: Decimal
