"""The errors the program raises. Refusals and rejections are values (Verdict, OrderUpdate), not errors.

BotError
├── ConfigError      settings or arguments are wrong; nothing was started          exit 2
├── TapeError        a tape or capture cannot be read                              exit 2
├── FeedError        a market stream or one of its messages is unusable
├── VenueError       the venue or a key was refused                                exit 3
├── InstanceError    another program holds the data folder                         exit 4
├── JournalError     the journal cannot be read or written
└── InvariantError   something that must never happen did; the engine stops        exit 1
"""

from __future__ import annotations

from traceback import walk_tb
from typing import ClassVar

_LONGEST = 200  # characters of an error's text that are told


class BotError(Exception):
    """Base of all errors of this program; `exit_code` is what the command line ends with."""

    exit_code: ClassVar[int] = 1


class ConfigError(BotError):
    exit_code = 2


class TapeError(BotError):
    exit_code = 2


class FeedError(BotError):
    pass


class VenueError(BotError):
    exit_code = 3


class InstanceError(BotError):
    exit_code = 4


class JournalError(BotError):
    pass


class InvariantError(BotError):
    pass


def told(error: BaseException, module: str) -> str:
    """Type and first line of an error of somebody's code, and the line of `module` (its name) where it came from, if it
    did. Names no path: the same error reads the same on every machine."""
    text = f"{type(error).__name__}: {str(error).partition(chr(10))[0][:_LONGEST]}".removesuffix(": ")
    at = [line for frame, line in walk_tb(error.__traceback__) if frame.f_globals.get("__name__") == module]
    return f"{text} (line {at[-1]})" if at else text
