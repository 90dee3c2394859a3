"""The exchange's public REST: what the engine's own readers make of it, and the venue's errors for calls that are wrong."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from bot.domain.values import MS, NS, Side
from bot.exchanges.binance_rest import parse_exchange_info, parse_klines
from bot.exchanges.binance_statistics import BinanceStatistics
from bot.sim.events import Event, Mark, Trade
from bot.sim.server.public import ROUTES
from bot.sim.server.public_wire import INTERVALS_MS
from tests.sim.server.benches import CLOCK, START_MS, Bench, bench
from tests.sim.server.signed import ORDER, done

BTC = {"symbol": "BTCUSDT"}


async def test_the_engines_reader_finds_the_very_instruments() -> None:
    async with bench() as on:
        instruments, left_out = parse_exchange_info(await on.raw("/fapi/v1/exchangeInfo"))
        assert instruments == {coin.symbol: coin.instrument for coin in on.market.coins.values()} and not left_out


async def test_klines_of_five_minutes_are_the_generators_history_and_then_its_trades() -> None:
    events: list[Event] = []
    async with bench(seconds=700, events=events) as on:
        raw = await on.raw("/fapi/v1/klines", **BTC, interval="5m", limit=1500)
        bars = parse_klines(raw, CLOCK[0] * MS).bars
        past = on.market.model.coins[0].bars
        told = [bar for bar in bars if bar.start_ns < START_MS * MS]
        assert len(told) >= 1400
        for bar, made in zip(
            told[-len(past) + 1 :], past[1:], strict=True
        ):  # history's last trade came just before the start
            assert (bar.start_ns, bar.open, bar.high, bar.low) == (made.start_ns, made.open, made.high, made.low)
            assert bar.usd == pytest.approx(made.usd, rel=1e-3)
        first = next(bar for bar in bars if bar.start_ns == START_MS * MS)
        trades = [
            e
            for e in events
            if isinstance(e, Trade) and e.symbol == "BTCUSDT" and START_MS <= e.ms < START_MS + 300_000
        ]
        tick, step = float(on.market.coins["BTCUSDT"].tick), float(on.market.coins["BTCUSDT"].step)
        prices = [round(trade.ticks * tick, 1) for trade in trades]
        assert (first.open, first.high, first.low, first.close) == (prices[0], max(prices), min(prices), prices[-1])
        assert first.usd == pytest.approx(sum(t.ticks * t.lots for t in trades) * tick * step)
        assert first.trades == len(trades)
        bought = sum(t.ticks * t.lots for t in trades if t.taker_buys) * tick * step
        assert first.taker_buy_usd == pytest.approx(bought)


@pytest.mark.parametrize("interval", [name for name in INTERVALS_MS if name not in ("3d",)])
async def test_every_width_folds_from_the_same_past(interval: str) -> None:
    async with bench() as on:
        width_ms = INTERVALS_MS[interval]
        rows = await on.get("/fapi/v1/klines", **BTC, interval=interval, limit=500)
        assert [row[0] % width_ms for row in rows] == [0] * len(rows)
        assert all(after[0] - before[0] == width_ms for before, after in pairwise(rows))
        assert all(float(row[3]) <= min(float(row[1]), float(row[4])) for row in rows)
        assert all(float(row[2]) >= max(float(row[1]), float(row[4])) for row in rows)
        assert rows[-1][0] <= CLOCK[0] < rows[-1][0] + width_ms
        if width_ms < 300_000:
            return
        fives = {row[0]: row for row in await on.get("/fapi/v1/klines", **BTC, interval="5m", limit=1500)}
        whole = next(row for row in reversed(rows) if row[0] in fives and row[6] < START_MS)
        parts = [fives[ms] for ms in range(whole[0], whole[0] + width_ms, 300_000)]
        assert whole[1] == parts[0][1] and whole[4] == parts[-1][4]
        assert float(whole[2]) == max(float(part[2]) for part in parts)
        assert float(whole[5]) == pytest.approx(sum(float(part[5]) for part in parts))


async def test_minutes_of_the_past_fold_into_its_five_minutes() -> None:
    async with bench() as on:
        minutes = await on.get("/fapi/v1/klines", **BTC, interval="1m", limit=1000)
        fives = {row[0]: row for row in await on.get("/fapi/v1/klines", **BTC, interval="5m", limit=500)}
        starts = sorted({row[0] - row[0] % 300_000 for row in minutes})[1:-2]
        assert len(starts) > 150
        for start_ms in starts:
            parts = [row for row in minutes if row[0] - row[0] % 300_000 == start_ms]
            whole = fives[start_ms]
            assert len(parts) == 5 and (parts[0][1], parts[-1][4]) == (whole[1], whole[4])
            assert max(float(part[2]) for part in parts) == float(whole[2])
            assert min(float(part[3]) for part in parts) == float(whole[3])
            assert sum(part[8] for part in parts) == whole[8]


async def test_depth_is_the_published_book() -> None:
    async with bench() as on:
        book = on.market.books["BTCUSDT"]
        told = await on.get("/fapi/v1/depth", **BTC, limit=1000)
        assert told["lastUpdateId"] == book.last_id
        assert [float(price) for price, _ in told["bids"]] == [price for price, _ in book.levels(Side.BUY, 1000)]
        assert [float(size) for _, size in told["asks"]] == [size for _, size in book.levels(Side.SELL, 1000)]
        best = await on.get("/fapi/v1/ticker/bookTicker", **BTC)
        assert [best["bidPrice"], best["bidQty"]] == told["bids"][0]


async def test_trades_by_number_by_time_and_the_last_ones() -> None:
    events: list[Event] = []
    async with bench(events=events) as on:
        made = [e for e in events if isinstance(e, Trade) and e.symbol == "BTCUSDT"]
        last = await on.get("/fapi/v1/aggTrades", **BTC, limit=7)
        assert [row["a"] for row in last] == [trade.trade_id for trade in made[-7:]]
        assert [row["id"] for row in await on.get("/fapi/v1/trades", **BTC, limit=7)] == [row["a"] for row in last]
        by_number = await on.get("/fapi/v1/aggTrades", **BTC, fromId=made[3].trade_id, limit=2)
        assert [row["a"] for row in by_number] == [made[3].trade_id, made[4].trade_id]
        since = await on.get("/fapi/v1/aggTrades", **BTC, startTime=made[10].ms, endTime=made[30].ms, limit=1000)
        assert [row["a"] for row in since] == [t.trade_id for t in made if made[10].ms <= t.ms <= made[30].ms]
        row, trade = last[-1], made[-1]
        assert row["m"] is not trade.taker_buys and row["T"] == trade.ms


async def test_the_engines_statistics_client_reads_them_all() -> None:
    calls = BinanceStatistics()
    async with bench(seconds=620) as on:

        async def read(call: Any) -> Any:
            return call.parse(await on.raw(call.path, **call.query))

        now = await read(calls.open_interest("BTCUSDT"))
        history = await read(calls.open_interest_history("BTCUSDT", 500))
        assert len(history) == 500 and now.at_ns >= history[-1].at_ns >= START_MS * MS
        assert all((b.at_ns - a.at_ns) == 300 * NS for a, b in pairwise(history))
        told = on.market.told["oi_delta_5m", "binanceusdm:BTCUSDT"]
        assert abs(float(now.coins / history[-2].coins - 1) * 100) < 1 and told.ms == now.at_ns // MS
        ratio = (await read(calls.account_ratio("BTCUSDT")))[-1]
        assert ratio.ratio == on.market.told["long_short", "binanceusdm:BTCUSDT"].value.ratio
        hours = await read(calls.account_ratio_hours("BTCUSDT", (START_MS - 29 * 86_400_000) * MS, CLOCK[0] * MS))
        assert len(hours) == 500


async def test_open_interest_is_the_change_that_the_market_tells() -> None:
    async with bench(seconds=300) as on:
        before = float((await on.get("/fapi/v1/openInterest", **BTC))["openInterest"])
        on.move(300)
        after = float((await on.get("/fapi/v1/openInterest", **BTC))["openInterest"])
        assert 100 * (after / before - 1) == pytest.approx(
            on.market.told["oi_delta_5m", "binanceusdm:BTCUSDT"].value.pct, abs=2e-4
        )


async def test_open_interest_of_the_past_is_worth_what_the_price_was() -> None:
    async with bench(seconds=900) as on:
        rows = await on.get("/futures/data/openInterestHist", **BTC, period="5m", limit=500)
        klines = await on.get("/fapi/v1/klines", **BTC, interval="5m", limit=600)
        opened = {row[0]: float(row[1]) for row in klines}
        for row in rows:
            price = float(row["sumOpenInterestValue"]) / float(row["sumOpenInterest"])
            assert price == pytest.approx(opened[row["timestamp"]], rel=1e-3)
        assert len(rows) == 500 and rows[-1]["timestamp"] == START_MS + 900_000
        paid = (await on.get("/fapi/v1/fundingRate", **BTC))[-2]
        klines = await on.get("/fapi/v1/klines", **BTC, interval="5m", startTime=paid["fundingTime"], limit=1)
        assert float(paid["markPrice"]) == float(klines[0][1]) != 65_000


async def test_statistics_say_the_same_at_every_width_and_each_time_once() -> None:
    async with bench(symbols=1, seconds=3610) as on:
        for path in ("openInterestHist", "globalLongShortAccountRatio", "topLongShortPositionRatio"):
            await says_the_same(on, path)


async def says_the_same(on: Bench, path: str) -> None:
    narrow, hours, days = [
        {row["timestamp"]: row for row in rows if rows == sorted(rows, key=lambda row: row["timestamp"])}
        for rows in [
            await on.get(f"/futures/data/{path}", **BTC, period=period, limit=500) for period in ("5m", "1h", "1d")
        ]
    ]
    assert (len(narrow), len(hours), len(days)) == (500, 500, 30)
    assert all(b - a == 300_000 for a, b in pairwise(narrow)) and max(hours) == START_MS + 3_600_000
    shared = narrow.keys() & hours.keys()
    assert len(shared) > 40 and all(narrow[ms] == hours[ms] for ms in shared)
    assert all(hours[ms] == days[ms] for ms in hours.keys() & days.keys())


async def test_a_parameter_that_comes_twice_is_refused() -> None:
    async with bench(symbols=1, seconds=1) as on:
        url = f"{on.url}/fapi/v1/depth?symbol=BTCUSDT&symbol=ETHUSDT"
        async with on.session.get(url) as answer:
            assert (answer.status, (await answer.json())["code"]) == (400, -1101)


async def test_funding_is_paid_when_its_time_comes() -> None:
    async with bench(seconds=30) as on:
        premium = await on.get("/fapi/v1/premiumIndex", **BTC)
        assert premium["nextFundingTime"] == START_MS + 8 * 3_600_000
        paid = await on.get("/fapi/v1/fundingRate", **BTC)
        assert paid[-1]["fundingTime"] == START_MS and len(paid) == 90
        assert {row["symbol"] for row in await on.get("/fapi/v1/premiumIndex")} == set(on.market.coins)
        assert all(row["fundingIntervalHours"] == 8 for row in await on.get("/fapi/v1/fundingInfo"))


async def test_the_day_ends_with_the_last_trade_that_was_told() -> None:
    async with bench(symbols=1) as on:
        await done(on, "POST", ORDER, **BTC, side="BUY", type="MARKET", quantity="0.1")
        on.move(2)
        day = await on.get("/fapi/v1/ticker/24hr", **BTC)
        [last] = await on.get("/fapi/v1/aggTrades", **BTC, limit=1)
        assert (day["lastId"], day["lastQty"], day["closeTime"]) == (last["a"], last["q"], last["T"])
        assert day["lastId"] - day["firstId"] + 1 == day["count"] > 10_000


async def test_accounts_pay_what_the_history_of_funding_says() -> None:
    async with bench(symbols=1, seconds=30) as on:
        await done(on, "POST", ORDER, **BTC, side="BUY", type="MARKET", quantity="0.1")
        due_ms = START_MS + 60_000
        for ms, price, funding_ms in (
            (0, 65_000.0, due_ms),
            (30_500, 65_010.123, due_ms + 60_000),
            (31_000, 66_000.0, 0),
            (31_500, 66_000.0, 0),
        ):
            mark = Mark("BTCUSDT", START_MS + 30_000 + ms, price, price, 0.00012345, funding_ms)
            on.market.books["BTCUSDT"].marked(mark)
            for listener in on.market.listeners:
                listener(mark)
        row = (await on.get("/fapi/v1/fundingRate", **BTC))[-1]
        [paid] = await done(on, "GET", "/fapi/v1/income", incomeType="FUNDING_FEE")
        assert row["fundingTime"] == paid["time"] == due_ms
        assert float(paid["income"]) == pytest.approx(
            -0.1 * float(row["markPrice"]) * float(row["fundingRate"]), abs=1e-8
        )


WRONG: list[tuple[str, dict[str, Any], int]] = [
    ("/fapi/v1/depth", {}, -1102),
    ("/fapi/v1/depth", {"symbol": ""}, -1102),
    ("/fapi/v1/depth", {"symbol": "NOPE"}, -1121),
    ("/fapi/v1/depth", {"symbol": "btcusdt"}, -1121),
    ("/fapi/v1/depth", {"symbol": "BTCUSDT\x00"}, -1121),
    ("/fapi/v1/depth", {**BTC, "limit": 7}, -4021),
    ("/fapi/v1/depth", {**BTC, "limit": "5.0"}, -1100),
    ("/fapi/v1/depth", {**BTC, "limit": "9" * 400}, -1100),
    ("/fapi/v1/klines", {**BTC}, -1102),
    ("/fapi/v1/klines", {**BTC, "interval": "7m"}, -1120),
    ("/fapi/v1/klines", {**BTC, "interval": "1m", "limit": 1501}, -1130),
    ("/fapi/v1/klines", {**BTC, "interval": "1m", "limit": 0}, -1130),
    ("/fapi/v1/aggTrades", {**BTC, "fromId": "-1"}, -1100),
    ("/fapi/v1/aggTrades", {**BTC, "limit": 1001}, -1130),
    ("/fapi/v1/aggTrades", {**BTC, "startTime": 3, "endTime": 2}, -1023),
    ("/fapi/v1/fundingRate", {"startTime": 3, "endTime": 2}, -1023),
    ("/fapi/v1/trades", {**BTC, "limit": "ten"}, -1100),
    ("/fapi/v1/trades", {**BTC, "limit": "٣"}, -1100),
    ("/futures/data/openInterestHist", {**BTC, "period": "2m"}, -1130),
    ("/futures/data/openInterestHist", {**BTC}, -1102),
    ("/futures/data/globalLongShortAccountRatio", {"period": "5m"}, -1102),
]


async def test_wrong_calls_get_the_venues_own_errors() -> None:
    async with bench() as on:
        for path, query, code in WRONG:
            status, body, _ = await on.ask(path, **query)
            assert (status, body["code"]) == (400, code), (path, query, body)
            assert body["msg"] and body.keys() == {"code", "msg"}
        status, body, _ = await on.ask("/fapi/v1/nothing")
        assert (status, body["code"]) == (404, -5000)
        async with on.session.post(on.url + "/fapi/v1/time") as response:
            assert response.status == 405 and (await response.json())["code"] == -5000


async def test_every_path_answers_a_right_call() -> None:
    more = {"/fapi/v1/klines": {"interval": "1m"}}
    async with bench() as on:
        for path in ROUTES:
            await on.get(path, **BTC, **more.get(path, {"period": "5m"} if "/data/" in path else {}))


@pytest.mark.parametrize(("limit", "weight"), [(5, 2), (50, 2), (100, 5), (500, 10), (1000, 20)])
async def test_weights_are_counted_by_the_minute_of_the_exchange(limit: int, weight: int) -> None:
    async with bench(per_minute=2400, seconds=61) as on:
        for times in (1, 2):
            _, _, headers = await on.ask("/fapi/v1/depth", **BTC, limit=limit)
            assert headers["X-MBX-USED-WEIGHT-1M"] == str(times * weight)
        on.move(60)
        _, _, headers = await on.ask("/fapi/v1/depth", **BTC, limit=limit)
        assert headers["X-MBX-USED-WEIGHT-1M"] == str(weight)


async def test_too_much_is_429_and_going_on_is_418_until_the_ban_ends() -> None:
    async with bench(per_minute=40, seconds=70) as on:  # ten seconds into a minute
        for _ in range(2):
            assert (await on.ask("/fapi/v1/aggTrades", **BTC))[0] == 200
        status, body, headers = await on.ask("/fapi/v1/time")
        assert (status, body["code"], headers["Retry-After"]) == (429, -1003, "51")
        for _ in range(40):
            status, body, headers = await on.ask("/fapi/v1/time")
        assert (status, body["code"]) == (418, -1003) or status == 429
        status, body, headers = await on.ask("/fapi/v1/time")
        assert (status, headers["Retry-After"]) == (418, "121")
        on.move(60)  # another minute does not help
        assert (await on.ask("/fapi/v1/time"))[0] == 418
        on.move(60)
        assert (await on.ask("/fapi/v1/time"))[0] == 200


async def test_the_same_seed_answers_with_the_same_bytes_and_another_does_not() -> None:
    paths = [path for path in ROUTES if path not in ("/fapi/v1/ping",)]
    answers: list[list[bytes]] = []
    for seed in (5, 5, 6):
        async with bench(seed=seed, seconds=130) as on:
            query = {**BTC, "interval": "1m", "period": "5m", "limit": 100}
            answers.append([await on.raw(path, **query) for path in paths])
    assert answers[0] == answers[1] != answers[2]
