"""How a figure is measured, and the table that shows it.

CPU time, not wall time, wherever a figure is about computing: the machine may be busy with something else. Contenders take
turns within each round, and what counts is the median of the rounds.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import ceil
from statistics import median
from time import process_time

Run = Callable[[], object]


def interleaved(contenders: Mapping[str, Callable[[], Run]], rounds: int) -> dict[str, float]:
    """Median CPU seconds of each. A contender makes a fresh state, untimed, and returns what is timed."""
    spent_s: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, fresh in contenders.items():
            run = fresh()
            gc.collect()
            started = process_time()
            run()
            spent_s[name].append(process_time() - started)
    return {name: median(times) for name, times in spent_s.items()}


def settle_memory() -> None:
    """What a part has prepared is nobody's garbage: no collector should walk it while something is timed."""
    gc.collect()
    gc.freeze()


def percentile(values: list[float], share: float) -> float:
    """The smallest value that at least `share` of all do not exceed."""
    ordered = sorted(values)
    return ordered[max(1, ceil(share * len(ordered))) - 1]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. `met` is None where there is no goal, or nothing to hold against it."""

    measure: str
    ours: str
    peer: str = ""
    ratio: str = ""
    goal: str = ""
    met: bool | None = None


def against(measure: str, ours: float, peer: float, who: str, unit: str, goal: float | None = None) -> Row:
    """Both in `unit`, less is better; `goal` is how many times less than the peer's ours should be."""
    times = peer / ours
    wanted = "" if goal is None else f"≥ {goal:g}x less"
    met = None if goal is None else times >= goal
    return Row(measure, alone(ours, unit), f"{who} {alone(peer, unit)}", f"{times:.2f}x", wanted, met)


def faster(measure: str, ours: float, peer: float, who: str, unit: str, goal: float | None = None) -> Row:
    """Both in `unit`, more is better; `goal` is how many times the peer's ours should be."""
    wanted = "" if goal is None else f"≥ {goal:g}x"
    met = None if goal is None else ours / peer >= goal
    return Row(measure, alone(ours, unit), f"{who} {alone(peer, unit)}", f"{ours / peer:.2f}x", wanted, met)


def at_most(measure: str, values: tuple[float, ...], unit: str, goals: tuple[float, ...]) -> Row:
    """One or several figures, each with its own limit."""
    ours = " / ".join(_number(value) for value in values)
    wanted = " / ".join(f"{goal:g}" for goal in goals)
    met = all(value <= goal for value, goal in zip(values, goals, strict=True))
    return Row(measure, f"{ours} {unit}", goal=f"≤ {wanted} {unit}", met=met)


def at_least(measure: str, value: float, unit: str, goal: float) -> Row:
    return Row(measure, alone(value, unit), goal=f"≥ {goal:g} {unit}", met=value >= goal)


def skipped(measure: str, ours: str, why: str, goal: float | None = None, word: str = "less") -> Row:
    """`ours` alone, and why there is nothing beside it."""
    return Row(measure, ours, why, goal="" if goal is None else f"≥ {goal:g}x {word}".rstrip())


def render(rows: Iterable[Row]) -> str:
    header = ("measure", "ours", "peer in the same run", "ratio", "goal", "met")
    cells = [header] + [(r.measure, r.ours, r.peer, r.ratio, r.goal, _WORD[r.met]) for r in rows]
    widths = [max(len(line[column]) for line in cells) for column in range(len(header))]
    lines = ["  ".join(f"{cell:{width}}" for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


_WORD = {True: "yes", False: "NO", None: ""}


def alone(value: float, unit: str) -> str:
    return f"{_number(value)} {unit}"


def _number(value: float) -> str:
    """Three digits, more only before the point."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
