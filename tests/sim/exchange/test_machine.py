"""Random sessions of several accounts on one market: whatever they and the market do, the books balance to the last digit."""

from __future__ import annotations

from decimal import Decimal
from random import Random
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from bot.sim.exchange.records import Kind, OrderRecord, PositionSide, SelfTrade, Tif, Working
from bot.sim.refusals import Refused
from tests.sim.exchange.floor import BTC, ETH, Floor, check_books

WHO, SIDES, SYMBOLS = st.integers(0, 2), st.sampled_from(["buy", "sell"]), st.sampled_from([BTC, ETH])
LOTS = st.integers(1, 40_000).map(lambda lots: Decimal(lots) / 1000)
LEGS = st.sampled_from([PositionSide.LONG, PositionSide.SHORT])
AWAY = st.integers(-40, 40)  # from mark, in levels of the book


class Sessions(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.floor = Floor(usd=400_000, accounts=3, fund=20_000)
        self.hedge()
        self.refused = 0

    def hedge(self) -> None:
        """The last account is in hedge mode."""
        self.floor.core.settings.set_hedged(self.floor.accounts[-1], True)

    def sided(self, of: int, leg: PositionSide, more: dict[str, Any]) -> dict[str, Any]:
        """What an order says about its position, as the account's mode wants it."""
        return {**more, "reduce_only": False, "position_side": leg} if self.floor.accounts[of].hedged else more

    def attempt(self, act: Any, *args: Any, **more: Any) -> None:
        try:
            act(*args, **more)
        except Refused:
            self.refused += 1

    def price(self, symbol: str, away: int) -> Decimal:
        mark = Decimal(str(self.floor.books[symbol].mark))
        return (mark + away * (1 if symbol == BTC else Decimal("0.1"))).quantize(Decimal("0.1"))

    @rule(
        of=WHO,
        side=SIDES,
        lots=LOTS,
        symbol=SYMBOLS,
        away=st.none() | AWAY,
        tif=st.sampled_from(Tif),
        reduce_only=st.booleans(),
        self_trade=st.sampled_from(SelfTrade),
        leg=LEGS,
    )
    def place(
        self, of: int, side: str, lots: Decimal, symbol: str, away: int | None, leg: PositionSide, **more: Any
    ) -> None:
        more = self.sided(of, leg, more)
        price = None if away is None else self.price(symbol, away)
        if more["tif"] is Tif.GTD:
            more["good_till_ms"] = self.floor.ms + 700_000
        self.attempt(self.floor.order, of, side, lots, price, symbol, **more)

    @rule(
        of=WHO,
        side=SIDES,
        kind=st.sampled_from([kind for kind in Kind if kind.conditional]),
        lots=LOTS,
        symbol=SYMBOLS,
        away=AWAY,
        working=st.sampled_from(Working),
        closes=st.booleans(),
        leg=LEGS,
    )
    def place_algo(
        self, of: int, side: str, kind: Kind, lots: Decimal, symbol: str, away: int, leg: PositionSide, **more: Any
    ) -> None:
        closes = more.pop("closes")
        asked = self.sided(of, leg, {"working": more["working"]})
        if kind is Kind.TRAILING_STOP_MARKET:
            asked["callback_pct"] = "0.1"
        else:
            asked["trigger_price"] = self.price(symbol, away)
        if kind in (Kind.STOP, Kind.TAKE_PROFIT):
            asked["price"] = self.price(symbol, away)
        elif kind is not Kind.TRAILING_STOP_MARKET and closes:
            asked["close_position"], lots = True, Decimal(0)
        self.attempt(self.floor.algo, of, side, kind, lots, symbol, **asked)

    @precondition(lambda self: any(account.open_orders for account in self.floor.accounts))
    @rule(data=st.data())
    def cancel_or_amend(self, data: st.DataObject) -> None:
        account = data.draw(st.sampled_from([each for each in self.floor.accounts if each.open_orders]))
        order = data.draw(st.sampled_from(list(account.open_orders.values())))
        core = self.floor.core
        if data.draw(st.booleans()):
            core.cancel(account, order.symbol, order.order_id, None)
            return
        price = self.price(order.symbol, data.draw(AWAY))
        self.attempt(core.amend, account, order.symbol, order.order_id, None, order.buys, data.draw(LOTS), price)

    @rule(of=WHO, symbol=SYMBOLS)
    def cancel_all(self, of: int, symbol: str) -> None:
        account = self.floor.accounts[of]
        self.floor.core.cancel_all(account, symbol)
        self.floor.core.algos.cancel_all(account, symbol)

    @rule(of=WHO, symbol=SYMBOLS, leverage=st.sampled_from([1, 5, 20, 100, 125]), isolated=st.booleans())
    def adjust(self, of: int, symbol: str, leverage: int, isolated: bool) -> None:
        self.adjust_(of, symbol, leverage, isolated)

    def adjust_(self, of: int, symbol: str, leverage: int, isolated: bool) -> None:
        account = self.floor.accounts[of]
        self.attempt(self.floor.core.settings.set_leverage, account, symbol, leverage)
        self.attempt(self.floor.core.settings.set_isolated, account, symbol, isolated)

    @rule(
        symbol=SYMBOLS,
        pct=st.sampled_from([-30, -5, -1, -0.1, 0, 0.1, 1, 5, 40]),
        size=st.sampled_from([0.5, 10.0, 200.0]),
    )
    def move(self, symbol: str, pct: float, size: float) -> None:
        mark = self.floor.books[symbol].mark or 0.0
        self.floor.pass_s(2)
        if 100 < mark < 10**6:
            self.floor.around(symbol, round(mark * (1 + pct / 100), 1), size)

    @rule(symbol=SYMBOLS, away=AWAY, quantity=st.floats(0.001, 100), buys=st.booleans())
    def print_a_trade(self, symbol: str, away: int, quantity: float, buys: bool) -> None:
        self.floor.pass_s(0.1)
        self.floor.trade(symbol, float(self.price(symbol, away)), quantity, buys=buys)

    @rule(symbol=SYMBOLS, rate=st.sampled_from([-0.02, 0.0001, 0.0333]))
    def fund(self, symbol: str, rate: float) -> None:
        self.fund_(symbol, rate)

    def fund_(self, symbol: str, rate: float) -> None:
        mark = self.floor.books[symbol].mark or 0.0
        self.floor.mark(symbol, mark, rate, self.floor.ms + 1000)
        self.floor.pass_s(1)
        self.floor.mark(symbol, mark, rate, self.floor.ms + 8 * 3_600_000)

    @rule()
    def wait_long(self) -> None:
        self.floor.pass_s(800)
        self.floor.around(BTC, self.floor.books[BTC].mark or 0.0)

    @invariant()
    def check(self) -> None:
        for account in self.floor.accounts:
            check_books(account)
            assert account.cross_wallet >= 0 or account.held(), f"{account.name} is left owing {account.cross_wallet}"
        working = {int(each.order.client_order_id) for each in self.floor.core.matching.working()}
        assert working == {number for account in self.floor.accounts for number in account.open_orders}


Sessions.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestSessions = Sessions.TestCase


def test_long_sessions() -> None:
    """The same by dice, which make fuller books, more liquidations and deleveraging than a search for small cases does."""
    forced = [order.client_id for seed in range(10) for order in long_session(seed) if order.forced]
    for kind in ("autoclose-", "adl_autoclose-"):
        assert any(each.startswith(kind) for each in forced), f"no {kind}: nothing was tested"


def long_session(seed: int) -> list[OrderRecord]:
    """All orders of a session in which nothing was wrong."""
    dice, machine = Random(seed), Sessions()
    machine.floor = floor = Floor(usd=400_000, accounts=3, fund=0)
    machine.hedge()
    for step in range(1500):
        of, side, symbol = dice.randrange(3), dice.choice(["buy", "sell"]), dice.choice([BTC, ETH])
        lots = Decimal(round(10 ** dice.uniform(0, 5))) / 1000 * (1 if symbol == BTC else 20)
        away, leg = dice.randint(-6, 6), dice.choice([PositionSide.LONG, PositionSide.SHORT])
        price = machine.price(symbol, away)
        match dice.randrange(12):
            case 0 | 1 | 2 | 3:
                tif, self_trade = (
                    dice.choice([Tif.GTC, Tif.GTC, Tif.IOC, Tif.FOK, Tif.GTX]),
                    dice.choice(list(SelfTrade)),
                )
                more = machine.sided(
                    of, leg, {"tif": tif, "self_trade": self_trade, "reduce_only": dice.random() < 0.3}
                )
                machine.attempt(floor.order, of, side, lots, price, symbol, **more)
            case 4 | 5:
                machine.attempt(floor.order, of, side, lots, None, symbol, **machine.sided(of, leg, {}))
            case 6:
                trigger = machine.price(symbol, away * 10)
                more = machine.sided(of, leg, {"trigger_price": trigger, "close_position": True})
                machine.attempt(floor.algo, of, side, Kind.STOP_MARKET, 0, symbol, **more)
            case 7:
                machine.adjust_(of, symbol, dice.choice([20, 100, 125]), dice.random() < 0.5)
            case 8:
                floor.trade(symbol, float(price), float(lots), buys=side == "buy")
            case 9:
                machine.fund_(symbol, dice.choice([-0.01, 0.0001, 0.01]))
            case _:
                mark = floor.books[symbol].mark or 0.0
                pct = dice.gauss(0, 1.5)
                floor.pass_s(2)
                if 100 < mark * (1 + pct / 100) < 10**6:
                    floor.around(symbol, round(mark * (1 + pct / 100), 1), dice.choice([0.5, 10.0, 100.0]))
        if step % 10 == 0:
            machine.check()
    machine.check()
    return [order for account in floor.accounts for order in account.orders.values()]
