"""What CoinGlass sends, endpoint by endpoint, read strictly into rows of ours. Pure; called by `poller`.

Each function takes `data` of an answer (`envelope.data_of`) and raises Refusal that names the field. One bad row refuses
the answer, because a sum or a choice without it would be of something else; only the list of pairs drops rows it cannot
read. Fields that are not used are not looked at: the live service adds and drops some. Prices and USD are Decimal, times ns.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from msgspec import Struct

from bot.domain.values import NS, Side
from bot.intel.coinglass.envelope import SMALLEST, Row, bad, keyed, listed, number, text_number, whole
from bot.intel.coinglass.plans import Plan
from bot.market.readings import FUTURE_NS

_EXPIRY_HOUR = 8  # UTC, as Deribit settles
_MS_NS = NS // 1000
_EARLIEST_S, _LATEST_S = 1_500_000_000, 4_000_000_000  # 2017 to 2096
_ALL = "all"


class TakerTotals(Struct, frozen=True, kw_only=True):
    """Aggressive volume over all exchanges."""

    buy_usd: Decimal
    sell_usd: Decimal


def parse_taker(data: Any, coin: str) -> TakerTotals:
    row = Row("data", data)
    _same("data.symbol", row.text("symbol"), coin)
    listed(*row.raw("exchange_list"))
    return TakerTotals(buy_usd=row.number("buy_vol_usd"), sell_usd=row.number("sell_vol_usd"))


class PainRow(Struct, frozen=True, kw_only=True):
    """Max pain of one expiry. Open interest in coins, calls and puts together."""

    date: str  # ISO
    expiry_ns: int
    price: Decimal
    open_interest: Decimal
    notional_usd: Decimal


def parse_max_pain(data: Any) -> list[PainRow]:
    """Empty for a coin without listed options."""
    rows = [_pain_row(Row(f"data[{index}]", row)) for index, row in enumerate(listed("data", data))]
    if len({row.date for row in rows}) < len(rows):
        raise bad("data", "one expiry twice", "expiries must differ")
    return rows


def _pain_row(row: Row) -> PainRow:
    expires = _expiry(*row.raw("date"))
    return PainRow(
        date=expires.date().isoformat(),
        expiry_ns=int(expires.timestamp()) * NS,
        price=text_number(*row.raw("max_pain_price"), least=SMALLEST),
        open_interest=row.number("call_open_interest") + row.number("put_open_interest"),
        notional_usd=row.number("call_open_interest_notional") + row.number("put_open_interest_notional"),
    )


def _expiry(path: str, value: object) -> datetime:
    if not isinstance(value, str) or len(value) != 6 or not (value.isascii() and value.isdigit()):
        raise bad(path, value, "must be YYMMDD in text")
    try:
        return datetime(2000 + int(value[:2]), int(value[2:4]), int(value[4:]), _EXPIRY_HOUR, tzinfo=UTC)
    except ValueError:
        raise bad(path, value, "must be a date") from None


class LargeOrder(Struct, frozen=True, kw_only=True):
    """One resting order, or price level, above CoinGlass' own threshold."""

    side: Side
    price: Decimal
    usd: Decimal
    start_ns: int
    seen_ns: int


_OPEN = 1
_SIDES = {1: Side.SELL, 2: Side.BUY}


def parse_large_orders(data: Any, exchange: str, symbol: str, now_ns: int) -> list[LargeOrder]:
    """Those that are open. Empty where none is large enough."""
    rows = [Row(f"data[{index}]", row) for index, row in enumerate(listed("data", data))]
    orders = [_large_order(row, exchange, symbol, now_ns) for row in rows]
    return [order for order in orders if order is not None]


def _large_order(row: Row, exchange: str, symbol: str, now_ns: int) -> LargeOrder | None:
    _same(f"{row.path}.exchange_name", row.text("exchange_name"), exchange)
    _same(f"{row.path}.symbol", row.text("symbol"), symbol)
    order = LargeOrder(
        side=_SIDES[row.whole("order_side", 1, 2)],
        price=row.number("price", positive=True),
        usd=row.number("current_usd_value"),
        start_ns=_past_ms(*row.raw("start_time"), now_ns),
        seen_ns=_past_ms(*row.raw("current_time"), now_ns),
    )
    return order if row.whole("order_state", 0, 3) == _OPEN and order.usd else None


class Heatmap(Struct, frozen=True, kw_only=True):
    """The newest column of the heatmap: what is expected to be liquidated at which price, as of now."""

    price: Decimal  # the newest close
    observed_ns: int
    levels: tuple[tuple[Decimal, Decimal], ...]  # price, USD; ascending


def parse_heatmap(data: Any, now_ns: int) -> Heatmap:
    row = Row("data", data)
    candles = listed(*row.raw("price_candlesticks"))
    prices = _axis(*row.raw("y_axis"))
    if not candles or not prices:
        raise bad("data.price_candlesticks" if not candles else "data.y_axis", "an empty list", "must have rows")
    newest, rows = len(candles) - 1, len(prices)
    levels: dict[int, Decimal] = {}
    for index, cell in enumerate(listed(*row.raw("liquidation_leverage_data"))):
        if _old_cell(cell, newest, rows):
            continue
        x, y, usd = _cell(f"data.liquidation_leverage_data[{index}]", cell, newest, rows)
        if x == newest and usd:
            levels[y] = levels.get(y, Decimal(0)) + usd
    close, observed_ns = _newest(candles, now_ns)
    return Heatmap(price=close, observed_ns=observed_ns, levels=tuple((prices[y], levels[y]) for y in sorted(levels)))


def _axis(path: str, value: object) -> list[Decimal]:
    prices = [number(f"{path}[{index}]", each, least=SMALLEST) for index, each in enumerate(listed(path, value))]
    for index in range(1, len(prices)):
        if not prices[index - 1] < prices[index]:
            raise bad(f"{path}[{index}]", prices[index], "must rise")
    return prices


def _old_cell(cell: Any, newest: int, rows: int) -> bool:
    """A well-formed cell of an older column. A day has tens of thousands of them, all read on the engine's loop."""
    return (
        type(cell) is list
        and len(cell) == 3
        and type(cell[0]) is type(cell[1]) is int
        and 0 <= cell[0] < newest
        and 0 <= cell[1] < rows
        and type(cell[2]) in (int, Decimal)
    )


def _cell(path: str, cell: object, newest: int, rows: int) -> tuple[int, int, Decimal]:
    values = listed(path, cell)
    if len(values) != 3:
        raise bad(path, f"{len(values)} values", "must be column, row and level")
    x, y = whole(f"{path}[0]", values[0], 0, newest), whole(f"{path}[1]", values[1], 0, rows - 1)
    return x, y, number(f"{path}[2]", values[2])


def _newest(candles: list[Any], now_ns: int) -> tuple[Decimal, int]:
    """Close of the last candle, and up to when it speaks: its end, or now while it is still forming."""
    path = f"data.price_candlesticks[{len(candles) - 1}]"
    candle = listed(path, candles[-1])
    if len(candle) != 6:
        raise bad(path, f"{len(candle)} values", "must be time, open, high, low, close and volume")
    start_ns = _past_s(f"{path}[0]", candle[0], now_ns)
    close = text_number(f"{path}[4]", candle[4], least=SMALLEST)
    width_ns = 0
    if len(candles) > 1:
        before = listed(f"data.price_candlesticks[{len(candles) - 2}]", candles[-2])
        width_ns = start_ns - _past_s(
            f"data.price_candlesticks[{len(candles) - 2}][0]", before[:1] and before[0], now_ns
        )
    if width_ns < 0:
        raise bad(f"{path}[0]", candle[0], "candles must be oldest first")
    return close, min(now_ns, start_ns + width_ns)


class Interest(Struct, frozen=True, kw_only=True):
    """Open interest of a coin: in coins by exchange, without the row of all; in USD over all of them."""

    usd: Decimal
    coins_of_all: Decimal
    coins: dict[str, Decimal]

    @property
    def price(self) -> Decimal | None:
        return self.usd / self.coins_of_all if self.usd and self.coins_of_all else None


def parse_open_interest(data: Any, coin: str) -> Interest:
    """The row `All` is the sum of the others (reference 3.5): it is kept apart, never added to them."""
    total: Interest | None = None
    coins: dict[str, Decimal] = {}
    for index, each in enumerate(listed("data", data)):
        row = Row(f"data[{index}]", each)
        exchange = row.text("exchange").lower()
        _same(f"{row.path}.symbol", row.text("symbol"), coin)
        usd, quantity = row.number("open_interest_usd"), row.number("open_interest_quantity")
        if exchange in coins or (exchange == _ALL and total):
            raise bad(f"{row.path}.exchange", exchange, "must be listed once")
        if exchange == _ALL:
            total = Interest(usd=usd, coins_of_all=quantity, coins=coins)
        else:
            coins[exchange] = quantity
    if total is None or not coins:
        raise bad("data", f"{len(coins)} exchanges", "must have the row All and some exchange")
    return total


class Crowd(Struct, frozen=True, kw_only=True):
    ratio: Decimal
    observed_ns: int


_SLACK = Decimal("0.05")  # of the ratio, for rounded percents


def parse_crowd(data: Any, now_ns: int) -> Crowd:
    """The newest row's ratio. Ratio and percents must agree: each is rounded, so by 5 %."""
    rows = listed("data", data)
    if not rows:
        raise bad("data", "an empty list", "must have rows")
    at = [_past_ms(*Row(f"data[{index}]", row).raw("time"), now_ns) for index, row in enumerate(rows)]
    index = max(range(len(rows)), key=at.__getitem__)
    row = Row(f"data[{index}]", rows[index])
    ratio = row.number("global_account_long_short_ratio", positive=True)
    long_pct, short_pct = row.number("global_account_long_percent"), row.number("global_account_short_percent")
    if abs(ratio * short_pct - long_pct) > _SLACK * max(ratio * short_pct, long_pct) or not short_pct:
        raise bad(f"{row.path}.global_account_long_short_ratio", ratio, f"must be {long_pct} / {short_pct}")
    return Crowd(ratio=ratio, observed_ns=at[index])


class Subscription(Struct, frozen=True, kw_only=True):
    """`plan` is None for a level this program does not know."""

    level: str
    plan: Plan | None
    expired: bool


def parse_subscription(data: Any) -> Subscription:
    row = Row("data", data)
    level = row.text("level")
    path, expired = row.raw("expired")
    if not isinstance(expired, bool):
        raise bad(path, expired, "must be true or false")
    known = level.lower() in set(Plan)
    return Subscription(level=level, plan=Plan(level.lower()) if known else None, expired=expired)


class Pair(Struct, frozen=True, kw_only=True):
    """`name` is the venue's own; the coin cannot be told from it (`1000PEPEUSDT`, `BTCUSD_PERP`)."""

    name: str
    coin: str
    quote: str


Pairs = dict[str, dict[str, Pair]]  # by exchange, by name


def parse_pairs(data: Any) -> Pairs:
    """Rows without a name, coin or quote are dropped: a pair that is not listed is not asked for."""
    pairs = {exchange: _listed_pairs(f"data.{exchange}", rows) for exchange, rows in keyed("data", data).items()}
    if not any(pairs.values()):
        raise bad("data", "no pair at all", "must list pairs")
    return pairs


def _listed_pairs(path: str, rows: object) -> dict[str, Pair]:
    found: dict[str, Pair] = {}
    for index, row in enumerate(listed(path, rows)):
        fields = keyed(f"{path}[{index}]", row)
        texts = [fields.get(field) for field in ("instrument_id", "base_asset", "quote_asset")]
        if all(isinstance(each, str) and each for each in texts):
            name, coin, quote = map(str, texts)
            found[name] = Pair(name=name, coin=coin, quote=quote)
    return found


# --- times and names --------------------------------------------------------------------------------------------------


def _same(path: str, got: str, asked: str) -> None:
    """Spelling in capitals differs between endpoints."""
    if got.lower() != asked.lower():
        raise bad(path, got, f"must be {asked}")


def _past_ms(path: str, value: object, now_ns: int) -> int:
    at = whole(path, value, _EARLIEST_S * 1000, _LATEST_S * 1000)
    return _past(path, at * _MS_NS, now_ns)


def _past_s(path: str, value: object, now_ns: int) -> int:
    return _past(path, whole(path, value, _EARLIEST_S, _LATEST_S) * NS, now_ns)


def _past(path: str, at_ns: int, now_ns: int) -> int:
    """Up to 5 s ahead of our clock it is now; more is refused."""
    if at_ns - now_ns > FUTURE_NS:
        raise bad(path, f"{(at_ns - now_ns) / NS:.0f} s ahead", "must not lie in the future")
    return min(at_ns, now_ns)
