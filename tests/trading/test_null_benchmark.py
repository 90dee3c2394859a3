"""On a driftless walk no combination of exits earns or loses more than its costs, and fills that flatter are found out."""

from __future__ import annotations

import json
from decimal import Decimal
from math import hypot
from typing import Any

import pytest

from bot.domain.orders import Fill, Order, OrderReport, OrderType
from bot.domain.ports import PriceView
from bot.domain.values import Side
from bot.trading.fills import Matching, Owner
from tests.montecarlo import TABLE
from tests.null import CASES, ONE, chosen, measured
from tests.null_market import NullMarket, Result, Steps, WalkMarket

N = 200
CHEAPEST, DEAREST = 0.0709, 0.1025  # percent: taker in and maker out; taker both ways and two half-spreads of 0.1 bps


@pytest.mark.parametrize("name", CASES)
def test_nothing_is_won_or_lost_but_the_costs(name: str) -> None:
    found = measured(name, N, seed=1)
    assert found.fair, found
    assert CHEAPEST < found.costs < DEAREST
    assert found.net == pytest.approx(found.gross - found.costs, abs=1e-9)  # the wallet agrees with the fills


def test_the_win_rate_is_that_of_first_passage() -> None:
    rows = json.loads((TABLE.parent / "exits.json").read_text())["p_first_passage"]
    (chance,) = [row["p_tp_first"] for row in rows if (row["tp"], row["sl"]) == (0.5, 1.0)]
    found = measured("one target 0.5 %, stop 1 %", 600, seed=2)
    assert abs(found.win_rate - chance) < 3 * (chance * (1 - chance) / found.n) ** 0.5


def test_the_default_ladder_does_as_one_that_was_simulated_by_other_means() -> None:
    told = json.loads(TABLE.read_text())["ladder_driftless"]
    settings = chosen()
    assert [float(each) for each in settings.ladder.targets_pct] == told["tiers_pct"]
    assert [float(each) for each in settings.ladder.fractions] == told["fractions"]
    assert (float(settings.stop.pct), settings.exits.break_even) == (told["sl_pct"], told["breakeven_after_tp1"])
    found = measured("default ladder, break-even", 600, seed=6)
    chance = told["win_rate_gross>0"]
    assert abs(found.win_rate - chance) < 3 * (chance * (1 - chance) / found.n) ** 0.5
    error = hypot(found.error, told["se"])
    assert abs(found.gross - told["gross_mean_pct"]) < 3 * error
    assert abs(found.gross - 0.1 - told["net_mean_pct_with_10bps_round_trip"]) < 3 * error


FAR_AWAY: dict[str, Any] = {"ladder": {"targets_pct": ("20", "30", "35", "40")}}
NO_BREAK_EVEN = {"break_even": False}


class NearTouch(Matching):
    """Fills a limit when the price has come within 0.3 % of it."""

    def on_trade(self, instrument: str, price: float, quantity: float, taker_buys: bool) -> list[OrderReport]:
        return super().on_trade(instrument, price + (30 if taker_buys else -30), quantity, taker_buys)


class StopAtTrigger(Matching):
    """Fills a stop at its trigger, however far the market has leapt."""

    def _fill(self, work: Any, price: Decimal, quantity: Decimal, *, maker: bool) -> Fill:
        is_stop = work.order.type is OrderType.STOP_MARKET
        return super()._fill(work, work.order.stop_price if is_stop else price, quantity, maker=maker)


class Foresight(Matching):
    """Knows the next price and takes the better of the two."""

    def place(self, order: Order, market: PriceView, owner: Owner | None = None) -> list[OrderReport]:
        assert isinstance(market, WalkMarket)
        later = WalkMarket()
        later.go(market.after)
        better = (market.after - market.ticks) * (1 if order.side is Side.SELL else -1) > 0
        return super().place(order, later if better else market, owner)


def near_touch(model: type[Matching]) -> Result:
    settings = chosen(ladder=ONE, exits=NO_BREAK_EVEN)
    return NullMarket(settings, seed=3, steps=Steps(longest=150), model=model).run(2 * N)


def leaping(model: type[Matching]) -> Result:
    settings = chosen(**FAR_AWAY, stop={"pct": "0.3"}, exits=NO_BREAK_EVEN | {"time_stop_s": 3600})
    return NullMarket(settings, seed=4, steps=Steps(longest=100, jump=600, jump_every=5), model=model).run(4 * N)


def foreseeing(model: type[Matching]) -> Result:
    settings = chosen(**FAR_AWAY, exits=NO_BREAK_EVEN | {"time_stop_s": 20})
    return NullMarket(settings, seed=5, steps=Steps(longest=20, busy=20), model=model).run(2 * N)


@pytest.mark.parametrize(
    ("market", "flattering"), [(near_touch, NearTouch), (leaping, StopAtTrigger), (foreseeing, Foresight)]
)
def test_a_model_that_flatters_is_found_out(market: Any, flattering: type[Matching]) -> None:
    assert market(Matching).fair
    found = market(flattering)
    assert not found.fair and found.gross > 3 * found.error, found
