"""History as Binance's REST replies give it: which klines become bars, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bot.domain.errors import FeedError
from bot.domain.market import Bar
from bot.domain.values import MS
from bot.exchanges.binance_rest import parse_klines
from bot.exchanges.wire import MAX_BYTES

SAMPLE = (
    Path(__file__).resolve().parents[2]
    / "../shared/fixtures/market/nautilus/tests/integration_tests/adapters/binance/resources/http_responses"
    / "http_futures_market_klines.json"
)
START_MS = 1_700_000_100_000
WIDTH_MS = 300_000


def kline(index: int = 0, **changed: Any) -> list[Any]:
    fields: dict[str, Any] = {
        "open_ms": START_MS + index * WIDTH_MS,
        "open": "60000.10",
        "high": "60010",
        "low": "59990.5",
        "close": "60005",
        "base": "12.5",
        "close_ms": START_MS + (index + 1) * WIDTH_MS - 1,
        "usd": "750000.25",
        "trades": 321,
        "buy_base": "6",
        "buy_usd": "360000.5",
        "unused": "0",
    }
    return list((fields | changed).values())


def raw(*klines: list[Any]) -> bytes:
    return json.dumps(klines).encode()


def bar(index: int = 0) -> Bar:
    return Bar((START_MS + index * WIDTH_MS) * MS, 60000.1, 60010.0, 59990.5, 60005.0, 750000.25, 360000.5, 321)


@pytest.mark.parametrize(
    ("now_ms", "finished"),
    [
        (START_MS + 3 * WIDTH_MS - 1, 2),
        (START_MS + 3 * WIDTH_MS, 3),
        (START_MS + 2 * WIDTH_MS, 2),
        (START_MS, 0),
        (None, 2),  # fetched nobody knows when: the last one may have been running
    ],
)
def test_only_finished_klines_are_bars(now_ms: int | None, finished: int) -> None:
    parsed = parse_klines(raw(kline(0), kline(1), kline(2)), None if now_ms is None else now_ms * MS)
    assert parsed.width_s == 300
    assert parsed.bars == [bar(index) for index in range(finished)]


def test_a_kline_without_trades_is_no_bar() -> None:
    still = kline(1, base="0", usd="0", trades=0, buy_base="0", buy_usd="0")
    assert parse_klines(raw(kline(0), still, kline(2), kline(3))).bars == [bar(0), bar(2)]


def test_a_hole_between_klines_stays_one() -> None:
    assert parse_klines(raw(kline(0), kline(5), kline(6))).bars == [bar(0), bar(5)]


@pytest.mark.parametrize(
    ("klines", "why"),
    [
        ([], "no klines"),
        ([kline(open="0")], "1e-18"),
        ([kline(high="NaN")], "float"),
        ([kline(low="-1")], r"\$\[0\]\[3\]"),
        ([kline(close="1e400")], r"\$\[0\]\[4\]"),
        ([kline(usd="-0.1")], r"\$\[0\]\[7\]"),
        ([kline(trades=-1)], r"\$\[0\]\[8\]"),
        ([kline(trades=1.5)], r"\$\[0\]\[8\]"),
        ([kline()[:-1]], "length 12"),
        ([kline(open="60020")], "outside its low and high"),
        ([kline(close="59990")], "outside its low and high"),
        ([kline(buy_usd="750000.26")], "takers bought more"),
        ([kline(), kline()], "follows"),
        ([kline(1), kline(0)], "follows"),
        ([kline(), kline(1, close_ms=START_MS + WIDTH_MS + 59_999)], "of several widths: 60000 ms, 300000 ms"),
        ([kline(close_ms=START_MS - 1)], "not whole seconds"),
        ([kline(close_ms=START_MS + 1_499)], "not whole seconds"),
        ([kline(open_ms=START_MS + 1000, close_ms=START_MS + 1000 + WIDTH_MS - 1)], "cannot start at"),
    ],
)
def test_what_is_refused(klines: list[list[Any]], why: str) -> None:
    with pytest.raises(FeedError, match=why):
        parse_klines(raw(*klines))


@pytest.mark.parametrize("text", [b"", b"{}", b'{"code":-1121,"msg":"Invalid symbol."}', b"[[", b"[1]", b"[" * 10_000])
def test_anything_else_is_refused(text: bytes) -> None:
    with pytest.raises(FeedError, match="binanceusdm: klines: "):
        parse_klines(text)


def test_a_reply_beyond_any_size_is_refused() -> None:
    with pytest.raises(FeedError, match="more than"):
        parse_klines(b" " * (MAX_BYTES + 1))


@pytest.mark.skipif(not SAMPLE.exists(), reason="sample messages not here: ../shared")
def test_the_documented_sample_is_read_but_a_week_begins_on_a_monday() -> None:
    with pytest.raises(FeedError, match="a bar of 604800000000000 ns cannot start at 1499040000000000000"):
        parse_klines(SAMPLE.read_bytes(), 2**62)
