"""Which providers of readings a live market has, and at which addresses: the venue's own statistics, Deribit, CoinGlass.

A tape has none: what providers said is on it, or was never asked. Nothing that trades waits for any of them.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from decimal import Decimal
from typing import Any

from bot.app.connections import SIM, TAPE
from bot.app.plugins import find_guards
from bot.app.settings import Settings
from bot.domain.events import Event
from bot.domain.instrument import Instrument
from bot.domain.reading import Reading
from bot.domain.values import ABSTAIN
from bot.intel.budget import FILE_NAME, SqliteBudget, default_path
from bot.intel.coinglass.poller import CoinGlass
from bot.intel.deribit import Deribit
from bot.intel.provider import Inlet, Provider, run_again
from bot.intel.venue_statistics import VENUES, VenueStatistics
from bot.market.readings import COIN, COINGLASS, VENUE, rule_of
from bot.market.walls import INSTITUTIONAL_USD
from bot.runtime.clock import RealClock


class Providers:
    """`put` takes the source and bytes of a frame and may wait; `institutional_usd` gives a coin's threshold of the day."""

    def __init__(
        self,
        settings: Settings,
        instruments: Sequence[Instrument],
        put: Callable[[str, bytes], Awaitable[None]],
        clock: RealClock,
        institutional_usd: Callable[[str], Decimal],
    ) -> None:
        self.coinglass: CoinGlass | None = None
        self._institutional_usd = institutional_usd
        self._needs = {name: cls.needs for name, cls in find_guards().items()}
        self.inlet = Inlet(put)
        self.all: dict[str, Provider] = {}
        self._clock, self._now_ns, self._sleep = clock, clock.now_ns, sleeping(clock)
        self._settings, self._instruments = settings, list(instruments)
        self._add_statistics()
        self._add_deribit()
        self._add_coinglass()

    def parts(self) -> dict[str, Coroutine[Any, Any, None]]:
        """What must run beside the engine, by name."""
        problem = self.inlet.problem
        parts = {f"provider {name}": run_again(provider, problem(name)) for name, provider in self.all.items()}
        return {**parts, "readings": self.inlet.run()}

    def resume(self, reading: Reading[Any]) -> None:
        for provider in self.all.values():
            provider.resume(reading)

    def answer(self) -> list[dict[str, Any]]:
        answers = [provider.answer() for provider in self.all.values()]
        if self.inlet.lost:
            answers.append({"provider": "inlet", "asked": [], "lost": self.inlet.lost})
        return answers

    def _add_statistics(self) -> None:
        """The venue's own, at the address where it is traded on."""
        venue = self._settings.venue
        if venue.exchange in VENUES:
            self.all["statistics"] = VenueStatistics(
                venue.exchange,
                venue.rest_url or "",
                self._instruments,
                self.inlet.reading,
                self.inlet.problem(VENUE),
                self._now_ns,
                self._sleep,
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
                coins, settings.deribit, self.inlet.reading, self.inlet.problem("deribit"), self._now_ns, self._sleep
            )

    def _add_coinglass(self) -> None:
        settings, report = self._settings, self.inlet.problem(COINGLASS)
        if wants_coinglass(settings):
            self.coinglass = _coinglass(
                settings, self._instruments, self.inlet.reading, report, self._clock, self._institutional_usd
            )
            self.all[COINGLASS] = self.coinglass

    def on_events(self, events: Sequence[Event]) -> None:
        """What a guard could not judge for want of a reading is asked first."""
        if self.coinglass is None:
            return
        for event in events:
            if event.kind == "DECISION":
                for verdict in event.data["verdicts"]:
                    if verdict["outcome"] == ABSTAIN:
                        self._missed(verdict["guard"], event.symbol)

    def _missed(self, guard: str, unified: str | None) -> None:
        assert self.coinglass is not None
        for each in self._instruments:
            if each.unified == unified:
                for name in self._needs.get(guard, ()):
                    self.coinglass.abstained(name, each.base if rule_of(name).keyed_by == COIN else each.id)


def sleeping(clock: RealClock) -> Callable[[float], Awaitable[None]]:
    """Sleeps seconds of this clock."""
    return lambda seconds: asyncio.sleep(seconds / clock.speed)


def wants_coinglass(settings: Settings) -> bool:
    """Without a key it is never asked, nor where a tape is played."""
    return settings.venue.name != TAPE and settings.coinglass.api_key is not None and settings.coinglass.plan != "none"


def coinglass_only(settings: Settings) -> CoinGlass:
    """To ask what the key is good for; whatever else it says goes nowhere."""
    return _coinglass(settings, [], lambda raw: None, lambda problem: None, RealClock(), lambda coin: INSTITUTIONAL_USD)


def _coinglass(
    settings: Settings,
    instruments: Sequence[Instrument],
    put: Callable[[bytes], None],
    report: Callable[[str], None],
    clock: RealClock,
    institutional_usd: Callable[[str], Decimal],
) -> CoinGlass:
    key = settings.coinglass.api_key
    assert key is not None
    now_ns, sleep = clock.now_ns, sleeping(clock)
    if settings.venue.name == SIM:  # its calls cost nothing, and its minutes are those of its clock
        path = settings.data_dir / FILE_NAME
        budget = SqliteBudget(path, key.get_secret_value(), report, now_ns=now_ns, sleep=sleep)
    else:
        budget = SqliteBudget(default_path(os.environ), key.get_secret_value(), report)
    return CoinGlass(
        instruments,
        settings.coinglass,
        key,
        budget,
        put,
        report,
        now_ns,
        sleep,
        institutional_usd=institutional_usd,
        taker=settings.taker,
        walls=settings.walls,
        speed=clock.speed,
    )


def moved(settings: Settings) -> bool:
    """Whether the venue that is traded on is not at its own address."""
    return settings.venue.rest_url is not None or settings.venue.ws_url is not None


def _coins(instruments: Iterable[Instrument], known: Sequence[str]) -> list[str]:
    return [coin for coin in dict.fromkeys(each.base for each in instruments) if coin in known]
