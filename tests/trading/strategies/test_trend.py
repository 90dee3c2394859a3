"""When a breakout is an idea: the channel's edge, the regime's states, arming again, and what a restart must not do.

Scripts say where bars close: `^` above the channel, `v` below it, `-` inside. Unless said otherwise the regime is a fresh
trend the way of the breakout, and the strategy looks once before the first bar of a script closes and once after each.
"""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.market import Bar
from bot.domain.reading import Reading, Regime
from bot.domain.values import NS, Direction, RegimeLabel
from bot.trading.strategies.base import Idea
from bot.trading.strategies.trend import Trend, TrendParams
from tests.build import BTC, NOW, FakeMarket, FakeView, reading

LONG, SHORT = Direction.LONG, Direction.SHORT
ETH = "binanceusdm:ETHUSDT"
BAR_S = 300
LOOKBACK, NEEDED = 4, 8  # a channel, three bars that may begin a breakout, and the one before them
PARAMS = TrendParams(lookback=LOOKBACK, atr_bars=3)
HIGH, LOW = 101.0, 99.0  # of the quiet bars before each script


def bar(close: float, number: int, *, high: float | None = None, low: float | None = None) -> Bar:
    """The bar that starts `number` widths after the tests' epoch."""
    top, bottom = max(close, HIGH) if high is None else high, min(close, LOW) if low is None else low
    start_ns = NOW + number * BAR_S * NS
    return Bar(start_ns=start_ns, open=100.0, high=top, low=bottom, close=close, usd=1e6, taker_buy_usd=5e5, trades=100)


def quiet(count: int = NEEDED) -> list[Bar]:
    """Bars that end at the epoch."""
    return [bar(100.0, number) for number in range(-count, 0)]


def trend(direction: Direction = LONG, **fields: float) -> Regime:
    values = {"hurst": 0.7, "z": 3.29, "sum_100": 0.02, "sum_12": 0.004} | fields
    values |= {name: direction.sign * values[name] for name in ("sum_100", "sum_12")}
    return Regime(label=RegimeLabel.TREND, **values)


class Watch:
    """A strategy that is shown bars one after the other."""

    def __init__(self, params: TrendParams = PARAMS, bars: list[Bar] | None = None) -> None:
        self.strategy = Trend(params)
        self.bars = quiet() if bars is None else list(bars)
        self.atr: float | None = 4.0
        self.regime: Reading[Regime] | None = None  # in place of the fresh one that suits

    def look(self, at_ns: int | None = None, instrument: str = BTC) -> Idea | None:
        """At the last bar's end unless told when."""
        now_ns = self.end_ns if at_ns is None else at_ns
        last = self.bars[-1].close if self.bars else 100.0
        regime = self.regime or reading("regime", trend(LONG if last >= 100 else SHORT), now_ns=now_ns, max_age_s=600)
        view = FakeView(now_ns=now_ns)
        view.put(regime, instrument)
        ranges = {} if self.atr is None else {(BAR_S, PARAMS.atr_bars): self.atr}
        view.markets[instrument] = FakeMarket(closed={BAR_S: self.bars}, ranges=ranges)
        return self.strategy.on_sample(instrument, view)

    @property
    def end_ns(self) -> int:
        return self.bars[-1].start_ns + BAR_S * NS if self.bars else NOW

    def close(self, price: float) -> Idea | None:
        """The next bar closes there."""
        self.bars.append(bar(price, (self.bars[-1].start_ns - NOW) // (BAR_S * NS) + 1))
        return self.look()

    def script(self, closes: str) -> str:
        """`L`, `S` or `.` for each bar."""
        self.look()
        return "".join(told(self.close(self.price(letter))) for letter in closes)

    def price(self, letter: str) -> float:
        channel = self.bars[-LOOKBACK:]
        high, low = max(each.high for each in channel), min(each.low for each in channel)
        return {"^": high + 1, "v": low - 1, "-": 100.0}[letter]


def told(idea: Idea | None) -> str:
    return "." if idea is None else {LONG: "L", SHORT: "S"}[idea.direction]


# --- the edge ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("close", "expected"),
    [
        (HIGH, "."),
        (math.nextafter(HIGH, 200), "L"),
        (HIGH + 0.1, "L"),
        (LOW, "."),
        (math.nextafter(LOW, 0), "S"),
        (LOW - 0.1, "S"),
        (100.0, "."),
        (math.nan, "."),
    ],
)
def test_a_close_beyond_the_channel_is_an_idea_and_on_its_edge_is_none(close: float, expected: str) -> None:
    watch = Watch()
    watch.look()
    assert told(watch.close(close)) == expected


def test_the_channel_is_of_highs_and_lows_not_closes_and_of_lookback_bars_without_the_last() -> None:
    wick = bar(
        100.0, -LOOKBACK, high=110.0, low=90.0
    )  # the oldest bar of the channel of the bar that ends at the epoch
    watch = Watch(bars=[*quiet()[:-LOOKBACK], wick, *quiet(LOOKBACK - 1)])
    watch.look()
    watch.bars.append(bar(109.0, 0, high=120.0))  # its own high is no part of its channel
    assert watch.look() is None, "inside: the wick is the channel's top"
    watch = Watch(bars=[*quiet()[: -LOOKBACK - 1], wick, *quiet(LOOKBACK)])
    watch.look()
    assert told(watch.close(109.0)) == "L", "the wick is one bar too old"


@pytest.mark.parametrize(("count", "expected"), [(NEEDED - 1, "L"), (NEEDED - 2, "."), (1, "."), (0, ".")])
def test_too_few_bars_are_no_idea(count: int, expected: str) -> None:
    watch = Watch(bars=quiet(count))
    watch.look()
    watch.bars.append(bar(105.0, 0))
    assert told(watch.look()) == expected


def test_a_bar_judged_without_enough_of_them_is_not_judged_again_when_history_comes() -> None:
    watch = Watch(bars=quiet(2))
    watch.look()
    assert watch.close(105.0) is None
    watch.bars = [*quiet(), watch.bars[-1]]
    assert watch.look() is None


# --- strength ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("z", "close", "strength"),
    [
        (3.29, 105.0, 1.0),  # one ATR of 4 beyond 101
        (6.58, 141.0, 1.0),
        (3.29, 103.0, 0.75),
        (1.645, 105.0, 0.75),
        (1.645, 103.0, 0.5),
        (1.645, 101.04, 0.255),
        (-2.0, 105.0, 0.5),  # under the bare rule z may be anything
        (math.nan, 105.0, 0.5),
    ],
)
def test_strength_is_the_mean_of_what_the_regime_and_the_breakout_say(z: float, close: float, strength: float) -> None:
    for direction in Direction:
        watch = Watch()
        watch.look()
        watch.regime = reading("regime", trend(direction, z=z), now_ns=NOW + BAR_S * NS)
        idea = watch.close(100 + direction.sign * (close - 100))
        assert idea is not None and idea.direction is direction
        assert idea.strength == pytest.approx(strength, abs=1e-12)


@pytest.mark.parametrize("atr", [None, 0.0, math.nan])
def test_without_a_range_to_measure_it_by_there_is_no_idea(atr: float | None) -> None:
    watch = Watch()
    watch.atr = atr
    assert watch.script("^") == "."


# --- the regime ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("regime", "age_s", "expected"),
    [
        (trend(), 0, "L"),
        (trend(), 600, "L"),
        (trend(), 600.001, "."),
        (None, 0, "."),
        (Regime(label=RegimeLabel.RANDOM, hurst=0.6, z=3.0, sum_100=0.02, sum_12=0.004), 0, "."),
        (Regime(label=RegimeLabel.NOISE, hurst=0.3, z=-3.0, sum_100=0.02, sum_12=0.004), 0, "."),
        (Regime(label=RegimeLabel.UNKNOWN, hurst=0.7, z=3.0, sum_100=0.02, sum_12=0.004), 0, "."),
        (trend(SHORT), 0, "."),
        (trend(sum_100=-0.001), 0, "."),
        (trend(sum_12=-0.001), 0, "."),
        (trend(sum_100=0.0), 0, "."),
        (trend(sum_12=0.0), 0, "."),
        (trend(sum_12=math.nan), 0, "."),
    ],
)
def test_only_a_fresh_trend_the_way_of_the_breakout_is_traded(
    regime: Regime | None, age_s: float, expected: str
) -> None:
    watch = Watch()
    watch.look()
    watch.regime = reading("regime", regime, age_s=age_s, max_age_s=600, now_ns=NOW + BAR_S * NS)
    assert told(watch.close(105.0)) == expected


def test_a_bar_is_judged_once_by_the_regime_of_that_moment() -> None:
    watch = Watch()
    watch.look()
    watch.regime = reading("regime", reason="37 of 101 closed bars")
    assert watch.close(105.0) is None
    watch.regime = None
    assert watch.look(watch.end_ns + NS) is None, "the regime became known a second too late"
    assert watch.close(107.0) is None, "and its breakout is over"


# --- arming --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("closes", "expected"),
    [
        ("^^^^", "L..."),
        ("^---^", "L...L"),
        ("^--^", "L..L"),  # 900 s after the last one
        ("^-^", "L.."),  # 600 s
        ("^-^--^", "L....L"),
        ("^-^-^", "L...."),  # 600 s after one that was not traded
        ("^^^-^", "L...L"),  # 1200 s after the last one began
        ("^v", "LS"),
        ("^v^", "LS."),
        ("-", "."),
    ],
)
def test_a_breakout_is_one_idea_and_the_next_needs_a_close_inside_and_time(closes: str, expected: str) -> None:
    assert Watch().script(closes) == expected
    mirror = str.maketrans("^vLS", "v^SL")
    assert Watch().script(closes.translate(mirror)) == expected.translate(mirror)


@pytest.mark.parametrize(
    ("min_interval_s", "expected"), [(0, "L.L"), (300, "L.L"), (600, "L.L"), (601, "L.."), (900, "L..")]
)
def test_the_interval_between_breakouts_at_its_edge(min_interval_s: int, expected: str) -> None:
    params = PARAMS.model_copy(update={"min_interval_s": min_interval_s})
    assert Watch(params).script("^-^") == expected


def test_asked_every_second_it_answers_once_a_bar() -> None:
    watch = Watch()
    watch.look()
    assert watch.close(105.0) is not None
    assert [watch.look(watch.end_ns + second * NS) for second in range(1, 300)] == [None] * 299


def test_instruments_do_not_share_what_was_judged() -> None:
    watch = Watch()
    for instrument in (BTC, ETH):
        watch.look(instrument=instrument)
    watch.bars.append(bar(105.0, 0))
    assert [told(watch.look(instrument=each)) for each in (BTC, BTC, ETH)] == ["L", ".", "L"]


# --- restart -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("late_ns", "expected"), [(-NS, "L"), (0, "L"), (1, "."), (NS, "."), (200 * NS, ".")])
def test_what_closed_before_the_first_look_is_history(late_ns: int, expected: str) -> None:
    watch = Watch(bars=[*quiet(), bar(105.0, 0)])
    assert told(watch.look(watch.end_ns + late_ns)) == expected
    assert watch.look(watch.end_ns + 299 * NS) is None
    assert watch.close(107.0) is None, "the same breakout still"


@given(st.text("^v-", min_size=1, max_size=24), st.data())
def test_a_restart_changes_no_later_answer(closes: str, data: st.DataObject) -> None:
    """Stopped after any bar and started anew, it says of each later bar what it would have said undisturbed."""
    stop = data.draw(st.integers(0, len(closes)))
    undisturbed, restarted = Watch(), Watch()
    expected = undisturbed.script(closes)
    restarted.script(closes[:stop])
    restarted.strategy = Trend(PARAMS)
    restarted.look(restarted.end_ns + NS)
    said = "".join(told(restarted.close(restarted.price(letter))) for letter in closes[stop:])
    assert said == expected[stop:]


@given(st.text("^v-", max_size=40))
def test_ideas_go_the_way_of_the_breakout_and_keep_their_distance(closes: str) -> None:
    said = Watch().script(closes)
    assert {pair for pair in zip(said, closes, strict=True) if pair[0] != "."} <= {("L", "^"), ("S", "v")}
    for side in "LS":
        at = [number for number, letter in enumerate(said) if letter == side]
        assert all((after - before) * BAR_S >= PARAMS.min_interval_s for before, after in pairwise(at))


def test_the_defaults_are_three_hours_of_five_minute_bars() -> None:
    params = TrendParams()
    assert params.bar_s * params.lookback == 3 * 3600
    assert (Trend.name, Trend.version, Trend.traded_on, Trend.Params) == ("trend", 1, ("regime",), TrendParams)
