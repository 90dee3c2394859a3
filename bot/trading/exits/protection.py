"""The protective stop: where it is, where it moves to, and that it only ever tightens.

Pure arithmetic of product 6 and quant 5. Placing the stop within its deadline and moving it on the venue is the business of
`stops.py`; how far away an entry's stop will be is asked by the gate, which sizes by it.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

from pydantic import Field, model_validator

from bot.domain.instrument import Instrument, Round, exact
from bot.domain.params import Params
from bot.domain.ports import View
from bot.domain.values import Direction

_PLACES = 8  # of a distance from ATR: as the journal holds it, so that a restart reads back the very same


class StopParams(Params):
    mode: Literal["pct", "atr"] = Field("pct", description="a fixed distance, or one that follows volatility")
    pct: Decimal = Field(Decimal("1.0"), gt=0, lt=50, description="distance from entry, percent; triggers on mark")
    atr_multiple: Decimal = Field(Decimal(2), gt=0, le=50, description="mode atr: distance in average true ranges")
    atr_width_s: int = Field(300, gt=0, description="width of the bars whose ranges are averaged")
    atr_bars: int = Field(14, ge=2, le=500, description="how many of them")
    min_pct: Decimal = Field(Decimal("0.2"), gt=0, lt=50, description="mode atr: never nearer than this")
    max_pct: Decimal = Field(Decimal(5), gt=0, lt=50, description="mode atr: never farther than this")
    adopted_pct: Decimal = Field(Decimal("1.0"), gt=0, lt=50, description="distance from mark for an adopted position")

    @model_validator(mode="after")
    def _ordered(self) -> StopParams:
        if self.min_pct > self.max_pct:
            raise ValueError(f"stop.min_pct {self.min_pct} is over stop.max_pct {self.max_pct}")
        return self


def stop_fraction(params: StopParams) -> Decimal:
    """Distance of a stop in mode `pct`, as a fraction of the entry price: 1 R."""
    return params.pct / 100


def stop_distance(view: View, instrument: str, params: StopParams) -> Decimal | None:
    """Distance of the stop of an entry made now, as a fraction of price; None while mode `atr` knows no range or price."""
    if params.mode == "pct":
        return stop_fraction(params)
    market = view.market(instrument)
    price, atr = market.mid, atr_now(view, instrument, params)
    if price is None or atr is None:
        return None
    fraction = round(params.atr_multiple * atr / exact(price), _PLACES)
    return min(max(fraction, params.min_pct / 100), params.max_pct / 100)


def atr_now(view: View, instrument: str, params: StopParams) -> Decimal | None:
    """Average true range in price units; None where it is not known, or zero (no trade moved the price: no measure)."""
    atr = view.market(instrument).atr(params.atr_width_s, params.atr_bars)
    return exact(atr) if atr is not None and 0 < atr < float("inf") else None


def stop_price(entry: Decimal, direction: Direction, instrument: Instrument, fraction: Decimal) -> Decimal:
    """E·(1 − side·s) (quant 5), rounded toward entry: never more at risk than was sized for."""
    return instrument.price(entry * (1 - direction.sign * fraction), toward_profit(direction))


def break_even_price(entry: Decimal, direction: Direction, instrument: Instrument, round_trip: Decimal) -> Decimal:
    """E·(1 + side·(fee_in + fee_out)) (quant 5), rounded to the profit side so that a tick is not given away."""
    return instrument.price(entry * (1 + direction.sign * round_trip), toward_profit(direction))


def trail_price(best: Decimal, distance: Decimal, direction: Direction, instrument: Instrument) -> Decimal:
    """best − side·k·ATR (quant 5), rounded away from price: a trailing stop is never nearer than asked for."""
    away = Round.DOWN if direction is Direction.LONG else Round.UP
    return instrument.price(best - direction.sign * distance, away)


def toward_profit(direction: Direction) -> Round:
    return Round.UP if direction is Direction.LONG else Round.DOWN


def tighter(direction: Direction, old: Decimal, new: Decimal) -> bool:
    """Whether a stop at `new` risks less than one at `old`; an equal one does not."""
    return direction.sign * (new - old) > 0


def passed(direction: Direction, stop: Decimal, mark: float | None) -> bool | None:
    """Whether a stop at this price would trigger at once; None without a mark."""
    return None if mark is None else direction.sign * (exact(mark) - stop) <= 0
