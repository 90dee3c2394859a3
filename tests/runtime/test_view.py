"""The live view works a reading out once a frame, and never carries one over to the next."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from bot.domain.errors import FeedError
from bot.domain.reading import LongShort, OiDelta, Reading
from bot.domain.values import NS
from bot.market.state import InstrumentMarket, Market
from bot.runtime.view import LiveView
from bot.trading.portfolio import Portfolio
from bot.trading.risk import RiskParams
from bot.trading.state import State
from tests.build import BTC, NOW, instrument, reading

ETH = "binanceusdm:ETHUSDT"


def make() -> tuple[Market, LiveView]:
    known = {one.id: one for one in (instrument(), instrument("ETHUSDT"))}
    market = Market(list(known.values()))
    portfolio = Portfolio(Decimal(10_000), lambda _: None)
    view = LiveView(market, portfolio, State(portfolio, RiskParams()), known)
    view.now_ns = NOW
    return market, view


def crowd(ratio: str) -> LongShort:
    return LongShort(ratio=Decimal(ratio))


def test_a_reading_is_worked_out_once_a_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    _, view = make()
    asked: list[str] = []
    own = InstrumentMarket.own

    def counted(market: InstrumentMarket, name: str, key: str, now_ns: int) -> Reading[Any] | None:
        asked.append(name)
        return own(market, name, key, now_ns)

    monkeypatch.setattr(InstrumentMarket, "own", counted)
    view.begin(1, NOW)
    assert view.reading("whale_cvd", BTC) is view.reading("whale_cvd", BTC)
    assert asked == ["whale_cvd"]
    view.begin(2, NOW)
    view.reading("whale_cvd", BTC)
    assert asked == ["whale_cvd"] * 2


def test_the_next_frame_sees_what_it_brought_even_at_the_same_time() -> None:
    market, view = make()
    for frame, ratio in enumerate(("2.5", "1.5"), 1):
        view.begin(frame, NOW)
        market.store.put(reading("long_short", crowd(ratio), source="venue"))
        assert view.reading("long_short", BTC).value == crowd(ratio)


def test_a_reading_grows_old_from_frame_to_frame() -> None:
    market, view = make()
    market.store.put(reading("long_short", crowd("2.5"), source="venue", max_age_s=900))
    view.begin(1, NOW)
    assert view.reading("whale_cvd", BTC).received_ns == NOW
    assert view.reading("long_short", BTC).age_s(view.now_ns) == 0
    view.now_ns = NOW + 7 * NS
    view.begin(2, view.now_ns)
    assert view.reading("whale_cvd", BTC).received_ns == NOW + 7 * NS
    assert view.reading("long_short", BTC).age_s(view.now_ns) == 7


def test_readings_of_two_names_and_two_instruments_are_told_apart() -> None:
    market, view = make()
    market.store.put(reading("long_short", crowd("2.5"), source="venue"))
    market.store.put(reading("long_short", crowd("1.5"), source="venue", key=ETH))
    market.store.put(reading("oi_delta_5m", OiDelta(pct=0.4), source="venue"))
    view.begin(1, NOW)
    for _ in range(2):
        assert view.reading("long_short", BTC).value == crowd("2.5")
        assert view.reading("long_short", ETH).value == crowd("1.5")
        assert view.reading("oi_delta_5m", BTC).value == OiDelta(pct=0.4)
        with pytest.raises(FeedError, match="is not followed"):
            view.reading("long_short", "binanceusdm:DOGEUSDT")
