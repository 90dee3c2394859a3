"""The next call: what a guard missed, then what would go stale first; never before it is due."""

from __future__ import annotations

from bot.domain.values import NS
from bot.intel.scheduler import Scheduler, Want
from tests.budget_simulation import EarliestDeadline, RoundRobin, bound, most_fresh, simulate

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


# --- when the budget is short: see tests/budget_simulation.py -----------------------------------------------------------

SHORT_S = 1200  # of virtual time, after as long a warm-up


def test_it_keeps_95_percent_of_what_arithmetic_allows_fresh_all_the_time() -> None:
    limit = bound("hobbyist")
    assert limit == 23
    assert most_fresh(Scheduler, "hobbyist", length_s=SHORT_S) >= 0.95 * limit


def test_with_many_kinds_of_readings_it_beats_deadlines_alone_and_round_robin_by_far() -> None:
    """20 symbols on a budget for 20.4 with walls every 90 s beside long/short every 900 s."""
    limit = bound("standard", 64)
    symbols = int(limit * 0.95)
    ours, deadlines, turns = (
        simulate(make, symbols, "standard", length_s=SHORT_S, per_minute=64)
        for make in (Scheduler, EarliestDeadline, RoundRobin)
    )
    assert ours.always_fresh == symbols
    assert deadlines.always_fresh < symbols
    assert turns.always_fresh < symbols / 2


def test_with_too_many_symbols_the_first_are_kept_whole_and_the_rest_are_not_forgotten() -> None:
    out = simulate(Scheduler, 30, "hobbyist", length_s=SHORT_S)
    alone = simulate(EarliestDeadline, 30, "hobbyist", length_s=SHORT_S)
    assert out.always_fresh >= 0.95 * bound("hobbyist") and alone.always_fresh == 0
    assert out.fresh_pct > alone.fresh_pct - 3  # what is kept whole costs the rest little more than it gives
    assert out.never_fresh == 0


def test_it_learns_that_others_share_the_budget() -> None:
    alone, shared = (simulate(Scheduler, 30, "hobbyist", length_s=SHORT_S, engines=n).always_fresh for n in (1, 2))
    assert shared >= 0.8 * alone / 2


def test_what_guards_miss_goes_first_but_never_twice_in_a_row() -> None:
    """Every slow reading is missed all the time; the fast ones are pressing. Both get their turn."""
    fast = [Want(f"fast {n}", (("taker_5m", f"v:{n}"),), 10, 20) for n in range(10)]
    missed = [Want(f"missed {n}", (("max_pain", f"C{n}"),), 10, 20) for n in range(10)]
    it = Scheduler([*fast, *missed])
    asked = []
    for turn in range(40):
        now_ns = turn * 3 * NS
        for n in range(10):
            it.abstained("max_pain", f"C{n}", now_ns)
        want = it.next(now_ns)
        assert want is not None
        it.asked(want.call, now_ns)
        it.got(want.call, now_ns, now_ns)
        asked.append(want.call.split()[0])
    assert asked[:6] == ["missed", "fast"] * 3 and asked.count("fast") >= 15


def test_a_guard_that_abstained_long_ago_asks_for_nothing() -> None:
    it = Scheduler([FAST, SLOW])
    it.abstained("max_pain", "A", 0)
    assert it.next(300 * NS) == SLOW
    assert it.next(300 * NS + 1) == FAST  # it was named first


def test_what_was_missed_goes_first_once() -> None:
    it = after_answers()
    it.abstained("max_pain", "A", 900 * NS)
    it.asked("slow", 900 * NS)
    it.got("slow", 900 * NS, 900 * NS)
    it.got("fast", 1140 * NS, 1140 * NS)
    assert it.next(1200 * NS) == FAST  # both are due


def test_a_call_that_is_held_back_takes_no_share_from_others() -> None:
    """Eight calls fit into two minutes, of which two are for what comes between; the first of 13 is refused for a day."""
    wants = [Want(f"w{n}", (("taker_5m", f"v:{n}"),), 60, 120) for n in range(13)]
    it = Scheduler(wants, per_minute=4)
    it.failed("w0", 86_400 * NS)
    stale: set[str] = set()
    fresh: dict[str, int] = {}
    for turn in range(200):
        now_ns = turn * 15 * NS
        stale |= {call for call, until_ns in fresh.items() if until_ns < now_ns and turn > 50}
        want = it.next(now_ns)
        assert want is not None
        it.asked(want.call, now_ns)
        it.got(want.call, now_ns, now_ns)
        fresh[want.call] = now_ns + 120 * NS
    assert set(fresh) == {f"w{n}" for n in range(1, 13)}
    assert set(fresh) - stale == {f"w{n}" for n in range(1, 6)}
