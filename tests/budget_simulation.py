"""How many symbols keep every CoinGlass reading fresh: our scheduler, earliest deadline, round-robin, and the arithmetic
bound, on a virtual clock. `python -m tests.budget_simulation` prints the table; tests/intel/test_scheduler.py uses a short form.

The bound: each call buys its reading one life (max age), so a symbol needs the sum of 1 / max age calls a second, and the budget
gives 24 (or 80 % of the plan) in 61 s. A plan's calls, lives and paces are those of the product page ("Readings").
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol

from bot.domain.values import NS
from bot.intel.scheduler import Scheduler, Want

WINDOW_S = 61.0
LATENCY_NS = 300_000_000
WARM_UP_S, LENGTH_S = 1200, 3600
COIN_KINDS = {  # calls of one coin: (name, times, refresh, max age); max pain is of BTC and ETH alone
    "hobbyist": [("taker_5m", 1, 60, 120), ("oi_delta_5m", 1, 60, 120)],
    "standard": [
        ("taker_5m", 1, 60, 120),
        ("oi_delta_5m", 1, 60, 120),
        ("long_short", 1, 300, 900),
        ("walls", 3, 30, 90),
    ],
}
COIN_KINDS["professional"] = [*COIN_KINDS["standard"], ("liquidation_clusters", 1, 300, 600)]
PER_MINUTE = {"hobbyist": 24, "standard": 240, "professional": 960}
OPTION_COINS = 2


class Chooser(Protocol):
    def next(self, now_ns: int) -> Want | None: ...
    def due_ns(self) -> int | None: ...
    def asked(self, call: str, now_ns: int) -> None: ...
    def got(self, call: str, observed_ns: int, now_ns: int) -> None: ...


class RoundRobin:
    """One call after the other, whatever is due and when it goes stale."""

    def __init__(self, wants: Iterable[Want]) -> None:
        self._turns = deque(wants)

    def next(self, now_ns: int) -> Want | None:
        return self._turns[0]

    def due_ns(self) -> int | None:
        return 0

    def asked(self, call: str, now_ns: int) -> None:
        self._turns.rotate(-1)

    def got(self, call: str, observed_ns: int, now_ns: int) -> None:
        pass


class EarliestDeadline:
    """Only that: nothing given up, nothing looked ahead."""

    def __init__(self, wants: Iterable[Want]) -> None:
        self._wants = {want.call: want for want in wants}
        self._due = dict.fromkeys(self._wants, 0)
        self._stale = dict.fromkeys(self._wants, 0)

    def next(self, now_ns: int) -> Want | None:
        due = [call for call, at_ns in self._due.items() if at_ns <= now_ns]
        return self._wants[min(due, key=self._stale.__getitem__)] if due else None

    def due_ns(self) -> int | None:
        return min(self._due.values())

    def asked(self, call: str, now_ns: int) -> None:
        self._due[call] = now_ns + int(self._wants[call].refresh_s * NS)

    def got(self, call: str, observed_ns: int, now_ns: int) -> None:
        self._stale[call] = observed_ns + int(self._wants[call].max_age_s * NS)


def wants_of(symbols: int, plan: str) -> list[Want]:
    wants = []
    for index in range(symbols):
        kinds = COIN_KINDS[plan] + [("max_pain", 1, 300, 900)] * (index < OPTION_COINS)
        for name, times, refresh_s, max_age_s in kinds:
            for number in range(times):
                coin = f"C{index}"
                wants.append(Want(f"{name} {coin} {number}", ((name, coin),), float(refresh_s), float(max_age_s)))
    return wants


def bound(plan: str, per_minute: int | None = None) -> int:
    """The most symbols whose calls fit into the budget by arithmetic."""
    rate = (per_minute or PER_MINUTE[plan]) / WINDOW_S
    symbols = 0
    while sum(1 / want.max_age_s for want in wants_of(symbols + 1, plan)) <= rate:
        symbols += 1
    return symbols


class Outcome(NamedTuple):
    symbols: int
    always_fresh: int  # symbols none of whose readings was ever stale after the warm-up
    fresh_pct: float  # of all readings, over time
    never_fresh: int  # calls that were not made once


def simulate(
    make: Callable[[list[Want]], Chooser],
    symbols: int,
    plan: str,
    *,
    length_s: int = LENGTH_S,
    engines: int = 1,
    per_minute: int | None = None,
) -> Outcome:
    """`engines` share the budget alike, so this one has every n-th call. `per_minute`: another budget than the plan's."""
    wants = wants_of(symbols, plan)
    chooser = make(wants)
    slot_ns = int(WINDOW_S * NS / (per_minute or PER_MINUTE[plan])) * engines
    fresh_until = {want.call: 0 for want in wants}
    stale_ns = dict.fromkeys(fresh_until, 0)
    now_ns, start_ns, end_ns = NS, WARM_UP_S * NS, (WARM_UP_S + length_s) * NS
    arriving: deque[tuple[int, Want]] = deque()
    while now_ns < end_ns:
        while arriving and arriving[0][0] <= now_ns:
            at_ns, want = arriving.popleft()
            stale_ns[want.call] += max(0, at_ns - max(start_ns, fresh_until[want.call]))
            fresh_until[want.call] = at_ns + int(want.max_age_s * NS)
            chooser.got(want.call, at_ns, at_ns)
        if (chosen := chooser.next(now_ns)) is None:
            due_ns = chooser.due_ns()
            now_ns = max(now_ns + NS // 10, min(due_ns or end_ns, arriving[0][0] if arriving else end_ns))
            continue
        chooser.asked(chosen.call, now_ns)
        arriving.append((now_ns + LATENCY_NS, chosen))
        now_ns += slot_ns
    for call, until_ns in fresh_until.items():
        stale_ns[call] += max(0, end_ns - max(start_ns, until_ns))
    lapsed = {want.serves[0][1] for want in wants if stale_ns[want.call]}
    never = sum(1 for want in wants if not fresh_until[want.call])
    share = 1 - sum(stale_ns.values()) / len(wants) / (end_ns - start_ns)
    return Outcome(symbols, symbols - len(lapsed), share * 100, never)


def most_fresh(make: Callable[[list[Want]], Chooser], plan: str, *, length_s: int = LENGTH_S) -> int:
    """The largest number of symbols all of which are fresh all the time."""
    symbols = bound(plan) + 1
    while symbols and simulate(make, symbols, plan, length_s=length_s).always_fresh < symbols:
        symbols -= 1
    return symbols


CHOOSERS: dict[str, Callable[[list[Want]], Chooser]] = {
    "ours": Scheduler,
    "earliest deadline": EarliestDeadline,
    "round-robin": RoundRobin,
}


def main() -> None:
    for plan in sys.argv[1:] or ["hobbyist"]:
        limit = bound(plan)
        print(f"{plan}: {PER_MINUTE[plan]} calls in {WINDOW_S:.0f} s, arithmetic bound {limit} symbols")
        for name, make in CHOOSERS.items():
            most = most_fresh(make, plan)
            print(f"  {name:18} every symbol fresh: up to {most} ({100 * most / limit:.1f} % of the bound)")
            for factor in (1.3, 2.0):
                out = simulate(make, int(limit * factor), plan)
                print(
                    f"    of {out.symbols} symbols: {out.always_fresh} always fresh; "
                    f"{out.fresh_pct:.1f} % of all readings at any time"
                )


if __name__ == "__main__":
    main()
