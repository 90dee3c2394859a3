"""Desk `strategies`: asks every strategy about every instrument once a second and turns ideas into signals.

It decides nothing: the gate takes each signal, journals it and allows or refuses it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

from bot.domain.instrument import Instrument, Round
from bot.domain.messages import Message, MoreSignals, Sampled
from bot.domain.ports import Idea, IdFactory, Strategy, View
from bot.domain.values import Signal


class Strategies:
    """Asks in a fixed order (instruments, then strategies as given), so that a replay makes the same ids."""

    name: ClassVar[str] = "strategies"

    def __init__(self, strategies: Sequence[Strategy], ids: IdFactory) -> None:
        self._strategies = tuple(strategies)
        self._ids = ids

    def on(self, message: Message, view: View) -> Sequence[Message]:
        match message:
            case Sampled():
                return _one_by_one(
                    tuple(signal for instrument in view.instruments() for signal in self._ask(instrument, view))
                )
            case MoreSignals(signals=signals):
                return _one_by_one(signals)
            case _:
                return ()

    def _ask(self, instrument: Instrument, view: View) -> Iterator[Signal]:
        mid = view.market(instrument.id).mid
        if mid is None:
            return  # a signal needs a reference price; an idea asked for now would be lost
        for strategy in self._strategies:
            idea = strategy.on_sample(instrument.id, view)
            if idea is not None:
                yield self._signal(instrument, strategy, idea, mid, view.now_ns)

    def _signal(self, instrument: Instrument, strategy: Strategy, idea: Idea, mid: float, now_ns: int) -> Signal:
        return Signal(
            signal_id=self._ids.unique(),
            instrument=instrument.id,
            direction=idea.direction,
            strategy=strategy.name,
            strength=idea.strength,
            price=instrument.price(mid, Round.NEAREST),
            ts_ns=now_ns,
            traded_on=strategy.traded_on,
        )


def _one_by_one(signals: tuple[Signal, ...]) -> Sequence[Message]:
    """The first signal, and a message to ourselves with the rest: by publication order that comes back only when the
    decision about the first has reached the desk that books it."""
    first, rest = signals[:1], signals[1:]
    return (*first, MoreSignals(signals=rest)) if rest else first
