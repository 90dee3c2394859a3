"""Recording a venue's public data: the real process on real sockets, what is on the disk afterwards, and that it plays again."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from aiohttp import web

from bot.domain.frames import Source
from bot.domain.values import NS
from bot.runtime.tape import Tape
from tests.e2e.running import SYMBOL, Engine, Json, bot, called, finished, launch, play_tape, until
from tests.servers.binance_public import BinancePublic

FREELY = {
    "BOT_STRATEGIES": "",
    "BOT_RISK__REDUCING_CLEAR_S": "0",
    "BOT_RISK__COOLDOWN_S": "0",
    "BOT_RISK__ENTRIES_PER_SYMBOL_DAY": "1000",
    "BOT_RISK__ENTRIES_PER_DAY": "1000",
}
SECRET = "canary-3141"
BAR_MS = 300_000


class WithHistory(BinancePublic):
    """Its klines are three finished bars and the one under way."""

    async def _klines(self, request: web.Request) -> web.Response:
        now = int(time.time() * 1000) // BAR_MS * BAR_MS
        starts = range(now - 3 * BAR_MS, now + 1, BAR_MS)
        return web.json_response([_kline(start) for start in starts])


def _kline(start: int) -> list[object]:
    prices = ["60000.1", "60010.0", "59990.0", "60001.5"]
    return [start, *prices, "2.5", start + BAR_MS - 1, "150000.0", 7, "1.0", "60000.0", "0"]


@pytest.fixture(scope="module")
def venue() -> Iterator[BinancePublic]:
    with WithHistory() as server:
        yield server


@pytest.fixture(scope="module")
def recorded(venue: BinancePublic, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Json]:
    """A session with a trade, a refusal and a cut, and what it said at its end."""
    folder = tmp_path_factory.mktemp("recorded")
    tape = folder / "tape"
    told = {**FREELY, **venue.settings, "BOT_COINGLASS__API_KEY": SECRET}
    with Engine(folder / "data", "--venue", "binanceusdm", "--record", tape, **told) as engine:
        active(engine)
        enter(engine, "one")
        engine.wait_for("POSITION_OPENED", 1)
        venue.cut()
        engine.wait_for("FEED_DOWN")
        assert not engine.signal("cut", "long").body["allowed"]
        active(engine)
        engine.post("/api/close", {"symbol": SYMBOL})
        until(lambda: not engine.get("/api/positions"), "its close")
        enter(engine, "two")
        engine.wait_for("POSITION_OPENED", 2)
        ended = engine.interrupt()
    assert ended.code == 130, ended
    return tape, ended.json()


def enter(engine: Engine, name: str) -> None:
    """As soon as no guard has anything against it."""
    numbers = count()
    until(lambda: engine.signal(f"{name}{next(numbers)}", "short").body["allowed"], "an entry")


def active(engine: Engine) -> None:
    until(lambda: engine.get("/api/status")["state"] == "ACTIVE", "a usable book")


def test_what_ran_decides_the_same_when_it_is_replayed_again_and_again(
    recorded: tuple[Path, Json], tmp_path: Path
) -> None:
    tape, ran = recorded
    first, second = (called("replay", tape, "--json", cwd=tmp_path, **FREELY).json() for _ in range(2))
    assert ran["fills"] >= 3 and ran["blocked"] >= 1 and ran["events"]["FEED_DOWN"] >= 1
    assert first == second
    assert first["as_recorded"] == {"same": True, "problems": []}
    assert first["tape_problems"] == []
    for name in ("digest", "frames", "equity_usd", "events", "config_hash"):
        assert first[name] == ran[name], name


def test_the_manifest_has_what_the_session_began_with(recorded: tuple[Path, Json]) -> None:
    tape, ran = recorded
    manifest = Tape.open(tape).manifest
    assert [each.symbol for each in manifest.instruments] == ["BTCUSDT"]
    assert manifest.config_hash == ran["config_hash"]
    assert manifest.settings is not None and manifest.settings["risk.cooldown_s"] == "0"
    text = (tape / "manifest.json").read_text()
    assert SECRET not in text and str(tape.parent) not in text
    history = {(key, width_s): len(bars) for key, width_s, bars in Tape.open(tape).warmup()}
    assert history.keys() == {("binanceusdm:BTCUSDT", width_s) for width_s in (60, 300, 900, 86_400)}
    assert min(history.values()) >= 3
    assert manifest.frames == ran["recording"]["frames"] and manifest.end_ns is not None
    assert manifest.engine is not None and manifest.engine.digest == ran["digest"]


def test_other_settings_are_told_and_fills_are_computed_anew(recorded: tuple[Path, Json], tmp_path: Path) -> None:
    tape, ran = recorded
    other = {**FREELY, "BOT_PAPER__LATENCY_MS": "151"}
    first, second = (called("replay", tape, "--json", cwd=tmp_path, **other).json() for _ in range(2))
    assert first == second
    assert first["as_recorded"]["same"] is None
    assert "the settings are not those it was recorded with" in first["as_recorded"]["problems"][0]
    assert first["signals"] == ran["signals"] and first["fills"] >= 2, "an operator's ideas are met by the same market"


def test_it_runs_as_any_other_tape(recorded: tuple[Path, Json], tmp_path: Path) -> None:
    """Its own orders' reports would be about orders nobody knows, and its end is not ours."""
    played = play_tape(
        tmp_path / "data",
        recorded[0],
        risk={"reducing_clear_s": 0, "cooldown_s": 0, "entries_per_symbol_day": 1000, "entries_per_day": 1000},
    )
    assert played.outcome.reason == "tape ended"
    assert len(played.of("FILL")) >= 2
    assert not [told for told in played.events if told["kind"] in ("DISCREPANCY", "BAD_FRAME")]


def test_a_used_folder_is_refused_before_anything_starts(venue: BinancePublic, tmp_path: Path) -> None:
    (tmp_path / "tape").mkdir()
    (tmp_path / "tape" / "file").write_text("mine")
    options = ("--venue", "binanceusdm", "--data-dir", "data", "--record", "tape")
    ended = bot("run", *options, cwd=tmp_path, **venue.settings)
    assert ended.code not in (0, 130)
    assert "exists and is not an empty folder" in ended.err and "Traceback" not in ended.err
    assert (tmp_path / "tape" / "file").read_text() == "mine"


# --- without trading -------------------------------------------------------------------------------------------------


@pytest.fixture
def market() -> Iterator[BinancePublic]:
    """From the capture's beginning: it is not endless."""
    with WithHistory() as server:
        yield server


def recording(market: BinancePublic, folder: Path, *options: str) -> subprocess.Popen[str]:
    """With the book there."""
    snapshots = market.snapshots
    process = launch("record", "live", "tape", *options, cwd=folder, **market.settings)
    until(lambda: market.snapshots > snapshots, "its book")
    return process


def wait_for_a_block(process: subprocess.Popen[str], tape: Path) -> None:
    def there() -> bool:
        assert process.poll() is None, process.communicate()
        return any(part.stat().st_size for part in tape.glob("part-*.zst"))

    until(there, "a block on the disk")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_recording_cleanly(market: BinancePublic, tmp_path: Path, number: signal.Signals) -> None:
    process = recording(market, tmp_path, "--json")
    wait_for_a_block(process, tmp_path / "tape")
    process.send_signal(number)
    ended = finished(process)
    assert (ended.code, ended.err) == (0, "")
    tape = Tape.open(tmp_path / "tape")
    frames = list(tape.frames())
    assert tape.problems == [] and ended.json()["missing_frames"] == 0
    assert {frame.source for frame in frames} >= {"binanceusdm", Source.FEED}
    assert any(b"lastUpdateId" in frame.raw for frame in frames), "the snapshot is on the tape too"
    replayed = called("replay", "tape", "--json", cwd=tmp_path, BOT_STRATEGIES="").json()
    assert replayed["as_recorded"] == {"same": True, "problems": []}
    assert replayed["events"]["BOOK_RESYNC"] >= 1
    assert [path.name for path in tmp_path.iterdir()] == ["tape"], "nothing is kept but the tape"


def test_it_ends_by_itself_after_its_hours(market: BinancePublic, tmp_path: Path) -> None:
    ended = bot("record", "live", "tape", "--hours", "0.0004", cwd=tmp_path, **market.settings)
    assert ended.code == 0 and "(time is up)" in ended.out
    manifest = Tape.open(tmp_path / "tape").manifest
    assert manifest.start_ns is not None and manifest.end_ns is not None
    assert 1 < (manifest.end_ns - manifest.start_ns) / NS < 10


def test_a_killed_recording_can_be_read(market: BinancePublic, tmp_path: Path) -> None:
    process = recording(market, tmp_path)
    wait_for_a_block(process, tmp_path / "tape")
    process.kill()
    finished(process)
    replayed = called("replay", "tape", "--json", cwd=tmp_path, BOT_STRATEGIES="").json()
    assert replayed["frames"] > 100
    assert replayed["tape_problems"] == ["the recording was not closed; it holds what was written until then"]
    assert replayed["as_recorded"]["same"] is None


def test_a_tape_is_not_recorded_twice(tmp_path: Path) -> None:
    ended = bot("record", "live", "tape", "--venue", "tape", cwd=tmp_path)
    assert ended.code != 0 and "name a venue" in ended.err
