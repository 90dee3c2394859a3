"""The user stream on the wire: what is told, in what order, to whom, and how a listen key ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import orjson
import pytest

from tests.sim.server.benches import Bench, bench
from tests.sim.server.signed import LIMIT, ORDER, call, done, near

MARKET = {"symbol": "BTCUSDT", "type": "MARKET"}


class Ear:
    """What one socket has heard."""

    def __init__(self, socket: Any) -> None:
        self.socket, self.heard = socket, list[Any]()

    async def until(self, kind: str, count: int = 1) -> list[Any]:
        """All messages, once so many of a kind were among them."""
        async with asyncio.timeout(5):
            while sum(each.get("e") == kind for each in self.heard) < count:
                message = await self.socket.receive()
                self.heard.append(orjson.loads(message.data))
        return self.heard

    def of(self, kind: str) -> list[Any]:
        return [each for each in self.heard if each.get("e") == kind]


async def start(on: Bench, of: int = 0) -> str:
    status, body, _ = await call(on, "POST", "/fapi/v1/listenKey", of, signed=False)
    assert status == 200
    return str(body["listenKey"])


@asynccontextmanager
async def listening(on: Bench, path: str) -> AsyncIterator[Ear]:
    async with on.session.ws_connect(on.ws + path) as socket:
        ear = Ear(socket)
        await socket.send_json({"method": "LIST_SUBSCRIPTIONS", "id": 1})  # answered after it was let in
        assert "result" in orjson.loads((await socket.receive()).data)
        yield ear


@pytest.mark.parametrize("path", ["/ws/{}", "/private/ws/{}", "/private/ws?listenKey={}"])
async def test_an_orders_life_is_told_in_order(path: str) -> None:
    async with bench() as on:
        key = await start(on)
        async with listening(on, path.format(key)) as ear:
            placed = await done(on, "POST", ORDER, **LIMIT, price=near(on, -100), newClientOrderId="one")
            await done(
                on,
                "PUT",
                ORDER,
                symbol="BTCUSDT",
                orderId=placed["orderId"],
                side="BUY",
                quantity="0.02",
                price=near(on, -99),
            )
            await done(on, "DELETE", ORDER, symbol="BTCUSDT", orderId=placed["orderId"])
            bought = await done(on, "POST", ORDER, **MARKET, side="BUY", quantity="0.02", newOrderRespType="RESULT")
            await ear.until("ORDER_TRADE_UPDATE", 5)
        updates = [each["o"] for each in ear.of("ORDER_TRADE_UPDATE")]
        assert [(each["x"], each["X"]) for each in updates] == [
            ("NEW", "NEW"),
            ("AMENDMENT", "NEW"),
            ("CANCELED", "CANCELED"),
            ("NEW", "NEW"),
            ("TRADE", "FILLED"),
        ]
        assert {each["i"] for each in updates[:3]} == {placed["orderId"]} and updates[0]["c"] == "one"
        filled = updates[4]
        assert (filled["z"], filled["l"], filled["m"], filled["N"]) == ("0.02", "0.02", False, "USDT")
        assert filled["t"] and Decimal(filled["ap"]) == Decimal(bought["avgPrice"])
        (money,) = ear.of("ACCOUNT_UPDATE")
        assert ear.heard.index(money) == len(ear.heard) - 3, "balance and position go before the fill"
        lite = ear.heard[-2]
        assert lite["e"] == "TRADE_LITE", "the short word of a trade goes before the long one"
        assert all(lite[name] == filled[name] for name in ("s", "q", "p", "m", "c", "S", "L", "l", "t", "i"))
        assert len(ear.of("TRADE_LITE")) == 1
        told, (position,) = money["a"], money["a"]["P"]
        assert told["m"] == "ORDER" and (position["s"], position["pa"]) == ("BTCUSDT", "0.02")
        account = await done(on, "GET", "/fapi/v3/account")
        assert told["B"] == [
            {"a": "USDT", "wb": account["totalWalletBalance"], "cw": account["totalWalletBalance"], "bc": "0"}
        ]


async def test_each_fill_is_told_with_the_books_as_they_stood_then() -> None:
    async with bench() as on:
        async with listening(on, f"/ws/{await start(on)}") as ear:
            book = on.market.books["BTCUSDT"]
            coin = on.market.coins["BTCUSDT"]
            touch = book.asks[book.best_ask] * coin.step
            await done(on, "POST", "/fapi/v1/leverage", symbol="BTCUSDT", leverage=125)
            await done(on, "POST", ORDER, **MARKET, side="BUY", quantity=min(touch + coin.step, Decimal("0.7")))
            await ear.until("ACCOUNT_CONFIG_UPDATE")
            trades = await done(on, "GET", "/fapi/v1/userTrades", symbol="BTCUSDT")
            await ear.until("ORDER_TRADE_UPDATE", 1 + len(trades))
        held = [Decimal(each["a"]["P"][0]["pa"]) for each in ear.of("ACCOUNT_UPDATE")]
        filled = [Decimal(each["o"]["z"]) for each in ear.of("ORDER_TRADE_UPDATE")[1:]]
        assert held == filled and len(held) == len(trades)


async def test_a_stop_is_told_by_its_own_event_and_its_order_by_another() -> None:
    async with bench() as on:
        await done(on, "POST", ORDER, **MARKET, side="BUY", quantity="0.02")
        async with listening(on, f"/ws/{await start(on)}") as ear:
            stop = {"algoType": "CONDITIONAL", "symbol": "BTCUSDT", "side": "SELL", "type": "STOP_MARKET"}
            await done(
                on, "POST", "/fapi/v1/algoOrder", **stop, triggerPrice=near(on, -1), quantity="0.02", clientAlgoId="s"
            )
            for _ in range(3000):
                on.move(1)
                if await done(on, "GET", "/fapi/v1/openAlgoOrders") == []:
                    break
            await ear.until("ALGO_UPDATE", 4)
        told = [each["o"] for each in ear.of("ALGO_UPDATE")]
        assert [each["X"] for each in told] == ["NEW", "TRIGGERING", "TRIGGERED", "FINISHED"]
        (order,) = [each["o"] for each in ear.of("ORDER_TRADE_UPDATE") if each["o"]["X"] == "FILLED"]
        assert (order["o"], order["ot"], order["c"]) == ("MARKET", "STOP_MARKET", "s")
        assert told[-1]["ai"] == str(order["i"]) and (told[-1]["aq"], told[-1]["act"]) == ("0.02", "MARKET")
        assert (told[0]["caid"], told[0]["tp"] != "0", "ai" in told[0] and told[0]["ai"]) == ("s", True, "")


async def test_accounts_hear_only_of_themselves_and_of_a_trade_between_them_both() -> None:
    async with bench() as on:
        keys = [await start(on, of) for of in (0, 1)]
        assert keys[0] != keys[1] == await start(on, 1)
        async with listening(on, f"/ws/{keys[0]}") as first, listening(on, f"/ws/{keys[1]}") as second:
            book = on.market.books["BTCUSDT"]
            inside = f"{(book.best_bid + book.best_ask) // 2 * on.market.coins['BTCUSDT'].tick:f}"
            if book.best_ask - book.best_bid < 2:
                inside = near(on, 0)
            await done(on, "POST", ORDER, 0, **{**LIMIT, "side": "BUY"}, price=inside)
            heard = await first.until("ORDER_TRADE_UPDATE")
            assert heard[0]["o"]["X"] == "NEW"
            await done(on, "POST", ORDER, 1, **MARKET, side="SELL", quantity="0.001")
            await second.until("ORDER_TRADE_UPDATE", 2)
        assert {each["o"]["S"] for each in second.of("ORDER_TRADE_UPDATE")} == {"SELL"}


async def test_a_key_ends_after_an_hour_unless_it_is_kept() -> None:
    async with bench(symbols=1) as on:
        key = await start(on)
        status, body, _ = await call(on, "PUT", "/fapi/v1/listenKey", of=1, signed=False)
        assert (status, body["code"]) == (400, -1125)
        async with listening(on, f"/ws/{key}") as ear:
            on.move(3000)
            assert (await call(on, "PUT", "/fapi/v1/listenKey", signed=False))[1] == {"listenKey": key}
            on.move(3599)
            await done(on, "POST", ORDER, **MARKET, side="BUY", quantity="0.01")
            await ear.until("ORDER_TRADE_UPDATE", 2)
            on.move(2)
            (ended,) = [each for each in await ear.until("listenKeyExpired") if each["e"] == "listenKeyExpired"]
            assert ended["listenKey"] == key
            await done(on, "POST", ORDER, **MARKET, side="BUY", quantity="0.01")
            await ear.socket.send_json({"method": "LIST_SUBSCRIPTIONS", "id": 2})
            assert orjson.loads((await ear.socket.receive()).data)["id"] == 2, (
                "nothing more is told, the socket is open"
            )
        assert await start(on) != key
        assert (await call(on, "DELETE", "/fapi/v1/listenKey", signed=False))[1] == {}
        assert (await call(on, "PUT", "/fapi/v1/listenKey", signed=False))[1]["code"] == -1125


async def test_a_key_is_a_stream_that_can_be_subscribed_to() -> None:
    async with bench() as on:
        key = await start(on)
        async with listening(on, "/private/stream") as ear:
            await ear.socket.send_json({"method": "SUBSCRIBE", "params": [key], "id": 3})
            assert orjson.loads((await ear.socket.receive()).data) == {"result": None, "id": 3}
            await done(on, "POST", ORDER, **MARKET, side="BUY", quantity="0.01")
            said = orjson.loads((await ear.socket.receive()).data)
            assert said["stream"] == key and said["data"]["e"] == "ORDER_TRADE_UPDATE"
        async with listening(on, f"/market/ws/{key}") as ear:  # not there
            await done(on, "POST", ORDER, **MARKET, side="BUY", quantity="0.01")
            await ear.socket.send_json({"method": "LIST_SUBSCRIPTIONS", "id": 4})
            assert orjson.loads((await ear.socket.receive()).data)["id"] == 4
