"""The guards' table as outside programs ask for it: which cut, which window, and the answer as plain JSON.

The running engine's API and the command that reads a stopped engine's journal both answer from here, with the same keys.
Nothing is computed that `scores` does not compute.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date
from enum import StrEnum
from typing import Any

from msgspec import Struct, to_builtins

from bot.domain.values import NS
from bot.learning.ledger import Ledger
from bot.learning.results import ALL, Window
from bot.learning.scores import score

_EPOCH = date(1970, 1, 1).toordinal()
_LAST = re.compile(r"(\d{1,5})([hd])")
_HOURS = {"h": 1, "d": 24}
WINDOWS = (
    "give hours (24h), days (7d), or UTC dates (2026-01-01..2026-02-01, the last not included, either may be left out)"
)


class By(StrEnum):
    """What rows are kept apart by, besides guard, version and direction, which always are."""

    STRATEGY = "strategy"
    SYMBOL = "symbol"
    DIRECTION = "direction"


class Question(Struct, frozen=True, kw_only=True):
    """`window` as `window_of` reads it; `rules` is a config_hash, None the one in force."""

    by: frozenset[By] = frozenset()
    window: str = ALL.name
    rules: str | None = None


def question(by: Iterable[str] = (), window: str = ALL.name, rules: str | None = None) -> Question:
    """Raises ValueError with what may be asked."""
    try:
        asked = Question(by=frozenset(map(By, by)), window=window, rules=rules)
    except ValueError:
        raise ValueError(f"by is {', '.join(By)}, or several of them") from None
    window_of(window, 0)
    return asked


def window_of(text: str, now_ns: int) -> Window:
    """Raises ValueError for what is no window."""
    if text == ALL.name:
        return ALL
    last = _LAST.fullmatch(text)
    if last:
        return Window(name=text, begins_ns=max(0, now_ns - int(last[1]) * _HOURS[last[2]] * 3600 * NS))
    begins, dots, ends = text.partition("..")
    if not dots or not (begins or ends):
        raise ValueError(f"no window {text[:40]!r}: {WINDOWS}")
    window = Window(name=text, begins_ns=_midnight_ns(begins), ends_ns=_midnight_ns(ends))
    if window.begins_ns is not None and window.ends_ns is not None and not window.begins_ns < window.ends_ns:
        raise ValueError(f"the window {text} ends before it begins")
    return window


def _midnight_ns(text: str) -> int | None:
    if not text:
        return None
    try:
        days = date.fromisoformat(text).toordinal() - _EPOCH
    except ValueError:
        raise ValueError(f"no date {text[:40]!r}: {WINDOWS}") from None
    return days * 24 * 3600 * NS


def answer(ledger: Ledger, asked: Question, now_ns: int | None = None) -> dict[str, Any]:
    """JSON-able; USD are strings. `now_ns` None: the last event's time, which is never passed over."""
    now_ns = ledger.now_ns if now_ns is None else max(now_ns, ledger.now_ns)
    scored = score(
        ledger,
        rules=asked.rules,
        window=window_of(asked.window, now_ns),
        by_strategy=By.STRATEGY in asked.by,
        by_symbol=By.SYMBOL in asked.by,
        now_ns=now_ns,
    )
    plain: dict[str, Any] = to_builtins(scored)
    unattributed = {str(why): count for why, count in ledger.unattributed.items()}
    return plain | {"by": sorted(asked.by), "unattributed": unattributed, "as_of_seq": ledger.seq}
