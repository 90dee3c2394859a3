"""Where a resting order of ours stands in the line at its price: estimated, because a venue shows sizes, not orders.

Pure arithmetic on one price level; `fills.py` tells it of trades and of changes of the displayed size (our own order is never
in it: this market does not know us). In `Decimal`, so that every machine fills alike.

The models are those of hftbacktest (`models/queue.rs`) after Rigtorp (2013), "Estimating order queue position". They differ
in one question only: when size leaves a level without a trade, was it in front of us or behind us?
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from bot.domain.instrument import exact

_ZERO = Decimal(0)


class QueueModel(StrEnum):
    RISK_AVERSE = (
        "risk_averse"  # behind us: only trades, and a level smaller than what was in front of us, move us forward
    )
    POWER = "power"  # in front of us with the probability x**n gives
    LOG = "log"  # the same with ln(1 + x)


@dataclass(frozen=True, slots=True)
class QueueRule:
    model: QueueModel = QueueModel.RISK_AVERSE
    power: Decimal = Decimal(3)

    def share_behind(self, front: Decimal, back: Decimal) -> Decimal:
        """Of what left the level, the share that stood behind us: f(back) / (f(back) + f(front))."""
        behind, ahead = self._weight(back), self._weight(front)
        return behind / (behind + ahead) if behind + ahead else Decimal(1)

    def _weight(self, size: Decimal) -> Decimal:
        return (1 + size).ln() if self.model is QueueModel.LOG else size**self.power


@dataclass(slots=True)
class Queue:
    """Base coins. `front` is what others have in front of us, below zero: what traded beyond them, which is ours.

    None: the book does not show that price (it lies beyond what was ever told, or there is no book now). Then nothing but
    a trade or a quote beyond the price can fill; the first size that is seen is taken to be all in front of us.
    """

    front: Decimal | None
    shown: float | None  # size of the level when it last changed
    traded: Decimal = _ZERO  # since then

    @classmethod
    def behind(cls, shown: float | None) -> Queue:
        """At the back of a level of this size."""
        return cls(front=None if shown is None else exact(shown), shown=shown)

    def on_trade(self, quantity: Decimal) -> Decimal:
        """A trade at our price, against our side; what of it got past those in front of us."""
        self.traded += quantity
        if self.front is None:
            return _ZERO
        self.front -= quantity
        return max(_ZERO, -self.front)

    def served(self, quantity: Decimal) -> None:
        """`quantity` of what got past them was given to us, or was less than a lot that anyone could have."""
        if self.front is not None:
            self.front += quantity

    def on_depth(self, shown: float | None, rule: QueueRule) -> None:
        """The level's size is `shown` now. An unchanged one tells nothing: the trades since may not be in it yet."""
        if shown == self.shown:
            return
        before, self.shown = self.shown, shown
        traded, self.traded = self.traded, _ZERO
        if shown is None:
            return
        after = exact(shown)
        if self.front is None:
            self.front = after
            return
        front = max(_ZERO, self.front)
        if before is not None and rule.model is not QueueModel.RISK_AVERSE:
            left = exact(before) - after - traded
            if left > 0:
                front = self._after_leaving(front, max(_ZERO, exact(before) - front), left, rule)
        self.front = min(front, after)

    @staticmethod
    def _after_leaving(front: Decimal, back: Decimal, left: Decimal, rule: QueueRule) -> Decimal:
        """What cannot have left behind us, because less was there, left in front. Never below zero: only trades fill."""
        behind = rule.share_behind(front, back)
        return max(_ZERO, front - (1 - behind) * left + min(_ZERO, back - behind * left))
