"""The product page's rules on CoinGlass data, each at its edge, and that every payload passes the frame's own checks."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.reading import Reading
from bot.domain.values import NS, Direction, Side
from bot.intel.coinglass import schema, shape
from bot.intel.coinglass.envelope import data_of
from bot.intel.coinglass.schema import Heatmap, Interest, LargeOrder, PainRow, TakerTotals
from bot.market.readings import decode_reading, encode_reading

FIXTURES = Path(__file__).parents[2] / "fixtures/coinglass"
T0_S = 1_795_132_800
NOW = (T0_S + 600) * NS
M = 1_000_000


def data(name: str) -> Any:
    return data_of(200, "application/json", (FIXTURES / f"{name}.json").read_bytes())


def carried(name: str, key: str, value: Any) -> Any:
    """Through the bytes of a frame."""
    frame = Reading(
        name=name, key=key, source="coinglass", value=value, observed_ns=NOW, received_ns=NOW, max_age_ns=NS
    )
    got = decode_reading(encode_reading(frame), NOW).value
    assert got == value
    return got


@pytest.mark.parametrize(
    ("buy", "sell", "reason"),
    [
        (30_000, 20_000, ""),
        (30_000, "19999.99", "under 50000 USD traded"),
        (90_000, 0, "no sells"),
        (0, 90_000, ""),
    ],
)
def test_taker_is_missing_without_sells_or_volume(buy: Any, sell: Any, reason: str) -> None:
    totals = TakerTotals(buy_usd=Decimal(buy), sell_usd=Decimal(sell))
    value, said = shape.taker(totals, Decimal(50_000))
    assert said == reason and (value is None) == bool(reason)
    if value:
        carried("taker_5m", "binanceusdm:BTCUSDT", value)


def pain(hours: float, notional: int, open_interest: int = 100) -> PainRow:
    return PainRow(
        date=f"in {hours} h",
        expiry_ns=NOW + int(hours * 3600 * NS),
        price=Decimal(96_000),
        open_interest=Decimal(open_interest),
        notional_usd=Decimal(notional),
    )


@pytest.mark.parametrize(
    ("rows", "chosen"),
    [
        ([pain(1.99, 9), pain(2, 1), pain(169, 5)], 2),
        ([pain(3, 1), pain(168, 2), pain(168.01, 9)], 168),
        ([pain(200, 1, 4), pain(300, 1, 96)], 300),
        ([pain(200, 1, 5), pain(300, 1, 95)], 200),
        ([pain(-1, 9)], None),
        ([pain(3, 9, 0)], None),
        ([], None),
    ],
)
def test_the_expiry_that_decides(rows: list[PainRow], chosen: float | None) -> None:
    value, reason = shape.max_pain(rows, NOW)
    assert (value.expiry if value else None) == (None if chosen is None else f"in {chosen} h")
    assert bool(reason) == (value is None)


def test_max_pain_of_the_documented_body() -> None:
    value, _ = shape.max_pain(schema.parse_max_pain(data("option-max-pain")), NOW)
    assert value is not None and (value.expiry, value.price) == ("2026-11-21", Decimal(96000))
    assert value.notional_usd == Decimal(394192850)  # more than the 193M of the day after; the week's is too far away
    carried("max_pain", "BTC", value)


def test_every_expiry_to_come_is_told_nearest_first_and_so_many_at_most() -> None:
    value, _ = shape.max_pain([pain(400, 1), pain(3, 2), pain(-1, 9), pain(24, 3), pain(30, 9, 0)], NOW)
    assert value is not None
    assert [(each.expiry, each.notional_usd) for each in value.expiries] == [
        ("in 3 h", Decimal(2)),
        ("in 24 h", Decimal(3)),
        ("in 400 h", Decimal(1)),
    ]
    value, _ = shape.max_pain([pain(hours, 1) for hours in range(30, 2, -1)], NOW)
    assert value is not None
    assert [each.expiry for each in value.expiries] == [f"in {hours} h" for hours in range(3, 15)]


# --- open interest ----------------------------------------------------------------------------------------------------


def sample(age_s: float, usd: int = 6_500_000, **coins: Any) -> shape.Sample:
    quantities = {name: Decimal(str(value)) for name, value in coins.items()}
    total = sum(quantities.values(), Decimal(0))
    return shape.Sample(
        NOW - int(age_s * NS), Interest(usd=total * 65_000 if usd else Decimal(0), coins_of_all=total, coins=quantities)
    )


RICH = Decimal(10**12)


def test_the_check_value_of_open_interest_velocity() -> None:
    case = json.loads((FIXTURES.parent / "quant/flow.json").read_text())["oi_velocity"]
    (then, _), (now, _) = case["oi_base_px"]
    value, _ = shape.oi_delta([sample(300, a=then)], sample(0, a=now), RICH)
    assert value is not None and value.pct == pytest.approx(case["pct_5m_base"], rel=1e-12)


@pytest.mark.parametrize(("age_s", "usable"), [(239.9, False), (240, True), (300, True), (360, True), (360.1, False)])
def test_the_sample_before_is_five_minutes_old_give_or_take_one(age_s: float, usable: bool) -> None:
    value, reason = shape.oi_delta([sample(age_s, a=100)], sample(0, a=101), RICH)
    assert (value is not None) == usable and bool(reason) != usable


def test_the_sample_nearest_to_five_minutes_is_taken() -> None:
    value, _ = shape.oi_delta([sample(350, a=50), sample(290, a=100), sample(241, a=80)], sample(0, a=101), RICH)
    assert value is not None and value.pct == pytest.approx(1)


def test_an_exchange_that_comes_or_goes_is_no_change() -> None:
    value, _ = shape.oi_delta([sample(300, a=95, b=5)], sample(0, a=95), RICH)
    assert value is not None and value.pct == 0
    assert shape.oi_delta([sample(300, a=85, b=15)], sample(0, a=85), RICH)[0] is None
    assert shape.oi_delta([sample(300, a=85)], sample(0, a=85, b=15), RICH)[0] is None
    assert shape.oi_delta([sample(300, a=0)], sample(0, a=0), RICH)[0] is None


def test_a_change_larger_than_what_was_traded_is_missing() -> None:
    before, now = [sample(300, a=100)], sample(0, a=101)
    assert shape.oi_delta(before, now, Decimal(65_000))[0] is not None
    assert shape.oi_delta(before, now, Decimal("64999.99"))[1] == "changed by more than was traded"
    assert shape.oi_delta(before, sample(0, a=99), Decimal("64999.99"))[0] is None
    assert "not known" in shape.oi_delta(before, now, None)[1]
    assert "not known" in shape.oi_delta(before, sample(0, usd=0, a=101), RICH)[1]


# --- walls ------------------------------------------------------------------------------------------------------------


def order(price: Any, usd: float, side: Side = Side.SELL, age_s: float = 61) -> LargeOrder:
    start = NOW - int(age_s * NS)
    return LargeOrder(side=side, price=Decimal(str(price)), usd=Decimal(str(usd)), start_ns=start, seen_ns=NOW)


def walls_of(mid: Any = 100, institutional: int = 25 * M, **by_venue: list[LargeOrder]) -> Any:
    value = shape.walls(by_venue, Decimal(mid), Decimal(institutional), 60, NOW)
    return carried("walls", "BTC", value)


def test_orders_of_one_bucket_are_one_wall_over_venues() -> None:
    got = walls_of(Binance=[order("101.01", 12 * M, age_s=70)], OKX=[order("101.05", 14 * M), order("101.15", M)])
    assert [wall.usd for wall in got.asks] == [26 * M, M]
    assert got.asks[0].price == pytest.approx(26 / (12 / 101.01 + 14 / 101.05))
    assert got.asks[0].venues == ("Binance", "OKX") and got.asks[0].first_seen_ns == NOW - 70 * NS
    assert (got.bids, got.ask_coverage_pct, got.bid_coverage_pct) == ((), 5, 5)


@pytest.mark.parametrize(
    ("it", "there"),
    [
        (order(101, M, age_s=60), True),
        (order(101, M, age_s=59.9), False),
        (order(105, M), True),
        (order("105.01", M), False),
        (order(100, M), False),
        (order(99, M), False),
        (order(99, M, Side.BUY), True),
        (order(95, M, Side.BUY), True),
        (order("94.99", M, Side.BUY), False),
        (order(101, M, Side.BUY), False),
    ],
)
def test_which_orders_make_a_wall(it: LargeOrder, there: bool) -> None:
    got = walls_of(Binance=[it])
    assert len(got.asks) + len(got.bids) == there


def test_the_top_three_and_every_further_institutional_one() -> None:
    sizes = [30, 40, 50, 26, 25, 1]
    got = walls_of(Binance=[order(101 + index / 2, size * M) for index, size in enumerate(sizes)])
    assert [wall.usd / M for wall in got.asks] == [50, 40, 30, 26]


def test_walls_of_the_documented_body() -> None:
    orders = schema.parse_large_orders(data("orderbook-large-limit-order"), "Binance", "BTCUSDT", NOW)
    got = walls_of(96_500, Binance=orders)
    assert [round(wall.price) for wall in got.asks] == [97_000, 99_900, 97_250]
    assert [round(wall.price) for wall in got.bids] == [96_000, 95_500]


# --- liquidations -----------------------------------------------------------------------------------------------------


def test_levels_become_clusters_by_side_and_bucket() -> None:
    levels = ((95, 1), ("94.9", 9), ("98.04", 3), ("98.06", 4), (100, 7), ("101.01", 2), ("101.02", 2), (105, 8))
    heatmap = Heatmap(
        price=Decimal(100), observed_ns=NOW, levels=tuple((Decimal(str(p)), Decimal(u)) for p, u in levels)
    )
    got = carried("liquidation_clusters", "binanceusdm:BTCUSDT", shape.clusters(heatmap, Decimal(1000)))
    assert [(cluster.price, cluster.usd, cluster.side) for cluster in got.clusters] == [
        (Decimal(95), Decimal(1), Direction.LONG),
        (Decimal("98.06"), Decimal(7), Direction.LONG),
        (Decimal("101.01"), Decimal(4), Direction.SHORT),
        (Decimal(105), Decimal(8), Direction.SHORT),
    ]
    assert not got.model and got.open_interest_usd == 1000


@given(
    st.lists(
        st.tuples(st.decimals("0.0001", "1000000", places=8), st.decimals("0.01", "1e12", places=2)),
        unique_by=lambda level: level[0],
        max_size=30,
    ),
    st.decimals("0.0001", "1000000", places=8),
)
def test_no_level_within_reach_is_lost_or_counted_twice(levels: list[tuple[Decimal, Decimal]], price: Decimal) -> None:
    got = shape.clusters(Heatmap(price=price, observed_ns=NOW, levels=tuple(sorted(levels))), Decimal(1))
    within = [usd for at, usd in levels if 0 < abs(at - price) / price <= Decimal("0.05")]
    assert sum(cluster.usd for cluster in got.clusters) == sum(within)
    assert all((cluster.price > price) == (cluster.side is Direction.SHORT) for cluster in got.clusters)
