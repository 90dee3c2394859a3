"""The HTTP API of a running engine, over real sockets: what it tells, what it takes, what it refuses.

One engine plays the bundled recording, which lasts 345 s, for the whole module; no strategy of ours trades, so that only
what the tests ask for happens.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from bot.api import server
from bot.app.settings import Settings
from bot.market.readings import SOURCES
from tests.e2e.running import START_NS, SYMBOL, Answer, Engine, Json, bot, called, until

ACTING = ("/api/signals", "/api/pause", "/api/resume", "/api/close")
LOOKING = (
    *("/api/status", "/api/positions", "/api/orders", "/api/signals", "/api/readings", "/api/health", "/api/events"),
    *("/api/guards", "/api/guards?by=strategy,symbol,direction&window=7d"),
    *("/api/depth", "/api/learning", "/api/chart", "/api/equity"),
    *("/livez", f"/api/why?q={SYMBOL}"),
)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    settings = {
        "BOT_STRATEGIES": "",
        "BOT_RISK__COOLDOWN_S": "0",
        "BOT_RISK__ENTRIES_PER_SYMBOL_DAY": "1000",
        "BOT_RISK__ENTRIES_PER_DAY": "1000",
        "BOT_RISK__ORDERS_PER_MINUTE": "10000",
    }
    with Engine(tmp_path_factory.mktemp("api") / "data", "--speed", 1, **settings) as running:
        until(lambda: running.get("/api/status")["state"] == "ACTIVE", "a usable book")
        yield running


@pytest.fixture
def flat(engine: Engine) -> Engine:
    """No position, nothing on its way, not paused."""
    engine.post("/api/resume")

    def settled() -> bool:
        if engine.get("/api/positions"):
            engine.post("/api/close", {"symbol": SYMBOL})
        return not engine.get("/api/orders")

    until(settled, "no order")
    return engine


# --- looking -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", LOOKING)
def test_looking_needs_no_token(engine: Engine, path: str) -> None:
    engine.get(path)


@pytest.mark.parametrize("path", ["/readyz", "/healthz"])
def test_asking_whether_it_is_ready_needs_no_token(engine: Engine, path: str) -> None:
    answer = engine.request("GET", path)
    assert (answer.status == 200) is answer.body["ready"] is (answer.body["problems"] == [])


def test_status_tells_what_is_played_and_how_it_stands(engine: Engine) -> None:
    status = engine.get("/api/status")
    assert (status["running"], status["mode"], status["venue"], status["session"]) == (True, "paper", "tape", 1)
    assert (status["symbols"], status["strategies"], status["bad_frames"]) == ([SYMBOL], [], 0)
    assert status["engine_time_ns"] > START_NS
    [market] = status["markets"]
    assert market["usable"] and 60_000 < market["bid"] < market["ask"] < 63_000
    assert market["mark_source"] == "mid"
    assert market["book_age_s"] < 2
    until(lambda: engine.get("/api/status")["frames"] > status["frames"], "more frames")
    assert engine.get("/api/status")["engine_time_ns"] >= status["engine_time_ns"]


def test_depth_is_in_steps_from_mid_and_reaches_as_far_as_it_says(engine: Engine) -> None:
    depth = engine.get("/api/depth")[SYMBOL]
    market = engine.get("/api/status")["markets"][0]
    assert depth["anchor"] == pytest.approx(market["mark"], rel=0.002) and depth["step_bps"] == 10
    for side in ("asks", "bids"):
        assert len(depth[side]) == 50 and depth[side][0] > 0  # the best price lies in the first step
    assert depth["ask_coverage_pct"] > 0 and depth["bid_coverage_pct"] > 0


def test_readings_have_state_source_and_age_and_a_reason_where_there_is_none(engine: Engine) -> None:
    rows = {row["name"]: row for row in engine.get("/api/readings")}
    assert list(rows) == list(SOURCES)
    for row in rows.values():
        assert row["symbol"] == SYMBOL
        assert (row["value"] is None) == (row["state"] == "MISSING") == (row["age_s"] is None)
        assert row["reason"] or row["value"] is not None, row
        assert bool(row["source"]) is (row["value"] is not None)
        assert row["state"] != "FRESH" or row["age_s"] <= row["max_age_s"]
    assert rows["max_pain"]["state"] == "MISSING"
    assert "deribit: nothing received yet" in rows["max_pain"]["reason"]
    assert engine.get(f"/api/readings?symbol={SYMBOL}") != []


def test_events_are_paged_by_seq_and_filtered_by_kind(engine: Engine) -> None:
    engine.signal("paged", "short")
    everything = engine.get("/api/events")
    assert [event["seq"] for event in everything] == list(range(1, len(everything) + 1))
    assert everything[0]["kind"] == "ENGINE_STARTED"
    assert engine.get("/api/events?since=2&limit=1") == everything[2:3]
    kinds = {event["kind"] for event in engine.get("/api/events?kinds=SIGNAL,DECISION")}
    assert kinds == {"SIGNAL", "DECISION"}
    assert engine.get(f"/api/events?since={2**63 - 1}") == []


def test_health_tells_how_late_the_loop_is(engine: Engine) -> None:
    lag = until(lambda: engine.get("/api/health")["loop_lag_ms"], "a first measurement")
    assert 0 <= lag["p50"] <= lag["p99"] <= lag["max"]


def test_health_tells_of_the_journal(engine: Engine) -> None:
    journal = engine.get("/api/health")["journal"]
    assert journal["failure"] is None
    assert journal["high_water"] > 0


# --- what is refused -----------------------------------------------------------------------------------------------


def bearer(engine: Engine) -> dict[str, str]:
    return {"Authorization": f"Bearer {engine.token}"}


def acts(engine: Engine) -> list[int]:
    """Events that only somebody's acting makes here; fills of what is open come on their own while the tape plays."""
    return [
        event["seq"]
        for event in engine.get("/api/events")
        if event["kind"] in ("SIGNAL", "STATE")
        or (event["kind"] == "ORDER_INTENT" and event["data"]["reason"] == "operator")
    ]


@pytest.mark.parametrize("path", ACTING)
@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "Bearer "}, {"Authorization": b"Bearer \xff\xfe"}],
    ids=["none", "wrong", "empty", "not text"],
)
def test_acting_needs_the_token(engine: Engine, path: str, headers: dict[str, Any]) -> None:
    before = acts(engine)
    refused = engine.request("POST", path, json.dumps({"id": "x", "symbol": SYMBOL, "direction": "long"}), headers)
    assert refused.status == 401
    assert "api-token" in refused.body["error"]
    assert acts(engine) == before
    assert engine.get("/api/status")["state"] == "ACTIVE"


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_foreign_host_is_refused_whatever_it_knows(engine: Engine, method: str) -> None:
    for host in (f"evil.example:{engine.port}", "127.0.0.1", f"127.0.0.1:{engine.port + 1}"):
        headers = {"Host": host, "Authorization": f"Bearer {engine.token}"}
        refused = engine.request(method, "/api/status" if method == "GET" else "/api/pause", "{}", headers)
        assert refused.status == 403, host
        assert f"127.0.0.1:{engine.port}" in refused.body["error"]
    for ours in (f"127.0.0.1:{engine.port}", f"localhost:{engine.port}"):
        assert engine.request("GET", "/livez", headers={"Host": ours}).status == 200


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("", "truncated"),
        ("{", "truncated"),
        ("[]", "object"),
        ('{"id": "x"}', "`symbol`"),
        ('{"symbol": "S", "direction": "long"}', "`id`"),
        ('{"id": "x", "symbol": "S"}', "`direction`"),
        ('{"id": "", "symbol": "S", "direction": "long"}', "$.id"),
        ('{"id": "a b", "symbol": "S", "direction": "long"}', "$.id"),
        ('{"id": "x", "symbol": 5, "direction": "long"}', "$.symbol"),
        ('{"id": "x", "symbol": "S", "direction": "up"}', "$.direction"),
        ('{"id": "x", "symbol": "S", "direction": "long", "strength": 1.01}', "$.strength"),
        ('{"id": "x", "symbol": "S", "direction": "long", "size": 1}', "`size`"),
        ('{"id": "x", "symbol": "S", "direction": "long", "price": "dear"}', "$.price"),
        (b"\xff", "malformed"),
    ],
)
def test_a_malformed_signal_is_refused_and_its_field_named(engine: Engine, body: str | bytes, told: str) -> None:
    refused = engine.request("POST", "/api/signals", body, {"Authorization": f"Bearer {engine.token}"})
    assert refused.status == 400
    assert told in refused.body["error"]


@pytest.mark.parametrize("price", ["0", "-1", "NaN", "sNaN", "Infinity", "1e13", "1e-13", "1e-200000", "1e999999"])
def test_a_price_that_is_none_is_refused(engine: Engine, price: str) -> None:
    refused = engine.signal("priced", "long", price=price)
    assert refused.status == 400, refused
    assert "price" in refused.body["error"]


@pytest.mark.parametrize(
    "path",
    [
        *(f"/api/signals?limit={limit}" for limit in ("x", "-1", "1.5", "", "9" * 30, "%D9%A3")),
        *(f"/api/events?limit={limit}" for limit in ("x", "-1")),
        *(f"/api/events?since={since}" for since in ("x", "-1", "9" * 20, 2**63)),
    ],
)
def test_a_number_that_is_none_is_refused_and_named_and_harms_nothing(engine: Engine, path: str) -> None:
    refused = engine.get(path, expect=400)
    assert refused["error"].startswith(path.partition("?")[2].partition("=")[0])
    assert engine.get("/api/health")["journal"]["failure"] is None


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "told"),
    [
        ("GET", "/api/nothing", None, 404, "404"),
        ("GET", "/nothing", None, 404, "404"),
        ("POST", "/api/nothing", {}, 404, "404"),
        ("DELETE", "/api/signals", {}, 405, "405"),
        ("GET", "/api/pause", None, 405, "405"),
        ("GET", "/api/readings?symbol=ETH/USDT:USDT", None, 404, SYMBOL),
        ("POST", "/api/signals", {"id": "x", "symbol": "ETH/USDT:USDT", "direction": "long"}, 404, SYMBOL),
        ("POST", "/api/close", {"symbol": "ETH/USDT:USDT"}, 404, SYMBOL),
        ("POST", "/api/close", {}, 400, "`symbol`"),
        ("GET", "/api/why", None, 400, "why?q="),
    ],
)
def test_what_there_is_not(engine: Engine, method: str, path: str, body: Any, status: int, told: str) -> None:
    headers = {"Authorization": f"Bearer {engine.token}"}
    refused = engine.request(method, path, None if body is None else json.dumps(body), headers)
    assert refused.status == status
    assert told in refused.body["error"]


@pytest.mark.parametrize(("size", "status"), [(64 * 1024, 400), (64 * 1024 + 1, 413)])
def test_a_body_may_be_so_long_and_no_longer(engine: Engine, size: int, status: int) -> None:
    refused = engine.request("POST", "/api/signals", b"x" * size, {"Authorization": f"Bearer {engine.token}"})
    assert refused.status == status


@pytest.mark.parametrize(
    ("path", "site", "status"),
    [
        ("/api/status", "cross-site", 403),
        ("/api/guards", "same-site", 403),  # another port of this machine
        ("/metrics", "cross-site", 403),
        ("/static/main.js", "cross-site", 403),
        ("/api/status", "same-origin", 200),
        ("/api/status", "none", 200),  # typed by the user
    ],
)
def test_a_page_of_another_address_cannot_even_ask(engine: Engine, path: str, site: str, status: int) -> None:
    connection = http.client.HTTPConnection(engine.host, engine.port, timeout=30)
    for headers, expected in (({"Sec-Fetch-Site": site}, status), ({"Sec-Fetch-Site": site} | bearer(engine), 200)):
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == expected or (expected, answer.status) == (200, 202)
    connection.close()


async def test_one_who_sends_a_body_drop_by_drop_is_sent_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "BODY_WITHIN_S", 0.2)

    async def handler(request: web.Request) -> web.Response:
        await server._whole_body(request)
        raise AssertionError("it never came whole")

    app = web.Application()
    app.router.add_post("/", handler)
    async with TestServer(app) as slow:
        reader, writer = await asyncio.open_connection(slow.host, slow.port)
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345")
        async with asyncio.timeout(20):
            assert (await reader.readline()).startswith(b"HTTP/1.1 408")
        writer.close()


# --- acting --------------------------------------------------------------------------------------------------------


def verdicts(engine: Engine, signal_id: str) -> dict[str, Json]:
    return {verdict["guard"]: verdict for verdict in engine.get(f"/api/why?q={signal_id}")["verdicts"]}


def test_a_signal_is_decided_explained_and_not_taken_twice(flat: Engine) -> None:
    first = flat.signal("idea-1", "long", strength=0.7, strategy="tradingview", price="61800")
    assert (first.status, first.body["accepted"]) == (201, True)
    signal_id = first.body["signal_id"]
    guards = Settings().guards
    enabled = [name for name in guards.order if getattr(guards, name).enabled]
    story = flat.get(f"/api/why?q={signal_id}")
    assert [verdict["guard"] for verdict in story["verdicts"]] == enabled
    assert (story["signal"]["strategy"], story["signal"]["strength"]) == ("tradingview", 0.7)
    assert story["decision"]["allowed"] == first.body["allowed"]
    assert flat.get(f"/api/why?q={SYMBOL}")["signal"]["signal_id"] == signal_id, "a symbol means its last one"

    again = flat.signal("idea-1", "short")
    assert again == Answer(200, {"duplicate": True, **{k: v for k, v in first.body.items() if k != "accepted"}})
    taken = [event for event in flat.get("/api/events?kinds=SIGNAL") if event["data"].get("external_id") == "idea-1"]
    assert len(taken) == 1


def test_the_same_idea_twice_at_once_is_taken_once(flat: Engine) -> None:
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: flat.signal("at-once", "short"), range(8)))
    assert sorted(answer.status for answer in answers) == [200] * 7 + [201]
    assert len({answer.body["signal_id"] for answer in answers}) == 1
    assert sum("duplicate" in answer.body for answer in answers) == 7
    taken = [event for event in flat.get("/api/events?kinds=SIGNAL") if event["data"].get("external_id") == "at-once"]
    assert len(taken) == 1


def test_a_pause_refuses_entries_and_a_resume_ends_it(flat: Engine) -> None:
    assert flat.post("/api/pause") == Answer(202, {"accepted": True})
    assert flat.get("/readyz", expect=503)["problems"][0] == "state is REDUCING: paused by operator"
    refused = flat.signal("while-paused", "short").body
    assert (refused["allowed"], refused["blocker"]) == (False, "risk_limits")
    reason = verdicts(flat, refused["signal_id"])["risk_limits"]["reason"]
    assert reason == "state is REDUCING: paused by operator"
    [blocked] = [e for e in flat.get("/api/events?kinds=RISK_LIMIT_BLOCK") if e["corr"] == refused["signal_id"]]
    assert blocked["data"]["reason"] == reason

    assert flat.post("/api/resume").status == 202
    allowed = flat.signal("after-it", "short").body
    assert (allowed["allowed"], allowed["blocker"]) == (True, None)
    until(lambda: flat.request("GET", "/readyz") == Answer(200, {"ready": True, "problems": []}), "the resume")


def test_a_blocked_symbol_takes_no_entries_and_status_says_so(flat: Engine) -> None:
    assert flat.post("/api/block", {"symbol": SYMBOL}).status == 202
    refused = flat.signal("while-blocked", "short").body
    assert verdicts(flat, refused["signal_id"])["risk_limits"]["reason"] == "blocked by the operator"
    status = flat.get("/api/status")
    assert status["blocked_symbols"][SYMBOL]["reason"] == "operator"
    assert status["state"] == "ACTIVE"
    assert flat.post("/api/block", {"symbol": SYMBOL, "blocked": False}).status == 202
    assert flat.get("/api/status")["blocked_symbols"] == {}
    assert flat.signal("unblocked", "short").body["allowed"] is True


def test_a_kill_halts_until_a_resume(flat: Engine) -> None:
    assert flat.post("/api/kill").status == 202
    status = flat.get("/api/status")
    assert (status["state"], status["causes"]["kill"]["reason"]) == ("HALTED", "killed by operator")
    assert START_NS < status["causes"]["kill"]["since_ns"] <= status["engine_time_ns"]
    assert flat.signal("while-halted", "short").body["blocker"] == "risk_limits"
    assert flat.post("/api/resume").status == 202
    assert flat.get("/api/status")["state"] == "ACTIVE"
    assert {"KILL_SWITCH", "RESUMED"} <= set(flat.get("/api/status")["events"])


def test_a_position_is_shown_while_it_is_open_and_closed_when_the_operator_says_so(flat: Engine) -> None:
    signal_id = flat.signal("to-be-closed", "short").body["signal_id"]
    [position] = until(lambda: flat.get("/api/positions"), "a position")
    assert (position["signal_id"], position["direction"], position["state"]) == (signal_id, "short", "OPEN")
    assert position["mark"] > 0 and position["age_s"] >= 0
    assert float(position["profit_usd"]) < 0, "fees are paid, and price has hardly moved"
    working = until(lambda: all_working(flat), "stop and tiers on the venue")
    assert sorted(order["leg"] for order in working) == ["stop", "tier_1", "tier_2", "tier_3", "tier_4"]
    assert {order["position_id"] for order in working} == {position["position_id"]}

    closing = flat.post("/api/close", {"symbol": SYMBOL})
    assert closing == Answer(202, {"accepted": True, "position_id": position["position_id"]})
    until(lambda: not flat.get("/api/positions"), "no position")
    until(lambda: not flat.get("/api/orders"), "no order left")
    story = flat.get(f"/api/why?q={signal_id}")
    assert story["close"]["reason"] == "operator"
    assert [order["leg"] for order in story["orders"]][-1] == "close"
    assert story["orders"][-1]["type"] == "market" and story["orders"][-1]["reduce_only"]
    nothing = flat.post("/api/close", {"symbol": SYMBOL})
    assert (nothing.status, nothing.body["error"]) == (409, f"no open position in {SYMBOL}")


def all_working(engine: Engine) -> list[Json] | None:
    orders: list[Json] = engine.get("/api/orders")
    return orders if len(orders) == 5 and {order["status"] for order in orders} == {"WORKING"} else None


def test_equity_is_wallet_and_open_profit_of_one_moment(flat: Engine) -> None:
    flat.signal("for-equity", "short")
    until(lambda: flat.get("/api/positions"), "a position")
    for _ in range(20):
        status = flat.get("/api/status")
        [position] = flat.get("/api/positions")
        open_usd = float(position["entry_price"]) - status["markets"][0]["mark"]
        expected = float(status["wallet_usd"]) + open_usd * float(position["quantity"])
        assert float(status["equity_usd"]) == pytest.approx(expected, abs=1e-6)


# --- listening -----------------------------------------------------------------------------------------------------


def test_a_port_in_use_is_told_and_leaves_no_session(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = bot("run", "--demo", "--json", cwd=tmp_path, BOT_API__PORT=str(port))
    assert (refused.code, refused.out) == (2, "")
    assert f"127.0.0.1:{port}" in refused.err and "BOT_API__PORT" in refused.err and "in use" in refused.err
    assert refused.err.startswith("bot: ") and "Traceback" not in refused.err
    asked = bot("status", cwd=tmp_path)
    assert (asked.code, "nothing has run in data yet" in asked.err) == (2, True)
    with Engine(tmp_path / "data", "--demo") as second:
        assert second.get("/api/status")["session"] == 1


def test_it_listens_on_ipv6_too(tmp_path: Path) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 loopback here")
    with Engine(tmp_path / "data", BOT_API__HOST="::1") as engine:
        assert engine.url == f"http://[::1]:{engine.port}"
        engine.host = "::1"
        assert engine.get("/api/status")["running"] is True
        assert called("status", "--json", cwd=tmp_path).json()["running"] is True


def test_where_others_may_hear_looking_needs_the_token_too(tmp_path: Path) -> None:
    """`LOCALHOST` is loopback, but not one of the names that are known to be: no other address is opened for a test."""
    settings = {"BOT_API__HOST": "LOCALHOST", "BOT_API__HOSTS": "bot.example"}
    with Engine(tmp_path / "data", **settings) as engine:
        engine.host = "localhost"
        token = bearer(engine)
        for host, status in (("bot.example", 200), (f"localhost:{engine.port}", 200), ("evil.example", 403), ("", 403)):
            assert engine.request("GET", "/api/status", headers=token | {"Host": host}).status == status, host
        assert engine.request("GET", "/api/status?login=x").status == 401
        assert engine.request("GET", "/api/status").status == 401
        assert engine.request("GET", "/api/status", headers={"Authorization": "Bearer wrong"}).status == 401
        assert engine.request("GET", "/api/status", headers=token).status == 200
        for command in (("status",), ("signals",), ("why",), ("events",), ("pause",)):
            result = called(*command, "--data-dir", engine.data_dir, cwd=tmp_path)
            assert (result.code, result.err) == (0, ""), command
