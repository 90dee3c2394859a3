"""Which positions have a window of max pain, how it ends, and what is nobody's knowledge."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise
from math import isclose, log, sqrt
from statistics import pstdev
from typing import Any

import pytest

from bot.domain.messages import PriceTouched
from bot.domain.orders import Trigger
from bot.domain.reading import MaxPain
from bot.domain.values import NS
from bot.learning.max_pain import hit_chance
from tests.build import BTC, FakeView, bars, reading
from tests.learning.histories import HOUR, START
from tests.learning.lessons import Lesson

EXPIRY = "2024-10-05"  # START is 2024-10-04 00:00
MINUTE = 60 * NS


def pain(iv: float | None = 50.0, expiry: str = EXPIRY) -> Any:
    value = MaxPain(price=Decimal(66000), expiry=expiry, notional_usd=Decimal(10**9), atm_iv_pct=iv)
    return reading("max_pain", value, max_age_s=10**9, now_ns=START)


def opened(lesson: Lesson, *, shadow: bool = False, **frozen: Any) -> str:
    """A TRUE TREND long from 65,000 towards 66,000, held for 45 minutes."""
    facts: dict[str, Any] = {
        "direction": "long",
        "entry_price": "65000",
        "true_trend": True,
        "magnet": "MAGNET-WITH",
        "max_pain_at_entry": "66000",
        "max_pain_gap_pct": 1.5151515,
        "max_pain_expiry": EXPIRY,
        "min_hold_s": 2700,
    }
    return lesson.open(lesson.decide(), shadow=shadow, **{**facts, **frozen})


def results(lesson: Lesson) -> list[Any]:
    return [(data["hit"], data["window_s"]) for data in lesson.of("MAX_PAIN_RESULT")]


@pytest.mark.parametrize(
    ("frozen", "watched"),
    [
        ({}, True),
        ({"true_trend": False}, False),
        ({"magnet": "MAGNET-AGAINST"}, False),
        ({"max_pain_gap_pct": 0.5}, False),
        ({"max_pain_gap_pct": 0.5000001}, True),
        ({"max_pain_gap_pct": 10.0}, True),
        ({"max_pain_gap_pct": 10.0000001}, False),
        ({"max_pain_gap_pct": None, "max_pain_expiry": None, "magnet": None}, False),
        ({"max_pain_expiry": "2024-10-03"}, False),  # expired 16 hours ago
    ],
)
def test_who_has_a_window(frozen: dict[str, Any], watched: bool) -> None:
    lesson = Lesson(FakeView(pain()))
    position_id = opened(lesson, **frozen)
    assert (set(lesson.watches) == {position_id}) is watched
    lesson.later(HOUR)
    assert len(results(lesson)) == watched


@pytest.mark.parametrize(
    ("direction", "entry", "edge", "before"),
    [("long", "65000", "65670", "65669.9"), ("short", "67000", "66330", "66330.1")],
)
def test_a_touch_of_the_near_edge_is_a_hit_at_once(direction: str, entry: str, edge: str, before: str) -> None:
    lesson = Lesson(FakeView(pain()))
    position_id = opened(lesson, direction=direction, entry_price=entry)
    assert lesson.watches[position_id].of is Trigger.MARK
    lesson.later(10 * MINUTE).mark(before)
    assert results(lesson) == []
    lesson.mark(edge)
    assert results(lesson) == [(True, 2700.0)]
    lesson.later(HOUR)
    assert len(results(lesson)) == 1 and lesson.watches == {}


def test_a_window_ends_with_the_hold_whether_or_not_the_position_is_open() -> None:
    lesson = Lesson(FakeView(pain()))
    position_id = opened(lesson)
    lesson.later(MINUTE)
    lesson.close(position_id, -1.0)
    lesson.later(43 * MINUTE)
    assert results(lesson) == [] and position_id in lesson.watches
    lesson.later(MINUTE)
    assert results(lesson) == [(False, 2700.0)] and lesson.watches == {}


def test_a_window_ends_with_the_expiry_if_that_is_sooner() -> None:
    lesson = Lesson(FakeView(pain(expiry="2024-10-04")))
    lesson.wait(7 * HOUR + 30 * MINUTE)
    opened(lesson, max_pain_expiry="2024-10-04")
    lesson.later(40 * MINUTE)
    assert results(lesson) == [(False, 1800.0)]


def test_a_touch_after_the_end_is_none() -> None:
    lesson = Lesson(FakeView(pain()))
    position_id = opened(lesson)
    lesson.later(45 * MINUTE - NS)
    lesson.wait(NS + 1)
    lesson.ask(PriceTouched(desk="learning", key=position_id, price=Decimal(66000)))
    assert results(lesson) == []
    lesson.second()
    assert results(lesson) == [(False, 2700.0)]


def test_first_fill_and_its_price_begin_the_window() -> None:
    lesson = Lesson(FakeView(pain()))
    entered = {"position_id": "position-S1", "signal_id": "S1", "opened_ns": START, "first_price": "64000"}
    lesson.say("POSITION_ENTERED", entered)
    lesson.wait(2 * NS)
    opened(lesson)
    (told,) = lesson.of("MAX_PAIN_WINDOW")
    assert (told["began_ns"], told["ends_ns"]) == (START, START + 45 * MINUTE)
    assert told["chance"] == hit_chance(64000.0, 66000.0, 0.5, 2700.0)


@pytest.mark.parametrize(
    ("reading_", "source"),
    [(pain(), "implied"), (pain(iv=None), "realised"), (pain(expiry="2024-10-06"), "realised")],
)
def test_the_chance_is_of_implied_else_of_realised_volatility(reading_: Any, source: str) -> None:
    view = FakeView(reading_)
    closes = [65000 * (1 + 0.001 * (i % 3)) for i in range(101)]
    view.market(BTC).closed[300] = bars(closes)
    returns = [log(b / a) for a, b in pairwise(closes)]
    sigma = 0.5 if source == "implied" else pstdev(returns) * sqrt(105_120)
    lesson = Lesson(view)
    opened(lesson)
    (told,) = lesson.of("MAX_PAIN_WINDOW")
    assert told["volatility_source"] == source
    expected = hit_chance(65000.0, 66000.0, sigma, 2700.0)
    assert expected is not None and isclose(told["chance"], expected) and 0 < expected < 1


def test_without_any_volatility_there_is_no_chance_and_no_evidence() -> None:
    lesson = Lesson(FakeView(pain(iv=None)))
    opened(lesson)
    lesson.mark("65700")
    lesson.later(HOUR)
    assert lesson.of("MAX_PAIN_RESULT")[0]["chance"] is None
    scored = lesson.ledger().max_pain.score(lesson.rules, lesson.now_ns)
    assert (scored.n, list(scored.left_out.values())) == (0, [1])


# --- what nobody saw ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("silent_s", "hit"), [(60, False), (61, None)])
def test_where_nothing_was_seen_for_a_minute_nobody_knows(silent_s: int, hit: bool | None) -> None:
    lesson = Lesson(FakeView(pain()))
    opened(lesson)
    lesson.later(10 * MINUTE)
    lesson.later(silent_s * NS, every=silent_s * NS)
    lesson.later(HOUR)
    assert results(lesson) == [(hit, 2700.0)]
    assert lesson.ledger().max_pain.score(lesson.rules, lesson.now_ns).n == (hit is not None)


@pytest.mark.parametrize(("age_s", "hit"), [(60.0, False), (60.5, None), (None, None)])
def test_a_mark_that_stands_still_is_not_seen(age_s: float | None, hit: bool | None) -> None:
    lesson = Lesson(FakeView(pain()))
    opened(lesson)
    lesson.later(10 * MINUTE)
    lesson.view.market(BTC).mark_age_s = age_s
    lesson.later(HOUR)
    assert results(lesson) == [(hit, 2700.0)]
    assert bool(lesson.of("MAX_PAIN_RESULT")[0]["reason"]) is (hit is None)


def test_a_standstill_after_the_end_spoils_nothing() -> None:
    lesson = Lesson(FakeView(pain()))
    opened(lesson)
    lesson.later(45 * MINUTE - 30 * NS)
    lesson.later(HOUR, every=HOUR)
    assert results(lesson) == [(False, 2700.0)]


# --- restart -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("down_s", "hit"), [(5, True), (120, None)])
def test_a_window_goes_on_after_a_restart_unless_too_much_was_missed(down_s: int, hit: bool | None) -> None:
    lesson = Lesson(FakeView(pain()))
    position_id = opened(lesson)
    lesson.later(10 * MINUTE)
    chance = lesson.of("MAX_PAIN_WINDOW")[0]["chance"]
    lesson.say("FUNDING", {})  # the journal goes on until here
    lesson.wait(down_s * NS)
    lesson.restart()
    lesson.second()
    lesson.mark("65700")
    assert results(lesson) == [(hit, 2700.0)]
    assert lesson.of("MAX_PAIN_RESULT")[0] | {"reason": ""} == {
        "position_id": position_id,
        "hit": hit,
        "chance": chance,
        "window_s": 2700.0,
        "reason": "",
    }
    lesson.restart()
    assert lesson.watches == {}


def test_a_shadow_has_a_window_too_and_one_that_could_not_be_opened_is_no_evidence() -> None:
    lesson = Lesson(FakeView(pain()))
    position_id = lesson.open(
        lesson.decide(by=["a"]),
        tradable=False,
        entry_price="65000",
        true_trend=True,
        magnet="MAGNET-WITH",
        max_pain_at_entry="66000",
        max_pain_gap_pct=1.5,
        max_pain_expiry=EXPIRY,
        min_hold_s=2700,
    )
    assert position_id in lesson.watches
    lesson.later(HOUR)
    assert lesson.ledger().max_pain.score(lesson.rules, lesson.now_ns).left_out == {"could not have been opened": 1}
