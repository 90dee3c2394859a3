"""Records what a running engine takes: every frame in the order in which it is taken, and where its orders left between them.

The engine hands frames over and goes on; a thread packs and writes them (`tape_writer`), about once a second. Recording never stops
trading: when the disk is full, or nearly so (the journal needs room on it), frames wait in memory, and beyond a bound they are left
out and counted; it goes on by itself. `rerun.py` plays such a tape again. Knows no venue; `app/run.py` and `app/recording.py`
make one.
"""

from __future__ import annotations

import asyncio
import errno
import shutil
import threading
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from time import monotonic
from typing import Any

import msgspec
import zstandard
from pydantic import Field

from bot.domain.errors import TapeError
from bot.domain.frames import Frame, Lane, Source
from bot.domain.instrument import Instrument
from bot.domain.orders import OrderCommand
from bot.domain.params import Params
from bot.domain.ports import Venue
from bot.runtime.rerun import Left
from bot.runtime.tape import Manifest
from bot.runtime.tape_writer import TapeWriter, refuse_used, write_manifest

GB = 10**9
WRITE_S = 1.0
BLOCK_S = 5.0  # what a kill may take away, and a second more
HELD_BYTES = 64 << 20
_OVERHEAD = 200  # bytes that a frame takes beside its message


class RecordParams(Params):
    max_gb: float = Field(5.0, gt=0, le=100_000, description="of a recording; beyond it the oldest part is deleted")
    keep_free_gb: float = Field(1.0, ge=0, le=100_000, description="room on its disk that a recording leaves alone")


class Recorder:
    """Takes an empty or new folder. `told` gets a line when recording has to wait and when it goes on; `free_bytes` says how much room
    there is at a path. Raises TapeError where nothing can be recorded at all."""

    def __init__(
        self,
        folder: Path,
        params: RecordParams,
        told: Callable[[str], None],
        *,
        free_bytes: Callable[[Path], int] = lambda path: shutil.disk_usage(path).free,
        held_bytes: int = HELD_BYTES,
    ) -> None:
        refuse_used(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise TapeError(f"{folder} cannot be written: {error.strerror or error}") from None
        self.folder, self._params, self._told, self._free_bytes = folder, params, told, free_bytes
        self._bound = held_bytes
        self._writer: TapeWriter | None = None
        self._waiting: deque[Frame | int] = deque()  # a number stands for so many that were left out
        self._put_bytes = self._done_bytes = 0  # the second is the writing thread's
        self._writing = threading.Lock()
        self._flushed_s = 0.0
        self.frames = self.missing = 0
        self.trouble = ""

    def begin(self, manifest: Manifest) -> None:
        """Nothing reaches the disk before. Raises TapeError when the folder cannot be written."""
        try:
            self._writer = TapeWriter(self.folder, manifest, max_bytes=round(self._params.max_gb * GB))
        except OSError as error:
            raise TapeError(f"{self.folder} cannot be written: {error.strerror or error}") from None
        self._flushed_s = monotonic()

    def also(self, instruments: Sequence[Instrument]) -> None:
        """Instruments of a venue that has only now answered: a replay must know them too."""
        writer = self._writer
        if writer is None:
            return
        known = [*writer.manifest.instruments, *instruments]
        with self._writing:
            writer.manifest = msgspec.structs.replace(writer.manifest, instruments=known)
            try:
                write_manifest(self.folder, writer.manifest)
            except OSError as error:
                self._troubled(error.strerror or str(error))

    # --- what the engine does ---

    def take(self, frame: Frame) -> None:
        size = len(frame.raw) + _OVERHEAD
        if self._put_bytes - self._done_bytes + size > self._bound:
            self._leave_out()
            return
        self._put_bytes += size
        self.frames += 1
        self._waiting.append(frame)

    def left(self, command: OrderCommand, frame: int, now_ns: int) -> None:
        """An order went to the venue after so many frames."""
        self.take(Frame(now_ns, Lane.ACCOUNT, Source.SENT, msgspec.json.encode(Left.of(command, frame))))

    def _leave_out(self) -> None:
        self.missing += 1
        last = self._waiting.pop() if self._waiting else 0
        if isinstance(last, int):
            self._waiting.append(last + 1)
        else:
            self._waiting.extend((last, 1))

    # --- what goes to the disk ---

    async def run(self) -> None:
        """Until it is canceled."""
        while True:
            await asyncio.sleep(WRITE_S)
            await asyncio.to_thread(self.write)

    def write(self) -> None:
        """Hand everything that waits to the tape, or tell why it has to wait."""
        with self._writing:
            try:
                self._write()
            except (OSError, zstandard.ZstdError) as error:
                self._troubled(getattr(error, "strerror", None) or str(error))

    def close(self, **engine: Any) -> None:
        """Write the rest and complete the manifest; `engine` are fields of its `Recorded`. What fails is told, never raised."""
        writer = self._writer
        if writer is None:
            return
        recorded = writer.manifest.engine
        if recorded is not None:
            writer.manifest = msgspec.structs.replace(
                writer.manifest, engine=msgspec.structs.replace(recorded, **engine)
            )
        self.write()
        with self._writing:
            try:
                writer.close()
            except (OSError, zstandard.ZstdError) as error:
                self._told(f"the recording in {self.folder} is not complete: {error}")

    def answer(self) -> dict[str, Any]:
        """For status and summary."""
        return {
            "folder": str(self.folder),
            "frames": self.frames,
            "missing_frames": self.missing,
            "bytes": self._writer.on_disk if self._writer is not None else 0,
            "trouble": self.trouble,
        }

    def _write(self) -> None:
        writer = self._writer
        if writer is None:
            return
        self._check_room()
        if self.trouble:
            writer.flush()
        while self._waiting:
            item = self._waiting.popleft()
            before = writer.number
            try:
                writer.skip(item) if isinstance(item, int) else writer.write(item)
            except OSError:
                if writer.number == before:
                    self._waiting.appendleft(item)
                else:
                    self._done(item)
                raise
            self._done(item)
        if monotonic() - self._flushed_s >= BLOCK_S:  # a quiet market fills no block
            self._flushed_s = monotonic()
            writer.flush()
        self._fine()

    def _done(self, item: Frame | int) -> None:
        if not isinstance(item, int):
            self._done_bytes += len(item.raw) + _OVERHEAD

    def _check_room(self) -> None:
        kept = self._params.keep_free_gb * GB
        free = self._free_bytes(self.folder)
        if not free >= kept:
            raise OSError(
                errno.ENOSPC, f"{free / GB:.2f} GB are free on its disk, {self._params.keep_free_gb:g} GB are kept free"
            )

    def _troubled(self, problem: str) -> None:
        if not self.trouble:
            self._told(f"recording waits, trading goes on: {problem}")
        self.trouble = problem

    def _fine(self) -> None:
        if self.trouble:
            missing = f"; {self.missing} frame(s) are missing so far" if self.missing else ", nothing is missing"
            self._told(f"recording goes on{missing}")
        self.trouble = ""


class TapedVenue:
    def __init__(self, recorder: Recorder, venue: Venue, at: Callable[[], tuple[int, int]]) -> None:
        """`at` gives the number of the frame taken last, and engine time."""
        self.name = venue.name
        self._recorder, self._venue, self._at = recorder, venue, at

    def send(self, command: OrderCommand, decided_ns: int) -> None:
        self._recorder.left(command, *self._at())
        self._venue.send(command, decided_ns)
