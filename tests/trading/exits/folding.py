"""An open position and its plan, read back from nothing but the events: what the journal must be able to tell after a restart."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import orjson

from bot.domain.events import Emit, Event, canonical
from bot.trading.exits.plan import Plan
from bot.trading.orders import Orders
from bot.trading.portfolio import Portfolio
from bot.trading.position import Position
from bot.trading.recall import Recall
from bot.trading.risk import RiskParams
from bot.trading.state import State
from tests.build import BTC

FEE = Decimal("0.0005")


def recalled(stamped: Iterable[tuple[int, Emit]], wallet_usd: Decimal = Decimal(10_000)) -> tuple[Portfolio, Recall]:
    """What a restart makes of these events, as they are stored."""
    portfolio = Portfolio(wallet_usd, lambda instrument: None)
    recall = Recall(portfolio, Orders(), State(portfolio, RiskParams()), {BTC: BTC}, FEE)
    for seq, (ts, emit) in enumerate(stamped, 1):
        data = orjson.loads(canonical(emit.data))
        recall.apply(
            Event(
                seq=seq,
                ts=ts,
                frame=seq,
                kind=emit.kind,
                v=emit.v,
                account="main",
                mode="paper",
                symbol=emit.instrument,
                source=emit.source,
                corr=emit.corr,
                cause=None,
                data=data,
            )
        )
    return portfolio, recall


def told(plan: Plan, position: Position) -> dict[str, Any]:
    """What of a plan decides anything from here on. Finished tiers, a goal that is no gain and times long over do not."""
    stop = plan.stop
    goal = None if stop is None or stop.goal is None else position.direction.sign * (stop.goal - stop.price) > 0
    return {
        "stop": None if stop is None else (stop.order, stop.pending, stop.seen, stop.moved_ns, stop.refusals),
        "goal": (stop.goal, stop.reason, stop.retry_ns) if stop is not None and goal else None,
        "restored": plan.restored_ns,
        "tiers": [
            (t.tier, t.order, t.nominal, t.filled, t.moved_ns, t.before, t.uncut)
            for t in plan.open_tiers()
            if t.before is None
            or t.filled < t.before.quantity  # filled before its amendment arrived, which will be refused
        ],
        "break_even_due": plan.break_even_due,
        "best": plan.best_price,
        "liquidation": plan.liquidation_distance,
        "close": plan.close,
        "close_filled": plan.close_filled if plan.close else None,
        "leaving": (plan.close_reason, plan.part, plan.attempts, plan.refusals),
        "retry": plan.retry_ns if plan.close is None else None,
        "last_exit_leg": plan.last_exit_leg,
        "deferred": plan.deferred,
        "newest_allowed": plan.newest_allowed,
    }
