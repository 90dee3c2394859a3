"""What a strategy answers with, and what is expected of one.

A strategy is one module in this package, named like its class's `name` and built from its own `Params`. It is asked
once a second for each instrument, keeps numbers but never the view, has no clock and no randomness, and returns an
`Idea` when it has a new opinion: None is the usual answer. It knows no guard, no position and no size, and makes no
signal: the desk does. A user's own is a file in a folder of theirs and keeps the same contract; an example with all of it
is `scripts/examples/strategies/fade_ofi.py`.
"""

from __future__ import annotations

from msgspec import Struct

from bot.domain.values import Direction


class Idea(Struct, frozen=True):
    """A direction with a strength from 0 to 1."""

    direction: Direction
    strength: float
