"""Desk `gate`: who is asked, who blocks, what is journaled, and how much is traded in the end."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, ClassVar

import pytest

from bot.domain.errors import ConfigError
from bot.domain.events import Emit, canonical, text
from bot.domain.ids import IdSource
from bot.domain.messages import Message, OutsideSignal, PauseRequest
from bot.domain.params import Params
from bot.domain.ports import Guard, View
from bot.domain.reading import LongShort, OiDelta, Regime, Taker, WhaleCvd
from bot.domain.values import Decision, Direction, Outcome, RegimeLabel, Signal, Verdict
from bot.trading.exits.protection import StopParams
from bot.trading.gate import REMEMBERED, Gate
from bot.trading.guards.base import SafetyParams
from bot.trading.guards.long_trap import LongTrap, LongTrapParams
from bot.trading.guards.probation import Probation, ProbationParams
from bot.trading.guards.risk_limits import RiskLimits
from bot.trading.guards.session_window import SessionWindow, SessionWindowParams
from bot.trading.guards.taker_aggression import TakerAggression, TakerAggressionParams
from bot.trading.guards.whale_conflict import WhaleConflict, WhaleConflictParams
from bot.trading.risk import RiskParams
from bot.trading.sizing import SizeRules, SizingParams
from tests.build import BTC, NOW, FakePosition, FakeView, context, instrument, reading, signal

LONG, SHORT = Direction.LONG, Direction.SHORT
BUYERS = Taker(buy_usd=Decimal(200_000), sell_usd=Decimal(100_000))
SELLERS = Taker(buy_usd=Decimal(100_000), sell_usd=Decimal(100_000))
TREND = Regime(label=RegimeLabel.TREND, hurst=0.7, z=2.0, sum_100=0.1, sum_12=0.01)


class Raises:
    """A guard that fails, as a safety guard or not."""

    name: ClassVar[str] = "broken"
    version: ClassVar[int] = 3
    event: ClassVar[str] = "BROKEN_BLOCK"
    needs: ClassVar[tuple[str, ...]] = ("taker_5m",)
    safety: ClassVar[bool] = False
    Params: ClassVar[type[Params]] = Params

    def applies(self, direction: Direction) -> bool:
        return True

    def check(self, signal: Signal, view: View) -> Verdict:
        raise KeyError("nothing here")


class RaisesSafety(Raises):
    safety: ClassVar[bool] = True
    needs: ClassVar[tuple[str, ...]] = ()


def safety(**risk: Any) -> list[Guard]:
    return [RiskLimits(SafetyParams(), context(**risk)), Probation(ProbationParams(), context())]


def taker(**settings: Any) -> Guard:
    return TakerAggression(TakerAggressionParams(**settings), context())


def long_trap() -> Guard:
    return LongTrap(LongTrapParams(), context())


def whales() -> Guard:
    return WhaleConflict(WhaleConflictParams(), context())


def gate(*guards: Guard) -> Gate:
    """The two safety guards, then these."""
    ids = IdSource(account="main", session=1)
    ids.begin(7, NOW)
    return build([*safety(), *guards], ids)


def build(guards: list[Guard], ids: IdSource) -> Gate:
    rules = SizeRules(
        sizing=SizingParams(), risk=RiskParams(), fee=Decimal("0.0005"), slip=Decimal("0.001"), stop=Decimal("0.01")
    )
    return Gate(guards, ids, rules, "hash-1")


def decide(desk: Gate, view: FakeView, direction: Direction = LONG, **fields: Any) -> tuple[Decision, list[Emit]]:
    return split(desk.on(signal(direction, **fields), view))


def split(messages: Sequence[Message]) -> tuple[Decision, list[Emit]]:
    *emits, decision = messages
    assert isinstance(decision, Decision)
    assert all(isinstance(e, Emit) for e in emits)
    return decision, [e for e in emits if isinstance(e, Emit)]


def kinds(emits: Sequence[Emit]) -> list[str]:
    return [emit.kind for emit in emits]


def outcomes(decision: Decision) -> list[Outcome]:
    return [verdict.outcome for verdict in decision.verdicts]


PASS, BLOCK, ABSTAIN = Outcome.PASS, Outcome.BLOCK, Outcome.ABSTAIN

# --- deciding -------------------------------------------------------------------------------------------------------


def test_allowed() -> None:
    view = FakeView(reading("taker_5m", BUYERS, source="coinglass", age_s=12.3456), reading("regime", TREND))
    decision, emits = decide(gate(taker()), view)
    assert kinds(emits) == ["SIGNAL", "DECISION"]
    assert (decision.allowed, decision.blocker, decision.reversal, decision.blind) == (True, None, False, False)
    assert (decision.multiplier, decision.quantity, decision.stop_distance) == (1.0, Decimal("0.032"), Decimal("0.01"))
    assert outcomes(decision) == [PASS, PASS, PASS]

    idea, why = emits
    assert (idea.source, idea.instrument, idea.corr, idea.key, idea.because) == ("test", BTC, "S1", "S1", None)
    assert idea.data == {
        "signal_id": "S1",
        "strategy": "test",
        "direction": "long",
        "strength": 0.5,
        "price": "65000",
    }
    assert (why.source, why.corr, why.key, why.because) == ("intelligence_gate", "S1", "decision:S1", "S1")
    verdicts = why.data.pop("verdicts")
    assert why.data == {
        "signal_id": "S1",
        "direction": "long",
        "allowed": True,
        "blocker": None,
        "multiplier": 1.0,
        "config_hash": "hash-1",
        "quantity": "0.032",
        "size_reason": "risk budget",
        "blind": False,
        "reversal": False,
        "explored": False,
        "price": "65000.5",
        "stop_distance": "0.01",
        "signal_ts_ns": NOW,
    }
    assert verdicts[2] == {
        "guard": "taker_aggression",
        "version": 1,
        "outcome": "PASS",
        "value": "2.0000",
        "threshold": "1.10",
        "reading_source": "coinglass",
        "reading_age_s": 12.346,
        "reason": "",
    }
    assert canonical(why.data)


def test_every_guard_is_asked_even_after_a_refusal() -> None:
    view = FakeView(reading("taker_5m", SELLERS), reading("long_short", LongShort(ratio=Decimal("2.5"))))
    view.market(BTC).usable = False
    decision, emits = decide(gate(taker(), long_trap(), whales()), view)
    assert outcomes(decision) == [BLOCK, PASS, BLOCK, BLOCK, ABSTAIN]
    assert kinds(emits) == [
        "SIGNAL",
        "RISK_LIMIT_BLOCK",
        "TAKER_AGGRESSION_BLOCK",
        "LONG_TRAP_DETECTED",
        "DECISION",
    ]
    block = emits[2]
    assert (block.source, block.instrument, block.corr, block.because) == ("intelligence_gate", BTC, "S1", "S1")
    assert block.data == {
        "signal_id": "S1",
        "direction": "long",
        "value": "1.0000",
        "threshold": "1.10",
        "reading_source": "test",
        "reading_age_s": 0.0,
        "reason": "",
    }
    assert (decision.allowed, decision.quantity) == (False, Decimal(0))


def test_the_blocker_is_the_first_in_configured_order() -> None:
    view = FakeView(reading("taker_5m", SELLERS), reading("long_short", LongShort(ratio=Decimal("2.5"))))
    assert decide(gate(taker(), long_trap()), view)[0].blocker == "taker_aggression"
    assert decide(gate(long_trap(), taker()), view)[0].blocker == "long_trap"
    view.market(BTC).mark = None
    assert decide(gate(long_trap(), taker()), view)[0].blocker == "risk_limits"


def test_a_data_guard_that_raises_abstains_loudly() -> None:
    decision, emits = decide(gate(Raises(), taker()), FakeView(reading("taker_5m", BUYERS)))
    assert outcomes(decision) == [PASS, PASS, ABSTAIN, PASS]
    assert decision.allowed
    assert kinds(emits) == ["SIGNAL", "INTEL_ERROR", "DECISION"]
    said = "KeyError: 'nothing here'"
    assert emits[1].data == {"signal_id": "S1", "direction": "long", "guard": "broken", "error": said}
    assert decision.verdicts[2].reason == f"raised {said}"
    assert decision.verdicts[2].version == 3


def test_a_safety_guard_that_raises_blocks() -> None:
    decision, emits = decide(gate(RaisesSafety()), FakeView())
    assert (decision.allowed, decision.blocker) == (False, "broken")
    assert kinds(emits) == ["SIGNAL", "INTEL_ERROR", "BROKEN_BLOCK", "DECISION"]


@pytest.mark.parametrize("kept", [0, 1])
def test_safety_guards_cannot_be_removed(kept: int) -> None:
    with pytest.raises(ConfigError, match="cannot be removed"):
        build([safety()[kept]], IdSource(account="main", session=1))


def test_other_messages_are_not_for_the_gate() -> None:
    assert not gate().on(PauseRequest(), FakeView())


# --- blind ----------------------------------------------------------------------------------------------------------


def test_blind_entry_halves_the_size() -> None:
    session = SessionWindow(SessionWindowParams(enabled=True), context())  # passes, but looks at no reading
    decision, emits = decide(gate(session, taker(), Raises()), FakeView(reading("regime", TREND)))
    assert (decision.allowed, decision.blind, decision.multiplier) == (True, True, 0.5)
    assert decision.quantity == Decimal("0.016")
    assert kinds(emits) == ["SIGNAL", "INTEL_ERROR", "BLIND_ENTRY", "DECISION"]
    assert emits[2].data["multiplier"] == 0.5


@pytest.mark.parametrize(
    ("direction", "guards", "readings", "blind"),
    [
        (LONG, [taker(), whales()], [], True),
        (LONG, [taker(), whales()], [reading("taker_5m", BUYERS)], False),
        (SHORT, [taker()], [], False),  # nothing that applies to a short was asked
        (SHORT, [taker(mirror_short=True)], [], True),
        (SHORT, [taker(), whales()], [], True),  # the filter of longs says PASS, but it does not apply
        (SHORT, [taker(), whales()], [reading("whale_cvd", WhaleCvd(direction=None, intensity=0.0))], False),
        (LONG, [taker(on_missing="block"), whales()], [], False),
        (LONG, [], [], False),
    ],
)
def test_when_a_decision_is_blind(direction: Direction, guards: list[Guard], readings: list[Any], blind: bool) -> None:
    decision, emits = decide(gate(*guards), FakeView(*readings), direction)
    assert decision.blind is blind
    assert ("BLIND_ENTRY" in kinds(emits)) is blind
    assert decision.multiplier == (0.25 if blind else 0.5)


def test_a_refused_signal_is_no_blind_entry() -> None:
    view = FakeView()
    view.market(BTC).usable = False
    decision, emits = decide(gate(taker()), view)
    assert (decision.allowed, decision.blind) == (False, True)
    assert kinds(emits) == ["SIGNAL", "RISK_LIMIT_BLOCK", "DECISION"]


# --- size -----------------------------------------------------------------------------------------------------------


def test_a_size_of_nothing_is_a_refusal_by_the_limits() -> None:
    view = FakeView(instruments=[instrument(min_notional=Decimal(5000))])
    decision, emits = decide(gate(taker()), view)
    assert (decision.allowed, decision.blocker, decision.quantity) == (False, "risk_limits", Decimal(0))
    assert outcomes(decision) == [BLOCK, PASS, ABSTAIN]
    assert kinds(emits) == ["SIGNAL", "RISK_LIMIT_BLOCK", "DECISION"]
    assert "under the venue's minimum" in emits[1].data["reason"]
    assert emits[1].data["reason"] == decision.verdicts[0].reason == emits[2].data["verdicts"][0]["reason"]


def test_a_reversal_closes_and_has_no_size() -> None:
    view = FakeView(reading("taker_5m", BUYERS), instruments=[instrument(min_notional=Decimal(5000))])
    view.portfolio.open(FakePosition(SHORT))
    decision, emits = decide(gate(taker()), view)
    assert (decision.allowed, decision.reversal, decision.quantity) == (True, True, Decimal(0))
    assert emits[-1].data["reversal"] is True
    assert decide(gate(taker()), FakeView(reading("taker_5m", SELLERS)))[0].reversal is False


def test_a_blind_reversal_is_no_entry() -> None:
    view = FakeView()
    view.portfolio.open(FakePosition(SHORT))
    decision, emits = decide(gate(taker()), view)
    assert (decision.allowed, decision.reversal, decision.blind) == (True, True, True)
    assert kinds(emits) == ["SIGNAL", "DECISION"]


def test_a_refused_signal_has_no_size() -> None:
    decision, emits = decide(gate(taker()), FakeView(reading("taker_5m", SELLERS)))
    assert (decision.quantity, emits[-1].data["quantity"], emits[-1].data["size_reason"]) == (Decimal(0), "0", "")


def test_readings_no_guard_knows_do_not_matter() -> None:
    view = FakeView(reading("taker_5m", BUYERS), reading("oi_delta_5m", OiDelta(pct=1.0)))
    assert decide(gate(taker()), view)[0].allowed


# --- signals from outside -------------------------------------------------------------------------------------------


def outside(**fields: Any) -> OutsideSignal:
    defaults: dict[str, Any] = {"external_id": "tv-1", "instrument": BTC, "direction": SHORT}
    return OutsideSignal(**(defaults | fields))


def test_an_outside_signal_is_decided_on_like_any_other() -> None:
    decision, emits = split(gate().on(outside(strategy="tradingview", strength=0.8), FakeView()))
    assert kinds(emits) == ["SIGNAL", "DECISION"]
    taken = decision.signal
    assert (len(taken.signal_id), taken.direction, taken.strategy, taken.strength) == (26, SHORT, "tradingview", 0.8)
    assert (taken.price, taken.ts_ns, taken.traded_on) == (Decimal("65000.0"), NOW, ())
    assert (emits[0].source, emits[0].key) == ("tradingview", taken.signal_id)
    assert decision.allowed


def test_it_may_name_its_price_and_time() -> None:
    decision, _ = split(gate().on(outside(price=Decimal("64990.5"), ts_ns=NOW - 5), FakeView()))
    assert (decision.signal.price, decision.signal.ts_ns) == (Decimal("64990.5"), NOW - 5)


@pytest.mark.parametrize(
    ("market", "price"),
    [
        ({}, "65000.0"),
        ({"bid": None, "last": 65010.0}, "65010.0"),
        ({"bid": None, "last": None, "mark": 65020.04}, "65020.0"),
    ],
)
def test_its_price_is_the_markets_when_it_names_none(market: dict[str, float | None], price: str) -> None:
    view = FakeView()
    for name, value in market.items():
        setattr(view.market(BTC), name, value)
    assert split(gate().on(outside(), view))[0].signal.price == Decimal(price)


def test_without_any_price_it_has_expired() -> None:
    view = FakeView()
    view.market(BTC).bid = view.market(BTC).last = view.market(BTC).mark = None
    (emit,) = gate().on(outside(), view)
    assert isinstance(emit, Emit)
    assert (emit.kind, emit.data["price"], emit.data["direction"]) == ("SIGNAL_EXPIRED", None, "short")
    assert "no price" in emit.data["reason"]


def test_an_instrument_nobody_knows_does_not_stop_the_engine() -> None:
    (emit,) = gate().on(outside(instrument="binanceusdm:DOGEUSDT"), FakeView())
    assert isinstance(emit, Emit)
    assert (emit.kind, emit.instrument) == ("SIGNAL_EXPIRED", None)
    assert emit.data["reason"] == "binanceusdm:DOGEUSDT is not traded here: add it to the symbols"


def test_a_repeated_id_is_refused_and_counted() -> None:
    desk = gate()
    assert desk.on(outside(), FakeView())
    assert not desk.on(outside(direction=LONG), FakeView())
    assert desk.on(outside(external_id="tv-2"), FakeView())
    assert desk.repeated == 1


def test_only_so_many_ids_are_remembered() -> None:
    desk = gate()
    nowhere = {"instrument": "nowhere"}
    desk.on(outside(external_id="kept", **nowhere), FakeView())
    desk.on(outside(external_id="lost", **nowhere), FakeView())
    for i in range(REMEMBERED - 2):
        desk.on(outside(external_id=str(i), **nowhere), FakeView())
    assert not desk.on(outside(external_id="kept"), FakeView())  # asked for again, so it is the newest now
    desk.on(outside(external_id="one more", **nowhere), FakeView())
    assert not desk.on(outside(external_id="kept"), FakeView())
    assert desk.on(outside(external_id="lost"), FakeView())
    assert desk.repeated == 2


# --- stops that follow volatility ---


def volatile(atr: float | None) -> tuple[Decision, list[Emit]]:
    view = FakeView(reading("regime", TREND))
    if atr is not None:
        view.market(BTC).ranges[300, 14] = atr
    ids = IdSource(account="main", session=1)
    ids.begin(7, NOW)
    rules = SizeRules(
        sizing=SizingParams(), risk=RiskParams(), fee=Decimal("0.0005"), slip=Decimal("0.001"), stop=Decimal("0.01")
    )
    return decide(Gate(safety(), ids, rules, "hash-1", StopParams(mode="atr")), view)


@pytest.mark.parametrize(("atr", "distance"), [(325.0, "0.01"), (650.0, "0.02"), (162.5, "0.005")])
def test_a_decision_is_sized_by_the_distance_its_stop_will_have(atr: float, distance: str) -> None:
    decision, emits = volatile(atr)
    assert decision.stop_distance == Decimal(distance)
    assert emits[-1].data["stop_distance"] == text(decision.stop_distance)
    price, costs = Decimal("65000.5"), Decimal("0.001") + Decimal("0.0005")
    stop = price * (1 - Decimal(distance))
    budget = Decimal(25) / (price - stop + price * costs + stop * Decimal("0.0005"))
    assert decision.quantity == budget.quantize(Decimal("0.001"), "ROUND_DOWN")


def test_without_a_range_the_limits_refuse() -> None:
    decision, emits = volatile(None)
    assert (decision.allowed, decision.blocker, decision.quantity) == (False, "risk_limits", Decimal(0))
    refused = next(emit.data for emit in emits if emit.kind == "RISK_LIMIT_BLOCK")
    assert refused["reason"] == "no ATR yet: needs 14 closed bars of 300 s and a book"
    assert emits[-1].data["stop_distance"] is None
