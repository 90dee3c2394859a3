"""The command line: the same answers from the running engine and from the journal it leaves, acting, help and exit codes.

The first engine stands still before the last frame of a scripted tape, so that every answer about it can be compared; the second
plays the bundled recording.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer

from bot.cli.app import app
from tests.e2e.running import (
    PATIENCE_S,
    SYMBOL,
    Engine,
    Json,
    Result,
    bot,
    called,
    launch,
    parked,
    recording,
    scripted,
    until,
    write_tape,
)

READERS = (("status",), ("positions",), ("orders",), ("orders", "--all"), ("signals",), ("why",), ("events",))
SETTINGS = {"BOT_STRATEGIES": "", "BOT_RISK__COOLDOWN_S": "0"}


class Answers(NamedTuple):
    """What each reading command printed, as text and as JSON, and the stories of all signals by id."""

    text: dict[tuple[str, ...], str]
    json: dict[tuple[str, ...], str]
    why: dict[str, Json]


def ask(data_dir: Path) -> Answers:
    def asked(*question: str) -> str:
        result = called(*question, "--data-dir", data_dir, cwd=data_dir.parent)
        assert (result.code, result.err) == (0, ""), (question, result.err)
        return result.out

    ids = [row["signal_id"] for row in json.loads(asked("signals", "--json"))]
    questions = [*READERS, *(("why", signal_id) for signal_id in ids)]
    text = {question: asked(*question) for question in questions}
    raw = {question: asked(*question, "--json") for question in questions}
    return Answers(text, raw, {signal_id: json.loads(raw["why", signal_id]) for signal_id in ids})


class Both(NamedTuple):
    readings: tuple[Result, list[Json]]  # as printed, and as the API gave them
    running: Answers
    api: dict[str, Any]
    ended: Result
    stopped: Answers
    data_dir: Path


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Both:
    folder = tmp_path_factory.mktemp("cli")
    tape = write_tape(folder / "tape", [*scripted(), parked()])
    with Engine(folder / "data", "--tape", tape, "--speed", 10_000, **SETTINGS) as engine:
        last_ns = recording(2000)[-1].recv_ns
        until(lambda: engine.get("/api/status")["engine_time_ns"] == last_ns, "the last frame")
        api = {name: engine.get(f"/api/{name}") for name in ("status", "positions", "orders", "signals", "events")}
        readings = called("readings", SYMBOL, "--data-dir", engine.data_dir, cwd=folder), engine.get("/api/readings")
        running = ask(engine.data_dir)
        ended = engine.interrupt()
        return Both(readings, running, api, ended, ask(engine.data_dir), engine.data_dir)


# --- reading -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["status", "positions", "orders", "signals"])
def test_a_command_says_what_the_api_says(both: Both, name: str) -> None:
    assert json.loads(both.running.json[name,]) == both.api[name]


def test_readings_show_value_state_source_and_age_of_each_and_need_an_engine(both: Both) -> None:
    printed, rows = both.readings
    lines = printed.out.splitlines()[1:]
    assert [line.split()[1] for line in lines] == [row["name"] for row in rows]
    for line, row in zip(lines, rows, strict=True):
        assert row["state"] in line and f"{row['max_age_s']:.0f} s" in line
    ended = called("readings", "--data-dir", both.data_dir, cwd=both.data_dir.parent)
    assert (ended.code, "only a running one has readings" in ended.err) == (2, True)


def test_a_process_of_its_own_prints_the_same(both: Both) -> None:
    for form, answers in (((), both.stopped.text), (("--json",), both.stopped.json)):
        printed = bot("signals", *form, "--data-dir", both.data_dir, cwd=both.data_dir.parent)
        assert printed == Result(0, answers["signals",], "")


def test_events_are_one_object_a_line_and_all_of_them(both: Both) -> None:
    lines = [json.loads(line) for line in both.running.json["events",].splitlines()]
    assert lines == both.api["events"]
    after = [json.loads(line) for line in both.stopped.json["events",].splitlines()]
    assert after[: len(lines)] == lines
    assert [event["kind"] for event in after[len(lines) :]] == ["STATE", "ENGINE_STOPPED"]
    assert both.running.text["events",].count("\n") == len(lines)


@pytest.mark.parametrize("question", [("signals",), ("why",), ("orders",), ("orders", "--all")])
def test_the_journal_says_what_the_engine_said(both: Both, question: tuple[str, ...]) -> None:
    assert json.loads(both.stopped.json[question]) == json.loads(both.running.json[question])
    assert both.stopped.text[question] == both.running.text[question]


def test_every_story_is_the_same_from_the_engine_and_from_the_journal(both: Both) -> None:
    assert len(both.running.why) == 3
    assert both.stopped.why == both.running.why
    outcomes = {story["signal"]["external_id"]: story["signal"]["outcome"] for story in both.running.why.values()}
    assert outcomes == {"crowded": "blocked", "closed": "allowed", "trend": "allowed"}


def test_the_journal_knows_of_positions_all_but_what_only_an_engine_knows(both: Both) -> None:
    [live], [kept] = (json.loads(answers.json["positions",]) for answers in (both.running, both.stopped))
    only_live = {"mark", "profit_usd", "profit_r", "age_s", "hold_left_s"}
    assert live.keys() - kept.keys() == only_live
    assert {key: value for key, value in live.items() if key not in only_live} == kept


def test_status_tells_whether_an_engine_runs(both: Both) -> None:
    running, stopped = (json.loads(answers.json["status",]) for answers in (both.running, both.stopped))
    assert (running["running"], running["state"]) == (True, "ACTIVE")
    assert (stopped["running"], stopped["state"], stopped["state_reason"]) == (False, "STOPPED", "interrupted")
    same = ("session", "signals", "allowed", "blocked", "blockers", "orders", "fills", "opened", "closed", "fees_usd")
    assert {key: running[key] for key in same} == {key: stopped[key] for key in same}
    assert both.ended.code == 130


@pytest.mark.parametrize(
    ("question", "words"),
    [
        (
            ("status",),
            ["running, session 1, state ACTIVE", SYMBOL, "(mid)", "equity 99", "3 signals, 2 allowed, 1 refused"],
        ),
        (("positions",), [f"long {SYMBOL}", "stop 6", "T4 ", "force-hold ", "USD", " R)"]),
        (("orders",), ["stop", "tier_4", "WORKING"]),
        (("orders", "--all"), ["close", "market", "CANCELED", "FILLED"]),
        (("signals",), ["refused by long_trap", "operator -", "open"]),
        (
            ("why",),
            ["TRUE TREND", "MAX-PAIN gap", "MAGNET-WITH", "force-hold 4500 s", "allowed with", "order entry: buy"],
        ),
        (("events",), ["POSITION_OPENED", "DECISION", "allowed=True"]),
    ],
)
def test_the_tables_show_what_a_person_asks_for(both: Both, question: tuple[str, ...], words: list[str]) -> None:
    shown = both.running.text[question]
    assert [word for word in words if word not in shown] == [], shown
    assert "None" not in shown or question == ("events",), shown


def test_why_shows_every_verdict_with_number_threshold_source_and_age(both: Both) -> None:
    [crowded] = [i for i, story in both.running.why.items() if story["signal"]["external_id"] == "crowded"]
    shown = both.running.text["why", crowded]
    [line] = [line for line in shown.splitlines() if line.startswith("long_trap")]
    assert line.split() == ["long_trap", "BLOCK", "2.5000", "2.0", "venue", "0.50", "s"]
    for verdict in both.running.why[crowded]["verdicts"]:
        assert re.search(rf"^{verdict['guard']} +{verdict['outcome']} ", shown, re.MULTILINE)
    assert "refused by long_trap" in shown


# --- acting --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with Engine(tmp_path_factory.mktemp("acting") / "data", "--speed", 2, **SETTINGS) as running:
        until(lambda: running.get("/api/status")["state"] == "ACTIVE", "a usable book")
        yield running


def act(engine: Engine, *command: str) -> Result:
    return called(*command, "--data-dir", engine.data_dir, cwd=engine.data_dir.parent)


def test_why_before_the_first_signal_says_that_there_is_none(engine: Engine) -> None:
    assert engine.get("/api/signals") == []
    told = act(engine, "why")
    assert (told.code, told.err) == (0, "")
    assert "no signal" in told.out


def test_signal_pause_resume_and_close_from_the_command_line(engine: Engine) -> None:
    long = act(engine, "signal", SYMBOL, "long", "--json").json()
    assert {verdict["guard"] for verdict in act(engine, "why", "--json").json()["verdicts"]} >= {
        "risk_limits",
        "long_trap",
    }
    assert long["direction"] == "long"
    until(lambda: not long["allowed"] or engine.get("/api/positions"), "the position")

    assert act(engine, "pause").out.startswith("paused")
    refused = act(engine, "signal", SYMBOL, "long")
    assert re.fullmatch(r"refused by risk_limits; python -m bot why \w{26}\n", refused.out)
    told = act(engine, "why", refused.out.split()[-1]).out
    assert "state is REDUCING: paused by operator" in told
    assert act(engine, "resume").out == "resumed\n"
    until(lambda: engine.get("/api/status")["state"] == "ACTIVE", "the end of the pause")

    if not long["allowed"]:  # whichever way the market leans at that moment
        assert act(engine, "signal", SYMBOL, "short").out.startswith("allowed")
        until(lambda: engine.get("/api/positions"), "the position")
    closing = act(engine, "close", SYMBOL)
    assert re.fullmatch(r"closing position \w{26} at market\n", closing.out)
    [closed] = engine.wait_for("POSITION_CLOSED")
    assert closed["data"]["reason"] == "operator"
    nothing = act(engine, "close", SYMBOL)
    assert (nothing.code, nothing.err) == (2, f"bot: no open position in {SYMBOL}\n")


def test_an_unknown_symbol_is_told_with_what_there_is(engine: Engine) -> None:
    refused = act(engine, "signal", "ETH/USDT:USDT", "long")
    assert refused.code == 2
    assert refused.err == f"bot: no symbol 'ETH/USDT:USDT' here; there is {SYMBOL}\n"


def test_a_token_of_ones_own_is_the_one_that_counts(tmp_path: Path) -> None:
    tape = write_tape(tmp_path / "tape", [*recording(300), parked()])
    options = ("--tape", tape, "--speed", 10_000)
    with Engine(tmp_path / "data", *options, BOT_API__TOKEN="open-sesame"):
        refused = called("pause", "--data-dir", "data", cwd=tmp_path)
        assert (refused.code, "Bearer TOKEN" in refused.err) == (2, True)
        assert called("pause", "--data-dir", "data", cwd=tmp_path, BOT_API__TOKEN="open-sesame").code == 0


# --- help and exit codes ---------------------------------------------------------------------------------------------


def commands(group: Any, path: str = "python -m bot") -> Iterator[tuple[str, Any]]:
    if not hasattr(group, "commands"):
        yield path, group
        return
    for name, command in group.commands.items():
        yield from commands(command, f"{path} {name}")


ALL = dict(commands(typer.main.get_command(app)))


@pytest.mark.parametrize("path", ALL)
def test_every_command_has_an_example_that_is_a_call_of_it(path: str) -> None:
    example = re.search(r"Example: (python -m bot [^\n]+)", ALL[path].help or "")
    assert example is not None
    assert example[1].startswith(path)


def test_every_reading_command_has_json(both: Both) -> None:
    for name in (
        "status",
        "readings",
        "positions",
        "orders",
        "signals",
        "why",
        "events",
        "version",
        "config show",
        "config check",
    ):
        options = {option for parameter in ALL[f"python -m bot {name}"].params for option in parameter.opts}
        assert "--json" in options, name


@pytest.mark.parametrize(
    ("command", "code", "told"),
    [
        (("status",), 2, "nothing has run in data yet; start with `python -m bot run`"),
        (("events",), 2, "nothing has run"),
        (("pause",), 2, "no engine runs in data; start one with `python -m bot run`"),
        (("signal", SYMBOL, "long"), 2, "no engine runs"),
        (("signal", SYMBOL, "up"), 2, "'up'"),
        (("signal", SYMBOL, "long", "--strength", "2"), 2, "--strength"),
        (("signals", "-n", "0"), 2, "--limit"),
        (("dance",), 2, "dance"),
        (("run", "--tape", "nowhere"), 2, "nowhere is not a folder; a tape is one"),
        (("replay", "nowhere"), 2, "nowhere is not a folder; a tape is one"),
        (("record", "import", "nowhere", "tape"), 2, "nowhere"),
    ],
)
def test_a_command_that_cannot_be_done_says_why_on_stderr(
    tmp_path: Path, command: tuple[str, ...], code: int, told: str
) -> None:
    result = called(*command, cwd=tmp_path)
    assert (result.code, result.out) == (code, "")
    assert told in result.err
    assert "Traceback" not in result.err
    assert list(tmp_path.iterdir()) == [], "and leaves nothing"


def test_a_reader_that_has_seen_enough_ends_a_command_quietly(both: Both) -> None:
    process = launch("events", "--json", "--data-dir", both.data_dir, cwd=both.data_dir.parent)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait(PATIENCE_S) in (0, 1)


def test_a_settings_file_is_found_in_the_folder_and_named_on_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "bot.toml").write_text('symbols = ["BTC/USDT:USDT"]\n[risk]\ncooldown_s = 7\n')
    (tmp_path / "other.toml").write_text("[risk]\ncooldown_s = 8\n")

    def cooldown(*options: str) -> list[str]:
        rows = called("config", "show", "--json", *options, cwd=tmp_path).json()
        return next([row["value"], row["source"]] for row in rows if row["name"] == "risk.cooldown_s")

    assert cooldown() == ["7", "bot.toml"]
    assert cooldown("-c", "other.toml") == ["8", "other.toml"]
    assert cooldown("--demo")[0] == "20"
