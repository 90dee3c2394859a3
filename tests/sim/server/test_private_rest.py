"""Private REST on the wire: who may ask, what is refused and how it is said, and that everything asked for is answered."""

from __future__ import annotations

import hashlib
import hmac
from decimal import Decimal

import orjson
import pytest
from yarl import URL

from bot.sim.server.private import CALLS
from tests.sim.server.benches import ACCOUNTS, CLOCK, bench
from tests.sim.server.signed import LIMIT, ORDER, call, done, near


async def test_who_may_ask() -> None:
    async with bench() as on:
        path = "/fapi/v3/account"
        for code, status, given in (
            (-2014, 401, {"key": ""}),
            (-2015, 401, {"key": "nobody's"}),
            (-1022, 400, {"secret": "another"}),
            (-1102, 400, {"signed": False}),
            (-1021, 400, {"timestamp": CLOCK[0] + 1000}),
            (-1021, 400, {"timestamp": CLOCK[0] - 5001}),
            (-1021, 400, {"timestamp": CLOCK[0] - 101, "recvWindow": 100}),
            (-1131, 400, {"recvWindow": 60_001}),
            (-1100, 400, {"timestamp": "soon"}),
        ):
            got, body, _ = await call(on, "GET", path, **given)
            assert (got, body["code"]) == (status, code), (given, body)
        for given in ({"timestamp": CLOCK[0] + 999}, {"timestamp": CLOCK[0] - 5000}, {"recvWindow": 60_000}):
            assert (await done(on, "GET", path, **given))["totalWalletBalance"] == "100000.00000000"


async def test_a_signature_covers_query_and_body_as_they_were_sent() -> None:
    async with bench() as on:
        query = f"symbol=BTCUSDT&side=BUY&type=MARKET&quantity=0.01&newClientOrderId=a%2Fb&timestamp={CLOCK[0]}"
        body = "newOrderRespType=RESULT"
        secret = ACCOUNTS[0].api_secret.encode()
        signature = hmac.new(secret, (query + body).encode(), hashlib.sha256).hexdigest()
        headers = {"X-MBX-APIKEY": ACCOUNTS[0].api_key, "Content-Type": "application/x-www-form-urlencoded"}
        url = f"{on.url}{ORDER}?{query}"
        async with on.session.post(
            URL(url, encoded=True), data=f"{body}&signature={signature}".encode(), headers=headers
        ) as answer:
            placed = orjson.loads(await answer.read())
        assert (placed["status"], placed["clientOrderId"]) == ("FILLED", "a/b")


@pytest.mark.parametrize(
    ("code", "given"),
    [
        (-1102, {"symbol": ""}),
        (-1121, {"symbol": "NOPE"}),
        (-1117, {"side": "buy"}),
        (-1116, {"type": "ICEBERG"}),
        (-1115, {"timeInForce": "SOON"}),
        (-1102, {"timeInForce": ""}),
        (-1102, {"price": ""}),
        (-1102, {"quantity": ""}),
        (-1100, {"quantity": "NaN"}),
        (-1100, {"quantity": "1e400"}),
        (-1100, {"price": "Infinity"}),
        (-1100, {"price": "6_0"}),
        (-1111, {"price": "60000.01"}),
        (-1111, {"quantity": "0.0001"}),
        (-4003, {"quantity": "0"}),
        (-4003, {"quantity": "-1"}),
        (-4164, {"quantity": "0.001", "price": "1000.0", "symbol": "ETHUSDT"}),
        (-4024, {"side": "SELL", "price": "1000.0"}),
        (-4061, {"positionSide": "LONG"}),
        (-1130, {"reduceOnly": "yes"}),
        (-1136, {"newOrderRespType": "FULL"}),
        (-1106, {"priceMatch": "QUEUE"}),
        (-5037, {"priceMatch": "QUEUE_3", "price": ""}),
        (-5039, {"selfTradePreventionMode": "EXPIRE"}),
        (-4060, {"positionSide": "UP"}),
        (-4120, {"type": "STOP_MARKET", "stopPrice": "50000"}),
        (-2022, {"reduceOnly": "true"}),
        (-4015, {"newClientOrderId": "x" * 37}),
        (-2019, {"quantity": "34"}),
        (-5022, {"timeInForce": "GTX", "price": "best ask"}),
        (-5021, {"timeInForce": "FOK"}),
    ],
)
async def test_orders_are_refused_in_the_venues_words(code: int, given: dict[str, str]) -> None:
    async with bench() as on:
        asked = {**LIMIT, "price": near(on, -100), **given}
        if asked["price"] == "best ask":
            asked["price"] = near(on, 50)
        if asked["symbol"] == "ETHUSDT" and code == -4164:
            asked["price"] = f"{on.market.books['ETHUSDT'].best_bid * on.market.coins['ETHUSDT'].tick:f}"
        status, body, headers = await call(on, "POST", ORDER, **asked)
        assert (status, body["code"]) == (400, code), body
        assert body["msg"] and headers["X-MBX-ORDER-COUNT-10S"] == "1"
        assert await done(on, "GET", "/fapi/v1/allOrders", symbol="BTCUSDT") == []


async def test_an_orders_life() -> None:
    async with bench() as on:
        placed = await done(on, "POST", ORDER, **LIMIT, price=near(on, -100), newClientOrderId="mine")
        assert (placed["status"], placed["clientOrderId"], placed["origQty"]) == ("NEW", "mine", "0.01")
        number = placed["orderId"]
        for named in ({"orderId": number}, {"origClientOrderId": "mine"}):
            assert (await done(on, "GET", ORDER, symbol="BTCUSDT", **named))["orderId"] == number
            assert (await done(on, "GET", "/fapi/v1/openOrder", symbol="BTCUSDT", **named))["orderId"] == number
        assert [each["orderId"] for each in await done(on, "GET", "/fapi/v1/openOrders")] == [number]
        changed = {"symbol": "BTCUSDT", "orderId": number, "side": "BUY"}
        amended = await done(on, "PUT", ORDER, **changed, quantity="0.02", price=near(on, -90))
        assert (amended["orderId"], amended["origQty"], amended["price"]) == (
            number,
            "0.02",
            near(on, -90).rstrip("0").rstrip("."),
        )
        gone = await done(on, "DELETE", ORDER, symbol="BTCUSDT", orderId=number)
        assert gone["status"] == "CANCELED"
        for method, path, code in (("DELETE", ORDER, -2011), ("GET", "/fapi/v1/openOrder", -2013)):
            status, body, _ = await call(on, method, path, symbol="BTCUSDT", orderId=number)
            assert (status, body["code"]) == (400, code)
        status, body, _ = await call(on, "GET", ORDER, symbol="BTCUSDT", orderId=number + 1)
        assert (status, body["code"]) == (400, -2013)
        status, body, _ = await call(on, "GET", ORDER, symbol="BTCUSDT")
        assert (status, body["code"]) == (400, -1102)
        filled = await done(
            on, "POST", ORDER, symbol="BTCUSDT", side="BUY", type="MARKET", quantity="0.01", newOrderRespType="RESULT"
        )
        assert (filled["status"], filled["executedQty"]) == ("FILLED", "0.01")
        trades = await done(on, "GET", "/fapi/v1/userTrades", symbol="BTCUSDT", orderId=filled["orderId"])
        assert sum(Decimal(each["qty"]) for each in trades) == Decimal("0.01") and not trades[0]["maker"]
        assert [each["status"] for each in await done(on, "GET", "/fapi/v1/allOrders", symbol="BTCUSDT")] == [
            "CANCELED",
            "FILLED",
        ]
        incomes = await done(on, "GET", "/fapi/v1/income")
        assert [each["incomeType"] for each in incomes] == ["TRANSFER", *["COMMISSION"] * len(trades)]
        account = await done(on, "GET", "/fapi/v3/account")
        assert sum(Decimal(each["income"]) for each in incomes) == Decimal(account["totalWalletBalance"])
        assert (await done(on, "GET", "/fapi/v3/account", of=1))["totalWalletBalance"] == "100000.00000000"


async def test_batches_are_each_for_itself() -> None:
    async with bench() as on:
        rows = [{**LIMIT, "price": near(on, -100 - n)} for n in range(2)]
        rows.insert(1, {**LIMIT, "price": "nothing"})
        said = await done(on, "POST", "/fapi/v1/batchOrders", batchOrders=orjson.dumps(rows).decode())
        assert [each.get("status", each.get("code")) for each in said] == ["NEW", -1100, "NEW"]
        numbers = [said[0]["orderId"], 5, said[2]["orderId"]]
        gone = await done(
            on, "DELETE", "/fapi/v1/batchOrders", symbol="BTCUSDT", orderIdList=orjson.dumps(numbers).decode()
        )
        assert [each.get("status", each.get("code")) for each in gone] == ["CANCELED", -2011, "CANCELED"]
        for wrong in ("", "[]", "{}", "[1]", "[["):
            status, body, _ = await call(on, "POST", "/fapi/v1/batchOrders", batchOrders=wrong)
            assert (status == 400 and body["code"] in (-1102, -1130)) or body == [
                {"code": -1130, "msg": "Data sent for parameter 'batchOrders' is not valid."}
            ]
        many = orjson.dumps(rows * 2).decode()
        status, body, _ = await call(on, "POST", "/fapi/v1/batchOrders", batchOrders=many)
        assert (status, body["code"]) == (400, -4082)
        asked = {"symbol": "BTCUSDT", "orderIdList": orjson.dumps(list(range(1, 12))).decode()}
        status, body, _ = await call(on, "DELETE", "/fapi/v1/batchOrders", **asked)
        assert (status, body["code"]) == (400, -4032)


async def test_orders_are_counted_by_account() -> None:
    async with bench() as on:
        order = {**LIMIT, "price": near(on, -100), "quantity": "0"}
        for count in range(1, 301):
            _, _, headers = await call(on, "POST", ORDER, **order)
            assert headers["X-MBX-ORDER-COUNT-10S"] == headers["X-MBX-ORDER-COUNT-1M"] == str(count)
        status, body, headers = await call(on, "POST", ORDER, **order)
        assert (status, body["code"]) == (429, -1015) and 1 <= int(headers["Retry-After"]) <= 10
        assert (await call(on, "POST", ORDER, of=1, **order))[0] == 400  # another account's
        on.move(10)
        assert (await call(on, "POST", ORDER, **order))[0] == 400
        assert (await done(on, "DELETE", "/fapi/v1/allOpenOrders", symbol="BTCUSDT"))["code"] == 200


async def test_weights_are_shared_with_public_calls() -> None:
    async with bench(per_minute=45) as on:
        await done(on, "GET", "/fapi/v1/openOrders")  # 40
        await on.get("/fapi/v1/trades", symbol="BTCUSDT")  # 5
        status, body, _ = await call(on, "GET", ORDER, symbol="BTCUSDT", orderId=1)
        assert (status, body["code"]) == (429, -1003)


async def test_conditional_orders_on_the_wire() -> None:
    async with bench() as on:
        await done(on, "POST", ORDER, symbol="BTCUSDT", side="BUY", type="MARKET", quantity="0.01")
        stop = {"algoType": "CONDITIONAL", "symbol": "BTCUSDT", "side": "SELL", "type": "STOP_MARKET"}
        stop |= {"triggerPrice": near(on, -3000), "workingType": "MARK_PRICE", "closePosition": "true"}
        placed = await done(on, "POST", "/fapi/v1/algoOrder", **stop, clientAlgoId="s1")
        assert (placed["algoStatus"], placed["clientAlgoId"], placed["closePosition"]) == ("NEW", "s1", True)
        assert [each["algoId"] for each in await done(on, "GET", "/fapi/v1/openAlgoOrders")] == [placed["algoId"]]
        assert await done(on, "GET", "/fapi/v1/openOrders") == []
        for code, given in (
            (-2021, {"triggerPrice": near(on, 3000)}),
            (-4137, {"quantity": "0.01"}),
            (-1130, {"algoType": "VP"}),
            (-1102, {"triggerPrice": ""}),
            (-4031, {"workingType": "INDEX"}),
            (-4136, {"type": "STOP", "price": near(on, -3000)}),
            (-5038, {"priceMatch": "QUEUE"}),
            (-2007, {"type": "TRAILING_STOP_MARKET", "closePosition": "", "quantity": "0.01", "callbackRate": "11"}),
        ):
            status, body, _ = await call(on, "POST", "/fapi/v1/algoOrder", **{**stop, **given})
            assert (status, body["code"]) == (400, code), (given, body)
        gone = await done(on, "DELETE", "/fapi/v1/algoOrder", clientAlgoId="s1")
        assert (gone["code"], gone["algoId"]) == ("200", placed["algoId"])
        asked = await done(on, "GET", "/fapi/v1/algoOrder", algoId=placed["algoId"])
        assert (asked["algoStatus"], asked["actualOrderId"]) == ("CANCELED", "")
        trailing = {"algoType": "CONDITIONAL", "symbol": "BTCUSDT", "side": "SELL", "type": "TRAILING_STOP_MARKET"}
        trailing |= {"quantity": "0.01", "callbackRate": "1", "activatePrice": near(on, 500)}
        assert (await done(on, "POST", "/fapi/v1/algoOrder", **trailing))["activatePrice"]
        await done(on, "DELETE", "/fapi/v1/algoOpenOrders", symbol="BTCUSDT")
        rows = await done(on, "GET", "/fapi/v1/allAlgoOrders", symbol="BTCUSDT")
        assert [each["algoStatus"] for each in rows] == ["CANCELED", "CANCELED"]


async def test_settings_of_an_account() -> None:
    async with bench() as on:
        said = await done(on, "POST", "/fapi/v1/leverage", symbol="BTCUSDT", leverage=100)
        assert said == {"leverage": 100, "maxNotionalValue": "250000", "symbol": "BTCUSDT"}
        assert (await done(on, "POST", "/fapi/v1/marginType", symbol="BTCUSDT", marginType="ISOLATED"))["code"] == 200
        (config,) = await done(on, "GET", "/fapi/v1/symbolConfig", symbol="BTCUSDT")
        assert (config["leverage"], config["marginType"]) == (100, "ISOLATED")
        for code, path, given in (
            (-4046, "/fapi/v1/marginType", {"symbol": "BTCUSDT", "marginType": "ISOLATED"}),
            (-1130, "/fapi/v1/marginType", {"symbol": "BTCUSDT", "marginType": "cross"}),
            (-4028, "/fapi/v1/leverage", {"symbol": "BTCUSDT", "leverage": 126}),
            (-1102, "/fapi/v1/leverage", {"symbol": "BTCUSDT"}),
            (-4059, "/fapi/v1/positionSide/dual", {"dualSidePosition": "false"}),
            (-1102, "/fapi/v1/positionSide/dual", {}),
        ):
            status, body, _ = await call(on, "POST", path, **given)
            assert (status, body["code"]) == (400, code), body
        mode = "/fapi/v1/positionSide/dual"
        assert await done(on, "GET", mode) == {"dualSidePosition": False}
        assert (await done(on, "POST", mode, dualSidePosition="true"))["code"] == 200
        assert await done(on, "GET", mode) == {"dualSidePosition": True}
        assert (await done(on, "GET", "/fapi/v1/accountConfig"))["dualSidePosition"] is True
        rows = await done(on, "GET", "/fapi/v2/positionRisk", symbol="BTCUSDT")
        assert [(row["positionSide"], row["leverage"]) for row in rows] == [("LONG", "100"), ("SHORT", "100")]
        rights = await done(on, "GET", "/sapi/v1/account/apiRestrictions")
        assert (rights["enableFutures"], rights["enableWithdrawals"]) == (True, False)


@pytest.mark.parametrize("path", ["allOrders", "userTrades", "allAlgoOrders"])
async def test_the_past_is_told_a_week_at_a_time(path: str) -> None:
    async with bench() as on:
        week_ms, query = 7 * 86_400_000, {"symbol": "BTCUSDT", "startTime": 1000}
        assert await done(on, "GET", f"/fapi/v1/{path}", **query, endTime=1000 + week_ms) == []
        for end_ms, code in ((1001 + week_ms, -4165), (999, -1023)):
            status, body, _ = await call(on, "GET", f"/fapi/v1/{path}", **query, endTime=end_ms)
            assert (status, body["code"]) == (400, code)


async def test_every_call_answers_or_refuses_whatever_it_is_sent() -> None:
    """No parameters, and parameters that make no sense: never the server's own error."""
    async with bench() as on:
        for method, path in CALLS:
            for given in (
                {},
                {"symbol": "BTCUSDT"},
                {"symbol": "BTCUSDT", "orderId": "-1", "limit": "0", "startTime": "x"},
                {"symbol": "BTCUSDT", "limit": "99999", "leverage": "1e9", "countdownTime": "-5"},
                {"symbol": "\x00", "batchOrders": "[{}]", "orderIdList": '["x", true]', "incomeType": "?"},
            ):
                status, body, _ = await call(on, method, path, **given)
                assert status in (200, 400), (method, path, given, body)
                assert status == 200 or body["code"] < 0
        status, body, _ = await call(on, "POST", ORDER, symbol="A" * 70_000)
        assert status == 413
        async with on.session.post(f"{on.url}{ORDER}", data=b"\xff\xfe", headers={"X-MBX-APIKEY": "x"}) as answer:
            assert answer.status == 400
        status, body, _ = await call(on, "GET", "/fapi/v1/order?symbol=BTCUSDT&x=1&x", symbol="BTCUSDT")
        assert body["code"] in (-1101, -1022)


async def test_digits_that_are_none_are_refused() -> None:
    async with bench() as on:
        for odd in ("\u00b2", "\u0663", "9" * 5000):
            listed = f'["{odd}"]'
            status, body, _ = await call(on, "DELETE", "/fapi/v1/batchOrders", symbol="BTCUSDT", orderIdList=listed)
            assert (status, body["code"]) == (400, -1130)
        row = {**LIMIT, "quantity": "\uff10.1", "price": near(on, 0)}
        status, body, _ = await call(on, "POST", ORDER, **row)
        assert (status, body["code"]) == (400, -1100)
