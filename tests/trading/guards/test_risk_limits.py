"""Guard `risk_limits` and the limits it asks: each with its exact edge, in the order in which they are named."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest

from bot.domain.values import NS, Direction, Outcome, TradingState, Verdict
from bot.trading.guards.base import SafetyParams
from bot.trading.guards.risk_limits import RiskLimits
from tests.build import BTC, NOW, FakePosition, FakeView, context, instrument, signal

LONG, SHORT = Direction.LONG, Direction.SHORT
BLOCK, PASS = Outcome.BLOCK, Outcome.PASS
ETH = instrument("ETHUSDT", tick="0.01")


def check(view: FakeView, direction: Direction = LONG, **risk: object) -> Verdict:
    return RiskLimits(SafetyParams(), context(**risk)).check(signal(direction), view)


def test_a_live_market_and_an_empty_account_pass() -> None:
    verdict = check(FakeView())
    assert (verdict.outcome, verdict.value) == (PASS, None)
    assert verdict.reason == "ACTIVE; ages: book 0.00 s, trades 0.00 s, mark 0.00 s (venue); 0 entries today"


@pytest.mark.parametrize(
    ("state", "entry", "reversal"),
    [
        (TradingState.STARTING, BLOCK, BLOCK),
        (TradingState.ACTIVE, PASS, PASS),
        (TradingState.REDUCING, BLOCK, PASS),
        (TradingState.HALTED, BLOCK, BLOCK),
    ],
)
def test_state(state: TradingState, entry: Outcome, reversal: Outcome) -> None:
    view = FakeView()
    view.state, view.state_reason = state, "paused by operator"
    verdict = check(view)
    assert verdict.outcome is entry
    if entry is BLOCK:
        assert verdict.reason == f"state is {state}: paused by operator"
    view.portfolio.open(FakePosition(LONG))
    assert check(view, SHORT).outcome is reversal


@pytest.mark.parametrize(
    ("field", "what", "limit_s"),
    [("book_age_s", "order book", 2), ("trade_age_s", "last trade", 5), ("mark_age_s", "mark price", 10)],
)
@pytest.mark.parametrize("reverses", [False, True])
def test_age_of_market_data(field: str, what: str, limit_s: int, reverses: bool) -> None:
    view = FakeView()
    if reverses:
        view.portfolio.open(FakePosition(SHORT))
    setattr(view.market(BTC), field, float(limit_s))
    assert check(view).outcome is PASS

    setattr(view.market(BTC), field, limit_s + 1e-9)
    late = check(view)
    assert (late.outcome, late.value, late.threshold) == (BLOCK, f"{limit_s}.000000001", f"{limit_s}.0")
    assert late.reason == f"{what} is older than {limit_s}.0 s"

    setattr(view.market(BTC), field, None)
    missing = check(view)
    assert (missing.outcome, missing.value, missing.reason) == (BLOCK, None, f"no {what} yet")


@pytest.mark.parametrize(("sign", "what"), [(1, "ahead of our clock"), (-1, "behind our clock")])
def test_a_clock_that_is_not_the_venues(sign: int, what: str) -> None:
    view = FakeView()
    market = view.market(BTC)
    market.stamped_ahead_ns = sign * 2 * NS
    assert check(view).outcome is PASS
    assert check(view, clock_max_s=1.9).outcome is BLOCK
    market.stamped_ahead_ns = sign * (2 * NS + 1)
    off = check(view)
    assert (off.outcome, off.value, off.threshold) == (BLOCK, "2.000000001", "2.0")
    assert what in off.reason
    market.stamped_ahead_ns = None  # a recording without mark prices
    assert check(view).outcome is PASS


def test_a_book_that_cannot_be_used() -> None:
    view = FakeView()
    view.market(BTC).usable = False
    assert check(view).reason.startswith("order book is not usable")


def test_no_mark() -> None:
    view = FakeView()
    view.market(BTC).mark = None
    assert (check(view).outcome, check(view).reason) == (BLOCK, "no mark price")


def test_one_position_a_symbol() -> None:
    view = FakeView()
    view.portfolio.open(FakePosition(LONG))
    assert check(view).reason == "already in the symbol"
    view.portfolio.held.clear()
    view.portfolio.pending_usd[BTC] = Decimal(2000)
    assert check(view, SHORT).reason == "an entry in the symbol is on its way"


def test_positions_open_and_pending_count() -> None:
    view = FakeView()
    for i in range(3):
        view.portfolio.open(FakePosition(instrument=f"x:{i}"))
    view.portfolio.pending_usd["x:3"] = Decimal(1000)
    assert check(view).outcome is PASS
    view.portfolio.pending_usd["x:4"] = Decimal(1000)
    verdict = check(view)
    assert (verdict.outcome, verdict.value, verdict.threshold) == (BLOCK, "5", "5")
    assert check(view, max_positions=6).outcome is PASS


@pytest.mark.parametrize(
    ("age_s", "closed", "reason", "outcome", "threshold"),
    [
        (0, SHORT, "tp_4", BLOCK, "900"),
        (899.999999999, LONG, "tp_4", BLOCK, "900"),
        (900, LONG, "tp_4", PASS, None),
        (899.999999999, SHORT, "stop", BLOCK, "900"),
        (900, SHORT, "stop", PASS, None),  # stopped out of the other direction
        (900, LONG, "stop", BLOCK, "1800"),
        (1799.999999999, LONG, "stop", BLOCK, "1800"),
        (1800, LONG, "stop", PASS, None),
    ],
)
def test_cooldown_of_a_long(
    age_s: float, closed: Direction, reason: str, outcome: Outcome, threshold: str | None
) -> None:
    view = FakeView()
    view.portfolio.closes[BTC, closed, reason] = NOW - round(age_s * NS)
    verdict = check(view, LONG)
    assert (verdict.outcome, verdict.threshold) == (outcome, threshold)


def test_a_later_close_the_other_way_does_not_end_a_stop_outs_rest() -> None:
    view = FakeView()
    view.portfolio.closes[BTC, LONG, "stop"] = NOW - 1500 * NS
    view.portfolio.closes[BTC, SHORT, "tp_4"] = NOW - 1000 * NS
    assert check(view, LONG).outcome is BLOCK
    assert check(view, SHORT).outcome is PASS


def test_a_longer_general_cooldown_holds_after_a_stop_too() -> None:
    view = FakeView()
    view.portfolio.closes[BTC, LONG, "stop"] = NOW - 1900 * NS
    assert check(view, cooldown_s=3600).threshold == "3600"


def test_entries_of_the_day() -> None:
    view = FakeView()
    view.portfolio.entries = {BTC: 5, ETH.id: 14}
    assert check(view).outcome is PASS
    view.portfolio.entries = {BTC: 6}
    symbol = check(view)
    assert (symbol.value, symbol.threshold, symbol.reason) == ("6", "6", "entries in the symbol today: 6 of 6")
    view.portfolio.entries = {BTC: 5, ETH.id: 15}
    account = check(view)
    assert (account.value, account.threshold, account.reason) == ("20", "20", "entries today: 20 of 20")


@pytest.mark.parametrize(("equity", "outcome"), [("0.01", PASS), ("0", BLOCK), ("-5", BLOCK)])
def test_equity(equity: str, outcome: Outcome) -> None:
    view = FakeView()
    view.portfolio.equity = Decimal(equity)
    assert check(view).outcome is outcome


@pytest.mark.parametrize(("sent", "outcome"), [(119, PASS), (120, BLOCK)])
def test_orders_of_the_last_minute(sent: int, outcome: Outcome) -> None:
    view = FakeView()
    view.portfolio.sent = sent
    verdict = check(view)
    assert verdict.outcome is outcome
    if outcome is BLOCK:
        assert (verdict.value, verdict.threshold) == ("120", "120")
        assert verdict.reason == "orders in the last minute: 120 of 120"


def test_a_symbol_blocked_by_the_operator() -> None:
    view = FakeView(instruments=[instrument(), ETH])
    view.blocks[ETH.id] = "operator"
    assert check(view).outcome is PASS
    view.blocks[BTC] = "operator"
    assert (check(view).outcome, check(view).reason) == (BLOCK, "blocked by the operator")


@pytest.mark.parametrize(
    ("day_start", "open_risk", "outcome", "value"),
    [
        ("10309.27", "0", PASS, None),  # 309.27 of 309.2781 lost
        ("10309.2784", "0", BLOCK, "3.0000"),
        ("10200", "105.99", PASS, None),  # 200 lost, 306 may be
        ("10200", "106", BLOCK, "3.0000"),
        ("9700", "590.99", PASS, None),  # 300 won, 291 may be lost
        ("9700", "591", BLOCK, "3.0000"),
    ],
)
def test_loss_today_with_what_the_stops_may_cost(
    day_start: str, open_risk: str, outcome: Outcome, value: str | None
) -> None:
    view = FakeView()
    view.portfolio.day_start, view.portfolio.open_risk = Decimal(day_start), Decimal(open_risk)
    verdict = check(view)
    assert (verdict.outcome, verdict.value) == (outcome, value)
    if outcome is BLOCK:
        assert verdict.threshold == "3"
        and_risk = " and open risk" if open_risk != "0" else ""
        assert verdict.reason == f"daily loss{and_risk} 3.0000 %, limit 3 %"


@pytest.mark.parametrize(("peak", "outcome"), [("11111.11", PASS), ("11111.12", BLOCK)])
def test_drawdown_from_the_peak(peak: str, outcome: Outcome) -> None:
    view = FakeView()
    view.portfolio.peak = Decimal(peak)
    verdict = check(view)
    assert verdict.outcome is outcome
    if outcome is BLOCK:
        assert (verdict.value, verdict.threshold) == ("10.0001", "10")


@pytest.mark.parametrize("field", ["day_start", "peak"])
def test_an_equity_of_nothing_to_measure_from_is_a_breach(field: str) -> None:
    view = FakeView()
    setattr(view.portfolio, field, Decimal(0))
    verdict = check(view)
    assert (verdict.outcome, verdict.value) == (BLOCK, None)
    assert "of nothing" in verdict.reason


def _occupied(view: FakeView) -> None:
    view.portfolio.pending_usd[BTC] = Decimal(1)


def _full(view: FakeView) -> None:
    for i in range(5):
        view.portfolio.open(FakePosition(instrument=f"x:{i}"))


def _closed(view: FakeView) -> None:
    view.portfolio.closes[BTC, LONG, "stop"] = NOW


def _spent(view: FakeView) -> None:
    view.portfolio.entries = {BTC: 20}


def _broke(view: FakeView) -> None:
    view.portfolio.equity = Decimal(0)


def _blocked(view: FakeView) -> None:
    view.blocks[BTC] = "operator"


def _hasty(view: FakeView) -> None:
    view.portfolio.sent = 1000


def _lost_today(view: FakeView) -> None:
    view.portfolio.day_start = Decimal(20_000)


def _fallen(view: FakeView) -> None:
    view.portfolio.peak = Decimal(20_000)


@pytest.mark.parametrize(
    "break_one", [_occupied, _full, _closed, _spent, _broke, _blocked, _hasty, _lost_today, _fallen]
)
def test_a_reversal_only_closes_so_entry_limits_do_not_hold_it(break_one: Callable[[FakeView], None]) -> None:
    view = FakeView()
    break_one(view)
    assert check(view).outcome is BLOCK
    view.portfolio.open(FakePosition(SHORT))
    assert check(view, LONG).outcome is PASS
    assert check(view, SHORT).outcome is BLOCK


def test_the_first_broken_limit_is_named() -> None:
    view = FakeView()
    breaks: list[tuple[Callable[[], object], str]] = [
        (lambda: _fallen(view), "drawdown"),
        (lambda: _lost_today(view), "daily loss"),
        (lambda: _broke(view), "no equity"),
        (lambda: _hasty(view), "orders in the last minute"),
        (lambda: _spent(view), "entries in the symbol"),
        (lambda: _closed(view), "cool-down"),
        (lambda: _full(view), "positions"),
        (lambda: _occupied(view), "on its way"),
        (lambda: _blocked(view), "blocked by the operator"),
        (lambda: setattr(view.market(BTC), "mark_age_s", 11.0), "mark price"),
        (lambda: setattr(view.market(BTC), "trade_age_s", 6.0), "last trade"),
        (lambda: setattr(view.market(BTC), "book_age_s", 3.0), "order book"),
        (lambda: setattr(view, "state", TradingState.HALTED), "state is HALTED"),
    ]
    for break_it, said in breaks:  # from the last limit to the first: each time the earlier one takes over
        break_it()
        assert said in check(view).reason
