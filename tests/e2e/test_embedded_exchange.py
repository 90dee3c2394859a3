"""`run` with nothing set, and `sim` alone: real processes on loopback, no network."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from bot.demo import BUNDLED_TAPE
from bot.domain.frames import Source
from bot.runtime.tape import Tape
from tests.e2e.running import Engine, Json, called, discard, finished, journal_of, launch, recording, until, write_tape

QUICK = {"BOT_VENUE__NAME": "sim", "BOT_SYMBOLS": "BTC/USDT:USDT,ETH/USDT:USDT"}


def children(process: subprocess.Popen[str]) -> list[int]:
    listed = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(process.pid)], capture_output=True, text=True, check=False
    )
    return [int(pid) for pid in listed.stdout.split()]


def alive(pid: int) -> bool:
    """Not one that has ended and waits to be counted."""
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


def knows_whales(engine: Engine) -> bool:
    rows = [row for row in engine.get("/api/readings") if row["name"] == "whale_cvd"]
    return len(rows) == 2 and all(row["state"] == "FRESH" for row in rows)


def test_a_newcomer_sees_signals_blocks_and_a_managed_position(tmp_path: Path) -> None:
    with Engine(tmp_path / "data", "--speed", 20, **QUICK) as engine:
        status = engine.get("/api/status")
        assert (status["venue"], status["mode"]) == ("sim", "paper")
        began_s = time.monotonic()
        until(lambda: knows_whales(engine), "whale flow of the hour before")
        assert time.monotonic() - began_s < 30
        until(lambda: engine.get("/api/events?kinds=POSITION_OPENED"), "a position")
        decisions: list[Json] = until(
            lambda: [e for e in engine.get("/api/events?kinds=DECISION") if not e["data"]["allowed"]], "a block"
        )
        assert decisions[0]["data"]["verdicts"]
        readings = {row["name"]: row for row in engine.get("/api/readings?symbol=BTC/USDT:USDT")}
        assert readings["regime"]["state"] == "FRESH" and readings["max_pain"]["state"] == "FRESH"
        until(
            lambda: (
                {row["name"]: row for row in engine.get("/api/readings?symbol=BTC/USDT:USDT")}["taker_5m"]["state"]
                == "FRESH"
            ),
            "CoinGlass",
        )
        events = engine.get("/api/status")["this_session"]["events"]
        assert events.get("BAD_FRAME", 0) == 0
        ended = engine.interrupt()
        assert ended.code == 130 and not ended.err


def test_a_recording_holds_the_trades_that_were_looked_up_and_replays_the_same(tmp_path: Path) -> None:
    tape = tmp_path / "tape"
    with Engine(tmp_path / "data", "--speed", 20, "--record", tape, **QUICK) as engine:
        until(lambda: knows_whales(engine), "whale flow of the hour before")
        until(lambda: engine.get("/api/events?kinds=POSITION_OPENED"), "a position")
        ended = engine.interrupt()
    ran = ended.json()
    looked_up = [frame.raw for frame in Tape.open(tape).frames() if frame.source == Source.PAST]
    assert len(looked_up) == 2 and all(len(raw) > 100_000 for raw in looked_up)
    assert called("record", "columns", tape, cwd=tmp_path).code == 0
    by_columns = called("replay", tape, "--json", cwd=tmp_path, **QUICK).json()
    (tape / "columns.zst").unlink()
    by_frames = called("replay", tape, "--json", cwd=tmp_path, **QUICK).json()
    for replayed in (by_columns, by_frames):
        assert replayed["as_recorded"] == {"same": True, "problems": []} and replayed["tape_problems"] == []
        assert (replayed["digest"], replayed["frames"]) == (ran["digest"], ran["frames"])


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes the Linux way")
def test_the_exchange_goes_when_its_engine_is_killed(tmp_path: Path) -> None:
    with Engine(tmp_path / "data", **QUICK) as engine:
        exchange = children(engine.process)
        assert len(exchange) == 1 and alive(exchange[0])
        os.kill(engine.process.pid, signal.SIGKILL)
        until(lambda: not alive(exchange[0]), "the exchange to end")


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes the Linux way")
def test_an_engine_whose_exchange_is_killed_says_so_and_ends(tmp_path: Path) -> None:
    with Engine(tmp_path / "data", **QUICK) as engine:
        engine.wait_for("ENGINE_STARTED")
        os.kill(children(engine.process)[0], signal.SIGKILL)
        ended = finished(engine.process)
    assert ended.code == 3 and ended.err == (
        "bot: the embedded exchange ended by itself (signal 9), and its market with it; what was traded is in the journal. Start again\n"
    )
    last = journal_of(tmp_path / "data")[-1]
    assert last["kind"] == "ENGINE_STOPPED" and last["data"]["failed"] and "embedded" in last["data"]["reason"]


def test_sim_alone_says_where_it_is_and_ends_on_a_signal(tmp_path: Path) -> None:
    process = launch("sim", "--port", 0, "--symbols", 1, "--seed", 3, "--speed", 50, "--json", cwd=tmp_path)
    try:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        assert (told["symbols"], told["seed"], told["speed"]) == (["BTCUSDT"], 3, 50)

        def now_ms() -> int:
            with urllib.request.urlopen(told["rest_url"] + "/fapi/v1/time") as answer:
                return int(json.loads(answer.read())["serverTime"])

        began_ms, began_s = now_ms(), time.monotonic()
        assert abs(began_ms / 1000 - time.time()) < 600
        until(lambda: now_ms() > began_ms + 20_000, "20 s of its time")
        assert time.monotonic() - began_s < 10
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
    finally:
        discard(process)


def test_sim_plays_a_tape_with_faults_by_script(tmp_path: Path) -> None:
    script = tmp_path / "faults.toml"
    script.write_text('[[fault]]\nat_s = 0\nkind = "unavailable"\nroute = "/fapi/v1/ping"\n')
    process = launch("sim", "--port", 0, "--tape", BUNDLED_TAPE, "--faults", script, "--json", cwd=tmp_path)
    try:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        assert told["symbols"] == ["BTCUSDT"] and told["preset"].startswith("tape ")

        def depth() -> Json:
            with urllib.request.urlopen(told["rest_url"] + "/fapi/v1/depth?symbol=BTCUSDT") as answer:
                return dict(json.loads(answer.read()))

        until(lambda: len(depth()["bids"]) > 100, "the tape's book")
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(told["rest_url"] + "/fapi/v1/ping")
        assert refused.value.code == 503
        refused.value.close()
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        assert process.stderr is not None and "unavailable at 0 s" in process.stderr.read()
    finally:
        discard(process)


def test_sim_says_when_a_tape_is_over_and_what_was_wrong_with_it(tmp_path: Path) -> None:
    tape = write_tape(tmp_path / "tape", recording(2000))
    manifest = tape / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"frames": 3000}))
    process = launch("sim", "--port", 0, "--tape", tape, "--speed", 1000, cwd=tmp_path)
    try:
        assert process.stderr is not None
        lines = [process.stderr.readline() for _ in range(2)]
        assert lines[0] == "2000 frames could be read, manifest.json promises 3000\n"
        assert lines[1].startswith("the market is over")
    finally:
        discard(process)


def test_what_there_is_not_is_said_before_anything_starts(tmp_path: Path) -> None:
    for command in (("sim", "--preset", "nope"), ("run", "--json")):
        refused = called(*command, cwd=tmp_path, BOT_VENUE__NAME="sim", BOT_SIM__PRESET="nope")
        assert refused.code == 2 and "no preset is called 'nope'" in refused.err
    for option, said in (("--faults", "none.toml"), ("--tape", "is not a folder")):
        refused = called("sim", option, "none.toml", cwd=tmp_path)
        assert refused.code == 2 and said in refused.err
    for more in (("--symbols", "2"), ("--preset", "demo")):
        refused = called("sim", "--tape", BUNDLED_TAPE, *more, cwd=tmp_path)
        assert refused.code == 2 and "leave out --preset and --symbols" in refused.err
    script = tmp_path / "faults.toml"
    script.write_text('[[fault]]\nat_s = 0\nkind = "halted"\nseconds = 5\nsymbol = "SOL*"\n')
    refused = called("sim", "--symbols", 2, "--faults", script, cwd=tmp_path)
    assert refused.code == 2 and "symbol=SOL*: there is only BTCUSDT, ETHUSDT" in refused.err
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = called("sim", "--port", port, cwd=tmp_path)
    assert refused.code == 2 and f"cannot listen on 127.0.0.1:{port}" in refused.err
    for start in ("-1", "1790000000", str(10**30)):  # ns, of a time that dates can tell
        assert called("sim", "--port", 0, "--start", start, cwd=tmp_path).code == 2
    unlisted = called("run", "--json", cwd=tmp_path, BOT_VENUE__NAME="sim", BOT_SYMBOLS="PEPE/USDT:USDT")
    assert unlisted.code == 2 and "PEPE/USDT:USDT" in unlisted.err


def test_readers_find_the_folder_of_the_market_that_ran_last(tmp_path: Path) -> None:
    settings = {"BOT_VENUE__SPEED": "10000"}
    assert called("status", cwd=tmp_path, BOT_VENUE__NAME="sim").code == 2
    with Engine(tmp_path / "data/sim", **QUICK) as engine:
        assert called("status", "--json", cwd=tmp_path, BOT_VENUE__NAME="sim").json()["venue"] == "sim"
        engine.interrupt()
    assert called("run", "--demo", "--json", cwd=tmp_path, **settings).code == 0
    for name in ("sim", "tape"):
        events = called("events", "--json", cwd=tmp_path, BOT_VENUE__NAME=name).out.splitlines()
        assert json.loads(events[0])["data"]["venue"] == "tape"
