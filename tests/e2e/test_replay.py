"""Same tape and settings, same decisions: whatever the hash seed, at any speed, with or without a wall clock."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from bot.app.replaying import replay
from bot.app.settings import Settings, load_settings
from bot.demo import DEMO_SETTINGS
from bot.domain.events import canonical
from bot.journal.writer import MemoryJournal
from tests.e2e.conftest import DemoRun
from tests.e2e.running import Json, bot, play, scripted, settings_for, write_tape

SESSION = ("ENGINE_STARTED", "ENGINE_STOPPED")


def lines(events: list[Json]) -> list[bytes]:
    """Each event as the bytes that must be the same."""
    return [canonical(event) for event in events if event["kind"] not in SESSION]


def test_runs_at_any_speed_and_replays_with_any_hash_seed_print_one_digest(
    paced: DemoRun, hurried: DemoRun, replays: list[Json]
) -> None:
    summaries = [paced.summary, hurried.summary, *replays]
    digests = [summary["digest"] for summary in summaries]
    assert len(digests) == 4
    assert len(set(digests)) == 1
    for name in ("frames", "events", "equity_usd", "realised_pnl_usd", "fees_usd", "blockers", "config_hash"):
        assert len({str(summary[name]) for summary in summaries}) == 1, name


def test_the_events_of_two_runs_are_the_same_byte_for_byte(paced: DemoRun, hurried: DemoRun) -> None:
    assert len(lines(paced.events)) > 200
    assert lines(paced.events) == lines(hurried.events)


def test_a_replay_decides_what_the_run_decided_byte_for_byte(
    paced: DemoRun, replays: list[Json], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    kept = MemoryJournal()
    monkeypatch.setattr("bot.app.replaying.MemoryJournal", lambda **_: kept)
    outcome = replay(load_settings(files=[DEMO_SETTINGS], env={}))
    assert lines([event.to_dict() for event in kept.events]) == lines(paced.events)
    assert outcome.summary == replays[0]
    assert list(tmp_path.iterdir()) == [], "a replay keeps nothing"


def test_what_a_replay_prints_for_people(tmp_path: Path) -> None:
    tape = write_tape(tmp_path / "tape", scripted())
    told = bot("replay", tape, cwd=tmp_path, BOT_STRATEGIES="", BOT_RISK__COOLDOWN_S="0")
    assert (told.code, told.err) == (0, "")
    assert "tape: 8.8 s of market" in told.out and "3 signals, 2 allowed, 1 refused (long_trap 1)" in told.out
    assert [path.name for path in tmp_path.iterdir()] == ["tape"]


def scripted_digest(folder: Path, **settings: object) -> str:
    tape = folder / "tape"
    if not tape.exists():
        write_tape(tape, scripted())
    digest: str = replay(settings_for(folder / "none", tape, **settings)).summary["digest"]
    return digest


def test_operator_requests_and_readings_on_a_tape_are_replayed_too(tmp_path: Path) -> None:
    played = play(tmp_path, scripted(), risk={"cooldown_s": 0})
    assert len(played.of("POSITION_OPENED")) == 2
    assert scripted_digest(tmp_path, risk={"cooldown_s": 0}) == played.outcome.summary["digest"]


@pytest.mark.parametrize(
    "settings",
    [
        {"risk": {"cooldown_s": 0, "base_risk_pct": Decimal("0.2")}},
        {"risk": {"cooldown_s": 0}, "paper": {"latency_ms": 151}},
        {"risk": {"cooldown_s": 0}, "guards": {"long_trap": {"ratio": Decimal("3")}}},
        {"risk": {"cooldown_s": 0}, "fees": {"taker_pct": Decimal("0.04")}},
    ],
    ids=["size", "latency", "guard", "fee"],
)
def test_other_rules_have_another_digest(tmp_path: Path, settings: Json) -> None:
    """So that equal digests say something."""
    assert scripted_digest(tmp_path, **settings) != scripted_digest(tmp_path, risk={"cooldown_s": 0})


def test_what_is_no_rule_changes_neither_digest_nor_configuration(tmp_path: Path) -> None:
    write_tape(tmp_path / "tape", scripted())
    settings = settings_for(tmp_path / "none", tmp_path / "tape")
    elsewhere = Settings.model_validate(
        settings.model_dump() | {"data_dir": tmp_path / "other", "venue": {"tape": tmp_path / "tape", "speed": 3}}
    )
    one, other = replay(settings).summary, replay(elsewhere).summary
    assert (one["digest"], one["config_hash"]) == (other["digest"], other["config_hash"])
