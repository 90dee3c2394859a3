"""CoinGlass and Deribit beside the exchange: the engine's own clients read them unmodified, and they agree with the market."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from bot.domain.reading import MaxPain, Reading
from bot.domain.values import MS
from bot.intel.budget import SqliteBudget
from bot.intel.coinglass.poller import CoinGlass
from bot.intel.deribit import max_pain_reading, parse_summary
from bot.intel.params import CoinGlassParams
from bot.market.readings import decode_reading
from bot.runtime.clock import ScaledClock
from tests.sim.server.benches import CLOCK, START_MS, Bench, bench

KEY = {"CG-API-KEY": "any"}
TAKER = "/api/futures/taker-buy-sell-volume/exchange-list"
ORDERS = "/api/futures/orderbook/large-limit-order"
CROWD = "/api/futures/global-long-short-account-ratio/history"
CROWD_OF = {"exchange": "Binance", "symbol": "BTCUSDT"}
SUMMARY = "/api/v2/public/get_book_summary_by_currency"


@pytest.mark.parametrize("coin", ["BTC", "ETH"])
async def test_max_pain_of_the_chain_is_the_markets_own(coin: str) -> None:
    async with bench() as on:
        for _ in range(4):
            told = on.market.told["max_pain", coin].value
            options = parse_summary(await on.raw(SUMMARY, currency=coin, kind="option"), coin)
            reading = max_pain_reading(options, coin, CLOCK[0] * MS)
            assert isinstance(reading.value, MaxPain)
            assert (reading.value.price, reading.value.expiry) == (told.price, told.expiry)
            assert reading.value.notional_usd == pytest.approx(told.notional_usd, rel=Decimal("0.01"))
            on.move(300)


async def test_wrong_questions_to_deribit() -> None:
    async with bench() as on:
        for query in ({"currency": "NOPE"}, {"currency": "BTC", "kind": "nope"}, {}):
            status, body, _ = await on.ask(SUMMARY, **query)
            assert status == 400 and body["error"]["code"] == -32602
        assert (await on.get(SUMMARY, currency="SOL"))["result"] == []


async def read_by_the_engine(
    on: Bench, tmp_path: Path, enough: Callable[[dict[str, Reading[Any]]], bool]
) -> dict[str, Reading[Any]]:
    """What its CoinGlass poller makes of the answers, by name; the newest of BTC."""
    got: dict[str, Reading[Any]] = {}
    problems: list[str] = []
    clock = ScaledClock(CLOCK[0] * MS, 1.0)

    def put(raw: bytes) -> None:
        reading = decode_reading(raw, clock.now_ns())
        if reading.key in ("BTC", "binanceusdm:BTCUSDT"):
            got[reading.name] = reading

    poller = CoinGlass(
        [on.market.coins["BTCUSDT"].instrument],
        CoinGlassParams(base_url=on.url),
        SecretStr("any"),
        SqliteBudget(tmp_path / "budget", "any", problems.append, per_minute=10_000),
        put,
        problems.append,
        clock.now_ns,
        speed=1000.0,
    )
    task = asyncio.create_task(poller.run())
    try:
        async with asyncio.timeout(20):
            while not enough(got):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"{got} {problems} {poller.answer()}") from None
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert problems == []
    return got


WANTED = {"taker_5m", "walls", "liquidation_clusters", "long_short", "max_pain"}


async def test_the_engines_coinglass_client_reads_what_the_market_is(tmp_path: Path) -> None:
    async with bench(seconds=300) as on:
        got = await read_by_the_engine(
            on, tmp_path, lambda got: {name for name, each in got.items() if each.value is not None} >= WANTED
        )
        said: dict[str, Any] = {name: reading.value for name, reading in got.items()}
        key = "binanceusdm:BTCUSDT"
        assert said["max_pain"].price == on.market.told["max_pain", "BTC"].value.price
        truth = on.market.told["liquidation_clusters", key].value.clusters
        clusters = said["liquidation_clusters"].clusters
        assert sum(c.usd for c in clusters) == pytest.approx(sum(c.usd for c in truth), rel=Decimal("1e-6"))
        assert {c.side for c in clusters} == {c.side for c in truth}
        ratio = on.market.told["long_short", key].value.ratio
        assert float(said["long_short"].ratio) == pytest.approx(float(ratio), abs=0.006)
        since = CLOCK[0] - 300_000
        trades = [t for t in on.exchange.public.pasts["BTCUSDT"].trades if t.ms >= since]
        worth = [sum(t.ticks * t.lots for t in trades if t.taker_buys is buys) for buys in (True, False)]
        taker = said["taker_5m"]
        assert float(taker.buy_usd / taker.sell_usd) == pytest.approx(worth[0] / worth[1], rel=1e-6)
        standing = on.market.model.coins[0].walls.standing
        assert standing
        prices = {float(ticks * on.market.coins["BTCUSDT"].tick) for _, ticks, _ in standing}
        seen = {wall.price for side in (said["walls"].asks, said["walls"].bids) for wall in side}
        assert seen and all(min(abs(price - other) for other in prices) < 1e-6 for price in seen)


async def test_taker_volume_is_that_of_the_range_that_is_asked() -> None:
    async with bench(seconds=300) as on:
        on.session.headers.update(KEY)
        minutes = {"5m": 5, "15m": 15, "1h": 60, "4h": 240, "24h": 1440}
        rows = await on.get("/fapi/v1/klines", symbol="BTCUSDT", interval="1m", limit=1500)
        for name, count in minutes.items():
            said = (await on.get(TAKER, symbol="BTC", range=name))["data"]["exchange_list"][0]
            since_ms = CLOCK[0] - count * 60_000
            both = sum(float(row[7]) for row in rows if row[0] >= since_ms)
            assert said["buy_vol_usd"] + said["sell_vol_usd"] == pytest.approx(both, rel=1e-3)
            assert 0.3 < said["buy_vol_usd"] / both < 0.7


async def test_crowds_are_told_at_the_interval_that_is_asked() -> None:
    async with bench(symbols=1, seconds=3610) as on:
        on.session.headers.update(KEY)

        async def rows(**query: Any) -> list[Any]:
            found: list[Any] = (await on.get(CROWD, **CROWD_OF, **query))["data"]
            return found

        fives, hours = await rows(interval="5m"), await rows(interval="1h", limit=48)
        assert len(fives) == 600 and len(hours) == 48 and hours[-1]["time"] == START_MS + 3_600_000
        at = {row["time"]: row for row in fives}
        assert all(row == at[row["time"]] for row in hours)
        span = {"start_time": hours[3]["time"], "end_time": hours[5]["time"]}
        assert await rows(interval="1h", **span) == hours[3:6]


async def test_a_large_order_keeps_its_number() -> None:
    numbers: dict[tuple[float, int], int] = {}
    async with bench(symbols=1, seconds=60) as on:
        on.session.headers.update(KEY)
        for _ in range(12):
            on.move(120)
            for row in (await on.get(ORDERS, exchange="Binance", symbol="BTCUSDT"))["data"]:
                order = row["price"], row["start_time"]
                assert numbers.setdefault(order, row["id"]) == row["id"]
    assert len(numbers) == len(set(numbers.values())) > 2


async def test_coinglass_says_no_as_it_does() -> None:
    async with bench() as on:
        base = "/api/futures/open-interest/exchange-list"
        status, body, _ = await on.ask(base, symbol="BTC")
        assert (status, body["code"]) == (401, "401")
        on.session.headers.update(KEY)
        for path, query, code in (
            (base, {}, "400"),
            (base, {"symbol": "NOPE"}, "400"),
            ("/api/futures/orderbook/large-limit-order", {"exchange": "Binance", "symbol": "NOPE"}, "400"),
            ("/api/futures/orderbook/large-limit-order", {"symbol": "BTCUSDT"}, "400"),
            (TAKER, {"symbol": "BTC", "range": "h1"}, "400"),
            ("/api/futures/liquidation/aggregated-heatmap/model1", {"symbol": "BTC", "range": "1m"}, "400"),
            (CROWD, {**CROWD_OF, "interval": "m5"}, "400"),
            (CROWD, {**CROWD_OF, "interval": "5m", "limit": "ten"}, "400"),
        ):
            status, body, headers = await on.ask(path, **query)
            assert (status, body["code"], "data" in body) == (200, code, False)
        assert headers["API-KEY-MAX-LIMIT"] == "1200" and headers["API-KEY-USE-LIMIT"] == "8"
        assert (await on.ask("/api/nothing"))[0] == 404
        for _ in range(1200):
            status, body, _ = await on.ask("/api/user/account/subscription")
        assert (status, body["code"]) == (429, "429")
        on.move(60)
        assert (await on.get("/api/user/account/subscription"))["data"]["level"] == "PROFESSIONAL"
