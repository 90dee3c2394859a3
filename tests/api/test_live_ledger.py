"""The running engine's ledger: folded only when asked, in pages, and honest about how far it is and how old."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest

from bot.api import ledger as module
from bot.api.ledger import PAGE, LiveLedger
from bot.domain.events import Event
from bot.learning.ledger import Ledger
from bot.learning.table import answer, question
from tests.learning.histories import BLOCK, History


class Pages:
    """A journal that counts how it is read."""

    def __init__(self, events: Sequence[Event]) -> None:
        self.events = list(events)
        self.reads: list[int] = []

    @property
    def last_seq(self) -> int:
        return self.events[-1].seq if self.events else 0

    async def read(self, *, since_seq: int = 0, limit: int = 1000) -> list[Event]:
        self.reads.append(since_seq)
        return [event for event in self.events if event.seq > since_seq][:limit]


def history(signals: int) -> History:
    told = History().start("rules-1")
    for i in range(signals):
        told.refused((-1.0, 2.0)[i % 2]).wait(BLOCK // 8)
    return told


def of_whole(told: History) -> object:
    ledger = Ledger()
    ledger.fold(told.events)
    return answer(ledger, question())


async def test_it_answers_as_a_reader_of_the_whole_journal_does() -> None:
    told = history(400)
    assert len(told.events) > 3 * PAGE
    live = LiveLedger(Pages(told.events), lambda: 0)
    table = await live.guards(question())
    assert table.pop("age_s") >= 0
    assert table == of_whole(told)
    live.close()


async def test_only_what_is_new_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT_S", 0.0)
    monkeypatch.setattr(module, "KEPT_TIMES", 0.0)
    told = history(10)
    journal = Pages(told.events)
    live = LiveLedger(journal, lambda: 0)
    await live.guards(question())
    seen = told.events[-1].seq
    told.refused(1.0)
    journal.events = list(told.events)
    assert (await live.guards(question()))["as_of_seq"] == told.events[-1].seq > seen
    assert journal.reads == [0, seen]
    live.close()


async def test_an_answer_is_kept_and_tells_its_age(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(module, "monotonic", lambda: now)
    told = history(10)
    journal = Pages(told.events)
    live = LiveLedger(journal, lambda: 0)
    first = await live.guards(question())
    journal.events = list(told.refused(1.0).events)
    now += module.KEPT_S
    kept = await live.guards(question())
    assert (kept["as_of_seq"], kept["age_s"]) == (first["as_of_seq"], module.KEPT_S)
    assert (await live.guards(question(["symbol"])))["as_of_seq"] > first[
        "as_of_seq"
    ]  # another question is not that one
    now += 0.001
    assert (await live.guards(question()))["as_of_seq"] > first["as_of_seq"]
    live.close()


async def test_what_took_long_is_kept_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0

    def slow(*arguments: object) -> dict[str, object]:
        nonlocal now
        now += 1.0
        return {"at": now}

    monkeypatch.setattr(module, "monotonic", lambda: now)
    monkeypatch.setattr(module, "answer", slow)
    live = LiveLedger(Pages(history(1).events), lambda: 0)
    await live.guards(question())
    now = 100.0 + module.KEPT_TIMES
    assert (await live.guards(question()))["at"] == 101.0
    now += 0.001
    assert (await live.guards(question()))["at"] > 101.0
    live.close()


async def test_questions_without_end_are_not_kept_without_end() -> None:
    live = LiveLedger(Pages(history(1).events), lambda: 0)
    for hours in range(1, 3 * module.QUESTIONS_KEPT):
        await live.guards(question(window=f"{hours}h"))
    assert len(live._answers) == module.QUESTIONS_KEPT
    live.close()


async def test_a_long_history_is_told_over_several_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WITHIN_S", 0.0)
    told = history(400)
    live = LiveLedger(Pages(told.events), lambda: 0)
    reached, table = [], await live.guards(question())
    while "computing" in table:
        assert table["computing"]["of"] == told.events[-1].seq
        reached.append(table["computing"]["seq"])
        table = await live.guards(question())
    assert reached == sorted(set(reached)) and len(reached) > 1
    assert table["as_of_seq"] == told.events[-1].seq
    live.close()


async def test_many_that_ask_at_once_read_the_journal_once() -> None:
    told = history(100)
    journal = Pages(told.events)
    live = LiveLedger(journal, lambda: 0)
    tables = await asyncio.gather(*(live.guards(question()) for _ in range(20)))
    assert {table["as_of_seq"] for table in tables} == {told.events[-1].seq}
    assert len(journal.reads) == len(told.events) // PAGE + 1
    live.close()


async def test_nothing_of_it_happens_in_the_loops_own_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = []

    def seen(events: Sequence[Event]) -> None:
        threads.append(threading.current_thread())

    def asked(*arguments: object) -> dict[str, object]:
        threads.append(threading.current_thread())
        return {}

    live = LiveLedger(Pages(history(10).events), lambda: 0)
    monkeypatch.setattr(module, "answer", asked)
    monkeypatch.setattr(Ledger, "fold", lambda self, events: seen(events))
    await live.guards(question())
    assert len(threads) == 2 and threading.current_thread() not in threads
    live.close()
