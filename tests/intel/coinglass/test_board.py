"""What follows from several answers together, and that no answer makes a frame the engine would refuse."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.values import NS
from bot.intel.coinglass.board import Board, Told
from bot.intel.coinglass.calls import Call, calls_for
from bot.intel.coinglass.envelope import Refusal
from bot.intel.coinglass.plans import CROWD, HEATMAP, INTEREST, PAIN, TAKER, WALLS, Endpoint
from bot.intel.coinglass.schema import Pair, Pairs, parse_pairs
from bot.intel.params import CoinGlassParams
from bot.market.flow import TakerParams
from bot.market.readings import decode_reading, encode_reading
from bot.market.walls import WallParams
from tests.build import instrument
from tests.intel.coinglass.test_schema import NOW, changed, data

BTC, PEPE = instrument("BTCUSDT"), instrument("1000PEPEUSDT")
PAIRS = parse_pairs(data("supported-exchange-pairs"))
BODY = {
    TAKER: "taker-buy-sell-volume-exchange-list",
    PAIN: "option-max-pain",
    WALLS: "orderbook-large-limit-order",
    HEATMAP: "liquidation-aggregated-heatmap-model1",
    INTEREST: "open-interest-exchange-list.observed",
    CROWD: "global-long-short-account-ratio-history",
}


def board(usd: int = 25_000_000) -> Board:
    return Board(lambda coin: Decimal(usd), TakerParams(), WallParams())


def calls(*names: Any, pairs: Pairs = PAIRS, venues: tuple[str, ...] = ("Binance", "OKX", "Bybit")) -> list[Call]:
    return calls_for(names or (BTC,), pairs, CoinGlassParams(wall_venues=venues))


def call(endpoint: Endpoint) -> Call:
    return next(each for each in calls() if each.endpoint is endpoint)


def take(it: Board, endpoint: Endpoint, value: Any = None, now_ns: int = NOW) -> list[Told]:
    """The documented body, its large orders last seen 40 s ago."""
    if value is None:
        value = data(BODY[endpoint])
        for row in value if endpoint is WALLS else []:
            row |= {"start_time": now_ns // 10**6 - 300_000, "current_time": now_ns // 10**6 - 40_000}
    return it.take(call(endpoint), value, now_ns)[1]


def test_walls_and_clusters_wait_for_open_interest_and_are_told_once() -> None:
    it = board()
    assert [told.reason for told in take(it, WALLS) + take(it, HEATMAP)] == [
        "price is not known",
        "open interest is not known",
    ]
    told = take(it, INTEREST)
    assert [each.name for each in told if each.value] == ["walls", "liquidation_clusters"]
    assert [each.name for each in take(it, INTEREST)] == ["oi_delta_5m"]


def test_open_interest_of_long_ago_gives_no_price() -> None:
    it = board()
    take(it, INTEREST, now_ns=NOW - 600 * NS)
    assert take(it, WALLS)[0].value is not None
    it = board()
    take(it, INTEREST, now_ns=NOW - 601 * NS)
    assert take(it, WALLS)[0].value is None


@pytest.mark.parametrize(("age_s", "known"), [(120, True), (120.1, False)])
def test_traded_volume_is_not_taken_from_an_old_answer(age_s: float, known: bool) -> None:
    it = board()
    take(it, TAKER, now_ns=NOW - int(age_s * NS))
    take(it, INTEREST, now_ns=NOW - 300 * NS)
    (told,) = take(it, INTEREST)
    assert (told.value is not None) == known and ("traded volume is not known" in told.reason) != known


def test_walls_are_as_old_as_the_oldest_venue_they_are_of() -> None:
    it = board()
    it.expect(calls())
    take(it, INTEREST)
    (partial,) = take(it, WALLS)
    assert (partial.partial, partial.reason) == (True, "not heard: OKX")
    okx = next(each for each in calls() if each.exchange == "OKX")
    observed_ns, (told,) = it.take(okx, [], NOW + 40 * NS)
    assert observed_ns == NOW + 40 * NS and not told.partial
    assert told.observed_ns == partial.observed_ns < NOW
    _, (later,) = it.take(okx, [], partial.observed_ns + 91 * NS)
    assert later.partial and later.reason == "not heard: Binance" and later.value.asks == ()


def test_the_day_s_threshold_is_the_coin_s_own() -> None:
    it = board(usd=3_000_000)
    take(it, INTEREST)
    assert take(it, WALLS)[0].value.institutional_usd == 3_000_000


# --- which calls ------------------------------------------------------------------------------------------------------


def test_pairs_are_chosen_from_the_list_never_built() -> None:
    listed = {
        "Bybit": ["BTCUSDT-26JUN26", "BTCUSDT", "BTCUSDC", "BTCPERP"],
        "OKX": ["BTC-USDT-261225", "BTC-USDT-SWAP", "BTC-USD-SWAP"],
        "Binance": ["BTCUSDT_261225", "BTCUSDT", "BTCUSD_PERP", "1000BTCUSDT"],
    }
    quotes = {"BTCUSDC": "USDC", "BTCPERP": "USDC", "BTC-USD-SWAP": "USD", "BTCUSD_PERP": "USD"}
    pairs = {
        venue: {name: Pair(name=name, coin="BTC", quote=quotes.get(name, "USDT")) for name in names}
        for venue, names in listed.items()
    }
    asked = {each.exchange: each.query["symbol"] for each in calls(pairs=pairs) if each.endpoint is WALLS}
    assert asked == {"Binance": "BTCUSDT", "OKX": "BTC-USDT-SWAP", "Bybit": "BTCUSDT"}


def test_a_pair_in_another_unit_is_no_wall_of_the_coin() -> None:
    pairs = {"Bybit": {"1000BTCUSDT": Pair(name="1000BTCUSDT", coin="BTC", quote="USDT")}}
    assert "Bybit" not in {each.exchange for each in calls(pairs=pairs)}


def test_without_the_list_only_what_the_engine_trades_is_asked() -> None:
    asked = [each for each in calls(pairs={}) if each.exchange]
    assert {(each.exchange, each.query["symbol"]) for each in asked} == {("Binance", "BTCUSDT")}


def test_a_pair_that_is_not_listed_is_not_asked_for() -> None:
    asked = calls(instrument("NEWUSDT"))
    assert not [each for each in asked if each.exchange]


def test_one_call_serves_every_instrument_of_a_coin() -> None:
    other = instrument("BTCUSDC", base="BTC", quote="USDC")
    (asked,) = [each for each in calls(BTC, other) if each.endpoint is TAKER]
    assert asked.serves == (("taker_5m", BTC.id), ("taker_5m", other.id))


# --- fuzz -------------------------------------------------------------------------------------------------------------

NUMBERS = (
    st.integers(-5, 10**16)
    | st.floats(0, 1e16, allow_nan=False)
    | st.decimals("0", "1e15", places=13).map(str)
    | st.sampled_from([1e-13, 1e-12, 1e15, 1.0000001e15, 5e-324, 10**15])
)
FIELDS: dict[Endpoint, list[tuple[str | int, ...]]] = {
    TAKER: [("buy_vol_usd",), ("sell_vol_usd",)],
    PAIN: [(0, "max_pain_price"), (0, "call_open_interest_notional"), (0, "call_open_interest")],
    WALLS: [(0, "price"), (0, "current_usd_value"), (1, "order_side")],
    HEATMAP: [("y_axis", 7), ("liquidation_leverage_data", 4, 2), ("price_candlesticks", 2, 4)],
    INTEREST: [(0, "open_interest_usd"), (0, "open_interest_quantity"), (1, "open_interest_quantity")],
    CROWD: [(2, "global_account_long_short_ratio"), (2, "global_account_long_percent")],
}


@given(st.sampled_from(list(BODY)), NUMBERS, st.data())
def test_whatever_is_taken_makes_frames_that_the_engine_takes(
    endpoint: Endpoint, value: Any, draw: st.DataObject
) -> None:
    it, now_ns = board(), NOW + 8 * 3600 * NS if endpoint is CROWD else NOW
    take(it, TAKER, now_ns=now_ns)
    take(it, INTEREST, now_ns=now_ns - 300 * NS)
    path = draw.draw(st.sampled_from(FIELDS[endpoint]))
    try:
        told = take(it, endpoint, changed(BODY[endpoint], path, value), now_ns)
        told += take(it, WALLS, now_ns=NOW) if endpoint is INTEREST else []
    except Refusal:
        return
    for each in told:
        assert decode_reading(encode_reading(each.reading(now_ns)), now_ns).value == each.value
