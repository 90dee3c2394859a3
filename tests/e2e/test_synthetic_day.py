"""Four hours of the synthetic day at product defaults, through the whole engine: what product-sized positions go through."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise

import pytest

from bot.sim.presets import preset
from bot.sim.synthetic import write_tape
from tests.e2e.running import Json, Played, play_tape

REASONS = {"reversal", "stop", "take_profit", "time_stop", "trailing"}


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Played:
    work = tmp_path_factory.mktemp("synthetic")
    write_tape(preset("day", seed=7, hours=4), work / "tape")
    return play_tape(work / "data", work / "tape", strategies=("ofi",))


def of(day: Played, kind: str) -> dict[str, list[Json]]:
    """Events of a kind by position, in order."""
    found: dict[str, list[Json]] = {}
    for event in day.events:
        if event["kind"] == kind:
            found.setdefault(event["data"]["position_id"], []).append(event)
    return found


def test_every_frame_is_understood(day: Played) -> None:
    assert day.outcome.summary["bad_frames"] == 0
    assert day.outcome.summary["tape_problems"] == []


def test_positions_open_and_each_that_ends_has_a_reason(day: Played) -> None:
    opened, closed = of(day, "POSITION_OPENED"), of(day, "POSITION_CLOSED")
    assert len(opened) >= 3
    assert len(opened) - len(closed) <= 1
    assert {event["data"]["reason"] for events in closed.values() for event in events} <= REASONS


def test_the_last_target_moves_before_walls_and_comes_back_without_flicker(day: Played) -> None:
    moves = of(day, "TP_ADJUSTED")
    data = [event["data"] for events in moves.values() for event in events]
    assert {move["tier"] for move in data} == {4}
    assert any(move["wall_price"] is not None for move in data), "none moved in front of a wall"
    assert any(move["wall_price"] is None for move in data), "none came back when the wall was pulled"
    for events in moves.values():
        assert all(later["ts"] - sooner["ts"] >= 30 * 10**9 for sooner, later in pairwise(events))
    for move in data:
        if move["wall_price"] is not None:
            assert Decimal(move["wall_usd"]) > 25_000_000
            assert abs(1 - Decimal(move["new_price"]) / Decimal(move["wall_price"])) == pytest.approx(
                Decimal("0.001"), abs=Decimal("0.00001")
            )


def test_guards_judge_and_some_refuse(day: Played) -> None:
    outcomes: dict[str, set[str]] = {}
    for decision in day.of("DECISION"):
        for verdict in decision["verdicts"]:
            outcomes.setdefault(verdict["guard"], set()).add(verdict["outcome"])
    for guard in ("taker_aggression", "wall_resistance", "liquidation_wall", "long_trap", "whale_conflict"):
        assert "PASS" in outcomes[guard], guard
    assert "BLOCK" in outcomes["taker_aggression"]
