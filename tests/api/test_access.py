"""What the page may do: nothing without its session, nothing from elsewhere, and nothing that moves money in one step."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any, NamedTuple

import pytest
import pytest_asyncio
from aiohttp import ClientSession, CookieJar

from tests.e2e.running import SYMBOL, Engine, until

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    settings = {"BOT_STRATEGIES": "", "BOT_COCKPIT__ACTIONS": "true", "BOT_RISK__COOLDOWN_S": "0"}
    with Engine(tmp_path_factory.mktemp("access") / "data", "--speed", 1, **settings) as running:
        until(lambda: running.get("/api/status")["state"] == "ACTIVE", "a usable book")
        yield running


class Entered(NamedTuple):
    """What a link led to."""

    status: int
    location: str | None
    cookie: str
    text: str


class Tab:
    """A browser on the page of an engine."""

    def __init__(self, session: ClientSession, engine: Engine) -> None:
        self.session, self.engine = session, engine

    async def enter(self, query: str) -> Entered:
        async with self.session.get(f"{self.engine.url}/{query}", allow_redirects=False) as answer:
            headers = answer.headers
            return Entered(answer.status, headers.get("Location"), headers.get("Set-Cookie", ""), await answer.text())

    async def tell(self, action: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        own = {"Origin": self.engine.url, "X-CSRF": "cockpit", "Content-Type": "application/json"}
        asked = own | {name.replace("_", "-"): value for name, value in headers.items()}
        sent = {name: value for name, value in asked.items() if value}
        async with self.session.post(
            f"{self.engine.url}/api/{action}", data=json.dumps(body or {}), headers=sent
        ) as answer:
            return answer.status, await answer.json()

    async def prepare(self, action: str, **body: Any) -> dict[str, Any]:
        status, prepared = await self.tell("prepare", {"action": action, **body})
        assert status == 200, prepared
        return dict(prepared)

    async def confirm(self, action: str, prepared: dict[str, Any], body: Any = None, typed: str | None = None) -> Any:
        confirm = prepared["confirm"] if typed is None else typed
        return await self.tell(action, body, X_Nonce=prepared["nonce"], X_Confirm=confirm)


@pytest_asyncio.fixture(loop_scope="module")
async def stranger(engine: Engine) -> AsyncIterator[Tab]:
    async with ClientSession(cookie_jar=CookieJar(unsafe=True)) as session:
        yield Tab(session, engine)


@pytest_asyncio.fixture(loop_scope="module")
async def tab(engine: Engine, stranger: Tab) -> Tab:
    answer = await stranger.enter(engine.post("/api/link")[1]["query"])
    assert (answer.status, answer.location) == (303, "/")
    assert "HttpOnly" in answer.cookie and "SameSite=Strict" in answer.cookie
    return stranger


def acts(engine: Engine) -> list[dict[str, Any]]:
    return [event["data"] for event in engine.get("/api/events?kinds=OPERATOR_ACT")]


# --- who gets in ---


async def test_a_link_serves_once(engine: Engine, stranger: Tab) -> None:
    query = engine.post("/api/link")[1]["query"]
    assert (await stranger.enter(query)).status == 303
    again = await stranger.enter(query)
    assert again.status == 403 and "was used" in again.text
    assert (await stranger.enter("?login=made-up")).status == 403


async def test_a_link_is_given_to_the_token_only(engine: Engine, tab: Tab) -> None:
    assert (await tab.tell("link"))[0] == 403
    async with ClientSession() as other, other.post(f"{engine.url}/api/link") as answer:
        assert answer.status == 401


async def test_without_a_session_the_page_only_looks(engine: Engine, stranger: Tab) -> None:
    before = len(acts(engine))
    for action in ("pause", "kill", "flatten", "close", "resume", "prepare", "learn/undo", "signals", "stop"):
        assert (await stranger.tell(action))[0] == 401
    assert len(acts(engine)) == before


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": ""},
        {"X_CSRF": ""},
        {"X_CSRF": "other"},
        {"Sec_Fetch_Site": "cross-site"},
    ],
)
async def test_another_page_cannot_use_the_session(engine: Engine, tab: Tab, headers: dict[str, str]) -> None:
    before = len(acts(engine))
    assert (await tab.tell("pause", **headers))[0] == 403
    assert len(acts(engine)) == before


@pytest.mark.parametrize("action", ["signals", "stop", "block", "learn/run", "arm"])
async def test_what_the_page_does_not_offer_needs_the_token(tab: Tab, action: str) -> None:
    assert (await tab.tell(action))[0] in (403, 404)


async def test_the_socket_says_whether_the_page_may_act(engine: Engine, tab: Tab) -> None:
    async def told(session: ClientSession) -> Any:
        async with session.ws_connect(f"{engine.url}/ws", headers={"Origin": engine.url}) as socket:
            return (await socket.receive_json())["sections"]["actions"]

    assert await told(tab.session) == {"allowed": True}
    async with ClientSession() as other:
        assert await told(other) == {"allowed": False}


# --- acting ---


async def test_a_pause_is_one_step_and_journaled_with_who_and_from_where(engine: Engine, tab: Tab) -> None:
    assert (await tab.tell("pause"))[0] == 202
    assert engine.get("/api/status")["state"] == "REDUCING"
    act = acts(engine)[-1]
    assert act["action"] == "pause" and act["by"].startswith("cockpit ") and act["from"] == "127.0.0.1"
    engine.post("/api/resume")
    assert (acts(engine)[-1]["action"], acts(engine)[-1]["by"]) == ("resume", "token")
    cookie = next(iter(tab.session.cookie_jar)).value
    assert cookie not in json.dumps(acts(engine))


async def test_a_close_is_shown_confirmed_and_done(engine: Engine, tab: Tab) -> None:
    engine.signal("to-close", "long")
    until(lambda: engine.get("/api/positions"), "a position")
    body = {"symbol": SYMBOL}
    prepared = await tab.prepare("close", **body)
    assert prepared["confirm"] == "close BTC" and prepared["state"]["positions"][0]["symbol"] == SYMBOL
    status, answer = await tab.confirm("close", prepared, body)
    assert status == 202, answer
    until(lambda: not engine.get("/api/positions"), "no position")
    assert acts(engine)[-1]["body"] == body


async def test_without_its_confirmation_nothing_that_moves_money_happens(engine: Engine, tab: Tab) -> None:
    before = len(acts(engine))
    assert (await tab.tell("kill"))[0] == 409
    prepared = await tab.prepare("kill")
    status, answer = await tab.confirm("kill", prepared, typed="yes")
    assert status == 409 and "type 'kill'" in answer["error"]
    assert (await tab.confirm("kill", prepared))[0] == 409  # it was used up by the wrong word
    other = await tab.prepare("flatten")
    assert "for something else" in (await tab.confirm("kill", other))[1]["error"]
    assert engine.get("/api/status")["state"] == "ACTIVE" and len(acts(engine)) == before


async def test_a_confirmation_is_not_taken_twice(engine: Engine, tab: Tab) -> None:
    prepared = await tab.prepare("kill")
    assert (await tab.confirm("kill", prepared))[0] == 202
    until(lambda: engine.get("/api/status")["state"] == "HALTED", "a halt")
    prepared_again = await tab.prepare("resume")
    assert (await tab.confirm("kill", prepared))[0] == 409
    assert (await tab.confirm("resume", prepared_again))[0] == 202
    until(lambda: engine.get("/api/status")["state"] != "HALTED", "no halt")


async def test_what_has_changed_since_it_was_shown_is_shown_again(engine: Engine, tab: Tab) -> None:
    until(lambda: engine.get("/api/status")["state"] == "ACTIVE", "no halt")
    prepared = await tab.prepare("flatten")
    engine.post("/api/pause")
    status, answer = await tab.confirm("flatten", prepared)
    assert status == 409 and "has changed" in answer["error"]
    engine.post("/api/resume")


async def test_garbage_is_refused_and_a_token_kills_all_the_same(engine: Engine, tab: Tab) -> None:
    for body in ({"action": "sell everything"}, {}, {"action": ["kill"]}):
        assert (await tab.tell("prepare", body))[0] == 400
    headers = {"Authorization": f"Bearer {engine.token}"}
    kill = f"{engine.url}/api/kill"
    async with ClientSession() as session, session.post(kill, data=b"\xff{", headers=headers) as answer:
        assert answer.status == 202
    engine.post("/api/resume")
