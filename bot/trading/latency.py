"""How long a command takes to the venue: lognormal, drawn by hashing a key instead of rolling dice.

The same key gives the same delay on every machine and in every run, so a replay decides the same, and what was on its way when
the engine died arrives after the restart when it would have arrived. Pure: who sends chooses the key (`venues/paper.py`).
"""

from __future__ import annotations

from hashlib import blake2b
from math import exp, log
from statistics import NormalDist

from bot.domain.values import MS

_STANDARD = NormalDist()
_Z99 = _STANDARD.inv_cdf(0.99)
_BITS = 48  # so that (n + 1/2) / 2**48 is exact, above 0 and below 1
_US = 1_000


class Latency:
    """`median_ms` zero: no delay at all. `p99_ms` equal to the median: always the same delay."""

    def __init__(self, median_ms: int, p99_ms: int) -> None:
        self._median_ns = median_ms * MS
        self._sigma = log(p99_ms / median_ms) / _Z99 if 0 < median_ms < p99_ms else 0.0

    def draw_ns(self, key: str) -> int:
        """Whole microseconds: the last digits of exp and log differ between machines."""
        number = int.from_bytes(blake2b(key.encode(), digest_size=_BITS // 8).digest(), "big")
        z = _STANDARD.inv_cdf((number + 0.5) / 2**_BITS)
        return round(self._median_ns * exp(self._sigma * z) / _US) * _US
