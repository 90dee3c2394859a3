"""The live view: what desks see. A thin face over the market state, the portfolio and the trading state."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from bot.domain.instrument import Instrument
from bot.domain.market import Bar
from bot.domain.ports import MarketView
from bot.domain.reading import Reading
from bot.domain.values import TradingState
from bot.market.book import Steps
from bot.market.liquidations import ForcedSummary
from bot.market.state import Market
from bot.trading.learned import Learned
from bot.trading.portfolio import Portfolio
from bot.trading.state import State


class LiveView:
    """`now_ns` is set by the engine with each frame, and `begin` called before anything of the frame is applied.

    Guards, sizing and positions ask for the same readings: each is worked out once a frame, when it is first asked for.
    """

    def __init__(
        self,
        market: Market,
        portfolio: Portfolio,
        state: State,
        instruments: Mapping[str, Instrument],
        learned: Learned | None = None,
    ) -> None:
        self.now_ns = 0
        self.portfolio = portfolio
        self.market: Callable[[str], MarketView] = market.market
        self._market, self._state, self._instruments = market, state, instruments
        self._learned = Learned() if learned is None else learned
        self._readings: dict[tuple[str, str], Reading[Any]] = {}  # of this frame

    def begin(self, frame: int, now_ns: int) -> None:
        if self._readings:
            self._readings.clear()

    @property
    def state(self) -> TradingState:
        return self._state.state

    @property
    def state_reason(self) -> str:
        return self._state.reason

    def blocked(self, instrument: str) -> str | None:
        return self._state.blocked(instrument)

    def on_probation(self, instrument: str) -> str | None:
        return self._learned.probation.get(instrument)

    def learned(self, subject: str) -> float:
        return self._learned.multiplier(subject)

    def instruments(self) -> Iterable[Instrument]:
        return self._instruments.values()

    def instrument(self, instrument: str) -> Instrument:
        return self._instruments[instrument]

    def reading(self, name: str, instrument: str) -> Reading[Any]:
        known = self._readings.get((name, instrument))
        if known is None:
            known = self._readings[name, instrument] = self._market.reading(name, instrument, self.now_ns)
        return known

    def sources(self, name: str, instrument: str) -> Sequence[tuple[str, Reading[Any] | None]]:
        return self._market.sources(name, instrument, self.now_ns)

    def forced_orders(self, instrument: str) -> ForcedSummary:
        return self._market.forced_orders(instrument, self.now_ns)

    def candles(self, instrument: str, count: int) -> tuple[int, list[Bar]]:
        return self._market.candles(instrument, count)

    def depth(self, instrument: str) -> Steps | None:
        return self._market.depth(instrument)

    def other_readings(self, deciding: Reading[Any], instrument: str) -> Sequence[Reading[Any]]:
        return self._market.other_readings(deciding, instrument, self.now_ns)
