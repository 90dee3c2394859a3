"""What can go wrong at an exchange, as data: which fault, when by the exchange's clock, to whom, for how long or how often.

A script is a TOML file of `[[fault]]` tables; a seed makes an endless one. Nothing here acts: `server/faults.py` does.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from random import Random
from typing import Any

import msgspec
from msgspec import Struct, structs

from bot.domain.errors import ConfigError


class Kind(StrEnum):
    # sockets, once
    CLOSE = "close"  # as at the end of a connection's 24 hours
    ABORT = "abort"  # TCP reset, in the middle of everything
    KEY_EXPIRES = "key_expires"  # of every user stream
    # sockets, for a while
    SILENCE = "silence"  # of some streams, or of all and then of answers too; pings are answered
    DEAF = "deaf"  # pings are not answered
    # messages of streams
    LOSE = "lose"
    DOUBLE = "double"
    SWAP = "swap"  # with the next one of the stream
    DELAY = "delay"  # by `ms`; those that follow overtake it
    WRONG_PU = "wrong_pu"
    NO_PU = "no_pu"
    CROSSED = "crossed"
    CORRUPT = "corrupt"  # a digit is another one
    MALFORMED = "malformed"  # half a message
    HUGE = "huge"
    # answers of REST
    TOO_MANY = "too_many"  # 429
    BANNED = "banned"  # 418
    UNKNOWN = "unknown"  # 503 that leaves open whether the request was carried out
    UNAVAILABLE = "unavailable"  # 503 that says that it was not
    DISCONNECTED = "disconnected"  # -1001
    TIMEOUT = "timeout"  # -1007
    OVERLOADED = "overloaded"  # -1008
    SLOW = "slow"  # by `ms`
    CUT = "cut"
    REFUSE = "refuse"  # connections
    TRUNCATED = "truncated"
    HTML = "html"
    EMPTY = "empty"  # a right answer without data
    STALE = "stale"  # the book as the fault began, or whatever was first answered since
    CODE = "code"  # CoinGlass: 200 with an error in it
    PLAN = "plan"  # CoinGlass: not in the plan
    # the venue itself
    CLOCK = "clock"  # ahead by `ms`
    HALTED = "halted"  # a symbol is not TRADING
    DELISTED = "delisted"
    FILTERS = "filters"  # a symbol's tick and step are ten times as wide
    MARK_GAP = "mark_gap"  # mark and index jump by `pct`


CUTS = frozenset({Kind.CLOSE, Kind.ABORT})
QUIET = frozenset({Kind.SILENCE, Kind.DEAF})
MESSAGES = frozenset(
    {Kind.LOSE, Kind.DOUBLE, Kind.SWAP, Kind.DELAY, Kind.WRONG_PU, Kind.NO_PU}
    | {Kind.CROSSED, Kind.CORRUPT, Kind.MALFORMED, Kind.HUGE}
)
ANSWERS = frozenset(
    {Kind.TOO_MANY, Kind.BANNED, Kind.UNKNOWN, Kind.UNAVAILABLE, Kind.DISCONNECTED, Kind.TIMEOUT, Kind.OVERLOADED}
    | {Kind.SLOW, Kind.CUT, Kind.TRUNCATED, Kind.HTML, Kind.EMPTY, Kind.STALE, Kind.CODE, Kind.PLAN}
)
OF_SYMBOLS = frozenset({Kind.HALTED, Kind.DELISTED, Kind.FILTERS, Kind.MARK_GAP})
LASTING = QUIET | OF_SYMBOLS | {Kind.CLOCK, Kind.REFUSE}
TIMED = frozenset({Kind.DELAY, Kind.SLOW, Kind.CLOCK})


class Fault(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`at_s`: seconds of the exchange's clock since it began to run. `seconds` and `count`: it is over with whichever is first;
    messages are counted for each socket. `stream`, `route` and `symbol` may have `*`. `after`: the request is carried out first."""

    at_s: float
    kind: Kind
    seconds: float = 0.0
    count: int = 0
    symbol: str = "*"
    route: str = "*"
    method: str = "*"
    stream: str = "*"
    after: bool = False
    ms: int = 0
    pct: float = 0.0


_DEFAULTS = {field.name: field.default for field in structs.fields(Fault)}


def _taken(kind: Kind) -> set[str]:
    """Which fields mean something to this kind."""
    names: set[str] = {"seconds"} if kind in LASTING | MESSAGES | ANSWERS else set()
    if kind in MESSAGES | ANSWERS:
        names |= {"count"}
    if kind in MESSAGES | CUTS | QUIET:
        names |= {"stream"}
    if kind in ANSWERS:
        names |= {"route", "method", "symbol", "after"}
    if kind in OF_SYMBOLS:
        names |= {"symbol"}
    return names | ({"ms"} if kind in TIMED else set()) | ({"pct"} if kind is Kind.MARK_GAP else set())


def checked(fault: Fault) -> Fault:
    """Raises ConfigError for what would be ignored, and for what cannot be."""
    given = {name for name, value in structs.asdict(fault).items() if value != _DEFAULTS[name]} - {"at_s", "kind"}
    if wrong := sorted(given - _taken(fault.kind)):
        raise ConfigError(f"fault {fault.kind}: it has no {', '.join(wrong)}")
    if not (0 <= fault.at_s < 1e9 and 0 <= fault.seconds < 1e9 and fault.count >= 0 and abs(fault.ms) < 10**9):
        raise ConfigError(f"fault {fault.kind}: at_s, seconds, count or ms is out of range")
    if fault.kind in LASTING and not fault.seconds:
        raise ConfigError(f"fault {fault.kind}: for how many seconds?")
    if fault.kind in TIMED and (not fault.ms or (fault.ms < 0 and fault.kind is not Kind.CLOCK)):
        raise ConfigError(f"fault {fault.kind}: by how many ms?")
    if fault.kind is Kind.MARK_GAP and not (-100 < fault.pct < 1000 and fault.pct):
        raise ConfigError("fault mark_gap: pct must be above -100 and below 1000, and not 0")
    return fault


def load_faults(path: Path) -> list[Fault]:
    """In the order of their times. Raises ConfigError."""
    try:
        tables = tomllib.loads(path.read_text("utf-8"))
        if set(tables) - {"fault"}:
            raise ConfigError(
                f"{path}: only [[fault]] tables are known, not {', '.join(sorted(set(tables) - {'fault'}))}"
            )
        faults = msgspec.convert(tables.get("fault", []), list[Fault])
    except (OSError, UnicodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ConfigError(f"{path}: {error}") from None
    return sorted(map(checked, faults), key=lambda fault: fault.at_s)


def in_words(fault: Fault) -> str:
    """`lose at 30 s: stream=btcusdt@depth@100ms count=1`"""
    given = {name: value for name, value in structs.asdict(fault).items() if value != _DEFAULTS[name]}
    details = " ".join(f"{name}={value}" for name, value in given.items() if name not in ("at_s", "kind"))
    return f"{fault.kind} at {fault.at_s:g} s" + (f": {details}" if details else "")


# --- by seed ---

MEAN_GAP_S = 45.0
_LONGEST_S = 20.0
_STREAMS = ("*@depth@100ms", "*@aggTrade", "*@markPrice*", "*")
_ROUTES = ("/fapi/v1/depth", "/fapi/v1/*", "/fapi/*", "/futures/data/*", "/api/*", "*")


def seeded_faults(seed: int, symbols: Sequence[str]) -> Iterator[Fault]:
    """Without end: each kind as often as any other, 45 s apart on average, each over within 20 s or after three hits."""
    rng, at_s = Random(f"faults:{seed}"), 0.0
    kinds = tuple(Kind)
    while True:
        at_s += rng.expovariate(1 / MEAN_GAP_S)
        yield checked(_any(rng, round(at_s, 1), rng.choice(kinds), symbols))


def _any(rng: Random, at_s: float, kind: Kind, symbols: Sequence[str]) -> Fault:
    chosen: dict[str, Any] = {
        "seconds": round(1 + (_LONGEST_S - 1) * rng.random(), 1),
        "count": rng.randint(1, 3),
        "symbol": rng.choice(symbols) if kind in OF_SYMBOLS else "*",
        "route": "/api/futures/*" if kind in (Kind.CODE, Kind.PLAN) else rng.choice(_ROUTES),
        "method": "*",
        "stream": rng.choice(_STREAMS[:1] if kind in (Kind.WRONG_PU, Kind.NO_PU, Kind.CROSSED) else _STREAMS),
        "after": rng.random() < 0.5,
        "ms": rng.randint(50, 5000) * (rng.choice((-1, 1)) if kind is Kind.CLOCK else 1),
        "pct": round(rng.uniform(-3.0, 3.0), 2) or 3.0,
    }
    return Fault(at_s=at_s, kind=kind, **{name: chosen[name] for name in _taken(kind)})
