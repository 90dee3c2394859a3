"""Where readings come from: the table of sources, the store that picks one, and the bytes of a `reading` frame.

`SOURCES` is the one place that says which source is asked first and how old an answer may be. Readings that are computed from
our own streams on demand never enter the store; whoever asks hands them over as `own`. Nothing here fetches anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from bot.domain.errors import FeedError
from bot.domain.reading import (
    FRESH,
    PARTIAL,
    LiquidationClusters,
    LongShort,
    MaxPain,
    Ofi,
    OiDelta,
    Reading,
    Regime,
    Taker,
    Walls,
    WhaleCvd,
)
from bot.domain.values import NS

COINGLASS, DERIBIT, VENUE, MODEL, OWN = "coinglass", "deribit", "venue", "model", "own"
INSTRUMENT, COIN = "instrument", "coin"
BAR_S = 300
FUTURE_NS = 5 * NS  # how far another clock may run ahead of ours


class SourceRule(Struct, frozen=True):
    unit: str
    sources: tuple[str, ...]  # in the order in which they decide
    max_age_s: int
    keyed_by: str
    payload: type[Struct]


SOURCES: dict[str, SourceRule] = {
    "taker_5m": SourceRule("USD", (COINGLASS, OWN), 120, INSTRUMENT, Taker),
    "max_pain": SourceRule("USD", (COINGLASS, DERIBIT), 900, COIN, MaxPain),
    "walls": SourceRule("USD", (COINGLASS, OWN), 90, COIN, Walls),
    "liquidation_clusters": SourceRule("USD", (COINGLASS, MODEL), 600, INSTRUMENT, LiquidationClusters),
    "oi_delta_5m": SourceRule("% of coins", (VENUE, COINGLASS), 120, INSTRUMENT, OiDelta),
    "long_short": SourceRule("longs per short", (VENUE, COINGLASS), 900, INSTRUMENT, LongShort),
    "whale_cvd": SourceRule("of 100", (OWN,), 30, INSTRUMENT, WhaleCvd),
    "ofi": SourceRule("base coins", (OWN,), 2, INSTRUMENT, Ofi),
    "regime": SourceRule("H, z", (OWN,), 2 * BAR_S, INSTRUMENT, Regime),
}

_USABLE = (FRESH, PARTIAL)


def rule_of(name: str) -> SourceRule:
    rule = SOURCES.get(name)
    if rule is None:
        raise FeedError(f"name: no reading is called {name!r}; known are {', '.join(SOURCES)}")
    return rule


def own_reading(name: str, key: str, value: Any, observed_ns: int | None, now_ns: int, **rest: Any) -> Reading[Any]:
    """A reading computed from our own streams now, as of the last message that it rests on."""
    return Reading(
        name=name,
        key=key,
        source=OWN,
        value=value,
        observed_ns=now_ns if observed_ns is None else min(observed_ns, now_ns),
        received_ns=now_ns,
        max_age_ns=rule_of(name).max_age_s * NS,
        **rest,
    )


Own = Callable[[], Reading[Any] | None]


def _nothing() -> None:
    """No reading of our own."""


class ReadingStore:
    """The newest reading of each (name, key, source)."""

    def __init__(self) -> None:
        self._readings: dict[tuple[str, str, str], Reading[Any]] = {}

    def put(self, reading: Reading[Any]) -> None:
        _check_source(reading.name, reading.source)
        self._readings[reading.name, reading.key, reading.source] = reading

    def holds(self, name: str, key: str) -> bool:
        """Whether any source has ever given this reading."""
        return any((name, key, source) in self._readings for source in rule_of(name).sources)

    def __iter__(self) -> Iterator[Reading[Any]]:
        return iter(self._readings.values())

    def best(self, name: str, key: str, now_ns: int, own: Own = _nothing) -> Reading[Any]:
        """The first usable source in order, else the first stale one, else a missing reading that says why each is.

        `own` computes our own reading; it is asked only when its turn in the order comes.
        """
        unusable: list[Reading[Any]] = []
        for reading in self._in_order(name, key, own):
            state = reading.state(now_ns)
            if state is FRESH or state is PARTIAL:
                return reading
            unusable.append(reading)
        stale = next((reading for reading in unusable if reading.value is not None), None)
        return _missing(name, key, unusable, now_ns) if stale is None else stale

    def fresh(self, name: str, key: str, source: str, now_ns: int) -> Any:
        """What this source says, None where it is not fresh."""
        reading = self._readings.get((name, key, source))
        return reading.value if reading is not None and reading.state(now_ns) is FRESH else None

    def others_fresh(self, deciding: Reading[Any], now_ns: int, own: Own = _nothing) -> list[Reading[Any]]:
        """What the other sources say of the same thing, where they are usable."""
        sources = [source for source in rule_of(deciding.name).sources if source != deciding.source]
        others = [self._of(source, deciding.name, deciding.key, own) for source in sources]
        return [reading for reading in others if reading is not None and reading.state(now_ns) in _USABLE]

    def each(self, name: str, key: str, own: Own = _nothing) -> Iterator[tuple[str, Reading[Any] | None]]:
        """Every source in order, and the newest that it said; None where it has said nothing yet."""
        for source in rule_of(name).sources:
            yield source, self._of(source, name, key, own)

    def _in_order(self, name: str, key: str, own: Own) -> Iterator[Reading[Any]]:
        for source in rule_of(name).sources:
            reading = self._of(source, name, key, own)
            if reading is not None:
                yield reading

    def _of(self, source: str, name: str, key: str, own: Own) -> Reading[Any] | None:
        reading = own() if source == OWN else None
        if reading is None or reading.value is None:  # a recorded one says what our streams cannot say yet
            return self._readings.get((name, key, source), reading)
        return reading


def _missing(name: str, key: str, readings: Sequence[Reading[Any]], now_ns: int) -> Reading[Any]:
    rule = rule_of(name)
    reasons = {reading.source: reading.reason or "missing" for reading in readings}
    return Reading(
        name=name,
        key=key,
        source="",  # nobody gave it
        value=None,
        observed_ns=now_ns,
        received_ns=now_ns,
        max_age_ns=rule.max_age_s * NS,
        reason="; ".join([f"{source}: {reasons.get(source, 'nothing received yet')}" for source in rule.sources]),
    )


def _check_source(name: str, source: str) -> SourceRule:
    rule = rule_of(name)
    if source not in rule.sources:
        raise FeedError(f"source: {name} has no source {source!r}; it has {', '.join(rule.sources)}")
    return rule


def _check_key(name: str, key: str, rule: SourceRule) -> None:
    """An instrument's id is `venue:symbol`, a coin has no colon; a reading under the wrong one would never be found."""
    if not key or (":" in key) != (rule.keyed_by == INSTRUMENT):
        raise FeedError(f"key: {name} is kept by {rule.keyed_by}, got {key!r}")


# --- the bytes of a `reading` frame --------------------------------------------------------------------------------


class _Wire(Struct, forbid_unknown_fields=True):
    name: str
    key: str
    source: str
    value: msgspec.Raw
    observed_ns: int | UnsetType = UNSET
    partial: bool = False
    reason: str = ""


_decode_wire = msgspec.json.Decoder(_Wire).decode


def decode_reading(raw: bytes, now_ns: int) -> Reading[Any]:
    """Raises FeedError that names the field, for anything that is not exactly a reading of the table.

    `observed_ns` is the provider's clock: up to 5 s ahead of ours it is taken as now. Without it the reading was observed now.
    """
    try:
        wire = _decode_wire(raw)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise FeedError(f"reading: {error}") from error
    rule = _check_source(wire.name, wire.source)
    _check_key(wire.name, wire.key, rule)
    if wire.partial and rule.payload is not Walls:
        raise FeedError(f"partial: only walls can be partial, not {wire.name}")
    return Reading(
        name=wire.name,
        key=wire.key,
        source=wire.source,
        value=_decode_value(wire.name, rule.payload, wire.value),
        observed_ns=_observed(wire, now_ns),
        received_ns=now_ns,
        max_age_ns=rule.max_age_s * NS,
        partial=wire.partial,
        reason=wire.reason,
    )


def encode_reading(reading: Reading[Any]) -> bytes:
    return msgspec.json.encode(
        {
            "name": reading.name,
            "key": reading.key,
            "source": reading.source,
            "observed_ns": reading.observed_ns,
            "value": reading.value,
            "partial": reading.partial,
            "reason": reading.reason,
        }
    )


def _observed(wire: _Wire, now_ns: int) -> int:
    if wire.observed_ns is UNSET:
        return now_ns
    if wire.observed_ns < 0 or wire.observed_ns - now_ns > FUTURE_NS:
        raise FeedError(f"observed_ns: {wire.name} from {wire.source} says {wire.observed_ns}, it is now {now_ns}")
    return min(wire.observed_ns, now_ns)


def _decode_value(name: str, payload: type[Struct], raw: msgspec.Raw) -> Struct | None:
    try:
        plain = msgspec.json.decode(raw)
        if plain is None:
            return None
        value = msgspec.convert(plain, payload)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise FeedError(f"value of {name}: {error}") from error
    _check_struct(name, value, plain)
    return value


_SIGNED = frozenset({"pct", "base", "depths", "hurst", "z", "sum_100", "sum_12"})
_POSITIVE = frozenset({"price", "ratio"})


def _check_struct(where: str, value: Struct, plain: dict[str, Any]) -> None:
    unknown = plain.keys() - set(value.__struct_fields__)
    if unknown:
        raise FeedError(f"{where}.{min(unknown)}: unknown field")
    for field in plain:
        _check(f"{where}.{field}", field, getattr(value, field), plain[field])


def _check(where: str, field: str, value: Any, plain: Any) -> None:
    if isinstance(value, Struct):
        _check_struct(where, value, plain)
    elif isinstance(value, tuple):
        for index, (inner, plain_inner) in enumerate(zip(value, plain, strict=True)):
            _check(f"{where}[{index}]", field, inner, plain_inner)
    elif isinstance(value, Decimal) and not isinstance(plain, str):
        raise FeedError(f"{where}: money and prices are decimal text, got {plain!r}")
    elif isinstance(value, Decimal | float | int):
        _check_number(where, field, value)


_SMALLEST, _LARGEST = Decimal("1e-12"), Decimal("1e18")


def _check_number(where: str, field: str, value: Decimal | float) -> None:
    number = Decimal(value)
    if not number.is_finite():
        raise FeedError(f"{where}: {value} is not a finite number")
    if isinstance(value, Decimal) and number and not _SMALLEST <= abs(number) <= _LARGEST:
        raise FeedError(f"{where}: {value} is beyond any sense")
    if (value < 0 and field not in _SIGNED) or (value <= 0 and field in _POSITIVE):
        raise FeedError(f"{where}: {value} is too small")
    if field == "intensity" and value > 100:
        raise FeedError(f"{where}: {value} is over 100")
