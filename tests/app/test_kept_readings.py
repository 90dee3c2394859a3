"""Readings kept on disk while the program runs: a disk that is full, and two saves at the same moment."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

import pytest

from bot.app.kept_readings import KeptReadings
from bot.domain.reading import LongShort, Reading
from bot.domain.values import NS
from bot.intel.keep import FILE_NAME, load
from bot.market.readings import VENUE, ReadingStore
from bot.runtime.inbox import Inbox
from tests.build import NOW, reading

resource = pytest.importorskip("resource")


def crowd(ratio: str) -> Reading[LongShort]:
    return reading("long_short", LongShort(ratio=Decimal(ratio)), source=VENUE, max_age_s=900)


@contextmanager
def full_disk() -> Iterator[None]:
    """No file may grow beyond a few bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def kept_in(folder: Path) -> list[bytes]:
    found = load(folder / FILE_NAME, NOW)
    assert found.problem == ""
    return found.readings


def test_a_full_disk_is_told_once_leaves_what_was_kept_and_heals(tmp_path: Path) -> None:
    store, told = ReadingStore(), list[str]()
    store.put(crowd("2"))
    kept = KeptReadings(tmp_path, store, lambda: NOW, told.append)
    kept.save()
    [first] = kept_in(tmp_path)
    store.put(crowd("3"))
    with full_disk():
        kept.save()
        kept.save()
    assert len(told) == 1 and "readings cannot be kept for the next start" in told[0]
    assert kept_in(tmp_path) == [first]
    kept.save()
    [second] = kept_in(tmp_path)
    assert b'"3"' in second
    with full_disk():
        kept.save()
    assert len(told) == 2, "it is told again after it was well"


def test_the_save_at_the_end_waits_for_one_that_is_under_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, told = ReadingStore(), list[str]()
    store.put(crowd("2"))
    kept = KeptReadings(tmp_path, store, lambda: NOW, told.append)
    writing, go_on, fsync = threading.Event(), threading.Event(), os.fsync

    def slow(handle: int) -> None:
        if not writing.is_set():
            writing.set()
            assert go_on.wait(20)
        fsync(handle)

    monkeypatch.setattr(os, "fsync", slow)
    first = threading.Thread(target=kept.save)
    first.start()
    assert writing.wait(20)
    store.put(crowd("3"))
    last = threading.Thread(target=kept.save)
    last.start()
    last.join(0.2)
    go_on.set()
    for each in (first, last):
        each.join(20)
    assert told == []
    [only] = kept_in(tmp_path)
    assert b'"3"' in only, "the newer of the two"


def test_what_was_kept_comes_first_into_the_engine_with_its_age(tmp_path: Path) -> None:
    store, told, known = ReadingStore(), list[str](), list[int | None]()
    store.put(crowd("2"))
    KeptReadings(tmp_path, store, lambda: NOW, told.append).save()
    inbox = Inbox()
    later = KeptReadings(tmp_path, ReadingStore(), lambda: NOW + 60 * NS, told.append)
    later.restore(inbox, lambda each: known.append(each.observed_ns))
    assert (inbox.depths(), known, told) == ((0, 1), [NOW], [])
    assert inbox.pop().recv_ns == NOW + 60 * NS
    (tmp_path / FILE_NAME).write_text("{")
    later.restore(inbox, lambda each: known.append(each.observed_ns))
    assert inbox.depths() == (0, 0) and len(told) == 1 and "damaged" in told[0]
