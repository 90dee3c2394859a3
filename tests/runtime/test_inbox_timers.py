"""Lanes, their bounds, and timers."""

from __future__ import annotations

import asyncio

from bot.domain.frames import Frame
from bot.runtime.inbox import Inbox
from bot.runtime.timers import Timers


def data(n: int) -> Frame:
    return Frame(n, "data", "binanceusdm", b"d%d" % n)


def account(n: int) -> Frame:
    return Frame(n, "account", "report", b"a%d" % n)


def test_account_frames_come_first_and_each_lane_keeps_its_order() -> None:
    inbox = Inbox()
    for frame in (data(1), account(2), data(3), account(4)):
        inbox.put_account(frame) if frame.lane == "account" else inbox.offer_data(frame)
    assert [inbox.pop().raw for _ in range(4)] == [b"a2", b"a4", b"d1", b"d3"]
    assert inbox.head() is None


def test_a_full_data_lane_makes_its_feed_wait_and_loses_nothing() -> None:
    async def scenario() -> list[bytes]:
        inbox = Inbox(data_bound=3)

        async def feed() -> None:
            for n in range(10):
                await inbox.put_data(data(n))

        feeding = asyncio.ensure_future(feed())
        taken: list[bytes] = []
        while len(taken) < 10:
            await inbox.arrival(1)
            assert inbox.depths()[1] <= 3
            taken.append(inbox.pop().raw)
        await feeding
        return taken

    assert asyncio.run(scenario()) == [b"d%d" % n for n in range(10)]


def test_an_account_frame_is_never_refused_but_going_over_the_bound_is_remembered() -> None:
    inbox = Inbox(account_bound=2)
    for n in range(2):
        inbox.put_account(account(n))
    assert not inbox.overflowed
    inbox.put_account(account(2))
    assert inbox.overflowed
    assert [inbox.pop().recv_ns for _ in range(3)] == [0, 1, 2]


def test_timers_fire_by_due_time_then_in_the_order_they_were_set() -> None:
    timers = Timers()
    timers.set("exits", "late", 30)
    timers.set("exits", "a", 20)
    timers.set("venue", "b", 20)
    timers.set("exits", "first", 10)
    fired = []
    while timers.next_due() is not None:
        timer = timers.pop()
        fired.append((timer.due_ns, timer.desk, timer.key))
    assert fired == [(10, "exits", "first"), (20, "exits", "a"), (20, "venue", "b"), (30, "exits", "late")]


def test_setting_again_replaces_and_canceling_removes() -> None:
    timers = Timers()
    timers.set("exits", "k", 10)
    timers.set("exits", "k", 40)
    timers.set("exits", "gone", 5)
    timers.cancel("exits", "gone")
    timers.cancel("exits", "never set")
    assert timers.next_due() == 40
    assert timers.pop().due_ns == 40
    assert timers.next_due() is None


def test_a_venues_timers_go_before_others_of_the_same_time_whenever_they_were_set() -> None:
    timers = Timers(("venue",))
    timers.set("shadow", "late", 2)
    timers.set("shadow", "same", 1)
    timers.set("venue", "b", 1)
    timers.set("venue", "a", 1)
    fired = [(timers.pop().desk, timers.next_due()) for _ in range(4)]
    assert [desk for desk, _ in fired] == ["venue", "venue", "shadow", "shadow"]
    assert [due for _, due in fired] == [1, 1, 2, None]
