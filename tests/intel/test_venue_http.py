"""How a venue is asked: apart, and not at all while it has told us to wait. Time stands still here unless somebody sleeps."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bot.domain.errors import FeedError
from bot.domain.values import NS
from bot.exchanges.statistics import VenueCalls
from bot.intel.venue_http import Held, VenueHttp
from bot.intel.venue_statistics import VENUES
from tests.build import NOW
from tests.servers.venue_statistics import VenueStatisticsServer, World, venue_statistics_server


class Stopped:
    def __init__(self) -> None:
        self.ns = NOW

    def now_ns(self) -> int:
        return self.ns

    async def sleep(self, seconds: float) -> None:
        self.ns += round(seconds * NS)


def asked(venue: str, scenario: Any) -> list[str]:
    """What was told."""
    told: list[str] = []

    async def play() -> None:
        clock, calls = Stopped(), VENUES[venue]()
        async with venue_statistics_server(World(), clock.now_ns) as server:
            http = VenueHttp(calls, server.url, 5.0, told.append, clock.now_ns, clock.sleep)
            async with http.session() as session:
                await scenario(http, session, server, clock, calls)

    asyncio.run(play())
    return told


@pytest.mark.parametrize(("venue", "apart_s"), [("binanceusdm", 0.35), ("bybit", 0.1), ("okx", 0.5)])
def test_calls_are_apart_whoever_makes_them(venue: str, apart_s: float) -> None:
    async def scenario(
        http: VenueHttp, session: Any, server: VenueStatisticsServer, clock: Stopped, calls: VenueCalls
    ) -> None:
        await asyncio.gather(*[http.get(session, calls.account_ratio(f"C{i}")) for i in range(5)])
        assert clock.ns == NOW + round(4 * apart_s * NS)
        clock.ns += 10 * NS
        await http.get(session, calls.account_ratio("C5"))
        assert clock.ns == NOW + round((10 + 4 * apart_s) * NS)  # nobody waits for a turn that is free
        assert http.answer()["calls"] == len(server.asked) == 6

    assert asked(venue, scenario) == []


@pytest.mark.parametrize(
    ("venue", "behaviour", "retry_after", "hold_s"),
    [
        ("binanceusdm", "limited", "7", 7),
        ("binanceusdm", "limited", None, 60),
        ("binanceusdm", "limited", "Wed, 21 Oct 2026 07:28:00 GMT", 60),
        ("binanceusdm", "limited", "-5", 60),
        ("binanceusdm", "banned", None, 600),
        ("binanceusdm", "banned", "999999999", 3 * 86_400),
        ("okx", "limited", None, 60),
        ("bybit", "forbidden", None, 600),
    ],
)
def test_told_to_wait_nothing_is_asked_until_then(
    venue: str, behaviour: str, retry_after: str | None, hold_s: int
) -> None:
    async def scenario(
        http: VenueHttp, session: Any, server: VenueStatisticsServer, clock: Stopped, calls: VenueCalls
    ) -> None:
        server.behaviour, server.retry_after = behaviour, retry_after
        call = calls.account_ratio("BTCUSDT")
        with pytest.raises(Held, match=f"to wait {hold_s} s"):
            await http.get(session, call)
        server.behaviour = "ok"
        clock.ns += hold_s * NS - 1
        with pytest.raises(Held, match="told us to wait"):
            await http.get(session, call)
        assert len(server.asked) == 1
        clock.ns += 1
        assert await http.get(session, call)

    told = asked(venue, scenario)
    assert len(told) == 1
    assert f"for {hold_s} s" in told[0]


@pytest.mark.parametrize("cancel_after_s", [0.06, 0.14])
def test_a_cancellation_is_obeyed_also_where_the_time_runs_out_at_the_same_moment(cancel_after_s: float) -> None:
    """Else a stop would wait for ever for a task that goes on."""

    async def play() -> None:
        loop = asyncio.get_running_loop()
        clock, calls = Stopped(), VENUES["binanceusdm"]()

        def busy() -> None:
            until = loop.time() + 0.15
            while loop.time() < until:
                pass

        async with venue_statistics_server(World(), clock.now_ns) as server:
            server.behaviour = "slow"
            http = VenueHttp(calls, server.url, 0.1, print, clock.now_ns, clock.sleep)
            async with http.session() as session:
                task = asyncio.ensure_future(http.get(session, calls.account_ratio("BTCUSDT")))
                loop.call_later(cancel_after_s, task.cancel)
                loop.call_later(0.05, busy)  # both are due when it ends
                await asyncio.wait([task])
                assert task.cancelled()

    asyncio.run(play())


def test_only_bybit_bans_with_403() -> None:
    async def scenario(
        http: VenueHttp, session: Any, server: VenueStatisticsServer, clock: Stopped, calls: VenueCalls
    ) -> None:
        server.behaviour = "forbidden"
        with pytest.raises(FeedError, match="HTTP 403") as refused:
            await http.get(session, calls.account_ratio("BTCUSDT"))
        assert not isinstance(refused.value, Held)

    assert asked("binanceusdm", scenario) == []
