"""The money of one simulated account, as its venue would keep it: wallet, signed positions, fees, funding, margin.

Pure. `fills.py` books fills here, `funding.py` the funding. It is the venue's side of the books; ours is `portfolio.py`, and the
two must agree to the last digit. Nothing is ever divided: profit is realised when a position is closed, until then it is
part of the position's value, so wallet = start + realised - fees + funding holds exactly.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from msgspec import Struct

from bot.domain.instrument import exact
from bot.domain.values import NS, Side
from bot.trading.costs import Volume
from bot.trading.margin import SAMPLE, Bracket, maintenance_usd

CHANGES_NS = 120 * NS  # how long changes of a position are remembered: both sides of a funding time
_ZERO = Decimal(0)


class Held(Struct, frozen=True, kw_only=True):
    """A position to start with. `value_usd` is the signed sum of price x quantity of its fills (a long's above zero), partial
    exits taken off: what quantity x mark is compared with."""

    instrument: str
    quantity: Decimal  # signed base coin
    value_usd: Decimal


@dataclass(slots=True)
class _Holding:
    quantity: Decimal = _ZERO
    value_usd: Decimal = _ZERO
    mark: float | None = None  # the last one seen
    size: float = 0.0  # of the quantity, without its sign
    changes: deque[tuple[int, Decimal]] = field(default_factory=deque)  # when, and the quantity before


class Account:
    def __init__(self, start_usd: Decimal, brackets: Mapping[str, Sequence[Bracket]] | None = None) -> None:
        """`brackets` by instrument; the dated sample for those not in it."""
        self.start_usd = start_usd
        self.realised_usd = self.fees_usd = self.funding_usd = _ZERO
        self.volume = Volume()
        self._brackets = brackets or {}
        self._holdings: dict[str, _Holding] = {}
        self._slack_usd = 0.0  # what marks may still move before the margin has to be looked at again

    @property
    def wallet_usd(self) -> Decimal:
        return self.start_usd + self.realised_usd - self.fees_usd + self.funding_usd

    def quantity(self, instrument: str) -> Decimal:
        """Signed base coin, long above zero."""
        holding = self._holdings.get(instrument)
        return _ZERO if holding is None else holding.quantity

    def positions(self) -> dict[str, Decimal]:
        return {instrument: held.quantity for instrument, held in self._holdings.items() if held.quantity}

    def held(self) -> list[Held]:
        return [
            Held(instrument=instrument, quantity=held.quantity, value_usd=held.value_usd)
            for instrument, held in self._holdings.items()
            if held.quantity
        ]

    def restore(self, wallet_usd: Decimal, held: Iterable[Held], traded: Iterable[tuple[int, Decimal]] = ()) -> None:
        """Start over with this wallet and these positions; `traded` is (engine time, USD) of the last 30 days' fills."""
        self.start_usd = wallet_usd
        self.realised_usd = self.fees_usd = self.funding_usd = _ZERO
        self._slack_usd = 0.0
        self._holdings = {
            each.instrument: _Holding(each.quantity, each.value_usd, size=abs(float(each.quantity))) for each in held
        }
        for at_ns, usd in traded:
            self.volume.add(at_ns, usd)

    def forget(self, instrument: str) -> None:
        """A position that is over, and its fills of the last minutes."""
        self._holdings.pop(instrument, None)

    # --- what is booked --------------------------------------------------------------------------------------------

    def book(
        self, instrument: str, side: Side, price: Decimal, quantity: Decimal, fee_usd: Decimal, now_ns: int
    ) -> None:
        held = self._holdings.setdefault(instrument, _Holding())
        signed = quantity if side is Side.BUY else -quantity
        self._remember(held, now_ns)
        self.volume.add(now_ns, price * quantity)
        self.fees_usd += fee_usd
        after = held.quantity + signed
        held.value_usd += price * signed
        if after == 0 or after * held.quantity < 0:  # closed; what goes beyond opens anew at this price
            self.realised_usd += price * after - held.value_usd
            held.value_usd, held.mark = price * after, None
        held.quantity, held.size = after, abs(float(after))
        self._slack_usd = 0.0

    def pay_funding(self, usd: Decimal) -> None:
        self.funding_usd += usd
        self._slack_usd = 0.0

    @staticmethod
    def _remember(held: _Holding, now_ns: int) -> None:
        held.changes.append((now_ns, held.quantity))
        while held.changes[0][0] < now_ns - CHANGES_NS:
            held.changes.popleft()

    def extremes(self, instrument: str, since_ns: int) -> tuple[Decimal, Decimal]:
        """The smallest and the largest signed quantity held since then; knows the last two minutes."""
        held = self._holdings.get(instrument)
        if held is None:
            return _ZERO, _ZERO
        quantities = [held.quantity, *(before for at_ns, before in held.changes if at_ns >= since_ns)]
        return min(quantities), max(quantities)

    # --- margin ----------------------------------------------------------------------------------------------------

    def see_mark(self, instrument: str, mark: float) -> bool:
        """Whether this mark may have brought equity down to maintenance margin; then ask `spare_usd`.

        Run for every change of a mark: a move costs at most size x distance, and maintenance rises by less than that."""
        held = self._holdings.get(instrument)
        if held is None or not held.quantity or held.mark == mark:
            return False
        moved = None if held.mark is None else abs(mark - held.mark)
        held.mark = mark
        self._slack_usd = 0.0 if moved is None else self._slack_usd - 2 * moved * held.size
        return not self._slack_usd > 0

    def spare_usd(self) -> Decimal:
        """How far equity is above maintenance margin: at zero or below, the account is liquidated."""
        spare = self.equity_usd() - self.maintenance_usd()
        self._slack_usd = float(spare)
        return spare

    def equity_usd(self) -> Decimal:
        """A position whose mark was never seen counts as worth what was paid."""
        return self.wallet_usd + sum(
            (
                held.quantity * exact(held.mark) - held.value_usd
                for held in self._holdings.values()
                if held.mark is not None
            ),
            _ZERO,
        )

    def maintenance_usd(self) -> Decimal:
        return sum(
            (
                maintenance_usd(
                    abs(held.value_usd if held.mark is None else held.quantity * exact(held.mark)),
                    self._brackets.get(instrument, SAMPLE),
                )
                for instrument, held in self._holdings.items()
                if held.quantity
            ),
            _ZERO,
        )
