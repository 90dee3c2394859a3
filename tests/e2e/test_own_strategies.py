"""A strategy in a file of one's own, from the command line alone: the example trades, a broken one harms nobody."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.e2e.running import ROOT, Json, bot, called, journal_of, recording, write_tape

EXAMPLE = ROOT / "scripts/examples/strategies/fade_ofi.py"

OPTIONS = ("--strategies-dir", "mine")
RAISES = """
from bot.domain.params import Params as Base

class Raises:
    name, version, traded_on, Params = "raises", 1, (), Base

    def __init__(self, settings):
        self.asked = 0

    def on_sample(self, instrument, view):
        self.asked += 1
        return view.nothing["[bold]"]
"""


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """An empty folder of somebody's in the current one."""
    folder = tmp_path / "mine"
    folder.mkdir()
    return folder


def test_the_example_trades_the_bundled_recording(tmp_path: Path, mine: Path) -> None:
    shutil.copy(EXAMPLE, mine)
    asked = (*OPTIONS, "--strategies", "fade_ofi")
    done = bot("replay", "--json", *asked, cwd=tmp_path)
    assert (done.code, done.err) == (0, "")
    replayed = done.json()
    assert replayed["strategies"] == ["fade_ofi"] and replayed["strategy_errors"] == {}
    assert replayed["signals"] > 10


def test_its_signals_are_told_and_are_the_same_again_in_a_run(tmp_path: Path, mine: Path) -> None:
    shutil.copy(EXAMPLE, mine)
    asked = (*OPTIONS, "--strategies", "fade_ofi")
    tape = write_tape(tmp_path / "tape", recording(20_000))
    ran = bot("run", "--json", "--speed", 10_000, "--tape", tape, "--data-dir", "data", *asked, cwd=tmp_path).json()
    signals: list[Json] = called("signals", "--json", "--data-dir", "data", cwd=tmp_path).json()
    assert len(signals) == ran["signals"] > 0
    assert {signal["strategy"] for signal in signals} == {"fade_ofi"}
    assert all(0.5 <= signal["strength"] <= 1 for signal in signals)
    replayed = called("replay", tape, "--json", *asked, cwd=tmp_path).json()
    assert replayed["digest"] == ran["digest"]

    (mine / "fade_ofi.py").write_text(EXAMPLE.read_text() + "\n# another rule, for all anybody knows\n")
    assert called("replay", tape, "--json", *asked, cwd=tmp_path).json()["config_hash"] != ran["config_hash"]


def test_a_strategy_that_raises_is_switched_off_and_the_others_go_on(tmp_path: Path, mine: Path) -> None:
    (mine / "raises.py").write_text(RAISES)
    tape = write_tape(tmp_path / "tape", recording(20_000))
    asked = (*OPTIONS, "--strategies", "raises,ofi")
    ran = bot("run", "--json", "--speed", 10_000, "--tape", tape, "--data-dir", "data", *asked, cwd=tmp_path)
    assert (ran.code, ran.err) == (0, "")
    error = f"AttributeError: 'LiveView' object has no attribute 'nothing' (line {len(RAISES.splitlines())})"
    expected = {"raises": {"errors": 10, "error": error, "off": True}}
    assert ran.json()["strategy_errors"] == expected
    events = journal_of(tmp_path / "data")
    told = [(event["kind"], event["data"]["errors"]) for event in events if event["kind"].startswith("STRATEGY_")]
    assert told == [("STRATEGY_ERROR", 1), ("STRATEGY_OFF", 10)]
    assert {event["data"]["strategy"] for event in events if event["kind"] == "SIGNAL"} == {"ofi"}

    def reader(*question: str) -> str:
        return called(*question, "--data-dir", "data", cwd=tmp_path).out

    assert called("status", "--json", "--data-dir", "data", cwd=tmp_path).json()["strategy_errors"] == expected
    assert f"strategy raises is OFF after 10 error(s): {error}" in reader("status")
    replayed = called("replay", tape, "--json", *asked, cwd=tmp_path).json()
    assert replayed["digest"] == ran.json()["digest"], "errors are the same again too"


def test_a_broken_file_stops_what_would_ask_it_and_nothing_else(tmp_path: Path, mine: Path) -> None:
    (mine / "broken.py").write_text("def\n")
    (tmp_path / ".env").write_text("BOT_STRATEGIES_DIR=mine\nBOT_STRATEGIES=broken\nBOT_STRATEGY__BROKEN__X=1\n")
    tape = write_tape(tmp_path / "tape", recording(500))
    for command in (
        ("run", "--plain"),
        ("replay", tape),
        ("config", "check"),
        ("config", "show"),
        ("config", "schema"),
    ):
        refused = called(*command, cwd=tmp_path)
        assert (refused.code, refused.out) == (2, ""), command
        assert "mine/broken.py: line 1: invalid syntax" in refused.err
    assert not (tmp_path / "data").exists()
    for reader in ("status", "signals", "pause"):
        assert "mine/broken.py" not in called(reader, cwd=tmp_path).err
    assert "nothing has run in data yet" in called("status", cwd=tmp_path).err


def test_config_shows_checks_and_describes_them(tmp_path: Path, mine: Path) -> None:
    shutil.copy(EXAMPLE, mine)
    shown = called("config", "show", "--json", *OPTIONS, cwd=tmp_path, BOT_STRATEGY__FADE_OFI__BURST_DEPTHS="30").json()
    rows = {row["name"]: row for row in shown}
    assert rows["strategy.fade_ofi.burst_depths"]["value"] == "30.0"
    assert rows["strategy.trend.lookback"]["value"] == "36"
    assert "dry_fraction" in called("config", "schema", *OPTIONS, cwd=tmp_path).out
    assert (
        called("config", "check", *OPTIONS, cwd=tmp_path, BOT_STRATEGIES="fade_ofi,trend").out == "settings are fine\n"
    )


def test_both_built_in_strategies_run_together(tmp_path: Path) -> None:
    tape = write_tape(tmp_path / "tape", recording(2000))
    summary = called("replay", tape, "--json", cwd=tmp_path, BOT_STRATEGIES="ofi,trend").json()
    assert (summary["strategies"], summary["strategy_errors"]) == (["ofi", "trend"], {})
