"""`doctor`: whether the program can do here what it is set to do, and what its guards will have to go by.

It looks at settings, data folder, the venue and CoinGlass' key, asking each once, and at a running engine's readings where there is one.
Nothing is changed. Each finding is `ok`, `note` (it goes on without) or `problem` (it does not).
"""

from __future__ import annotations

import asyncio
import contextlib
import platform
import sqlite3
from typing import Any, NamedTuple

from bot import __version__
from bot.app.connections import SIM, TAPE
from bot.app.plugins import find_guards
from bot.app.providers import coinglass_only, wants_coinglass
from bot.app.public_data import open_public, wall_venues
from bot.app.settings import Settings, unsupported
from bot.domain.errors import BotError, ConfigError, VenueError
from bot.domain.values import Direction
from bot.intel.coinglass.plans import coverage
from bot.journal.lock import ensure_data_dir
from bot.market.readings import COINGLASS, SOURCES
from bot.runtime.clock import RealClock

OK, NOTE, PROBLEM = "ok", "note", "problem"
KEY_WITHIN_S = 15.0  # two calls, 2.5 s apart, and an answer


class Finding(NamedTuple):
    about: str
    state: str
    text: str
    exit_code: int = 0


def examine(settings: Settings, running: dict[str, Any] | None) -> dict[str, Any]:
    """What is found, JSON-able. `running` is what `/api/health` of the engine says that holds the data folder."""
    findings = [*_program(), *_settings(settings), _folder(settings, running)]
    provider: dict[str, Any] | None = None
    if running is not None:
        provider = next((each for each in running["providers"] if each["provider"] == COINGLASS), None)
    elif settings.venue.name == SIM:
        findings.append(Finding("venue", OK, "the embedded exchange: it starts with the engine and needs no network"))
    elif settings.venue.name != TAPE and not any(each.state == PROBLEM for each in findings):
        findings.append(asyncio.run(_venue(settings)))
        provider = asyncio.run(_key(settings)) if wants_coinglass(settings) else None
    findings.append(_coinglass(settings, provider))
    return {
        "ok": not any(each.state == PROBLEM for each in findings),
        "exit_code": max(each.exit_code for each in findings),
        "findings": [{"about": each.about, "state": each.state, "text": each.text} for each in findings],
        "coinglass": provider,
        "readings": _readings(settings, provider),
        "guards": _guards(settings),
    }


def _program() -> list[Finding]:
    text = f"Big Alpha {__version__}, Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    return [Finding("program", OK, text)]


def _settings(settings: Settings) -> list[Finding]:
    errors, notices = unsupported(settings)
    found = [Finding("settings", PROBLEM, error, ConfigError.exit_code) for error in errors]
    found += [Finding("settings", NOTE, notice) for notice in notices]
    return found or [Finding("settings", OK, "nothing is set that would be refused or ignored")]


def _folder(settings: Settings, running: dict[str, Any] | None) -> Finding:
    folder = settings.data_dir
    if running is not None:
        return Finding("data folder", OK, f"{folder} is held by a running engine, state {running['state']}")
    try:
        ensure_data_dir(folder)
    except BotError as error:
        return Finding("data folder", PROBLEM, str(error), error.exit_code)
    return Finding("data folder", OK, f"{folder} can be written to, and no engine runs in it")


async def _venue(settings: Settings) -> Finding:
    """Whether the venue answers, and lists what is to be traded."""
    try:
        market = await open_public(settings, RealClock())
    except VenueError as error:
        return Finding("venue", PROBLEM, str(error), error.exit_code)
    await market.close()
    listed = {each.unified for each in market.instruments}
    missing = [symbol for symbol in settings.symbols if symbol not in listed]
    if missing:
        return Finding("venue", PROBLEM, f"{market.name} does not list {', '.join(missing)}", ConfigError.exit_code)
    others = ", ".join(wall_venues(settings)) or "none"
    return Finding("venue", OK, f"{market.name} answers and lists all symbols; walls of other venues: {others}")


async def _key(settings: Settings) -> dict[str, Any]:
    """What CoinGlass says of the key, within the budget that all engines here share."""
    provider = coinglass_only(settings)
    task = asyncio.ensure_future(provider.run())
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(KEY_WITHIN_S):
            while not task.done() and not _known(provider.answer()):  # noqa: ASYNC110  it has no event for this
                await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return provider.answer()


def _known(answer: dict[str, Any]) -> bool:
    return bool(answer["plan"]["told"]) or answer["key"] not in ("ok", "untried")


def _coinglass(settings: Settings, provider: dict[str, Any] | None) -> Finding:
    if settings.coinglass.api_key is None:
        return Finding("CoinGlass", NOTE, "no key: it is never asked, other sources stand in (see the readings)")
    if provider is None:
        return Finding(
            "CoinGlass", NOTE, "there is a key, and nobody to ask: tapes ask nobody, or the plan is set to none"
        )
    if provider["key"] == "untried":
        return Finding(
            "CoinGlass", NOTE, "the key could not be tried yet: " + (provider["pause_reason"] or "no answer in time")
        )
    if provider["key"] != "ok":
        return Finding("CoinGlass", PROBLEM, f"the key is {provider['key']}", VenueError.exit_code)
    plan, calls = provider["plan"], provider["calls"]
    known = plan["told"] or plan["obeyed"]
    text = f"plan {known or 'not known yet'} (set: {plan['setting']}), {calls['spent']} of {calls['allowed']} calls spent in 60 s"
    return Finding("CoinGlass", OK if known else NOTE, text)


def _readings(settings: Settings, provider: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Each reading's sources in order, and what CoinGlass is good for in each."""
    covered = coverage(None) if provider is None else provider["readings"]
    guards = {name: cls.needs for name, cls in find_guards().items() if getattr(settings.guards, name).enabled}
    rows = []
    for name, rule in SOURCES.items():
        paid = covered.get(name, "") if settings.coinglass.api_key is not None else "no key"
        rows.append(
            {
                "name": name,
                "sources": list(rule.sources),
                "max_age_s": rule.max_age_s,
                "unit": rule.unit,
                "coinglass": paid if COINGLASS in rule.sources else "",
                "guards": [guard for guard, needs in guards.items() if name in needs],
            }
        )
    return rows


def _guards(settings: Settings) -> list[dict[str, Any]]:
    classes = find_guards()
    rows = []
    for name in settings.guards.order:
        params = getattr(settings.guards, name)
        longs_only = getattr(params, "mirror_short", None) is False
        rows.append(
            {
                "name": name,
                "enabled": params.enabled,
                "filters": [str(Direction.LONG)] if longs_only else [str(each) for each in Direction],
                "needs": list(classes[name].needs),
                "on_missing": getattr(params, "on_missing", "block"),
            }
        )
    return rows
