"""When a window counts, what is a hit, what chance gives, and what is recommended."""

from __future__ import annotations

from decimal import Decimal
from math import log, sqrt
from typing import Any

import pytest
from scipy.stats import norm

from bot.domain.values import NS, Magnet
from bot.learning.max_pain import MaxPainScore, NoHit, expiry_ns, hit_chance, is_hit, no_hit, window_end_ns
from bot.learning.max_pain import score as score_hits
from bot.learning.recommendations import Kind, recommendations
from bot.learning.scores import score
from tests.learning.histories import BLOCK, HOUR, START, History
from tests.learning.test_ledger import many

DAY = "2024-10-05"
EIGHT = 1_728_115_200 * NS  # 08:00 UTC of that day


def hits(history: History) -> MaxPainScore:
    return score(history.ledger(), now_ns=history.now_ns + HOUR).max_pain


@pytest.mark.parametrize(
    ("price", "hit"),
    [("60300", True), ("60300.1", False), ("59700", True), ("59699.9", False), ("60000", True)],
)
def test_a_hit_is_half_a_percent_of_max_pain(price: str, hit: bool) -> None:
    assert is_hit(Decimal(price), Decimal(60000)) is hit


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ({}, None),
        ({"true_trend": False}, NoHit.NOT_TRUE_TREND),
        ({"magnet": Magnet.AGAINST}, NoHit.LOSING_SIDE),
        ({"magnet": None}, NoHit.LOSING_SIDE),
        ({"gap_pct": Decimal("0.5")}, NoHit.GAP),
        ({"gap_pct": Decimal("0.5001")}, None),
        ({"gap_pct": Decimal(10)}, None),
        ({"gap_pct": Decimal("10.0001")}, NoHit.GAP),
        ({"first_fill_ns": EIGHT - 1}, None),
        ({"first_fill_ns": EIGHT}, NoHit.EXPIRED),
    ],
)
def test_eligible(facts: dict[str, Any], why: NoHit | None) -> None:
    given: dict[str, Any] = {
        "true_trend": True,
        "magnet": Magnet.WITH,
        "gap_pct": Decimal(2),
        "expiry": DAY,
        "first_fill_ns": EIGHT - HOUR,
    }
    assert no_hit(**(given | facts)) is why


def test_a_window_ends_with_the_hold_or_the_expiry() -> None:
    assert expiry_ns(DAY) == EIGHT
    assert window_end_ns(EIGHT - HOUR, 2700, DAY) == EIGHT - HOUR // 4
    assert window_end_ns(EIGHT - HOUR, 4500, DAY) == EIGHT


@pytest.mark.parametrize(("price", "edge"), [(58000, 60000 * 0.995), (62000, 60000 * 1.005)])
def test_the_chance_of_a_hit(price: float, edge: float) -> None:
    sd = 0.55 * sqrt(4500 / (365 * 86400))
    assert hit_chance(price, 60000, 0.55, 4500) == pytest.approx(2 * norm.cdf(-abs(log(edge / price)) / sd))


def test_the_chance_at_the_edges() -> None:
    assert hit_chance(60300, 60000, 0.5, 60) == 1
    for sigma, window_s in ((None, 60), (0.0, 60), (float("nan"), 60), (0.5, 0)):
        assert hit_chance(58000, 60000, sigma, window_s) is None


# --- in the ledger ---


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ({"magnet": "MAGNET-AGAINST"}, NoHit.LOSING_SIDE),
        ({"max_pain_gap_pct": 0.49}, NoHit.GAP),
        ({"max_pain_gap_pct": 10.01}, NoHit.GAP),
        ({"max_pain_expiry": "2020-01-01"}, NoHit.EXPIRED),
        ({"chance": None}, NoHit.NO_CHANCE),
        ({"chance": float("nan")}, NoHit.NO_CHANCE),
    ],
)
def test_what_must_not_count(facts: dict[str, Any], why: NoHit) -> None:
    history = History()
    history.magnet(True, **facts)
    found = hits(history)
    assert (found.n, found.left_out) == (0, {why: 1})


def test_not_outside_true_trend() -> None:
    history = History()
    history.magnet(True, true_trend=False)
    assert (hits(history).n, hits(history).left_out) == (0, {})


def test_one_observation_for_an_expiry_and_block_the_first_opened() -> None:
    history = History()
    history.magnet(False)
    history.wait(HOUR).magnet(True)
    history.magnet(True, max_pain_expiry="2100-01-02")
    history.wait(BLOCK).magnet(True)
    found = hits(history)
    assert (found.n, found.hits, found.left_out) == (3, 2, {NoHit.SAME_BLOCK: 1})


def test_a_hit_counts_no_earlier_than_a_miss_would() -> None:
    history = History()
    history.magnet(True)
    ledger = history.ledger()
    assert score(ledger, now_ns=START + 2700 * NS - 1).max_pain.n == 0
    assert score(ledger, now_ns=START + 2700 * NS).max_pain.n == 1


def test_an_open_window_and_another_configuration_do_not_count() -> None:
    history = History().start("old")
    frozen: dict[str, Any] = {
        "true_trend": True,
        "magnet": "MAGNET-WITH",
        "max_pain_gap_pct": 2.0,
        "max_pain_expiry": "2100-01-01",
    }
    position = history.open(history.decide(), **frozen)
    assert hits(history).n == 0
    history.start("new")
    history.say("MAX_PAIN_RESULT", {"position_id": position, "hit": True, "chance": 0.2, "window_s": 2700})
    for rules in ("old", "new"):
        assert score(history.ledger(), rules=rules, now_ns=START + BLOCK).max_pain.n == 0


def test_a_shadow_that_could_not_have_been_opened_does_not_count() -> None:
    history = History()
    frozen: dict[str, Any] = {
        "true_trend": True,
        "magnet": "MAGNET-WITH",
        "max_pain_gap_pct": 2.0,
        "max_pain_expiry": "2100-01-01",
    }
    position = history.open(history.decide(), tradable=False, **frozen)
    history.say("MAX_PAIN_RESULT", {"position_id": position, "hit": True, "chance": 0.2, "window_s": 2700})
    assert hits(history).left_out == {NoHit.UNTRADABLE: 1}


@pytest.mark.parametrize(
    ("count", "n", "chance", "recommended", "significant"),
    [
        (12, 20, 0.1, False, False),  # 60 % is not above 60 %
        (13, 20, 0.1, True, False),
        (19, 20, 0.1, True, True),
        (19, 20, 0.9, True, False),  # chance gives as much
        (18, 19, 0.1, True, False),  # one short of twenty
        (70, 100, 0.3, True, False),  # e-value 2.4
        (75, 100, 0.3, True, True),
    ],
)
def test_recommendation(count: int, n: int, chance: float, recommended: bool, significant: bool) -> None:
    history = History()
    for i in range(n):
        history.magnet(i < count, chance=chance)
        history.wait(BLOCK)
    found = recommendations(score(history.ledger(), now_ns=history.now_ns))
    assert [each.type for each in found] == [Kind.INCREASE_CONVICTION] * recommended
    for each in found:
        assert (each.subject, each.significant, each.applied) == ("magnet_aligned", significant, False)
        assert {"n", "lo", "hi", "mean_chance", "significant", "e_value", "z"} <= each.evidence.keys()


def test_no_hits_no_recommendation() -> None:
    nothing = score_hits([], [])
    assert (nothing.n, nothing.rate, nothing.z, nothing.above_target, nothing.significant) == (
        0,
        None,
        None,
        False,
        False,
    )


def test_a_harmful_guard_is_to_be_reviewed_unless_it_keeps_the_account_safe() -> None:
    history = many(History(["a", "risk_limits"]), [1.0, 1.5])
    many(history, [1.0, 1.5], by="risk_limits")
    (found,) = recommendations(score(history.ledger(), now_ns=history.now_ns))
    assert (found.type, found.subject, found.evidence["direction"]) == (Kind.REVIEW_GUARD, "a", "long")
    assert found.evidence["effective_n"] == 60
