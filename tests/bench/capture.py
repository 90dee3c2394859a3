"""The messages everything is measured on: the bundled tape, a real capture of one symbol, by kind and as a whole."""

from __future__ import annotations

from dataclasses import dataclass

from bot.demo import BUNDLED_TAPE
from bot.domain.frames import Frame
from bot.domain.instrument import Instrument
from bot.runtime.tape import Tape

DEPTH, TRADE, QUOTE, SNAPSHOT, MIX = "depth", "trade", "quote", "snapshot", "whole mix"
KINDS = (TRADE, QUOTE, DEPTH, MIX)

_MARKS = {DEPTH: b'"e":"depthUpdate"', TRADE: b'"e":"trade"', QUOTE: b'"e":"bookTicker"', SNAPSHOT: b'{"lastUpdateId"'}


def kind_of(raw: bytes) -> str:
    head = raw[:80]
    return next(kind for kind, mark in _MARKS.items() if mark in head)


@dataclass(frozen=True, slots=True)
class Capture:
    """`by_kind[DEPTH]` begins with a quote, and holds the one snapshot in its place: that is what our market needs to do
    on depth alone what it does in the mix (without quotes it takes the best prices from the book)."""

    tape: Tape
    instrument: Instrument
    by_kind: dict[str, list[Frame]]
    snapshot: Frame


def read_capture() -> Capture:
    tape = Tape.open(BUNDLED_TAPE)
    frames = list(tape.frames())
    kinds = [kind_of(frame.raw) for frame in frames]
    snapshot = frames[kinds.index(SNAPSHOT)]
    depth = [frame for frame, kind in zip(frames, kinds, strict=True) if kind in (DEPTH, SNAPSHOT)]
    by_kind = {
        TRADE: [frame for frame, kind in zip(frames, kinds, strict=True) if kind == TRADE],
        QUOTE: [frame for frame, kind in zip(frames, kinds, strict=True) if kind == QUOTE],
        DEPTH: [frames[kinds.index(QUOTE)], *depth],
        MIX: frames,
    }
    return Capture(tape, tape.instruments[0], by_kind, snapshot)
