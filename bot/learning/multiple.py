"""Many guards at once: Benjamini and Hochberg (1995), J. R. Stat. Soc. B 57:289. Every guard looked at belongs in the list."""

from __future__ import annotations

from collections.abc import Sequence

Q = 0.10


def adjusted(p_values: Sequence[float]) -> list[float]:
    """Each p-value as the smallest share of false discoveries at which it would be rejected, in the order given."""
    count, least = len(p_values), 1.0
    result = [1.0] * count
    for rank, i in enumerate(sorted(range(count), key=p_values.__getitem__, reverse=True)):
        least = min(least, p_values[i] / ((count - rank) / count))
        result[i] = least
    return result


def rejected(p_values: Sequence[float], q: float = Q) -> list[bool]:
    return [p <= q for p in adjusted(p_values)]
