"""One stream of trades for our replay and for nautilus_trader: those of the capture, told again and again.

Five minutes of taker volumes need more than the six minutes that the capture lasts. Each copy follows the one before, with every
stamp moved by as much, so that prices, sizes and bursts stay those of a real market. As a program it writes such a tape:
`python -m tests.bench.trades FOLDER COPIES`, for what is to be weighed in a process of its own.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from bot.domain.frames import Frame
from bot.domain.values import MS, NS
from bot.runtime.tape import Manifest
from bot.runtime.tape_writer import TapeWriter
from tests.bench.capture import TRADE, Capture, read_capture

_STAMPS = re.compile(rb'"([ET])":(\d+)')


def repeated(capture: Capture, copies: int) -> Iterator[Frame]:
    """All trades of the capture, `copies` times, a second apart."""
    frames = capture.by_kind[TRADE]
    length_ms = (frames[-1].recv_ns - frames[0].recv_ns + NS) // MS
    for copy in range(copies):
        by_ms = copy * length_ms
        for frame in frames:
            yield Frame(frame.recv_ns + by_ms * MS, frame.lane, frame.source, _later(frame.raw, by_ms))


def _later(raw: bytes, by_ms: int) -> bytes:
    return _STAMPS.sub(lambda stamp: b'"%b":%d' % (stamp[1], int(stamp[2]) + by_ms), raw)


def write(folder: Path, copies: int) -> None:
    capture = read_capture()
    manifest = Manifest(venue=capture.instrument.venue, instruments=[capture.instrument])
    with TapeWriter(folder, manifest) as tape:
        for frame in repeated(capture, copies):
            tape.write(frame)


if __name__ == "__main__":
    write(Path(sys.argv[1]), int(sys.argv[2]))
