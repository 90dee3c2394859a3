"""The CSV files hold every row, to the last digit, and nothing a spreadsheet would run."""

from __future__ import annotations

import csv
from decimal import Decimal
from pathlib import Path

import pytest

from bot.app.report import Report
from bot.app.report_csv import write_csv
from bot.domain.errors import ConfigError
from bot.learning.trades import TradeBook
from tests.learning.accounts import Account
from tests.learning.histories import HOUR

Rows = list[dict[str, str]]


def written(account: Account, folder: Path) -> dict[str, Rows]:
    report = Report()
    report.fold(account.events)
    counts = write_csv(report.book, folder)
    tables = {}
    for name, count in counts.items():
        with (folder / name).open(newline="") as file:
            tables[name] = list(csv.DictReader(file))
        assert len(tables[name]) == count
    assert sorted(each.name for each in folder.iterdir()) == sorted(counts)  # and nothing half written
    return tables


def test_every_row_is_there_and_exact(tmp_path: Path) -> None:
    account = Account()
    position = account.trade(1.0, fee="0.123456789", pnl_usd="25.000000001", funding=None)
    account.funded(position, "-0.00000001", after_close=True)
    account.refused(-1.0)
    tables = written(account, tmp_path / "made" / "for it")
    (trade,) = tables["trades.csv"]
    assert (trade["position_id"], trade["pnl_usd"], trade["funding_usd"]) == (position, "24.999999991", "0")
    assert (trade["opened"], trade["closed"]) == ("2024-10-04 00:00:00.000", "2024-10-04 00:30:00.000")
    assert (trade["max_pain_gap_pct"], trade["max_pain_hit"], trade["true_trend"]) == (
        "",
        "",
        "false",
    )  # unknown is empty
    assert [row["fee"] for row in tables["fills.csv"]] == ["0.123456789"] * 2
    assert [row["blocker"] for row in tables["shadows.csv"]] == ["", ""]
    (funding,) = tables["funding.csv"]
    assert (funding["usd"], funding["rate"], funding["quantity"]) == ("-0.00000001", "-0.0001", "-0.03")


def test_fees_are_summed_by_day_symbol_asset_and_kind(tmp_path: Path) -> None:
    account = Account()
    account.trade(1.0, fee="1", reason="take_profit")
    account.trade(1.0, fee="2", symbol="ETH/USDT:USDT")
    account.wait(24 * HOUR).trade(1.0, fee="4")
    fees = written(account, tmp_path)["fees.csv"]
    told = [(row["day"][-2:], row["symbol"][:3], row["maker"], row["fills"], row["fee"]) for row in fees]
    assert told == [
        ("04", "BTC", "false", "1", "1"),
        ("04", "BTC", "true", "1", "1"),
        ("04", "ETH", "false", "2", "4"),
        ("05", "BTC", "false", "2", "8"),
    ]
    assert sum(Decimal(row["fee"]) for row in fees) == 14
    assert Decimal(fees[0]["notional_usd"]) == Decimal("60000") * Decimal("0.03")


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\r=1"])
def test_no_text_is_a_formula(tmp_path: Path, name: str) -> None:
    account = Account()
    account.trade(-1.0, strategy=name, reason=name)
    (trade,) = written(account, tmp_path)["trades.csv"]
    assert (trade["strategy"], trade["reason"]) == (f"'{name}", f"'{name}")
    assert trade["pnl_usd"].startswith("-25")  # a number is a number


def test_files_of_nothing_have_their_headings(tmp_path: Path) -> None:
    counts = write_csv(TradeBook(), tmp_path)
    assert set(counts.values()) == {0}
    assert all("," in (tmp_path / name).read_text().splitlines()[0] for name in counts)


def test_where_nothing_can_be_written_it_says_so(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(ConfigError, match="cannot be written"):
        write_csv(TradeBook(), tmp_path / "taken")
