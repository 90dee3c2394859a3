from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bot.domain.errors import BotError, JournalError
from bot.domain.events import Event
from bot.journal.reader import read_events, verify_chain
from bot.journal.schema import FILE, GENESIS, chain_hash, connect, event_of, row_of, scalar
from bot.journal.writer import Journal
from tests.journal.journal_events import event, run_of


def write(data_dir: Path, events: list[Event]) -> Path:
    journal = Journal.open(data_dir, account="main", mode="paper")
    journal.put(events)
    journal.close()
    return data_dir / FILE


def tamper(path: Path, *statements: str) -> None:
    """Changes the file as somebody with an SQLite shell would."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for trigger in ("event_no_update", "event_no_delete"):
            connection.execute(f"DROP TRIGGER {trigger}")
        for statement in statements:
            connection.execute(statement)


def test_an_event_comes_back_as_it_was() -> None:
    original = event(7, "FILL", {"price": "65000.10", "ratio": 1.1001, "verdicts": [{"guard": "x"}], "none": None})
    assert event_of(row_of(original)) == original
    assert event_of(row_of(event(8, symbol=None, corr="S1", cause=7))) == event(8, symbol=None, corr="S1", cause=7)


@pytest.mark.parametrize("value", [{1, 2}, object(), 2**70], ids=["set", "object", "big"])
def test_what_json_cannot_hold_is_refused_by_name(value: Any) -> None:
    with pytest.raises(JournalError, match=r"FEED_UP \(seq 7\)"):
        row_of(event(7, data={"x": value}))


@pytest.mark.parametrize(
    "change",
    [
        {"seq": 4},
        {"ts": 1},
        {"frame": 1},
        {"kind": "X"},
        {"v": 2},
        {"account": "other"},
        {"mode": "live"},
        {"symbol": None},
        {"symbol": ""},
        {"source": "x"},
        {"corr": "S1"},
        {"corr": ""},
        {"cause": 2},
        {"data": {"price": "65004"}},
    ],
    ids=str,
)
def test_the_hash_covers_every_column(change: dict[str, Any]) -> None:
    original = event(3)
    changed = msgspec.structs.replace(original, **change)
    assert chain_hash(GENESIS, row_of(changed)) != chain_hash(GENESIS, row_of(original))


def test_the_hash_tells_where_one_column_ends_and_what_it_is() -> None:
    def hashed(**fields: Any) -> bytes:
        return chain_hash(GENESIS, row_of(event(3, **fields)))

    assert hashed(account="ab", mode="c") != hashed(account="a", mode="bc")
    row = list(row_of(event(3)))
    assert chain_hash(GENESIS, row) != chain_hash(GENESIS, [*row[:3], row[3].encode(), *row[4:]])  # type: ignore[union-attr]
    assert chain_hash(GENESIS, row) != chain_hash(bytes(31) + b"\x01", row)


def test_pragmas_and_permissions(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path / "new" / "data", account="main", mode="paper")
    journal.put([event(1)])
    journal.close()
    path = tmp_path / "new" / "data" / FILE
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert path.stat().st_mode & 0o777 == 0o600
    with closing(connect(path)) as connection:
        asked = ("journal_mode", "foreign_keys", "trusted_schema", "recursive_triggers", "locking_mode", "user_version")
        assert [scalar(connection, f"PRAGMA {name}") for name in asked] == ["wal", 1, 0, 1, "exclusive", 1]
        strict = "SELECT strict FROM pragma_table_list WHERE name = 'event'"
        assert scalar(connection, strict) == 1


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE event SET data = x'7b7d' WHERE seq = 2",
        "DELETE FROM event WHERE seq = 2",
        "INSERT OR REPLACE INTO event SELECT seq, ts, frame, 'FAKE', v, account, mode, symbol, source, corr, cause,"
        " data, hash FROM event WHERE seq = 2",
    ],
    ids=["update", "delete", "replace"],
)
def test_rows_cannot_be_changed(tmp_path: Path, statement: str) -> None:
    path = write(tmp_path, run_of(1, 3))
    with closing(connect(path)) as connection:
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            connection.execute(statement)
        assert scalar(connection, "SELECT group_concat(kind) FROM event") == "FEED_UP,FEED_UP,FEED_UP"


@pytest.mark.parametrize(
    ("statements", "broken"),
    [
        (["DELETE FROM event WHERE seq = 20"], 21),
        (["UPDATE event SET seq = 90 WHERE seq = 20"], 21),
        (["UPDATE event SET seq = 90 WHERE seq = 20", "UPDATE event SET seq = 20 WHERE seq = 21"], 20),
        (["UPDATE event SET ts = ts + 1 WHERE seq = 20"], 20),
        (["UPDATE event SET symbol = NULL WHERE seq = 20"], 20),
        (["UPDATE event SET hash = zeroblob(32) WHERE seq = 20"], 20),
        (["UPDATE event SET kind = CAST(x'ff' AS TEXT) WHERE seq = 20"], 20),
    ],
    ids=["deleted", "moved", "reordered", "time", "symbol", "hash", "not utf-8"],
)
def test_the_chain_shows_where_it_was_tampered_with(tmp_path: Path, statements: list[str], broken: int) -> None:
    path = write(tmp_path, run_of(1, 40))
    assert verify_chain(path) == (40, None)
    tamper(path, *statements)
    assert verify_chain(path) == (19, broken)
    with pytest.raises(JournalError, match=f"event {broken} "):
        Journal.open(tmp_path, account="main", mode="paper")


def test_one_changed_byte_of_the_file_is_seen(tmp_path: Path) -> None:
    path = write(tmp_path, run_of(1, 40))
    content = path.read_bytes()
    assert content.count(b'"65017"') == 1
    path.write_bytes(content.replace(b'"65017"', b'"65016"'))
    assert verify_chain(path) == (16, 17)


def test_a_flipped_bit_is_seen_or_harmless(tmp_path: Path) -> None:
    original = [event(1, "ENGINE_STARTED"), *run_of(2, 40)]
    path = write(tmp_path / "whole", original)
    content = path.read_bytes()
    seen = 0
    for place in range(0, len(content), 61):
        flipped = bytearray(content)
        flipped[place] ^= 1 << place % 8
        copy = tmp_path / "flipped"
        shutil.rmtree(copy, ignore_errors=True)
        copy.mkdir()
        (copy / FILE).write_bytes(flipped)
        try:
            journal = Journal.open(copy, account="main", mode="paper")
        except JournalError:
            seen += 1
            continue
        assert (journal.session, journal.last_seq) == (2, 40), f"byte {place}"
        journal.close()
        assert list(read_events(copy)) == original, f"byte {place}"
    assert seen > 50


def test_only_the_tail_is_walked_at_start_and_the_whole_by_verify(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.journal.writer.TAIL_ROWS", 10)
    path = write(tmp_path, run_of(1, 40))
    tamper(path, "UPDATE event SET ts = 1 WHERE seq = 30")
    journal = Journal.open(tmp_path, account="main", mode="paper")
    assert journal.last_seq == 40
    journal.close()
    assert verify_chain(path) == (29, 30)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE event SET ts = 1 WHERE seq = 31")
    with pytest.raises(JournalError, match="event 31 "):
        Journal.open(tmp_path, account="main", mode="paper")


def newer(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 2")


def foreign(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE other (x)")


def rubbish(path: Path) -> None:
    path.write_bytes(b"not a database at all" * 100)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (newer, r"newer program \(format 2, this one knows 1\): update this program or use another --data-dir"),
        (foreign, "not a journal of this program"),
        (rubbish, "damaged: file is not a database"),
    ],
)
def test_a_file_that_is_not_ours_is_refused_and_left_alone(
    tmp_path: Path, spoil: Callable[[Path], None], says: str
) -> None:
    path = write(tmp_path, run_of(1, 3))
    spoil(path)
    before = path.read_bytes()
    for attempt in (
        lambda: Journal.open(tmp_path, account="main", mode="paper"),
        lambda: list(read_events(tmp_path)),
        lambda: verify_chain(path),
    ):
        with pytest.raises(JournalError, match=says):
            attempt()
    assert path.read_bytes() == before


@pytest.mark.parametrize(("account", "mode"), [("other", "paper"), ("main", "live")])
def test_another_accounts_or_modes_journal_is_refused(tmp_path: Path, account: str, mode: str) -> None:
    write(tmp_path, run_of(1, 3))
    with pytest.raises(JournalError, match="holds a paper journal of account main, not a"):
        Journal.open(tmp_path, account=account, mode=mode)


def test_a_folder_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BotError, match="another --data-dir"):
        Journal.open(tmp_path / "file", account="main", mode="paper")
