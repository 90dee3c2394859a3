"""Places in the line: the published steps of each model, and what is not known."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.trading.queue import Queue, QueueModel, QueueRule
from tests.trading.venue_kit import D, published

RULES = {
    "risk_averse": QueueRule(),
    "power_n1": QueueRule(QueueModel.POWER, D(1)),
    "power_n3": QueueRule(QueueModel.POWER, D(3)),
    "log": QueueRule(QueueModel.LOG),
}


@pytest.mark.parametrize("model", RULES)
def test_published_steps(model: str) -> None:
    case: Any = published("queue")
    queue = Queue.behind(case["initial_front"])
    for event, expected in zip(case["events_list"], case["front_after_each"][model], strict=True):
        if event[0] == "t":
            queue.on_trade(D(str(event[1])))
        else:
            assert queue.shown == event[1]
            queue.on_depth(event[2], RULES[model])
        assert queue.front is not None
        assert float(queue.front) == pytest.approx(expected, abs=5e-9)


def test_what_gets_past_those_in_front_is_ours_once() -> None:
    queue = Queue.behind(1.0)
    assert queue.on_trade(D("0.999")) == 0
    assert queue.on_trade(D("0.001")) == 0, "exactly those in front"
    assert queue.on_trade(D("0.3")) == D("0.3")
    queue.served(D("0.3"))
    assert queue.on_trade(D("0.2")) == D("0.2")


def test_a_price_the_book_does_not_show_fills_nothing_until_it_is_seen_and_all_of_it_is_in_front() -> None:
    queue = Queue.behind(None)
    assert queue.on_trade(D(100)) == 0
    queue.on_depth(None, RULES["power_n3"])
    assert queue.front is None
    queue.on_depth(2.0, RULES["power_n3"])
    assert queue.front == 2
    queue.on_depth(None, RULES["power_n3"])  # the book is lost
    queue.on_depth(5.0, RULES["power_n3"])
    assert queue.front == 2, "who came since stands behind"
    queue.on_depth(None, RULES["power_n3"])
    queue.on_depth(1.0, RULES["power_n3"])
    assert queue.front == 1


def test_a_change_that_trades_explain_moves_nobody_twice() -> None:
    queue = Queue.behind(10.0)
    queue.on_depth(30.0, RULES["power_n1"])
    queue.on_trade(D(4))
    queue.on_depth(30.0, RULES["power_n1"])  # a change elsewhere: the trade is not in it yet
    queue.on_depth(26.0, RULES["power_n1"])
    assert queue.front == 6
    queue.on_depth(26.0, RULES["power_n1"])
    assert queue.front == 6


SIZES = st.integers(0, 200).map(lambda n: n / 10)
EVENTS = st.lists(st.tuples(st.sampled_from("td"), SIZES), max_size=30)


@given(start=SIZES, events=EVENTS, model=st.sampled_from(list(RULES)))
def test_nobody_gets_ahead_by_cancellations_alone_and_risk_averse_is_last(
    start: float, events: list[tuple[str, float]], model: str
) -> None:
    careful, other = Queue.behind(start), Queue.behind(start)
    for kind, size in events:
        for queue, rule in ((careful, RULES["risk_averse"]), (other, RULES[model])):
            if kind == "t":
                before = queue.front
                reached = queue.on_trade(D(str(size)))
                assert before is not None and 0 <= reached <= D(str(size))
                queue.served(reached)
            else:
                queue.on_depth(size, rule)
                assert queue.front is not None and 0 <= queue.front <= D(str(size))
        assert careful.front is not None and other.front is not None
        assert careful.front >= other.front


@pytest.mark.parametrize("power", ["0.5", "1", "3", "2.7"])
def test_shares_add_up(power: str) -> None:
    for rule in (QueueRule(QueueModel.POWER, Decimal(power)), RULES["log"]):
        one, other = rule.share_behind(D(3), D(7)), rule.share_behind(D(7), D(3))
        assert one + other == pytest.approx(D(1), abs=D("1e-20"))
        assert one > other
        assert rule.share_behind(D(0), D(0)) == 1
