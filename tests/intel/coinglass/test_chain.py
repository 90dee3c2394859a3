"""From CoinGlass' answer to a guard's verdict: each guard that reads it blocks, passes and abstains at its exact edge."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from bot.domain.events import Emit
from bot.domain.ids import IdSource
from bot.domain.ports import Guard
from bot.domain.values import ABSTAIN, BLOCK, PASS, Decision, Outcome
from bot.trading.gate import Gate
from bot.trading.guards.base import SafetyParams
from bot.trading.guards.liquidation_wall import LiquidationWall, LiquidationWallParams
from bot.trading.guards.long_trap import LongTrap, LongTrapParams
from bot.trading.guards.probation import Probation, ProbationParams
from bot.trading.guards.risk_limits import RiskLimits
from bot.trading.guards.taker_aggression import TakerAggression, TakerAggressionParams
from bot.trading.guards.wall_resistance import WallResistance, WallResistanceParams
from bot.trading.risk import RiskParams
from bot.trading.sizing import SizeRules, SizingParams
from tests.build import FakeView, context, signal
from tests.intel.coinglass.stage import BTC, Stage, stage
from tests.servers import coinglass as cg

GUARDS: dict[str, Guard] = {
    "taker_5m": TakerAggression(TakerAggressionParams(), context()),
    "long_short": LongTrap(LongTrapParams(), context()),
    "liquidation_clusters": LiquidationWall(LiquidationWallParams(), context()),
    "walls": WallResistance(WallResistanceParams(), context()),
}
COIN_OI = 1_000_000


def taker(buy: float, sell: float) -> dict[str, Any]:
    return {cg.TAKER: {"symbol": "BTC", "buy_vol_usd": buy, "sell_vol_usd": sell, "exchange_list": []}}


def ratio(value: float, long_pct: float) -> Any:
    row = cg.fixture("global-long-short-account-ratio-history")["data"][0]
    row |= {"global_account_long_short_ratio": value, "global_account_long_percent": long_pct}
    row |= {"global_account_short_percent": 100 - long_pct, "time": 1_795_132_500_000}
    return {cg.CROWD: [row]}


def cluster(usd: float) -> Any:
    candles = [[1_795_132_800, "1", "1", "1", "65000.0", "1"]]
    return {
        cg.HEATMAP: {
            "y_axis": [65_200.0],
            "liquidation_leverage_data": [[0, 0, usd]],
            "price_candlesticks": candles,
        }
    }


def wall(usd: float) -> Any:
    row = cg.fixture("orderbook-large-limit-order")["data"][0]
    row |= {"price": 65_200, "current_usd_value": usd, "order_side": 1}
    return {cg.ORDERS: [row | {"start_time": 1_795_132_700_000, "current_time": 1_795_132_790_000}]}


def interest() -> Any:
    """65,000 USD a coin."""
    row = {"symbol": "BTC", "open_interest_usd": COIN_OI * 65_000, "open_interest_quantity": COIN_OI}
    return {cg.INTEREST: [row | {"exchange": name} for name in ("All", "Binance")]}


def judged(it: Stage, name: str) -> tuple[Decision, list[Emit]]:
    """What the gate says and journals of a long, with the reading as the store has it."""
    ids = IdSource(account="main", session=1)
    ids.begin(7, it.clock.ns)
    rules = SizeRules(
        sizing=SizingParams(), risk=RiskParams(), fee=Decimal("0.0005"), slip=Decimal("0.001"), stop=Decimal("0.01")
    )
    guards: list[Guard] = [RiskLimits(SafetyParams(), context()), Probation(ProbationParams(), context()), GUARDS[name]]
    view = FakeView(now_ns=it.clock.ns)
    key = "BTC" if name == "walls" else BTC.id
    view.put(it.store.best(name, key, it.clock.ns))
    *emits, decision = Gate(guards, ids, rules, "hash-1").on(signal(ts_ns=it.clock.ns), view)
    assert isinstance(decision, Decision)
    return decision, [emit for emit in emits if isinstance(emit, Emit)]


@pytest.mark.parametrize(
    ("name", "data", "outcome"),
    [
        ("taker_5m", taker(1_100_000, 1_000_000), BLOCK),
        ("taker_5m", taker(1_100_000.01, 1_000_000), PASS),
        ("taker_5m", taker(0, 49_999.99), ABSTAIN),
        ("taker_5m", taker(60_000, 0), ABSTAIN),
        ("long_short", ratio(2.0, 66.67), PASS),
        ("long_short", ratio(2.01, 66.78), BLOCK),
        ("long_short", ratio(-2.01, 66.78), ABSTAIN),
        ("liquidation_clusters", cluster(325_000_000), BLOCK),
        ("liquidation_clusters", cluster(324_999_999.99), PASS),
        ("liquidation_clusters", {cg.HEATMAP: []}, ABSTAIN),
        ("walls", wall(25_000_000), PASS),
        ("walls", wall(25_000_000.01), BLOCK),
        ("walls", {cg.ORDERS: {}}, ABSTAIN),
    ],
)
async def test_from_the_wire_to_the_journal(name: str, data: Any, outcome: Outcome) -> None:
    async with stage() as it:
        it.server.level = "PROFESSIONAL"
        it.server.data = interest() | data
        it.open(wall_venues=("Binance",))
        await it.run(40)
        decision, emits = judged(it, name)
        verdict = decision.verdicts[-1]
        assert verdict.outcome is outcome
        if outcome is ABSTAIN:
            assert verdict.reason
        else:
            assert verdict.reading_source == "coinglass" and verdict.reading_age_s is not None
            assert 0 <= verdict.reading_age_s <= 345  # the crowd's row is of 5 minutes ago
        blocks = [emit for emit in emits if emit.kind == GUARDS[name].event]
        assert len(blocks) == (outcome is BLOCK)
        assert all(emit.data["reading_source"] == "coinglass" for emit in blocks)


@pytest.mark.parametrize("name", ["long_short", "liquidation_clusters", "walls"])
async def test_on_the_smallest_plan_these_guards_abstain_and_say_why(name: str) -> None:
    async with stage() as it:
        it.open()
        await it.run(40)
        decision, _ = judged(it, name)
        assert decision.verdicts[-1].outcome is ABSTAIN
        assert "not in plan hobbyist" in decision.verdicts[-1].reason
