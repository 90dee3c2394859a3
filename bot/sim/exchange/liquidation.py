"""Accounts that can no longer carry their positions: margin calls, liquidation, the insurance fund, and auto-deleveraging.

Binance USD-M's order of things: at or under maintenance margin (on mark) open orders are cancelled and the position goes to the book as a limit at
its bankruptcy price, immediate or cancel. What the book does not take the insurance fund does, as far as it can pay for it; the rest is
closed against accounts on the other side, the most leveraged profit first. `core.py` calls after each mark.
"""

from __future__ import annotations

from decimal import Decimal

from bot.domain.instrument import Round
from bot.sim.exchange.account import TradingAccount
from bot.sim.exchange.core import ExchangeCore, money
from bot.sim.exchange.ledger import Income, cents
from bot.sim.exchange.notices import MarginCall, OrderNotice
from bot.sim.exchange.position import Position
from bot.sim.exchange.records import Kind, NewOrder, OrderRecord, Tif

FEE = Decimal("0.0125")  # of notional, to the fund, as far as the account still has it
CALL_AT = Decimal("0.8")  # maintenance margin over margin balance
FUND_USD = Decimal(1_000_000)
_ZERO = Decimal(0)


class Liquidator:
    """`fund_usd` is what the insurance fund has; it takes no position, what it took over counts at mark."""

    def __init__(self, core: ExchangeCore, fund_usd: Decimal = FUND_USD) -> None:
        self._core, self.fund_usd = core, fund_usd
        core.on_marked.append(self.look)

    def look(self, symbol: str) -> None:
        for account in self._core.accounts.values():
            position = account.positions.get(symbol)
            if position is not None and position.quantity:
                self._look_at(account, position)

    def _look_at(self, account: TradingAccount, position: Position) -> None:
        mark = account.marks(position.symbol)
        if position.isolated:
            equity, needed = position.margin + position.unrealised(mark), position.maintenance(mark)
        else:
            equity = account.cross_wallet + account.unrealised(isolated=False)
            needed = account.maintenance(isolated=False)
        if equity <= needed:
            self._liquidate(account, position)
        elif needed < CALL_AT * equity:
            account.called = False
        elif not account.called:
            account.called = True
            crossed = tuple(each for each in account.held() if not each.isolated)
            said = MarginCall(None, (position,)) if position.isolated else MarginCall(account.cross_wallet, crossed)
            self._core.tell(account, said)

    def _liquidate(self, account: TradingAccount, position: Position) -> None:
        isolated = position.isolated
        symbols = [position.symbol] if isolated else [each.symbol for each in account.held() if not each.isolated]
        account.liquidating = True
        for symbol in {each.symbol for each in account.open_orders.values()} | {
            each.asked.symbol for each in account.open_algos.values()
        }:
            if not isolated or symbol == position.symbol:
                self._core.cancel_all(account, symbol)
                self._core.cancel_all_algos(account, symbol)
        for symbol in symbols:
            self._close(account, account.position(symbol))
        account.liquidating = False
        self._clear(account, position.symbol)

    def _close(self, account: TradingAccount, position: Position) -> None:
        core, symbol = self._core, position.symbol
        price = self._bankruptcy_price(account, position)
        record = core.force(account, _closing(position, price, f"autoclose-{core.now_ms()}-{symbol}"))
        notional = record.cost
        left = abs(position.quantity)
        if left:
            notional += left * price
            self._take_over(account, position, price, record)
        fee = min(cents(notional * FEE), max(_ZERO, account.cross_wallet))
        if fee > 0:
            account.ledger.enter(core.now_ms(), Income.INSURANCE_CLEAR, -fee, symbol)
            self.fund_usd += fee
            core.tell(account, money(account, "INSURANCE_CLEAR", (), -fee))

    def _bankruptcy_price(self, account: TradingAccount, position: Position) -> Decimal:
        """Where nothing would be left, on the tick that is better for the fund."""
        own = position.margin
        if not position.isolated:
            others = sum(
                (
                    each.unrealised(account.marks(each.symbol))
                    for each in account.held()
                    if not each.isolated and each is not position
                ),
                _ZERO,
            )
            own = account.cross_wallet + others
        price = position.entry - own / position.quantity
        rules = self._core.instruments[position.symbol]
        rounded = rules.price(max(price, rules.tick), Round.UP if position.quantity > 0 else Round.DOWN)
        return max(rounded, rules.tick)

    def _take_over(self, account: TradingAccount, position: Position, price: Decimal, record: OrderRecord) -> None:
        """What the book did not take at the bankruptcy price."""
        mark, core = account.marks(position.symbol), self._core
        cost = position.quantity * (price - mark)  # what the fund loses by it at mark
        if self.fund_usd < cost:
            self._deleverage(account, position, price)
        if position.quantity:
            self.fund_usd -= position.quantity * (price - mark)
            core.fill_by_force(record, abs(position.quantity), price, "CALCULATED")

    def _deleverage(self, account: TradingAccount, position: Position, price: Decimal) -> None:
        """Against those on the other side, highest profit times leverage first."""
        core, symbol, mark = self._core, position.symbol, account.marks(position.symbol)
        others = [
            (other, other.position(symbol))
            for other in core.accounts.values()
            if other is not account and other.position(symbol).quantity * position.quantity < 0
        ]
        others.sort(key=lambda each: _rank(each[1], mark), reverse=True)
        for other, theirs in others:
            quantity = min(abs(position.quantity), abs(theirs.quantity))
            if not quantity:
                return
            client_id = f"adl_autoclose-{core.now_ms()}"
            for owner, closed in ((account, position), (other, theirs)):
                order = core.record_by_force(owner, _closing(closed, price, client_id, quantity))
                core.tell(owner, OrderNotice(order, "NEW"))
                core.fill_by_force(order, quantity, price, "TRADE")

    def _clear(self, account: TradingAccount, symbol: str) -> None:
        """The fund pays what an account without cross positions owes."""
        owed = -account.cross_wallet
        if owed > 0 and not any(not each.isolated for each in account.held()):
            account.ledger.enter(self._core.now_ms(), Income.INSURANCE_CLEAR, owed, symbol)
            self.fund_usd -= owed
            self._core.tell(account, money(account, "INSURANCE_CLEAR", (), owed))


def _closing(position: Position, price: Decimal, client_id: str, quantity: Decimal | None = None) -> NewOrder:
    return NewOrder(
        symbol=position.symbol,
        buys=position.quantity < 0,
        kind=Kind.LIMIT,
        quantity=abs(position.quantity) if quantity is None else quantity,
        price=price,
        tif=Tif.IOC,
        client_id=client_id,
        reduce_only=True,
    )


def _rank(position: Position, mark: Decimal) -> Decimal:
    """Profit per cost times leverage; losers stand behind all winners."""
    share = position.unrealised(mark) / abs(position.cost)
    return share * position.leverage if share > 0 else share / position.leverage
