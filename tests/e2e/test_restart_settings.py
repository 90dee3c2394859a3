"""An account that goes on under other settings, or is replaced by a new one: what holds, what is kept, what is refused."""

from __future__ import annotations

from pathlib import Path

from bot.app.run import run
from bot.domain.messages import BlockRequest
from tests.e2e.running import (
    BTC,
    SYMBOL,
    Engine,
    Json,
    parked,
    play_tape,
    recording,
    said,
    settings_for,
    write_tape,
)

LATER = recording(3000)[2000:]  # a market that begins after the first tape's


def states(events: list[Json]) -> list[Json]:
    return [event["data"] for event in events if event["kind"] == "STATE"]


def test_another_equity_in_the_settings_is_for_a_new_account(tmp_path: Path) -> None:
    """It is no loss of the account that goes on."""
    first = play_tape(tmp_path / "data", write_tape(tmp_path / "one", recording(2000)))
    later = write_tape(tmp_path / "two", LATER)
    second = play_tape(tmp_path / "data", later, paper={"equity_usd": "50"})
    assert second.of("ENGINE_STARTED")[-1]["start"] == "carry"
    assert second.outcome.summary["equity_usd"] == first.outcome.summary["equity_usd"] == "10000"
    assert not any("daily_loss" in state["causes"] for state in states(second.events))
    outcome = run(
        settings_for(tmp_path / "data", later, paper={"equity_usd": "50"}),
        notices=[],
        screen=False,
        quiet=True,
        fresh=True,
    )
    assert outcome.summary["equity_usd"] == "50"


def test_what_an_operator_ordered_lasts_over_a_new_account_and_its_own_restart(tmp_path: Path) -> None:
    frames = [*recording(300), said(0.5, BlockRequest(instrument=BTC, blocked=True, reason="operator"))]
    play_tape(tmp_path / "data", write_tape(tmp_path / "one", frames))
    played_anew = play_tape(tmp_path / "data", write_tape(tmp_path / "two", recording(300)))
    assert played_anew.of("ENGINE_STARTED")[-1]["start"] == "fresh"
    with Engine(tmp_path / "data", "--tape", write_tape(tmp_path / "three", [*LATER, parked()])) as engine:
        assert engine.wait_for("ENGINE_STARTED", 3)[-1]["data"]["start"] == "carry"
        assert engine.get("/api/status")["blocked_symbols"][SYMBOL]["reason"] == "operator"
