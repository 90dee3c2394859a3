"""What trading costs: fee rates, used alike by sizing, exits and simulated fills, and the volume that decides on them."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise

from pydantic import Field, field_validator

from bot.domain.params import Params
from bot.domain.values import NS

DAY_NS = 86_400 * NS
VOLUME_DAYS = 30


class FeeParams(Params):
    """Binance USD-M's base tier (2026); read your own tier on the venue and set it here.

    Sizing and targets reckon with the base tier, which is never cheaper than what is charged."""

    maker_pct: Decimal = Field(Decimal("0.02"), ge=-1, le=5, description="fee of a resting order, percent of notional")
    taker_pct: Decimal = Field(
        Decimal("0.05"), ge=0, le=5, description="fee of an order that takes, percent of notional"
    )
    tiers: tuple[tuple[Decimal, Decimal, Decimal], ...] = Field(
        (), description="[30-day volume in USD, maker_pct, taker_pct] of cheaper tiers; empty: always the two above"
    )

    @field_validator("tiers")
    @classmethod
    def _rising(
        cls, tiers: tuple[tuple[Decimal, Decimal, Decimal], ...]
    ) -> tuple[tuple[Decimal, Decimal, Decimal], ...]:
        volumes = [Decimal(0), *(volume for volume, _, _ in tiers)]
        if any(not low < high for low, high in pairwise(volumes)):
            raise ValueError("volumes must be above zero and rise from tier to tier")
        if any(not (-1 <= maker <= 5 and 0 <= taker <= 5) for _, maker, taker in tiers):
            raise ValueError("fees must be percent of notional: maker -1 to 5, taker 0 to 5")
        return tiers

    @property
    def maker(self) -> Decimal:
        return self.maker_pct / 100

    @property
    def taker(self) -> Decimal:
        return self.taker_pct / 100

    @property
    def round_trip(self) -> Decimal:
        """In and out as a taker, a fraction of notional: what a trade costs when nothing goes well."""
        return 2 * self.taker

    def rates(self, volume_usd: Decimal) -> tuple[Decimal, Decimal]:
        """Maker and taker fee, fractions, of who has traded this much in 30 days."""
        for volume, maker_pct, taker_pct in reversed(self.tiers):
            if volume_usd >= volume:
                return maker_pct / 100, taker_pct / 100
        return self.maker, self.taker


class Volume:
    """USD traded by UTC day. Venues set the tier once a day by the 30 whole days before, so today's trades do not count."""

    def __init__(self) -> None:
        self._by_day: dict[int, Decimal] = {}

    def add(self, now_ns: int, usd: Decimal) -> None:
        day = now_ns // DAY_NS
        if day not in self._by_day:
            self._by_day = {kept: sum_usd for kept, sum_usd in self._by_day.items() if kept >= day - VOLUME_DAYS}
        self._by_day[day] = self._by_day.get(day, Decimal(0)) + usd

    def usd(self, now_ns: int) -> Decimal:
        today = now_ns // DAY_NS
        return sum((usd for day, usd in self._by_day.items() if today - VOLUME_DAYS <= day < today), Decimal(0))
