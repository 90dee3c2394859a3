"""Keeps the open tiers within the position: when a part is closed at market, or anything but a tier made it smaller, they are cut
down in proportion. Part of the desk `exits`.

A tier that has an amendment under way is left until it is answered; reduce-only keeps it harmless meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from msgspec.structs import replace

from bot.domain.messages import Message
from bot.domain.orders import AmendOrder, CancelOrder
from bot.domain.ports import View
from bot.trading.exits.ladder import Tier, scale
from bot.trading.exits.plan import Plan, TierPlan
from bot.trading.position import Position

REASON = "cut to what is left"
SMALL = "under the venue's minimum"


def fit(plan: Plan, position: Position, view: View) -> list[Message]:
    """Cut the tiers down to what will be left once a part that is being closed is gone."""
    left = position.quantity - min(plan.part, position.quantity)
    tiers = plan.open_tiers()
    if plan.in_tiers() <= left or any(tier.before is not None for tier in tiers):
        return []
    instrument = view.instrument(position.instrument)
    ladder = scale([rung(tier, position) for tier in tiers], left, instrument)
    kept = {each.tier: each.quantity for each in ladder.tiers}
    answers = told_merged(position, ladder.merged, SMALL)
    for tier in tiers:
        answers += _cut(tier, kept.get(tier.tier, Decimal(0)))
    return answers


def told_merged(position: Position, merged: Iterable[tuple[int, int]], reason: str) -> list[Message]:
    return [
        position.event("LADDER_MERGED", "exits", {"tier": tier, "into": into, "reason": reason})
        for tier, into in merged
    ]


def rung(tier: TierPlan, position: Position) -> Tier:
    """What is still open of it."""
    return Tier(tier.tier, tier.order.price or position.entry_price, tier.remaining)


def _cut(tier: TierPlan, quantity: Decimal) -> list[Message]:
    if quantity == tier.remaining:
        return []
    if quantity == 0 or tier.uncut:
        tier.working = False
        return [CancelOrder(order=tier.order, reason=REASON)]
    tier.before = tier.order
    tier.order = replace(tier.order, quantity=tier.filled + quantity)
    return [AmendOrder(order=tier.order, reason=REASON)]
