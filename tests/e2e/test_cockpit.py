"""The cockpit of a running engine, in a real browser: every tab lives, shows what the API says, and survives the engine's end."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import ClientSession

from bot.domain.reading import LongShort, MaxPain, OiDelta
from tests.browser import Browser, Page, browser, chromium
from tests.e2e.running import SYMBOL, Engine, called, read, recording, until, write_tape

pytestmark = pytest.mark.asyncio(loop_scope="module")
TABS = ("overview", "chart", "analytics", "guards", "why", "learning", "health", "log")
FRAMES = 45_000  # some three minutes at the speed of life
MAX_PAIN = "61500"


@pytest.fixture(scope="module")
def tape(tmp_path_factory: pytest.TempPathFactory) -> Path:
    told = [
        read(1.0, "max_pain", MaxPain(price=Decimal(MAX_PAIN), expiry="2024-08-09", notional_usd=Decimal("9e8")), source="deribit", key="BTC"),
        read(1.0, "oi_delta_5m", OiDelta(pct=0.31), source="venue"),
        read(1.0, "long_short", LongShort(ratio=Decimal("1.4")), source="venue"),
    ]  # fmt: skip
    return write_tape(tmp_path_factory.mktemp("cockpit") / "tape", [*recording(FRAMES), *told])


@pytest.fixture(scope="module")
def engine(tape: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    chromium()  # without one nothing needs to be started
    settings = {"BOT_STRATEGIES": "", "BOT_VENUE__TAPE": str(tape)}
    with Engine(tmp_path_factory.mktemp("cockpit") / "data", **settings) as running:
        until(lambda: running.get("/api/status")["state"] == "ACTIVE", "a usable book")
        running.signal("one", "short")
        running.signal("two", "long")
        until(lambda: running.get("/api/positions"), "a position")
        yield running


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def chrome() -> AsyncIterator[Browser]:
    async with browser() as opened:
        yield opened


async def shown(chrome: Browser, engine: Engine, tab: str) -> Page:
    page = await chrome.page()
    await page.size(1440, 900)
    await page.theme("dark")
    await page.open(f"{engine.url}/#{tab}")
    await page.until(f"document.querySelector('main[data-tab={tab}]')?.dataset.frames > 0")
    await page.until("[...document.querySelectorAll('.plot')].every(it => it.drawn)")
    return page


@pytest.mark.parametrize("tab", TABS)
async def test_every_tab_is_up_to_date_several_times_a_second(chrome: Browser, engine: Engine, tab: str) -> None:
    page = await shown(chrome, engine, tab)
    frames = "+document.querySelector('main').dataset.frames"
    for _ in range(5):  # a machine that is busy with other tests may need several
        before = await page.ask(frames)
        with suppress(AssertionError):
            await page.until(f"{frames} >= {before + 3}", within_s=2)
            break
    else:
        pytest.fail("never 3 updates in 2 s")
    assert len(await page.ask("document.querySelector('main').innerText")) > 40
    assert page.errors == []
    assert page.foreign(engine.url) == []
    await page.close()


async def test_the_overview_shows_the_position_of_the_engine(chrome: Browser, engine: Engine) -> None:
    page = await shown(chrome, engine, "overview")
    [position] = engine.get("/api/positions")
    drawn = await page.until("document.querySelector('[data-position]')?.innerText")
    assert SYMBOL in drawn and "▼ short" in drawn
    entry = f"{float(position['entry_price']):,.1f}"
    rows = "[...document.querySelectorAll('.position tbody tr')].map(row => [...row.cells].map(cell => cell.innerText.trim()))"
    assert ["Entry", entry] in [row[:2] for row in await page.ask(rows)]
    assert {row[0] for row in await page.ask(rows)} == {"Entry", "Stop", *(f"Tier {n}" for n in (1, 2, 3, 4))}
    signals = await page.ask(
        "[...document.querySelectorAll('table[aria-label=\"last signals\"] .answer')].map(it => it.innerText)"
    )
    assert signals == ["✕ risk limits", "✓ allowed"]
    await page.close()


async def test_the_chart_has_the_engines_candles_and_the_line_of_max_pain(chrome: Browser, engine: Engine) -> None:
    page = await shown(chrome, engine, "chart")
    drawn = "document.querySelector('.plot').drawn.parts"
    count = await page.until(f"{drawn}.candles.data().length")
    bars = engine.get("/api/chart")[SYMBOL]["bars"]
    assert len(bars) - 1 <= count <= len(bars)  # one may have begun in between
    first = await page.ask(f"{drawn}.candles.data()[0]")
    assert (first["time"], first["open"]) == (bars[0][0], bars[0][1])
    assert await page.ask(f"{drawn}.lines.get('max pain').options().price") == float(MAX_PAIN)
    prices = await page.ask(f"[{MAX_PAIN}, {bars[-1][4]}].map(it => {drawn}.candles.priceToCoordinate(it))")
    assert prices[0] > prices[1]  # max pain lies below the price
    close = await page.ask(f"{drawn}.candles.data().at(-1).close")
    await page.until(f"{drawn}.candles.data().at(-1).close !== {close}")  # the candle under way moves
    assert await page.ask(f"{drawn}.markers.markers().length") >= 1  # the entry
    assert page.errors == []
    await page.close()


async def test_analytics_shows_the_readings_of_the_engine(chrome: Browser, engine: Engine) -> None:
    page = await shown(chrome, engine, "analytics")
    states = await page.ask(
        "Object.fromEntries([...document.querySelectorAll('[data-reading]')].map(card =>"
        " [card.dataset.reading, card.querySelector('.badge').className.replace('badge ', '')]))"
    )
    told = {row["name"]: row["state"] for row in engine.get("/api/readings")}
    assert {name: told[name] for name in ("max_pain", "regime", "whale_cvd")} == {
        name: states[name] for name in ("max_pain", "regime", "whale_cvd")
    }
    assert (told["max_pain"], told["regime"]) == ("FRESH", "MISSING")
    assert states.keys() == told.keys()
    assert "61,500.0" in await page.ask("document.querySelector('[data-reading=max_pain]').innerText")
    assert await page.ask("document.querySelectorAll('.depth > i').length") == 40
    await page.close()


async def test_why_has_every_verdict_of_the_engine(chrome: Browser, engine: Engine) -> None:
    refused = next(row for row in engine.get("/api/signals") if row["outcome"] == "blocked")
    page = await shown(chrome, engine, "why")
    await page.ask(f"location.hash = 'why/{refused['signal_id']}'")
    rows = "[...document.querySelectorAll('.story [data-guard]')].map(row => [row.dataset.guard, row.querySelector('.outcome').className])"
    drawn = await page.until(f"{rows}.length && {rows}")
    told = engine.get(f"/api/why?q={refused['signal_id']}")["verdicts"]
    assert drawn == [[each["guard"], f"outcome {each['outcome']}"] for each in told]
    await page.close()


async def first_frame(engine: Engine) -> dict[str, Any]:
    async with ClientSession() as http, http.ws_connect(f"{engine.url}/ws", headers={"Origin": engine.url}) as socket:
        frame: dict[str, Any] = await socket.receive_json(timeout=60)
    return frame


async def test_a_section_is_what_the_api_answers(engine: Engine) -> None:
    slow = ("orders", "signals", "equity", "events")  # what changes now and then only
    for _ in range(10):
        before = {name: engine.get(f"/api/{name}") for name in slow}
        snap = await first_frame(engine)
        if before == {name: engine.get(f"/api/{name}") for name in slow}:
            break
    else:
        pytest.fail("something changed each time")
    sections = snap["sections"]
    assert set(sections) == {
        *(
            "status",
            "positions",
            "orders",
            "signals",
            "readings",
            "health",
            "depth",
            "equity",
            "events",
            "chart",
            "learning",
            "actions",
        ),
    }
    assert {name: sections[name] for name in slow} == before | {"events": before["events"][-200:]}
    for name in ("status", "health"):
        assert sections[name].keys() == engine.get(f"/api/{name}").keys()
    assert [row["name"] for row in sections["readings"]] == [row["name"] for row in engine.get("/api/readings")]
    assert set(snap["ages"]) == {f"{SYMBOL} book", f"{SYMBOL} trades"}


@pytest.mark.parametrize("path", ["/", "/static/main.js", "/api/status", "/api/nothing"])
async def test_every_answer_tells_the_browser_what_it_may(engine: Engine, path: str) -> None:
    async with ClientSession() as http, http.get(engine.url + path) as answer:
        headers = answer.headers
    rules = dict(rule.split(" ", 1) for rule in headers["Content-Security-Policy"].split("; "))
    assert rules["default-src"] == rules["frame-ancestors"] == "'none'"
    assert rules["script-src"] == rules["connect-src"] == "'self'"
    assert "unsafe" not in headers["Content-Security-Policy"] and "http" not in headers["Content-Security-Policy"]
    assert (headers["X-Content-Type-Options"], headers["Referrer-Policy"]) == ("nosniff", "no-referrer")
    assert headers["Cache-Control"] == "no-store"
    assert headers["Cross-Origin-Resource-Policy"] == headers["Cross-Origin-Opener-Policy"] == "same-origin"


async def test_a_page_of_elsewhere_gets_no_socket(engine: Engine) -> None:
    async with ClientSession() as http:
        for headers in ({"Origin": "http://evil.example"}, {}, {"Origin": engine.url, "Host": "evil.example"}):
            async with http.get(f"{engine.url}/ws", headers=headers) as answer:
                assert answer.status == 403, headers


async def test_when_the_engine_ends_the_page_says_so_and_comes_back_with_it(
    chrome: Browser, tape: Path, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"BOT_STRATEGIES": "", "BOT_VENUE__TAPE": str(tape)}
    with Engine(tmp_path / "one", **settings) as first:
        page = await shown(chrome, first, "overview")
        port = first.port
        first.interrupt()
    said = await page.until("document.querySelector('.line.STALE')?.innerText")
    assert "STALE" in said and "next try in" in said
    with Engine(tmp_path / "two", **settings | {"BOT_API__PORT": str(port)}):
        await page.until("document.querySelector('.line.live')")
        assert "STALE" not in await page.ask("document.querySelector('.head').innerText")
    await page.close()


async def test_switched_off_the_page_is_gone_and_the_api_stays(tmp_path: Path) -> None:
    with Engine(tmp_path / "data", "--demo", BOT_COCKPIT__ENABLED="false") as running:
        for path in ("/", "/ws", "/static/main.js", "/api/chart"):
            assert running.request("GET", path).status == 404, path
        assert running.get("/api/status")["running"] is True
    shown = json.loads(called("config", "show", "--json", cwd=tmp_path).out)
    assert shown is not None
