"""From a venue's own messages to the verdict: guards whose numbers are our own, at their exact edges, with source and age."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from bot.domain.events import Emit
from bot.domain.frames import Frame
from bot.domain.ids import IdSource
from bot.domain.ports import Guard
from bot.domain.values import MS, NS, Decision, Direction, Outcome
from bot.exchanges import binance
from bot.market.state import Market
from bot.runtime.intake import Intake
from bot.runtime.view import LiveView
from bot.runtime.watches import Watches
from bot.trading.gate import Gate
from bot.trading.guards.base import SafetyParams
from bot.trading.guards.probation import Probation, ProbationParams
from bot.trading.guards.risk_limits import RiskLimits
from bot.trading.guards.taker_aggression import TakerAggression, TakerAggressionParams
from bot.trading.guards.wall_resistance import WallResistance, WallResistanceParams
from bot.trading.guards.whale_conflict import WhaleConflict, WhaleConflictParams
from bot.trading.portfolio import Portfolio
from bot.trading.risk import RiskParams
from bot.trading.sizing import SizeRules, SizingParams
from bot.trading.state import State
from tests.build import BTC, context, instrument, signal
from tests.runtime.test_intake import Watcher

LONG, SHORT = Direction.LONG, Direction.SHORT
BLOCK, PASS, ABSTAIN = Outcome.BLOCK, Outcome.PASS, Outcome.ABSTAIN
T0 = 1_760_000_400 * NS
PRICE = 62_400
GUARDS: dict[str, Guard] = {
    "whale_cvd": WhaleConflict(WhaleConflictParams(), context()),
    "taker_5m": TakerAggression(TakerAggressionParams(), context()),
    "walls": WallResistance(WallResistanceParams(), context()),
}


class Venue:
    """Says what it is told to, in Binance's words, to an engine's market."""

    def __init__(self) -> None:
        known = {each.id: each for each in [instrument()]}
        self.market = Market(list(known.values()))
        portfolio = Portfolio(Decimal(10_000), lambda _: None)
        self.view = LiveView(self.market, portfolio, State(portfolio, RiskParams()), known)
        self.intake = Intake(self.market, {binance.VENUE: lambda: binance.decode}, Watcher(), Watches())
        self.now_ns = T0
        self.frames = 0

    def say(self, message: Any) -> None:
        self.frames += 1
        self.view.begin(self.frames, self.now_ns)
        frame = Frame(self.now_ns, "data", binance.VENUE, json.dumps(message).encode())
        told = self.intake.apply(frame, self.now_ns)
        assert not [each for each in told if isinstance(each, Emit) and each.kind == "BAD_FRAME"]

    def trade(self, usd: str, buys: bool) -> None:
        ms, quantity = self.now_ns // MS, Decimal(usd) / PRICE
        row = {"e": "aggTrade", "E": ms, "T": ms, "s": "BTCUSDT", "a": ms, "f": 1, "l": 1, "p": str(PRICE)}
        self.say(row | {"q": str(quantity), "m": not buys})

    def book(self, asks: list[list[str]]) -> None:
        bids = [[str(PRICE - 1), "1"], [str(PRICE - 4000), "1"]]
        whole = {"lastUpdateId": 5, "E": 1, "T": 1, "bids": bids, "asks": [[str(PRICE + 1), "1"], *asks]}
        self.say({"stream": "btcusdt@depth_snapshot", "data": whole})

    def wait(self, seconds: int) -> None:
        for _ in range(seconds):
            self.now_ns += NS
            self.intake.sample(self.now_ns)

    def judged(self, name: str, direction: Direction) -> tuple[Decision, list[Emit]]:
        ids = IdSource(account="main", session=1)
        ids.begin(7, self.now_ns)
        self.frames += 1
        self.view.begin(self.frames, self.now_ns)
        self.view.now_ns = self.now_ns
        rules = SizeRules(
            sizing=SizingParams(), risk=RiskParams(), fee=Decimal("0.0005"), slip=Decimal("0.001"), stop=Decimal("0.01")
        )
        guards: list[Guard] = [
            RiskLimits(SafetyParams(), context()),
            Probation(ProbationParams(), context()),
            GUARDS[name],
        ]
        idea = signal(direction, ts_ns=self.now_ns)
        *emits, decision = Gate(guards, ids, rules, "hash-1").on(idea, self.view)
        assert isinstance(decision, Decision)
        return decision, [each for each in emits if isinstance(each, Emit)]


def assert_told(venue: Venue, name: str, direction: Direction, outcome: Outcome, age_s: float) -> None:
    decision, emits = venue.judged(name, direction)
    verdict = decision.verdicts[-1]
    assert verdict.outcome is outcome, verdict
    if outcome is ABSTAIN:
        assert verdict.reason
    else:
        assert (verdict.reading_source, verdict.reading_age_s) == ("own", age_s)
    blocks = [each for each in emits if each.kind == GUARDS[name].event]
    assert [(each.data["reading_source"], each.data["reading_age_s"]) for each in blocks] == (
        [("own", age_s)] if outcome is BLOCK else []
    )


@pytest.mark.parametrize(
    ("bought", "sold", "unbroken_s", "direction", "outcome"),
    [
        ("350000", "650000", 3600, LONG, BLOCK),
        ("350000.01", "649999.99", 3600, LONG, PASS),
        ("650000", "350000", 3600, LONG, PASS),
        ("650000", "350000", 3600, SHORT, BLOCK),
        ("350000", "650000", 3599, LONG, ABSTAIN),
    ],
)
def test_whales(bought: str, sold: str, unbroken_s: int, direction: Direction, outcome: Outcome) -> None:
    venue = Venue()
    venue.trade("1", True)
    venue.now_ns = T0 + (unbroken_s - 2) * NS
    for usd, buys in ((bought, True), (sold, False)):
        for share in (1, 2):  # two orders each
            venue.now_ns += MS * share
            venue.trade(str(Decimal(usd) / 2), buys)
    venue.now_ns = T0 + unbroken_s * NS
    assert_told(venue, "whale_cvd", direction, outcome, round((venue.now_ns - _last(venue)) / NS, 3))


def _last(venue: Venue) -> int:
    last_ns = venue.market.market(BTC).whale.last_ns
    assert last_ns is not None
    return last_ns


@pytest.mark.parametrize(
    ("bought", "sold", "unbroken_s", "outcome"),
    [
        ("1100000", "1000000", 300, BLOCK),
        ("1100000.01", "1000000", 300, PASS),
        ("25000", "24999.99", 300, ABSTAIN),
        ("1100000", "0", 300, ABSTAIN),
        ("2000000", "1000000", 299, ABSTAIN),
    ],
)
def test_takers(bought: str, sold: str, unbroken_s: int, outcome: Outcome) -> None:
    venue = Venue()
    venue.trade("0.001", True)
    venue.now_ns = T0 + 250 * NS
    venue.trade(bought, True)
    if sold != "0":
        venue.trade(sold, False)
    venue.now_ns = T0 + unbroken_s * NS
    assert_told(venue, "taker_5m", LONG, outcome, unbroken_s - 250.0)


@pytest.mark.parametrize(
    ("coins", "farthest", "seconds", "outcome"),
    [
        ("400", "69000", 61, PASS),  # 25,000,000 USD
        ("400.001", "69000", 61, BLOCK),
        ("400.001", "69000", 59, ABSTAIN),  # the book has not been looked at for a minute
        ("400", "62600", 61, ABSTAIN),  # not seen far enough
        ("400.001", "62600", 61, BLOCK),
    ],
)
def test_walls(coins: str, farthest: str, seconds: int, outcome: Outcome) -> None:
    venue = Venue()
    venue.book([["62500", coins], [farthest, "0.001"]])
    venue.trade("100", True)
    venue.wait(seconds)
    assert_told(venue, "walls", LONG, outcome, 0.0)
