"""Probation as the desk keeps it: on, back, across restarts, and what does not count."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from bot.domain.values import BLOCK as REFUSES
from bot.domain.values import Outcome
from bot.trading.guards.probation import Probation, ProbationParams
from tests.build import BTC, context, signal
from tests.learning.histories import HOUR, START, SYMBOL
from tests.learning.lessons import Lesson


def loses(lesson: Lesson, usd: float, **more: Any) -> None:
    """A position that loses so many USD; a History's R is 10 USD."""
    lesson.trade(-usd / 10, **more)


def verdict(lesson: Lesson) -> Outcome:
    return Probation(ProbationParams(), context()).check(signal(), lesson.view).outcome


def shadows(lesson: Lesson, results: list[float], **more: Any) -> None:
    lesson.wait(1)
    for r in results:
        lesson.close(lesson.open(lesson.decide(by=["a"]), **more), r, **more)


def adjustments(lesson: Lesson) -> list[str]:
    return [data["type"] for data in lesson.of("ADJUSTMENT")]


@pytest.mark.parametrize(("usd", "on"), [(200.0, False), (200.01, True)])
def test_a_loss_over_two_percent_of_equity(usd: float, on: bool) -> None:
    lesson = Lesson()
    loses(lesson, usd)
    assert (verdict(lesson) is REFUSES) is on
    assert adjustments(lesson) == ["probation"] * on
    if on:
        (told,) = lesson.of("ADJUSTMENT")
        assert (told["subject"], told["applied"]) == (SYMBOL, True) and "200.01 USD" in told["reason"]


def test_equity_that_falls_is_looked_at_each_cycle() -> None:
    lesson = Lesson()
    loses(lesson, 150)
    lesson.equity = Decimal(7000)
    lesson.blocks()
    assert verdict(lesson) is REFUSES


@pytest.mark.parametrize("more", [{"explored": True}, {"adopted": True}])
def test_what_does_not_count(more: dict[str, Any]) -> None:
    lesson = Lesson()
    position_id = lesson.open(lesson.decide(), shadow=False, **more)
    lesson.close(position_id, -50.0, **more)
    assert verdict(lesson) is not REFUSES


def test_three_losses_in_a_row_only_warn() -> None:
    lesson = Lesson()
    for expected in (0, 0, 1, 1):  # once for each streak
        loses(lesson, 10)
        assert len(lesson.of("RECOMMENDATION")) == expected
    (told,) = lesson.of("RECOMMENDATION")
    assert (told["type"], told["reason"], told["applied"]) == ("LOSSES_IN_A_ROW", "3 losses in a row", False)
    assert verdict(lesson) is not REFUSES


def test_back_after_a_day_and_five_good_shadows() -> None:
    lesson = Lesson()
    loses(lesson, 300)
    shadows(lesson, [1.0] * 5)
    lesson.later(24 * HOUR - 2, every=HOUR)
    assert verdict(lesson) is REFUSES
    lesson.later(1)
    assert verdict(lesson) is not REFUSES and adjustments(lesson) == ["probation", "probation_over"]
    lesson.blocks(2)
    assert verdict(lesson) is not REFUSES  # the same losses do not count again
    loses(lesson, 201)
    assert verdict(lesson) is REFUSES
    lesson.wait(24 * HOUR)
    shadows(lesson, [2.0] * 5)
    assert lesson.of("ADJUSTMENT")[-1]["evidence"] == {"shadows": 5, "mean_r": 2.0}


@pytest.mark.parametrize(
    ("results", "more", "back"),
    [
        ([1.0] * 4, {}, False),
        ([1.0, 1.0, -1.0, -1.0, 0.0], {}, False),  # a mean of nothing is not above 0
        ([1.0, 1.0, -1.0, -1.0, 0.01], {}, True),
        ([1.0] * 9, {"tradable": False}, False),
    ],
)
def test_shadows_that_do_not_bring_it_back(results: list[float], more: dict[str, Any], back: bool) -> None:
    lesson = Lesson()
    loses(lesson, 300)
    lesson.wait(25 * HOUR)
    shadows(lesson, results, **more)
    assert (verdict(lesson) is not REFUSES) is back


def test_shadows_from_before_do_not_count() -> None:
    lesson = Lesson()
    shadows(lesson, [1.0] * 9)
    loses(lesson, 300)
    lesson.later(30 * HOUR, every=HOUR)
    assert verdict(lesson) is REFUSES


def test_probation_survives_a_restart_with_all_it_has_seen() -> None:
    lesson = Lesson()
    loses(lesson, 300)
    began = lesson.now_ns
    shadows(lesson, [1.0] * 3)
    lesson.restart()
    assert verdict(lesson) is REFUSES and lesson.view.on_probation(BTC) is not None
    assert lesson.desk.in_force()[1][0]["since_ns"] == began
    lesson.later(24 * HOUR, every=HOUR)
    shadows(lesson, [1.0])
    assert verdict(lesson) is REFUSES
    shadows(lesson, [1.0])
    assert verdict(lesson) is not REFUSES
    lesson.restart()
    assert verdict(lesson) is not REFUSES
    lesson.blocks()
    assert verdict(lesson) is not REFUSES


def test_a_loss_that_no_number_tells_of_is_not_counted_as_none() -> None:
    """R unknown: the money still is."""
    lesson = Lesson()
    position_id = lesson.open(lesson.decide(), shadow=False)
    lesson.say("POSITION_CLOSED", {"position_id": position_id, "pnl_r": None, "pnl_usd": "-250"})
    assert verdict(lesson) is REFUSES
    assert lesson.now_ns == START
