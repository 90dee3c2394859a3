"""What each CoinGlass plan sells, in one table: read by `poller` (what is asked) and by `doctor` (what is told).

Plans, intervals and depths: reference, sections 1 and 3. A plan that is not known is asked for everything, and what it
refuses is learned.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from bot.market.readings import COINGLASS, SOURCES


class Plan(StrEnum):
    """From the smallest up."""

    HOBBYIST = "hobbyist"
    STARTUP = "startup"
    STANDARD = "standard"
    PROFESSIONAL = "professional"
    ENTERPRISE = "enterprise"

    def includes(self, least: Plan) -> bool:
        plans = list(Plan)
        return plans.index(self) >= plans.index(least)


class Endpoint(Struct, frozen=True, kw_only=True):
    """One path, the smallest plan that sells it as we ask for it, and how often it is asked."""

    name: str
    path: str
    least: Plan
    refresh_s: float
    max_age_s: float
    reading: str = ""  # which reading it serves; empty: none


_API = "/api/futures"

TAKER = Endpoint(
    name="taker",
    path=f"{_API}/taker-buy-sell-volume/exchange-list",
    least=Plan.HOBBYIST,
    refresh_s=60,
    max_age_s=120,
    reading="taker_5m",
)
PAIN = Endpoint(
    name="max pain",
    path="/api/option/max-pain",
    least=Plan.HOBBYIST,
    refresh_s=300,
    max_age_s=900,
    reading="max_pain",
)
WALLS = Endpoint(
    name="large orders",
    path=f"{_API}/orderbook/large-limit-order",
    least=Plan.STANDARD,
    refresh_s=30,
    max_age_s=90,
    reading="walls",
)
HEATMAP = Endpoint(
    name="liquidation heatmap",
    path=f"{_API}/liquidation/aggregated-heatmap/model1",
    least=Plan.PROFESSIONAL,
    refresh_s=300,
    max_age_s=600,
    reading="liquidation_clusters",
)
INTEREST = Endpoint(
    name="open interest",
    path=f"{_API}/open-interest/exchange-list",
    least=Plan.HOBBYIST,
    refresh_s=60,
    max_age_s=120,
    reading="oi_delta_5m",
)
CROWD = (
    Endpoint(  # at 5 minutes: the intervals of smaller plans are 30 minutes and longer, older than the reading may be
        name="long/short ratio",
        path=f"{_API}/global-long-short-account-ratio/history",
        least=Plan.STANDARD,
        refresh_s=300,
        max_age_s=900,
        reading="long_short",
    )
)
SUBSCRIPTION = Endpoint(
    name="subscription",
    path="/api/user/account/subscription",
    least=Plan.HOBBYIST,
    refresh_s=86_400,
    max_age_s=172_800,
)
PAIRS = Endpoint(
    name="pairs",
    path=f"{_API}/supported-exchange-pairs",
    least=Plan.HOBBYIST,
    refresh_s=86_400,
    max_age_s=172_800,
)

ENDPOINTS: tuple[Endpoint, ...] = (TAKER, PAIN, WALLS, HEATMAP, INTEREST, CROWD, SUBSCRIPTION, PAIRS)
CROWD_INTERVAL, CROWD_INTERVAL_S = "5m", 300


def sells(plan: Plan | None, endpoint: Endpoint) -> bool:
    """Whether asking is worth a call. An unknown plan may sell anything."""
    return plan is None or plan.includes(endpoint.least)


def coverage(plan: Plan | None) -> dict[str, str]:
    """Each reading that CoinGlass can give, and what this plan makes of it: `covered`, `unknown` (the plan is not known
    and does not have to sell it), or `not in plan` with the plan that does and the source that stands in."""
    return {endpoint.reading: _of_plan(plan, endpoint) for endpoint in ENDPOINTS if endpoint.reading}


def _of_plan(plan: Plan | None, endpoint: Endpoint) -> str:
    if plan is None:
        return "covered" if endpoint.least is Plan.HOBBYIST else "unknown"
    if sells(plan, endpoint):
        return "covered"
    others = [source for source in SOURCES[endpoint.reading].sources if source != COINGLASS]
    return f"not in plan ({endpoint.least} up); from {', '.join(others)}"
