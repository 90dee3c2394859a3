"""Who takes in market messages: our own decoder and market state, and what every peer has in common with them.

Each is given the bytes of the capture as its own socket would hand them over (bytes for us, text for the peers), and does
with them what it does in earnest, from decoding to the finished state. Sockets are nobody's business here, and a peer has
no subscriber: nothing is handed on to a caller.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import nlargest
from typing import Protocol

from bot.domain.market import Level
from bot.domain.values import Side
from bot.exchanges.binance import decode
from bot.market.book import Book
from bot.market.state import Market
from tests.bench.capture import DEPTH, Capture
from tests.bench.measure import Run

WALLS = 3


class Contender(Protocol):
    name: str

    def fresh(self, kind: str, look: Callable[[], object] | None = None) -> Run:
        """With an empty state, what takes in all messages of that kind; `look` is called after each."""
        ...

    def levels(self) -> tuple[list[Level], list[Level]]:
        """All bids and all asks as they now are, best first."""
        ...

    def close(self) -> None: ...


class WallWatcher(Contender, Protocol):
    def look(self) -> object:
        """Best prices and, on each side, the three largest 10-bps buckets within 5 %."""
        ...


class Ours:
    name = "ours"

    def __init__(self, capture: Capture) -> None:
        self._instrument = capture.instrument
        self._messages = {
            kind: [(frame.raw, frame.recv_ns) for frame in frames] for kind, frames in capture.by_kind.items()
        }
        self._diffs = [(decode(raw), recv_ns) for raw, recv_ns in self._messages[DEPTH]]
        self.book = Book()

    def fresh(self, kind: str, look: Callable[[], object] | None = None) -> Run:
        apply, messages = self._market().apply, self._messages[kind]

        def take() -> None:
            for raw, recv_ns in messages:
                message = decode(raw)
                if message is not None:
                    apply(message, recv_ns)

        def take_and_look(look: Callable[[], object]) -> None:
            for raw, recv_ns in messages:
                message = decode(raw)
                if message is not None:
                    apply(message, recv_ns)
                    look()

        return take if look is None else lambda: take_and_look(look)

    def fresh_decoded(self, look: Callable[[], object]) -> Run:
        """Depth that is decoded already: the book alone."""
        apply = self._market().apply

        def take() -> None:
            for diff, recv_ns in self._diffs:
                if diff is not None:
                    apply(diff, recv_ns)
                    look()

        return take

    def look(self) -> object:
        book = self.book
        book.reanchor_if_moved()
        bids, asks = (nlargest(WALLS, book.bucket_usd(side)) for side in (Side.BUY, Side.SELL))
        return book.bid, book.ask, bids, asks

    def levels(self) -> tuple[list[Level], list[Level]]:
        return self.book.levels(Side.BUY, 10**6), self.book.levels(Side.SELL, 10**6)

    def close(self) -> None:
        pass

    def _market(self) -> Market:
        market = Market([self._instrument])
        self.book = market.market(self._instrument.id).book
        return market
