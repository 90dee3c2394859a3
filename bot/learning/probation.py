"""Which symbols may not be traded for now, and when they may again (product 8). A pure rule over finished trades.

The caller keeps who is on probation since when, and passes one symbol's trades; the guard `probation` does the refusing.
Only trades that ended after the symbol's last return count, or the losses that put it there would do so again at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from math import fsum, isfinite

from msgspec import Struct
from pydantic import Field

from bot.domain.params import Params
from bot.domain.values import NS
from bot.learning.clusters import block_of
from bot.learning.sequences import mean_of

DAY_NS = 86400 * NS


class ProbationRule(Params):
    days: int = Field(7, ge=1, le=90, description="losses of so many rolling days count")
    loss_pct: Decimal = Field(
        Decimal(2), gt=0, le=100, description="of equity; a larger loss puts a symbol on probation"
    )
    min_trades: int = Field(20, ge=2, description="finished trades before their mean can put a symbol on probation")
    min_hours: int = Field(24, ge=0, description="probation lasts at least this long")
    min_shadows: int = Field(5, ge=1, description="shadows since, with a mean above 0, before it ends")
    warn_losses: int = Field(3, ge=2, description="losses in a row that are worth a warning, and no more")


DEFAULTS = ProbationRule()


class Finished(Struct, frozen=True, kw_only=True):
    """A trade or shadow of one symbol. Adopted positions and shadows that could not have been opened do not belong here."""

    closed_ns: int
    pnl_usd: Decimal
    pnl_r: float


class Standing(Struct, frozen=True, kw_only=True):
    """`on` with its reason, or off; `warning` is for the trader and changes nothing."""

    on: bool
    reason: str = ""
    warning: str = ""


def standing(
    trades: Sequence[Finished],
    equity_usd: Decimal,
    now_ns: int,
    returned_ns: int | None = None,
    rule: ProbationRule = DEFAULTS,
) -> Standing:
    """Of a symbol that is not on probation: whether it has to be. `trades` are its live ones in the order they ended."""
    since = [trade for trade in trades if returned_ns is None or trade.closed_ns > returned_ns]
    reason = _lost(since, equity_usd, now_ns, rule) or _loses(since, rule)
    return Standing(on=bool(reason), reason=reason, warning=_streak(since, rule))


def stays(shadows: Sequence[Finished], began_ns: int, now_ns: int, rule: ProbationRule = DEFAULTS) -> Standing:
    """Of a symbol on probation since `began_ns`: whether it is still, and what it waits for."""
    if now_ns - began_ns < rule.min_hours * 3600 * NS:
        return Standing(on=True, reason=f"less than {rule.min_hours} h")
    since = [shadow.pnl_r for shadow in shadows if shadow.closed_ns > began_ns]
    if len(since) < rule.min_shadows:
        return Standing(on=True, reason=f"{len(since)} of {rule.min_shadows} shadows")
    mean = fsum(since) / len(since)
    if not mean > 0:
        return Standing(on=True, reason=f"shadows since have a mean of {mean:.2f} R")
    return Standing(on=False)


def _lost(trades: Sequence[Finished], equity_usd: Decimal, now_ns: int, rule: ProbationRule) -> str:
    first_ns = now_ns - rule.days * DAY_NS
    loss = -sum((trade.pnl_usd for trade in trades if trade.closed_ns > first_ns), Decimal(0))
    if loss * 100 <= rule.loss_pct * equity_usd:
        return ""
    return f"lost {loss:.2f} USD in {rule.days} days, more than {rule.loss_pct} % of equity"


def _loses(trades: Sequence[Finished], rule: ProbationRule) -> str:
    """The upper limit may be looked at after every trade. Trades of one 4 h block are one observation."""
    usable = [trade for trade in trades if isfinite(trade.pnl_r)]
    if len(usable) < rule.min_trades:
        return ""
    blocks: dict[int, list[float]] = {}
    for trade in usable:
        blocks.setdefault(block_of(trade.closed_ns), []).append(trade.pnl_r)
    mean = mean_of([fsum(each) / len(each) for each in blocks.values()], first_n=2)
    if mean.hi is None or not mean.hi < 0:
        return ""
    return f"{len(usable)} trades with a mean of {mean.mean:.2f} R, at most {mean.hi:.2f} R"


def _streak(trades: Sequence[Finished], rule: ProbationRule) -> str:
    streak = 0
    for trade in reversed(trades):
        if trade.pnl_usd >= 0:
            break
        streak += 1
    return f"{streak} losses in a row" if streak >= rule.warn_losses else ""
