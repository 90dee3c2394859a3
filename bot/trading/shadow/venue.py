"""The venue of the shadow book: the simulated venue that paper trades on, told only of what concerns a shadow.

Every shadow has an account of its own there (an instrument of its own), so that none takes another's fill. Pure, like the rest:
it is shown the market by the intake, its timers are the shadow desk's, and what it has to say waits until that desk asks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import Decimal

from bot.domain.instrument import Instrument, exact
from bot.domain.market import BookDiff, BookSnapshot, TradePrint
from bot.domain.messages import PriceTouched, ShadowsMoved, WatchPrice
from bot.domain.orders import AccountReport, Order, OrderCommand, OrderType, Trigger
from bot.domain.ports import MarketView, PriceView
from bot.domain.values import Side
from bot.trading.account import Held
from bot.trading.costs import FeeParams
from bot.trading.fill_params import FillParams
from bot.trading.fills import Matching, Resting
from bot.trading.funding import TOLERANCE_NS
from bot.trading.latency import Latency
from bot.trading.shadow.lines import Line, Lines, Of
from bot.trading.shadow.view import real
from bot.trading.simulated_venue import SimulatedVenue

Said = AccountReport | PriceTouched
_OF = {Trigger.LAST: Of.LAST, Trigger.MARK: Of.MARK}
_FUNDING_SOON_NS = 2 * TOLERANCE_NS  # before a funding time: from then on every mark price is shown to every shadow


@dataclass(slots=True)
class _Market:
    """The shadows of one real instrument. Orders and watches have lines of their own: a watch fires once."""

    names: dict[str, None] = field(default_factory=dict)
    orders: Lines = field(default_factory=Lines)
    watches: Lines = field(default_factory=Lines)
    sees: bool = False  # there was a whole book when it changed last


class ShadowVenue:
    """`instruments` are the shadows' (see `view.py`), by name, and grow and shrink with them. `volume_usd` is what the real
    account has traded in 30 days; `trade_prefix` sets this session's trades apart from earlier ones."""

    def __init__(
        self,
        instruments: dict[str, Instrument],
        fees: FeeParams,
        params: FillParams,
        latency: Latency,
        *,
        volume_usd: Callable[[int], Decimal],
        trade_prefix: str,
    ) -> None:
        self._matching = Matching(instruments, fees, params, trade_prefix=trade_prefix, volume_usd=volume_usd)
        self._timers: list[tuple[str, int]] = []
        self._venue = SimulatedVenue(
            self._matching, latency, lambda key, due_ns: self._timers.append((key, due_ns)), self._say, called=real
        )
        self._said: list[Said] = []
        self._markets: dict[str, _Market] = {}
        self._watches: dict[tuple[str, str], WatchPrice] = {}
        self._moved = (ShadowsMoved(),)
        self.fault: Exception | None = None  # of ours, while the market was shown; the desk gives up then

    # --- the market, as the intake shows it ---

    def watching(self, instrument: str) -> bool:
        return instrument in self._markets

    def on_trade(self, instrument: str, trade: TradePrint, market: PriceView, now_ns: int) -> None:
        of, price = self._markets[instrument], trade.price
        concerned = of.orders.reached(Of.LIMIT, price) + of.orders.reached(Of.LAST, price)
        if market.mark is None:  # the trade stands in for it
            concerned += [*of.orders.reached(Of.MARK, price), *of.orders.waiting]
        self._touched(of, Of.LAST, market.last)
        for name in dict.fromkeys(concerned):
            self._venue.on_trade(name, trade, market, now_ns)
            self._draw(name)

    def on_book(self, instrument: str, message: BookDiff | BookSnapshot, market: MarketView, now_ns: int) -> None:
        of = self._markets[instrument]
        orders = of.orders
        sees = market.usable and market.bid is not None and market.ask is not None
        went_on, of.sees = type(message) is BookDiff and of.sees, sees
        if went_on:
            concerned = [
                *orders.resting(Side.BUY, [price for price, _ in message.bids]),
                *orders.resting(Side.SELL, [price for price, _ in message.asks]),
                *orders.quoted(market.bid, market.ask),
            ]
        else:
            concerned = orders.with_orders()
        concerned += self._at_mark(of, market)
        for name in dict.fromkeys(concerned):
            self._venue.on_book(name, market, now_ns)
            self._draw(name)

    def on_mark(self, instrument: str, market: MarketView, now_ns: int) -> None:
        of = self._markets[instrument]
        for name in dict.fromkeys([*self._at_mark(of, market), *self._at_funding(of, market, now_ns)]):
            self._venue.on_mark(name, market, now_ns)
            self._draw(name)

    def _at_mark(self, of: _Market, market: MarketView) -> list[str]:
        """Whom the present mark concerns."""
        if market.mark is None:
            return list(of.orders.waiting)
        self._touched(of, Of.MARK, market.mark)
        return [*of.orders.reached(Of.MARK, market.mark), *of.orders.waiting]

    def _at_funding(self, of: _Market, market: MarketView, now_ns: int) -> Iterable[str]:
        """All of them shortly before a funding time, when rate and mark count."""
        due_ns = market.next_funding_ns
        if due_ns is None or due_ns - now_ns > _FUNDING_SOON_NS:
            return ()
        return of.names

    def _touched(self, of: _Market, kind: Of, price: float | None) -> None:
        if price is None or not len(of.watches):
            return
        for key in of.watches.reached(kind, price):
            of.watches.drop(key)
            name, _, rest = key.partition(" ")
            del self._watches[name, rest]
            self._said.append(PriceTouched(desk="exits", key=rest, price=exact(round(price, 8))))

    # --- the shadow desk ---

    def moved(self) -> tuple[ShadowsMoved, ...]:
        """Whether the desk has something to fetch."""
        return self._moved if self._said or self.fault is not None else ()

    def broke(self, error: Exception) -> None:
        """The intake could not show the market to it."""
        self.fault = error

    def said(self) -> list[Said]:
        """Everything since the last time, in its order."""
        said, self._said = self._said, []
        return said

    def timers(self) -> list[tuple[str, int]]:
        """What it asked to be woken for since the last time: key and engine time, for `on_timer`."""
        timers, self._timers = self._timers, []
        return timers

    def on_timer(self, key: str, market_of: Callable[[str], PriceView]) -> None:
        """What was scheduled for a shadow that is over has nothing to do any more."""
        name = self._venue.concerned(key)
        if name is not None:
            self._venue.on_timer(key, market_of)
            self._draw(name)

    def send(self, command: OrderCommand, decided_ns: int) -> None:
        self._venue.send(command, decided_ns)

    def watch(self, watch: WatchPrice) -> None:
        of = self._of(watch.instrument)
        self._watches[watch.instrument, watch.key] = watch
        line = Line(_OF[watch.of], watch.above, float(watch.price))
        of.watches.put(f"{watch.instrument} {watch.key}", [line], waits=False)

    def open(self, name: str) -> None:
        """From here on the market concerns it."""
        self._of(name).names[name] = None
        self._draw(name)

    def close(self) -> None:
        """No shadow is followed any more."""
        self._markets.clear()
        self._said.clear()

    def forget(self, name: str) -> None:
        """It is over."""
        of = self._markets.get(real(name))
        if of is None:
            return
        for key in [key for at, key in self._watches if at == name]:
            of.watches.drop(f"{name} {key}")
            del self._watches[name, key]
        of.orders.drop(name)
        of.names.pop(name, None)
        self._venue.forget(name)
        if not of.names:
            del self._markets[real(name)]

    def restore(self, held: Iterable[Held], working: Iterable[Resting]) -> None:
        """Go on after a restart with these, see `Matching.restore`; `open` each shadow after that."""
        self._venue.restore(Decimal(0), held, working)

    # --- inside ---

    def _say(self, report: Said) -> None:
        self._said.append(report)

    def _of(self, name: str) -> _Market:
        return self._markets.setdefault(real(name), _Market())

    def _draw(self, name: str) -> None:
        """Its lines as its orders are now."""
        of = self._markets.get(real(name))
        if of is not None and name in of.names:
            waiting = list(self._matching.waits_for(name))
            of.orders.put(name, map(_line, (order for order, _ in waiting)), waits=any(anyway for _, anyway in waiting))


def _line(order: Order) -> Line:
    if order.type is OrderType.LIMIT:
        assert order.price is not None  # the matching refuses others
        return Line(Of.LIMIT, order.side is Side.SELL, float(order.price))
    assert order.stop_price is not None
    below = (order.type is OrderType.STOP_MARKET) == (order.side is Side.SELL)
    return Line(_OF[order.trigger], not below, float(order.stop_price))
