"""The venue of the shadow book says the same whether it is told of everything, or each shadow only of what concerns it."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from random import Random
from typing import Any

import pytest
from msgspec.structs import replace

from bot.domain.market import BookDiff, TradePrint
from bot.domain.messages import PriceTouched, ShadowsMoved, WatchPrice
from bot.domain.orders import CancelOrder, Fill, Funding, Order, OrderType, PlaceOrder, Trigger
from bot.domain.values import NS, Side
from bot.trading.fill_params import FillParams
from bot.trading.latency import Latency
from bot.trading.queue import QueueModel
from bot.trading.shadow.lines import Lines
from bot.trading.shadow.venue import ShadowVenue, _Market
from bot.trading.shadow.view import stand_in
from tests.trading.venue_kit import BTC, FEES, Market, instrument

NAMES = tuple(stand_in(BTC, f"S{number}") for number in range(4))
DUE_NS = 8 * 3600 * NS


class Everybody(Lines):
    """As if there were no lines: whoever is known is concerned by whatever happens."""

    def reached(self, *_: Any) -> list[str]:
        return list(self._lines)

    def quoted(self, *_: Any) -> list[str]:
        return list(self._lines)

    def resting(self, *_: Any) -> list[str]:
        return list(self._lines)

    def with_orders(self) -> list[str]:
        return list(self._lines)


def venue(lines: Lines, model: QueueModel = QueueModel.RISK_AVERSE) -> ShadowVenue:
    """With all of `NAMES` open, each long five coins."""
    made = ShadowVenue(
        {name: replace(instrument(), id=name) for name in NAMES},
        FEES,
        FillParams(queue=model),
        Latency(0, 0),
        volume_usd=lambda now_ns: Decimal(0),
        trade_prefix="T",
    )
    made._markets[BTC] = _Market(orders=lines, sees=True)
    market = Market(asks=[(100.1, 100.0)])
    for name in NAMES:
        made.open(name)
        order(made, name, "entry", Side.BUY, OrderType.MARKET, 0, 5, market, 1)
    made.said()
    return made


def order(
    of: ShadowVenue,
    name: str,
    leg: str,
    side: Side,
    kind: OrderType,
    price: float,
    quantity: float,
    market: Market,
    now_ns: int,
) -> None:
    wanted, stops = Decimal(str(price)), kind is OrderType.STOP_MARKET
    made = Order(
        client_order_id=f"{name} {leg} {now_ns}",
        instrument=name,
        signal_id="S",
        position_id="P",
        leg=leg,
        side=side,
        type=kind,
        quantity=Decimal(str(quantity)),
        price=wanted if kind is OrderType.LIMIT else None,
        stop_price=wanted if stops else None,
        close_position=stops,
        reduce_only=leg != "entry",
    )
    of.send(PlaceOrder(order=made), now_ns)
    arrive(of, market)


def arrive(of: ShadowVenue, market: Market) -> None:
    for key, _ in of.timers():
        of.on_timer(key, lambda _: market)


@dataclass
class Script:
    """One market, told to the venue."""

    of: ShadowVenue
    market: Market
    now_ns: int = NS

    def play(self, act: str, tick: int, size: int) -> None:
        self.now_ns += 100_000_000
        price, market = round(100 + tick / 10, 1), self.market
        match act:
            case "trade":
                market.last = price
                trade = TradePrint("BTCUSDT", self.now_ns, price, size / 2, bool(size % 2), self.now_ns)
                self.of.on_trade(BTC, trade, market, self.now_ns)
            case "bid" | "ask":
                self._book(act, price, size / 2)
            case "mark":
                market.mark = None if size == 7 else price
                self.of.on_mark(BTC, market, self.now_ns)
            case "blind":
                market.usable = not market.usable
                self._book("bid", price, 0.0)
            case "limit":
                kind, side = OrderType.LIMIT, Side.SELL
                order(self.of, NAMES[size % 4], "tier_1", side, kind, price, 1, market, self.now_ns)
            case "stop":
                kind, side = OrderType.STOP_MARKET, Side.SELL
                order(self.of, NAMES[size % 4], "stop", side, kind, price, 5, market, self.now_ns)
            case "over":
                self.of.forget(NAMES[size % 4])
                if not self.of.watching(BTC):  # nobody is left to be told
                    self.of._markets[BTC] = _Market()

    def _book(self, act: str, price: float, size: float) -> None:
        """Never crossed: what the new level runs into is gone."""
        bids, asks = dict(self.market.bids), dict(self.market.asks)
        own, other = (bids, asks) if act == "bid" else (asks, bids)
        sign = 1 if act == "bid" else -1
        gone = [] if not size else [each for each in other if sign * (price - each) >= 0]
        for each in gone:
            del other[each]
        own.pop(price, None)
        if size:
            own[price] = size
        self.market.bids, self.market.asks = sorted(bids.items(), reverse=True), sorted(asks.items())
        changed, others = [(price, size)], [(each, 0.0) for each in gone]
        told_bids, told_asks = (changed, others) if act == "bid" else (others, changed)
        diff = BookDiff("BTCUSDT", 1, 1, None, self.now_ns, told_bids, told_asks)
        self.of.on_book(BTC, diff, self.market, self.now_ns)


OFTEN = {"trade": 12, "bid": 6, "ask": 10, "mark": 6, "limit": 10, "stop": 4, "blind": 3, "over": 1}
SCRIPTS, ACTS = 400, 60


@pytest.mark.parametrize("model", QueueModel)
def test_whom_it_tells_makes_no_difference(model: QueueModel) -> None:
    for seed in range(SCRIPTS):
        chance = Random(f"{model}{seed}")
        scripts = [Script(venue(lines, model), Market()) for lines in (Lines(), Everybody())]
        for act in chance.choices(list(OFTEN), list(OFTEN.values()), k=ACTS):
            # orders rest where the market goes to: targets above it, stops below
            tick = chance.randint(1, 6) if act == "limit" else chance.randint(-6, 0 if act == "stop" else 6)
            size = chance.randint(0, 7)
            told = []
            for script in scripts:
                script.play(act, tick, size)
                told.append(sorted(script.of.said(), key=str))
            assert told[0] == told[1], f"{model}, seed {seed}: {act} {tick} {size}"


# --- what the shadow desk relies on ---


def test_a_watch_goes_off_once_and_before_what_the_same_trade_fills() -> None:
    of, market = venue(Lines()), Market()
    order(of, NAMES[0], "tier_1", Side.SELL, OrderType.LIMIT, 100.5, 1, market, NS)
    of.said()
    of.watch(
        WatchPrice(
            desk="exits", key="break_even:P", instrument=NAMES[0], of=Trigger.LAST, above=True, price=Decimal(100)
        )
    )
    market.last = 101.0
    for _ in range(2):
        of.on_trade(BTC, TradePrint("BTCUSDT", 1, 101.0, 1.0, True, NS), market, NS)
    assert of.moved() == (ShadowsMoved(),)
    touched, *reports = of.said()
    assert touched == PriceTouched(desk="exits", key="break_even:P", price=Decimal("101"))
    assert [type(each) for each in reports][:1] == [Fill] and of.moved() == ()
    assert not any(isinstance(each, PriceTouched) for each in reports)


@pytest.mark.parametrize(("rate", "usd"), [(0.001, Decimal("-0.5")), (-0.001, Decimal("0.5")), (None, None)])
def test_every_shadow_pays_its_own_funding(rate: float | None, usd: Decimal | None) -> None:
    of = venue(Lines())
    market = Market(funding_rate=rate, next_funding_ns=DUE_NS)
    of.on_mark(BTC, market, DUE_NS - 3600 * NS)  # too early: another mark will come
    assert of.timers() == []
    of.on_mark(BTC, market, DUE_NS - NS)
    timers = of.timers()
    assert len(timers) == len(NAMES)
    of.forget(NAMES[3])
    for key, _ in timers:
        of.on_timer(key, lambda _: market)
    booked = [(each.instrument, each.usd) for each in of.said() if isinstance(each, Funding)]
    assert booked == ([] if usd is None else [(name, usd) for name in NAMES[:3]])


def test_nothing_comes_of_what_was_on_its_way_for_a_shadow_that_is_over() -> None:
    of, market = venue(Lines()), Market()
    order(of, NAMES[0], "tier_1", Side.SELL, OrderType.LIMIT, 100.5, 1, market, NS)
    resting = next(iter(of._matching.working())).order
    of.send(CancelOrder(order=resting), 2 * NS)
    of.forget(NAMES[0])
    of.said()
    arrive(of, market)
    of.on_trade(BTC, TradePrint("BTCUSDT", 1, 110.0, 9.0, True, NS), market, 3 * NS)
    assert of.said() == [] and not of._matching.working()
    for name in NAMES[1:]:
        of.forget(name)
    assert not of.watching(BTC)
