"""Desk `strategies`: asks every strategy about every instrument once a second and turns ideas into signals.

It decides nothing: the gate takes each signal, journals it and allows or refuses it. A strategy that raises, or answers
what is no idea, is caught here, so that a mistake in one (it may be a user's own) stops neither the engine nor the other
strategies: the mistake is journaled, and a strategy that makes nothing else is not asked any more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from bot.domain.errors import told
from bot.domain.events import Emit
from bot.domain.instrument import Instrument, Round
from bot.domain.messages import Message, MoreSignals, Sampled
from bot.domain.ports import IdFactory, Strategy, View
from bot.domain.values import NS, Direction, Signal
from bot.trading.strategies.base import Idea

ERRORS_IN_A_ROW = 10  # answers; then the strategy is off until the next start
TOLD_EVERY_NS = 60 * NS


@dataclass(slots=True)
class _Asked:
    """One strategy and what went wrong with it."""

    strategy: Strategy
    errors: int = 0
    in_a_row: int = 0
    told_ns: int | None = None  # when an error was last journaled

    @property
    def off(self) -> bool:
        return self.in_a_row >= ERRORS_IN_A_ROW


class Strategies:
    """Asks in a fixed order (instruments, then strategies as given), so that a replay makes the same ids."""

    name: ClassVar[str] = "strategies"

    def __init__(self, strategies: Sequence[Strategy], ids: IdFactory) -> None:
        self._asked = tuple(_Asked(strategy) for strategy in strategies)
        self._ids = ids

    def on(self, message: Message, view: View) -> Sequence[Message]:
        match message:
            case Sampled():
                return self._sample(view)
            case MoreSignals(signals=signals):
                return _one_by_one(signals)
            case _:
                return ()

    def _sample(self, view: View) -> Sequence[Message]:
        errors: list[Emit] = []
        signals = [signal for instrument in view.instruments() for signal in self._ask(instrument, view, errors)]
        return (*errors, *_one_by_one(tuple(signals)))

    def _ask(self, instrument: Instrument, view: View, errors: list[Emit]) -> Iterator[Signal]:
        mid = view.market(instrument.id).mid
        if mid is None:
            return  # a signal needs a reference price; an idea asked for now would be lost
        for asked in self._asked:
            if asked.off:
                continue
            try:
                idea = _checked(asked.strategy.on_sample(instrument.id, view))
            except Exception as error:  # noqa: BLE001 - whatever one strategy raises, the others are asked
                errors.extend(_failed(asked, error, instrument, view.now_ns))
                continue
            asked.in_a_row = 0
            if idea is not None:
                yield self._signal(instrument, asked.strategy, idea, mid, view.now_ns)

    def _signal(self, instrument: Instrument, strategy: Strategy, idea: Idea, mid: float, now_ns: int) -> Signal:
        return Signal(
            signal_id=self._ids.unique(),
            instrument=instrument.id,
            direction=idea.direction,
            strategy=strategy.name,
            strength=float(idea.strength),
            price=instrument.price(mid, Round.NEAREST),
            ts_ns=now_ns,
            traded_on=strategy.traded_on,
        )


def _checked(answer: object) -> Idea | None:
    """The answer, if it is one; raises TypeError or ValueError."""
    if answer is None:
        return None
    if not isinstance(answer, Idea):
        raise TypeError(f"on_sample answered {type(answer).__name__}, not an Idea or None")
    if not isinstance(answer.direction, Direction):
        raise TypeError(f"the idea's direction is {type(answer.direction).__name__}, not a Direction")
    if not isinstance(answer.strength, int | float):
        raise TypeError(f"the idea's strength is {type(answer.strength).__name__}, not a float")
    if not 0 <= answer.strength <= 1:
        raise ValueError(f"the idea's strength is {answer.strength}, not within 0 and 1")
    return answer


def _failed(asked: _Asked, error: Exception, instrument: Instrument, now_ns: int) -> Iterator[Emit]:
    """Count it; journal it if none was within the last minute, and in any case that the strategy is off."""
    asked.errors += 1
    asked.in_a_row += 1
    text = told(error, type(asked.strategy).__module__)
    data = {"strategy": asked.strategy.name, "error": text, "errors": asked.errors}
    if asked.told_ns is None or now_ns - asked.told_ns >= TOLD_EVERY_NS:
        asked.told_ns = now_ns
        yield Emit(kind="STRATEGY_ERROR", source="strategies", instrument=instrument.id, data=data)
    if asked.off:
        yield Emit(kind="STRATEGY_OFF", source="strategies", instrument=instrument.id, data=data)


def _one_by_one(signals: tuple[Signal, ...]) -> Sequence[Message]:
    """The first signal, and a message to ourselves with the rest: by publication order that comes back only when the
    decision about the first has reached the desk that books it."""
    first, rest = signals[:1], signals[1:]
    return (*first, MoreSignals(signals=rest)) if rest else first
