"""ccxt's Binance USD-M client, whom nobody here wrote, finds its venue at the exchange: only its addresses are other ones."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import localcontext
from typing import Any

import pytest

from bot.domain.values import Side
from bot.sim.events import Trade
from bot.sim.server.public_wire import known
from tests.sim.server.benches import CLOCK, Bench, bench

SYMBOL = "BTC/USDT:USDT"


def redirected(addresses: Any, on: Bench) -> Any:
    """Every address with its scheme and host replaced."""
    if isinstance(addresses, dict):
        return {name: redirected(each, on) for name, each in addresses.items()}
    if not isinstance(addresses, str):
        return addresses
    scheme, _, rest = addresses.partition("://")
    return (on.ws if scheme == "wss" else on.url) + "/" + rest.partition("/")[2]


@asynccontextmanager
async def client(on: Bench, kind: str = "ccxt.async_support") -> AsyncIterator[Any]:
    made = importlib.import_module(kind).binanceusdm({"options": {"fetchCurrencies": False}, "enableRateLimit": False})
    made.urls["api"] = redirected(made.urls["api"], on)
    try:
        with localcontext():  # its rounding changes the thread's own
            yield made
    finally:
        await made.close()


async def test_its_public_methods_agree_with_the_market() -> None:
    async with bench(seconds=330) as on, client(on) as ccxt:
        coin, book = on.market.coins["BTCUSDT"], on.market.books["BTCUSDT"]
        market = (await ccxt.load_markets())[SYMBOL]
        assert set(ccxt.markets) == {each.instrument.unified for each in on.market.coins.values()}
        assert (market["precision"]["price"], market["precision"]["amount"]) == (float(coin.tick), float(coin.step))
        assert market["swap"] and market["linear"] and market["active"]
        assert await ccxt.fetch_time() == CLOCK[0]
        told = await ccxt.fetch_order_book(SYMBOL, 20)
        assert [tuple(level) for level in told["bids"]] == book.levels(Side.BUY, 20)
        assert [tuple(level) for level in told["asks"]] == book.levels(Side.SELL, 20)
        assert told["nonce"] == book.last_id
        candles = await ccxt.fetch_ohlcv(SYMBOL, "5m", limit=100)
        assert len(candles) == 100 and candles[-1][4] == book.last and candles[-1][0] == CLOCK[0] // 300_000 * 300_000
        trades = await ccxt.fetch_trades(SYMBOL, limit=50)
        kept = list(on.exchange.public.pasts["BTCUSDT"].trades)[-50:]
        assert [_seen(trade) for trade in trades] == [_made(trade, on) for trade in kept]
        funding = await ccxt.fetch_funding_rate(SYMBOL)
        mark = book.told_mark
        assert mark is not None
        assert funding["fundingRate"] == pytest.approx(mark.rate, abs=1e-8)
        assert (funding["markPrice"], funding["fundingTimestamp"]) == (pytest.approx(mark.mark), mark.funding_ms)
        interest = await ccxt.fetch_open_interest(SYMBOL)
        assert interest["openInterestAmount"] == pytest.approx(
            known(on.exchange.public.pasts["BTCUSDT"].interest_now).value, abs=0.001
        )
        ticker = await ccxt.fetch_ticker(SYMBOL)
        assert ticker["last"] == book.last and ticker["low"] <= ticker["last"] <= ticker["high"]
        best = (await ccxt.fetch_bids_asks([SYMBOL]))[SYMBOL]
        assert (best["bid"], best["ask"]) == (book.bid, book.ask)
        history = await ccxt.fetch_funding_rate_history(SYMBOL, limit=10)
        assert len(history) == 10
        past = await ccxt.fetch_open_interest_history(SYMBOL, "5m", limit=10)
        assert len(past) == 10


def _seen(trade: Any) -> tuple[Any, ...]:
    return trade["timestamp"], trade["price"], trade["amount"], trade["side"]


def _made(trade: Trade, on: Bench) -> tuple[Any, ...]:
    coin = on.market.coins[trade.symbol]
    side = "buy" if trade.taker_buys else "sell"
    return trade.ms, float(trade.ticks * coin.tick), float(trade.lots * coin.step), side


async def test_its_errors_are_those_of_the_venue() -> None:
    async with bench(per_minute=62) as on, client(on) as ccxt:
        errors = importlib.import_module("ccxt")
        with pytest.raises(errors.BadSymbol):
            await ccxt.fapiPublicGetDepth({"symbol": "NOPE"})
        with pytest.raises(errors.BadRequest):
            await ccxt.fapiPublicGetDepth({"symbol": "BTCUSDT", "limit": "x"})
        for _ in range(2):
            await ccxt.fapiPublicGetAggTrades({"symbol": "BTCUSDT"})
        with pytest.raises((errors.RateLimitExceeded, errors.DDoSProtection)):
            await ccxt.fapiPublicGetAggTrades({"symbol": "BTCUSDT"})


async def test_its_book_is_kept_over_the_socket() -> None:
    async with bench() as on, client(on, "ccxt.pro") as ccxt:

        async def live() -> None:
            while True:
                on.move(0.1)
                await asyncio.sleep(0.01)

        task = asyncio.create_task(live())
        try:
            async with asyncio.timeout(20):
                for _ in range(30):
                    book = await ccxt.watch_order_book(SYMBOL)
                trades = await ccxt.watch_trades(SYMBOL)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        assert book["bids"][0][0] < book["asks"][0][0] and len(book["bids"]) > 100
        assert trades[-1]["symbol"] == SYMBOL
