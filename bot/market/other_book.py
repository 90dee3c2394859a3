"""The book of a coin on a venue where it is not traded, and what is said when any book becomes usable or useless.

Kept by `state.Market`; an `OtherBook` shows walls and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from bot.domain.frames import DEPTH
from bot.domain.instrument import Instrument
from bot.domain.market import BookDiff, BookSnapshot, MarketMessage, TradePrint
from bot.market.book import Book

if TYPE_CHECKING:
    from bot.market.state import InstrumentMarket

COMPLETE = "complete and in sequence"


class BookNote(Struct, frozen=True):
    """A book became usable, or cannot be used and why: whoever feeds it must fetch a snapshot.

    `of` is the instrument that is traded, where the book is one of another venue."""

    instrument: str
    usable: bool
    reason: str
    of: str = ""


class OtherBook:
    """The book of a coin on a venue where it is not traded. `seen_by` are the markets whose walls it belongs to."""

    def __init__(
        self, instrument: Instrument, seen_by: Sequence[InstrumentMarket], note: Callable[[BookNote], None]
    ) -> None:
        self.instrument, self.book = instrument, Book()
        self._book_ns: int | None = None
        self._seen_by, self._note = seen_by, note
        for market in seen_by:
            market.others[instrument.venue] = self.book

    def on_snapshot(self, snapshot: BookSnapshot, now_ns: int) -> None:
        was_usable = self.book.usable
        self._after(was_usable, self.book.apply_snapshot(snapshot), now_ns)

    def on_diff(self, diff: BookDiff, now_ns: int) -> None:
        was_usable = self.book.usable
        self._after(was_usable, self.book.apply_diff(diff), now_ns)

    def on_trade(self, trade: TradePrint, now_ns: int) -> None:
        usd = trade.price * trade.quantity
        for market in self._seen_by:
            market.walls.on_trade(trade.price, usd)

    def ignore(self, message: MarketMessage, now_ns: int) -> None:
        """What else a venue says of itself."""

    def feed_down(self, reason: str, carries: Sequence[str] = ()) -> None:
        if not carries or DEPTH in carries:
            was_usable = self.book.usable
            self.book.reset()
            self._after(was_usable, reason if was_usable else None, 0)

    def book_age_ns(self, now_ns: int) -> int | None:
        """Since the last depth message."""
        return age_of(self._book_ns, now_ns)

    def _after(self, was_usable: bool, reason: str | None, now_ns: int) -> None:
        self._book_ns = now_ns
        if reason is None and was_usable is not self.book.usable:
            reason = COMPLETE
        if reason is not None:
            self._note(BookNote(self.instrument.id, self.book.usable, reason, self._seen_by[0].id))


def age_of(since_ns: int | None, now_ns: int) -> int | None:
    return None if since_ns is None else max(0, now_ns - since_ns)
