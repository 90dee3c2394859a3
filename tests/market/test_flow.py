"""Taker volumes, whale orders and order-flow imbalance, at their exact edges."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.domain.reading import WhaleCvd
from bot.domain.values import MS, NS, Direction
from bot.market.flow import (
    DAY_NS,
    HOUR_NS,
    MICRO,
    MINUTE_NS,
    OfiParams,
    OrderFlowImbalance,
    OrderSizes,
    Slots,
    TakerFlow,
    TakerParams,
    WhaleFlow,
    WhaleParams,
    micro_usd,
)

FIXTURE = Path(__file__).resolve().parents[1] / "fixtures/quant/flow.json"
T0 = 1_700_000_000 * NS


def fixture(name: str) -> Any:
    return json.loads(FIXTURE.read_text())[name]


def usd(amount: float) -> int:
    return round(amount * MICRO)


# --- slots ----------------------------------------------------------------------------------------------------------


@given(
    st.lists(st.tuples(st.integers(0, 4 * NS), st.integers(1, 10**12)), max_size=60),
    st.integers(0, 20 * NS),
)
def test_slots_sum_exactly_what_lies_in_the_window(steps: list[tuple[int, int]], wait: int) -> None:
    slots, now, added = Slots(5, NS, (0,)), T0, []
    for step, amount in steps:
        now += step
        slots.row(now)[0] += amount
        added.append((now // NS, amount))
    now += wait
    assert slots.totals(now) == [sum(amount for second, amount in added if second > now // NS - 5)]


# --- taker ----------------------------------------------------------------------------------------------------------


def taker(*trades: tuple[float, float, bool], min_usd: int = 50_000) -> TakerFlow:
    """Trades as (seconds after T0, USD, taker buys)."""
    flow = TakerFlow(TakerParams(min_usd=Decimal(min_usd)))
    for second, amount, buys in trades:
        flow.add(usd(amount), buys, T0 + int(second * NS))
    return flow


@pytest.mark.parametrize(("after_ns", "there"), [(299 * NS, False), (300 * NS - 1, False), (300 * NS, True)])
def test_taker_needs_five_unbroken_minutes(after_ns: int, there: bool) -> None:
    flow = taker((0, 1, True), (100, 60_000, True), (101, 50_000.25, False))
    value, reason = flow.value(T0 + after_ns)
    if there:
        assert value is not None
        assert (value.buy_usd, value.sell_usd) == (Decimal(60_000), Decimal("50000.25"))  # the dollar of T0 has expired
    else:
        assert value is None
        assert reason == "299 s of 300 s unbroken, so far buys 0.06M and sells 0.05M USD"


@pytest.mark.parametrize(
    ("buy", "sell", "reason"),
    [
        (25_000, 25_000, ""),
        (25_000, 24_999, "only 49999 USD traded in 5 min, needs 50000"),
        (24_999.999999, 25_000, "only 49999 USD traded in 5 min, needs 50000"),
        (0, 50_000, ""),
        (1_000_000, 0, "no taker sells in 5 min"),
        (1_000_000, 0.000001, ""),
        (0, 0, "only 0 USD traded in 5 min, needs 50000"),
    ],
)
def test_taker_without_enough_volume_or_sells_is_missing(buy: float, sell: float, reason: str) -> None:
    flow = taker((0, 1, True), (200, buy, True), (200, sell, False))
    value, said = flow.value(T0 + 300 * NS)
    assert said == reason
    assert (value is None) == bool(reason)


def test_taker_zero_sells_are_missing_without_a_floor_too() -> None:
    assert taker((0, 1, True), min_usd=0).value(T0 + 300 * NS)[0] is None


def test_taker_volume_expires_second_by_second() -> None:
    flow = taker((0, 1, True), (100, 60_000, True), (101.5, 60_000, False), (399, 60_000, False))
    value, _ = flow.value(T0 + 400 * NS - 1)
    assert value is not None and value.buy_usd == 60_000 and value.sell_usd == 120_000
    value, _ = flow.value(T0 + 400 * NS)
    assert value is not None and value.buy_usd == 0 and value.sell_usd == 120_000
    value, _ = flow.value(T0 + 401 * NS)
    assert value is not None and value.sell_usd == 60_000


def test_a_gap_starts_five_new_minutes_from_the_first_trade_after_it() -> None:
    flow = taker((0, 1_000_000, True), (299, 1_000_000, False))
    flow.gap()
    assert flow.value(T0 + 300 * NS) == (None, "nothing received yet")
    flow.add(usd(70_000), False, T0 + 310 * NS)
    flow.add(usd(80_000), True, T0 + 400 * NS)
    assert flow.value(T0 + 609 * NS)[0] is None
    flow.add(usd(90_000), False, T0 + 609 * NS)
    value, _ = flow.value(T0 + 610 * NS)
    assert value is not None
    assert value.buy_usd == 80_000
    assert value.sell_usd == 90_000


def test_ratio_and_imbalance_of_the_check_values() -> None:
    """The engine keeps both sums and compares by multiplication: a ratio without sells does not exist, nor does one of nothing."""
    for case in fixture("taker"):
        value, reason = taker((0, 0, True), (10, case["buy"], True), (20, case["sell"], False), min_usd=0).value(
            T0 + 300 * NS
        )
        if case["ratio"] is None:
            assert (value, reason) == (None, "no taker sells in 5 min")
            continue
        assert value is not None
        assert float(value.buy_usd / value.sell_usd) == pytest.approx(case["ratio"], abs=1e-8)
        imbalance = (value.buy_usd - value.sell_usd) / (value.buy_usd + value.sell_usd)
        assert float(imbalance) == pytest.approx(case["imbalance"], abs=1e-8)


# --- whales ---------------------------------------------------------------------------------------------------------


def test_fills_of_one_millisecond_and_side_are_one_taker_order() -> None:
    cvd = fixture("cvd")
    whale, taker_flow = WhaleFlow(WhaleParams()), TakerFlow(TakerParams())
    taker_flow.add(0, True, T0)
    orders: dict[tuple[int, int], int] = {}
    for ms, price, quantity, buyer_is_maker in cvd["trades_ts_price_qty_buyerIsMaker"]:
        micro, now = micro_usd(price, quantity), T0 + ms * MS
        orders[ms, -1 if buyer_is_maker else 1] = whale.add(micro, not buyer_is_maker, ms * MS, now)
        taker_flow.add(micro, not buyer_is_maker, now)
    wanted = {(ms, side): round(worth * MICRO) for ms, side, worth, _ in cvd["taker_orders_grouped_ts_side_usd_qty"]}
    assert orders == wanted
    buy, sell, count = whale.totals(T0 + 3 * NS)
    assert (buy - sell) / MICRO == cvd["cvd_whale_100k_usd"]
    assert count == 2
    all_trades, _ = taker_flow.value(T0 + 300 * NS)
    assert all_trades is not None
    assert float(all_trades.buy_usd - all_trades.sell_usd) == cvd["cvd_all_usd"]


def test_both_sides_of_one_millisecond_stay_apart() -> None:
    whale = WhaleFlow(WhaleParams())
    for amount, buys in ((60_000, True), (70_000, False), (39_999, True), (30_000, False), (1, True)):
        whale.add(usd(amount), buys, T0, T0)
    assert whale.totals(T0) == (usd(100_000), usd(100_000), 2)


@pytest.mark.parametrize(("order", "orders"), [(99_999, 0), (99_999.999999, 0), (100_000, 1)])
def test_a_whale_order_has_the_floor_or_more(order: float, orders: int) -> None:
    whale = WhaleFlow(WhaleParams())
    whale.add(usd(order), True, T0, T0)
    assert whale.totals(T0) == (usd(order) * orders, 0, orders)


def test_fills_after_it_became_a_whale_are_added_once() -> None:
    whale = WhaleFlow(WhaleParams())
    for amount in (40_000, 60_000, 5, 7):
        whale.add(usd(amount), False, T0, T0)
    whale.add(usd(50_000), False, T0 + MS, T0)  # another order
    assert whale.totals(T0) == (0, usd(100_012), 1)


def trade(whale: WhaleFlow, second: float, amount: float, buys: bool) -> None:
    now = T0 + int(second * NS)
    whale.add(usd(amount), buys, now, now)


def hour_of_whales(*orders: tuple[float, float, bool]) -> WhaleCvd:
    """The reading one hour after T0, with these orders (seconds before then, USD, buys)."""
    whale = WhaleFlow(WhaleParams())
    trade(whale, 0, 1, True)
    for before, amount, buys in orders:
        trade(whale, 3600 - before, amount, buys)
    value, _ = whale.value(T0 + HOUR_NS)
    assert value is not None
    return value


@pytest.mark.parametrize(
    ("orders", "direction", "intensity"),
    [
        ([(30, 500_000, True), (20, 500_000, True)], None, 0.0),
        ([(30, 500_000, True), (20, 300_000, True), (10, 200_000, False)], Direction.LONG, 60.0),
        ([(30, 100_000, True), (20, 100_000, True), (10, 600_000, False)], Direction.SHORT, 50.0),
        ([(30, 100_000, True), (20, 100_000, True), (10, 200_000, False)], None, 0.0),
        ([(30, 100_000, False), (20, 100_000, False), (10, 100_000, False), (5, 99_999, True)], Direction.SHORT, 100.0),
    ],
)
def test_whale_direction_and_intensity(
    orders: list[tuple[float, float, bool]], direction: Direction | None, intensity: float
) -> None:
    assert hour_of_whales(*orders) == WhaleCvd(direction=direction, intensity=intensity)


def test_whale_orders_count_for_fifteen_minutes() -> None:
    recent = [(10.0, 100_000.0, False), (5.0, 100_000.0, False)]
    assert hour_of_whales((899, 300_000, True), *recent).direction is Direction.LONG
    assert hour_of_whales((900, 300_000, True), *recent) == WhaleCvd(direction=None, intensity=0.0)  # two are left


@pytest.mark.parametrize(("after_ns", "there"), [(HOUR_NS - 1, False), (HOUR_NS, True)])
def test_whale_needs_an_unbroken_hour(after_ns: int, there: bool) -> None:
    whale = WhaleFlow(WhaleParams())
    trade(whale, 0, 1, True)
    assert (whale.value(T0 + after_ns)[0] is not None) == there
    whale.gap()
    trade(whale, 5000, 1, True)
    assert (whale.value(T0 + 5000 * NS + after_ns)[0] is not None) == there


def day_of_orders(until_ns: int, large: float) -> WhaleFlow:
    """One order a minute, one large one to 24 small ones, up to `until_ns` after T0."""
    whale = WhaleFlow(WhaleParams())
    for minute in range(until_ns // MINUTE_NS + 1):
        trade(whale, 60 * minute, large if minute % 25 == 24 else 1000, buys=True)
    return whale


@pytest.mark.parametrize(
    ("until_ns", "large", "low", "high"),
    [
        (DAY_NS - MINUTE_NS, 400_000, 100_000, 100_000),  # not known yet
        (DAY_NS, 400_000, 396_000, 400_000),
        (DAY_NS, 100_000, 100_000, 100_000),
        (DAY_NS, 90_000, 100_000, 100_000),  # never under the floor
        (DAY_NS, 5e9, 100e6, 5e9),  # beyond the last bin
    ],
)
def test_the_percentile_raises_the_threshold_after_a_day(until_ns: int, large: float, low: int, high: int) -> None:
    assert low <= day_of_orders(until_ns, large).threshold_usd <= high


def test_the_percentile_forgets_after_a_day_and_survives_a_gap() -> None:
    whale = day_of_orders(DAY_NS, 400_000)
    whale.gap()
    for minute in range(1441, 2 * 1440 + 62):
        trade(whale, 60 * minute, 1000, buys=True)
        if minute == 1500:
            assert whale.threshold_usd > 390_000
    assert whale.threshold_usd == 100_000


def test_after_more_than_a_day_without_trades_the_percentile_starts_over() -> None:
    whale = day_of_orders(DAY_NS, 400_000)
    whale.gap()
    for second in range(200):
        trade(whale, 2 * 86400 + 1 + second, 400_000, buys=True)
    assert whale.threshold_usd == 100_000


@pytest.mark.parametrize(("small", "large", "known"), [(98, 2, True), (99, 1, False), (98, 1, True), (396, 4, False)])
def test_the_percentile_is_what_99_of_100_orders_do_not_exceed(small: int, large: int, known: bool) -> None:
    histogram = OrderSizes(usd(100_000))
    for amount in [1000] * small + [400_000] * large:
        histogram.record(usd(amount), T0)
    assert (histogram.percentile_99(T0) > usd(390_000)) == known


@given(st.lists(st.integers(1, 10**14), min_size=1, max_size=300))
def test_the_percentile_is_at_most_one_percent_low(sizes: list[int]) -> None:
    floor = usd(100_000)
    histogram = OrderSizes(floor)
    for size in sizes:
        histogram.record(size, T0)
    exact = sorted(sizes)[len(sizes) - 1 - len(sizes) // 100]
    got = histogram.percentile_99(T0)
    if exact <= floor:
        assert got == floor
    else:
        assert got <= exact * (1 + 1e-9)
        assert got * 1.0101 >= min(exact, floor * 1000)


@pytest.mark.parametrize(
    ("total", "sold_more"),
    [(8_807_215_452_428_440, 2_642_164_635_728_532), (7_138_539_921_574_920, 2_141_561_976_472_476)],
)
def test_an_intensity_of_30_is_30_however_much_was_traded(total: int, sold_more: int) -> None:
    """Millionths of billions of USD: a hundred times as much is more than a float counts exactly."""
    whale, at_ns = WhaleFlow(WhaleParams()), T0 + 3599 * NS
    whale.add(1, True, T0, T0)
    sold, million = (total + sold_more) // 2, usd(1_000_000)
    for ms, (micro, buys) in enumerate([(sold - million, False), (million, False), (total - sold, True)]):
        whale.add(micro, buys, at_ns + ms * MS, at_ns)
    assert whale.value(T0 + 3600 * NS) == (WhaleCvd(direction=Direction.SHORT, intensity=30.0), "")


def grown_whale(now_ns: int) -> WhaleFlow:
    """Whose first percentile is due `now_ns`: a day of orders of 100 to 2,000 USD over a floor of 100 USD."""
    whale = WhaleFlow(WhaleParams(floor_usd=Decimal(100)))
    for k in range(25):
        at_ns = now_ns - DAY_NS + k * (DAY_NS // 25)
        whale.add(usd(100 + k * 1900 / 24), k % 2 == 0, at_ns, at_ns)
    return whale


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(st.integers(0, 1), st.sampled_from([-2500, -1990, -900, -60, 60, 900, 1990, 2500])), max_size=12
    ),
    st.integers(1, 12),
)
def test_whales_of_many_trades_at_once_are_those_of_each_also_where_the_percentile_is_taken_anew_on_the_way(
    trades: list[tuple[int, int]], cut: int
) -> None:
    one_by_one, at_once = grown_whale(T0 + 3 * MS), grown_whale(T0 + 3 * MS)
    times, at_ns = [], T0
    for step_ms, _ in trades:
        at_ns += step_ms * MS
        times.append(at_ns)
    worths = [usd(amount) for _, amount in trades]
    for worth, now_ns in zip(worths, times, strict=True):
        one_by_one.add(abs(worth), worth > 0, now_ns, now_ns)
    for some in (slice(0, cut), slice(cut, None)):
        if times[some]:
            at_once.add_all(worths[some], times[some], times[some])
    assert at_once.threshold_usd == one_by_one.threshold_usd
    assert at_once.totals(at_ns) == one_by_one.totals(at_ns)
    for flow in (one_by_one, at_once):  # what has begun goes on alike
        flow.add(usd(500), True, at_ns, at_ns)
    assert at_once.totals(at_ns) == one_by_one.totals(at_ns)


def test_an_order_after_the_new_percentile_is_judged_by_it_also_among_trades_taken_at_once() -> None:
    whale = grown_whale(T0 + 3 * MS)
    bought, _, orders = whale.totals(T0)
    whale.add_all([usd(150)] * 3, [T0, T0 + 3 * MS, T0 + 4 * MS], [T0, T0 + 3 * MS, T0 + 4 * MS])
    assert whale.threshold_usd > 1_000
    assert whale.totals(T0)[::2] == (bought + usd(150), orders + 1), "only the first came before it"


# --- order-flow imbalance -------------------------------------------------------------------------------------------


def test_imbalance_of_each_quote_as_published() -> None:
    ofi_values = fixture("ofi")
    ofi = OrderFlowImbalance(OfiParams())
    quotes: list[Any] = [(*quote, T0 + i * NS) for i, quote in enumerate(ofi_values["quotes_pb_qb_pa_qa"])]
    e_n = [ofi.update(*quote) for quote in quotes]
    assert e_n == [0, *ofi_values["e_n"]]
    value, _ = ofi.value(T0 + 10 * NS - 1)
    assert value is None
    again = [*quotes[-1][:4], T0 + 9 * NS]
    ofi.update(*again)
    value, _ = ofi.value(T0 + 10 * NS)
    assert value is not None
    assert value.base == ofi_values["sum"]
    # mean sizes 5, 4, 5, 6 and twice 6; the first one has left the window by then
    assert value.depths == pytest.approx(-5 / ((5 + 4 + 5 + 6 + 6) / 5))


def test_depth_is_averaged_by_slot_so_a_burst_does_not_outweigh_the_rest() -> None:
    ofi = OrderFlowImbalance(OfiParams(window_s=1))
    ofi.update(10, 1, 11, 1, T0)
    ofi.update(10, 2, 11, 2, T0 + 500 * MS)
    for _ in range(50):
        ofi.update(10, 4, 11, 4, T0 + 900 * MS)
    ofi.update(10, 8, 11, 4, T0 + 999 * MS)
    value, _ = ofi.value(T0 + 1000 * MS)
    assert value is not None
    assert value.base == 4
    assert value.depths == pytest.approx(4 / ((2 + (50 * 4 + 6) / 51) / 2))


def test_imbalance_leaves_with_the_window_and_is_zero_while_nothing_changes() -> None:
    ofi = OrderFlowImbalance(OfiParams(window_s=10))
    ofi.update(10, 1, 11, 1, T0)
    ofi.update(10, 3, 11, 1, T0 + NS)
    assert _base(ofi, T0 + 10_999 * MS) == 2
    assert _base(ofi, T0 + 11 * NS) == 0


def _base(ofi: OrderFlowImbalance, now_ns: int) -> float:
    value, _ = ofi.value(now_ns)
    assert value is not None
    return value.base


def test_a_reset_starts_a_new_window_and_compares_with_nothing_before_it() -> None:
    ofi = OrderFlowImbalance(OfiParams())
    ofi.update(10, 1, 11, 1, T0)
    ofi.reset()
    assert ofi.value(T0 + 60 * NS) == (None, "nothing received yet")
    assert ofi.update(20, 5, 21, 5, T0 + 60 * NS) == 0
    assert ofi.value(T0 + 69 * NS) == (None, "9 s of 10 s unbroken")
    assert _base(ofi, T0 + 70 * NS) == 0


def test_imbalance_without_any_size_is_missing() -> None:
    ofi = OrderFlowImbalance(OfiParams())
    ofi.update(10, 0, 11, 0, T0)
    assert ofi.value(T0 + 10 * NS) == (None, "nothing rests at the best prices")
