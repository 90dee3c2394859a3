"""A tape that brings its history: the regime is there from the first second, and the trade shows what it was."""

from __future__ import annotations

from itertools import accumulate
from math import exp
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bot.app.replaying import replay
from bot.domain.reading import OiDelta
from bot.domain.values import NS, Direction
from bot.market.regime import regime_of
from bot.runtime.tape import Tape
from bot.runtime.tape_writer import write_manifest
from tests.e2e.running import BTC, START_NS, play_tape, read, recording, settings_for, signal_at, write_tape

END_NS = START_NS // (300 * NS) * 300 * NS  # of the last bar before the recording
UPS_AND_DOWNS = ([0.001] * 7 + [-0.0005] * 3) * 10
CLOSES = [61_000 * exp(total) for total in accumulate(UPS_AND_DOWNS, initial=0.0)]


def warmed(folder: Path, closes: list[float]) -> Path:
    """Nine seconds in which a long is asked for, after these closes."""
    frames = [*recording(2000), read(5, "oi_delta_5m", OiDelta(pct=0.4), source="venue")]
    tape = write_tape(folder, [*frames, signal_at(6, "a", Direction.LONG)])
    starts = range(END_NS - len(closes) * 300 * NS, END_NS, 300 * NS)
    rows: list[Any] = [[ns, c, c, c, c, 1.0, 0.5, 1] for ns, c in zip(starts, closes, strict=True)]
    write_manifest(folder, msgspec.structs.replace(Tape.open(tape).manifest, warmup={BTC: {"300": rows}}))
    return tape


@pytest.mark.parametrize("bars", [100, 101, 102])
def test_the_regime_of_history_decides_true_trend(tmp_path: Path, bars: int) -> None:
    closes = CLOSES[-bars:] if bars < 102 else [60_000.0, *CLOSES]
    played = play_tape(tmp_path / "data", warmed(tmp_path / "tape", closes))
    (opened,) = played.of("POSITION_OPENED")
    if bars == 100:
        assert (opened["regime"], opened["hurst"], opened["true_trend"]) == ("UNKNOWN", None, False)
        return
    regime, _ = regime_of(CLOSES, 0.95)
    assert regime is not None
    assert (opened["regime"], opened["true_trend"]) == ("TREND", True)
    assert (opened["hurst"], opened["hurst_z"]) == (regime.hurst, regime.z)


def test_a_replay_starts_from_the_same_history(tmp_path: Path) -> None:
    tape = warmed(tmp_path / "tape", CLOSES)
    settings = settings_for(tmp_path / "data", tape)
    digests = {replay(settings).summary["digest"] for _ in range(2)}
    digests.add(play_tape(tmp_path / "data", tape).outcome.summary["digest"])
    assert len(digests) == 1
    without = write_tape(tmp_path / "without", Tape.open(tape).frames())
    assert replay(settings_for(tmp_path / "data", without)).summary["digest"] not in digests
