"""Break-even, trailing and the operator's stop, as scripts on the bus: who moves the stop, when, and what keeps it where it is."""

from __future__ import annotations

from decimal import Decimal

import pytest

from bot.domain.messages import CloseRequest, MoveStopRequest
from bot.domain.orders import Order, OrderStatus, Trigger
from bot.domain.reading import OiDelta, Regime, Wall, Walls
from bot.domain.values import NS, Direction, RegimeLabel
from bot.trading.exits.protection import StopParams
from tests.build import BTC, NOW, FakeView, reading
from tests.trading.desks import Desks

LONG, SHORT = Direction.LONG, Direction.SHORT


def trending(direction: Direction = LONG) -> FakeView:
    sums = {"sum_100": 0.02 * direction.sign, "sum_12": 0.01 * direction.sign}
    regime = Regime(label=RegimeLabel.TREND, hurst=0.7, z=3.0, **sums)
    return FakeView(reading("regime", regime), reading("oi_delta_5m", OiDelta(pct=0.4)))


def ask_wall(price: float) -> Walls:
    wall = Wall(price=price, usd=30e6, first_seen_ns=NOW, venues=("binanceusdm",))
    return Walls(
        asks=(wall,), bids=(), ask_coverage_pct=5.0, bid_coverage_pct=5.0, institutional_usd=Decimal(25_000_000)
    )


def stop_of(desks: Desks) -> Decimal | None:
    position = desks.portfolio.position(BTC)
    assert position is not None
    return position.stop_price


def accept(desks: Desks) -> None:
    desks.report(desks.orders("stop")[-1], OrderStatus.ACK, command="amend")


# --- break-even ---


@pytest.mark.parametrize(
    ("direction", "true_trend", "of", "above", "at"),
    [
        (LONG, False, Trigger.LAST, True, "65325"),
        (SHORT, False, Trigger.LAST, False, "64675"),
        (LONG, True, Trigger.MARK, True, "65650"),
        (SHORT, True, Trigger.MARK, False, "64350"),
    ],
)
def test_break_even_waits_for_last_at_tier_1_or_in_true_trend_for_mark_at_one_r(
    direction: Direction, true_trend: bool, of: Trigger, above: bool, at: str
) -> None:
    desks = Desks(trending(direction) if true_trend else None)
    desks.open(direction)
    (watch,) = desks.watches.values()
    assert (watch.desk, watch.instrument, watch.of, watch.above, watch.price) == ("exits", BTC, of, above, Decimal(at))
    assert desks.event("POSITION_OPENED")["break_even"] == {"of": of, "price": at}


def test_tier_1_is_the_nominal_one_also_when_it_was_too_small_to_stand() -> None:
    desks = Desks()
    desks.open(quantity="0.004")
    assert 1 not in desks.plan.tiers
    assert next(iter(desks.watches.values())).price == Decimal(65325)


@pytest.mark.parametrize(("direction", "mark", "to"), [(LONG, 65325.0, "65065"), (SHORT, 64675.0, "64935")])
def test_the_touch_moves_the_stop_to_entry_and_fees(direction: Direction, mark: float, to: str) -> None:
    desks = Desks()
    desks.open(direction)
    old = stop_of(desks)
    desks.mark(mark).touch(str(mark))
    (amend,) = desks.amends("stop")
    assert (amend.stop_price, amend.close_position) == (Decimal(to), True)
    moved = desks.event("STOP_MOVED")
    assert (Decimal(moved["old_price"]), Decimal(moved["new_price"]), moved["reason"]) == (
        old,
        Decimal(to),
        "break_even",
    )
    assert stop_of(desks) == old  # until the venue has taken it
    accept(desks)
    assert stop_of(desks) == Decimal(to)
    assert desks.event("BREAK_EVEN")["stop_price"] == f"{to}.0"


def test_break_even_is_protection_and_does_not_wait_for_the_hold() -> None:
    desks = Desks(trending())
    desks.open()
    desks.at(60).mark(65650.0).touch("65650")
    assert [o.stop_price for o in desks.amends("stop")] == [Decimal(65065)]
    assert "EXIT_DEFERRED" not in desks.kinds()


def test_where_the_mark_is_beyond_break_even_the_old_stop_stays_until_the_mark_is_back() -> None:
    """Last spiked, the mark did not follow: a stop there would trigger at once."""
    desks = Desks()
    desks.open()
    desks.mark(65065.0).touch("65325")
    assert "BREAK_EVEN" in desks.kinds()
    desks.sample(1)
    assert not desks.amends("stop")
    desks.mark(65065.1).sample(2)
    assert [o.stop_price for o in desks.amends("stop")] == [Decimal(65065)]


def test_a_refused_move_leaves_the_old_stop_and_is_tried_again_later_not_every_second() -> None:
    desks = Desks()
    stop = desks.open()
    desks.mark(65325.0).touch("65325")
    tried: list[int] = []
    for second in range(1, 12):
        if len(desks.amends("stop")) > len(tried):
            tried.append(second)
            desks.report(stop, OrderStatus.REJECTED, command="amend", reason="try later")
        desks.sample(second)
    assert tried == [1, 2, 4, 8]  # 1, 2 and 4 seconds after the refusals
    assert stop_of(desks) == Decimal(64350)
    assert desks.told("STOP_REFUSED")[0] == {
        "position_id": desks.position_id,
        "price": "65065.0",
        "stop_price": "64350.0",
        "reason": "the venue: try later",
        "wanted_by": "break_even",
        "retry_s": 1,
    }


def test_one_amendment_of_the_stop_is_under_way_at_a_time() -> None:
    desks = Desks()
    desks.decide()
    entry = desks.orders("entry")[0]
    desks.fill(entry, "65000", "0.02")
    desks.fill(entry, "65100", "0.02")
    desks.report(entry, OrderStatus.FILLED)  # the mean of 65,050 asks for 64,399.5
    desks.report(desks.orders("stop")[0], OrderStatus.ACK)
    desks.mark(65400.0).touch("65375.3")
    assert [o.stop_price for o in desks.amends("stop")] == [Decimal("64399.5")]
    accept(desks)
    assert [o.stop_price for o in desks.amends("stop")] == [Decimal("64399.5"), Decimal("65115.1")]


def test_break_even_can_be_switched_off_and_ends_with_the_position() -> None:
    off = Desks(break_even=False)
    off.open()
    assert not off.watches
    assert off.event("POSITION_OPENED")["break_even"] is None
    desks = Desks()
    stop = desks.open()
    desks.fill(stop, "64350", "0.04")
    assert not desks.watches


def test_a_stop_that_is_placed_again_keeps_what_was_gained() -> None:
    desks = Desks()
    stop = desks.open()
    desks.mark(65325.0).touch("65325")
    accept(desks)
    desks.report(stop, OrderStatus.CANCELED, command="")
    assert desks.orders("stop")[-1].stop_price == Decimal(65065)


def test_what_waits_is_not_lost_with_the_stop_that_it_waits_for() -> None:
    desks = Desks()
    stop = desks.open()
    desks.mark(65000.0).touch("65325")
    assert desks.event("STOP_WAITS")["price"] == "65065.0"
    desks.report(stop, OrderStatus.CANCELED, command="")
    desks.report(desks.orders("stop")[-1], OrderStatus.ACK)
    desks.mark(65100.0).sample(1)
    assert [o.stop_price for o in desks.amends("stop")] == [Decimal(65065)]


def test_a_wish_that_is_no_gain_over_the_move_under_way_does_not_wait() -> None:
    desks = Desks()
    desks.open()
    desks.mark(65400.0).say(MoveStopRequest(instrument=BTC, price=Decimal(65100)))
    desks.touch("65325")
    assert "STOP_WAITS" not in desks.kinds()


# --- stops that follow volatility ---


def ranging(atr: float, view: FakeView | None = None) -> FakeView:
    view = view or FakeView()
    view.market(BTC).ranges[300, 14] = atr
    return view


def test_a_position_keeps_the_stop_distance_it_was_decided_with() -> None:
    desks = Desks(ranging(130.0), stop=StopParams(mode="atr"))  # 2 x 130 / 65,000 = 0.4 %
    desks.decide()
    entry = desks.orders("entry")[0]
    assert entry.stop_distance == Decimal("0.004")
    ranging(650.0, desks.view)
    desks.fill(entry, "65000", "0.04")
    desks.report(entry, OrderStatus.FILLED)
    assert desks.orders("stop")[0].stop_price == Decimal(64740)
    assert [t.price for t in desks.orders("tier")] == [Decimal(p) for p in ("65130", "65260", "65390", "65520")]
    assert desks.event("POSITION_ENTERED")["stop_fraction"] == "0.00400000"
    assert next(iter(desks.watches.values())).price == Decimal(65130)  # nominal Tier 1 is half an R


def test_in_true_trend_one_r_is_the_decided_distance() -> None:
    desks = Desks(ranging(130.0, trending()), stop=StopParams(mode="atr"))
    desks.open()
    assert next(iter(desks.watches.values())).price == Decimal(65260)


@pytest.mark.parametrize(("atr", "moved"), [(130.0, ["65234.7"]), (325.0, [])])
def test_the_room_a_target_needs_is_half_of_the_positions_own_stop(atr: float, moved: list[str]) -> None:
    """0.36 % of room: more than half of 0.4 %, less than half of 1 %."""
    desks = Desks(ranging(atr), stop=StopParams(mode="atr"))
    desks.open()
    desks.view.put(reading("walls", ask_wall(65300.0), source="own"))
    desks.sample(1)
    assert [str(o.price) for o in desks.amends("tier_4")] == moved


def test_a_target_whose_move_is_not_answered_is_not_moved_again() -> None:
    desks = Desks()
    desks.open()
    desks.view.put(reading("walls", ask_wall(66200.0), source="own"))
    desks.sample(1)
    desks.at(61)
    desks.view.put(reading("walls", ask_wall(66000.0), source="own", now_ns=desks.view.now_ns))
    desks.sample()
    assert len(desks.amends("tier_4")) == 1
    desks.report(desks.orders("tier_4")[0], OrderStatus.ACK, command="amend")
    desks.sample(62)
    assert len(desks.amends("tier_4")) == 2


# --- trailing ---


def trailing(view: FakeView | None = None) -> Desks:
    """A long from 65,000 whose stop follows three ranges of 100 USD behind the best mark."""
    desks = Desks(ranging(100.0, view), trailing=True, break_even=False)
    desks.open()
    return desks


def test_the_stop_follows_the_best_mark_and_never_goes_back() -> None:
    desks = trailing()
    for second, mark in ((1, 65400.0), (40, 65200.0), (80, 65600.0), (120, 65450.0)):
        desks.mark(mark).sample(second)
        if desks.plan.stop and desks.plan.stop.pending:
            accept(desks)
    assert [o.stop_price for o in desks.amends("stop")] == [Decimal(65100), Decimal(65300)]
    assert [m["reason"] for m in desks.told("STOP_MOVED")] == ["trailing", "trailing"]
    assert [t["best_price"] for t in desks.told("TRAIL_ADVANCED")] == ["65400.0", "65600.0"]


def test_a_trailing_stop_does_not_loosen_when_ranges_grow() -> None:
    desks = trailing()
    desks.mark(65400.0).sample(1)
    accept(desks)
    ranging(200.0, desks.view)
    desks.sample(60)
    assert stop_of(desks) == Decimal(65100)
    assert len(desks.amends("stop")) == 1


def test_ranges_that_shrink_a_little_do_not_make_it_flicker() -> None:
    desks = trailing()
    desks.mark(65400.0).sample(1)
    accept(desks)
    for second, atr in ((60, 99.0), (120, 90.0), (180, 89.0)):  # 3, 30 and 33 USD nearer; 5 bps are 32.55
        ranging(atr, desks.view)
        desks.sample(second)
    assert [o.stop_price for o in desks.amends("stop")] == [Decimal(65100), Decimal(65133)]


def test_the_best_price_goes_on_in_steps_of_5_bps() -> None:
    desks = trailing()
    for second, mark in ((1, 65032.4), (2, 65032.5), (3, 65065.0), (4, 65065.1)):
        desks.mark(mark).sample(second)
    assert [t["best_price"] for t in desks.told("TRAIL_ADVANCED")] == ["65032.5", "65065.1"]


def test_a_trail_that_is_no_tighter_than_the_stop_wants_nothing_in_a_force_hold() -> None:
    desks = trailing(trending())
    ranging(300.0, desks.view)  # 900 away, the stop is 650 away
    desks.sample(1)
    assert "EXIT_DEFERRED" not in desks.kinds()


@pytest.mark.parametrize(("second", "mark", "moves"), [(31, 65433.0, 2), (30.9, 65433.0, 1), (31, 65432.0, 1)])
def test_it_moves_at_most_once_in_30_seconds_and_by_5_bps(second: float, mark: float, moves: int) -> None:
    """5 bps of the stop at 65,100 are 32.55, of the best price at 65,400 32.70."""
    desks = trailing()
    desks.mark(65400.0).sample(1)
    accept(desks)
    desks.mark(mark).sample(second)
    assert len(desks.amends("stop")) == moves


def test_trailing_is_off_unless_asked_for_and_needs_a_range() -> None:
    off = Desks(ranging(100.0))
    off.open()
    off.mark(66000.0).sample(1)
    blind = Desks(trailing=True)
    blind.open()
    blind.mark(66000.0).sample(1)
    assert not off.amends("stop") and not blind.amends("stop")


def test_in_a_force_hold_trailing_is_deferred_once_and_goes_on_at_its_end() -> None:
    desks = trailing(trending())
    for second in (100, 200, 300):
        desks.mark(65400.0 + second).sample(second)
    assert not desks.amends("stop")
    assert [(d["wanted"], d["hold_remaining_s"]) for d in desks.told("EXIT_DEFERRED")] == [("trailing", 2600.0)]
    desks.fire(f"hold:{desks.position_id}")
    assert [o.stop_price for o in desks.amends("stop")] == [Decimal(65400)]


@pytest.mark.parametrize(("mark", "closes"), [(65200.0, True), (65200.1, False)])
def test_what_fell_through_the_trail_in_the_hold_is_closed_at_its_end_if_it_is_still_below(
    mark: float, closes: bool
) -> None:
    desks = trailing(trending())
    desks.mark(65500.0).sample(100)
    desks.mark(mark)
    desks.fire(f"hold:{desks.position_id}")
    assert [o.reason for o in desks.orders("close")] == (["trailing"] if closes else [])


# --- the operator ---


@pytest.mark.parametrize(
    ("direction", "price", "why"),
    [
        (LONG, "64350.1", ""),
        (LONG, "64350", "64350 is not tighter than the stop at 64350.0 (long)"),
        (LONG, "64000", "64000 is not tighter than the stop at 64350.0 (long)"),
        (LONG, "64999.9", ""),
        (LONG, "65000", "65000 would trigger at once: mark is 65000.0 (long)"),
        (LONG, "64350.15", "64350.15 is not a multiple of the tick 0.1"),
        (LONG, "NaN", "NaN is not a multiple of the tick 0.1"),
        (LONG, "Infinity", "Infinity is not a multiple of the tick 0.1"),
        (SHORT, "65649.9", ""),
        (SHORT, "65650", "65650 is not tighter than the stop at 65650.0 (short)"),
        (SHORT, "65000.1", ""),
        (SHORT, "65000", "65000 would trigger at once: mark is 65000.0 (short)"),
    ],
)
def test_the_operator_may_only_tighten_the_stop(direction: Direction, price: str, why: str) -> None:
    desks = Desks(trending(direction))  # in a force-hold too
    desks.open(direction)
    desks.say(MoveStopRequest(instrument=BTC, price=Decimal(price)))
    if why:
        assert desks.event("STOP_REFUSED")["reason"] == why
        assert not desks.amends("stop")
    else:
        assert [o.stop_price for o in desks.amends("stop")] == [Decimal(price)]
        assert desks.event("STOP_MOVED")["reason"] == "operator"


def test_what_the_venue_refuses_the_operator_is_told_and_not_tried_again() -> None:
    desks = Desks()
    stop = desks.open()
    desks.say(MoveStopRequest(instrument=BTC, price=Decimal(64900)))
    desks.report(stop, OrderStatus.REJECTED, command="amend", reason="would trigger immediately")
    desks.sample(60)
    assert len(desks.amends("stop")) == 1
    assert desks.event("STOP_REFUSED")["reason"] == "the venue: would trigger immediately"


def test_a_stop_cannot_be_moved_without_position_mark_or_stop() -> None:
    desks = Desks()
    request = MoveStopRequest(instrument=BTC, price=Decimal(64900))
    desks.say(request)
    assert desks.event("STOP_REFUSED")["reason"] == "no position is open"
    stop: Order = desks.open()
    desks.view.market(BTC).mark = None
    desks.say(request)
    assert desks.event("STOP_REFUSED")["reason"] == "no mark price to hold it against"
    desks.mark(64000.0).report(stop, OrderStatus.CANCELED, command="")
    desks.say(request)
    assert "there is no stop to move" in desks.event("STOP_REFUSED")["reason"]


def test_a_tighter_stop_of_the_operators_is_not_loosened_by_break_even() -> None:
    desks = Desks()
    desks.open()
    desks.mark(65400.0).say(MoveStopRequest(instrument=BTC, price=Decimal(65100)))
    accept(desks)
    desks.touch("65325")
    assert len(desks.amends("stop")) == 1
    assert stop_of(desks) == Decimal(65100)
    desks.say(CloseRequest(instrument=BTC))
    assert desks.timers == {}
    assert desks.view.now_ns < NOW + NS
