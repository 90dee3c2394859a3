"""What all wire formats have in common: types of numbers that are checked while they are decoded, and how a refusal reads."""

from __future__ import annotations

import json
from typing import Annotated, Any

from msgspec import Meta

from bot.domain.errors import FeedError

MAX_BYTES = 8 * 1024 * 1024

# NaN is neither `ge` nor `le` anything: these bounds are also the check that a number is finite.
Positive = Annotated[float, Meta(ge=1e-18, le=1e18)]
NotNegative = Annotated[float, Meta(ge=0.0, le=1e18)]
Rate = Annotated[float, Meta(ge=-1.0, le=1.0)]
Id = Annotated[int, Meta(ge=0, le=2**62)]
Ms = Annotated[int, Meta(ge=0, le=9 * 10**12)]
Name = Annotated[str, Meta(min_length=1, max_length=64)]


def refusal(venue: str, problem: object, raw: bytes) -> FeedError:
    """Cut and escaped: what comes over a socket can neither fill a log nor forge a line of it."""
    return FeedError(f"{venue}: {str(problem)[:200].encode('unicode_escape').decode()}: {raw[:120]!r}")


def refuse_duplicate_keys(raw: bytes) -> None:
    """Raises ValueError that names them."""
    json.loads(raw, object_pairs_hook=_unique)


def _unique(pairs: list[tuple[str, Any]]) -> None:
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        raise ValueError(f"a key is given twice among {', '.join(names)}")
