"""The figures of a report: equity, drawdown, months, longs and shorts. `sheet(book)` turns a `TradeBook` into plain JSON.

Equity here is the account's money after each close: what open positions are worth at the moment is not in it, and it says so by
its name. Transfers move equity and its peak alike and are neither profit nor drawdown. Months are UTC.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from msgspec import Struct, to_builtins

from bot.domain.values import NS, Direction
from bot.learning.clusters import block_of
from bot.learning.performance import ProfitFactor, profit_factor
from bot.learning.proportions import wilson
from bot.learning.sequences import mean_of
from bot.learning.trades import Change, Trade, TradeBook

ZERO = Decimal(0)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Point(Struct, frozen=True, kw_only=True):
    """After a change. `drawdown_pct` is how far below the highest equity so far, 0 or less; None without a starting sum."""

    ts_ns: int
    equity_usd: Decimal
    drawdown_usd: Decimal
    drawdown_pct: float | None


class Month(Struct, frozen=True, kw_only=True):
    """`return_pct` is of the equity at its beginning; None where that was not known or not above zero."""

    month: str  # 2026-01
    trades: int
    won: int
    pnl_usd: Decimal
    return_pct: float | None


class Side(Struct, frozen=True, kw_only=True):
    """Trades of one direction, or of both. Rates are fractions, `win_lo` and `win_hi` Wilson 95 %; the mean R is of 4 h blocks with
    an always-valid 95 % interval. `unknown` have no result that is a number and are in no figure."""

    trades: int
    unknown: int
    won: int
    lost: int
    win_rate: float | None
    win_lo: float
    win_hi: float
    pnl_usd: Decimal
    fees_usd: Decimal
    funding_usd: Decimal
    best_usd: Decimal | None
    worst_usd: Decimal | None
    mean_win_usd: Decimal | None
    mean_loss_usd: Decimal | None
    profit_factor: ProfitFactor | None
    effective_n: int
    mean_r: float | None
    lo_r: float | None
    hi_r: float | None
    mean_held_s: float | None


def sheet(book: TradeBook) -> dict[str, Any]:
    """JSON-able; money and quantities are strings."""
    curve = curve_of(book.began_ns, book.began_usd, book.money)
    deepest = min(curve, key=lambda point: point.drawdown_usd)
    plain: dict[str, Any] = to_builtins(
        {
            "account": book.account,
            "mode": book.mode,
            "began_ns": book.began_ns,
            "now_ns": book.now_ns,
            "sessions": book.sessions,
            "earlier_accounts": book.earlier_accounts,
            "began_usd": book.began_usd,
            "equity_usd": curve[-1].equity_usd,
            "transfers_usd": sum((each.usd for each in book.money if each.transfer), ZERO),
            "pnl_usd": sum((each.usd for each in book.money if not each.transfer), ZERO),
            "deepest": deepest,
            "open_positions": len(book.open),
            "open_shadows": len(book.open_shadows),
            "shadows": len(book.shadows),
            "sides": {
                "all": side_of(book.trades),
                **{each: side_of([t for t in book.trades if t.direction == each]) for each in Direction},
            },
            "months": months_of(book),
            "curve": curve,
            "trades": book.trades,
        }
    )
    return plain


def curve_of(began_ns: int, began_usd: Decimal | None, money: Iterable[Change]) -> list[Point]:
    """From the beginning on, in order of time; without a starting sum it begins at nothing and has no percentages."""
    equity = peak = began_usd or ZERO
    points = [_point(began_ns, equity, peak, began_usd)]
    for change in money:
        equity += change.usd
        peak = peak + change.usd if change.transfer else max(peak, equity)
        points.append(_point(max(points[-1].ts_ns, change.ts_ns), equity, peak, began_usd))
    return points


def _point(ts_ns: int, equity: Decimal, peak: Decimal, began_usd: Decimal | None) -> Point:
    pct = None if began_usd is None or not peak > 0 else float((equity - peak) * 100 / peak)
    return Point(ts_ns=ts_ns, equity_usd=equity, drawdown_usd=equity - peak, drawdown_pct=pct)


def months_of(book: TradeBook) -> list[Month]:
    """Every month from the first change to the last, also those in which nothing happened."""
    if not book.money:
        return []
    results, changes = defaultdict[str, list[Decimal]](list), defaultdict[str, list[Change]](list)
    for trade in book.trades:
        if trade.pnl_usd is not None:
            results[_month(trade.closed_ns)].append(trade.pnl_usd)
    for change in book.money:
        changes[_month(change.ts_ns)].append(change)
    months, equity = [], book.began_usd
    for month in _months(min(changes), max(changes)):
        pnl = sum((each.usd for each in changes[month] if not each.transfer), ZERO)
        months.append(
            Month(
                month=month,
                trades=len(results[month]),
                won=sum(usd > 0 for usd in results[month]),
                pnl_usd=pnl,
                return_pct=float(pnl * 100 / equity) if equity is not None and equity > 0 else None,
            )
        )
        equity = None if equity is None else equity + sum((each.usd for each in changes[month]), ZERO)
    return months


def side_of(trades: Sequence[Trade]) -> Side:
    known = [(trade, trade.pnl_usd) for trade in trades if trade.pnl_usd is not None]
    results = [usd for _, usd in known]
    wins, losses = [usd for usd in results if usd > 0], [usd for usd in results if usd < 0]
    lo, hi = wilson(len(wins), len(known))
    mean = mean_of(_blocks(trades))
    return Side(
        trades=len(trades),
        unknown=len(trades) - len(known),
        won=len(wins),
        lost=len(losses),
        win_rate=len(wins) / len(known) if known else None,
        win_lo=lo,
        win_hi=hi,
        pnl_usd=sum(results, ZERO),
        fees_usd=sum((trade.fees_usd or ZERO for trade, _ in known), ZERO),
        funding_usd=sum((trade.funding_usd or ZERO for trade, _ in known), ZERO),
        best_usd=max(results, default=None),
        worst_usd=min(results, default=None),
        mean_win_usd=_mean(wins),
        mean_loss_usd=_mean(losses),
        profit_factor=profit_factor([float(usd) for usd in results]),
        effective_n=mean.n,
        mean_r=mean.mean,
        lo_r=mean.lo,
        hi_r=mean.hi,
        mean_held_s=sum(trade.held_s for trade, _ in known) / len(known) if known else None,
    )


def _blocks(trades: Iterable[Trade]) -> list[float]:
    """The mean R of each 4 h block in which trades closed."""
    blocks: dict[int, list[float]] = {}
    for trade in trades:
        if trade.pnl_r is not None:
            blocks.setdefault(block_of(trade.closed_ns), []).append(trade.pnl_r)
    return [sum(each) / len(each) for _, each in sorted(blocks.items())]


def _mean(values: Sequence[Decimal]) -> Decimal | None:
    return (sum(values, ZERO) / len(values)).quantize(Decimal("0.0001")) if values else None


def _months(first: str, last: str) -> Iterator[str]:
    year, month = map(int, first.split("-"))
    while (name := f"{year}-{month:02}") <= last:
        yield name
        year, month = (year, month + 1) if month < 12 else (year + 1, 1)


def _month(ns: int) -> str:
    return f"{_EPOCH + timedelta(microseconds=ns // (NS // 1_000_000)):%Y-%m}"
