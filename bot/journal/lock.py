"""One program per data folder: the folder itself, its lock, and the API token in it.

The lock is flock's, so the kernel lets go of it however its holder ends; what the file says (pid and API address) counts only
while somebody holds it. POSIX systems only, like the rest of the engine.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import orjson

from bot.domain.errors import ConfigError, InstanceError

LOCK_FILE = "lock"
TOKEN_FILE = "api-token"
_TRIES = 5  # somebody who only asks (`running_api`) holds the lock for microseconds; that is not another instance
_PAUSE_S = 0.02


def ensure_data_dir(data_dir: Path) -> None:
    """Creates the folder, for its owner alone; one that exists keeps its permissions. ConfigError when it cannot be used."""
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"the data folder {data_dir} cannot be made: {error}; use another --data-dir") from error
    if not os.access(data_dir, os.W_OK | os.X_OK):
        raise ConfigError(
            f"the data folder {data_dir} cannot be written to: mend its permissions or use another --data-dir"
        )


class InstanceLock:
    """Holds `data_dir` for this program, from `acquire` (or `with`) to `release` or the program's end."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._fd: int | None = None

    def acquire(self) -> InstanceLock:
        """Raises InstanceError, with the holder's pid and address, when another program holds the folder."""
        ensure_data_dir(self._data_dir)
        fd = os.open(self._data_dir / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            self._take(fd)
        except BaseException:
            os.close(fd)
            raise
        self._fd = fd
        self._write({"pid": os.getpid(), "api": None})
        return self

    def publish(self, url: str) -> None:
        """Says where the API of the program that holds the lock answers."""
        self._write({"pid": os.getpid(), "api": url})

    def release(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def __enter__(self) -> InstanceLock:
        return self.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _take(self, fd: int) -> None:
        for _ in range(_TRIES):
            if _flock(fd, fcntl.LOCK_EX):
                return
            time.sleep(_PAUSE_S)
        holder = _read(fd)
        api = f", api {holder['api']}" if holder.get("api") else ""
        raise InstanceError(
            f"another instance (pid {holder.get('pid', 'unknown')}{api}) holds {self._data_dir}; "
            "stop it or use another --data-dir"
        )

    def _write(self, content: dict[str, Any]) -> None:
        if self._fd is None:
            raise InstanceError(f"{self._data_dir} is not held by this program: acquire the lock first")
        text = orjson.dumps(content)
        os.pwrite(self._fd, text, 0)
        os.ftruncate(self._fd, len(text))


def running_api(data_dir: Path) -> str | None:
    """Address of the engine that holds the folder; None when nobody does, or it has not said."""
    try:
        fd = os.open(data_dir / LOCK_FILE, os.O_RDONLY)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        return None if _flock(fd, fcntl.LOCK_SH) else _read(fd).get("api")
    finally:
        os.close(fd)


def load_or_create_token(data_dir: Path) -> str:
    """The API's bearer token: what the file holds, else a new random one; readable by the owner alone."""
    path = data_dir / TOKEN_FILE
    if path.exists() and (token := path.read_text().strip()):
        path.chmod(0o600)
        return token
    ensure_data_dir(data_dir)
    token = secrets.token_urlsafe(32)
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(token)
    fresh.replace(path)  # never seen half written
    return token


def _flock(fd: int, kind: int) -> bool:
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read(fd: int) -> dict[str, Any]:
    """What the holder wrote; nothing when it is just writing."""
    try:
        content = orjson.loads(os.pread(fd, 4096, 0))
    except orjson.JSONDecodeError:
        return {}
    return content if isinstance(content, dict) else {}
