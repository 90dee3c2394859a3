"""Which providers of readings a live market has, and at which addresses: the venue's own statistics, Deribit, CoinGlass.

A tape has none: what providers said is on it, or was never asked. Nothing that trades waits for any of them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from typing import Any

from bot.app.settings import Settings
from bot.domain.instrument import Instrument
from bot.intel.deribit import Deribit
from bot.intel.provider import Inlet, Provider
from bot.intel.venue_statistics import VENUES, VenueStatistics
from bot.market.readings import VENUE


class Providers:
    """`put` takes the source and bytes of a frame and may wait."""

    def __init__(
        self,
        settings: Settings,
        instruments: Sequence[Instrument],
        put: Callable[[str, bytes], Awaitable[None]],
        now_ns: Callable[[], int],
    ) -> None:
        self.inlet = Inlet(put)
        self.all: dict[str, Provider] = {}
        self._now_ns = now_ns
        self._settings, self._instruments = settings, list(instruments)
        self._add_statistics()
        self._add_deribit()

    def parts(self) -> dict[str, Coroutine[Any, Any, None]]:
        """What must run beside the engine, by name."""
        parts = {f"provider {name}": provider.run() for name, provider in self.all.items()}
        return {**parts, "readings": self.inlet.run()}

    def answer(self) -> list[dict[str, Any]]:
        return [provider.answer() for provider in self.all.values()]

    def _add_statistics(self) -> None:
        """The venue's own, at the address where it is traded on."""
        venue = self._settings.venue
        if venue.name in VENUES:
            self.all["statistics"] = VenueStatistics(
                venue.name,
                venue.rest_url or "",
                self._instruments,
                self.inlet.reading,
                self.inlet.problem(VENUE),
                self._now_ns,
                params=self._settings.statistics,
            )

    def _add_deribit(self) -> None:
        """Where the venue is not at its own address (a test bench, a mirror), Deribit is asked only if it has one too."""
        settings = self._settings
        if settings.deribit.base_url is None and moved(settings):
            return
        coins = _coins(self._instruments, settings.deribit.coins)
        if coins:
            self.all["deribit"] = Deribit(
                coins, settings.deribit, self.inlet.reading, self.inlet.problem("deribit"), self._now_ns
            )


def moved(settings: Settings) -> bool:
    """Whether the venue that is traded on is not at its own address."""
    return settings.venue.rest_url is not None or settings.venue.ws_url is not None


def _coins(instruments: Iterable[Instrument], known: Sequence[str]) -> list[str]:
    return [coin for coin in dict.fromkeys(each.base for each in instruments) if coin in known]
