"""Entry rule, fills to positions, money, and what a closed position says. A script: messages in, commands and events out."""

from __future__ import annotations

from decimal import Decimal

import pytest

from bot.domain.messages import Adopt, CloseRequest, MoveStopRequest, StopRequest
from bot.domain.orders import CancelOrder, Fill, OrderStatus, OrderType, TimeInForce
from bot.domain.reading import MaxPain, OiDelta, Regime, Wall, Walls
from bot.domain.values import NS, Direction, RegimeLabel, Side
from tests.build import BTC, NOW, FakeView, reading
from tests.trading.desks import Desks


@pytest.mark.parametrize(
    ("direction", "side", "price"),
    [(Direction.LONG, Side.BUY, "65065.5"), (Direction.SHORT, Side.SELL, "64934.6")],
)
def test_an_entry_is_one_ioc_limit_ten_bps_beyond_the_opposite_best(
    direction: Direction, side: Side, price: str
) -> None:
    # Best 64999.5 / 65000.5; the buy limit rounds down, the sell limit up: never more is paid than asked for.
    desks = Desks()
    desks.decide(direction)
    (order,) = desks.orders()
    assert (order.side, order.type, order.tif, order.price) == (side, OrderType.LIMIT, TimeInForce.IOC, Decimal(price))
    assert order.quantity == Decimal("0.04")
    assert desks.portfolio.pending(BTC)


@pytest.mark.parametrize(("age_s", "expired"), [(10.0, False), (10.001, True)])
def test_a_signal_expires_after_ten_seconds(age_s: float, expired: bool) -> None:
    desks = Desks()
    idea_ns = NOW
    desks.at(age_s)
    desks.decide(price=Decimal(65000))
    desks.events.clear()
    desks.commands.clear()
    late = Desks().at(age_s)
    late.say(_decision_at(idea_ns))
    assert bool(late.orders()) is not expired
    assert ("SIGNAL_EXPIRED" in late.kinds()) is expired


def _decision_at(ts_ns: int):  # type: ignore[no-untyped-def]
    from bot.domain.values import Decision
    from tests.build import signal

    return Decision(
        signal=signal(ts_ns=ts_ns),
        allowed=True,
        blocker=None,
        verdicts=(),
        multiplier=1.0,
        quantity=Decimal("0.04"),
        stop_distance=Decimal("0.01"),
    )


@pytest.mark.parametrize(
    ("reference", "expired"),
    # the ask is 65000.5: 0.3 % above 64,806.08 and 0.3 % under 65,196.09
    [("64806.0", True), ("64806.1", False), ("65196.0", False), ("65196.1", True)],
)
def test_a_signal_expires_when_price_moved_more_than_three_tenths_of_a_percent(reference: str, expired: bool) -> None:
    desks = Desks()
    desks.decide(price=Decimal(reference))
    assert ("SIGNAL_EXPIRED" in desks.kinds()) is expired
    assert bool(desks.orders()) is not expired


def test_without_a_book_a_signal_expires_instead_of_guessing_a_price() -> None:
    desks = Desks()
    desks.view.market(BTC).ask = None
    desks.decide()
    assert desks.event("SIGNAL_EXPIRED")["reason"] == "no order book"
    assert not desks.orders()


def test_entry_price_is_the_mean_of_the_fills_and_a_repeated_fill_counts_once() -> None:
    desks = Desks()
    desks.decide(quantity="0.03")
    entry = desks.orders("entry")[0]
    desks.fill(entry, "65000", "0.01", fee="0.325", trade_id="A")
    desks.fill(entry, "65003", "0.02", fee="0.65", trade_id="B")
    desks.fill(entry, "65003", "0.02", fee="0.65", trade_id="B")
    desks.report(entry, OrderStatus.FILLED)
    assert desks.event("POSITION_OPENED")["entry_price"] == "65002"
    assert desks.event("POSITION_OPENED")["quantity"] == "0.03"
    assert desks.portfolio.wallet_usd == Decimal("9999.025")


def test_an_entry_that_fills_nothing_leaves_nothing_behind() -> None:
    desks = Desks()
    desks.decide()
    desks.report(desks.orders("entry")[0], OrderStatus.EXPIRED)
    assert not desks.portfolio.pending(BTC)
    assert desks.portfolio.position(BTC) is None
    assert "POSITION_OPENED" not in desks.kinds()


@pytest.mark.parametrize(
    ("direction", "exit_price", "pnl"),
    # 0.04 x 100 = 4 USD less fees of 1.3 + 1.3
    [(Direction.LONG, "65100", "1.4"), (Direction.LONG, "64900", "-6.6"), (Direction.SHORT, "64900", "1.4")],
)
def test_a_closed_position_tells_profit_after_fees_in_usd_and_r(
    direction: Direction, exit_price: str, pnl: str
) -> None:
    desks = Desks()
    desks.decide(direction)
    entry = desks.orders("entry")[0]
    desks.fill(entry, "65000", "0.04", fee="1.3")
    desks.report(entry, OrderStatus.FILLED)
    desks.at(90)
    desks.fill(desks.orders("stop")[0], exit_price, "0.04", fee="1.3")
    closed = desks.event("POSITION_CLOSED")
    assert Decimal(closed["pnl_usd"]) == Decimal(pnl)
    assert closed["pnl_r"] == pytest.approx(float(pnl) / 26.0, abs=1e-4)  # 1 R = 0.04 x 65,000 x 1 %
    assert (closed["reason"], closed["fees_usd"], closed["held_s"]) == ("stop", "2.6", 90.0)
    assert desks.portfolio.equity_usd() == Decimal(10_000) + Decimal(pnl)
    assert desks.portfolio.position(BTC) is None
    assert desks.portfolio.last_close_ns(BTC) == NOW + 90 * NS
    assert desks.portfolio.last_stop_ns(BTC, direction) == NOW + 90 * NS
    assert desks.portfolio.last_stop_ns(BTC, direction.opposite) is None


def test_equity_follows_the_mark_to_the_last_digit_also_when_the_mean_price_has_no_end() -> None:
    desks = Desks()
    desks.decide(quantity="0.03")
    entry = desks.orders("entry")[0]
    desks.fill(entry, "65000", "0.01")
    desks.fill(entry, "65000.1", "0.02")  # mean 65000.0666...
    desks.report(entry, OrderStatus.FILLED)
    desks.view.market(BTC).mark = 65010.0
    assert desks.portfolio.equity_usd() == Decimal(10_000) + Decimal("0.01") * 10 + Decimal("0.02") * Decimal("9.9")


def test_funding_is_unknown_not_zero_when_a_funding_time_passed_while_open() -> None:
    desks = Desks()
    stop = desks.open()
    desks.at(8 * 3600)
    desks.fill(stop, "65000", "0.04")
    assert desks.event("POSITION_CLOSED")["funding_usd"] is None


def test_entries_of_the_day_are_counted_and_a_new_utc_day_starts_over() -> None:
    desks = Desks()
    desks.open()
    assert (desks.portfolio.entries_today(NOW, BTC), desks.portfolio.entries_today(NOW)) == (1, 1)
    assert desks.portfolio.entries_today(NOW + 86_400 * NS) == 0


def test_a_clean_stop_cancels_the_entry_that_is_on_its_way_and_nothing_else() -> None:
    desks = Desks()
    desks.decide()
    desks.say(StopRequest(reason="tape ended"))
    assert [c.order.leg for c in desks.commands if isinstance(c, CancelOrder)] == ["entry"]


def test_a_refused_cancel_of_a_filled_entry_changes_nothing() -> None:
    desks = Desks()
    desks.open()
    desks.report(desks.orders("entry")[0], OrderStatus.REJECTED, command="cancel", reason="order is finished")
    assert desks.kinds().count("POSITION_OPENED") == 1
    assert len(desks.orders("tier")) == 4


def test_a_report_about_an_order_nobody_knows_is_a_discrepancy_not_a_crash() -> None:
    desks = Desks()
    stop = desks.open()
    stranger = type(stop)(**{f: getattr(stop, f) for f in stop.__struct_fields__} | {"client_order_id": "STRANGER"})
    desks.fill(stranger, "65000", "0.01")
    desks.report(stranger, OrderStatus.ACK)
    assert desks.kinds().count("DISCREPANCY") == 2
    assert desks.portfolio.position(BTC) is not None


# --- frozen at the first fill ---


def test_what_is_frozen_at_the_first_fill_is_journaled_then() -> None:
    wall = Wall(price=66200.0, usd=30e6, first_seen_ns=NOW, venues=("binanceusdm",))
    walls = Walls(
        asks=(wall,), bids=(), ask_coverage_pct=5.0, bid_coverage_pct=5.0, institutional_usd=Decimal(25_000_000)
    )
    regime = Regime(label=RegimeLabel.TREND, hurst=0.7, z=3.0, sum_100=0.02, sum_12=-0.01)
    pain = MaxPain(price=Decimal(66400), expiry="2025-10-10", notional_usd=Decimal(10**9))
    desks = Desks(
        FakeView(
            reading("regime", regime),
            reading("oi_delta_5m", OiDelta(pct=0.4)),
            reading("max_pain", pain, source="deribit"),
            reading("walls", walls, partial=True, source="own"),
        )
    )
    desks.decide()
    desks.at(2).fill(desks.orders("entry")[0], "65000.5", "0.01")  # a part of it
    entered = desks.event("POSITION_ENTERED")
    position = desks.portfolio.position(BTC)
    assert position is not None
    assert entered.pop("position_id") == position.position_id
    assert entered == {
        "signal_id": "S1",
        "direction": "long",
        "first_price": "65000.5",
        "explored": False,
        "opened_ns": NOW + 2 * NS,
        "stop_fraction": "0.01",
        "regime": "TREND",
        "hurst": 0.7,
        "hurst_z": 3.0,
        "oi_delta_5m_pct": 0.4,
        "true_trend": False,
        "true_trend_reason": "the last 12 returns add up to -0.01, which does not point long",
        "max_pain_at_entry": "66400",
        "max_pain_expiry": "2025-10-10",
        "max_pain_source": "deribit",
        "max_pain_gap_pct": 2.1077,
        "magnet": "MAGNET-WITH",
        "min_hold_s": 0,
        "walls": {
            "state": "PARTIAL",
            "source": "own",
            "asks": [{"price": "66200.0", "usd": "30000000.0"}],
            "bids": [],
        },
    }
    desks.at(3).fill(desks.orders("entry")[0], "65001", "0.01")
    assert desks.kinds().count("POSITION_ENTERED") == 1


# --- adopted ---


def adopt(direction: Direction = Direction.LONG, **of: Decimal) -> Desks:
    desks = Desks(trailing=True, time_stop_s=60, liquidation=lambda position: Decimal(64900))
    size = {"quantity": Decimal("0.05"), "entry_price": Decimal(60000)} | of
    desks.say(Adopt(instrument=BTC, direction=direction, **size))
    return desks


@pytest.mark.parametrize(
    ("direction", "resting", "stop"),
    # 1 % from a mark of 65,000, or what rests already if that is tighter
    [
        (Direction.LONG, None, "64350"),
        (Direction.LONG, "64349.9", "64350"),
        (Direction.LONG, "64350.1", "64350.1"),
        (Direction.SHORT, None, "65650"),
        (Direction.SHORT, "65650.1", "65650"),
        (Direction.SHORT, "65649.9", "65649.9"),
    ],
)
def test_an_adopted_position_gets_a_stop_and_nothing_else(direction: Direction, resting: str | None, stop: str) -> None:
    desks = adopt(direction, **({} if resting is None else {"stop_price": Decimal(resting)}))
    (order,) = desks.orders()
    assert (order.leg, order.side, order.stop_price) == ("stop", direction.exit_side, Decimal(stop))
    assert order.close_position
    told = desks.event("POSITION_ADOPTED")
    assert (told["quantity"], told["entry_price"], told["mark"]) == ("0.05", "60000", "65000.0")
    assert (Decimal(told["stop_price"]), told["resting_stop_price"], told["tiers"]) == (Decimal(stop), resting, [])
    assert list(desks.timers) == [f"protect:{desks.position_id}"]
    assert not desks.watches


def test_nothing_but_stop_and_operator_closes_an_adopted_position() -> None:
    desks = adopt()
    desks.report(desks.orders("stop")[0], OrderStatus.ACK)
    desks.view.market(BTC).ranges[300, 14] = 10.0
    desks.decide(Direction.SHORT, reversal=True)
    desks.mark(64901.0).sample(100)
    desks.mark(66000.0).sample(200)
    assert not desks.orders("close") and not desks.amends()
    desks.say(MoveStopRequest(instrument=BTC, price=Decimal(65500)))
    assert [o.stop_price for o in desks.amends("stop")] == [Decimal(65500)]
    desks.say(CloseRequest(instrument=BTC))
    desks.fill(desks.orders("close")[0], "66000", "0.05")
    closed = desks.event("POSITION_CLOSED")
    assert (closed["reason"], closed["adopted"], closed["pnl_usd"]) == ("operator", True, "300.00")
    assert desks.portfolio.wallet_usd == Decimal("10300")


def test_an_adopted_position_whose_stop_is_not_seen_is_left_like_any_other() -> None:
    desks = adopt()
    desks.fire(f"protect:{desks.position_id}")
    assert [order.reason for order in desks.orders("close")] == ["unprotected"]


def test_without_a_mark_an_adopted_position_is_protected_from_the_last_price() -> None:
    desks = Desks()
    desks.view.market(BTC).mark, desks.view.market(BTC).last = None, 64000.0
    desks.say(Adopt(instrument=BTC, direction=Direction.LONG, quantity=Decimal("0.05"), entry_price=Decimal(60000)))
    assert desks.orders("stop")[0].stop_price == Decimal(63360)


def test_what_is_ours_already_is_not_adopted_on_top() -> None:
    desks = Desks()
    desks.open()
    before = desks.position_id
    desks.say(Adopt(instrument=BTC, direction=Direction.LONG, quantity=Decimal(1), entry_price=Decimal(60000)))
    assert desks.position_id == before
    assert "to be adopted" in desks.event("DISCREPANCY")["reason"]


# --- the stop that protects, and the venue's own doing ---


def test_a_positions_stop_is_what_the_venue_last_accepted() -> None:
    desks = Desks()
    desks.decide()
    entry = desks.orders("entry")[0]
    desks.fill(entry, "65000", "0.04")
    desks.report(entry, OrderStatus.FILLED)
    position = desks.portfolio.position(BTC)
    stop = desks.orders("stop")[0]
    assert position is not None and position.stop_price is None
    desks.report(stop, OrderStatus.ACK)
    assert position.stop_price == Decimal(64350)
    desks.say(MoveStopRequest(instrument=BTC, price=Decimal(64900)))
    assert position.stop_price == Decimal(64350)
    desks.report(stop, OrderStatus.REJECTED, command="amend", reason="no")
    assert position.stop_price == Decimal(64350)
    desks.report(stop, OrderStatus.REJECTED, command="cancel", reason="no")
    assert position.stop_price == Decimal(64350)
    desks.report(stop, OrderStatus.EXPIRED, command="")
    assert position.stop_price is None


def liquidate(desks: Desks, quantity: str, trade_id: str, order_id: str = "autoclose-1") -> None:
    desks.say(
        Fill(
            client_order_id=order_id,
            instrument=BTC,
            trade_id=trade_id,
            side=Side.SELL,
            price=Decimal(61000),
            quantity=Decimal(quantity),
            fee=Decimal("1.5"),
            fee_asset="USDT",
            maker=False,
            liquidation=True,
        )
    )


def test_a_liquidation_is_booked_with_its_own_cause_and_asks_once_for_a_halt() -> None:
    desks = Desks()
    desks.open()
    liquidate(desks, "0.01", "L1")
    assert desks.plan.in_tiers() == Decimal("0.03")
    liquidate(desks, "0.03", "L2")
    liquidate(desks, "0.03", "L2")
    closed = desks.event("POSITION_CLOSED")
    assert (closed["reason"], closed["fees_usd"], closed["exit_price"]) == ("liquidation", "3.0", "61000")
    assert desks.portfolio.position(BTC) is None
    assert [kill.reason for kill in desks.kills] == ["liquidation of BTC/USDT:USDT"]
    assert "stop" in desks.canceled()
