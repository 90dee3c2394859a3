"""Reads the journal when no engine runs. While one does, it has the file for itself and its API answers instead."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

from bot.domain.errors import JournalError
from bot.domain.events import Event
from bot.journal.lock import InstanceLock
from bot.journal.schema import FILE, connect, explained, scalar, select, walk


def read_events(
    data_dir: Path,
    *,
    since_seq: int = 0,
    kinds: Sequence[str] | None = None,
    symbol: str | None = None,
    limit: int | None = None,
) -> Iterator[Event]:
    """Events after `since_seq` in order, the first `limit` that match; holds the folder's lock while it is read from.

    Raises, at the first event asked for, JournalError when there is no journal and InstanceError when an engine runs.
    """
    path = _existing(data_dir / FILE)
    with InstanceLock(data_dir), explained(path), closing(connect(path)) as connection:
        connection.execute("PRAGMA query_only = ON")
        yield from select(connection, since_seq=since_seq, kinds=kinds, symbol=symbol, limit=limit)


def last_seq(data_dir: Path) -> int:
    """Of the journal's last event, 0 of an empty one; raises as `read_events` does."""
    path = _existing(data_dir / FILE)
    with InstanceLock(data_dir), explained(path), closing(connect(path)) as connection:
        return scalar(connection, "SELECT max(seq) FROM event") or 0


def verify_chain(path: Path) -> tuple[int, int | None]:
    """Walks the whole chain of one file: how many rows are whole, and the seq of the first that is not (None: all are).

    About 100,000 rows a second. Rows cut off at the end leave a whole, shorter chain and cannot be seen here.
    """
    with explained(path), closing(connect(_existing(path))) as connection:
        count, broken, _ = walk(connection)
        return count, broken


def _existing(path: Path) -> Path:
    if not path.exists():
        raise JournalError(f"there is no journal at {path}: check --data-dir, or run the engine first")
    return path
