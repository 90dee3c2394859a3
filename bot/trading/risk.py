"""Limits of product rules 9 that can be known without a venue account. The guard `risk_limits` asks them.

Pure: a broken limit is a value. What is missing is a breach, never a number. An opposite signal against an open position
closes it: it is held against market data and trading state alone. Limits of a sized entry are in `sizing.py`.
"""

from __future__ import annotations

from decimal import Decimal

from msgspec import Struct
from pydantic import Field

from bot.domain.events import text
from bot.domain.instrument import exact
from bot.domain.params import Params
from bot.domain.ports import PortfolioView, View
from bot.domain.values import NS, Signal, TradingState


class RiskParams(Params):
    equity_usd: Decimal | None = Field(None, gt=0, description="trade as if equity were no more than this")
    base_risk_pct: Decimal = Field(Decimal("0.25"), gt=0, le=5, description="equity risked to the stop, costs included")
    max_risk_pct: Decimal = Field(Decimal("0.6"), gt=0, le=5, description="the same after every multiplier, at most")
    symbol_pct: Decimal = Field(Decimal(60), gt=0, description="largest notional of one symbol, percent of equity")
    gross_pct: Decimal = Field(Decimal(150), gt=0, description="largest notional of all positions, percent of equity")
    max_positions: int = Field(5, ge=1)
    cooldown_s: int = Field(900, ge=0, description="no entry in a symbol for this long after a full close")
    stop_cooldown_s: int = Field(1800, ge=0, description="the same, in the same direction, after a stop-out")
    entries_per_symbol_day: int = Field(6, ge=1)
    entries_per_day: int = Field(20, ge=1)
    book_max_age_s: float = Field(2.0, gt=0)
    trade_max_age_s: float = Field(5.0, gt=0)
    mark_max_age_s: float = Field(10.0, gt=0)


class Breach(Struct, frozen=True):
    """A broken limit. `value` and `threshold` are decimal text, None where the limit is not about a number."""

    reason: str
    value: str | None = None
    threshold: str | None = None


def is_reversal(signal: Signal, portfolio: PortfolioView) -> bool:
    """Whether this signal is against an open position of its instrument."""
    position = portfolio.position(signal.instrument)
    return position is not None and position.direction is signal.direction.opposite


def equity_usd(portfolio: PortfolioView, params: RiskParams) -> Decimal:
    """Equity that risk is a share of: the account's, or the set amount if that is smaller."""
    equity = portfolio.equity_usd()
    return equity if params.equity_usd is None else min(equity, params.equity_usd)


def check_limits(signal: Signal, view: View, params: RiskParams) -> Breach | None:
    """The first limit that making this signal a trade would break."""
    reversal = is_reversal(signal, view.portfolio)
    broken = _state(view, reversal) or _market(signal, view, params)
    if broken or reversal:
        return broken
    return (
        _occupied(signal, view)
        or _positions(view, params)
        or _cooldown(signal, view, params)
        or _entries(signal, view, params)
        or _equity(view, params)
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


def _state(view: View, reversal: bool) -> Breach | None:
    if view.state is TradingState.ACTIVE or (reversal and view.state is TradingState.REDUCING):
        return None
    return Breach(f"state is {view.state}: {view.state_reason}")


def _market(signal: Signal, view: View, params: RiskParams) -> Breach | None:
    market, now_ns = view.market(signal.instrument), view.now_ns
    if not market.usable:
        return Breach("order book is not usable: incomplete, out of sequence or crossed")
    if market.mark is None:
        return Breach("no mark price")
    return (
        _aged("order book", market.book_age_ns(now_ns), params.book_max_age_s)
        or _aged("last trade", market.trade_age_ns(now_ns), params.trade_max_age_s)
        or _aged("mark price", market.mark_age_ns(now_ns), params.mark_max_age_s)
    )


def _aged(what: str, age_ns: int | None, limit_s: float) -> Breach | None:
    limit = exact(limit_s)
    if age_ns is None:
        return Breach(f"no {what} yet", None, text(limit))
    if age_ns <= limit * NS:
        return None
    return Breach(f"{what} is older than {limit:f} s", text(Decimal(age_ns) / NS), text(limit))


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


def _equity(view: View, params: RiskParams) -> Breach | None:
    equity = equity_usd(view.portfolio, params)
    return None if equity > 0 else Breach("no equity", text(equity), "0")
