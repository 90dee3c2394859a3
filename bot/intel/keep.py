"""Readings that outlive the program: written now and then and at its end, read at the next start. Wiring calls both.

Only what a provider gave is kept: what is computed from our own streams has to be computed anew, from unbroken ones. A reading
keeps the time at which it was observed, so what became too old in between is left out, and nothing looks younger than it is.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from bot.domain.errors import FeedError
from bot.domain.reading import FRESH, PARTIAL, Reading
from bot.market.readings import COINGLASS, DERIBIT, MODEL, VENUE, decode_reading, encode_reading

FILE_NAME = "readings.json"
MAX_BYTES = 8 * 1024 * 1024
_PROVIDERS = (COINGLASS, DERIBIT, VENUE, MODEL)


class _File(Struct):
    version: int
    readings: list[msgspec.Raw]


class Kept(NamedTuple):
    """Bytes of `reading` frames, and what was wrong with the file ('' when nothing was, or there is none)."""

    readings: list[bytes]
    problem: str


def save(path: Path, readings: Iterable[Reading[Any]], now_ns: int) -> None:
    """Replaces the file as a whole, for its owner alone. Raises OSError where that cannot be done."""
    kept = [msgspec.Raw(encode_reading(reading)) for reading in readings if _worth_keeping(reading, now_ns)]
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(msgspec.json.encode(_File(version=1, readings=kept)))
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    _sync_folder(path.parent)


def load(path: Path, now_ns: int) -> Kept:
    """What is still young enough to be looked at."""
    try:
        raw = _read(path)
    except FileNotFoundError:
        return Kept([], "")
    except OSError as error:
        return Kept([], f"{path}: {error.strerror}")
    try:
        kept = [_checked(each, now_ns) for each in _decoded(raw)]
    except (FeedError, msgspec.MsgspecError, RecursionError) as error:
        return Kept([], f"{path} is damaged, no reading is taken from it: {error}")
    return Kept([each for each in kept if each is not None], "")


def _worth_keeping(reading: Reading[Any], now_ns: int) -> bool:
    return reading.source in _PROVIDERS and reading.state(now_ns) in (FRESH, PARTIAL)


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_BYTES + 1)


def _decoded(raw: bytes) -> list[msgspec.Raw]:
    if len(raw) > MAX_BYTES:
        raise FeedError(f"more than {MAX_BYTES} bytes")
    file = msgspec.json.decode(raw, type=_File)
    if file.version != 1:
        raise FeedError(f"version {file.version}, not 1")
    return file.readings


def _checked(raw: msgspec.Raw, now_ns: int) -> bytes | None:
    """None for what is too old. A reading from the future is a damage: some clock was wrong, so its age is unknown."""
    reading = decode_reading(bytes(raw), now_ns)
    return bytes(raw) if _worth_keeping(reading, now_ns) else None


def _sync_folder(folder: Path) -> None:
    """A new name is on the disk only when its folder is."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
