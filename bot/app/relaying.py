"""`cockpit`: the page served by a process of its own, until it is interrupted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import aiohttp

from bot.api.relay import TIMEOUT, Relay
from bot.app.settings import Settings
from bot.domain.errors import ConfigError
from bot.journal.lock import load_or_create_token, running_api


async def relay(settings: Settings, url: str | None, port: int, say: Callable[[str], object]) -> None:
    """`url` None: the engine that holds the data folder. Raises ConfigError when there is none, or it lets us not in."""
    engine = (url or running_api(settings.data_dir) or "").rstrip("/")
    if not engine:
        raise ConfigError(f"no engine runs in {settings.data_dir}; start one with `python -m bot run` or name --url")
    given = settings.api.token
    token = given.get_secret_value() if given is not None else load_or_create_token(settings.data_dir)
    link, page = await link_of(engine, token), Relay(engine, token)
    here = await page.start(port)
    try:
        say(f"cockpit on {here}/{link} for the engine at {engine}")
        await asyncio.Event().wait()
    finally:
        await page.close()


async def link_of(engine: str, token: str) -> str:
    """The query that signs one browser in. Raises ConfigError when the engine gives none."""
    headers = {"Authorization": f"Bearer {token}"}
    try:
        async with (
            aiohttp.ClientSession(timeout=TIMEOUT) as http,
            http.post(f"{engine}/api/link", headers=headers) as told,
        ):
            answer = await told.json(content_type=None)
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise ConfigError(f"no engine answers at {engine}: {error}") from None
    if told.status != 201:
        raise ConfigError(f"the engine at {engine} refuses: {answer.get('error', told.status)}")
    return str(answer["query"])
