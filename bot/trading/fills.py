"""Matching of our own orders against a market we only watch: what a venue would have made of them, at worst.

Pure and without a clock: it knows neither latency nor frames nor wallets, so that paper, shadow book and embedded
exchange share it. Takers walk the opposite levels and pay each level's price; resting limits fill only when the market
trades *through* them; a stop triggers on mark and then walks as a taker. What we took from a level stays taken until
`refill`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal

from msgspec import structs

from bot.domain.instrument import Instrument, Round, exact
from bot.domain.orders import Fill, Order, OrderReport, OrderStatus, OrderType, OrderUpdate, TimeInForce
from bot.domain.ports import PriceView
from bot.domain.values import Side
from bot.trading.costs import FeeParams

NOTHING_TO_REDUCE = "nothing to reduce"
WOULD_TRIGGER = "would trigger immediately"
_ZERO = Decimal(0)


@dataclass(slots=True)
class _Working:
    order: Order
    filled: Decimal = _ZERO
    triggered: bool = False

    @property
    def remaining(self) -> Decimal:
        return self.order.quantity - self.filled


class Matching:
    """Working orders and signed positions (base coin, long > 0) of one account in one-way mode.

    Every method answers with reports in the order in which they happened: an acknowledgement, the fills level by level,
    then FILLED or EXPIRED, which answer the placing however much later they come. Refusals are REJECTED reports, never
    exceptions. Reduce-only orders outlive the position and expire when they would fill, as on Binance. Trade ids count
    up per instrument behind `trade_prefix`; a fill is booked once per id, so each life of an account needs its own.
    """

    def __init__(self, instruments: Mapping[str, Instrument], fees: FeeParams, *, trade_prefix: str = "T") -> None:
        self._instruments = instruments
        self._fees = fees
        self._trade_prefix = trade_prefix
        self._trades: dict[str, int] = {}
        self._working: dict[str, dict[str, _Working]] = {}  # by instrument, then by client order id
        self._seen: set[str] = set()
        self._positions: dict[str, Decimal] = {}
        self._taken: dict[str, dict[tuple[Side, float], Decimal]] = {}  # by instrument, then by taker's side and level

    def watching(self, instrument: str) -> bool:
        """Whether trades and marks of this instrument can do anything here."""
        return bool(self._working.get(instrument))

    def positions(self) -> dict[str, Decimal]:
        return {instrument: quantity for instrument, quantity in self._positions.items() if quantity}

    def refill(self, instrument: str) -> None:
        """Forget what we took: called by who knows the time, one second after our last fill as a taker."""
        self._taken.pop(instrument, None)

    # --- commands --------------------------------------------------------------------------------------------------

    def place(self, order: Order, market: PriceView) -> list[OrderReport]:
        if order.client_order_id in self._seen:
            return [_update(order, OrderStatus.REJECTED, "duplicate client order id", "place")]
        self._seen.add(order.client_order_id)
        refusal = self._refusal(order, market)
        if refusal:
            return [_update(order, OrderStatus.REJECTED, refusal, "place")]
        work = _Working(order)
        self._working.setdefault(order.instrument, {})[order.client_order_id] = work
        reports: list[OrderReport] = [_update(order, OrderStatus.ACK, "", "place")]
        reports += self._arrive(work, market)
        if _never_rests(order) and self._find(order):
            reports.append(self._finish(work, OrderStatus.EXPIRED, "no more to take within the limit"))
        return reports

    def cancel(self, order: Order) -> list[OrderReport]:
        work = self._find(order)
        if work is None:
            return [self._not_working(order, "cancel")]
        return [self._finish(work, OrderStatus.CANCELED, "", "cancel")]

    def amend(self, order: Order, market: PriceView) -> list[OrderReport]:
        """`order` as it should become: its quantity is the new total, what is already filled included.

        Stops can be amended until they trigger. A refused amendment changes nothing.
        """
        work = self._find(order)
        if work is None:
            return [self._not_working(order, "amend")]
        refusal = _amend_refusal(work, order) or self._refusal(order, market)
        if refusal:
            return [_update(order, OrderStatus.REJECTED, refusal, "amend")]
        work.order = order
        return [_update(order, OrderStatus.ACK, "", "amend"), *self._arrive(work, market)]

    # --- what the market does --------------------------------------------------------------------------------------

    def on_trade(self, instrument: str, price: float, quantity: float) -> list[OrderReport]:
        """A print of someone else's trade. Through a limit it fills all of it, as the maker, whatever its own size."""
        reports: list[OrderReport] = []
        if quantity <= 0:  # venues print these for corrections and insurance-fund transfers
            return reports
        traded = exact(price)
        for work, limit in self._limits(instrument):
            through = traded > limit if work.order.side is Side.SELL else traded < limit
            if through:
                wanted = self._wanted(work)
                reports += self._closing(work, [self._fill(work, limit, wanted, maker=True)] if wanted else [])
        return reports

    def on_mark(self, instrument: str, mark: float, market: PriceView) -> list[OrderReport]:
        """Trigger stops, and try again for those that found too little depth before."""
        reports: list[OrderReport] = []
        price = exact(mark)
        for work in list(self._working.get(instrument, {}).values()):
            if work.order.type is OrderType.STOP_MARKET and (work.triggered or _triggers(work.order, price)):
                work.triggered = True
                reports += self._take(work, market)
        return reports

    # --- filling ---------------------------------------------------------------------------------------------------

    def _arrive(self, work: _Working, market: PriceView) -> list[OrderReport]:
        return [] if work.order.type is OrderType.STOP_MARKET else self._take(work, market)

    def _take(self, work: _Working, market: PriceView) -> list[OrderReport]:
        """Walk the opposite levels as far as limit, quantity, position and depth allow."""
        order, rules = work.order, self._instruments[work.order.instrument]
        taken = self._taken.setdefault(order.instrument, {})
        fills: list[OrderReport] = []
        for level, shown in _opposite_levels(order, market):
            price = rules.price(level, Round.UP if order.side is Side.BUY else Round.DOWN)
            wanted = self._wanted(work)
            if wanted == 0 or _beyond_limit(order, price):
                break
            before = taken.get((order.side, level), _ZERO)
            quantity = min(wanted, rules.quantity(shown) - before)
            if quantity > 0:
                taken[order.side, level] = before + quantity
                fills.append(self._fill(work, price, quantity, maker=False))
        return self._closing(work, fills)

    def _wanted(self, work: _Working) -> Decimal:
        """How much the order may still fill. Never more than is open if it may only reduce (invariant I5)."""
        if work.order.close_position:
            return self._reducible(work.order)
        return min(work.remaining, self._reducible(work.order)) if work.order.reduce_only else work.remaining

    def _reducible(self, order: Order) -> Decimal:
        position = self._positions.get(order.instrument, _ZERO)
        return max(_ZERO, position if order.side is Side.SELL else -position)

    def _fill(self, work: _Working, price: Decimal, quantity: Decimal, *, maker: bool) -> Fill:
        order = work.order
        work.filled += quantity
        signed = quantity if order.side is Side.BUY else -quantity
        self._positions[order.instrument] = self._positions.get(order.instrument, _ZERO) + signed
        self._trades[order.instrument] = number = self._trades.get(order.instrument, 0) + 1
        return Fill(
            client_order_id=order.client_order_id,
            instrument=order.instrument,
            trade_id=f"{self._trade_prefix}{number}",
            side=order.side,
            price=price,
            quantity=quantity,
            fee=price * quantity * (self._fees.maker if maker else self._fees.taker),
            fee_asset=self._instruments[order.instrument].quote,
            maker=maker,
        )

    def _closing(self, work: _Working, fills: list[OrderReport]) -> list[OrderReport]:
        """`fills` and, if the order can have no more, its end: FILLED, or EXPIRED when it ran out of position."""
        if self._wanted(work) > 0:
            return fills
        complete = bool(fills) if work.order.close_position else work.remaining == 0
        if complete:
            return [*fills, self._finish(work, OrderStatus.FILLED)]
        return [*fills, self._finish(work, OrderStatus.EXPIRED, NOTHING_TO_REDUCE)]

    def _finish(self, work: _Working, status: OrderStatus, reason: str = "", command: str = "place") -> OrderUpdate:
        del self._working[work.order.instrument][work.order.client_order_id]
        return _update(work.order, status, reason, command)

    # --- looking up and refusing -----------------------------------------------------------------------------------

    def _find(self, order: Order) -> _Working | None:
        return self._working.get(order.instrument, {}).get(order.client_order_id)

    def _not_working(self, order: Order, command: str) -> OrderUpdate:
        reason = "order is finished" if order.client_order_id in self._seen else "unknown order"
        return _update(order, OrderStatus.REJECTED, reason, command)

    def _limits(self, instrument: str) -> list[tuple[_Working, Decimal]]:
        """Resting limits, those a moving price reaches first in front, then the older ones."""
        limits = [(w, w.order.price) for w in self._working.get(instrument, {}).values() if w.order.price is not None]
        return sorted(limits, key=lambda pair: pair[1] if pair[0].order.side is Side.SELL else -pair[1])

    def _refusal(self, order: Order, market: PriceView) -> str:
        rules = self._instruments.get(order.instrument)
        if rules is None:
            return f"unknown instrument {order.instrument}"
        refusal = _price_refusal(order, rules) or _size_refusal(order, rules, market.mark)
        if refusal:
            return refusal
        if (order.reduce_only or order.close_position) and self._reducible(order) == 0:
            return NOTHING_TO_REDUCE
        if _never_rests(order) and not market.usable:
            return "no usable book to trade against"
        if order.type is OrderType.STOP_MARKET and market.mark is not None and _triggers(order, exact(market.mark)):
            return WOULD_TRIGGER
        return ""


def _update(order: Order, status: OrderStatus, reason: str, command: str) -> OrderUpdate:
    return OrderUpdate(
        client_order_id=order.client_order_id,
        instrument=order.instrument,
        status=status,
        command=command,
        reason=reason,
    )


def _never_rests(order: Order) -> bool:
    return order.type is OrderType.MARKET or (order.type is OrderType.LIMIT and order.tif is TimeInForce.IOC)


def _triggers(stop: Order, mark: Decimal) -> bool:
    """A long's stop sells at or below its price, a short's buys at or above it."""
    if stop.stop_price is None:
        return False
    return mark <= stop.stop_price if stop.side is Side.SELL else mark >= stop.stop_price


def _beyond_limit(order: Order, price: Decimal) -> bool:
    if order.price is None:
        return False
    return price > order.price if order.side is Side.BUY else price < order.price


def _opposite_levels(order: Order, market: PriceView) -> Iterator[tuple[float, float]]:
    """What the order could take, best first, fetched in growing helpings; nothing of a book that is not usable."""
    side = Side.SELL if order.side is Side.BUY else Side.BUY
    seen, count = 0, 16
    while market.usable:
        levels = market.levels(side, count)
        yield from levels[seen:]
        if len(levels) < count:
            return
        seen, count = count, count * 4


def _price_refusal(order: Order, rules: Instrument) -> str:
    if order.close_position and order.type is not OrderType.STOP_MARKET:
        return "close_position is for stops only"
    for name, price, wanted in (
        ("price", order.price, order.type is OrderType.LIMIT),
        ("stop price", order.stop_price, order.type is OrderType.STOP_MARKET),
    ):
        if not wanted and price is not None:
            return f"a {order.type} order has no {name}, got {price}"
        if wanted and (price is None or price <= 0):
            return f"a {order.type} order needs a {name} above zero, got {price}"
        if price is not None and not rules.on_grid(price):
            return f"{name} {price} is not a multiple of the tick {rules.tick}"
    return ""


def _size_refusal(order: Order, rules: Instrument, mark: float | None) -> str:
    """A close-position stop has the size of what is open; a reduction may be worth less than the minimum."""
    if order.close_position:
        return ""
    largest = rules.max_quantity if order.type is OrderType.LIMIT else rules.max_market_quantity
    if order.quantity <= 0 or order.quantity % rules.step:
        return f"quantity {order.quantity} is not a positive multiple of the step {rules.step}"
    if order.quantity < rules.min_quantity:
        return f"quantity {order.quantity} is under the minimum {rules.min_quantity}"
    if order.quantity > largest:
        return f"quantity {order.quantity} is over the maximum {largest}"
    return "" if order.reduce_only else _notional_refusal(order, rules, mark)


def _notional_refusal(order: Order, rules: Instrument, mark: float | None) -> str:
    price = order.price or order.stop_price or (None if mark is None else exact(mark))
    if price is None:
        return "no price to value the order at"
    if order.quantity * price < rules.min_notional:
        return f"notional {order.quantity * price} is under the minimum {rules.min_notional}"
    return ""


def _amend_refusal(work: _Working, order: Order) -> str:
    old = work.order
    if work.triggered:
        return "the stop has triggered"
    if (
        structs.replace(order, price=old.price, stop_price=old.stop_price, quantity=old.quantity, reason=old.reason)
        != old
    ):
        return "an amendment changes price and quantity only"
    if order.type is OrderType.LIMIT and order.quantity <= work.filled:
        return f"quantity {order.quantity} is not above the {work.filled} already filled"
    return ""
