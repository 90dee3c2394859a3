"""A program that is killed, or whose file ends in the middle, loses nothing it was told is safe."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from pathlib import Path

from bot.journal.reader import read_events, verify_chain
from bot.journal.schema import FILE
from bot.journal.writer import Journal
from tests.journal.journal_events import run_of

ROOT = Path(__file__).resolve().parents[2]
WRITER = """
import asyncio, sys
from pathlib import Path
from bot.journal.writer import Journal
from tests.journal.journal_events import run_of

async def main():
    journal = Journal.open(Path(sys.argv[1]), account="main", mode="paper")
    print("open", flush=True)
    seq = journal.last_seq
    while True:
        for size in (1, 3, 40, 2):
            journal.put(run_of(seq + 1, seq + size))
            seq += size
        await journal.committed(seq - 2)
        print(seq - 2, flush=True)

asyncio.run(main())
"""


def killed_after(data_dir: Path, lines: int) -> int:
    """Runs a writer until it has printed so many lines, kills it, and returns the last seq it was told is safe."""
    command = [sys.executable, "-c", WRITER, str(data_dir)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        heard = [process.stdout.readline() for _ in range(lines)]
        process.kill()
        heard += process.stdout.readlines()
    assert process.returncode == -9, heard
    told = [int(line) for line in heard if line.endswith("\n") and line != "open\n"]
    return told[-1] if told else 0


def test_kill_nine_loses_nothing_that_was_committed(tmp_path: Path) -> None:
    written = 0
    for lines in (1, 2, 3, 5, 9, 14, 20, 31, 57, 100):
        safe = killed_after(tmp_path, lines)
        journal = Journal.open(tmp_path, account="main", mode="paper")
        assert journal.last_seq >= max(safe, written)
        written = journal.last_seq
        journal.close()
        assert verify_chain(tmp_path / FILE) == (written, None)
    assert list(read_events(tmp_path)) == run_of(1, written)
    assert written > 1000


async def test_a_torn_tail_opens_to_the_last_whole_transaction(tmp_path: Path) -> None:
    live = tmp_path / "live"
    journal = Journal.open(live, account="main", mode="paper")
    ends = []
    for first in range(1, 60, 6):
        journal.put(run_of(first, first + 5))
        await journal.committed(first + 5)
        ends.append(first + 5)
    wal = (live / f"{FILE}-wal").read_bytes()
    opened = set()
    for length in range(0, len(wal) + 1, 977):
        torn = tmp_path / "torn"
        shutil.rmtree(torn, ignore_errors=True)
        torn.mkdir()
        shutil.copy(live / FILE, torn / FILE)
        (torn / f"{FILE}-wal").write_bytes(wal[:length])
        last = await asyncio.to_thread(reopened, torn)
        assert last in (0, *ends)
        opened.add(last)
    journal.close()
    assert opened == {0, *ends[:-1]} or opened == {0, *ends}


def reopened(data_dir: Path) -> int:
    """Opens, goes on by one event, and returns how far the journal reached before."""
    journal = Journal.open(data_dir, account="main", mode="paper")
    last = journal.last_seq
    journal.put(run_of(last + 1, last + 1))
    journal.close()
    assert list(read_events(data_dir)) == run_of(1, last + 1)
    assert verify_chain(data_dir / FILE) == (last + 1, None)
    return last
