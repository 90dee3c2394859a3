"""Scripts and seeds of faults: what is read, what is refused, and that a seed brings everything."""

from __future__ import annotations

from itertools import islice, pairwise
from pathlib import Path

import pytest

from bot.domain.errors import ConfigError
from bot.sim.faults import ANSWERS, CUTS, MESSAGES, OF_SYMBOLS, QUIET, Fault, Kind, in_words, load_faults, seeded_faults

SCRIPT = """
[[fault]]
at_s = 60
kind = "timeout"
route = "/fapi/v1/order"
method = "POST"
after = true

[[fault]]
at_s = 30.5
kind = "lose"
stream = "btcusdt@depth*"
count = 3
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "faults.toml"
    path.write_text(text)
    return path


def test_a_script_is_read_in_the_order_of_its_times(tmp_path: Path) -> None:
    lose, timeout = load_faults(written(tmp_path, SCRIPT))
    assert lose == Fault(at_s=30.5, kind=Kind.LOSE, stream="btcusdt@depth*", count=3)
    assert timeout == Fault(at_s=60, kind=Kind.TIMEOUT, route="/fapi/v1/order", method="POST", after=True)
    assert in_words(lose) == "lose at 30.5 s: count=3 stream=btcusdt@depth*"
    assert load_faults(written(tmp_path, "")) == []


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ('kind = "nope"\nat_s = 1', "nope"),
        ('kind = "lose"', "at_s"),
        ('kind = "lose"\nat_s = 1\nroutes = "*"', "routes"),
        ('kind = "lose"\nat_s = 1\nroute = "/x"', "it has no route"),
        ('kind = "html"\nat_s = 1\nstream = "x"', "it has no stream"),
        ('kind = "html"\nat_s = 1\npct = 1.0', "it has no pct"),
        ('kind = "close"\nat_s = 1\nseconds = 1', "it has no seconds"),
        ('kind = "halted"\nat_s = 1\nsymbol = "BTCUSDT"', "how many seconds"),
        ('kind = "slow"\nat_s = 1', "how many ms"),
        ('kind = "slow"\nat_s = 1\nms = -1', "how many ms"),
        ('kind = "lose"\nat_s = -1', "out of range"),
        ('kind = "lose"\nat_s = 1\ncount = -1', "out of range"),
        ('kind = "lose"\nat_s = nan', "out of range"),
        ('kind = "mark_gap"\nat_s = 1\nseconds = 1\npct = -100.0', "pct"),
        ('kind = "mark_gap"\nat_s = 1\nseconds = 1', "pct"),
        ("at_s = ", "Invalid value"),
    ],
)
def test_what_would_be_ignored_or_cannot_be_is_refused(tmp_path: Path, fields: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load_faults(written(tmp_path, f"[[fault]]\n{fields}\n"))


def test_another_table_and_no_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="faults"):
        load_faults(written(tmp_path, "[[faults]]\nat_s = 1"))
    with pytest.raises(ConfigError, match="none"):
        load_faults(tmp_path / "none.toml")


def test_a_seed_brings_each_kind_in_time_and_always_the_same() -> None:
    made, again, other = (list(islice(seeded_faults(seed, ["BTCUSDT"]), 1000)) for seed in (1, 1, 2))
    assert made == again != other
    assert {fault.kind for fault in made} == set(Kind)
    assert all(before.at_s <= after.at_s for before, after in pairwise(made))
    assert made[-1].at_s == pytest.approx(45_000, rel=0.15)


def test_each_kind_is_somebodys_business() -> None:
    alone = {Kind.KEY_EXPIRES, Kind.CLOCK, Kind.REFUSE}
    groups = (CUTS, QUIET, MESSAGES, ANSWERS, OF_SYMBOLS, alone)
    assert set().union(*groups) == set(Kind) and sum(map(len, groups)) == len(Kind)
