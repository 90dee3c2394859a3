"""The rule at its edges, what makes a regime unknown, and the reading that comes out of trades and history."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from math import exp, inf, log, nan

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError

from bot.domain.market import Bar, TradePrint
from bot.domain.reading import ReadingState
from bot.domain.values import NS, RegimeLabel
from bot.market.regime import CLOSES, RegimeParams, hurst_of, label_of, regime_of, variance_ratio
from bot.market.state import InstrumentMarket, Market, MarketParams
from tests.build import BTC, instrument

T0 = 1_700_000_100 * NS
WIDTH_NS = 300 * NS
TREND, NOISE, RANDOM = RegimeLabel.TREND, RegimeLabel.NOISE, RegimeLabel.RANDOM


def walk(seed: int, persistence: float = 0.0, count: int = CLOSES) -> list[float]:
    """Closes whose returns lean on the one before."""
    shocks = np.random.default_rng(seed).standard_normal(count - 1) / 1000
    returns = accumulate(shocks.tolist(), lambda last, shock: persistence * last + shock)
    return [60_000 * exp(total) for total in accumulate(returns, initial=0.0)]


# --- the rule -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("confidence", "hurst", "z", "label"),
    [
        (0.95, 0.604, 9.0, RANDOM),
        (0.95, 0.6041, 1.645, RANDOM),
        (0.95, 0.6041, 1.6451, TREND),
        (0.95, 0.6041, -9.0, RANDOM),
        (0.95, 0.375, -9.0, RANDOM),
        (0.95, 0.3749, -1.645, RANDOM),
        (0.95, 0.3749, -1.6451, NOISE),
        (0.95, 0.3749, 9.0, RANDOM),
        (0.975, 0.623, 9.0, RANDOM),
        (0.975, 0.6231, 1.96, RANDOM),
        (0.975, 0.6231, 1.961, TREND),
        (0.975, 0.351, -9.0, RANDOM),
        (0.975, 0.3509, -1.96, RANDOM),
        (0.975, 0.3509, -1.961, NOISE),
        (0.0, 0.55, 9.0, RANDOM),
        (0.0, 0.5501, -9.0, TREND),
        (0.0, 0.45, -9.0, RANDOM),
        (0.0, 0.4499, 9.0, NOISE),
        (0.95, nan, nan, RANDOM),
    ],
)
def test_cutoffs(confidence: float, hurst: float, z: float, label: RegimeLabel) -> None:
    assert label_of(hurst, z, confidence) is label


@pytest.mark.parametrize(("confidence", "refused"), [(0.95, False), (0.975, False), (0, False), (0.9, True), (1, True)])
def test_confidence_is_one_that_has_cutoffs(confidence: float, refused: bool) -> None:
    if refused:
        with pytest.raises(ValidationError, match=r"must be 0\.95, 0\.975 or 0"):
            RegimeParams(confidence=confidence)
    else:
        assert RegimeParams(confidence=confidence).confidence == confidence


@pytest.mark.parametrize(
    ("ratio", "hurst"), [(1.0, 0.5), (4.0, 1.0), (2.0, 0.75), (0.25, 0.0), (0.1, 0.0), (0.0, 0.0), (4.1, 1.0)]
)
def test_an_exponent_lies_between_0_and_1(ratio: float, hurst: float) -> None:
    assert hurst_of(ratio) == pytest.approx(hurst)


# --- unknown --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 37, 100, 102])
def test_another_number_of_closes_is_unknown(count: int) -> None:
    assert regime_of(walk(1, count=max(1, count))[:count], 0.95) == (None, f"{count} of 101 closed bars")


@pytest.mark.parametrize(
    "closes",
    [
        [60_000.0] * 101,
        [exp(k / 1000) for k in range(101)],  # always up by the same: drift alone is no variance
        [60_000.0] * 40 + [60_000.1] * 30 + [60_000.0] * 31,  # two moves, too far apart to say anything of the next
        [*[60_000.0] * 50, nan, *[60_000.0] * 50],
    ],
)
def test_price_that_hardly_varies_is_unknown(closes: list[float]) -> None:
    assert regime_of(closes, 0.95) == (None, "price hardly varied in 100 bars")


@pytest.mark.parametrize("bad", [nan, inf, -inf])
def test_a_return_that_is_no_number_is_no_answer(bad: float) -> None:
    returns = np.diff(np.log(walk(1))).tolist()
    assert variance_ratio(returns) is not None
    assert variance_ratio([*returns[:50], bad, *returns[51:]]) is None


def test_one_move_among_none_is_never_a_trend() -> None:
    for at in range(100):
        returns = [0.0] * 100
        returns[at] = 0.01
        ratio, z = variance_ratio(returns) or (1.0, 0.0)
        assert abs(z) < 100
        assert label_of(hurst_of(ratio), z, 0.95) is not TREND


# --- properties -----------------------------------------------------------------------------------------------------

RETURNS = st.lists(st.floats(-0.05, 0.05), min_size=100, max_size=100)


@given(RETURNS, st.floats(1e-3, 1e3))
def test_scale_does_not_matter(returns: list[float], scale: float) -> None:
    assume(np.std(returns) > 1e-6)
    _same(variance_ratio(returns), variance_ratio([scale * value for value in returns]))


@given(RETURNS, st.floats(-0.05, 0.05))
def test_drift_does_not_matter(returns: list[float], drift: float) -> None:
    assume(np.std(returns) > 1e-4)
    _same(variance_ratio(returns), variance_ratio([value + drift for value in returns]))


def _same(one: tuple[float, float] | None, other: tuple[float, float] | None) -> None:
    if one is None or other is None:
        assert one is other
    else:
        assert hurst_of(one[0]) == pytest.approx(hurst_of(other[0]), abs=1e-9)
        assert one[1] == pytest.approx(other[1], abs=1e-9, rel=1e-9)


@given(RETURNS)
def test_it_is_the_same_backwards(returns: list[float]) -> None:
    assume(np.std(returns) > 1e-6)
    _same(variance_ratio(returns), variance_ratio(returns[::-1]))


@given(st.lists(st.floats(1e-6, 1e6), min_size=101, max_size=101))
def test_whatever_the_prices_it_is_a_number_or_a_reason(closes: list[float]) -> None:
    regime, reason = regime_of(closes, 0.95)
    assert (regime is None) == bool(reason)
    if regime is not None:
        assert 0 <= regime.hurst <= 1
        assert abs(regime.z) < inf
        assert regime.sum_100 == pytest.approx(log(closes[-1] / closes[0]), abs=1e-9)
        assert regime.sum_12 == pytest.approx(log(closes[-1] / closes[-13]), abs=1e-9)


# --- the reading ----------------------------------------------------------------------------------------------------


def history(closes: Sequence[float], last_end_ns: int = T0) -> list[Bar]:
    start_ns = last_end_ns - len(closes) * WIDTH_NS
    return [Bar(start_ns + k * WIDTH_NS, c, c, c, c, 1.0, 1.0, 1) for k, c in enumerate(closes)]


def one(confidence: float = 0.95) -> tuple[Market, InstrumentMarket]:
    market = Market([instrument()], MarketParams(regime=RegimeParams(confidence=confidence)))
    return market, market.market(BTC)


def traded(market: Market, second: float, price: float) -> None:
    ns = T0 + round(second * NS)
    market.apply(TradePrint("BTCUSDT", 1, price, 1.0, True, ns), ns)


def test_until_there_are_101_bars_the_reading_says_how_many_there_are() -> None:
    market, _ = one()
    reading = market.reading("regime", BTC, T0)
    assert (reading.state(T0), reading.reason) == (ReadingState.MISSING, "own: 0 of 101 closed bars")
    market.warm_up(BTC, 300, history(walk(3)[:37]))
    market.sample(T0 + 2 * NS)
    assert market.reading("regime", BTC, T0).reason == "own: 37 of 101 closed bars"


def test_a_reading_from_history_is_as_old_as_its_last_bar() -> None:
    market, btc = one()
    closes = walk(3, persistence=0.6)
    market.warm_up(BTC, 300, history(closes))
    now = T0 + 2 * NS
    market.sample(now)
    reading = market.reading("regime", BTC, now)
    expected, _ = regime_of(closes, 0.95)
    assert expected is not None and expected.label is TREND
    assert reading.value == expected
    assert (reading.source, reading.observed_ns) == ("own", T0)
    assert reading.state(T0 + 2 * WIDTH_NS) is ReadingState.FRESH
    assert reading.state(T0 + 2 * WIDTH_NS + 1) is ReadingState.STALE
    assert [bar.close for bar in btc.bars(300, 500)] == closes
    assert btc.bars(240, 5) == ()
    assert btc.atr(240, 5) is None
    assert btc.atr(300, 100) is not None and btc.atr(300, 101) is None


def test_trades_carry_history_on_and_the_window_rolls() -> None:
    market, _ = one()
    closes = walk(4, persistence=-0.6, count=102)
    market.warm_up(BTC, 300, history(closes[:101]))
    traded(market, -1, closes[100])
    for second in range(0, 300, 30):
        traded(market, second, closes[101])
        market.sample(T0 + second * NS)
    assert market.reading("regime", BTC, T0 + 299 * NS).value == regime_of(closes[:101], 0.95)[0]
    traded(market, 300, 1.0)
    reading = market.reading("regime", BTC, T0 + 300 * NS)
    assert reading.value == regime_of(closes[1:], 0.95)[0]
    assert reading.value is not None and reading.value.label is NOISE
    assert reading.observed_ns == T0 + 300 * NS


def test_a_feed_that_breaks_ends_the_window_unless_history_mends_it() -> None:
    market, btc = one()
    closes = walk(5)
    market.warm_up(BTC, 300, history(closes))
    for second in range(-1, 1000, 20):
        traded(market, second, 60_000.0)
        market.sample(T0 + second * NS)
        if second == 139:
            market.feed_down("connection lost")
    now = T0 + 1000 * NS
    assert market.reading("regime", BTC, now).reason == "own: 2 of 101 closed bars"
    market.warm_up(BTC, 300, [*history(closes), Bar(T0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1)])
    assert market.reading("regime", BTC, now).value is not None
    assert [bar.close for bar in btc.bars(300, 4)] == [closes[-1], 1.0, 60_000.0, 60_000.0]


@pytest.mark.parametrize(("silent_s", "bars"), [(59, 1), (61, 0)])
def test_a_trade_stream_that_falls_silent_is_broken_too(silent_s: int, bars: int) -> None:
    market, btc = one()
    for second in (-1, *range(0, 200, 20), 180 + silent_s, *range(260, 301, 20)):
        for waited in range(min(silent_s, 61) if second == 180 + silent_s else 0):
            market.sample(T0 + (180 + waited + 1) * NS)
        traded(market, second, 60_000.0)
    assert len(btc.bars(300, 5)) == bars


def test_stamps_far_ahead_are_told_where_bars_are_missed() -> None:
    market, _ = one()
    market.apply(TradePrint("BTCUSDT", 1, 1.0, 1.0, True, T0 + 61 * NS), T0)
    reason = market.reading("regime", BTC, T0).reason
    assert reason == "own: 0 of 101 closed bars (1 trades stamped over 60 s ahead were left out)"


def test_it_is_computed_once_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    market, _ = one()
    market.warm_up(BTC, 300, history(walk(6)))
    calls: list[int] = []

    def counted(closes: Sequence[float], confidence: float) -> tuple[None, str]:
        calls.append(len(closes))
        return None, "counted"

    monkeypatch.setattr("bot.market.regime.regime_of", counted)
    for second in range(2, 12):
        market.sample(T0 + second * NS)
        market.reading("regime", BTC, T0 + second * NS)
    assert calls == [101]
