"""Option max pain: the strike at which options of one expiry would pay the least. Pure arithmetic, exact in Decimal.

Knows no provider: `deribit` makes the rows and asks for the choice of expiry. Times are ns UTC, prices USD, open interest
in base coin. Formulas: max pain V(S) = sum C(k)·max(S-k, 0) + sum P(k)·max(k-S, 0), smallest at a strike because V is convex
and piecewise linear. The market convention is this USD form; the coin form V(S)/S is a diagnostic only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Protocol, TypeVar

from msgspec import Struct

from bot.domain.values import NS

NEAREST_NS = 2 * 3600 * NS  # nearer expiries are already settling
FARTHEST_NS = 7 * 24 * 3600 * NS
LEAST_SHARE = Decimal("0.05")  # of all open interest, for an expiry outside the window

OpenInterest = Mapping[Decimal, Decimal]  # strike, USD -> open interest, base coin


class Option(Struct, frozen=True, kw_only=True):
    """One listed option. `mark_iv_pct` is annualised, None where the provider has none."""

    expiry_ns: int
    strike: Decimal
    call: bool
    open_interest: Decimal
    underlying: Decimal
    mark_iv_pct: float | None = None


class Pain(Struct, frozen=True, kw_only=True):
    """`tied` are all strikes that pay equally little; `price` is the one of them nearest spot, then the lower."""

    price: Decimal
    tied: tuple[Decimal, ...]
    coin_price: Decimal

    @property
    def conventions_differ(self) -> bool:
        return self.coin_price != self.price


def payout_usd(calls: OpenInterest, puts: OpenInterest, price: Decimal) -> Decimal:
    """What all options together pay when they settle at `price`."""
    paid_calls = sum((oi * (price - k) for k, oi in calls.items() if k < price), Decimal(0))
    return paid_calls + sum((oi * (k - price) for k, oi in puts.items() if k > price), Decimal(0))


def max_pain(calls: OpenInterest, puts: OpenInterest, spot: Decimal) -> Pain | None:
    """None without open interest. Strikes listed without open interest are candidates too; all must be positive."""
    strikes = sorted(calls.keys() | puts.keys())
    if not any(calls.values()) and not any(puts.values()):
        return None
    usd = _payouts_usd(calls, puts, strikes)
    least = min(usd.values())
    tied = tuple(strike for strike in strikes if usd[strike] == least)
    return Pain(
        price=_among_tied(tied, calls, puts, spot),
        tied=tied,
        coin_price=min(strikes, key=lambda k: (usd[k] / k, abs(k - spot), k)),
    )


def _payouts_usd(calls: OpenInterest, puts: OpenInterest, strikes: list[Decimal]) -> dict[Decimal, Decimal]:
    """`payout_usd` at every strike in one sweep: between two of them it is a straight line, whose slope is the open interest of
    the calls below less that of the puts above. A chain of every expiry is 50 times the work otherwise."""
    at, slope = strikes[0], -sum((oi for k, oi in puts.items() if k > strikes[0]), Decimal(0))
    paid = {at: payout_usd(calls, puts, at)}
    slope += calls.get(at, Decimal(0))
    for strike in strikes[1:]:
        paid[strike] = paid[at] + slope * (strike - at)
        slope += calls.get(strike, Decimal(0)) + puts.get(strike, Decimal(0))
        at = strike
    return paid


def _among_tied(tied: tuple[Decimal, ...], calls: OpenInterest, puts: OpenInterest, spot: Decimal) -> Decimal:
    """Options of one kind only pay nothing on a whole side: there it is the outermost strike, wherever spot is."""
    if not any(puts.values()):
        return tied[0]
    if not any(calls.values()):
        return tied[-1]
    return min(tied, key=lambda strike: (abs(strike - spot), strike))


class Expiry(Struct, frozen=True, kw_only=True):
    """The options of one expiry, summed by strike. `spot` is the underlying's price for this expiry."""

    expiry_ns: int
    calls: dict[Decimal, Decimal]
    puts: dict[Decimal, Decimal]
    spot: Decimal
    open_interest: Decimal
    atm_iv_pct: float | None

    @property
    def notional_usd(self) -> Decimal:
        return self.open_interest * self.spot


def by_expiry(options: Iterable[Option]) -> list[Expiry]:
    """Nearest first."""
    groups: dict[int, list[Option]] = {}
    for option in options:
        groups.setdefault(option.expiry_ns, []).append(option)
    return [_expiry(expiry_ns, groups[expiry_ns]) for expiry_ns in sorted(groups)]


def _expiry(expiry_ns: int, options: list[Option]) -> Expiry:
    sides: dict[bool, dict[Decimal, Decimal]] = {True: {}, False: {}}
    for option in options:
        side = sides[option.call]
        side[option.strike] = side.get(option.strike, Decimal(0)) + option.open_interest
    spot = options[0].underlying
    return Expiry(
        expiry_ns=expiry_ns,
        calls=sides[True],
        puts=sides[False],
        spot=spot,
        open_interest=sum((option.open_interest for option in options), Decimal(0)),
        atm_iv_pct=_atm_iv_pct(options, spot),
    )


def _atm_iv_pct(options: list[Option], spot: Decimal) -> float | None:
    """The mean of call and put at the quoted strike nearest spot, then the lower."""
    quoted = [option for option in options if option.mark_iv_pct is not None]
    if not quoted:
        return None
    strike = min((option.strike for option in quoted), key=lambda k: (abs(k - spot), k))
    ivs = [option.mark_iv_pct for option in quoted if option.strike == strike and option.mark_iv_pct is not None]
    return sum(ivs) / len(ivs)


class Dated(Protocol):
    """What the choice looks at."""

    @property
    def expiry_ns(self) -> int: ...
    @property
    def open_interest(self) -> Decimal: ...
    @property
    def notional_usd(self) -> Decimal: ...


AnyExpiry = TypeVar("AnyExpiry", bound=Dated)


def choose_expiry(expiries: list[AnyExpiry], now_ns: int) -> AnyExpiry | None:
    """Of those 2 h to 7 d away (both included) the one with the largest notional, the nearer of two equal; else the nearest
    with at least 5 % of all open interest, not yet expired; else None."""
    ahead = [e for e in expiries if e.expiry_ns > now_ns and e.open_interest]
    window = [e for e in ahead if NEAREST_NS <= e.expiry_ns - now_ns <= FARTHEST_NS]
    if window:
        return max(window, key=lambda e: (e.notional_usd, -e.expiry_ns))
    total = sum((e.open_interest for e in ahead), Decimal(0))
    return min((e for e in ahead if e.open_interest >= LEAST_SHARE * total), key=lambda e: e.expiry_ns, default=None)
