"""The bundled tape is the published capture, byte for byte, and the demonstration's settings are settings."""

from __future__ import annotations

import gzip
import hashlib
import tomllib
from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest

from bot.demo import BUNDLED_TAPE, DEMO_SETTINGS
from bot.domain.params import Params
from bot.runtime.tape import Tape
from bot.trading.exits.ladder import LadderParams
from bot.trading.exits.protection import StopParams
from bot.trading.risk import RiskParams

CAPTURE = Path(__file__).resolve().parents[2].parent / "shared/fixtures/market/hftbacktest/usdm_btcusdt_20240808.gz"
GROUPS: dict[str, type[Params]] = {"ladder": LadderParams, "stop": StopParams, "risk": RiskParams}


def digest_of_frames(tape: Tape) -> str:
    digest = hashlib.sha256()
    for frame in tape.frames():
        digest.update(b"%d %b\n" % (frame.recv_ns, frame.raw))
    return digest.hexdigest()


def test_frames_are_the_capture_byte_for_byte() -> None:
    tape = Tape.open(BUNDLED_TAPE)
    assert tape.manifest.origin is not None
    assert digest_of_frames(tape) == tape.manifest.origin.sha256
    assert tape.problems == []


def test_the_published_file_has_the_same_digest() -> None:
    if not CAPTURE.exists():
        pytest.skip(f"the published capture is not here: {CAPTURE}")
    origin = Tape.open(BUNDLED_TAPE).manifest.origin
    assert origin is not None
    assert hashlib.sha256(gzip.decompress(CAPTURE.read_bytes())).hexdigest() == origin.sha256


def test_manifest_says_what_the_tape_is() -> None:
    tape = Tape.open(BUNDLED_TAPE)
    frames = list(tape.frames())
    (instrument,) = tape.instruments
    assert (tape.manifest.venue, instrument.id, instrument.unified) == (
        "binanceusdm",
        "binanceusdm:BTCUSDT",
        "BTC/USDT:USDT",
    )
    assert (instrument.tick, instrument.step, instrument.min_notional) == (
        Decimal("0.10"),
        Decimal("0.001"),
        Decimal(100),
    )
    assert Counter((frame.lane, frame.source) for frame in frames) == {("data", "binanceusdm"): 93_954}
    assert (tape.manifest.start_ns, tape.manifest.end_ns) == (frames[0].recv_ns, frames[-1].recv_ns)


def test_licence_and_origin_travel_with_the_tape() -> None:
    notice = (BUNDLED_TAPE.parent / "NOTICE").read_text()
    assert "Copyright (c) 2022 nkaz001" in notice
    assert "Permission is hereby granted" in notice
    assert "github.com/nkaz001/hftbacktest" in notice
    assert "5f3ec40b" in notice


def test_every_demonstration_setting_is_known_and_valid() -> None:
    settings = tomllib.loads(DEMO_SETTINGS.read_text())
    groups = {name: value for name, value in settings.items() if isinstance(value, dict)}
    assert settings.keys() - groups.keys() == {"symbols", "strategies"}
    assert settings["symbols"] == [instrument.unified for instrument in Tape.open(BUNDLED_TAPE).instruments]
    assert groups.pop("venue") == {"name": "tape"}
    assert groups.keys() == GROUPS.keys()
    for name, values in groups.items():
        GROUPS[name].model_validate(values)


def test_demonstration_distances_fit_within_the_move_of_the_recording() -> None:
    settings = tomllib.loads(DEMO_SETTINGS.read_text())
    farthest = max(settings["ladder"]["targets_pct"])
    assert farthest + settings["stop"]["pct"] < 0.4
