"""Guard `risk_limits`: trading state, age of the market data, and the limits of an entry (`trading/risk.py`).

A safety guard: it cannot be switched off, never abstains, and a missing input is a breach. It knows no size: what the
limits leave of a sized entry is the business of `trading/sizing.py`, and the gate blocks in this guard's name when that
is nothing.
"""

from __future__ import annotations

from typing import ClassVar

from bot.domain import params
from bot.domain.ports import View
from bot.domain.values import Outcome, Signal, Verdict
from bot.trading.guards.base import Finding, GuardBase, SafetyParams
from bot.trading.risk import check_limits, in_short


class RiskLimits(GuardBase[SafetyParams]):
    """Its limits are the settings group `risk`."""

    name: ClassVar[str] = "risk_limits"
    event: ClassVar[str] = "RISK_LIMIT_BLOCK"
    safety: ClassVar[bool] = True
    Params: ClassVar[type[params.Params]] = SafetyParams

    def check(self, signal: Signal, view: View) -> Verdict:
        breach = check_limits(signal, view, self.context.risk)
        if breach is None:
            return self.verdict(Finding(Outcome.PASS, in_short(signal, view)))
        return self.refuse(breach.reason, breach.value, breach.threshold)

    def refuse(self, reason: str, value: str | None = None, threshold: str | None = None) -> Verdict:
        return self.verdict(Finding(Outcome.BLOCK, reason, value, threshold))
