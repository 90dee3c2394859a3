"""A venue that is only computed: one account's matching, seen through a delay. Paper and the shadow book are both made of it.

A command takes effect a drawn latency after the engine time of its decision; its outcomes are published as reports, and so are
funding and liquidation, which nobody asks for. No clock, no randomness and no task in here: who owns it keeps the timers, shows
the market and takes the reports.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from decimal import Decimal

from bot.domain.errors import InvariantError
from bot.domain.market import TradePrint
from bot.domain.orders import AccountReport, AmendOrder, CancelOrder, Order, OrderCommand, OrderReport, PlaceOrder
from bot.domain.ports import MarketView, PriceView
from bot.trading.account import Account, Held
from bot.trading.fills import Matching, Resting
from bot.trading.funding import TOLERANCE_NS, FundingBook
from bot.trading.latency import Latency

_FUNDING = "funding"


class SimulatedVenue:
    """`schedule(key, due_ns)` asks for `on_timer(key, ...)` at that engine time; `publish` takes each report.

    Equal due times must fire in the order in which they were scheduled. `called` gives the name of an instrument that delays
    hang on: what stands for the same instrument in two venues is as far from both.
    """

    def __init__(
        self,
        matching: Matching,
        latency: Latency,
        schedule: Callable[[str, int], None],
        publish: Callable[[AccountReport], None],
        called: Callable[[str], str] = str,
    ) -> None:
        self._matching = matching
        self._funding = FundingBook(matching.account)
        self._latency = latency
        self._schedule = schedule
        self._publish_one = publish
        self._called = called
        self._sent = 0
        self._in_flight: dict[str, tuple[int, OrderCommand]] = {}
        self._latest: dict[str, int] = {}  # when the last command on its way about an order is due
        self._settling: dict[str, tuple[str, int]] = {}  # by timer key: instrument and funding time
        self._decided_ns = 0
        self._alike: Counter[str] = Counter()  # commands of this moment with the same key

    @property
    def account(self) -> Account:
        """The venue's own books, to be compared with ours."""
        return self._matching.account

    def working(self) -> list[Resting]:
        return self._matching.working()

    def restore(
        self,
        wallet_usd: Decimal,
        held: Iterable[Held],
        working: Iterable[Resting],
        traded: Iterable[tuple[int, Decimal]] = (),
        trade_prefix: str | None = None,
    ) -> None:
        """Go on after a restart, see `Matching.restore`. Commands that were on their way are sent again with the time of their
        decision: they draw the same delay. A funding time that passed meanwhile is not booked."""
        self._in_flight.clear()
        self._latest.clear()
        self._settling.clear()
        self._funding = FundingBook(self._matching.account)  # what comes next is told with every mark price
        self._matching.restore(wallet_usd, held, working, traded, trade_prefix)

    # --- commands --------------------------------------------------------------------------------------------------

    def send(self, command: OrderCommand, decided_ns: int) -> None:
        self._sent += 1
        key, due_ns = f"command-{self._sent:012d}", self._arrival_ns(command, decided_ns)
        self._in_flight[key] = (due_ns, command)
        self._schedule(key, due_ns)

    def _arrival_ns(self, command: OrderCommand, decided_ns: int) -> int:
        """Its own delay, but never before an earlier command about the same order: one connection keeps its order.

        The delay hangs on what survives a restart: the moment, what is asked, and its number among its like. Not on
        the client order id, which has the session's number in it."""
        if decided_ns != self._decided_ns:
            self._decided_ns = decided_ns
            self._alike.clear()
        order = command.order
        what = f"{order.leg} {type(command).__name__}"
        kind = f"{order.instrument} {what}"
        self._alike[kind] += 1
        drawn = f"{decided_ns} {self._called(order.instrument)} {what} {self._alike[kind]}"
        own_ns = decided_ns + self._latency.draw_ns(drawn)
        self._latest[order.client_order_id] = due_ns = max(own_ns, self._latest.get(order.client_order_id, 0))
        return due_ns

    def on_timer(self, key: str, market_of: Callable[[str], PriceView]) -> None:
        """The command behind `key` arrives, or a funding time has passed. Raises InvariantError for any other key."""
        if key in self._settling:
            self._settle(*self._settling.pop(key))
            return
        if key not in self._in_flight:
            raise InvariantError(f"no command is on its way under {key!r}: fire each scheduled key once")
        due_ns, command = self._in_flight.pop(key)
        if self._latest.get(command.order.client_order_id) == due_ns:
            del self._latest[command.order.client_order_id]
        self._at(due_ns)
        self._publish(self._apply(command, market_of(command.order.instrument)))

    def concerned(self, key: str) -> str | None:
        """The instrument of what `key` stands for; None where nothing is scheduled under it."""
        if key in self._settling:
            return self._settling[key][0]
        sent = self._in_flight.get(key)
        return None if sent is None else sent[1].order.instrument

    def forget(self, instrument: str) -> None:
        """Everything of it, see `Matching.forget`. What was scheduled for it must not fire."""
        of_it = [key for key, (_, sent) in self._in_flight.items() if sent.order.instrument == instrument]
        for key in of_it:
            self._latest.pop(self._in_flight.pop(key)[1].order.client_order_id, None)
        for key in [key for key, (of, _) in self._settling.items() if of == instrument]:
            del self._settling[key]
        self._matching.forget(instrument)

    def on_its_way(self) -> list[Order]:
        """Orders that were sent and have not arrived yet."""
        return [command.order for _, command in self._in_flight.values() if isinstance(command, PlaceOrder)]

    # --- the market ------------------------------------------------------------------------------------------------

    def watching(self, instrument: str) -> bool:
        """Whether `on_trade` and `on_book` need to be called for this instrument; `on_mark` always does."""
        return self._matching.watching(instrument)

    def on_trade(self, instrument: str, trade: TradePrint, market: PriceView, now_ns: int) -> None:
        """Without a book there is no mark here, but the venue has one: the trade stands in for it, so that a stop triggers
        and fills as soon as there is a book again."""
        self._at(now_ns)
        self._publish(self._matching.on_trade(instrument, trade.price, trade.quantity, trade.taker_buys))
        if market.mark is None:
            self._publish(self._matching.on_mark(instrument, trade.price, market))

    def on_book(self, instrument: str, market: PriceView, now_ns: int) -> None:
        self._at(now_ns)
        self._publish(self._matching.on_depth(instrument, market))
        if market.mark is not None:
            self._publish(self._matching.on_mark(instrument, market.mark, market))

    def on_mark(self, instrument: str, market: MarketView, now_ns: int) -> None:
        """The venue's mark price, and with it what is known of the next funding."""
        self._at(now_ns)
        funding_ns = self._funding.on_mark(instrument, market, now_ns)
        if funding_ns is not None:
            key = f"{_FUNDING}-{instrument}-{funding_ns}"
            self._settling[key] = (instrument, funding_ns)
            self._schedule(key, funding_ns + TOLERANCE_NS)
        if market.mark is not None and self.watching(instrument):
            self._publish(self._matching.on_mark(instrument, market.mark, market))

    def _settle(self, instrument: str, due_ns: int) -> None:
        self._at(due_ns + TOLERANCE_NS)
        funding = self._funding.settle(instrument, due_ns)
        if funding is not None:
            self._publish([funding])

    def _apply(self, command: OrderCommand, market: PriceView) -> list[OrderReport]:
        match command:
            case PlaceOrder(order=order):
                return self._matching.place(order, market)
            case CancelOrder(order=order):
                return self._matching.cancel(order)
            case AmendOrder(order=order):
                return self._matching.amend(order, market)

    def _publish(self, reports: Iterable[AccountReport]) -> None:
        for report in reports:
            self._publish_one(report)

    def _at(self, now_ns: int) -> None:
        """Engine time goes on; a timer that fires late is dated when it was due, but never before what came already."""
        self._matching.now_ns = max(self._matching.now_ns, now_ns)
