"""Conditional orders from placing to their end: they wait here, apart from the book, and become orders when their price has come.

Those on mark go at once; those on the last trade wait for the book after it, because the one there is may still show what that trade took. Both
as on the paper venue. When each goes off is in `conditional.py`.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING

from bot.domain.instrument import exact
from bot.sim.exchange.account import TradingAccount
from bot.sim.exchange.checks import check_account, check_form, check_notional, check_side
from bot.sim.exchange.conditional import check_now, triggered
from bot.sim.exchange.notices import AlgoNotice, TriggerRejected
from bot.sim.exchange.records import AlgoRecord, Kind, NewOrder, OrderRecord, Tif, Working
from bot.sim.refusals import Refused, nothing_to_cancel, nothing_to_reduce, unknown_order

if TYPE_CHECKING:
    from bot.sim.exchange.core import ExchangeCore

FIRST_ALGO = 3_000_000_000
_ZERO = Decimal(0)


class AlgoOrders:
    def __init__(self, core: ExchangeCore) -> None:
        self._core = core
        self._open: dict[str, dict[int, AlgoRecord]] = {}  # by symbol
        self._waiting: dict[str, list[AlgoRecord]] = {}  # triggered by a trade, for the next book
        self._number = FIRST_ALGO

    # --- what is asked ---------------------------------------------------------------------------------------------

    def place(self, account: TradingAccount, asked: NewOrder) -> AlgoRecord:
        """Nothing is reserved for it before its price comes. Raises Refused."""
        core, now_ms = self._core, self._core.now_ms()
        core.at(now_ms)
        rules = core.rules_of_open(asked.symbol)
        if not asked.kind.conditional:
            raise Refused(-1116, "Invalid orderType.")
        check_side(account, asked)
        check_form(asked, rules, now_ms)
        check_account(account, asked)
        reference = self._reference(asked)
        check_now(asked, reference)
        if not (asked.reduce_only or asked.close_position or asked.closes):
            check_notional(asked.quantity, asked.price or asked.trigger_price or reference, rules)
        self._number += 1
        asked.client_id = asked.client_id or f"sim{self._number}"
        algo = AlgoRecord(account=account, algo_id=self._number, asked=asked, time_ms=now_ms, update_ms=now_ms)
        if asked.kind is Kind.TRAILING_STOP_MARKET:
            algo.active = asked.activate_price is None
            algo.extreme = reference if algo.active else None
        account.remember_algo(algo)
        self._open.setdefault(asked.symbol, {})[algo.algo_id] = algo
        core.ends_by(algo.ends_ms)
        core.tell(account, AlgoNotice(algo))
        return algo

    def _reference(self, asked: NewOrder) -> Decimal:
        last = self._core.views[asked.symbol].last
        if asked.working is Working.CONTRACT_PRICE and last is not None:
            return exact(last)
        return self._core.mark(asked.symbol)

    def find(self, account: TradingAccount, algo_id: int | None, client_id: str | None) -> AlgoRecord:
        """Raises Refused."""
        found = account.algos.get(algo_id) if algo_id is not None else account.algo_by_client.get(client_id or "")
        if found is None:
            raise unknown_order()
        return found

    def cancel(self, account: TradingAccount, algo_id: int | None, client_id: str | None) -> AlgoRecord:
        """Raises Refused."""
        try:
            algo = self.find(account, algo_id, client_id)
        except Refused:
            raise nothing_to_cancel() from None
        if not algo.open:
            raise nothing_to_cancel()
        self.end(algo, "CANCELED")
        return algo

    def cancel_all(self, account: TradingAccount, symbol: str) -> None:
        self._core.rules(symbol)
        self.withdraw(account, symbol)

    def withdraw(self, account: TradingAccount, symbol: str) -> None:
        """The exchange cancels them, of a delisted symbol too."""
        for algo in [each for each in account.open_algos.values() if each.asked.symbol == symbol]:
            self.end(algo, "CANCELED")

    # --- prices ----------------------------------------------------------------------------------------------------

    def on_last(self, symbol: str, price: Decimal) -> None:
        if self._open.get(symbol):
            going = self._triggered(symbol, Working.CONTRACT_PRICE, price)
            self._waiting.setdefault(symbol, []).extend(going)

    def on_mark(self, symbol: str, price: Decimal) -> None:
        if self._open.get(symbol):
            for algo in self._triggered(symbol, Working.MARK_PRICE, price):
                self._trigger(algo)

    def release(self, symbol: str, ms: int) -> None:
        """There is a new book."""
        if self._waiting.get(symbol):
            self._core.at(ms)
            for algo in self._waiting.pop(symbol):
                if algo.open:
                    self._trigger(algo)

    def _triggered(self, symbol: str, by: Working, price: Decimal) -> list[AlgoRecord]:
        view = self._core.views[symbol]
        other = view.last if by is Working.MARK_PRICE else view.mark
        waiting = self._waiting.get(symbol, ())
        open_ = (algo for algo in self._open[symbol].values() if algo not in waiting)
        return triggered(open_, by, price, None if other is None else exact(other))

    def _trigger(self, algo: AlgoRecord) -> None:
        """Its price has come: an order of its own, or the reason why not."""
        core, account = self._core, algo.account
        self._forget(algo)
        algo.triggered_ms = core.now_ms()
        self._tell(algo, "TRIGGERING")
        try:
            order = core.place_checked(account, self._as_plain(account, algo.asked), algo)
        except Refused as refused:
            algo.reason = refused.msg
            self._tell(algo, "REJECTED")
            core.tell(account, TriggerRejected(algo))
            return
        self.placed(algo, order)
        if not order.open:
            self.over(algo)

    @staticmethod
    def _as_plain(account: TradingAccount, asked: NewOrder) -> NewOrder:
        held = account.position(asked.symbol, asked.position_side).quantity
        reduces = asked.reduce_only or asked.close_position or asked.closes
        if reduces and not (held < 0 if asked.buys else held > 0):
            raise nothing_to_reduce()
        quantity = max(_ZERO, -held if asked.buys else held) if asked.close_position else asked.quantity
        tif = asked.tif if asked.price is not None else Tif.GTC
        return replace(asked, quantity=quantity, reduce_only=reduces, tif=tif)

    # --- what becomes of them --------------------------------------------------------------------------------------

    def placed(self, algo: AlgoRecord, order: OrderRecord) -> None:
        """Its order is there, told before anything that becomes of the order."""
        if algo.status == "TRIGGERING":
            algo.order = order
            self._tell(algo, "TRIGGERED")

    def over(self, algo: AlgoRecord) -> None:
        """Its order has ended."""
        if algo.status == "TRIGGERED":
            self._tell(algo, "FINISHED")

    def end(self, algo: AlgoRecord, status: str, reason: str = "") -> None:
        self._forget(algo)
        algo.reason = reason
        self._tell(algo, status)

    def _forget(self, algo: AlgoRecord) -> None:
        algo.account.open_algos.pop(algo.algo_id, None)
        self._open.get(algo.asked.symbol, {}).pop(algo.algo_id, None)

    def _tell(self, algo: AlgoRecord, status: str) -> None:
        algo.status, algo.update_ms = status, self._core.now_ms()
        self._core.tell(algo.account, AlgoNotice(algo))
