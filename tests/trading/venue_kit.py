"""What tests of the simulated venue are written with: a market one can write into, orders with defaults, reports as words."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from bot.domain.instrument import Instrument
from bot.domain.market import Bar
from bot.domain.orders import Fill, Order, OrderReport, OrderType, OrderUpdate, TimeInForce
from bot.domain.values import Side
from bot.trading.costs import FeeParams
from bot.trading.fills import Matching
from bot.trading.takings import REFILL_NS

PAPER_JSON = Path(__file__).resolve().parents[1] / "fixtures/quant/paper.json"
BTC = "binanceusdm:BTCUSDT"
ETH = "binanceusdm:ETHUSDT"
BUY, SELL = Side.BUY, Side.SELL
LIMIT, MARKET, STOP, PROFIT = OrderType.LIMIT, OrderType.MARKET, OrderType.STOP_MARKET, OrderType.TAKE_PROFIT_MARKET
GTC, IOC, GTX = TimeInForce.GTC, TimeInForce.IOC, TimeInForce.GTX
FEES = FeeParams()
D = Decimal


def instrument(name: str = BTC, **over: Any) -> Instrument:
    venue, symbol = name.split(":")
    rules: dict[str, Any] = {
        "tick": D("0.1"),
        "step": D("0.001"),
        "min_quantity": D("0.001"),
        "max_quantity": D(1000),
        "max_market_quantity": D(120),
        "min_notional": D(5),
    }
    base = symbol.removesuffix("USDT")
    return Instrument(
        id=name, venue=venue, symbol=symbol, unified=f"{base}/USDT:USDT", base=base, quote="USDT", **(rules | over)
    )


@dataclass
class Market:
    """A `PriceView` one can write into. `asked` records how many levels were wanted."""

    bids: list[tuple[float, float]] = field(default_factory=lambda: [(99.9, 1.0), (99.8, 2.0), (99.5, 5.0)])
    asks: list[tuple[float, float]] = field(default_factory=lambda: [(100.1, 1.0), (100.2, 2.0), (100.5, 5.0)])
    mark: float | None = 100.0
    usable: bool = True
    last: float | None = None
    mark_source: str = "venue"
    funding_rate: float | None = None
    next_funding_ns: int | None = None
    unknown: set[float] = field(default_factory=set)  # prices that the book does not reach
    asked: list[int] = field(default_factory=list)

    @property
    def bid(self) -> float | None:
        return self.bids[0][0] if self.bids else None

    @property
    def ask(self) -> float | None:
        return self.asks[0][0] if self.asks else None

    @property
    def stamped_ahead_ns(self) -> int | None:
        return None

    @property
    def past_funding(self) -> tuple[float | None, int] | None:
        return None

    @property
    def mid(self) -> float | None:
        return None if self.bid is None or self.ask is None else (self.bid + self.ask) / 2

    def book_age_ns(self, now_ns: int) -> int | None:
        return 0

    def trade_age_ns(self, now_ns: int) -> int | None:
        return 0

    def mark_age_ns(self, now_ns: int) -> int | None:
        return 0

    def levels(self, side: Side, count: int) -> list[tuple[float, float]]:
        self.asked.append(count)
        return (self.bids if side is BUY else self.asks)[:count]

    def size_at(self, side: Side, price: float) -> float | None:
        if not self.usable or price in self.unknown:
            return None
        return dict(self.bids if side is BUY else self.asks).get(price, 0.0)

    def bars(self, width_s: int, count: int) -> list[Bar]:
        return []

    def atr(self, width_s: int, count: int) -> float | None:
        return None


_ids = iter(f"id{i}" for i in range(1_000_000))


def order(side: Side, kind: OrderType, quantity: str | int | Decimal = 1, **over: Any) -> Order:
    for name in ("price", "stop_price"):
        if name in over and over[name] is not None:
            over[name] = D(str(over[name]))
    fields: dict[str, Any] = {"client_order_id": next(_ids), "instrument": BTC, "leg": "entry"}
    fields |= {"signal_id": "s", "position_id": "p", "side": side, "type": kind, "quantity": D(str(quantity))}
    return Order(**(fields | over))


def matching(*, position: str | int = 0, market: Market | None = None, **rules: Any) -> Matching:
    """A fresh account, holding `position` bought or sold on a deep book of its own."""
    made = Matching({BTC: instrument(BTC, **rules), ETH: instrument(ETH, **rules)}, FEES)
    held = D(position)
    if held:
        deep = Market(bids=[(100.0, 1e6)], asks=[(100.0, 1e6)])
        made.place(order(BUY if held > 0 else SELL, MARKET, str(abs(held))), deep)
        made.now_ns += REFILL_NS
    return made


def printed(made: Matching, price: float, quantity: float = 0.001, *, buys: bool = True) -> list[OrderReport]:
    return made.on_trade(BTC, price, quantity, buys)


def fills(reports: list[OrderReport]) -> list[tuple[str, str]]:
    """Price and quantity of each fill, without trailing zeros."""
    return [(plain(r.price), plain(r.quantity)) for r in reports if isinstance(r, Fill)]


def plain(value: Decimal) -> str:
    return format(value.normalize(), "f")


def story(reports: list[OrderReport]) -> str:
    """The kinds of reports in order: `ACK fill fill FILLED`."""
    return " ".join("fill" if isinstance(r, Fill) else r.status.value for r in reports)


def reason(reports: list[OrderReport]) -> str:
    last = reports[-1]
    assert isinstance(last, OrderUpdate)
    return last.reason


def published(name: str, file: Path = PAPER_JSON) -> list[Any]:
    values: list[Any] = json.loads(file.read_text())[name]
    assert values
    return values
