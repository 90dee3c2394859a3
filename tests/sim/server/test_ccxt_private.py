"""ccxt.pro's Binance USD-M client trades on the exchange unmodified: production addresses, TLS, its own signing and error tables."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import localcontext
from typing import Any

import pytest

from bot.sim.server.app import Exchange
from tests.sim.server.benches import ACCOUNTS, live
from tests.sim.server.production import listening_tls, session

SYMBOL = "BTC/USDT:USDT"
OPTIONS = {
    "fetchCurrencies": False,  # asks the spot venue
    "adjustForTimeDifference": True,
    "watchPositions": {"fetchPositionsSnapshot": False},
    "fetchOpenOrders": {"warnWithoutSymbol": False},
}


@asynccontextmanager
async def trading(of: int = 0, **more: Any) -> AsyncIterator[tuple[Any, Exchange]]:
    async with live() as (exchange, app), listening_tls(app) as port, session(port) as opened:
        given = {"apiKey": ACCOUNTS[of].api_key, "secret": ACCOUNTS[of].api_secret, "session": opened, **more}
        client = importlib.import_module("ccxt.pro").binanceusdm(
            {**given, "options": OPTIONS, "enableRateLimit": False}
        )
        try:
            with localcontext():  # its rounding changes the thread's own
                await client.load_markets()
                yield client, exchange
        finally:
            await client.close()


def touch(exchange: Exchange) -> tuple[float, float]:
    book = exchange.market.books["BTCUSDT"]
    assert book.bid is not None and book.ask is not None
    return book.bid, book.ask


async def test_every_kind_of_order_and_what_can_be_done_with_it() -> None:
    async with trading() as (client, exchange):
        bid, _ = touch(exchange)
        market = await client.create_order(SYMBOL, "market", "buy", 0.01)
        assert (market["status"], market["filled"], market["type"]) == ("closed", 0.01, "market")
        limit = await client.create_order(SYMBOL, "limit", "buy", 0.01, bid - 500)
        edited = await client.edit_order(limit["id"], SYMBOL, "limit", "buy", 0.02, bid - 490)
        assert (edited["id"], edited["amount"], edited["status"]) == (limit["id"], 0.02, "open")
        maker = await client.create_order(SYMBOL, "limit", "buy", 0.01, bid - 500, {"postOnly": True})
        assert (maker["postOnly"], maker["timeInForce"]) == (True, "GTX") or maker["timeInForce"] == "PO"
        assert {each["id"] for each in await client.fetch_open_orders(SYMBOL)} == {limit["id"], maker["id"]}
        assert (await client.fetch_order(limit["id"], SYMBOL))["price"] == edited["price"]
        assert (await client.cancel_order(limit["id"], SYMBOL))["status"] == "canceled"
        taken = await client.create_order(SYMBOL, "limit", "buy", 0.01, bid + 300, {"timeInForce": "IOC"})
        assert taken["status"] == "closed" and taken["average"] < bid + 300
        whole = await client.create_order(SYMBOL, "limit", "sell", 0.01, bid - 300, {"timeInForce": "FOK"})
        assert whole["status"] == "closed"
        reduced = await client.create_order(SYMBOL, "market", "sell", 0.02, None, {"reduceOnly": True})
        assert (reduced["status"], reduced["filled"], reduced["reduceOnly"]) in (
            ("expired", 0.01, True),
            ("canceled", 0.01, True),
        )
        batch = await client.create_orders(
            [
                {"symbol": SYMBOL, "type": "limit", "side": "buy", "amount": 0.01, "price": bid - 600 - n}
                for n in range(3)
            ]
        )
        assert [each["status"] for each in batch] == ["open"] * 3
        await client.cancel_orders([each["id"] for each in batch[:2]], SYMBOL)
        await client.cancel_all_orders(SYMBOL)
        assert await client.fetch_open_orders(SYMBOL) == []
        fills = await client.fetch_my_trades(SYMBOL)
        assert sum(each["amount"] * (1 if each["side"] == "buy" else -1) for each in fills) == pytest.approx(0)
        assert all(each["fee"]["cost"] == pytest.approx(each["cost"] * 0.0005) for each in fills)


async def test_conditional_orders() -> None:
    async with trading() as (client, exchange):
        bid, _ = touch(exchange)
        await client.create_order(SYMBOL, "market", "buy", 0.01)
        stop = await client.create_order(SYMBOL, "market", "sell", 0.01, None, {"stopLossPrice": bid - 5000})
        target = await client.create_order(SYMBOL, "market", "sell", 0.01, None, {"takeProfitPrice": bid + 5000})
        limited = await client.create_order(SYMBOL, "limit", "sell", 0.01, bid - 900, {"stopLossPrice": bid - 800})
        trailing = await client.create_order(
            SYMBOL, "TRAILING_STOP_MARKET", "sell", 0.01, None, {"trailingPercent": 2, "reduceOnly": True}
        )
        closing = await client.create_order(
            SYMBOL, "STOP_MARKET", "sell", None, None, {"stopPrice": bid - 6000, "closePosition": True}
        )
        placed = [stop, target, limited, trailing, closing]
        assert {each["status"] for each in placed} == {"open"} and len({each["id"] for each in placed}) == 5
        open_ = await client.fetch_open_orders(SYMBOL, params={"trigger": True})
        assert {each["id"] for each in open_} == {each["id"] for each in placed}
        assert await client.fetch_open_orders(SYMBOL) == []
        asked = await client.fetch_order(stop["id"], SYMBOL, {"trigger": True})
        assert (asked["triggerPrice"], asked["status"]) == (pytest.approx(bid - 5000), "open")
        await client.cancel_order(stop["id"], SYMBOL, {"trigger": True})
        await client.cancel_all_orders(SYMBOL, {"trigger": True})
        assert await client.fetch_open_orders(SYMBOL, params={"trigger": True}) == []


async def test_the_account_as_it_sees_it() -> None:
    async with trading() as (client, exchange):
        assert (await client.fetch_balance())["USDT"]["total"] == 100_000
        await client.set_leverage(50, SYMBOL)
        await client.set_margin_mode("isolated", SYMBOL)
        await client.create_order(SYMBOL, "market", "sell", 0.1)
        (position,) = await client.fetch_positions()
        entry = position["entryPrice"]
        assert (position["side"], position["contracts"], position["marginMode"]) == ("short", 0.1, "isolated")
        assert entry == pytest.approx(touch(exchange)[0], rel=0.001)
        assert position["liquidationPrice"] == pytest.approx(entry * (1 + 1 / 50) / 1.004, rel=0.001)
        assert position["collateral"] == pytest.approx(entry * 0.1 / 50, rel=0.2)
        balance = await client.fetch_balance()
        assert balance["USDT"]["used"] == pytest.approx(entry * 0.1 / 50, rel=0.05)
        assert (await client.fetch_leverages([SYMBOL]))[SYMBOL]["shortLeverage"] == 50
        tiers = (await client.fetch_leverage_tiers([SYMBOL]))[SYMBOL]
        assert (tiers[0]["maxLeverage"], tiers[0]["maxNotional"]) == (125, 50_000)
        history = await client.fetch_ledger("USDT")
        assert history[0]["type"] == "transfer" and history[-1]["amount"] == pytest.approx(entry * 0.1 * 0.0005)
        assert (await client.fetch_position_mode(SYMBOL))["hedged"] is False
        fee = await client.fetch_trading_fee(SYMBOL)
        assert (fee["maker"], fee["taker"]) == (0.0002, 0.0005)


async def test_hedge_mode() -> None:
    async with trading() as (client, exchange):
        bid, _ = touch(exchange)
        await client.set_position_mode(True)
        assert (await client.fetch_position_mode(SYMBOL))["hedged"] is True
        long, short = {"positionSide": "LONG"}, {"positionSide": "SHORT"}
        await client.create_order(SYMBOL, "market", "buy", 0.02, None, long)
        await client.create_order(SYMBOL, "market", "sell", 0.01, None, short)
        stop = await client.create_order(SYMBOL, "market", "sell", 0.02, None, {**long, "stopLossPrice": bid - 3000})
        assert stop["status"] == "open"
        held = {each["side"]: each for each in await client.fetch_positions([SYMBOL])}
        assert {side: each["contracts"] for side, each in held.items()} == {"long": 0.02, "short": 0.01}
        assert all(each["hedged"] for each in held.values())
        with pytest.raises(Exception, match="-4061"):
            await client.create_order(SYMBOL, "market", "buy", 0.01)
        with pytest.raises(Exception, match="-2022"):
            await client.create_order(SYMBOL, "market", "buy", 0.02, None, short)
        with pytest.raises(Exception, match=r"-406[78]"):
            await client.set_position_mode(False)
        await client.cancel_all_orders(SYMBOL, {"trigger": True})
        await client.create_order(SYMBOL, "market", "sell", 0.02, None, long)
        await client.create_order(SYMBOL, "market", "buy", 0.01, None, short)
        assert await client.fetch_positions([SYMBOL]) == []
        await client.set_position_mode(False)
        await client.create_order(SYMBOL, "market", "buy", 0.01)


async def test_an_order_and_a_trade_of_its_own_are_public() -> None:
    async with trading() as (client, exchange):
        bid, _ = touch(exchange)
        price = float(client.price_to_precision(SYMBOL, bid - 20))
        book = await client.watch_order_book(SYMBOL)
        before = dict(map(tuple, (each[:2] for each in book["bids"]))).get(price, 0.0)
        await client.create_order(SYMBOL, "limit", "buy", 3.0, price, {"postOnly": True})
        async with asyncio.timeout(20):
            while dict(map(tuple, (each[:2] for each in book["bids"]))).get(price, 0.0) < before / 2 + 3.0:
                book = await client.watch_order_book(SYMBOL)
        taken = await client.create_order(SYMBOL, "market", "buy", 0.123)
        public = await client.fetch_trades(SYMBOL, limit=200)
        assert any(each["side"] == "buy" and each["price"] == pytest.approx(taken["average"]) for each in public)
        assert taken["amount"] == 0.123


async def test_its_streams() -> None:
    """Everything that ccxt.pro's handlers are told is kept, because `watch_*` alone loses what comes while nobody waits."""
    async with trading() as (client, exchange):
        heard: dict[str, list[Any]] = {"orders": [], "trades": [], "balance": [], "positions": []}

        async def follow(name: str, watch: Callable[[], Any]) -> None:
            while True:
                said = await watch()
                heard[name] += [dict(each) for each in said] if isinstance(said, list) else [dict(said)]

        names = (("orders", "watch_orders"), ("trades", "watch_my_trades"), ("balance", "watch_balance"))
        tasks = [asyncio.create_task(follow(name, getattr(client, watch))) for name, watch in names]
        tasks.append(asyncio.create_task(follow("positions", client.watch_positions)))
        try:
            async with asyncio.timeout(20):
                await until(lambda: any(box.path == "private" for box in exchange.sockets.clients))
                bid, _ = touch(exchange)
                resting = await client.create_order(SYMBOL, "limit", "buy", 0.01, bid - 500)
                await client.cancel_order(resting["id"], SYMBOL)
                await client.create_order(SYMBOL, "market", "buy", 0.01)
                await until(lambda: all(heard.values()) and _ended(heard))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        assert any(each["id"] == resting["id"] and each["status"] == "canceled" for each in heard["orders"])
        assert sum(each["amount"] for each in heard["trades"]) == pytest.approx(0.01)
        assert heard["positions"][-1]["contracts"] == 0.01 and heard["positions"][-1]["side"] == "long"
        wallet = float(exchange.core.accounts["sim1"].wallet)
        assert heard["balance"][-1]["USDT"]["total"] == pytest.approx(wallet)


async def until(reached: Callable[[], bool]) -> None:
    while not reached():  # noqa: ASYNC110 (clients are waited for that say nothing)
        await asyncio.sleep(0.01)


def _ended(heard: dict[str, list[Any]]) -> bool:
    return {"canceled", "closed"} <= {each["status"] for each in heard["orders"]}


async def test_its_error_classes() -> None:
    errors: Any = importlib.import_module("ccxt")
    async with trading() as (client, exchange):
        bid, ask = touch(exchange)

        def order(*given: Any) -> Any:
            return client.create_order(SYMBOL, *given)

        raw = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.01"}
        reduced = {"reduceOnly": True}
        cases: list[tuple[Any, Callable[[], Any]]] = [
            (errors.InsufficientFunds, lambda: order("limit", "buy", 40, bid - 10)),
            (errors.OrderNotFillable, lambda: order("limit", "buy", 0.01, ask + 50, {"postOnly": True})),
            (
                errors.OrderImmediatelyFillable,
                lambda: order("market", "sell", 0.01, None, {"stopLossPrice": ask + 500}),
            ),
            (errors.InvalidOrder, lambda: order("market", "sell", 0.01, None, reduced)),
            (errors.BadRequest, lambda: client.fapiPrivatePostOrder({**raw, "price": "50000.01"})),
            (errors.BadRequest, lambda: client.fapiPrivatePostOrder({**raw, "price": "1", "quantity": "0"})),
            (errors.BadSymbol, lambda: client.fapiPrivatePostOrder({**raw, "price": "1", "symbol": "NOPE"})),
            (errors.OrderNotFound, lambda: client.cancel_order("1", SYMBOL)),
            (errors.OrderNotFound, lambda: client.fetch_order("1", SYMBOL)),
            (
                errors.MarginModeAlreadySet,
                lambda: client.fapiPrivatePostMarginType({"symbol": "BTCUSDT", "marginType": "CROSSED"}),
            ),
        ]
        for expected, act in cases:
            with pytest.raises(errors.BaseError) as caught:
                await act()
            assert isinstance(caught.value, expected), caught.value
        await client.set_leverage(125, SYMBOL)
        with pytest.raises(errors.OperationRejected):
            await order("limit", "buy", 1, bid - 500)  # 50,000 USD at most
        client.secret = "wrong"
        with pytest.raises(errors.AuthenticationError):
            await client.fetch_balance()
        client.apiKey, client.secret = "nobody", "x"
        with pytest.raises(errors.AuthenticationError):
            await client.fetch_balance()
        client.apiKey, client.secret = ACCOUNTS[0].api_key, ACCOUNTS[0].api_secret
        client.options["timeDifference"] += 60_000
        with pytest.raises(errors.InvalidNonce):
            await client.fetch_balance()
        client.options["timeDifference"] -= 60_000
        exchange.limits.per_minute = 0
        with pytest.raises((errors.RateLimitExceeded, errors.DDoSProtection)):
            await client.fetch_balance()
