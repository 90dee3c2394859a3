"""The null benchmark at length: `python -m tests.null`. On a driftless walk no exit rule wins or loses more than its costs.

Prints each combination of ladder, stop, hold and break-even with its gross mean and standard error, net mean and costs, in percent
of the entry's value. Ends with 1 where a gross mean is 3 standard errors from nothing, or the net mean from the costs.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from bot.app.settings import Settings
from tests import world
from tests.null_market import NullMarket, Result, Steps

FAR: dict[str, Any] = {"targets_pct": ("0.5", "1", "1.5", "2"), "fractions": ("0", "0", "0", "1")}
ONE: dict[str, Any] = {"targets_pct": ("0.5", "1", "1.5", "2"), "fractions": ("1", "0", "0", "0")}


class Case(NamedTuple):
    groups: dict[str, Any]
    market: Mapping[str, Any] = MappingProxyType({})


CASES = {
    "default ladder, break-even": Case({}),
    "default ladder, no break-even": Case({"exits": {"break_even": False}}),
    "one target 0.5 %, stop 1 %": Case({"ladder": ONE, "exits": {"break_even": False}}),
    "one far tier, break-even": Case({"ladder": FAR}),
    "TRUE TREND, hold and time stop": Case(
        {"exits": {"time_stop_s": 600}}, {"true_trend": True, "steps": Steps(longest=150)}
    ),
    "ATR stop": Case({"stop": {"mode": "atr"}}, {"atr": 40.0}),
    "trailing": Case({"exits": {"trailing": True}}, {"atr": 20.0, "steps": Steps(longest=60)}),
    "time stop": Case({"exits": {"time_stop_s": 1800}}, {"steps": Steps(longest=100)}),
    "tight stop 0.3 %": Case({"stop": {"pct": "0.3"}}),
    "wide stop 3 %": Case({"stop": {"pct": "3"}}),
}


def chosen(**groups: Any) -> Settings:
    return world.settings(**{"paper": {"equity_usd": "10000000"}, **groups})


def measured(name: str, n: int, seed: int) -> Result:
    case = CASES[name]
    return NullMarket(chosen(**case.groups), seed=seed, **case.market).run(n)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--positions", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    print(f"{'combination':32}{'n':>7}{'wins %':>8}{'gross %':>20}{'net %':>9}{'costs %':>9}  verdict")
    unfair = 0
    for name in CASES:
        r = measured(name, given.positions, given.seed)
        unfair += not r.fair
        gross = f"{r.gross:+.4f} +- {r.error:.4f}"
        verdict = "fair" if r.fair else "BIASED"
        print(f"{name:32}{r.n:7}{100 * r.win_rate:8.1f}{gross:>20}{r.net:9.4f}{r.costs:9.4f}  {verdict}", flush=True)
    return 1 if unfair else 0


if __name__ == "__main__":
    raise SystemExit(main())
