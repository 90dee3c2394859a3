"""A whole synthetic day at product defaults, through the whole engine: what positions of product size go through until their end.

One seeded day is played once; the tests look at its journal. Each rule is worked out here from other events than those that
tell of it: a close from the fills, a hold's end from the first fill and the decisions, a target from the wall it names.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from itertools import pairwise
from typing import NamedTuple

import pytest

from bot.app.replaying import replay
from bot.domain.events import Event
from bot.domain.values import NS
from bot.sim.presets import preset
from bot.sim.synthetic import write_tape
from tests.e2e.running import Json, settings_for

SEED = 29  # of the day that has one of each; another one may lack some
START_USD = Decimal(10_000)
TICK = Decimal("0.1")
MAKER, TAKER = Decimal("0.0002"), Decimal("0.0005")
STEPS = (Decimal("0.005"), Decimal("0.01"), Decimal("0.015"), Decimal("0.02"))
REASONS = {"reversal", "stop", "take_profit"}  # the others are switched off, or an operator's or a venue's doing
FUNDING_NS = 8 * 3600 * NS


class Life(NamedTuple):
    """One position: what it was when its entry was done, and everything told of it, in order."""

    opened: Json
    events: list[Event]

    @property
    def sign(self) -> int:
        return 1 if self.opened["direction"] == "long" else -1

    @property
    def entry(self) -> Decimal:
        return Decimal(self.opened["entry_price"])

    @property
    def opened_ns(self) -> int:
        return min(event.ts for event in self.events if event.kind == "FILL")

    @property
    def hold_s(self) -> int:
        held: int = self.opened["min_hold_s"]
        return held

    @property
    def hold_until_ns(self) -> int:
        return self.opened_ns + self.hold_s * NS

    @property
    def closed(self) -> Json | None:
        return next(iter(self.of("POSITION_CLOSED")), None)

    @property
    def closed_ns(self) -> int | None:
        return next((event.ts for event in self.events if event.kind == "POSITION_CLOSED"), None)

    @property
    def fills(self) -> list[Json]:
        return self.of("FILL")

    def all(self, kind: str) -> list[Event]:
        return [event for event in self.events if event.kind == kind]

    def of(self, kind: str) -> list[Json]:
        return [event.data for event in self.all(kind)]

    def at(self, share: Decimal, *, away: bool = True) -> Decimal:
        """The entry price and that share of it toward profit, on the grid, rounded away from or toward entry."""
        return grid(self.entry * (1 + self.sign * share), up=(self.sign > 0) is away)


class Day(NamedTuple):
    summary: Json
    events: list[Event]
    lives: list[Life]

    def all(self, kind: str) -> list[Event]:
        return [event for event in self.events if event.kind == kind]

    def closed(self) -> Iterator[tuple[Life, Json]]:
        for life in self.lives:
            if life.closed is not None:
                yield life, life.closed


def grid(price: Decimal, *, up: bool) -> Decimal:
    return (price / TICK).to_integral_value(ROUND_CEILING if up else ROUND_FLOOR) * TICK


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Day:
    work = tmp_path_factory.mktemp("synthetic")
    write_tape(preset("day", seed=SEED), work / "tape")
    events: list[Event] = []
    outcome = replay(settings_for(work / "data", work / "tape", strategies=("ofi", "trend")), observers=[events.extend])
    of_position: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        of_position[event.data.get("position_id", "")].append(event)
    lives = [Life(e.data, of_position[e.data["position_id"]]) for e in events if e.kind == "POSITION_OPENED"]
    return Day(outcome.summary, events, lives)


def test_every_frame_is_understood_and_nothing_is_left_behind(day: Day) -> None:
    assert (day.summary["bad_frames"], day.summary["tape_problems"]) == (0, [])
    assert not day.all("DISCREPANCY")
    assert len(day.lives) - len(list(day.closed())) == day.summary["open"] <= 1
    if not day.summary["open"]:
        assert day.summary["working_orders"] == 0


# --- holds ---------------------------------------------------------------------------------------------------------


def test_true_trend_is_held_45_minutes_or_75_where_max_pain_is_far(day: Day) -> None:
    for life in day.lives:
        price, pain = Decimal(life.fills[0]["price"]), Decimal(life.opened["max_pain_at_entry"])
        far = abs(price - pain) * 100 > 2 * pain
        assert life.hold_s == ((4500 if far else 2700) if life.opened["true_trend"] else 0)
        if life.opened["true_trend"]:
            assert life.opened["regime"] == "TREND"
            assert life.opened["oi_delta_5m_pct"] > 0
    assert {life.hold_s for life in day.lives} == {0, 2700, 4500}


def test_within_a_hold_nothing_leaves_but_stops_and_targets_which_work(day: Day) -> None:
    for life in day.lives:
        assert all(event.ts >= life.hold_until_ns for event in life.all("EXIT_DECIDED"))
    for life, closed in day.closed():
        assert closed["in_force_hold"] is (life.closed_ns is not None and life.closed_ns < life.hold_until_ns)
        assert not closed["in_force_hold"] or closed["reason"] in {"stop", "take_profit"}
    within = Counter(event.kind for life in day.lives for event in life.events if event.ts < life.hold_until_ns)
    assert within["TP_ADJUSTED"] >= 2
    assert within["BREAK_EVEN"] >= 1
    assert within["STOP_MOVED"] == within["BREAK_EVEN"]


def test_what_a_hold_defers_runs_at_its_very_end_or_is_dropped_when_it_is_too_old(day: Day) -> None:
    """Told once; the newest allowed opposite signal is what counts, and for 15 minutes."""
    ran: dict[int, Counter[bool]] = {2700: Counter(), 4500: Counter()}
    for life in day.lives:
        against = [e.ts for e in day.all("DECISION") if e.data["allowed"] and is_against(e, life)]
        deferred = life.all("EXIT_DEFERRED")
        assert [event.ts for event in deferred] == against[:1]
        for event in deferred:
            assert event.data["wanted"] == "reversal"
            assert event.data["hold_remaining_s"] == round((life.hold_until_ns - event.ts) / NS, 3)
        if not deferred or (life.closed_ns or 0) < life.hold_until_ns:
            continue
        due = life.hold_until_ns - against[-1] <= 900 * NS
        assert (life.hold_until_ns in [event.ts for event in life.all("EXIT_DECIDED")]) is due
        assert [event.ts for event in life.all("EXIT_DROPPED")] == ([] if due else [life.hold_until_ns])
        ran[life.hold_s][due] += 1
    assert ran[2700][True] >= 1
    assert ran[4500][True] >= 1
    assert sum(each[False] for each in ran.values()) >= 1


def is_against(decision: Event, life: Life) -> bool:
    """Of the other side, within its hold."""
    other = decision.data["direction"] != life.opened["direction"]
    return other and life.opened_ns < decision.ts < min(life.hold_until_ns, life.closed_ns or life.hold_until_ns)


# --- targets -------------------------------------------------------------------------------------------------------


def test_the_last_target_moves_before_walls_and_gets_back(day: Day) -> None:
    forth = back = 0
    for life in day.lives:
        nominal, now = life.at(STEPS[-1]), life.at(STEPS[-1])
        for move in life.of("TP_ADJUSTED"):
            assert (move["tier"], Decimal(move["old_price"])) == (4, now)
            now = Decimal(move["new_price"])
            if move["wall_price"] is None:
                assert now == nominal
                back += 1
                continue
            assert Decimal(move["wall_usd"]) > 25_000_000
            assert now == grid(Decimal(move["wall_price"]) * (1 - life.sign * Decimal("0.001")), up=life.sign < 0)
            assert life.sign * (nominal - now) > 0
            assert life.sign * (now - life.entry) >= life.entry * Decimal("0.005")
            forth += 1
    assert forth >= 5
    assert back >= 5


def test_walls_do_not_make_order_traffic(day: Day) -> None:
    """At most one amendment of a target in 30 s, none without a move, and all of them accepted."""
    for life in day.lives:
        amended = [e for e in life.all("ORDER_INTENT") if e.data["command"] == "amend" and e.data["leg"] != "stop"]
        assert [event.ts for event in amended] == [event.ts for event in life.all("TP_ADJUSTED")]
        assert all(later.ts - sooner.ts >= 30 * NS for sooner, later in pairwise(amended))
    assert not day.all("ORDER_REJECTED")


def test_ladders_and_stops_stand_where_they_belong(day: Day) -> None:
    for life in day.lives:
        tiers = {tier["tier"]: Decimal(tier["price"]) for tier in life.opened["tiers"]}
        numbers = [4] if life.opened["true_trend"] else [1, 2, 3, 4]
        assert tiers == {number: life.at(STEPS[number - 1]) for number in numbers}
        assert sum(Decimal(tier["quantity"]) for tier in life.opened["tiers"]) == Decimal(life.opened["quantity"])
        assert Decimal(life.opened["stop_price"]) == life.at(Decimal("-0.01"), away=True)
        seen = [e.ts for e in life.all("ORDER_ACK") if e.data["leg"] == "stop"]
        assert seen[0] - life.opened_ns <= 2 * NS


def test_break_even_covers_both_fees_from_the_right_touch_on(day: Day) -> None:
    moved = 0
    for life in day.lives:
        by = life.at(STEPS[1] if life.opened["true_trend"] else STEPS[0])
        told = life.of("BREAK_EVEN")
        assert len(told) <= 1
        for touch in told:
            assert life.sign * (Decimal(touch["touched_price"]) - by) >= 0
            assert Decimal(touch["stop_price"]) == life.at(2 * TAKER)
            moved += 1
    assert moved >= 2


# --- ends ----------------------------------------------------------------------------------------------------------


def test_every_close_has_a_reason_and_the_orders_that_go_with_it(day: Day) -> None:
    seen: Counter[str] = Counter()
    for life, closed in day.closed():
        last = life.fills[-1]["leg"]
        expected = "take_profit" if last.startswith("tier") else {"stop": "stop", "close": "reversal"}[last]
        assert closed["reason"] == expected
        seen[expected] += 1
    assert set(seen) == REASONS
    stopped = [(life, closed) for life, closed in day.closed() if closed["reason"] == "stop"]
    assert all(life.of("BREAK_EVEN") or closed["pnl_r"] < -1 for life, closed in stopped)
    assert any({fill["leg"] for fill in life.fills} == {"entry", "tier_1", "close"} for life in day.lives)


def test_money_adds_up_to_the_last_digit(day: Day) -> None:
    """Funding may be booked up to a minute after the close that pays it: what a close tells does not have that yet."""
    total = Decimal(0)
    for life, closed in day.closed():
        paid = sum((cost(fill) for fill in life.fills), Decimal(0))
        fees = sum((Decimal(fill["fee"]) for fill in life.fills), Decimal(0))
        before = [Decimal(e.data["usd"]) for e in life.all("FUNDING") if e.ts <= (life.closed_ns or 0)]
        assert Decimal(closed["pnl_usd"]) == sum(before, Decimal(0)) - paid - fees
        assert Decimal(closed["fees_usd"]) == fees
        one_r = life.entry * Decimal(life.opened["quantity"]) / 100
        assert closed["pnl_r"] == pytest.approx(float(Decimal(closed["pnl_usd"]) / one_r), abs=1e-4)
        total += sum((Decimal(funding["usd"]) for funding in life.of("FUNDING")), Decimal(0)) - paid - fees
    assert day.summary["open"] == 0, "choose a day whose last position is closed, or add what it has gained"
    assert Decimal(day.summary["equity_usd"]) == START_USD + total
    assert Decimal(day.summary["realised_pnl_usd"]) == total


def cost(fill: Json) -> Decimal:
    sign = 1 if fill["side"] == "buy" else -1
    return sign * Decimal(fill["price"]) * Decimal(fill["quantity"])


def test_fees_are_those_of_makers_and_takers(day: Day) -> None:
    for fill in (event.data for event in day.all("FILL")):
        assert Decimal(fill["fee"]) == abs(cost(fill)) * (MAKER if fill["maker"] else TAKER)
        assert fill["maker"] is fill["leg"].startswith("tier")


def test_funding_is_paid_at_its_time_and_by_who_came_or_left_in_the_minute_around_it(day: Day) -> None:
    """But who came or left then receives nothing. In this day one holds all the time, and one comes 45 s too late."""
    told = [(life, event.data) for life in day.lives for event in life.all("FUNDING")]
    whole = 0
    for life, funding in told:
        due_ns, closed_ns = funding["due_ns"], life.closed_ns or funding["due_ns"] + 61 * NS
        assert due_ns % FUNDING_NS == 0
        assert life.opened_ns - 60 * NS <= due_ns <= closed_ns + 60 * NS
        held = life.sign * Decimal(life.opened["quantity"])
        usd = -held * Decimal(funding["mark"]) * Decimal(funding["rate"])
        if life.opened_ns < due_ns - 60 * NS and due_ns + 60 * NS < closed_ns:
            assert (Decimal(funding["quantity"]), Decimal(funding["usd"])) == (held, usd)
            whole += 1
        else:
            assert Decimal(funding["usd"]) == min(usd, Decimal(0))
    assert 1 <= whole < len(told)


# --- limits --------------------------------------------------------------------------------------------------------


def test_entries_are_made_only_when_active_and_within_the_days_budget(day: Day) -> None:
    state, by_day = "", Counter[str]()
    for event in day.events:
        if event.kind == "STATE":
            state = event.data["state"]
        elif event.kind == "POSITION_ENTERED":
            assert state == "ACTIVE"
            by_day[utc_day(event.ts)] += 1
    assert list(by_day.values()) == [6, 6]
    refused = {utc_day(event.ts) for event in day.all("DECISION") if blocked_by_budget(event.data)}
    assert refused == set(by_day), "both days' budgets were used up, and the second began anew"


def utc_day(ts: int) -> str:
    return datetime.fromtimestamp(ts / NS, UTC).date().isoformat()


def blocked_by_budget(decision: Json) -> bool:
    limits: Json = next(v for v in decision["verdicts"] if v["guard"] == "risk_limits")
    return bool(limits["reason"] == "entries in the symbol today: 6 of 6")


def test_a_symbol_rests_after_a_close_and_longer_after_a_stop_out(day: Day) -> None:
    for sooner, later in pairwise(day.lives):
        assert sooner.closed is not None
        assert sooner.closed_ns is not None
        again = sooner.closed["reason"] == "stop" and sooner.sign == later.sign
        assert later.opened_ns - sooner.closed_ns >= (1800 if again else 900) * NS


def test_guards_judge_and_some_refuse(day: Day) -> None:
    outcomes: dict[str, set[str]] = defaultdict(set)
    for decision in day.all("DECISION"):
        for verdict in decision.data["verdicts"]:
            outcomes[verdict["guard"]].add(verdict["outcome"])
    for guard in ("taker_aggression", "wall_resistance", "liquidation_wall", "long_trap", "whale_conflict"):
        assert "PASS" in outcomes[guard], guard
    assert "BLOCK" in outcomes["taker_aggression"]
