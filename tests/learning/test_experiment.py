"""The false-positive experiment on a fixed few seeds; `python -m tests.ledger_experiment` runs more."""

from __future__ import annotations

from tests.ledger_experiment import MAX_FALSE, run

SEEDS = range(10)


def test_real_guards_are_found_and_noise_is_left_alone() -> None:
    found = run(SEEDS)
    assert (found.helpful, found.harmful, found.wrong_way) == (len(SEEDS), len(SEEDS), 0)
    assert found.false_rate <= MAX_FALSE
