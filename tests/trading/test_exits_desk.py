"""Protection, ladder, force-hold, deferred exits, wall moves and closing, as scripts on the bus."""

from __future__ import annotations

from decimal import Decimal

import pytest

from bot.domain.messages import CloseRequest, Sampled
from bot.domain.orders import AmendOrder, OrderStatus, OrderType
from bot.domain.reading import MaxPain, OiDelta, Regime, Wall, Walls
from bot.domain.values import NS, Direction, RegimeLabel, Side
from tests.build import BTC, NOW, FakeView, instrument, reading
from tests.trading.desks import Desks

TREND = Regime(label=RegimeLabel.TREND, hurst=0.7, z=3.0, sum_100=0.02, sum_12=0.01)


def trending(max_pain: str | None = None) -> FakeView:
    """Everything TRUE TREND asks of a long, and max pain where given."""
    view = FakeView(reading("regime", TREND), reading("oi_delta_5m", OiDelta(pct=0.4)))
    if max_pain is not None:
        pain = MaxPain(price=Decimal(max_pain), expiry="2025-10-10", notional_usd=Decimal(10**9))
        view.put(reading("max_pain", pain, source="deribit"))
    return view


def ask_wall(price: float, usd: float = 30e6, **of: float) -> Walls:
    wall = Wall(price=price, usd=usd, first_seen_ns=NOW, venues=("binanceusdm",))
    return Walls(
        asks=(wall,), bids=(), ask_coverage_pct=5.0, bid_coverage_pct=5.0, institutional_usd=Decimal(25_000_000)
    )


# --- protection ---


@pytest.mark.parametrize(
    ("direction", "side", "stop"), [(Direction.LONG, Side.SELL, "64350"), (Direction.SHORT, Side.BUY, "65650")]
)
def test_the_stop_leaves_with_the_first_fill_and_covers_everything(direction: Direction, side: Side, stop: str) -> None:
    desks = Desks()
    desks.decide(direction)
    desks.fill(desks.orders("entry")[0], "65000", "0.01")  # a part of the entry only
    (order,) = desks.orders("stop")
    assert (order.side, order.type, order.stop_price) == (side, OrderType.STOP_MARKET, Decimal(stop))
    assert order.close_position
    assert order.reduce_only
    assert not desks.orders("tier")


def test_a_worse_mean_entry_tightens_the_stop_and_never_loosens_it() -> None:
    desks = Desks()
    desks.decide()
    entry = desks.orders("entry")[0]
    desks.fill(entry, "65000", "0.02")
    desks.fill(entry, "65100", "0.02")
    desks.report(entry, OrderStatus.FILLED)
    (amend,) = [c for c in desks.commands if isinstance(c, AmendOrder)]
    assert amend.order.stop_price == Decimal("64399.5")  # 1 % under the mean of 65,050, rounded up
    assert desks.event("POSITION_OPENED")["stop_price"] == "64399.5"
    better = Desks()
    better.decide()
    entry = better.orders("entry")[0]
    better.fill(entry, "65000", "0.02")
    better.fill(entry, "64900", "0.02")
    better.report(entry, OrderStatus.FILLED)
    assert not [c for c in better.commands if isinstance(c, AmendOrder)]


def test_a_stop_not_seen_within_two_seconds_means_leaving_at_market() -> None:
    desks = Desks()
    desks.decide()
    entry = desks.orders("entry")[0]
    desks.fill(entry, "65000", "0.04")
    desks.report(entry, OrderStatus.FILLED)
    key = f"protect:{desks.position_id}"
    assert desks.timers[key] == NOW + 2 * NS
    desks.fire(key)
    (close,) = desks.orders("close")
    assert (close.type, close.reduce_only, close.quantity, close.reason) == (
        OrderType.MARKET,
        True,
        Decimal("0.04"),
        "unprotected",
    )


def test_a_stop_seen_in_time_takes_the_alarm_off() -> None:
    desks = Desks()
    desks.open()
    assert not [key for key in desks.timers if key.startswith("protect")]


def test_a_refused_stop_means_leaving_at_market_even_in_a_force_hold() -> None:
    desks = Desks(trending())
    desks.decide()
    entry = desks.orders("entry")[0]
    desks.fill(entry, "65000", "0.04")
    desks.report(desks.orders("stop")[0], OrderStatus.REJECTED, reason="would trigger immediately")
    assert [order.reason for order in desks.orders("close")] == ["unprotected"]


def test_a_stop_refused_because_price_is_already_beyond_it_is_a_stop_out() -> None:
    desks = Desks()
    desks.decide()
    desks.fill(desks.orders("entry")[0], "65000", "0.04")
    desks.view.market(BTC).mark = 64300.0
    desks.report(desks.orders("stop")[0], OrderStatus.REJECTED, reason="would trigger immediately")
    (close,) = desks.orders("close")
    desks.fill(close, "64290", "0.04")
    assert desks.event("POSITION_CLOSED")["reason"] == "stop"
    assert desks.portfolio.last_stop_ns(BTC, Direction.LONG) == NOW


@pytest.mark.parametrize("status", [OrderStatus.CANCELED, OrderStatus.EXPIRED])
@pytest.mark.parametrize(("again_s", "left"), [(69.999, ["unprotected"]), (70, [])])
def test_a_stop_that_the_venue_ends_unasked_is_placed_again_once_a_minute(
    status: OrderStatus, again_s: float, left: list[str]
) -> None:
    desks = Desks(trending())
    stop = desks.open()
    desks.at(10).report(stop, status, command="")
    assert desks.portfolio.position(BTC).stop_price is None  # type: ignore[union-attr]
    first, second = desks.orders("stop")
    assert (second.stop_price, second.close_position) == (first.stop_price, True)
    assert second.client_order_id != first.client_order_id
    assert desks.timers[f"protect:{desks.position_id}"] == NOW + 12 * NS
    desks.report(second, OrderStatus.ACK)
    desks.at(again_s).report(second, status, command="")
    assert [order.reason for order in desks.orders("close")] == left
    assert len(desks.orders("stop")) == (2 if left else 3)


def test_a_stop_that_ends_when_the_mark_is_beyond_it_is_a_stop_out() -> None:
    desks = Desks()
    stop = desks.open()
    desks.mark(64350.0).report(stop, OrderStatus.EXPIRED, command="")
    assert [order.reason for order in desks.orders("close")] == ["stop"]


def test_a_stop_refused_for_its_price_or_size_is_corrected_once_and_then_it_is_left() -> None:
    desks = Desks(trending())
    desks.decide()
    entry = desks.orders("entry")[0]
    desks.fill(entry, "65000", "0.04")
    desks.report(entry, OrderStatus.FILLED)
    desks.view.known[BTC] = instrument(tick="0.5")  # the venue's rules have changed
    desks.at(0.4).report(desks.orders("stop")[0], OrderStatus.REJECTED, reason="price is not on the tick")
    first, second = desks.orders("stop")
    assert second.stop_price == first.stop_price == Decimal("64350")
    assert desks.timers[f"protect:{desks.position_id}"] == NOW + 2 * NS  # still the first fill's deadline
    desks.report(second, OrderStatus.REJECTED, reason="price is not on the tick")
    assert [order.reason for order in desks.orders("close")] == ["unprotected"]


def test_a_position_larger_than_the_venues_largest_market_order_leaves_in_parts() -> None:
    desks = Desks(FakeView(instruments=[instrument(max_market_quantity=Decimal("0.03"))]))
    desks.open()
    desks.say(CloseRequest(instrument=BTC))
    first = desks.orders("close")[0]
    assert first.quantity == Decimal("0.03")
    desks.fill(first, "65000", "0.03")
    desks.report(first, OrderStatus.FILLED)
    desks.at(1).say(Sampled(now_ns=NOW + NS))
    assert desks.orders("close")[1].quantity == Decimal("0.01")


# --- ladder ---


def test_the_ladder_goes_out_when_the_entry_is_done() -> None:
    desks = Desks()
    desks.open()
    tiers = [(t.leg, t.price, t.quantity, t.reduce_only) for t in desks.orders("tier")]
    assert tiers == [
        ("tier_1", Decimal("65325"), Decimal("0.01"), True),
        ("tier_2", Decimal("65650"), Decimal("0.01"), True),
        ("tier_3", Decimal("65975"), Decimal("0.01"), True),
        ("tier_4", Decimal("66300"), Decimal("0.01"), True),
    ]


def test_in_true_trend_everything_rests_on_tier_four() -> None:
    desks = Desks(trending())
    desks.open()
    assert [(t.leg, t.quantity) for t in desks.orders("tier")] == [("tier_4", Decimal("0.04"))]
    opened = desks.event("POSITION_OPENED")
    assert (opened["true_trend"], opened["regime"], opened["min_hold_s"]) == (True, "TREND", 2700)


def test_tiers_under_the_minimum_merge_and_say_so() -> None:
    desks = Desks()
    desks.open(quantity="0.004")  # 65 USD a tier; the venue wants 100
    assert desks.kinds().count("LADDER_MERGED") >= 1
    assert sum(t.quantity for t in desks.orders("tier")) == Decimal("0.004")


def test_fills_too_small_to_manage_are_closed_at_once() -> None:
    desks = Desks()
    desks.decide()
    entry = desks.orders("entry")[0]
    desks.fill(entry, "65000", "0.001")  # 65 USD
    desks.report(entry, OrderStatus.EXPIRED)
    assert [order.reason for order in desks.orders("close")] == ["too_small"]
    assert not desks.orders("tier")


def test_filling_every_tier_closes_the_position_and_cancels_the_stop() -> None:
    desks = Desks()
    desks.open()
    for tier in desks.orders("tier"):
        desks.fill(tier, str(tier.price), "0.01")
        desks.report(tier, OrderStatus.FILLED)
    assert desks.event("POSITION_CLOSED")["reason"] == "take_profit"
    assert desks.canceled() == ["stop"]


def test_the_stop_closes_everything_and_the_tiers_are_canceled() -> None:
    desks = Desks()
    stop = desks.open()
    desks.fill(desks.orders("tier_1")[0], "65325", "0.01")
    desks.report(desks.orders("tier_1")[0], OrderStatus.FILLED)
    desks.fill(stop, "64350", "0.03")
    assert desks.event("POSITION_CLOSED")["reason"] == "stop"
    assert sorted(desks.canceled()) == ["tier_2", "tier_3", "tier_4"]


# --- force-hold and what it does not hold up ---


@pytest.mark.parametrize(
    ("max_pain", "hold_s", "gap"),
    # |65000 - mp| against 2 % of mp: 63,725.49... is the 2.00 % point below price
    [
        (None, 2700, None),
        ("63800", 2700, 1.8809),
        ("63725.5", 2700, 2.0),
        ("63719", 4500, 2.0104),
        ("66400", 4500, 2.1084),
    ],
)
def test_the_hold_is_45_minutes_or_75_when_max_pain_is_far(
    max_pain: str | None, hold_s: int, gap: float | None
) -> None:
    desks = Desks(trending(max_pain))
    desks.open()
    opened = desks.event("POSITION_OPENED")
    assert opened["min_hold_s"] == hold_s
    assert opened["max_pain_gap_pct"] == (None if gap is None else pytest.approx(gap, abs=1e-3))
    assert desks.timers[f"hold:{desks.position_id}"] == NOW + hold_s * NS


def test_the_stop_fires_in_a_force_hold() -> None:
    desks = Desks(trending())
    stop = desks.open()
    desks.at(60).fill(stop, "64350", "0.04")
    closed = desks.event("POSITION_CLOSED")
    assert (closed["reason"], closed["in_force_hold"]) == ("stop", True)


def test_the_operators_close_is_never_deferred() -> None:
    desks = Desks(trending())
    desks.open()
    desks.at(60).say(CloseRequest(instrument=BTC))
    (close,) = desks.orders("close")
    assert close.reason == "operator"
    desks.fill(close, "65010", "0.04")
    assert desks.event("POSITION_CLOSED")["reason"] == "operator"
    assert sorted(desks.canceled()) == ["stop", "tier_4"]


def test_a_reversal_in_a_force_hold_is_deferred_once_and_runs_at_its_end() -> None:
    desks = Desks(trending())
    desks.open()
    for second in (100, 200, 2_400):
        desks.at(second).decide(Direction.SHORT, reversal=True)
    deferred = [event.data for event in desks.events if event.kind == "EXIT_DEFERRED"]
    assert [(d["wanted"], d["hold_remaining_s"]) for d in deferred] == [("reversal", 2600.0)]
    assert not desks.orders("close")
    desks.fire(f"hold:{desks.position_id}")
    assert [order.reason for order in desks.orders("close")] == ["reversal"]


@pytest.mark.parametrize(("signal_at_s", "runs"), [(1_800, True), (1_799, False)])
def test_a_deferred_reversal_runs_only_if_its_signal_is_at_most_15_minutes_old(signal_at_s: int, runs: bool) -> None:
    desks = Desks(trending())
    desks.open()
    desks.at(signal_at_s).decide(Direction.SHORT, reversal=True)
    desks.fire(f"hold:{desks.position_id}")  # at 2,700 s
    assert bool(desks.orders("close")) is runs
    assert [(d["wanted"], d["reason"]) for d in desks.told("EXIT_DROPPED")] == (
        [] if runs else [("reversal", "the newest opposite signal is 901 s old, limit 900 s")]
    )


def test_a_deferred_exit_of_what_is_leaving_already_is_not_told_as_dropped() -> None:
    desks = Desks(trending())
    desks.open()
    desks.at(100).decide(Direction.SHORT, reversal=True)
    desks.at(200).say(CloseRequest(instrument=BTC))
    desks.fire(f"hold:{desks.position_id}")
    assert [order.reason for order in desks.orders("close")] == ["operator"]
    assert not desks.told("EXIT_DROPPED")


def test_without_a_hold_a_reversal_closes_at_once_and_does_not_flip() -> None:
    desks = Desks()
    desks.open()
    desks.decide(Direction.SHORT, reversal=True)
    assert [order.reason for order in desks.orders("close")] == ["reversal"]
    desks.fill(desks.orders("close")[0], "65000", "0.04")
    assert desks.portfolio.position(BTC) is None
    assert len(desks.orders("entry")) == 1


def test_reversals_can_be_switched_off() -> None:
    desks = Desks(reversal=False)
    desks.open()
    desks.decide(Direction.SHORT, reversal=True)
    assert not desks.orders("close")


def test_a_market_exit_that_did_not_close_everything_is_tried_again_and_keeps_its_reason() -> None:
    desks = Desks()
    desks.open()
    desks.say(CloseRequest(instrument=BTC))
    first = desks.orders("close")[0]
    desks.say(Sampled(now_ns=NOW))
    assert len(desks.orders("close")) == 1  # one at a time
    desks.fill(first, "64990", "0.03")
    desks.report(first, OrderStatus.EXPIRED)
    desks.at(1).say(Sampled(now_ns=NOW + NS))
    second = desks.orders("close")[1]
    assert (second.quantity, second.reason) == (Decimal("0.01"), "operator")
    assert second.client_order_id != first.client_order_id


# --- walls ---


def test_a_wall_pulls_tier_four_in_front_of_it_and_gives_it_back_when_it_is_gone() -> None:
    desks = Desks()
    desks.open()
    desks.view.put(reading("walls", ask_wall(66200.0), source="own"))
    desks.at(10).say(Sampled(now_ns=0))
    adjusted = desks.event("TP_ADJUSTED")
    assert (adjusted["tier"], adjusted["old_price"], adjusted["new_price"]) == (4, "66300.0", "66133.8")
    assert (adjusted["wall_price"], adjusted["wall_usd"], adjusted["wall_source"]) == ("66200.0", "30000000.0", "own")
    desks.report(desks.orders("tier_4")[0], OrderStatus.ACK, command="amend")
    desks.view.put(reading("walls", ask_wall(66200.0, usd=1e6), source="own"))
    desks.at(39.9).say(Sampled(now_ns=0))
    assert desks.kinds().count("TP_ADJUSTED") == 1  # at most one move in 30 s
    desks.at(40).say(Sampled(now_ns=0))
    assert desks.event("TP_ADJUSTED")["new_price"] == "66300.0"
    amends = [c for c in desks.commands if isinstance(c, AmendOrder)]
    assert [a.order.price for a in amends] == [Decimal("66133.8"), Decimal("66300")]


def test_lower_tiers_beyond_the_moved_one_are_canceled_and_merge_into_it() -> None:
    desks = Desks()
    desks.open()
    desks.view.put(reading("walls", ask_wall(65700.0), source="own"))
    desks.say(Sampled(now_ns=0))
    (amend,) = [c for c in desks.commands if isinstance(c, AmendOrder)]
    assert amend.order.price == Decimal("65634.3")
    assert amend.order.quantity == Decimal("0.03")
    assert desks.canceled() == ["tier_2", "tier_3"]


@pytest.mark.parametrize("state", ["stale", "missing"])
def test_targets_stay_when_walls_are_not_known(state: str) -> None:
    desks = Desks()
    desks.open()
    walls = ask_wall(66200.0) if state == "stale" else None
    desks.view.put(reading("walls", walls, age_s=91.0, max_age_s=90.0))
    desks.say(Sampled(now_ns=0))
    assert "TP_ADJUSTED" not in desks.kinds()


def test_a_refused_amendment_leaves_the_old_target_in_force() -> None:
    desks = Desks()
    desks.open()
    desks.view.put(reading("walls", ask_wall(66200.0), source="own"))
    desks.say(Sampled(now_ns=0))
    tier = desks.orders("tier_4")[0]
    desks.report(tier, OrderStatus.REJECTED, command="amend", reason="no such order")
    plan = desks.exits.plan(desks.position_id)
    assert plan is not None
    assert plan.tiers[4].order.price == Decimal("66300")
