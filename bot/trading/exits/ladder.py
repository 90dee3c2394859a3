"""Take-profit tiers: where they are and how the quantity is split over them."""

from __future__ import annotations

from decimal import Decimal

from pydantic import model_validator

from bot.domain.params import Params


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
