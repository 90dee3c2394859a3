"""Where the tiers are, how the quantity is split, and what happens to tiers under the venue's minimum."""

from __future__ import annotations

import json
from decimal import Decimal as D
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.values import Direction
from bot.trading.exits.ladder import LadderParams, Tier, build, manageable, split, targets
from tests.build import instrument

CHECKS = Path(__file__).resolve().parents[3] / "../shared/fixtures/quant/exits.json"
LONG, SHORT = Direction.LONG, Direction.SHORT
PARAMS = LadderParams()


def checks(name: str) -> list[dict[str, Any]]:
    if not CHECKS.exists():
        pytest.skip(f"check values are not here: {CHECKS}")
    cases: list[dict[str, Any]] = json.loads(CHECKS.read_text(), parse_float=D, parse_int=D)[name]
    return cases


def test_targets_match_the_check_values() -> None:
    for case in checks("ladder"):
        direction = LONG if case["side"] == 1 else SHORT
        found = targets(case["entry"], direction, instrument(tick=str(case["tick"])), PARAMS)
        assert list(found) == case["tp"]


def test_split_matches_the_check_values() -> None:
    for case in checks("split"):
        assert split(case["qty"], case["fractions"], instrument(step=str(case["step"]))) == case["parts"]


@pytest.mark.parametrize(
    ("direction", "entry", "expected"),
    [
        (LONG, "65000", ["65325.0", "65650.0", "65975.0", "66300.0"]),
        (SHORT, "65000", ["64675.0", "64350.0", "64025.0", "63700.0"]),
        (LONG, "65000.01", ["65325.1", "65650.1", "65975.1", "66300.1"]),  # between ticks: up, away from entry
        (SHORT, "64999.99", ["64674.9", "64349.9", "64024.9", "63699.9"]),  # down, away from entry
    ],
)
def test_targets_are_rounded_away_from_entry(direction: Direction, entry: str, expected: list[str]) -> None:
    assert targets(D(entry), direction, instrument(), PARAMS) == tuple(map(D, expected))


def test_a_large_position_has_four_tiers_and_the_last_takes_the_remainder() -> None:
    ladder = build(D(65000), D("0.010"), LONG, instrument(), PARAMS, true_trend=False)
    assert [(t.tier, t.price, t.quantity) for t in ladder.tiers] == [
        (1, D("65325.0"), D("0.002")),
        (2, D("65650.0"), D("0.002")),
        (3, D("65975.0"), D("0.002")),
        (4, D("66300.0"), D("0.004")),
    ]
    assert ladder.merged == ()


@pytest.mark.parametrize("direction", [LONG, SHORT])
def test_true_trend_puts_everything_on_tier_4(direction: Direction) -> None:
    ladder = build(D(65000), D("0.010"), direction, instrument(), PARAMS, true_trend=True)
    assert ladder.tiers == (Tier(4, D(65000) + direction.sign * 1300, D("0.010")),)
    assert ladder.merged == ()


@pytest.mark.parametrize(
    ("quantity", "rules", "fractions", "quantities", "merged"),
    [
        # shares that round down to nothing
        ("0.003", {}, None, {4: "0.003"}, ((1, 4), (2, 4), (3, 4))),
        # minimum notional: 0.001 at about 200 000 is under 300 USD, twice that is not
        ("0.007", {"min_notional": D("300")}, None, {2: "0.002", 4: "0.005"}, ((1, 2), (3, 4))),
        # minimum quantity: 0.001 a tier is under 0.002, so 1 joins 2 and 3 joins 4
        ("0.004", {"min_quantity": D("0.002")}, None, {2: "0.002", 4: "0.002"}, ((1, 2), (3, 4))),
        # the last is under it: it joins the one before that stands
        ("0.010", {"min_quantity": D("0.002")}, "0.4 0.3 0.2 0.1", {1: "0.004", 2: "0.003", 3: "0.003"}, ((4, 3),)),
        # 3 waits for 4, together they are still under it: both join 2
        ("0.010", {"min_quantity": D("0.003")}, "0.4 0.4 0.1 0.1", {1: "0.004", 2: "0.006"}, ((3, 2), (4, 2))),
        # nothing stands: the last holds all of it
        ("0.004", {"min_quantity": D("0.005")}, None, {4: "0.004"}, ((1, 4), (2, 4), (3, 4))),
        # a tier that is switched off is not a merged one
        ("0.010", {}, "0 0.5 0 0.5", {2: "0.005", 4: "0.005"}, ()),
    ],
)
def test_tiers_under_the_minimum_merge(
    quantity: str,
    rules: dict[str, Any],
    fractions: str | None,
    quantities: dict[int, str],
    merged: tuple[tuple[int, int], ...],
) -> None:
    params = LadderParams.model_validate({"fractions": fractions.split()}) if fractions else PARAMS
    ladder = build(D(200_000), D(quantity), LONG, instrument(**rules), params, true_trend=False)
    assert {t.tier: t.quantity for t in ladder.tiers} == {n: D(q) for n, q in quantities.items()}
    assert ladder.merged == merged


@pytest.mark.parametrize(("min_notional", "standing"), [("65.325", [1, 2, 3, 4]), ("65.326", [2, 3, 4])])
def test_the_minimum_notional_counts_at_the_tiers_own_price(min_notional: str, standing: list[int]) -> None:
    ladder = build(D(65000), D("0.004"), LONG, instrument(min_notional=D(min_notional)), PARAMS, true_trend=False)
    assert [t.tier for t in ladder.tiers] == standing


@pytest.mark.parametrize(
    ("quantity", "price", "expected"),
    [("0.002", "50000", True), ("0.002", "49999.9", False), ("0.0009", "900000", False)],
)
def test_manageable(quantity: str, price: str, expected: bool) -> None:
    assert manageable(D(quantity), D(price), instrument()) is expected


prices = st.decimals(min_value="0.5", max_value="200000", places=4)
fractions = st.lists(st.integers(0, 20), min_size=4, max_size=4).filter(any).map(lambda w: [D(x) for x in w])


def shares(weights: list[D]) -> tuple[D, D, D, D]:
    a, b, c = (w / sum(weights) for w in weights[:3])
    rounded = [x.quantize(D("0.0001"), "ROUND_DOWN") for x in (a, b, c)]
    return (*rounded, 1 - sum(rounded))  # type: ignore[return-value]


@given(
    entry=prices,
    steps=st.integers(1, 10**6),
    direction=st.sampled_from(Direction),
    weights=fractions,
    true_trend=st.booleans(),
    min_quantity=st.integers(1, 500),
    min_notional=st.integers(0, 10**6),
)
def test_a_ladder_sells_exactly_what_is_held(
    entry: D,
    steps: int,
    direction: Direction,
    weights: list[D],
    true_trend: bool,
    min_quantity: int,
    min_notional: int,
) -> None:
    rules = instrument(tick="0.0001", min_quantity=min_quantity * D("0.001"), min_notional=D(min_notional))
    quantity = steps * D("0.001")
    ladder = build(entry, quantity, direction, rules, LadderParams(fractions=shares(weights)), true_trend)
    assert sum(t.quantity for t in ladder.tiers) == quantity
    assert all(t.quantity > 0 and t.quantity % rules.step == 0 for t in ladder.tiers)
    assert len(ladder.tiers) == 1 or all(rules.tradable(t.quantity, t.price) for t in ladder.tiers)
    standing = {t.tier for t in ladder.tiers}
    assert all(into in standing and source not in standing for source, into in ladder.merged)


@given(entry=prices, direction=st.sampled_from(Direction), tick=st.sampled_from(["0.0001", "0.01", "0.5"]))
def test_targets_are_on_the_grid_and_never_nearer_than_asked_for(entry: D, direction: Direction, tick: str) -> None:
    found = targets(entry, direction, instrument(tick=tick), PARAMS)
    for price, pct in zip(found, PARAMS.targets_pct, strict=True):
        beyond = direction.sign * (price - entry) - entry * pct / 100
        assert 0 <= beyond < D(tick)
        assert price % D(tick) == 0


@given(entry=st.integers(1, 10**6), distance=st.sampled_from(range(4)))
def test_long_and_short_targets_mirror_each_other(entry: int, distance: int) -> None:
    rules = instrument(tick="0.001")
    up = targets(D(entry), LONG, rules, PARAMS)[distance]
    down = targets(D(entry), SHORT, rules, PARAMS)[distance]
    assert up + down == 2 * entry
