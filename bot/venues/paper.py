"""The paper venue: the account's own matching, seen through a delay.

A command takes effect `latency_ms` after the engine time of its decision, and its outcomes come back as the bytes of
account frames. No clock, no randomness and no task in here: the engine owns the timers, shows the market and takes the
reports.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal

from pydantic import Field

from bot.domain.errors import InvariantError
from bot.domain.orders import AmendOrder, CancelOrder, Fill, Order, OrderCommand, OrderReport, PlaceOrder
from bot.domain.params import Params
from bot.domain.ports import PriceView
from bot.domain.values import MS, NS
from bot.trading.fills import Matching
from bot.venues.reports import encode_report

REFILL_NS = NS  # the book is not refilled behind our own taking for this long


class PaperParams(Params):
    equity_usd: Decimal = Field(Decimal(10000), gt=0, description="wallet at the start of a paper session")
    latency_ms: int = Field(150, ge=0, le=60_000, description="from decision to the venue's matching engine")


class PaperVenue:
    """`schedule(key, due_ns)` asks for `on_timer(key, ...)` at that engine time; `report` takes a frame's bytes.

    Keys sort in the order of sending, and equal due times must fire in that order.
    """

    name: str = "paper"

    def __init__(
        self,
        matching: Matching,
        params: PaperParams,
        schedule: Callable[[str, int], None],
        report: Callable[[bytes], None],
    ) -> None:
        self._matching = matching
        self._latency_ns = params.latency_ms * MS
        self._schedule = schedule
        self._report = report
        self._sent = 0
        self._in_flight: dict[str, tuple[int, OrderCommand]] = {}
        self._taken: set[str] = set()  # instruments we took from since the last arrival
        self._refill_ns: dict[str, int] = {}

    def send(self, command: OrderCommand, decided_ns: int) -> None:
        self._sent += 1
        key, due_ns = f"command-{self._sent:012d}", decided_ns + self._latency_ns
        self._in_flight[key] = (due_ns, command)
        self._schedule(key, due_ns)

    def on_timer(self, key: str, market_of: Callable[[str], PriceView]) -> None:
        """The command behind `key` arrives. Raises InvariantError for a key that is not on its way."""
        if key not in self._in_flight:
            raise InvariantError(f"no paper command is on its way under {key!r}: fire each scheduled key once")
        due_ns, command = self._in_flight.pop(key)
        instrument = command.order.instrument
        self._date_takes(due_ns)
        if due_ns >= self._refill_ns.get(instrument, due_ns):
            self._matching.refill(instrument)
        self._publish(self._apply(command, market_of(instrument)))
        self._date_takes(due_ns)

    def on_its_way(self) -> list[Order]:
        """Orders that were sent and have not arrived yet."""
        return [command.order for _, command in self._in_flight.values() if isinstance(command, PlaceOrder)]

    def watching(self, instrument: str) -> bool:
        """Whether `on_trade` and `on_book` need to be called for this instrument."""
        return self._matching.watching(instrument)

    def on_trade(self, instrument: str, price: float, quantity: float, market: PriceView) -> None:
        """Without a book there is no mark here, but the venue has one: the trade stands in for it, so that a stop triggers
        and fills as soon as there is a book again."""
        self._publish(self._matching.on_trade(instrument, price, quantity))
        if market.mark is None:
            self._publish(self._matching.on_mark(instrument, price, market))

    def on_book(self, instrument: str, market: PriceView) -> None:
        """The book or the mark has changed."""
        if market.mark is not None:
            self._publish(self._matching.on_mark(instrument, market.mark, market))

    def _apply(self, command: OrderCommand, market: PriceView) -> list[OrderReport]:
        match command:
            case PlaceOrder(order=order):
                return self._matching.place(order, market)
            case CancelOrder(order=order):
                return self._matching.cancel(order)
            case AmendOrder(order=order):
                return self._matching.amend(order, market)

    def _publish(self, reports: Iterable[OrderReport]) -> None:
        for report in reports:
            if isinstance(report, Fill) and not report.maker:
                self._taken.add(report.instrument)
            self._report(encode_report(report))

    def _date_takes(self, now_ns: int) -> None:
        """Market frames tell no time here: a stop's fill is dated by the next arrival, so never too early."""
        for instrument in self._taken:
            self._refill_ns[instrument] = now_ns + REFILL_NS
        self._taken.clear()
