"""The page of a running engine acts: a real browser signs in with the printed link and presses the buttons."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from tests.browser import Browser, Page, browser, chromium
from tests.e2e.running import SYMBOL, Engine, until

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    chromium()  # without one nothing needs to be started
    settings = {"BOT_STRATEGIES": "", "BOT_COCKPIT__ACTIONS": "true", "BOT_RISK__COOLDOWN_S": "0"}
    with Engine(tmp_path_factory.mktemp("acting") / "data", "--speed", 1, **settings) as running:
        until(lambda: running.get("/api/status")["state"] == "ACTIVE", "a usable book")
        running.signal("one", "long")
        until(lambda: running.get("/api/positions"), "a position")
        yield running


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def chrome() -> AsyncIterator[Browser]:
    async with browser() as opened:
        yield opened


async def signed_in(chrome: Browser, engine: Engine) -> Page:
    page = await chrome.page()
    await page.size(1440, 900)
    await page.open(f"{engine.url}/{engine.post('/api/link')[1]['query']}")
    await page.until("document.querySelector('main[data-tab=overview]')?.dataset.frames > 0")
    await page.until("document.querySelector('.actions .act')")
    return page


async def act(page: Page, selector: str, typed: str | None = None) -> None:
    """Presses a button, types the word if one is asked for, and waits for what the dialogue says then."""
    await page.until(f"document.querySelector({selector!r})")
    await page.ask(f"document.querySelector({selector!r}).click()")
    await page.until("document.querySelector('dialog').open && document.querySelector('dialog [type=submit]')")
    await page.ask("document.querySelector('dialog [type=submit]').click()")
    if typed is not None:
        await page.until("document.querySelector('dialog input')")
        await page.ask(
            f"(box => {{ box.value = {typed!r}; box.dispatchEvent(new Event('input', {{bubbles: true}})); }})"
            "(document.querySelector('dialog input'))"
        )
        await page.until("!document.querySelector('dialog [type=submit]').disabled")
        await page.ask("document.querySelector('dialog [type=submit]').click()")
    await page.until("document.querySelector('dialog .accepted')")
    await page.ask(
        "[...document.querySelectorAll('dialog button')].find((each) => each.textContent === 'Done').click()"
    )


async def test_a_pause_and_a_typed_close_reach_the_engine(engine: Engine, chrome: Browser) -> None:
    page = await signed_in(chrome, engine)
    assert "login" not in await page.ask("location.href")
    await act(page, ".actions .act")  # the first is to pause
    until(lambda: engine.get("/api/status")["state"] == "REDUCING", "a pause")
    await act(page, ".position .act", "close BTC")
    until(lambda: not engine.get("/api/positions"), "no position")
    told = [event["data"] for event in engine.get("/api/events?kinds=OPERATOR_ACT")]
    assert [each["action"] for each in told] == ["pause", "close"]
    assert all(each["by"].startswith("cockpit ") for each in told) and told[1]["body"] == {"symbol": SYMBOL}
    assert page.errors == []
    await page.close()


async def test_without_the_link_there_are_no_buttons(engine: Engine, chrome: Browser) -> None:
    page = await chrome.page()
    await page.open(f"{engine.url.replace('127.0.0.1', 'localhost')}/")  # another origin: the cookie is not sent there
    await page.until("document.querySelector('main[data-tab=overview]')?.dataset.frames > 0")
    assert await page.ask("document.querySelectorAll('.act').length") == 0
    await page.close()
