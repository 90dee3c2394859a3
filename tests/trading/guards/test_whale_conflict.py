"""Guard `whale_conflict`: against the signal with intensity 30 or more."""

from __future__ import annotations

import pytest

from bot.domain.reading import WhaleCvd
from bot.domain.values import Direction, Outcome, Verdict
from bot.trading.guards.whale_conflict import WhaleConflict, WhaleConflictParams
from tests.build import FakeView, context, reading, signal

LONG, SHORT = Direction.LONG, Direction.SHORT
BLOCK, PASS = Outcome.BLOCK, Outcome.PASS


def check(direction: Direction, whales: Direction | None, cvd: float, **settings: object) -> Verdict:
    guard = WhaleConflict(WhaleConflictParams.model_validate(settings), context())
    return guard.check(signal(direction), FakeView(reading("whale_cvd", WhaleCvd(direction=whales, intensity=cvd))))


@pytest.mark.parametrize(
    ("direction", "whales", "intensity", "outcome"),
    [
        (LONG, SHORT, 30.0, BLOCK),
        (LONG, SHORT, 29.99, PASS),
        (LONG, SHORT, 100.0, BLOCK),
        (LONG, LONG, 100.0, PASS),
        (LONG, None, 0.0, PASS),
        (SHORT, LONG, 30.0, BLOCK),
        (SHORT, LONG, 29.99, PASS),
        (SHORT, SHORT, 100.0, PASS),
    ],
)
def test_table(direction: Direction, whales: Direction | None, intensity: float, outcome: Outcome) -> None:
    verdict = check(direction, whales, intensity)
    assert (verdict.outcome, verdict.threshold) == (outcome, "30.0")
    assert float(verdict.value or "nan") == intensity


def test_another_intensity() -> None:
    assert check(LONG, SHORT, 49.9, intensity=50).outcome is PASS
    assert check(LONG, SHORT, 50.0, intensity=50).outcome is BLOCK
