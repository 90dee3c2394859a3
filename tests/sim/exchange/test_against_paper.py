"""The same orders on the same market, here and on the paper venue's matching: the same fills, one by one."""

from __future__ import annotations

from decimal import Decimal
from random import Random
from typing import Any

import pytest
from msgspec import structs

from bot.domain.orders import Fill, Order, OrderStatus, OrderType, OrderUpdate, TimeInForce, Trigger
from bot.domain.values import MS, Side
from bot.sim.events import Depth, Event, Mark, Snapshot, Trade
from bot.sim.exchange.account import ApiKey
from bot.sim.exchange.core import ExchangeCore
from bot.sim.exchange.notices import Notice, OrderNotice
from bot.sim.exchange.records import Kind, NewOrder, SelfTrade, Tif, Working
from bot.sim.refusals import Refused
from bot.sim.server.market import SimMarket
from bot.trading.costs import FeeParams
from bot.trading.fills import Matching
from tests.sim.server.benches import START_MS, scenario

USD = Decimal(10**9)  # nobody is liquidated
RESTS = "BTCUSDT"  # in the other symbol there are stops, and nothing that they could meet
Filled = tuple[str, Decimal, Decimal, bool, Decimal]


class Both:
    """An account of the exchange and a paper account, told of the same market. What each fill was is in `here` and `there`."""

    def __init__(self, seed: int) -> None:
        self.dice, self.ms = Random(seed), START_MS
        self.market = SimMarket(scenario(2, seed), lambda: self.ms * MS)
        coins = self.market.coins.values()
        self.core = ExchangeCore(coins, self.market.views, self.market.now_ms)
        self.account = self.core.open_account("a", [ApiKey("key", "secret")], USD)
        self.core.listeners.append(self._told)
        self.paper = Matching({coin.instrument.id: coin.instrument for coin in coins}, FeeParams(), wallet_usd=USD)
        self.ids = {coin.symbol: coin.instrument.id for coin in coins}
        self.here: list[Filled] = []
        self.there: list[Filled] = []
        self.open: dict[str, tuple[Order, NewOrder]] = {}
        self.refused = 0
        self.market.listeners += [self.core.on_event, self._to_paper]

    def _told(self, account: Any, ms: int, notice: Notice) -> None:
        if isinstance(notice, OrderNotice) and notice.trade is not None:
            trade = notice.trade
            self.here.append((notice.order.client_id, trade.price, trade.quantity, trade.maker, trade.fee))

    def _take(self, reports: list[Any]) -> None:
        for each in reports:
            if isinstance(each, Fill):
                fee = each.fee.quantize(Decimal("1e-8"))
                self.there.append((each.client_order_id, each.price, each.quantity, each.maker, fee))
            elif isinstance(each, OrderUpdate) and each.status.terminal:
                self.open.pop(each.client_order_id, None)

    def _to_paper(self, event: Event) -> None:
        """As `SimulatedVenue` does."""
        if not isinstance(event, (Trade, Depth, Snapshot, Mark)):
            return
        view, instrument = self.market.views[event.symbol], self.ids[event.symbol]
        self.paper.now_ns = max(self.paper.now_ns, event.ms * MS)
        if isinstance(event, Trade):
            lots = float(event.lots * self.market.coins[event.symbol].step)
            assert view.last is not None
            self._take(self.paper.on_trade(instrument, view.last, lots, event.taker_buys))
            return
        if not isinstance(event, Mark):
            self._take(self.paper.on_depth(instrument, view))
        if view.mark is not None:
            self._take(self.paper.on_mark(instrument, view.mark, view))

    def go(self, ms: int) -> None:
        self.ms += ms
        self.market.advance(self.ms)
        self.paper.now_ns = self.ms * MS

    def place(self, number: int) -> None:
        dice, symbol = self.dice, self.dice.choice(list(self.ids))
        coin, view, buys = self.market.coins[symbol], self.market.views[symbol], self.dice.random() < 0.5
        mid = view.mid or 0.0
        name, held = f"o{number}", self.account.position(symbol).quantity
        rules = coin.instrument
        quantity = rules.quantity(dice.choice([20, 500, 20_000, 400_000, 3_000_000]) * dice.uniform(1, 2) / mid)
        away = coin.tick * dice.choice([0, 1, 2, 5, 20, 100])
        near = Decimal(round(mid / float(coin.tick))) * coin.tick
        kinds = [Kind.LIMIT, Kind.LIMIT, Kind.MARKET, Kind.STOP_MARKET, Kind.TAKE_PROFIT_MARKET]
        kind = dice.choice(kinds[:3] if symbol == RESTS else kinds)
        reduces = bool(held) and (held > 0) is not buys and dice.random() < 0.7
        price = trigger = None
        tif = Tif.GTC
        if kind is Kind.LIMIT:
            price, tif = near - away if buys else near + away, dice.choice([Tif.GTC, Tif.GTC, Tif.IOC, Tif.GTX])
            tif = tif if symbol == RESTS else Tif.IOC
            if dice.random() < 0.3:
                price = near + away if buys else near - away
        elif kind.conditional:
            above = (kind is Kind.STOP_MARKET) is buys
            trigger = near + away + coin.tick if above else near - away - coin.tick
        working = dice.choice(list(Working))
        closes = kind.conditional and reduces and dice.random() < 0.5
        asked = NewOrder(
            symbol=symbol,
            buys=buys,
            kind=kind,
            quantity=Decimal(0) if closes else quantity,
            price=price,
            tif=tif,
            client_id=name,
            reduce_only=reduces and not closes,
            close_position=closes,
            trigger_price=trigger,
            working=working,
            self_trade=SelfTrade.NONE,
        )
        order = Order(
            client_order_id=name,
            instrument=rules.id,
            signal_id="",
            position_id="",
            leg="entry",
            side=Side.BUY if buys else Side.SELL,
            type=OrderType[kind.name],
            quantity=quantity,
            price=price,
            stop_price=trigger,
            trigger=Trigger.MARK if working is Working.MARK_PRICE else Trigger.LAST,
            tif=TimeInForce(tif),
            reduce_only=reduces and not closes,
            close_position=closes,
        )
        resting = [each for each in self.account.open_orders.values() if each.symbol == symbol]
        if not any(each.buys is not buys for each in resting):  # it would meet them here, which paper knows nothing of
            self._send(asked, order)

    def _send(self, asked: NewOrder, order: Order) -> None:
        try:
            place = self.core.algos.place if asked.kind.conditional else self.core.place
            place(self.account, asked)
            refused = False
        except Refused:
            refused = True
        reports = self.paper.place(order, self.market.views[asked.symbol])
        said = isinstance(reports[0], OrderUpdate) and reports[0].status is OrderStatus.REJECTED
        assert said == refused, (asked, reports[0])
        self.refused += refused
        if not refused:
            self.open[order.client_order_id] = order, asked
        self._take(reports)

    def cancel_or_amend(self) -> None:
        if not self.open:
            return
        name = self.dice.choice(list(self.open))
        order, asked = self.open[name]
        view = self.market.views[asked.symbol]
        if asked.kind is Kind.LIMIT and asked.price is not None and self.dice.random() < 0.5:
            price = asked.price + self.market.coins[asked.symbol].tick * self.dice.choice([-3, -1, 1, 3])
            refused = False
            try:
                self.core.amend(self.account, asked.symbol, None, name, asked.buys, order.quantity, price)
            except Refused:
                refused = True
            changed = structs.replace(order, price=price)
            reports = self.paper.amend(changed, view)
            assert refused == (isinstance(reports[0], OrderUpdate) and reports[0].status is OrderStatus.REJECTED)
            if not refused:
                asked.price = price
                self.open[name] = changed, asked
                self._take(reports)
            return
        if asked.kind.conditional:
            self.core.algos.cancel(self.account, None, name)
        else:
            self.core.cancel(self.account, asked.symbol, None, name)
        self._take(self.paper.cancel(order))


@pytest.mark.parametrize("seed", [3, 4, 5])
def test_a_session_fills_alike(seed: int) -> None:
    both = Both(seed)
    both.go(65_000)
    for symbol in both.ids:
        both.core.settings.set_leverage(both.account, symbol, 1)  # the largest positions
    for number in range(400):
        both.go(both.dice.choice([100, 700, 3_000, 9_000]))
        assert both.here == both.there, number
        if both.dice.random() < 0.25:
            both.cancel_or_amend()
        else:
            both.place(number)
    assert both.here == both.there
    assert len(both.here) > 300 and sum(maker for _, _, _, maker, _ in both.here) > 30
    algos = [algo for algo in both.account.algos.values() if algo.status == "FINISHED"]
    assert len(algos) > 10 and both.refused
    held = {symbol: both.account.position(symbol).quantity for symbol in both.ids}
    assert held == {symbol: both.paper.account.quantity(each) for symbol, each in both.ids.items()}
    here = both.account.wallet + both.account.unrealised()
    assert abs(here - both.paper.account.equity_usd()) < Decimal("0.0001")  # fees are rounded here
