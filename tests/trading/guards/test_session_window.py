"""Guard `session_window`: UTC hours, also across midnight, and blackouts around listed times."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from bot.domain.values import NS, Outcome, Verdict
from bot.trading.guards.session_window import SessionWindow, SessionWindowParams
from tests.build import FakeView, context, signal

BLOCK, PASS = Outcome.BLOCK, Outcome.PASS


def check(at: str, **settings: object) -> Verdict:
    now_ns = round(datetime.fromisoformat(f"2026-03-18T{at}").replace(tzinfo=UTC).timestamp()) * NS
    guard = SessionWindow(SessionWindowParams.model_validate(settings), context())
    return guard.check(signal(), FakeView(now_ns=now_ns))


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
    assert verdict.reason == (f"within 5 min of {time}" if outcome is BLOCK else "")


def test_a_wider_blackout() -> None:
    assert check("18:30:00", blackouts=["2026-03-18T18:00Z"], blackout_minutes=30).outcome is BLOCK


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
