"""The hour before the market's start, trade by trade: it adds up to the klines, and joins the first live trade."""

from __future__ import annotations

from itertools import pairwise
from operator import attrgetter
from random import Random
from statistics import mean
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from bot.sim.events import Event, Trade
from bot.sim.scenario import Motion, Segment
from bot.sim.server.kline import Kline
from bot.sim.server.market import SimMarket
from bot.sim.server.past import Pasts
from bot.sim.server.past_trades import kline_of, trades_of
from tests.sim.server.benches import START_MS, Bench, bench, scenario

BTC = {"symbol": "BTCUSDT"}
HOUR_MS, MINUTE_MS = 3_600_000, 60_000


async def all_trades(on: Bench, symbol: str = "BTCUSDT") -> list[dict[str, Any]]:
    """Newest first asked for, then older ones by number, until there are none."""
    rows: list[dict[str, Any]] = await on.get("/fapi/v1/aggTrades", symbol=symbol, limit=1000)
    while True:
        first = rows[0]["a"]
        older = await on.get("/fapi/v1/aggTrades", symbol=symbol, fromId=first - 1000, limit=1000)
        older = [row for row in older if row["a"] < first]
        if not older:
            return rows
        rows = older + rows


async def test_an_hour_of_trades_lies_before_the_first_one_and_none_is_missing() -> None:
    events: list[Event] = []
    async with bench(seconds=30, events=events) as on:
        rows = await all_trades(on)
        live = [e for e in events if isinstance(e, Trade) and e.symbol == "BTCUSDT"]
        assert rows[0]["T"] < START_MS - HOUR_MS
        assert all(after["a"] == before["a"] + 1 and after["T"] >= before["T"] for before, after in pairwise(rows))
        assert [row["a"] for row in rows[-len(live) :]] == [trade.trade_id for trade in live]
        first = next(e for e in events if isinstance(e, Trade))
        assert rows[-len(live) - 1]["a"] == first.trade_id - 1


@pytest.mark.parametrize(("interval", "width_ms"), [("1m", MINUTE_MS), ("5m", 5 * MINUTE_MS)])
async def test_trades_of_the_past_add_up_to_its_klines(interval: str, width_ms: int) -> None:
    async with bench(seconds=30) as on:
        for symbol in on.market.coins:
            rows = await all_trades(on, symbol)
            klines = await on.get("/fapi/v1/klines", symbol=symbol, interval=interval, limit=70)
            told = [k for k in klines if rows[0]["T"] <= k[0] < START_MS]
            assert len(told) >= HOUR_MS // width_ms
            for k in told:
                of = [row for row in rows if k[0] <= row["T"] <= k[6]]
                prices = [float(row["p"]) for row in of]
                assert [float(k[n]) for n in (1, 2, 3, 4)] == [prices[0], max(prices), min(prices), prices[-1]]
                assert k[8] == len(of)
                sums = [(row, float(row["q"]), float(row["p"]) * float(row["q"])) for row in of]
                assert float(k[5]) == pytest.approx(sum(q for _, q, _ in sums))
                assert float(k[7]) == pytest.approx(sum(usd for *_, usd in sums))
                assert float(k[9]) == pytest.approx(sum(q for row, q, _ in sums if not row["m"]))
                assert float(k[10]) == pytest.approx(sum(usd for row, _, usd in sums if not row["m"]))


async def test_their_sizes_are_spread_as_the_markets_own() -> None:
    """Quantiles over the mean; what a trade is worth on average its klines say. Within half: own sizes differ by coin as much."""
    events: list[Event] = []
    async with bench(symbols=5, seconds=900, events=events) as on:
        spreads = {
            symbol: (_spread(past.trades, True), _spread(past.trades, False))
            for symbol, past in on.exchange.public.pasts.items()
        }
    own = [mine for mine, _ in spreads.values()]
    for _, made in spreads.values():
        for rank, value in enumerate(made):
            assert min(each[rank] for each in own) / 1.5 < value < max(each[rank] for each in own) * 1.5


def _spread(trades: Any, live: bool) -> list[float]:
    worths = sorted(each.ticks * each.lots for each in trades if (each.ms >= START_MS) is live)
    mean = sum(worths) / len(worths)
    return [worths[int(len(worths) * share)] / mean for share in (0.1, 0.5, 0.9, 0.99)]


async def test_trades_of_more_than_an_hour_ago_are_let_go_and_none_of_the_hour_is() -> None:
    async with bench(symbols=1, seconds=1800) as on:
        trades = on.exchange.public.pasts["BTCUSDT"].trades
        assert trades[-1].ms - 66 * MINUTE_MS < trades[0].ms < trades[-1].ms - 64 * MINUTE_MS
        assert trades[-1].trade_id - trades[0].trade_id == len(trades) - 1


@given(
    st.integers(0, 40),
    st.integers(1, 10**6),
    st.tuples(*[st.integers(100, 120)] * 4),
    st.floats(0.0, 1.0),
    st.integers(0, 99),
)
def test_any_minute_is_made_of_its_trades(
    trades: int, lots: int, prices: tuple[int, ...], bought: float, seed: int
) -> None:
    low, *ends, high = sorted(prices)
    minute = Kline(MINUTE_MS, ends[0], high, low, ends[1], lots, int(lots * bought), lots * ends[1], 0, trades)
    made = trades_of(minute, "X", 7, Random(seed))
    again = kline_of(minute, made)
    assert (again.open, again.high, again.low, again.close) == (minute.open, high, low, minute.close)
    assert [each.trade_id for each in made] == list(range(7, 7 + max(4, trades)))
    assert all(MINUTE_MS <= each.ms < 2 * MINUTE_MS - 1 and each.lots > 0 for each in made)
    assert abs(again.worth - minute.worth) <= len(made) * high


@pytest.mark.parametrize("depth_ms", [100, 1000])
def test_as_much_is_traded_before_the_start_as_after_it(depth_ms: int) -> None:
    """Of a market that stays as volatile as it was: by trades, by worth, and whatever its steps are, within a half over a quarter of an hour."""
    motion = Segment(seconds=7200, motion=Motion.RANDOM)
    made = structs.replace(scenario(2), depth_ms=depth_ms, segments=(motion,), history=motion, walls=())
    market = SimMarket(made, lambda: 0)
    pasts = Pasts(market.model.coins, START_MS, made.seed)
    market.listeners.append(pasts.on_event)
    for past in pasts.values():
        fives = list(past.fives)
        assert mean(five.worth for five in fives[:100]) == pytest.approx(mean(k.worth for k in fives[-20:]), rel=0.3)
    before = {symbol: list(past.minutes)[-61:-1] for symbol, past in pasts.items()}
    market.advance(START_MS + HOUR_MS // 4)
    for symbol, past in pasts.items():
        after = [minute for minute in past.minutes if minute.start_ms >= START_MS]
        for what in (attrgetter("trades"), attrgetter("worth")):
            assert 0.66 < mean(map(what, before[symbol])) / mean(map(what, after)) < 1.5, symbol
