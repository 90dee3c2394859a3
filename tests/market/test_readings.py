"""The source order, what is refused, and the bytes of a reading."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.errors import FeedError
from bot.domain.reading import (
    LiquidationCluster,
    LiquidationClusters,
    LongShort,
    MaxPain,
    Ofi,
    OiDelta,
    Reading,
    ReadingState,
    Regime,
    Taker,
    Wall,
    Walls,
    WhaleCvd,
)
from bot.domain.values import NS, Direction, RegimeLabel
from bot.market.readings import SOURCES, ReadingStore, decode_reading, encode_reading, own_reading

NOW = 1_700_000_000 * NS
BTC = "binanceusdm:BTCUSDT"


def reading(
    name: str, source: str, value: Any = None, *, age_s: float = 0, key: str = BTC, **rest: Any
) -> Reading[Any]:
    observed = NOW - int(age_s * NS)
    max_age_ns = SOURCES[name].max_age_s * NS if name in SOURCES else NS
    return Reading(
        name=name,
        key=key,
        source=source,
        value=value,
        observed_ns=observed,
        received_ns=observed,
        max_age_ns=max_age_ns,
        **rest,
    )


TAKER = Taker(buy_usd=Decimal("1.1"), sell_usd=Decimal(1))


def store(*readings: Reading[Any]) -> ReadingStore:
    made = ReadingStore()
    for each in readings:
        made.put(each)
    return made


# --- which one decides ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "sources", "max_age_s", "keyed_by"),
    [
        ("taker_5m", ("coinglass", "own"), 120, "instrument"),
        ("max_pain", ("coinglass", "deribit"), 900, "coin"),
        ("walls", ("coinglass", "own"), 90, "coin"),
        ("liquidation_clusters", ("coinglass", "model"), 600, "instrument"),
        ("oi_delta_5m", ("venue", "coinglass"), 120, "instrument"),
        ("long_short", ("venue", "coinglass"), 900, "instrument"),
        ("whale_cvd", ("own",), 30, "instrument"),
        ("ofi", ("own",), 2, "instrument"),
        ("regime", ("own",), 600, "instrument"),
    ],
)
def test_the_table(name: str, sources: tuple[str, ...], max_age_s: int, keyed_by: str) -> None:
    rule = SOURCES[name]
    assert (rule.sources, rule.max_age_s, rule.keyed_by) == (sources, max_age_s, keyed_by)
    assert len(SOURCES) == 9


@pytest.mark.parametrize(
    ("coinglass_age_s", "own_age_s", "source", "state"),
    [
        (0, 0, "coinglass", ReadingState.FRESH),
        (120, 0, "coinglass", ReadingState.FRESH),
        (120.1, 0, "own", ReadingState.FRESH),
        (121, 120, "own", ReadingState.FRESH),
        (121, 120.1, "coinglass", ReadingState.STALE),
        (500, 121, "coinglass", ReadingState.STALE),
        (None, 121, "own", ReadingState.STALE),
        (None, 0, "own", ReadingState.FRESH),
        (0, None, "coinglass", ReadingState.FRESH),
    ],
)
def test_the_first_fresh_source_decides_else_the_first_stale_one(
    coinglass_age_s: float | None, own_age_s: float | None, source: str, state: ReadingState
) -> None:
    ages = {"coinglass": coinglass_age_s, "own": own_age_s}
    readings = [reading("taker_5m", s, TAKER if age is not None else None, age_s=age or 0) for s, age in ages.items()]
    best = store(*readings).best("taker_5m", BTC, NOW)
    assert (best.source, best.state(NOW)) == (source, state)


def test_a_partial_reading_decides_like_a_fresh_one() -> None:
    walls = Walls(asks=(), bids=(), ask_coverage_pct=0.1, bid_coverage_pct=0.1, institutional_usd=Decimal(1))
    partial = reading("walls", "coinglass", walls, key="BTC", partial=True)
    whole = reading("walls", "own", walls, key="BTC")
    assert store(partial, whole).best("walls", "BTC", NOW) is partial
    assert store(partial, whole).others_fresh(partial, NOW) == [whole]


def test_a_missing_reading_says_why_each_source_is() -> None:
    missing = reading("taker_5m", "coinglass", reason="not in plan")
    best = store(missing).best("taker_5m", BTC, NOW)
    assert best.state(NOW) is ReadingState.MISSING
    assert best.reason == "coinglass: not in plan; own: nothing received yet"
    assert (best.name, best.key, best.max_age_ns) == ("taker_5m", BTC, 120 * NS)


def test_what_is_computed_on_demand_takes_its_place_in_the_order() -> None:
    own = own_reading("taker_5m", BTC, TAKER, NOW - NS, NOW)
    assert store().best("taker_5m", BTC, NOW, lambda: own) is own
    provider = reading("taker_5m", "coinglass", TAKER)
    assert store(provider).best("taker_5m", BTC, NOW, lambda: own) is provider
    assert store(provider).others_fresh(provider, NOW, lambda: own) == [own]
    asked: list[str] = []
    store(provider).best("taker_5m", BTC, NOW, lambda: asked.append("own"))
    assert not asked  # only when its turn comes
    missing = own_reading("taker_5m", BTC, None, None, NOW, reason="299 s of 300 s unbroken")
    assert "own: 299 s of 300 s unbroken" in store().best("taker_5m", BTC, NOW, lambda: missing).reason


def test_an_own_reading_is_never_observed_after_now() -> None:
    assert own_reading("ofi", BTC, None, NOW + 1, NOW).observed_ns == NOW


def test_others_are_fresh_and_did_not_decide() -> None:
    stale, fresh = reading("taker_5m", "coinglass", TAKER, age_s=121), reading("taker_5m", "own", TAKER)
    assert store(stale, fresh).others_fresh(fresh, NOW) == []


def test_a_later_reading_of_a_source_replaces_the_earlier_and_keys_stay_apart() -> None:
    later = reading("taker_5m", "coinglass", None, reason="HTTP 500")
    made = store(reading("taker_5m", "coinglass", TAKER), later)
    assert made.best("taker_5m", BTC, NOW).value is None
    assert "HTTP 500" in made.best("taker_5m", BTC, NOW).reason
    assert "HTTP 500" not in made.best("taker_5m", "binanceusdm:ETHUSDT", NOW).reason


@pytest.mark.parametrize(("name", "source"), [("takers", "own"), ("taker_5m", "deribit"), ("ofi", "coinglass")])
def test_unknown_names_and_sources_are_refused(name: str, source: str) -> None:
    with pytest.raises(FeedError, match=name if name == "takers" else source):
        store(reading(name, source))
    with pytest.raises(FeedError):
        decode(name=name, source=source)
    with pytest.raises(FeedError):
        store().best("takers", BTC, NOW)


# --- bytes ----------------------------------------------------------------------------------------------------------


def decode(**fields: Any) -> Reading[Any]:
    whole = {"name": "taker_5m", "key": BTC, "source": "coinglass", "value": {"buy_usd": "1.1", "sell_usd": "1"}}
    return decode_reading(json.dumps(whole | fields).encode(), NOW)


def test_a_reading_frame() -> None:
    got = decode(observed_ns=NOW - 30 * NS)
    assert got == Reading(
        name="taker_5m",
        key=BTC,
        source="coinglass",
        value=TAKER,
        observed_ns=NOW - 30 * NS,
        received_ns=NOW,
        max_age_ns=120 * NS,
    )


def test_a_missing_reading_keeps_its_reason() -> None:
    got = decode(value=None, reason="not in plan")
    assert (got.state(NOW), got.reason, got.observed_ns) == (ReadingState.MISSING, "not in plan", NOW)


@pytest.mark.parametrize(
    ("ahead_ns", "observed_ns"), [(-NS, NOW - NS), (0, NOW), (1, NOW), (5 * NS, NOW), (5 * NS + 1, None)]
)
def test_a_provider_may_run_five_seconds_ahead(ahead_ns: int, observed_ns: int | None) -> None:
    if observed_ns is None:
        with pytest.raises(FeedError, match="observed_ns"):
            decode(observed_ns=NOW + ahead_ns)
    else:
        assert decode(observed_ns=NOW + ahead_ns).observed_ns == observed_ns


WALL = {"price": 101.0, "usd": 3e7, "first_seen_ns": 5, "venues": ["binanceusdm"]}
WALLS = {"asks": [WALL], "bids": [], "ask_coverage_pct": 5.0, "bid_coverage_pct": 5, "institutional_usd": "25000000"}
CLUSTER = {"price": "101", "usd": "1e6", "side": "short"}
SAMPLES: dict[str, dict[str, Any]] = {
    "taker_5m": {"buy_usd": "1.1", "sell_usd": "1"},
    "max_pain": {"price": "61000", "expiry": "2024-08-09", "notional_usd": "0"},
    "walls": WALLS,
    "liquidation_clusters": {"clusters": [CLUSTER], "open_interest_usd": "1e9"},
    "oi_delta_5m": {"pct": -0.45},
    "long_short": {"ratio": "2.1", "percentile_95": None},
    "whale_cvd": {"direction": None, "intensity": 0},
    "ofi": {"base": -1.5, "depths": -0.3},
    "regime": {"label": "TREND", "hurst": -0.1, "z": -2.0, "sum_100": -0.01, "sum_12": 0.0},
}


@pytest.mark.parametrize("name", list(SAMPLES))
def test_every_payload_is_read(name: str) -> None:
    got = decode_sample(name, SAMPLES[name])
    assert isinstance(got.value, SOURCES[name].payload)


def decode_sample(name: str, value: dict[str, Any]) -> Reading[Any]:
    key = BTC if SOURCES[name].keyed_by == "instrument" else "BTC"
    return decode(name=name, source=SOURCES[name].sources[0], key=key, value=value)


@pytest.mark.parametrize(
    ("name", "change", "field"),
    [
        ("taker_5m", {"buy_usd": 1.1}, "taker_5m.buy_usd"),
        ("taker_5m", {"buy_usd": 1}, "taker_5m.buy_usd"),
        ("taker_5m", {"buy_usd": "NaN"}, "taker_5m.buy_usd"),
        ("taker_5m", {"buy_usd": "sNaN"}, "taker_5m.buy_usd"),
        ("taker_5m", {"sell_usd": "-Infinity"}, "taker_5m.sell_usd"),
        ("taker_5m", {"sell_usd": "-0.01"}, "taker_5m.sell_usd"),
        ("taker_5m", {"sell_usd": "much"}, "sell_usd"),
        ("taker_5m", {"sell_usd": None}, "sell_usd"),
        ("taker_5m", {"ratio": "1.1"}, "taker_5m.ratio"),
        ("max_pain", {"price": "0"}, "max_pain.price"),
        ("max_pain", {"expiry": 5}, "expiry"),
        ("max_pain", {"notional_usd": "-1"}, "max_pain.notional_usd"),
        ("walls", {"asks": [WALL | {"usd": -1.0}]}, r"walls.asks\[0\].usd"),
        ("walls", {"bids": [WALL, WALL | {"price": 0.0}]}, r"walls.bids\[1\].price"),
        ("walls", {"bids": [WALL | {"venues": "x"}]}, "venues"),
        ("walls", {"bids": [WALL | {"who": "x"}]}, r"walls.bids\[0\].who"),
        ("walls", {"ask_coverage_pct": -0.1}, "walls.ask_coverage_pct"),
        ("walls", {"institutional_usd": 25000000}, "walls.institutional_usd"),
        ("liquidation_clusters", {"clusters": [CLUSTER | {"side": "up"}]}, "side"),
        ("liquidation_clusters", {"clusters": [CLUSTER | {"usd": "-1"}]}, r"clusters\[0\].usd"),
        ("oi_delta_5m", {"pct": "1"}, "pct"),
        ("oi_delta_5m", {"pct": float("nan")}, "value of oi_delta_5m|reading"),
        ("oi_delta_5m", {"pct": float("inf")}, "value of oi_delta_5m|reading"),
        ("long_short", {"ratio": "0"}, "long_short.ratio"),
        ("long_short", {"percentile_95": "-1"}, "long_short.percentile_95"),
        ("long_short", {"percentile_95": 2.5}, "long_short.percentile_95"),
        ("whale_cvd", {"intensity": 100.1}, "whale_cvd.intensity"),
        ("whale_cvd", {"intensity": -1}, "whale_cvd.intensity"),
        ("whale_cvd", {"direction": "flat"}, "direction"),
        ("ofi", {"base": True}, "base"),
        ("regime", {"label": "UP"}, "label"),
    ],
)
def test_a_wrong_value_is_refused_by_name(name: str, change: dict[str, Any], field: str) -> None:
    with pytest.raises(FeedError, match=field):
        decode_sample(name, SAMPLES[name] | change)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"key": ""}, "key"),
        ({"key": "BTC"}, "key"),
        ({"name": "max_pain", "key": BTC, "value": SAMPLES["max_pain"]}, "key"),
        ({"key": 5}, "key"),
        ({"observed_ns": "now"}, "observed_ns"),
        ({"observed_ns": -1}, "observed_ns"),
        ({"observed_ns": 1.5}, "observed_ns"),
        ({"partial": True}, "partial"),
        ({"partial": 1}, "partial"),
        ({"reason": None}, "reason"),
        ({"age": 5}, "age"),
        ({"value": []}, "taker_5m"),
        ({"value": "x"}, "taker_5m"),
    ],
)
def test_a_wrong_envelope_is_refused_by_name(fields: dict[str, Any], named: str) -> None:
    with pytest.raises(FeedError, match=named):
        decode(**fields)


@pytest.mark.parametrize("raw", [b"", b"{}", b"[]", b"null", b'{"name":"ofi"', b"\xff", b'{"value":' + b"[" * 5000])
def test_bytes_that_are_no_reading_are_refused(raw: bytes) -> None:
    with pytest.raises(FeedError, match="reading"):
        decode_reading(raw, NOW)


# --- round trip -----------------------------------------------------------------------------------------------------

money = st.just(Decimal(0)) | st.decimals(Decimal("1e-12"), Decimal("1e15"))
prices = st.decimals(Decimal("1e-8"), Decimal("1e9"))
numbers = st.floats(-1e12, 1e12)
positive = st.floats(1e-9, 1e12)
shares = st.floats(0, 100)
walls = st.lists(
    st.builds(
        Wall,
        price=positive,
        usd=positive,
        first_seen_ns=st.integers(0, 2**62),
        venues=st.lists(st.text()).map(tuple),
    ),
    max_size=3,
).map(tuple)
PAYLOADS: dict[str, st.SearchStrategy[Any]] = {
    "taker_5m": st.builds(Taker, buy_usd=money, sell_usd=money),
    "max_pain": st.builds(MaxPain, price=prices, expiry=st.text(), notional_usd=money),
    "walls": st.builds(
        Walls, asks=walls, bids=walls, ask_coverage_pct=shares, bid_coverage_pct=shares, institutional_usd=money
    ),
    "liquidation_clusters": st.builds(
        LiquidationClusters,
        clusters=st.lists(
            st.builds(LiquidationCluster, price=prices, usd=money, side=st.sampled_from(Direction)), max_size=3
        ).map(tuple),
        open_interest_usd=money,
        model=st.booleans(),
    ),
    "oi_delta_5m": st.builds(OiDelta, pct=numbers),
    "long_short": st.builds(LongShort, ratio=prices, percentile_95=st.none() | money),
    "whale_cvd": st.builds(WhaleCvd, direction=st.none() | st.sampled_from(Direction), intensity=shares),
    "ofi": st.builds(Ofi, base=numbers, depths=numbers),
    "regime": st.builds(
        Regime, label=st.sampled_from(RegimeLabel), hurst=numbers, z=numbers, sum_100=numbers, sum_12=numbers
    ),
}


@st.composite
def readings(draw: st.DrawFn) -> Reading[Any]:
    name = draw(st.sampled_from(sorted(SOURCES)))
    rule = SOURCES[name]
    return Reading(
        name=name,
        key=BTC if rule.keyed_by == "instrument" else "BTC",
        source=draw(st.sampled_from(rule.sources)),
        value=draw(st.none() | PAYLOADS[name]),
        observed_ns=NOW - draw(st.integers(0, NOW)),
        received_ns=NOW,
        max_age_ns=rule.max_age_s * NS,
        partial=name == "walls" and draw(st.booleans()),
        reason=draw(st.text()),
    )


@given(readings())
def test_what_is_encoded_reads_back_the_same(original: Reading[Any]) -> None:
    assert decode_reading(encode_reading(original), NOW) == original


@pytest.mark.parametrize("price", ["1E-999999", "1E+999999", "1e-13", "1e19"])
def test_money_beyond_any_sense_is_refused_at_the_edge(price: str) -> None:
    """Numbers like these would overflow where they are divided."""
    value = {"price": price, "expiry": "2024-08-09", "notional_usd": "1000"}
    raw = json.dumps({"name": "max_pain", "key": "BTC", "source": "deribit", "value": value}).encode()
    with pytest.raises(FeedError, match="beyond any sense"):
        decode_reading(raw, NOW)
