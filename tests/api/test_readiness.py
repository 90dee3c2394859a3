"""When the engine counts as alive and as ready: each limit at its edge and one step beyond."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from bot.api.readiness import not_alive, not_ready
from bot.journal.writer import JournalStats
from bot.trading.risk import RiskParams

JOURNAL = JournalStats(depth=0, high_water=9, last_commit_ms=1.0, failure=None)
MARKET = {"symbol": "BTC/USDT:USDT", "usable": True, "book_age_s": 0.1, "stamped_ahead_s": 0.0}
LAG = {"p50": 1.0, "p99": 5.0, "max": 20.0}
STATUS = {"state": "ACTIVE", "state_reason": "book usable"}
RISK = RiskParams(book_max_age_s=2.0, clock_max_s=1.5)


def ready(
    state: dict[str, Any] | None = None, lag: Any = LAG, journal: dict[str, Any] | None = None, **market: Any
) -> list[str]:
    status = STATUS | (state or {}) | {"markets": [MARKET | market]}
    return not_ready(status, msgspec.structs.replace(JOURNAL, **(journal or {})), lag, RISK)


def test_nothing_wrong_is_ready() -> None:
    assert ready() == []
    assert ready(lag=None, stamped_ahead_s=None) == []  # not measured yet; a recording has no mark prices


@pytest.mark.parametrize("state", ["STARTING", "REDUCING", "HALTED"])
def test_only_active_is_ready_and_the_reason_is_told(state: str) -> None:
    assert ready({"state": state, "state_reason": "why"}) == [f"state is {state}: why"]


NAN = float("nan")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"journal": {"behind_s": 2.0}}, ""),
        ({"journal": {"behind_s": 2.1}}, "the journal is 2.1 s behind, limit 2 s"),
        ({"journal": {"running": False}}, "the journal's writer does not run"),
        ({"journal": {"failure": "disk full"}}, "disk full"),
        ({"lag": LAG | {"max": 2000.0}}, ""),
        ({"lag": LAG | {"max": 2001.0}}, "the loop was 2.0 s late"),
        ({"lag": LAG | {"max": NAN}}, "the loop was"),
        ({"stamped_ahead_s": 1.5}, ""),
        ({"stamped_ahead_s": -1.5}, ""),
        ({"stamped_ahead_s": 1.51}, "BTC/USDT:USDT: the venue's clock is +1.5 s from ours, limit 1.5 s"),
        ({"stamped_ahead_s": -1.6}, "BTC/USDT:USDT: the venue's clock is -1.6 s from ours, limit 1.5 s"),
        ({"stamped_ahead_s": NAN}, "clock"),
        ({"book_age_s": 2.0}, ""),
        ({"book_age_s": 2.1}, "BTC/USDT:USDT: the order book is 2.1 s old, limit 2 s"),
        ({"book_age_s": None}, "BTC/USDT:USDT: no usable order book"),
        ({"usable": False}, "BTC/USDT:USDT: no usable order book"),
    ],
)
def test_each_limit_at_its_edge(given: dict[str, Any], says: str) -> None:
    problems = ready(**given)
    assert len(problems) == bool(says), problems
    assert not says or says in problems[0]


def test_alive_is_a_writer_that_writes() -> None:
    def says(**journal: Any) -> list[str]:
        return not_alive(msgspec.structs.replace(JOURNAL, **journal))

    assert says() == says(behind_s=15.0) == []
    assert says(behind_s=15.1) == ["the journal is 15.1 s behind, limit 15 s"]
    assert says(running=False) and says(failure="disk full")
