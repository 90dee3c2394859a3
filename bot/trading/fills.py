"""Matching of our own orders against a market we only watch: what a venue would have made of them, at worst.

Pure and without a clock (`now_ns` is set by who calls): it knows neither latency nor frames, so that paper, shadow book and
embedded exchange share it. Takers walk the opposite levels, pay each level's price, and find what they took gone for a second.
Resting limits wait in line at their price (`queue.py`) and fill when the market trades up to them or goes beyond them. Stops
and take-profits trigger on mark or last, then walk as takers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from msgspec import Struct

from bot.domain.instrument import Instrument, exact
from bot.domain.orders import Fill, Order, OrderReport, OrderStatus, OrderType, OrderUpdate, TimeInForce, Trigger
from bot.domain.ports import PriceView
from bot.domain.values import Side
from bot.trading.account import Account, Held
from bot.trading.costs import FeeParams
from bot.trading.fill_params import FillParams, brackets_of
from bot.trading.order_rules import (
    CONDITIONAL,
    NOTHING_TO_REDUCE,
    WOULD_TAKE,
    beyond_limit,
    change_refusal,
    market_refusal,
    never_rests,
    price_refusal,
    size_refusal,
    triggers,
    would_take,
)
from bot.trading.queue import Queue, QueueRule
from bot.trading.takings import Takings

FINISHED_KEPT = 10_000
LIQUIDATED = "the account is being liquidated"
_ZERO = Decimal(0)


class Resting(Struct, frozen=True, kw_only=True):
    """A working order to start with, and how much of it is filled."""

    order: Order
    filled: Decimal = _ZERO


class Owner(Protocol):
    """Whose orders they are: what is held, and where fills are booked."""

    def quantity(self, instrument: str) -> Decimal: ...
    def book(
        self, instrument: str, side: Side, price: Decimal, quantity: Decimal, fee_usd: Decimal, now_ns: int
    ) -> None: ...


@dataclass(slots=True)
class _Working:
    order: Order
    owner: Owner
    filled: Decimal = _ZERO
    triggered: bool = False
    queue: Queue | None = None  # of a resting limit; None: it has not met a usable book yet
    liquidation: bool = False

    @property
    def sells(self) -> bool:
        return self.order.side is Side.SELL

    @property
    def remaining(self) -> Decimal:
        return self.order.quantity - self.filled


class Matching:
    """Working orders of one account in one-way mode; `account` holds its money and signed positions.

    Every method answers with reports in the order in which they happened: an acknowledgement, the fills level by level,
    then FILLED or EXPIRED, which answer the placing however much later they come. Refusals are REJECTED reports, never
    exceptions. Reduce-only orders outlive the position and expire when they would fill, as on Binance. Trade ids count
    up per instrument behind `trade_prefix`; a fill is booked once per id, so each life of an account needs its own.

    Without `wallet_usd` there is no wallet to be too small: nothing is ever liquidated (shadow positions). Fees go by what this
    account has traded, or by what `volume_usd` says of another at an engine time.
    """

    def __init__(
        self,
        instruments: Mapping[str, Instrument],
        fees: FeeParams,
        params: FillParams | None = None,
        *,
        wallet_usd: Decimal | None = None,
        trade_prefix: str = "T",
        volume_usd: Callable[[int], Decimal] | None = None,
    ) -> None:
        params = params or FillParams()
        self.account = Account(wallet_usd or _ZERO, brackets_of(instruments, params))
        self._volume_usd = volume_usd or self.account.volume.usd
        self.now_ns = 0  # engine time, set before each call
        self._margined = wallet_usd is not None
        self._instruments = instruments
        self._fees = fees
        self._queue_rule = QueueRule(params.queue, params.queue_power)
        self._liquidation_fee = params.liquidation_fee_pct / 100
        self._trade_prefix = trade_prefix
        self._trades: dict[str, int] = {}
        self._working: dict[str, dict[str, _Working]] = {}  # by instrument, then by client order id
        self._finished: dict[str, None] = {}  # client order ids, the newest
        self._takings = Takings()
        self._liquidating: set[str] = set()  # instruments still to be closed

    def watching(self, instrument: str) -> bool:
        """Whether trades, marks and books of this instrument can do anything here."""
        return bool(self._working.get(instrument)) or (self._margined and bool(self.account.quantity(instrument)))

    def positions(self) -> dict[str, Decimal]:
        return self.account.positions()

    def working(self) -> list[Resting]:
        return [Resting(order=w.order, filled=w.filled) for of in self._working.values() for w in of.values()]

    def restore(
        self,
        wallet_usd: Decimal,
        held: Iterable[Held],
        working: Iterable[Resting],
        traded: Iterable[tuple[int, Decimal]] = (),
        trade_prefix: str | None = None,
    ) -> None:
        """Go on with an account after a restart. Orders stand at the back of their level as it is first seen, and nothing that
        the market did meanwhile is made up; a stop that mark is beyond by then goes off at the first mark.

        `traded` is (engine time, USD) of the last 30 days' fills, where fees go by volume. A venue that
        has made trades which the account does not know of needs another `trade_prefix`, or later ones would pass for these.
        """
        self.account.restore(wallet_usd, held, traded)
        if trade_prefix is not None:
            self._trade_prefix = trade_prefix
            self._trades.clear()
        self._working.clear()
        for each in working:
            work = _Working(each.order, self.account, each.filled)
            if each.order.type is OrderType.LIMIT:
                work.queue = Queue.behind(None)
            self._working.setdefault(each.order.instrument, {})[each.order.client_order_id] = work

    def waits_for(self, instrument: str) -> Iterator[tuple[Order, bool]]:
        """Its working orders, and whether any mark or book may do something to one, whatever the price: it has triggered, or
        is a limit that has not met a usable book."""
        for work in self._working.get(instrument, {}).values():
            blind = work.order.type is OrderType.LIMIT and work.queue is None
            yield work.order, work.triggered or blind

    def forget(self, instrument: str) -> None:
        """Everything of it, money that was booked aside: nobody will ask again."""
        for kept in (self._working, self._trades):
            kept.pop(instrument, None)
        self._liquidating.discard(instrument)
        self._takings.forget(instrument)
        self.account.forget(instrument)

    # --- commands --------------------------------------------------------------------------------------------------

    def place(self, order: Order, market: PriceView, owner: Owner | None = None) -> list[OrderReport]:
        """`owner`: another one than `account`, who has wallet and margin looked after elsewhere."""
        owner = self.account if owner is None else owner
        if order.client_order_id in self._finished or self._find(order):
            return [_update(order, OrderStatus.REJECTED, "duplicate client order id")]
        refusal = self._refusal(order, market, owner)
        if not refusal and order.tif is TimeInForce.GTX and self._would_take(order, market):
            refusal = WOULD_TAKE
        if refusal:
            self._forget(order.client_order_id)
            return [_update(order, OrderStatus.REJECTED, refusal)]
        work = _Working(order, owner)
        self._working.setdefault(order.instrument, {})[order.client_order_id] = work
        reports: list[OrderReport] = [_update(order, OrderStatus.ACK)]
        reports += self._arrive(work, market)
        if never_rests(order) and self._find(order):
            reports.append(self._finish(work, OrderStatus.EXPIRED, "no more to take within the limit"))
        return reports

    def cancel(self, order: Order) -> list[OrderReport]:
        work = self._find(order)
        if work is None:
            return [self._not_working(order, "cancel")]
        return [self._finish(work, OrderStatus.CANCELED, "", "cancel")]

    def amend(self, order: Order, market: PriceView) -> list[OrderReport]:
        """`order` as it should become: its quantity is the new total, what is already filled included.

        Stops can be amended until they trigger. A refused amendment changes nothing. As on Binance, one that leaves nothing
        to fill, or would make a post-only order take, cancels it. Only a smaller quantity keeps the place in the line.
        """
        work = self._find(order)
        if work is None:
            return [self._not_working(order, "amend")]
        refusal = "the stop has triggered" if work.triggered else change_refusal(work.order, order)
        refusal = refusal or self._refusal(order, market, work.owner)
        if refusal:
            return [_update(order, OrderStatus.REJECTED, refusal, "amend")]
        if order.type is OrderType.LIMIT and order.quantity <= work.filled:
            return [
                self._finish(work, OrderStatus.CANCELED, f"{work.filled.normalize():f} are filled already", "amend")
            ]
        if order.tif is TimeInForce.GTX and self._would_take(order, market):
            return [self._finish(work, OrderStatus.CANCELED, WOULD_TAKE, "amend")]
        stays = order.price == work.order.price and order.quantity <= work.order.quantity
        work.order = order
        reports: list[OrderReport] = [_update(order, OrderStatus.ACK, "", "amend")]
        if stays or order.type is not OrderType.LIMIT:
            return reports
        of = self._working[order.instrument]
        of[order.client_order_id] = of.pop(order.client_order_id)  # behind our own others at its price, too
        return reports + self._arrive(work, market)

    # --- what the market does --------------------------------------------------------------------------------------

    def on_trade(self, instrument: str, price: float, quantity: float, taker_buys: bool) -> list[OrderReport]:
        """A print of someone else's trade.

        Beyond a limit it fills all of it, as the maker, whatever its own size. At the limit it first serves those in front,
        and what we get of it nobody else of ours gets. On last it triggers stops; these fill on the next change of the
        book, because the one we see may still show what this trade took.
        """
        reports: list[OrderReport] = []
        if not quantity > 0 or not self._working.get(instrument):  # zero: corrections and insurance-fund transfers
            return reports
        left: Decimal | None = None
        for work, limit, level in self._reached(instrument, price):
            if price != level:
                reports += self._serve(work, limit, work.remaining)
            elif taker_buys is work.sells and work.queue is not None:
                left = exact(quantity) if left is None else left
                lots = self._instruments[instrument].quantity(work.queue.on_trade(left))
                before = work.filled
                reports += self._serve(work, limit, lots) if lots else []
                work.queue.served(lots)
                left -= work.filled - before
        self._trigger(instrument, Trigger.LAST, price)
        return reports

    def on_depth(self, instrument: str, market: PriceView) -> list[OrderReport]:
        """The book has changed: places in the line, and limits that the other side's quotes have gone beyond.

        Who quotes beyond our price would have traded with us first: as much as they show fills at our limit. A quote at our
        price fills nothing, the print that belongs to it will come.
        """
        reports: list[OrderReport] = []
        bid, ask = market.bid, market.ask
        if not market.usable or bid is None or ask is None:
            return reports
        for work, limit, level in sorted(self._limits(instrument), key=_first_reached):
            if self._find(work.order) is not work:  # one before it in this book met it
                continue
            if work.queue is None:
                reports += self._arrive(work, market)
                continue
            work.queue.on_depth(market.size_at(work.order.side, level), self._queue_rule)
            if bid > level if work.sells else ask < level:
                reports += self._take(work, market, as_maker_at=limit)
        return reports

    def on_mark(self, instrument: str, mark: float, market: PriceView) -> list[OrderReport]:
        """Trigger stops and take-profits, try again for those that found too little depth before, and look at the margin.

        What has triggered waits for a usable book however long: the venue's is there, we only do not see it.
        """
        self._trigger(instrument, Trigger.MARK, mark)
        reports: list[OrderReport] = []
        for work in [work for work in self._working.get(instrument, {}).values() if work.triggered]:
            reports += self._take(work, market)
        if self._margined:
            reports += self._check_margin(instrument, mark, market)
        return reports

    def _trigger(self, instrument: str, by: Trigger, price: float) -> None:
        for work in self._working.get(instrument, {}).values():
            order = work.order
            if order.type in CONDITIONAL and order.trigger is by and triggers(order, exact(price)):
                work.triggered = True

    # --- liquidation -----------------------------------------------------------------------------------------------

    def _check_margin(self, instrument: str, mark: float, market: PriceView) -> list[OrderReport]:
        """At or under maintenance margin all orders are canceled and every position is closed at what the book gives, each on
        the next mark or book of its own; what a thin book cannot take stays until it can."""
        reports: list[OrderReport] = []
        if self.account.see_mark(instrument, mark) and not self._liquidating and self.account.spare_usd() <= 0:
            self._liquidating = set(self.account.positions())
            equity, needed = self.account.equity_usd(), self.account.maintenance_usd()
            why = f"liquidation: equity {equity:f} is not above the maintenance margin {needed:f}"
            reports += [self._finish(work, OrderStatus.CANCELED, why, "") for work in self._all_working()]
        if instrument in self._liquidating:
            reports += self._autoclose(instrument, market)
        return reports

    def _autoclose(self, instrument: str, market: PriceView) -> list[OrderReport]:
        held = self.account.quantity(instrument)
        order = Order(
            client_order_id=f"autoclose-{self._trade_prefix}{self._trades.get(instrument, 0) + 1}",
            instrument=instrument,
            signal_id="",
            position_id="",
            leg="close",
            side=Side.SELL if held > 0 else Side.BUY,
            type=OrderType.MARKET,
            quantity=abs(held),
            reduce_only=True,
        )
        fills = list(self._walk(_Working(order, self.account, liquidation=True), market))
        if not self.account.quantity(instrument):
            self._liquidating.discard(instrument)
        return fills

    # --- filling ---------------------------------------------------------------------------------------------------

    def _arrive(self, work: _Working, market: PriceView) -> list[OrderReport]:
        """On the book: take what the limit allows, rest with what is left. Blind, a limit waits for a book to arrive on."""
        order = work.order
        if order.type in CONDITIONAL:
            return []
        if order.tif is TimeInForce.GTX and self._would_take(order, market):
            return [self._finish(work, OrderStatus.EXPIRED, WOULD_TAKE)]
        reports = self._take(work, market)
        if order.price is not None and market.usable and self._find(order):
            work.queue = Queue.behind(market.size_at(order.side, float(order.price)))
        return reports

    def _would_take(self, order: Order, market: PriceView) -> bool:
        return would_take(order, market)

    def _serve(self, work: _Working, limit: Decimal, quantity: Decimal) -> list[OrderReport]:
        """Fill at most this much as the maker."""
        quantity = min(quantity, self._wanted(work))
        return self._closing(work, [self._fill(work, limit, quantity, maker=True)] if quantity else [])

    def _take(self, work: _Working, market: PriceView, as_maker_at: Decimal | None = None) -> list[OrderReport]:
        return self._closing(work, list(self._walk(work, market, as_maker_at)))

    def _walk(self, work: _Working, market: PriceView, as_maker_at: Decimal | None = None) -> Iterator[OrderReport]:
        """Fill from the opposite levels as far as limit, quantity, position and depth allow.

        As a maker it is they who come to us: at our price, and only those that go beyond it."""
        order, rules = work.order, self._instruments[work.order.instrument]
        for level, price, free in self._takings.open_levels(order.side, rules, market, self.now_ns):
            wanted = self._wanted(work)
            if wanted == 0 or beyond_limit(order, price):
                return
            if as_maker_at is not None and not _beyond(order.side, as_maker_at, price):
                return
            quantity = min(wanted, free)
            if quantity > 0:
                self._takings.took(order.instrument, order.side, level, quantity, self.now_ns)
                yield self._fill(work, as_maker_at or price, quantity, maker=as_maker_at is not None)

    def _wanted(self, work: _Working) -> Decimal:
        """How much the order may still fill. Never more than is open if it may only reduce (invariant I5)."""
        if work.order.close_position:
            return reducible(work.order, work.owner)
        return min(work.remaining, reducible(work.order, work.owner)) if work.order.reduce_only else work.remaining

    def _fill(self, work: _Working, price: Decimal, quantity: Decimal, *, maker: bool) -> Fill:
        order = work.order
        work.filled += quantity
        self._trades[order.instrument] = number = self._trades.get(order.instrument, 0) + 1
        maker_rate, taker_rate = self._fees.rates(self._volume_usd(self.now_ns))
        rate = maker_rate if maker else taker_rate + (self._liquidation_fee if work.liquidation else 0)
        fee = price * quantity * rate
        work.owner.book(order.instrument, order.side, price, quantity, fee, self.now_ns)
        return Fill(
            client_order_id=order.client_order_id,
            instrument=order.instrument,
            trade_id=f"{self._trade_prefix}{number}",
            side=order.side,
            price=price,
            quantity=quantity,
            fee=fee,
            fee_asset=self._instruments[order.instrument].quote,
            maker=maker,
            liquidation=work.liquidation,
        )

    def _closing(self, work: _Working, fills: list[OrderReport]) -> list[OrderReport]:
        """`fills` and, if the order can have no more, its end: FILLED, or EXPIRED when it ran out of position."""
        if self._wanted(work) > 0:
            return fills
        complete = bool(fills) if work.order.close_position else work.remaining == 0
        if complete:
            return [*fills, self._finish(work, OrderStatus.FILLED)]
        return [*fills, self._finish(work, OrderStatus.EXPIRED, NOTHING_TO_REDUCE)]

    def _finish(self, work: _Working, status: OrderStatus, reason: str = "", command: str = "place") -> OrderUpdate:
        del self._working[work.order.instrument][work.order.client_order_id]
        self._forget(work.order.client_order_id)
        return _update(work.order, status, reason, command)

    # --- looking up and refusing -----------------------------------------------------------------------------------

    def _forget(self, client_order_id: str) -> None:
        """Nothing more of it than its id, so that it is not placed twice, and that not for ever."""
        self._finished[client_order_id] = None
        if len(self._finished) > FINISHED_KEPT:
            del self._finished[next(iter(self._finished))]

    def _find(self, order: Order) -> _Working | None:
        return self._working.get(order.instrument, {}).get(order.client_order_id)

    def _all_working(self) -> list[_Working]:
        return [work for of in self._working.values() for work in of.values()]

    def _not_working(self, order: Order, command: str) -> OrderUpdate:
        reason = "order is finished" if order.client_order_id in self._finished else "unknown order"
        return _update(order, OrderStatus.REJECTED, reason, command)

    def _reached(self, instrument: str, price: float) -> list[tuple[_Working, Decimal, float]]:
        """Resting limits at this price or passed by it, those a moving price reaches first in front, then the older ones.

        Floats of the same decimal are the same, so prices of the grid compare exactly."""
        reached = [
            each for each in self._limits(instrument) if (price >= each[2] if each[0].sells else price <= each[2])
        ]
        return sorted(reached, key=_first_reached)

    def _limits(self, instrument: str) -> list[tuple[_Working, Decimal, float]]:
        """Resting limits with their price, for orders and for comparing; the older ones first."""
        of = self._working.get(instrument, {})
        return [
            (work, work.order.price, float(work.order.price)) for work in of.values() if work.order.price is not None
        ]

    def _refusal(self, order: Order, market: PriceView, owner: Owner) -> str:
        rules = self._instruments.get(order.instrument)
        if rules is None:
            return f"unknown instrument {order.instrument}"
        if self._liquidating:
            return LIQUIDATED
        refusal = price_refusal(order, rules) or size_refusal(order, rules, market.mark)
        if refusal:
            return refusal
        if (order.reduce_only or order.close_position) and reducible(order, owner) == 0:
            return NOTHING_TO_REDUCE
        return market_refusal(order, market)


def _update(order: Order, status: OrderStatus, reason: str = "", command: str = "place") -> OrderUpdate:
    return OrderUpdate(
        client_order_id=order.client_order_id,
        instrument=order.instrument,
        status=status,
        command=command,
        reason=reason,
    )


def reducible(order: Order, owner: Owner) -> Decimal:
    position = owner.quantity(order.instrument)
    return max(_ZERO, position if order.side is Side.SELL else -position)


def _first_reached(limit: tuple[_Working, Decimal, float]) -> float:
    """By the best price of its side; the older ones stay in front."""
    return limit[2] if limit[0].sells else -limit[2]


def _beyond(side: Side, limit: Decimal, price: Decimal) -> bool:
    """Whether the other side has come farther than this limit: a bid over our sale, an ask under our purchase."""
    return price > limit if side is Side.SELL else price < limit
