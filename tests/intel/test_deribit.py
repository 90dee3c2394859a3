"""Deribit's option summary: what is taken, what is refused, and that a failing server is asked again."""

from __future__ import annotations

import asyncio
import contextlib
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.errors import FeedError
from bot.domain.values import NS
from bot.intel.deribit import Deribit, max_pain_reading, parse_summary
from bot.intel.params import DeribitParams
from bot.market.readings import decode_reading
from tests.servers.deribit import deribit_server

FIXTURE = json.loads((Path(__file__).parents[1] / "fixtures/quant/max_pain.json").read_text())
ROWS: list[dict[str, Any]] = FIXTURE["deribit_rows_example"]
EXPIRY = int(datetime(2026, 3, 27, 8, tzinfo=UTC).timestamp()) * NS
NOW = EXPIRY - 24 * 3600 * NS


def body(*rows: dict[str, Any]) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "result": rows}).encode()


def test_the_example_rows_give_the_reading_of_the_hand_example() -> None:
    options = parse_summary(body(*ROWS), "BTC")
    assert {option.expiry_ns for option in options} == {EXPIRY}
    reading = max_pain_reading(options, "BTC", NOW)
    assert reading.value is not None
    assert (reading.key, reading.source, reading.reason) == ("BTC", "deribit", "")
    assert (reading.value.price, reading.value.expiry) == (Decimal(100), "2026-03-27")
    assert reading.value.notional_usd == Decimal(335 * 101)
    assert max_pain_reading(options, "BTC", EXPIRY).value is None


def chain_of(days: int, strike: int, coins: int = 10) -> list[dict[str, Any]]:
    """Calls and puts at one strike alone: it is max pain."""
    at = datetime.fromtimestamp(NOW // NS, UTC) + timedelta(days=days)
    day = f"{at.day}{at.strftime('%b%y').upper()}"
    return [ROWS[0] | {"instrument_name": f"BTC-{day}-{strike}-{kind}", "open_interest": coins} for kind in "CP"]


def test_every_expiry_to_come_is_told_nearest_first_and_so_many_at_most() -> None:
    rows = [row for days in (40, 3, -1, 1) for row in chain_of(days, 100 + days)] + chain_of(9, 500, coins=0)
    reading = max_pain_reading(parse_summary(body(*rows), "BTC"), "BTC", NOW)
    assert reading.value is not None
    assert [int(each.price) for each in reading.value.expiries] == [101, 103, 140]
    assert reading.value.expiry in [each.expiry for each in reading.value.expiries]
    many = [row for days in range(1, 30) for row in chain_of(days, 100 + days)]
    reading = max_pain_reading(parse_summary(body(*many), "BTC"), "BTC", NOW)
    assert reading.value is not None
    assert [int(each.price) for each in reading.value.expiries] == [100 + days for days in range(1, 13)]


def test_linear_rows_are_left_out_zeros_kept_and_d_is_a_decimal_point() -> None:
    linear = ROWS[0] | {"instrument_name": "BTC_USDC-27MAR26-90-C", "quote_currency": "USDC"}
    small = ROWS[0] | {"instrument_name": "BTC-5MAR26-0d625-P", "open_interest": 0, "mark_iv": 55.5}
    (option,) = parse_summary(body(linear, small), "BTC")
    assert (option.strike, option.call, option.open_interest) == (Decimal("0.625"), False, Decimal(0))
    assert option.mark_iv_pct == 55.5


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[("open_interest", value) for value in (None, -1, "10", True, 1e13)],
        *[("underlying_price", value) for value in (None, 0, -1, "100")],
        *[("mark_iv", value) for value in (-1, "50", 1e5)],
        ("instrument_name", "BTC-31FEB26-90-C"),
        ("instrument_name", "BTC-27XXX26-90-C"),
        ("instrument_name", "BTC-27MAR26-0-C"),
        ("instrument_name", "ETH-27MAR26-90-C"),
        ("instrument_name", "BTC-PERPETUAL"),
        ("instrument_name", ROWS[1]["instrument_name"]),
    ],
)
def test_one_bad_row_refuses_the_answer_and_is_named(field: str, value: Any) -> None:
    with pytest.raises(FeedError, match=r"result\[\d\]"):
        parse_summary(body(ROWS[0] | {field: value}, ROWS[1]), "BTC")


@pytest.mark.parametrize("raw", [b"", b"[]", b"{}", b'{"result":null}', b'{"result":[1]}', b'{"result":[{"x":NaN}]}'])
def test_what_is_no_summary_is_refused(raw: bytes) -> None:
    with pytest.raises(FeedError, match="deribit"):
        parse_summary(raw, "BTC")


@given(st.binary(max_size=60), st.integers(0, 400), st.integers(0, 400))
def test_a_damaged_answer_is_refused_and_never_anything_else(junk: bytes, start: int, end: int) -> None:
    good = body(*ROWS[:2])
    with contextlib.suppress(FeedError):
        parse_summary(good[:start] + junk + good[end:], "BTC")


async def poll(behaviours: list[str], timeout_s: float = 5.0) -> tuple[list[bytes], list[str], list[float], int]:
    """Frames, reports and waits of a client against a server that behaves so, one after the other."""
    frames: list[bytes] = []
    reports: list[str] = []
    waits: list[float] = []
    done = asyncio.Event()
    async with deribit_server(ROWS) as server:

        async def next_one(wait_s: float) -> None:
            waits.append(wait_s)
            if len(waits) == len(behaviours):
                done.set()
                await asyncio.Event().wait()
            server.behaviour = behaviours[len(waits)]

        server.behaviour = behaviours[0]
        params = DeribitParams(base_url=server.url, timeout_s=timeout_s, backoff_s=5, refresh_s=12)
        client = Deribit(["BTC"], params, frames.append, reports.append, lambda: NOW, next_one)
        task = asyncio.create_task(client.run())
        await asyncio.wait_for(done.wait(), 20)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert server.queries[0] == {"currency": "BTC", "kind": "option"}
        return frames, reports, waits, len(server.queries)


def test_failures_are_backed_off_from_and_told_once_a_minute_and_why_there_is_no_number_yet() -> None:
    behaviours = ["html", "type", "cut", "error", "redirect", "ok", "error"]
    frames, reports, waits, asked = asyncio.run(poll(behaviours))
    assert waits == [5, 10, 12, 12, 12, 12, 5]
    assert (len(reports), asked) == (1, 7)
    readings = [decode_reading(frame, NOW) for frame in frames]
    assert [reading.value is None for reading in readings] == [True] * 5 + [
        False
    ]  # the failure after it hides no number
    assert "not JSON" in readings[0].reason
    assert readings[-1].value is not None and readings[-1].value.price == 100


def test_a_server_that_never_answers_is_given_up() -> None:
    frames, reports, _, _ = asyncio.run(poll(["slow", "ok"], timeout_s=0.2))
    assert (len(frames), len(reports)) == (2, 1)
    assert "no answer within 0.2 s" in decode_reading(frames[0], NOW).reason
