"""Builders with defaults, and a view that holds whatever a test puts into it.

A test names only what it is about: `view = FakeView(reading("taker_5m", Taker(...)))`, `view.market(BTC).ask = None`.
By default the market is alive, the account is empty and no reading has come yet.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, TypeVar

from bot.domain.instrument import Instrument
from bot.domain.market import Bar
from bot.domain.reading import Reading
from bot.domain.values import NS, Direction, Side, Signal, TradingState
from bot.trading.guards.base import GuardContext
from bot.trading.risk import RiskParams

T = TypeVar("T")

NOW = 1_760_000_000 * NS  # 2025-10-09 08:53:20 UTC
BTC = "binanceusdm:BTCUSDT"


def instrument(symbol: str = "BTCUSDT", *, tick: str = "0.1", step: str = "0.001", **fields: Any) -> Instrument:
    base = symbol.removesuffix("USDT")
    defaults: dict[str, Any] = {
        "id": f"binanceusdm:{symbol}",
        "venue": "binanceusdm",
        "symbol": symbol,
        "unified": f"{base}/USDT:USDT",
        "base": base,
        "quote": "USDT",
        "tick": Decimal(tick),
        "step": Decimal(step),
        "min_quantity": Decimal(step),
        "max_quantity": Decimal(1000),
        "max_market_quantity": Decimal(120),
        "min_notional": Decimal(100),
    }
    return Instrument(**(defaults | fields))


def signal(direction: Direction = Direction.LONG, **fields: Any) -> Signal:
    defaults: dict[str, Any] = {
        "signal_id": "S1",
        "instrument": BTC,
        "direction": direction,
        "strategy": "test",
        "strength": 0.5,
        "price": Decimal(65000),
        "ts_ns": NOW,
    }
    return Signal(**(defaults | fields))


def reading(
    name: str,
    value: T | None = None,
    *,
    age_s: float = 0.0,
    max_age_s: float = 120.0,
    key: str = BTC,
    source: str = "test",
    partial: bool = False,
    reason: str = "",
    now_ns: int = NOW,
) -> Reading[T]:
    """A reading that is `age_s` old at `now_ns`; without a value it is missing."""
    at_ns = now_ns - round(age_s * NS)
    return Reading(
        name=name,
        key=key,
        source=source,
        value=value,
        observed_ns=at_ns,
        received_ns=at_ns,
        max_age_ns=round(max_age_s * NS),
        partial=partial,
        reason=reason,
    )


def bars(closes: Sequence[float], *, width_s: int = 300, now_ns: int = NOW) -> list[Bar]:
    """Closed bars with these closes, oldest first and without a gap; the last one has just closed."""
    width_ns = width_s * NS
    end_ns = now_ns // width_ns * width_ns
    return [
        Bar(end_ns - (len(closes) - i) * width_ns, close, close, close, close, 0.0, 0.0, 1)
        for i, close in enumerate(closes)
    ]


def context(**risk: Any) -> GuardContext:
    """What guards are built with: costs of 0.1 % in and out, a stop 1 % away, and the risk settings named."""
    return GuardContext(round_trip=Decimal("0.001"), stop_fraction=Decimal("0.01"), risk=RiskParams(**risk))


@dataclass
class FakeMarket:
    """Ages are what they are set to, whatever time it is; None: nothing came yet."""

    usable: bool = True
    bid: float | None = 64999.5
    ask: float | None = 65000.5
    last: float | None = 65000.0
    mark: float | None = 65000.0
    mark_source: str = "venue"
    book_age_s: float | None = 0.0
    trade_age_s: float | None = 0.0
    mark_age_s: float | None = 0.0
    bids: list[tuple[float, float]] = field(default_factory=list)
    asks: list[tuple[float, float]] = field(default_factory=list)
    stamped_ahead_ns: int | None = 0
    funding_rate: float | None = None
    next_funding_ns: int | None = None
    past_funding: tuple[float | None, int] | None = None
    closed: dict[int, list[Bar]] = field(default_factory=dict)  # bars by width in seconds
    ranges: dict[tuple[int, int], float] = field(default_factory=dict)  # ATR by (width, count)

    def bars(self, width_s: int, count: int) -> list[Bar]:
        return self.closed.get(width_s, [])[-count:]

    def atr(self, width_s: int, count: int) -> float | None:
        return self.ranges.get((width_s, count))

    @property
    def mid(self) -> float | None:
        return None if self.bid is None or self.ask is None else (self.bid + self.ask) / 2

    def book_age_ns(self, now_ns: int) -> int | None:
        return _ns(self.book_age_s)

    def trade_age_ns(self, now_ns: int) -> int | None:
        return _ns(self.trade_age_s)

    def mark_age_ns(self, now_ns: int) -> int | None:
        return _ns(self.mark_age_s)

    def levels(self, side: Side, count: int) -> list[tuple[float, float]]:
        return (self.bids if side is Side.BUY else self.asks)[:count]

    def size_at(self, side: Side, price: float) -> float | None:
        return dict(self.bids if side is Side.BUY else self.asks).get(price, 0.0) if self.usable else None


@dataclass
class FakePosition:
    direction: Direction = Direction.LONG
    instrument: str = BTC
    quantity: Decimal = Decimal("0.03")
    entry_price: Decimal = Decimal(65000)
    opened_ns: int = NOW
    position_id: str = "P1"
    signal_id: str = "S0"
    stop_price: Decimal | None = Decimal(64350)
    adopted: bool = False


@dataclass
class FakePortfolio:
    """`entries` counts today's by instrument, `pending_usd` holds notional of entries on their way (all of them long), `sent` the
    order commands of the last minute. Equity at 00:00 UTC and the peak are today's unless set."""

    equity: Decimal = Decimal(10000)
    held: dict[str, FakePosition] = field(default_factory=dict)
    pending_usd: dict[str, Decimal] = field(default_factory=dict)
    entries: dict[str, int] = field(default_factory=dict)
    closes: dict[tuple[str, Direction, str], int] = field(default_factory=dict)  # (instrument, direction, reason): ns

    day_start: Decimal | None = None
    peak: Decimal | None = None
    open_risk: Decimal = Decimal(0)
    sent: int = 0

    @property
    def wallet_usd(self) -> Decimal:
        return self.equity

    @property
    def day_start_usd(self) -> Decimal:
        return self.equity if self.day_start is None else self.day_start

    @property
    def peak_usd(self) -> Decimal:
        return self.equity if self.peak is None else self.peak

    def open_risk_usd(self) -> Decimal:
        return self.open_risk

    def orders_last_minute(self, now_ns: int) -> int:
        return self.sent

    def exposed(self, direction: Direction) -> list[str]:
        coming = list(self.pending_usd) if direction is Direction.LONG else []
        return [p.instrument for p in self.held.values() if p.direction is direction] + coming

    def open(self, position: FakePosition) -> None:
        self.held[position.instrument] = position

    def equity_usd(self) -> Decimal:
        return self.equity

    def position(self, instrument: str) -> FakePosition | None:
        return self.held.get(instrument)

    def positions(self) -> Iterable[FakePosition]:
        return self.held.values()

    def pending(self, instrument: str) -> bool:
        return instrument in self.pending_usd

    def pending_count(self) -> int:
        return len(self.pending_usd)

    def notional_usd(self, instrument: str | None = None) -> Decimal:
        held = [p.quantity * p.entry_price for p in self.held.values() if instrument in (None, p.instrument)]
        pending = [usd for key, usd in self.pending_usd.items() if instrument in (None, key)]
        return sum(held + pending, Decimal(0))

    def entries_today(self, now_ns: int, instrument: str | None = None) -> int:
        return sum(self.entries.values()) if instrument is None else self.entries.get(instrument, 0)

    def last_close_ns(self, instrument: str) -> int | None:
        return max((ns for (held, _, _), ns in self.closes.items() if held == instrument), default=None)

    def last_stop_ns(self, instrument: str, direction: Direction) -> int | None:
        return self.closes.get((instrument, direction, "stop"))


class FakeView:
    """`ports.View` with settable `now_ns`, `state`, `portfolio`, markets, instruments and readings."""

    def __init__(self, *readings: Reading[Any], now_ns: int = NOW, instruments: Iterable[Instrument] = ()) -> None:
        self.now_ns = now_ns
        self.state = TradingState.ACTIVE
        self.state_reason = "test"
        self.blocks: dict[str, str] = {}  # who allows no entries, by instrument
        self.probation: dict[str, str] = {}  # reasons by instrument
        self.multipliers: dict[str, float] = {}  # learned, by subject
        self.portfolio = FakePortfolio()
        self.known = {i.id: i for i in (tuple(instruments) or (instrument(),))}
        self.markets = {key: FakeMarket() for key in self.known}
        self.seconds: list[Reading[Any]] = []  # of other sources
        self._readings: dict[tuple[str, str], Reading[Any]] = {}
        for one in readings:
            self.put(one)

    def put(self, one: Reading[Any], instrument: str = BTC) -> None:
        """Make this the deciding reading of its name for `instrument` (its key may be a coin)."""
        self._readings[one.name, instrument] = one

    def blocked(self, instrument: str) -> str | None:
        return self.blocks.get(instrument)

    def on_probation(self, instrument: str) -> str | None:
        return self.probation.get(instrument)

    def learned(self, subject: str) -> float:
        return self.multipliers.get(subject, 1.0)

    def instruments(self) -> Iterable[Instrument]:
        return self.known.values()

    def instrument(self, instrument: str) -> Instrument:
        return self.known[instrument]

    def market(self, instrument: str) -> FakeMarket:
        return self.markets[instrument]

    def other_readings(self, deciding: Reading[Any], instrument: str) -> list[Reading[Any]]:
        return [one for one in self.seconds if one.name == deciding.name and one.source != deciding.source]

    def reading(self, name: str, instrument: str) -> Reading[Any]:
        one = self._readings.get((name, instrument))
        if one is None:
            return reading(name, key=instrument, source="", reason="no source", now_ns=self.now_ns)
        return one


def _ns(age_s: float | None) -> int | None:
    return None if age_s is None else round(age_s * NS)
