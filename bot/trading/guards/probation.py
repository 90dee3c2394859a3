"""Guard `probation`: symbols that may not be traded for now.

The list is the operator's own; learning adds symbols to it and takes its own away again (product 8). A safety guard: it cannot
be switched off and never abstains.
"""

from __future__ import annotations

import re
from typing import ClassVar

from pydantic import Field, field_validator

from bot.domain import params
from bot.domain.ports import View
from bot.domain.values import Outcome, Signal, Verdict
from bot.trading.guards.base import Finding, GuardBase, SafetyParams


class ProbationParams(SafetyParams):
    symbols: tuple[str, ...] = Field((), description="no entries in these, unified symbols such as BTC/USDT:USDT")

    @field_validator("symbols")
    @classmethod
    def _unified(cls, symbols: tuple[str, ...]) -> tuple[str, ...]:
        wrong = [symbol for symbol in symbols if not re.fullmatch(r"[^\s/:]+/[^\s/:]+:[^\s/:]+", symbol)]
        if wrong:
            raise ValueError(f"not a unified symbol such as BTC/USDT:USDT: {', '.join(wrong)}")
        return symbols


class Probation(GuardBase[ProbationParams]):
    name: ClassVar[str] = "probation"
    event: ClassVar[str] = "PROBATION_BLOCK"
    safety: ClassVar[bool] = True
    Params: ClassVar[type[params.Params]] = ProbationParams

    def check(self, signal: Signal, view: View) -> Verdict:
        unified = view.instrument(signal.instrument).unified
        if unified in self.params.symbols:
            return self.verdict(Finding(Outcome.BLOCK, f"{unified} is on probation"))
        reason = view.on_probation(signal.instrument)
        if reason is not None:
            return self.verdict(Finding(Outcome.BLOCK, f"{unified} is on probation: {reason}"))
        return self.verdict(Finding(Outcome.PASS))
