"""What the venue refuses of a new order before it looks at the market: filters, ids, sizes, margin.

Codes and order of the checks as far as Binance USD-M documents them. Raises `Refused`.
"""

from __future__ import annotations

import re
from decimal import Decimal

from bot.domain.instrument import Instrument
from bot.domain.ports import PriceView
from bot.sim.exchange.account import Resting, TradingAccount
from bot.sim.exchange.records import Kind, NewOrder, OrderRecord, PositionSide, PriceMatch, Tif
from bot.sim.refusals import (
    Refused,
    duplicate_id,
    in_liquidation,
    missing,
    no_margin,
    not_needed,
    nothing_to_reduce,
    over_leverage,
    too_many_open,
)

MOST_OPEN = 200  # of each kind, per symbol
PERCENT_PRICE = Decimal("0.05")
_CLIENT_ID = re.compile(r"[.A-Z:/a-z0-9_-]{1,36}\Z")
_LIMITED = (Kind.LIMIT, Kind.STOP, Kind.TAKE_PROFIT)
_CLOSING = (Kind.STOP_MARKET, Kind.TAKE_PROFIT_MARKET)
_GTD_LEAST_MS = 600_000


def check_side(account: TradingAccount, asked: NewOrder) -> None:
    """That the position it is for exists in the account's mode. In hedge mode what closes may only reduce, unasked."""
    if account.hedged is (asked.position_side is PositionSide.BOTH):
        raise Refused(-4061, "Order's position side does not match user's setting.")
    if not account.hedged:
        return
    if asked.reduce_only:
        raise not_needed("reduceonly")
    if asked.close_position and not asked.closes:
        raise nothing_to_reduce()
    if asked.closes and not asked.kind.conditional:
        if asked.quantity > abs(account.position(asked.symbol, asked.position_side).quantity):
            raise nothing_to_reduce()
        asked.reduce_only = True


def check_form(asked: NewOrder, rules: Instrument, now_ms: int) -> None:
    """Of the order by itself."""
    if asked.client_id and not _CLIENT_ID.match(asked.client_id):
        raise Refused(-4015, "Client order id is not valid.")
    limited, trailing = asked.kind in _LIMITED, asked.kind is Kind.TRAILING_STOP_MARKET
    matched = asked.price_match is not PriceMatch.NONE
    if matched and not limited:
        raise Refused(-5038, "Price match only supports order type: LIMIT, STOP AND TAKE_PROFIT")
    if limited and not matched and asked.price is None:
        raise missing("price")
    if (matched or not limited) and asked.price is not None:
        raise not_needed("price")
    if not limited and asked.tif is not Tif.GTC:
        raise not_needed("timeinforce")
    if asked.kind.conditional and not trailing and asked.trigger_price is None:
        raise missing("triggerprice")
    if trailing and asked.callback_pct is None:
        raise missing("callbackrate")
    if trailing and asked.callback_pct is not None and not Decimal("0.1") <= asked.callback_pct <= 10:
        raise Refused(-2007, "Invalid callBack rate.")
    _check_closing(asked)
    if asked.trigger_price is not None and asked.trigger_price <= 0:
        raise Refused(-4006, "Stop price less than zero.")
    for price in (asked.price, asked.trigger_price, asked.activate_price):
        if price is not None:
            check_price(price, rules)
    if not asked.close_position:
        check_quantity(asked.quantity, rules, market=not limited)
    if asked.tif is Tif.GTD and not asked.good_till_ms:
        raise missing("goodtilldate")
    if asked.tif is Tif.GTD and not now_ms + _GTD_LEAST_MS < asked.good_till_ms < 253_402_300_799_000:
        raise Refused(
            -5040,
            "The goodTillDate timestamp must be greater than the current time plus 600 seconds and smaller than 253402300799000",
        )


def _check_closing(asked: NewOrder) -> None:
    if not asked.close_position:
        return
    if asked.kind not in _CLOSING:
        raise Refused(-4136, f"Target strategy invalid for orderType {asked.kind},closePosition true")
    if asked.quantity:
        raise Refused(-4137, "Quantity must be zero with closePosition equals true")
    if asked.reduce_only:
        raise not_needed("reduceonly")


def check_price(price: Decimal, rules: Instrument) -> None:
    if price <= 0:
        raise Refused(-4001, "Price less than 0.")
    if _places(price) > _places(rules.tick):
        raise Refused(-1111, "Precision is over the maximum defined for this asset.")
    if not rules.on_grid(price):
        raise Refused(-4014, "Price not increased by tick size.")
    if price > rules.tick * 10**9:
        raise Refused(-4002, "Price greater than max price.")


def check_quantity(quantity: Decimal, rules: Instrument, *, market: bool) -> None:
    if quantity <= 0:
        raise Refused(-4003, "Quantity less than or equal to zero.")
    if _places(quantity) > _places(rules.step):
        raise Refused(-1111, "Precision is over the maximum defined for this asset.")
    if quantity < rules.min_quantity:
        raise Refused(-4004, "Quantity less than min quantity.")
    if quantity > (rules.max_market_quantity if market else rules.max_quantity):
        raise Refused(-4005, "Quantity greater than max quantity.")
    if quantity % rules.step:
        raise Refused(-4023, "Qty not increased by step size.")


def check_notional(quantity: Decimal, price: Decimal, rules: Instrument, code: int = -4164) -> None:
    if quantity * price < rules.min_notional:
        raise Refused(
            code,
            f"Order's notional must be no smaller than {rules.min_notional.normalize():f} (unless you choose reduce only).",
        )


def check_band(buys: bool, price: Decimal, mark: Decimal, rules: Instrument) -> None:
    """A purchase may not be far above mark, a sale not far below."""
    top, bottom = mark * (1 + PERCENT_PRICE), mark * (1 - PERCENT_PRICE)
    if buys and price > top:
        raise Refused(-4016, f"Limit price can't be higher than {top.quantize(rules.tick)}.")
    if not buys and price < bottom:
        raise Refused(-4024, f"Limit price can't be lower than {bottom.quantize(rules.tick)}.")


def market_bound(asked: NewOrder, view: PriceView, mark: Decimal) -> Decimal:
    """The worst price that a market order takes. Raises Refused where the best one is beyond it."""
    bound = mark * (1 + (PERCENT_PRICE if asked.buys else -PERCENT_PRICE))
    best = view.ask if asked.buys else view.bid
    if best is not None and (best > bound if asked.buys else best < bound):
        raise Refused(-4131, "The counterparty's best price does not meet the PERCENT_PRICE filter limit")
    return bound


def check_account(account: TradingAccount, asked: NewOrder) -> None:
    if account.liquidating:
        raise in_liquidation()
    if asked.kind.conditional:
        if any(each.asked.client_id == asked.client_id for each in account.open_algos.values()):
            raise duplicate_id()
        count = sum(each.asked.symbol == asked.symbol for each in account.open_algos.values())
    else:
        known = account.by_client.get(asked.client_id)
        if known is not None and known.open:
            raise duplicate_id()
        count = sum(each.symbol == asked.symbol for each in account.open_orders.values())
    if count >= MOST_OPEN:
        raise Refused(-4045, "Reach max stop order limit.") if asked.kind.conditional else too_many_open()


def check_margin(
    account: TradingAccount,
    symbol: str,
    buys: bool,
    quantity: Decimal,
    price: Decimal,
    *,
    instead_of: OrderRecord | None = None,
) -> None:
    """Whether the account can carry so much more of it."""
    resting = account.resting().get(symbol, Resting())
    before = account.initial(symbol, resting)
    value = quantity * price
    if instead_of is not None:
        value -= (instead_of.quantity - instead_of.filled) * instead_of.price
    more = Resting(resting.bids + value, resting.asks) if buys else Resting(resting.bids, resting.asks + value)
    if account.initial(symbol, more) - before > account.available:
        raise no_margin()
    position = account.opened_by(symbol, buys)
    held = position.quantity * account.marks(symbol)
    if (more.bids + held if buys else more.asks - held) > position.most_notional:
        raise over_leverage()


def _places(value: Decimal) -> int:
    return max(0, -int(value.normalize().as_tuple().exponent))
