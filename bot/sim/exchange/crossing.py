"""Orders of several accounts against one market, and against each other, by price and then by time.

The shared fill rules (`trading/fills.py`) know one book that is only watched. Here a taker also meets what other accounts have
resting: at each price first what the book shows in front of an order, then that order, then what came behind it. `prints` has every trade that is
not one of the market's own, for whoever publishes them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, NamedTuple, cast

from bot.domain.instrument import exact
from bot.domain.orders import Fill, Order, OrderReport, OrderStatus, OrderType
from bot.domain.ports import PriceView
from bot.domain.values import Side
from bot.sim.exchange.account import Leg
from bot.sim.exchange.records import SelfTrade
from bot.trading.fills import Matching, Owner, _Working, reducible
from bot.trading.order_rules import beyond_limit

SELF_TRADE = "self-trade prevention"
_ZERO = Decimal(0)


class _Level(NamedTuple):
    """What a taker finds at one price: `key` and `free` of the book, and who rests there, the oldest first."""

    price: Decimal
    key: float
    free: Decimal
    resting: list[_Working]


class _Terms(NamedTuple):
    """What an order says beside itself. `bound`: beyond it a market order takes nothing."""

    self_trade: SelfTrade
    bound: Decimal | None


class Print(NamedTuple):
    """A trade as the public may know of it; `buys`: its taker did."""

    symbol: str
    price: Decimal
    quantity: Decimal
    buys: bool


def _same_account(one: Owner, other: Owner) -> bool:
    """Those who place here are legs of accounts."""
    return cast(Leg, one).account is cast(Leg, other).account


class Crossing(Matching):
    """`place_with` says with each order what is to become of it where it would meet one of its own account."""

    _printed: Decimal | None = None  # the price of the market's trade that is looked at

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.prints: deque[Print] = deque()
        self._terms: dict[str, _Terms] = {}  # by working order

    def place_with(
        self, order: Order, market: PriceView, owner: Owner, self_trade: SelfTrade, bound: Decimal | None = None
    ) -> list[OrderReport]:
        self._terms[order.client_order_id] = _Terms(self_trade, bound)
        return self.place(order, market, owner)

    def fillable(self, order: Order, market: PriceView, owner: Owner, self_trade: SelfTrade) -> Decimal:
        """How much of it could be taken at once, within its limit; never too much."""
        total = _ZERO
        given: dict[Owner, Decimal] = {}  # by those who rest, who may reduce by so much less
        for level in self._levels(order, market):
            if beyond_limit(order, level.price) or total >= order.quantity:
                break
            own = any(_same_account(work.owner, owner) for work in level.resting)
            if own and self_trade in (SelfTrade.EXPIRE_TAKER, SelfTrade.EXPIRE_BOTH):
                break
            total += max(_ZERO, level.free)
            for work in level.resting:
                if not _same_account(work.owner, owner):
                    before = given.get(work.owner, _ZERO)
                    gives = max(_ZERO, min(work.remaining, self._wanted_after(work, before)))
                    given[work.owner] = before + gives
                    total += gives
        return total

    def _wanted_after(self, work: _Working, given: Decimal) -> Decimal:
        """What it may still fill once its owner has traded so much on its side."""
        return reducible(work.order, work.owner) - given if work.order.reduce_only else work.remaining

    def remaining(self, instrument: str, client_order_id: str) -> Decimal | None:
        """What is left of a working order; None where there is none."""
        work = self._working.get(instrument, {}).get(client_order_id)
        return None if work is None else work.remaining

    def fill_outright(self, order: Order, owner: Owner, quantity: Decimal, price: Decimal) -> Fill:
        """By the exchange's word, past the book."""
        return super()._fill(_Working(order, owner), price, quantity, maker=False)

    def on_trade(self, instrument: str, price: float, quantity: float, taker_buys: bool) -> list[OrderReport]:
        self._printed = exact(price)
        reports = super().on_trade(instrument, price, quantity, taker_buys)
        self._printed = None
        return reports

    # --- what is public --------------------------------------------------------------------------------------------

    def standing(self, instrument: str) -> Iterator[tuple[Side, Decimal, Decimal]]:
        """Side, price and what is left of each limit that rests."""
        for work, limit, _ in self._limits(instrument):
            if work.queue is not None:
                yield work.order.side, limit, work.remaining

    def missing(self, instrument: str) -> Iterator[tuple[Side, float, Decimal]]:
        """Side, price and quantity of what was taken from the book and is still shown there."""
        for (side, level), (quantity, _) in self._takings.still_gone(instrument, self.now_ns).items():
            yield Side.SELL if side is Side.BUY else Side.BUY, level, quantity

    # --- filling ---------------------------------------------------------------------------------------------------

    def _fill(self, work: _Working, price: Decimal, quantity: Decimal, *, maker: bool) -> Fill:
        """A maker's is one of the market's own where that was at its price."""
        fill = super()._fill(work, price, quantity, maker=maker)
        if not maker or price != self._printed:
            symbol = work.order.instrument.partition(":")[2]
            self.prints.append(Print(symbol, price, quantity, work.sells is maker))
        return fill

    def _would_take(self, order: Order, market: PriceView) -> bool:
        if super()._would_take(order, market):
            return True
        return order.type is OrderType.LIMIT and any(
            not beyond_limit(order, limit) for _, limit in self._opposite(order)
        )

    def _walk(self, work: _Working, market: PriceView, as_maker_at: Decimal | None = None) -> Iterator[OrderReport]:
        if as_maker_at is not None or not market.usable:
            yield from super()._walk(work, market, as_maker_at)
            return
        bound = self._terms[work.order.client_order_id].bound
        for level in self._levels(work.order, market):
            if self._wanted(work) == 0 or beyond_limit(work.order, level.price):
                return
            if bound is not None and (level.price < bound if work.sells else level.price > bound):
                return
            yield from self._walk_level(work, level)
            if self._find(work.order) is None and not work.liquidation:  # expired against its own account
                return

    def _walk_level(self, work: _Working, level: _Level) -> Iterator[OrderReport]:
        eaten = _ZERO
        for maker in level.resting:
            front = level.free if maker.queue is None or maker.queue.front is None else maker.queue.front
            ahead = min(self._wanted(work), min(level.free, max(_ZERO, front)) - eaten)
            if ahead > 0:
                eaten += ahead
                yield self._from_book(work, level, ahead)
            if self._wanted(work) == 0:
                break
            said = self._terms[work.order.client_order_id].self_trade
            if _same_account(maker.owner, work.owner) and said is not SelfTrade.NONE:
                yield from self._prevent(work, maker, said)
                if self._find(work.order) is None:
                    return
                continue
            yield from self._meet(work, maker, level.price)
        rest = min(self._wanted(work), level.free - eaten)
        if rest > 0:
            eaten += rest
            yield self._from_book(work, level, rest)
        for maker in level.resting:  # those that still rest have less in front of them
            if maker.queue is not None and maker.queue.front is not None and self._find(maker.order):
                maker.queue.front -= min(eaten, max(_ZERO, maker.queue.front))

    def _from_book(self, work: _Working, level: _Level, quantity: Decimal) -> OrderReport:
        order = work.order
        self._takings.took(order.instrument, order.side, level.key, quantity, self.now_ns)
        return self._fill(work, level.price, quantity, maker=False)

    def _meet(self, work: _Working, maker: _Working, price: Decimal) -> Iterator[OrderReport]:
        quantity = min(self._wanted(work), self._wanted(maker))
        if quantity > 0:
            yield self._fill(work, price, quantity, maker=False)
            yield super()._fill(maker, price, quantity, maker=True)  # the same trade
        if self._find(maker.order):
            yield from self._closing(maker, [])

    def _prevent(self, work: _Working, maker: _Working, said: SelfTrade) -> Iterator[OrderReport]:
        if said is not SelfTrade.EXPIRE_TAKER:
            yield self._finish(maker, OrderStatus.EXPIRED, SELF_TRADE, "")
        if said is not SelfTrade.EXPIRE_MAKER:
            yield self._finish(work, OrderStatus.EXPIRED, SELF_TRADE, "")

    def _forget(self, client_order_id: str) -> None:
        super()._forget(client_order_id)
        self._terms.pop(client_order_id, None)

    # --- who is there ----------------------------------------------------------------------------------------------

    def _levels(self, order: Order, market: PriceView) -> Iterator[_Level]:
        """Of book and resting orders together, best first."""
        rules = self._instruments[order.instrument]
        buys = order.side is Side.BUY
        resting: dict[Decimal, list[_Working]] = {}
        for work, limit in self._opposite(order):
            resting.setdefault(limit, []).append(work)
        prices = sorted(resting, reverse=not buys)
        for key, price, free in self._takings.open_levels(order.side, rules, market, self.now_ns):
            while prices and (prices[0] < price if buys else prices[0] > price):
                between = prices.pop(0)
                yield _Level(between, float(between), _ZERO, resting[between])
            here = resting[prices.pop(0)] if prices and prices[0] == price else []
            yield _Level(price, key, max(_ZERO, free), here)
        for price in prices:
            yield _Level(price, float(price), _ZERO, resting[price])

    def _opposite(self, order: Order) -> list[tuple[_Working, Decimal]]:
        """Limits resting against this order, the older ones first."""
        return [
            (work, limit)
            for work, limit, _ in self._limits(order.instrument)
            if work.order.side is not order.side and work.order.client_order_id != order.client_order_id
        ]
