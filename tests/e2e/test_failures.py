"""What goes wrong: a second instance, kill -9, interruption, parts that raise, broken tapes, mistaken settings."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bot.app.run import _run
from bot.domain.errors import JournalError
from bot.domain.frames import Frame
from bot.domain.market import BookDiff, Quote
from bot.domain.values import Direction
from bot.exchanges import binance
from bot.journal.reader import verify_chain
from bot.journal.schema import FILE
from bot.journal.writer import Journal
from bot.market.state import Market
from bot.runtime.tape import MANIFEST
from bot.trading.gate import Gate
from bot.venues.paper import PaperVenue
from tests.e2e.conftest import DemoRun
from tests.e2e.running import (
    SYMBOL,
    Engine,
    Json,
    at,
    bot,
    called,
    events_in,
    finished,
    parked,
    play,
    play_tape,
    recording,
    settings_for,
    signal_at,
    until,
    write_tape,
)

# --- one program a data folder, and how it may end -----------------------------------------------------------------


def test_a_second_instance_is_refused_and_told_who_is_there(tmp_path: Path) -> None:
    with Engine(tmp_path / "data", "--demo") as first:
        second = bot("run", "--demo", "--json", "--data-dir", "data", cwd=tmp_path)
        assert (second.code, second.out) == (4, "")
        assert second.err == (
            f"bot: another instance (pid {first.process.pid}, api {first.url}) holds data; "
            "stop it or use another --data-dir\n"
        )
        assert first.get("/api/status")["session"] == 1, "the first goes on"


def test_kill_nine_and_a_second_session_in_the_same_folder(tmp_path: Path, hurried: DemoRun) -> None:
    """The tape stands still while a position is open, so that it still is when the kill comes."""
    data_dir = tmp_path / "data"
    with Engine(data_dir, "--demo", "--speed", 25) as engine:
        [was_open] = until(lambda: engine.get("/api/positions"), "an open position")
        engine.wait_for("POSITION_OPENED")  # and it is on the disk
        engine.process.kill()
        engine.process.wait()
    first = events_in(data_dir)
    assert verify_chain(data_dir / FILE) == (len(first), None)
    assert first[-1]["kind"] != "ENGINE_STOPPED"
    asked = called("status", "--json", "--data-dir", data_dir, cwd=tmp_path).json()
    assert (asked["running"], asked["open_positions"]) == (False, 1)
    assert "ended without a clean stop" in called("status", "--data-dir", data_dir, cwd=tmp_path).out

    second = bot("run", "--demo", "--json", "--speed", 10_000, "--data-dir", data_dir, cwd=tmp_path)
    assert (second.code, second.err) == (0, "")
    summary, events = second.json(), events_in(data_dir)
    assert events[: len(first)] == first, "what was written stays as it is"
    assert verify_chain(data_dir / FILE) == (len(events), None)
    assert (summary["session"], summary["abandoned"]["positions"]) == (2, [])
    assert was_open["position_id"] in {event["data"].get("position_id") for event in events[len(first) :]}
    assert_nothing_doubled(events)
    for kind in ("FILL", "POSITION_CLOSED"):
        assert stories(events, kind) == stories(hurried.events, kind), "the end is as if nothing had happened"
    assert summary["equity_usd"] == hurried.summary["equity_usd"]
    assert not [event for event in events if event["kind"] == "DISCREPANCY"]


def stories(events: list[Json], kind: str) -> list[Json]:
    """Without ids, which name the session."""
    return [
        {"ts": event["ts"]} | {k: v for k, v in event["data"].items() if k not in ("position_id", "client_order_id")}
        for event in events
        if event["kind"] == kind
    ]


def test_a_recording_that_was_played_to_its_end_is_played_anew(tmp_path: Path, hurried: DemoRun) -> None:
    """Time would run backwards for the account of the first time; what was open then stays where it was."""
    tape = write_tape(tmp_path / "tape", [*recording(3000), signal_at(20, "a", Direction.SHORT)])
    first, second = (play_tape(tmp_path / "data", tape) for _ in range(2))
    assert second.outcome.summary["digest"] == first.outcome.summary["digest"]
    assert second.outcome.summary["this_session"] == first.outcome.summary["this_session"]


def assert_nothing_doubled(events: list[Json]) -> None:
    placed = [
        e["data"]["client_order_id"] for e in events if e["kind"] == "ORDER_INTENT" and e["data"]["command"] == "place"
    ]
    trades = [event["data"]["trade_id"] for event in events if event["kind"] == "FILL"]
    signals = [event["data"]["signal_id"] for event in events if event["kind"] == "SIGNAL"]
    for ids in ([event["seq"] for event in events], placed, trades, signals):
        assert len(ids) > 2
        assert [one for one, times in Counter(ids).items() if times > 1] == []


def test_a_repeated_signal_id_is_known_after_a_restart(tmp_path: Path) -> None:
    options = ("--tape", write_tape(tmp_path / "tape", [*recording(300), parked()]), "--speed", 10_000)
    answers = []
    for _ in range(2):
        with Engine(tmp_path / "data", *options, BOT_STRATEGIES="") as engine:
            until(lambda: engine.get("/api/status")["state"] == "ACTIVE", "a usable book")
            answers.append(engine.signal("webhook-7", "short"))
            assert engine.interrupt().code == 130
    first, second = answers
    assert (first.status, second.status) == (201, 200)
    assert second.body["duplicate"] is True
    assert second.body["signal_id"] == first.body["signal_id"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_run_cancels_entries_says_so_and_ends_with_130(tmp_path: Path, number: signal.Signals) -> None:
    """The tape stands still, so that the entry is still on its way when the signal comes."""
    tape = write_tape(tmp_path / "tape", [*recording(1000), parked()])
    with Engine(tmp_path / "data", "--tape", tape, "--speed", 10_000, BOT_STRATEGIES="") as engine:
        until(lambda: engine.get("/api/status")["engine_time_ns"] == recording(1000)[-1].recv_ns, "the last frame")
        assert engine.signal("entry", "short").body["allowed"]
        engine.process.send_signal(number)
        ended = finished(engine.process)
    assert (ended.code, ended.err) == (130, "")
    assert ended.json()["state_reason"] == "interrupted"
    events = events_in(tmp_path / "data")
    ending = [event for event in events if event["data"].get("command") != "place"][-4:]
    assert [event["kind"] for event in ending] == ["STATE", "ORDER_INTENT", "ORDER_SENT", "ENGINE_STOPPED"]
    state, cancel, _, stopped = (event["data"] for event in ending)
    assert (state["state"], state["reason"]) == ("REDUCING", "stopping: interrupted")
    assert (cancel["command"], cancel["leg"], cancel["reason"]) == ("cancel", "entry", "stopping")
    assert (stopped["reason"], stopped["failed"]) == ("interrupted", False)
    entry = events[-2]
    assert (entry["kind"], entry["data"]["leg"]) == ("ORDER_CANCELED", "entry")
    assert entry["data"]["reason"] == "the engine stopped before it reached the venue"


# --- a part that raises --------------------------------------------------------------------------------------------


def raising(error: Exception, after: int = 0) -> Callable[..., Any]:
    calls = iter(range(after))

    def broken_core(*_: object, **__: object) -> Sequence[Any]:
        if next(calls, None) is None:
            raise error
        return ()

    return broken_core


@pytest.mark.parametrize(
    ("owner", "method", "after"),
    [(Gate, "on", 0), (PaperVenue, "send", 0), (Market, "sample", 3)],
    ids=["a desk", "the venue", "the market"],
)
def test_a_part_that_raises_stops_the_engine_and_its_error_is_journaled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: type, method: str, after: int
) -> None:
    monkeypatch.setattr(owner, method, raising(ZeroDivisionError("seven by nothing"), after))
    tape = write_tape(tmp_path / "tape", [*recording(2000), signal_at(1, "a", Direction.SHORT)])
    settings = settings_for(tmp_path / "data", tape)
    with pytest.raises(ZeroDivisionError, match="seven by nothing") as caught:
        asyncio.run(_run(settings, [], False, True))
    functions = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert functions[-1] == "broken_core", "the traceback leads to where it was raised"
    events = events_in(tmp_path / "data")
    stopped = events[-1]
    assert (stopped["kind"], stopped["data"]["failed"]) == ("ENGINE_STOPPED", True)
    assert stopped["data"]["reason"] == "ZeroDivisionError: seven by nothing"
    assert stopped["ts"] < at(5)
    monkeypatch.undo()
    again = play_tape(tmp_path / "data", tape)
    assert (again.outcome.summary["session"], again.outcome.reason) == (2, "tape ended")


def test_a_process_whose_part_raises_ends_with_1_and_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import bot.trading.gate\n"
        "def on(*_):\n"
        "    raise ZeroDivisionError('seven by nothing')\n"
        "bot.trading.gate.Gate.on = on\n"
    )
    write_tape(tmp_path / "tape", [*recording(500), signal_at(1, "a", Direction.SHORT)])
    python_path = f"{tmp_path}:{Path(__file__).resolve().parents[2]}"
    ended = bot("run", "--tape", "tape", "--json", cwd=tmp_path, BOT_VENUE__SPEED="10000", PYTHONPATH=python_path)
    assert (ended.code, ended.out) == (1, "")
    assert "Traceback" in ended.err and "ZeroDivisionError: seven by nothing" in ended.err
    assert called("status", "--json", cwd=tmp_path).json()["state_reason"] == "ZeroDivisionError: seven by nothing"


def test_a_journal_that_fails_stops_the_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Events that cannot be kept are not traded on."""
    commit, commits = Journal._commit, iter(range(5))

    def full_disk(journal: Journal, batch: Any) -> None:
        if next(commits, None) is None:
            raise sqlite3.OperationalError("database or disk is full")
        commit(journal, batch)

    monkeypatch.setattr(Journal, "_commit", full_disk)
    ideas = [signal_at(second, f"s{second}", Direction.SHORT) for second in range(1, 8)]
    with pytest.raises(JournalError, match="disk is full"):
        play(tmp_path, [*recording(2000), *ideas])
    monkeypatch.undo()
    events = events_in(tmp_path / "data")
    assert verify_chain(tmp_path / "data" / FILE) == (len(events), None)
    sent = {event["data"]["client_order_id"] for event in events if event["kind"] == "ORDER_SENT"}
    intended = {event["data"]["client_order_id"] for event in events if event["kind"] == "ORDER_INTENT"}
    assert sent <= intended


# --- broken tapes --------------------------------------------------------------------------------------------------


def places_of(kind: type, frames: Sequence[Frame]) -> list[int]:
    return [place for place, frame in enumerate(frames) if type(binance.decode(frame.raw)) is kind]


def spoilt(
    frames: Sequence[Frame], places: Sequence[int], raw: bytes = b'{"stream":"btcusdt@bookTicker","da'
) -> list[Frame]:
    return [msgspec.structs.replace(frame, raw=raw) if n in places else frame for n, frame in enumerate(frames)]


@pytest.mark.parametrize(
    "raw", [b"\xff\xfe\x00 not text", b"", b"{", b'{"stream":"btcusdt@bookTicker","data":{}}', b"[" * 5000]
)
def test_a_frame_that_cannot_be_read_is_skipped_counted_and_told_once(tmp_path: Path, raw: bytes) -> None:
    frames = recording(2000)
    place = places_of(Quote, frames)[600]
    played = play(tmp_path, [*spoilt(frames, [place], raw), signal_at(8, "after", Direction.SHORT)])
    [told] = played.of("BAD_FRAME")
    assert (told["frame_source"], told["count"]) == ("binanceusdm", 1)
    assert told["problem"]
    assert played.outcome.summary["bad_frames"] == 1
    assert [event["data"]["usable"] for event in played.events if event["kind"] == "BOOK_RESYNC"] == [True]
    assert played.decision()["allowed"], "the run goes on, and trades"
    assert played.events[-1]["data"] == {
        "reason": "tape ended",
        "failed": False,
        "frames": played.outcome.summary["frames"],
        "bad_frames": 1,
    }


def test_many_unreadable_frames_are_told_once_a_minute(tmp_path: Path) -> None:
    frames = recording(20_000)  # 74 s
    places = places_of(Quote, frames)[100::100]
    played = play(tmp_path, spoilt(frames, places))
    assert played.outcome.summary["bad_frames"] == len(places) > 100
    first, second = played.of("BAD_FRAME")
    assert first["count"] == 1
    assert 50 < second["count"] < len(places)


@pytest.mark.parametrize("garbled", [False, True], ids=["missing", "garbled"])
def test_a_lost_depth_frame_shows_on_the_very_next_one_and_stops_entries(tmp_path: Path, garbled: bool) -> None:
    frames = list(recording(2000))
    depths = places_of(BookDiff, frames)
    lost, following = depths[80], depths[81]
    next_ns = frames[following].recv_ns
    if garbled:
        frames = spoilt(frames, [lost], b"?")
    else:
        del frames[lost]
    before, after = (next_ns - 1 - at(0)) / 1e9, (next_ns + 1 - at(0)) / 1e9
    ideas = [signal_at(before, "before", Direction.SHORT), signal_at(after, "after", Direction.SHORT)]
    ideas += [signal_at(second, f"at-{second}", Direction.SHORT) for second in (6, 7, 8)]
    played = play(tmp_path, [*frames, *ideas])
    ready, lost_it = (event for event in played.events if event["kind"] == "BOOK_RESYNC")
    assert (ready["data"]["usable"], lost_it["data"]["usable"]) == (True, False)
    assert lost_it["ts"] == next_ns
    assert lost_it["data"]["reason"]
    decisions = played.of("DECISION")
    assert [decision["allowed"] for decision in decisions] == [True, False, False, False, False]
    for number in range(1, 5):
        assert "order book" in played.decision(number)["verdicts"]["risk_limits"]["reason"]
    assert played.outcome.summary["bad_frames"] == garbled


def test_a_tape_that_was_cut_off_is_played_to_its_end_and_told(tmp_path: Path) -> None:
    tape = write_tape(tmp_path / "tape", recording(9_000))
    part = tape / "part-00000.zst"
    part.write_bytes(part.read_bytes()[:-100])
    played = play_tape(tmp_path / "data", tape)
    assert played.outcome.reason == "tape ended"
    assert played.events[-1]["data"]["failed"] is False
    problems = played.outcome.summary["tape_problems"]
    assert problems[0] == "part-00000.zst ends early"
    assert "frames could be read, manifest.json promises 9000" in problems[1]
    assert 2_000 < played.outcome.summary["frames"] < 9_000
    told = called("replay", tape, cwd=tmp_path).out
    assert "tape: part-00000.zst ends early" in told


def test_time_that_goes_back_on_a_tape_does_not_go_back_in_the_engine(tmp_path: Path) -> None:
    frames = list(recording(2000))
    jump = next(place for place, frame in enumerate(frames) if frame.recv_ns > at(5))
    earlier = [msgspec.structs.replace(frame, recv_ns=frame.recv_ns - 3_000_000_000) for frame in frames[jump:]]
    ideas = [signal_at(second, f"s{second}", Direction.SHORT) for second in (1, 4)]
    frames = sorted([*frames[:jump], *ideas], key=lambda frame: frame.recv_ns)
    late = signal_at(4.5, "after the jump", Direction.LONG)
    tape = write_tape(tmp_path / "tape", [*frames, *earlier[:300], late, *earlier[300:]], in_time=False)
    played = play_tape(tmp_path / "data", tape)
    stamps = [event["ts"] for event in played.events]
    assert stamps == sorted(stamps)
    decided = [event["ts"] for event in played.events if event["kind"] == "DECISION"]
    assert decided[-1] >= frames[-1].recv_ns, "engine time stands still until the tape has caught up"
    assert any("time goes backwards" in problem for problem in played.outcome.summary["tape_problems"])
    assert played.outcome.reason == "tape ended"


# --- what is refused before anything starts --------------------------------------------------------------------------


def other_version(tape: Path) -> None:
    manifest = msgspec.json.decode((tape / MANIFEST).read_bytes())
    (tape / MANIFEST).write_bytes(msgspec.json.encode(manifest | {"version": 2}))


def not_json(tape: Path) -> None:
    (tape / MANIFEST).write_text("{")


def no_part(tape: Path) -> None:
    (tape / "part-00000.zst").unlink()


def no_frame(tape: Path) -> None:
    (tape / "part-00000.zst").write_bytes(b"")


def damaged(tape: Path) -> None:
    (tape / "part-00000.zst").write_bytes(b"not zstd at all")


@pytest.mark.parametrize("command", ["run", "replay"])
@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (other_version, "version 2 was written by a newer program; this one reads up to 1"),
        (not_json, "cannot be read"),
        (no_part, "nothing was recorded"),
        (no_frame, "holds no frames"),
        (damaged, "holds no frames; part-00000.zst is damaged"),
    ],
)
def test_a_tape_that_cannot_be_played(tmp_path: Path, command: str, harm: Callable[[Path], None], told: str) -> None:
    harm(write_tape(tmp_path / "tape", recording(50)))
    option = ["--tape", "tape"] if command == "run" else ["tape"]
    refused = called(command, *option, "--json", cwd=tmp_path)
    assert (refused.code, refused.out) == (2, "")
    assert told in refused.err
    assert refused.err.startswith("bot: ") and refused.err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["tape"], "nothing was started"


@pytest.mark.parametrize(
    ("options", "settings", "told"),
    [
        (["--symbols", "ETH/USDT:USDT"], {}, ["not on the tape: ETH/USDT:USDT; it holds BTC/USDT:USDT"]),
        (["--speed", "0"], {}, ["venue.speed", "greater than 0", "command line"]),
        (["--mode", "live"], {}, ["live trading is not in this version; use mode = paper"]),
        (["--venue", "hyperliquid"], {}, ["venue.name = hyperliquid: not in this version; there is sim, tape"]),
        ([], {"BOT_SYMBOL": SYMBOL}, ["BOT_SYMBOL", "did you mean BOT_SYMBOLS?", "environment"]),
        ([], {"BOT_SYMBOLS": "BTCUSDT"}, ["not a unified symbol such as BTC/USDT:USDT: BTCUSDT"]),
        ([], {"BOT_STRATEGIES": "ofi,trendy"}, ["no such strategy: trendy; there is", "ofi"]),
        ([], {"BOT_GUARDS__RISK_LIMITS__ENABLED": "false"}, ["guards.risk_limits", "cannot be switched off"]),
        ([], {"BOT_API__PORT": "99999"}, ["api.port", "65535", "99999", "BOT_API__PORT"]),
        (["-c", "nowhere.toml"], {}, ["nowhere.toml", "cannot be read"]),
        (
            ["--speed", "-1"],
            {"BOT_STOP__PCT": "tight", "BOT_RISK__COOL": "1"},
            ["3 mistakes", "venue.speed", "stop.pct", "tight", "BOT_RISK__COOL", "did you mean BOT_RISK__COOLDOWN_S?"],
        ),
    ],
)
def test_mistaken_settings_are_all_told_and_start_nothing(
    tmp_path: Path, options: list[str], settings: dict[str, str], told: list[str]
) -> None:
    refused = called("run", "--json", *options, cwd=tmp_path, **settings)
    assert (refused.code, refused.out) == (2, "")
    assert [word for word in told if word not in refused.err] == [], refused.err
    assert "Traceback" not in refused.err
    assert list(tmp_path.iterdir()) == []


def test_a_data_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("mine")
    refused = called("run", "--demo", "--json", cwd=tmp_path)
    assert refused.code == 2
    assert "the data folder data cannot be made" in refused.err and "--data-dir" in refused.err
    assert (tmp_path / "data").read_text() == "mine"


def test_another_accounts_journal_is_refused(tmp_path: Path) -> None:
    tape = write_tape(tmp_path / "tape", recording(100))
    play_tape(tmp_path / "data", tape)
    refused = called("run", "--tape", tape, "--json", cwd=tmp_path, BOT_ACCOUNT="other", BOT_VENUE__SPEED="10000")
    assert refused.code == 1
    assert "holds a paper journal of account main, not a paper one of account other" in refused.err
    assert called("run", "--tape", tape, "--json", cwd=tmp_path, BOT_VENUE__SPEED="10000").code == 0
