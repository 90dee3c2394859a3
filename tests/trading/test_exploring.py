"""A share of what guards refused is taken on paper: which, marked how, and never what keeps the account safe."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from bot.domain.events import Emit
from bot.domain.ids import IdSource
from bot.domain.ports import Guard
from bot.domain.reading import Taker
from bot.domain.values import Decision, Direction
from bot.learning.ledger import Ledger
from bot.learning.scores import score
from bot.trading.exploring import Exploration
from bot.trading.gate import Gate
from bot.trading.guards.base import SafetyParams
from bot.trading.guards.probation import Probation, ProbationParams
from bot.trading.guards.risk_limits import RiskLimits
from bot.trading.guards.taker_aggression import TakerAggression, TakerAggressionParams
from bot.trading.risk import RiskParams
from bot.trading.sizing import SizeRules, SizingParams
from tests.build import BTC, NOW, FakePosition, FakeView, context, reading, signal
from tests.learning.histories import History
from tests.trading.desks import Desks

SELLERS = Taker(buy_usd=Decimal(1_000_000), sell_usd=Decimal(2_000_000))


def gate(exploration: Exploration | None) -> Gate:
    ids = IdSource(account="main", session=1)
    ids.begin(1, NOW)
    rules = SizeRules(SizingParams(), RiskParams(), Decimal("0.0005"), Decimal("0.001"), Decimal("0.01"))
    guards: list[Guard] = [
        RiskLimits(SafetyParams(), context()),
        Probation(ProbationParams(), context()),
        TakerAggression(TakerAggressionParams(), context()),
    ]
    return Gate(guards, ids, rules, "hash-1", exploration=exploration)


def decided(view: FakeView, share: float | None, **of: Any) -> tuple[Decision, list[Emit]]:
    answers = list(gate(None if share is None else Exploration(share)).on(signal(**of), view))
    decision = answers.pop()
    assert isinstance(decision, Decision)
    return decision, [each for each in answers if isinstance(each, Emit)]


def refused() -> FakeView:
    return FakeView(reading("taker_5m", SELLERS))


@pytest.mark.parametrize("share", [None, 0.0])
def test_off_it_takes_nothing(share: float | None) -> None:
    decision, _ = decided(refused(), share)
    assert (decision.allowed, decision.explored, decision.blocker) == (False, False, "taker_aggression")


def test_what_is_taken_is_sized_and_marked_and_its_block_is_told_all_the_same() -> None:
    decision, events = decided(refused(), 1.0)
    assert (decision.allowed, decision.explored, decision.blocker) == (True, True, None)
    assert decision.quantity > 0
    kinds = [event.kind for event in events]
    assert "TAKER_AGGRESSION_BLOCK" in kinds and kinds[-1] == "DECISION"
    assert events[-1].data["explored"] is True and events[-1].data["allowed"] is True


def test_what_is_allowed_anyway_is_not_marked() -> None:
    decision, events = decided(FakeView(), 1.0)
    assert decision.allowed and not decision.explored and events[-1].data["explored"] is False


@pytest.mark.parametrize("why", ["probation", "limit", "held", "size"])
def test_what_safety_refuses_is_never_taken(why: str) -> None:
    view = refused()
    if why == "probation":
        view.probation[BTC] = "lost too much"
    elif why == "limit":
        view.market(BTC).book_age_s = 2.1
    elif why == "held":
        view.portfolio.open(FakePosition())
    else:
        view.portfolio.equity = Decimal(100)  # too small a size for the venue
    decision, _ = decided(view, 1.0)
    assert (decision.allowed, decision.explored) == (False, False)
    assert decision.blocker in ("probation", "risk_limits")


def test_an_opposite_signal_that_was_refused_closes_nothing() -> None:
    view = refused()
    view.portfolio.open(FakePosition(Direction.SHORT))
    decision, _ = decided(view, 1.0)
    assert (decision.allowed, decision.explored, decision.reversal) == (False, False, True)


def test_the_draw_follows_from_id_and_seed_alone() -> None:
    ids = [f"S{i}" for i in range(20_000)]
    taken = [Exploration(0.15, seed=1).takes(each) for each in ids]
    assert taken == [Exploration(0.15, seed=1).takes(each) for each in ids]
    assert taken != [Exploration(0.15, seed=2).takes(each) for each in ids]
    assert abs(sum(taken) / len(ids) - 0.15) < 0.01
    more = [Exploration(0.3, seed=1).takes(each) for each in ids]
    assert all(b for a, b in zip(taken, more, strict=True) if a)  # a larger share takes these and others


def test_the_position_carries_the_mark() -> None:
    desks = Desks()
    desks.say(
        Decision(
            signal=signal(ts_ns=NOW),
            allowed=True,
            explored=True,
            blocker=None,
            verdicts=(),
            multiplier=1.0,
            quantity=Decimal("0.04"),
            stop_distance=Decimal("0.01"),
        )
    )
    entry = desks.orders("entry")[0]
    assert entry.explored
    desks.fill(entry, "65000", "0.04")
    assert desks.event("POSITION_ENTERED")["explored"] is True


def test_an_explored_trade_is_evidence_about_the_guard_through_its_shadow_and_of_nothing_else() -> None:
    history = History()
    signal_id = history.decide(by=["a"])
    decision = history.events[-1].data
    decision |= {"allowed": True, "blocker": None, "explored": True}
    shadow, position = history.open(signal_id), history.open(signal_id, shadow=False, explored=True)
    history.close(position, 3.0)
    history.close(shadow, -1.0)
    ledger = Ledger()
    ledger.fold(history.events)
    scored = score(ledger)
    [row] = [row for row in scored.guards if row.guard == "a"]
    assert (row.blocks, row.blocked_alone, row.trades, row.net_r) == (1, 1, 1, 1.0)
    [strategy] = scored.strategies
    assert (strategy.live, strategy.shadow, strategy.pairs) == (0, 0, 0)
    assert strategy.left_out == {"guards had refused it, it was taken to explore": 1}
    [funnel] = scored.funnel
    assert (funnel.signals, funnel.allowed, funnel.blocked) == (1, 0, 1)
