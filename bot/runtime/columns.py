"""A tape's trades in columns, in a file `columns.zst` beside its parts: made once by `record columns`, replayed many times faster.

The file stands for the whole tape: runs of trades of one symbol as columns, and between them every other frame as it is, in
the tape's order. Decoding is thereby done once; the recording itself stays what counts. On disk it is a row of checksummed zstd
blocks like a part's, each one msgpack document: first what it was made of, then runs and frames, last how many those are.
`app/run.py` replays it where it fits the tape. It is never used by `run`, which needs the bytes to take up a recording again.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable, Iterable, Iterator, Set
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO

import msgspec
import zstandard
from msgspec import Struct

from bot.domain.errors import FeedError, TapeError
from bot.domain.frames import Frame, Lane
from bot.domain.market import TradePrint
from bot.domain.trades import TradeRun
from bot.exchanges.base import Decoder
from bot.market.flow import micro_usd
from bot.runtime.tape import Problems, Tape, blocks

FILE = "columns.zst"
VERSION = 2
LONGEST = 16_384  # trades of a run: 0.8 MB
SHORTEST = 8  # fewer trades in a row are left as they came: a run of its own would cost more than it saves
_FRAMES = 4_096  # of a document


class _Made(Struct, tag="made", frozen=True):
    """What a file was made of, and how its numbers lie in it."""

    version: int
    tape_id: str
    parts: list[tuple[str, int]]  # name and size in bytes
    byteorder: str


class _Run(Struct, tag="run"):
    """The fields of a `TradeRun`, its columns as bytes."""

    symbol: str
    source: str
    aggregated: bool
    ids: bytes
    times: bytes
    stamps: bytes
    prices: bytes
    quantities: bytes
    worths: bytes


class _Frames(Struct, tag="frames"):
    frames: list[tuple[int, str, str, bytes]]


class _End(Struct, tag="end", frozen=True):
    """How many frames the tape has, how many of them are in columns, and what was wrong with it."""

    frames: int
    trades: int
    problems: list[str]


_Document = _Made | _Run | _Frames | _End
_decode = msgspec.msgpack.Decoder[_Document](_Document).decode


class Written(Struct, frozen=True, kw_only=True):
    """`frames` are those of the tape, `trades` those of them that are in columns, `bytes` the size of the file."""

    frames: int
    trades: int
    bytes: int


class ColumnTape(Tape):
    """A tape that has columns: whoever only looks at it sees the tape. `pieces` is what is replayed."""

    def __init__(self, tape: Tape) -> None:
        super().__init__(tape.path, tape.manifest, tape.parts)
        self._end: _End | None = None

    @property
    def problems(self) -> list[str]:
        """Those of the reading that the columns were made from, once all were played."""
        return super().problems if self._end is None else self._end.problems

    def pieces(self) -> Iterator[Frame | TradeRun]:
        """The whole tape in its order. Raises TapeError where the file is damaged: half a replay would look like a whole one."""
        frames = 0
        for document in _documents(self.path / FILE):
            match document:
                case _Run():
                    yield (run := _unpacked(document))
                    frames += len(run.times)
                case _Frames():
                    yield from (Frame(*frame) for frame in document.frames)
                    frames += len(document.frames)
                case _End():
                    self._end = document
        if self._end is None or self._end.frames != frames:
            raise _damaged(self.path / FILE, "it ends early")


def with_columns(tape: Tape) -> Tape:
    """A `ColumnTape` where columns lie beside the tape; else the tape, and where they were made of something else than it is now
    (it has grown, or lost its oldest parts) or by another version of this program, its problems say so."""
    file = tape.path / FILE
    if not file.exists():
        return tape
    try:
        fits = next(_documents(file), None) == _made_of(tape)
    except TapeError:
        fits = False
    if fits:
        return ColumnTape(tape)
    tape.notes.append(f"{FILE} was not made of this recording as it is and was not used; run `record columns` again")
    return tape


def write_columns(tape: Tape, decode: Decoder, progress: Callable[[int], None] = lambda frames: None) -> Written:
    """Makes the file anew, whole or not at all. `decode` reads the messages of the tape's venue."""
    file, partial = tape.path / FILE, tape.path / f"{FILE}.partial"
    frames = trades = 0
    try:
        with partial.open("wb") as out:
            _write(out, _made_of(tape))
            for piece in gathered(
                tape.frames(), tape.manifest.venue, decode, {each.symbol for each in tape.instruments}
            ):
                if isinstance(piece, TradeRun):
                    trades += len(piece.times)
                frames += len(piece.times) if isinstance(piece, TradeRun) else len(piece)
                _write(out, _packed(piece))
                progress(frames)
            _write(out, _End(frames, trades, tape.problems))
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)
    return Written(frames=frames, trades=trades, bytes=file.stat().st_size)


def gathered(
    frames: Iterable[Frame], venue: str, decode: Decoder, symbols: Set[str], shortest: int = SHORTEST
) -> Iterator[TradeRun | list[Frame]]:
    """Frames in their order, trades of these symbols in columns wherever enough of one kind follow each other."""
    others, run, trades = list[Frame](), list[Frame](), list[TradePrint]()
    for frame in frames:
        trade = _trade(frame, decode, symbols) if frame.source == venue and frame.lane == Lane.DATA else None
        if run and (trade is None or len(run) >= LONGEST or not _alike(trade, frame, trades[0], run[0])):
            if len(run) < shortest:
                others += run
            else:
                if others:
                    yield others
                yield _run(run, trades)
                others = []
            run, trades = [], []
        if trade is None:
            others.append(frame)
        else:
            run.append(frame)
            trades.append(trade)
        if len(others) >= _FRAMES:
            yield others
            others = []
    if len(run) < shortest:
        others, run = others + run, []
    if others:
        yield others
    if run:
        yield _run(run, trades)


def _trade(frame: Frame, decode: Decoder, symbols: Set[str]) -> TradePrint | None:
    """None for all else, what cannot be read included: it is for the intake to say so. Several trades in one message stay a frame."""
    try:
        message = decode(frame.raw)
    except (FeedError, ValueError, RecursionError):
        return None
    return message if type(message) is TradePrint and message.symbol in symbols else None


def _alike(trade: TradePrint, frame: Frame, first: TradePrint, first_frame: Frame) -> bool:
    return trade.symbol == first.symbol and trade.aggregated is first.aggregated and frame.source == first_frame.source


def _run(frames: list[Frame], trades: list[TradePrint]) -> TradeRun:
    signs = [1 if trade.taker_buys else -1 for trade in trades]
    pairs = list(zip(trades, signs, strict=True))
    return TradeRun(
        symbol=trades[0].symbol,
        source=frames[0].source,
        aggregated=trades[0].aggregated,
        ids=array("q", [trade.trade_id for trade in trades]),
        times=array("q", accumulate([frame.recv_ns for frame in frames], max)),
        stamps=array("q", [trade.exch_ns for trade in trades]),
        prices=array("d", [trade.price for trade in trades]),
        quantities=array("d", [sign * trade.quantity for trade, sign in pairs]),
        worths=array("q", [sign * micro_usd(trade.price, trade.quantity) for trade, sign in pairs]),
    )


# --- the file ------------------------------------------------------------------------------------------------------


def _made_of(tape: Tape) -> _Made:
    return _Made(VERSION, tape.id, [(part.name, part.stat().st_size) for part in tape.parts], sys.byteorder)


def _packed(piece: TradeRun | list[Frame]) -> _Run | _Frames:
    if not isinstance(piece, TradeRun):
        return _Frames([(frame.recv_ns, frame.lane, frame.source, frame.raw) for frame in piece])
    columns = (piece.ids, piece.times, piece.stamps, piece.prices, piece.quantities, piece.worths)
    return _Run(piece.symbol, piece.source, piece.aggregated, *(column.tobytes() for column in columns))


def _unpacked(run: _Run) -> TradeRun:
    whole = (array("q", run.ids), array("q", run.times), array("q", run.stamps))
    prices = (array("d", run.prices), array("d", run.quantities))
    return TradeRun(run.symbol, run.source, run.aggregated, *whole, *prices, array("q", run.worths))


def _write(out: BinaryIO, document: _Document) -> None:
    out.write(zstandard.ZstdCompressor(write_checksum=True).compress(msgspec.msgpack.encode(document)))


def _documents(file: Path) -> Iterator[_Document]:
    problems = Problems()
    try:
        for block in blocks(file, problems):
            yield _decode(block)
    except msgspec.MsgspecError as error:
        raise _damaged(file, str(error)) from None
    if problems.parts:
        raise _damaged(file, problems.parts[0])


def _damaged(file: Path, what: str) -> TapeError:
    return TapeError(f"{file} cannot be used: {what}; make it anew with `record columns` or delete it")
