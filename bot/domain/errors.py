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

from typing import ClassVar


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
