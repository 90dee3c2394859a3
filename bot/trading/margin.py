"""Maintenance margin by bracket, and the price at which an account would be liquidated (cross margin, one-way mode).

Pure, all in `Decimal`. Formulas: Binance USD-M's help on liquidation; maintenance = notional x rate - deduction, where the
deduction makes it continuous from bracket to bracket. Triggered on mark. Exits and limits ask
`liquidation_price` how far away it is; `account.py` asks `maintenance_usd` whether it has come.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal

from msgspec import Struct

_ZERO = Decimal(0)


class Bracket(Struct, frozen=True):
    """For notionals above the bracket before up to `cap_usd` (None: no limit). `rate` is a fraction."""

    cap_usd: Decimal | None
    rate: Decimal
    deduction_usd: Decimal = _ZERO


def make_brackets(caps_and_rates: Iterable[tuple[Decimal, Decimal]]) -> tuple[Bracket, ...]:
    """From (cap in USD, rate as a fraction), ascending: d(n) = floor(n) x (rate(n) - rate(n-1)) + d(n-1).

    The last one has no limit here: a notional over its cap is held to the same rate.
    """
    made: list[Bracket] = []
    floor = deduction = before = _ZERO
    for cap, rate in caps_and_rates:
        deduction += floor * (rate - before)
        made.append(Bracket(cap, rate, deduction))
        floor, before = cap, rate
    return (*made[:-1], Bracket(None, made[-1].rate, made[-1].deduction_usd)) if made else ()


SAMPLE_DATE = "2021-03-18"
SAMPLE_CAPS_AND_RATES_PCT = tuple(
    (Decimal(cap), Decimal(rate))
    for cap, rate in (
        ("50000", "0.4"),
        ("250000", "0.5"),
        ("1000000", "1"),
        ("10000000", "2.5"),
        ("20000000", "5"),
        ("50000000", "10"),
        ("100000000", "12.5"),
        ("200000000", "15"),
        ("300000000", "25"),
        ("500000000", "50"),
    )
)
SAMPLE = make_brackets((cap, rate / 100) for cap, rate in SAMPLE_CAPS_AND_RATES_PCT)
"""Binance's announced BTCUSDT brackets of `SAMPLE_DATE`. Today's come from a signed request only, so without keys this dated
table stands in, for every symbol that has none in the settings; smaller coins have steeper ones."""


def maintenance_usd(notional_usd: Decimal, brackets: Sequence[Bracket] = SAMPLE) -> Decimal:
    for bracket in brackets:
        if bracket.cap_usd is None or notional_usd <= bracket.cap_usd:
            return notional_usd * bracket.rate - bracket.deduction_usd
    return notional_usd * brackets[-1].rate - brackets[-1].deduction_usd


def liquidation_price(
    wallet_usd: Decimal,
    sign: int,
    quantity: Decimal,
    entry_price: Decimal,
    brackets: Sequence[Bracket] = SAMPLE,
    *,
    other_maintenance_usd: Decimal = _ZERO,
    other_unrealised_usd: Decimal = _ZERO,
) -> Decimal | None:
    """The mark at which equity equals maintenance margin. None for a long that is safe down to zero.

    `sign` is +1 for a long, -1 for a short, `quantity` above zero. `wallet_usd` is the cross wallet; the `other_` ones are
    sums over the account's other positions, taken as they stand. Zero for a short: under water at any price.
    """
    equity_at_zero = wallet_usd - other_maintenance_usd + other_unrealised_usd - sign * quantity * entry_price
    for (
        bracket
    ) in brackets:  # rate and deduction belong to the notional at that price: the bracket that agrees with itself
        price = (equity_at_zero + bracket.deduction_usd) / (quantity * (bracket.rate - sign))
        if bracket.cap_usd is None or price * quantity <= bracket.cap_usd:
            break
    if price > 0:
        return price
    return None if sign > 0 else _ZERO
