"""Status and body judged together: every documented and observed refusal, and everything that is no answer at all."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.intel.coinglass.envelope import MAX_BYTES, Refusal, Why, data_of

FIXTURES = Path(__file__).parents[2] / "fixtures/coinglass"
JSON = "application/json"


def refused(status: int, raw: bytes, content_type: str = JSON) -> Refusal:
    with pytest.raises(Refusal) as caught:
        data_of(status, content_type, raw)
    return caught.value


@pytest.mark.parametrize(
    ("name", "status", "why"),
    [
        ("400-missing-param", 200, Why.REQUEST),
        ("400-missing-exchange", 200, Why.REQUEST),
        ("400-unknown-pair", 200, Why.REQUEST),
        ("401-upgrade-plan", 200, Why.PLAN),
        ("401-upgrade-plan", 401, Why.PLAN),
        ("401-invalid-key", 401, Why.KEY),
        ("401-invalid-key", 200, Why.KEY),
        ("403-interval-not-in-plan", 200, Why.INTERVAL),
        ("403-interval-not-in-plan", 403, Why.INTERVAL),
        ("404-endpoint-not-found", 404, Why.REQUEST),
        ("404-not-found", 200, Why.REQUEST),
        ("429-rate-limit", 429, Why.LIMIT),
        ("429-rate-limit", 200, Why.LIMIT),
        ("500-server-error", 200, Why.SERVER),
        ("500-server-error", 500, Why.SERVER),
    ],
)
def test_a_refusal_is_known_by_its_code_whatever_the_status(name: str, status: int, why: Why) -> None:
    assert refused(status, (FIXTURES / f"error-{name}.json").read_bytes()).why is why


@pytest.mark.parametrize("extra", [{"success": False}, {"data": []}])
def test_the_plan_wall_has_variants(extra: dict[str, object]) -> None:
    assert refused(200, json.dumps({"code": "401", "msg": "Upgrade plan", **extra}).encode()).why is Why.PLAN


@pytest.mark.parametrize(
    ("status", "raw", "content_type", "why"),
    [
        (200, b"<html>maintenance</html>", "text/html", Why.BAD),
        (503, b"<html>maintenance</html>", "text/html", Why.DOWN),
        (403, b"<html>blocked</html>", "text/html", Why.DOWN),
        (429, b"<html>slow down</html>", "text/html", Why.LIMIT),
        (401, b"", "text/plain", Why.KEY),
        (404, b"<html/>", "text/html", Why.REQUEST),
        (200, b"<html>", JSON, Why.BAD),
        (200, b'{"code":"0","data":[1', JSON, Why.BAD),
        (200, b'{"code":"0","data":[NaN]}', JSON, Why.BAD),
        (200, b'{"code":"0","data":[Infinity]}', JSON, Why.BAD),
        (200, b'{"code":"0","data":null}', JSON, Why.BAD),
        (200, b'{"code":"0"}', JSON, Why.BAD),
        (200, b'{"code":null,"data":[]}', JSON, Why.BAD),
        (200, b'{"code":false,"data":[]}', JSON, Why.BAD),
        (200, b'{"code":0.0,"data":[]}', JSON, Why.BAD),
        (200, b'{"code":"00","data":[]}', JSON, Why.BAD),
        (200, b'{"code":"7"}', JSON, Why.BAD),
        (200, b'[{"code":"0"}]', JSON, Why.BAD),
        (200, b"[" * 100_000, JSON, Why.BAD),
        (500, b'{"code":"0","data":[]}', JSON, Why.DOWN),
        (200, b'{"code":"0","data":[]}', "text/html", Why.BAD),
        (204, b'{"code":"0","data":[]}', JSON, Why.BAD),
        (302, b'{"code":"0","data":[]}', JSON, Why.BAD),
        (200, b'"' + b"x" * MAX_BYTES + b'"', JSON, Why.BAD),
    ],
)
def test_what_is_no_answer_is_refused(status: int, raw: bytes, content_type: str, why: Why) -> None:
    assert refused(status, raw, content_type).why is why


def test_success_needs_no_message_and_keeps_fractions_exact() -> None:
    assert data_of(200, "application/json; charset=utf-8", b'{"code":"0","data":[0.1,1e3,2]}') == [
        Decimal("0.1"),
        Decimal(1000),
        2,
    ]
    assert data_of(200, JSON, b'{"code":0,"data":[]}') == []


def test_what_a_provider_says_cannot_forge_a_line_or_fill_a_log() -> None:
    body = json.dumps({"code": "401\n", "msg": "Upgrade\nplan\x1b[31m" + "x" * 10_000}).encode()
    said = str(refused(200, body))
    assert "\n" not in said and "\x1b" not in said and len(said) < 500


@given(st.integers(100, 599), st.sampled_from([JSON, "text/html", ""]), st.binary(max_size=80))
def test_whatever_comes_is_data_or_a_refusal(status: int, content_type: str, raw: bytes) -> None:
    try:
        data_of(status, content_type, raw)
    except Refusal:
        return
    assert status == 200 and b"code" in raw
