"""Who is on probation, and what that rests on: the finished trades and shadows of each symbol (product 8).

Part of the desk `learning`; the rule itself is in `probation.py`. Adopted positions, explored ones and shadows that could not have
been opened do not count. Symbols go by their unified names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from math import nan
from typing import Any

from msgspec import Struct

from bot.learning.probation import Finished, ProbationRule, standing, stays

Data = Mapping[str, Any]
ON, OVER = "probation", "probation_over"


@dataclass(slots=True)
class Record:
    trades: list[Finished] = field(default_factory=list)
    shadows: list[Finished] = field(default_factory=list)  # since probation began
    began_ns: int | None = None
    returned_ns: int | None = None
    reason: str = ""


class Change(Struct, frozen=True, kw_only=True):
    """`on`: goes on probation; else it comes back."""

    symbol: str
    on: bool
    reason: str
    evidence: dict[str, Any]


class Standings:
    def __init__(self, rule: ProbationRule) -> None:
        self.rule = rule
        self.records: dict[str, Record] = {}
        self._explored: set[str] = set()  # positions

    def on_probation(self) -> dict[str, Record]:
        return {symbol: record for symbol, record in self.records.items() if record.began_ns is not None}

    # --- what happens ---

    def opened(self, data: Data) -> None:
        if data.get("explored", False):
            self._explored.add(data["position_id"])

    def closed(self, symbol: str, data: Data, at_ns: int) -> None:
        """A position that is over."""
        if data["position_id"] in self._explored:
            self._explored.remove(data["position_id"])
        elif not data.get("adopted", False) and data["pnl_usd"] is not None:
            self._record(symbol).trades.append(_finished(data, at_ns))

    def shadow_closed(self, symbol: str, data: Data, at_ns: int) -> None:
        record = self._record(symbol)
        usable = data.get("tradable", True) and data["pnl_r"] is not None and data["pnl_usd"] is not None
        if record.began_ns is not None and usable:
            record.shadows.append(_finished(data, at_ns))

    def _record(self, symbol: str) -> Record:
        return self.records.setdefault(symbol, Record())

    # --- what follows from it ---

    def look(self, symbol: str, equity_usd: Decimal, now_ns: int) -> Change | None:
        record = self._record(symbol)
        if record.began_ns is not None:
            return self._may_return(symbol, record, now_ns)
        judged = standing(record.trades, equity_usd, now_ns, record.returned_ns, self.rule)
        if not judged.on:
            return None
        evidence = {"trades": len(record.trades), "equity_usd": format(equity_usd, "f")}
        return Change(symbol=symbol, on=True, reason=judged.reason, evidence=evidence)

    def _may_return(self, symbol: str, record: Record, now_ns: int) -> Change | None:
        assert record.began_ns is not None
        if stays(record.shadows, record.began_ns, now_ns, self.rule).on:
            return None
        results = [shadow.pnl_r for shadow in record.shadows]
        mean = sum(results) / len(results)
        reason = f"{len(results)} shadows with a mean of {mean:.2f} R"
        return Change(symbol=symbol, on=False, reason=reason, evidence={"shadows": len(results), "mean_r": mean})

    def warning(self, symbol: str, equity_usd: Decimal, now_ns: int) -> str:
        """Worth telling after a trade, once for each streak, and no more."""
        record = self._record(symbol)
        before, after = (
            standing(trades, equity_usd, now_ns, record.returned_ns, self.rule).warning
            for trades in (record.trades[:-1], record.trades)
        )
        return "" if before else after

    def change(self, symbol: str, reason: str, now_ns: int, *, on: bool) -> None:
        record = self._record(symbol)
        record.reason, record.shadows = reason, []
        record.began_ns, record.returned_ns = (now_ns, record.returned_ns) if on else (None, now_ns)


def _finished(data: Data, at_ns: int) -> Finished:
    r = data["pnl_r"]
    return Finished(closed_ns=at_ns, pnl_usd=Decimal(data["pnl_usd"]), pnl_r=nan if r is None else r)
