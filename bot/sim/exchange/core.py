"""The exchange itself, without any protocol: accounts, orders, conditional orders, funding; what happens when the market moves.

Pure and synchronous: `now_ms` is injected, the market's events come by `on_event`, what accounts are told goes to `listeners` before a call returns.
Refusals are raised with the venue's own codes and change nothing. The server (`sim/server/private.py`) only translates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Protocol

from bot.domain.instrument import Instrument, exact
from bot.domain.orders import Fill, Order, OrderReport, OrderStatus, OrderType, OrderUpdate, TimeInForce
from bot.domain.ports import PriceView
from bot.domain.values import MS, Side
from bot.sim.events import Depth, Event, Mark, Snapshot, Trade
from bot.sim.exchange.account import ApiKey, TradingAccount
from bot.sim.exchange.algo_orders import AlgoOrders
from bot.sim.exchange.checks import (
    check_account,
    check_band,
    check_form,
    check_margin,
    check_notional,
    check_price,
    check_quantity,
    check_side,
    market_bound,
)
from bot.sim.exchange.crossing import SELF_TRADE, Crossing, Print
from bot.sim.exchange.ledger import Income
from bot.sim.exchange.notices import (
    Listener,
    MoneyNotice,
    Notice,
    OrderNotice,
)
from bot.sim.exchange.position import Position
from bot.sim.exchange.records import NEVER_MS, AlgoRecord, Kind, NewOrder, OrderRecord, PriceMatch, Tif, TradeRecord
from bot.sim.exchange.settings import AccountSettings
from bot.sim.refusals import (
    NotKnown,
    Refused,
    bad_symbol,
    invalid,
    not_at_once,
    not_trading,
    nothing_to_cancel,
    nothing_to_reduce,
    unknown_order,
    would_take,
)
from bot.trading.costs import FeeParams
from bot.trading.fill_params import FillParams
from bot.trading.funding import payment_usd
from bot.trading.order_rules import NOTHING_TO_REDUCE, WOULD_TAKE

FIRST_ORDER, FIRST_TRADE = 8_000_000_000, 5_000_000_000
_ZERO = Decimal(0)
_PLAIN = {Kind.STOP: Kind.LIMIT, Kind.TAKE_PROFIT: Kind.LIMIT}
_TIFS = {Tif.IOC: TimeInForce.IOC, Tif.FOK: TimeInForce.IOC, Tif.GTX: TimeInForce.GTX}


class Rules(Protocol):
    """A coin that is listed."""

    @property
    def symbol(self) -> str: ...
    @property
    def instrument(self) -> Instrument: ...


class ExchangeCore:
    """`views` has each symbol's book, last trade and mark; `now_ms` is the exchange's clock."""

    def __init__(
        self,
        coins: Iterable[Rules],
        views: Mapping[str, PriceView],
        now_ms: Callable[[], int],
        fees: FeeParams | None = None,
    ) -> None:
        self.instruments = {coin.symbol: coin.instrument for coin in coins}
        self.halted: set[str] = set()  # listed, but nobody may place an order
        self.delisted: set[str] = set()
        self.views, self.now_ms = views, now_ms
        self.fees = fees or FeeParams()
        self.matching = Crossing(
            {each.id: each for each in self.instruments.values()},
            self.fees,
            FillParams(),  # the defaults: what the paper venue has
            trade_prefix="",
            volume_usd=lambda _: _ZERO,  # everybody pays the base tier
        )
        self.accounts: dict[str, TradingAccount] = {}
        self.keys: dict[str, tuple[TradingAccount, ApiKey]] = {}
        self.listeners: list[Listener] = []
        self.on_marked: list[Callable[[str], None]] = []  # who looks at margins after each mark
        self.on_print: list[Callable[[Print], None]] = []  # who publishes trades that are not the market's own
        self.on_forced: list[Callable[[Print], None]] = []  # the same, of liquidations as a whole
        self._live: dict[str, OrderRecord] = {}  # by the matching's id
        self._funding: dict[str, Mark] = {}
        self._settled_ms: dict[str, int] = {}  # which funding was paid last
        self._number = FIRST_ORDER
        self._deadline_ms = NEVER_MS  # nothing ends by time before
        self.algos = AlgoOrders(self)
        self.settings = AccountSettings(self)

    def open_account(self, name: str, keys: Iterable[ApiKey], usd: Decimal) -> TradingAccount:
        account = TradingAccount(name, keys, self.mark)
        self.accounts[name] = account
        for key in account.keys:
            self.keys[key.key] = account, key
        account.deposit(self.now_ms(), usd)
        return account

    def mark(self, symbol: str) -> Decimal:
        """Raises NotKnown."""
        mark = self.views[symbol].mark
        if mark is None:
            raise NotKnown
        return exact(mark)

    def rules(self, symbol: str) -> Instrument:
        if symbol not in self.instruments or symbol in self.delisted:
            raise bad_symbol()
        return self.instruments[symbol]

    def rules_of_open(self, symbol: str) -> Instrument:
        """For who wants to place an order."""
        rules = self.rules(symbol)
        if symbol in self.halted:
            raise not_trading()
        return rules

    # --- orders ----------------------------------------------------------------------------------------------------

    def place(self, account: TradingAccount, asked: NewOrder) -> OrderRecord:
        """A LIMIT or MARKET order. Raises Refused."""
        self.at(self.now_ms())
        rules = self.rules_of_open(asked.symbol)
        if asked.kind.conditional:
            raise Refused(
                -4120,
                "Order type not supported for this endpoint. Please use the Algo Order API endpoints instead.",
            )
        check_side(account, asked)
        check_form(asked, rules, self.now_ms())
        check_account(account, asked)
        return self.place_checked(account, asked, None)

    def place_checked(self, account: TradingAccount, asked: NewOrder, algo: AlgoRecord | None) -> OrderRecord:
        """One that is right in form; `algo` is the conditional order whose price has come."""
        rules, view, mark = self.instruments[asked.symbol], self.views[asked.symbol], self.mark(asked.symbol)
        if asked.price_match is not PriceMatch.NONE:
            asked = replace(asked, price=self.matched(asked.symbol, asked.buys, asked.price_match))
        price = asked.price
        if price is not None:
            check_band(asked.buys, price, mark, rules)
        if not asked.reduce_only:
            check_notional(asked.quantity, price or mark, rules)
            check_margin(account, asked.symbol, asked.buys, asked.quantity, price or mark)
        record = self._record(account, asked, algo)
        order = self.order_of(record)
        leg = account.legs[asked.position_side]
        if asked.tif is Tif.FOK and self.matching.fillable(order, view, leg, asked.self_trade) < asked.quantity:
            raise not_at_once()
        bound = market_bound(asked, view, mark) if price is None else None
        reports = self.matching.place_with(order, view, leg, asked.self_trade, bound)
        if (reason := _rejected(reports[0])) is not None:
            raise _refusal(reason)
        account.remember(record)
        self._live[order.client_order_id] = record
        if record.good_till_ms:
            self.ends_by(record.good_till_ms)
        self.tell(account, OrderNotice(record, "NEW"))
        self.take(reports[1:])
        return record

    def matched(self, symbol: str, buys: bool, match: PriceMatch) -> Decimal:
        """The price of that level now. Raises Refused where there is none."""
        self.rules(symbol)
        side = Side.SELL if buys is match.opposing else Side.BUY
        levels = self.views[symbol].levels(side, match.level)
        if len(levels) < match.level:
            raise Refused(-5041, "No depth matches this BBO order")
        return exact(levels[-1][0])

    def order_of(self, record: OrderRecord) -> Order:
        """As the matching knows it: by the exchange's own id."""
        limited = record.kind is Kind.LIMIT
        return Order(
            client_order_id=str(record.order_id),
            instrument=self.instruments[record.symbol].id,
            signal_id="",
            position_id="",
            leg="",
            side=Side.BUY if record.buys else Side.SELL,
            type=OrderType.LIMIT if limited else OrderType.MARKET,
            quantity=record.quantity,
            price=record.price if limited else None,
            tif=_TIFS.get(record.tif, TimeInForce.GTC),
            reduce_only=record.reduce_only,
        )

    def _record(self, account: TradingAccount, asked: NewOrder, algo: AlgoRecord | None) -> OrderRecord:
        self._number += 1  # also of one that is refused
        now_ms, number = self.now_ms(), self._number
        kind = _PLAIN.get(asked.kind, Kind.MARKET) if asked.kind.conditional else asked.kind
        known = account.by_client.get(asked.client_id)
        taken = known is not None and known.open  # by another, since a conditional order was placed
        return OrderRecord(
            account=account,
            order_id=number,
            client_id=f"sim{number}" if taken or not asked.client_id else asked.client_id,
            symbol=asked.symbol,
            buys=asked.buys,
            position_side=asked.position_side,
            kind=kind,
            origin=asked.kind,
            tif=asked.tif,
            price=asked.price or _ZERO,
            quantity=asked.quantity,
            reduce_only=asked.reduce_only,
            close_position=asked.close_position,
            self_trade=asked.self_trade,
            good_till_ms=asked.good_till_ms if asked.tif is Tif.GTD else 0,
            time_ms=now_ms,
            update_ms=now_ms,
            trigger_price=asked.trigger_price or _ZERO,
            working=asked.working,
            price_protect=asked.price_protect,
            price_match=asked.price_match,
            algo=algo,
        )

    # --- by force (liquidation.py) ---------------------------------------------------------------------------------

    def force(self, account: TradingAccount, asked: NewOrder) -> OrderRecord:
        """An order of the exchange for an account, past all checks, to the book."""
        record = self._forced(account, asked)
        order = self.order_of(record)
        self._live[order.client_order_id] = record
        account.open_orders[record.order_id] = record
        leg = account.legs[asked.position_side]
        reports = self.matching.place_with(order, self.views[asked.symbol], leg, asked.self_trade)
        if _rejected(reports[0]) is not None:  # there is no book
            self._ended(record, "EXPIRED")
        self.take(reports[1:])
        return record

    def fill_by_force(self, account: TradingAccount, asked: NewOrder, execution: str) -> None:
        """At the price asked for, without the book."""
        record = self._forced(account, asked)
        leg = account.legs[asked.position_side]
        fill = self.matching.fill_outright(self.order_of(record), leg, asked.quantity, record.price)
        self.filled(record, fill, execution)

    def _forced(self, account: TradingAccount, asked: NewOrder) -> OrderRecord:
        record = self._record(account, asked, None)
        record.forced = True
        account.remember(record)
        del account.open_orders[record.order_id]
        self.tell(account, OrderNotice(record, "NEW"))
        return record

    def find(self, account: TradingAccount, symbol: str, order_id: int | None, client_id: str | None) -> OrderRecord:
        """By its id, else by the client's: the open one of that id, else the newest. Raises Refused."""
        self.rules(symbol)
        found = account.orders.get(order_id) if order_id is not None else account.by_client.get(client_id or "")
        if found is None or found.symbol != symbol:
            raise unknown_order()
        return found

    def cancel(self, account: TradingAccount, symbol: str, order_id: int | None, client_id: str | None) -> OrderRecord:
        self.at(self.now_ms())
        try:
            order = self.find(account, symbol, order_id, client_id)
        except Refused as refused:
            raise (nothing_to_cancel() if refused.code == -2013 else refused) from None
        if not order.open:
            raise nothing_to_cancel()
        self.take(self.matching.cancel(self.order_of(order)))
        return order

    def cancel_all(self, account: TradingAccount, symbol: str) -> None:
        self.rules(symbol)
        self.withdraw(account, symbol)

    def withdraw(self, account: TradingAccount, symbol: str) -> None:
        """The exchange cancels them, of a delisted symbol too."""
        self.at(self.now_ms())
        for order in [each for each in account.open_orders.values() if each.symbol == symbol]:
            self.take(self.matching.cancel(self.order_of(order)))

    def amend(
        self,
        account: TradingAccount,
        symbol: str,
        order_id: int | None,
        client_id: str | None,
        buys: bool,
        quantity: Decimal,
        price: Decimal,
        price_match: PriceMatch = PriceMatch.NONE,
    ) -> OrderRecord:
        """New price and total quantity of a resting limit. No more than is filled already cancels it, as the venue says."""
        self.at(self.now_ms())
        order, rules = self.find(account, symbol, order_id, client_id), self.rules(symbol)
        if symbol in self.halted:
            raise Refused(-5024, "Symbol is not in trading status. Order amendment is not permitted.")
        if not order.open:
            raise unknown_order()
        if order.kind is not Kind.LIMIT:
            raise Refused(-5025, "Only limit order is supported.")
        if order.buys is not buys:
            raise invalid("side")
        if (quantity, price) == (order.quantity, order.price):
            raise Refused(-5027, "No need to modify the order.")
        if order.modified >= 10_000:
            raise Refused(-5026, "Exceed maximum modify order limit.")
        check_price(price, rules)
        check_quantity(quantity, rules, market=False)
        if quantity <= order.filled:
            return self.cancel(account, symbol, order.order_id, None)
        check_band(buys, price, self.mark(symbol), rules)
        if not order.reduce_only:
            check_notional(quantity, price, rules, code=-5029)
            check_margin(account, symbol, buys, max(_ZERO, quantity - order.filled), price, instead_of=order)
        old = order.quantity, order.price
        order.quantity, order.price = quantity, price
        reports = self.matching.amend(self.order_of(order), self.views[symbol])
        first = reports[0]
        if (reason := _rejected(first)) is not None:
            order.quantity, order.price = old
            raise _refusal(reason)
        order.modified += 1
        order.price_match = price_match
        order.update_ms = self.now_ms()
        if isinstance(first, OrderUpdate) and first.status is OrderStatus.ACK:
            self.tell(account, OrderNotice(order, "AMENDMENT"))
            reports = reports[1:]
        self.take(reports)
        return order

    def count_down(self, account: TradingAccount, symbol: str, after_ms: int) -> None:
        """All orders of the symbol are cancelled then, unless asked for again before; zero: not at all."""
        self.rules(symbol)
        account.countdowns.pop(symbol, None)
        if after_ms:
            due_ms = account.countdowns[symbol] = self.now_ms() + after_ms
            self.ends_by(due_ms)

    # --- what the market does --------------------------------------------------------------------------------------

    def on_event(self, event: Event) -> None:
        """After the symbol's view has it."""
        if event.ms >= self._deadline_ms:
            self._expire(event.ms)
        match event:
            case Trade():
                self._on_trade(event)
            case Depth() | Snapshot():
                self._on_book(event.symbol, event.ms)
            case Mark():
                self._on_mark(event)

    def _on_trade(self, event: Trade) -> None:
        symbol, view = event.symbol, self.views[event.symbol]
        instrument, price = self.instruments[symbol], view.last
        if price is None:
            return
        self.at(event.ms)
        if self.matching.watching(instrument.id):
            lots = float(event.lots * instrument.step)
            self.take(self.matching.on_trade(instrument.id, price, lots, event.taker_buys))
        self.algos.on_last(symbol, exact(price))

    def _on_book(self, symbol: str, ms: int) -> None:
        instrument = self.instruments[symbol].id
        if self.matching.watching(instrument):
            self.at(ms)
            self.take(self.matching.on_depth(instrument, self.views[symbol]))
        self.algos.release(symbol, ms)

    def _on_mark(self, event: Mark) -> None:
        symbol = event.symbol
        self.at(event.ms)
        before, settled_ms = self._funding.get(symbol), self._settled_ms.get(symbol, 0)
        if before is not None and settled_ms < before.funding_ms <= event.ms:  # 0: a tape does not know
            self._settled_ms[symbol] = before.funding_ms  # some marks after it may still name it
            self._settle(symbol, before.funding_ms, exact(before.rate))
        self._funding[symbol] = event
        self.algos.release(symbol, event.ms)
        self.algos.on_mark(symbol, self.mark(symbol))
        for look in self.on_marked:
            look(symbol)

    def _settle(self, symbol: str, due_ms: int, rate: Decimal) -> None:
        mark = self.mark(symbol)
        held = [(account, each) for account in self.accounts.values() for each in account.held()]
        for account, position in held:
            if position.symbol != symbol:
                continue
            paid = payment_usd(position.quantity, mark, rate)
            entered = account.ledger.enter(due_ms, Income.FUNDING_FEE, paid, symbol)
            if position.isolated:
                position.margin += entered
            self.tell(account, money(account, "FUNDING_FEE", (position,) if position.isolated else (), entered))

    def _expire(self, ms: int) -> None:
        """What ends by time: GTD orders and countdowns."""
        self.at(ms)
        for account in self.accounts.values():
            for symbol in [symbol for symbol, due_ms in account.countdowns.items() if due_ms <= ms]:
                del account.countdowns[symbol]
                self.withdraw(account, symbol)
            for order in [each for each in account.open_orders.values() if 0 < each.good_till_ms <= ms]:
                self.take(self.matching.cancel(self.order_of(order)), ended="EXPIRED")
            for algo in [each for each in account.open_algos.values() if each.ends_ms <= ms]:
                self.algos.end(algo, "EXPIRED", "good till date")
        self._deadline_ms = min(self._deadlines(), default=NEVER_MS)

    def _deadlines(self) -> Iterable[int]:
        for account in self.accounts.values():
            yield from account.countdowns.values()
            yield from (each.good_till_ms for each in account.open_orders.values() if each.good_till_ms)
            yield from (each.ends_ms for each in account.open_algos.values())

    # --- what came of it -------------------------------------------------------------------------------------------

    def take(self, reports: Iterable[OrderReport], ended: str = "CANCELED") -> None:
        """Reports of the matching, for whoever they concern. `ended` is what a cancelled order is told."""
        for report in reports:
            record = self._live[report.client_order_id]
            if isinstance(report, Fill):
                self.filled(record, report, "CALCULATED" if record.forced else "TRADE")
            elif report.status is OrderStatus.CANCELED:
                self._ended(record, ended)
            elif report.status is OrderStatus.EXPIRED:
                self._ended(record, "EXPIRED_IN_MATCH" if report.reason == SELF_TRADE else "EXPIRED")
            elif report.status is OrderStatus.FILLED:
                self._over(record)
        while self.matching.prints:
            self.publish(self.on_print, self.matching.prints.popleft())

    @staticmethod
    def publish(listeners: Iterable[Callable[[Print], None]], printed: Print) -> None:
        for listener in listeners:
            listener(printed)

    def filled(self, record: OrderRecord, fill: Fill, execution: str) -> None:
        account, booked = record.account, record.account.booked.popleft()
        record.filled += fill.quantity
        record.cost += fill.price * fill.quantity
        record.update_ms = self.matching.now_ns // MS
        record.status = "FILLED" if record.filled >= record.quantity else "PARTIALLY_FILLED"
        trade = TradeRecord(
            trade_id=FIRST_TRADE + int(fill.trade_id),
            order_id=record.order_id,
            symbol=record.symbol,
            buys=record.buys,
            position_side=record.position_side,
            price=fill.price,
            quantity=fill.quantity,
            realised=booked.realised,
            fee=booked.fee,
            maker=fill.maker,
            time_ms=record.update_ms,
        )
        account.trades.append(trade)
        if record.algo is not None:
            self.algos.placed(record.algo, record)
        self.tell(account, MoneyNotice("ORDER", booked.wallet, booked.cross_wallet, (booked.position,)))
        self.tell(account, OrderNotice(record, execution, trade))

    def _ended(self, record: OrderRecord, status: str) -> None:
        record.status, record.update_ms = status, self.matching.now_ns // MS
        self.tell(record.account, OrderNotice(record, "EXPIRED" if status.startswith("EXPIRED") else status))
        self._over(record)

    def _over(self, record: OrderRecord) -> None:
        self._live.pop(str(record.order_id), None)
        record.account.open_orders.pop(record.order_id, None)
        if record.algo is not None:
            self.algos.over(record.algo)

    def ends_by(self, ms: int) -> None:
        """Something ends then."""
        self._deadline_ms = min(self._deadline_ms, ms)

    def tell(self, account: TradingAccount, notice: Notice) -> None:
        for listener in self.listeners:
            listener(account, self.matching.now_ns // MS, notice)

    def at(self, ms: int) -> None:
        self.matching.now_ns = max(self.matching.now_ns, ms * MS)


def money(
    account: TradingAccount, reason: str, positions: Iterable[Position] = (), change: Decimal = _ZERO
) -> MoneyNotice:
    """As it is now."""
    return MoneyNotice(reason, account.wallet, account.cross_wallet, tuple(map(replace, positions)), change)


def _rejected(first: OrderReport) -> str | None:
    """Why, if the matching did not take the order."""
    return first.reason if isinstance(first, OrderUpdate) and first.status is OrderStatus.REJECTED else None


def _refusal(reason: str) -> Refused:
    """Of what the matching says; anything else was checked before."""
    if reason == NOTHING_TO_REDUCE:
        return nothing_to_reduce()
    if reason == WOULD_TAKE:
        return would_take()
    return Refused(-2010, f"NEW_ORDER_REJECTED: {reason}")
