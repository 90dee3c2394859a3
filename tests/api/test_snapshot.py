"""What the snapshot makes of what several sources say."""

from __future__ import annotations

from decimal import Decimal
from types import SimpleNamespace
from typing import Any

from bot.api.snapshot import Live, _value
from bot.domain.reading import ExpiryPain, MaxPain, Reading
from bot.domain.values import NS

NOW = 1_000_000 * NS


def pain(source: str, chosen: str, expiries: dict[str, int], age_s: int) -> Reading[MaxPain]:
    each = tuple(
        ExpiryPain(expiry=day, price=Decimal(price), notional_usd=Decimal(7)) for day, price in expiries.items()
    )
    value = MaxPain(price=Decimal(1), expiry=chosen, notional_usd=Decimal(9), expiries=each)
    seen_ns = NOW - age_s * NS
    return Reading(
        name="max_pain",
        key="BTC",
        source=source,
        value=value,
        observed_ns=seen_ns,
        received_ns=seen_ns,
        max_age_ns=900 * NS,
    )


def expiries(*said: tuple[str, Reading[MaxPain] | None]) -> list[dict[str, Any]]:
    view: Any = SimpleNamespace(sources=lambda name, instrument: said)
    engine: Any = SimpleNamespace(now_ns=NOW)
    nothing: Any = None
    return Live(engine, nothing, nothing, view, nothing, nothing, nothing, {})._expiries("binanceusdm:BTCUSDT")


def test_each_expiry_is_of_the_first_source_that_is_fresh_else_of_one_that_says_anything() -> None:
    first = pain("coinglass", "2026-01-02", {"2026-01-01": 10, "2026-01-02": 20}, age_s=10)
    second = pain("deribit", "2026-01-02", {"2026-01-02": 21, "2026-01-30": 31}, age_s=20)
    rows = expiries(("coinglass", first), ("deribit", second))
    told = [(row["expiry"], row["price"], row["source"], row["age_s"], row["state"]) for row in rows]
    assert told == [
        ("2026-01-01", "10", "coinglass", 10.0, "FRESH"),
        ("2026-01-02", "20", "coinglass", 10.0, "FRESH"),
        ("2026-01-30", "31", "deribit", 20.0, "FRESH"),
    ]
    stale = pain("coinglass", "2026-01-02", {"2026-01-01": 10, "2026-01-02": 20}, age_s=901)
    rows = expiries(("coinglass", stale), ("deribit", second))
    assert [(row["price"], row["state"]) for row in rows] == [("10", "STALE"), ("21", "FRESH"), ("31", "FRESH")]


def test_an_older_recording_names_only_the_expiry_that_counts() -> None:
    [row] = expiries(("coinglass", None), ("deribit", pain("deribit", "2026-01-02", {}, age_s=1)))
    assert (row["expiry"], row["price"], row["notional_usd"]) == ("2026-01-02", "1", "9")
    assert expiries(("coinglass", None), ("deribit", None)) == []


def test_the_reading_itself_tells_the_expiry_that_counts_alone() -> None:
    told = _value(pain("deribit", "2026-01-02", {"2026-01-30": 31}, age_s=1).value)
    assert told == {"price": "1", "expiry": "2026-01-02", "notional_usd": "9", "atm_iv_pct": None}
    assert _value(None) is None
