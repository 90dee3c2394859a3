"""`/metrics` as a scraper reads it: the text format taken strictly, and the figures against what they are made from."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any, NamedTuple

import pytest

from bot.api.metrics import metrics
from bot.api.tally import Lost, Spread, Tally
from tests.e2e.running import Json

BTC = "BTC/USDT:USDT"
_SAMPLE = re.compile(r'([a-z_][a-z0-9_]*)(?:\{((?:[a-z_]+="(?:[^"\\\n]|\\[\\"n])*",?)*)\})? (\S+)')
_LABEL = re.compile(r'([a-z_]+)="((?:[^"\\\n]|\\[\\"n])*)"')
SUFFIXES = {"histogram": ("_bucket", "_sum", "_count"), "gauge": ("",), "counter": ("",)}
Labels = tuple[tuple[str, str], ...]


class Family(NamedTuple):
    kind: str
    help: str
    samples: dict[tuple[str, Labels], float]


def parsed(text: str) -> dict[str, Family]:
    """Strict: HELP and TYPE once before the samples of a family, samples of it alone, no sample twice, ends with a line feed."""
    assert text.endswith("\n") and "\n\n" not in text
    families: dict[str, Family] = {}
    name, help_ = "", ""
    for line in text[:-1].split("\n"):
        word, _, rest = line.partition(" ")
        if line.startswith("# HELP "):
            name, help_ = line[7:].split(" ", 1)
            assert name not in families and help_.strip()
        elif line.startswith("# TYPE "):
            assert line[7:].split(" ")[0] == name
            families[name] = Family(line.rsplit(" ", 1)[1], help_, {})
        else:
            found = _SAMPLE.fullmatch(line)
            assert found, line
            family = families[name]
            assert found[1] in {name + suffix for suffix in SUFFIXES[family.kind]}, line
            labels = tuple(_LABEL.findall(found[2] or ""))
            assert (found[1], labels) not in family.samples, line
            family.samples[found[1], labels] = float(found[3])
        assert word and rest
    return families


def status(**more: Any) -> Json:
    return {
        "version": "1.2",
        "config_hash": "abc",
        "state": "ACTIVE",
        "equity_usd": "10000.5",
        "open_risk_usd": "12",
        "open_positions": 1,
        "working_orders": 5,
        "frames": 100,
        "bad_frames": 2,
        "lanes": {"account": 0, "data": 3},
        "events": {"FILL": 4, "RISK_LIMIT_BLOCK": 7},
        "markets": [{"symbol": BTC, "stamped_ahead_s": -0.25}],
        **more,
    }


def health(**more: Any) -> Json:
    journal = {"depth": 1, "last_commit_ms": 2.0, "failure": None, "behind_s": 0.5, "running": True}
    budgets = {"orders": {"used": 4, "allowed": 60}, "coinglass": {"used": 25, "allowed": 24}}
    return {"journal": journal, "loop_lag_ms": None, "budgets": budgets, "unprotected": {}, **more}


def told(tally: Tally | None = None, ages: Json | None = None, problems: int = 0, **more: Any) -> dict[str, Family]:
    page = {"pages": 2, "faults": 0, "failures": 1}
    return parsed(metrics(status(), health(**more), ages or {}, page, tally or Tally(), problems))


def value(families: dict[str, Family], name: str, **labels: str) -> float | None:
    family = families.get("engine_" + re.sub("_(bucket|sum|count)$", "", name)) or families.get("engine_" + name)
    return None if family is None else family.samples.get(("engine_" + name, tuple(labels.items())))


def test_every_family_is_named_as_prometheus_wants() -> None:
    families = told()
    for name, family in families.items():
        assert name.startswith("engine_")
        assert name.endswith("_total") is (family.kind == "counter"), name
        assert not name.endswith(("_ms", "_pct", "_count", "_sum", "_bucket")), name


def test_journal_clock_budgets_and_readiness_are_told() -> None:
    families = told()
    assert value(families, "ready") == 1 and value(told(problems=2), "ready") == 0
    assert value(families, "journal_lag_seconds") == 0.5
    assert value(families, "journal_commit_seconds") == 0.002
    assert value(families, "clock_offset_seconds", symbol=BTC) == -0.25
    assert value(families, "rate_budget_used", budget="coinglass") == 25
    assert value(families, "rate_budget_left", budget="coinglass") == 0  # never negative
    assert value(families, "rate_budget_left", budget="orders") == 56
    assert value(families, "limit_rejects_total") == 7


@pytest.mark.parametrize("journal", [{"failure": "disk full"}, {"running": False}])
def test_a_journal_that_writes_no_more_is_told(journal: Json) -> None:
    assert value(told(), "journal_failed") == 0
    assert value(told(journal=health()["journal"] | journal), "journal_failed") == 1


def test_a_position_without_a_stop_is_told_with_its_symbol_and_age() -> None:
    assert value(told(), "positions_unprotected", symbol=BTC) == 0
    families = told(unprotected={BTC: 3.5})
    assert value(families, "positions_unprotected", symbol=BTC) == 1
    assert value(families, "stop_gap_open_seconds", symbol=BTC) == 3.5


def test_gaps_and_acknowledgements_are_whole_histograms() -> None:
    tally = Tally()
    for gap in (0.04, 0.3, 99.0):
        tally.gap_s.add(gap)
    tally.ack_s["place"] = Spread((0.1, 1.0))
    tally.ack_s["place"].add(0.1)
    tally.answers["place", "ack"] += 1
    families = told(tally)
    gaps = [n for (name, _), n in families["engine_stop_gap_seconds"].samples.items() if name.endswith("_bucket")]
    assert all(a <= b for a, b in pairwise(gaps)) and gaps[-1] == 3
    assert value(families, "stop_gap_seconds_bucket", le="+Inf") == value(families, "stop_gap_seconds_count") == 3
    assert value(families, "stop_gap_seconds_sum") == pytest.approx(99.34)
    assert value(families, "order_ack_seconds_bucket", command="place", le="0.1") == 1
    assert value(families, "order_answers_total", command="place", answer="ack") == 1


def test_lost_books_are_by_symbol_feed_and_reason_and_begin_at_nought() -> None:
    assert value(told(), "book_resyncs_total", symbol=BTC, feed="book", reason="gap") == 0
    tally = Tally()
    tally.resyncs[Lost(BTC, "book", "gap")] += 3
    tally.resyncs[Lost(BTC, "walls", "feed")] += 1
    families = told(tally)
    assert value(families, "book_resyncs_total", symbol=BTC, feed="book", reason="gap") == 3
    assert value(families, "book_resyncs_total", symbol=BTC, feed="walls", reason="feed") == 1


def test_a_feed_that_never_spoke_has_no_age_and_a_name_cannot_break_out() -> None:
    families = told(ages={f"{BTC} book": 1.5, f"{BTC} trades": None, 'a"b\\\n book': 2.0})
    ages = families["engine_feed_age_seconds"].samples
    assert len(ages) == 2
    assert value(families, "feed_age_seconds", symbol=BTC, feed="book") == 1.5
    assert ("engine_feed_age_seconds", (("symbol", 'a\\"b\\\\\\n'), ("feed", "book"))) in ages
    assert "engine_event_loop_lag_seconds" not in families


def test_lateness_of_the_loop_is_in_seconds() -> None:
    families = told(loop_lag_ms={"p50": 1.0, "p99": 5.0, "max": 20.0})
    assert value(families, "event_loop_lag_seconds", quantile="0.99") == 0.005
