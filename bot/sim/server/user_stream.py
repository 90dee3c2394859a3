"""User streams: listen keys, who listens with them, and what their account is told, as the venue's messages.

A key is good for an hour of the exchange's clock. When it ends its sockets are told so and hear nothing more, but stay open, as on Binance.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import orjson

from bot.sim.events import Event
from bot.sim.exchange.account import TradingAccount
from bot.sim.exchange.core import ExchangeCore
from bot.sim.exchange.notices import Notice, OrderNotice
from bot.sim.refusals import Refused
from bot.sim.server.private_wire import message, trade_lite
from bot.sim.server.sockets import Box

GOOD_MS = 3_600_000


@dataclass(slots=True)
class _Stream:
    key: str
    account: str
    ends_ms: int
    boxes: set[Box] = field(default_factory=set)


class UserStreams:
    def __init__(self, core: ExchangeCore) -> None:
        self._core = core
        self._by_account: dict[str, _Stream] = {}
        self._by_key: dict[str, _Stream] = {}
        self._made = 0
        core.listeners.append(self.told)

    # --- keys: Refused where there is none ---

    def start(self, account: TradingAccount) -> str:
        """The key that is good already, for another hour, or a new one."""
        stream = self._by_account.get(account.name)
        if stream is None:
            self._made += 1
            seed = f"{account.name}/{self._made}/{self._core.now_ms()}"
            key = hashlib.sha256(seed.encode()).hexdigest()
            stream = self._by_account[account.name] = self._by_key[key] = _Stream(key, account.name, 0)
        stream.ends_ms = self._core.now_ms() + GOOD_MS
        return stream.key

    def keep(self, account: TradingAccount) -> str:
        if account.name not in self._by_account:
            raise Refused(
                -1125, "This listenKey does not exist. Please use `POST /fapi/v1/listenKey` to recreate `listenKey`"
            )
        return self.start(account)

    def end(self, account: TradingAccount) -> None:
        stream = self._by_account.pop(account.name, None)
        if stream is not None:
            del self._by_key[stream.key]

    # --- sockets ---

    def add(self, box: Box, name: str) -> bool:
        stream = self._by_key.get(name)
        if stream is not None:
            stream.boxes.add(box)
        return stream is not None

    def remove(self, box: Box, name: str) -> None:
        stream = self._by_key.get(name)
        if stream is not None:
            stream.boxes.discard(box)

    # --- what is told ---

    def told(self, account: TradingAccount, ms: int, notice: Notice) -> None:
        stream = self._by_account.get(account.name)
        if stream is not None and stream.boxes:
            said = [message(account, ms, notice)]
            if isinstance(notice, OrderNotice) and notice.trade is not None and notice.execution == "TRADE":
                said.insert(0, trade_lite(ms, notice.order, notice.trade))
            for body in map(orjson.dumps, said):
                for box in stream.boxes:
                    box.put(stream.key, body)

    def on_event(self, event: Event) -> None:
        """Time goes on: keys end."""
        for stream in self._by_account.values():
            if event.ms >= stream.ends_ms:
                self.expire(stream.account, event.ms)
                return

    def expire_all(self, ms: int) -> None:
        for account in list(self._by_account):
            self.expire(account, ms)

    def expire(self, account: str, ms: int) -> None:
        """The key is no good any more, and whoever listens is told."""
        stream = self._by_account.pop(account)
        del self._by_key[stream.key]
        said = orjson.dumps({"e": "listenKeyExpired", "E": ms, "listenKey": stream.key})
        for box in stream.boxes:
            box.put(stream.key, said)
