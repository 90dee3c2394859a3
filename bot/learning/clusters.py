"""4 h blocks, aligned to UTC: trades that end in one block are one observation, whatever their symbols (quant 7).

A block's observation is the mean of its trades, and its count is the effective n. A block that is not over is no
observation yet, so that what was once counted never changes.
"""

from __future__ import annotations

from bot.domain.values import NS

BLOCK_NS = 4 * 3600 * NS


def block_of(ns: int) -> int:
    return ns // BLOCK_NS
