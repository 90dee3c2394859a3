"""`python -m bot cockpit`: the page in another process, as a client of the engine."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import ClientSession, WSServerHandshakeError

from tests.e2e.running import Engine, bot, discard, launch, until


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    settings = {"BOT_STRATEGIES": "", "BOT_COCKPIT__ACTIONS": "true"}
    with Engine(tmp_path_factory.mktemp("relay") / "data", "--speed", 1, **settings) as running:
        until(lambda: running.get("/api/status")["state"] == "ACTIVE", "a usable book")
        yield running


@pytest.fixture(scope="module")
def told(engine: Engine) -> Iterator[tuple[str, str]]:
    """Where it is, and the link that serves once."""
    process = launch("cockpit", "--port", 0, "--data-dir", engine.data_dir, cwd=engine.data_dir.parent)
    assert process.stdout is not None
    line = process.stdout.readline()
    found = re.match(r"cockpit on (http://127.0.0.1:\d+)/(\?login=\S+) for", line)
    assert found, (line, process.communicate(timeout=10) if not line else "")
    yield found[1], found[2]
    discard(process)


async def test_the_page_lives_there_and_acts(engine: Engine, told: tuple[str, str]) -> None:
    url, link = told
    assert url != engine.url
    async with ClientSession() as http:
        async with http.get(f"{url}/") as page:
            assert page.status == 200 and "default-src 'none'" in page.headers["Content-Security-Policy"]
        async with http.get(f"{url}/api/status") as status:
            assert (await status.json())["session"] == 1
        async with http.get(f"{url}/{link}", allow_redirects=False) as entered:
            assert (entered.status, entered.headers["Location"]) == (303, "/")
            cookie = entered.headers["Set-Cookie"].partition(";")[0]
        headers = {"Origin": url, "Cookie": cookie}
        async with http.ws_connect(f"{url}/ws", headers=headers) as socket:
            snap = await socket.receive_json(timeout=30)
            assert snap["type"] == "snap" and snap["sections"]["status"]["state"] == "ACTIVE"
            assert snap["sections"]["actions"] == {"allowed": True}
            assert (await socket.receive_json(timeout=30))["type"] == "tick"
        async with http.post(f"{url}/api/pause", json={}, headers=headers | {"X-CSRF": "cockpit"}) as paused:
            assert paused.status == 202
    assert engine.get("/api/status")["state"] == "REDUCING"
    engine.post("/api/resume")


async def test_its_reading_token_is_no_token_for_acting_nor_for_the_code(engine: Engine, told: tuple[str, str]) -> None:
    url, _ = told
    async with ClientSession() as http:
        async with http.post(f"{url}/api/pause", json={}, headers={"Origin": url}) as refused:
            assert refused.status == 401
        async with http.post(f"{url}/api/link", headers={"Origin": url}) as refused:
            assert refused.status == 401
        async with http.ws_connect(f"{url}/ws", headers={"Origin": url}) as socket:
            assert (await socket.receive_json(timeout=30))["sections"]["actions"] == {"allowed": False}
    assert engine.get("/api/status")["state"] == "ACTIVE"


@pytest.mark.parametrize("changed", [{}, {"Origin": "http://evil.example"}, {"Host": "evil.example"}], ids=str)
async def test_another_page_gets_nothing(told: tuple[str, str], changed: dict[str, str]) -> None:
    url, _ = told
    async with ClientSession() as http:
        async with http.post(f"{url}/api/pause", json={}, headers=changed) as refused:
            assert refused.status == 403
        with pytest.raises(WSServerHandshakeError) as closed:
            await http.ws_connect(f"{url}/ws", headers=changed)
        assert closed.value.status == 403
        asked = {"Sec-Fetch-Site": "cross-site"} | {name: value for name, value in changed.items() if name != "Origin"}
        async with http.get(f"{url}/api/status", headers=asked) as refused:
            assert refused.status == 403


def test_without_an_engine_it_says_so(tmp_path: Path) -> None:
    result = bot("cockpit", "--data-dir", tmp_path / "none", cwd=tmp_path)
    assert result.code != 0 and "no engine runs" in result.err
