"""How large a shadow is, and whether it could have been opened. Sized as a real entry is, on the real account where that has
room, else as if nothing else were open: it is followed all the same, and marked."""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

from bot.domain.ports import View
from bot.domain.values import BLOCK, Decision
from bot.trading.exits.protection import StopParams
from bot.trading.guards.risk_limits import RiskLimits
from bot.trading.portfolio import Portfolio
from bot.trading.shadow.view import FacedView
from bot.trading.sizing import SizeRules, no_stop, rules_now, size


class Entry(NamedTuple):
    quantity: Decimal  # base coin; zero: nothing to follow
    stop_distance: Decimal  # a fraction of price
    why_not: str = ""  # why it could not have been opened; "" where it could


class ShadowSize:
    def __init__(self, rules: SizeRules, stop: StopParams) -> None:
        self._rules, self._stop = rules, stop

    def entry(self, decision: Decision, view: View) -> Entry:
        if decision.allowed:
            return Entry(decision.quantity, decision.stop_distance)
        rules = rules_now(decision.signal, view, self._rules, self._stop)
        if rules is None:
            return Entry(Decimal(0), Decimal(0), no_stop(self._stop))
        why_not = _refused(decision)
        if not why_not:
            sized = size(decision.signal, view, rules, decision.multiplier)
            if sized.quantity:
                return Entry(sized.quantity, rules.stop)
            why_not = sized.reason
        return self._alone(decision, view, rules, why_not)

    def _alone(self, decision: Decision, view: View, rules: SizeRules, why_not: str) -> Entry:
        equity = view.portfolio.equity_usd()
        if not equity > 0:
            return Entry(Decimal(0), Decimal(0), why_not)
        empty = FacedView(Portfolio(equity, lambda instrument: None))
        empty.of = view
        sized = size(decision.signal, empty, rules, decision.multiplier)
        return Entry(sized.quantity, rules.stop, why_not)


def _refused(decision: Decision) -> str:
    """By limits that no other verdict would have changed."""
    if decision.reversal:
        return "a position the other way was open"
    limits = (v.reason for v in decision.verdicts if v.guard == RiskLimits.name and v.outcome is BLOCK)
    return next(limits, "")
