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
from bot.sim.exchange.crossing import Print
from bot.sim.exchange.ledger import Income, cents
from bot.sim.exchange.notices import MarginCall
from bot.sim.exchange.position import Position
from bot.sim.exchange.records import Kind, NewOrder, Tif

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
            for position in account.held():
                if position.symbol == symbol and position.quantity:  # the one before may have taken it along
                    self._look_at(account, position)
            if account.wallet < 0 and not account.held():  # it closed by itself, below its bankruptcy price
                self._clear(account, symbol, account.wallet)

    def _look_at(self, account: TradingAccount, position: Position) -> None:
        mark = account.marks(position.symbol)
        if position.isolated:
            equity, needed = position.margin + position.unrealised(mark), position.maintenance(mark)
        else:
            equity = account.cross_wallet + account.unrealised(isolated=False)
            needed = account.maintenance(isolated=False)
        of = (position.symbol, position.side) if position.isolated else None
        if equity <= needed:
            account.called.discard(of)
            self._liquidate(account, position)
        elif needed < CALL_AT * equity:
            account.called.discard(of)
        elif of not in account.called:
            account.called.add(of)
            crossed = tuple(each for each in account.held() if not each.isolated)
            said = MarginCall(None, (position,)) if position.isolated else MarginCall(account.cross_wallet, crossed)
            self._core.tell(account, said)

    def _liquidate(self, account: TradingAccount, position: Position) -> None:
        isolated = position.isolated
        positions = [position] if isolated else [each for each in account.held() if not each.isolated]
        account.liquidating = True
        ordered = {each.symbol for each in account.open_orders.values()}
        ordered |= {each.asked.symbol for each in account.open_algos.values()}
        for symbol in sorted(ordered):  # in the same order in every process
            if not isolated or symbol == position.symbol:
                self._core.withdraw(account, symbol)
                self._core.algos.withdraw(account, symbol)
        for each in positions:
            self._close(account, each)
        account.liquidating = False
        if account.cross_wallet < 0 and not any(not each.isolated for each in account.held()):
            self._clear(account, position.symbol, account.cross_wallet)

    def _close(self, account: TradingAccount, position: Position) -> None:
        core, symbol, isolated = self._core, position.symbol, position.isolated
        price = self._bankruptcy_price(account, position)
        margin, wallet = position.margin, account.wallet
        most = min(abs(position.quantity), core.instruments[symbol].max_quantity)
        forced = core.force(account, _closing(position, price, f"autoclose-{core.now_ms()}-{symbol}", most))
        if forced.filled:
            core.publish(core.on_forced, Print(symbol, forced.average, forced.filled, forced.buys))
        notional, left = forced.cost, abs(position.quantity)
        if left:
            notional += left * price
            self._take_over(account, position, price)
        owned = margin + account.wallet - wallet if isolated else account.cross_wallet
        self._clear(account, symbol, min(cents(notional * FEE), max(_ZERO, owned)))
        if isolated and owned < 0:  # fees beyond what it had
            self._clear(account, symbol, owned)

    def _clear(self, account: TradingAccount, symbol: str, usd: Decimal) -> None:
        """What the fund gets of an account, or has to give it."""
        if usd:
            account.ledger.enter(self._core.now_ms(), Income.INSURANCE_CLEAR, -usd, symbol)
            self.fund_usd += usd
            self._core.tell(account, money(account, "INSURANCE_CLEAR", (), -usd))

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

    def _take_over(self, account: TradingAccount, position: Position, price: Decimal) -> None:
        """What the book did not take at the bankruptcy price."""
        mark = account.marks(position.symbol)
        if self.fund_usd < position.quantity * (price - mark):  # what it loses by it at mark
            self._deleverage(account, position, price)
        if position.quantity:
            self.fund_usd -= position.quantity * (price - mark)
            asked = _closing(position, price, f"autoclose-{self._core.now_ms()}-fund")
            self._core.fill_by_force(account, asked, "CALCULATED")

    def _deleverage(self, account: TradingAccount, position: Position, price: Decimal) -> None:
        """Against those on the other side, highest profit times leverage first."""
        core, symbol, mark = self._core, position.symbol, account.marks(position.symbol)
        others = [
            (other, theirs)
            for other in core.accounts.values()
            for theirs in other.of(symbol)
            if other is not account and theirs.quantity * position.quantity < 0
        ]
        others.sort(key=lambda each: _rank(each[1], mark), reverse=True)
        for other, theirs in others:
            quantity = min(abs(position.quantity), abs(theirs.quantity))
            if quantity:
                client_id = f"adl_autoclose-{core.now_ms()}"
                core.fill_by_force(account, _closing(position, price, client_id, quantity), "CALCULATED")
                core.fill_by_force(other, _closing(theirs, price, client_id, quantity), "TRADE")


def _closing(position: Position, price: Decimal, client_id: str, quantity: Decimal | None = None) -> NewOrder:
    return NewOrder(
        symbol=position.symbol,
        buys=position.quantity < 0,
        position_side=position.side,
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
