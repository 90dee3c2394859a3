"""The rules all guards share: what makes a module a guard, and what each does when its reading is no good."""

from __future__ import annotations

import importlib
import pkgutil
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

import bot.trading.guards as package
from bot.domain.ports import Guard
from bot.domain.reading import (
    LiquidationClusters,
    LongShort,
    Taker,
    Walls,
    WhaleCvd,
)
from bot.domain.values import Direction, Outcome
from bot.trading.guards.base import DataGuard, GuardBase, plain, shown
from tests.build import FakeView, context, reading, signal

PAYLOADS: dict[str, Any] = {
    "taker_5m": Taker(buy_usd=Decimal(200_000), sell_usd=Decimal(100_000)),
    "long_short": LongShort(ratio=Decimal("1.2")),
    "whale_cvd": WhaleCvd(direction=Direction.LONG, intensity=50.0),
    "liquidation_clusters": LiquidationClusters(clusters=(), open_interest_usd=Decimal(10**9)),
    "walls": Walls(asks=(), bids=(), ask_coverage_pct=5.0, bid_coverage_pct=5.0, institutional_usd=Decimal(25_000_000)),
}
SAFETY = {"risk_limits", "probation"}
DATA = {"liquidation_wall", "long_trap", "whale_conflict", "taker_aggression", "wall_resistance"}


def load(name: str) -> type[GuardBase[Any]]:
    """The class in module `name` whose name is `name`: how a guard is found without a list of guards."""
    module = importlib.import_module(f"{package.__name__}.{name}")
    found: list[type[GuardBase[Any]]] = [
        value for value in vars(module).values() if isinstance(value, type) and getattr(value, "name", None) == name
    ]
    assert len(found) == 1, f"{name}: {found}"
    return found[0]


NAMES = sorted(info.name for info in pkgutil.iter_modules(package.__path__) if info.name != "base")


def make(name: str, **settings: Any) -> Any:
    guard = load(name)
    return guard(guard.Params(**settings), context())


def test_every_module_is_one_guard() -> None:
    guards: list[Guard] = [make(name) for name in NAMES]
    assert {g.name for g in guards if g.safety} == SAFETY
    assert {g.name for g in guards if g.needs} == DATA
    assert {g.name for g in guards} == SAFETY | DATA | {"session_window"}
    assert len({g.event for g in guards}) == len(guards)
    assert {g.name: g.event for g in guards} == {
        "risk_limits": "RISK_LIMIT_BLOCK",
        "probation": "PROBATION_BLOCK",
        "session_window": "SESSION_WINDOW_BLOCK",
        "liquidation_wall": "LIQ_WALL_CONFLICT",
        "long_trap": "LONG_TRAP_DETECTED",
        "whale_conflict": "WHALE_CONFLICT",
        "taker_aggression": "TAKER_AGGRESSION_BLOCK",
        "wall_resistance": "WALL_RESISTANCE_BLOCK",
    }


@pytest.mark.parametrize("name", NAMES)
def test_default_state(name: str) -> None:
    assert load(name).Params().model_dump()["enabled"] is (name != "session_window")


@pytest.mark.parametrize("name", sorted(SAFETY))
def test_a_safety_guard_cannot_be_switched_off(name: str) -> None:
    load(name).Params.model_validate({"enabled": True})
    with pytest.raises(ValidationError, match="cannot be switched off"):
        load(name).Params.model_validate({"enabled": False})


@pytest.mark.parametrize("name", sorted(DATA))
def test_a_fresh_reading_is_judged(name: str) -> None:
    guard = make(name)
    view = FakeView(reading(guard.needs[0], PAYLOADS[guard.needs[0]], age_s=1.23456, source="exchange"))
    verdict = guard.check(signal(), view)
    assert verdict.outcome is Outcome.PASS
    assert (verdict.guard, verdict.version) == (name, 1)
    assert (verdict.reading_source, verdict.reading_age_s) == ("exchange", 1.235)
    assert verdict.threshold is not None


@pytest.mark.parametrize(("on_missing", "outcome"), [("allow", Outcome.ABSTAIN), ("block", Outcome.BLOCK)])
@pytest.mark.parametrize("name", sorted(DATA))
def test_a_reading_that_is_no_good(name: str, on_missing: str, outcome: Outcome) -> None:
    guard = make(name, on_missing=on_missing)
    needs = guard.needs[0]

    stale = guard.check(signal(), FakeView(reading(needs, PAYLOADS[needs], age_s=150, max_age_s=120)))
    assert stale.outcome is outcome
    assert stale.reason == f"{needs} STALE: 150 s old, limit 120 s"
    assert (stale.value, stale.reading_source, stale.reading_age_s) == (None, "test", 150.0)

    missing = guard.check(signal(), FakeView(reading(needs, source="coinglass", reason="not in plan")))
    assert missing.outcome is outcome
    assert missing.reason == f"{needs} MISSING: not in plan"
    assert (missing.value, missing.reading_source, missing.reading_age_s) == (None, "coinglass", None)

    edge = guard.check(signal(), FakeView(reading(needs, PAYLOADS[needs], age_s=120, max_age_s=120)))
    assert edge.outcome is Outcome.PASS


@pytest.mark.parametrize("name", sorted(DATA - {"wall_resistance"}))
def test_only_walls_are_judged_when_partial(name: str) -> None:
    guard = make(name)
    view = FakeView(reading(guard.needs[0], PAYLOADS[guard.needs[0]], partial=True, reason="half of it"))
    verdict = guard.check(signal(), view)
    assert verdict.outcome is Outcome.ABSTAIN
    assert verdict.reason == f"{guard.needs[0]} PARTIAL: half of it"


@pytest.mark.parametrize("name", sorted(DATA - {"whale_conflict"}))
def test_longs_only_unless_mirrored(name: str) -> None:
    off, on = make(name), make(name, mirror_short=True)
    assert [g.applies(d) for g in (off, on) for d in (Direction.LONG, Direction.SHORT)] == [True, False, True, True]
    verdict = off.check(signal(Direction.SHORT), FakeView())
    assert (verdict.outcome, verdict.reason) == (Outcome.PASS, "filters longs only")
    assert (verdict.value, verdict.threshold, verdict.reading_source) == (None, None, None)
    assert on.check(signal(Direction.SHORT), FakeView()).outcome is Outcome.ABSTAIN


def test_whale_conflict_applies_both_ways() -> None:
    guard = make("whale_conflict")
    assert guard.applies(Direction.LONG)
    assert guard.applies(Direction.SHORT)
    assert isinstance(guard, DataGuard)
    with pytest.raises(ValidationError):
        load("whale_conflict").Params.model_validate({"mirror_short": True})


def test_numbers_are_plain_text() -> None:
    assert shown(Decimal("1.10005")) == "1.1000"  # half to even, and only for showing
    assert shown(2.5e-7) == "0.0000"
    assert plain(Decimal("1E+2")) == "100"
    assert plain(30.0) == "30.0"
