"""Young readings of providers over a restart: put into the engine as its first frames, kept on disk while it runs and at its end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Any

from bot.domain.frames import Frame, Lane, Source
from bot.domain.reading import Reading
from bot.intel.keep import FILE_NAME, load, save
from bot.market.readings import ReadingStore, decode_reading
from bot.runtime.inbox import Inbox

EVERY_S = 30.0


class KeptReadings:
    """`tell` gets one line when something is wrong with the file; trading goes on without it."""

    def __init__(
        self, folder: Path, store: ReadingStore, now_ns: Callable[[], int], tell: Callable[[str], None]
    ) -> None:
        self._path, self._store, self._now_ns, self._tell = folder / FILE_NAME, store, now_ns, tell
        self._trouble = ""
        self._one = (
            Lock()
        )  # a save in its thread outlives the task that waits for it, and both would write the same file

    def restore(self, inbox: Inbox, known: Callable[[Reading[Any]], None]) -> None:
        """Before anything else is put into the data lane. `known` is told of each."""
        kept = load(self._path, self._now_ns())
        if kept.problem:
            self._tell(kept.problem)
        for raw in kept.readings:
            inbox.offer_data(Frame(self._now_ns(), Lane.DATA, Source.READING, raw))
            known(decode_reading(raw, self._now_ns()))

    async def run(self) -> None:
        """Until it is canceled."""
        while True:
            await asyncio.sleep(EVERY_S)
            await asyncio.to_thread(self._save, list(self._store))

    def save(self) -> None:
        self._save(list(self._store))

    def _save(self, readings: list[Reading[Any]]) -> None:
        try:
            with self._one:
                save(self._path, readings, self._now_ns())
            self._trouble = ""
        except OSError as error:
            if str(error) != self._trouble:
                self._trouble = str(error)
                self._tell(f"readings cannot be kept for the next start: {error}")
