"""The same script in two worlds (hypothesis): one engine lives through it, the other is killed now and then and takes over from its
events. Money adds up from nothing but events after every act, and in the end nothing tells the worlds apart but ids.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from bot.domain.messages import (
    BlockRequest,
    CloseRequest,
    FlattenRequest,
    KillRequest,
    MoveStopRequest,
    PauseRequest,
    ResumeRequest,
)
from bot.domain.reading import OiDelta, Regime
from bot.domain.values import NS, Direction, RegimeLabel
from tests.build import reading
from tests.trading.exits.folding import told
from tests.world import COIN, START_NS, TICK, World

LIVELY: dict[str, Any] = {"exits": {"time_stop_s": 600}, "paper": {"latency_ms": 150, "latency_p99_ms": 600}}
SIGNS = {"buy": 1, "sell": -1}
Act = tuple[str, int]


def step(world: World, act: str, whim: int) -> None:
    """One thing that happens; `whim` is how."""
    world.pass_time(0.05 + whim % 7 / 10)
    match act:
        case "move":
            world.to(world.price + (whim % 13 - 6) * 5)
        case "jump":
            world.to(world.price + (whim % 2 * 2 - 1) * (120 + whim % 150))
        case "sweep":
            world.trade(world.price + whim % 9 - 4, "700", buys=whim % 2 == 0)
        case "quiet":
            world.pass_time(1 + whim % 240)
            world.to(world.price + whim % 3 - 1)
        case "mark":
            world.mark(str(TICK * (world.price + whim % 5 - 2)), next_funding_ns=START_NS + 8 * 3600 * NS)
        case "signal":
            world.signal(Direction.LONG if whim % 2 else Direction.SHORT)
        case "trend":
            _trend(world, 1 if whim % 2 else -1)
        case "operator":
            world.say(_request(world, whim))


def _trend(world: World, sign: int) -> None:
    regime = Regime(label=RegimeLabel.TREND, hurst=0.7, z=3.0, sum_100=0.01 * sign, sum_12=0.001 * sign)
    for name, value in (("regime", regime), ("oi_delta_5m", OiDelta(pct=0.5))):
        source = "own" if name == "regime" else "venue"
        world.read(reading(name, value, key=COIN.id, source=source, now_ns=world.now_ns))


def _request(world: World, whim: int) -> Any:
    price = TICK * (world.price + whim % 90 - 45)
    return (
        CloseRequest(instrument=COIN.id),
        CloseRequest(instrument=COIN.id, part_pct=Decimal(1 + whim % 99)),
        MoveStopRequest(instrument=COIN.id, price=price),
        BlockRequest(instrument=COIN.id, blocked=whim % 3 == 0),
        PauseRequest(),
        ResumeRequest(),
        ResumeRequest(),
        KillRequest(),
        FlattenRequest(),
    )[whim % 9]


# --- what a world is like ---


def state_of(world: World) -> dict[str, Any]:
    """Everything that decides what comes next, without ids."""
    parts, portfolio = world.parts, world.parts.portfolio
    held = portfolio.position(COIN.id)
    plan = None if held is None else parts.exits.plan(held.position_id)
    money = portfolio.money
    return {
        "money": (
            money.wallet_usd,
            money.realised_usd,
            money.fees_usd,
            money.funding_usd,
            money.peak_usd,
            money.day_start_usd,
        ),
        "position": None
        if held is None
        else (held.direction, held.entered, held.exited, held.opened_ns, held.stop_price, held.frozen),
        "plan": None if held is None or plan is None else _bare(told(plan, held)),
        "resting": sorted(
            (o.order.leg, o.order.price, o.order.stop_price, o.order.quantity, o.filled) for o in parts.venue.working()
        ),
        "venue": parts.venue.account.positions(),
        "causes": {key: (cause.reason, cause.since_ns) for key, cause in parts.state.causes.items()},
        "blocks": sorted(parts.state.blocks),
        "closed": (portfolio.last_close_ns(COIN.id), *(portfolio.last_stop_ns(COIN.id, each) for each in Direction)),
        "entries": portfolio.entries_today(world.now_ns),
        "orders": portfolio.orders_last_minute(world.now_ns),
    }


def _bare(value: Any) -> Any:
    """Orders by what they ask for."""
    if hasattr(value, "client_order_id"):
        return (value.leg, value.type, value.price, value.stop_price, value.quantity, value.reason)
    if isinstance(value, dict):
        return {key: _bare(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_bare(item) for item in value]
    return value


def history_of(world: World) -> list[Any]:
    kinds = {
        "FILL": ("leg", "price", "quantity", "fee", "maker", "trade_id"),
        "POSITION_CLOSED": ("reason", "pnl_usd", "fees_usd", "funding_usd", "held_s", "in_force_hold"),
        "EXIT_DEFERRED": ("wanted",),
        "STOP_MOVED": ("old_price", "new_price"),
        "DECISION": ("allowed", "blocker", "quantity"),
    }
    return [(e.kind, e.ts, *(e.data[key] for key in kinds[e.kind])) for e in world.events if e.kind in kinds]


# --- what must hold in it ---


def check(world: World) -> None:
    """Money from nothing but events, one position that is the sum of its fills and the venue's, all of it covered."""
    parts, held = world.parts, world.parts.portfolio.position(COIN.id)
    cash, coins = world.settings.paper.equity_usd, Decimal(0)
    for event in world.events:
        if event.kind == "FILL":
            signed = SIGNS[event.data["side"]] * Decimal(event.data["quantity"])
            coins += signed
            cash -= signed * Decimal(event.data["price"]) + Decimal(event.data["fee"])
        elif event.kind == "FUNDING":
            cash += Decimal(event.data["usd"])
    quantity = Decimal(0) if held is None else held.direction.sign * held.quantity
    assert coins == quantity == parts.venue.account.quantity(COIN.id)
    mark = Decimal(0) if held is None else parts.portfolio.price_usd(held)
    assert parts.portfolio.equity_usd() == cash + coins * mark
    if held is not None:
        plan = parts.exits.plan(held.position_id)
        assert plan is not None and (plan.stop is not None or plan.close_reason)
        if all(tier.before is None for tier in plan.open_tiers()) and not plan.part:
            assert plan.in_tiers() <= held.quantity
    for event in world.events:
        if event.kind == "ORDER_INTENT":
            prices = [Decimal(event.data[name]) for name in ("price", "stop_price") if event.data[name] is not None]
            assert all(COIN.on_grid(price) for price in prices) and Decimal(event.data["quantity"]) % COIN.step == 0


ACTS = ("move", "move", "move", "jump", "sweep", "quiet", "mark", "signal", "signal", "trend", "operator")
acts = st.lists(st.tuples(st.sampled_from(ACTS), st.integers(0, 5000)), min_size=5, max_size=40)


@settings(max_examples=200, deadline=None)
@given(script=acts, killed=st.sets(st.integers(0, 40), max_size=4))
def test_a_world_with_kills_ends_like_one_without(script: list[Act], killed: set[int]) -> None:
    from tests.world import settings as chosen

    calm, wild = World(chosen(**LIVELY)), World(chosen(**LIVELY))
    for number, (act, whim) in enumerate([("signal", 1), *script]):
        for world in (calm, wild):
            step(world, act, whim)
        if number in killed:
            wild.crash()
        check(wild)
        assert state_of(wild) == state_of(calm), (number, act, whim)
    assert history_of(wild) == history_of(calm)
    assert not wild.of_kind("DISCREPANCY")


@settings(max_examples=100, deadline=None)
@given(script=acts, killed=st.sets(st.integers(0, 40), min_size=1, max_size=3))
def test_where_nothing_was_recorded_nothing_is_made_up_doubled_or_left_bare(
    script: list[Act], killed: set[int]
) -> None:
    from tests.world import settings as chosen

    world = World(chosen(**LIVELY))
    for number, (act, whim) in enumerate([("signal", 1), *script]):
        step(world, act, whim)
        if number in killed:
            fills, lasting = len(world.of_kind("FILL")), _lasting(world)
            world.pass_time(whim % 900)
            world.crash(rehearse=False)
            assert len(world.of_kind("FILL")) - fills <= 6, "only what the market does from now on"
            assert all(event.ts >= world.now_ns for event in world.of_kind("FILL")[fills:])
            assert _lasting(world) == lasting
        check(world)
    trades = [event.data["trade_id"] for event in world.of_kind("FILL")]
    assert len(trades) == len(set(trades))


def _lasting(world: World) -> tuple[set[str], list[str]]:
    return {key for key in world.parts.state.causes if key in ("kill", "pause", "drawdown")}, sorted(
        world.parts.state.blocks
    )
