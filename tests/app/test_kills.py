"""An account whose engine is killed again and again on a recording has the same story as one whose engine never was: every
decision, order, fill and cent, at the same times and for the same causes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest

from bot.runtime.tape import Tape
from bot.sim.presets import preset
from bot.sim.synthetic import write_tape
from tests.e2e.running import settings_for
from tests.lives import Account, Kill, live, standing, story

LIVELY: dict[str, Any] = {  # several positions within minutes, each with all that can happen to it
    "symbols": ("BTC/USDT:USDT", "ETH/USDT:USDT"),
    "strategies": ("ofi", "trend"),
    "ladder": {"targets_pct": ["0.04", "0.08", "0.12", "0.4"]},
    "stop": {"pct": "0.1"},
    "hold": {"min_s": 120, "extended_s": 180},
    "exits": {"trailing": True, "trail_interval_s": 5, "time_stop_s": 100},
    "strategy": {"ofi": {"threshold_depths": 6.0, "min_interval_s": 5}},
    "risk": {"cooldown_s": 5, "stop_cooldown_s": 5, "entries_per_symbol_day": 1000, "entries_per_day": 1000},
}
AT_ONCE = {"latency_ms": 0, "latency_p99_ms": 0}
UNEVENLY = {"latency_ms": 50, "latency_p99_ms": 20_000}
SEED = 14  # of minutes with stops, holds, deferred exits, a trailed stop and break-even


@pytest.fixture(scope="module")
def tape(tmp_path_factory: pytest.TempPathFactory) -> Tape:
    folder = tmp_path_factory.mktemp("kills") / "tape"
    write_tape(preset("day", seed=SEED, hours=0.15, symbols=2), folder)
    return Tape.open(folder)


def accounts(tape: Tape, kills: Sequence[Kill] | None = None, **groups: Any) -> tuple[Account, Account]:
    """One that is left alone, and one that is killed: where it says, or wherever anything was told to happen."""
    settings = settings_for(Path("unused"), tape.path, **{**LIVELY, **groups})
    calm = live(settings, tape)
    if kills is None:
        chance, moments = Random(1), [event.ts for event in calm.events[2:-1]]
        kills = [Kill(at_ns, chance.randrange(7)) for at_ns in sorted(chance.sample(moments, 20))]
    return calm, live(settings, tape, kills)


def the_same(calm: Account, killed: Account) -> bool:
    assert not [event.data for event in killed.events if event.kind == "DISCREPANCY"]
    for expected, seen in zip(story(calm.events), story(killed.events), strict=False):
        assert seen == expected
    assert len(story(killed.events)) == len(story(calm.events))
    return standing(killed) == standing(calm)


def test_fifty_kills_at_random_frames(tape: Tape) -> None:
    """Some of them while the events of the last frames are not on the disk yet."""
    chance, moments = Random(50), [frame.recv_ns for frame in tape.frames()]
    kills = [Kill(at_ns, chance.choice((0, 0, 1, 3))) for at_ns in sorted(chance.sample(moments[:-1], 50))]
    calm, killed = accounts(tape, kills)
    assert killed.sessions == 51
    told = [event.kind for event in calm.events]
    for kind, at_least in (
        ("POSITION_CLOSED", 10),
        ("FILL", 20),
        ("EXIT_DEFERRED", 5),
        ("TRAIL_ADVANCED", 3),
        ("BREAK_EVEN", 2),
    ):
        assert told.count(kind) >= at_least, "or the test shows nothing"
    assert the_same(calm, killed)


@pytest.mark.parametrize("paper", [AT_ONCE, UNEVENLY], ids=["at once", "unevenly"])
def test_kills_where_things_happen(tape: Tape, paper: dict[str, int]) -> None:
    """Commands on their way, reports not taken yet, a frame's orders of which only some were told as sent."""
    assert the_same(*accounts(tape, paper=paper))


def test_killed_before_and_right_after_the_first_frame(tape: Tape) -> None:
    """An engine that has begun has taken nothing; nor has the one after it."""
    first_ns = tape.first_ns()
    assert the_same(*accounts(tape, [Kill(first_ns), Kill(first_ns), Kill(first_ns + 1), Kill(first_ns + 10**9, 1)]))
