"""Ideas become signals: at whose price, with which ids, in which order."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal as D
from typing import ClassVar, cast

import pytest

from bot.domain.ids import IdSource
from bot.domain.messages import Message, Sampled, TimerFired
from bot.domain.params import Params
from bot.domain.ports import Strategy, View
from bot.domain.values import Direction, Signal
from bot.trading.strategies.base import Idea
from bot.trading.strategies.desk import Strategies
from bot.trading.strategies.ofi import Ofi, OfiStrategyParams
from tests.build import BTC, NOW, FakeView, instrument

BTC_RULES, ETH_RULES = instrument("BTCUSDT"), instrument("ETHUSDT")
ETH = ETH_RULES.id


class Says:
    """A strategy with one opinion on everything, which remembers what it was asked about."""

    version: ClassVar[int] = 1
    traded_on: ClassVar[tuple[str, ...]] = ("regime", "ofi")
    Params: ClassVar[type[Params]] = Params

    def __init__(self, name: str, idea: Idea | None) -> None:
        self.name = name
        self.idea = idea
        self.asked: list[str] = []

    def on_sample(self, instrument: str, view: View) -> Idea | None:
        self.asked.append(instrument)
        return self.idea


def desk(*strategies: Says) -> Strategies:
    ids = IdSource(account="main", session=1)
    ids.begin(7, NOW)
    return Strategies(cast(Sequence[Strategy], strategies), ids)


def view(btc: float | None = 65000.07, eth: float | None = None) -> FakeView:
    """Two instruments with these mids."""
    found = FakeView(instruments=[BTC_RULES, ETH_RULES])
    for rules, mid in ((BTC_RULES, btc), (ETH_RULES, eth)):
        found.market(rules.id).bid = found.market(rules.id).ask = mid
    return found


def signals(messages: Sequence[Message]) -> list[Signal]:
    assert all(isinstance(message, Signal) for message in messages)
    return cast(list[Signal], list(messages))


def one_by_one(strategies: Strategies, found: FakeView) -> list[Signal]:
    """What comes out when each answer's rest is sent back in: one signal a time."""
    said: list[Signal] = []
    answers = strategies.on(Sampled(now_ns=NOW), found)
    while answers:
        signal, *rest = answers
        assert isinstance(signal, Signal)
        said.append(signal)
        answers = strategies.on(rest[0], found) if rest else ()
    return said


def test_an_idea_becomes_a_signal_at_mid() -> None:
    [signal] = signals(desk(Says("always", Idea(Direction.SHORT, 0.7))).on(Sampled(now_ns=NOW), view()))
    assert signal == Signal(
        signal_id=signal.signal_id,
        instrument=BTC,
        direction=Direction.SHORT,
        strategy="always",
        strength=0.7,
        price=D("65000.1"),
        ts_ns=NOW,
        traded_on=("regime", "ofi"),
    )
    assert len(signal.signal_id) == 26


@pytest.mark.parametrize(
    ("mid", "price"), [(65000.04, "65000.0"), (65000.06, "65000.1"), (65000.05, "65000.0"), (65000.15, "65000.2")]
)
def test_the_price_is_on_the_grid(mid: float, price: str) -> None:
    [signal] = signals(desk(Says("always", Idea(Direction.LONG, 1.0))).on(Sampled(now_ns=NOW), view(mid)))
    assert signal.price == D(price)


def test_no_idea_is_no_signal() -> None:
    assert signals(desk(Says("never", None)).on(Sampled(now_ns=NOW), view())) == []


def test_without_a_mid_nobody_is_asked() -> None:
    strategy = Says("always", Idea(Direction.LONG, 1.0))
    assert signals(desk(strategy).on(Sampled(now_ns=NOW), view(btc=None, eth=None))) == []
    assert strategy.asked == []


def test_every_strategy_is_asked_about_every_instrument_in_a_fixed_order() -> None:
    one, two = Says("one", Idea(Direction.LONG, 1.0)), Says("two", Idea(Direction.SHORT, 1.0))
    found = one_by_one(desk(one, two), view(btc=65000.0, eth=3000.0))
    assert [(s.instrument, s.strategy) for s in found] == [
        (BTC, "one"),
        (BTC, "two"),
        (ETH, "one"),
        (ETH, "two"),
    ]
    again = one_by_one(desk(one, two), view(btc=65000.0, eth=3000.0))
    assert found == again
    assert len({s.signal_id for s in found}) == 4


def test_only_a_sample_asks() -> None:
    strategy = Says("always", Idea(Direction.LONG, 1.0))
    assert list(desk(strategy).on(TimerFired(desk="strategies", key="k", due_ns=NOW), view())) == []
    assert strategy.asked == []


def test_ofi_is_a_strategy_that_says_what_it_traded_on() -> None:
    strategy: Strategy = Ofi(OfiStrategyParams())
    assert (strategy.name, strategy.version, strategy.traded_on) == ("ofi", 1, ("ofi",))
    assert strategy.Params is OfiStrategyParams
