"""The ledger: events of the journal folded into what every guard saved and cost. Counting only; `scores` judges.

Fed with events in journal order by the engine or a reader; it decides nothing and keeps a few numbers for each 4 h block.
Keys relied on, others are ignored:

    ENGINE_STARTED                  config_hash
    SIGNAL                          signal_id, strategy
    DECISION                        signal_id, direction, allowed, explored, config_hash, verdicts: guard, version, outcome
    RISK_LIMIT_BLOCK                signal_id; behind its DECISION the limits refuse what the gate had allowed
    SHADOW_OPENED, POSITION_OPENED  position_id, signal_id, those of `max_pain`, and of shadows tradable
    SHADOW_CLOSED                   position_id, pnl_usd, pnl_r, repeats, tradable
    POSITION_CLOSED                 position_id, pnl_usd, pnl_r, adopted
    MAX_PAIN_RESULT                 those of `max_pain`

A signal that was taken to explore counts as refused, which it was: its shadow is evidence about the guard as any other, its
position is evidence of nothing. A trade belongs to the configuration and the verdicts of its decision; if another configuration was in force when it ended,
it is evidence of neither. Time only goes forward here: with the clock set back, events count in the latest block known.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from math import isfinite
from typing import Any, NamedTuple

from bot.domain.events import Event
from bot.learning.clusters import block_of
from bot.learning.max_pain import MaxPainHits
from bot.learning.results import LeftOut
from bot.trading.guards.risk_limits import RiskLimits

Data = dict[str, Any]
Progress = Callable[[int], object]
PROGRESS_EVERY = 50_000
MODE = -1  # in the place of a version, where the subject is a mode of trading
UNKNOWN = "unknown"  # the strategy of a decision whose signal is not in the journal


class Answer(NamedTuple):
    guard: str
    version: int
    outcome: str


class Asked(NamedTuple):
    """Who was asked what: all that decisions alike in this have in common."""

    rules: str  # config_hash
    strategy: str
    symbol: str
    direction: str
    allowed: bool
    answers: tuple[Answer, ...]

    def refusing(self) -> list[Answer]:
        return [answer for answer in self.answers if answer.outcome == "BLOCK"]


class Cell(NamedTuple):
    """What is never pooled is never in one cell. `subject` is a guard with its version, or a mode of trading."""

    rules: str
    subject: tuple[str, int]
    strategy: str
    symbol: str
    direction: str


@dataclass(slots=True)
class Sum:
    """Of the trades of one cell that ended in one block."""

    n: int = 0
    r: float = 0.0
    repeats: int = 0
    gains: int = 0
    gained_r: float = 0.0
    gained_usd: Decimal = Decimal(0)
    losses: int = 0
    lost_r: float = 0.0
    lost_usd: Decimal = Decimal(0)

    def add(self, r: float, usd: Decimal, repeats: int = 0) -> None:
        self.n += 1
        self.r += r
        self.repeats += repeats
        if r > 0:
            self.gains, self.gained_r, self.gained_usd = self.gains + 1, self.gained_r + r, self.gained_usd + usd
        elif r < 0:
            self.losses, self.lost_r, self.lost_usd = self.losses + 1, self.lost_r + r, self.lost_usd + usd


class Sums:
    """Cells by block."""

    def __init__(self) -> None:
        self.of: dict[Cell, dict[int, Sum]] = {}

    def at(self, cell: Cell, block: int) -> Sum:
        blocks = self.of.setdefault(cell, {})
        if block not in blocks:
            blocks[block] = Sum()
        return blocks[block]


@dataclass(slots=True)
class _Open:
    signal_id: str
    shadow: bool
    tradable: bool


@dataclass(slots=True)
class Ledger:
    """Public attributes are for `scores`, to be read only."""

    asked: dict[Asked, Counter[int]] = field(default_factory=dict)  # signals by block
    refused: Sums = field(default_factory=Sums)  # shadows that one guard alone had refused
    live: Sums = field(default_factory=Sums)
    twins: Sums = field(default_factory=Sums)
    pairs: Sums = field(default_factory=Sums)  # live less twin
    left_out: dict[Cell, Counter[tuple[int, LeftOut]]] = field(default_factory=dict)
    unattributed: Counter[LeftOut] = field(default_factory=Counter)  # of no decision here
    max_pain: MaxPainHits = field(default_factory=MaxPainHits)
    rules: str = ""  # in force
    now_ns: int = 0
    clock_set_back: int = 0
    _seq: int = -1
    _ts_ns: int = 0
    _strategy: dict[str, str] = field(default_factory=dict)
    _decided: dict[str, tuple[Asked, int]] = field(default_factory=dict)
    _open: dict[str, _Open] = field(default_factory=dict)
    _halves: dict[str, tuple[bool, float, Decimal]] = field(default_factory=dict)  # of a signal: shadow?, R, USD
    _same: dict[tuple[Any, ...], Asked] = field(default_factory=dict)

    def fold(self, events: Iterable[Event], progress: Progress | None = None) -> None:
        """`progress` is called with the number of events folded, now and then and at the end."""
        count = 0
        for event in events:
            self.apply(event)
            count += 1
            if progress is not None and count % PROGRESS_EVERY == 0:
                progress(count)
        if progress is not None:
            progress(count)

    def apply(self, event: Event) -> None:
        """An event seen before, by its seq, changes nothing."""
        if event.seq <= self._seq:
            return
        self._seq = event.seq
        if event.ts < self._ts_ns:
            self.clock_set_back += 1
        self._ts_ns = event.ts
        self.now_ns = max(self.now_ns, event.ts)
        handler = _HANDLERS.get(event.kind)
        if handler is not None:
            handler(self, event, event.data)

    @property
    def seq(self) -> int:
        """Of the last event applied; -1 before the first."""
        return self._seq

    def open_trades(self) -> Iterable[Asked]:
        """The decisions whose positions or shadows are not finished."""
        return [self._decided[each.signal_id][0] for each in self._open.values() if each.signal_id in self._decided]

    # --- signals ---

    def _started(self, event: Event, data: Data) -> None:
        self.rules = data.get("config_hash", self.rules)

    def _signal(self, event: Event, data: Data) -> None:
        self._strategy[data["signal_id"]] = data["strategy"]

    def _decision(self, event: Event, data: Data) -> None:
        self.rules = data["config_hash"]
        answers = tuple([(v["guard"], v["version"], v["outcome"]) for v in data["verdicts"]])
        strategy = self._strategy.pop(data["signal_id"], UNKNOWN)
        allowed = data["allowed"] and not data.get("explored", False)
        plain = self.rules, strategy, event.symbol or UNKNOWN, data["direction"], allowed, answers
        asked = self._same.get(plain) or _asked(plain)
        self._count(data["signal_id"], asked, block_of(self.now_ns))

    def _last_look(self, event: Event, data: Data) -> None:
        """The limits' block takes the place of their PASS."""
        decided = self._decided.get(data["signal_id"])
        if decided is None:
            return
        asked, block = decided
        self.asked[asked][block] -= 1
        answers = tuple(
            answer._replace(outcome="BLOCK") if answer.guard == RiskLimits.name else answer for answer in asked.answers
        )
        self._count(data["signal_id"], asked._replace(allowed=False, answers=answers), block)

    def _count(self, signal_id: str, asked: Asked, block: int) -> None:
        asked = self._same.setdefault(asked, asked)  # kept once, however many decisions are like it
        self.asked.setdefault(asked, Counter())[block] += 1
        self._decided[signal_id] = asked, block

    # --- trades ---

    def _opened(self, event: Event, data: Data) -> None:
        shadow = event.kind == "SHADOW_OPENED"
        self._open[data["position_id"]] = _Open(data["signal_id"], shadow, data.get("tradable", True))
        self.max_pain.opened(data, self.rules, self.now_ns)

    def _max_pain_result(self, event: Event, data: Data) -> None:
        self.max_pain.result(data, self.rules)

    def _closed(self, event: Event, data: Data) -> None:
        opened = self._open.pop(data["position_id"], None)
        if data.get("adopted"):
            self.unattributed[LeftOut.ADOPTED] += 1
            return
        decided = None if opened is None else self._decided.get(opened.signal_id)
        if opened is None or decided is None:
            self.unattributed[LeftOut.NO_DECISION] += 1
            return
        asked = decided[0]
        cells = _guard_cells(asked) if opened.shadow and not asked.allowed else [_strategy_cell(asked, event.mode)]
        why = self._no_evidence(opened, asked, data, len(cells))
        if why is not None:
            for cell in cells:
                self.left_out.setdefault(cell, Counter())[block_of(self.now_ns), why] += 1
            return
        self._book(cells[0], opened, asked, data)

    def _no_evidence(self, opened: _Open, asked: Asked, data: Data, cells: int) -> LeftOut | None:
        if not (opened.tradable and data.get("tradable", True)):
            return LeftOut.UNTRADABLE
        if asked.rules != self.rules:
            return LeftOut.OTHER_RULES
        if not (asked.allowed or opened.shadow):
            return LeftOut.EXPLORED
        if data["pnl_r"] is None or not isfinite(data["pnl_r"]) or data["pnl_usd"] is None:
            return LeftOut.NO_RESULT
        return LeftOut.NOT_ALONE if cells > 1 else None

    def _book(self, cell: Cell, opened: _Open, asked: Asked, data: Data) -> None:
        r, usd, block = data["pnl_r"], Decimal(data["pnl_usd"]), block_of(self.now_ns)
        if not asked.allowed and opened.shadow:
            self.refused.at(cell, block).add(r, usd, data.get("repeats", 0))
            return
        (self.twins if opened.shadow else self.live).at(cell, block).add(r, usd)
        half = self._halves.pop(opened.signal_id, None)
        if half is None:
            self._halves[opened.signal_id] = opened.shadow, r, usd
        elif half[0] is not opened.shadow:
            sign = -1 if opened.shadow else 1
            self.pairs.at(cell, block).add(sign * (r - half[1]), sign * (usd - half[2]))


def _asked(plain: tuple[Any, ...]) -> Asked:
    """Named. Tuples with names equal those without, which are made several times as fast."""
    rules, strategy, symbol, direction, allowed, answers = plain
    return Asked(rules, strategy, symbol, direction, allowed, tuple([Answer(*answer) for answer in answers]))


def _guard_cells(asked: Asked) -> list[Cell]:
    return [
        Cell(asked.rules, (answer.guard, answer.version), asked.strategy, asked.symbol, asked.direction)
        for answer in asked.refusing()
    ]


def _strategy_cell(asked: Asked, mode: str) -> Cell:
    return Cell(asked.rules, (mode, MODE), asked.strategy, asked.symbol, asked.direction)


_HANDLERS: dict[str, Callable[[Ledger, Event, Data], None]] = {
    "ENGINE_STARTED": Ledger._started,
    "SIGNAL": Ledger._signal,
    "DECISION": Ledger._decision,
    "RISK_LIMIT_BLOCK": Ledger._last_look,
    "SHADOW_OPENED": Ledger._opened,
    "POSITION_OPENED": Ledger._opened,
    "SHADOW_CLOSED": Ledger._closed,
    "POSITION_CLOSED": Ledger._closed,
    "MAX_PAIN_RESULT": Ledger._max_pain_result,
}
KINDS = frozenset(_HANDLERS)
