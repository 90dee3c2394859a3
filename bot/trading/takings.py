"""What our takers have taken from a book that does not know us, and so shows it still: gone for a second.

Pure. `fills.py` walks `open_levels` and tells what it took. After that second the level counts as it is displayed: others have
had the time to come back.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from bot.domain.instrument import Instrument, Round
from bot.domain.ports import PriceView
from bot.domain.values import NS, Side

REFILL_NS = NS
_ZERO = Decimal(0)


class Takings:
    def __init__(self) -> None:
        self._taken: dict[
            str, dict[tuple[Side, float], tuple[Decimal, int]]
        ] = {}  # how much, and until when it is gone

    def open_levels(
        self, side: Side, rules: Instrument, market: PriceView, now_ns: int
    ) -> Iterator[tuple[float, Decimal, Decimal]]:
        """What a taker on `side` finds, best first: the level, its price on the tick grid, and what of it is left.

        Prices off the grid are rounded against us, sizes down. Nothing of a book that is not usable."""
        taken = self._taken[rules.id] = self.still_gone(rules.id, now_ns)
        for level, shown in _opposite_levels(side, market):
            gone, _ = taken.get((side, level), (_ZERO, 0))
            price = rules.price(level, Round.UP if side is Side.BUY else Round.DOWN)
            yield level, price, rules.quantity(shown) - gone

    def took(self, instrument: str, side: Side, level: float, quantity: Decimal, now_ns: int) -> None:
        of = self._taken[instrument]
        gone, _ = of.get((side, level), (_ZERO, 0))
        of[side, level] = gone + quantity, now_ns + REFILL_NS

    def forget(self, instrument: str) -> None:
        self._taken.pop(instrument, None)

    def still_gone(self, instrument: str, now_ns: int) -> dict[tuple[Side, float], tuple[Decimal, int]]:
        """By side of the taker and level: how much, and until when."""
        of = self._taken.get(instrument, {})
        return {level: taken for level, taken in of.items() if now_ns < taken[1]}


def _opposite_levels(side: Side, market: PriceView) -> Iterator[tuple[float, float]]:
    """Fetched in growing helpings."""
    opposite = Side.SELL if side is Side.BUY else Side.BUY
    seen, count = 0, 16
    while market.usable:
        levels = market.levels(opposite, count)
        yield from levels[seen:]
        if len(levels) < count:
            return
        seen, count = count, count * 4
