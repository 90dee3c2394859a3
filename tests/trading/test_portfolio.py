"""The account's money: what is realised when, funding, transfers, open risk, and what the limits are told of orders."""

from __future__ import annotations

from decimal import Decimal

import pytest

from bot.domain.messages import FlattenRequest, KillRequest, Message
from bot.domain.orders import CancelOrder, Funding, OrderStatus, Transfer
from bot.domain.values import NS, Direction
from bot.trading.margin import Bracket
from bot.trading.portfolio import Portfolio
from bot.trading.position import FUNDING_INTERVAL_NS
from tests.build import BTC, NOW, FakeView, instrument
from tests.trading.desks import Desks

LONG, SHORT = Direction.LONG, Direction.SHORT
ETH = instrument("ETHUSDT").id
DUE = (NOW // FUNDING_INTERVAL_NS + 1) * FUNDING_INTERVAL_NS
AFTER_S = (DUE - NOW) / NS


def funding(usd: str = "-1.3", due_ns: int = DUE) -> Funding:
    return Funding(
        instrument=BTC,
        due_ns=due_ns,
        rate=Decimal("0.0005"),
        mark=Decimal(65_000),
        quantity=Decimal("0.04"),
        usd=Decimal(usd),
    )


# --- realised and unrealised ----------------------------------------------------------------------------------------


def test_a_part_is_realised_against_the_mean_entry_and_the_last_part_takes_what_rounding_left() -> None:
    desks = Desks()
    desks.decide(quantity="0.03")
    entry = desks.orders("entry")[0]
    desks.fill(entry, "65000", "0.01")
    desks.fill(entry, "65000.1", "0.02")  # mean 65000.0666...
    desks.report(entry, OrderStatus.FILLED)
    stop, portfolio = desks.orders("stop")[0], desks.portfolio
    desks.view.market(BTC).mark = 65_010.0
    before = portfolio.equity_usd()
    desks.fill(stop, "65010", "0.01")
    desks.fill(stop, "65010", "0.01")
    assert portfolio.money.realised_usd == Decimal("0.09933333") * 2
    assert portfolio.unrealised_usd() == Decimal("0.298") - Decimal("0.09933333") * 2
    assert portfolio.equity_usd() == before
    desks.fill(stop, "65010", "0.01")
    assert portfolio.money.realised_usd == Decimal("0.298") == portfolio.wallet_usd - 10_000
    assert portfolio.unrealised_usd() == 0


# --- funding --------------------------------------------------------------------------------------------------------


def test_funding_is_booked_once_on_the_position_and_journaled() -> None:
    desks = Desks()
    desks.open()
    position_id = desks.position_id
    desks.at(AFTER_S)
    desks.say(funding(), funding())
    assert desks.portfolio.wallet_usd == Decimal("9998.7")
    assert desks.kinds().count("FUNDING") == 1
    assert desks.event("FUNDING") == {
        "position_id": position_id,
        "due_ns": DUE,
        "rate": "0.0005",
        "mark": "65000",
        "quantity": "0.04",
        "usd": "-1.3",
        "after_close": False,
        "funding_usd": "-1.3",
    }
    desks.fill(desks.orders("stop")[0], "65000", "0.04")
    closed = desks.event("POSITION_CLOSED")
    assert (closed["funding_usd"], Decimal(closed["pnl_usd"])) == ("-1.3", Decimal("-1.3"))
    assert desks.portfolio.equity_usd() == Decimal("9998.7")


def test_funding_reported_after_the_close_is_booked_on_what_closed() -> None:
    desks = Desks()
    desks.open()
    position_id = desks.position_id
    desks.at(AFTER_S - 30)
    desks.fill(desks.orders("stop")[0], "65000", "0.04")
    assert desks.event("POSITION_CLOSED")["funding_usd"] == "0"
    desks.at(AFTER_S)
    desks.say(funding())
    told = desks.event("FUNDING")
    assert (told["position_id"], told["after_close"], told["funding_usd"]) == (position_id, True, "-1.3")
    assert desks.portfolio.wallet_usd == Decimal("9998.7")


def test_funding_of_what_nobody_knows_is_money_all_the_same() -> None:
    desks = Desks()
    desks.say(funding("2"))
    assert desks.event("FUNDING")["position_id"] is None
    assert desks.portfolio.wallet_usd == 10_002


@pytest.mark.parametrize(
    ("reported", "held_until", "told"),
    [
        ([], AFTER_S - 1e-9, "0"),
        ([], AFTER_S, None),
        ([DUE], AFTER_S, "-1.3"),
        ([DUE], AFTER_S + 8 * 3600 - 1, "-1.3"),
        ([DUE], AFTER_S + 8 * 3600, None),  # the second one was not reported
        ([DUE, DUE + FUNDING_INTERVAL_NS], AFTER_S + 8 * 3600, "-2.6"),
        ([DUE - 4 * 3600 * NS], AFTER_S, None),  # another interval's time stands in for none of the usual ones
        ([DUE - 4 * 3600 * NS], AFTER_S - 1, "-1.3"),
    ],
)
def test_funding_is_unknown_when_a_usual_time_passed_that_nobody_reported(
    reported: list[int], held_until: float, told: str | None
) -> None:
    desks = Desks()
    desks.open()
    desks.say(*(funding(due_ns=due_ns) for due_ns in reported))
    desks.at(held_until)
    desks.fill(desks.orders("stop")[0], "65000", "0.04")
    assert desks.event("POSITION_CLOSED")["funding_usd"] == told


# --- transfers ------------------------------------------------------------------------------------------------------


def test_a_transfer_moves_the_wallet_and_what_losses_are_measured_from_once() -> None:
    desks = Desks()
    transfer = Transfer(transfer_id="T-1", usd=Decimal("-2500.5"))
    desks.say(transfer, transfer)
    portfolio = desks.portfolio
    assert (portfolio.wallet_usd, portfolio.day_start_usd, portfolio.peak_usd) == (Decimal("7499.5"),) * 3
    assert [event.data for event in desks.events] == [{"transfer_id": "T-1", "usd": "-2500.5"}]
    assert portfolio.money.realised_usd == 0


# --- open risk ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("direction", "mark", "stop", "usd"),
    # fee 0.05 % of the stop's price; 0.04 BTC; the planned stop is 1 % from 65 000
    [
        (LONG, 65_000.0, None, "27.287"),  # 650 + 32.175
        (LONG, 65_500.0, None, "47.287"),
        (LONG, 65_000.0, "64800", "9.296"),  # 200 + 32.4
        (LONG, 64_350.0, None, "1.287"),  # at the stop: the fee
        (LONG, 64_000.0, None, "0"),  # beyond it: less than nothing is nothing
        (SHORT, 65_000.0, None, "27.313"),  # 650 + 32.825
        (SHORT, 64_000.0, "65000", "41.3"),
    ],
)
def test_open_risk_is_from_mark_to_the_stop_with_the_fee(
    direction: Direction, mark: float, stop: str | None, usd: str
) -> None:
    desks = Desks(exit_fee="0.0005")
    desks.open(direction)
    position = desks.portfolio.position(BTC)
    assert position is not None
    position.stop_price = None if stop is None else Decimal(stop)
    desks.view.market(BTC).mark = mark
    assert desks.portfolio.open_risk_usd() == Decimal(usd)


def test_an_entry_on_its_way_is_at_risk_until_it_is_done() -> None:
    desks = Desks()
    desks.decide(quantity="0.04")
    order = desks.orders("entry")[0]
    price = order.price or Decimal(0)
    stop = price * Decimal("0.99")
    assert desks.portfolio.open_risk_usd() == Decimal("0.04") * (price - stop + (price + stop) * Decimal("0.0005"))
    desks.report(order, OrderStatus.EXPIRED)
    assert desks.portfolio.open_risk_usd() == 0


# --- liquidation ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("direction", list(Direction))
@pytest.mark.parametrize("partly_closed", [False, True])
def test_at_the_liquidation_price_equity_is_the_maintenance_margin_of_everything(
    direction: Direction, partly_closed: bool
) -> None:
    desks = Desks(FakeView(instruments=[instrument(), instrument("ETHUSDT")]))
    desks.view.market(ETH).mark = 64_000.0
    desks.decide(LONG, "0.02", instrument=ETH)
    desks.fill(desks.orders("entry")[-1], "65000", "0.02", fee="0.65")
    desks.decide(direction, "0.03")
    entry = desks.orders("entry")[-1]
    desks.fill(entry, "65000", "0.03", fee="0.975")
    portfolio = desks.portfolio
    portfolio.book_transfer(Transfer(transfer_id="out", usd=Decimal(-9000)))
    position = portfolio.position(BTC)
    assert position is not None
    if partly_closed:
        desks.fill(desks.orders("stop")[-1], "65200", "0.01", fee="0.326")
    price = portfolio.liquidation_price(position, {BTC: (Bracket(None, Decimal("0.05")),)})
    assert price is not None
    unrealised = position.unrealised_usd(price)
    maintenance = position.quantity * price * Decimal("0.05") + Decimal("0.02") * 64_000 * Decimal("0.004")
    equity = portfolio.wallet_usd + unrealised - 20  # 0.02 coins of the other lost 1000 each
    assert equity == pytest.approx(maintenance, abs=Decimal("1e-15"))


# --- what is exposed, and how many orders were sent -----------------------------------------------------------------


def test_exposed_are_positions_and_entries_of_one_direction() -> None:
    desks = Desks()
    desks.open(SHORT)
    assert (desks.portfolio.exposed(SHORT), desks.portfolio.exposed(LONG)) == ([BTC], [])
    desks.fill(desks.orders("stop")[0], "65000", "0.04")
    desks.decide(LONG)
    assert (desks.portfolio.exposed(SHORT), desks.portfolio.exposed(LONG)) == ([], [BTC])


def test_orders_of_the_last_minute_are_commands_of_every_leg_and_kind() -> None:
    desks = Desks()
    desks.open()  # entry, stop, four tiers
    portfolio = desks.portfolio
    assert portfolio.orders_last_minute(NOW) == 6
    desks.at(30)
    desks.fill(desks.orders("stop")[0], "65000", "0.04")  # four cancels
    assert portfolio.orders_last_minute(NOW + 60 * NS - 1) == 10
    assert portfolio.orders_last_minute(NOW + 60 * NS) == 4
    assert portfolio.orders_last_minute(NOW + 90 * NS) == 0
    portfolio.order_sent(NOW + 90 * NS)
    assert len(portfolio._sent_ns) == 1


def test_a_position_without_a_mark_counts_at_its_entry_and_is_told_apart() -> None:
    portfolio = Portfolio(Decimal(10_000), lambda instrument: None)
    assert portfolio.valued()
    desks = Desks()
    desks.open()
    desks.portfolio._mark = lambda instrument: None
    assert not desks.portfolio.valued()
    assert desks.portfolio.equity_usd() == 10_000


# --- the desk's last look -------------------------------------------------------------------------------------------


def test_an_order_that_breaks_a_limit_by_now_does_not_leave_and_the_gates_name_says_why() -> None:
    desks = Desks()
    desks.view.market(BTC).last = 63_000.0
    idea = desks.decide()
    assert not desks.orders()
    assert not desks.portfolio.pending(BTC)
    (event,) = desks.events
    assert (event.kind, event.source, event.instrument) == ("RISK_LIMIT_BLOCK", "intelligence_gate", BTC)
    assert (event.corr, event.because) == (idea.signal_id, f"decision:{idea.signal_id}")
    assert event.data["reason"] == "limit price 65065.5 is over 2 % from the last trade 63000.0"
    assert {key: event.data[key] for key in ("signal_id", "direction", "value", "threshold", "last_look")} == {
        "signal_id": "S1",
        "direction": "long",
        "value": "3.2786",
        "threshold": "2",
        "last_look": True,
    }


@pytest.mark.parametrize("request_", [KillRequest(), FlattenRequest()])
def test_a_kill_cancels_entries_on_their_way_and_keeps_stops(request_: Message) -> None:
    desks = Desks()
    desks.decide()
    desks.say(request_)
    assert desks.canceled() == ["entry"]
    held = Desks()
    held.open()
    held.say(KillRequest())
    assert [c for c in held.commands if isinstance(c, CancelOrder)] == []
