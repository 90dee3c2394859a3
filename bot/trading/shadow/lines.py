"""Which of many shadows a price concerns: the prices at which something of theirs would happen, in order.

A trade, a quote, a mark or a changed level reaches few of ten thousand shadows; only these are asked what it does to them, by
the matching that real paper orders have. Whoever is found here may still find that nothing happens. Of one instrument.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable
from enum import StrEnum
from math import inf
from typing import NamedTuple

from bot.domain.values import Side


class Of(StrEnum):
    """The price that is waited for."""

    LIMIT = "limit"  # a resting order: the last trade's, or the other side's best quote
    LAST = "last"
    MARK = "mark"


class Line(NamedTuple):
    of: Of
    above: bool  # reached at or above `price`, else at or below it
    price: float


class _Row:
    """Lines of one kind, nearest first: (price, name), prices negated where they are reached from above."""

    __slots__ = ("at",)

    def __init__(self) -> None:
        self.at: list[tuple[float, str]] = []

    def put(self, price: float, name: str) -> None:
        insort(self.at, (price, name))

    def drop(self, price: float, name: str) -> None:
        del self.at[bisect_left(self.at, (price, name))]

    def reached(self, price: float) -> list[str]:
        at = self.at
        if not at or at[0][0] > price:
            return []
        return [name for _, name in at[: bisect_right(at, price, key=_price)]]


def _price(each: tuple[float, str]) -> float:
    return each[0]


class Lines:
    """Names stand for shadows, in any number; each has the lines it was given last. `waiting` are those that a mark or a book
    concerns whatever it says: something of theirs has triggered, or could not be placed on a book yet."""

    def __init__(self) -> None:
        self.waiting: dict[str, None] = {}
        self._rows = {(of, above): _Row() for of in Of for above in (True, False)}
        self._lines: dict[str, tuple[Line, ...]] = {}
        self._levels: dict[tuple[bool, float], dict[str, int]] = {}  # (sells, price): names and how many orders of each

    def __len__(self) -> int:
        return len(self._lines)

    def put(self, name: str, lines: Iterable[Line], *, waits: bool) -> None:
        """In place of what this name had."""
        kept = tuple(lines)
        if kept == self._lines.get(name) and waits is (name in self.waiting):
            return
        self.drop(name)
        self._lines[name] = kept
        for line in kept:
            self._rows[line.of, line.above].put(line.price if line.above else -line.price, name)
            if line.of is Of.LIMIT:
                names = self._levels.setdefault((line.above, line.price), {})
                names[name] = names.get(name, 0) + 1
        if waits:
            self.waiting[name] = None

    def drop(self, name: str) -> None:
        self.waiting.pop(name, None)
        for line in self._lines.pop(name, ()):
            self._rows[line.of, line.above].drop(line.price if line.above else -line.price, name)
            if line.of is Of.LIMIT:
                self._drop_level((line.above, line.price), name)

    def _drop_level(self, level: tuple[bool, float], name: str) -> None:
        names = self._levels[level]
        names[name] -= 1
        if not names[name]:
            del names[name]
        if not names:
            del self._levels[level]

    def reached(self, of: Of, price: float) -> list[str]:
        """Those with a line of that kind at this price, or passed by it."""
        return self._rows[of, True].reached(price) + self._rows[of, False].reached(-price)

    def quoted(self, bid: float | None, ask: float | None) -> list[str]:
        """Those with a resting order that the other side's best quote has come to."""
        above = self._rows[Of.LIMIT, True].reached(-inf if bid is None else bid)
        return above + self._rows[Of.LIMIT, False].reached(-inf if ask is None else -ask)

    def resting(self, side: Side, prices: Iterable[float]) -> list[str]:
        """Those with an order of this side at one of these prices."""
        levels, sells = self._levels, side is Side.SELL
        found = (levels.get((sells, price)) for price in prices) if levels else ()
        return [name for names in found if names for name in names]

    def with_orders(self) -> list[str]:
        """Those with a resting order anywhere."""
        return [name for _, name in self._rows[Of.LIMIT, True].at + self._rows[Of.LIMIT, False].at]
