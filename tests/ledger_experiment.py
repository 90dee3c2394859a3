"""How often the ledger is wrong: `python -m tests.ledger_experiment`. One guard that helps, one that harms, five of noise.

Thirty days of signals, the ledger looked at every 4 h as the learning cycle does. A noise guard that is ever called helpful or
harmful is a false verdict; the rate over all noise guards must not exceed 5 %. Trades of one block share a shock, so that
counting trades instead of blocks would be found out. Ends with 1 where the rate is higher, or a real guard is missed in more
than one history of ten.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from random import Random

from bot.learning.ledger import Ledger
from bot.learning.results import Judgement, Score
from bot.learning.scores import score
from tests.learning.histories import HOUR, History

HELPFUL, HARMFUL = "helps", "harms"
NOISE = tuple(f"noise_{i}" for i in range(1, 6))
GUARDS = (HELPFUL, HARMFUL, *NOISE)
DAYS = 30
LOOKS = DAYS * 6
EDGE_R = 0.5  # of what the helpful and the harmful guard refuse; noise refuses trades worth nothing
MAX_FALSE = 0.05


@dataclass
class Found:
    """Over all histories so far. `false` are noise guards that were ever judged, of `noise`."""

    histories: int = 0
    noise: int = 0
    false: int = 0
    helpful: int = 0
    harmful: int = 0
    wrong_way: int = 0  # real guards that were ever judged the other way
    blocks: list[int] = field(default_factory=list)

    @property
    def false_rate(self) -> float:
        return self.false / self.noise

    @property
    def power(self) -> float:
        return min(self.helpful, self.harmful) / self.histories


def run(seeds: range) -> Found:
    found = Found()
    for seed in seeds:
        _look(found, seed)
    return found


def _look(found: Found, seed: int) -> None:
    random, history, ledger = Random(seed), History(GUARDS), Ledger()
    said: dict[str, set[Judgement]] = {guard: set() for guard in GUARDS}
    for _ in range(LOOKS):
        seen = len(history.events)
        _block(history, random)
        ledger.fold(history.events[seen:])
        last = score(ledger, now_ns=history.now_ns)
        for row in last.guards:
            said[row.guard].add(row.judgement)
    _add(found, said, last)


def _block(history: History, random: Random) -> None:
    """Four hours in which each guard refuses about two signals alone, two refuse one together, and some are allowed."""
    shock = random.gauss(0, 0.5)
    for _ in range(4):
        for guard in GUARDS:
            if random.random() < 0.5:
                history.refused(_result(guard, shock, random), [guard])
        if random.random() < 0.3:
            history.refused(_result(HELPFUL, shock, random), [HELPFUL, NOISE[0]])
        history.decide(abstains=NOISE[:2])
        history.wait(HOUR)


def _result(guard: str, shock: float, random: Random) -> float:
    """R of a trade with a stop and a skewed ladder, mean 0 but for the edge."""
    edge = {HELPFUL: -EDGE_R, HARMFUL: EDGE_R}.get(guard, 0.0)
    own = -1.0 if random.random() < 0.55 else random.expovariate(0.45 / 0.55)
    return edge + shock + own


def _add(found: Found, said: dict[str, set[Judgement]], last: Score) -> None:
    final = {row.guard: row for row in last.guards}
    found.histories += 1
    found.noise += len(NOISE)
    found.false += sum(bool(said[guard] - {Judgement.NOT_ENOUGH}) for guard in NOISE)
    found.helpful += final[HELPFUL].judgement is Judgement.HELPFUL
    found.harmful += final[HARMFUL].judgement is Judgement.HARMFUL
    found.wrong_way += (Judgement.HARMFUL in said[HELPFUL]) + (Judgement.HELPFUL in said[HARMFUL])
    found.blocks.append(final[HELPFUL].value.effective_n)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=100)
    seeds = max(1, parser.parse_args().seeds)
    found = run(range(seeds))
    print(f"{seeds} histories of {DAYS} days, {LOOKS} looks each, {len(NOISE)} noise guards")
    print(f"false verdicts on noise guards, ever: {found.false} of {found.noise} ({100 * found.false_rate:.1f} %)")
    print(
        f"the helpful guard found in {found.helpful}, the harmful one in {found.harmful}; wrong way: {found.wrong_way}"
    )
    print(f"effective n at the end: {min(found.blocks)} to {max(found.blocks)}")
    return 0 if found.false_rate <= MAX_FALSE and found.power >= 0.9 else 1


if __name__ == "__main__":
    raise SystemExit(main())
