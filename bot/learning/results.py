"""What the ledger answers with. Values for a page, a table or JSON; nothing in here is computed."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum

from msgspec import Struct

from bot.learning.max_pain import MaxPainScore


class Judgement(StrEnum):
    HELPFUL = "helpful"
    HARMFUL = "harmful"
    NOT_ENOUGH = "not enough evidence"


class LeftOut(StrEnum):
    """Why a finished trade is no evidence."""

    UNTRADABLE = "could not have been opened"
    NOT_ALONE = "another guard refused it too"
    OTHER_RULES = "decided under one configuration, closed under another"
    NO_RESULT = "its result is not a number"
    EXPLORED = "guards had refused it, it was taken to explore"
    ADOPTED = "adopted, not decided here"
    NO_DECISION = "its decision is not in the journal"


class Window(Struct, frozen=True, kw_only=True):
    """From `begins_ns` (included) to `ends_ns` (not included); None is open. Decisions count when made, trades when they
    end, so a trade across windows counts once."""

    name: str
    begins_ns: int | None = None
    ends_ns: int | None = None


ALL = Window(name="all")


class Value(Struct, frozen=True, kw_only=True):
    """R for each 4 h block, the mean of its trades, with an always-valid 95 % interval: above 0 is good. `q` is `p` after
    Benjamini-Hochberg over all rows of the table."""

    effective_n: int
    mean_r: float | None
    lo_r: float | None
    hi_r: float | None
    p: float
    q: float = 1.0


class GuardRow(Struct, frozen=True, kw_only=True):
    """What one guard did. `strategy` and `symbol` are None where the row is of all of them.

    `trades` are the finished shadows it alone had refused, from the first signal of each (`repeats` counts the others);
    `value` is what refusing them was worth. `net` is losses avoided less profits missed."""

    guard: str
    version: int
    direction: str
    strategy: str | None
    symbol: str | None
    signals: int
    blocks: int
    abstentions: int
    blocked_alone: int
    trades: int
    repeats: int
    still_open: int
    losses_avoided: int
    avoided_r: float
    avoided_usd: Decimal
    profits_missed: int
    missed_r: float
    missed_usd: Decimal
    net_r: float
    net_usd: Decimal
    value: Value
    judgement: Judgement
    reason: str
    left_out: dict[str, int]


class StrategyRow(Struct, frozen=True, kw_only=True):
    """Allowed signals: what was traded beside the same signals' shadows. `difference` is live less shadow, of `pairs`."""

    strategy: str
    direction: str
    mode: str
    symbol: str | None
    live: int
    live_mean_r: float | None
    live_usd: Decimal
    shadow: int
    shadow_mean_r: float | None
    pairs: int
    difference: Value
    left_out: dict[str, int]


class Funnel(Struct, frozen=True, kw_only=True):
    strategy: str
    symbol: str | None
    direction: str
    signals: int
    allowed: int
    blocked: int


class Score(Struct, frozen=True, kw_only=True):
    """One configuration in one window. `note` says what the figures alone do not."""

    config_hash: str
    window: Window
    now_ns: int
    note: str
    guards: tuple[GuardRow, ...]
    strategies: tuple[StrategyRow, ...]
    funnel: tuple[Funnel, ...]
    max_pain: MaxPainScore
    clock_set_back: int
