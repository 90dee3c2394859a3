"""What the ledger's figures recommend to the trader. Nothing here applies anything; safety guards are never a subject.

`type` and `subject` name it, `evidence` are the figures it rests on, as the RECOMMENDATION event holds them.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from math import exp
from typing import Any

from msgspec import Struct, to_builtins

from bot.learning.evidence import Evidence
from bot.learning.max_pain import MaxPainScore
from bot.learning.results import GuardRow, Judgement, Score
from bot.trading.guards.probation import Probation
from bot.trading.guards.risk_limits import RiskLimits
from bot.trading.learned import MAGNET_ALIGNED

STEP = 0.05  # a day at most
LEAST, MOST = 0.5, 1.5
SAFETY = frozenset({Probation.name, RiskLimits.name})


class Kind(StrEnum):
    INCREASE_CONVICTION = "INCREASE_CONVICTION"
    REDUCE_CONVICTION = "REDUCE_CONVICTION"
    REVIEW_GUARD = "REVIEW_GUARD"  # it costs more than it saves: for the trader to decide


class Recommendation(Struct, frozen=True, kw_only=True):
    type: Kind
    subject: str
    evidence: dict[str, Any]
    significant: bool
    applied: bool = False


def recommendations(score: Score, known: Mapping[str, Evidence] | None = None) -> list[Recommendation]:
    """Of a score of the whole history, and of what is known about strategies."""
    found = [_review(row) for row in score.guards if row.judgement is Judgement.HARMFUL and row.guard not in SAFETY]
    strategies = [_strategy(each) for each in (known or {}).values() if each.subject != MAGNET_ALIGNED]
    return [*_conviction(score.max_pain), *(each for each in strategies if each.significant), *found]


def _conviction(hits: MaxPainScore) -> list[Recommendation]:
    """Magnet-aligned trades, when more than 60 % of the windows saw max pain. Whether that is more than chance it says itself."""
    if not hits.above_target:
        return []
    evidence = to_builtins(hits)
    return [
        Recommendation(
            type=Kind.INCREASE_CONVICTION, subject=MAGNET_ALIGNED, evidence=evidence, significant=hits.significant
        )
    ]


def _strategy(of: Evidence) -> Recommendation:
    kind = Kind.INCREASE_CONVICTION if of.z is not None and of.z > 0 else Kind.REDUCE_CONVICTION
    return Recommendation(type=kind, subject=of.subject, evidence=of.figures, significant=of.significant)


def _review(row: GuardRow) -> Recommendation:
    evidence = {"direction": row.direction, "version": row.version, "trades": row.trades}
    evidence |= {"net_r": row.net_r, "net_usd": format(row.net_usd, "f")} | to_builtins(row.value)
    return Recommendation(type=Kind.REVIEW_GUARD, subject=row.guard, evidence=evidence, significant=True)


def stepped(multiplier: float, z: float) -> float:
    """A learned multiplier after one step of evidence `z`: e^(0.05·z), at most 5 % up or down, within [0.5, 1.5]."""
    step = min(max(exp(STEP * z), 1 - STEP), 1 + STEP)
    return min(max(multiplier * step, LEAST), MOST)
