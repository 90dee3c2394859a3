"""Ideas become signals: at whose price, with which ids, in which order; and what becomes of strategies that fail."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal as D
from typing import Any, ClassVar, cast

import pytest

from bot.domain.events import Emit
from bot.domain.ids import IdSource
from bot.domain.messages import Message, Sampled, TimerFired
from bot.domain.params import Params
from bot.domain.ports import Strategy, View
from bot.domain.values import NS, Direction, Signal
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


# --- strategies that fail --------------------------------------------------------------------------------------------


class Scripted(Says):
    """Answers with what `answer` does, whatever that is."""

    def __init__(self, name: str, answer: Callable[[str], Any]) -> None:
        super().__init__(name, None)
        self._answer = answer

    def on_sample(self, instrument: str, view: View) -> Idea | None:
        self.asked.append(instrument)
        return cast(Idea | None, self._answer(instrument))


def broken(name: str = "broken") -> Scripted:
    return Scripted(name, lambda _: [][0])


def answering(answer: Any) -> Scripted:
    return Scripted("odd", lambda _: answer)


def samples(strategies: Strategies, seconds: Iterable[int], found: FakeView | None = None) -> list[Any]:
    """Everything said when asked at these seconds."""
    found, said = found or view(), list[Any]()
    for second in seconds:
        found.now_ns = NOW + second * NS
        said.extend(strategies.on(Sampled(now_ns=found.now_ns), found))
    return said


def test_an_error_of_one_strategy_is_journaled_with_type_and_line_and_stops_no_other() -> None:
    line = broken.__code__.co_firstlineno + 1
    error, signal = samples(desk(broken(), Says("always", Idea(Direction.LONG, 1.0))), [0])
    assert error == Emit(
        kind="STRATEGY_ERROR",
        source="strategies",
        instrument=BTC,
        data={"strategy": "broken", "error": f"IndexError: list index out of range (line {line})", "errors": 1},
    )
    assert isinstance(signal, Signal) and signal.strategy == "always"


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ("long", "TypeError: on_sample answered str, not an Idea or None"),
        (True, "TypeError: on_sample answered bool, not an Idea or None"),
        (Idea("long", 0.5), "TypeError: the idea's direction is str, not a Direction"),  # type: ignore[arg-type]
        (Idea(Direction.LONG, "1"), "TypeError: the idea's strength is str, not a float"),  # type: ignore[arg-type]
        (Idea(Direction.LONG, D("0.5")), "TypeError: the idea's strength is Decimal, not a float"),  # type: ignore[arg-type]
        (Idea(Direction.LONG, None), "TypeError: the idea's strength is NoneType, not a float"),  # type: ignore[arg-type]
        (Idea(Direction.LONG, math.nan), "ValueError: the idea's strength is nan, not within 0 and 1"),
        (Idea(Direction.LONG, math.inf), "ValueError: the idea's strength is inf, not within 0 and 1"),
        (Idea(Direction.LONG, 1.0000001), "ValueError: the idea's strength is 1.0000001, not within 0 and 1"),
        (Idea(Direction.LONG, -0.1), "ValueError: the idea's strength is -0.1, not within 0 and 1"),
    ],
)
def test_an_answer_that_is_no_idea_is_an_error_and_no_signal(answer: Any, error: str) -> None:
    [emit] = samples(desk(answering(answer)), [0])
    assert (emit.kind, emit.data["error"]) == ("STRATEGY_ERROR", error)


@pytest.mark.parametrize("strength", [0, 0.0, 1, 1.0])
def test_the_ends_of_strength_are_within(strength: float) -> None:
    [signal] = samples(desk(answering(Idea(Direction.LONG, strength))), [0])
    assert (signal.strength, type(signal.strength)) == (strength, float)


def test_errors_are_journaled_once_a_minute_and_counted() -> None:
    """Of one strategy, whichever instrument it fails on: it raises about one and is quiet about the other."""
    half = Scripted("half", lambda instrument: [][0] if instrument == BTC else None)
    said = samples(desk(half), range(130), view(eth=3000.0))
    assert [(emit.kind, emit.data["errors"]) for emit in said] == [
        ("STRATEGY_ERROR", 1),
        ("STRATEGY_ERROR", 61),
        ("STRATEGY_ERROR", 121),
    ]
    assert len(half.asked) == 260, "never ten in a row: it goes on"
    two = samples(desk(broken("one"), broken("two")), [0])
    assert [emit.data["strategy"] for emit in two] == ["one", "two"], "each has its own minute"


def test_ten_errors_in_a_row_switch_it_off_and_say_so() -> None:
    failing, fine = broken(), Says("always", Idea(Direction.LONG, 1.0))
    strategies = desk(failing, fine)
    said = samples(strategies, range(9))
    assert "STRATEGY_OFF" not in [emit.kind for emit in said if isinstance(emit, Emit)]
    off, signal = samples(strategies, [9])
    assert (off.kind, off.data["strategy"], off.data["errors"]) == ("STRATEGY_OFF", "broken", 10)
    assert off.data["error"].startswith("IndexError: ")
    assert isinstance(signal, Signal)
    later = samples(strategies, range(10, 200))
    assert [type(each) for each in later] == [Signal] * 190
    assert (len(failing.asked), len(fine.asked)) == (10, 200)


def test_a_right_answer_ends_the_row() -> None:
    answers = iter([*[False] * 9, True, *[False] * 10])
    strategies = desk(Scripted("moody", lambda _: None if next(answers) else [][0]))
    assert {emit.kind for emit in samples(strategies, range(19))} == {"STRATEGY_ERROR"}
    assert [emit.kind for emit in samples(strategies, [19])] == ["STRATEGY_OFF"]


def fail_with(text: str) -> None:
    raise ValueError(text)


@pytest.mark.parametrize(("text", "told"), [("x" * 500, ": " + "x" * 200), ("one\ntwo", ": one"), ("", "")])
def test_an_error_text_is_one_short_line_with_the_innermost_line_of_the_strategys_file(text: str, told: str) -> None:
    [emit] = samples(desk(Scripted("loud", lambda _: fail_with(text))), [0])
    assert emit.data["error"] == f"ValueError{told} (line {fail_with.__code__.co_firstlineno + 1})"


def test_an_end_of_something_else_does_not_end_the_asking() -> None:
    exhausted = Scripted("exhausted", lambda _: next(iter(())))
    [emit, signal] = samples(desk(exhausted, Says("always", Idea(Direction.LONG, 1.0))), [0])
    assert emit.data["error"].startswith("StopIteration (line ")
    assert isinstance(signal, Signal)


def test_ofi_is_a_strategy_that_says_what_it_traded_on() -> None:
    strategy: Strategy = Ofi(OfiStrategyParams())
    assert (strategy.name, strategy.version, strategy.traded_on) == ("ofi", 1, ("ofi",))
    assert strategy.Params is OfiStrategyParams
