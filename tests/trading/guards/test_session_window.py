"""Guard `session_window`: UTC hours, also across midnight, and blackouts around listed times and costly fundings."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from bot.domain.values import NS, Direction, Outcome, Verdict
from bot.trading.guards.session_window import SessionWindow, SessionWindowParams
from tests.build import BTC, FakeView, context, signal

BLOCK, PASS = Outcome.BLOCK, Outcome.PASS
LONG, SHORT = Direction.LONG, Direction.SHORT


def ns_of(at: str) -> int:
    return round(datetime.fromisoformat(f"2026-03-18T{at}").replace(tzinfo=UTC).timestamp()) * NS


def check(at: str, **settings: object) -> Verdict:
    guard = SessionWindow(SessionWindowParams.model_validate(settings), context())
    return guard.check(signal(), FakeView(now_ns=ns_of(at)))


@pytest.mark.parametrize(
    ("hours", "at", "outcome"),
    [
        (["09:00-16:00"], "09:00:00", PASS),
        (["09:00-16:00"], "08:59:59", BLOCK),
        (["09:00-16:00"], "15:59:59", PASS),
        (["09:00-16:00"], "16:00:00", BLOCK),
        (["22:00-02:00"], "22:00:00", PASS),
        (["22:00-02:00"], "00:00:00", PASS),
        (["22:00-02:00"], "01:59:59", PASS),
        (["22:00-02:00"], "02:00:00", BLOCK),
        (["22:00-02:00"], "21:59:59", BLOCK),
        (["18:00-24:00"], "23:59:59", PASS),
        (["18:00-24:00"], "00:00:00", BLOCK),
        (["08:00-10:00", "14:00-15:00"], "14:30:00", PASS),
        (["08:00-10:00", "14:00-15:00"], "12:00:00", BLOCK),
        ([], "12:00:00", PASS),
    ],
)
def test_hours(hours: list[str], at: str, outcome: Outcome) -> None:
    assert check(at, hours=hours).outcome is outcome


def test_the_reason_names_the_hours() -> None:
    assert check("16:05:00", hours=["09:00-16:00"]).reason == "16:05 UTC is outside 09:00-16:00"


@pytest.mark.parametrize(
    ("time", "at", "outcome"),
    [
        ("2026-03-18T18:00:00Z", "17:55:00", BLOCK),
        ("2026-03-18T18:00:00Z", "17:54:59", PASS),
        ("2026-03-18T18:00:00Z", "18:05:00", BLOCK),
        ("2026-03-18T18:00:00Z", "18:05:01", PASS),
        ("2026-03-18T19:00:00+01:00", "18:00:00", BLOCK),
        ("2026-03-18T18:00", "18:00:00", BLOCK),  # without a zone it is UTC
        ("2026-03-19T18:00:00Z", "18:00:00", PASS),
    ],
)
def test_blackouts(time: str, at: str, outcome: Outcome) -> None:
    verdict = check(at, blackouts=[time], hours=["00:00-24:00"])
    assert verdict.outcome is outcome
    assert verdict.reason == (f"within 5 min of {time}" if outcome is BLOCK else "funding is not known")


def test_a_wider_blackout() -> None:
    assert check("18:30:00", blackouts=["2026-03-18T18:00Z"], blackout_minutes=30).outcome is BLOCK


@pytest.mark.parametrize(
    ("at", "direction", "rate", "outcome"),
    [
        ("15:54:59", LONG, 0.0006, PASS),
        ("15:55:00", LONG, 0.0006, BLOCK),
        ("16:05:00", LONG, 0.0006, BLOCK),
        ("16:05:01", LONG, 0.0006, PASS),
        ("15:58:00", LONG, 0.0005, PASS),  # more than 0.05 %, not as much
        ("15:58:00", LONG, 0.00050001, BLOCK),
        ("15:58:00", SHORT, 0.0006, PASS),  # it is paid to us
        ("15:58:00", SHORT, -0.0006, BLOCK),
        ("15:58:00", LONG, -0.0006, PASS),
    ],
)
@pytest.mark.parametrize("past", [False, True])
def test_a_funding_that_would_cost_us(at: str, direction: Direction, rate: float, outcome: Outcome, past: bool) -> None:
    view = FakeView(now_ns=ns_of(at))
    market = view.market(BTC)
    if past:
        market.past_funding = (rate, ns_of("16:00:00"))
        market.funding_rate, market.next_funding_ns = -rate, ns_of("16:00:00") + 8 * 3600 * NS
    else:
        market.funding_rate, market.next_funding_ns = rate, ns_of("16:00:00")
    verdict = SessionWindow(SessionWindowParams(), context()).check(signal(direction), view)
    assert (verdict.outcome, verdict.threshold) == (outcome, "0.05" if outcome is BLOCK else None)
    if outcome is BLOCK:
        assert float(verdict.value or 0) == pytest.approx(abs(rate) * 100)
        assert "within 5 min of a funding that costs" in verdict.reason


@pytest.mark.parametrize(("rate", "at"), [(None, "16:00:00"), (0.01, None)])
def test_funding_that_is_not_known_blocks_nothing_and_is_told(rate: float | None, at: str | None) -> None:
    view = FakeView(now_ns=ns_of("15:58:00"))
    view.market(BTC).funding_rate, view.market(BTC).next_funding_ns = rate, None if at is None else ns_of(at)
    verdict = SessionWindow(SessionWindowParams(), context()).check(signal(), view)
    assert (verdict.outcome, verdict.reason) == (PASS, "funding is not known")


@pytest.mark.parametrize(
    "settings",
    [
        {"hours": ["9-16"]},
        {"hours": ["09:00-25:00"]},
        {"hours": ["09:60-10:00"]},
        {"hours": ["09:00-09:00"]},
        {"hours": ["09:00"]},
        {"blackouts": ["tomorrow"]},
    ],
)
def test_bad_settings_are_refused_at_start(settings: dict[str, list[str]]) -> None:
    with pytest.raises(ValidationError, match=r"write it like|leave hours out"):
        SessionWindowParams.model_validate(settings)
