"""`guards` and `report` on real runs: the running engine and the journal it leaves say the same, and it is what was traded."""

from __future__ import annotations

import csv
import json
import os
import pty
import subprocess
import sys
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from bot.journal.writer import Journal
from tests.e2e.conftest import DemoRun
from tests.e2e.running import Engine, Json, called, environment, parked, recording, scripted, until, write_tape
from tests.learning.accounts import Account, busy

SETTINGS = {"BOT_STRATEGIES": "", "BOT_RISK__COOLDOWN_S": "0"}
QUESTIONS = (("guards",), ("guards", "--by", "strategy", "--by", "symbol"), ("guards", "--window", "4h"), ("report",))
MOMENT = {"age_s", "as_of_seq", "now_ns"}  # of asking


class Both(NamedTuple):
    running: list[Any]
    stopped: list[Any]
    api: Json
    data_dir: Path


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Both:
    folder = tmp_path_factory.mktemp("ledger")
    tape = write_tape(folder / "tape", [*scripted(), parked()])
    with Engine(folder / "data", "--tape", tape, "--speed", 10_000, **SETTINGS) as engine:
        last_ns = recording(2000)[-1].recv_ns
        until(lambda: engine.get("/api/status")["engine_time_ns"] == last_ns, "the last frame")
        api = engine.get("/api/guards")
        running = [asked(engine.data_dir, *question) for question in QUESTIONS]
        engine.interrupt()
        return Both(running, [asked(engine.data_dir, *question) for question in QUESTIONS], api, engine.data_dir)


def asked(data_dir: Path, *question: str) -> Any:
    result = called(*question, "--json", "--data-dir", data_dir, cwd=data_dir.parent)
    assert (result.code, result.err) == (0, ""), result
    return json.loads(result.out)


def timeless(told: Json) -> Json:
    kept = {name: value for name, value in told.items() if name not in MOMENT}
    return kept | ({"ledger": timeless(kept["ledger"])} if "ledger" in kept else {})


def test_the_running_engine_and_its_journal_say_the_same(both: Both) -> None:
    assert list(map(timeless, both.running)) == list(map(timeless, both.stopped))
    assert timeless(both.api) == timeless(both.running[0])


def test_the_table_tells_of_the_signal_that_the_crowd_forbade(both: Both) -> None:
    guards = {(row["guard"], row["direction"]): row for row in both.running[0]["guards"]}
    assert (guards["long_trap", "long"]["signals"], guards["long_trap", "long"]["blocks"]) == (2, 1)
    assert (guards["long_trap", "short"]["signals"], guards["long_trap", "short"]["blocks"]) == (1, 0)
    apart = {(row["strategy"], row["symbol"]) for row in both.running[1]["guards"]}
    assert apart == {("outside", "BTC/USDT:USDT")}


@pytest.mark.parametrize("option", [("--by", "weekday"), ("--window", "soon")])
def test_what_cannot_be_asked_is_refused_with_what_can(both: Both, option: tuple[str, str]) -> None:
    result = called("guards", *option, "--data-dir", both.data_dir, cwd=both.data_dir.parent)
    assert result.code == 2 and ("strategy, symbol" in result.err or "7d" in result.err)


def test_the_report_of_a_run_adds_up(hurried: DemoRun) -> None:
    told = asked(hurried.data_dir, "report")
    closed = [event["data"] for event in hurried.of("POSITION_CLOSED")]
    assert len(told["trades"]) == len(closed) == hurried.summary["this_session"]["closed"] > 0
    assert Decimal(told["pnl_usd"]) == Decimal(hurried.summary["this_session"]["realised_pnl_usd"])
    assert told["open_positions"] == hurried.summary["open"]
    assert told["ledger"] == {k: v for k, v in asked(hurried.data_dir, "guards").items() if k != "age_s"}
    strategies = Counter(trade["strategy"] for trade in told["trades"])
    assert strategies == {"ofi": len(closed)}


def test_files_of_a_run(hurried: DemoRun, tmp_path: Path) -> None:
    made = called(
        "report",
        "--html",
        tmp_path / "page.html",
        "--csv",
        tmp_path / "csv",
        "--data-dir",
        hurried.data_dir,
        cwd=tmp_path,
    )
    assert made.code == 0 and made.err == ""
    assert "page.html" in made.out and "fills.csv: 23 rows" in made.out
    with (tmp_path / "csv" / "fills.csv").open(newline="") as file:
        fills = list(csv.DictReader(file))
    told = [event["data"] for event in hurried.of("FILL")]
    assert [(row["trade_id"], row["fee"], row["leg"]) for row in fills] == [
        (data["trade_id"], data["fee"], data["leg"]) for data in told
    ]
    assert hurried.summary["config_hash"] in (tmp_path / "page.html").read_text()
    assert (
        called("report", "--html", tmp_path / "none" / "page.html", "--data-dir", hurried.data_dir, cwd=tmp_path).code
        == 2
    )


def test_both_are_readable_on_a_terminal(hurried: DemoRun, tmp_path: Path) -> None:
    report = called("report", "--data-dir", hurried.data_dir, cwd=tmp_path).out
    assert f"{float(hurried.summary['this_session']['realised_pnl_usd']):+,.2f}" in report and "2024-08" in report
    guards = called("guards", "--data-dir", hurried.data_dir, cwd=tmp_path).out
    assert "wall_resistance" in guards and "not enough evidence" in guards


def written(data_dir: Path, account: Account) -> Path:
    journal = Journal.open(data_dir, account="main", mode="paper", bound=len(account.events))
    journal.put(account.events)
    journal.close(60)
    return data_dir


def test_a_journal_of_a_start_only_says_what_to_do(tmp_path: Path) -> None:
    data_dir = written(tmp_path / "data", Account())
    assert "python -m bot signals" in called("guards", "--data-dir", data_dir, cwd=tmp_path).out
    assert "python -m bot why" in called("report", "--data-dir", data_dir, cwd=tmp_path).out


def test_evidence_is_told_with_its_interval(tmp_path: Path) -> None:
    data_dir = written(tmp_path / "data", busy(900))
    (row, *_) = asked(data_dir, "guards")["guards"]
    value = row["value"]
    line = f"{value['mean_r']:+.2f} [{value['lo_r']:+.2f}, {value['hi_r']:+.2f}]"
    assert line in called("guards", "--data-dir", data_dir, cwd=tmp_path).out


def test_a_long_journal_shows_progress_on_a_terminal_and_nowhere_else(tmp_path: Path) -> None:
    data_dir = written(tmp_path / "data", busy(1500))
    command = (sys.executable, "-m", "bot", "guards", "--json", "--data-dir", str(data_dir))
    terminal, screen = pty.openpty()
    process = subprocess.run(
        command,
        cwd=tmp_path,
        env=environment(TERM="xterm"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=screen,
        check=True,
    )
    os.close(screen)
    shown = os.read(terminal, 65536).decode()
    os.close(terminal)
    assert json.loads(process.stdout)["guards"] and "reading the journal" in shown
    assert called("guards", "--data-dir", data_dir, cwd=tmp_path).err == ""
