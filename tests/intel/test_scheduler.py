"""The next call: what a guard missed, then what would go stale first; never before it is due."""

from __future__ import annotations

from bot.domain.values import NS
from bot.intel.scheduler import Scheduler, Want

FAST = Want("fast", (("taker_5m", "v:A"),), 60, 120)
SLOW = Want("slow", (("max_pain", "A"),), 300, 900)


def after_answers() -> Scheduler:
    it = Scheduler([SLOW, FAST])
    for want in (SLOW, FAST):
        it.asked(want.call, 0)
        it.got(want.call, 0, 0)
    return it


def test_nothing_is_asked_before_it_is_due_and_the_earliest_deadline_goes_first() -> None:
    it = after_answers()
    assert (it.next(60 * NS - 1), it.next(60 * NS), it.due_ns()) == (None, FAST, 60 * NS)
    it.asked("fast", 60 * NS)
    it.got("fast", 60 * NS, 60 * NS)
    assert it.next(299 * NS) == FAST and Scheduler([]).due_ns() is None
    it.got("fast", 850 * NS, 250 * NS)  # stale only after the other
    assert it.next(310 * NS) == SLOW


def test_what_failed_waits_and_what_was_missed_goes_first() -> None:
    it = after_answers()
    it.failed("fast", 1000 * NS)
    assert it.next(999 * NS) == SLOW
    it.abstained("max_pain", "A", 899 * NS)  # still fresh: nothing was missed
    assert it.next(1000 * NS) == FAST
    it.abstained("max_pain", "A", 900 * NS)
    assert it.next(1000 * NS) == SLOW
    it.asked("slow", 1000 * NS)
    assert it.next(1000 * NS) == FAST
