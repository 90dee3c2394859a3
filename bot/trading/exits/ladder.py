"""Take-profit tiers: where they are and how the quantity is split over them.

Pure arithmetic of product 6, for real, shadow and paper positions alike. It places no order and knows no walls
(`walls.py` pulls targets nearer); the exits desk turns tiers into resting reduce-only limits.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from msgspec import Struct
from pydantic import model_validator

from bot.domain.instrument import Instrument, Round
from bot.domain.params import Params
from bot.domain.values import Direction


class LadderParams(Params):
    """Four tiers: distance in percent of the entry price, and the share of the quantity each closes."""

    targets_pct: tuple[Decimal, Decimal, Decimal, Decimal] = (
        Decimal("0.5"),
        Decimal("1.0"),
        Decimal("1.5"),
        Decimal("2.0"),
    )
    fractions: tuple[Decimal, Decimal, Decimal, Decimal] = (Decimal("0.25"),) * 4

    @model_validator(mode="after")
    def _sane(self) -> LadderParams:
        if any(t <= 0 for t in self.targets_pct) or list(self.targets_pct) != sorted(set(self.targets_pct)):
            raise ValueError("ladder.targets_pct must be positive and rising")
        if any(f < 0 for f in self.fractions) or sum(self.fractions) != 1:
            raise ValueError("ladder.fractions must not be negative and must add up to 1")
        return self


class Tier(Struct, frozen=True):
    """One rung, numbered from 1; `quantity` in base coin."""

    tier: int
    price: Decimal
    quantity: Decimal


class Ladder(Struct, frozen=True):
    """Tiers nearest first. `merged` names (from, into) of every tier too small to stand alone (LADDER_MERGED)."""

    tiers: tuple[Tier, ...]
    merged: tuple[tuple[int, int], ...] = ()


def targets(entry: Decimal, direction: Direction, instrument: Instrument, params: LadderParams) -> tuple[Decimal, ...]:
    """E·(1 + side·t) of each tier (quant 5), rounded away from entry so that none is nearer than asked for."""
    rounding = Round.away_from_entry(direction)
    return tuple(instrument.price(entry * (1 + direction.sign * t / 100), rounding) for t in params.targets_pct)


def split(quantity: Decimal, fractions: Sequence[Decimal], instrument: Instrument) -> list[Decimal]:
    """Each share rounded down to the step; the last takes the remainder, so they always add up to `quantity`."""
    parts = [instrument.quantity(quantity * fraction) for fraction in fractions[:-1]]
    return [*parts, quantity - sum(parts, Decimal(0))]


def build(
    entry: Decimal,
    quantity: Decimal,
    direction: Direction,
    instrument: Instrument,
    params: LadderParams,
    true_trend: bool,
) -> Ladder:
    """The ladder of a position whose entry is done; in TRUE TREND the last tier alone holds everything, for good."""
    prices = targets(entry, direction, instrument, params)
    if true_trend:
        return Ladder((Tier(len(prices), prices[-1], quantity),))
    parts = split(quantity, params.fractions, instrument)
    planned = [
        Tier(i, price, part)
        for i, (price, part, fraction) in enumerate(zip(prices, parts, params.fractions, strict=True), 1)
        if fraction or part
    ]
    return _merged(planned, instrument)


def _merged(planned: Sequence[Tier], instrument: Instrument) -> Ladder:
    """Tiers under the venue's minimum join the next one; a last one under it joins the previous one that stands.

    If none stands the last tier holds everything: such a position is not `manageable` and is closed instead.
    """
    standing: list[Tier] = []
    merged: list[tuple[int, int]] = []
    waiting: list[Tier] = []
    for tier in planned:
        total = sum((t.quantity for t in waiting), tier.quantity)
        if instrument.tradable(total, tier.price):
            standing.append(Tier(tier.tier, tier.price, total))
            merged += [(t.tier, tier.tier) for t in waiting]
            waiting = []
        else:
            waiting.append(tier)
    if waiting:
        into = standing.pop() if standing else waiting.pop()
        standing.append(Tier(into.tier, into.price, sum((t.quantity for t in waiting), into.quantity)))
        merged += [(t.tier, into.tier) for t in waiting]
    return Ladder(tuple(standing), tuple(merged))


def manageable(quantity: Decimal, price: Decimal, instrument: Instrument) -> bool:
    """Whether exits of this size can be placed at `price` at all; what is smaller is closed at once."""
    return instrument.tradable(quantity, price)
