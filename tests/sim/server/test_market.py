"""The market behind the server: the book that is published is the one that the events tell of."""

from __future__ import annotations

import pytest
from msgspec import structs

from bot.domain.values import MS, Side
from bot.sim.events import Depth, Event, Snapshot
from bot.sim.market_model import SyntheticMarket
from bot.sim.presets import preset
from bot.sim.scenario import Scenario
from bot.sim.server.market import TRADES_BEFORE, SimBook, SimMarket


def scenario(symbols: int = 2, hours: float = 0.05) -> Scenario:
    return structs.replace(preset("day", seed=5, hours=hours, symbols=symbols), depth_ms=100, quotes=True, mark_s=1)


def market(made: Scenario) -> SimMarket:
    return SimMarket(made, lambda: made.start_ns + 7 * MS)


def test_books_follow_every_event_and_never_cross() -> None:
    made = scenario()
    sim = market(made)
    checked = 0

    def look(event: Event) -> None:
        nonlocal checked
        if (
            isinstance(event, Snapshot) and event.ms > made.start_ns // MS
        ):  # told whole: what was built from changes is that
            book = sim.books[event.symbol]
            assert book.rungs(Side.BUY, 10_000) == event.bids and book.rungs(Side.SELL, 10_000) == event.asks
        for book in sim.books.values():
            if book.bids:
                assert book.best_bid == max(book.bids) < min(book.asks) == book.best_ask
                checked += 1

    sim.listeners.append(look)
    sim.advance(made.start_ns // MS + 60_000)
    assert checked > 1000


def test_advance_plays_what_is_due_and_no_more() -> None:
    made = scenario()
    sim, seen = market(made), list[Event]()
    sim.listeners.append(seen.append)
    start_ms = made.start_ns // MS
    assert sim.now_ms() == start_ms + 7
    assert sim.advance(start_ms + 1000, most=10) and len(seen) == 10
    assert not sim.advance(start_ms + 1000)
    due = [event for event in SyntheticMarket(made, TRADES_BEFORE).events() if event.ms <= start_ms + 1000]
    assert seen == due and sim.at_ms == due[-1].ms


def test_the_view_is_in_prices_and_quantities() -> None:
    made = scenario()
    sim = market(made)
    book = sim.views["BTCUSDT"]
    assert (
        not book.usable
        and book.bid is None
        and book.mid is None
        and book.last is None
        and book.size_at(Side.BUY, 1.0) is None
    )
    sim.advance(made.start_ns // MS + 5000)
    assert book.usable and book.bid is not None and book.ask is not None
    price, quantity = book.levels(Side.SELL, 3)[0]
    assert price == book.ask and book.size_at(Side.SELL, price) == quantity > 0
    assert book.size_at(Side.SELL, price - 10_000) == 0
    assert book.mark == pytest.approx(book.mid, rel=1e-3)
    now_ns = sim.at_ms * MS
    assert book.book_age_ns(now_ns) is not None and book.trade_age_ns(now_ns) is not None


def test_the_best_level_is_found_again_when_it_goes() -> None:
    book = SimBook(scenario().coins[0])
    book.change(Snapshot("BTCUSDT", 1, 1, [(100, 5), (98, 5)], [(101, 5), (103, 5)]))
    for bids, asks, best in (
        ([(100, 0)], [(101, 0)], (98, 103)),
        ([(99, 1)], [(102, 1)], (99, 102)),
        ([(99, 7), (97, 1)], [(102, 7), (104, 1)], (99, 102)),
        ([(99, 0), (96, 4)], [(102, 0), (105, 4)], (98, 103)),
    ):
        book.change(Depth("BTCUSDT", 2, 2, 2, 1, bids, asks))
        assert (book.best_bid, book.best_ask) == best
