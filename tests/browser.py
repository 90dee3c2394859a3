"""A real headless Chromium, driven over its DevTools protocol: open a page, ask what is drawn, press keys, take pictures.

It notes what a page must not do: errors in the console, exceptions, requests off the page's origin. No driver package.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import pytest
from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
)
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WITHIN_S = 20.0
LARGEST = 64 * 2**20  # bytes of one answer: a picture is some


def chromium() -> str:
    """Its path. Without one the test is skipped, or fails where CI is set."""
    for name in NAMES:
        path = shutil.which(name)
        if path is not None:
            return path
    if os.environ.get("CI") == "true":
        pytest.fail("no chromium here: install the package chromium")
    pytest.skip("no chromium here: install the package chromium to run the tests in a browser")


class Page:
    """One tab. `errors` are lines of the console and exceptions, `requests` the addresses it asked for."""

    def __init__(self, browser: Browser, session: str, target: str) -> None:
        self._browser, self._session, self._target = browser, session, target
        self.errors: list[str] = []
        self.requests: list[str] = []

    async def send(self, method: str, **params: Any) -> dict[str, Any]:
        return await self._browser.send(method, self._session, **params)

    async def size(self, width: int, height: int, *, mobile: bool = False) -> None:
        await self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile
        )

    async def theme(self, name: str) -> None:
        await self.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": name}])

    async def open(self, url: str) -> None:
        await self.send("Page.navigate", url=url)

    async def ask(self, expression: str) -> Any:
        """The value of an expression in the page; a promise is waited for. Raises AssertionError with what it threw."""
        answer = await self.send("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        problem = answer.get("exceptionDetails")
        assert problem is None, f"{expression}: {problem.get('exception', problem)}"
        return answer["result"].get("value")

    async def until(self, expression: str, within_s: float = WITHIN_S) -> Any:
        """Waits in the page, picture by picture, until the expression is true, and answers with it."""
        wait = (
            "new Promise((done, late) => { const end = performance.now() + %d; const look = () => { let it;"
            " try { it = %s; } catch (error) { it = null; }"
            " if (it) done(it); else if (performance.now() > end) late(new Error('never true; the page shows: '"
            " + document.body.innerText.slice(0, 600))); else setTimeout(look, 20); }; look(); })"
        )
        try:
            return await self.ask(wait % (within_s * 1000, expression))
        except AssertionError as error:
            raise AssertionError(f"{error}; errors: {self.errors}") from None

    async def press(self, key: str, **more: Any) -> None:
        text = {"text": key} if len(key) == 1 else {"text": "\r"} if key == "Enter" else {}
        codes = {"Enter": 13, "Tab": 9, "Escape": 27}
        more = {**more, **({"windowsVirtualKeyCode": codes[key]} if key in codes else {})}
        await self.send("Input.dispatchKeyEvent", type="keyDown", key=key, **text, **more)
        await self.send("Input.dispatchKeyEvent", type="keyUp", key=key, **more)

    async def picture(self, *, whole: bool = False) -> bytes:
        """A PNG of what is seen, or of the whole page."""
        clip: dict[str, Any] = {}
        if whole:
            height = (await self.send("Page.getLayoutMetrics"))["cssContentSize"]["height"]
            width = await self.ask("innerWidth")  # it is drawn without the scrollbar that the content leaves room for
            clip = {"clip": {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}}
        shot = await self.send("Page.captureScreenshot", format="png", captureBeyondViewport=whole, **clip)
        return base64.b64decode(shot["data"])

    async def close(self) -> None:
        await self._browser.send("Target.closeTarget", targetId=self._target)

    def foreign(self, origin: str) -> list[str]:
        """Requests to anywhere else. The page's own pictures (data:, blob:) go nowhere."""
        own = urlsplit(origin).netloc
        asked = [urlsplit(url) for url in self.requests]
        return [url.geturl() for url in asked if url.scheme not in ("data", "blob") and url.netloc != own]

    def note(self, method: str, params: dict[str, Any]) -> None:
        if method == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.errors.append(details.get("exception", {}).get("description") or details["text"])
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "assert"):
            self.errors.append(" ".join(str(each.get("value", each.get("description"))) for each in params["args"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.errors.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")
        elif method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif method == "Network.webSocketCreated":
            self.requests.append(params["url"])


class Browser:
    def __init__(self, socket: ClientWebSocketResponse) -> None:
        self._socket = socket
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._pages: dict[str, Page] = {}

    async def page(self) -> Page:
        """A new tab, as of a fresh profile."""
        context = await self.send("Target.createBrowserContext")
        made = await self.send("Target.createTarget", url="about:blank", browserContextId=context["browserContextId"])
        target = made["targetId"]
        session = (await self.send("Target.attachToTarget", targetId=target, flatten=True))["sessionId"]
        page = self._pages[session] = Page(self, session, target)
        for domain in ("Page", "Runtime", "Log", "Network"):
            await page.send(f"{domain}.enable")
        return page

    async def send(self, method: str, session: str | None = None, **params: Any) -> dict[str, Any]:
        number = next(self._ids)
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        call: dict[str, Any] = {"id": number, "method": method, "params": params}
        await self._socket.send_json(call if session is None else {**call, "sessionId": session})
        async with asyncio.timeout(WITHIN_S + 5):
            told: dict[str, Any] = await answer
        return told

    async def read(self) -> None:
        async for message in self._socket:
            if message.type is not WSMsgType.TEXT:
                return
            told = message.json()
            if "id" in told:
                self._answer(told)
            elif told.get("sessionId") in self._pages:
                self._pages[told["sessionId"]].note(told["method"], told["params"])

    def _answer(self, told: dict[str, Any]) -> None:
        waiting = self._waiting.pop(told["id"])
        if waiting.done():
            return
        if "error" in told:
            waiting.set_exception(AssertionError(f"the browser refused: {told['error']}"))
        else:
            waiting.set_result(told["result"])


@asynccontextmanager
async def browser() -> AsyncIterator[Browser]:
    """Starts one with a fresh profile, and ends it."""
    path = chromium()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = await asyncio.create_subprocess_exec(
            path, *FLAGS, f"--user-data-dir={profile}", "about:blank", stderr=asyncio.subprocess.PIPE
        )
        try:
            url = await _address(process)
            drain = asyncio.create_task(_drain(process))
            async with ClientSession() as http, http.ws_connect(url, max_msg_size=LARGEST) as socket:
                driven = Browser(socket)
                reading = asyncio.create_task(driven.read())
                yield driven
                reading.cancel()
            drain.cancel()
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()


async def _address(process: asyncio.subprocess.Process) -> str:
    """Of its DevTools socket, which it says on stderr once it listens."""
    assert process.stderr is not None
    async with asyncio.timeout(WITHIN_S):
        while line := await process.stderr.readline():
            _, found, url = line.decode(errors="replace").partition("DevTools listening on ")
            if found:
                return url.strip()
    raise AssertionError("the browser ended before it listened")


async def _drain(process: asyncio.subprocess.Process) -> None:
    assert process.stderr is not None
    while await process.stderr.readline():
        pass
