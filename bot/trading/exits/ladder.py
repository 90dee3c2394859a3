"""Take-profit tiers: where they are and how the quantity is split over them.

Pure arithmetic of product 6, for real, shadow and paper positions alike. It places no order and knows no walls
(`walls.py` pulls targets nearer); the exits desk turns tiers into resting reduce-only limits and cuts them down when
a part of the position is closed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal

from msgspec import Struct
from pydantic import model_validator

from bot.domain.instrument import Instrument, Round
from bot.domain.params import Params
from bot.domain.values import Direction

_STEPS = (Decimal("0.5"), Decimal("1.0"), Decimal("1.5"), Decimal("2.0"))


class LadderParams(Params):
    """Four tiers: distance from entry, and the share of the quantity each closes. Distances are percent of the entry price
    where the stop is a percentage too, and multiples of the stop's distance (R) where that follows volatility; by default
    both ladders are the same when the stop is 1 % away."""

    targets_pct: tuple[Decimal, Decimal, Decimal, Decimal] = _STEPS
    targets_r: tuple[Decimal, Decimal, Decimal, Decimal] = _STEPS
    fractions: tuple[Decimal, Decimal, Decimal, Decimal] = (Decimal("0.25"),) * 4

    def distances(self, r: Decimal | None = None) -> tuple[Decimal, ...]:
        """Distance of each tier as a fraction of the entry price; `r` is the stop's, where tiers are counted in it."""
        return tuple(t / 100 for t in self.targets_pct) if r is None else tuple(t * r for t in self.targets_r)

    @model_validator(mode="after")
    def _sane(self) -> LadderParams:
        for name, steps in (("targets_pct", self.targets_pct), ("targets_r", self.targets_r)):
            if any(t <= 0 for t in steps) or list(steps) != sorted(set(steps)):
                raise ValueError(f"ladder.{name} must be positive and rising")
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


def targets(
    entry: Decimal, direction: Direction, instrument: Instrument, params: LadderParams, r: Decimal | None = None
) -> tuple[Decimal, ...]:
    """E·(1 + side·t) of each tier (quant 5), rounded away from entry so that none is nearer than asked for."""
    rounding = Round.away_from_entry(direction)
    return tuple(instrument.price(entry * (1 + direction.sign * t), rounding) for t in params.distances(r))


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
    r: Decimal | None = None,
) -> Ladder:
    """The ladder of a position whose entry is done; in TRUE TREND the last tier alone holds everything, for good."""
    prices = targets(entry, direction, instrument, params, r)
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


def scale(open_tiers: Sequence[Tier], left: Decimal, instrument: Instrument) -> Ladder:
    """The tiers cut down to `left` in all, in proportion; none becomes larger than it is.

    Shares are rounded down to the step and what that leaves goes to the last tiers. A tier cut to less than the venue's
    minimum joins the next one that has room; what finds no room keeps no target, the stop covers it.
    """
    held = sum((t.quantity for t in open_tiers), Decimal(0))
    if held <= left:
        return Ladder(tuple(open_tiers))
    parts = [instrument.quantity(t.quantity * left / held) for t in open_tiers]
    _hand_out(parts, open_tiers, range(len(parts) - 1, -1, -1), left - sum(parts, Decimal(0)))
    merged: list[tuple[int, int]] = []
    for i, tier in enumerate(open_tiers):
        if 0 < parts[i] < tier.quantity and not instrument.tradable(parts[i], tier.price):
            small, parts[i] = parts[i], Decimal(0)
            into = _hand_out(
                parts, open_tiers, [*range(i + 1, len(parts)), *range(i - 1, -1, -1)], small, standing=True
            )
            merged += [(tier.tier, open_tiers[j].tier) for j in into]
    kept = tuple(Tier(t.tier, t.price, part) for t, part in zip(open_tiers, parts, strict=True) if part > 0)
    return Ladder(kept, tuple(merged))


def _hand_out(
    parts: list[Decimal], limits: Sequence[Tier], order: Iterable[int], spare: Decimal, *, standing: bool = False
) -> list[int]:
    """Give `spare` to the parts in that order, each up to its limit (only to those that stand); which ones took some."""
    took: list[int] = []
    for i in order:
        more = min(spare, limits[i].quantity - parts[i])
        if more > 0 and (parts[i] > 0 or not standing):
            parts[i] += more
            spare -= more
            took.append(i)
    return took


def manageable(quantity: Decimal, price: Decimal, instrument: Instrument) -> bool:
    """Whether exits of this size can be placed at `price` at all; what is smaller is closed at once."""
    return instrument.tradable(quantity, price)
