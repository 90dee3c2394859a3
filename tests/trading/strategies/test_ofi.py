"""When order-flow imbalance is an idea, when it is armed again, and how often its default threshold speaks."""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.reading import Ofi as Imbalance
from bot.domain.values import NS, Direction
from bot.market.flow import OfiParams, OrderFlowImbalance
from bot.trading.strategies.base import Idea
from bot.trading.strategies.ofi import Ofi, OfiStrategyParams
from tests.build import BTC, NOW, FakeView, reading

CAPTURE = Path(__file__).resolve().parents[3] / "../shared/fixtures/market/hftbacktest/usdm_btcusdt_20240808.gz"
LONG, SHORT = Direction.LONG, Direction.SHORT
ETH = "binanceusdm:ETHUSDT"
PARAMS = OfiStrategyParams(threshold_depths=10.0)


def ask(strategy: Ofi, depths: float | None, second: float = 0, age_s: float = 0, instrument: str = BTC) -> Idea | None:
    """Its answer to an imbalance observed `age_s` before `second`; None is a missing reading."""
    now_ns = NOW + int(second * NS)
    value = None if depths is None else Imbalance(base=4 * depths, depths=depths)
    view = FakeView(now_ns=now_ns)
    view.put(reading("ofi", value, age_s=age_s, max_age_s=2, now_ns=now_ns), instrument)
    return strategy.on_sample(instrument, view)


def directions(script: list[tuple[float, float | None]]) -> list[Direction | None]:
    """What the strategy answers to (second, depths), one after the other."""
    strategy = Ofi(PARAMS)
    answers = [ask(strategy, depths, second) for second, depths in script]
    return [answer.direction if answer else None for answer in answers]


@pytest.mark.parametrize(
    ("depths", "expected"),
    [
        (10.0, Idea(LONG, 0.5)),
        (9.999, None),
        (-10.0, Idea(SHORT, 0.5)),
        (-9.999, None),
        (15.0, Idea(LONG, 0.75)),
        (20.0, Idea(LONG, 1.0)),
        (-500.0, Idea(SHORT, 1.0)),
        (0.0, None),
        (math.nan, None),
    ],
)
def test_threshold_and_strength(depths: float, expected: Idea | None) -> None:
    assert ask(Ofi(PARAMS), depths) == expected


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        # one idea however long it leans, and none for rising further
        ([(0, 12), (1, 12), (30, 40), (60, 12)], [LONG, None, None, None]),
        # armed again under half the threshold, not at it
        ([(0, 12), (5, 5.0), (20, 12)], [LONG, None, None]),
        ([(0, 12), (5, 4.99), (20, 12)], [LONG, None, LONG]),
        # or by a change of sign, at once for the other side
        ([(0, 12), (1, -12), (2, 12), (16, 12)], [LONG, SHORT, None, LONG]),
        ([(0, 12), (5, -1), (20, 12)], [LONG, None, LONG]),
        ([(0, 12), (5, 0.0), (20, 12)], [LONG, None, LONG]),
        # armed but too soon: still an idea once the interval is over, if it still leans
        ([(0, 12), (5, 1), (14.999, 12), (15, 12), (16, 12)], [LONG, None, None, LONG, None]),
        ([(0, 12), (5, 1), (14, 12), (15, 8), (16, 12)], [LONG, None, None, None, LONG]),
        # a gap arms nothing
        ([(0, 12), (1, None), (30, None), (31, 12)], [LONG, None, None, None]),
        ([(0, None), (1, 12)], [None, LONG]),
    ],
)
def test_one_idea_for_each_time_it_leans(
    script: list[tuple[float, float | None]], expected: list[Direction | None]
) -> None:
    assert directions(script) == expected
    mirrored = [(second, depths if depths is None else -depths) for second, depths in script]
    assert directions(mirrored) == [side and side.opposite for side in expected]


@pytest.mark.parametrize(("age_s", "speaks"), [(0, True), (2, True), (2.001, False)])
def test_only_a_fresh_reading_is_traded_on(age_s: float, speaks: bool) -> None:
    assert (ask(Ofi(PARAMS), 12, age_s=age_s) is not None) is speaks


def test_a_stale_reading_changes_nothing() -> None:
    strategy = Ofi(PARAMS)
    assert ask(strategy, 12, second=0) is not None
    assert ask(strategy, 1, second=20, age_s=3) is None
    assert ask(strategy, 12, second=40) is None


def test_instruments_do_not_share_what_is_remembered() -> None:
    strategy = Ofi(PARAMS)
    assert ask(strategy, 12, instrument=BTC) is not None
    assert ask(strategy, 12, instrument=ETH) is not None
    assert ask(strategy, 12, second=1, instrument=BTC) is None


@given(st.lists(st.floats(-60, 60), max_size=120))
def test_ideas_point_the_way_of_the_imbalance_and_keep_their_distance(samples: list[float]) -> None:
    strategy = Ofi(PARAMS)
    last: dict[Direction, int] = {}
    for second, depths in enumerate(samples):
        idea = ask(strategy, depths, second)
        if idea is None:
            continue
        assert idea.direction.sign * depths >= PARAMS.threshold_depths
        assert 0.5 <= idea.strength <= 1.0
        assert second - last.get(idea.direction, -99) >= PARAMS.min_interval_s
        last[idea.direction] = second


def captured_quotes() -> Iterator[tuple[int, float, float, float, float]]:
    with gzip.open(CAPTURE, "rt") as lines:
        for line in lines:
            if "@bookTicker" in line:
                ns, raw = line.split(" ", 1)
                quote = json.loads(raw)["data"]
                yield int(ns), float(quote["b"]), float(quote["B"]), float(quote["a"]), float(quote["A"])


@pytest.mark.skipif(not CAPTURE.exists(), reason=f"capture is not here: {CAPTURE}")
def test_the_default_threshold_speaks_every_ten_to_thirty_seconds_of_a_real_market() -> None:
    strategy, flow = Ofi(OfiStrategyParams()), OrderFlowImbalance(OfiParams())
    ideas: list[Idea] = []
    first_ns = due_ns = 0
    for ns, bid, bid_size, ask_price, ask_size in captured_quotes():
        first_ns = first_ns or ns
        due_ns = due_ns or ns
        while ns > due_ns:
            value, _ = flow.value(due_ns)
            second = (due_ns - first_ns) / NS
            idea = ask(strategy, value.depths if value else None, second)
            ideas += [idea] if idea else []
            due_ns += NS
        flow.update(bid, bid_size, ask_price, ask_size, ns)
    seconds = (due_ns - first_ns) / NS
    assert seconds > 340
    assert 10 < seconds / len(ideas) < 30
    assert {idea.direction for idea in ideas} == {LONG, SHORT}
