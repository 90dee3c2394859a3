"""The settings of bars and regime reach the engine's market."""

from __future__ import annotations

from math import sin

from bot.app.settings import Settings
from bot.app.wiring import assemble
from bot.domain.market import Bar
from bot.domain.values import NS, RegimeLabel
from bot.journal.writer import MemoryJournal
from bot.market.state import InstrumentMarket
from bot.runtime.clock import TapeClock
from tests.build import BTC, NOW, instrument

WIDTH_NS = 300 * NS
START_NS = NOW // WIDTH_NS * WIDTH_NS - 101 * WIDTH_NS
CLOSES = [60_000 + 100 * sin(0.8 * k) + 7 * (7 * k * k % 13) for k in range(101)]  # H is 0.58


def market_of(**settings: object) -> InstrumentMarket:
    parts = assemble(
        Settings.model_validate({"strategies": ()} | settings),
        {BTC: instrument()},
        journal=MemoryJournal(keep=False),
        session=1,
        last_seq=0,
        clock=TapeClock(),
        observers=(),
    )
    bars = [Bar(START_NS + k * WIDTH_NS, c, c, c, c, 1.0, 1.0, 1) for k, c in enumerate(CLOSES)]
    parts.market.warm_up(BTC, 300, bars)
    parts.market.sample(START_NS + 102 * WIDTH_NS)
    return parts.market.market(BTC)


def test_widths_and_number_of_bars() -> None:
    assert market_of().history.get(60) is not None
    assert market_of(bars={"widths_s": (100, 300)}).history.get(60) is None


def test_confidence() -> None:
    labels = []
    for confidence in (0.0, 0.95):
        reading = market_of(regime={"confidence": confidence}).own("regime", BTC, NOW)
        assert reading is not None and reading.value is not None
        labels.append(reading.value.label)
    assert labels == [RegimeLabel.TREND, RegimeLabel.RANDOM]
