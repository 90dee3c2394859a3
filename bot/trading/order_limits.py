"""Limits of an entry whose size and price are known: asked by the sizing, and again last before the wire by the desk `positions`.

Pure. The first look decides how large an order may be and is part of the gate's answer; the second is on the very order, so that
whatever came between, no entry leaves that breaks a limit. Nothing here ever holds a stop or an exit.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from bot.domain.events import text
from bot.domain.instrument import exact
from bot.domain.ports import View
from bot.domain.values import Direction, TradingState
from bot.trading.correlation import vol_target_weight
from bot.trading.margin import SAMPLE, liquidation_price, maintenance_usd
from bot.trading.risk import FOUR_PLACES, Breach, Standing, check_market, check_rate, drawdown, left_today, standing

if TYPE_CHECKING:
    from bot.trading.sizing import SizeRules

ZERO = Decimal(0)
_CLUSTER = {each: f"limit of {{}} % of equity for {each}s that move together" for each in Direction}


class Wanted(NamedTuple):
    """An entry: `price` is its limit, `stop_distance` a fraction of price."""

    instrument: str
    direction: Direction
    quantity: Decimal
    price: Decimal
    stop_distance: Decimal

    @property
    def notional_usd(self) -> Decimal:
        return self.quantity * self.price


class Exposure(NamedTuple):
    """A limit of notional, what of it is in use already, and how the limit is told: `size` goes into `told`."""

    told: str
    size: Decimal
    used_usd: Decimal
    limit_usd: Decimal

    @property
    def name(self) -> str:
        return self.told.format(f"{self.size:f}")


def risk_usd(wanted: Wanted, fee: Decimal) -> Decimal:
    """Lost when all of it fills at its limit and the stop then fills at its trigger, `fee` (a fraction) paid both times."""
    stop = wanted.price * (1 - wanted.direction.sign * wanted.stop_distance)
    return wanted.quantity * (abs(wanted.price - stop) + (wanted.price + stop) * fee)


def exposures(instrument: str, direction: Direction, view: View, rules: SizeRules, at: Standing) -> Iterator[Exposure]:
    """The limits of notional that an entry falls under."""
    portfolio, risk = view.portfolio, rules.risk
    gross = portfolio.notional_usd()
    together = sum((portfolio.notional_usd(each) for each in cluster(instrument, direction, view, rules)), ZERO)
    here = portfolio.notional_usd(instrument)
    yield Exposure("symbol limit of {} % of equity", risk.symbol_pct, here, at.limited * risk.symbol_pct / 100)
    yield Exposure(_CLUSTER[direction], risk.cluster_pct, together, at.limited * risk.cluster_pct / 100)
    yield Exposure("gross limit of {} % of equity", risk.gross_pct, gross, at.limited * risk.gross_pct / 100)
    yield Exposure("margin at leverage {}", risk.leverage, gross, at.equity * risk.leverage)
    if risk.max_order_usd is not None:
        yield Exposure("largest order of {} USD", risk.max_order_usd, ZERO, risk.max_order_usd)
    if risk.vol_target_pct is not None:
        sigma = rules.correlations.sigma(instrument, view)
        most = exact(vol_target_weight(float(risk.vol_target_pct) / 100, sigma)) if sigma else ZERO
        unknown = "" if sigma else " (volatility is not known yet)"
        yield Exposure(f"volatility limit of {{}} % a year{unknown}", risk.vol_target_pct, ZERO, at.limited * most)


def cluster(instrument: str, direction: Direction, view: View, rules: SizeRules) -> set[str]:
    """The instruments exposed in that direction which move with it, or with one that does. Unknown counts as moving together."""
    others = [each for each in view.portfolio.exposed(direction) if each != instrument]
    found: set[str] = set()
    ask = [instrument]
    while ask:
        at = ask.pop()
        near = [each for each in others if each not in found and _together(at, each, view, rules)]
        found.update(near)
        ask += near
    return found


def _together(a: str, b: str, view: View, rules: SizeRules) -> bool:
    rho = rules.correlations.rho(a, b, view)
    return rho is None or not (max(rho, rules.risk.correlation_floor) <= rules.risk.cluster_correlation)


def check_order(wanted: Wanted, view: View, rules: SizeRules) -> Breach | None:
    """The first limit that this very order would break."""
    at = standing(view.portfolio, rules.risk)
    return (
        _state(view)
        or check_market(wanted.instrument, view, rules.risk)
        or check_rate(view, rules.risk)
        or check_price(wanted, view, rules)
        or _exposed(wanted, view, rules, at)
        or _at_risk(wanted, rules, at)
        or drawdown(at, rules.risk)
        or check_liquidation(wanted, view, rules, at)
    )


def _state(view: View) -> Breach | None:
    return None if view.state is TradingState.ACTIVE else Breach(f"state is {view.state}: {view.state_reason}")


def check_price(wanted: Wanted, view: View, rules: SizeRules) -> Breach | None:
    market, limit_pct = view.market(wanted.instrument), rules.risk.collar_pct
    for name, price in (("mark", market.mark), ("last trade", market.last)):
        if price is None:
            return Breach(f"no {name} to hold the price against", None, text(limit_pct))
        reference = exact(price)
        if not (abs(wanted.price - reference) * 100 <= limit_pct * reference):
            away_pct = (abs(wanted.price - reference) * 100 / reference).quantize(FOUR_PLACES) if reference else None
            reason = f"limit price {wanted.price:f} is over {limit_pct:f} % from the {name} {reference:f}"
            return Breach(reason, text(away_pct), text(limit_pct))
    return None


def _exposed(wanted: Wanted, view: View, rules: SizeRules, at: Standing) -> Breach | None:
    notional = wanted.notional_usd
    for each in exposures(wanted.instrument, wanted.direction, view, rules, at):
        total = each.used_usd + notional
        if not (total <= each.limit_usd):
            return Breach(f"{each.name}: {total:f} USD", text(total), text(each.limit_usd))
    return None


def _at_risk(wanted: Wanted, rules: SizeRules, at: Standing) -> Breach | None:
    own, risk = risk_usd(wanted, rules.fee), rules.risk
    most = at.limited * risk.max_risk_pct / 100
    if not (own <= most):
        return Breach(f"{own:f} USD at risk, over {risk.max_risk_pct:f} % of equity", text(own), text(most))
    left = left_today(at, risk)
    if not (own <= left):
        return Breach(f"{own:f} USD at risk, over what the daily loss limit leaves", text(own), text(left))
    return None


def check_liquidation(wanted: Wanted, view: View, rules: SizeRules, at: Standing) -> Breach | None:
    wallet, sign = view.portfolio.wallet_usd, wanted.direction.sign
    price = liquidation_price(
        wallet,
        sign,
        wanted.quantity,
        wanted.price,
        rules.brackets.get(wanted.instrument, SAMPLE),
        other_maintenance_usd=_maintenance_usd(view, rules),
        other_unrealised_usd=at.equity - wallet,
    )
    least = rules.risk.liquidation_stops * wanted.stop_distance * wanted.price
    if price is None or sign * (wanted.price - price) >= least:
        return None
    away = sign * (wanted.price - price)
    reason = (
        f"liquidation at {price.quantize(FOUR_PLACES):f}, under {rules.risk.liquidation_stops:f} stop distances away"
    )
    return Breach(reason, text(away.quantize(FOUR_PLACES)), text(least))


def _maintenance_usd(view: View, rules: SizeRules) -> Decimal:
    """Of what is open, at mark."""
    held = (position.instrument for position in view.portfolio.positions())
    return sum(
        (maintenance_usd(view.portfolio.notional_usd(each), rules.brackets.get(each, SAMPLE)) for each in held),
        ZERO,
    )
