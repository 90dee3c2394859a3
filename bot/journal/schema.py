"""The journal's file: one append-only SQLite table of events, each row chained to the one before by a hash.

Here is how the file is opened, what a row is, and how the chain is made and walked. Who writes is `writer.py`, who reads
when no engine runs is `reader.py`. SQLite has no page checksum: the chain is what notices a changed, missing or moved row.
"""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson

from bot.domain.errors import JournalError
from bot.domain.events import Event, canonical

FILE = "journal.sqlite3"
USER_VERSION = 1
GENESIS = bytes(32)
COLUMNS = "seq, ts, frame, kind, v, account, mode, symbol, source, corr, cause, data"

Row = tuple[int, int, int, str, int, str, str, str | None, str, str | None, int | None, bytes]
"""One event in the order of COLUMNS; the hash column follows in the table."""

_SCHEMA = (
    """CREATE TABLE event (
        seq INTEGER PRIMARY KEY, ts INTEGER NOT NULL, frame INTEGER NOT NULL, kind TEXT NOT NULL, v INTEGER NOT NULL,
        account TEXT NOT NULL, mode TEXT NOT NULL, symbol TEXT, source TEXT NOT NULL, corr TEXT, cause INTEGER,
        data BLOB NOT NULL, hash BLOB NOT NULL
    ) STRICT""",
    "CREATE INDEX event_session ON event (seq) WHERE kind = 'ENGINE_STARTED'",
    """CREATE TRIGGER event_no_update BEFORE UPDATE ON event
       BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END""",
    """CREATE TRIGGER event_no_delete BEFORE DELETE ON event
       BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END""",
    f"PRAGMA user_version = {USER_VERSION}",
)

# Asked for and read back. Without recursive_triggers INSERT OR REPLACE walks past the append-only triggers.
_PRAGMAS: tuple[tuple[str, str, Any], ...] = (
    ("journal_mode", "WAL", "wal"),
    ("foreign_keys", "ON", 1),
    ("trusted_schema", "OFF", 0),
    ("recursive_triggers", "ON", 1),
    ("journal_size_limit", "67108864", 67108864),
)


def row_of(event: Event) -> Row:
    """The event as stored; raises JournalError when its data cannot be (a type JSON lacks, an integer over 64 bits)."""
    try:
        data = canonical(event.data)
    except TypeError as error:
        raise JournalError(f"{event.kind} (seq {event.seq}): {error}") from error
    e = event
    return (e.seq, e.ts, e.frame, e.kind, e.v, e.account, e.mode, e.symbol, e.source, e.corr, e.cause, data)


def event_of(row: Sequence[Any]) -> Event:
    """The event of a stored row. Older payloads are lifted to today's form here, by `v`; there is only one form so far."""
    seq, ts, frame, kind, v, account, mode, symbol, source, corr, cause, data = row[:12]
    try:
        content = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise JournalError(f"event {seq} of the journal is damaged: {error}; restore a backup") from error
    return Event(
        seq=seq,
        ts=ts,
        frame=frame,
        kind=kind,
        v=v,
        account=account,
        mode=mode,
        symbol=symbol,
        source=source,
        corr=corr,
        cause=cause,
        data=content,
    )


def chain_hash(previous: bytes, row: Sequence[Any]) -> bytes:
    """SHA-256 of the previous row's hash and every column of this one, each with its type and length before it."""
    return sha256(previous + b"".join([_part(value) for value in row])).digest()


def _part(value: Any) -> bytes:
    # The type counts too: one flipped bit turns a TEXT into a BLOB of the same bytes.
    if value is None:
        return b"n"
    if isinstance(value, str):
        body = value.encode()
        return b"t%d:%b" % (len(body), body)
    if isinstance(value, bytes):
        return b"b%d:%b" % (len(value), value)
    if isinstance(value, int):
        body = b"%d" % value
        return b"i%d:%b" % (len(body), body)
    return b"r" + struct.pack(">d", value)


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """SQLite's errors as JournalError, with the file and what to do."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            raise JournalError(f"{path} is open in another program: stop it, or ask it") from error
        raise JournalError(f"{path} cannot be used: {error}; check the disk and the folder's permissions") from error
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:  # the latter: SQLite's message quotes damaged text
        raise JournalError(
            f"{path} is damaged: {error}; keep it, restore a backup or use another --data-dir"
        ) from error


def connect(path: Path) -> sqlite3.Connection:
    """Opens an existing file (it may be empty) for this connection alone; a torn tail is dropped by SQLite's recovery.

    The connection may be handed from one thread to another, never shared.
    """
    with explained(path):
        uri = f"{path.absolute().as_uri()}?mode=rw"
        connection = sqlite3.connect(uri, uri=True, timeout=0, isolation_level=None, check_same_thread=False)
        try:
            _prepare(connection, path)
        except BaseException:
            connection.close()
            raise
        return connection


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    # Exclusive from the first access on: a second program cannot open the file and no shared memory is needed.
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    version = scalar(connection, "PRAGMA user_version")
    if version > USER_VERSION:
        raise JournalError(
            f"{path} was written by a newer program (format {version}, this one knows {USER_VERSION}): "
            "update this program or use another --data-dir"
        )
    if version == 0 and scalar(connection, "SELECT count(*) FROM sqlite_schema"):
        raise JournalError(f"{path} is not a journal of this program: use another --data-dir")
    for name, wanted, expected in _PRAGMAS:
        connection.execute(f"PRAGMA {name} = {wanted}")
        got = scalar(connection, f"PRAGMA {name}")
        if got != expected:
            raise JournalError(f"{path}: SQLite refused {name} = {wanted} (it says {got}): use a local disk for it")
    if version == 0:
        _create(connection)


def _create(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    for statement in _SCHEMA:
        connection.execute(statement)
    connection.execute("COMMIT")


def scalar(connection: sqlite3.Connection, sql: str, *arguments: Any) -> Any:
    """The first column of the first row, None when there is none."""
    row = connection.execute(sql, arguments).fetchone()
    return None if row is None else row[0]


def select(
    connection: sqlite3.Connection,
    *,
    since_seq: int = 0,
    kinds: Sequence[str] | None = None,
    symbol: str | None = None,
    limit: int | None = None,
) -> Iterator[Event]:
    """Events after `since_seq` in order, the first `limit` that match."""
    where = ["seq > ?"]
    values: list[Any] = [since_seq]
    if kinds is not None:
        where.append(f"kind IN ({', '.join('?' * len(kinds))})")
        values.extend(kinds)
    if symbol is not None:
        where.append("symbol = ?")
        values.append(symbol)
    values.append(-1 if limit is None else limit)
    sql = f"SELECT {COLUMNS} FROM event WHERE {' AND '.join(where)} ORDER BY seq LIMIT ?"
    return map(event_of, connection.execute(sql, values))


def walk(connection: sqlite3.Connection, *, after_seq: int = 0) -> tuple[int, int | None, bytes]:
    """Walks the chain behind row `after_seq` (0: from the start), whose own hash is taken as right.

    Returns how many rows are whole, the seq of the first that is not (None: all are), and the last whole row's hash.
    """
    count, seq, previous = 0, after_seq, GENESIS
    if after_seq:
        previous = scalar(connection, "SELECT hash FROM event WHERE seq = ?", after_seq)
    try:
        for row in connection.execute(f"SELECT {COLUMNS}, hash FROM event WHERE seq > ? ORDER BY seq", (after_seq,)):
            expected = chain_hash(previous, row[:12])
            if expected != row[12]:
                return count, row[0], previous
            count, seq, previous = count + 1, row[0], expected
    except sqlite3.DatabaseError:  # a page or a text that SQLite cannot read
        return count, seq + 1, previous
    return count, None, previous
