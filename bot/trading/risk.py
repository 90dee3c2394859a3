"""Limits of product rules 9 that hold before a size is known. The guard `risk_limits` asks them, the desk `state` those of loss.

Pure: a broken limit is a value. What is missing is a breach, never a number. An opposite signal against an open position
closes it: it is held against market data and trading state alone. Limits of the sized order are in `order_limits.py`.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Literal, NamedTuple

from msgspec import Struct
from pydantic import Field, model_validator

from bot.domain.events import text
from bot.domain.instrument import exact
from bot.domain.params import Params
from bot.domain.ports import PortfolioView, View
from bot.domain.values import NS, Signal, TradingState

FOUR_PLACES = Decimal("0.0001")


class RiskParams(Params):
    equity_usd: Decimal | None = Field(None, gt=0, description="trade as if equity were no more than this")
    base_risk_pct: Decimal = Field(Decimal("0.25"), gt=0, le=5, description="equity risked to the stop, costs included")
    max_risk_pct: Decimal = Field(Decimal("0.6"), gt=0, le=5, description="the same after every multiplier, at most")
    symbol_pct: Decimal = Field(Decimal(60), gt=0, description="largest notional of one symbol, percent of equity")
    cluster_pct: Decimal = Field(
        Decimal(100), gt=0, description="the same of all symbols that move together, in one direction"
    )
    gross_pct: Decimal = Field(Decimal(150), gt=0, description="largest notional of all positions, percent of equity")
    cluster_correlation: float = Field(
        0.7, ge=0, lt=1, description="symbols correlated more than this move together; unknown counts as 1"
    )
    correlation_floor: float = Field(0.5, ge=0, le=1, description="crypto pairs are taken to be correlated this much")
    correlation_half_life_bars: int = Field(
        72, ge=12, le=240, description="closed 5-minute bars after which a return weighs half"
    )
    leverage: Decimal = Field(Decimal(3), ge=1, le=125, description="gross notional over equity, as set on the venue")
    max_positions: int = Field(5, ge=1)
    cooldown_s: int = Field(900, ge=0, description="no entry in a symbol for this long after a full close")
    stop_cooldown_s: int = Field(1800, ge=0, description="the same, in the same direction, after a stop-out")
    entries_per_symbol_day: int = Field(6, ge=1)
    entries_per_day: int = Field(20, ge=1)
    orders_per_minute: int = Field(
        120, ge=1, description="no entry while this many order commands of any kind were sent in the last 60 s"
    )
    max_order_usd: Decimal | None = Field(
        None, gt=0, description="largest notional of one entry; empty: what the symbol's limit allows"
    )
    collar_pct: Decimal = Field(
        Decimal(2), gt=0, le=20, description="farthest an entry's limit price may be from mark and from the last trade"
    )
    liquidation_stops: Decimal = Field(
        Decimal(3), ge=1, description="liquidation must be at least this many stop distances away"
    )
    daily_loss_pct: Decimal = Field(
        Decimal(3), gt=0, le=100, description="loss since 00:00 UTC that ends the day's entries"
    )
    on_daily_loss: Literal["hold", "flatten"] = Field("hold", description="what then becomes of open positions")
    drawdown_pct: Decimal = Field(
        Decimal(10),
        gt=0,
        le=100,
        description="loss from the peak that halts trading until a resume; half size at half of it",
    )
    vol_target_pct: Decimal | None = Field(
        None, gt=0, description="largest volatility a year that one position may bring to equity; empty: no such limit"
    )
    reducing_clear_s: int = Field(60, ge=0, description="a feed must be whole again for this long before entries go on")
    book_max_age_s: float = Field(2.0, gt=0)
    trade_max_age_s: float = Field(5.0, gt=0)
    mark_max_age_s: float = Field(10.0, gt=0)
    clock_max_s: float = Field(
        2.0,
        gt=0,
        description="no entry while the venue stamps its mark prices farther than this from our clock: one of the clocks is wrong, or "
        "what it says comes late",
    )

    @model_validator(mode="after")
    def _ordered(self) -> RiskParams:
        if self.base_risk_pct > self.max_risk_pct:
            raise ValueError(f"risk.base_risk_pct {self.base_risk_pct} is over max_risk_pct {self.max_risk_pct}")
        return self


class Breach(Struct, frozen=True):
    """A broken limit. `value` and `threshold` are decimal text, None where the limit is not about a number."""

    reason: str
    value: str | None = None
    threshold: str | None = None


class Standing(NamedTuple):
    """The account's numbers, in USD, taken once for all limits of one decision."""

    equity: Decimal
    limited: Decimal  # equity that limits are shares of: the account's, or the set amount if that is smaller
    day_start: Decimal
    peak: Decimal
    open_risk: Decimal


def standing(portfolio: PortfolioView, params: RiskParams) -> Standing:
    equity = portfolio.equity_usd()
    return Standing(
        equity, capped(equity, params), portfolio.day_start_usd, portfolio.peak_usd, portfolio.open_risk_usd()
    )


def is_reversal(signal: Signal, portfolio: PortfolioView) -> bool:
    """Whether this signal is against an open position of its instrument."""
    position = portfolio.position(signal.instrument)
    return position is not None and position.direction is signal.direction.opposite


def capped(usd: Decimal, params: RiskParams) -> Decimal:
    """A sum of equity that limits are percentages of: never over the set amount."""
    return usd if params.equity_usd is None else min(usd, params.equity_usd)


def check_limits(signal: Signal, view: View, params: RiskParams) -> Breach | None:
    """The first limit that making this signal a trade would break."""
    if is_reversal(signal, view.portfolio):
        return check_reversal(signal, view, params)
    return (
        _state(view)
        or check_market(signal.instrument, view, params)
        or _blocked(signal, view)
        or _occupied(signal, view)
        or _positions(view, params)
        or _cooldown(signal, view, params)
        or _entries(signal, view, params)
        or check_rate(view, params)
        or _money(view, params)
    )


def in_short(signal: Signal, view: View) -> str:
    """What the limits looked at when none was broken, for the verdict."""
    market, now_ns = view.market(signal.instrument), view.now_ns
    ages = (
        ("book", market.book_age_ns(now_ns)),
        ("trades", market.trade_age_ns(now_ns)),
        ("mark", market.mark_age_ns(now_ns)),
    )
    told = ", ".join(f"{what} {age_ns / NS:.2f} s" for what, age_ns in ages if age_ns is not None)
    return f"{view.state}; ages: {told} ({market.mark_source}); {view.portfolio.entries_today(now_ns)} entries today"


def check_reversal(signal: Signal, view: View, params: RiskParams) -> Breach | None:
    """The same of a signal that would close an open position: that is allowed as long as anything may be closed."""
    return _state(view, TradingState.REDUCING) or check_market(signal.instrument, view, params)


def _state(view: View, also: TradingState | None = None) -> Breach | None:
    if view.state is TradingState.ACTIVE or view.state is also:
        return None
    return Breach(f"state is {view.state}: {view.state_reason}")


def check_market(instrument: str, view: View, params: RiskParams) -> Breach | None:
    """Whether the venue's data can be decided on."""
    market, now_ns = view.market(instrument), view.now_ns
    if not market.usable:
        return Breach("order book is not usable: incomplete, out of sequence or crossed")
    if market.mark is None:
        return Breach("no mark price")
    return (
        _aged("order book", market.book_age_ns(now_ns), params.book_max_age_s)
        or _aged("last trade", market.trade_age_ns(now_ns), params.trade_max_age_s)
        or _aged("mark price", market.mark_age_ns(now_ns), params.mark_max_age_s)
        or _stamped(market.stamped_ahead_ns, params.clock_max_s)
    )


def _aged(what: str, age_ns: int | None, limit_s: float) -> Breach | None:
    limit = exact(limit_s)
    if age_ns is None:
        return Breach(f"no {what} yet", None, text(limit))
    if age_ns <= limit * NS:
        return None
    return Breach(f"{what} is older than {limit:f} s", text(Decimal(age_ns) / NS), text(limit))


def _stamped(ahead_ns: int | None, limit_s: float) -> Breach | None:
    """Ages count from when a message reached us: they show neither a wrong clock nor a connection that is behind. A recording may have
    no mark prices."""
    limit = exact(limit_s)
    if ahead_ns is None or abs(ahead_ns) <= limit * NS:
        return None
    off = text(abs(Decimal(ahead_ns)) / NS)
    said = "stamps ahead of our clock: one of them is wrong"
    if ahead_ns < 0:
        said = "stamps behind our clock: one of them is wrong, or what it says comes late"
    return Breach(f"the venue {said}", off, text(limit))


def _blocked(signal: Signal, view: View) -> Breach | None:
    who = view.blocked(signal.instrument)
    return None if who is None else Breach(f"blocked by the {who}")


def _occupied(signal: Signal, view: View) -> Breach | None:
    if view.portfolio.position(signal.instrument) is not None:
        return Breach("already in the symbol")
    if view.portfolio.pending(signal.instrument):
        return Breach("an entry in the symbol is on its way")
    return None


def _positions(view: View, params: RiskParams) -> Breach | None:
    held = sum(1 for _ in view.portfolio.positions()) + view.portfolio.pending_count()
    return _spent("positions open or on their way", held, params.max_positions)


def _cooldown(signal: Signal, view: View, params: RiskParams) -> Breach | None:
    stopped_ns = view.portfolio.last_stop_ns(signal.instrument, signal.direction)
    closed_ns = view.portfolio.last_close_ns(signal.instrument)
    return _resting(f"a stop-out of a {signal.direction}", stopped_ns, params.stop_cooldown_s, view) or _resting(
        "a close", closed_ns, params.cooldown_s, view
    )


def _resting(after: str, since_ns: int | None, rest_s: int, view: View) -> Breach | None:
    if since_ns is None or view.now_ns - since_ns >= rest_s * NS:
        return None
    age_s = Decimal(view.now_ns - since_ns) / NS
    return Breach(f"cool-down: {rest_s} s after {after}", text(round(age_s, 3)), str(rest_s))


def _entries(signal: Signal, view: View, params: RiskParams) -> Breach | None:
    in_symbol = view.portfolio.entries_today(view.now_ns, signal.instrument)
    return _spent("entries in the symbol today", in_symbol, params.entries_per_symbol_day) or _spent(
        "entries today", view.portfolio.entries_today(view.now_ns), params.entries_per_day
    )


def _spent(what: str, count: int, limit: int) -> Breach | None:
    return Breach(f"{what}: {count} of {limit}", str(count), str(limit)) if count >= limit else None


def check_rate(view: View, params: RiskParams) -> Breach | None:
    return _spent("orders in the last minute", view.portfolio.orders_last_minute(view.now_ns), params.orders_per_minute)


# --- money ----------------------------------------------------------------------------------------------------------


def _money(view: View, params: RiskParams) -> Breach | None:
    at = standing(view.portfolio, params)
    if not at.equity > 0:
        return Breach("no equity", text(at.equity), "0")
    return daily_loss(at, params, at.open_risk) or drawdown(at, params)


def daily_loss(at: Standing, params: RiskParams, more: Decimal = Decimal(0)) -> Breach | None:
    """Whether today's loss, and `more` USD that may still be lost, has used up the day's limit (quant 8)."""
    and_risk = " and open risk" if more else ""
    loss = at.day_start - at.equity + more
    return _lost(f"daily loss{and_risk}", loss, capped(at.day_start, params), params.daily_loss_pct)


def left_today(at: Standing, params: RiskParams) -> Decimal:
    """USD that may still be lost today beside today's loss and the open risk; negative when that is too much already."""
    limit = capped(at.day_start, params) * params.daily_loss_pct / 100
    return limit - (at.day_start - at.equity) - at.open_risk


def drawdown(at: Standing, params: RiskParams, share: Decimal = Decimal(1)) -> Breach | None:
    """Whether equity has fallen from its peak by the limit, or by a `share` of it (quant 8)."""
    return _lost("drawdown", at.peak - at.equity, capped(at.peak, params), params.drawdown_pct * share)


def _lost(what: str, loss: Decimal, base: Decimal, limit_pct: Decimal) -> Breach | None:
    """Compared by multiplication: nothing is rounded before it is shown."""
    if loss * 100 < base * limit_pct and base > 0:
        return None
    lost_pct = (loss * 100 / base).quantize(FOUR_PLACES) if base > 0 else None
    told = "of nothing" if lost_pct is None else f"{lost_pct:f} %"
    return Breach(f"{what} {told}, limit {limit_pct:f} %", text(lost_pct), text(limit_pct))
