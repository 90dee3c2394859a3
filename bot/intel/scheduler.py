"""Which call a provider makes next: what a guard lately missed, then whatever would go stale first.

Pure: no clock and no I/O; times are ns. Asked by `coinglass/poller`. It does not know why a call failed or what it costs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from msgspec import Struct

from bot.domain.values import NS


class Want(Struct, frozen=True):
    """`call`: unique text; `serves`: (reading, key) of all that it gives."""

    call: str
    serves: tuple[tuple[str, str], ...]
    refresh_s: float
    max_age_s: float


@dataclass(slots=True)
class _State:
    want: Want
    due_ns: int = 0
    stale_ns: int = 0  # when what it gave goes stale
    missed: bool = False


class Scheduler:
    def __init__(self, wants: Iterable[Want]) -> None:
        self._states = {want.call: _State(want) for want in wants}

    def next(self, now_ns: int) -> Want | None:
        """What to ask now; None: nothing is due."""
        due = [state for state in self._states.values() if state.due_ns <= now_ns]
        first = min(due, key=lambda state: (not state.missed, state.stale_ns), default=None)
        return first.want if first else None

    def due_ns(self) -> int | None:
        """When something next is."""
        return min((state.due_ns for state in self._states.values()), default=None)

    def asked(self, call: str, now_ns: int) -> None:
        state = self._states[call]
        state.due_ns, state.missed = _after(now_ns, state.want.refresh_s), False

    def got(self, call: str, observed_ns: int, now_ns: int) -> None:
        """Fresh until it is older than its max age, due again after its refresh time."""
        state = self._states[call]
        state.due_ns = _after(now_ns, state.want.refresh_s)
        state.stale_ns = _after(observed_ns, state.want.max_age_s)

    def failed(self, call: str, until_ns: int) -> None:
        """Not before then."""
        self._states[call].due_ns = until_ns

    def abstained(self, name: str, key: str, now_ns: int) -> None:
        """A guard lately abstained on it: its calls go first as soon as they are due."""
        for state in self._states.values():
            if (name, key) in state.want.serves and state.stale_ns <= now_ns:
                state.missed = True


def _after(at_ns: int, seconds: float) -> int:
    return at_ns + int(seconds * NS)
