"""One budget of calls for all engine processes of a machine: when the next call to a provider may leave.

`SqliteBudget` keeps a log of the calls of the last 61 s in a file that the processes share: never more than `per_minute` of
them, and never two closer than an even share of that time, whoever asks. It counts 61 s, because calls counted when they
leave arrive unevenly. The window is spread evenly (61 s / 24 = 2.54 s), which leaves 40 ms of the 2.5 s to the network.

Time is the machine's monotonic clock: all its processes read the same one and nobody can set it. After a restart of the
machine it counts from zero again, and by it a call only ever looks younger than it is. When the file cannot be used no
call leaves: that is reported, and tried again. A file that is damaged or vanishes is replaced by one that counts as used up.
Not here: which call is made (`scheduler`), and anything a provider says besides its limit.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import NamedTuple, Protocol

from bot.domain.values import NS

WINDOW_NS = 61 * NS
PER_MINUTE = 24
FILE_NAME = "budget-1.sqlite3"  # the number is that of the tables below
_AHEAD_NS = NS  # a call logged further ahead than this is of a time before the machine was restarted
_LOCKED_S = 2.0  # how long one program may keep the others waiting; a transaction takes about a millisecond
_AGAIN_S = 5.0  # after trouble with the file
_SAY_S = 60.0
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_LOCKED = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_TABLES = (
    "CREATE TABLE IF NOT EXISTS salt (salt BLOB NOT NULL)",
    "CREATE TABLE IF NOT EXISTS keys (key TEXT PRIMARY KEY, per_minute INTEGER NOT NULL CHECK (per_minute >= 1))",
    "CREATE TABLE IF NOT EXISTS calls (id INTEGER PRIMARY KEY, key TEXT, owner TEXT NOT NULL, at_ns INTEGER NOT NULL)",
    "CREATE INDEX IF NOT EXISTS calls_of ON calls (key, at_ns)",
    "CREATE TABLE IF NOT EXISTS waiting (ticket TEXT PRIMARY KEY, key TEXT NOT NULL, owner TEXT NOT NULL, "
    "priority INTEGER NOT NULL, since_ns INTEGER NOT NULL, wake_ns INTEGER NOT NULL)",
)


class Budget(Protocol):
    async def take(self, priority: int = 0) -> None:
        """Returns when one call may leave, which must then leave at once. A higher `priority` goes before a lower one; a
        minute of waiting is worth one step of it."""
        ...

    def set_per_minute(self, calls: int) -> None:
        """What the provider allows from now on, to all processes together."""
        ...

    def spent(self) -> tuple[int, int]:
        """Calls in the last 60 s over all processes, and how many are allowed."""
        ...


def default_path(env: Mapping[str, str]) -> Path:
    """One file for each user of the machine, in the folder for what programs remember between runs."""
    state = Path(env.get("XDG_STATE_HOME", ""))
    return (state if state.is_absolute() else Path.home() / ".local" / "state") / "big-alpha" / FILE_NAME


class _Answer(NamedTuple):
    """`call` is the logged call that may leave at `at_ns`; None: ask again then."""

    at_ns: int
    call: int | None = None


@dataclass(slots=True)
class _Ticket:
    """One `take` that waits, as the other processes see it in the file."""

    id: str
    priority: int
    since_ns: int


class SqliteBudget:
    """`key` is the provider's key: what is counted together. The file names it by a salted hash only. `report` gets one line
    when the file cannot be used. `now_ns` must be a clock that all processes of the machine share, `sleep` its seconds."""

    def __init__(
        self,
        path: Path,
        key: str,
        report: Callable[[str], None],
        *,
        per_minute: int = PER_MINUTE,
        now_ns: Callable[[], int] = time.monotonic_ns,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._path, self._key, self._report = path.absolute(), key.encode(), report
        self._now_ns, self._sleep = now_ns, sleep
        self._per_minute = _checked(per_minute)
        self._told: int | None = None  # a limit that the file does not have yet
        self._aside = self._path.with_suffix(".damaged")
        self._owner = secrets.token_hex(8)
        self._tickets = count()
        self._seen = False  # the file was there
        self._said_ns: dict[str, int] = {}
        self._recent: list[int] = []  # the calls in the file when it was last read

    async def take(self, priority: int = 0) -> None:
        ticket = _Ticket(f"{self._owner}-{next(self._tickets)}", priority, self._now_ns())
        while True:
            answer = await self._in_thread(lambda: self._ask(ticket))
            if answer is None:
                await self._sleep(_AGAIN_S)
                continue
            await self._sleep(max(0, answer.at_ns - self._now_ns()) / NS)
            if answer.call is not None:
                return self._leaving(answer.call, answer.at_ns)

    def set_per_minute(self, calls: int) -> None:
        self._told = self._per_minute = _checked(calls)

    def spent(self) -> tuple[int, int]:
        now_ns = self._now_ns()
        with suppress(sqlite3.Error, OSError), closing(self._connected(f"{self._path.as_uri()}?mode=ro", 0.0)) as file:
            self._recent = _calls(file, self._id(file), now_ns)
        return sum(1 for at_ns in self._recent if now_ns - 60 * NS < at_ns <= now_ns), self._per_minute

    # --- one transaction at a time, in a thread: a disk may take its time ------------------------------------------------

    async def _in_thread(self, work: Callable[[], _Answer]) -> _Answer | None:
        """None when the file cannot be used."""
        try:
            return await asyncio.to_thread(work)
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if code in _DAMAGED:
                self._say("is damaged and counts as used up for a minute", error)
                await asyncio.to_thread(self._replace)
            else:
                self._say("is locked by another program" if code in _LOCKED else "cannot be used", error)
        except OSError as error:
            self._say("cannot be used", error)
        return None

    def _say(self, what: str, error: Exception) -> None:
        now_ns = self._now_ns()
        if now_ns - self._said_ns.get(what, now_ns - int(_SAY_S * NS)) >= _SAY_S * NS:
            self._said_ns[what] = now_ns
            self._report(f"budget file {self._path} {what}: {error}: no call leaves meanwhile")

    def _replace(self) -> None:
        """Set aside what nobody can read. Two processes may do so one after the other: either new file is used up."""
        self._seen = True
        with suppress(OSError):
            self._path.replace(self._aside)
            Path(f"{self._path}-journal").unlink(missing_ok=True)  # else it would be rolled back into the new one

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """A connection for each: nothing is held between them, so a killed or cancelled one leaves nothing behind."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with closing(self._connected(self._path.as_uri(), _LOCKED_S)) as file:
            file.execute("PRAGMA synchronous = OFF")  # what a power cut takes is a minute old when the power is back
            file.execute("BEGIN IMMEDIATE")
            if not file.execute("SELECT 1 FROM sqlite_master WHERE name = 'waiting'").fetchone():
                self._fill(file)
            yield file
            file.execute("COMMIT")
            self._seen = True

    def _connected(self, uri: str, timeout_s: float) -> sqlite3.Connection:
        if "mode=ro" not in uri:
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
        return sqlite3.connect(uri, uri=True, timeout=timeout_s, isolation_level=None)

    def _fill(self, file: sqlite3.Connection) -> None:
        for table in _TABLES:
            file.execute(table)
        file.execute("INSERT INTO salt VALUES (?)", (secrets.token_bytes(16),))
        # Nobody knows what was spent, also where another process has just set the file aside: a call that counts for every key.
        if self._seen or self._aside.exists():
            file.execute("INSERT INTO calls (key, owner, at_ns) VALUES (NULL, '', ?)", (self._now_ns(),))

    def _id(self, file: sqlite3.Connection) -> str:
        (salt,) = file.execute("SELECT salt FROM salt").fetchone()
        return hashlib.blake2b(self._key, key=salt, digest_size=16).hexdigest()

    def _ask(self, ticket: _Ticket) -> _Answer:
        told = self._told
        with self._transaction() as file:
            now_ns, key = self._now_ns(), self._id(file)
            self._tidy(file, now_ns)
            self._agree(file, key, told)
            answer = self._decide(file, key, ticket, now_ns)
        if self._told == told:
            self._told = None
        return answer

    def _decide(self, file: sqlite3.Connection, key: str, ticket: _Ticket, now_ns: int) -> _Answer:
        ready_ns = max(now_ns, self._ready_ns(file, key, now_ns))
        first = self._is_first(file, key, ticket, now_ns)
        if first and ready_ns <= now_ns + self._lead_ns():
            return _Answer(ready_ns, self._log(file, key, ticket, ready_ns))
        wake_ns = ready_ns - self._lead_ns() if first else ready_ns + self._lead_ns()
        row = (ticket.id, key, self._owner, ticket.priority, ticket.since_ns, wake_ns)
        file.execute("INSERT OR REPLACE INTO waiting VALUES (?, ?, ?, ?, ?, ?)", row)
        return _Answer(wake_ns)

    def _leaving(self, call: int, at_ns: int) -> None:
        """A call that leaves late, because the program was busy, is counted as late: the next keeps its distance. It does
        not wait for that."""
        now_ns = self._now_ns()
        if now_ns - at_ns > self._slot_ns() // 100:
            asyncio.get_running_loop().run_in_executor(None, self._move, call, now_ns)

    def _move(self, call: int, at_ns: int) -> None:
        with suppress(sqlite3.Error, OSError), self._transaction() as file:
            file.execute(
                "UPDATE calls SET at_ns = max(at_ns, ?) WHERE id = ? AND owner = ?", (at_ns, call, self._owner)
            )

    def _tidy(self, file: sqlite3.Connection, now_ns: int) -> None:
        file.execute("DELETE FROM calls WHERE at_ns <= ?", (now_ns - WINDOW_NS,))
        file.execute("UPDATE calls SET at_ns = ? WHERE at_ns > ?", (now_ns, now_ns + _AHEAD_NS))
        gone_ns = now_ns - self._lead_ns()  # a process that was killed does not come back for its turn
        file.execute("DELETE FROM waiting WHERE wake_ns < ?", (gone_ns,))

    def _agree(self, file: sqlite3.Connection, key: str, told: int | None) -> None:
        """The limit is the key's: whoever was told last tells the others."""
        if told is not None:
            file.execute("INSERT OR REPLACE INTO keys VALUES (?, ?)", (key, told))
        found = file.execute("SELECT per_minute FROM keys WHERE key = ?", (key,)).fetchone()
        self._per_minute = found[0] if found else self._per_minute

    def _ready_ns(self, file: sqlite3.Connection, key: str, now_ns: int) -> int:
        """When the next call may leave. The NULL call stands for all that were forgotten."""
        calls, allowed = _calls(file, key, now_ns), self._per_minute
        self._recent = calls
        forgotten = file.execute("SELECT max(at_ns) FROM calls WHERE key IS NULL").fetchone()[0]
        ready_ns = 0 if forgotten is None else forgotten + WINDOW_NS
        if calls:
            ready_ns = max(ready_ns, calls[-1] + self._slot_ns())
        return ready_ns if len(calls) < allowed else max(ready_ns, calls[-allowed] + WINDOW_NS)

    def _is_first(self, file: sqlite3.Connection, key: str, ticket: _Ticket, now_ns: int) -> bool:
        """By priority, then the process whose last call is longest ago, then who waits longest."""
        last = dict(file.execute("SELECT owner, max(at_ns) FROM calls WHERE key = ? GROUP BY owner", (key,)).fetchall())

        def rank(row: tuple[str, str, int, int]) -> tuple[int, int, int, str]:
            other, owner, priority, since_ns = row
            return -(priority + (now_ns - since_ns) // WINDOW_NS), last.get(owner, 0), since_ns, other

        mine = rank((ticket.id, self._owner, ticket.priority, ticket.since_ns))
        waiting = file.execute("SELECT ticket, owner, priority, since_ns FROM waiting WHERE key = ?", (key,))
        return all(mine <= rank(row) for row in waiting)

    def _log(self, file: sqlite3.Connection, key: str, ticket: _Ticket, at_ns: int) -> int | None:
        file.execute("DELETE FROM waiting WHERE ticket = ?", (ticket.id,))
        row = (key, self._owner, at_ns)
        return file.execute("INSERT INTO calls (key, owner, at_ns) VALUES (?, ?, ?)", row).lastrowid

    def _slot_ns(self) -> int:
        return WINDOW_NS // self._per_minute

    def _lead_ns(self) -> int:
        """How long before its time a call is granted, so that it leaves in time, and how long the others wait for the one
        whose turn it is."""
        return min(self._slot_ns() // 10, NS // 4)


def _calls(file: sqlite3.Connection, key: str, now_ns: int) -> list[int]:
    rows = file.execute("SELECT at_ns FROM calls WHERE key = ? AND at_ns > ? ORDER BY at_ns", (key, now_ns - WINDOW_NS))
    return [at_ns for (at_ns,) in rows]


def _checked(calls: int) -> int:
    if calls < 1:
        raise ValueError(f"{calls} calls a minute: at least one must be allowed")
    return calls
