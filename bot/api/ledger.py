"""The ledger of a running engine, kept for whoever asks: `GET /api/guards`.

It is folded from the journal, page by page, in a thread of its own and only while somebody asks, so that nothing that trades
ever waits for it; an engine that is never asked pays nothing. An answer is kept for some seconds and tells its age. A history too
long for one request is folded over several: each says how far it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import Any, NamedTuple, Protocol

from bot.domain.events import Event
from bot.learning.ledger import Ledger
from bot.learning.table import Question, answer

PAGE = 200  # events: 3 ms of the journal's writer, which commits in between
WITHIN_S = 2.0  # of folding in one request
KEPT_S = 5.0  # at least
KEPT_TIMES = (
    20.0  # as long as it took to compute, so that a page that is always open costs at most a twentieth of a core
)
QUESTIONS_KEPT = 16


class Reader(Protocol):
    @property
    def last_seq(self) -> int: ...

    async def read(self, *, since_seq: int = 0, limit: int = 1000) -> list[Event]: ...


class _Kept(NamedTuple):
    at: float
    until: float
    table: dict[str, Any]


class LiveLedger:
    """`now_ns` is the engine's clock, which says which blocks of 4 h are over."""

    def __init__(self, journal: Reader, now_ns: Callable[[], int]) -> None:
        self._journal, self._now_ns = journal, now_ns
        self._ledger = Ledger()
        self._turn = asyncio.Lock()
        self._thread = ThreadPoolExecutor(1, "ledger")  # alone touches the ledger; starts when first needed
        self._since = 0
        self._answers: dict[Question, _Kept] = {}

    async def guards(self, asked: Question) -> dict[str, Any]:
        """The table with `age_s`; or, while a long history is being read, `computing` and no table: ask again."""
        async with self._turn:
            kept = self._answers.get(asked)
            if kept is None or monotonic() > kept.until:
                if not await self._catch_up():
                    return {"computing": {"seq": self._since, "of": self._journal.last_seq}}
                kept = await self._answer(asked)
        return kept.table | {"age_s": round(monotonic() - kept.at, 3)}

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _catch_up(self) -> bool:
        """Whether all is folded. Events arrive meanwhile: a page that is not full is the last."""
        until, page = monotonic() + WITHIN_S, await self._page()
        while len(page) == PAGE and monotonic() < until:
            page = await self._page()
        return len(page) < PAGE

    async def _page(self) -> Sequence[Event]:
        page = await self._journal.read(since_seq=self._since, limit=PAGE)
        await asyncio.get_running_loop().run_in_executor(self._thread, self._ledger.fold, page)
        self._since = page[-1].seq if page else self._since
        return page

    async def _answer(self, asked: Question) -> _Kept:
        at, now_ns = monotonic(), self._now_ns()
        table = await asyncio.get_running_loop().run_in_executor(self._thread, answer, self._ledger, asked, now_ns)
        self._answers.pop(asked, None)
        self._answers[asked] = _Kept(at, at + max(KEPT_S, KEPT_TIMES * (monotonic() - at)), table)
        if len(self._answers) > QUESTIONS_KEPT:
            del self._answers[next(iter(self._answers))]
        return self._answers[asked]
