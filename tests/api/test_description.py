"""What the API says about itself: its description against the routes that are served, its figures against the status."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from bot.api.cockpit import CLIENTS
from tests.api.test_metrics import parsed, value
from tests.e2e.running import PATIENCE_S, SYMBOL, Engine, until

ASKED = {"/api/why": "?q=nothing", "/ws": None}  # a query without which there is no answer; no plain request


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with Engine(tmp_path_factory.mktemp("described") / "data", "--speed", 1, BOT_STRATEGIES="") as running:
        until(lambda: running.get("/api/status")["state"] == "ACTIVE", "a usable book")
        yield running


def described(engine: Engine) -> dict[str, dict[str, Any]]:
    return dict(engine.get("/api/openapi.json")["paths"])


def status_of(engine: Engine, method: str, path: str, body: str = "") -> int:
    connection = http.client.HTTPConnection(engine.host, engine.port, timeout=PATIENCE_S)
    try:
        connection.request(method, path, body)
        return connection.getresponse().status
    finally:
        connection.close()


def test_every_route_of_the_description_is_there(engine: Engine) -> None:
    for path, methods in described(engine).items():
        if "get" in methods and ASKED.get(path, "") is not None:
            assert status_of(engine, "GET", path + (ASKED.get(path) or "")) in (200, 202), path
        if "post" in methods:
            assert status_of(engine, "POST", path, "{}") == 401, path  # a stranger changes nothing
    assert status_of(engine, "GET", "/api/nothing") == 404


def test_no_route_is_left_out_of_it(engine: Engine) -> None:
    from aiohttp import web

    from bot.api.cockpit import Cockpit
    from bot.api.sections import Whole
    from bot.api.server import ApiServer

    class Anything:
        def __getattr__(self, name: str) -> Any:
            return self

    server = ApiServer.__new__(ApiServer)  # its routes alone
    server._live = Anything()  # type: ignore[assignment]
    nobody: Any = Anything()
    cockpit = Cockpit({name: Whole(dict) for name in ("chart", "equity")}, nobody, nobody, nobody, nobody)
    routes = [each for each in (*server._routes(), *cockpit.routes()) if isinstance(each, web.RouteDef)]
    served = {(each.path, each.method.lower()) for each in routes if each.path != "/"}
    assert {(path, method) for path, methods in described(engine).items() for method in methods} == served


def test_it_names_the_fields_of_a_signal(engine: Engine) -> None:
    schema = engine.get("/api/openapi.json")["components"]["schemas"]["SignalRequest"]
    assert schema["required"] == ["id", "symbol", "direction"] and schema["additionalProperties"] is False


def test_metrics_are_what_status_says(engine: Engine) -> None:
    connection = http.client.HTTPConnection(engine.host, engine.port, timeout=PATIENCE_S)
    connection.request("GET", "/metrics")
    families = parsed(connection.getresponse().read().decode())
    connection.close()
    assert value(families, "trading_state", state="ACTIVE") == 1
    assert value(families, "trading_state", state="HALTED") == 0
    assert 9_000 < (value(families, "equity", unit="usd") or 0) < 11_000
    assert 0 <= (value(families, "feed_age_seconds", symbol=SYMBOL, feed="book") or 0) < 60
    assert value(families, "positions_unprotected", symbol=SYMBOL) == 0
    assert (value(families, "rate_budget_left", budget="orders") or 0) > 0


def test_it_is_alive_and_ready_and_says_why_when_it_is_not(engine: Engine) -> None:
    assert engine.get("/livez") == {"alive": True, "problems": []}
    until(lambda: engine.request("GET", "/readyz").status == 200, "a fresh book")
    engine.post("/api/pause")
    refused = engine.get("/readyz", expect=503)
    assert refused["ready"] is False and "REDUCING" in refused["problems"][0]
    engine.post("/api/resume")
    until(lambda: engine.request("GET", "/readyz").status == 200, "the resume")


def test_a_hundred_sockets_leave_the_engine_as_it_was(engine: Engine) -> None:
    hello = (
        f"GET /ws HTTP/1.1\r\nHost: {engine.host}:{engine.port}\r\nOrigin: {engine.url}\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    with ExitStack() as stack:
        answers = []
        for _ in range(100):
            one = stack.enter_context(socket.create_connection((engine.host, engine.port), timeout=PATIENCE_S))
            one.sendall(hello.encode())
            answers.append(one.recv(12))
        assert answers == [b"HTTP/1.1 101"] * CLIENTS + [b"HTTP/1.1 503"] * (100 - CLIENTS)
        assert engine.get("/api/status")["running"] is True


@pytest.mark.parametrize(
    "path", ["/static/../server.py", "/static/%2e%2e/server.py", "/static/..%2f..%2frun.py", "//etc/passwd"]
)
def test_no_path_leads_out_of_the_pages_folder(engine: Engine, path: str) -> None:
    assert status_of(engine, "GET", path) in (400, 403, 404)


def test_what_is_too_large_is_refused(engine: Engine) -> None:
    body = json.dumps({"id": "x" * (64 * 1024), "symbol": SYMBOL, "direction": "long"})
    answer = engine.request("POST", "/api/signals", body, {"Authorization": f"Bearer {engine.token}"})
    assert answer.status == 413
