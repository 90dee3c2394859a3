"""The event envelope of the journal, and how a desk asks for an event.

A desk returns `Emit`s; the engine turns each into an `Event` by adding seq, time, frame, account and mode. Money and
quantities in `data` are strings, features are finite JSON numbers, and both are fixed once written: readers upcast by `v`,
tolerate unknown keys and keep unknown kinds.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import orjson
from msgspec import Struct

GATE = "intelligence_gate"


class Emit(Struct, frozen=True, kw_only=True):
    """`corr` ties everything of one signal together (its id). `key` names this event so that a later one can say
    `because=key`; the engine resolves that to the earlier event's seq."""

    kind: str
    data: dict[str, Any]
    source: str
    instrument: str | None = None
    corr: str | None = None
    key: str | None = None
    because: str | None = None
    v: int = 1


class Event(Struct, frozen=True, kw_only=True):
    """One line of the journal; `data` may be read, never changed."""

    seq: int
    ts: int
    frame: int
    kind: str
    v: int
    account: str
    mode: str
    symbol: str | None
    source: str
    corr: str | None
    cause: int | None
    data: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__struct_fields__}


def text(value: Decimal | None) -> str | None:
    """Money or a quantity as the journal holds it: plain notation, no exponent, None stays None."""
    if value is None:
        return None
    written = str(value)  # three times as fast, and the same unless it has an exponent
    return format(value, "f") if "E" in written else written


def rounded(value: Decimal) -> Decimal:
    """A mean price for showing: eight places, as many as any venue's tick has."""
    return value.quantize(Decimal("1e-8")).normalize()


def canonical(data: Any) -> bytes:
    """The one byte form of a payload: sorted keys, no spaces, decimals as text."""
    return orjson.dumps(data, default=_plain, option=orjson.OPT_SORT_KEYS)


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return format(value, "f")
    raise TypeError(f"cannot be journaled: {type(value).__name__}")
