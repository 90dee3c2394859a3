"""Readings that arrive on a tape decide: guards name source and age, TRUE TREND is frozen, a malformed one is told."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from bot.domain.frames import Frame, Lane, Source
from bot.domain.reading import LiquidationCluster, LiquidationClusters, LongShort, OiDelta, Regime, Taker
from bot.domain.values import Direction, RegimeLabel
from tests.e2e.running import TREND, Json, Played, at, pain, play, read, recording, signal_at

BUYERS = Taker(buy_usd=Decimal(2_000_000), sell_usd=Decimal(1_000_000))
SELLERS = Taker(buy_usd=Decimal(1_100_000), sell_usd=Decimal(1_000_000))


def clusters(price: str, usd: int) -> LiquidationClusters:
    above = LiquidationCluster(price=Decimal(price), usd=Decimal(usd), side=Direction.SHORT)
    return LiquidationClusters(clusters=(above,), open_interest_usd=Decimal(1_000_000_000))


def decided(tmp_path: Path, *readings: Frame, direction: Direction = Direction.LONG) -> Played:
    return play(tmp_path, [*recording(2000), *readings, signal_at(6, "a", direction)])


@pytest.mark.parametrize(
    ("guard", "frame", "outcome", "value", "threshold", "source", "age_s"),
    [
        ("long_trap", read(4, "long_short", LongShort(ratio=Decimal("2.5")), source="venue"),
         "BLOCK", "2.5000", "2.0", "venue", 2.0),
        ("long_trap", read(4, "long_short", LongShort(ratio=Decimal("2.0")), source="coinglass", age_s=600),
         "PASS", "2.0000", "2.0", "coinglass", 602.0),
        ("long_trap", read(4, "long_short", LongShort(ratio=Decimal("9")), source="venue", age_s=899),
         "ABSTAIN", None, None, "venue", 901.0),
        ("taker_aggression", read(5, "taker_5m", SELLERS, source="coinglass", age_s=30),
         "BLOCK", "1.1000", "1.10", "coinglass", 31.0),
        ("taker_aggression", read(5, "taker_5m", BUYERS, source="coinglass", age_s=30),
         "PASS", "2.0000", "1.10", "coinglass", 31.0),
        ("liquidation_wall", read(5.5, "liquidation_clusters", clusters("61900", 5_000_000), source="coinglass"),
         "BLOCK", "0.5000", "0.5", "coinglass", 0.5),
        ("liquidation_wall", read(5.5, "liquidation_clusters", clusters("61900", 4_999_999), source="coinglass"),
         "PASS", "0.5000", "0.5", "coinglass", 0.5),
        ("liquidation_wall", read(5.5, "liquidation_clusters", clusters("62500", 50_000_000), source="coinglass"),
         "PASS", "0", "0.5", "coinglass", 0.5),
    ],
    ids=["crowded", "crowded just not", "crowded but stale", "sellers", "buyers", "cluster", "cluster just not", "far"],
)  # fmt: skip
def test_a_guard_decides_on_it_and_names_source_and_age(
    tmp_path: Path, guard: str, frame: Frame, outcome: str, value: str | None, threshold: str, source: str, age_s: float
) -> None:
    played = decided(tmp_path, frame)
    decision = played.decision()
    verdict = decision["verdicts"][guard]
    shown = [verdict[key] for key in ("outcome", "value", "threshold", "reading_source", "reading_age_s")]
    assert shown == [outcome, value, threshold, source, age_s]
    assert decision["allowed"] == (outcome != "BLOCK")
    assert decision["blocker"] == (guard if outcome == "BLOCK" else None)
    events = {"long_trap": "LONG_TRAP_DETECTED", "taker_aggression": "TAKER_AGGRESSION_BLOCK"}
    told = played.of(events.get(guard, "LIQ_WALL_CONFLICT"))
    assert [(one["reading_source"], one["value"]) for one in told] == [(source, value)] * (outcome == "BLOCK")
    assert len(played.of("POSITION_OPENED")) == (outcome != "BLOCK")


def test_the_first_fresh_source_decides(tmp_path: Path) -> None:
    venue = read(4, "long_short", LongShort(ratio=Decimal("1.5")), source="venue")
    other = read(5, "long_short", LongShort(ratio=Decimal("3")), source="coinglass")
    assert decided(tmp_path / "1", venue, other).decision()["verdicts"]["long_trap"]["reading_source"] == "venue"
    stale = read(4, "long_short", LongShort(ratio=Decimal("1.5")), source="venue", age_s=1000)
    second = decided(tmp_path / "2", stale, other).decision()
    assert (second["blocker"], second["verdicts"]["long_trap"]["reading_source"]) == ("long_trap", "coinglass")


def test_a_position_that_something_was_known_about_is_not_blind(tmp_path: Path) -> None:
    blind, seeing = decided(tmp_path / "1"), decided(tmp_path / "2", read(5, "taker_5m", BUYERS, source="coinglass"))
    assert (len(blind.of("BLIND_ENTRY")), len(seeing.of("BLIND_ENTRY"))) == (1, 0)
    assert (blind.decision()["multiplier"], seeing.decision()["multiplier"]) == (0.25, 0.5)


# --- TRUE TREND ----------------------------------------------------------------------------------------------------

RISING = OiDelta(pct=0.4)
FAR, NEAR = "65000", "62500"  # 4.9 % and 1.1 % above the recording's prices


def trending(regime: Any = TREND, oi: Any = RISING, max_pain: str | None = FAR) -> list[Frame]:
    frames = [read(5, "regime", regime, source="own"), read(5, "oi_delta_5m", oi, source="venue")]
    if max_pain is not None:
        frames.append(read(5, "max_pain", pain(max_pain), source="deribit", key="BTC", age_s=60))
    return frames


def opened(played: Played) -> Json:
    [position] = played.of("POSITION_OPENED")
    return position


@pytest.mark.parametrize(
    ("max_pain", "hold_s", "magnet"),
    [(FAR, 4500, "MAGNET-WITH"), (NEAR, 2700, "MAGNET-WITH"), ("59000", 4500, "MAGNET-AGAINST"), (None, 2700, None)],
)
def test_a_true_trend_puts_all_on_tier_4_and_holds(
    tmp_path: Path, max_pain: str | None, hold_s: int, magnet: str | None
) -> None:
    position = opened(decided(tmp_path, *trending(max_pain=max_pain)))
    assert (position["true_trend"], position["regime"], position["hurst"], position["hurst_z"]) == (
        True,
        "TREND",
        0.7,
        2.5,
    )
    assert (position["min_hold_s"], position["magnet"], position["oi_delta_5m_pct"]) == (hold_s, magnet, 0.4)
    [tier] = position["tiers"]
    assert (tier["tier"], tier["quantity"]) == (4, position["quantity"])
    assert Decimal(tier["price"]) == pytest.approx(
        Decimal(position["entry_price"]) * Decimal("1.02"), abs=Decimal("0.1")
    )
    if max_pain is None:
        assert position["max_pain_at_entry"] is position["max_pain_gap_pct"] is position["max_pain_source"] is None
    else:
        gap_pct = abs(float(position["entry_price"]) - float(max_pain)) / float(max_pain) * 100
        assert position["max_pain_gap_pct"] == pytest.approx(gap_pct, abs=1e-3)
        assert (position["max_pain_source"], position["max_pain_expiry"]) == ("deribit", "2024-08-09")


@pytest.mark.parametrize(
    ("frames", "reason"),
    [
        (
            trending(regime=Regime(label=RegimeLabel.NOISE, hurst=0.3, z=-2.0, sum_100=0.02, sum_12=0.004)),
            "regime is NOISE",
        ),
        (trending(oi=OiDelta(pct=0.0)), "open interest changed by 0 %, which is no rise"),
        (
            trending(regime=Regime(label=RegimeLabel.TREND, hurst=0.7, z=2.5, sum_100=0.02, sum_12=-0.004)),
            "last 12 returns",
        ),
        (trending()[1:], "regime is MISSING"),
        ([trending()[0], trending()[2]], "oi_delta_5m is MISSING"),
        ([trending()[0], read(5, "oi_delta_5m", RISING, source="venue", age_s=120)], "oi_delta_5m is STALE"),
    ],
    ids=["noise", "no rise", "turned", "no regime", "no open interest", "stale open interest"],
)
def test_anything_less_is_no_true_trend_and_says_why(tmp_path: Path, frames: list[Frame], reason: str) -> None:
    position = opened(decided(tmp_path, *frames))
    assert (position["true_trend"], position["min_hold_s"]) == (False, 0)
    assert reason in position["true_trend_reason"]
    assert [tier["tier"] for tier in position["tiers"]] == [1, 2, 3, 4]


def test_what_arrives_after_the_first_fill_changes_nothing_of_it(tmp_path: Path) -> None:
    """The fill comes 0.15 s after the signal."""
    late = [read(6.2, "regime", TREND, source="own"), read(6.2, "oi_delta_5m", RISING, source="venue")]
    assert opened(decided(tmp_path, *late))["true_trend"] is False


def test_a_reversal_waits_for_the_end_of_the_hold(tmp_path: Path) -> None:
    frames = [
        *recording(2000),
        *trending(),
        signal_at(6, "with", Direction.LONG),
        signal_at(7, "against", Direction.SHORT),
    ]
    always = {"latency_p99_ms": 0}  # the hold begins with the first fill
    played = play(tmp_path, [*frames, signal_at(8, "again", Direction.SHORT)], paper=always)
    assert [decision["reversal"] for decision in played.of("DECISION")] == [False, True, True]
    [deferred] = played.of("EXIT_DEFERRED")
    assert deferred["wanted"] == "reversal"
    assert deferred["hold_remaining_s"] == pytest.approx(4500 - 0.85, abs=0.01)
    assert played.of("POSITION_CLOSED") == []


# --- what cannot be read -------------------------------------------------------------------------------------------


def raw(seconds: float, text: str) -> Frame:
    return Frame(at(seconds), Lane.DATA, Source.READING, text.encode())


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (
            '{"name":"long_short","key":"binanceusdm:BTCUSDT","source":"venue","value":{"ratio":2.5}}',
            "long_short.ratio",
        ),
        (
            '{"name":"long_short","key":"binanceusdm:BTCUSDT","source":"venue","value":{"ratio":"-1"}}',
            "long_short.ratio",
        ),
        ('{"name":"long_short","key":"binanceusdm:BTCUSDT","source":"deribit","value":null}', "source"),
        ('{"name":"long_short","key":"BTC","source":"venue","value":{"ratio":"1.5"}}', "key"),
        ('{"name":"mood","key":"BTC","source":"venue","value":1}', "mood"),
        (
            '{"name":"long_short","key":"binanceusdm:BTCUSDT","source":"venue","value":{"ratio":"1.5","x":1}}',
            "long_short.x",
        ),
        ("{", "truncated"),
    ],
)
def test_a_malformed_reading_is_told_by_field_and_the_engine_goes_on(tmp_path: Path, text: str, named: str) -> None:
    played = decided(tmp_path, raw(3, text), read(5, "taker_5m", BUYERS, source="coinglass"))
    [told] = played.of("INTEL_ERROR")
    assert named in told["problem"]
    assert (told["frame_source"], told["count"]) == ("reading", 1)
    assert played.outcome.summary["bad_frames"] == 1
    decision = played.decision()
    assert decision["verdicts"]["long_trap"]["outcome"] == "ABSTAIN"
    assert decision["verdicts"]["taker_aggression"]["outcome"] == "PASS"
    assert played.outcome.reason == "tape ended"


def test_a_malformed_reading_does_not_take_the_place_of_a_good_one(tmp_path: Path) -> None:
    good = read(3, "long_short", LongShort(ratio=Decimal("2.5")), source="venue")
    bad = raw(4, '{"name":"long_short","key":"binanceusdm:BTCUSDT","source":"venue","value":{"ratio":"NaN"}}')
    assert decided(tmp_path, good, bad).decision()["blocker"] == "long_trap"
