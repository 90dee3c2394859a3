"""Exploration: a share of the signals that guards refused is taken all the same, on paper (product 8, an option, off).

What is drawn follows from the signal's id and a seed alone, so that a replay draws the same. What safety guards refuse is never
drawn. Such trades are marked and are no evidence about strategies.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b

_ALL = 2**64


@dataclass(frozen=True, slots=True)
class Exploration:
    share: float  # 0 to 1
    seed: int = 0

    def takes(self, signal_id: str) -> bool:
        drawn = blake2b(f"{self.seed}:{signal_id}".encode(), digest_size=8).digest()
        return int.from_bytes(drawn) < self.share * _ALL
