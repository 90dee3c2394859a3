"""The trading desks on a bus without a venue: a test plays the venue, and sees commands, events and timers."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from bot.app import wiring
from bot.domain.events import Emit
from bot.domain.ids import IdSource
from bot.domain.messages import (
    CancelTimer,
    KillRequest,
    PriceTouched,
    Sampled,
    SetTimer,
    TimerFired,
    UnwatchPrice,
    WatchPrice,
)
from bot.domain.orders import AmendOrder, CancelOrder, Fill, Order, OrderStatus, OrderUpdate, PlaceOrder
from bot.domain.values import NS, Decision, Direction, Signal
from bot.market.walls import WallParams
from bot.runtime.bus import Bus
from bot.trading.costs import FeeParams
from bot.trading.exits.desk import Exits
from bot.trading.exits.hold import ExitParams, HoldParams, TrueTrendParams
from bot.trading.exits.ladder import LadderParams
from bot.trading.exits.opening import Liquidation
from bot.trading.exits.plan import Plan
from bot.trading.exits.protection import StopParams, stop_distance
from bot.trading.exits.retarget import Retarget
from bot.trading.exits.walls import TargetParams
from bot.trading.orders import Orders
from bot.trading.portfolio import Portfolio
from bot.trading.positions import EntryParams, Positions
from bot.trading.risk import RiskParams
from bot.trading.sizing import SizeRules, SizingParams
from tests.build import BTC, NOW, FakeView, signal

OURS = ("orders", "positions", "exits")
ROUTES = {kind: tuple(name for name in names if name in OURS) for kind, names in wiring.ROUTES.items()}


class Desks:
    """Money starts at 10,000 USD; marks are the fake view's."""

    def __init__(
        self,
        view: FakeView | None = None,
        *,
        stop: StopParams | None = None,
        liquidation: Liquidation = lambda position: None,
        exit_fee: str = "0",
        **exits: Any,
    ) -> None:
        self.view = view or FakeView()
        self.events: list[Emit] = []
        self.stamps: list[int] = []  # when each was emitted
        self.commands: list[PlaceOrder | AmendOrder | CancelOrder] = []
        self.timers: dict[str, int] = {}
        self.watches: dict[str, WatchPrice] = {}
        self.kills: list[KillRequest] = []
        self._trades = 0
        ids = IdSource(account="main", session=1)
        ids.begin(1, NOW)
        self.portfolio = Portfolio(
            Decimal(10_000), lambda i: Decimal(repr(self.view.market(i).mark)), Decimal(exit_fee)
        )
        self.view.portfolio = self.portfolio  # type: ignore[assignment]
        stop = self._stop = stop or StopParams()
        retarget = Retarget(WallParams(), TargetParams(), FeeParams())
        self.exits = Exits(
            self.portfolio,
            ids,
            retarget,
            ladder=LadderParams(),
            stop=stop,
            hold=HoldParams(),
            exits=ExitParams(**exits),
            fees=FeeParams(),
            liquidation=liquidation,
        )
        self.rules = SizeRules(SizingParams(), RiskParams(), Decimal("0.0005"), Decimal("0.001"), Decimal("0.01"))
        positions = Positions(
            self.portfolio,
            ids,
            entry=EntryParams(),
            hold=HoldParams(),
            true_trend=TrueTrendParams(),
            stop=stop,
            rules=self.rules,
        )
        sinks: dict[type, Any] = {
            Emit: self._tell,
            PlaceOrder: self.commands.append,
            AmendOrder: self.commands.append,
            CancelOrder: self.commands.append,
            SetTimer: lambda m: self.timers.__setitem__(m.key, m.due_ns),
            CancelTimer: lambda m: self.timers.pop(m.key, None),
            WatchPrice: lambda m: self.watches.__setitem__(m.key, m),
            UnwatchPrice: lambda m: self.watches.pop(m.key, None),
            KillRequest: self.kills.append,
        }
        self._bus = Bus([Orders(), positions, self.exits], ROUTES, sinks, self.view)

    def _tell(self, emit: Emit) -> None:
        self.events.append(emit)
        self.stamps.append(self.view.now_ns)

    def say(self, *messages: Any) -> None:
        for message in messages:
            self._bus.publish(message)
        self._bus.settle_now()

    def at(self, seconds: float) -> Desks:
        """Set the time, in seconds since the tests' epoch."""
        self.view.now_ns = NOW + round(seconds * NS)
        return self

    def decide(
        self, direction: Direction = Direction.LONG, quantity: str = "0.04", *, reversal: bool = False, **of: Any
    ) -> Signal:
        idea = signal(direction, ts_ns=self.view.now_ns, **of)
        size = Decimal(0) if reversal else Decimal(quantity)
        self.say(
            Decision(
                signal=idea,
                allowed=True,
                blocker=None,
                verdicts=(),
                multiplier=1.0,
                reversal=reversal,
                quantity=size,
                stop_distance=self._distance(),
            )
        )
        return idea

    def _distance(self) -> Decimal:
        distance = stop_distance(self.view, BTC, self._stop)
        assert distance is not None
        return distance

    def report(self, order: Order, status: OrderStatus, command: str = "place", reason: str = "") -> None:
        self.say(
            OrderUpdate(
                client_order_id=order.client_order_id,
                instrument=order.instrument,
                status=status,
                command=command,
                reason=reason,
            )
        )

    def fill(self, order: Order, price: str, quantity: str, fee: str = "0", trade_id: str | None = None) -> None:
        self._trades += 1
        self.say(
            Fill(
                client_order_id=order.client_order_id,
                instrument=order.instrument,
                trade_id=trade_id or f"T{self._trades}",
                side=order.side,
                price=Decimal(price),
                quantity=Decimal(quantity),
                fee=Decimal(fee),
                fee_asset="USDT",
                maker=False,
            )
        )

    def fire(self, key: str) -> None:
        due_ns = self.timers.pop(key)
        self.view.now_ns = max(self.view.now_ns, due_ns)
        self.say(TimerFired(desk="exits", key=key, due_ns=due_ns))

    def touch(self, price: str) -> None:
        """The watched price is reached: fires the one watch there is."""
        ((key, watch),) = self.watches.items()
        del self.watches[key]
        self.say(PriceTouched(desk=watch.desk, key=key, price=Decimal(price)))

    def sample(self, seconds: float | None = None) -> Desks:
        if seconds is not None:
            self.at(seconds)
        self.say(Sampled(now_ns=self.view.now_ns))
        return self

    def mark(self, price: float) -> Desks:
        self.view.market(BTC).mark = price
        return self

    def amends(self, leg: str = "") -> list[Order]:
        return [c.order for c in self.commands if isinstance(c, AmendOrder) and c.order.leg.startswith(leg)]

    def told(self, kind: str) -> list[dict[str, Any]]:
        return [event.data for event in self.events if event.kind == kind]

    @property
    def plan(self) -> Plan:
        plan = self.exits.plan(self.position_id)
        assert plan is not None
        return plan

    def orders(self, leg: str = "") -> list[Order]:
        """Orders asked for so far, of a leg."""
        return [c.order for c in self.commands if isinstance(c, PlaceOrder) and c.order.leg.startswith(leg)]

    def canceled(self) -> list[str]:
        return [c.order.leg for c in self.commands if isinstance(c, CancelOrder)]

    def kinds(self) -> list[str]:
        return [event.kind for event in self.events]

    def event(self, kind: str) -> dict[str, Any]:
        return next(event.data for event in reversed(self.events) if event.kind == kind)

    def open(self, direction: Direction = Direction.LONG, quantity: str = "0.04", price: str = "65000") -> Order:
        """A position whose entry filled at once and whose stop and tiers rest. Returns the stop."""
        self.decide(direction, quantity)
        entry = self.orders("entry")[-1]
        self.report(entry, OrderStatus.ACK)
        self.fill(entry, price, quantity)
        self.report(entry, OrderStatus.FILLED)
        stop = self.orders("stop")[-1]
        self.report(stop, OrderStatus.ACK)
        for tier in self.orders("tier"):
            self.report(tier, OrderStatus.ACK)
        return stop

    @property
    def position_id(self) -> str:
        position = self.portfolio.position(BTC)
        assert position is not None
        return position.position_id
