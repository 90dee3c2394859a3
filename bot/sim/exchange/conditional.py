"""When a conditional order's price has come: stops, take-profits and trailing stops, on mark or on the last trade.

Rules: Binance USD-M's New Algo Order. `core.py` asks for every price and places what was triggered.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from bot.sim.exchange.records import AlgoRecord, Kind, NewOrder, Working
from bot.sim.refusals import would_trigger

TRIGGER_PROTECT = Decimal("0.05")
_STOPS = (Kind.STOP, Kind.STOP_MARKET)


def check_now(asked: NewOrder, price: Decimal) -> None:
    """Raises Refused for one that would go off at once, or a trailing one to be activated on the wrong side."""
    if asked.kind is Kind.TRAILING_STOP_MARKET:
        activate = asked.activate_price
        if activate is not None and (activate >= price if asked.buys else activate <= price):
            raise would_trigger()
    elif reached(asked, price):
        raise would_trigger()


def reached(asked: NewOrder, price: Decimal) -> bool:
    """A buying stop and a selling take-profit wait for a price at theirs or above it, the other two for one at or below."""
    trigger = asked.trigger_price
    if trigger is None:
        return False
    above = (asked.kind in _STOPS) is asked.buys
    return price >= trigger if above else price <= trigger


def triggered(algos: Iterable[AlgoRecord], by: Working, price: Decimal, other: Decimal | None) -> list[AlgoRecord]:
    """Those of one symbol that this price sets off. `other` is the price that `by` is not, for price protection."""
    far = other is None or abs(price - other) > TRIGGER_PROTECT * price
    return [
        algo
        for algo in algos
        if algo.asked.working is by and _goes_off(algo, price) and not (algo.asked.price_protect and far)
    ]


def _goes_off(algo: AlgoRecord, price: Decimal) -> bool:
    return _trails(algo, price) if algo.asked.kind is Kind.TRAILING_STOP_MARKET else reached(algo.asked, price)


def _trails(algo: AlgoRecord, price: Decimal) -> bool:
    asked, buys = algo.asked, algo.asked.buys
    if not algo.active:
        activate = asked.activate_price
        algo.active = activate is None or (price <= activate if buys else price >= activate)
        if not algo.active:
            return False
    best = algo.extreme
    if best is None or (price < best if buys else price > best):
        algo.extreme = best = price
    away = best * (asked.callback_pct or 0) / 100
    return price >= best + away if buys else price <= best - away
