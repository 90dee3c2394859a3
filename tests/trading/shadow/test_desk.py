"""The desk `shadow` in a whole engine on a market the test moves: whom it follows, how they leave, and what a restart keeps."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest

from bot.domain.events import Event
from bot.domain.messages import BlockRequest, PauseRequest, ResumeRequest
from bot.domain.reading import OiDelta, Regime, Taker, Wall, Walls
from bot.domain.values import Direction, RegimeLabel
from tests.build import reading
from tests.world import COIN, TICK, World, settings

LONG, SHORT = Direction.LONG, Direction.SHORT
AT_ONCE: dict[str, Any] = {"paper": {"latency_ms": 0, "latency_p99_ms": 0}}


def world(**groups: Any) -> World:
    return World(settings(**{**AT_ONCE, **groups}))


def refusing(**groups: Any) -> World:
    """An operator's block refuses every entry; it does not keep one from closing."""
    made = world(**groups)
    made.say(BlockRequest(instrument=COIN.id))
    return made


def second(of: World, price: int | None = None) -> None:
    """One goes by, in which the book is told again."""
    of.pass_time(1)
    of.to(of.price if price is None else price)


def last(of: World, kind: str) -> Event:
    return of.of_kind(kind)[-1]


# --- who is followed ---


def test_a_refused_signal_is_followed_and_marked_as_what_could_not_have_been() -> None:
    of = refusing()
    of.signal(LONG)
    second(of)
    opened = last(of, "SHADOW_OPENED")
    assert opened.data["blocker"] == "risk_limits" and opened.data["tradable"] is False
    assert "blocked by the operator" in opened.data["why_not"]
    assert Decimal(opened.data["entry_price"]) == TICK * (of.price + 1)
    assert opened.data["signal_id"] == last(of, "SIGNAL").data["signal_id"] == opened.corr
    assert not of.open and not of.of_kind("ORDER_INTENT")


def test_an_allowed_one_gets_a_twin_that_ends_as_it_does() -> None:
    of = world()
    of.signal(LONG)
    second(of)
    second(of, of.price - 150)  # beyond the stop, 1 % away
    second(of)
    position, twin = last(of, "POSITION_CLOSED"), last(of, "SHADOW_CLOSED")
    alike = ("reason", "exit_price", "pnl_usd", "pnl_r", "fees_usd", "held_s", "in_force_hold")
    assert {key: twin.data[key] for key in alike} == {key: position.data[key] for key in alike}
    assert twin.data["reason"] == "stop" and twin.data["blocker"] is None and twin.data["tradable"] is True
    assert twin.data["position_id"] != position.data["position_id"] and twin.corr == position.corr


def test_a_later_signal_of_the_same_kind_is_a_repeat_until_it_is_over() -> None:
    of = refusing()
    for _ in range(3):
        of.signal(LONG)
        second(of)
    assert (len(of.of_kind("SHADOW_OPENED")), len(of.of_kind("SHADOW_REPEATED"))) == (1, 2)
    assert last(of, "SHADOW_REPEATED").data["of"] == last(of, "SHADOW_OPENED").corr
    assert last(of, "SHADOW_REPEATED").corr == last(of, "SIGNAL").corr
    second(of, of.price - 150)
    second(of)
    assert last(of, "SHADOW_CLOSED").data["repeats"] == 2
    of.signal(LONG)
    second(of)
    assert len(of.of_kind("SHADOW_OPENED")) == 2


def test_the_other_direction_is_a_shadow_of_its_own() -> None:
    of = refusing(exits={"reversal": False})
    of.signal(LONG)
    second(of)
    of.signal(SHORT)
    second(of)
    assert [event.data["direction"] for event in of.of_kind("SHADOW_OPENED")] == ["long", "short"]


def test_a_refused_signal_against_an_open_position_could_not_have_been_opened() -> None:
    of = world(guards={"taker_aggression": {"mirror_short": True}})
    taker = Taker(buy_usd=Decimal(2_000_000), sell_usd=Decimal(1_000_000))
    of.read(reading("taker_5m", taker, key=COIN.id, source="coinglass", now_ns=of.now_ns))
    of.signal(LONG)
    second(of)
    assert of.open
    of.signal(SHORT)
    second(of)
    opened = last(of, "SHADOW_OPENED").data
    assert (opened["direction"], opened["blocker"], opened["tradable"]) == ("short", "taker_aggression", False)
    assert opened["why_not"] == "a position the other way was open"


def test_an_allowed_signal_that_only_closes_has_no_shadow() -> None:
    of = world()
    of.signal(LONG)
    second(of)
    of.signal(SHORT)
    second(of)
    assert last(of, "DECISION").data["reversal"] and not of.open
    assert [event.data["direction"] for event in of.of_kind("SHADOW_ENTERED")] == ["long"]


def test_one_that_finds_no_room_is_told() -> None:
    of = refusing(shadow={"max_open": 1}, exits={"reversal": False})
    of.signal(LONG)
    second(of)
    of.signal(SHORT)
    second(of)
    assert "are followed already" in last(of, "SHADOW_EXPIRED").data["reason"]
    assert of.parts.shadows.left_out == 1 and len(of.parts.shadows) == 1
    off = refusing(shadow={"max_open": 0})
    off.signal(LONG)
    second(off)
    assert not off.of_kind("SHADOW_OPENED")


def test_one_whose_entry_comes_too_late_is_told() -> None:
    of = refusing(paper={"latency_ms": 1000, "latency_p99_ms": 1000})
    of.signal(LONG)
    of.pass_time(0.5)
    of.to(of.price + 50, traded=False)  # beyond its limit
    second(of)
    assert last(of, "SHADOW_EXPIRED").data["reason"] == "its entry found nothing to fill with"
    assert len(of.parts.shadows) == 0 and not of.parts.shadows.portfolio.pending(COIN.id)


def test_one_refused_for_an_old_book_could_not_have_been_opened() -> None:
    of = World(settings(**AT_ONCE))
    of.pass_time(30)  # and its book has been silent
    of.signal(LONG)
    second(of)
    assert (
        last(of, "SHADOW_OPENED").data["tradable"] is False
        and "older than" in last(of, "SHADOW_OPENED").data["why_not"]
    )


# --- how they leave ---


def trending(of: World, sign: int) -> None:
    regime = Regime(label=RegimeLabel.TREND, hurst=0.7, z=3.0, sum_100=0.01 * sign, sum_12=0.001 * sign)
    for name, value, source in (("regime", regime, "own"), ("oi_delta_5m", OiDelta(pct=0.5), "venue")):
        of.read(reading(name, value, key=COIN.id, source=source, now_ns=of.now_ns))


def test_an_opposite_signal_closes_shadows_though_no_entry_is_allowed() -> None:
    of = refusing()
    of.signal(LONG)
    second(of)
    of.signal(SHORT)
    second(of)
    assert last(of, "SHADOW_REVERSAL").data["shadows"] == 1
    assert last(of, "SHADOW_CLOSED").data["reason"] == "reversal"
    assert last(of, "SHADOW_OPENED").data["direction"] == "short"


def test_one_that_a_guard_refuses_closes_none() -> None:
    of = refusing(guards={"taker_aggression": {"on_missing": "block", "mirror_short": True}})
    of.signal(LONG)
    second(of)
    of.signal(SHORT)
    second(of)
    assert not of.of_kind("SHADOW_CLOSED") and not of.of_kind("SHADOW_REVERSAL")


def test_one_while_nothing_may_be_closed_by_signals_closes_none() -> None:
    """Paused is REDUCING, in which reversals run; with a book that has gone silent nothing does."""
    of = refusing()
    of.signal(LONG)
    second(of)
    of.pass_time(30)
    of.signal(SHORT)
    assert not of.of_kind("SHADOW_REVERSAL")
    of.say(PauseRequest())
    second(of)
    of.signal(SHORT)
    second(of)
    assert of.of_kind("SHADOW_REVERSAL") and last(of, "SHADOW_CLOSED").data["reason"] == "reversal"
    of.say(ResumeRequest())


@pytest.mark.parametrize("rehearse", [True, False])
@pytest.mark.parametrize("crash", [False, True])
def test_a_reversal_in_force_hold_is_deferred_and_runs_when_that_ends_also_over_a_restart(
    crash: bool, rehearse: bool
) -> None:
    of = refusing(hold={"min_s": 60, "extended_s": 90}, exits={"reversal": True})
    trending(of, 1)
    of.signal(LONG)
    second(of)
    assert last(of, "SHADOW_OPENED").data["min_hold_s"] == 60
    of.signal(SHORT)
    second(of)
    assert last(of, "SHADOW_EXIT_DEFERRED").data["wanted"] == "reversal"
    if crash:
        of.crash(rehearse=rehearse)
    for _ in range(7):
        of.pass_time(10)
        of.to(of.price)
    assert last(of, "SHADOW_CLOSED").data["reason"] == "reversal"
    assert 60 <= last(of, "SHADOW_CLOSED").data["held_s"] < 75


@pytest.mark.parametrize("crash", [False, True])
def test_a_target_stands_before_a_wall_and_goes_back_also_over_a_restart(crash: bool) -> None:
    of = refusing()
    of.signal(LONG)
    second(of)
    wall = 1.01 * float(TICK) * of.price
    walls = Walls(
        asks=(Wall(price=wall, usd=1e9, first_seen_ns=of.now_ns, venues=("x",)),),
        bids=(),
        ask_coverage_pct=5.0,
        bid_coverage_pct=5.0,
        institutional_usd=Decimal(25_000_000),
    )
    of.read(reading("walls", walls, key=COIN.base, source="coinglass", now_ns=of.now_ns))
    second(of)
    moved = last(of, "SHADOW_TP_ADJUSTED")
    assert Decimal(moved.data["new_price"]) < Decimal(moved.data["old_price"])
    second(of)
    if crash:
        of.crash(rehearse=False)
    of.pass_time(31)
    none = Walls(asks=(), bids=(), ask_coverage_pct=5.0, bid_coverage_pct=5.0, institutional_usd=Decimal(25_000_000))
    of.read(reading("walls", none, key=COIN.base, source="coinglass", now_ns=of.now_ns))
    for _ in range(2):
        second(of)
    back = last(of, "SHADOW_TP_ADJUSTED")
    assert (back.data["old_price"], back.data["new_price"]) == (moved.data["new_price"], moved.data["old_price"])


def test_a_part_taken_and_a_stop_at_break_even_are_known_after_a_restart() -> None:
    of = refusing()
    of.signal(LONG)
    second(of)
    opened = last(of, "SHADOW_OPENED").data
    first = opened["tiers"][0]
    second(of, int(Decimal(first["price"]) / TICK) + 5)
    second(of)
    assert last(of, "SHADOW_BREAK_EVEN") and len(of.of_kind("SHADOW_FILL")) == 2
    of.crash(rehearse=False)
    second(of, int(Decimal(opened["entry_price"]) / TICK) - 8)
    for _ in range(2):
        second(of)
    closed = last(of, "SHADOW_CLOSED").data
    exits = [event.data for event in of.of_kind("SHADOW_FILL") if event.data["leg"] != "entry"]
    assert sum((Decimal(fill["quantity"]) for fill in exits), Decimal(0)) == Decimal(opened["quantity"])
    assert closed["reason"] == "stop" and -0.1 < closed["pnl_r"] < 0.5  # nothing had been taken: -1


# --- what a restart keeps ---


def shadows(of: World) -> Sequence[tuple[Any, ...]]:
    parts = of.parts.shadows
    return [(p.direction, p.quantity, p.entry_price, p.stop_price) for p in parts.portfolio.positions()]


@pytest.mark.parametrize("decided_only", [True, False])
def test_an_entry_that_was_on_its_way_is_over_and_told(decided_only: bool) -> None:
    of = refusing(paper={"latency_ms": 500, "latency_p99_ms": 500})
    of.signal(LONG)
    if not decided_only:
        of.pass_time(0.1)
        of.to(of.price)
    assert len(of.of_kind("SHADOW_ORDER_INTENT")) == (0 if decided_only else 1)
    of.crash(rehearse=False)
    second(of)
    assert "stopped before" in last(of, "SHADOW_EXPIRED").data["reason"]
    assert len(of.parts.shadows) == 0
    of.signal(LONG)
    second(of)
    second(of)
    assert last(of, "SHADOW_OPENED").corr == last(of, "SIGNAL").corr


@pytest.mark.parametrize("rehearse", [True, False])
def test_what_is_open_is_open_again_and_counted_once(rehearse: bool) -> None:
    of = refusing(exits={"reversal": False})
    of.signal(LONG)
    of.signal(SHORT)
    second(of)
    before = shadows(of)
    assert len(before) == 2
    of.crash(rehearse=rehearse)
    assert shadows(of) == before and len(of.parts.shadows) == 2
    of.signal(LONG)
    second(of)
    assert last(of, "SHADOW_REPEATED").data["repeats"] == 1
    of.crash(rehearse=rehearse)
    of.signal(LONG)
    second(of)
    assert last(of, "SHADOW_REPEATED").data["repeats"] == 2
    second(of, of.price - 150)
    second(of)
    closed = [event.data["direction"] for event in of.of_kind("SHADOW_CLOSED")]
    assert closed.count("long") == 1
    assert not of.of_kind("SHADOW_DISCREPANCY")


def test_nothing_of_a_shadow_is_left_when_it_is_over() -> None:
    of = refusing()
    for _ in range(3):
        of.signal(LONG)
        second(of)
        second(of, of.price - 150)
        second(of)
    parts = of.parts.shadows
    assert len(of.of_kind("SHADOW_CLOSED")) == 3 and len(parts) == 0
    assert not parts.orders._orders and not parts.portfolio._last_closed and not parts._view.known
    assert not parts.venue._matching._working and not parts.venue._markets and not parts._exits._plans
    assert not parts._newest and not parts._of and not parts._restless


# --- faults of ours ---


@pytest.mark.parametrize("where", ["deciding", "while the market is shown"])
def test_a_fault_of_the_shadow_book_stops_no_trade(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError("a mistake of ours")

    of = world()
    if where == "deciding":
        monkeypatch.setattr(of.parts.shadows, "_follow", fails)
    of.signal(LONG)
    second(of)
    if where != "deciding":
        assert of.of_kind("SHADOW_OPENED")
        monkeypatch.setattr(of.parts.shadows.venue, "_at_mark", fails)
    second(of, of.price - 150)  # beyond the stop
    second(of)
    assert last(of, "POSITION_CLOSED").data["reason"] == "stop"
    assert [event.data["error"].partition(" (")[0] for event in of.of_kind("SHADOW_ERROR")] == [
        "ZeroDivisionError: a mistake of ours"
    ]
    of.signal(SHORT)
    second(of)
    assert len(of.of_kind("POSITION_OPENED")) == 2 and not of.parts.shadows.venue.watching(COIN.id)


def test_after_a_fault_and_a_restart_shadows_are_followed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError("a mistake of ours")

    of = refusing()
    of.signal(LONG)
    second(of)
    monkeypatch.setattr(of.parts.shadows.venue, "_at_mark", fails)
    second(of)
    assert of.of_kind("SHADOW_ERROR")
    of.crash(rehearse=False)
    second(of, of.price - 150)
    second(of)
    assert last(of, "SHADOW_CLOSED").data["reason"] == "stop"


def test_a_fault_of_learning_stops_no_trade(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError("a mistake of ours")

    of = world()
    monkeypatch.setattr(type(of.parts.learning.ledger), "apply", fails)
    of.signal(LONG)
    second(of)
    second(of, of.price - 150)
    second(of)
    assert last(of, "POSITION_CLOSED").data["reason"] == "stop"
    assert len(of.of_kind("LEARNING_ERROR")) == 1
