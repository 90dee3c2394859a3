"""What an account traded, from the journal: its trades, fills, funding and shadows, and how its money went.

Collected for the report and its CSV files, which are made from nothing else. A journal may hold several paper accounts one after
the other; the last one is told of, the others are counted. No judgement here (`scores`), no figures (`tearsheet`). Keys relied on
are those of `ledger`, and FILL, FUNDING and TRANSFER whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple

from msgspec import Struct

from bot.domain.events import Event
from bot.domain.values import NS
from bot.learning.ledger import UNKNOWN

Data = dict[str, Any]
ADOPTED = "adopted"  # in the place of a strategy


class Trade(Struct, kw_only=True):
    """A position that has closed. USD after fees and funding; `max_pain_hit` is None where no window was watched to its end."""

    position_id: str
    signal_id: str | None
    symbol: str
    strategy: str
    direction: str
    mode: str
    opened_ns: int
    closed_ns: int
    held_s: float
    quantity: Decimal
    entry_price: Decimal
    exit_price: Decimal | None
    pnl_usd: Decimal | None
    pnl_r: float | None
    fees_usd: Decimal | None
    funding_usd: Decimal | None
    reason: str
    true_trend: bool
    magnet: str | None
    max_pain_gap_pct: float | None
    max_pain_hit: bool | None = None


class Shadow(Trade, kw_only=True):
    """`blocker` is None for the twin of an allowed signal."""

    blocker: str | None
    repeats: int
    tradable: bool


class FillRow(Struct, frozen=True, kw_only=True):
    ts_ns: int
    symbol: str
    position_id: str
    signal_id: str | None
    client_order_id: str
    trade_id: str
    leg: str
    side: str
    price: Decimal
    quantity: Decimal
    maker: bool
    fee: Decimal
    fee_asset: str


class FundingRow(Struct, frozen=True, kw_only=True):
    ts_ns: int
    due_ns: int
    symbol: str
    position_id: str | None
    rate: Decimal | None
    mark: Decimal | None
    quantity: Decimal | None
    usd: Decimal


class Change(NamedTuple):
    """Of the account's money."""

    ts_ns: int
    usd: Decimal
    transfer: bool  # moved in or out, neither won nor lost


@dataclass(slots=True)
class TradeBook:
    """Feed it every event in order; attributes are to be read only."""

    account: str = ""
    mode: str = ""
    began_ns: int = 0
    began_usd: Decimal | None = None
    now_ns: int = 0
    sessions: int = 0
    earlier_accounts: int = 0
    trades: list[Trade] = field(default_factory=list)  # as they closed
    shadows: list[Shadow] = field(default_factory=list)
    fills: list[FillRow] = field(default_factory=list)
    funding: list[FundingRow] = field(default_factory=list)
    money: list[Change] = field(default_factory=list)
    open: dict[str, Event] = field(default_factory=dict)  # what opened each
    open_shadows: dict[str, Event] = field(default_factory=dict)
    _strategy: dict[str, str] = field(default_factory=dict)
    _closed: dict[str, Trade] = field(default_factory=dict)
    _hits: dict[str, bool] = field(default_factory=dict)

    def fold(self, events: Iterable[Event]) -> None:
        for event in events:
            self.apply(event)

    def apply(self, event: Event) -> None:
        handler = _HANDLERS.get(event.kind)
        if handler is not None:
            handler(self, event, event.data)
        self.now_ns = max(self.now_ns, event.ts)

    def _started(self, event: Event, data: Data) -> None:
        if data.get("life") in (None, data.get("session")):
            self._new_account(event, data)
        self.account, self.mode, self.sessions = event.account, event.mode, self.sessions + 1

    def _new_account(self, event: Event, data: Data) -> None:
        self.earlier_accounts += bool(self.sessions)
        self.sessions, self.began_ns, self.now_ns = 0, event.ts, event.ts
        self.began_usd = _number(data.get("began_usd"))
        for told in (self.trades, self.shadows, self.fills, self.funding, self.money):
            told.clear()
        for of in (self.open, self.open_shadows, self._strategy, self._closed, self._hits):
            of.clear()

    def _signal(self, event: Event, data: Data) -> None:
        self._strategy[data["signal_id"]] = data["strategy"]

    def _opened(self, event: Event, data: Data) -> None:
        self.open[data["position_id"]] = event

    def _shadow_opened(self, event: Event, data: Data) -> None:
        self.open_shadows[data["position_id"]] = event

    def _position_closed(self, event: Event, data: Data) -> None:
        opened = self.open.pop(data["position_id"], event)
        trade = Trade(**self._facts(opened, event))
        self.trades.append(trade)
        self._closed[trade.position_id] = trade
        if trade.pnl_usd is not None:
            self.money.append(Change(event.ts, trade.pnl_usd, False))

    def _shadow_closed(self, event: Event, data: Data) -> None:
        opened = self.open_shadows.pop(data["position_id"], event)
        told = opened.data | data
        self.shadows.append(
            Shadow(
                **self._facts(opened, event),
                blocker=told.get("blocker"),
                repeats=told.get("repeats", 0),
                tradable=told.get("tradable", True) and opened.data.get("tradable", True),
            )
        )

    def _facts(self, opened: Event, closed: Event) -> Data:
        begin, end = opened.data, closed.data
        signal_id = begin.get("signal_id")
        adopted = end.get("adopted") or opened.kind == "POSITION_ADOPTED"
        return {
            "position_id": end["position_id"],
            "signal_id": signal_id,
            "symbol": closed.symbol or opened.symbol or UNKNOWN,
            "strategy": ADOPTED if adopted else self._strategy.get(signal_id or "", UNKNOWN),
            "direction": begin.get("direction", UNKNOWN),
            "mode": closed.mode,
            "opened_ns": opened.ts,
            "closed_ns": closed.ts,
            "held_s": end.get("held_s", round((closed.ts - opened.ts) / NS, 3)),
            "quantity": _number(begin.get("quantity")) or Decimal(0),
            "entry_price": _number(begin.get("entry_price")) or Decimal(0),
            "exit_price": _number(end.get("exit_price")),
            "pnl_usd": _number(end.get("pnl_usd")),
            "pnl_r": end.get("pnl_r"),
            "fees_usd": _number(end.get("fees_usd")),
            "funding_usd": _number(end.get("funding_usd")),
            "reason": end.get("reason", ""),
            "true_trend": bool(begin.get("true_trend")),
            "magnet": begin.get("magnet"),
            "max_pain_gap_pct": begin.get("max_pain_gap_pct"),
            "max_pain_hit": self._hits.get(end["position_id"]),
        }

    def _max_pain_result(self, event: Event, data: Data) -> None:
        """Before the close or after it."""
        self._hits[data["position_id"]] = bool(data["hit"])
        trade = self._closed.get(data["position_id"])
        if trade is not None:
            trade.max_pain_hit = bool(data["hit"])

    def _fill(self, event: Event, data: Data) -> None:
        self.fills.append(
            FillRow(
                ts_ns=event.ts,
                symbol=event.symbol or UNKNOWN,
                signal_id=event.corr,
                price=Decimal(data["price"]),
                quantity=Decimal(data["quantity"]),
                fee=Decimal(data["fee"]),
                leg=data.get("leg", ""),
                **{name: data[name] for name in _FILL},
            )
        )

    def _funding(self, event: Event, data: Data) -> None:
        """What came while a position was open is in its result; what came later is booked here."""
        usd, told = Decimal(data["usd"]), {name: _number(data.get(name)) for name in ("rate", "mark", "quantity")}
        row = FundingRow(
            ts_ns=event.ts,
            due_ns=data.get("due_ns", event.ts),
            symbol=event.symbol or UNKNOWN,
            position_id=data.get("position_id"),
            usd=usd,
            **told,
        )
        self.funding.append(row)
        if row.position_id is None or data.get("after_close"):
            self.money.append(Change(event.ts, usd, False))
        trade = self._closed.get(row.position_id or "")
        if trade is not None and data.get("after_close"):
            trade.pnl_usd = None if trade.pnl_usd is None else trade.pnl_usd + usd
            trade.funding_usd = _number(data.get("funding_usd"))

    def _transfer(self, event: Event, data: Data) -> None:
        self.money.append(Change(event.ts, Decimal(data["usd"]), True))


_FILL = ("position_id", "client_order_id", "trade_id", "side", "maker", "fee_asset")


def _number(value: str | None) -> Decimal | None:
    return None if value is None else Decimal(value)


_HANDLERS: dict[str, Callable[[TradeBook, Event, Data], None]] = {
    "ENGINE_STARTED": TradeBook._started,
    "SIGNAL": TradeBook._signal,
    "POSITION_OPENED": TradeBook._opened,
    "POSITION_ADOPTED": TradeBook._opened,
    "POSITION_CLOSED": TradeBook._position_closed,
    "SHADOW_OPENED": TradeBook._shadow_opened,
    "SHADOW_CLOSED": TradeBook._shadow_closed,
    "MAX_PAIN_RESULT": TradeBook._max_pain_result,
    "FILL": TradeBook._fill,
    "FUNDING": TradeBook._funding,
    "TRANSFER": TradeBook._transfer,
}
KINDS = frozenset({*_HANDLERS, "ENGINE_STOPPED"})
