"""What a guard is made of: its settings, what it is built with, and how an answer becomes a verdict.

A guard is one module in this package, named like its class's `name`, which is also its group under `guards` in the
settings; no other file names it. It answers about one signal, keeps nothing between two signals and emits nothing:
the gate (`trading/gate.py`) asks it, catches what it raises and journals its event.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar, Generic, Literal, TypeVar

from msgspec import Struct, structs
from pydantic import Field, field_validator

from bot.domain import params
from bot.domain.events import text
from bot.domain.instrument import exact
from bot.domain.ports import View
from bot.domain.reading import FRESH, STALE, Reading, ReadingState, Taker
from bot.domain.values import ABSTAIN, BLOCK, LONG, PASS, Direction, Outcome, Signal, Verdict
from bot.trading.exits.protection import StopParams, stop_distance
from bot.trading.exits.walls import DEFAULTS, TargetParams
from bot.trading.risk import RiskParams

FOUR_PLACES = Decimal("0.0001")


class GuardParams(params.Params):
    enabled: bool = True


class SafetyParams(GuardParams):
    @field_validator("enabled")
    @classmethod
    def _stays_on(cls, enabled: bool) -> bool:
        if not enabled:
            raise ValueError("this guard keeps the account safe and cannot be switched off: remove the setting")
        return enabled


class DataGuardParams(GuardParams):
    on_missing: Literal["allow", "block"] = Field(
        "allow", description="what to do when its reading is stale or missing"
    )


class LongFilterParams(DataGuardParams):
    mirror_short: bool = Field(False, description="hold shorts against the mirror image of the rule for longs")


@dataclass(frozen=True, slots=True)
class GuardContext:
    """What guards know of other groups of settings. `round_trip` and `stop_fraction` are fractions of price; `stop` is given
    where the stop's distance follows volatility."""

    round_trip: Decimal
    stop_fraction: Decimal
    risk: RiskParams
    targets: TargetParams = DEFAULTS
    stop: StopParams | None = None

    def stop_distance(self, view: View, instrument: str) -> Decimal | None:
        """Of an entry made now, a fraction of price; None where it is not known."""
        return self.stop_fraction if self.stop is None else stop_distance(view, instrument, self.stop)


class Finding(Struct, frozen=True):
    """An answer before it is signed: `value` and `threshold` are decimal text, None where there was no number."""

    outcome: Outcome
    reason: str = ""
    value: str | None = None
    threshold: str | None = None


def judged(blocks: bool, value: str | None, threshold: str | None, reason: str = "") -> Finding:
    return Finding(BLOCK if blocks else PASS, reason, value, threshold)


def shown(x: Decimal | float) -> str:
    """A number for a verdict, to four places. Only for showing: guards compare before they round."""
    return text(exact(x).quantize(FOUR_PLACES)) or ""


def plain(x: Decimal | float) -> str:
    """A setting as a verdict shows it: every digit of it, without exponent."""
    return text(exact(x)) or ""


def price_now(signal: Signal, view: View) -> Decimal:
    """The middle of the book, or the signal's own reference price where there is no book."""
    market = view.market(signal.instrument)
    return signal.price if market.bid is None or market.ask is None else (exact(market.bid) + exact(market.ask)) / 2


P = TypeVar("P", bound=GuardParams)
D = TypeVar("D", bound=DataGuardParams)
L = TypeVar("L", bound=LongFilterParams)
T = TypeVar("T")


class GuardBase(ABC, Generic[P]):
    """A guard gives `name`, `event` and its `Params`, and answers in `check`."""

    name: ClassVar[str]
    version: ClassVar[int] = 1
    event: ClassVar[str]
    needs: ClassVar[tuple[str, ...]] = ()
    safety: ClassVar[bool] = False
    Params: ClassVar[type[params.Params]]

    def __init__(self, settings: P, context: GuardContext) -> None:
        self.params = settings
        self.context = context

    def applies(self, direction: Direction) -> bool:
        return True

    @abstractmethod
    def check(self, signal: Signal, view: View) -> Verdict: ...

    def verdict(self, finding: Finding, reading: Reading[Any] | None = None, now_ns: int = 0) -> Verdict:
        source = age_s = None
        if reading is not None:
            source, age_s = reading.source or None, reading.age_s(now_ns)
        return Verdict(
            guard=self.name,
            version=self.version,
            outcome=finding.outcome,
            value=finding.value,
            threshold=finding.threshold,
            reading_source=source,
            reading_age_s=None if age_s is None else round(age_s, 3),
            reason=finding.reason,
        )


class DataGuard(GuardBase[D], Generic[D, T]):
    """A guard that looks at one reading, the first of `needs`, and fails open: what is not known does not block.

    A guard that can make something of a PARTIAL reading says so in `judges`; all judge a FRESH one.
    """

    judges: ClassVar[frozenset[ReadingState]] = frozenset({FRESH})

    @abstractmethod
    def judge(self, signal: Signal, view: View, data: T) -> Finding: ...

    def check(self, signal: Signal, view: View) -> Verdict:
        if not self.applies(signal.direction):
            return self.verdict(Finding(PASS, "filters longs only"))
        now_ns = view.now_ns
        reading: Reading[T] = view.reading(self.needs[0], signal.instrument)
        value, state = reading.value, reading.state(now_ns)
        if value is not None and (state is FRESH or state in self.judges):
            finding = self._seconded(self.judge(signal, view, value), signal, view, reading)
        else:
            finding = Finding(self.on_missing, _unusable(reading, state, now_ns))
        return self.verdict(finding, reading, now_ns)

    def _seconded(self, finding: Finding, signal: Signal, view: View, deciding: Reading[T]) -> Finding:
        """Where a second fresh source lies on the other side of the threshold, the verdict says so; the first one decides."""
        for other in view.other_readings(deciding, signal.instrument):
            if other.value is None:
                continue
            second = self.judge(signal, view, other.value)
            if second.outcome is not finding.outcome and ABSTAIN not in (second.outcome, finding.outcome):
                said = f"{other.source} says {second.value or second.reason}, which would {second.outcome}"
                return structs.replace(finding, reason="; ".join(filter(None, (finding.reason, said))))
        return finding

    @property
    def on_missing(self) -> Outcome:
        return BLOCK if self.params.on_missing == "block" else ABSTAIN


class LongFilter(DataGuard[L, T], Generic[L, T]):
    """A data guard that filters longs, and with `mirror_short` shorts by the mirror image of its rule."""

    def applies(self, direction: Direction) -> bool:
        return direction is LONG or self.params.mirror_short


class TakerFilter(LongFilter[L, Taker], Generic[L]):
    """A long filter that looks at nothing but the taker volumes, and can therefore be asked about many trades in a row."""

    @abstractmethod
    def blocks(self, direction: Direction, buy: Decimal | int, sell: Decimal | int) -> bool:
        """The rule, on positive sums in any one unit; whoever asks knows that there are sales."""


def _unusable(reading: Reading[Any], state: ReadingState, now_ns: int) -> str:
    said = f"{reading.name} {state}"
    if state is STALE:
        return f"{said}: {reading.age_s(now_ns):.0f} s old, limit {reading.max_age_ns / 1e9:.0f} s"
    return f"{said}: {reading.reason}" if reading.reason else said
