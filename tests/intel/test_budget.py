"""The budget that engines share by a file: never more, never closer, whoever asks, whatever happens to clock and file."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest

from bot.domain.values import NS
from bot.intel import budget
from bot.intel.budget import SqliteBudget, default_path

WINDOW_NS = 61 * NS


class Gone(Exception):
    pass


class Clock:
    """Stands still until somebody sleeps; `late_s` is added to each sleep."""

    def __init__(self) -> None:
        self.now_ns = 1000 * NS
        self.late_s = 0.0
        self.slept_s: list[float] = []

    def __call__(self) -> int:
        return self.now_ns

    async def sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)
        self.now_ns += int((seconds + self.late_s) * NS)


def unsaid(problem: str) -> None:
    raise AssertionError(problem)


def made(
    path: Path, clock: Clock, *, key: str = "a key", per_minute: int = 24, report: Callable[[str], None] = unsaid
) -> SqliteBudget:
    return SqliteBudget(path, key, report, per_minute=per_minute, now_ns=clock, sleep=clock.sleep)


def fast(path: Path, *, per_minute: int = 24, speed: int = 200) -> SqliteBudget:
    """For where several wait at the same time."""

    async def sleep(seconds: float) -> None:
        await asyncio.sleep(seconds / speed)

    return SqliteBudget(
        path, "a key", unsaid, per_minute=per_minute, now_ns=lambda: time.monotonic_ns() * speed, sleep=sleep
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "budget.sqlite3"


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def grants(clock: Clock, count: int, *budgets: SqliteBudget) -> list[int]:
    """When each call could leave, the budgets asking in turn."""
    out = []
    for turn in range(count):
        await budgets[turn % len(budgets)].take()
        out.append(clock.now_ns)
    return out


def most_in(window_ns: int, times: list[int]) -> int:
    return max(sum(1 for other in times if at_ns <= other < at_ns + window_ns) for at_ns in times)


def newest(path: Path) -> int:
    with closing(sqlite3.connect(path)) as file:
        (at_ns,) = file.execute("SELECT max(at_ns) FROM calls").fetchone()
        assert isinstance(at_ns, int)
        return at_ns


def assert_private(path: Path) -> None:
    assert b"secret" not in path.read_bytes()
    assert path.stat().st_mode & 0o777 == 0o600 and path.parent.stat().st_mode & 0o777 == 0o700


# --- the rule ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engines", [1, 3])
@pytest.mark.parametrize("per_minute", [1, 7, 24, 240])
async def test_never_more_in_61_s_and_never_closer_than_an_even_share(
    path: Path, clock: Clock, per_minute: int, engines: int
) -> None:
    budgets = [made(path, clock, per_minute=per_minute) for _ in range(engines)]
    count = per_minute * 2 + 3 if per_minute < 100 else per_minute + 3
    times = await grants(clock, count, *budgets)
    assert most_in(WINDOW_NS, times) == per_minute
    assert min(after - before for before, after in pairwise(times)) == WINDOW_NS // per_minute
    if per_minute == 24:
        assert min(after - before for before, after in pairwise(times)) >= 2.5 * NS
        assert times[48] - times[0] <= 122 * NS  # and nothing is left lying


async def test_after_a_pause_there_is_no_burst(path: Path, clock: Clock) -> None:
    it = made(path, clock)
    await it.take()
    clock.now_ns += 3600 * NS
    first, second = await grants(clock, 2, it)
    assert second - first == WINDOW_NS // 24


async def test_what_was_spent_before_a_restart_counts(path: Path, clock: Clock) -> None:
    before = await grants(clock, 24, made(path, clock))
    after = await grants(clock, 24, made(path, clock))
    assert most_in(WINDOW_NS, before + after) == 24


async def test_each_key_has_its_own_budget_and_is_not_in_the_file(path: Path, clock: Clock) -> None:
    one, other = made(path, clock, key="first-secret"), made(path, clock, key="second-secret")
    await grants(clock, 24, one)
    at_ns = clock.now_ns
    await other.take()
    assert clock.now_ns == at_ns
    assert (one.spent()[0], other.spent()[0]) == (24, 1)
    assert_private(path)


async def test_spent_counts_the_last_60_s_of_all_processes(path: Path, clock: Clock) -> None:
    one, other = made(path, clock), made(path, clock)
    assert one.spent() == (0, 24)
    await grants(clock, 3, one, other)
    assert one.spent() == other.spent() == (3, 24)
    clock.now_ns += 60 * NS - 1
    assert one.spent() == (1, 24)
    clock.now_ns += 1
    assert one.spent() == (0, 24)


async def test_a_limit_told_to_one_holds_for_all_and_for_those_to_come(path: Path, clock: Clock) -> None:
    one, other = made(path, clock), made(path, clock)
    one.set_per_minute(240)
    await one.take()
    first, second = await grants(clock, 2, other, made(path, clock))
    assert second - first == WINDOW_NS // 240 and other.spent()[1] == 240
    other.set_per_minute(6)  # lower: what is spent counts against it
    times = await grants(clock, 2, other, one)
    assert times[1] - times[0] >= WINDOW_NS // 6 and one.spent()[1] == 6
    with pytest.raises(ValueError, match="at least one"):
        one.set_per_minute(0)


async def test_a_call_that_leaves_late_is_counted_as_late(path: Path, clock: Clock) -> None:
    it = made(path, clock)
    await it.take()
    clock.late_s = 0.5  # the loop was busy when its time came
    await it.take()
    left_ns, clock.late_s = clock.now_ns, 0.0
    for _ in range(100):  # it is noted in a thread
        if newest(path) == left_ns:
            break
        await asyncio.sleep(0.01)
    await it.take()
    assert clock.now_ns - left_ns >= WINDOW_NS // 24


# --- who goes first ---------------------------------------------------------------------------------------------------


async def test_processes_take_turns_however_much_each_wants(path: Path) -> None:
    greedy, modest = fast(path), fast(path)
    got: Counter[str] = Counter()

    async def ask(name: str, it: SqliteBudget) -> None:
        while sum(got.values()) < 32:
            await it.take()
            got[name] += 1

    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        for _ in range(5):
            tasks.create_task(ask("greedy", greedy))
        tasks.create_task(ask("modest", modest))
    assert got["modest"] >= 10  # about half of 32; a sixth where they did not take turns


async def test_what_matters_more_goes_first_and_a_minute_of_waiting_matters_too(path: Path) -> None:
    it, other = (fast(path, per_minute=6, speed=30) for _ in range(2))
    await it.take()
    order: list[str] = []
    begun = asyncio.Event()

    async def patient() -> None:
        await begun.wait()
        order.clear()
        await it.take(0)
        order.append("patient")

    async def pushy() -> None:
        while "patient" not in order:
            await other.take(1)
            order.append("pushy")
            begun.set()

    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        tasks.create_task(patient())
        tasks.create_task(pushy())
    assert 4 <= order.index("patient") <= 8  # one window is 6 calls


async def begin_to_wait(path: Path, clock: Clock) -> None:
    """One that is then never seen again, as when it is killed."""

    async def die(seconds: float) -> None:
        raise Gone

    with pytest.raises(Gone):
        await SqliteBudget(path, "a key", unsaid, now_ns=clock, sleep=die).take()
    clock.now_ns += NS // 10


async def test_one_that_stopped_waiting_holds_nobody_up(path: Path, clock: Clock) -> None:
    await made(path, clock).take()
    start_ns = clock.now_ns
    await begin_to_wait(path, clock)
    async with asyncio.timeout(5):
        await made(path, clock).take()
    slot_ns = WINDOW_NS // 24
    assert slot_ns <= clock.now_ns - start_ns <= slot_ns * 1.2


# --- clocks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("back_s", [2, 60, 900])
async def test_a_clock_that_begins_anew_neither_frees_nor_locks_the_budget(
    path: Path, clock: Clock, back_s: int
) -> None:
    it = made(path, clock)
    await grants(clock, 24, it)
    await begin_to_wait(path, clock)
    clock.now_ns -= back_s * NS
    restarted_ns = clock.now_ns
    async with asyncio.timeout(10):
        times = await grants(clock, 24, made(path, clock))
    assert NS <= times[0] - restarted_ns <= WINDOW_NS
    assert most_in(WINDOW_NS, times) <= 24


@pytest.mark.parametrize("step_s", [-86_400, 86_400])
async def test_setting_the_wall_clock_changes_nothing(path: Path, monkeypatch: pytest.MonkeyPatch, step_s: int) -> None:
    class Asleep(Exception):
        pass

    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        if seconds:
            slept.append(seconds)
            raise Asleep

    it = SqliteBudget(path, "a key", unsaid, sleep=sleep)
    await it.take()
    wall_ns, wall = time.time_ns(), time.time()
    monkeypatch.setattr(time, "time_ns", lambda: wall_ns + step_s * NS)
    monkeypatch.setattr(time, "time", lambda: wall + step_s)
    with pytest.raises(Asleep):
        await it.take()
    assert 1.0 < slept[0] < 2.6


# --- the file ---------------------------------------------------------------------------------------------------------


def garbage(path: Path) -> None:
    path.write_bytes(b"not a database at all " * 500)


def no_header(path: Path) -> None:
    path.write_bytes(b"\0" * 100 + path.read_bytes()[100:])


def half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:4096] + b"\xff" * 12288)


def gone(path: Path) -> None:
    path.unlink()


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def set_aside(path: Path) -> None:
    path.replace(path.with_suffix(".damaged"))


@pytest.mark.parametrize("damage", [garbage, no_header, half, gone, emptied])
async def test_a_file_that_is_lost_counts_as_used_up(path: Path, clock: Clock, damage: Callable[[Path], None]) -> None:
    said: list[str] = []
    it = made(path, clock, report=said.append)
    before = await grants(clock, 24, it)
    damage(path)
    after = await grants(clock, 25, it)
    assert most_in(WINDOW_NS, before + after) <= 24
    assert after[0] - before[-1] <= WINDOW_NS + 10 * NS
    if damage in (garbage, no_header, half):
        assert any("is damaged" in text and str(path) in text for text in said)
        assert path.with_suffix(".damaged").exists()


async def test_one_that_starts_while_another_replaces_the_file_does_not_begin_anew(path: Path, clock: Clock) -> None:
    before = await grants(clock, 24, made(path, clock))
    set_aside(path)  # what the other did, and then lost its core
    after = await grants(clock, 24, made(path, clock))
    assert most_in(WINDOW_NS, before + after) <= 24


async def test_while_the_file_is_locked_no_call_leaves(
    path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budget, "_LOCKED_S", 0.01)
    said: list[str] = []
    it = made(path, clock, report=said.append)
    await it.take()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    start_ns = clock.now_ns

    async def sleep(seconds: float) -> None:
        await Clock.sleep(clock, seconds)
        if clock.now_ns - start_ns > 130 * NS:
            other.close()  # as when the other program is killed

    waits = SqliteBudget(path, "a key", said.append, now_ns=clock, sleep=sleep)
    await waits.take()
    assert 130 * NS < clock.now_ns - start_ns < 140 * NS
    assert len(said) == 3 and all("is locked by another program" in text for text in said)  # once a minute


async def test_where_no_file_can_be_made_no_call_leaves(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "file").write_text("not a folder")
    said: list[str] = []
    it = made(tmp_path / "file" / "budget.sqlite3", clock, report=said.append)

    async def mend(seconds: float) -> None:
        await Clock.sleep(clock, seconds)
        if len(clock.slept_s) == 3:
            (tmp_path / "file").unlink()

    it._sleep = mend
    await it.take()
    assert len(clock.slept_s) >= 3 and len(said) == 1 and "cannot be used" in said[0]


def test_the_file_is_the_users_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    usual = Path("/home/somebody/.local/state/big-alpha/budget-1.sqlite3")
    assert default_path({}) == default_path({"XDG_STATE_HOME": "relative"}) == usual
    assert default_path({"XDG_STATE_HOME": "/state"}) == Path("/state/big-alpha/budget-1.sqlite3")
