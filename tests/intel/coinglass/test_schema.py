"""Each endpoint's documented body is read; each field that is wrong refuses the answer and is named; nothing else happens."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.values import NS, Side
from bot.intel.coinglass import schema
from bot.intel.coinglass.envelope import Refusal, Why, data_of
from bot.intel.coinglass.plans import Plan

FIXTURES = Path(__file__).parents[2] / "fixtures/coinglass"
T0_S = 1_795_132_800
NOW = (T0_S + 600) * NS

TAKER = "taker-buy-sell-volume-exchange-list"
PAIN = "option-max-pain"
ORDERS = "orderbook-large-limit-order"
HEATMAP = "liquidation-aggregated-heatmap-model1"
INTEREST = "open-interest-exchange-list.observed"
CROWD = "global-long-short-account-ratio-history"
SUBSCRIPTION = "user-account-subscription"
PAIRS = "supported-exchange-pairs"

PARSE: dict[str, Callable[[Any], Any]] = {
    TAKER: lambda data: schema.parse_taker(data, "BTC"),
    PAIN: schema.parse_max_pain,
    ORDERS: lambda data: schema.parse_large_orders(data, "Binance", "BTCUSDT", NOW),
    HEATMAP: lambda data: schema.parse_heatmap(data, NOW),
    INTEREST: lambda data: schema.parse_open_interest(data, "BTC"),
    CROWD: lambda data: schema.parse_crowd(data, NOW + 86_400 * NS),
    SUBSCRIPTION: schema.parse_subscription,
    PAIRS: schema.parse_pairs,
}


def body(name: str) -> bytes:
    return (FIXTURES / f"{name}.json").read_bytes()


def data(name: str) -> Any:
    return data_of(200, "application/json", body(name))


def parsed(name: str, value: Any = None) -> Any:
    return PARSE[name](data(name) if value is None else value)


def changed(name: str, path: tuple[str | int, ...], value: Any) -> Any:
    """The fixture with one value changed, through JSON as the wire would bring it."""
    tree = json.loads(body(name), parse_float=float)
    at = tree
    for step in ("data", *path[:-1]):
        at = at[step]
    if value is ...:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    return data_of(200, "application/json", json.dumps(tree).encode())


# --- what is read -----------------------------------------------------------------------------------------------------


def test_taker_totals_are_those_of_the_object_not_of_its_rows() -> None:
    totals = parsed(TAKER)
    assert (totals.buy_usd, totals.sell_usd) == (Decimal("118126799.3532"), Decimal("108148440.6563"))


def test_max_pain_is_one_row_an_expiry_that_settles_at_8_utc() -> None:
    rows = parsed(PAIN)
    assert [(row.date, row.price) for row in rows[:2]] == [
        ("2026-11-21", Decimal(96000)),
        ("2026-11-22", Decimal(95500)),
    ]
    assert rows[0].expiry_ns == (T0_S + 32 * 3600) * NS
    assert rows[0].open_interest == Decimal("4084.9") and rows[0].notional_usd == Decimal(394192850)
    assert schema.parse_max_pain(data("option-max-pain-empty")) == []


def test_large_orders_have_a_side_and_those_not_open_are_left_out() -> None:
    orders = parsed(ORDERS)
    assert [(order.side, order.price) for order in orders[1:3]] == [
        (Side.SELL, Decimal(97250)),
        (Side.BUY, Decimal(96000)),
    ]
    assert orders[1].usd == Decimal(3082825)
    assert (orders[0].start_ns, orders[0].seen_ns) == ((T0_S + 60) * NS, (T0_S + 90) * NS)
    for state in (0, 2, 3):
        assert len(parsed(ORDERS, changed(ORDERS, (0, "order_state"), state))) == len(orders) - 1


def test_of_the_heatmap_only_the_newest_column_counts() -> None:
    heatmap = parsed(HEATMAP)
    assert heatmap.price == Decimal("94154.2")
    assert heatmap.levels == (
        (Decimal("94031.46"), Decimal("1527940.12")),
        (Decimal("94220.22"), Decimal("9120440.5")),
    )
    assert heatmap.observed_ns == NOW  # its candle is still forming
    assert schema.parse_heatmap(data(HEATMAP), NOW + 3600 * NS).observed_ns == (T0_S + 900) * NS


@pytest.mark.parametrize("name", [INTEREST, "open-interest-exchange-list"])
def test_the_row_of_all_is_kept_apart_from_its_parts(name: str) -> None:
    interest = schema.parse_open_interest(data(name), "BTC")
    assert interest.usd == Decimal("67130599066.24") and set(interest.coins) == {"cme", "binance", "bybit"}
    assert sum(interest.coins.values()) == Decimal("347224.7406")
    assert interest.price is not None and round(interest.price) == 96500


def test_the_newest_ratio_whatever_the_order_of_rows() -> None:
    crowd = parsed(CROWD)
    assert (crowd.ratio, crowd.observed_ns) == (Decimal("1.44"), (T0_S + 8 * 3600) * NS)
    assert parsed(CROWD, data(CROWD)[::-1]) == crowd


def test_the_subscription_and_a_level_nobody_knows() -> None:
    assert parsed(SUBSCRIPTION) == schema.Subscription(level="HOBBYIST", plan=Plan.HOBBYIST, expired=False)
    assert parsed(SUBSCRIPTION, changed(SUBSCRIPTION, ("level",), "GALACTIC")).plan is None


def test_pairs_have_the_coin_that_their_name_does_not_tell() -> None:
    pairs = parsed(PAIRS)
    assert pairs["Binance"]["1000PEPEUSDT"].coin == "PEPE"
    assert pairs["OKX"] == {"BTC-USDT-SWAP": schema.Pair(name="BTC-USDT-SWAP", coin="BTC", quote="USDT")}
    assert "BTCUSDT" not in parsed(PAIRS, changed(PAIRS, ("Binance", 0, "base_asset"), None))["Binance"]


# --- what is refused --------------------------------------------------------------------------------------------------

NUMBERS: list[Any] = [None, True, "1.5", -1, -0.5, 1e300, [], {}, ...]
TEXTS: list[Any] = [None, True, 96000, 96000.5, "NaN", "-1", "1e400", "", "0", " 1", "１", [], {}, ...]
TIMES: list[Any] = [None, True, "1795132800", -1, 0, 1.5, (T0_S + 10**6) * 1000, 10**30, [], {}, ...]
TIMES_S: list[Any] = [None, True, "1795132800", -1, 0, 1.5, T0_S + 10**6, T0_S * 1000, [], {}]
NAMES: list[Any] = [None, True, 7, "", "ETH", "x" * 1000, [], {}, ...]

WRONG: list[tuple[str, tuple[str | int, ...], list[Any]]] = [
    (TAKER, ("buy_vol_usd",), NUMBERS),
    (TAKER, ("sell_vol_usd",), NUMBERS),
    (TAKER, ("symbol",), NAMES),
    (TAKER, ("exchange_list",), [None, {}, 1, "x", ...]),
    (PAIN, (1, "max_pain_price"), TEXTS),
    (PAIN, (1, "call_open_interest"), NUMBERS),
    (PAIN, (1, "put_open_interest"), NUMBERS),
    (PAIN, (1, "call_open_interest_notional"), NUMBERS),
    (PAIN, (1, "put_open_interest_notional"), NUMBERS),
    (PAIN, (1, "date"), [None, 261122, "2611", "261332", "２61122", "261122 ", ...]),
    (ORDERS, (2, "price"), [*NUMBERS, 0]),
    (ORDERS, (2, "current_usd_value"), NUMBERS),
    (ORDERS, (2, "start_time"), TIMES),
    (ORDERS, (2, "current_time"), TIMES),
    (ORDERS, (2, "order_side"), [None, True, 0, 3, "1", 1.0, ...]),
    (ORDERS, (2, "order_state"), [None, True, -1, 4, "1", 1.0, ...]),
    (ORDERS, (2, "exchange_name"), NAMES),
    (ORDERS, (2, "symbol"), NAMES),
    (HEATMAP, ("liquidation_leverage_data", 4, 2), NUMBERS[:-1]),
    (HEATMAP, ("liquidation_leverage_data", 4, 0), [None, True, -1, 3, 1.0, "1"]),
    (HEATMAP, ("liquidation_leverage_data", 4, 1), [None, True, -1, 8, 1.0, "1"]),
    (HEATMAP, ("y_axis", 3), [*NUMBERS[:-1], 0, 94000.0, 99999]),
    (HEATMAP, ("price_candlesticks", 2, 0), TIMES_S),
    (HEATMAP, ("price_candlesticks", 2, 4), TEXTS[:-1]),
    (INTEREST, (2, "open_interest_usd"), NUMBERS),
    (INTEREST, (2, "open_interest_quantity"), NUMBERS),
    (INTEREST, (2, "exchange"), [None, 7, "", "All", "Bybit", ...]),
    (INTEREST, (2, "symbol"), NAMES),
    (CROWD, (2, "time"), TIMES),
    (CROWD, (2, "global_account_long_short_ratio"), [*NUMBERS, 0, 3]),
    (CROWD, (2, "global_account_long_percent"), NUMBERS),
    (CROWD, (2, "global_account_short_percent"), [*NUMBERS, 0]),
    (SUBSCRIPTION, ("level",), [None, 1, "", [], ...]),
    (SUBSCRIPTION, ("expired",), [None, 0, "false", ...]),
    (PAIRS, ("Binance",), [None, {}, "x", [1], [None]]),
]


@pytest.mark.parametrize(
    ("name", "path", "value"), [(name, path, value) for name, path, values in WRONG for value in values]
)
def test_a_wrong_field_refuses_the_answer_and_is_named(name: str, path: tuple[str | int, ...], value: Any) -> None:
    with pytest.raises(Refusal) as caught:
        parsed(name, changed(name, path, value))
    assert caught.value.why is Why.BAD
    field = next(step for step in reversed(path) if isinstance(step, str))
    # which of three numbers that disagree is wrong cannot be told
    assert any(name in str(caught.value) for name in (field, "long_short_ratio"))


@pytest.mark.parametrize("name", list(PARSE))
@pytest.mark.parametrize("value", [[], {}, "x", 1, True, [[]], [{}], {"a": 1}, [None]])
def test_a_list_for_an_object_and_the_reverse_are_refused(name: str, value: Any) -> None:
    if value == [] and name in (PAIN, ORDERS):
        assert parsed(name, value) == []
        return
    with pytest.raises(Refusal, match="data"):
        PARSE[name](value)


@pytest.mark.parametrize("literal", [b"1e400", b"-1e400", b"1e999999999", b"9" * 400])
@pytest.mark.parametrize("name", [TAKER, PAIN, INTEREST, ORDERS])
def test_a_number_beyond_any_sense_is_refused(name: str, literal: bytes) -> None:
    key = {TAKER: b'"sell_vol_usd"', PAIN: b'"put_open_interest"', INTEREST: b'"open_interest_usd"', ORDERS: b'"price"'}
    head, _, tail = body(name).partition(key[name] + b": ")
    broken = head + key[name] + b": " + literal + tail[tail.index(b",") if b"," in tail[:40] else tail.index(b"\n") :]
    with pytest.raises(Refusal, match=key[name].decode().strip('"')):
        parsed(name, data_of(200, "application/json", broken))


@pytest.mark.parametrize(("ahead_s", "taken"), [(0, True), (5, True), (5.001, False), (60, False)])
def test_a_clock_may_run_five_seconds_ahead(ahead_s: float, taken: bool) -> None:
    at_ms = round(NOW // 10**6 + ahead_s * 1000)
    value = changed(ORDERS, (0, "current_time"), at_ms)
    if taken:
        assert parsed(ORDERS, value)[0].seen_ns == NOW
    else:
        with pytest.raises(Refusal, match=r"data\[0\]\.current_time"):
            parsed(ORDERS, value)


# --- fuzz -------------------------------------------------------------------------------------------------------------

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
ANY = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3))


def _paths(value: Any, at: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return (
        [at, *(path for key, each in inner for path in _paths(each, (*at, key)))]
        if at
        else [path for key, each in inner for path in _paths(each, (key,))]
    )


def refusal_of(read: Callable[[], Any]) -> Refusal | None:
    try:
        read()
    except Refusal as refusal:
        return refusal
    return None


@given(st.sampled_from(list(PARSE)), st.data())
def test_any_value_anywhere_is_read_or_refused(name: str, draw: st.DataObject) -> None:
    tree = copy.deepcopy(data(name))
    path = draw.draw(st.sampled_from(_paths(tree)))
    refusal = refusal_of(lambda: parsed(name, changed(name, path, draw.draw(ANY))))
    assert refusal is None or (refusal.why is Why.BAD and "data" in str(refusal))


@given(st.sampled_from(list(PARSE)), st.binary(max_size=40), st.integers(0, 1500), st.integers(0, 1500))
def test_a_damaged_answer_is_read_or_refused(name: str, junk: bytes, start: int, end: int) -> None:
    good = body(name)
    refusal = refusal_of(lambda: PARSE[name](data_of(200, "application/json", good[:start] + junk + good[end:])))
    assert "\n" not in str(refusal)
