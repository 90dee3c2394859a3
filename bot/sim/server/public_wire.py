"""What the market looks like in Binance USD-M's public answers: rows of prices, trades, klines, ratios and listings.

Pure. `public.py` and `streams.py` ask for them; private answers are in `private_wire.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any, TypeVar

from bot.domain.instrument import Instrument
from bot.sim.events import Rung, Trade
from bot.sim.refusals import NotKnown
from bot.sim.scenario import Coin
from bot.sim.server.kline import Kline
from bot.sim.server.past import Past, Sample

T = TypeVar("T")
MINUTE_MS = 60_000
INTERVALS_MS = {
    f"{count}{unit}": count * width_ms
    for unit, width_ms, counts in (
        ("m", MINUTE_MS, (1, 3, 5, 15, 30)),
        ("h", 60 * MINUTE_MS, (1, 2, 4, 6, 8, 12)),
        ("d", 1440 * MINUTE_MS, (1, 3)),
    )
    for count in counts
}
ORDER_TYPES = ("LIMIT", "MARKET", "STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET")


def known(value: T | None) -> T:
    """Raises NotKnown."""
    if value is None:
        raise NotKnown
    return value


def price(coin: Coin, ticks: int) -> str:
    return f"{ticks * coin.tick:f}"


def size(coin: Coin, lots: int) -> str:
    return f"{lots * coin.step:f}"


def levels(coin: Coin, rungs: Iterable[Rung]) -> list[tuple[str, str]]:
    return [(price(coin, ticks), size(coin, lots)) for ticks, lots in rungs]


def day_of(coin: Coin, past: Past, trade: Trade) -> dict[str, Any]:
    """Of the last 24 hours by the minute."""
    day = [k for k in past.minutes if k.start_ms > trade.ms - 1440 * MINUTE_MS]
    opened, close, lots = day[0].open, day[-1].close, sum(k.lots for k in day)
    worth, count = sum(k.worth for k in day), sum(k.trades for k in day)
    return {
        "symbol": coin.symbol,
        "priceChange": price(coin, close - opened),
        "priceChangePercent": f"{(close / opened - 1) * 100:.3f}",
        "weightedAvgPrice": f"{worth / lots * float(coin.tick):.8f}",
        "lastPrice": price(coin, close),
        "lastQty": size(coin, trade.lots),
        "openPrice": price(coin, opened),
        "highPrice": price(coin, max(k.high for k in day)),
        "lowPrice": price(coin, min(k.low for k in day)),
        "volume": size(coin, lots),
        "quoteVolume": _worth(coin, worth),
        "openTime": day[0].start_ms,
        "closeTime": trade.ms,
        "firstId": trade.trade_id - count + 1,
        "lastId": trade.trade_id,
        "count": count,
    }


def _worth(coin: Coin, worth: int) -> str:
    return f"{worth * coin.tick * coin.step:f}"


def coins(coin: Coin, value: float) -> str:
    return f"{round(value / float(coin.step)) * coin.step:f}"


def kline(coin: Coin, k: Kline, width_ms: int) -> list[Any]:
    prices = [price(coin, ticks) for ticks in (k.open, k.high, k.low, k.close)]
    taken = [size(coin, k.buy_lots), _worth(coin, k.buy_worth), "0"]
    end_ms = k.start_ms + width_ms - 1
    return [k.start_ms, *prices, size(coin, k.lots), end_ms, _worth(coin, k.worth), k.trades, *taken]


def kline_fields(coin: Coin, k: Kline, width_ms: int) -> dict[str, Any]:
    """As a stream tells a kline."""
    row = kline(coin, k, width_ms)
    return dict(zip(("t", "o", "h", "l", "c", "v", "T", "q", "n", "V", "Q", "B"), row, strict=True))


def agg_trade(coin: Coin, trade: Trade) -> dict[str, Any]:
    number = trade.trade_id
    return {
        "a": number,
        "p": price(coin, trade.ticks),
        "q": size(coin, trade.lots),
        "f": number,
        "l": number,
        "T": trade.ms,
        "m": not trade.taker_buys,
    }


def trade_row(coin: Coin, trade: Trade) -> dict[str, Any]:
    return {
        "id": trade.trade_id,
        "price": price(coin, trade.ticks),
        "qty": size(coin, trade.lots),
        "quoteQty": _worth(coin, trade.ticks * trade.lots),
        "time": trade.ms,
        "isBuyerMaker": not trade.taker_buys,
        "isRPITrade": False,
    }


def ratio_row(coin: Coin, sample: Sample, ratio: float) -> dict[str, Any]:
    long = ratio / (1 + ratio)
    return {
        "symbol": coin.symbol,
        "longShortRatio": f"{ratio:.4f}",
        "longAccount": f"{long:.4f}",
        "shortAccount": f"{1 - long:.4f}",
        "timestamp": sample.ms,
    }


def taker_row(coin: Coin, k: Kline) -> dict[str, Any]:
    sells = max(1, k.lots - k.buy_lots)
    return {
        "buySellRatio": f"{k.buy_lots / sells:.4f}",
        "buyVol": size(coin, k.buy_lots),
        "sellVol": size(coin, k.lots - k.buy_lots),
        "timestamp": k.start_ms,
    }


def listing(coin: Coin, rules: Instrument, *, trading: bool) -> dict[str, Any]:

    def places(unit: Decimal) -> int:
        return max(0, -int(unit.normalize().as_tuple().exponent))

    def lots(kind: str, most: Decimal) -> dict[str, Any]:
        sizes = {"minQty": f"{rules.min_quantity:f}", "maxQty": f"{most:f}", "stepSize": f"{rules.step:f}"}
        return {"filterType": kind, **sizes}

    top, bottom = f"{rules.tick * 10**9:f}", f"{rules.tick:f}"
    return {
        "symbol": coin.symbol,
        "pair": coin.symbol,
        "contractType": "PERPETUAL",
        "deliveryDate": 4_133_404_800_000,
        "onboardDate": 1_569_398_400_000,
        "status": "TRADING" if trading else "SETTLING",
        "maintMarginPercent": "2.5000",
        "requiredMarginPercent": "5.0000",
        "baseAsset": coin.base,
        "quoteAsset": "USDT",
        "marginAsset": "USDT",
        "pricePrecision": places(rules.tick),
        "quantityPrecision": places(rules.step),
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "underlyingSubType": ["PoW"] if coin.base == "BTC" else [],
        "triggerProtect": "0.0500",
        "liquidationFee": "0.012500",
        "marketTakeBound": "0.05",
        "maxMoveOrderLimit": 10_000,
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": bottom, "maxPrice": top, "tickSize": bottom},
            lots("LOT_SIZE", rules.max_quantity),
            lots("MARKET_LOT_SIZE", rules.max_market_quantity),
            {"filterType": "MAX_NUM_ORDERS", "limit": 200},
            {"filterType": "MAX_NUM_ALGO_ORDERS", "limit": 200},
            {"filterType": "MIN_NOTIONAL", "notional": f"{rules.min_notional:f}"},
            {
                "filterType": "PERCENT_PRICE",
                "multiplierUp": "1.0500",
                "multiplierDown": "0.9500",
                "multiplierDecimal": "4",
            },
        ],
        "orderTypes": list(ORDER_TYPES),
        "timeInForce": ["GTC", "IOC", "FOK", "GTX", "GTD"],
    }
