"""One hash over what was decided, to hold a replay against the run it repeats.

Left out is what may differ between two runs of the same tape: seq and time stamps, the ids themselves (which hold the session's
number), and how the session began and ended. Everything else counts, in order.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from hashlib import sha256
from typing import Any

from bot.domain.events import Event, canonical

LEFT_OUT = frozenset({"ENGINE_STARTED", "ENGINE_STOPPED", "RECONCILED"})


class Digest:
    """Feed it the events of one session, from the first on and in order."""

    def __init__(self) -> None:
        self._hash = sha256()
        self._ordinals: dict[str, int] = {}  # of an id: when it first appeared
        self._left_out: list[int] = []  # their seqs

    def update(self, events: Iterable[Event]) -> None:
        for event in events:
            if event.kind in LEFT_OUT:
                self._left_out.append(event.seq)
            else:
                self._hash.update(canonical(self._content(event)) + b"\n")

    def hexdigest(self) -> str:
        return self._hash.hexdigest()

    def _content(self, event: Event) -> dict[str, Any]:
        return {
            "kind": event.kind,
            "v": event.v,
            "symbol": event.symbol,
            "source": event.source,
            "frame": event.frame,
            "data": self._plain(event.data),
            "corr": self._ordinal(event.corr),
            "cause": self._distance(event),
        }

    def _plain(self, value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {name: self._plain(inner, name) for name, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self._plain(inner, key) for inner in value]
        return self._ordinal(value) if key.endswith("_id") or key == "corr" else value

    def _ordinal(self, value: Any) -> int | None:
        return None if value is None else self._ordinals.setdefault(str(value), len(self._ordinals))

    def _distance(self, event: Event) -> int | None:
        """How many counted events back the cause lies."""
        if event.cause is None:
            return None
        skipped = bisect_right(self._left_out, event.seq) - bisect_right(self._left_out, event.cause)
        return event.seq - event.cause - skipped
