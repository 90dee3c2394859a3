"""Max pain: the published example, ties, the quantile rule as an independent check, and which expiry is taken."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.values import NS
from bot.intel.max_pain import Expiry, Option, by_expiry, choose_expiry, max_pain, payout_usd

CASES = json.loads((Path(__file__).parents[1] / "fixtures/quant/max_pain.json").read_text())["cases"]
HOUR = 3600 * NS
NOW = 1_770_000_000 * NS
D = Decimal


def chain(side: dict[str, float]) -> dict[Decimal, Decimal]:
    return {D(strike): D(str(oi)) for strike, oi in side.items()}


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_the_fixture(case: dict[str, Any]) -> None:
    calls, puts = chain(case["calls"]), chain(case["puts"])
    pain = max_pain(calls, puts, D(case["spot"]))
    assert pain is not None
    assert (pain.price, pain.coin_price) == (case["max_pain_usd"], case["max_pain_coin"])
    assert list(pain.tied) == case["ties"]
    assert pain.conventions_differ == (case["max_pain_usd"] != case["max_pain_coin"])
    for strike, paid in case["payout_usd_at_strike"].items():
        assert payout_usd(calls, puts, D(strike)) == D(str(paid))
        assert float(payout_usd(calls, puts, D(strike)) / D(strike)) == pytest.approx(
            case["payout_coin_at_strike"][strike], abs=1e-8
        )


@pytest.mark.parametrize(
    ("calls", "puts", "spot", "price"),
    [
        ({"90": 1, "110": 5}, {"90": 5, "110": 1}, 101, 110),
        ({"90": 1, "110": 5}, {"90": 5, "110": 1}, 99, 90),
        ({"90": 1, "100": 2, "110": 3}, {}, 110, 90),
        ({}, {"90": 1, "100": 2, "110": 3}, 90, 110),
        ({"90": 0, "100": 2}, {"110": 0}, 110, 90),
        ({"90": 0}, {"110": 0}, 100, None),
        ({}, {}, 100, None),
    ],
)
def test_ties_and_one_sided_chains(
    calls: dict[str, float], puts: dict[str, float], spot: int, price: int | None
) -> None:
    pain = max_pain(chain(calls), chain(puts), D(spot))
    assert (pain and pain.price) == price


oi = st.dictionaries(st.integers(1, 40).map(D), st.integers(0, 50).map(D), min_size=1, max_size=15)


@given(oi, oi, st.integers(1, 40).map(D))
def test_it_is_the_quantile_of_strikes_at_the_put_share(
    calls: dict[Decimal, Decimal], puts: dict[Decimal, Decimal], spot: Decimal
) -> None:
    pain = max_pain(calls, puts, spot)
    total_puts = sum(puts.values())
    if not total_puts and not sum(calls.values()):
        assert pain is None
        return
    assert pain is not None
    cumulative = D(0)
    for strike in sorted(calls.keys() | puts.keys()):
        cumulative += calls.get(strike, D(0)) + puts.get(strike, D(0))
        if cumulative >= total_puts:
            assert pain.tied[0] == strike
            break
    assert pain.price in pain.tied


@given(oi, oi, st.integers(1, 40).map(D))
def test_no_strike_pays_less_than_those_it_names(
    calls: dict[Decimal, Decimal], puts: dict[Decimal, Decimal], spot: Decimal
) -> None:
    """The sweep over the strikes against the sum at each of them."""
    pain = max_pain(calls, puts, spot)
    paid = {strike: payout_usd(calls, puts, strike) for strike in sorted(calls.keys() | puts.keys())}
    if pain is not None:
        assert list(pain.tied) == [strike for strike, usd in paid.items() if usd == min(paid.values())]
        assert pain.coin_price == min(paid, key=lambda k: (paid[k] / k, abs(k - spot), k))


def expiry(in_ns: int, coins: int, spot: int = 100) -> Expiry:
    return by_expiry(
        [Option(expiry_ns=NOW + in_ns, strike=D(100), call=True, open_interest=D(coins), underlying=D(spot))]
    )[0]


@pytest.mark.parametrize(
    ("expiries", "chosen"),
    [
        ([(HOUR, 900), (2 * HOUR, 1), (168 * HOUR, 2), (169 * HOUR, 900)], 168 * HOUR),
        ([(2 * HOUR, 2), (3 * HOUR, 2)], 2 * HOUR),
        ([(2 * HOUR - 1, 5), (168 * HOUR + 1, 95)], 2 * HOUR - 1),
        ([(2 * HOUR - 1, 4), (168 * HOUR + 1, 96)], 168 * HOUR + 1),
        ([(-1, 90), (0, 90), (HOUR, 1)], HOUR),
        ([(3 * HOUR, 0)], None),
        ([], None),
    ],
)
def test_the_expiry_that_counts(expiries: list[tuple[int, int]], chosen: int | None) -> None:
    got = choose_expiry([expiry(in_ns, coins) for in_ns, coins in expiries], NOW)
    assert (got and got.expiry_ns - NOW) == chosen


def test_the_largest_is_by_notional_not_coins() -> None:
    chosen = choose_expiry([expiry(3 * HOUR, 10, spot=100), expiry(4 * HOUR, 9, spot=120)], NOW)
    assert chosen is not None and chosen.expiry_ns == NOW + 4 * HOUR


def test_at_the_money_volatility_is_of_the_quoted_strike_nearest_spot() -> None:
    def option(strike: int, call: bool, iv: float | None) -> Option:
        return Option(expiry_ns=NOW, strike=D(strike), call=call, open_interest=D(1), underlying=D(101), mark_iv_pct=iv)

    rows = [option(100, True, 50.0), option(100, False, 60.0), option(101, True, None), option(110, True, 90.0)]
    assert by_expiry(rows)[0].atm_iv_pct == 55.0
    assert by_expiry(rows[2:3])[0].atm_iv_pct is None
