"""Turns what desks emit into numbered events, and holds the events of the present frame until it ends."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from bot.domain.events import Emit, Event

KEYS_KEPT = 10_000


class EventLog:
    """`unified` maps an instrument id to the symbol outside programs know."""

    def __init__(self, *, account: str, mode: str, last_seq: int, unified: Callable[[str], str]) -> None:
        self._account, self._mode, self._unified = account, mode, unified
        self._seq = last_seq
        self._frame = 0
        self._now_ns = 0
        self._by_key: OrderedDict[str, int] = OrderedDict()
        self.batch: list[Event] = []

    def begin(self, frame: int, now_ns: int) -> None:
        self._frame, self._now_ns = frame, now_ns

    def emit(self, emit: Emit) -> Event:
        self._seq += 1
        event = Event(
            seq=self._seq,
            ts=self._now_ns,
            frame=self._frame,
            kind=emit.kind,
            v=emit.v,
            account=self._account,
            mode=self._mode,
            symbol=None if emit.instrument is None else self._unified(emit.instrument),
            source=emit.source,
            corr=emit.corr,
            cause=None if emit.because is None else self._by_key.get(emit.because),
            data=emit.data,
        )
        if emit.key is not None:
            self._remember(emit.key, self._seq)
        self.batch.append(event)
        return event

    def recall(self, event: Event) -> None:
        """Remember what later events may name as their cause, as when the event was written."""
        data = event.data
        keys = {
            "SIGNAL": ("", "signal_id"),
            "DECISION": ("decision:", "signal_id"),
            "ORDER_INTENT": (f"{data.get('command')}:", "client_order_id"),
            "POSITION_ENTERED": ("", "position_id"),
            "POSITION_OPENED": ("", "position_id"),
            "POSITION_ADOPTED": ("", "position_id"),
        }
        found = keys.get(event.kind)
        if found is not None:
            self._remember(found[0] + data[found[1]], event.seq)

    def take(self) -> list[Event]:
        batch, self.batch = self.batch, []
        return batch

    @property
    def last_seq(self) -> int:
        return self._seq

    def _remember(self, key: str, seq: int) -> None:
        self._by_key[key] = seq
        if len(self._by_key) > KEYS_KEPT:
            self._by_key.popitem(last=False)
