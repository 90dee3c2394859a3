"""The recorder: nothing is lost without being counted, and nothing that a disk does reaches the engine."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from random import Random

import pytest

from bot.domain.errors import TapeError
from bot.domain.frames import Frame, Lane
from bot.domain.values import NS
from bot.runtime.recorder import GB, Recorder, RecordParams
from bot.runtime.tape import Manifest, Tape
from tests.build import instrument

FREE = 5 * GB


class Disk:
    """How much room there is."""

    def __init__(self) -> None:
        self.free = FREE

    def __call__(self, path: Path) -> int:
        return self.free


class Recording:
    def __init__(self, folder: Path, **options: object) -> None:
        self.disk, self.told = Disk(), list[str]()
        self.recorder = Recorder(
            folder,
            RecordParams(),
            self.told.append,
            free_bytes=self.disk,
            **options,  # type: ignore[arg-type]
        )
        self.recorder.begin(Manifest(venue="binanceusdm", instruments=[instrument()]))

    def take(self, *numbers: int, bytes_each: int = 10) -> None:
        for number in numbers:
            self.recorder.take(frame(number, bytes_each))


def frame(number: int, size: int = 10) -> Frame:
    return Frame(number, Lane.DATA, "binanceusdm", b"%d" % number + b"x" * size)


def read(folder: Path) -> tuple[list[int], list[str]]:
    tape = Tape.open(folder)
    return [frame.recv_ns for frame in tape.frames()], tape.problems


def test_what_is_taken_is_on_the_tape_in_order(tmp_path: Path) -> None:
    recording = Recording(tmp_path / "tape")
    recording.take(1, 2, 3)
    recording.recorder.write()
    recording.take(4)
    recording.recorder.close()
    assert read(tmp_path / "tape") == ([1, 2, 3, 4], [])
    assert recording.told == []


def test_a_disk_without_room_is_told_once_and_nothing_is_missing_when_there_is_room_again(tmp_path: Path) -> None:
    recording = Recording(tmp_path / "tape")
    recording.disk.free = GB - 1
    for number in (1, 2, 3):
        recording.take(number)
        recording.recorder.write()
    assert recording.recorder.answer()["trouble"] == "1.00 GB are free on its disk, 1 GB are kept free"
    recording.disk.free = GB  # exactly what is kept is enough
    recording.recorder.write()
    recording.recorder.close()
    assert [line.split(":")[0] for line in recording.told] == [
        "recording waits, trading goes on",
        "recording goes on, nothing is missing",
    ]
    assert read(tmp_path / "tape") == ([1, 2, 3], [])


@pytest.mark.parametrize("flushed", [False, True])
def test_a_disk_that_refuses_is_no_end(tmp_path: Path, flushed: bool) -> None:
    """Its folder is away for a while: every write fails."""
    recording = Recording(tmp_path / "tape")
    recording.take(1)
    recording.recorder.write()
    (tmp_path / "tape").rename(tmp_path / "away")
    recording.take(*range(2, 40), bytes_each=(1 << 18) if flushed else 10)
    recording.recorder.write()
    recording.take(40)
    recording.recorder.write()
    if not flushed:
        recording.recorder.close()
        assert "is not complete" in recording.told[-1]
        return
    assert len(recording.told) == 1 and "No such file" in recording.told[0]
    (tmp_path / "away").rename(tmp_path / "tape")
    recording.recorder.write()
    recording.recorder.close()
    assert read(tmp_path / "tape") == (list(range(1, 41)), [])


def test_what_does_not_fit_into_memory_is_left_out_counted_and_seen_on_the_tape(tmp_path: Path) -> None:
    recording = Recording(tmp_path / "tape", held_bytes=1000)
    recording.disk.free = 0
    recording.take(1, 2, 3, 4, 5, 6, 7, bytes_each=100)  # 301 bytes each with what a frame takes: three fit
    recording.recorder.write()
    recording.disk.free = FREE
    recording.recorder.write()
    recording.take(8)
    recording.recorder.close()
    numbers, problems = read(tmp_path / "tape")
    assert numbers == [1, 2, 3, 8]
    assert recording.recorder.missing == 4
    assert problems == ["frame numbers jump 1 time(s), first from 3 to 8"]
    assert recording.told[-1] == "recording goes on; 4 frame(s) are missing so far"


def test_over_its_cap_the_oldest_part_goes(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "tape", RecordParams(max_gb=1e-5), list[str]().append)
    recorder.begin(Manifest(venue="binanceusdm", instruments=[instrument()]))
    for hour in range(10):
        recorder.take(Frame(hour * 4000 * NS, Lane.DATA, "binanceusdm", Random(hour).randbytes(2000).hex().encode()))
    recorder.close()
    assert 5_000 < recorder.answer()["bytes"] <= 10_000
    assert not Tape.open(tmp_path / "tape").from_its_start
    assert read(tmp_path / "tape")[0][-1] == 9 * 4000 * NS


async def test_the_engine_does_not_wait_for_the_disk(tmp_path: Path) -> None:
    """A disk that hangs holds a thread, not the loop."""
    hangs, let_go = threading.Event(), threading.Event()

    def slow(path: Path) -> int:
        hangs.set()
        assert let_go.wait(30)
        return FREE

    recorder = Recorder(tmp_path / "tape", RecordParams(), list[str]().append, free_bytes=slow)
    recorder.begin(Manifest(venue="binanceusdm", instruments=[instrument()]))
    writing = asyncio.ensure_future(asyncio.to_thread(recorder.write))
    assert await asyncio.to_thread(hangs.wait, 30)
    recorder.take(frame(1))
    recorder.take(frame(2))
    let_go.set()
    await writing
    recorder.close()
    assert read(tmp_path / "tape")[0] == [1, 2]


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TapeError, match="cannot be written"):
        Recorder(tmp_path / "file" / "tape", RecordParams(), list[str]().append)
