"""The learning desk in a whole engine: fed by what the engine emits, heeded by gate and sizing, the same after a crash and in a replay."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from bot.app.logs import describe
from bot.app.replaying import replay
from bot.domain.messages import ApplyRequest, LearnRequest, UndoRequest
from bot.domain.reading import LongShort, MaxPain, OiDelta, Reading, Regime
from bot.domain.values import Direction, RegimeLabel
from bot.learning.ledger import Ledger
from bot.runtime.tape import Tape
from tests.build import reading
from tests.e2e.running import at, play, read, scripted, settings_for, write_tape
from tests.lives import Kill, live, story
from tests.world import COIN, World, settings

LONG, SHORT = Direction.LONG, Direction.SHORT
WARY: dict[str, Any] = {"learning": {"probation": {"loss_pct": "0.01"}}}


def loses(world: World) -> None:
    """A long that is stopped out."""
    world.pass_time(1)
    world.signal(LONG)
    world.pass_time(1)
    world.to(world.price)
    assert world.open
    for price in (9_950, 9_890, 9_880):
        world.pass_time(1)
        world.mark(f"{price / 10}")
        world.to(price)
    world.pass_time(2)
    world.to(9_880)
    assert not world.open


def told(world: World) -> str:
    lines = [describe(event) for event in world.events if event.kind != "ENGINE_STARTED"]
    return "\n".join(line for line in lines if line)


def put(world: World, name: str, value: Any, *, key: str = COIN.id, source: str = "venue") -> None:
    one: Reading[Any] = reading(name, value, key=key, source=source, now_ns=world.now_ns)
    world.read(one)


def trend(world: World, pain: str = "1020") -> None:
    """TRUE TREND upwards, max pain 2 % above."""
    put(world, "regime", Regime(label=RegimeLabel.TREND, hurst=0.7, z=3.0, sum_100=0.02, sum_12=0.01), source="own")
    put(world, "oi_delta_5m", OiDelta(pct=0.5))
    value = MaxPain(price=Decimal(pain), expiry="2025-10-11", notional_usd=Decimal(10**9), atm_iv_pct=60.0)
    put(world, "max_pain", value, key=COIN.base, source="deribit")


def cycles(world: World) -> int:
    return len(world.of_kind("LEARNING_CYCLE"))


def test_a_cycle_every_four_hours_also_across_crashes() -> None:
    world = World()
    for hour in range(9):
        world.pass_time(3600)
        world.to(world.price + hour % 3 - 1)
        if hour in (2, 3, 4):
            world.crash()
    assert cycles(world) == 2
    assert "LEARN cycle (scheduled)" in told(world)


def test_the_ledger_that_was_fed_is_the_one_a_reader_folds() -> None:
    world = World()
    loses(world)
    put(world, "long_short", LongShort(ratio=Decimal("2.5")))
    world.signal(LONG)
    world.say(LearnRequest(request_id="r"))
    folded = Ledger()
    folded.fold(world.events)
    assert world.parts.learning.ledger.asked == folded.asked
    before = world.parts.learning.answer(world.now_ns)
    world.crash()
    assert world.parts.learning.answer(world.now_ns) == before
    assert world.parts.learning.ledger.asked == folded.asked and world.parts.learning.ledger.live.of == folded.live.of


@pytest.mark.parametrize("rehearse", [True, False])
def test_a_symbol_on_probation_is_refused_before_and_after_a_crash(rehearse: bool) -> None:
    world = World(settings(**WARY))
    loses(world)
    world.signal(LONG)
    assert [event.data["blocker"] for event in world.of_kind("DECISION")] == [None, "probation"]
    world.pass_time(1)
    world.crash(rehearse=rehearse)
    world.pass_time(1)
    world.to(world.price)
    world.signal(SHORT)
    assert world.of_kind("DECISION")[-1].data["blocker"] == "probation"
    assert "PROBATION: no entries in COIN/USDT:USDT: lost" in told(world) and "PROBATION blocks" in told(world)


def test_a_multiplier_in_force_changes_the_size_of_that_strategy_alone() -> None:
    world, other = World(), World()
    step = {"subject": "strategy:outside", "at_ns": 0, "before": 1.0, "after": 0.8, "rules": world.parts.config_hash}
    world.parts.learning.take_over([step], [])
    other.parts.learning.take_over([{**step, "subject": "strategy:ofi"}], [])
    for each in (world, other):
        each.pass_time(1)
        each.signal(LONG)
    changed, same = (each.of_kind("DECISION")[0].data for each in (world, other))
    assert changed["multiplier"] == pytest.approx(same["multiplier"] * 0.8)
    assert Decimal(changed["quantity"]) < Decimal(same["quantity"])
    world.say(UndoRequest(request_id="u"))
    assert world.parts.view.learned("strategy:outside") == 1.0


@pytest.mark.parametrize(("required", "factor"), [(True, 0.5), (False, 0.625)])
def test_the_magnets_multiplier_asks_for_true_trend_as_it_is_set(required: bool, factor: float) -> None:
    world = World(settings(true_trend={"require_direction": required}))
    step = {"subject": "magnet_aligned", "at_ns": 0, "before": 1.0, "after": 1.25, "rules": world.parts.config_hash}
    world.parts.learning.take_over([step], [])
    world.pass_time(1)
    trend(world)
    put(world, "regime", Regime(label=RegimeLabel.TREND, hurst=0.7, z=3.0, sum_100=-0.02, sum_12=0.01), source="own")
    world.signal(LONG)
    (decision,) = world.of_kind("DECISION")
    assert decision.data["multiplier"] == factor  # half of it: no guard knows anything


def test_what_is_refused_is_journaled_with_its_reason() -> None:
    world = World()
    world.say(ApplyRequest(request_id="r", subject="risk_limits", anyway=True))
    (event,) = world.of_kind("ADJUSTMENT")
    assert {"type", "subject", "evidence", "significant", "applied"} <= event.data.keys()
    assert (event.data["applied"], event.data["reason"]) == (False, "there is no evidence about it")


@pytest.mark.parametrize("crashes", [False, True])
def test_a_touch_of_max_pain_by_the_mark(crashes: bool) -> None:
    world = World()
    world.pass_time(1)
    trend(world)
    world.signal(LONG)
    world.pass_time(1)
    world.to(world.price)
    window, twin = world.of_kind("MAX_PAIN_WINDOW")  # the position's, and that of its twin in the shadow book
    assert {window.data["position_id"], twin.data["position_id"]} == {
        world.of_kind(kind)[0].data["position_id"] for kind in ("POSITION_OPENED", "SHADOW_OPENED")
    }
    assert window.data["volatility_source"] == "implied" and 0 < window.data["chance"] < 1
    if crashes:
        world.crash()
    world.pass_time(5)
    world.mark("1014.8")
    assert not world.of_kind("MAX_PAIN_RESULT")
    world.mark("1014.9")  # 0.5 % under 1,020
    results = {event.data["position_id"]: event for event in world.of_kind("MAX_PAIN_RESULT")}
    assert len(results) == 2
    opened = world.of_kind("POSITION_OPENED")[0].data["position_id"]
    assert (results[opened].data["hit"], results[opened].data["window_s"]) == (True, 2700.0)
    assert "MAX-PAIN of COIN/USDT:USDT hit in 45 min" in told(world)


def test_exploring_takes_some_of_what_guards_refuse_and_marks_it_to_the_end() -> None:
    world = World(settings(learning={"explore_share": 0.5}))
    for _ in range(12):
        world.pass_time(1)
        put(world, "long_short", LongShort(ratio=Decimal("2.5")))
        world.signal(LONG)
        world.pass_time(1)
        world.to(world.price)
        if world.open:
            break
    decisions = [event.data for event in world.of_kind("DECISION")]
    assert decisions[-1]["explored"] and not any(data["explored"] for data in decisions[:-1])
    assert world.of_kind("LONG_TRAP_DETECTED")[-1].data["signal_id"] == decisions[-1]["signal_id"]
    world.crash()
    for kind in ("POSITION_ENTERED", "POSITION_OPENED"):
        assert world.of_kind(kind)[-1].data["explored"] is True
    position = world.parts.portfolio.position(COIN.id)
    assert position is not None and position.explored


def test_a_run_across_a_cycle_decides_as_its_replay(tmp_path: Path) -> None:
    """The recording begins shortly before midnight; the async engine and the replay's loop must agree on the cycle too."""
    frames = [*scripted(), read(346, "long_short", LongShort(ratio=Decimal("1.5")), source="venue")]
    options: dict[str, Any] = {"risk": {"cooldown_s": 0}}
    played = play(tmp_path, frames, **options)
    (cycle,) = played.of("LEARNING_CYCLE")
    assert cycle["type"] == "scheduled" and cycle["evidence"]["signals"] == 3
    results = played.of("MAX_PAIN_RESULT")
    assert [result["hit"] for result in results] == [None] * len(results) != []  # five minutes of the tape are missing
    again = [replay(settings_for(tmp_path / "data", tmp_path / "tape", **options)) for _ in range(2)]
    assert {outcome.summary["digest"] for outcome in again} == {played.outcome.summary["digest"]}


@pytest.mark.parametrize("lost", [0, 1, 2, 5])
def test_kills_around_a_cycle_change_nothing(tmp_path: Path, lost: int) -> None:
    """Midnight is 344.97 s after the recording's start."""
    late = [read(340 + i / 2, "long_short", LongShort(ratio=Decimal("1.5")), source="venue") for i in range(16)]
    tape = Tape.open(write_tape(tmp_path / "tape", [*scripted(), *late]))
    wary = {"probation": {"loss_pct": "0.0001"}}
    chosen = settings_for(tmp_path, tape.path, risk={"cooldown_s": 0}, learning=wary)
    calm = live(chosen, tape)
    assert [event.kind for event in calm.events].count("LEARNING_CYCLE") == 1
    killed = live(chosen, tape, [Kill(at(7)), Kill(at(344.5), lost), Kill(at(345.2), lost), Kill(at(346), lost)])
    assert killed.sessions == 5
    assert story(killed.events) == story(calm.events)
    assert killed.parts.learning.in_force()[1] == calm.parts.learning.in_force()[1] != []
