"""Engine processes that share a budget, as a server sees them. `python -m tests.budget_processes` is the long form."""

from __future__ import annotations

from tests.budget_processes import run

SPEED = 20
SLACK_S = 0.01 * SPEED  # between the budget's word and the stamp on the call a busy machine may run another program


async def test_four_engines_keep_to_one_budget_and_one_that_is_killed_leaves_it_to_the_others() -> None:
    out = await run(4, 2, SPEED, kill=True)
    assert out.most_in_60_s <= 25
    assert out.least_gap_leaving_s >= 2.5 - SLACK_S
    assert out.used_pct >= 95
    assert out.killed_ns is not None
    later = out.by_engine(out.killed_ns + int(5e9))
    assert set(out.by_engine()) == {0, 1, 2, 3} and set(later) == {1, 2, 3}
    assert max(later.values()) - min(later.values()) <= 2  # they share what it leaves alike
