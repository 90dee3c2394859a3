"""Puts the cockpit together: which sections its frames have, and what it hears of the engine's events.

A further section is one line in `_sections`; its value must equal what `GET /api/<name>` answers.
"""

from __future__ import annotations

from collections.abc import Sequence

from bot.api.access import Access
from bot.api.cockpit import Cockpit
from bot.api.equity import Equity, Point
from bot.api.sections import Chart, Events, Section, Whole
from bot.api.snapshot import Live
from bot.domain.events import Event
from bot.journal.writer import Journal

REMEMBERED = 5_000  # events read back from the journal when a session begins


class CockpitParts:
    """`on_events` must see every event, also those of earlier sessions that `recall` reads; `past` is the equity of these."""

    def __init__(self, live: Live, journal: Journal, access: Access, past: Sequence[Point] = ()) -> None:
        self._live, self._journal = live, journal
        ids = {each.unified: each.id for each in live.view.instruments()}
        self._events = Events()
        self._chart = Chart(list(ids), lambda symbol, count: live.view.candles(ids[symbol], count))
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

    def _sections(self) -> dict[str, Section]:
        live, journal = self._live, self._journal
        return {
            "status": Whole(live.status),
            "positions": Whole(live.positions),
            "orders": Whole(live.projection.orders),
            "signals": Whole(live.projection.signals),
            "readings": Whole(live.all_readings),
            "health": Whole(lambda: live.health(journal.stats())),
            "depth": Whole(live.depth),
            "learning": Whole(live.learning, every=8),  # changes a few times a day
            "equity": Whole(self._equity),
            "events": self._events,
            "chart": self._chart,
        }
