"""Accounts, orders and what happens to them as Binance USD-M words them: answers of private REST, and messages of the user stream.

Field names and types are those of the venue's published models; numbers are text, as there.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from bot.sim.exchange.account import Resting, TradingAccount
from bot.sim.exchange.ledger import Entry
from bot.sim.exchange.notices import (
    AlgoNotice,
    LeverageNotice,
    MarginCall,
    MoneyNotice,
    Notice,
    OrderNotice,
    TriggerRejected,
)
from bot.sim.exchange.position import LAST_CAP_USD, LEVERAGES, Position
from bot.sim.exchange.records import AlgoRecord, Kind, OrderRecord, TradeRecord
from bot.trading.margin import SAMPLE

ASSET = "USDT"
_ZERO = Decimal(0)


def amount(value: Decimal) -> str:
    """Money: eight places."""
    return f"{value:.8f}"


def plain(value: Decimal | None) -> str:
    """As short as it goes; "0" for none."""
    return f"{round(value, 10).normalize():f}" if value else "0"


def _side(buys: bool) -> str:
    return "BUY" if buys else "SELL"


# --- orders ---------------------------------------------------------------------------------------------------------


def order(of: OrderRecord) -> dict[str, Any]:
    return {
        "orderId": of.order_id,
        "symbol": of.symbol,
        "status": of.status,
        "clientOrderId": of.client_id,
        "price": plain(of.price),
        "avgPrice": f"{of.average:.5f}" if of.filled else "0.00",
        "origQty": plain(of.quantity),
        "executedQty": plain(of.filled),
        "cumQty": plain(of.filled),
        "cumQuote": plain(of.cost),
        "timeInForce": of.tif,
        "type": of.kind,
        "reduceOnly": of.reduce_only,
        "closePosition": of.close_position,
        "side": _side(of.buys),
        "positionSide": of.position_side,
        "stopPrice": plain(of.trigger_price),
        "workingType": of.working,
        "priceProtect": of.price_protect,
        "origType": of.origin,
        "priceMatch": of.price_match,
        "selfTradePreventionMode": of.self_trade,
        "goodTillDate": of.good_till_ms,
        "time": of.time_ms,
        "updateTime": of.update_ms,
    }


def algo(of: AlgoRecord) -> dict[str, Any]:
    asked, placed = of.asked, of.order
    return {
        "algoId": of.algo_id,
        "clientAlgoId": asked.client_id,
        "algoType": "CONDITIONAL",
        "orderType": asked.kind,
        "symbol": asked.symbol,
        "side": _side(asked.buys),
        "positionSide": asked.position_side,
        "timeInForce": asked.tif,
        "quantity": plain(asked.quantity),
        "algoStatus": of.status,
        "actualOrderId": str(placed.order_id) if placed else "",
        "actualPrice": plain(placed.average) if placed else "0",
        "actualQty": plain(placed.filled) if placed else "0",
        "actualType": placed.kind if placed else "",
        "triggerPrice": plain(asked.trigger_price),
        "price": plain(asked.price),
        "icebergQuantity": None,
        "tpTriggerPrice": "0",
        "tpPrice": "0",
        "slTriggerPrice": "0",
        "slPrice": "0",
        "tpOrderType": "",
        "selfTradePreventionMode": asked.self_trade,
        "workingType": asked.working,
        "priceMatch": asked.price_match,
        "closePosition": asked.close_position,
        "priceProtect": asked.price_protect,
        "reduceOnly": asked.reduce_only,
        "activatePrice": plain(asked.activate_price),
        "callbackRate": plain(asked.callback_pct),
        "createTime": of.time_ms,
        "updateTime": of.update_ms,
        "triggerTime": of.triggered_ms,
        "goodTillDate": asked.good_till_ms,
    }


def trade(of: TradeRecord) -> dict[str, Any]:
    return {
        "symbol": of.symbol,
        "id": of.trade_id,
        "orderId": of.order_id,
        "side": _side(of.buys),
        "price": plain(of.price),
        "qty": plain(of.quantity),
        "realizedPnl": amount(of.realised),
        "quoteQty": plain(of.price * of.quantity),
        "commission": amount(of.fee),
        "commissionAsset": ASSET,
        "time": of.time_ms,
        "positionSide": of.position_side,
        "buyer": of.buys,
        "maker": of.maker,
    }


def income(of: Entry) -> dict[str, Any]:
    return {
        "symbol": of.symbol,
        "incomeType": of.kind,
        "income": amount(of.amount),
        "asset": ASSET,
        "info": of.info or of.kind,
        "time": of.ms,
        "tranId": of.number,
        "tradeId": "" if of.trade_id is None else str(of.trade_id),
    }


# --- accounts -------------------------------------------------------------------------------------------------------


def balance(of: TradingAccount, now_ms: int) -> list[dict[str, Any]]:
    return [
        {
            "accountAlias": of.name,
            "asset": ASSET,
            "balance": amount(of.wallet),
            "crossWalletBalance": amount(of.cross_wallet),
            "crossUnPnl": amount(of.unrealised(isolated=False)),
            "availableBalance": amount(of.available),
            "maxWithdrawAmount": amount(_withdrawable(of)),
            "marginAvailable": True,
            "updateTime": now_ms,
        }
    ]


def account(of: TradingAccount, now_ms: int) -> dict[str, Any]:
    """`/fapi/v3/account`: positions and symbols with open orders only."""
    resting = of.resting()
    shown = of.shown()
    position_margin = sum((each.initial(of.marks(each.symbol)) for each in of.held()), _ZERO)
    initial = sum((of.initial_of(each, resting.get(each.symbol, Resting())) for each in shown), _ZERO)
    unrealised = of.unrealised()
    shared = {
        "initialMargin": amount(initial),
        "maintMargin": amount(of.maintenance()),
        "walletBalance": amount(of.wallet),
        "unrealizedProfit": amount(unrealised),
        "marginBalance": amount(of.wallet + unrealised),
        "positionInitialMargin": amount(position_margin),
        "openOrderInitialMargin": amount(initial - position_margin),
        "crossWalletBalance": amount(of.cross_wallet),
        "crossUnPnl": amount(of.unrealised(isolated=False)),
    }
    free = {"availableBalance": amount(of.available), "maxWithdrawAmount": amount(_withdrawable(of))}
    return {
        **{f"total{name[0].upper()}{name[1:]}": value for name, value in shared.items()},
        **free,
        "assets": [{"asset": ASSET, **shared, **free, "updateTime": now_ms}],
        "positions": [_account_position(of, each) for each in shown],
    }


def old_account(of: TradingAccount, now_ms: int, symbols: Iterable[str]) -> dict[str, Any]:
    """`/fapi/v2/account`: every symbol."""
    new, resting = account(of, now_ms), of.resting()
    abilities = {"feeTier": 0, "feeBurn": False, "canTrade": True, "canDeposit": True, "canWithdraw": False}
    positions = []
    for position in (each for symbol in symbols for each in of.of(symbol)):
        own = resting.get(position.symbol, Resting())
        positions.append(
            {
                **_account_position(of, position),
                **_order_margin(of, position, own),
                "leverage": str(position.leverage),
                "isolated": position.isolated,
                "entryPrice": plain(position.entry),
                "maxNotional": plain(position.most_notional),
            }
        )
    return {**abilities, "updateTime": 0, "multiAssetsMargin": False, "tradeGroupId": -1, **new, "positions": positions}


def _account_position(of: TradingAccount, position: Position) -> dict[str, Any]:
    mark = of.marks(position.symbol)
    return {
        "symbol": position.symbol,
        "positionSide": position.side,
        "positionAmt": plain(position.quantity),
        "unrealizedProfit": amount(position.unrealised(mark)),
        "isolatedMargin": amount(position.margin + position.unrealised(mark) if position.isolated else _ZERO),
        "notional": amount(position.quantity * mark),
        "isolatedWallet": amount(position.margin),
        "initialMargin": amount(of.initial_of(position, of.resting().get(position.symbol, Resting()))),
        "maintMargin": amount(position.maintenance(mark)),
        "updateTime": position.update_ms,
    }


def _order_margin(of: TradingAccount, position: Position, own: Resting) -> dict[str, Any]:
    initial, held = of.initial_of(position, own), position.initial(of.marks(position.symbol))
    return {
        "positionInitialMargin": amount(held),
        "openOrderInitialMargin": amount(initial - held),
        "bidNotional": plain(own.bids),
        "askNotional": plain(own.asks),
    }


def position_risk(of: TradingAccount, position: Position) -> dict[str, Any]:
    """`/fapi/v3/positionRisk`."""
    mark = of.marks(position.symbol)
    common = _account_position(of, position)
    return {
        **{name: value for name, value in common.items() if name != "unrealizedProfit"},
        "entryPrice": plain(position.entry),
        "breakEvenPrice": plain(position.break_even),
        "markPrice": amount(mark),
        "unRealizedProfit": common["unrealizedProfit"],
        "liquidationPrice": plain(round(of.liquidation_price(position), 8)),
        "marginAsset": ASSET,
        **_order_margin(of, position, of.resting().get(position.symbol, Resting())),
        "adl": 1 if position.quantity else 0,
    }


def old_position_risk(of: TradingAccount, position: Position) -> dict[str, Any]:
    """`/fapi/v2/positionRisk`."""
    return {
        **position_risk(of, position),
        "marginType": "isolated" if position.isolated else "cross",
        "isAutoAddMargin": "false",
        "leverage": str(position.leverage),
        "maxNotionalValue": plain(position.most_notional),
    }


def symbol_config(position: Position) -> dict[str, Any]:
    return {
        "symbol": position.symbol,
        "marginType": "ISOLATED" if position.isolated else "CROSSED",
        "isAutoAddMargin": False,
        "leverage": position.leverage,
        "maxNotionalValue": plain(position.most_notional),
    }


def brackets(symbol: str) -> dict[str, Any]:
    rows, floor = [], 0
    for number, (row, leverage) in enumerate(zip(SAMPLE, LEVERAGES, strict=True), 1):
        cap = int(row.cap_usd) if row.cap_usd is not None else LAST_CAP_USD
        rows.append(
            {
                "bracket": number,
                "initialLeverage": leverage,
                "notionalCap": cap,
                "notionalFloor": floor,
                "maintMarginRatio": float(row.rate),
                "cum": float(row.deduction_usd),
            }
        )
        floor = cap
    return {"symbol": symbol, "notionalCoef": 1.0, "brackets": rows}


def _withdrawable(of: TradingAccount) -> Decimal:
    return max(_ZERO, min(of.available, of.cross_wallet))


# --- the user stream ------------------------------------------------------------------------------------------------


def message(of: TradingAccount, ms: int, notice: Notice) -> dict[str, Any]:
    """What the account's streams are sent; `E` a millisecond after `T`, as market streams have it."""
    sent: dict[str, Any]
    match notice:
        case OrderNotice():
            return {"e": "ORDER_TRADE_UPDATE", "E": ms + 1, "T": ms, "o": _order_update(notice, ms)}
        case MoneyNotice():
            return {"e": "ACCOUNT_UPDATE", "E": ms + 1, "T": ms, "a": _money(of, notice)}
        case AlgoNotice(algo=record):
            return {"e": "ALGO_UPDATE", "T": ms, "E": ms + 1, "o": _algo_update(record)}
        case TriggerRejected(algo=record):
            rejected = {"s": record.asked.symbol, "i": record.algo_id, "r": record.reason}
            return {"e": "CONDITIONAL_ORDER_TRIGGER_REJECT", "E": ms + 1, "T": ms, "or": rejected}
        case LeverageNotice(position=position):
            changed = {"s": position.symbol, "l": position.leverage}
            return {"e": "ACCOUNT_CONFIG_UPDATE", "E": ms + 1, "T": ms, "ac": changed}
        case MarginCall(cross_wallet=wallet, positions=positions):
            sent = {"e": "MARGIN_CALL", "E": ms + 1, "p": [_in_danger(of, each) for each in positions]}
            return sent if wallet is None else {**sent, "cw": plain(wallet)}


def trade_lite(ms: int, order: OrderRecord, trade: TradeRecord) -> dict[str, Any]:
    """The shorter word of a trade, which the venue sends first."""
    return {
        "e": "TRADE_LITE",
        "E": ms + 1,
        "T": ms,
        "s": order.symbol,
        "q": plain(order.quantity),
        "p": plain(order.price),
        "m": trade.maker,
        "c": order.client_id,
        "S": _side(order.buys),
        "L": plain(trade.price),
        "l": plain(trade.quantity),
        "t": trade.trade_id,
        "i": order.order_id,
    }


def _order_update(notice: OrderNotice, ms: int) -> dict[str, Any]:
    of, filled = notice.order, notice.trade
    sent = {
        "s": of.symbol,
        "c": of.client_id,
        "S": _side(of.buys),
        "o": of.kind,
        "f": of.tif,
        "q": plain(of.quantity),
        "p": plain(of.price),
        "ap": plain(of.average),
        "sp": plain(of.trigger_price),
        "x": notice.execution,
        "X": of.status,
        "i": of.order_id,
        "l": plain(filled.quantity) if filled else "0",
        "z": plain(of.filled),
        "L": plain(filled.price) if filled else "0",
        "T": ms,
        "t": filled.trade_id if filled else 0,
        "b": "0",
        "a": "0",
        "m": bool(filled and filled.maker),
        "R": of.reduce_only,
        "wt": of.working,
        "ot": of.origin,
        "ps": of.position_side,
        "cp": of.close_position,
        "rp": plain(filled.realised) if filled else "0",
        "pP": of.price_protect,
        "si": 0,
        "ss": 0,
        "V": of.self_trade,
        "pm": of.price_match,
        "gtd": of.good_till_ms,
        "er": notice.reason,
    }
    if filled:
        sent |= {"N": ASSET, "n": plain(filled.fee)}
    return sent


def _money(of: TradingAccount, notice: MoneyNotice) -> dict[str, Any]:
    money = {
        "a": ASSET,
        "wb": amount(notice.wallet),
        "cw": amount(notice.cross_wallet),
        "bc": plain(notice.change),
    }
    return {"m": notice.reason, "B": [money], "P": [_position_update(of, each) for each in notice.positions]}


def _position_update(of: TradingAccount, position: Position) -> dict[str, Any]:
    return {
        "s": position.symbol,
        "pa": plain(position.quantity),
        "ep": plain(position.entry),
        "bep": plain(position.break_even),
        "cr": plain(position.realised),
        "up": plain(position.unrealised(of.marks(position.symbol))),
        "mt": "isolated" if position.isolated else "cross",
        "iw": plain(position.margin),
        "ps": position.side,
    }


def _algo_update(of: AlgoRecord) -> dict[str, Any]:
    asked, placed = of.asked, of.order
    sent = {
        "caid": asked.client_id,
        "aid": of.algo_id,
        "at": "CONDITIONAL",
        "o": asked.kind,
        "s": asked.symbol,
        "S": _side(asked.buys),
        "ps": asked.position_side,
        "f": asked.tif,
        "q": plain(asked.quantity),
        "X": of.status,
        "ai": str(placed.order_id) if placed else "",
        "tp": plain(asked.trigger_price),
        "p": plain(asked.price),
        "V": asked.self_trade,
        "wt": asked.working,
        "pm": asked.price_match,
        "cp": asked.close_position,
        "pP": asked.price_protect,
        "R": asked.reduce_only,
        "tt": of.triggered_ms,
        "gtd": asked.good_till_ms,
        "rm": of.reason,
    }
    if placed:
        sent |= {"ap": plain(placed.average), "aq": plain(placed.filled), "act": placed.kind}
    if asked.kind is Kind.TRAILING_STOP_MARKET:
        sent |= {"AP": plain(asked.activate_price), "cr": plain(asked.callback_pct), "ia": of.active}
    return sent


def _in_danger(of: TradingAccount, position: Position) -> dict[str, Any]:
    mark = of.marks(position.symbol)
    return {
        "s": position.symbol,
        "ps": position.side,
        "pa": plain(position.quantity),
        "mt": "ISOLATED" if position.isolated else "CROSSED",
        "iw": plain(position.margin),
        "mp": plain(mark),
        "up": plain(position.unrealised(mark)),
        "mm": plain(position.maintenance(mark)),
    }
