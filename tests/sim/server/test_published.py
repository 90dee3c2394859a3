"""What the public sees of accounts: one book with their orders in it, never crossed, and their trades among the others."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from random import Random
from typing import Any

import pytest
from msgspec import structs

from bot.domain.values import MS, Side
from bot.sim.events import Best, Depth, Event, Forced, Rung, Trade
from bot.sim.exchange.account import ApiKey, TradingAccount
from bot.sim.exchange.core import ExchangeCore
from bot.sim.exchange.ledger import Income
from bot.sim.exchange.liquidation import Liquidator
from bot.sim.exchange.records import Kind, NewOrder, OrderRecord, SelfTrade, Tif, Working
from bot.sim.refusals import Refused
from bot.sim.server import past
from bot.sim.server.market import SimMarket
from bot.sim.server.published import Published
from tests.sim.exchange.floor import BTC, Floor
from tests.sim.server.benches import START_MS, bench, scenario
from tests.sim.server.test_streams import drained, opened

SYMBOL = "BTCUSDT"


class Watched:
    """A market with accounts on it, and somebody who follows only what is published."""

    def __init__(self, seed: int = 5, usd: int = 10**8) -> None:
        self.ms = START_MS
        made = scenario(1, seed)
        made = structs.replace(made, coins=(structs.replace(made.coins[0], spread_ticks=4),))
        self.market = SimMarket(made, lambda: self.ms * MS)
        self.core = ExchangeCore(self.market.coins.values(), self.market.views, self.market.now_ms)
        self.liquidator = Liquidator(self.core)
        self.published = Published(self.market, self.core)
        self.own: list[Event] = []  # the market's
        self.told: list[Event] = []
        self.bids: dict[int, int] = {}
        self.asks: dict[int, int] = {}
        self.published.listeners += [self.told.append, self._follow]
        self.market.listeners += [self.own.append, self.published.on_event, self.core.on_event]
        self.accounts = [self.core.open_account(name, [ApiKey(name, "secret")], Decimal(usd)) for name in "abc"]
        self.coin = self.market.coins[SYMBOL]
        self.book = self.published.books[SYMBOL]
        self.market.advance(START_MS - 2)
        self.bids, self.asks = dict(self.book.rungs(Side.BUY, 10**6)), dict(self.book.rungs(Side.SELL, 10**6))
        self.go(1.0)
        self.own.clear()
        self.told.clear()

    def go(self, seconds: float) -> None:
        self.ms += round(seconds * 1000)
        self.market.advance(self.ms)

    def _follow(self, event: Event) -> None:
        if isinstance(event, Depth):
            for held, changes in ((self.bids, event.bids), (self.asks, event.asks)):
                for ticks, lots in changes:
                    held.pop(ticks, None)
                    if lots:
                        held[ticks] = lots
        elif isinstance(event, Best) and event.update_id == self.book.market.last_id:
            bid, ask = max(self.bids), min(self.asks)
            assert (event.bid, event.ask) == ((bid, self.bids[bid]), (ask, self.asks[ask]))

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.told if type(event) is kind]

    @property
    def best(self) -> tuple[int, int]:
        """The market's, in ticks."""
        return self.market.books[SYMBOL].best_bid, self.market.books[SYMBOL].best_ask

    def order(self, of: int, buys: bool, lots: int, ticks: int | None = None, **more: Any) -> OrderRecord:
        return self.core.place(self.accounts[of], self.asked(buys, lots, ticks, **more))

    def asked(self, buys: bool, lots: int, ticks: int | None, **more: Any) -> NewOrder:
        price = None if ticks is None else ticks * self.coin.tick
        kind = more.pop("kind", Kind.MARKET if ticks is None else Kind.LIMIT)
        return NewOrder(symbol=SYMBOL, buys=buys, kind=kind, quantity=lots * self.coin.step, price=price, **more)


def test_where_no_account_does_anything_events_pass_as_they_are() -> None:
    on = Watched()
    on.go(5)
    assert len(on.own) > 100 and all(a is b for a, b in zip(on.own, on.told, strict=True))


def test_a_resting_order_is_in_the_book_and_leaves_it() -> None:
    on = Watched()
    bid, _ = on.best
    far = bid - 1000
    there = on.bids.get(far, 0)
    order = on.order(0, True, 700, far)
    on.go(0.2)
    assert on.bids[far] == there + 700
    on.core.cancel(on.accounts[0], SYMBOL, order.order_id, None)
    on.go(0.2)
    assert on.bids.get(far, 0) == there


def test_who_bids_more_than_anybody_is_the_best_bid() -> None:
    on = Watched()
    bid, ask = on.best
    on.order(0, True, 50, ask - 1, tif=Tif.GTX)
    on.told.clear()
    on.go(0.1)
    depth, best = on.of(Depth)[0], on.of(Best)[-1]
    if on.best == (bid, ask):
        assert (ask - 1, 50) in depth.bids and best.bid == (ask - 1, 50)
    assert max(on.bids) >= ask - 1


def test_what_an_account_took_is_missing_for_a_second() -> None:
    on = Watched()
    levels = on.book.rungs(Side.SELL, 5)
    order = on.order(0, True, sum(lots for _, lots in levels[:3]) + 1)
    assert [trade.ticks for trade in on.of(Trade)] == [ticks for ticks, _ in levels[:4]]
    assert sum(trade.lots for trade in on.of(Trade)) == order.filled / on.coin.step
    on.go(0.1)
    market = on.market.books[SYMBOL]
    gone = [ticks for ticks, _ in levels[:3] if ticks in market.asks and market.asks[ticks] <= dict(levels)[ticks]]
    assert gone and not set(gone) & set(on.asks)
    on.go(1.1)
    assert on.asks == market.asks


def test_trades_are_numbered_without_a_hole_and_are_the_last_price() -> None:
    on = Watched()
    for seconds in (0.5, 1.0, 1.5):
        on.order(0, True, 30)
        assert on.market.views[SYMBOL].last == float(on.of(Trade)[-1].ticks * on.coin.tick)
        on.order(1, False, 20)
        on.go(seconds)
    numbers = [trade.trade_id for trade in on.of(Trade)]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert len(numbers) == sum(isinstance(event, Trade) for event in on.own) + 6
    stamps = [event.ms for event in on.of(Trade)]
    assert stamps == sorted(stamps)


def test_a_trade_between_accounts_is_told_once_from_the_takers_side() -> None:
    on = Watched()
    inside = on.best[0] + 1
    on.order(0, False, 40, inside)
    on.told.clear()
    on.order(1, True, 25, inside, tif=Tif.IOC)
    assert [(t.ticks, t.lots, t.taker_buys) for t in on.of(Trade)] == [(inside, 25, True)]


def test_another_accounts_trade_sets_off_a_stop_on_the_last_price() -> None:
    on = Watched()
    on.order(0, True, 100)
    levels = on.book.rungs(Side.BUY, 60)
    far = levels[40][0]
    stop = on.asked(False, 100, None, kind=Kind.STOP_MARKET, working=Working.CONTRACT_PRICE)
    stop.trigger_price = far * on.coin.tick
    algo = on.core.algos.place(on.accounts[0], stop)
    on.order(1, False, sum(lots for ticks, lots in levels if ticks >= far))
    assert algo.status == "NEW", "it waits for the next book"
    on.go(0.2)
    assert algo.status in ("TRIGGERED", "FINISHED")


@pytest.mark.parametrize("beyond", [0, 1])
def test_the_markets_print_at_an_orders_own_price_is_the_orders_and_one_beyond_it_is_not(beyond: int) -> None:
    on = Watched()
    inside = on.best[0] + 1
    order = on.order(0, True, 10, inside)
    on.told.clear()
    price = float((inside - beyond) * on.coin.tick)
    on.core.take(on.core.matching.on_trade(on.coin.instrument.id, price, 1.0, False))
    assert order.status == "FILLED"
    assert [(t.ticks, t.lots, t.taker_buys) for t in on.of(Trade)] == [(inside, 10, False)] * beyond


def test_what_the_exchange_closes_past_the_book_is_no_public_trade() -> None:
    on = Watched()
    on.core.fill_by_force(on.accounts[0], on.asked(True, 10, on.best[1]), "CALCULATED")
    assert on.accounts[0].trades and not on.of(Trade)
    on.order(0, True, 10)
    assert len(on.of(Trade)) == 1


def test_an_order_that_has_met_no_book_yet_is_not_in_it() -> None:
    floor = Floor()
    instrument = floor.core.instruments[BTC].id
    floor.show(BTC, [], [])
    floor.order(0, "buy", "0.01", 59_000)
    assert not list(floor.core.matching.standing(instrument))
    floor.around(BTC, 60_000.0)
    assert [what for _, *what in floor.core.matching.standing(instrument)] == [[Decimal(59_000), Decimal("0.01")]]


def test_a_liquidation_is_told_as_the_venue_tells_it() -> None:
    on = Watched()
    order = on.order(0, True, 200)
    account, mark = on.accounts[0], on.core.mark(SYMBOL)
    position = account.position(SYMBOL)
    account.ledger.enter(on.ms, Income.TRANSFER, position.maintenance(mark) / 2 - account.wallet)
    on.told.clear()
    on.go(1.5)
    own = sum(isinstance(event, Forced) for event in on.own)
    assert not position.quantity and len(on.of(Forced)) == own + 1
    mine = next(event for event in on.of(Forced) if event not in on.own)
    assert (mine.lots, mine.buys) == (order.filled / on.coin.step, False)
    trades = [event for event in on.of(Trade) if event not in on.own]
    assert sum(trade.lots for trade in trades) >= mine.lots


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_whatever_accounts_do_the_public_follows_one_book_that_never_crosses(seed: int) -> None:
    on, dice = Watched(seed), Random(seed)
    placed = refused = 0
    for _ in range(600):
        account = dice.choice(on.accounts)
        try:
            _act(on, dice, account)
            placed += 1
        except Refused:
            refused += 1
        on.go(dice.choice((0.0, 0.03, 0.1, 0.1, 0.7)))
        assert not on.bids or not on.asks or max(on.bids) < min(on.asks)
        for event in on.of(Best):
            assert event.bid[0] < event.ask[0] and event.bid[1] > 0 and event.ask[1] > 0
        numbers = [trade.trade_id for trade in on.of(Trade)]
        assert not numbers or numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        on.told.clear()
        while not on.of(Depth):
            on.go(0.1)
        assert on.bids == dict(on.book.rungs(Side.BUY, 10**6)) and on.asks == dict(on.book.rungs(Side.SELL, 10**6))
        _orders_are_there(on)
        on.told.clear()
    assert placed > 300
    for account in on.accounts:
        on.core.cancel_all(account, SYMBOL)
    on.go(1.5)
    market = on.market.books[SYMBOL]
    assert on.bids == market.bids and on.asks == market.asks, "nothing of the accounts is left"


def _act(on: Watched, dice: Random, account: TradingAccount) -> None:
    open_ = list(account.open_orders.values())
    if open_ and dice.random() < 0.3:
        order = dice.choice(open_)
        on.core.cancel(account, SYMBOL, order.order_id, None)
        return
    buys, lots = dice.random() < 0.5, dice.choice((1, 20, 300, 5_000))
    bid, ask = on.best
    away = dice.choice((-40, -3, -1, 0, 1, 3, 40, 400))
    ticks = None if dice.random() < 0.25 else (bid - away if buys else ask + away)
    more: dict[str, Any] = {}
    if ticks is not None:
        more["tif"] = dice.choice((Tif.GTC, Tif.GTC, Tif.GTX, Tif.IOC))
        more["self_trade"] = dice.choice(list(SelfTrade))
    on.core.place(account, on.asked(buys, lots, ticks, **more))


def _orders_are_there(on: Watched) -> None:
    for buys, told in ((True, on.bids), (False, on.asks)):
        wanted: Counter[int] = Counter()
        for account in on.accounts:
            for order in account.open_orders.values():
                if order.buys is buys:
                    wanted[int(order.price / on.coin.tick)] += int((order.quantity - order.filled) / on.coin.step)
        for ticks, lots in wanted.items():
            assert told.get(ticks, 0) >= lots


async def test_streams_and_rest_agree_on_what_is_published() -> None:
    async with bench() as on:
        socket = await opened(on, "/ws", "btcusdt@depth@100ms", "btcusdt@aggTrade", "btcusdt@bookTicker")
        core, coin = on.exchange.core, on.market.coins[SYMBOL]
        account = next(iter(core.accounts.values()))
        book = on.market.books[SYMBOL]
        price, quantity = (book.best_bid - 50) * coin.tick, 700 * coin.step
        asked = NewOrder(symbol=SYMBOL, buys=True, kind=Kind.LIMIT, quantity=quantity, price=price)
        core.place(account, asked)
        core.place(account, NewOrder(symbol=SYMBOL, buys=True, kind=Kind.MARKET, quantity=30 * coin.step))
        on.move(0.3)
        held: dict[str, Any] = {"b": {}, "a": {}}
        for message in await drained(socket):
            if message["e"] == "depthUpdate":
                for side in ("b", "a"):
                    held[side] |= dict(message[side])
        snapshot = await on.get("/fapi/v1/depth", symbol=SYMBOL, limit=1000)
        assert Decimal(dict(snapshot["bids"])[f"{price:f}"]) >= quantity
        for side, name in (("b", "bids"), ("a", "asks")):
            known = dict(snapshot[name])
            changed = {text: size for text, size in held[side].items() if text in known}
            assert changed and all(known[text] == size for text, size in changed.items())
        trades = await on.get("/fapi/v1/aggTrades", symbol=SYMBOL, limit=200)
        numbers = [trade["a"] for trade in trades]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def test_levels_that_are_told_otherwise_do_not_shorten_a_page() -> None:
    on = Watched()
    on.order(0, True, sum(lots for _, lots in on.book.rungs(Side.SELL, 8)))
    on.go(0.1)
    page: list[Rung] = on.book.rungs(Side.SELL, 5)
    assert len(page) == 5 and page == sorted(page) and all(lots for _, lots in page)
    assert page == sorted(on.asks.items())[:5]


def test_a_storm_of_trades_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(past, "_TRADES_KEPT", 50)
    on = Watched()
    pasts = past.Pasts(on.market.model.coins, START_MS, 5)
    on.published.listeners.append(pasts.on_event)
    for _ in range(60):
        on.order(0, True, 1)
        on.order(1, False, 1)
    kept = [trade.trade_id for trade in pasts[SYMBOL].trades]
    assert len(kept) == 50 and kept[-1] == on.of(Trade)[-1].trade_id
