"""Guard `probation`: the operator's own list."""

from __future__ import annotations

import pytest

from bot.domain.values import Direction, Outcome
from bot.trading.guards.probation import Probation, ProbationParams
from tests.build import FakeView, context, signal


@pytest.mark.parametrize(
    ("symbols", "outcome"),
    [((), Outcome.PASS), (("ETH/USDT:USDT",), Outcome.PASS), (("ETH/USDT:USDT", "BTC/USDT:USDT"), Outcome.BLOCK)],
)
@pytest.mark.parametrize("direction", list(Direction))
def test_list(symbols: tuple[str, ...], outcome: Outcome, direction: Direction) -> None:
    verdict = Probation(ProbationParams(symbols=symbols), context()).check(signal(direction), FakeView())
    assert verdict.outcome is outcome
    assert verdict.reason == ("BTC/USDT:USDT is on probation" if outcome is Outcome.BLOCK else "")
