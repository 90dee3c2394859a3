"""The paper venue: the account's own matching, seen through a delay.

A command takes effect a drawn latency after the engine time of its decision, and its outcomes come back as the bytes of
account frames; so do funding and liquidation, which nobody asks for. No clock, no randomness and no task in here: the engine
owns the timers, shows the market and takes the reports.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from decimal import Decimal

from pydantic import Field, model_validator

from bot.domain.errors import InvariantError
from bot.domain.market import TradePrint
from bot.domain.orders import AccountReport, AmendOrder, CancelOrder, Order, OrderCommand, OrderReport, PlaceOrder
from bot.domain.ports import MarketView, PriceView
from bot.trading.account import Account, Held
from bot.trading.fill_params import FillParams
from bot.trading.fills import Matching, Resting
from bot.trading.funding import TOLERANCE_NS, FundingBook
from bot.trading.latency import Latency
from bot.venues.reports import encode_report

_FUNDING = "funding"


class PaperParams(FillParams):
    equity_usd: Decimal = Field(
        Decimal(10000),
        gt=0,
        le=10**12,  # sums are exact to the last digit up to there, and far beyond
        decimal_places=8,
        description="wallet at the start of a new paper account",
    )
    latency_ms: int = Field(150, ge=0, le=60_000, description="from decision to the venue's matching engine, median")
    latency_p99_ms: int = Field(600, ge=0, le=600_000, description="of 100 commands one takes longer; 0: all the same")

    @model_validator(mode="after")
    def _ordered(self) -> PaperParams:
        if 0 < self.latency_p99_ms < self.latency_ms:
            raise ValueError(
                f"latency_p99_ms = {self.latency_p99_ms} is less than the median latency_ms = {self.latency_ms}"
            )
        return self


class PaperVenue:
    """`schedule(key, due_ns)` asks for `on_timer(key, ...)` at that engine time; `report` takes a frame's bytes.

    Equal due times must fire in the order in which they were scheduled.
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
        self._funding = FundingBook(matching.account)
        self._latency = Latency(params.latency_ms, params.latency_p99_ms)
        self._schedule = schedule
        self._report = report
        self._sent = 0
        self._in_flight: dict[str, tuple[int, OrderCommand]] = {}
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
        kind = f"{decided_ns} {order.instrument} {order.leg} {type(command).__name__}"
        self._alike[kind] += 1
        own_ns = decided_ns + self._latency.draw_ns(f"{kind} {self._alike[kind]}")
        before = (
            due_ns for due_ns, sent in self._in_flight.values() if sent.order.client_order_id == order.client_order_id
        )
        return max([own_ns, *before])

    def on_timer(self, key: str, market_of: Callable[[str], PriceView]) -> None:
        """The command behind `key` arrives, or a funding time has passed. Raises InvariantError for any other key."""
        if key in self._settling:
            self._settle(*self._settling.pop(key))
            return
        if key not in self._in_flight:
            raise InvariantError(f"no paper command is on its way under {key!r}: fire each scheduled key once")
        due_ns, command = self._in_flight.pop(key)
        self._at(due_ns)
        self._publish(self._apply(command, market_of(command.order.instrument)))

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
            self._report(encode_report(report))

    def _at(self, now_ns: int) -> None:
        """Engine time goes on; a timer that fires late is dated when it was due, but never before what came already."""
        self._matching.now_ns = max(self._matching.now_ns, now_ns)
