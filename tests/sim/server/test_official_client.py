"""Binance's own client library trades on the exchange unmodified, and checks the type of every field that it is answered with.

Its timestamps are the wall clock's, and so is the exchange's time here.
"""

from __future__ import annotations

import asyncio
import importlib
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.servers.listening import listening
from tests.sim.server.benches import ACCOUNTS, live

CONFIGURATION: Any = importlib.import_module("binance_common.configuration")  # typed in parts only
ERRORS: Any = importlib.import_module("binance_common.errors")
CLIENT: Any = importlib.import_module("binance_sdk_derivatives_trading_usds_futures").DerivativesTradingUsdsFutures
NOT_SAID = {"activate_price", "price_rate"}  # of trailing stops only
NOT_SAID |= {"pair", "cum_base", "base_qty", "margin_asset"}  # of coin-margined contracts only
NOT_SAID |= {"iceberg_quantity", "modify_id"}  # of who asks for it
BTC = {"symbol": "BTCUSDT"}


async def test_its_rest_and_its_user_stream() -> None:
    async with live(now_ns=time.time_ns) as (exchange, app), listening(app) as url:
        keys = {"api_key": ACCOUNTS[0].api_key, "api_secret": ACCOUNTS[0].api_secret}
        client = CLIENT(
            config_rest_api=CONFIGURATION.ConfigurationRestAPI(**keys, base_path=url, retries=0),
            config_ws_streams=CONFIGURATION.ConfigurationWebSocketStreams(stream_url=url.replace("http", "ws")),
        )
        rest, book = client.rest_api, exchange.market.books["BTCUSDT"]
        assert book.bid is not None

        unanswered: set[str] = set()

        async def ask(call: Callable[..., Any], **given: Any) -> Any:
            """The answer, as the model that the library holds it to; fields that it knows and did not get are noted."""
            model = (await asyncio.to_thread(call, **given)).data()
            for each in model if isinstance(model, list) else [model]:
                unanswered.update(name for name in type(each).model_fields if getattr(each, name) is None)
            return model

        assert {each.symbol for each in (await ask(rest.exchange_information)).symbols} == {"BTCUSDT", "ETHUSDT"}

        heard: list[Any] = []
        connection = await client.websocket_streams.create_connection()
        try:
            key = (await ask(rest.start_user_data_stream)).listen_key
            stream = await connection.user_data(key)
            stream.on("message", lambda said: heard.append(said.actual_instance))

            order: dict[str, Any] = {**BTC, "side": "BUY", "type": "LIMIT", "time_in_force": "GTC"}
            placed = await ask(rest.new_order, **order, quantity=0.01, price=round(book.bid - 500, 1))
            assert (placed.status, placed.orig_qty) == ("NEW", "0.01")
            named = {**BTC, "order_id": placed.order_id}
            changed = await ask(rest.modify_order, **named, side="BUY", quantity=0.02, price=round(book.bid - 400, 1))
            assert (changed.order_id, changed.orig_qty) == (placed.order_id, "0.02")
            assert (await ask(rest.query_order, **named)).status == "NEW"
            assert [each.order_id for each in await ask(rest.current_all_open_orders)] == [placed.order_id]
            assert (await ask(rest.cancel_order, **named)).status == "CANCELED"
            with pytest.raises(ERRORS.BadRequestError, match="Unknown order sent"):
                await ask(rest.cancel_order, **named)

            await ask(rest.change_initial_leverage, **BTC, leverage=50)
            bought = await ask(
                rest.new_order, **BTC, side="BUY", type="MARKET", quantity=0.05, new_order_resp_type="RESULT"
            )
            assert (bought.status, bought.executed_qty) == ("FILLED", "0.05")
            stop = {**BTC, "algo_type": "CONDITIONAL", "side": "SELL", "type": "STOP_MARKET", "close_position": "true"}
            algo = await ask(
                rest.new_algo_order, **stop, trigger_price=round(book.bid - 4000, 1), working_type="MARK_PRICE"
            )
            assert algo.algo_status == "NEW"
            assert [each.algo_id for each in await ask(rest.current_all_algo_open_orders)] == [algo.algo_id]
            await ask(rest.cancel_algo_order, algo_id=algo.algo_id)
            assert (await ask(rest.query_algo_order, algo_id=algo.algo_id)).algo_status == "CANCELED"
            assert len(await ask(rest.query_all_algo_orders, **BTC)) == 1

            (position,) = await ask(rest.position_information_v3)
            assert (position.position_amt, position.symbol) == ("0.05", "BTCUSDT")
            assert len(await ask(rest.position_information_v2)) == 2
            account = await ask(rest.account_information_v3)
            incomes = await ask(rest.get_income_history)
            assert sum(float(each.income) for each in incomes) == pytest.approx(float(account.total_wallet_balance))
            assert (await ask(rest.account_information_v2)).can_trade
            (balance,) = await ask(rest.futures_account_balance_v3)
            assert balance.balance == account.total_wallet_balance
            (config,) = await ask(rest.symbol_configuration, **BTC)
            assert (config.leverage, config.margin_type) == (50, "CROSSED")
            assert len(await ask(rest.account_trade_list, **BTC)) >= 1
            assert len(await ask(rest.all_orders, **BTC)) == 2
            assert (await ask(rest.user_commission_rate, **BTC)).taker_commission_rate == "0.0005"
            assert (await ask(rest.get_current_position_mode)).dual_side_position is False
            await ask(rest.new_order, **BTC, side="SELL", type="MARKET", quantity=0.05)
            await ask(rest.change_position_mode, dual_side_position="true")
            for side in ("BUY", "SELL"):
                leg = "LONG" if side == "BUY" else "SHORT"
                asked = {**BTC, "side": side, "position_side": leg, "type": "MARKET", "quantity": 0.01}
                assert (await ask(rest.new_order, **asked)).position_side == leg
            legs = await ask(rest.position_information_v3)
            assert [(each.position_side, each.position_amt) for each in legs] == [("LONG", "0.01"), ("SHORT", "-0.01")]
            await ask(rest.auto_cancel_all_open_orders, **BTC, countdown_time=60_000)
            await ask(rest.cancel_all_open_orders, **BTC)
            await ask(rest.futures_account_configuration)
            await ask(rest.keepalive_user_data_stream)

            async with asyncio.timeout(10):
                while sum(type(each).__name__ == "AlgoUpdate" for each in heard) < 2:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
        finally:
            await connection.close_connection()
        assert unanswered == NOT_SAID
        kinds = [type(each).__name__ for each in heard]
        assert kinds.count("TradeLite") == kinds.count("AccountUpdate")
        orders = [(each.o.x, each.o.X) for each in heard if type(each).__name__ == "OrderTradeUpdate"]
        assert orders[:4] == [("NEW", "NEW"), ("AMENDMENT", "NEW"), ("CANCELED", "CANCELED"), ("NEW", "NEW")]
        assert orders[-1] == ("TRADE", "FILLED")
        assert "AccountConfigUpdate" in kinds and kinds.count("AccountUpdate") == orders.count(("TRADE", "FILLED"))
