"""How much may be learned about a multiplier's subject: magnet-aligned trades, and each strategy. Pure, of a ledger.

A strategy's observations are the mean R of what it traded in each 4 h block, all symbols and directions together; those of
magnet-aligned trades are windows, held against the chance each had. Only the configuration in force counts. `significant` asks for
the sequential test and for Benjamini-Hochberg over all strategies (quant 7).
"""

from __future__ import annotations

from math import sqrt
from typing import Any

from msgspec import Struct, to_builtins

from bot.learning.clusters import block_of
from bot.learning.ledger import MODE, Ledger
from bot.learning.multiple import Q, adjusted
from bot.learning.scores import MIN_EFFECTIVE_N
from bot.learning.sequences import Mean, mean_of
from bot.trading.learned import MAGNET_ALIGNED, strategy_subject


class Evidence(Struct, frozen=True, kw_only=True):
    """`z` says which way and how far a step goes; None where nothing is known. `why_not`: why it is not significant."""

    subject: str
    z: float | None
    figures: dict[str, Any]
    why_not: str = ""

    @property
    def significant(self) -> bool:
        return not self.why_not


def evidence(ledger: Ledger, now_ns: int) -> dict[str, Evidence]:
    """Of every subject there is, by its name."""
    means = {name: mean_of(_results(ledger, name, now_ns)) for name in _strategies(ledger)}
    q_values = adjusted([mean.p if mean.n >= MIN_EFFECTIVE_N else 1.0 for mean in means.values()])
    found = [_magnet(ledger, now_ns)]
    found += [_strategy(name, mean, q) for (name, mean), q in zip(means.items(), q_values, strict=True)]
    return {each.subject: each for each in found}


def since_change(ledger: Ledger, subject: str, changed_ns: int, now_ns: int) -> Mean:
    """The confidence sequence begun anew at a change, in R or, for magnet-aligned trades, in hits beyond chance.

    The block of the change itself does not count: what ended in it was mostly decided before."""
    after = block_of(changed_ns) + 1
    if subject == MAGNET_ALIGNED:
        windows = ledger.max_pain.observations(ledger.rules, now_ns, changed_ns)
        return mean_of([hit - chance for hit, chance in windows])
    return mean_of(_results(ledger, subject.partition(":")[2], now_ns, after))


def _strategies(ledger: Ledger) -> list[str]:
    return sorted({cell.strategy for cell in ledger.live.of if cell.rules == ledger.rules and cell.subject[1] == MODE})


def _results(ledger: Ledger, strategy: str, now_ns: int, first: int = 0) -> list[float]:
    """Mean R of each block that is over, in their order."""
    blocks: dict[int, tuple[int, float]] = {}
    for cell, sums in ledger.live.of.items():
        if cell.rules == ledger.rules and cell.strategy == strategy:
            for block, each in sums.items():
                n, r = blocks.get(block, (0, 0.0))
                blocks[block] = n + each.n, r + each.r
    over = block_of(max(now_ns, ledger.now_ns))
    return [r / n for block, (n, r) in sorted(blocks.items()) if first <= block < over]


def _magnet(ledger: Ledger, now_ns: int) -> Evidence:
    hits = ledger.max_pain.score(ledger.rules, now_ns)
    why_not = ""
    if not hits.significant:
        why_not = f"{hits.hits} hits in {hits.n} windows do not show more than 60 % and more than chance"
    return Evidence(subject=MAGNET_ALIGNED, z=hits.z, figures=to_builtins(hits), why_not=why_not)


def _strategy(name: str, mean: Mean, q: float) -> Evidence:
    figures = {"effective_n": mean.n, "mean_r": mean.mean, "lo_r": mean.lo, "hi_r": mean.hi, "p": mean.p, "q": q}
    return Evidence(subject=strategy_subject(name), z=_z(mean), figures=figures, why_not=_why_not(mean, q))


def _z(mean: Mean) -> float | None:
    if mean.mean is None or not mean.sd:
        return None
    return mean.mean * sqrt(mean.n) / mean.sd


def _why_not(mean: Mean, q: float) -> str:
    if mean.n < MIN_EFFECTIVE_N:
        return f"{mean.n} of the {MIN_EFFECTIVE_N} blocks of 4 h that a judgement needs"
    if mean.lo is None or mean.hi is None or mean.lo <= 0 <= mean.hi:
        return "the interval of its mean R contains 0"
    return "" if q <= Q else f"not significant among so many strategies (q {q:.2f} > {Q:.2f})"
