"""Guard `liquidation_wall`: 0.5 % of open interest within 0.5 % of price, both inclusive. Price is 65 000."""

from __future__ import annotations

from decimal import Decimal

import pytest

from bot.domain.reading import LiquidationCluster, LiquidationClusters
from bot.domain.values import Direction, Outcome, Verdict
from bot.trading.guards.liquidation_wall import LiquidationWall, LiquidationWallParams
from tests.build import BTC, FakeView, context, reading, signal

LONG, SHORT = Direction.LONG, Direction.SHORT
BLOCK, PASS, ABSTAIN = Outcome.BLOCK, Outcome.PASS, Outcome.ABSTAIN
OI = Decimal(1_000_000_000)


def check(
    *clusters: tuple[str, str, Direction],
    direction: Direction = LONG,
    oi: Decimal = OI,
    model: bool = False,
    mid: float | None = 65000.0,
    **settings: object,
) -> Verdict:
    guard = LiquidationWall(LiquidationWallParams.model_validate(settings), context())
    payload = LiquidationClusters(
        clusters=tuple(LiquidationCluster(price=Decimal(p), usd=Decimal(u), side=s) for p, u, s in clusters),
        open_interest_usd=oi,
        model=model,
    )
    view = FakeView(reading("liquidation_clusters", payload))
    view.market(BTC).bid = view.market(BTC).ask = mid
    return guard.check(signal(direction), view)


@pytest.mark.parametrize(
    ("price", "usd", "side", "outcome"),
    [
        ("65325", "5000000", SHORT, BLOCK),  # exactly 0.5 % above, exactly 0.5 % of open interest
        ("65325.01", "5000000", SHORT, PASS),
        ("65325", "4999999.99", SHORT, PASS),
        ("65000.01", "5000000", SHORT, BLOCK),
        ("65000", "5000000", SHORT, PASS),  # at price is not above it
        ("64900", "5000000", SHORT, PASS),
        ("65100", "5000000", LONG, PASS),  # longs liquidated there are not in a long's way
    ],
)
def test_long(price: str, usd: str, side: Direction, outcome: Outcome) -> None:
    assert check((price, usd, side)).outcome is outcome


@pytest.mark.parametrize(
    ("price", "usd", "side", "outcome"),
    [
        ("64675", "5000000", LONG, BLOCK),
        ("64674.99", "5000000", LONG, PASS),
        ("64675", "4999999.99", LONG, PASS),
        ("65100", "5000000", LONG, PASS),
        ("64900", "5000000", SHORT, PASS),
    ],
)
def test_short_mirrored(price: str, usd: str, side: Direction, outcome: Outcome) -> None:
    assert check((price, usd, side), direction=SHORT, mirror_short=True).outcome is outcome


def test_the_largest_in_range_is_shown() -> None:
    found = check(("65100", "2000000", SHORT), ("65200", "7000000", SHORT), ("66000", "90000000", SHORT))
    assert (found.outcome, found.value, found.threshold) == (BLOCK, "0.7000", "0.5")
    assert "65200" in found.reason
    below = check(("65100", "2000000", SHORT))
    assert (below.outcome, below.value) == (PASS, "0.2000")
    nothing = check()
    assert (nothing.outcome, nothing.value) == (PASS, "0")
    assert nothing.reason == "no short liquidations within 0.5 % above price"


def test_of_equally_large_ones_the_first_is_shown() -> None:
    found = check(("65300", "7000000", SHORT), ("65100", "7000000", SHORT), ("65200", "7000000.00", SHORT))
    assert found.reason == "short liquidations at 65300, price 65000.0"


def test_clusters_of_our_own_model_decide_only_when_told_to() -> None:
    cluster = ("65100", "9000000", SHORT)
    assert check(cluster, model=True).outcome is ABSTAIN
    assert check(cluster, model=True, on_missing="block").outcome is ABSTAIN
    assert check(cluster, model=True, use_model=True).outcome is BLOCK


def test_unknown_open_interest_is_no_number() -> None:
    assert check(("65100", "9000000", SHORT), oi=Decimal(0)).outcome is ABSTAIN


def test_without_a_book_the_signal_names_the_price() -> None:
    assert check(("65325", "5000000", SHORT), mid=None).outcome is BLOCK
    assert check(("65325", "5000000", SHORT), mid=64900.0).outcome is PASS


def test_other_settings() -> None:
    assert check(("65650", "10000000", SHORT), oi_pct="1", distance_pct="1").outcome is BLOCK
    assert check(("65650.1", "10000000", SHORT), oi_pct="1", distance_pct="1").outcome is PASS
