"""What counts, where, and above all what must not count."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from bot.learning.ledger import Ledger
from bot.learning.results import GuardRow, Judgement, LeftOut, Score, StrategyRow, Window
from bot.learning.scores import score
from tests.learning.histories import BLOCK, HOUR, START, History

NOT_ENOUGH = Judgement.NOT_ENOUGH
ETH = "ETH/USDT:USDT"


def row(scored: Score, guard: str = "a", direction: str = "long") -> GuardRow:
    (found,) = [row for row in scored.guards if (row.guard, row.direction) == (guard, direction)]
    return found


def strategy(scored: Score) -> StrategyRow:
    (found,) = scored.strategies
    return found


def many(history: History, results: list[float], by: str = "a", blocks: int = 60) -> History:
    for i in range(blocks):
        history.refused(results[i % len(results)], [by]).wait(BLOCK)
    return history


# --- what counts ---


def test_counts_of_a_guard() -> None:
    history = History()
    history.refused(-1.5).refused(-0.5).refused(2.5).refused(0.0)
    history.decide(by=["a", "b"])
    history.decide(abstains=["a"])
    history.decide()
    a, b = row(score(history.ledger())), row(score(history.ledger()), "b")
    assert (a.signals, a.blocks, a.abstentions, a.blocked_alone, a.trades) == (7, 5, 1, 4, 4)
    assert (a.losses_avoided, a.avoided_r, a.avoided_usd) == (2, 2.0, Decimal("20.0000"))
    assert (a.profits_missed, a.missed_r, a.missed_usd) == (1, 2.5, Decimal("25.0000"))
    assert (a.net_r, a.net_usd) == (-0.5, Decimal("-5.0000"))
    assert (b.signals, b.blocks, b.blocked_alone, b.trades) == (7, 1, 0, 0)


def test_allowed_and_blocked_are_all_signals() -> None:
    history = History()
    for by in (["a"], [], ["a", "b"], []):
        history.decide(by=by)
    (funnel,) = score(history.ledger()).funnel
    assert (funnel.signals, funnel.allowed, funnel.blocked) == (4, 2, 2)


@pytest.mark.parametrize(("result", "judgement"), [(-1.0, Judgement.HELPFUL), (1.0, Judgement.HARMFUL)])
def test_a_guard_that_refuses_losers_helps_and_one_that_refuses_winners_harms(
    result: float, judgement: Judgement
) -> None:
    history = many(History(), [result, result + 0.5, result - 0.5])
    a = row(score(history.ledger(), now_ns=history.now_ns))
    assert (a.judgement, a.reason) == (judgement, "")
    assert a.value.effective_n == 60 and a.value.mean_r == pytest.approx(-result)
    assert a.value.lo_r is not None and a.value.hi_r is not None and a.value.lo_r < -result < a.value.hi_r
    assert a.value.q == pytest.approx(min(1, 3 * a.value.p))  # of three guards, two of which have nothing to show


def test_luck_is_not_enough() -> None:
    a = row(score(many(History(), [2.0, -2.0, 1.0, -1.5]).ledger()))
    assert (a.judgement, a.reason) == (NOT_ENOUGH, "the interval contains 0")


@pytest.mark.parametrize(("blocks", "judgement"), [(29, NOT_ENOUGH), (30, Judgement.HELPFUL)])
def test_a_judgement_needs_thirty_blocks(blocks: int, judgement: Judgement) -> None:
    a = row(score(many(History(), [-1.0, -1.1], blocks=blocks).ledger(), now_ns=START + 1000 * BLOCK))
    assert (a.value.effective_n, a.judgement) == (blocks, judgement)


def test_one_guard_among_many_needs_more() -> None:
    """The same trades that convince of the only guard do not where two hundred were looked at."""
    results = [-2.0, 0.3, 0.2, -0.8, -0.9, 0.25]
    alone = row(score(many(History(["a"]), results, blocks=60).ledger()))
    among = row(score(many(History(["a", *map(str, range(200))]), results, blocks=60).ledger()))
    assert alone.value.p == among.value.p and alone.judgement is Judgement.HELPFUL
    assert among.judgement is NOT_ENOUGH and "among so many" in among.reason


def test_a_guard_with_too_little_to_say_lowers_the_bar_for_no_other() -> None:
    history = many(History(), [-2.0, 0.3, 0.2, -0.8], blocks=40)
    many(history, [-1.0, -1.1], by="b", blocks=29)
    value = row(score(history.ledger(), now_ns=history.now_ns)).value
    assert value.p > 1e-6 and value.q == pytest.approx(3 * value.p)


def test_trades_of_one_block_are_one_observation_whatever_their_symbols() -> None:
    history = History()
    for symbol, r in (("BTC/USDT:USDT", -1.0), (ETH, -2.0), (ETH, -3.0)):
        history.refused(r, symbol=symbol)
    value = row(score(history.wait(BLOCK).ledger(), now_ns=history.now_ns)).value
    assert (value.effective_n, value.mean_r) == (1, 2.0)


def test_a_block_that_is_not_over_is_no_observation() -> None:
    history = History().refused(-1.0)
    ledger = history.ledger()
    assert row(score(ledger, now_ns=START + BLOCK - 1)).value.effective_n == 0
    assert row(score(ledger, now_ns=START + BLOCK)).value.effective_n == 1
    assert row(score(ledger, now_ns=START)).trades == 1  # shown, all the same


def test_longs_and_shorts_apart_strategies_and_symbols_when_asked() -> None:
    history = History().refused(-1.0).refused(2.0, direction="short").refused(-3.0, strategy="trend", symbol=ETH)
    scored = score(history.ledger())
    assert row(scored).net_r == 4 and row(scored, direction="short").net_r == -2
    fine = score(history.ledger(), by_strategy=True, by_symbol=True)
    nets = {(r.strategy, r.symbol, r.direction): r.net_r for r in fine.guards if r.guard == "a"}
    assert nets == {
        ("ofi", "BTC/USDT:USDT", "long"): 1,
        ("ofi", "BTC/USDT:USDT", "short"): -2,
        ("trend", ETH, "long"): 3,
    }


def test_a_last_look_refusal_is_the_limits_block() -> None:
    history = History(["risk_limits", "a"])
    signal_id = history.decide()
    history.say("RISK_LIMIT_BLOCK", {"signal_id": signal_id, "last_look": True})
    history.close(history.open(signal_id), -1.0)
    scored = score(history.ledger())
    limits = row(scored, "risk_limits")
    assert (limits.signals, limits.blocks, limits.blocked_alone, limits.net_r) == (1, 1, 1, 1.0)
    assert (scored.funnel[0].allowed, scored.funnel[0].blocked) == (0, 1)


def test_an_ordinary_block_of_the_limits_is_counted_once() -> None:
    history = History(["risk_limits", "a"])
    history.say("RISK_LIMIT_BLOCK", {"signal_id": "S1"})  # the gate tells a guard's event before its decision
    signal_id = history.decide(by=["risk_limits"])
    history.say("RISK_LIMIT_BLOCK", {"signal_id": signal_id})
    assert row(score(history.ledger()), "risk_limits").blocks == 1


def test_repeats_are_shown() -> None:
    history = History()
    history.close(history.open(history.decide(by=["a"])), -1.0, repeats=4)
    a = row(score(history.ledger()))
    assert (a.trades, a.repeats) == (1, 4)


def test_live_beside_the_shadow_of_the_same_signal() -> None:
    history = History()
    for live, shadow in ((1.0, 1.5), (-1.0, -0.75)):
        signal_id = history.decide()
        twin, real = history.open(signal_id), history.open(signal_id, shadow=False)
        first, last = ((twin, shadow), (real, live)) if live > 0 else ((real, live), (twin, shadow))
        history.close(*first)
        history.close(*last)
        history.wait(BLOCK)
    history.close(history.open(history.decide(), shadow=False), 3.0)  # without a twin
    found = strategy(score(history.ledger()))
    assert (found.live, found.shadow, found.pairs) == (3, 2, 2)
    assert (found.live_mean_r, found.shadow_mean_r, found.live_usd) == (1.0, 0.375, Decimal("30.0000"))
    assert (found.difference.effective_n, found.difference.mean_r) == (2, -0.375)


def test_paper_and_live_trading_apart() -> None:
    history = History()
    for mode, r in (("paper", 1.0), ("live", -1.0)):
        history.mode = mode
        history.close(history.open(history.decide(), shadow=False), r)
    assert [(row.mode, row.live_mean_r) for row in score(history.ledger()).strategies] == [("live", -1), ("paper", 1)]


def test_progress_is_told_and_ends_with_all() -> None:
    history, told = History(), list[int]()
    events = [*many(History(), [1.0], blocks=30_000).events]
    history.ledger().fold(events, told.append)
    assert told == [50_000, 100_000, 120_000]


def test_json() -> None:
    history = many(History(), [-1.0, -1.5])
    history.magnet(True)
    plain = msgspec.json.decode(msgspec.json.encode(score(history.ledger())))
    assert plain["guards"][0]["net_usd"] == "750.0000" and plain["guards"][0]["judgement"] == "helpful"


# --- what must not count ---


def left_out(history: History, guard: str = "a") -> tuple[int, dict[str, int]]:
    found = row(score(history.ledger()), guard)
    return found.trades, found.left_out


def test_not_what_another_guard_refused_too() -> None:
    history = History()
    for _ in range(3):
        history.refused(-1.0, ["a", "b"])
    for guard in ("a", "b"):
        assert left_out(history, guard) == (0, {LeftOut.NOT_ALONE: 3})
    assert row(score(history.ledger())).reason == "what it refused, another guard refused too"


@pytest.mark.parametrize("known", ["when opened", "when closed"])
def test_not_what_could_not_have_been_opened(known: str) -> None:
    history = History()
    shadow = history.open(history.decide(by=["a"]), tradable=known == "when closed")
    history.close(shadow, -1.0, tradable=known == "when opened")
    assert left_out(history) == (0, {LeftOut.UNTRADABLE: 1})


def test_not_an_open_trade() -> None:
    history = History()
    history.open(history.decide(by=["a"]))
    a = row(score(history.ledger()))
    assert (a.blocked_alone, a.trades, a.still_open) == (1, 0, 1)
    assert a.reason == "no finished trade that it alone refused"


def test_not_a_trade_decided_by_other_rules_than_it_ended_by() -> None:
    history = History().start("old")
    shadow = history.open(history.decide(by=["a"]))
    history.start("new").refused(-2.0)
    assert [row(score(history.ledger(), rules=rules)).still_open for rules in ("old", "new")] == [1, 0]
    history.close(shadow, -1.0)
    old, new = (row(score(history.ledger(), rules=rules)) for rules in ("old", "new"))
    assert (old.trades, old.left_out) == (0, {LeftOut.OTHER_RULES: 1})
    assert (new.trades, new.net_r, new.left_out) == (1, 2.0, {})


def test_not_the_trades_of_another_configuration() -> None:
    history = many(History().start("old"), [-1.0, -1.5], blocks=29)
    history.start("new")
    many(history, [-1.0, -1.5], blocks=29)
    for rules in ("old", "new"):
        a = row(score(history.ledger(), rules=rules, now_ns=history.now_ns))
        assert (a.value.effective_n, a.judgement) == (29, NOT_ENOUGH)
    assert score(history.ledger()).config_hash == "new"


def test_not_the_trades_of_another_version_of_the_guard() -> None:
    history = History().refused(-1.0)
    history.version = 2
    history.refused(-5.0)
    assert [(r.version, r.net_r) for r in score(history.ledger()).guards if r.guard == "a"] == [(1, 1.0), (2, 5.0)]


@pytest.mark.parametrize("r", [float("nan"), float("inf"), None])
def test_not_a_result_that_is_no_number(r: float | None) -> None:
    history = History()
    history.close(history.open(history.decide(by=["a"])), r)
    assert left_out(history) == (0, {LeftOut.NO_RESULT: 1})


def test_not_an_adopted_position_nor_one_whose_decision_is_unknown() -> None:
    history = History()
    history.close("position-adopted", -5.0, adopted=True)
    history.close(history.open("S-before-this-journal"), -5.0)
    history.close("shadow-never-opened", -5.0)
    ledger = history.ledger()
    assert ledger.unattributed == {LeftOut.ADOPTED: 1, LeftOut.NO_DECISION: 2}
    assert score(ledger).guards == () and score(ledger).strategies == ()


def test_not_an_event_that_was_seen_before() -> None:
    history = History().refused(-1.0)
    ledger = history.ledger()
    ledger.fold(history.events)
    a = row(score(ledger))
    assert (a.signals, a.trades) == (1, 1)


def test_not_a_trade_that_closes_a_second_time() -> None:
    history = History()
    shadow = history.open(history.decide(by=["a"]))
    history.close(shadow, -1.0)
    history.close(shadow, -1.0)
    assert left_out(history) == (1, {})


# --- windows and clocks ---


def test_a_trade_across_windows_counts_once_where_it_ends() -> None:
    history = History()
    shadow = history.open(history.decide(by=["a"]))
    history.wait(BLOCK).close(shadow, -1.0)
    before = Window(name="before", ends_ns=START + BLOCK)
    after = Window(name="after", begins_ns=START + BLOCK, ends_ns=START + 2 * BLOCK)
    ledger = history.ledger()
    counted = [(r.signals, r.blocked_alone, r.trades) for r in (row(score(ledger, window=w)) for w in (before, after))]
    assert counted == [(1, 1, 0), (0, 0, 1)]


def test_overlapping_windows_are_not_judged() -> None:
    """The same trades would be evidence twice, and the luckiest window would be found."""
    history = many(History(), [-1.0, -1.5])
    ledger = history.ledger()
    window = Window(name="most of it", begins_ns=START + BLOCK)
    a = row(score(ledger, window=window))
    assert a.trades == 59 and a.judgement is NOT_ENOUGH and "not on a window" in a.reason
    assert row(score(ledger)).judgement is Judgement.HELPFUL


def test_a_window_without_trades_says_so() -> None:
    history = History().refused(-1.0)
    later = Window(name="later", begins_ns=START + 10 * BLOCK)
    scored = score(history.ledger(), window=later)
    assert scored.note == "no signals and no trades in this window"
    assert row(scored).reason == "no signals in this window" and row(scored).trades == 0
    history.wait(10 * BLOCK).decide()
    assert score(history.ledger(), window=later).note == "no finished trades in this window"
    assert score(Ledger()).note == "no signals and no trades in this window"


def test_a_clock_set_back_opens_no_block_that_was_over() -> None:
    history = History().refused(-1.0).wait(BLOCK).refused(-2.0).wait(-HOUR)
    history.refused(-6.0)
    scored = score(history.ledger(), now_ns=START + 3 * BLOCK)
    value = row(scored).value
    assert (value.effective_n, value.mean_r) == (2, 2.5)  # 1, and the mean of 2 and 6
    assert scored.clock_set_back == 1
