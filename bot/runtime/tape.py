"""Session tapes: what one is on disk, its manifest, and the reader. `tape_writer` writes them, `capture` imports them.

A tape is a folder holding `manifest.json` and parts `part-00000.zst`, `part-00001.zst`, ... (one an hour, in order). A part
is a row of independent, checksummed zstd frames, called blocks here, of about 1 MiB of text each, so that whatever a crash
or a full disk cut off, every block before it can be read. A block is whole lines, one for each frame the engine took:

    <frame number> <receive time, ns> <lane> <source> <raw message>\\n

with lane and source as in `domain/frames.py`. The raw message is exactly what was received, save that a newline within it
became a space. Frame numbers rise by one; the engine numbers what it takes itself, here they only show what is missing.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import zstandard
from msgspec import Struct

from bot.domain.errors import TapeError
from bot.domain.frames import BarRow, Frame, Lane, Source
from bot.domain.instrument import Instrument
from bot.domain.market import Bar, flaw_of
from bot.domain.values import MS, NS

FORMAT = "big-alpha-tape"
VERSION = 1
MANIFEST = "manifest.json"
_PART = re.compile(r"part-\d{5}\.zst")
_WIDTH = re.compile(r"[1-9]\d{0,5}")
_CHUNK = 1 << 18
_SHOWN = 80  # bytes of a bad line that a problem quotes
_OF_ENGINE = frozenset({Source.REPORT, Source.TICK, Source.SENT})
_STOP = "stop"  # tag of a StopRequest


class Origin(Struct, frozen=True, kw_only=True):
    """Where somebody else's capture came from. `sha256` is of its uncompressed text."""

    name: str
    sha256: str
    url: str = ""
    licence: str = ""
    note: str = ""


class Recorded(Struct, frozen=True, kw_only=True):
    """The engine that took these frames: what its ids are made with, and the engine time at which it began.

    `fresh`: it began with nothing that a tape does not hold (no account of an earlier session, no order of an operator that was
    still in force). `digest` is of all its events (journal/digest.py), and `reason` why it ended; both None until it has."""

    account: str
    session: int
    began_ns: int
    fresh: bool
    digest: str | None = None
    reason: str | None = None


class Manifest(Struct, frozen=True, kw_only=True):
    """What a tape holds, and what the session started from: everything a replay needs besides the frames.

    `warmup` holds finished bars by instrument id and width in seconds, oldest first; those that lie within the tape serve
    where its own trades do not cover a bar, and are not seen before they end.
    `end_ns` and `frames` are None until the recording is closed; `settings` is None for an imported capture.
    `engine` is there when the tape holds what a running engine took, its own account frames too, in the order in which it took it.
    """

    format: str = FORMAT
    version: int = VERSION
    venue: str
    instruments: list[Instrument]
    settings: dict[str, Any] | None = None
    config_hash: str | None = None
    versions: dict[str, str] = {}
    start_ns: int | None = None
    end_ns: int | None = None
    frames: int | None = None
    warmup: dict[str, dict[str, list[BarRow]]] = {}
    positions: list[Any] = []
    orders: list[Any] = []
    adjustments: list[Any] = []
    probation: list[Any] = []
    origin: Origin | None = None
    engine: Recorded | None = None


class _Header(Struct):
    """The two keys every version of the format has."""

    format: str = ""
    version: int = 0


@dataclass(slots=True)
class Problems:
    """What one reading of a tape met so far; counted, with the first example of each."""

    parts: list[str] = field(default_factory=list)
    frames: int = 0
    skipped: int = 0
    first_skipped: str = ""
    jumps: int = 0
    first_jump: str = ""
    backwards: int = 0
    first_backwards: str = ""
    count: str = ""

    def skip(self, part: str, line: bytes) -> None:
        self.first_skipped = self.first_skipped or f"in {part}: {line[:_SHOWN]!r}"
        self.skipped += 1

    def jump(self, last: int, number: int) -> None:
        self.first_jump = self.first_jump or f"from {last} to {number}"
        self.jumps += 1

    def back(self, number: int, by_ns: int) -> None:
        self.first_backwards = self.first_backwards or f"by {by_ns / MS:g} ms at frame {number}"
        self.backwards += 1

    def texts(self) -> list[str]:
        counted = (
            (self.skipped, f"{self.skipped} unreadable line(s) skipped, the first {self.first_skipped}"),
            (self.jumps, f"frame numbers jump {self.jumps} time(s), first {self.first_jump}"),
            (self.backwards, f"time goes backwards {self.backwards} time(s), first {self.first_backwards}"),
            (self.count, self.count),
        )
        return self.parts + [text for happened, text in counted if happened]


class Tape:
    """A tape opened for reading. `frames()` may be called again; `problems` is about the newest reading, also during it."""

    def __init__(self, path: Path, manifest: Manifest, parts: list[Path]) -> None:
        self.path = path
        self.manifest = manifest
        self.parts = parts
        self.notes: list[str] = []  # of whoever found something besides; told with the problems
        self._problems = Problems()

    @classmethod
    def open(cls, path: Path | str) -> Tape:
        folder = Path(path)
        if not folder.is_dir():
            raise TapeError(f"{folder} is not a folder; a tape is one, with a {MANIFEST} in it")
        manifest = _read_manifest(folder / MANIFEST)
        parts = sorted(file for file in folder.iterdir() if _PART.fullmatch(file.name))
        if not parts:
            raise TapeError(f"{folder} has a {MANIFEST} but no part-00000.zst; nothing was recorded")
        return cls(folder, manifest, parts)

    @property
    def name(self) -> str:
        return self.path.name

    def first_ns(self) -> int:
        """When it begins; raises TapeError if there is no frame that can be read."""
        return next(self.frames()).recv_ns

    @property
    def from_its_start(self) -> bool:
        """Whether its first part is still there: a recording over its cap deletes the oldest."""
        return self.parts[0].name == "part-00000.zst"

    @property
    def id(self) -> str:
        """Of its manifest, wherever the folder lies."""
        return hashlib.sha256(msgspec.json.encode(self.manifest, order="deterministic")).hexdigest()[:16]

    @property
    def instruments(self) -> list[Instrument]:
        """Of the venue that is traded on."""
        return [each for each in self.manifest.instruments if each.venue == self.manifest.venue]

    @property
    def others(self) -> list[Instrument]:
        """Of venues whose books only show walls."""
        return [each for each in self.manifest.instruments if each.venue != self.manifest.venue]

    def warmup(self) -> Iterator[tuple[str, int, list[Bar]]]:
        """Instrument id, width in seconds and bars."""
        for instrument_id, widths in self.manifest.warmup.items():
            for width_s, rows in widths.items():
                yield instrument_id, int(width_s), [Bar(*row) for row in rows]

    @property
    def problems(self) -> list[str]:
        """What is wrong with the tape, one sentence each; none of it kept the rest from being read."""
        unclosed = ["the recording was not closed; it holds what was written until then"]
        return self._problems.texts() + (unclosed if self.manifest.frames is None else []) + self.notes

    def frames(self) -> Iterator[Frame]:
        """What came from outside, in order: everything but what the recorded engine said to itself."""
        frames = self.taken()
        return frames if self.manifest.engine is None else (frame for frame in frames if not _of_engine(frame))

    def taken(self) -> Iterator[Frame]:
        """All frames in order. Skips what cannot be read and says so in `problems`; raises if there is no frame at all."""
        problems = self._problems = Problems()
        lanes: dict[bytes, str] = {lane.value.encode(): lane for lane in Lane}
        sources: dict[bytes, str] = {}
        number = last_ns = 0
        for part, lines in self._lines(problems):
            for line in lines:
                try:
                    number_text, ns_text, lane, source, raw = line.split(b" ", 4)
                    taken, recv_ns = int(number_text), int(ns_text)
                    if source not in sources:
                        sources[source] = source.decode()
                    frame = Frame(recv_ns, lanes[lane], sources[source], raw)
                except (ValueError, KeyError):
                    problems.skip(part, line)
                    continue
                if taken != number + 1:
                    problems.jump(number, taken)
                if recv_ns < last_ns and self.manifest.engine is None:  # an engine takes account frames first
                    problems.back(taken, last_ns - recv_ns)
                number, last_ns = taken, recv_ns
                problems.frames += 1
                yield frame
        self._finish(problems)

    def _lines(self, problems: Problems) -> Iterator[tuple[str, list[bytes]]]:
        """Part name and lines, a block at a time."""
        for part in self.parts:
            for block in blocks(part, problems):
                lines = block.split(b"\n")
                if tail := lines.pop():
                    problems.skip(part.name, tail)
                yield part.name, lines

    def _finish(self, problems: Problems) -> None:
        expected = self.manifest.frames
        if expected not in (None, problems.frames):
            problems.count = f"{problems.frames} frames could be read, {MANIFEST} promises {expected}"
        if not problems.frames:
            raise TapeError("; ".join([f"{self.path} holds no frames", *self.problems]))


class _Tagged(Struct):
    type: str = ""


def _of_engine(frame: Frame) -> bool:
    """Reports of its venue, ticks of its clock, and the request to stop with which it ended."""
    if frame.source in _OF_ENGINE:
        return True
    return frame.source == Source.OPERATOR and msgspec.json.decode(frame.raw, type=_Tagged).type == _STOP


def _read_manifest(file: Path) -> Manifest:
    try:
        raw = file.read_bytes()
        header = msgspec.json.decode(raw, type=_Header)
        _check_header(file, header)
        manifest = msgspec.json.decode(raw, type=Manifest)
    except FileNotFoundError:
        raise TapeError(f"{file.parent} is not a tape: it has no {MANIFEST}") from None
    except (OSError, UnicodeDecodeError, msgspec.DecodeError) as error:
        raise TapeError(f"{file} cannot be read: {error}") from error
    for instrument in manifest.instruments:
        _check_grid(file, instrument)
    _check_warmup(file, manifest)
    return manifest


def _check_header(file: Path, header: _Header) -> None:
    if header.format != FORMAT:
        raise TapeError(f"{file} is not a tape's: its format is {header.format!r}, not {FORMAT!r}")
    if header.version > VERSION:
        raise TapeError(
            f"{file}: version {header.version} was written by a newer program; this one reads up to {VERSION}"
        )
    if header.version < 1:
        raise TapeError(f"{file}: there is no version {header.version} of the tape format")


def _check_grid(file: Path, instrument: Instrument) -> None:
    for name in ("tick", "step"):
        value = getattr(instrument, name)
        if not (value.is_finite() and value > 0):
            raise TapeError(f"{file}: {name} of {instrument.id} must be a positive number, not {value}")


def _check_warmup(file: Path, manifest: Manifest) -> None:
    known = {instrument.id for instrument in manifest.instruments}
    for instrument_id, widths in manifest.warmup.items():
        if instrument_id not in known:
            raise TapeError(f"{file}: warm-up bars of {instrument_id!r}, which is not among the instruments")
        for width_s, rows in widths.items():
            if not _WIDTH.fullmatch(width_s):
                raise TapeError(f"{file}: warm-up bars of {instrument_id}: {width_s!r} is not a width in seconds")
            if flaw := flaw_of([Bar(*row) for row in rows], int(width_s) * NS):
                raise TapeError(f"{file}: warm-up bars of {instrument_id}, {width_s} s: {flaw}")


def blocks(part: Path, problems: Problems) -> Iterator[bytes]:
    """The whole blocks of a part, unpacked. A block counts only when its end and checksum are there."""
    try:
        with part.open("rb") as file:
            data = file.read(_CHUNK)
            while data:
                block, pieces = zstandard.ZstdDecompressor().decompressobj(), []
                while data and not block.eof:
                    pieces.append(block.decompress(data))
                    data = block.unused_data or file.read(_CHUNK)
                if not block.eof:
                    problems.parts.append(f"{part.name} ends early")
                    return
                yield b"".join(pieces)
    except zstandard.ZstdError:
        problems.parts.append(f"{part.name} is damaged; what follows the damage in it was left out")
    except OSError as error:
        raise TapeError(f"{part} cannot be read: {error}") from error
