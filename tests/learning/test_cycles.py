"""When the desk looks at the ledger, what it says then, and what comes of it."""

from __future__ import annotations

from itertools import pairwise
from math import isclose

import msgspec
import pytest

from bot.domain.messages import ApplyRequest, LearnRequest, UndoRequest
from bot.learning.cycle import cycle_data
from bot.learning.desk import learning_of
from bot.learning.evidence import evidence
from bot.learning.recommendations import stepped
from bot.learning.scores import score
from bot.learning.sequences import half_width
from bot.trading.learned import MAGNET_ALIGNED
from tests.learning.histories import BLOCK, HOUR, START, History
from tests.learning.lessons import Lesson

OFI = "strategy:ofi"


def winning(lesson: Lesson, blocks: int, r: float = 0.5, strategy: str = "ofi") -> Lesson:
    """A trade a block, so clearly good (or bad) that nobody could doubt it."""
    for i in range(blocks):
        lesson.trade(r + (i % 2) / 10, strategy)
        lesson.blocks()
    return lesson


def apply(lesson: Lesson, subject: str = OFI, *, anyway: bool = False) -> dict[str, object]:
    lesson.ask(ApplyRequest(request_id="r1", subject=subject, anyway=anyway))
    return lesson.of("ADJUSTMENT")[-1]


def undo(lesson: Lesson, subject: str | None = None) -> dict[str, object]:
    lesson.ask(UndoRequest(request_id="r2", subject=subject))
    return lesson.of("ADJUSTMENT")[-1]


def cycles(lesson: Lesson) -> list[int]:
    return [event.ts for event in lesson.events if event.kind == "LEARNING_CYCLE"]


# --- when --------------------------------------------------------------------------------------------------------------


def test_a_cycle_begins_each_block_and_none_the_first() -> None:
    lesson = Lesson()
    lesson.later(9 * HOUR, every=HOUR)
    assert cycles(lesson) == [START + BLOCK, START + 2 * BLOCK]
    assert {data["type"] for data in lesson.of("LEARNING_CYCLE")} == {"scheduled"}


@pytest.mark.parametrize("restarts", [False, True])
def test_time_that_was_set_back_brings_no_cycle_again(restarts: bool) -> None:
    lesson = Lesson()
    lesson.blocks(2)
    lesson.now_ns -= 3 * HOUR
    if restarts:
        lesson.restart()
    lesson.later(2 * HOUR, every=HOUR)
    assert len(cycles(lesson)) == 2
    lesson.blocks(2)
    assert len(cycles(lesson)) == 3  # the second block was had already


def test_after_hours_of_standstill_there_is_one_cycle() -> None:
    lesson = Lesson()
    lesson.wait(3 * BLOCK + HOUR)
    lesson.restart()
    lesson.second()
    lesson.second()
    assert cycles(lesson) == [START + 3 * BLOCK + HOUR]


def test_a_cycle_on_demand_takes_the_place_of_none() -> None:
    lesson = Lesson()
    lesson.ask(LearnRequest(request_id="r9"))
    (told,) = lesson.of("LEARNING_CYCLE")
    assert (told["type"], told["request_id"], told["applied"]) == ("on demand", "r9", False)
    lesson.blocks()
    assert len(cycles(lesson)) == 2


def test_a_window_without_trades_says_so() -> None:
    lesson = Lesson()
    lesson.blocks()
    (told,) = lesson.of("LEARNING_CYCLE")
    assert told["evidence"]["window"]["note"] == "no signals and no trades in this window"
    lesson.refused(-1.0)
    lesson.blocks()
    told = lesson.of("LEARNING_CYCLE")[-1]
    assert (told["evidence"]["signals"], told["evidence"]["blocked"]) == (1, 1)
    assert told["evidence"]["window"]["note"] == ""
    lesson.blocks()
    assert lesson.of("LEARNING_CYCLE")[-1]["evidence"]["window"]["note"] == "no signals and no trades in this window"


def test_what_a_cycle_tells_is_what_the_ledger_of_the_journal_says() -> None:
    lesson = Lesson()
    lesson.refused(-1.0).refused(2.0, by=["b"])
    lesson.trade(0.5)
    lesson.blocks()
    ledger = lesson.ledger()
    whole = cycle_data(score(ledger, now_ns=lesson.now_ns), score(ledger, now_ns=lesson.now_ns))
    told = lesson.of("LEARNING_CYCLE")[-1]["evidence"]
    for name in ("guards", "strategies", "max_pain", "signals", "allowed", "blocked"):
        assert told[name] == whole[name]
    msgspec.json.encode(told)


# --- multipliers -------------------------------------------------------------------------------------------------------


def test_nothing_is_applied_by_itself() -> None:
    lesson = winning(Lesson(), 40)
    recommended = [data for data in lesson.of("RECOMMENDATION") if data["subject"] == OFI]
    assert recommended[-1]["type"] == "INCREASE_CONVICTION" and recommended[-1]["significant"]
    assert lesson.of("ADJUSTMENT") == [] and lesson.learned.multipliers == {}


def test_apply_moves_one_step_and_undo_takes_it_back() -> None:
    lesson = winning(Lesson(), 40)
    told = apply(lesson)
    assert (told["type"], told["before"], told["after"], told["applied"]) == ("multiplier", 1.0, 1.05, True)
    assert lesson.view.learned(OFI) == 1.05
    told = undo(lesson)
    assert (told["type"], told["subject"], told["before"], told["after"]) == ("undo", OFI, 1.05, 1.0)
    assert lesson.learned.multipliers == {}


def test_a_losing_strategy_is_made_smaller() -> None:
    lesson = winning(Lesson(probation={"loss_pct": 100, "min_trades": 1000}), 40, r=-0.6)
    assert lesson.of("RECOMMENDATION")[-1]["type"] == "REDUCE_CONVICTION"
    assert apply(lesson)["after"] == 0.95


@pytest.mark.parametrize(("since", "applied"), [(24 * HOUR - 1, False), (24 * HOUR, True)])
def test_a_step_a_day(since: int, applied: bool) -> None:
    lesson = winning(Lesson(), 40)
    apply(lesson)
    lesson.wait(since)
    told = apply(lesson)
    assert told["applied"] is applied
    assert told["reason"] == ("" if applied else "changed less than 24 h ago")


def test_never_beyond_one_and_a_half() -> None:
    lesson = winning(Lesson(), 40)
    for _ in range(12):
        apply(lesson)
        lesson.wait(24 * HOUR)
    assert lesson.view.learned(OFI) == 1.5
    assert apply(lesson)["reason"] == "it stays at 1.5"
    for _ in range(9):
        undo(lesson)
    assert lesson.learned.multipliers == {} and undo(lesson)["reason"] == "nothing to undo"


def test_what_is_not_significant_is_refused_unless_asked_for() -> None:
    lesson = winning(Lesson(), 10)
    told = apply(lesson)
    assert told["reason"] == "not significant: 10 of the 30 blocks of 4 h that a judgement needs"
    assert (told["applied"], told["significant"], told["request_id"]) == (False, False, "r1")
    told = apply(lesson, anyway=True)
    assert (told["applied"], told["significant"], lesson.view.learned(OFI)) == (True, False, 1.05)


@pytest.mark.parametrize("subject", ["strategy:none", "risk_limits", "probation", "taker_aggression", "magnet_aligned"])
def test_there_is_no_step_without_evidence_nor_for_a_guard(subject: str) -> None:
    lesson = winning(Lesson(), 40)
    assert apply(lesson, subject, anyway=True)["reason"] == "there is no evidence about it"
    assert lesson.learned.multipliers == {}


def test_magnet_aligned_moves_by_the_hits_beyond_chance() -> None:
    lesson = Lesson()
    for i in range(40):
        lesson.magnet(i % 8 > 0, chance=0.3)
        lesson.blocks()
    recommended = lesson.of("RECOMMENDATION")[-1]
    assert (recommended["type"], recommended["subject"]) == ("INCREASE_CONVICTION", MAGNET_ALIGNED)
    assert {"n", "lo", "hi", "mean_chance", "e_value", "z"} <= recommended["evidence"].keys()
    told = apply(lesson, MAGNET_ALIGNED)
    assert told["significant"] and isclose(lesson.view.learned(MAGNET_ALIGNED), 1.05)


def test_hits_that_chance_explains_are_recommended_as_not_significant_and_refused() -> None:
    lesson = Lesson()
    for i in range(40):
        lesson.magnet(i % 8 > 0, chance=0.875)
        lesson.blocks()
    recommended = lesson.of("RECOMMENDATION")[-1]
    assert (recommended["subject"], recommended["significant"]) == (MAGNET_ALIGNED, False)
    assert not apply(lesson, MAGNET_ALIGNED)["applied"]


def test_a_step_is_as_large_as_the_evidence() -> None:
    assert (stepped(1.0, 2.0), stepped(1.49, 3.0), stepped(0.51, -3.0)) == (1.05, 1.5, 0.5)
    assert 1.0 < stepped(1.0, 0.5) < 1.05


# --- by itself ---------------------------------------------------------------------------------------------------------


def test_auto_apply_waits_for_significance_and_for_a_day() -> None:
    lesson = winning(Lesson(auto_apply=True), 60)
    steps = [event for event in lesson.events if event.kind == "ADJUSTMENT"]
    assert all(event.data["by"] == "auto_apply" and event.data["significant"] for event in steps)
    assert steps[0].ts == START + 30 * BLOCK
    assert {b.ts - a.ts for a, b in pairwise(steps)} == {24 * HOUR}
    applied = [data["applied"] for data in lesson.of("RECOMMENDATION") if data["subject"] == OFI]
    assert applied.count(True) == len(steps)


@pytest.mark.parametrize("by_itself", [False, True])
def test_a_step_is_reverted_when_the_evidence_turns(by_itself: bool) -> None:
    lesson = winning(Lesson(auto_apply=by_itself, probation={"loss_pct": 100, "min_trades": 1000}), 31)
    if not by_itself:
        apply(lesson)
    assert lesson.view.learned(OFI) == 1.05
    winning(lesson, 30, r=-1.0)
    (told,) = [data for data in lesson.of("ADJUSTMENT") if data["type"] == "revert"]
    assert (told["subject"], told["after"], told["applied"]) == (OFI, 1.0, True)
    assert told["evidence"]["hi"] < 0 and told["evidence"]["n"] >= 20


@pytest.mark.parametrize("restarts", [False, True])
def test_after_a_revert_the_next_step_waits_a_day(restarts: bool) -> None:
    lesson = winning(Lesson(probation={"loss_pct": 100, "min_trades": 1000}), 31)
    apply(lesson)
    while not (reverted := [data for data in lesson.of("ADJUSTMENT") if data["type"] == "revert"]):
        winning(lesson, 1, r=-1.0)
    assert len(reverted) == 1
    if restarts:
        lesson.restart()
    lesson.wait(24 * HOUR - 1)
    assert apply(lesson, anyway=True)["reason"] == "changed less than 24 h ago"
    lesson.wait(1)
    assert apply(lesson, anyway=True)["applied"]


def test_a_step_is_kept_while_nothing_speaks_against_it() -> None:
    lesson = winning(Lesson(), 31)
    apply(lesson)
    winning(lesson, 30)
    assert lesson.view.learned(OFI) == 1.05


def test_what_was_learned_under_other_rules_is_reverted() -> None:
    lesson = winning(Lesson(), 31)
    apply(lesson)
    lesson.restart(rules="rules-2")
    lesson.blocks()
    assert lesson.of("ADJUSTMENT")[-1]["reason"] == "learned under another configuration"
    assert lesson.learned.multipliers == {}


# --- restart -----------------------------------------------------------------------------------------------------------


def test_a_restart_changes_nothing() -> None:
    lesson = winning(Lesson(), 35)
    apply(lesson)
    lesson.wait(24 * HOUR)
    apply(lesson)
    apply(lesson, "strategy:none")
    before, answer = lesson.desk.in_force(), lesson.desk.answer(lesson.now_ns)
    lesson.restart()
    assert lesson.desk.in_force() == before and len(before[0]) == 2
    assert lesson.desk.answer(lesson.now_ns) == answer
    undo(lesson)
    assert lesson.view.learned(OFI) == 1.05


def test_a_reader_of_the_journal_is_told_the_same() -> None:
    lesson = winning(Lesson(), 35)
    apply(lesson)
    answer = lesson.desk.answer(lesson.now_ns)
    assert learning_of(lesson.events) == {"running": False, **answer}


def test_a_tape_carries_what_is_in_force() -> None:
    lesson = winning(Lesson(), 35)
    apply(lesson)
    other = Lesson()
    other.desk.take_over(*lesson.desk.in_force())
    assert other.desk.in_force() == lesson.desk.in_force()
    assert other.view.learned(OFI) == 1.05


# --- what is evidence --------------------------------------------------------------------------------------------------


def test_trades_of_a_block_that_is_not_over_do_not_count_yet() -> None:
    lesson = winning(Lesson(), 29)
    lesson.trade(0.5)
    assert apply(lesson)["reason"] == "not significant: 29 of the 30 blocks of 4 h that a judgement needs"
    lesson.blocks()
    assert apply(lesson)["applied"]


def test_one_strategys_trades_are_no_evidence_about_another() -> None:
    lesson = winning(winning(Lesson(probation={"loss_pct": 100, "min_trades": 1000}), 40), 40, -0.6, "trend")
    assert (apply(lesson)["after"], apply(lesson, "strategy:trend")["after"]) == (1.05, 0.95)


@pytest.mark.parametrize(("others", "significant"), [(0, True), (9, False)])
def test_many_strategies_looked_at_need_more_evidence_of_each(others: int, significant: bool) -> None:
    mean = 1.05 * half_width(30, (30 / 29) ** 0.5)  # just beyond what one strategy needs
    history = History()
    for i in range(30):
        for name, middle in [("ofi", mean), *((f"noise{n}", 0.0) for n in range(others))]:
            history.close(history.open(history.decide(strategy=name), shadow=False), middle + (-1) ** i)
        history.wait(BLOCK)
    found = evidence(history.ledger(), history.now_ns)[OFI]
    assert found.significant is significant
    assert significant or found.why_not.startswith("not significant among so many strategies")


def test_the_magnets_step_is_reverted_by_what_came_after_it_alone() -> None:
    lesson = Lesson()
    for i in range(60):
        lesson.magnet(i < 35, chance=0.3)
        lesson.blocks()
        if i == 34:
            assert apply(lesson, MAGNET_ALIGNED)["applied"]
    (told,) = [data for data in lesson.of("ADJUSTMENT") if data["type"] == "revert"]
    assert (told["subject"], told["evidence"]["n"]) == (MAGNET_ALIGNED, 20)
