"""Readings from a venue's public REST: server, provider, bytes, decoded reading, verdict; and what happens when it answers badly.

Time runs faster here than outside: `Hurried` is the clock of server and provider both.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from bot.domain.reading import LiquidationClusters, LongShort, OiDelta, Reading, ReadingState
from bot.domain.values import NS, Outcome
from bot.intel.params import VenueStatisticsParams
from bot.intel.venue_statistics import VenueStatistics
from bot.market.liquidation_model import LiquidationModelParams
from bot.market.readings import decode_reading
from bot.trading.guards.liquidation_wall import LiquidationWall, LiquidationWallParams
from bot.trading.guards.long_trap import LongTrap, LongTrapParams
from tests.build import FakeView, context, instrument, signal
from tests.servers.venue_statistics import VenueStatisticsServer, World, venue_statistics_server

START = 1_760_000_100 * NS  # a full five minutes
VELOCITY = json.loads((Path(__file__).parents[1] / "fixtures/quant/flow.json").read_text())["oi_velocity"]
SYMBOLS = {"binanceusdm": "BTCUSDT", "bybit": "BTCUSDT", "okx": "BTC-USDT-SWAP"}


class Hurried:
    def __init__(self, speed: float, after_s: float) -> None:
        self._speed, self._began = speed, asyncio.get_running_loop().time() - after_s / speed

    def now_ns(self) -> int:
        return START + round((asyncio.get_running_loop().time() - self._began) * self._speed * NS)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self._speed)


class Desk:
    """A provider at a server, and everything it gave."""

    def __init__(self, server: VenueStatisticsServer, clock: Hurried, venue: str, symbols: list[str], **params: Any):
        self.server, self.clock = server, clock
        self.readings: list[Reading[Any]] = []
        self.told: list[str] = []
        self._changed = asyncio.Event()
        instruments = [instrument(symbol, id=f"{venue}:{symbol}", venue=venue) for symbol in symbols]
        self.provider = VenueStatistics(
            venue,
            server.url,
            instruments,
            self._take,
            self._hear,
            clock.now_ns,
            clock.sleep,
            lambda: 0.5,
            VenueStatisticsParams(**params),
        )

    def _take(self, raw: bytes) -> None:
        self.readings.append(decode_reading(raw, self.clock.now_ns()))
        self._changed.set()

    def _hear(self, text: str) -> None:
        self.told.append(text)
        self._changed.set()

    async def until(self, condition: Callable[[], Any]) -> Any:
        async with asyncio.timeout(20):
            while not (found := condition()):
                self._changed.clear()
                await self._changed.wait()
        return found

    async def reading(self, name: str, at: int = 0) -> Reading[Any]:
        found = await self.until(lambda: self.of(name)[at:])
        result: Reading[Any] = found[0]
        return result

    def fresh(self, name: str) -> int:
        """Of how many instruments the newest reading was there when it came."""
        newest = {each.key: each for each in self.of(name)}
        return sum(each.state(each.received_ns) is ReadingState.FRESH for each in newest.values())

    def of(self, name: str) -> list[Reading[Any]]:
        return [each for each in self.readings if each.name == name]


@asynccontextmanager
async def desk(
    world: World | None = None,
    venue: str = "binanceusdm",
    *,
    speed: float = 300.0,
    behaviour: str = "ok",
    where: str = "",
    symbols: list[str] | None = None,
    after_s: float = 0.0,
    ahead_s: int = 0,
    **params: Any,
) -> AsyncIterator[Desk]:
    clock = Hurried(speed, after_s)
    async with venue_statistics_server(world or World(), clock.now_ns) as server:
        server.behaviour, server.where, server.ahead_ns = behaviour, where, ahead_s * NS
        made = Desk(server, clock, venue, symbols or [SYMBOLS[venue]], **params)
        running = asyncio.ensure_future(made.provider.run())
        try:
            yield made
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running


def run(scenario: Callable[[], Any]) -> None:
    asyncio.run(scenario())


def grown(at_ns: int) -> Decimal:
    """The fixture's two values, five minutes apart about the start."""
    (before, _), (after, _) = VELOCITY["oi_base_px"]
    return Decimal(str(after if at_ns > START - 240 * NS else before))


@pytest.mark.parametrize("venue", SYMBOLS)
def test_every_reading_is_there_at_once(venue: str) -> None:
    async def scenario() -> None:
        rising = World(coins=lambda at: Decimal(100_000) + (at - START) // (NS * 2), ratio=lambda at: Decimal("1.5"))
        async with desk(rising, venue) as it:
            delta = await it.reading("oi_delta_5m")
            crowd = await it.reading("long_short")
            clusters = await it.reading("liquidation_clusters")
            usual = await it.reading("long_short", 1)
        assert {each.key for each in it.readings} == {f"{venue}:{SYMBOLS[venue]}"}
        assert isinstance(delta.value, OiDelta)
        assert delta.value.pct == pytest.approx(0.15, abs=0.04)
        assert (delta.source, crowd.source, clusters.source) == ("venue", "venue", "model")
        assert isinstance(crowd.value, LongShort)
        assert crowd.value.ratio == Decimal("1.5")
        assert usual.value == LongShort(ratio=Decimal("1.5"), percentile_95=Decimal("1.5"))
        assert isinstance(clusters.value, LiquidationClusters)
        assert clusters.value.model
        assert clusters.value.clusters
        assert float(clusters.value.open_interest_usd) == pytest.approx(100_000 * 60_000, rel=1e-3)
        assert it.told == []

    run(scenario)


def test_the_published_change_in_coins() -> None:
    async def scenario() -> None:
        async with desk(World(coins=grown), speed=30.0) as it:
            delta = await it.reading("oi_delta_5m")
        assert delta.value == OiDelta(pct=VELOCITY["pct_5m_base"])

    run(scenario)


@pytest.mark.parametrize(("minute_coins", "missing"), [("74.9", True), ("75", False)])
def test_open_interest_that_moves_more_than_was_traded_says_nothing(minute_coins: str, missing: bool) -> None:
    """450 coins in six minutes that the span touches."""

    async def scenario() -> None:
        async with desk(World(coins=grown, minute_coins=Decimal(minute_coins)), speed=10.0) as it:
            delta = await it.reading("oi_delta_5m")
        assert (delta.value is None) is missing
        assert ("only 449.4 were traded" in delta.reason) is missing

    run(scenario)


@pytest.mark.parametrize(
    ("newest", "usual", "outcome"),
    [
        ("2.0", "1.0", Outcome.PASS),
        ("2.0001", "1.0", Outcome.BLOCK),
        ("2.4999", "2.5", Outcome.PASS),
        ("2.5", "2.5", Outcome.BLOCK),
    ],
)
def test_long_trap_at_its_edges(newest: str, usual: str, outcome: Outcome) -> None:
    def ratio(at_ns: int) -> Decimal:
        return Decimal(newest if at_ns >= START else usual)

    async def scenario() -> None:
        async with desk(World(ratio=ratio), speed=30.0) as it:
            await it.until(lambda: any(each.value and each.value.percentile_95 for each in it.of("long_short")))
        reading = it.of("long_short")[-1]
        verdict = LongTrap(LongTrapParams(), context()).check(signal(), FakeView(reading, now_ns=reading.received_ns))
        assert (verdict.outcome, verdict.reading_source) == (outcome, "venue")
        assert Decimal(verdict.value or "") == Decimal(newest)

    run(scenario)


def opened(at_ns: int) -> Decimal:
    """A thousand coins in one step, 20 minutes before the start."""
    return Decimal(101_000 if at_ns > START - 1500 * NS else 100_000)


@pytest.mark.parametrize(
    ("oi_pct", "distance_pct", "outcome"),
    [("0.98", "4.5", Outcome.BLOCK), ("1.05", "4.5", Outcome.PASS), ("0.98", "4.4", Outcome.PASS)],
)
def test_liquidation_wall_at_the_model_s_cluster(oi_pct: str, distance_pct: str, outcome: Outcome) -> None:
    """At 20 times leverage a short of 60,000 is liquidated at 62,686.57, which is 4.48 % away, with 1.03 % of open interest."""
    params = LiquidationModelParams(leverages=((20.0, 1.0),), half_life_h=1e6)

    async def scenario() -> None:
        async with desk(World(coins=opened, minute_coins=Decimal(10**6)), speed=30.0, model=params) as it:
            reading = await it.reading("liquidation_clusters")
        settings = LiquidationWallParams(use_model=True, oi_pct=Decimal(oi_pct), distance_pct=Decimal(distance_pct))
        view = FakeView(reading, now_ns=reading.received_ns)
        view.market(signal().instrument).bid = view.market(signal().instrument).ask = 60000.0
        at_price = signal(price=Decimal(60000))
        verdict = LiquidationWall(settings, context()).check(at_price, view)
        assert (verdict.outcome, verdict.reading_source) == (outcome, "model"), verdict
        off = LiquidationWall(LiquidationWallParams(), context()).check(at_price, view)
        assert off.outcome is Outcome.ABSTAIN

    run(scenario)


def test_many_symbols() -> None:
    """What the guards need comes first, and the long histories are asked once."""

    async def scenario() -> None:
        symbols = [f"C{i}USDT" for i in range(8)]
        async with desk(speed=60.0, symbols=symbols) as it:
            await it.until(lambda: all(it.fresh(name) == 8 for name in ("oi_delta_5m", "long_short")))
        paths = it.server.paths()
        assert it.told == []
        assert paths[:12].count("/fapi/v1/openInterest") == 8  # before the long histories
        assert paths.count("/futures/data/openInterestHist") <= 8 * 5
        hours = [query for _, path, query in it.server.asked if query.get("period") == "1h"]
        assert len(hours) == 8 * 2

    run(scenario)


@pytest.mark.parametrize(
    ("behaviour", "said"),
    [
        ("html", "content type text/html"),
        ("error", "HTTP 500"),
        ("redirect", "HTTP 302"),
        ("types", "Expected"),
        ("big", "more than 8388608 bytes"),
    ],
)
def test_a_bad_answer_is_missing_with_a_reason_and_told_once_a_minute(behaviour: str, said: str) -> None:
    async def scenario() -> None:
        async with desk(behaviour=behaviour, where="openInterest", speed=300.0) as it:
            delta = await it.reading("oi_delta_5m")
            await it.until(lambda: it.told)
            await it.reading("long_short")  # nothing else stops
            await it.clock.sleep(40)
            about = [text for text in it.told if "oi_delta_5m" in text]
            assert len(about) == 1
            assert about[0].startswith("binanceusdm BTCUSDT oi_delta_5m: ")
            assert "\n" not in about[0]
            it.server.behaviour = "ok"
            await it.until(lambda: it.of("oi_delta_5m")[-1].value is not None)
        assert delta.value is None
        assert said in delta.reason
        jobs = it.provider.answer()["asked"]
        assert [job["failures"] for job in jobs if job["readings"][0][0] == "oi_delta_5m"] == [0]

    run(scenario)


@pytest.mark.parametrize("venue", SYMBOLS)
def test_empty_lists_are_missing_with_a_reason(venue: str) -> None:
    async def scenario() -> None:
        async with desk(venue=venue, behaviour="empty") as it:
            crowd = await it.reading("long_short")
            clusters = await it.reading("liquidation_clusters")
        assert "the list is empty" in crowd.reason
        assert "no two neighbouring samples" in clusters.reason

    run(scenario)


def test_a_server_that_never_answers_is_left_after_the_timeout() -> None:
    async def scenario() -> None:
        async with desk(behaviour="slow", where="Ratio", timeout_s=0.1) as it:
            crowd = await it.reading("long_short")
            assert crowd.value is None
            assert crowd.reason == "no answer within 0.1 s"
            await it.reading("oi_delta_5m")

    run(scenario)


def test_a_failure_does_not_hide_what_is_still_fresh() -> None:
    async def scenario() -> None:
        async with desk(speed=200.0) as it:
            first = await it.reading("oi_delta_5m")
            it.server.behaviour = "error"
            gone = await it.until(lambda: [each for each in it.of("oi_delta_5m") if each.value is None])
        assert first.value is not None
        good = [each for each in it.of("oi_delta_5m") if each.value is not None]
        assert gone[0].received_ns - good[-1].observed_ns > 120 * NS
        assert "HTTP 500" in gone[0].reason
        assert all(each.value is not None for each in it.of("long_short"))  # 15 minutes may pass

    run(scenario)


@pytest.mark.parametrize(
    ("behaviour", "retry_after", "hold_s"),
    [("limited", "45", 45), ("banned", "90", 90), ("limited", None, 60), ("limited", "soon", 60), ("banned", "0", 600)],
)
def test_a_venue_that_says_wait_is_not_asked_before(behaviour: str, retry_after: str | None, hold_s: int) -> None:
    async def scenario() -> None:
        async with desk(speed=600.0) as it:
            await it.reading("oi_delta_5m")
            it.server.behaviour, it.server.retry_after = behaviour, retry_after
            await it.until(lambda: it.told)
            it.server.behaviour = "ok"
            assert f"no call to the venue's statistics for {hold_s} s" in it.told[0]
            assert 0 < it.provider.answer()["held_s"] <= hold_s
            good = len(it.of("oi_delta_5m"))
            await it.until(lambda: any(each.value for each in it.of("oi_delta_5m")[good:]))
        refused_ns = it.server.refused_ns[0]
        assert not [at for at, _, _ in it.server.asked if refused_ns < at < refused_ns + hold_s * NS]
        assert len([text for text in it.told if "HTTP 4" in text]) == 1

    run(scenario)


@pytest.mark.parametrize(("after_s", "at_once"), [(0, True), (60, True), (110, True), (150, False), (245, True)])
def test_when_a_start_can_know_five_minutes(after_s: int, at_once: bool) -> None:
    """The venue has a sample of each full five minutes. Where none helps the reading is missing and nothing has failed."""

    async def scenario() -> None:
        async with desk(World(coins=grown), speed=20.0, after_s=after_s) as it:
            first = await it.reading("oi_delta_5m")
            await it.reading("liquidation_clusters")
        assert (first.value is not None) is at_once
        assert ("not known yet" in first.reason) is not at_once
        assert it.told == []

    run(scenario)


def test_crowd_and_model_are_asked_after_each_full_five_minutes() -> None:
    rising = World(coins=lambda at: Decimal(100_000) + (at - START) // (NS * 2))

    async def scenario() -> None:
        async with desk(rising, speed=400.0, after_s=100.0) as it:
            await it.until(lambda: len(it.of("liquidation_clusters")) >= 4)
            answer = it.provider.answer()
        asked = [(at, query) for at, path, query in it.server.asked if "openInterestHist" in path]
        counts = [int(query["limit"]) for _, query in asked if query["limit"] != "3"]
        assert counts[0] == 500
        assert all(count <= 4 for count in counts[1:])
        assert answer["instruments"]["binanceusdm:BTCUSDT"]["model_steps"] == 499 + 3
        crowd = [at for at, _, query in it.server.asked if query.get("limit") == "1"]
        assert all(20 * NS <= at % (300 * NS) < 60 * NS for at in crowd[1:])
        assert len({each.value.clusters for each in it.of("liquidation_clusters") if each.value}) == 4

    run(scenario)


@pytest.mark.parametrize(("ahead_s", "said"), [(30, "its time is -"), (-1200, "its time is 1")])
def test_a_venue_whose_clock_is_wrong_is_not_believed(ahead_s: int, said: str) -> None:
    async def scenario() -> None:
        async with desk(speed=100.0, after_s=100.0, ahead_s=ahead_s) as it:
            delta = await it.reading("oi_delta_5m")
            clusters = await it.reading("liquidation_clusters")
            crowd = await it.reading("long_short")
        assert delta.value is None
        assert said in delta.reason
        if ahead_s < 0:
            assert said in clusters.reason
            assert said in crowd.reason

    run(scenario)


def test_what_the_provider_answers_can_be_shown() -> None:
    async def scenario() -> None:
        async with desk() as it:
            await it.reading("oi_delta_5m")
            await it.reading("long_short", 1)
            answer = json.loads(json.dumps(it.provider.answer()))
        assert answer["venue"] == "binanceusdm"
        assert answer["rest_url"] == it.server.url
        assert answer["calls"] >= 7
        names = [job["readings"][0][0] for job in answer["asked"]]
        assert names == ["oi_delta_5m", "long_short", "liquidation_clusters", "long_short of 30 days"]
        assert all(job["problem"] == "" and job["failures"] == 0 for job in answer["asked"])
        assert 0 < answer["asked"][0]["next_s"] <= 60
        known = answer["instruments"]["binanceusdm:BTCUSDT"]
        assert Decimal(known["open_interest_coins"]) == 100_000
        assert known["ratio_hours"] >= 718

    run(scenario)
