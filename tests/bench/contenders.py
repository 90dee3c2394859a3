"""Who takes in market messages: our own decoder and market state, and what the peers have in common with them.

Each is given the capture as its own socket would hand it over (bytes for us, text for the peers), and does with it what it
does in earnest, from decoding to the finished state. Sockets are left out, and no peer has a subscriber: what it would
still do to hand anything on to a caller is not counted against it.
"""

from __future__ import annotations

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
Sizes = list[float]


class Contender(Protocol):
    name: str

    def fresh(self, kind: str) -> Run:
        """With an empty state, what takes in all messages of that kind."""
        ...

    def levels(self) -> tuple[list[Level], list[Level]]:
        """All bids and all asks as they now are, best first."""
        ...

    def close(self) -> None: ...


class Walled(Contender, Protocol):
    def fresh_walls(self) -> Run:
        """The same for depth, with a look at best prices and walls after each message."""
        ...

    def walls(self, anchor: float) -> tuple[Sizes, Sizes]:
        """USD of the three largest 10-bps buckets of each side within 5 %, measured from `anchor`: bids, asks."""
        ...


class Ours:
    name = "ours"

    def __init__(self, capture: Capture) -> None:
        self._instrument = capture.instrument
        self._messages = {
            kind: [(frame.raw, frame.recv_ns) for frame in frames] for kind, frames in capture.by_kind.items()
        }
        self.book = Book()

    def fresh(self, kind: str) -> Run:
        apply, messages = self._market().apply, self._messages[kind]

        def take() -> None:
            for raw, recv_ns in messages:
                message = decode(raw)
                if message is not None:
                    apply(message, recv_ns)

        return take

    def fresh_walls(self) -> Run:
        apply, look, messages = self._market().apply, self._look, self._messages[DEPTH]

        def take() -> None:
            for raw, recv_ns in messages:
                message = decode(raw)
                if message is not None:
                    apply(message, recv_ns)
                    look()

        return take

    def walls(self, anchor: float) -> tuple[Sizes, Sizes]:
        """Measured from the book's own anchor, which the caller therefore asks for first."""
        bids, asks = (nlargest(WALLS, self.book.bucket_usd(side)) for side in (Side.BUY, Side.SELL))
        return bids, asks

    def levels(self) -> tuple[list[Level], list[Level]]:
        return self.book.levels(Side.BUY, 10**6), self.book.levels(Side.SELL, 10**6)

    def close(self) -> None:
        pass

    def _market(self) -> Market:
        market = Market([self._instrument])
        self.book = market.market(self._instrument.id).book
        return market

    def _look(self) -> object:
        book = self.book
        book.reanchor_if_moved()
        return book.bid, book.ask, self.walls(0.0)
