"""What a venue refuses, and what its kinds of orders mean: Binance USD-M's rules for one order at a time, as tables and words.

Pure questions about an order, an instrument and a price; `fills.py` asks them. A refusal is a text ("" is none); where the venue
has an error for it, the comment names its code.
"""

from __future__ import annotations

from decimal import Decimal

from msgspec import structs

from bot.domain.instrument import Instrument, exact
from bot.domain.orders import Order, OrderType, TimeInForce, Trigger
from bot.domain.ports import PriceView
from bot.domain.values import Side

NOTHING_TO_REDUCE = "nothing to reduce"  # -2022
WOULD_TRIGGER = "would trigger immediately"  # -2021
WOULD_TAKE = "post-only, and would take"  # -5022
CONDITIONAL = frozenset({OrderType.STOP_MARKET, OrderType.TAKE_PROFIT_MARKET})


def never_rests(order: Order) -> bool:
    return order.type is OrderType.MARKET or (order.type is OrderType.LIMIT and order.tif is TimeInForce.IOC)


def triggers(order: Order, price: Decimal) -> bool:
    """A selling stop and a buying take-profit go off at their price or below it, the other two at it or above."""
    if order.stop_price is None:
        return False
    below = (order.type is OrderType.STOP_MARKET) == (order.side is Side.SELL)
    return price <= order.stop_price if below else price >= order.stop_price


def beyond_limit(order: Order, price: Decimal) -> bool:
    if order.price is None:
        return False
    return price > order.price if order.side is Side.BUY else price < order.price


def would_take(order: Order, market: PriceView) -> bool:
    best = market.ask if order.side is Side.BUY else market.bid
    return order.type is OrderType.LIMIT and market.usable and best is not None and not beyond_limit(order, exact(best))


def price_refusal(order: Order, rules: Instrument) -> str:
    if order.close_position and order.type not in CONDITIONAL:
        return "close_position is for stops and take-profits only"
    if order.tif is TimeInForce.GTX and order.type is not OrderType.LIMIT:
        return "post-only is for limits only"
    for name, price, wanted in (
        ("price", order.price, order.type is OrderType.LIMIT),
        ("stop price", order.stop_price, order.type in CONDITIONAL),
    ):
        if not wanted and price is not None:
            return f"a {order.type} order has no {name}, got {price}"
        if wanted and (price is None or price <= 0):
            return f"a {order.type} order needs a {name} above zero, got {price}"
        if price is not None and not rules.on_grid(price):
            return f"{name} {price} is not a multiple of the tick {rules.tick}"
    return ""


def size_refusal(order: Order, rules: Instrument, mark: float | None) -> str:
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


def market_refusal(order: Order, market: PriceView) -> str:
    if never_rests(order) and not market.usable:
        return "no usable book to trade against"
    watched = market.last if order.trigger is Trigger.LAST else market.mark
    if order.type in CONDITIONAL and watched is not None and triggers(order, exact(watched)):
        return WOULD_TRIGGER
    return ""


def change_refusal(old: Order, new: Order) -> str:
    """Only these change by an amendment."""
    same = structs.replace(new, price=old.price, stop_price=old.stop_price, quantity=old.quantity, reason=old.reason)
    return "" if same == old else "an amendment changes price and quantity only"
