"""Writes a session tape (format: see `tape`). Synchronous; the recorder calls it with every frame the engine took.

Frames are gathered into blocks; a block goes to disk in one write when it is full or old, and what is on disk stays readable
whatever happens later. The manifest is there from the start and is completed at `close()`. An OSError (disk full) is the
caller's: the frames stay in memory, and the next write first cuts off a torn block.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import msgspec
import zstandard

from bot.domain.errors import InvariantError, TapeError
from bot.domain.frames import Frame, Lane
from bot.domain.values import NS
from bot.runtime.tape import MANIFEST, Manifest

BLOCK_BYTES = 1 << 20
BLOCK_NS = 30 * NS  # a quiet market would not fill a block for hours, and a crash would lose them
HOUR_NS = 3600 * NS
MAX_BYTES = 5_000_000_000
PARTS_PER_CAP = 8  # a part also ends at this share of the cap, so that deleting the oldest never deletes most of it


@dataclass(slots=True)
class _Part:
    path: Path
    hour: int
    first_ns: int
    bytes: int = 0
    frames: int = 0


class TapeWriter:
    """`manifest` may be replaced until `close()`, which fills in start, end and frames: those of the parts still there."""

    def __init__(self, path: Path, manifest: Manifest, *, level: int = 3, max_bytes: int = MAX_BYTES) -> None:
        refuse_used(path)
        path.mkdir(parents=True, exist_ok=True)
        self.manifest = manifest
        self.path = path
        self._max_bytes = max_bytes
        self._compressor = zstandard.ZstdCompressor(level=level, write_checksum=True)
        self._heads: dict[tuple[str, str], bytes] = {}
        self._parts: list[_Part] = []
        self._made = 0
        self.number = 0  # of the last frame that was handed in
        self._lines: list[bytes] = []
        self._size = 0
        self._first_ns = self._last_ns = 0
        self._closed = False
        write_manifest(path, manifest)

    def __enter__(self) -> TapeWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def write(self, frame: Frame) -> None:
        head = self._heads.get((frame.lane, frame.source)) or self._head(frame)
        now_ns = max(self._last_ns, frame.recv_ns)
        if self._lines and (now_ns - self._first_ns >= BLOCK_NS or now_ns // HOUR_NS > self._first_ns // HOUR_NS):
            self.flush()
        if not self._lines:
            self._first_ns = now_ns
        self._last_ns = now_ns
        self.number += 1
        line = b"%d %d %b%b\n" % (self.number, frame.recv_ns, head, frame.raw.replace(b"\n", b" "))
        self._lines.append(line)
        self._size += len(line)
        if self._size >= BLOCK_BYTES:
            self.flush()

    def skip(self, frames: int) -> None:
        """So many are missing here: a reader sees that their numbers are."""
        self.number += frames

    def flush(self) -> None:
        """Put what was gathered on disk as one block."""
        if not self._lines:
            return
        block = self._compressor.compress(b"".join(self._lines))
        part = self._part()
        self._make_room(len(block))
        with part.path.open("ab") as file:
            file.truncate(part.bytes)
            file.write(block)
        part.bytes += len(block)
        part.frames += len(self._lines)
        self._lines, self._size = [], 0

    def close(self) -> None:
        if self._closed:
            return
        self.flush()
        self._closed = True
        self.manifest = msgspec.structs.replace(
            self.manifest,
            start_ns=self._parts[0].first_ns if self._parts else self.manifest.start_ns,
            end_ns=self._last_ns if self._parts else self.manifest.start_ns,
            frames=sum(part.frames for part in self._parts),
        )
        write_manifest(self.path, self.manifest)

    @property
    def on_disk(self) -> int:
        """Bytes of the parts that are there."""
        return sum(part.bytes for part in self._parts)

    def _part(self) -> _Part:
        """The part that the block goes into: the newest one, unless an hour or its share of the cap is over."""
        hour = self._first_ns // HOUR_NS
        newest = self._parts[-1] if self._parts else None
        if newest is None or newest.hour != hour or newest.bytes >= self._max_bytes // PARTS_PER_CAP:
            newest = _Part(self.path / f"part-{self._made:05}.zst", hour, self._first_ns)
            self._parts.append(newest)
            self._made += 1
        return newest

    def _make_room(self, wanted: int) -> None:
        while len(self._parts) > 1 and self.on_disk + wanted > self._max_bytes:
            self._parts.pop(0).path.unlink(missing_ok=True)

    def _head(self, frame: Frame) -> bytes:
        if frame.lane not in set(Lane) or not frame.source or set(frame.source) & set(" \n"):
            raise InvariantError(f"lane {frame.lane!r} and source {frame.source!r} cannot be put on a tape")
        head = self._heads[frame.lane, frame.source] = f"{frame.lane} {frame.source} ".encode()
        return head


def refuse_used(path: Path) -> None:
    """A tape takes a new or an empty folder: it never mixes with anything."""
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise TapeError(f"{path} exists and is not an empty folder; name another one for the tape")


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Complete or not at all: a reader never sees half a manifest."""
    half = folder / f".{MANIFEST}.new"
    half.write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")
    os.replace(half, folder / MANIFEST)
