"""`doctor` without an engine: what it finds, how it says it, and what it ends with. With one: `test_providers.py`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.e2e.running import called

NOWHERE = {"BOT_VENUE__REST_URL": "http://127.0.0.1:9", "BOT_VENUE__WS_URL": "ws://127.0.0.1:9"}


def found(folder: Path, **settings: str) -> tuple[int, Any]:
    told = called("doctor", "--json", cwd=folder, **settings)
    return told.code, told.json()


def states(report: Any) -> dict[str, str]:
    return {each["about"]: each["state"] for each in report["findings"]}


def test_on_a_tape_all_is_well_and_nobody_is_asked(tmp_path: Path) -> None:
    code, report = found(tmp_path)
    assert (code, report["ok"], report["now"]) == (0, True, [])
    assert states(report) == {"program": "ok", "settings": "ok", "data folder": "ok", "CoinGlass": "note"}
    rows = {row["name"]: row for row in report["readings"]}
    assert rows["walls"]["sources"] == ["coinglass", "own"] and rows["walls"]["guards"] == ["wall_resistance"]
    assert rows["whale_cvd"]["coinglass"] == "" and rows["taker_5m"]["coinglass"] == "no key"


@pytest.mark.parametrize(
    ("settings", "code", "about", "words"),
    [
        ({"BOT_VENUE__NAME": "kraken"}, 2, "settings", "venue.name = kraken"),
        ({"BOT_VENUE__NAME": "okx", **NOWHERE}, 3, "venue", "http://127.0.0.1:9/api/v5/public/instruments"),
        (
            {"BOT_DERIBIT__BASE_URL": "http://127.0.0.1:9"},
            0,
            "settings",
            "deribit.base_url is set, but a tape asks nobody",
        ),
        ({"BOT_COINGLASS__API_KEY": "hush-hush"}, 0, "CoinGlass", "tapes ask nobody"),
    ],
)
def test_what_is_wrong_is_named_with_the_exit_code_of_its_kind(
    settings: dict[str, str], code: int, about: str, words: str, tmp_path: Path
) -> None:
    ended, report = found(tmp_path, **settings)
    assert (ended, report["ok"]) == (code, code == 0)
    assert any(each["about"] == about and words in each["text"] for each in report["findings"])
    assert "hush-hush" not in str(report)


def test_a_file_in_the_place_of_the_folder_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    code, report = found(tmp_path)
    assert code == 2 and states(report)["data folder"] == "problem"


def test_guards_that_filter_longs_only_are_named_until_they_mirror(tmp_path: Path) -> None:
    def longs_only(**settings: str) -> set[str]:
        _, report = found(tmp_path, **settings)
        return {row["name"] for row in report["guards"] if row["filters"] == ["long"]}

    every = {"liquidation_wall", "long_trap", "taker_aggression", "wall_resistance"}
    assert longs_only() == every
    assert longs_only(BOT_GUARDS__LONG_TRAP__MIRROR_SHORT="true") == every - {"long_trap"}


def test_in_words_it_says_the_same(tmp_path: Path) -> None:
    told = called("doctor", cwd=tmp_path, BOT_GUARDS__LONG_TRAP__ENABLED="false")
    lines = told.out.splitlines()
    assert told.code == 0 and told.err == ""
    assert any(line.split()[:2] == ["ok", "program:"] for line in lines)
    assert any(line.split() == ["long_trap", "no", "longs", "only", "allows"] for line in lines)
    assert any(line.split()[:3] == ["risk_limits", "yes", "longs"] and line.split()[-1] == "-" for line in lines)
