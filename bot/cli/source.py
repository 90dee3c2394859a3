"""Where a reading command gets its answer: the running engine's API, else the journal under its lock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import aiohttp
import orjson

from bot.app.connections import SIM
from bot.app.settings import Settings
from bot.domain.errors import BotError, ConfigError
from bot.domain.events import Event
from bot.journal.lock import load_or_create_token, running_api
from bot.journal.projection import Projection
from bot.journal.reader import last_seq, read_events
from bot.journal.schema import FILE
from bot.learning.desk import learning_of

if TYPE_CHECKING:
    from bot.learning.table import Question

TIMEOUT = aiohttp.ClientTimeout(total=10)
PAGE = 2_000
HISTORY_PAGE = 500  # of all there is: each page holds up the engine's commits for 8 ms, and they go on in between
PROGRESS_EVERY = 10_000


class Source(Protocol):
    def get(self, path: str, **query: str) -> Any: ...
    def events(self, since: int, kinds: str) -> Iterator[dict[str, Any]]: ...
    def guards(self, asked: Question, progress: Progress) -> dict[str, Any]: ...
    def history(self, kinds: Iterable[str]) -> Iterator[Event]: ...
    def last_seq(self) -> int: ...


Progress = Callable[[int, int], object]
"""Called now and then with the seq that was reached and the last one."""


def open_source(settings: Settings) -> Source:
    folder = _folder(settings)
    url = running_api(folder)
    if url is not None:
        return EngineSource(url, _token(settings, folder))
    if not (folder / FILE).exists():
        raise _nothing_ran(folder)
    return JournalSource(folder)


def _folder(settings: Settings) -> Path:
    """Where none is named, that of the market which ran last: a made-up one has a folder of its own."""
    own = settings.data_dir
    folders = [own] if "data_dir" in settings.model_fields_set else [own, own.parent if own.name == SIM else own / SIM]
    written = [folder for folder in folders if (folder / FILE).exists()]
    running = [folder for folder in written if running_api(folder) is not None]
    return max(running or written, key=lambda folder: (folder / FILE).stat().st_mtime_ns, default=own)


def _nothing_ran(data_dir: Path) -> ConfigError:
    return ConfigError(f"nothing has run in {data_dir} yet; start with `python -m bot run` or name --data-dir")


class EngineSource:
    """Asks the engine that holds the data folder."""

    def __init__(self, url: str, token: str) -> None:
        self._url, self._token = url, token

    def get(self, path: str, **query: str) -> Any:
        return asyncio.run(_request("GET", self._url + path, self._token, params=query))

    def events(self, since: int, kinds: str) -> Iterator[dict[str, Any]]:
        return self._pages(since, kinds, PAGE)

    def _pages(self, since: int, kinds: str, limit: int) -> Iterator[dict[str, Any]]:
        while page := self.get("/api/events", since=str(since), kinds=kinds, limit=str(limit)):
            yield from page
            since = page[-1]["seq"]

    def guards(self, asked: Question, progress: Progress) -> dict[str, Any]:
        rules = {} if asked.rules is None else {"rules": asked.rules}
        while True:
            table: dict[str, Any] = self.get("/api/guards", by=",".join(asked.by), window=asked.window, **rules)
            if "computing" not in table:
                return table
            progress(table["computing"]["seq"], table["computing"]["of"])

    def history(self, kinds: Iterable[str]) -> Iterator[Event]:
        return (Event(**event) for event in self._pages(0, ",".join(kinds), HISTORY_PAGE))

    def last_seq(self) -> int:
        return int(self.get("/api/status")["last_seq"] or 0)


class JournalSource:
    """Folds the journal of an engine that does not run."""

    _KEPT = ("/api/status", "/api/positions", "/api/orders", "/api/signals", "/api/why")

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir

    def get(self, path: str, **query: str) -> Any:
        if path == "/api/learning":
            return learning_of(read_events(self._data_dir))
        if path not in self._KEPT:
            raise ConfigError(f"no engine runs in {self._data_dir}, and only a running one has readings")
        projection = Projection()
        for event in read_events(self._data_dir):
            projection.apply(event)
        if not projection.status()["session"]:  # a start that failed, for want of a port say, leaves an empty journal
            raise _nothing_ran(self._data_dir)
        answers: dict[str, Callable[[], Any]] = {
            "/api/status": lambda: {"running": False, **projection.status()},
            "/api/positions": projection.positions,
            "/api/orders": lambda: projection.orders(all="all" in query),
            "/api/signals": lambda: projection.signals(int(query.get("limit", "50"))),
            "/api/why": lambda: projection.why(query["q"]),
        }
        return answers[path]()

    def events(self, since: int, kinds: str) -> Iterator[dict[str, Any]]:
        wanted = tuple(filter(None, kinds.split(","))) or None
        return (event.to_dict() for event in read_events(self._data_dir, since_seq=since, kinds=wanted))

    def guards(self, asked: Question, progress: Progress) -> dict[str, Any]:
        from bot.learning.ledger import KINDS, Ledger
        from bot.learning.table import answer

        ledger, last = Ledger(), self.last_seq()
        ledger.fold(told(self.history({*KINDS, "ENGINE_STOPPED"}), last, progress))
        return answer(ledger, asked) | {"age_s": 0.0}

    def history(self, kinds: Iterable[str]) -> Iterator[Event]:
        return read_events(self._data_dir, kinds=tuple(kinds))

    def last_seq(self) -> int:
        return last_seq(self._data_dir)


def told(events: Iterable[Event], last: int, progress: Progress) -> Iterator[Event]:
    """The same events, and progress."""
    for count, event in enumerate(events, 1):
        if count % PROGRESS_EVERY == 0:
            progress(event.seq, last)
        yield event


def post(settings: Settings, path: str, body: dict[str, Any]) -> dict[str, Any]:
    folder = _folder(settings)
    url = running_api(folder)
    if url is None:
        raise ConfigError(f"no engine runs in {folder}; start one with `python -m bot run` or name --data-dir")
    answer: dict[str, Any] = asyncio.run(
        _request("POST", url + path, _token(settings, folder), data=orjson.dumps(body))
    )
    return answer


def _token(settings: Settings, folder: Path) -> str:
    given = settings.api.token
    return given.get_secret_value() if given is not None else load_or_create_token(folder)


async def _request(method: str, url: str, token: str, **options: Any) -> Any:
    try:
        async with (
            aiohttp.ClientSession(timeout=TIMEOUT, headers={"Authorization": f"Bearer {token}"}) as session,
            session.request(method, url, **options) as response,
        ):
            answer = orjson.loads(await response.read())
    except (aiohttp.ClientError, TimeoutError, orjson.JSONDecodeError) as error:
        raise BotError(f"the engine at {url} did not answer: {str(error) or type(error).__name__}") from None
    if response.status >= 400:
        raise ConfigError(answer.get("error", f"HTTP {response.status}"))
    return answer
