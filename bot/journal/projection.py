"""The journal's events folded into what people ask for: status, positions, orders, signals, and why.

The running engine feeds it each frame's events, a reader feeds it the file; both then answer the same. It decides nothing,
reads no clock and no file. Kinds it does not know are counted and otherwise ignored.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import TypeVar

import orjson

from bot.domain.events import Event, canonical
from bot.journal.records import Data, OrderRecord, OrderState, PositionRecord, PositionState, SignalRecord, Totals
from bot.journal.shadows import KINDS as SHADOW_KINDS
from bot.journal.shadows import ShadowRecord

_ORDER_STATES = {
    "ORDER_SENT": OrderState.SENT,
    "ORDER_ACK": OrderState.WORKING,
    "ORDER_UNKNOWN": OrderState.UNKNOWN,
    "ORDER_REJECTED": OrderState.REJECTED,
    "ORDER_CANCELED": OrderState.CANCELED,
}
_STORY = (
    "TP_ADJUSTED",
    "EXIT_DEFERRED",
    "LADDER_MERGED",
    "BREAK_EVEN",
    "STOP_MOVED",
    "STOP_REFUSED",
    "STOP_WAITS",
    "CLOSE_REFUSED",
    "TRAIL_ADVANCED",
    "EXIT_DECIDED",
    "EXIT_DROPPED",
    "DUST_LEFT",
)
"""What happened to an open position, told in `why`."""
T = TypeVar("T")


class Projection:
    """Remembers the last `limit` signals and as many finished positions with their orders, and all that is open.

    Counts and sums in `status` cover every event applied, those under `this_session` the events since ENGINE_STARTED.
    """

    def __init__(self, limit: int = 1000) -> None:
        self._limit = limit
        self._all = Totals()
        self._this_session = Totals()
        self._session = 0
        self._started_ns: int | None = None
        self._state: str | None = None
        self._state_reason: str | None = None
        self._causes: dict[str, Data] = {}
        self._blocked: dict[str | None, Data] = {}  # by symbol
        self._last: Event | None = None
        self._status_now: Data | None = None  # the status since the last event
        self._signals: dict[str, SignalRecord] = {}
        self._latest: dict[str | None, str] = {}  # symbol: its last signal's id
        self._positions: dict[str, PositionRecord] = {}
        self._orders: dict[str, OrderRecord] = {}
        self._strategies: dict[str, Data] = {}  # those that made errors in this session
        self._handlers: dict[str, Callable[[Event, Data], None]] = {
            "ENGINE_STARTED": self._engine_started,
            "ENGINE_STOPPED": self._engine_stopped,
            "STATE": self._state_changed,
            "SYMBOL_BLOCKED": self._symbol_blocked,
            "SYMBOL_UNBLOCKED": self._symbol_unblocked,
            "RISK_LIMIT_BLOCK": self._risk_limit,
            "SIGNAL": self._signal,
            "SIGNAL_EXPIRED": self._signal_expired,
            "DECISION": self._decision,
            "ORDER_INTENT": self._order_intent,
            **dict.fromkeys(_ORDER_STATES, self._order_changed),
            "FILL": self._fill,
            **dict.fromkeys(("POSITION_OPENED", "POSITION_ADOPTED"), self._position_opened),
            **dict.fromkeys(_STORY, self._told),
            "POSITION_CLOSED": self._position_closed,
            "FUNDING": self._funding,
            "MAX_PAIN_RESULT": self._max_pain_result,
            **dict.fromkeys(SHADOW_KINDS, self._shadow),
            "STRATEGY_ERROR": self._strategy_error,
            "STRATEGY_OFF": self._strategy_error,
        }

    # --- questions ---

    @property
    def last_seq(self) -> int:
        """Of the last event applied; 0 before the first."""
        return 0 if self._last is None else self._last.seq

    def status(self) -> Data:
        """Counted anew only after another event: pages ask four times a second."""
        if self._status_now is None:
            self._status_now = self._status()
        return dict(self._status_now)

    def _status(self) -> Data:
        last = self._last
        return {
            "account": last and last.account,
            "mode": last and last.mode,
            "session": self._session,
            "started_ns": self._started_ns,
            "state": self._state,
            "state_reason": self._state_reason,
            "causes": self._causes,
            "blocked_symbols": self._blocked,
            "last_seq": last and last.seq,
            "last_ts": last and last.ts,
            **self._all.view(),
            "this_session": self._this_session.view(),
            "open_positions": len(self._in_state(PositionState.OPEN)),
            "working_orders": len(self.orders()),
            "strategy_errors": {name: dict(data) for name, data in self._strategies.items()},
            "abandoned": {
                "positions": [position.view() for position in self._in_state(PositionState.ABANDONED)],
                "orders": [each.view() for each in self._orders.values() if each.state is OrderState.ABANDONED],
            },
        }

    def positions(self) -> list[Data]:
        """Open ones, oldest first."""
        return [position.view() for position in self._in_state(PositionState.OPEN)]

    def closed(self, limit: int = 50) -> list[Data]:
        """The last that closed, newest first."""
        closed = reversed(self._in_state(PositionState.CLOSED))
        return [position.view() for position in islice(closed, limit)]

    def orders(self, all: bool = False) -> list[Data]:  # noqa: A002 - the command's own word
        """Working ones (or all that are remembered), oldest first; one whose fate is unknown counts as working."""
        return [order.view() for order in self._orders.values() if all or order.state.alive]

    def signals(self, limit: int = 50) -> list[Data]:
        """The last ones, newest first."""
        return [signal.view() for signal in islice(reversed(self._signals.values()), limit)]

    def why(self, signal_or_symbol: str) -> Data | None:
        """The whole story of a signal, or of a symbol's last one; None when neither is remembered."""
        signal = self._signals.get(signal_or_symbol) or self._signals.get(self._latest.get(signal_or_symbol, ""))
        return None if signal is None else _story(signal) | {"shadow": self._shadow_of(signal)}

    # --- fold ---

    def apply(self, event: Event) -> None:
        self._last, self._status_now = event, None
        if event.kind == "ENGINE_STARTED":
            self._this_session = Totals()
        self._all.kinds[event.kind] += 1
        self._this_session.kinds[event.kind] += 1
        handler = self._handlers.get(event.kind)
        if handler is not None:
            # The stored form (decimals as text, tuples as lists): engine and reader see the same values, and own them.
            data = orjson.loads(canonical(event.data))
            self._all.add(event.kind, data)
            self._this_session.add(event.kind, data)
            handler(event, data)

    def _engine_started(self, event: Event, data: Data) -> None:
        self._session = data.get("session", self._session + 1)
        self._started_ns = event.ts
        self._state, self._state_reason, self._causes = "STARTING", None, {}
        self._strategies.clear()
        if data.get("life", self._session) != self._session:
            return  # the same account goes on
        for position in self._positions.values():
            if position.state is not PositionState.CLOSED:
                position.state = PositionState.ABANDONED
        for order in self._orders.values():
            if order.state.alive:
                order.state = OrderState.ABANDONED

    def _engine_stopped(self, event: Event, data: Data) -> None:
        self._state, self._state_reason = "STOPPED", data.get("reason")

    def _state_changed(self, event: Event, data: Data) -> None:
        self._state, self._state_reason = data["state"], data.get("reason")
        before, told = self._causes, data.get("causes", {})
        since = {key: before[key]["since_ns"] if key in before else event.ts for key in told}
        self._causes = {key: {"reason": reason, "since_ns": since[key]} for key, reason in told.items()}

    def _symbol_blocked(self, event: Event, data: Data) -> None:
        self._blocked[event.symbol] = {"reason": data["reason"], "since_ns": event.ts}

    def _symbol_unblocked(self, event: Event, data: Data) -> None:
        self._blocked.pop(event.symbol, None)

    def _risk_limit(self, event: Event, data: Data) -> None:
        """What the guard said is among the verdicts; only the last look, at the very order, tells something new."""
        if data.get("last_look"):
            self._signal_of(event, data).refused = _stamped(event, data)

    def _signal(self, event: Event, data: Data) -> None:
        self._signal_of(event, data)

    def _signal_expired(self, event: Event, data: Data) -> None:
        self._signal_of(event, data).expired = _stamped(event, data)

    def _decision(self, event: Event, data: Data) -> None:
        signal = self._signal_of(event, data)
        signal.verdicts = data.pop("verdicts")
        signal.decision = _stamped(event, data)

    def _order_intent(self, event: Event, data: Data) -> None:
        self._order_of(event, data).intend(data)
        signal = self._signals.get(data["signal_id"])
        if signal is not None and data["leg"] == "entry":
            signal.position = self._position_of(event, data)

    def _order_changed(self, event: Event, data: Data) -> None:
        order = self._order_of(event, data)
        order.change(_ORDER_STATES[event.kind], data)
        if event.kind == "ORDER_ACK":
            self._position_of(event, order.data).accepted(order)

    def _fill(self, event: Event, data: Data) -> None:
        self._position_of(event, data).fill(event.ts, data)
        order = self._orders.get(data["client_order_id"])
        if order is not None:
            order.fill(_stamped(event, data))

    def _position_opened(self, event: Event, data: Data) -> None:
        position = self._position_of(event, data)
        position.open(event.ts, data)
        signal = self._signals.get(data["signal_id"])
        if signal is not None:
            signal.position = position

    def _told(self, event: Event, data: Data) -> None:
        if "position_id" in data:  # a stop may also be refused where no position is open
            self._position_of(event, data).story.append({"kind": event.kind} | _stamped(event, data))

    def _position_closed(self, event: Event, data: Data) -> None:
        position = self._position_of(event, data)
        position.close(event.ts, data)
        del self._positions[data["position_id"]]
        self._positions[data["position_id"]] = position  # kept in the order in which they closed

    def _funding(self, event: Event, data: Data) -> None:
        position = self._positions.get(data["position_id"] or "")
        if position is None:
            return
        position.story.append({"kind": event.kind} | _stamped(event, data))
        if position.state is PositionState.CLOSED and data.get("after_close"):
            position.funded_late(data)

    def _max_pain_result(self, event: Event, data: Data) -> None:
        self._position_of(event, data).max_pain_result = _stamped(event, data)

    def _strategy_error(self, event: Event, data: Data) -> None:
        off = event.kind == "STRATEGY_OFF"
        self._strategies[data["strategy"]] = {"errors": data["errors"], "error": data["error"], "off": off}

    def _shadow(self, event: Event, data: Data) -> None:
        signal = self._signals.get(event.corr or "")
        if signal is not None:
            signal.shadow = signal.shadow or ShadowRecord()
            signal.shadow.apply(event, data)

    def _shadow_of(self, signal: SignalRecord) -> Data | None:
        """Its own, or the one that it was counted for."""
        record = signal.shadow
        if record is None or record.of is None:
            return None if record is None else {"of": None, **record.view()}
        other = self._signals.get(record.of)
        return {"of": record.of, **(record if other is None or other.shadow is None else other.shadow).view()}

    # --- records ---

    def _in_state(self, state: PositionState) -> list[PositionRecord]:
        return [each for each in self._positions.values() if each.state is state and each.opened]

    def _signal_of(self, event: Event, data: Data) -> SignalRecord:
        signal_id = data["signal_id"]
        if signal_id not in self._signals:
            _make_room(self._signals, self._limit, lambda each: True)
            self._signals[signal_id] = SignalRecord(event.seq, event.ts, event.symbol, data)
            self._latest[event.symbol] = signal_id
        return self._signals[signal_id]

    def _order_of(self, event: Event, data: Data) -> OrderRecord:
        order_id = data["client_order_id"]
        if order_id not in self._orders:
            self._orders[order_id] = OrderRecord(event.symbol, event.ts, data)
            self._position_of(event, data).orders.append(self._orders[order_id])
        return self._orders[order_id]

    def _position_of(self, event: Event, data: Data) -> PositionRecord:
        position_id = data["position_id"]
        if position_id not in self._positions:
            forgotten = _make_room(self._positions, self._limit, lambda each: each.done)
            for order in forgotten.orders if forgotten else ():
                del self._orders[order.data["client_order_id"]]
            self._positions[position_id] = PositionRecord(event.symbol)
        return self._positions[position_id]


def _make_room(records: dict[str, T], limit: int, done: Callable[[T], bool]) -> T | None:
    """Takes the oldest finished record out when there are `limit` or more."""
    if len(records) < limit:
        return None
    key = next((key for key, record in records.items() if done(record)), None)
    return None if key is None else records.pop(key)


def _stamped(event: Event, data: Data) -> Data:
    return {"seq": event.seq, "ts": event.ts} | data


def _story(signal: SignalRecord) -> Data:
    position = signal.position
    opened = position is not None and bool(position.opened)
    return {
        "signal": signal.view(),
        "verdicts": signal.verdicts,
        "decision": signal.decision,
        "expired": signal.expired,
        "refused": signal.refused,
        "orders": [order.view() | {"fills": order.fills} for order in position.orders] if position else [],
        "position": position.view() if position and opened else None,
        "exits": position.story if position else [],
        "close": (position.closed or None) if position else None,
        "max_pain_result": position.max_pain_result if position else None,
    }
