"""The journal's writer: one thread, one bounded queue, one transaction for all that waits (group commit, no timer).

`Journal` is the real sink; `MemoryJournal` stands in for it in replays and tests. Nothing here knows what an event means,
except which kinds must reach the disk before the writer goes on. Nothing that trades waits for `put`.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, Final

from msgspec import Struct

from bot.domain.errors import JournalError
from bot.domain.events import Event
from bot.domain.frames import Source
from bot.journal.lock import ensure_data_dir
from bot.journal.schema import COLUMNS, FILE, Row, chain_hash, connect, explained, row_of, scalar, select, walk

QUEUE_BOUND = 10_000  # events not yet committed; full: `put` raises and takes nothing
TAIL_ROWS = 100_000  # of the chain are walked at each start, about a second

# A batch with one of these, or with anything the operator did, is flushed to the disk (synchronous=FULL). The others survive
# a kill of the program, and may be lost when the machine loses power before the next flush.
FLUSHED_KINDS = frozenset(
    {
        *("ORDER_INTENT", "ORDER_ACK", "ORDER_REJECTED", "ORDER_CANCELED", "ORDER_UNKNOWN", "FILL"),
        *("POSITION_OPENED", "POSITION_CLOSED", "FUNDING", "TRANSFER", "RECONCILED", "DISCREPANCY"),
        *("STATE", "KILL_SWITCH", "RESUMED", "ADJUSTMENT", "ENGINE_STARTED", "ENGINE_STOPPED"),
    }
)
_SEQ: Final = 0  # places in a Row
_KIND: Final = 3
_SOURCE: Final = 8
_INSERT = f"INSERT INTO event ({COLUMNS}, hash) VALUES ({', '.join('?' * 13)})"


class JournalStats(Struct, frozen=True, kw_only=True):
    """`depth` is how many events are not committed yet, `high_water` the most that ever were; `behind_s` how long the oldest of
    them has waited (at least), `running` whether the writer's thread is there."""

    depth: int
    high_water: int
    last_commit_ms: float | None
    failure: str | None
    behind_s: float = 0.0
    running: bool = True


class _Waiter(Struct, frozen=True):
    seq: int
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[None]


class _Read(Struct, frozen=True):
    query: Callable[[sqlite3.Connection], list[Event]]
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[list[Event]]


class Journal:
    """The durable `JournalSink`. After a commit that failed it takes nothing more and `failure` says why.

    A failed commit is rolled back and never tried again: whether its events matter is the engine's to decide.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path, *, last_hash: bytes, bound: int) -> None:
        self.path = path
        self.session = 1 + int(scalar(connection, "SELECT count(*) FROM event WHERE kind = 'ENGINE_STARTED'"))
        self.last_seq: int = scalar(connection, "SELECT max(seq) FROM event") or 0  # the last one taken by `put`
        self.failure: str | None = None
        self._connection = connection
        self._hash = last_hash
        self._bound = bound
        self._wake = threading.Condition()  # guards everything below
        self._committed_seq = self.last_seq
        self._queue: list[Row] = []
        self._waiters: list[_Waiter] = []
        self._reads: deque[_Read] = deque()
        self._depth = 0
        self._high_water = 0
        self._waiting_since_s = 0.0  # the oldest event that is not committed; means nothing without one
        self._last_commit_ms: float | None = None
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    @classmethod
    def open(cls, data_dir: Path, *, account: str, mode: str, bound: int = QUEUE_BOUND) -> Journal:
        """Opens or creates the folder's journal and verifies it; call it with the folder's lock held.

        Raises JournalError when the file is damaged, newer than this program, or another account's or mode's.
        """
        ensure_data_dir(data_dir)
        path = data_dir / FILE
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        connection = connect(path)
        try:
            with explained(path):
                last_hash = _verify(connection, path)
                _check_owner(connection, data_dir, account=account, mode=mode)
                return cls(connection, path, last_hash=last_hash, bound=bound)
        except BaseException:
            connection.close()
            raise

    def put(self, events: Sequence[Event]) -> None:
        """Takes events whose seq rises. Raises JournalError, and takes none, when full, failed or closed.

        A gap in seq, left by events refused earlier, is allowed and stays visible.
        """
        rows = [row_of(event) for event in events]
        if not rows:
            return
        with self._wake:
            self._refuse_when_over()
            depth = self._depth + len(rows)
            if depth > self._bound:
                raise JournalError(f"the journal's queue is full: {depth} events wait for the disk, {self._bound} may")
            self.last_seq = _rising(rows, self.last_seq)
            if not self._depth:
                self._waiting_since_s = perf_counter()
            self._queue.extend(rows)
            self._depth = depth
            self._high_water = max(self._high_water, depth)
            self._wake.notify()

    async def committed(self, seq: int) -> None:
        """Returns when every event up to `seq` is committed; raises JournalError when it will not be."""
        loop = asyncio.get_running_loop()
        with self._wake:
            if seq <= self._committed_seq:
                return
            self._refuse_when_over()
            future: asyncio.Future[None] = loop.create_future()
            self._waiters.append(_Waiter(seq, loop, future))
        await future

    async def read(
        self,
        *,
        since_seq: int = 0,
        kinds: Sequence[str] | None = None,
        symbol: str | None = None,
        limit: int = 1000,
    ) -> list[Event]:
        """All that was put so far, as `reader.read_events` gives it, read by the writer once that is committed.

        It holds up commits by about 15 µs an event: page through a long history with `since_seq`.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[Event]] = loop.create_future()
        query = partial(_read, since_seq=since_seq, kinds=kinds, symbol=symbol, limit=limit)
        with self._wake:
            self._refuse_when_over()
            self._reads.append(_Read(query, loop, future))
            self._wake.notify()
        return await future

    def stats(self) -> JournalStats:
        with self._wake:
            return JournalStats(
                depth=self._depth,
                high_water=self._high_water,
                last_commit_ms=self._last_commit_ms,
                failure=self.failure,
                behind_s=perf_counter() - self._waiting_since_s if self._depth else 0.0,
                running=self._thread.is_alive(),
            )

    def close(self, deadline_s: float = 5.0) -> None:
        """Commits what waits and ends the thread; raises JournalError unless all that was put is committed by then."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join(deadline_s)
        if self._thread.is_alive():
            raise JournalError(f"{self.path}: {self.stats().depth} events were not written within {deadline_s:g} s")
        if self.failure:
            raise JournalError(self.failure)

    def _refuse_when_over(self) -> None:
        if self.failure or self._closing:
            raise JournalError(self.failure or "the journal is closed")

    # --- the writer thread, the only one that touches the connection ---

    def _run(self) -> None:
        failure: str | None = "its writer ended unexpectedly"
        try:
            while self._turn():
                pass
            failure = None
        except sqlite3.Error as error:
            failure = str(error)
        finally:
            self._end(failure and f"the journal {self.path} failed and takes no more events: {failure}")
            self._connection.close()  # and so rolls back what failed

    def _turn(self) -> bool:
        """One transaction of all that waits, then the reads that were asked for by its start: what was put before a read is
        in its answer. False when nothing is left to do and it closes."""
        with self._wake:
            self._wake.wait_for(lambda: self._queue or self._reads or self._closing)
            batch, self._queue = self._queue, []
            asked = len(self._reads)
        if not batch and not asked:
            return False
        if batch:
            started = perf_counter()
            self._commit(batch)
            self._announce(batch, started)
        for _ in range(asked):
            self._answer(self._reads[0])  # listed until answered, so that `_end` finds it
            self._reads.popleft()
        return True

    def _commit(self, batch: Sequence[Row]) -> None:
        chained, previous = [], self._hash
        for row in batch:
            previous = chain_hash(previous, row)
            chained.append((*row, previous))
        execute = self._connection.execute
        execute(f"PRAGMA synchronous = {'FULL' if any(map(_flushed, batch)) else 'NORMAL'}")
        execute("BEGIN IMMEDIATE")
        self._connection.executemany(_INSERT, chained)
        execute("COMMIT")
        self._hash = previous

    def _announce(self, batch: Sequence[Row], started_s: float) -> None:
        """What came since then waits since then, at most."""
        with self._wake:
            self._committed_seq = batch[-1][_SEQ]
            self._depth -= len(batch)
            self._last_commit_ms = (perf_counter() - started_s) * 1000
            self._waiting_since_s = started_s
            due = [waiter for waiter in self._waiters if waiter.seq <= self._committed_seq]
            if due:
                self._waiters = [waiter for waiter in self._waiters if waiter.seq > self._committed_seq]
        for loop in {waiter.loop for waiter in due}:
            _tell(loop, [waiter.future for waiter in due if waiter.loop is loop], None, None)

    def _answer(self, read: _Read) -> None:
        try:
            events = read.query(self._connection)
        except (
            sqlite3.Error,
            JournalError,
            OverflowError,
        ) as error:  # an old row that cannot be read does not stop new ones
            _tell(read.loop, [read.future], None, f"{self.path} cannot be read: {error}")
        else:
            _tell(read.loop, [read.future], events, None)

    def _end(self, failure: str | None) -> None:
        """Nothing more will be written: says why, once, to all who still wait."""
        with self._wake:
            self.failure = failure
            self._closing = True
            waiting: list[_Waiter | _Read] = [*self._waiters, *self._reads]
            self._waiters.clear()
            self._reads.clear()
        for one in waiting:
            _tell(one.loop, [one.future], None, self.failure or "the journal is closed")


class MemoryJournal:
    """A sink that keeps its events in a list, or only counts them (`keep=False`); always committed."""

    def __init__(self, *, session: int = 1, keep: bool = True) -> None:
        self.session = session
        self.last_seq = 0
        self.count = 0
        self.events: list[Event] = []
        self._keep = keep

    def put(self, events: Sequence[Event]) -> None:
        if not events:
            return
        self.count += len(events)
        self.last_seq = events[-1].seq
        if self._keep:
            self.events.extend(events)

    async def committed(self, seq: int) -> None:
        return


def _flushed(row: Row) -> bool:
    return row[_KIND] in FLUSHED_KINDS or row[_SOURCE] == Source.OPERATOR


def _rising(rows: Sequence[Row], last: int) -> int:
    for row in rows:
        if row[_SEQ] <= last:
            raise JournalError(f"seq {row[_SEQ]} ({row[_KIND]}) is not after {last}: events come in order, once each")
        last = row[_SEQ]
    return last


def _read(connection: sqlite3.Connection, **query: Any) -> list[Event]:
    return list(select(connection, **query))


def _tell(
    loop: asyncio.AbstractEventLoop, futures: Sequence[asyncio.Future[Any]], result: Any, failure: str | None
) -> None:
    with suppress(RuntimeError):  # the loop is closed: nobody waits any more
        loop.call_soon_threadsafe(_settle, futures, result, failure)


def _settle(futures: Sequence[asyncio.Future[Any]], result: Any, failure: str | None) -> None:
    for future in futures:
        if future.done():  # its task was canceled
            continue
        if failure is None:
            future.set_result(result)
        else:
            future.set_exception(JournalError(failure))


def _check_owner(connection: sqlite3.Connection, data_dir: Path, *, account: str, mode: str) -> None:
    row = connection.execute("SELECT account, mode FROM event ORDER BY seq DESC LIMIT 1").fetchone()
    if row is not None and row != (account, mode):
        raise JournalError(
            f"{data_dir} holds a {row[1]} journal of account {row[0]}, not a {mode} one of account {account}: "
            "use another --data-dir"
        )


def _verify(connection: sqlite3.Connection, path: Path) -> bytes:
    """The pages and the chain's tail are whole; returns the last row's hash."""
    answer = scalar(connection, "PRAGMA quick_check")
    if answer != "ok":
        raise JournalError(f"{path} is damaged: {answer}; keep it, restore a backup or use another --data-dir")
    last = scalar(connection, "SELECT max(seq) FROM event")
    anchor = scalar(connection, "SELECT max(seq) FROM event WHERE seq <= ?", (last or 0) - TAIL_ROWS) or 0
    _, broken, last_hash = walk(connection, after_seq=anchor)
    if broken is not None:
        raise JournalError(
            f"{path} is damaged: event {broken} was changed after it was written, or one before it is missing; "
            "keep it, restore a backup or use another --data-dir"
        )
    return last_hash
