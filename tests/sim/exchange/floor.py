"""An exchange whose market a test makes: one book per symbol, moved by hand, without any server."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from bot.domain.values import Side
from bot.sim.events import Depth, Mark, Trade
from bot.sim.exchange.account import ApiKey, TradingAccount
from bot.sim.exchange.core import ExchangeCore
from bot.sim.exchange.liquidation import Liquidator
from bot.sim.exchange.notices import Notice
from bot.sim.exchange.records import AlgoRecord, Kind, NewOrder, OrderRecord, PositionSide
from bot.sim.scenario import Coin
from bot.trading.costs import FeeParams

START_MS = 1_700_000_000_000
BTC, ETH = "BTCUSDT", "ETHUSDT"
COINS = (
    Coin(base="BTC", price=Decimal(60_000), tick=Decimal("0.1"), step=Decimal("0.001")),
    Coin(base="ETH", price=Decimal(3_000), tick=Decimal("0.01"), step=Decimal("0.001")),
)
Rung = tuple[float, float]


class Book:
    """A `PriceView` that shows what it is told."""

    mark_source = "venue"

    def __init__(self, price: float) -> None:
        self.bids: list[Rung] = []
        self.asks: list[Rung] = []
        self.last: float | None = price
        self.mark: float | None = price

    @property
    def usable(self) -> bool:
        return bool(self.bids and self.asks)

    @property
    def bid(self) -> float | None:
        return self.bids[0][0] if self.bids else None

    @property
    def ask(self) -> float | None:
        return self.asks[0][0] if self.asks else None

    @property
    def mid(self) -> float | None:
        return None if self.bid is None or self.ask is None else (self.bid + self.ask) / 2

    def book_age_ns(self, now_ns: int) -> int | None:
        return 0

    trade_age_ns = mark_age_ns = book_age_ns

    def levels(self, side: Side, count: int) -> list[Rung]:
        return (self.bids if side is Side.BUY else self.asks)[:count]

    def size_at(self, side: Side, price: float) -> float | None:
        return dict(self.bids if side is Side.BUY else self.asks).get(price, 0.0)


class Floor:
    """`told` is what the accounts were told, in order."""

    def __init__(
        self, usd: int | str | Decimal = 100_000, accounts: int = 2, fees: FeeParams | None = None, fund: int = 10**6
    ) -> None:
        self.ms = START_MS
        self.books = {BTC: Book(60_000.0), ETH: Book(3_000.0)}
        self.core = ExchangeCore(COINS, self.books, lambda: self.ms, fees)
        self.liquidator = Liquidator(self.core, Decimal(fund))
        self.told: list[tuple[str, Notice]] = []
        self.core.listeners.append(lambda account, ms, notice: self.told.append((account.name, notice)))
        self.accounts = [
            self.core.open_account(name, [ApiKey(f"key-{name}", "secret")], Decimal(usd)) for name in "abc"[:accounts]
        ]
        for symbol, book in self.books.items():
            price = book.mark or 0.0
            self.show(symbol, [(price - 1, 10.0), (price - 2, 20.0)], [(price + 1, 10.0), (price + 2, 20.0)])

    # --- the market ---

    def pass_s(self, seconds: float) -> None:
        self.ms += round(seconds * 1000)

    def show(self, symbol: str, bids: Iterable[Rung], asks: Iterable[Rung]) -> None:
        book = self.books[symbol]
        book.bids, book.asks = list(bids), list(asks)
        self.core.on_event(Depth(symbol, self.ms, 0, 0, 0, [], []))

    def around(self, symbol: str, price: float, size: float = 10.0) -> None:
        """A book of five levels on each side of it, last and mark there too."""
        step = 1.0 if symbol == BTC else 0.1
        tick = 1 if symbol == BTC else 2
        bids = [(round(price - step * n, tick), size) for n in range(1, 6)]
        self.show(symbol, bids, [(round(price + step * n, tick), size) for n in range(1, 6)])
        self.books[symbol].last = round(price, tick)
        self.mark(symbol, price)

    def trade(self, symbol: str, price: float, quantity: float, *, buys: bool) -> None:
        rules = self.core.instruments[symbol]
        self.books[symbol].last = price
        ticks, lots = round(price / float(rules.tick)), round(quantity / float(rules.step))
        self.core.on_event(Trade(symbol, self.ms, 1, ticks, lots, buys))

    def mark(self, symbol: str, price: float, rate: float = 0.0001, funding_ms: int = START_MS + 8 * 3_600_000) -> None:
        self.books[symbol].mark = price
        self.core.on_event(Mark(symbol, self.ms, price, price, rate, funding_ms))

    # --- orders ---

    def order(
        self, of: int, side: str, quantity: Any, price: Any = None, symbol: str = BTC, **more: Any
    ) -> OrderRecord:
        kind = more.pop("kind", Kind.MARKET if price is None else Kind.LIMIT)
        return self.core.place(self.accounts[of], asked(side, quantity, price, symbol, kind, **more))

    def algo(self, of: int, side: str, kind: Kind, quantity: Any = 0, symbol: str = BTC, **more: Any) -> AlgoRecord:
        return self.core.algos.place(
            self.accounts[of], asked(side, quantity, more.pop("price", None), symbol, kind, **more)
        )

    def quantity(self, of: int, symbol: str = BTC, side: PositionSide = PositionSide.BOTH) -> Decimal:
        return self.accounts[of].position(symbol, side).quantity


def asked(side: str, quantity: Any, price: Any, symbol: str, kind: Kind, **more: Any) -> NewOrder:
    for name in ("trigger_price", "activate_price", "callback_pct"):
        if more.get(name) is not None:
            more[name] = Decimal(str(more[name]))
    return NewOrder(
        symbol=symbol,
        buys=side == "buy",
        kind=kind,
        quantity=Decimal(str(quantity)),
        price=None if price is None else Decimal(str(price)),
        **more,
    )


def check_books(account: TradingAccount) -> None:
    """What must hold after anything: the ledger, the positions and the trades tell the same story, to the last digit."""
    entries = list(account.ledger.entries())
    assert account.ledger.opening + sum((each.amount for each in entries), Decimal(0)) == account.wallet
    assert not account.booked, "every booking was told"
    numbers = [(each.symbol, each.trade_id, each.order_id) for each in account.trades]
    assert len(set(numbers)) == len(numbers)
    for (symbol, leg), position in account.positions.items():
        trades = [each for each in account.trades if (each.symbol, each.position_side) == (symbol, leg)]
        signed = [each.quantity if each.buys else -each.quantity for each in trades]
        spent = sum((each.price * of for each, of in zip(trades, signed, strict=True)), Decimal(0))
        assert position.quantity == sum(signed, Decimal(0))
        assert position.cost - spent == position.realised == sum((each.realised for each in trades), Decimal(0))
        assert position.margin == 0 or (position.isolated and position.quantity)
        held = Decimal(0)
        for each, of in zip(trades, signed, strict=True):
            if account.orders[each.order_id].reduce_only:
                assert abs(held + of) <= abs(held) and (held + of) * held >= 0, "a reduction opened something"
            held += of
        assert leg == "BOTH" or (position.quantity >= 0) is (leg == "LONG") or not position.quantity
    paid = sum((each.realised - each.fee for each in account.trades), Decimal(0))
    other = sum((each.amount for each in entries if each.kind not in ("REALIZED_PNL", "COMMISSION")), Decimal(0))
    assert account.wallet == paid + other
    for order in account.orders.values():
        assert 0 <= order.filled <= order.quantity
        assert order.open == (order.order_id in account.open_orders)
        fills = [each for each in account.trades if each.order_id == order.order_id]
        assert sum((each.quantity for each in fills), Decimal(0)) == order.filled
        if order.price and not order.modified:  # it had another price before
            assert all(each.price <= order.price if each.buys else each.price >= order.price for each in fills)
