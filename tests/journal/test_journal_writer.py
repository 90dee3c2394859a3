from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

import pytest

from bot.domain.errors import JournalError
from bot.domain.ports import JournalSink
from bot.journal import writer
from bot.journal.reader import read_events, verify_chain
from bot.journal.schema import FILE
from bot.journal.writer import Journal, MemoryJournal
from tests.journal.journal_events import BTC, ETH, event, run_of


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = open_in(tmp_path)
    yield journal
    if journal.failure is None:
        journal.close()


def open_in(data_dir: Path, bound: int = 10_000) -> Journal:
    return Journal.open(data_dir, account="main", mode="paper", bound=bound)


def traced(journal: Journal) -> list[str]:
    """What the journal asks of SQLite from now on."""
    statements: list[str] = []
    journal._connection.set_trace_callback(statements.append)
    return statements


class Held:
    """Keeps the writer's thread in one of its steps until `release` is set; `reached` tells that it is there."""

    def __init__(self, step: Callable[..., Any]) -> None:
        self.reached, self.release, self._step = threading.Event(), threading.Event(), step

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        self.reached.set()
        assert self.release.wait(60)
        return self._step(*arguments, **named)


async def test_what_was_put_is_there_after_a_restart(tmp_path: Path) -> None:
    first = open_in(tmp_path)
    assert (first.last_seq, first.session) == (0, 1)
    events = [event(1, "ENGINE_STARTED"), *run_of(2, 30)]
    first.put(events[:3])
    first.put(events[3:])
    await first.committed(30)
    first.close()
    second = open_in(tmp_path)
    assert (second.last_seq, second.session) == (30, 2)
    second.put([event(31, "ENGINE_STARTED")])
    second.close()
    assert list(read_events(tmp_path)) == [*events, event(31, "ENGINE_STARTED")]
    assert verify_chain(tmp_path / FILE) == (31, None)


async def test_what_waits_for_a_commit_shares_the_next_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = Held(Journal._commit)
    monkeypatch.setattr(Journal, "_commit", lambda *arguments: commit(*arguments))
    journal = open_in(tmp_path)
    statements, began_s = traced(journal), perf_counter()
    journal.put([event(1, "ORDER_INTENT")])
    assert commit.reached.wait(60)
    for seq in range(2, 2001):
        journal.put([event(seq, "ORDER_INTENT")])
    behind = [journal.stats().behind_s for _ in range(2)]
    assert 0 < behind[0] < behind[1] < perf_counter() - began_s
    commit.release.set()
    await journal.committed(2000)
    assert len(await journal.read(limit=5000)) == 2000
    assert statements.count("COMMIT") == 2
    stats = journal.stats()
    assert (stats.depth, stats.behind_s, stats.running) == (0, 0.0, True)
    assert 1 < stats.high_water <= 2000
    assert stats.last_commit_ms is not None
    assert stats.last_commit_ms > 0


@pytest.mark.parametrize(
    ("kinds", "source", "level"),
    [
        (["ORDER_INTENT"], "executor", "FULL"),
        (["ORDER_ACK"], "executor", "FULL"),
        (["FILL"], "executor", "FULL"),
        (["STATE"], "engine", "FULL"),
        (["ENGINE_STARTED"], "engine", "FULL"),
        (["FEED_DOWN"], "feed", "NORMAL"),
        (["SIGNAL"], "operator", "FULL"),
        (["FEED_DOWN", "DECISION", "FILL"], "feed", "FULL"),
    ],
)
async def test_what_matters_is_flushed_to_the_disk(journal: Journal, kinds: list[str], source: str, level: str) -> None:
    statements = traced(journal)
    journal.put([event(seq, kind, source=source) for seq, kind in enumerate(kinds, start=1)])
    await journal.committed(len(kinds))
    assert [each for each in statements if "synchronous" in each] == [f"PRAGMA synchronous = {level}"]


async def test_committed_waits_for_an_event_that_is_still_to_come(journal: Journal) -> None:
    waits = asyncio.create_task(journal.committed(5))
    journal.put(run_of(1, 4))
    await journal.committed(4)
    assert not waits.done()
    journal.put(run_of(5, 5))
    await waits
    await journal.committed(3)


async def test_one_waiter_that_gave_up_does_not_disturb_the_others(journal: Journal) -> None:
    gone = asyncio.create_task(journal.committed(2))
    stays = asyncio.create_task(journal.committed(2))
    await asyncio.sleep(0)
    gone.cancel()
    journal.put(run_of(1, 2))
    await asyncio.wait_for(stays, 60)
    assert gone.cancelled()


async def test_a_full_queue_refuses_at_once_and_takes_none(tmp_path: Path) -> None:
    journal = open_in(tmp_path, bound=10)
    with pytest.raises(JournalError, match="queue is full: 11 events wait for the disk, 10 may"):
        journal.put(run_of(1, 11))
    assert journal.last_seq == 0
    with journal._wake:  # a slow disk: the writer cannot say that it has committed
        journal.put(run_of(1, 6))
        with pytest.raises(JournalError, match="queue is full: 12 events"):
            journal.put(run_of(7, 12))
        journal.put(run_of(7, 10))
        assert journal.last_seq == 10
    await journal.committed(10)
    journal.put(run_of(13, 20))  # 11 and 12 were refused: the gap stays visible
    assert journal.stats().high_water == 10
    journal.close()
    assert [each.seq for each in read_events(tmp_path)] == [*range(1, 11), *range(13, 21)]


@pytest.mark.parametrize("seqs", [[3], [2, 1], [4, 4], [4, 6, 5]], ids=str)
async def test_an_event_comes_once_and_in_order(journal: Journal, seqs: list[int]) -> None:
    journal.put(run_of(1, 3))
    with pytest.raises(JournalError, match="is not after"):
        journal.put([event(seq) for seq in seqs])
    journal.put(run_of(4, 4))
    await journal.committed(4)
    assert len(await journal.read()) == 4


async def test_a_failed_commit_ends_the_journal_and_everybody_is_told(journal: Journal, tmp_path: Path) -> None:
    journal.put(run_of(1, 20))
    await journal.committed(20)
    pages = journal._connection.execute("PRAGMA page_count").fetchone()[0]
    journal._connection.execute(f"PRAGMA max_page_count = {pages + 1}")  # a full disk
    waits_too = asyncio.create_task(journal.committed(1000))
    reads = asyncio.create_task(journal.read(since_seq=10_000))
    await reads
    journal.put([event(21), event(22, data={"text": "x" * 100_000})])
    with pytest.raises(JournalError, match=r"journal\.sqlite3 failed and takes no more events: .*full"):
        await asyncio.wait_for(journal.committed(22), 60)
    with pytest.raises(JournalError, match="full"):
        await asyncio.wait_for(waits_too, 60)
    assert journal.failure is not None
    assert journal.stats().failure == journal.failure
    await journal.committed(20)  # what is safe stays safe
    for attempt in (journal.committed(21), journal.read()):
        with pytest.raises(JournalError, match="full"):
            await attempt
    with pytest.raises(JournalError, match="full"):
        journal.put(run_of(23, 23))
    with pytest.raises(JournalError, match="full"):
        journal.close()
    assert journal.stats().running is False
    again = open_in(tmp_path)
    assert again.last_seq == 20
    again.close()
    assert verify_chain(tmp_path / FILE) == (20, None)


async def test_after_close_nothing_is_taken_and_nobody_waits_for_ever(tmp_path: Path) -> None:
    journal = open_in(tmp_path)
    waits = asyncio.create_task(journal.committed(9))
    await asyncio.sleep(0)
    journal.put(run_of(1, 3))
    journal.close()
    journal.close()
    with pytest.raises(JournalError, match="closed"):
        await waits
    with pytest.raises(JournalError, match="closed"):
        journal.put(run_of(4, 4))
    assert journal.failure is None
    assert len(list(read_events(tmp_path))) == 3


def test_the_writer_outlives_the_event_loop(tmp_path: Path) -> None:
    """A wait that the loop's end cut off is no reason to lose what comes after it (or to print a traceback)."""
    journal = open_in(tmp_path)

    async def wait() -> None:
        task = asyncio.create_task(journal.committed(5))
        await asyncio.sleep(0)
        assert not task.done()

    asyncio.run(wait())
    journal.put(run_of(1, 5))
    journal.close()
    assert [each.seq for each in read_events(tmp_path)] == [1, 2, 3, 4, 5]


def test_close_gives_up_at_its_deadline(tmp_path: Path) -> None:
    journal = open_in(tmp_path)
    with journal._wake:  # a disk that hangs
        journal.put(run_of(1, 5))
        with pytest.raises(JournalError, match=r"5 events were not written within 0\.01 s"):
            journal.close(deadline_s=0.01)
    journal.close()
    assert len(list(read_events(tmp_path))) == 5


async def test_a_read_answers_with_all_that_was_put_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also with what was put while an earlier commit was under way: who was told of a decision finds it."""
    commit = Held(Journal._commit)
    monkeypatch.setattr(Journal, "_commit", lambda *arguments: commit(*arguments))
    journal = open_in(tmp_path)
    journal.put(run_of(1, 2))
    assert commit.reached.wait(60)
    journal.put(run_of(3, 4))
    read = asyncio.create_task(journal.read())
    await asyncio.sleep(0)  # the read is asked for
    commit.release.set()
    assert [each.seq for each in await read] == [1, 2, 3, 4]
    journal.close()


async def test_what_was_put_during_the_last_read_is_written_before_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = Held(writer._read)
    monkeypatch.setattr(writer, "_read", query)
    journal = open_in(tmp_path)
    read = asyncio.create_task(journal.read())
    await asyncio.sleep(0)  # the read is asked for
    assert query.reached.wait(60)
    journal.put(run_of(1, 3))
    with pytest.raises(JournalError, match="3 events were not written"):
        journal.close(deadline_s=0.01)
    query.release.set()
    journal.close()
    assert await read == []
    assert [each.seq for each in read_events(tmp_path)] == [1, 2, 3]


async def test_a_second_program_cannot_open_the_file(journal: Journal, tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="open in another program"):
        open_in(tmp_path)
    with pytest.raises(JournalError, match="open in another program"):
        verify_chain(journal.path)


async def test_the_running_journal_answers_like_the_reader(tmp_path: Path) -> None:
    journal = open_in(tmp_path)
    journal.put([event(seq, "FILL" if seq % 3 else "STATE", symbol=BTC if seq % 2 else ETH) for seq in range(1, 31)])
    queries = [
        {},
        {"since_seq": 10, "limit": 4},
        {"kinds": ["STATE"]},
        {"kinds": ["STATE", "FILL"], "symbol": ETH, "since_seq": 2},
        {"kinds": []},
        {"symbol": "none"},
    ]
    await journal.committed(30)
    online = [await journal.read(**query) for query in queries]  # type: ignore[arg-type]
    journal.close()
    assert online == [list(read_events(tmp_path, **query)) for query in queries]  # type: ignore[arg-type]
    assert [len(each) for each in online] == [30, 4, 10, 14, 0, 0]
    assert [each.seq for each in online[1]] == [11, 12, 13, 14]


async def test_memory_journal_keeps_or_counts() -> None:
    keeping: JournalSink = MemoryJournal()
    counting = MemoryJournal(session=3, keep=False)
    for sink in (keeping, counting):
        sink.put(run_of(1, 3))
        sink.put([])
        await sink.committed(3)
    assert isinstance(keeping, MemoryJournal)
    assert (keeping.events, keeping.count, keeping.last_seq) == (run_of(1, 3), 3, 3)
    assert (counting.events, counting.count, counting.session) == ([], 3, 3)
