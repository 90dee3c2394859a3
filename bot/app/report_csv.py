"""The report as CSV files, for a spreadsheet or a tax program: every row of an account, times in UTC, money unrounded.

trades.csv   shadows.csv   fills.csv   fees.csv (fills by UTC day, symbol, asset and maker or taker)   funding.csv
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from msgspec import Struct

from bot.domain.errors import ConfigError
from bot.learning.trades import FillRow, FundingRow, Shadow, Trade, TradeBook

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet may run when a cell's text begins with it


@dataclass(slots=True)
class _Paid:
    fills: int = 0
    notional_usd: Decimal = Decimal(0)
    fee: Decimal = Decimal(0)


def write_csv(book: TradeBook, folder: Path) -> dict[str, int]:
    """Rows written by file name. Raises ConfigError where it cannot write."""
    tables: dict[str, tuple[Sequence[str], Iterable[Mapping[str, Any]]]] = {
        "trades.csv": (_columns(Trade), map(_row, book.trades)),
        "shadows.csv": (_columns(Shadow), map(_row, book.shadows)),
        "fills.csv": (_columns(FillRow), map(_row, book.fills)),
        "fees.csv": (_FEES, _fees(book.fills)),
        "funding.csv": (_columns(FundingRow), map(_row, book.funding)),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return {name: _write(folder / name, *table) for name, table in tables.items()}
    except OSError as error:
        raise ConfigError(f"the report cannot be written to {folder}: {error.strerror}") from None


def _write(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> int:
    count, whole = 0, path.with_name(f".{path.name}.new")
    with whole.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        for row in rows:
            writer.writerow({name: _cell(value) for name, value in row.items()})
            count += 1
    whole.replace(path)
    return count


def _columns(kind: type[Struct]) -> list[str]:
    """Nanoseconds are shown as UTC time too, before them."""
    names = kind.__struct_fields__
    return [each for name in names for each in ((name.removesuffix("_ns"), name) if name.endswith("_ns") else (name,))]


def _row(record: Struct) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for name in record.__struct_fields__:
        value = getattr(record, name)
        if name.endswith("_ns"):
            row[name.removesuffix("_ns")] = (
                _time(value).isoformat(sep=" ", timespec="milliseconds").removesuffix("+00:00")
            )
        row[name] = value
    return row


_FEES = ("day", "symbol", "fee_asset", "maker", "fills", "notional_usd", "fee")


def _fees(fills: Iterable[FillRow]) -> Iterable[dict[str, Any]]:
    paid: dict[tuple[str, str, str, bool], _Paid] = {}
    for fill in fills:
        key = f"{_time(fill.ts_ns):%Y-%m-%d}", fill.symbol, fill.fee_asset, fill.maker
        sums = paid.setdefault(key, _Paid())
        sums.fills += 1
        sums.notional_usd += fill.price * fill.quantity
        sums.fee += fill.fee
    for key, sums in sorted(paid.items()):
        yield dict(zip(_FEES, (*key, sums.fills, sums.notional_usd, sums.fee), strict=True))


def _cell(value: Any) -> Any:
    """Empty is unknown. Numbers without exponents; text that a spreadsheet would take for a formula gets an apostrophe."""
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value


def _time(ns: int) -> datetime:
    return _EPOCH + timedelta(microseconds=ns // 1000)
