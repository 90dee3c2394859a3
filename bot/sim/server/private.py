"""Binance USD-M's private REST over the exchange's core: keys, signatures, weights, order counts, and one function for each call.

What a call may do is decided in `sim/exchange`; here it is found, checked for form and put into the venue's words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, TypeVar
from urllib.parse import parse_qsl

from aiohttp import web

from bot.sim.exchange.account import ApiKey, TradingAccount
from bot.sim.exchange.core import ExchangeCore
from bot.sim.exchange.ledger import Income
from bot.sim.exchange.records import OrderRecord, PriceMatch
from bot.sim.refusals import Refused, invalid, missing, not_needed, unknown_order
from bot.sim.server import private_wire as wire
from bot.sim.server.form import MOST_BYTES, Form, algo_order, body_of, form_of, plain_order
from bot.sim.server.limits import Limits, OrderLimits, answer, refusal
from bot.sim.server.signing import account_of, check_signature
from bot.sim.server.user_stream import UserStreams

T = TypeVar("T")
_LONGEST_SPAN_MS = 7 * 86_400_000
_DONE = {"code": 200, "msg": "success"}
_UNFILLED = {"status": "NEW", "avgPrice": "0.00", "executedQty": "0", "cumQty": "0", "cumQuote": "0"}
_ALL_DONE = {"code": 200, "msg": "The operation of cancel all open order is done."}


class Call(NamedTuple):
    """`weight` counts for the address, `orders` for the account (of each order, in batches); `signed` needs more than a key; `of_key`
    asks about the key, not about its account."""

    act: Callable[[Private, Any, Form], Any]
    weight: Callable[[Form], int]
    orders: int = 0
    signed: bool = True
    of_key: bool = False


class Private:
    """`limits` are those of public calls too."""

    def __init__(self, core: ExchangeCore, limits: Limits, streams: UserStreams) -> None:
        self.core, self.limits, self.streams = core, limits, streams
        self.order_limits = OrderLimits()
        self.clock_off_ms = 0  # what the venue's clock is wrong by

    def routes(self) -> list[web.RouteDef]:
        return [web.route(method, path, self.handle) for method, path in CALLS]

    async def handle(self, request: web.Request) -> web.Response:
        call, address = CALLS[request.method, request.path], request.remote or "?"
        headers: dict[str, str] = {}
        try:
            form, query_string, body = await _form(request)
            now_ms = self.core.now_ms()
            self.limits.take(address, call.weight(form), now_ms)
            account, key = account_of(request.headers.get("X-MBX-APIKEY", ""), self.core.keys)
            if call.signed:
                check_signature(query_string, body, form, key.secret, now_ms + self.clock_off_ms)
            if call.orders:
                headers = self.order_limits.take(account.name, call.orders, now_ms)
            response = answer(call.act(self, key if call.of_key else account, form), headers=headers)
        except Refused as refused:
            response = refusal(refused)
            response.headers.update(headers)
        response.headers["X-MBX-USED-WEIGHT-1M"] = str(self.limits.used(address))
        return response

    # --- orders ---

    def new_order(self, account: TradingAccount, form: Form) -> Any:
        kind = form.optional("newOrderRespType") or "ACK"
        if kind not in ("ACK", "RESULT"):
            raise Refused(-1136, "Invalid newOrderRespType.")
        row = self._placed(self.core.place(account, plain_order(form)))
        return row if kind == "RESULT" else {**row, **_UNFILLED}

    def test_order(self, account: TradingAccount, form: Form) -> Any:
        self.core.rules(plain_order(form).symbol)
        return {}

    def _placed(self, record: OrderRecord) -> Any:
        return _without(wire.order(record), "time")

    def query_order(self, account: TradingAccount, form: Form) -> Any:
        return wire.order(self.core.find(account, *_named(form)))

    def cancel_order(self, account: TradingAccount, form: Form) -> Any:
        return self._placed(self.core.cancel(account, *_named(form)))

    def modify_order(self, account: TradingAccount, form: Form) -> Any:
        named, buys, quantity = _named(form), form.buys(), form.number_or_missing("quantity")
        match = form.choice("priceMatch", PriceMatch, PriceMatch.NONE, -5037)
        if match is PriceMatch.NONE:
            price = form.number_or_missing("price")
        elif form.has("price"):
            raise not_needed("price")
        else:
            price = self.core.matched(named[0], buys, match)
        return self._placed(self.core.amend(account, *named, buys, quantity, price, match))

    def new_orders(self, account: TradingAccount, form: Form) -> Any:
        return self._each(form.batch(), lambda row: self.new_order(account, form_of(row)))

    def modify_orders(self, account: TradingAccount, form: Form) -> Any:
        return self._each(form.batch(), lambda row: self.modify_order(account, form_of(row)))

    def cancel_orders(self, account: TradingAccount, form: Form) -> Any:
        symbol = form.text("symbol")
        listed = next((name for name in ("orderIdList", "orderidlist") if form.has(name)), None)  # ccxt's is lower case
        if listed is not None:
            numbers = [_whole(each, listed) for each in form.cancels(listed)]
            return self._each(numbers, lambda number: self._placed(self.core.cancel(account, symbol, number, None)))
        names = [str(each) for each in form.cancels("origClientOrderIdList")]
        return self._each(names, lambda name: self._placed(self.core.cancel(account, symbol, None, name)))

    def _each(self, rows: list[T], act: Callable[[T], Any]) -> Any:
        """Each for itself: one that is refused stops none of the others."""
        said = []
        for row in rows:
            try:
                said.append(act(row))
            except Refused as refused:
                said.append({"code": refused.code, "msg": refused.msg})
        return said

    def cancel_all(self, account: TradingAccount, form: Form) -> Any:
        self.core.cancel_all(account, form.text("symbol"))
        return _ALL_DONE

    def count_down(self, account: TradingAccount, form: Form) -> Any:
        symbol, after_ms = form.text("symbol"), form.whole("countdownTime", -1)
        if after_ms < 0:
            raise missing("countdownTime")
        self.core.count_down(account, symbol, after_ms)
        return {"symbol": symbol, "countdownTime": str(after_ms)}

    def open_order(self, account: TradingAccount, form: Form) -> Any:
        record = self.core.find(account, *_named(form))
        if not record.open:
            raise unknown_order()
        return wire.order(record)

    def open_orders(self, account: TradingAccount, form: Form) -> Any:
        return [
            wire.order(each) for each in self._of_symbol(form, account.open_orders.values(), lambda each: each.symbol)
        ]

    def all_orders(self, account: TradingAccount, form: Form) -> Any:
        symbol, first = form.text("symbol"), form.whole("orderId", 0)
        self.core.rules(symbol)
        rows = [each for each in account.orders.values() if each.symbol == symbol and each.order_id >= first]
        return [wire.order(each) for each in _span(form, rows, lambda each: each.time_ms, first=bool(first))]

    def user_trades(self, account: TradingAccount, form: Form) -> Any:
        symbol, first = form.text("symbol"), form.whole("fromId", 0)
        self.core.rules(symbol)
        order_id = form.whole("orderId", 0)
        rows = [
            each
            for each in account.trades
            if each.symbol == symbol and each.trade_id >= first and order_id in (0, each.order_id)
        ]
        return [wire.trade(each) for each in _span(form, rows, lambda each: each.time_ms, first=bool(first))]

    # --- conditional orders ---

    def new_algo(self, account: TradingAccount, form: Form) -> Any:
        return wire.algo(self.core.algos.place(account, algo_order(form)))

    def query_algo(self, account: TradingAccount, form: Form) -> Any:
        return wire.algo(self.core.algos.find(account, *_algo_named(form)))

    def cancel_algo(self, account: TradingAccount, form: Form) -> Any:
        algo = self.core.algos.cancel(account, *_algo_named(form))
        return {"algoId": algo.algo_id, "clientAlgoId": algo.asked.client_id, "code": "200", "msg": "success"}

    def cancel_all_algos(self, account: TradingAccount, form: Form) -> Any:
        self.core.algos.cancel_all(account, form.text("symbol"))
        return _ALL_DONE

    def open_algos(self, account: TradingAccount, form: Form) -> Any:
        rows = self._of_symbol(form, account.open_algos.values(), lambda each: each.asked.symbol)
        number = form.whole("algoId", 0)
        return [wire.algo(each) for each in rows if number in (0, each.algo_id)]

    def all_algos(self, account: TradingAccount, form: Form) -> Any:
        symbol, first = form.text("symbol"), form.whole("algoId", 0)
        self.core.rules(symbol)
        rows = [each for each in account.algos.values() if each.asked.symbol == symbol and each.algo_id >= first]
        return [wire.algo(each) for each in _span(form, rows, lambda each: each.time_ms, first=bool(first))]

    # --- the user stream ---

    def start_stream(self, account: TradingAccount, form: Form) -> Any:
        return {"listenKey": self.streams.start(account)}

    def keep_stream(self, account: TradingAccount, form: Form) -> Any:
        return {"listenKey": self.streams.keep(account)}

    def end_stream(self, account: TradingAccount, form: Form) -> Any:
        self.streams.end(account)
        return {}

    # --- the account ---

    def balance(self, account: TradingAccount, form: Form) -> Any:
        return wire.balance(account, self.core.now_ms())

    def account(self, account: TradingAccount, form: Form) -> Any:
        return wire.account(account, self.core.now_ms())

    def old_account(self, account: TradingAccount, form: Form) -> Any:
        return wire.old_account(account, self.core.now_ms(), self.core.instruments)

    def position_risk(self, account: TradingAccount, form: Form) -> Any:
        """Those with a position or an order."""
        rows = self._of_symbol(form, account.shown(), lambda each: each.symbol)
        return [wire.position_risk(account, each) for each in rows]

    def old_position_risk(self, account: TradingAccount, form: Form) -> Any:
        rows = self._of_symbol(form, self.core.instruments, lambda each: each)
        return [wire.old_position_risk(account, each) for symbol in rows for each in account.of(symbol)]

    def symbol_config(self, account: TradingAccount, form: Form) -> Any:
        rows = self._of_symbol(form, self.core.instruments, lambda each: each)
        return [wire.symbol_config(account.of(symbol)[0]) for symbol in rows]

    def account_config(self, account: TradingAccount, form: Form) -> Any:
        abilities = {"feeTier": 0, "canTrade": True, "canDeposit": True, "canWithdraw": False}
        return {
            **abilities,
            "dualSidePosition": account.hedged,
            "updateTime": 0,
            "multiAssetsMargin": False,
            "tradeGroupId": -1,
        }

    def brackets(self, account: TradingAccount, form: Form) -> Any:
        return [wire.brackets(symbol) for symbol in self._of_symbol(form, self.core.instruments, lambda each: each)]

    def commission_rate(self, account: TradingAccount, form: Form) -> Any:
        symbol, fees = form.text("symbol"), self.core.fees
        self.core.rules(symbol)
        return {
            "symbol": symbol,
            "makerCommissionRate": f"{fees.maker:f}",
            "takerCommissionRate": f"{fees.taker:f}",
            "rpiCommissionRate": "0",
        }

    def income(self, account: TradingAccount, form: Form) -> Any:
        symbol, kind = form.optional("symbol"), form.optional("incomeType")
        if kind is not None and kind not in list(Income):
            raise invalid("incomeType")
        rows = [
            each
            for each in account.ledger.entries()
            if (symbol is None or each.symbol == symbol) and (kind is None or each.kind == kind)
        ]
        return [wire.income(each) for each in _span(form, rows, lambda each: each.ms, default=100)]

    def set_leverage(self, account: TradingAccount, form: Form) -> Any:
        symbol, leverage = form.text("symbol"), form.whole("leverage", 0)
        if not form.has("leverage"):
            raise missing("leverage")
        self.core.settings.set_leverage(account, symbol, leverage)
        most = account.of(symbol)[0].most_notional
        return {"leverage": leverage, "maxNotionalValue": wire.plain(most), "symbol": symbol}

    def set_margin_type(self, account: TradingAccount, form: Form) -> Any:
        symbol, kind = form.text("symbol"), form.text("marginType")
        if kind not in ("ISOLATED", "CROSSED"):
            raise invalid("marginType")
        self.core.settings.set_isolated(account, symbol, kind == "ISOLATED")
        return _DONE

    def position_mode(self, account: TradingAccount, form: Form) -> Any:
        return {"dualSidePosition": account.hedged}

    def set_position_mode(self, account: TradingAccount, form: Form) -> Any:
        if not form.has("dualSidePosition"):
            raise missing("dualSidePosition")
        self.core.settings.set_hedged(account, form.flag("dualSidePosition"))
        return _DONE

    def margin_mode(self, account: TradingAccount, form: Form) -> Any:
        return {"multiAssetsMargin": False}

    def order_counts(self, account: TradingAccount, form: Form) -> Any:
        return [
            {"rateLimitType": "ORDERS", "interval": unit, "intervalNum": count, "limit": most}
            for unit, count, most in OrderLimits.SHOWN
        ]

    def api_restrictions(self, key: ApiKey, form: Form) -> Any:
        return {
            "ipRestrict": False,
            "createTime": self.core.now_ms() - 86_400_000,
            "enableReading": True,
            "enableWithdrawals": key.withdrawals,
            "enableInternalTransfer": False,
            "enableMargin": False,
            "enableFutures": key.futures,
            "permitsUniversalTransfer": False,
            "enableVanillaOptions": False,
            "enableFixApiTrade": False,
            "enableFixReadOnly": False,
            "enableSpotAndMarginTrading": False,
            "enablePortfolioMarginTrading": False,
        }

    def _of_symbol(self, form: Form, rows: Iterable[T], symbol_of: Callable[[T], str]) -> list[T]:
        """Those of the symbol asked for, or all."""
        symbol = form.optional("symbol")
        if symbol is not None:
            self.core.rules(symbol)
        return [each for each in rows if symbol is None or symbol_of(each) == symbol]


async def _form(request: web.Request) -> tuple[Form, str, str]:
    """The parameters, and query string and body as they were sent."""
    query_string = request.raw_path.partition("?")[2]
    length = request.content_length
    if length is not None and length > MOST_BYTES:
        raise Refused(-1101, "Too many parameters; expected '0' and received '1'.", 413)
    try:
        body = (await body_of(request)).decode()
        pairs = parse_qsl(query_string, keep_blank_values=True) + parse_qsl(body, keep_blank_values=True)
    except (UnicodeDecodeError, ValueError):
        raise Refused(-1100, "Illegal characters found in a parameter.") from None
    if len(body) > MOST_BYTES:
        raise Refused(-1101, "Too many parameters; expected '0' and received '1'.", 413)
    texts = dict(pairs)
    if len(texts) < len(pairs):
        raise Refused(-1101, "Duplicate values for a parameter detected.")
    return Form(texts), query_string, body


def _named(form: Form) -> tuple[str, int | None, str | None]:
    symbol = form.text("symbol")
    if form.has("orderId"):
        return symbol, form.whole("orderId", 0), None
    if not form.has("origClientOrderId"):
        raise Refused(-1102, "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!")
    return symbol, None, form.text("origClientOrderId")


def _algo_named(form: Form) -> tuple[int | None, str | None]:
    if form.has("algoId"):
        return form.whole("algoId", 0), None
    if not form.has("clientAlgoId"):
        raise Refused(-1102, "Param 'clientAlgoId' or 'algoId' must be sent, but both were empty/null!")
    return None, form.text("clientAlgoId")


def _whole(value: Any, name: str) -> int:
    if isinstance(value, bool) or not (
        isinstance(value, int) or (isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 18)
    ):
        raise invalid(name)
    return int(value)


def _span(form: Form, rows: list[T], at_ms: Callable[[T], int], *, default: int = 500, first: bool = False) -> list[T]:
    """Within `startTime` and `endTime`: the first ones from a start or an id on, else the last ones."""
    limit = form.whole("limit", default, 1, 1000)
    start_ms, end_ms = form.span()
    if form.has("startTime") and form.has("endTime") and end_ms - start_ms > _LONGEST_SPAN_MS:
        raise Refused(-4165, "Maximum time interval is 7 days")
    within = [row for row in rows if start_ms <= at_ms(row) <= end_ms]
    return within[:limit] if start_ms or first else within[-limit:]


def _without(row: dict[str, Any], name: str) -> dict[str, Any]:
    del row[name]
    return row


def _flat(weight: int) -> Callable[[Form], int]:
    return lambda form: weight


def _for_all(one: int, all_: int) -> Callable[[Form], int]:
    return lambda form: one if form.has("symbol") else all_


CALLS: dict[tuple[str, str], Call] = {
    ("POST", "/fapi/v1/order"): Call(Private.new_order, _flat(0), orders=1),
    ("POST", "/fapi/v1/order/test"): Call(Private.test_order, _flat(0)),
    ("GET", "/fapi/v1/order"): Call(Private.query_order, _flat(1)),
    ("PUT", "/fapi/v1/order"): Call(Private.modify_order, _flat(0), orders=1),
    ("DELETE", "/fapi/v1/order"): Call(Private.cancel_order, _flat(1)),
    ("POST", "/fapi/v1/batchOrders"): Call(Private.new_orders, _flat(5), orders=5),
    ("PUT", "/fapi/v1/batchOrders"): Call(Private.modify_orders, _flat(5), orders=5),
    ("DELETE", "/fapi/v1/batchOrders"): Call(Private.cancel_orders, _flat(1)),
    ("DELETE", "/fapi/v1/allOpenOrders"): Call(Private.cancel_all, _flat(1)),
    ("POST", "/fapi/v1/countdownCancelAll"): Call(Private.count_down, _flat(10)),
    ("GET", "/fapi/v1/openOrder"): Call(Private.open_order, _flat(1)),
    ("GET", "/fapi/v1/openOrders"): Call(Private.open_orders, _for_all(1, 40)),
    ("GET", "/fapi/v1/allOrders"): Call(Private.all_orders, _flat(5)),
    ("GET", "/fapi/v1/userTrades"): Call(Private.user_trades, _flat(5)),
    ("POST", "/fapi/v1/algoOrder"): Call(Private.new_algo, _flat(0), orders=1),
    ("GET", "/fapi/v1/algoOrder"): Call(Private.query_algo, _flat(1)),
    ("DELETE", "/fapi/v1/algoOrder"): Call(Private.cancel_algo, _flat(1)),
    ("DELETE", "/fapi/v1/algoOpenOrders"): Call(Private.cancel_all_algos, _flat(1)),
    ("GET", "/fapi/v1/openAlgoOrders"): Call(Private.open_algos, _for_all(1, 40)),
    ("GET", "/fapi/v1/allAlgoOrders"): Call(Private.all_algos, _flat(5)),
    ("GET", "/fapi/v2/balance"): Call(Private.balance, _flat(5)),
    ("GET", "/fapi/v3/balance"): Call(Private.balance, _flat(5)),
    ("GET", "/fapi/v2/account"): Call(Private.old_account, _flat(5)),
    ("GET", "/fapi/v3/account"): Call(Private.account, _flat(5)),
    ("GET", "/fapi/v2/positionRisk"): Call(Private.old_position_risk, _flat(5)),
    ("GET", "/fapi/v3/positionRisk"): Call(Private.position_risk, _flat(5)),
    ("GET", "/fapi/v1/symbolConfig"): Call(Private.symbol_config, _flat(5)),
    ("GET", "/fapi/v1/accountConfig"): Call(Private.account_config, _flat(5)),
    ("GET", "/fapi/v1/leverageBracket"): Call(Private.brackets, _flat(1)),
    ("GET", "/fapi/v1/commissionRate"): Call(Private.commission_rate, _flat(20)),
    ("GET", "/fapi/v1/income"): Call(Private.income, _flat(30)),
    ("POST", "/fapi/v1/leverage"): Call(Private.set_leverage, _flat(1)),
    ("POST", "/fapi/v1/marginType"): Call(Private.set_margin_type, _flat(1)),
    ("GET", "/fapi/v1/positionSide/dual"): Call(Private.position_mode, _flat(30)),
    ("POST", "/fapi/v1/positionSide/dual"): Call(Private.set_position_mode, _flat(1)),
    ("GET", "/fapi/v1/multiAssetsMargin"): Call(Private.margin_mode, _flat(30)),
    ("GET", "/fapi/v1/rateLimit/order"): Call(Private.order_counts, _flat(1)),
    ("POST", "/fapi/v1/listenKey"): Call(Private.start_stream, _flat(1), signed=False),
    ("PUT", "/fapi/v1/listenKey"): Call(Private.keep_stream, _flat(1), signed=False),
    ("DELETE", "/fapi/v1/listenKey"): Call(Private.end_stream, _flat(1), signed=False),
    ("GET", "/sapi/v1/account/apiRestrictions"): Call(Private.api_restrictions, _flat(1), of_key=True),
}
