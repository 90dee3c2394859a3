"""Whether the engine lives, and whether it may make entries now: `/livez`, `/readyz`. Pure: snapshots in, problems out.

Alive is what a restart could mend: the loop answers (else nobody hears this) and the journal's writer writes. Ready is what an
operator waits for: reconciled and ACTIVE, books fresh, journal and loop in time, the venue's clock and ours together. A market
in which nobody trades for a while is no problem by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bot.journal.writer import JournalStats
from bot.trading.risk import RiskParams

STUCK_S = 15.0  # a writer that takes longer for a commit does not come back by itself
BEHIND_S = 2.0  # by then the executor drops an entry whose intent is not on the disk
LATE_S = 2.0  # of the loop, within the last minute: ages and stops are judged too late by then
NO_PAUSE_S = 2.0  # without a moment between two frames


def not_alive(journal: JournalStats) -> list[str]:
    return list(_writer(journal, STUCK_S))


def not_ready(
    status: Mapping[str, Any], journal: JournalStats, lag_ms: Mapping[str, float] | None, risk: RiskParams
) -> list[str]:
    """`status` as `GET /api/status` answers it, `lag_ms` the loop's lateness of the last minute."""
    found = (
        [] if status["state"] == "ACTIVE" else [f"state is {status['state']}: {status['state_reason'] or 'starting'}"]
    )
    found += _writer(journal, BEHIND_S)
    if lag_ms is not None and not lag_ms["max"] <= LATE_S * 1e3:
        found.append(f"the loop was {lag_ms['max'] / 1e3:.1f} s late within the last minute, limit {LATE_S:g} s")
    return found + [f"{row['symbol']}: {problem}" for row in status["markets"] for problem in _market(row, risk)]


def _writer(journal: JournalStats, limit_s: float) -> Iterator[str]:
    if journal.failure is not None:
        yield journal.failure
    elif not journal.running:
        yield "the journal's writer does not run"
    elif not journal.behind_s <= limit_s:
        yield f"the journal is {journal.behind_s:.1f} s behind, limit {limit_s:g} s"


def _market(row: Mapping[str, Any], risk: RiskParams) -> Iterator[str]:
    age_s, ahead_s = row["book_age_s"], row["stamped_ahead_s"]
    if not row["usable"] or age_s is None:
        yield "no usable order book"
    elif not age_s <= risk.book_max_age_s:
        yield f"the order book is {age_s:.1f} s old, limit {risk.book_max_age_s:g} s"
    if ahead_s is not None and not abs(ahead_s) <= risk.clock_max_s:
        yield f"the venue's clock is {ahead_s:+.1f} s from ours, limit {risk.clock_max_s:g} s"
