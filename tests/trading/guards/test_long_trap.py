"""Guard `long_trap`: above 2.0, and at its own 95th percentile where that is known."""

from __future__ import annotations

from decimal import Decimal

import pytest
from pydantic import ValidationError

from bot.domain.reading import LongShort
from bot.domain.values import Direction, Outcome, Verdict
from bot.trading.guards.long_trap import LongTrap, LongTrapParams
from tests.build import FakeView, context, reading, signal

BLOCK, PASS = Outcome.BLOCK, Outcome.PASS


def check(ratio: str, p95: str | None, direction: Direction = Direction.LONG, **settings: object) -> Verdict:
    guard = LongTrap(LongTrapParams.model_validate(settings), context())
    payload = LongShort(ratio=Decimal(ratio), percentile_95=None if p95 is None else Decimal(p95))
    return guard.check(signal(direction), FakeView(reading("long_short", payload)))


@pytest.mark.parametrize(
    ("ratio", "p95", "percentile", "outcome", "threshold"),
    [
        ("2.0", None, 95, PASS, "2.0"),
        ("2.0001", None, 95, BLOCK, "2.0"),
        ("2.0", "2.0", 95, PASS, "2.0"),  # at its percentile, but not above 2.0
        ("2.0001", "2.0", 95, BLOCK, "2.0"),
        ("1.9", "1.5", 95, PASS, "2.0"),
        ("2.4999", "2.5", 95, PASS, "2.5"),
        ("2.5", "2.5", 95, BLOCK, "2.5"),
        ("2.0001", "2.5", 0, BLOCK, "2.0"),
        ("2.0", "2.5", 0, PASS, "2.0"),
    ],
)
def test_long(ratio: str, p95: str | None, percentile: int, outcome: Outcome, threshold: str) -> None:
    verdict = check(ratio, p95, percentile=percentile)
    assert (verdict.outcome, verdict.threshold) == (outcome, threshold)
    assert Decimal(verdict.value or "") == Decimal(ratio)


@pytest.mark.parametrize(("ratio", "outcome"), [("0.5", PASS), ("0.4999", BLOCK), ("2.5", PASS)])
def test_short_mirrored(ratio: str, outcome: Outcome) -> None:
    verdict = check(ratio, "2.0", Direction.SHORT, mirror_short=True)
    assert (verdict.outcome, verdict.threshold) == (outcome, "0.5000")


def test_settings() -> None:
    assert LongTrapParams.model_validate({"percentile": "0", "ratio": "3"}).percentile == 0
    with pytest.raises(ValidationError, match="must be 95, or 0"):
        LongTrapParams(percentile=90)
