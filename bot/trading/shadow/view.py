"""What the desks of the shadow book see: the real market and its readings, and the shadows' own portfolio.

Each shadow is a position in an instrument of its own, which stands for the real one: so the very desks that keep one position a
symbol keep any number of shadows in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from msgspec.structs import replace

from bot.domain.instrument import Instrument
from bot.domain.ports import MarketView, View
from bot.domain.reading import Reading
from bot.domain.values import TradingState
from bot.trading.portfolio import Portfolio

_MARK = "#"


def stand_in(instrument: str, signal_id: str) -> str:
    """The instrument of this signal's shadow."""
    return f"{instrument}{_MARK}{signal_id}"


def real(name: str) -> str:
    return name.partition(_MARK)[0]


class FacedView:
    """The real view `of`, which is set before use, with another portfolio."""

    of: View

    def __init__(self, portfolio: Portfolio) -> None:
        self.portfolio = portfolio

    @property
    def now_ns(self) -> int:
        return self.of.now_ns

    @property
    def state(self) -> TradingState:
        return self.of.state

    @property
    def state_reason(self) -> str:
        return self.of.state_reason

    def blocked(self, instrument: str) -> str | None:
        return self.of.blocked(real(instrument))

    def on_probation(self, instrument: str) -> str | None:
        return self.of.on_probation(real(instrument))

    def learned(self, subject: str) -> float:
        return self.of.learned(subject)

    def instruments(self) -> Iterable[Instrument]:
        return self.of.instruments()

    def instrument(self, instrument: str) -> Instrument:
        return self.of.instrument(instrument)

    def market(self, instrument: str) -> MarketView:
        return self.of.market(real(instrument))

    def reading(self, name: str, instrument: str) -> Reading[Any]:
        return self.of.reading(name, real(instrument))

    def other_readings(self, deciding: Reading[Any], instrument: str) -> Sequence[Reading[Any]]:
        return self.of.other_readings(deciding, real(instrument))


class ShadowView(FacedView):
    """`known` are the shadows' instruments, by name."""

    def __init__(self, portfolio: Portfolio) -> None:
        super().__init__(portfolio)
        self.known: dict[str, Instrument] = {}

    def know(self, name: str) -> None:
        self.known[name] = replace(self.of.instrument(real(name)), id=name)

    def instruments(self) -> Iterable[Instrument]:
        return self.known.values()

    def instrument(self, instrument: str) -> Instrument:
        return self.known[instrument]
