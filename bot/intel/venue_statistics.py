"""Our own readings from a venue's public REST: `oi_delta_5m`, `long_short` and, from our model, `liquidation_clusters`.

No key is needed. Each reading of each instrument is a job with its own pace and back-off, so that one that fails holds up no other;
all calls go through one `VenueHttp`. Gives each frame's bytes to `put` and each failure's text to `report`. A failure becomes a
MISSING reading only once the last good one is older than its age allows.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp

from bot.domain.errors import FeedError
from bot.domain.instrument import Instrument
from bot.domain.reading import LongShort, OiDelta, Reading
from bot.domain.values import NS
from bot.exchanges.binance_statistics import BinanceStatistics
from bot.exchanges.bybit_statistics import BybitStatistics
from bot.exchanges.okx_statistics import OkxStatistics
from bot.exchanges.statistics import VenueCalls
from bot.intel.open_interest import OpenInterestSamples, RatioHours, implausible, volume_between
from bot.intel.params import VenueStatisticsParams
from bot.intel.venue_http import Held, VenueHttp
from bot.market.liquidation_model import SAMPLE_NS, LiquidationModel, slot, steps
from bot.market.readings import FUTURE_NS, MODEL, VENUE, encode_reading, rule_of

VENUES: dict[str, Callable[[], VenueCalls]] = {
    "binanceusdm": BinanceStatistics,
    "bybit": BybitStatistics,
    "okx": OkxStatistics,
}
MINUTES_BACK = 10  # of volume: five, one more that the reference may be older, two of age, and two that are cut
NOT_YET_S = 15.0
OLDEST_SAMPLE_NS = 3 * SAMPLE_NS
TOLD_NS = 60 * NS


class _NotYet(FeedError):
    """Nothing failed: it is too early to know."""


@dataclass(slots=True)
class _Job:
    """One thing that is asked again and again. `source` is that of the reading it makes, empty where it makes none."""

    name: str
    instrument: Instrument
    every_s: float
    act: Callable[[aiohttp.ClientSession], Awaitable[None]]
    source: str = VENUE
    aligned: bool = False  # just after each full `every_s`
    failures: int = 0
    good_ns: int | None = None
    next_ns: int = 0
    error: str = ""


@dataclass(slots=True)
class _Kept:
    """What is known of one instrument."""

    samples: OpenInterestSamples
    hours: RatioHours
    model: LiquidationModel
    ratio: Reading[LongShort] | None = None


class VenueStatistics:
    """`rest_url` empty is the venue's own. `now_ns`, `sleep` and `chance` (0 to 1) are injected."""

    def __init__(
        self,
        venue: str,
        rest_url: str,
        instruments: Sequence[Instrument],
        put: Callable[[bytes], None],
        report: Callable[[str], None],
        now_ns: Callable[[], int],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        chance: Callable[[], float] = random.random,
        params: VenueStatisticsParams | None = None,
    ) -> None:
        self._venue, self._calls = venue, VENUES[venue]()
        self._params = params or VenueStatisticsParams()
        self._put, self._report, self._now_ns, self._sleep, self._chance = put, report, now_ns, sleep, chance
        self._http = VenueHttp(self._calls, rest_url, self._params.timeout_s, report, now_ns, sleep)
        self._told_ns: dict[str, int] = {}
        self._kept = {
            each.id: _Kept(OpenInterestSamples(), RatioHours(), LiquidationModel(self._params.model))
            for each in instruments
        }
        self._jobs = [
            job for make in (self._oi, self._crowd, self._model, self._past) for job in map(make, instruments)
        ]

    async def run(self) -> None:
        """Until cancelled. At start what the guards need comes first, the long histories last."""
        async with self._http.session() as session, asyncio.TaskGroup() as tasks:
            for job in self._jobs:
                tasks.create_task(self._keep(session, job))

    def resume(self, reading: Reading[Any]) -> None:
        """One of its own from before a restart, still young: a failure must not hide it."""
        for job in self._jobs:
            if (job.name, job.instrument.id, job.source) == (reading.name, reading.key, reading.source):
                job.good_ns = reading.observed_ns

    def answer(self) -> dict[str, Any]:
        now_ns = self._now_ns()
        return {
            "provider": VENUE,
            "venue": self._venue,
            **self._http.answer(),
            "asked": [_told(job, now_ns) for job in self._jobs],
            "instruments": {key: _said(kept, now_ns) for key, kept in self._kept.items()},
        }

    # --- the jobs ---

    def _oi(self, each: Instrument) -> _Job:
        every_s = self._params.open_interest_s
        return _Job("oi_delta_5m", each, every_s, lambda session: self._open_interest(session, each))

    def _crowd(self, each: Instrument) -> _Job:
        every_s = self._params.crowd_s
        return _Job("long_short", each, every_s, lambda session: self._long_short(session, each), aligned=True)

    def _model(self, each: Instrument) -> _Job:
        every_s, name = self._params.crowd_s, "liquidation_clusters"
        return _Job(name, each, every_s, lambda session: self._clusters(session, each), MODEL, aligned=True)

    def _past(self, each: Instrument) -> _Job:
        every_s, name = self._params.history_s, "long_short of 30 days"
        return _Job(name, each, every_s, lambda session: self._ratio_hours(session, each), "")

    async def _keep(self, session: aiohttp.ClientSession, job: _Job) -> None:
        while True:
            began_ns = self._now_ns()
            try:
                await job.act(session)
            except Held as error:
                self._missing(job, str(error))
                wait_s = min(job.every_s, self._http.held_s + self._chance())
            except _NotYet as error:
                self._missing(job, str(error))
                wait_s = min(job.every_s, NOT_YET_S)
            except (FeedError, aiohttp.ClientError, TimeoutError) as error:
                wait_s = self._failed(job, error)
            else:
                job.failures, job.error, job.good_ns = 0, "", began_ns
                wait_s = self._pause_s(job, began_ns)
            job.next_ns = self._now_ns() + round(wait_s * NS)
            await self._sleep(wait_s)

    def _pause_s(self, job: _Job, began_ns: int) -> float:
        every_ns = round(job.every_s * NS)
        now_ns = self._now_ns()
        if not job.aligned:
            return max(0, began_ns + every_ns - now_ns) / NS
        settled_ns = round((self._params.settle_s + self._chance() * self._params.settle_s / 2) * NS)
        return ((now_ns // every_ns + 1) * every_ns + settled_ns - now_ns) / NS

    def _failed(self, job: _Job, error: Exception) -> float:
        job.failures += 1
        text = str(error)[:300].encode("unicode_escape").decode() or type(error).__name__
        if isinstance(error, TimeoutError):
            text = f"no answer within {self._params.timeout_s:g} s"
        self._missing(job, text)
        self._tell(f"{self._venue} {job.instrument.symbol} {job.name}", text)
        longest: float = min(job.every_s, self._params.backoff_s * 2.0 ** min(job.failures, 16))
        return longest * (0.5 + self._chance() / 2)

    def _missing(self, job: _Job, reason: str) -> None:
        """Only where nothing younger stands: a fetch that failed must not hide a number that is still fresh."""
        job.error = reason
        if not job.source:
            return
        max_age_ns = rule_of(job.name).max_age_s * NS
        if job.good_ns is None or self._now_ns() - job.good_ns > max_age_ns:
            self._give(job.name, job.instrument, None, self._now_ns(), job.source, reason)

    def _tell(self, what: str, text: str) -> None:
        now_ns = self._now_ns()
        if now_ns - self._told_ns.get(what, -TOLD_NS) >= TOLD_NS:
            self._told_ns[what] = now_ns
            self._report(f"{what}: {text}")

    def _give(
        self, name: str, instrument: Instrument, value: Any, at_ns: int, source: str = VENUE, reason: str = ""
    ) -> Reading[Any]:
        now_ns = self._now_ns()
        reading = Reading(
            name=name,
            key=instrument.id,
            source=source,
            value=value,
            observed_ns=min(at_ns, now_ns),
            received_ns=now_ns,
            max_age_ns=rule_of(name).max_age_s * NS,
            reason=reason,
        )
        self._put(encode_reading(reading))
        return reading

    def _timely(self, what: str, at_ns: int, oldest_ns: int) -> None:
        """Refuses a stamp from the future, and one too old to be of use."""
        age_ns = self._now_ns() - at_ns
        if age_ns < -FUTURE_NS or age_ns > oldest_ns:
            raise FeedError(f"{self._venue} {what}: its time is {age_ns / NS:.0f} s ago")

    # --- what each does ---

    async def _open_interest(self, session: aiohttp.ClientSession, instrument: Instrument) -> None:
        kept, symbol = self._kept[instrument.id].samples, instrument.symbol
        sample = await self._http.get(session, self._calls.open_interest(symbol))
        self._timely("open interest", sample.at_ns, rule_of("oi_delta_5m").max_age_s * NS)
        kept.add(sample)
        if kept.newest_pair() is None:
            for past in await self._http.get(session, self._calls.open_interest_history(symbol, 3)):
                kept.add(past)
        pair = kept.newest_pair()
        if pair is None or self._now_ns() - pair[1].at_ns > rule_of("oi_delta_5m").max_age_s * NS:
            raise _NotYet("open interest of 4 to 6 minutes ago is not known yet")
        before, after = pair
        minutes = await self._http.get(session, self._calls.candles(symbol, 1, MINUTES_BACK))
        reason = implausible(before, after, volume_between(minutes, before.at_ns, after.at_ns))
        value = None if reason else OiDelta(pct=float(100 * (after.coins - before.coins) / before.coins))
        self._give("oi_delta_5m", instrument, value, after.at_ns, reason=reason)

    async def _long_short(self, session: aiohttp.ClientSession, instrument: Instrument) -> None:
        kept = self._kept[instrument.id]
        newest = (await self._http.get(session, self._calls.account_ratio(instrument.symbol)))[-1:]
        if not newest:
            raise FeedError(f"{self._venue} long/short ratio: the list is empty")
        self._timely("long/short ratio", newest[0].at_ns, rule_of("long_short").max_age_s * NS)
        kept.hours.add(newest)
        value = LongShort(ratio=newest[0].ratio, percentile_95=kept.hours.percentile_95(self._now_ns()))
        kept.ratio = self._give("long_short", instrument, value, newest[0].at_ns)

    async def _ratio_hours(self, session: aiohttp.ClientSession, instrument: Instrument) -> None:
        """The last 30 days hour by hour, a page at a time; then the newest reading again, with what is usual."""
        kept = self._kept[instrument.id]
        for start_ns, end_ns in kept.hours.pages(self._now_ns(), self._calls.ratio_page):
            call = self._calls.account_ratio_hours(instrument.symbol, start_ns, end_ns)
            hours = await self._http.get(session, call)
            kept.hours.add(hours)
        usual = kept.hours.percentile_95(self._now_ns())
        if kept.ratio is not None and kept.ratio.value is not None and usual is not None:
            value = LongShort(ratio=kept.ratio.value.ratio, percentile_95=usual)
            kept.ratio = self._give("long_short", instrument, value, kept.ratio.observed_ns)

    async def _clusters(self, session: aiohttp.ClientSession, instrument: Instrument) -> None:
        kept = self._kept[instrument.id]
        page, last = self._calls.history_page, kept.samples.modelled
        count = page if last is None else min(page, slot(self._now_ns()) - slot(last.at_ns) + 2)
        history = await self._http.get(session, self._calls.open_interest_history(instrument.symbol, count))
        candles = await self._http.get(session, self._calls.candles(instrument.symbol, 5, count + 1))
        new = [sample for sample in history if last is None or slot(sample.at_ns) > slot(last.at_ns)]
        for step in steps([last, *new] if last else new, candles):
            kept.model.apply(step)
        kept.samples.modelled = new[-1] if new else last
        if kept.model.last is None or not candles:
            raise FeedError(f"{self._venue} liquidation model: no two neighbouring samples with a candle between them")
        self._timely("open interest history", kept.model.last.end_ns, OLDEST_SAMPLE_NS)
        since = [each for each in candles if slot(each.start_ns) >= slot(kept.model.last.end_ns)]
        self._timely("newest candle", candles[-1].start_ns, 2 * SAMPLE_NS)
        self._give("liquidation_clusters", instrument, kept.model.clusters(since), self._now_ns(), MODEL)


def _told(job: _Job, now_ns: int) -> dict[str, Any]:
    return {
        "readings": [[job.name, job.instrument.id]],
        "source": job.source,
        "last_s": None if job.good_ns is None else (now_ns - job.good_ns) / NS,
        "next_s": max(0, job.next_ns - now_ns) / NS,
        "failures": job.failures,
        "problem": job.error,
    }


def _said(kept: _Kept, now_ns: int) -> dict[str, Any]:
    newest = kept.samples.newest
    return {
        "open_interest_coins": None if newest is None else str(newest.coins),
        "open_interest_s_ago": None if newest is None else (now_ns - newest.at_ns) / NS,
        "ratio_hours": len(kept.hours),
        "model_steps": kept.model.steps,
    }
