"""Ways out besides stop and targets: the operator's (all or a part), flatten, the time stop, dust, a liquidation that comes
near; and that a force-hold delays only what is discretionary."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from bot.domain.messages import CloseRequest, FlattenRequest
from bot.domain.orders import OrderStatus
from bot.domain.values import NS, Direction
from tests.build import BTC, NOW, FakeView, instrument, reading
from tests.trading.desks import Desks
from tests.trading.exits.test_tightening import ask_wall, trending


def close_part(desks: Desks, pct: str) -> None:
    desks.say(CloseRequest(instrument=BTC, part_pct=Decimal(pct)))


# --- a part ---


def test_a_part_is_closed_at_market_and_the_tiers_are_cut_to_the_rest_first() -> None:
    desks = Desks(trending())  # never delayed by the hold: everything is on Tier 4
    desks.open()
    close_part(desks, "25")
    (close,) = desks.orders("close")
    assert (close.quantity, close.reason, close.reduce_only) == (Decimal("0.01"), "operator", True)
    assert [(o.leg, o.quantity) for o in desks.amends("tier")] == [("tier_4", Decimal("0.03"))]
    legs = [c.order.leg for c in desks.commands][-2:]
    assert legs == ["tier_4", "close"]
    desks.report(desks.orders("tier")[0], OrderStatus.ACK, command="amend")
    desks.fill(close, "65010", "0.01")
    desks.report(close, OrderStatus.FILLED)
    desks.sample(5)
    assert len(desks.orders("close")) == 1
    position = desks.portfolio.position(BTC)
    assert position is not None and position.quantity == Decimal("0.03") == desks.plan.in_tiers()
    assert desks.event("EXIT_DECIDED")["part"] == "0.01"


@pytest.mark.parametrize(
    ("quantity", "pct", "closed"),
    [
        ("0.04", "50", "0.020"),
        ("0.04", "33", "0.013"),  # rounded down to the step
        ("0.04", "0.1", "0.001"),  # at least the venue's minimum
        ("0.04", "95", "0.038"),  # 0.002 stay: 130 USD
        ("0.04", "95.1", "0.038"),
        ("0.04", "97.5", "0.040"),  # 0.001 would stay: 65 USD, under the minimum of 100
        ("0.04", "100", "0.040"),
        ("0.04", "250", "0.040"),
        ("0.003", "50", "0.001"),
        ("0.002", "50", "0.002"),
    ],
)
def test_how_much_a_part_is(quantity: str, pct: str, closed: str) -> None:
    desks = Desks()
    desks.open(quantity=quantity)
    close_part(desks, pct)
    (close,) = desks.orders("close")
    assert close.quantity == Decimal(closed)


@pytest.mark.parametrize("pct", ["0", "-5", "NaN", "Infinity"])
def test_a_share_that_is_none_is_refused_and_says_so(pct: str) -> None:
    desks = Desks()
    desks.open()
    close_part(desks, pct)
    assert not desks.orders("close")
    assert "not a share between 0 and 100 %" in desks.event("CLOSE_REFUSED")["reason"]


def test_four_tiers_are_cut_in_proportion_and_none_grows() -> None:
    desks = Desks()
    desks.open()
    desks.fill(desks.orders("tier_1")[0], "65325", "0.004")
    close_part(desks, "50")  # 0.018 of 0.036
    assert {t.tier: t.remaining for t in desks.plan.open_tiers()} == {
        1: Decimal("0.003"),
        2: Decimal("0.005"),
        3: Decimal("0.005"),
        4: Decimal("0.005"),
    }
    assert [o.quantity for o in desks.amends("tier_1")] == [Decimal("0.007")]  # an order's total, fills included


def test_a_part_is_asked_for_until_it_is_closed_and_no_more() -> None:
    desks = Desks()
    desks.open()
    close_part(desks, "50")
    first = desks.orders("close")[0]
    desks.fill(first, "65000", "0.015")
    desks.report(first, OrderStatus.EXPIRED)
    desks.sample(1)
    second = desks.orders("close")[1]
    assert second.quantity == Decimal("0.005")
    close_part(desks, "10")
    assert "being closed already" in desks.event("CLOSE_REFUSED")["reason"]
    desks.fill(second, "65000", "0.005")
    desks.report(second, OrderStatus.FILLED)
    desks.sample(60)
    assert len(desks.orders("close")) == 2


def test_closing_the_whole_overtakes_closing_a_part() -> None:
    desks = Desks()
    desks.open()
    close_part(desks, "50")
    desks.say(CloseRequest(instrument=BTC))
    first = desks.orders("close")[0]
    desks.fill(first, "65000", "0.02")
    desks.report(first, OrderStatus.FILLED)
    desks.sample(1)
    assert [o.quantity for o in desks.orders("close")] == [Decimal("0.020"), Decimal("0.020")]


def test_a_tier_with_an_amendment_under_way_is_cut_when_that_is_answered() -> None:
    desks = Desks(trending())
    desks.open()
    desks.view.put(reading("walls", ask_wall(66200.0), source="own"))
    desks.sample(1)
    close_part(desks, "50")
    assert [o.quantity for o in desks.amends("tier_4")] == [Decimal("0.04")]
    desks.report(desks.orders("tier_4")[0], OrderStatus.ACK, command="amend")
    assert [(o.price, o.quantity) for o in desks.amends("tier_4")][1:] == [(Decimal("66133.8"), Decimal("0.02"))]


def test_a_tier_that_the_venue_does_not_cut_is_taken_away_not_asked_again() -> None:
    desks = Desks(trending())
    desks.open()
    close_part(desks, "50")
    desks.report(desks.orders("tier_4")[0], OrderStatus.REJECTED, command="amend", reason="no")
    assert len(desks.amends("tier_4")) == 1
    assert desks.canceled() == ["tier_4"]
    assert desks.plan.in_tiers() == 0


def test_what_the_venue_may_still_hold_of_a_tier_is_canceled_at_the_end() -> None:
    """Its cut was under way when the cut quantity had been filled and the position was gone."""
    desks = Desks(trending())
    desks.open()
    close_part(desks, "50")
    desks.fill(desks.orders("tier_4")[0], "66300", "0.02")
    desks.fill(desks.orders("close")[0], "66300", "0.02")
    assert desks.portfolio.position(BTC) is None
    assert sorted(desks.canceled()) == ["stop", "tier_4"]


# --- all of it ---


@pytest.mark.parametrize("seconds", [60, 2_699])
def test_flatten_closes_every_position_whatever_the_hold(seconds: float) -> None:
    eth = instrument("ETHUSDT")
    desks = Desks(FakeView(instruments=[instrument(), eth]))
    desks.open()
    desks.decide(Direction.SHORT, instrument=eth.id, signal_id="S2")
    entry = desks.orders("entry")[-1]
    desks.fill(entry, "65000", "0.04")
    desks.report(entry, OrderStatus.FILLED)
    desks.at(seconds).say(FlattenRequest())
    assert [(o.instrument, o.reason) for o in desks.orders("close")] == [(BTC, "flatten"), (eth.id, "flatten")]


def test_what_a_flatten_met_before_its_first_fill_is_closed_when_it_fills() -> None:
    desks = Desks(trending())
    desks.decide()
    desks.say(FlattenRequest())
    entry = desks.orders("entry")[0]
    desks.fill(entry, "65000", "0.04")
    desks.report(entry, OrderStatus.FILLED)
    assert [o.reason for o in desks.orders("close")] == ["flatten"]
    assert len(desks.orders("stop")) == 1
    assert not desks.orders("tier")
    assert "POSITION_OPENED" in desks.kinds()


def test_a_refused_market_exit_is_asked_again_later_each_time_and_at_once_by_the_operator() -> None:
    desks = Desks()
    desks.open()
    desks.say(CloseRequest(instrument=BTC))
    asked: list[int] = []
    for second in range(1, 120):
        if len(desks.orders("close")) > len(asked):
            asked.append(second - 1)
            desks.at(second - 1).report(desks.orders("close")[-1], OrderStatus.REJECTED, reason="symbol is halted")
        desks.sample(second)
    assert asked == [0, 1, 3, 7, 15, 31, 63, 95]
    desks.report(desks.orders("close")[-1], OrderStatus.REJECTED, reason="symbol is halted")
    before = len(desks.orders("close"))
    desks.say(CloseRequest(instrument=BTC))
    assert len(desks.orders("close")) == before + 1


def test_the_first_reason_stands() -> None:
    desks = Desks()
    desks.open()
    desks.say(CloseRequest(instrument=BTC), FlattenRequest())
    desks.fill(desks.orders("close")[0], "65000", "0.04")
    assert desks.event("POSITION_CLOSED")["reason"] == "operator"
    assert [e["reason"] for e in desks.told("EXIT_DECIDED")] == ["operator"]


def test_a_market_exit_that_something_else_was_faster_than_is_canceled() -> None:
    desks = Desks()
    stop = desks.open()
    desks.say(CloseRequest(instrument=BTC))
    desks.fill(stop, "64350", "0.04")
    assert "close" in desks.canceled()
    desks = Desks()
    desks.open()
    desks.say(CloseRequest(instrument=BTC))
    desks.fill(desks.orders("close")[0], "65000", "0.04")
    assert "close" not in desks.canceled()


# --- dust ---


def test_a_rest_that_no_target_covers_and_that_is_too_small_to_manage_is_closed_at_once() -> None:
    desks = Desks()
    desks.open(quantity="0.004")  # tiers of 0.002
    first, second = desks.orders("tier")
    desks.report(second, OrderStatus.CANCELED, command="")
    desks.fill(first, str(first.price), "0.002")
    desks.report(first, OrderStatus.FILLED)
    desks.sample(1)
    assert not desks.orders("close")  # 130 USD are left: the stop covers them
    desks = Desks()
    desks.open(quantity="0.004")
    first, second = desks.orders("tier")
    desks.fill(second, str(second.price), "0.001")
    desks.report(second, OrderStatus.CANCELED, command="")
    desks.fill(first, str(first.price), "0.002")
    desks.report(first, OrderStatus.FILLED)
    desks.sample(1)
    assert [(o.quantity, o.reason) for o in desks.orders("close")] == [(Decimal("0.001"), "dust")]


def test_the_rest_of_a_partly_filled_target_keeps_resting() -> None:
    desks = Desks()
    desks.open(quantity="0.003")
    (tier,) = desks.orders("tier")
    desks.fill(tier, "66300", "0.002")
    desks.sample(1)
    assert not desks.orders("close")
    assert desks.plan.in_tiers() == Decimal("0.001")


def test_less_than_any_order_is_left_to_the_stop_and_told_once() -> None:
    desks = Desks(FakeView(instruments=[instrument(min_quantity=Decimal("0.002"))]))
    desks.open()
    desks.say(CloseRequest(instrument=BTC))
    close = desks.orders("close")[0]
    desks.fill(close, "65000", "0.039")
    desks.report(close, OrderStatus.EXPIRED)
    for second in range(1, 100):
        desks.sample(second)
    assert len(desks.orders("close")) == 1
    assert [(d["quantity"], d["minimum"]) for d in desks.told("DUST_LEFT")] == [("0.001", "0.002")]
    assert "stop" not in desks.canceled()


# --- time stop ---


def test_a_time_stop_closes_as_a_taker_when_it_is_due() -> None:
    desks = Desks(time_stop_s=600)
    desks.open()
    key = f"time:{desks.position_id}"
    assert desks.timers[key] == NOW + 600 * NS
    desks.fire(key)
    assert [(o.reason, o.type) for o in desks.orders("close")] == [("time_stop", "market")]


def test_a_time_stop_in_a_force_hold_is_deferred_to_its_end() -> None:
    desks = Desks(trending(), time_stop_s=600)
    desks.open()
    desks.fire(f"time:{desks.position_id}")
    assert not desks.orders("close")
    assert [(d["wanted"], d["hold_remaining_s"]) for d in desks.told("EXIT_DEFERRED")] == [("time_stop", 2100.0)]
    desks.fire(f"hold:{desks.position_id}")
    assert [o.reason for o in desks.orders("close")] == ["time_stop"]


def test_each_reason_is_deferred_once_and_by_itself() -> None:
    desks = Desks(trending(), time_stop_s=600)
    desks.open()
    desks.at(100).decide(Direction.SHORT, reversal=True)
    desks.at(200).decide(Direction.SHORT, reversal=True)
    desks.fire(f"time:{desks.position_id}")
    assert [d["wanted"] for d in desks.told("EXIT_DEFERRED")] == ["reversal", "time_stop"]
    desks.fire(f"hold:{desks.position_id}")  # the reversal is older than 15 min by now
    assert [o.reason for o in desks.orders("close")] == ["time_stop"]


def test_timers_end_with_the_position() -> None:
    desks = Desks(trending(), time_stop_s=600)
    stop = desks.open()
    desks.fill(stop, "64350", "0.04")
    assert desks.timers == {}


# --- liquidation ---


@pytest.mark.parametrize(
    ("direction", "price", "mark", "closes"),
    # from 65,000 the liquidation at 61,000 is 4,000 away: a quarter is 1,000
    [
        (Direction.LONG, "61000", 62000.0, False),
        (Direction.LONG, "61000", 61999.9, True),
        (Direction.SHORT, "69000", 68000.0, False),
        (Direction.SHORT, "69000", 68000.1, True),
    ],
)
def test_a_liquidation_that_has_come_near_closes_also_in_a_force_hold(
    direction: Direction, price: str, mark: float, closes: bool
) -> None:
    desks = Desks(trending(direction), liquidation=lambda position: Decimal(price))
    desks.open(direction)
    assert desks.event("POSITION_OPENED")["liquidation_distance"] == "4000"
    desks.mark(mark).sample(1)
    assert [o.reason for o in desks.orders("close")] == (["liquidation_near"] if closes else [])


def test_the_liquidation_price_is_asked_anew_because_others_move_it() -> None:
    known: dict[str, Any] = {"price": Decimal(61000)}
    desks = Desks(liquidation=lambda position: known["price"])
    desks.open()
    known["price"] = None
    desks.mark(61500.0).sample(1)
    assert not desks.orders("close")
    known["price"] = Decimal("64000.1")  # other positions have eaten the wallet
    desks.mark(65000.0).sample(2)
    assert [o.reason for o in desks.orders("close")] == ["liquidation_near"]


def test_without_a_liquidation_price_or_with_the_rule_off_nothing_is_closed() -> None:
    none = Desks()
    none.open()
    assert none.event("POSITION_OPENED")["liquidation_distance"] is None
    none.mark(64400.0).sample(1)
    off = Desks(liquidation=lambda position: Decimal(61000), liquidation_pct=Decimal(0))
    off.open()
    off.mark(61000.1).sample(1)
    assert not none.orders("close") and not off.orders("close")
