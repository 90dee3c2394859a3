from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bot.domain.errors import InstanceError
from bot.journal.lock import LOCK_FILE, TOKEN_FILE, InstanceLock, load_or_create_token, running_api
from bot.journal.reader import read_events
from bot.journal.writer import Journal
from tests.journal.journal_events import run_of

ROOT = Path(__file__).resolve().parents[2]
URL = "http://127.0.0.1:8787"
HOLDER = """
import sys
from pathlib import Path
from bot.journal.lock import InstanceLock
lock = InstanceLock(Path(sys.argv[1])).acquire()
print("held", flush=True)
for url in sys.stdin:
    lock.publish(url.strip())
    print("published", flush=True)
"""


def test_one_program_holds_the_folder_until_it_is_killed(tmp_path: Path) -> None:
    Journal.open(tmp_path, account="main", mode="paper").close()
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert running_api(tmp_path) is None  # held, but its port is not known yet
        with pytest.raises(InstanceError, match=rf"another instance \(pid {holder.pid}\) holds {tmp_path}; stop it or"):
            InstanceLock(tmp_path).acquire()
        holder.stdin.write(f"{URL}/a/longer/one\n{URL}\n")
        holder.stdin.flush()
        assert [holder.stdout.readline() for _ in range(2)] == ["published\n"] * 2
        assert running_api(tmp_path) == URL
        with pytest.raises(InstanceError, match=rf"\(pid {holder.pid}, api {URL}\)") as refused:
            InstanceLock(tmp_path).acquire()
        assert refused.value.exit_code == 4
        with pytest.raises(InstanceError, match="use another --data-dir"):
            list(read_events(tmp_path))
        holder.kill()
    assert json.loads((tmp_path / LOCK_FILE).read_text())["api"] == URL  # stale, and ignored:
    assert running_api(tmp_path) is None
    with InstanceLock(tmp_path) as lock:
        assert json.loads((tmp_path / LOCK_FILE).read_text()) == {"pid": os.getpid(), "api": None}
        lock.publish("http://127.0.0.1:9000")
        assert running_api(tmp_path) == "http://127.0.0.1:9000"
    assert running_api(tmp_path) is None


def test_the_folder_is_made_private_and_asking_does_not_make_it(tmp_path: Path) -> None:
    data_dir = tmp_path / "deep" / "data"
    assert running_api(data_dir) is None
    assert not data_dir.exists()
    with InstanceLock(data_dir):
        assert data_dir.stat().st_mode & 0o777 == 0o700
        assert (data_dir / LOCK_FILE).stat().st_mode & 0o777 == 0o600


def test_a_lock_file_without_sense_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / LOCK_FILE).write_text("rubbish, and longer than what is going to be written into it" * 3)
    with InstanceLock(tmp_path):
        assert json.loads((tmp_path / LOCK_FILE).read_text())["pid"] == os.getpid()
        (tmp_path / LOCK_FILE).write_text("[1]")
        assert running_api(tmp_path) is None
        with pytest.raises(InstanceError, match="pid unknown"):
            InstanceLock(tmp_path).acquire()


def test_the_lock_is_free_again_after_release_and_publishing_needs_it(tmp_path: Path) -> None:
    lock = InstanceLock(tmp_path)
    with pytest.raises(InstanceError, match="acquire the lock first"):
        lock.publish(URL)
    lock.acquire()
    lock.release()
    lock.release()
    InstanceLock(tmp_path).acquire().release()


def test_reading_holds_the_lock_while_it_lasts(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path, account="main", mode="paper")
    journal.put(run_of(1, 3))
    journal.close()
    events = read_events(tmp_path)
    assert next(events).seq == 1
    with pytest.raises(InstanceError):
        InstanceLock(tmp_path).acquire()
    events.close()  # type: ignore[attr-defined]
    InstanceLock(tmp_path).acquire().release()


def test_the_token_is_made_once_and_private(tmp_path: Path) -> None:
    token = load_or_create_token(tmp_path / "data")
    path = tmp_path / "data" / TOKEN_FILE
    assert len(token) >= 43  # 32 bytes in base 64
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_or_create_token(tmp_path / "data") == token
    assert load_or_create_token(tmp_path / "other") != token


def test_a_token_that_was_put_there_is_used_and_made_private(tmp_path: Path) -> None:
    path = tmp_path / TOKEN_FILE
    path.write_text("my own token\n")
    path.chmod(0o644)
    assert load_or_create_token(tmp_path) == "my own token"
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_text("")
    assert len(load_or_create_token(tmp_path)) >= 43
