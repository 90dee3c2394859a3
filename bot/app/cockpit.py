"""Puts the cockpit together: which sections its frames have, and what it hears of the engine's events.

A further section is one line in `_sections`; its value must equal what `GET /api/<name>` answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bot.api.access import Access
from bot.api.cockpit import Cockpit
from bot.api.equity import Equity, Point
from bot.api.sections import Chart, Events, Kept, Section, Whole
from bot.api.snapshot import Live
from bot.domain.events import Event
from bot.journal.writer import Journal

DETAILS_KEPT_S = 2.0  # providers tell of calls minutes apart, and CoinGlass' budget is a file
REMEMBERED = 5_000  # events read back from the journal when a session begins


class CockpitParts:
    """`on_events` must see every event, also those of earlier sessions that `recall` reads; `past` is the equity of these."""

    def __init__(self, live: Live, journal: Journal, access: Access, past: Sequence[Point] = ()) -> None:
        self._live, self._journal = live, journal
        ids = {each.unified: each.id for each in live.view.instruments()}
        self._events = Events()
        self._chart = Chart(list(ids), lambda symbol, count: live.view.candles(ids[symbol], count))
        self._told: dict[str, Any] | None = None  # the status of the last look
        self._providers = Kept(live.providers, DETAILS_KEPT_S)
        self._details = Kept(lambda: live.reading_details(self._providers()), DETAILS_KEPT_S)
        self._equity = Equity(lambda: live.engine.now_ns, live.portfolio.equity_usd, past)
        self.cockpit = Cockpit(
            self._sections(),
            live.engine.inspect,
            lambda: (live.engine.now_ns, live.ages()),
            self._equity.sample,
            access,
        )

    def on_events(self, events: Sequence[Event]) -> None:
        self._events.on_events(events)
        self._chart.on_events(events)

    async def recall(self) -> None:
        since = max(0, self._journal.last_seq - REMEMBERED)
        self.on_events(await self._journal.read(since_seq=since, limit=REMEMBERED))

    def _status(self) -> dict[str, Any]:
        self._told = self._live.status()
        return self._told

    def _health(self) -> dict[str, Any]:
        return self._live.health(self._journal.stats(), self._told, self._providers())

    def _sections(self) -> dict[str, Section]:
        """In the order in which they are copied: health tells parts of the status before it."""
        live, projection = self._live, self._live.projection
        events = lambda: projection.last_seq  # noqa: E731  what they are made from, and nothing else
        return {
            "status": Whole(self._status),
            "positions": Whole(live.positions),
            "orders": Whole(projection.orders, of=events),
            "signals": Whole(projection.signals, of=events),
            "readings": Whole(lambda: live.all_readings(self._details())),
            "health": Whole(self._health, every=2),
            "depth": Whole(live.depth),
            "learning": Whole(live.learning, every=8),  # changes a few times a day
            "equity": Whole(self._equity),
            "events": self._events,
            "chart": self._chart,
        }
