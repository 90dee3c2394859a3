"""The protective stop: where it is, and that it only ever tightens.

Pure arithmetic of product 6. Placing it within its deadline, on the venue and on mark, is the exits desk's business.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

from pydantic import Field

from bot.domain.instrument import Instrument, Round
from bot.domain.params import Params
from bot.domain.values import Direction


class StopParams(Params):
    mode: Literal["pct"] = "pct"
    pct: Decimal = Field(Decimal("1.0"), gt=0, lt=50, description="distance from entry, percent; triggers on mark")


def stop_fraction(params: StopParams) -> Decimal:
    """Distance of the stop as a fraction of the entry price: 1 R."""
    return params.pct / 100


def stop_price(entry: Decimal, direction: Direction, instrument: Instrument, params: StopParams) -> Decimal:
    """E·(1 − side·s) (quant 5), rounded toward entry: never more at risk than was sized for."""
    toward_entry = Round.UP if direction is Direction.LONG else Round.DOWN
    return instrument.price(entry * (1 - direction.sign * stop_fraction(params)), toward_entry)


def tighter(direction: Direction, old: Decimal, new: Decimal) -> bool:
    """Whether a stop at `new` risks less than one at `old`; an equal one does not."""
    return direction.sign * (new - old) > 0
