"""A driftless market for the real desks and the real paper venue: the null that no exit rule may beat before costs.

The price is a martingale on the tick grid. Its next stride is never longer than the way to the nearest price at which an order
or a watch waits, so it meets each of them exactly (no overshoot), and a position takes some dozens of steps, not thousands.
The stride is known before its sign is drawn, and time goes on by its square: a random walk looked at when something can happen.

What is left as costs: fees, and half a spread (one tick) for each taker fill. Gross is before both. A limit that arrives with the
price exactly at it is filled a tick later, at most a tick (0.1 bps) worse.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from math import sqrt
from random import Random
from typing import Any, NamedTuple

from bot.app import desks, wiring
from bot.app.settings import Settings
from bot.domain.events import Emit
from bot.domain.ids import IdSource
from bot.domain.instrument import Instrument
from bot.domain.market import TradePrint
from bot.domain.messages import Sampled
from bot.domain.orders import Fill, OrderCommand, Trigger
from bot.domain.ports import Desk
from bot.domain.reading import OiDelta, Regime
from bot.domain.values import NS, Decision, Direction, RegimeLabel, Side
from bot.runtime.bus import Bus
from bot.runtime.timers import Timers
from bot.runtime.watches import Watches
from bot.trading.exits.protection import stop_distance
from bot.trading.fills import Matching
from bot.trading.orders import Orders
from bot.trading.portfolio import Portfolio
from bot.venues.paper import PaperVenue
from bot.venues.reports import decode_report
from tests import world
from tests.build import FakeMarket, FakeView, reading, signal

TICK = 0.1
START = 100_000  # ticks: one is 0.1 bps
TICK_NS = NS // 100  # a stride of n ticks takes n squared of these: 3 % a day
DEPTH, PRINT = 1e6, 1e7  # each level, each trade: all that waits at a price is served by a trade there
QUANTITY = Decimal(1)
OURS = ("orders", "positions", "exits")
ROUTES = {kind: tuple(name for name in names if name in OURS) for kind, names in wiring.ROUTES.items()}


@dataclass
class WalkMarket(FakeMarket):
    """Best prices one tick around the walk's, three deep levels a side."""

    ticks: int = START
    after: int = START  # where the next stride leads; no honest model looks at it

    def go(self, ticks: int) -> None:
        self.ticks = ticks
        self.last = self.mark = _price(ticks)
        self.bid, self.ask = _price(ticks - 1), _price(ticks + 1)
        self.bids = [(_price(ticks - i), DEPTH) for i in (1, 2, 3)]
        self.asks = [(_price(ticks + i), DEPTH) for i in (1, 2, 3)]


class Steps(NamedTuple):
    """Strides in ticks: at most `longest`, `busy` while a command is on its way; one in `jump_every` leaps `jump` instead."""

    longest: int = 1000
    busy: int = 4
    jump: int = 0
    jump_every: int = 20


@dataclass
class Trade:
    """One position, in percent of its entry value; `gross` before fees and half-spreads."""

    gross_usd: Decimal = Decimal(0)
    costs_usd: Decimal = Decimal(0)
    entry_usd: Decimal = Decimal(0)
    net_usd: Decimal = Decimal(0)  # by which the portfolio's own wallet grew

    def book(self, fill: Fill, entry: bool) -> None:
        value = fill.price * fill.quantity
        half_spread = Decimal(0) if fill.maker else fill.quantity * Decimal(str(TICK))
        self.gross_usd += (value if fill.side is Side.SELL else -value) + half_spread
        self.costs_usd += fill.fee + half_spread
        self.entry_usd += value if entry else 0

    @property
    def gross(self) -> float:
        return float(self.gross_usd / self.entry_usd * 100)

    @property
    def costs(self) -> float:
        return float(self.costs_usd / self.entry_usd * 100)

    @property
    def net(self) -> float:
        return float(self.net_usd / self.entry_usd * 100)


class Result(NamedTuple):
    """Means in percent of entry value; `error` is the standard error of `gross`, `net_error` that of `net`."""

    n: int
    win_rate: float
    gross: float
    error: float
    costs: float
    net: float
    net_error: float

    @property
    def fair(self) -> bool:
        """The benchmark: nothing is won or lost but the costs."""
        return abs(self.gross) < 3 * self.error and abs(self.net + self.costs) < 3 * self.net_error


@dataclass
class NullMarket:
    settings: Settings
    seed: int = 1
    steps: Steps = field(default_factory=Steps)
    model: Callable[..., Matching] = Matching
    true_trend: bool = False
    atr: float | None = None  # price units, of the bars that group `stop` asks for

    def __post_init__(self) -> None:
        known: Instrument = world.COIN
        self.id = known.id
        self.random = Random(self.seed)
        self.view = FakeView(instruments=[known])
        self.market = WalkMarket()
        self.market.go(START)
        self.view.markets[self.id] = self.market
        stop = self.settings.stop
        if self.atr is not None:
            self.market.ranges[stop.atr_width_s, stop.atr_bars] = self.atr
        self.timers, self.watches = Timers(), Watches()
        self.commands: list[OrderCommand] = []
        self.reports: list[bytes] = []
        self.counts: dict[str, int] = {}
        self.trade = Trade()
        self._number = self._frame = 0
        self._direction = Direction.LONG
        self._sampled_ns = 0
        self._assemble(known)

    def _assemble(self, known: Instrument) -> None:
        chosen, instruments = self.settings, {self.id: known}
        self.ids = IdSource(account="main", session=1)
        wallet = chosen.paper.equity_usd
        self.portfolio = Portfolio(wallet, lambda i: Decimal(str(self.market.mark)), chosen.fees.taker)
        self.view.portfolio = self.portfolio  # type: ignore[assignment]
        matching = self.model(instruments, chosen.fees, chosen.paper, wallet_usd=wallet)
        self.venue = PaperVenue(
            matching,
            chosen.paper,
            schedule=lambda key, due_ns: self.timers.set(wiring.VENUE_TIMERS, key, due_ns),
            report=self.reports.append,
        )
        rules = desks.size_rules(chosen, instruments)
        taking_part: list[Desk] = [
            Orders(),
            desks.position_desk(chosen, self.portfolio, self.ids, rules),
            desks.exit_desk(chosen, self.portfolio, self.ids, rules),
        ]
        sinks = wiring._sinks(self, self.commands, self.timers, self.watches)  # type: ignore[arg-type]
        self.bus = Bus(taking_part, ROUTES, sinks, self.view)

    def emit(self, event: Emit) -> None:
        self.counts[event.kind] = self.counts.get(event.kind, 0) + 1

    # --- positions ---

    def run(self, n: int) -> Result:
        """`n` positions one after the other, longs and shorts in turn."""
        trades = [self.position((Direction.LONG, Direction.SHORT)[i % 2]) for i in range(n)]
        gross, net = [t.gross for t in trades], [t.net for t in trades]
        mean, error = _mean(gross)
        net_mean, net_error = _mean(net)
        wins = sum(g > 0 for g in gross) / n
        return Result(n, wins, mean, error, _mean([t.costs for t in trades])[0], net_mean, net_error)

    def position(self, direction: Direction) -> Trade:
        self.trade, self._direction, before = Trade(), direction, self.portfolio.wallet_usd
        while not self.trade.entry_usd:  # an entry that the price ran away from is no position
            self._enter(direction)
            while self._busy():
                self.step()
        while self.portfolio.position(self.id) is not None:
            self.step()
        self._pass_time(self.view.now_ns + 3600 * NS)  # what rests is canceled
        assert not self.venue.working() and not self.venue.account.positions()
        self.trade.net_usd = self.portfolio.wallet_usd - before
        self._move(START)
        return self.trade

    def _busy(self) -> bool:
        return bool(self.venue.on_its_way()) or self.portfolio.pending(self.id)

    def _enter(self, direction: Direction) -> None:
        self._number += 1
        now_ns, view = self.view.now_ns, self.view
        if self.true_trend:
            way = float(direction.sign)
            regime = Regime(label=RegimeLabel.TREND, hurst=0.7, z=3.0, sum_100=way, sum_12=way)
            view.put(reading("regime", regime, now_ns=now_ns), self.id)
            view.put(reading("oi_delta_5m", OiDelta(pct=1.0), now_ns=now_ns), self.id)
        idea = signal(
            direction,
            signal_id=f"S{self._number}",
            instrument=self.id,
            ts_ns=now_ns,
            price=Decimal(str(self.market.mark)),
        )
        distance = stop_distance(view, self.id, self.settings.stop)
        assert distance is not None
        self._publish(
            Decision(
                signal=idea,
                allowed=True,
                blocker=None,
                verdicts=(),
                multiplier=1.0,
                quantity=QUANTITY,
                stop_distance=distance,
            )
        )
        assert self._busy(), f"the entry was refused: {self.counts}"

    # --- the walk ---

    def step(self) -> None:
        stride = self._stride()
        self.market.after = self.market.ticks + self.random.choice((-1, 1)) * stride
        walked = min(stride, self.steps.longest)  # a leap takes no longer than the longest stride
        self._pass_time(self.view.now_ns + walked * walked * TICK_NS)
        self._move(self.market.after)
        if self.view.now_ns - self._sampled_ns >= NS:
            self._sampled_ns = self.view.now_ns
            self._publish(Sampled(now_ns=self.view.now_ns))

    def _stride(self) -> int:
        """To the nearest price that something waits at; known before the sign is drawn, which is what keeps the walk fair."""
        steps = self.steps
        if steps.jump and self.random.randrange(steps.jump_every) == 0:
            return steps.jump
        ways = [abs(round(level / TICK) - self.market.ticks) for level in self._levels()]
        longest = steps.busy if self.venue.on_its_way() or self.moving() else steps.longest
        return max(1, min([longest, *ways]))

    def moving(self) -> bool:
        """Whether a command is on its way."""
        return any(desk == wiring.VENUE_TIMERS for desk, _ in self.timers._live)

    def _levels(self) -> list[float]:
        orders = [each.order for each in self.venue.working()]
        waits = [float(price) for o in orders for price in (o.price, o.stop_price) if price is not None]
        return waits + [level for _, level in self.watches._watches.get(self.id, {}).values()]

    def _move(self, ticks: int) -> None:
        market, now_ns = self.market, self.view.now_ns
        market.go(ticks)
        price = _price(ticks)
        for buys in (True, False):
            trade = TradePrint(world.COIN.symbol, 0, price, PRINT, buys, now_ns)
            self.venue.on_trade(self.id, trade, market, now_ns)
        self.venue.on_book(self.id, market, now_ns)
        self._settle()
        for of in (Trigger.LAST, Trigger.MARK):
            for touched in self.watches.touched(self.id, of, price):
                self._publish(touched)

    def _pass_time(self, until_ns: int) -> None:
        while (due_ns := self.timers.next_due()) is not None and due_ns <= until_ns:
            self.view.now_ns = max(self.view.now_ns, due_ns)
            fired = self.timers.pop()
            if fired.desk == wiring.VENUE_TIMERS:
                self.venue.on_timer(fired.key, lambda _: self.market)
                self._settle()
            else:
                self._publish(fired)
        self.view.now_ns = until_ns

    # --- the engine's part ---

    def _publish(self, message: Any) -> None:
        self._frame += 1
        self.ids.begin(self._frame, self.view.now_ns)
        self.bus.publish(message)
        self.bus.settle_now()
        commands, self.commands[:] = list(self.commands), []
        for command in commands:
            self.venue.send(command, self.view.now_ns)
        self._settle()

    def _settle(self) -> None:
        reports, self.reports[:] = list(self.reports), []
        for raw in reports:
            report = decode_report(raw)
            if isinstance(report, Fill):
                self.trade.book(report, entry=report.side is self._direction.entry_side)
            self._publish(report)


def _price(ticks: int) -> float:
    return round(ticks * TICK, 1)


def _mean(values: list[float]) -> tuple[float, float]:
    """Mean and its standard error."""
    n, mean = len(values), sum(values) / len(values)
    return mean, sqrt(sum((v - mean) ** 2 for v in values) / (n - 1) / n)
