"""The same resting orders on the same capture in our simulated venue and in hftbacktest: who fills what, and when.

Both see each message when it reached us, take 150 ms for an order and stand in line by the risk-averse model. Every second a sale
and a purchase are placed, post-only, at the best price or some ticks behind it, and canceled after half a minute. What is
compared is agreement, not speed; where the two differ, the words printed below it say why.
"""

from __future__ import annotations

import heapq
import importlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from itertools import count
from typing import Any

from bot.domain.instrument import exact
from bot.domain.market import BookDiff, MarketMessage, TradePrint
from bot.domain.orders import CancelOrder, Fill, Order, OrderType, PlaceOrder, TimeInForce
from bot.domain.values import MS, NS, Side
from bot.exchanges.binance import decode
from bot.market.state import InstrumentMarket, Market
from bot.trading.costs import FeeParams
from bot.trading.fills import Matching
from bot.venues.paper import PaperParams, PaperVenue
from bot.venues.reports import decode_report
from tests.bench.capture import MIX, Capture

LATENCY_MS = 150
EVERY_NS = NS
LIFE_NS = 30 * NS
TICKS_BEHIND = (0, 1, 3, 10, 30)
QUANTITIES = tuple(Decimal(text) for text in ("0.002", "0.05", "0.5", "3"))
SAME_NS = MS
UNFITTING = (
    0.4  # lots less for hftbacktest 2.4: what a trade fills exactly to the end stays in its book, and stops it later
)
WHY = """\
Why they differ, where they do: two orders of ours at one price share no trade here, in hftbacktest both get it; it fills an order
whole as soon as the other side's best quote is at the price, ours waits for the print, or for quotes beyond it and then no more
than they show; a trade beyond the price fills ours whoever took, there only if it was the other side."""


@dataclass(slots=True)
class Placed:
    """One order of the script, and what became of it in one of the venues."""

    order: Order
    at_ns: int
    filled: Decimal = Decimal(0)
    last_ns: int | None = None  # of its last fill


@dataclass(frozen=True, slots=True)
class Outcome:
    filled: Decimal
    last_ns: int | None  # when it was filled whole


def measure(capture: Capture) -> list[str]:
    """What to print."""
    ours = _Ours(capture)
    ours.run()
    try:
        theirs = _theirs(capture, ours)
    except ImportError:
        return [
            f"{len(ours.placed)} orders, {_whole(ours)} filled whole by ours; hftbacktest is not installed: skipped"
        ]
    return [*_agreement(ours.placed, theirs), *WHY.splitlines()]


def _agreement(placed: list[Placed], theirs: list[Outcome]) -> list[str]:
    kinds: Counter[str] = Counter()
    apart_ns: list[int] = []
    for mine, other in zip(placed, theirs, strict=True):
        kinds[_compared(mine, other)] += 1
        if mine.filled == other.filled == mine.order.quantity:
            assert mine.last_ns is not None and other.last_ns is not None
            apart_ns.append(abs(mine.last_ns - other.last_ns))
    at_once = sum(apart <= SAME_NS for apart in apart_ns)
    alike = kinds["alike"]
    rest = ", ".join(f"{number} {kind}" for kind, number in kinds.most_common() if kind != "alike")
    return [
        f"{len(placed)} orders in both: {alike} ({alike / len(placed):.1%}) filled alike; {rest or 'no difference'}",
        f"{len(apart_ns)} filled whole in both, {at_once} of them within 1 ms, the farthest {max(apart_ns, default=0) / NS:.3f} s apart",
        f"filled {sum(p.filled for p in placed)} by ours, {sum(o.filled for o in theirs)} by hftbacktest",
    ]


def _compared(mine: Placed, other: Outcome) -> str:
    if mine.filled == other.filled:
        return "alike"
    if mine.filled > other.filled:
        return "filled farther by ours"
    return "filled farther by hftbacktest"


def _whole(ours: _Ours) -> int:
    return sum(placed.filled == placed.order.quantity for placed in ours.placed)


class _Ours:
    """Our venue, driven as the engine does: what is due before a message comes before it."""

    def __init__(self, capture: Capture) -> None:
        self._frames = capture.by_kind[MIX]
        self._instrument = capture.instrument
        self._all = Market([capture.instrument])
        self.market: InstrumentMarket = self._all.market(capture.instrument.id)
        self._timers: list[tuple[int, int, str]] = []
        self._numbers = count()
        self._reports: list[bytes] = []
        params = PaperParams(latency_ms=LATENCY_MS, latency_p99_ms=0)
        self._venue = PaperVenue(
            Matching({capture.instrument.id: capture.instrument}, FeeParams()),
            params,
            self._schedule,
            self._reports.append,
        )
        self._next_ns = 0
        self._lively: dict[str, Placed] = {}
        self.placed: list[Placed] = []

    def messages(self) -> Iterator[tuple[MarketMessage, int, bool]]:
        """Each message when it has been applied, and whether it was the one that made the book usable."""
        for frame in self._frames:
            message = decode(frame.raw)
            if message is not None:
                before = self.market.usable
                self._all.apply(message, frame.recv_ns)
                yield message, frame.recv_ns, self.market.usable and not before

    def run(self) -> None:
        market, name = self.market, self._instrument.id
        for frame in self._frames:
            message = decode(frame.raw)
            if message is None:
                continue
            self._due(frame.recv_ns)
            self._all.apply(message, frame.recv_ns)
            if isinstance(message, TradePrint):
                self._venue.on_trade(name, message, market, frame.recv_ns)
            elif isinstance(message, BookDiff):
                self._venue.on_book(name, market, frame.recv_ns)
            self._read(frame.recv_ns)
            self._script(frame.recv_ns)

    def _schedule(self, key: str, due_ns: int) -> None:
        heapq.heappush(self._timers, (due_ns, next(self._numbers), key))

    def _due(self, now_ns: int) -> None:
        while self._timers and self._timers[0][0] <= now_ns:
            due_ns, _, key = heapq.heappop(self._timers)
            self._venue.on_timer(key, self._all.market)
            self._read(due_ns)

    def _read(self, now_ns: int) -> None:
        for raw in self._reports:
            report = decode_report(raw)
            if isinstance(report, Fill):
                placed = self._lively[report.client_order_id]
                placed.filled += report.quantity
                placed.last_ns = now_ns
        self._reports.clear()

    def _script(self, now_ns: int) -> None:
        """Every second a pair; those that have lived long enough are canceled."""
        if not self.market.usable or now_ns < self._next_ns:
            return
        if not self._next_ns:  # a second to settle
            self._next_ns = now_ns + EVERY_NS
            return
        self._next_ns = now_ns + EVERY_NS
        if now_ns + LIFE_NS + 2 * NS < self._frames[-1].recv_ns:
            for side in Side:
                self._place(side, now_ns)
        for name, placed in list(self._lively.items()):
            if now_ns >= placed.at_ns + LIFE_NS:
                self._venue.send(CancelOrder(order=placed.order), now_ns)
                del self._lively[name]

    def _place(self, side: Side, now_ns: int) -> None:
        number = len(self.placed)
        best = exact((self.market.bid if side is Side.BUY else self.market.ask) or 0.0)
        behind = TICKS_BEHIND[number // 2 % len(TICKS_BEHIND)] * self._instrument.tick
        order = Order(
            client_order_id=f"n{number}",
            instrument=self._instrument.id,
            signal_id="",
            position_id="",
            leg="tier_1",
            side=side,
            type=OrderType.LIMIT,
            quantity=QUANTITIES[number // 2 % len(QUANTITIES)],
            price=best - behind if side is Side.BUY else best + behind,
            tif=TimeInForce.GTX,
        )
        placed = Placed(order, now_ns)
        self.placed.append(placed)
        self._lively[order.client_order_id] = placed
        self._venue.send(PlaceOrder(order=order), now_ns)


# --- hftbacktest ---------------------------------------------------------------------------------------------------


def _theirs(capture: Capture, ours: _Ours) -> list[Outcome]:
    hft = importlib.import_module("hftbacktest")
    events = _events(capture, hft)  # it reads them where they lie: they must live as long as it does
    asset = (
        hft.BacktestAsset()
        .data([events])
        .linear_asset(1.0)
        .constant_order_latency(LATENCY_MS * MS, 0)
        .risk_adverse_queue_model()
        .partial_fill_exchange()
        .trading_value_fee_model(0.0002, 0.0005)
        .tick_size(float(capture.instrument.tick))
        .lot_size(float(capture.instrument.step))
        .last_trades_capacity(0)
    )
    venue = hft.HashMapMarketDepthBacktest([asset])
    lot = float(capture.instrument.step)
    _checked(venue.elapse(0))  # its time begins with the data
    for at_ns, number, cancels in _actions(ours.placed):
        _checked(venue.elapse(at_ns - venue.current_timestamp))
        order = ours.placed[number].order
        if not cancels:
            submit = venue.submit_buy_order if order.side is Side.BUY else venue.submit_sell_order
            quantity = float(order.quantity) - UNFITTING * lot
            _checked(submit(0, number, float(order.price or 0), quantity, hft.GTX, hft.LIMIT, False))
        elif venue.orders(0).get(number).cancellable:
            _checked(venue.cancel(0, number, False))
    _checked(venue.elapse(NS))
    outcomes = [
        _outcome(venue.orders(0).get(number), capture.instrument.step, hft) for number in range(len(ours.placed))
    ]
    _checked(venue.close())
    return outcomes


def _checked(code: int) -> None:
    if code:
        raise RuntimeError(f"hftbacktest stopped with {code}")


def _actions(placed: list[Placed]) -> list[tuple[int, int, bool]]:
    """When, which order, and whether it is canceled."""
    starts = sorted({each.at_ns for each in placed})
    actions = [(each.at_ns, number, False) for number, each in enumerate(placed)]
    for number, each in enumerate(placed):
        # ours cancels when it next places: at the first start after the order's life, or a second apart after the last one
        later = next((at_ns for at_ns in starts if at_ns >= each.at_ns + LIFE_NS), each.at_ns + LIFE_NS)
        actions.append((later, number, True))
    return sorted(actions)


def _outcome(order: Any, lot: Decimal, hft: Any) -> Outcome:
    filled = round((order.qty - order.leaves_qty) / float(lot)) * lot
    return Outcome(filled, int(order.exch_timestamp) if order.status == hft.FILLED else None)


def _events(capture: Capture, hft: Any) -> Any:
    """The capture as its rows: the book as it first was usable, then every change and trade, all when they reached us."""
    numpy = importlib.import_module("numpy")
    both = hft.EXCH_EVENT | hft.LOCAL_EVENT
    sides = ((Side.BUY, hft.BUY_EVENT), (Side.SELL, hft.SELL_EVENT))
    rows: list[tuple[int, int, float, float]] = []
    replay, begun = _Ours(capture), False
    for message, at_ns, usable_now in replay.messages():
        if usable_now:
            begun = True
            for side, flag in sides:
                for price, quantity in replay.market.levels(side, 10**6):
                    rows.append((both | hft.DEPTH_SNAPSHOT_EVENT | flag, at_ns, price, quantity))
        elif begun and isinstance(message, BookDiff):
            for levels, flag in ((message.bids, hft.BUY_EVENT), (message.asks, hft.SELL_EVENT)):
                rows += [(both | hft.DEPTH_EVENT | flag, at_ns, price, quantity) for price, quantity in levels]
        elif begun and isinstance(message, TradePrint) and message.quantity:
            flag = hft.BUY_EVENT if message.taker_buys else hft.SELL_EVENT
            rows.append((both | hft.TRADE_EVENT | flag, at_ns, message.price, message.quantity))
    events = numpy.zeros(len(rows), importlib.import_module("hftbacktest.types").event_dtype)
    events["ev"], events["exch_ts"], events["px"], events["qty"] = (
        numpy.array(column) for column in zip(*rows, strict=True)
    )
    events["local_ts"] = events["exch_ts"]
    return events
