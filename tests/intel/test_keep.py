"""Readings over a restart: the young ones of providers, as old as they are; never a guess from a damaged file."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.reading import MaxPain, Ofi, OiDelta, Reading, Taker
from bot.domain.values import NS
from bot.intel.keep import Kept, load, save
from bot.market.readings import COINGLASS, DERIBIT, OWN, VENUE, ReadingStore, decode_reading, rule_of

NOW = 1_700_000_000 * NS
BTC = "binanceusdm:BTCUSDT"
TAKER = Taker(buy_usd=Decimal("1.10"), sell_usd=Decimal(1))
PAIN = MaxPain(price=Decimal(100_000), expiry="2026-03-27", notional_usd=Decimal("1e9"))


def reading(name: str, source: str, value: Any, *, key: str = BTC, **rest: Any) -> Reading[Any]:
    return Reading(
        name=name,
        key=key,
        source=source,
        value=value,
        observed_ns=NOW,
        received_ns=NOW,
        max_age_ns=rule_of(name).max_age_s * NS,
        **rest,
    )


ALL = [
    reading("taker_5m", COINGLASS, TAKER),
    reading("taker_5m", OWN, TAKER),
    reading("max_pain", DERIBIT, PAIN, key="BTC", reason="in coins it would be 99000"),
    reading("oi_delta_5m", VENUE, OiDelta(pct=0.4)),
    reading("ofi", OWN, Ofi(base=1.0, depths=0.5)),
    reading("oi_delta_5m", COINGLASS, None, reason="not in plan"),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "readings.json"


def kept_of(kept: Kept, now_ns: int) -> list[tuple[str, str]]:
    assert kept.problem == ""
    return [(each.name, each.source) for each in (decode_reading(raw, now_ns) for raw in kept.readings)]


def test_what_providers_gave_comes_back_as_it_was_and_our_own_does_not(path: Path) -> None:
    store = ReadingStore()
    for each in ALL:
        store.put(each)
    save(path, store, NOW + NS)
    kept = load(path, NOW + 60 * NS)
    assert kept_of(kept, NOW + 60 * NS) == [("taker_5m", COINGLASS), ("max_pain", DERIBIT), ("oi_delta_5m", VENUE)]
    pain = decode_reading(kept.readings[1], NOW + 60 * NS)
    assert (pain.value, pain.observed_ns, pain.reason) == (PAIN, NOW, "in coins it would be 99000")
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("later_ns", "left"),
    [(120 * NS, 3), (120 * NS + 1, 1), (900 * NS, 1), (900 * NS + 1, 0)],
)
def test_nothing_is_younger_after_a_restart(path: Path, later_ns: int, left: int) -> None:
    save(path, ALL, NOW)
    assert len(load(path, NOW + later_ns).readings) == left
    save(path, ALL, NOW + later_ns)  # and what is too old is not even written
    assert len(load(path, NOW).readings) == left


def test_a_clock_that_was_set_back_makes_ages_unknown(path: Path) -> None:
    save(path, ALL, NOW)
    assert len(load(path, NOW - 5 * NS).readings) == 3
    kept = load(path, NOW - 5 * NS - 1)
    assert kept.readings == [] and "observed_ns" in kept.problem


def test_without_a_file_there_is_nothing_and_nothing_is_wrong(path: Path) -> None:
    assert load(path, NOW) == Kept([], "")
    path.mkdir()
    assert load(path, NOW).readings == [] and str(path) in load(path, NOW).problem


def cut(raw: bytes) -> bytes:
    return raw[: len(raw) // 2]


def other_version(raw: bytes) -> bytes:
    return raw.replace(b'"version":1', b'"version":2')


def not_a_number(raw: bytes) -> bytes:
    return raw.replace(b'"pct":0.4', b'"pct":1e400')


def wrong_type(raw: bytes) -> bytes:
    return raw.replace(b'"buy_usd":"1.10"', b'"buy_usd":1.10')


def no_such_reading(raw: bytes) -> bytes:
    return raw.replace(b'"max_pain"', b'"min_pain"')


def huge(raw: bytes) -> bytes:
    return raw + b" " * 8 * 1024 * 1024


def deep(raw: bytes) -> bytes:
    return b'{"version":1,"readings":' + b"[" * 100_000


@pytest.mark.parametrize("damage", [cut, other_version, not_a_number, wrong_type, no_such_reading, huge, deep])
def test_of_a_damaged_file_nothing_is_taken_and_the_reason_is_told(
    path: Path, damage: Callable[[bytes], bytes]
) -> None:
    save(path, ALL, NOW)
    before = path.read_bytes()
    path.write_bytes(damage(before))
    assert path.read_bytes() != before
    kept = load(path, NOW)
    assert kept.readings == [] and kept.problem.startswith(f"{path} is damaged")


@given(raw=st.binary(max_size=200))
def test_any_bytes_are_survived(tmp_path_factory: pytest.TempPathFactory, raw: bytes) -> None:
    path = tmp_path_factory.mktemp("any") / "readings.json"
    path.write_bytes(raw)
    assert load(path, NOW).readings == []


def test_a_save_that_fails_leaves_the_last_one(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(path, ALL, NOW)

    def full(handle: int) -> None:
        raise OSError(28, "no space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="no space"):
        save(path, [], NOW)
    assert len(load(path, NOW).readings) == 3
    monkeypatch.undo()
    save(path, ALL[:1], NOW)  # what the failed one left is in nobody's way
    assert len(load(path, NOW).readings) == 1
