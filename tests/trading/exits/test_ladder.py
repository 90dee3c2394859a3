"""Where the tiers are, how the quantity is split, and what happens to tiers under the venue's minimum."""

from __future__ import annotations

import json
import math
from decimal import Decimal as D
from pathlib import Path
from statistics import NormalDist
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.values import Direction
from bot.trading.exits.hold import HoldParams
from bot.trading.exits.ladder import LadderParams, Tier, build, manageable, scale, split, targets
from bot.trading.exits.protection import stop_price
from tests.build import instrument

CHECKS = Path(__file__).resolve().parents[2] / "fixtures/quant/exits.json"
LONG, SHORT = Direction.LONG, Direction.SHORT
PARAMS = LadderParams()


def checks(name: str) -> list[dict[str, Any]]:
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


@pytest.mark.parametrize("direction", [LONG, SHORT])
def test_without_an_edge_the_chance_of_a_target_before_the_stop_is_the_check_value(direction: Direction) -> None:
    """A driftless price reaches +a before -b with probability b / (a + b): here with the very prices that would rest."""
    rules = instrument(tick="0.01")
    for case in checks("p_first_passage"):
        steps = tuple(case["tp"] + i for i in range(4))
        nearest = targets(D(65000), direction, rules, LadderParams.model_validate({"targets_pct": steps}))[0]
        stop = stop_price(D(65000), direction, rules, case["sl"] / 100)
        assert float((65000 - stop) / (nearest - stop)) == pytest.approx(float(case["p_tp_first"]), abs=1e-8)


def test_chances_of_a_touch_within_the_holds_are_the_check_values() -> None:
    """Reflection: 2Φ(−x / σ√t). The windows are our two holds."""
    cases = checks("p_touch_within")
    assert {int(case["minutes"]) * 60 for case in cases} == {HoldParams().min_s, HoldParams().extended_s}
    for case in cases:
        sd = float(case["sd_daily_pct"]) * math.sqrt(float(case["minutes"]) / 1440)
        assert sd == pytest.approx(float(case["sd_window_pct"]), abs=1e-8)
        assert 2 * NormalDist().cdf(-float(case["x_pct"]) / sd) == pytest.approx(float(case["p"]), abs=1e-8)


@pytest.mark.parametrize(
    ("r", "expected"),
    [
        (None, ["65325", "65650", "65975", "66300"]),
        ("0.01", ["65325", "65650", "65975", "66300"]),  # a stop 1 % away: both ladders are one
        ("0.004", ["65130", "65260", "65390", "65520"]),
        ("0.05", ["66625", "68250", "69875", "71500"]),
    ],
)
def test_tiers_are_percentages_or_multiples_of_the_stops_distance(r: str | None, expected: list[str]) -> None:
    assert targets(D(65000), LONG, instrument(), PARAMS, r and D(r)) == tuple(map(D, expected))  # type: ignore[arg-type]
    ladder = build(D(65000), D("0.04"), LONG, instrument(), PARAMS, False, r and D(r))  # type: ignore[arg-type]
    assert [t.price for t in ladder.tiers] == list(map(D, expected))


@pytest.mark.parametrize("group", ["targets_pct", "targets_r"])
def test_targets_must_rise(group: str) -> None:
    with pytest.raises(ValueError, match=f"{group} must be positive and rising"):
        LadderParams.model_validate({group: ["0.5", "0.5", "1", "2"]})


# --- cutting down ---


def tiers(*quantities: str) -> list[Tier]:
    return [Tier(i, D(65000) + i * 300, D(q)) for i, q in enumerate(quantities, 1)]


@pytest.mark.parametrize(
    ("before", "left", "after", "merged"),
    [
        ("0.01 0.01 0.01 0.01", "0.04", {1: "0.01", 2: "0.01", 3: "0.01", 4: "0.01"}, ()),  # nothing to cut
        ("0.01 0.01 0.01 0.01", "0.02", {1: "0.005", 2: "0.005", 3: "0.005", 4: "0.005"}, ()),
        ("0.01 0.01 0.01 0.01", "0.03", {1: "0.007", 2: "0.007", 3: "0.007", 4: "0.009"}, ()),  # the rest to the last
        ("0.04", "0.03", {4: "0.03"}, ()),
        ("0.005 0.01 0.01 0.01", "0.03", {1: "0.004", 2: "0.008", 3: "0.008", 4: "0.01"}, ()),
        # shares of 0.0015: 0.001 is 65 USD, under the minimum of 100
        ("0.01 0.01 0.01 0.01", "0.006", {2: "0.002", 4: "0.004"}, ((1, 2), (3, 4))),
        # no tier grows, so what is left goes to the last ones
        ("0.002 0.002 0.002 0.002", "0.006", {2: "0.002", 3: "0.002", 4: "0.002"}, ((1, 2),)),
        ("0.002 0.002 0.002 0.002", "0.002", {4: "0.002"}, ()),
    ],
)
def test_tiers_are_cut_in_proportion(
    before: str, left: str, after: dict[int, str], merged: tuple[tuple[int, int], ...]
) -> None:
    held = tiers(*before.split())
    if len(held) == 1:
        held = [Tier(4, D(66300), held[0].quantity)]
    ladder = scale(held, D(left), instrument())
    assert {t.tier: t.quantity for t in ladder.tiers} == {n: D(q) for n, q in after.items()}
    assert ladder.merged == merged


@given(steps=st.lists(st.integers(1, 60), min_size=1, max_size=4), share=st.integers(0, 1200))
def test_cut_tiers_never_hold_more_than_is_left_and_never_grow(steps: list[int], share: int) -> None:
    rules, held = instrument(), tiers(*(str(n * D("0.001")) for n in steps))
    left = rules.quantity(sum((t.quantity for t in held), D(0)) * share / 1000)
    cut = scale(held, left, rules)
    before = {t.tier: t.quantity for t in held}
    assert sum((t.quantity for t in cut.tiers), D(0)) <= left
    for tier in cut.tiers:
        assert 0 < tier.quantity <= before[tier.tier]
        assert tier.quantity % rules.step == 0
        assert tier.quantity == before[tier.tier] or rules.tradable(tier.quantity, tier.price)


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
