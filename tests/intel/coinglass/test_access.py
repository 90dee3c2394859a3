"""Which plan is obeyed, what a refusal closes, and what opens it again; the one table of plans."""

from __future__ import annotations

import pytest

from bot.domain.values import NS
from bot.intel.coinglass.access import Access
from bot.intel.coinglass.plans import CROWD, HEATMAP, INTEREST, PAIN, TAKER, WALLS, Endpoint, Plan, coverage
from bot.intel.coinglass.schema import Subscription

DAY = 86_400 * NS


def subscription(plan: Plan | None) -> Subscription:
    return Subscription(level=str(plan or "GALACTIC").upper(), plan=plan, expired=False)


@pytest.mark.parametrize(
    ("plan", "covered"),
    [
        (Plan.HOBBYIST, {TAKER, PAIN, INTEREST}),
        (Plan.STARTUP, {TAKER, PAIN, INTEREST}),
        (Plan.STANDARD, {TAKER, PAIN, INTEREST, WALLS, CROWD}),
        (Plan.PROFESSIONAL, {TAKER, PAIN, INTEREST, WALLS, CROWD, HEATMAP}),
        (Plan.ENTERPRISE, {TAKER, PAIN, INTEREST, WALLS, CROWD, HEATMAP}),
    ],
)
def test_what_each_plan_covers(plan: Plan, covered: set[Endpoint]) -> None:
    told = coverage(plan)
    assert {name for name, what in told.items() if what == "covered"} == {each.reading for each in covered}
    assert "from own" in coverage(Plan.HOBBYIST)["walls"] and coverage(None)["walls"] == "unknown"


@pytest.mark.parametrize(
    ("setting", "told", "obeyed"),
    [
        ("auto", None, None),
        ("auto", Plan.STANDARD, Plan.STANDARD),
        (Plan.STARTUP, None, Plan.STARTUP),
        (Plan.STARTUP, Plan.PROFESSIONAL, Plan.STARTUP),
        (Plan.PROFESSIONAL, Plan.STARTUP, Plan.STARTUP),
    ],
)
def test_the_smaller_of_what_is_set_and_told(setting: Plan, told: Plan | None, obeyed: Plan | None) -> None:
    it = Access(setting)
    it.subscribed(subscription(told))
    assert it.plan is obeyed


@pytest.mark.parametrize(
    ("now", "later", "opened"),
    [
        (Plan.HOBBYIST, Plan.PROFESSIONAL, True),
        (Plan.PROFESSIONAL, Plan.HOBBYIST, False),
        (Plan.STANDARD, Plan.STANDARD, False),
        (Plan.STANDARD, None, True),
    ],
)
def test_a_plan_that_grows_opens_what_was_refused(now: Plan, later: Plan | None, opened: bool) -> None:
    it = Access("auto")
    it.subscribed(subscription(now))
    assert it.refuse(HEATMAP, "not in plan: code 401", 5) == it.refused_until_ns(HEATMAP) == 5 + DAY
    assert it.subscribed(subscription(later)) == (now is not later)
    assert (it.refused_until_ns(HEATMAP) == 0) == opened


def test_an_answer_opens_its_endpoint_and_clears_the_key() -> None:
    it = Access("auto", key_refused_ns=7)
    it.refuse(CROWD, "interval not in plan", 7)
    assert it.key_until_ns() == 7 + DAY and it.answer()["key"] == "refused"
    assert it.problem(CROWD) == it.answer()["readings"]["long_short"] == "interval not in plan"
    it.answered(CROWD)
    assert (it.key_until_ns(), it.refused_until_ns(CROWD), it.problem(CROWD), it.answer()["key"]) == (0, 0, "", "ok")
