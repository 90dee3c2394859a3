"""Imports other people's captures: a line `<receive time, ns> <raw JSON>` each, packed with gzip, xz, zstd or not at all.

Market data only, of one venue. What trading rules an instrument had is not in a capture: they come from an exchangeInfo
file, or from a small dated table (`known_instruments`). Behind `record import`.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import lzma
import re
import shutil
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, cast

import msgspec
import orjson
import zstandard
from msgspec import Struct
from msgspec.structs import astuple

import bot
from bot.demo import DATED_INSTRUMENTS
from bot.domain.errors import FeedError, TapeError
from bot.domain.frames import BarRow, Frame, Lane
from bot.domain.instrument import Instrument
from bot.exchanges import binance_rest
from bot.runtime.tape import Manifest, Origin
from bot.runtime.tape_writer import TapeWriter, refuse_used

VENUES = ("binanceusdm",)
_LINE = re.compile(rb"(\d{18,19}) ([\[{].*)", re.DOTALL)  # fewer digits are not nanoseconds of this century
_SHOWN = 80  # bytes of a bad line that the report quotes
_NAMED = 5


class ImportReport(Struct, frozen=True, kw_only=True):
    """`skipped` lines were not `<ns> <raw JSON>`; `ends_early` means that the packed file was cut off. `warmup_bars` are
    those of history that went into the manifest."""

    frames: int
    skipped: int
    first_skipped: str | None
    start_ns: int
    end_ns: int
    ends_early: bool = False
    warmup_bars: int = 0


class _Table(Struct):
    instruments: list[Instrument]


class _Scan:
    """What the lines of a capture showed so far."""

    def __init__(self, instruments: Mapping[str, Instrument]) -> None:
        self.seen: dict[str, Instrument] = {}
        self.skipped = 0
        self.first_skipped: str | None = None
        self.ends_early = False
        self._known = instruments
        self._digest = hashlib.sha256()
        self._line = 0

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def frame(self, line: bytes, source: str) -> Frame | None:
        self._digest.update(line)
        self._line += 1
        text = line.rstrip(b"\r\n")
        match = _LINE.fullmatch(text)
        message = _json(match[2]) if match else None
        if match is None or message is None:
            self.skipped += 1
            self.first_skipped = self.first_skipped or f"line {self._line}: {text[:_SHOWN]!r}"
            return None
        self._note(message)
        return Frame(int(match[1]), Lane.DATA, source, match[2])

    def _note(self, message: Any) -> None:
        symbol = _symbol(message)
        if symbol is None or symbol in self.seen:
            return
        if symbol not in self._known:
            raise TapeError(
                f"line {self._line} is about {symbol}, whose trading rules are not known; give an exchangeInfo file of "
                f"the venue that lists {symbol} ({len(self._known)} known: {', '.join(list(self._known)[:_NAMED])})"
            )
        self.seen[symbol] = self._known[symbol]


def import_capture(
    source: Path,
    out: Path,
    *,
    venue: str,
    instruments: Iterable[Instrument],
    origin: Mapping[str, str] | None = None,
    warmup: Sequence[str] = (),
    level: int = 9,
) -> ImportReport:
    """Write the capture `source` as a tape to `out`, whole or not at all. `origin` has keys of `Origin`, without sha256.

    `warmup` names files of the venue's klines, `FILE` or, where the capture is of several symbols, `SYMBOL=FILE`.
    """
    _check_venue(venue)
    refuse_used(out)
    scan = _Scan({item.symbol: item for item in instruments if item.venue == venue})
    writer = TapeWriter(out.with_name(out.name + ".partial"), Manifest(venue=venue, instruments=[]), level=level)
    try:
        with writer:
            for line in _lines(source, scan):
                frame = scan.frame(line, venue)
                if frame is not None:
                    writer.write(frame)
            bars = _warmup(warmup, scan.seen)
            writer.manifest = _manifest(source, venue, scan, origin or {}, bars)
        report = _report(source, writer.manifest, scan)
        writer.path.replace(out)
        return report
    except BaseException:
        shutil.rmtree(writer.path)
        raise


def known_instruments(venue: str) -> dict[str, Instrument]:
    """Trading rules by symbol from the table that comes with the program: few, and as of the date written in it."""
    _check_venue(venue)
    table = msgspec.json.decode(DATED_INSTRUMENTS.read_bytes(), type=_Table)
    return {item.symbol: item for item in table.instruments if item.venue == venue}


def listed_instruments(venue: str, exchange_info: Path) -> tuple[dict[str, Instrument], dict[str, str]]:
    """Trading rules by symbol from a saved exchangeInfo reply; and the symbols left out of it, with the reason."""
    _check_venue(venue)
    try:
        return binance_rest.parse_exchange_info(exchange_info.read_bytes())
    except (OSError, FeedError) as error:
        raise TapeError(f"{exchange_info} cannot be read as exchangeInfo: {error}") from error


def _check_venue(venue: str) -> None:
    if venue not in VENUES:
        raise TapeError(f"captures of venue {venue!r} cannot be imported; known: {', '.join(VENUES)}")


Warmup = dict[str, dict[str, list[BarRow]]]


def _warmup(given: Sequence[str], seen: Mapping[str, Instrument]) -> Warmup:
    """The bars of these files, as the manifest holds them."""
    warmup: Warmup = {}
    for argument in given:
        symbol, file = _named(argument, seen)
        try:
            width_s, bars = binance_rest.parse_klines(Path(file).read_bytes())
        except (OSError, FeedError) as error:
            raise TapeError(f"{file} cannot be read as klines: {error}") from error
        widths = warmup.setdefault(seen[symbol].id, {})
        if str(width_s) in widths:
            raise TapeError(f"{file}: klines of {symbol}, {width_s} s, were given already")
        widths[str(width_s)] = [cast(BarRow, astuple(bar)) for bar in bars]
    return warmup


def _named(argument: str, seen: Mapping[str, Instrument]) -> tuple[str, str]:
    """Symbol and file of `SYMBOL=FILE`, or of `FILE` where there is only one symbol."""
    symbol, equals, file = argument.partition("=")
    if equals and symbol in seen:
        return symbol, file
    if len(seen) != 1:
        raise TapeError(f"whose klines are in {argument}? Name one of {', '.join(seen)}: SYMBOL={argument}")
    return next(iter(seen)), argument


def _manifest(source: Path, venue: str, scan: _Scan, origin: Mapping[str, str], warmup: Warmup) -> Manifest:
    return Manifest(
        venue=venue,
        instruments=list(scan.seen.values()),
        versions={"bot": bot.__version__},
        warmup=warmup,
        origin=Origin(**{"name": source.name, **origin, "sha256": scan.sha256}),
    )


def _report(source: Path, manifest: Manifest, scan: _Scan) -> ImportReport:
    if not manifest.frames or manifest.start_ns is None or manifest.end_ns is None:
        found = f"; {scan.skipped} lines are something else, the first {scan.first_skipped}" if scan.skipped else ""
        raise TapeError(f"{source} holds no line of the form '<receive time, ns> <JSON>'{found}")
    if not scan.seen:
        raise TapeError(f"{source} holds no message that names its symbol")
    return ImportReport(
        frames=manifest.frames,
        skipped=scan.skipped,
        first_skipped=scan.first_skipped,
        start_ns=manifest.start_ns,
        end_ns=manifest.end_ns,
        ends_early=scan.ends_early,
        warmup_bars=sum(len(rows) for widths in manifest.warmup.values() for rows in widths.values()),
    )


def _json(raw: bytes) -> Any:
    """The message, or None when it is not JSON."""
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None


def _symbol(message: Any) -> str | None:
    """The symbol a message is about; None where it names none (REST snapshot) or concerns many (`!markPrice@arr`)."""
    if not isinstance(message, dict):
        return None
    data = message.get("data", message)
    if isinstance(data, dict) and isinstance(data.get("s"), str):
        return str(data["s"])
    stream = message.get("stream")
    if isinstance(stream, str) and not stream.startswith("!"):
        return stream.partition("@")[0].upper()
    return None


def _lines(source: Path, scan: _Scan) -> Iterator[bytes]:
    try:
        with source.open("rb") as file:
            yield from _unpacked(file)
    except EOFError:  # how gzip and lzma say that a file was cut off; every line before that was handed out
        scan.ends_early = True
    except (OSError, zlib.error, lzma.LZMAError, zstandard.ZstdError) as error:
        raise TapeError(f"{source} cannot be read: {error}") from error


def _unpacked(file: BinaryIO) -> Iterable[bytes]:
    """The text inside, told by the first bytes: file names lie."""
    magic = file.read(6)
    file.seek(0)
    if magic.startswith(b"\x1f\x8b"):
        return gzip.GzipFile(fileobj=file)
    if magic == b"\xfd7zXZ\x00":
        return lzma.LZMAFile(file)
    if magic.startswith(b"\x28\xb5\x2f\xfd"):
        reader = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
        return io.BufferedReader(cast(io.RawIOBase, reader))
    return file
