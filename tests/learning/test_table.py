"""What may be asked of the guards' table, and that its answer is the ledger's score as plain JSON."""

from __future__ import annotations

import json

import msgspec
import orjson
import pytest

from bot.domain.values import NS
from bot.learning.ledger import KINDS, Ledger
from bot.learning.scores import score
from bot.learning.table import answer, question, window_of
from tests.learning.histories import BLOCK, HOUR, START, History

DAY = 24 * HOUR
NEW_YEAR = 1_767_225_600 * NS  # 2026-01-01 00:00 UTC


@pytest.mark.parametrize(
    ("text", "begins_ns", "ends_ns"),
    [
        ("all", None, None),
        ("24h", START - DAY, None),
        ("7d", START - 7 * DAY, None),
        ("99999d", 0, None),  # since ever
        ("2026-01-01..2026-01-02", NEW_YEAR, NEW_YEAR + DAY),
        ("2026-01-01..", NEW_YEAR, None),
        ("..2026-01-01", None, NEW_YEAR),
    ],
)
def test_windows(text: str, begins_ns: int | None, ends_ns: int | None) -> None:
    window = window_of(text, START)
    assert (window.name, window.begins_ns, window.ends_ns) == (text, begins_ns, ends_ns)


@pytest.mark.parametrize(
    "text", ["", "7", "7w", "-7d", "..", "2026-13-01..", "2026-01-02..2026-01-01", "2026-01-01..2026-01-01"]
)
def test_what_is_no_window_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"window|date"):
        question(window=text)


def test_what_rows_cannot_be_kept_apart_by_is_refused() -> None:
    with pytest.raises(ValueError, match="strategy, symbol, direction"):
        question(["weekday"])


def told() -> Ledger:
    history = History().start("rules-1")
    for r in (-1.0, 0.5, 2.0):
        history.refused(r, ["a"]).refused(r, ["b"], strategy="trend", symbol="ETH/USDT:USDT", direction="short").wait(
            BLOCK
        )
    return history.ledger()


def test_the_answer_is_the_score() -> None:
    ledger = told()
    table = answer(ledger, question())
    assert json.loads(json.dumps(table)) == json.loads(orjson.dumps(table))  # plain, whoever sends it
    scored = msgspec.to_builtins(score(ledger))
    assert {name: table[name] for name in scored} == scored
    assert (table["as_of_seq"], table["by"], table["unattributed"]) == (ledger.seq, [], {})


def test_rows_are_kept_apart_as_asked() -> None:
    apart = answer(told(), question(["strategy", "symbol"]))
    assert {(row["strategy"], row["symbol"], row["direction"]) for row in apart["guards"]} == {
        ("ofi", "BTC/USDT:USDT", "long"),
        ("trend", "ETH/USDT:USDT", "short"),
    }
    pooled = answer(told(), question(["direction"]))
    assert {(row["strategy"], row["symbol"], row["direction"]) for row in pooled["guards"]} == {
        (None, None, "long"),
        (None, None, "short"),
    }


def test_a_window_reaches_back_from_now_and_another_configuration_may_be_asked_for() -> None:
    ledger = told()
    (recent,) = {row["trades"] for row in answer(ledger, question(window="4h"))["guards"] if row["guard"] == "a"} - {0}
    assert recent == 2  # of three: the last 4 h reach into two blocks
    assert (
        answer(ledger, question(window="4h"), ledger.now_ns + DAY)["note"] == "no signals and no trades in this window"
    )
    assert answer(ledger, question(rules="others"))["guards"] == ()


def test_the_clock_of_the_table_never_goes_back() -> None:
    ledger = told()
    assert answer(ledger, question(), now_ns=0)["now_ns"] == ledger.now_ns


def test_all_kinds_the_ledger_reads_are_named() -> None:
    assert {"SIGNAL", "DECISION", "SHADOW_CLOSED", "POSITION_CLOSED", "RISK_LIMIT_BLOCK"} <= KINDS
