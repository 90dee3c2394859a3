"""Money of the exchange's accounts against values that others published: fees, funding, margin, liquidation."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from bot.sim.exchange.ledger import Income
from bot.sim.exchange.notices import MarginCall, MoneyNotice, OrderNotice
from bot.sim.exchange.records import Kind
from bot.sim.server.private_wire import account as account_answer
from bot.sim.server.private_wire import brackets, position_risk
from bot.trading.costs import FeeParams
from bot.trading.margin import Bracket, liquidation_price
from tests.sim.exchange.floor import BTC, ETH, START_MS, Floor, check_books

D = Decimal
PAPER = json.loads((Path(__file__).parents[2] / "fixtures" / "quant" / "paper.json").read_text())
FREE = FeeParams(maker_pct=D(0), taker_pct=D(0))


def exactly(value: float) -> Decimal:
    return D(str(value))


def at(floor: Floor, price: float, size: float = 1000.0) -> None:
    """A book with this price on both of its sides' best levels, as far as a tick allows; mark there too."""
    floor.show(BTC, [(price, size)], [(round(price + 0.1, 1), size)])
    floor.mark(BTC, price)


def test_fees_are_those_of_the_tier() -> None:
    floor = Floor(usd=10_000_000)
    for each in PAPER["fees"]:
        maker = each["rate"] == 0.0002
        at(floor, each["price"] - 0.1 if not maker else each["price"])
        before = len(floor.accounts[0].trades)
        if maker:
            floor.order(0, "buy", each["qty"], each["price"])
            floor.trade(BTC, each["price"] - 0.1, 5, buys=False)
        else:
            floor.order(0, "buy", each["qty"])
        trade = floor.accounts[0].trades[before]
        assert (trade.price, trade.maker, trade.fee) == (exactly(each["price"]), maker, exactly(each["fee"]))
        floor.pass_s(2)


def test_a_taker_pays_each_level() -> None:
    for each in PAPER["l2_walk"]:
        floor = Floor(usd=10_000_000)
        floor.show(BTC, [(each["levels"][0][0] - 1, 1.0)], [tuple(level) for level in each["levels"]])
        floor.mark(BTC, each["levels"][0][0])
        order = floor.order(0, each["side"], each["qty"])
        assert order.filled == exactly(each["filled"]) and order.average == exactly(each["vwap"])


@pytest.mark.parametrize("case", PAPER["funding_payment"])
def test_funding_is_paid_on_what_is_held(case: dict[str, Any]) -> None:
    floor = Floor(usd=10_000_000)
    at(floor, case["mark"])
    floor.order(0, "buy" if case["side"] > 0 else "sell", case["qty"])
    account = floor.accounts[0]
    floor.mark(BTC, case["mark"], case["rate"], START_MS + 1_000)
    floor.pass_s(1)
    floor.told.clear()
    floor.mark(BTC, case["mark"], 0.5, START_MS + 28_801_000)  # the rate to come is not the one that is due
    assert [each.amount for each in account.ledger.entries() if each.kind is Income.FUNDING_FEE] == [
        exactly(case["cash"])
    ]
    (notice,) = [notice for name, notice in floor.told if name == "a"]
    assert isinstance(notice, MoneyNotice)
    assert (notice.reason, notice.positions, notice.change) == ("FUNDING_FEE", (), exactly(case["cash"]))
    floor.mark(BTC, case["mark"], 0.5, START_MS + 28_801_000)
    assert sum(each.kind is Income.FUNDING_FEE for each in account.ledger.entries()) == 1


@pytest.mark.parametrize("case", PAPER["liq_tiered"])
@pytest.mark.parametrize("isolated", [False, True])
def test_the_liquidation_price_is_the_published_one_and_is_where_it_happens(
    case: dict[str, Any], isolated: bool
) -> None:
    """With brackets of 2021-03-18, as the fixture tells; without fees, as the formula is."""
    floor = Floor(usd="100000" if isolated else exactly(case["WB"]), accounts=1, fees=FREE)
    account, long = floor.accounts[0], case["side"] > 0
    at(floor, case["EP"] - 0.1 if long else case["EP"])
    floor.core.settings.set_leverage(account, BTC, 10)
    if isolated:
        floor.core.settings.set_isolated(account, BTC, True)
    floor.order(0, "buy" if long else "sell", case["Q"])
    position = account.position(BTC)
    if isolated:
        position.margin = exactly(case["WB"])  # as if margin had been added or taken
    assert position.entry == exactly(case["EP"])
    assert account.liquidation_price(position) == pytest.approx(exactly(case["lp"]), abs=D("0.000001"))
    assert float(position_risk(account, position)["liquidationPrice"]) == pytest.approx(case["lp"])
    closer, beyond = (case["lp"] + 0.01, case["lp"] - 0.01) if long else (case["lp"] - 0.01, case["lp"] + 0.01)
    floor.pass_s(2)
    floor.mark(BTC, closer)
    assert position.quantity and any(isinstance(notice, MarginCall) for _, notice in floor.told)
    floor.mark(BTC, beyond)
    assert not position.quantity
    check_books(account)


@pytest.mark.parametrize("case", PAPER["liq_single_formula_published"])
def test_published_examples_of_one_formula(case: dict[str, Any]) -> None:
    """Binance's own example with several positions; what the others have is given, so the formula alone is asked."""
    wallet, maintenance, unrealised, deduction, side, quantity, entry, rate = (
        exactly(each) for each in case["args_WB_TMM_UPNL_cum_side_Q_EP_MMR"]
    )
    price = liquidation_price(
        wallet,
        int(side),
        quantity,
        entry,
        [Bracket(None, rate, deduction)],
        other_maintenance_usd=maintenance,
        other_unrealised_usd=unrealised,
    )
    assert price == pytest.approx(exactly(case["published"]), abs=D("0.01"))


def test_brackets_are_the_dated_ones() -> None:
    told = brackets(BTC)["brackets"]
    assert [(row["notionalCap"], row["maintMarginRatio"], row["cum"]) for row in told] == [
        (row["cap_usdt"], row["mmr"], row["cum"]) for row in PAPER["tiers_binance_btcusdt_2021_03_18"]
    ]
    assert [row["initialLeverage"] for row in told][:3] == [125, 100, 50]


def test_parts_of_a_position_realise_what_the_whole_earned() -> None:
    floor = Floor(fees=FREE)
    account = floor.accounts[0]
    for quantity, price in ((D(1), 60_000), (D("0.7"), 60_001), (D("1.3"), 59_999)):
        at(floor, float(price) - 0.1)
        floor.order(0, "buy", quantity)
        floor.pass_s(2)
    entry = account.position(BTC).entry
    assert entry == (60_000 + D("0.7") * 60_001 + D("1.3") * 59_999) / 3
    for part in ("0.001", "0.999", "2"):
        at(floor, 60_500)
        floor.order(0, "sell", part)
        check_books(account)
        floor.pass_s(2)
    assert account.wallet == 100_000 + 3 * 60_500 - (60_000 + D("0.7") * 60_001 + D("1.3") * 59_999)


def test_an_isolated_position_risks_its_own_margin_only() -> None:
    floor = Floor(fees=FREE)
    account = floor.accounts[0]
    floor.core.settings.set_isolated(account, BTC, True)
    at(floor, 60_000)
    floor.order(0, "sell", 1)  # at 60,000
    assert account.position(BTC).margin == 3_000 and account.cross_wallet == account.available == 97_000
    floor.pass_s(2)
    at(floor, 62_900, 0.25)
    assert account.position(BTC).quantity == 0
    # all of its margin, but for what the book gave better than the bankruptcy price of 63,000, which the fee then took
    assert account.wallet == pytest.approx(D(97_000), abs=D("30"))
    check_books(account)


def test_a_liquidation_cancels_sells_and_is_told_as_the_venues_own() -> None:
    floor = Floor(usd=3_100, accounts=2)
    account = floor.accounts[0]
    at(floor, 60_000)
    floor.order(0, "buy", 1)
    resting = floor.order(0, "sell", "0.001", 61_000)
    floor.pass_s(2)
    floor.told.clear()
    at(floor, 57_100)
    assert resting.status == "CANCELED" and account.position(BTC).quantity == 0
    forced = [order for order in account.orders.values() if order.forced]
    assert forced[0].client_id.startswith("autoclose-") and forced[0].status == "FILLED"
    executions = [notice.execution for _, notice in floor.told if isinstance(notice, OrderNotice)]
    assert executions == ["CANCELED", "NEW", "CALCULATED"]
    kinds = [each.kind for each in account.ledger.entries()]
    assert Income.INSURANCE_CLEAR in kinds and account.wallet >= 0
    assert floor.order(1, "buy", "0.01").status == "FILLED"


def test_all_cross_positions_go_together() -> None:
    floor = Floor(usd=4_000)
    floor.order(0, "buy", 1)
    floor.order(0, "buy", 5, symbol=ETH)
    floor.pass_s(2)
    floor.show(ETH, [(2_999.0, 100.0)], [(3_001.0, 100.0)])
    at(floor, 56_300)
    account = floor.accounts[0]
    assert not account.held() and account.wallet >= 0
    check_books(account)


def test_what_the_book_does_not_take_the_fund_does_as_long_as_it_can() -> None:
    floor = Floor(usd=3_100, fund=1_000_000)
    at(floor, 60_000)
    floor.order(0, "buy", 1)
    floor.pass_s(2)
    before = floor.liquidator.fund_usd
    floor.show(BTC, [(50_000.0, 100.0)], [(57_000.0, 1.0)])  # nobody buys near
    floor.mark(BTC, 56_000)
    account = floor.accounts[0]
    assert account.position(BTC).quantity == 0 and 0 <= account.wallet < 40
    assert floor.liquidator.fund_usd == pytest.approx(
        before - D(930), abs=D(40)
    )  # bankrupt at about 56,930, mark 56,000
    check_books(account)


def test_without_a_fund_the_other_side_is_deleveraged_the_most_leveraged_winner_first() -> None:
    floor = Floor(usd=10_000, accounts=3, fund=0)
    long, low, high = floor.accounts
    floor.core.settings.set_leverage(low, BTC, 10)
    floor.core.settings.set_leverage(high, BTC, 50)
    long.deposit(floor.ms, D(-6_900))
    at(floor, 60_000)
    floor.order(0, "buy", 1)
    floor.pass_s(2)
    floor.order(1, "sell", "0.6")
    floor.order(2, "sell", "0.6")
    floor.show(BTC, [(50_000.0, 100.0)], [(57_000.0, 1.0)])
    floor.mark(BTC, 56_000)
    assert long.position(BTC).quantity == 0
    assert (high.position(BTC).quantity, low.position(BTC).quantity) == (D(0), D("-0.2"))
    assert [each.client_id[:14] for each in high.orders.values() if each.forced] == ["adl_autoclose-"]
    for account in floor.accounts:
        check_books(account)


def test_the_account_tells_what_is_free() -> None:
    floor = Floor()
    floor.order(0, "buy", 1, 59_000)
    floor.algo(0, "sell", Kind.STOP_MARKET, 1, trigger_price=50_000)
    told = account_answer(floor.accounts[0], floor.ms)
    assert told["totalOpenOrderInitialMargin"] == "2950.00000000" == told["totalInitialMargin"]
    assert told["availableBalance"] == "97050.00000000" and told["totalWalletBalance"] == "100000.00000000"
    floor.order(0, "buy", 1, symbol=ETH)
    told = account_answer(floor.accounts[0], floor.ms)
    assert [row["symbol"] for row in told["positions"]] == [BTC, ETH]
    assert D(told["totalMarginBalance"]) == floor.accounts[0].wallet - 1  # bought a dollar over mark


def test_an_isolated_position_pays_and_gets_its_funding_itself() -> None:
    floor = Floor(fees=FREE)
    account = floor.accounts[0]
    floor.core.settings.set_isolated(account, BTC, True)
    at(floor, 60_000)
    floor.order(0, "sell", 1)
    floor.mark(BTC, 60_000, 0.001, START_MS + 1_000)
    floor.pass_s(1)
    floor.told.clear()
    floor.mark(BTC, 60_000, 0.001, START_MS + 28_801_000)
    assert (account.position(BTC).margin, account.cross_wallet, account.wallet) == (D(3_060), D(97_000), D(100_060))
    (notice,) = [notice for name, notice in floor.told if name == "a"]
    assert isinstance(notice, MoneyNotice) and [each.margin for each in notice.positions] == [D(3_060)]
