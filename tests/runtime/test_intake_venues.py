"""Frames of several venues: what a lost stream, a lost book and late history do, and what they leave alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.events import Emit
from bot.domain.frames import DEPTH, TRADES, BarRow, FeedState, Frame, History
from bot.domain.reading import ReadingState
from bot.domain.values import NS, Side
from bot.exchanges.base import exchanges
from bot.market.state import InstrumentMarket, Market
from bot.runtime.intake import Intake
from bot.runtime.watches import Watches
from tests.build import BTC, instrument
from tests.runtime.test_intake import Watcher

T0 = 1_723_161_300 * NS  # a multiple of five minutes
WIDTH_NS = 300 * NS
AT_BYBIT = instrument(id="bybit:BTCUSDT", venue="bybit")
AT_OKX = instrument("BTC-USDT-SWAP", id="okx:BTC-USDT-SWAP", venue="okx", base="BTC", contract_size=Decimal("0.01"))


class Desk:
    """An intake and its market at a time that the tests move."""

    def __init__(self) -> None:
        known = [instrument(), AT_BYBIT, AT_OKX]
        self.market = Market(known[:1], others=known[1:])
        decoders = {name: lambda each=each: each.decoder(known) for name, each in exchanges().items()}
        self.intake = Intake(self.market, decoders, Watcher(), Watches())
        self.now = T0

    def take(self, source: str, message: Any) -> list[tuple[str, Any]]:
        """The events it made."""
        raw = message if isinstance(message, bytes) else msgspec.json.encode(message)
        said = self.intake.apply(Frame(self.now, "data", source, raw), self.now)
        return [(each.kind, each.data) for each in said if isinstance(each, Emit)]

    def feed(self, up: bool, carries: Sequence[str] = (), **fields: Any) -> list[tuple[str, Any]]:
        return self.take("feed", FeedState(stream="public", up=up, reason="cut", carries=tuple(carries), **fields))

    @property
    def home(self) -> InstrumentMarket:
        return self.market.market(BTC)

    def other(self, venue: str) -> bool:
        return self.home.others[venue].usable

    def load(self) -> None:
        self.take("binanceusdm", {"stream": "btcusdt@depth_snapshot", "data": SNAPSHOT})
        self.take("bybit", bybit("snapshot", 10))
        self.take("okx", okx("snapshot", -1, 10))

    def trade(self, price: float) -> None:
        ms = self.now // 1_000_000
        ids = {"a": 1, "f": 1, "l": 1}
        row = {"e": "aggTrade", "E": ms, "T": ms, "s": "BTCUSDT", **ids, "p": str(price), "q": "1", "m": False}
        assert self.take("binanceusdm", row) == []

    def trades(self, until_ns: int, each_s: int = 20) -> None:
        while self.now < until_ns:
            self.trade(65000 + self.now // NS % 97)
            self.now += each_s * NS
            self.intake.sample(self.now)


SNAPSHOT = {"lastUpdateId": 10, "E": 1, "T": 1, "bids": [["64999.9", "2"]], "asks": [["65000.1", "2"]]}


def bybit(kind: str, u: int, symbol: str = "BTCUSDT") -> bytes:
    book = {"s": symbol, "b": [["64999", "1"]], "a": [["65001", "2"]], "u": u}
    return json.dumps({"topic": f"orderbook.1000.{symbol}", "type": kind, "ts": 1, "data": book}).encode()


def okx(action: str, before: int, now: int) -> bytes:
    book = {"bids": [["64999", "1", "0", "1"]], "asks": [["65001", "2", "0", "1"]], "ts": "1", "seqId": now}
    data = [{**book, "prevSeqId": before, "checksum": 0}]
    return json.dumps({"arg": {"channel": "books", "instId": "BTC-USDT-SWAP"}, "action": action, "data": data}).encode()


@pytest.fixture
def desk() -> Desk:
    desk = Desk()
    desk.load()
    assert desk.home.usable and desk.other("bybit") and desk.other("okx")
    return desk


# --- lost books -----------------------------------------------------------------------------------------------------


def test_a_gap_empties_that_book_only_is_told_once_and_a_snapshot_heals_it(desk: Desk) -> None:
    kinds = desk.take("bybit", bybit("delta", 12))
    assert [kind for kind, _ in kinds] == ["BAD_FRAME", "BOOK_RESYNC"]
    said = kinds[1][1]
    assert (said["book"], said["usable"]) == ("bybit:BTCUSDT", False) and "expected u 11, got 12" in said["reason"]
    assert (desk.home.usable, desk.other("bybit"), desk.other("okx")) == (True, False, True)
    assert desk.take("bybit", bybit("delta", 13)) == [], "no news"
    assert [kind for kind, _ in desk.take("bybit", bybit("snapshot", 20))] == ["BOOK_RESYNC"]
    assert desk.take("bybit", bybit("delta", 21)) == [] and desk.other("bybit")


def test_a_gap_where_we_trade_makes_that_book_unusable() -> None:
    market = Market([AT_BYBIT])
    intake = Intake(market, {"bybit": lambda: exchanges()["bybit"].decoder([AT_BYBIT])}, Watcher(), Watches())
    intake.apply(Frame(T0, "data", "bybit", bybit("snapshot", 10)), T0)
    assert market.market(AT_BYBIT.id).usable
    said = intake.apply(Frame(T0, "data", "bybit", bybit("delta", 12)), T0)
    assert [type(each).__name__ for each in said] == ["Emit", "Emit", "FeedChanged"]
    assert not market.market(AT_BYBIT.id).usable


@pytest.mark.parametrize("unfollowed", [True, False])
def test_a_lost_book_that_nobody_follows_stops_nothing(unfollowed: bool) -> None:
    market = Market([AT_BYBIT])
    names = frozenset({"XUSDT"}) if unfollowed else frozenset()
    intake = Intake(market, {"bybit": lambda: exchanges()["bybit"].decoder([AT_BYBIT])}, Watcher(), Watches(), names)
    said = intake.apply(Frame(T0, "data", "bybit", bybit("delta", 12, "XUSDT")), T0)
    assert len(said) == (0 if unfollowed else 1)


# --- lost streams ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("carries", "book_stays", "bars"),
    [((DEPTH,), False, 2), ((TRADES,), True, 1), ((DEPTH, TRADES), False, 1), ((), False, 1)],
)
def test_a_stream_takes_with_it_what_it_carries(
    desk: Desk, carries: tuple[str, ...], book_stays: bool, bars: int
) -> None:
    desk.now -= 20 * NS
    desk.trades(T0 + 90 * NS)
    desk.feed(False, carries, venue="binanceusdm")
    desk.trades(T0 + 125 * NS)
    assert desk.home.usable is book_stays
    assert len(desk.home.bars(60, 10)) == bars, "the minutes whose trades were all seen"
    assert desk.other("bybit") and desk.other("okx"), "another venue's stream"


def test_a_stream_of_another_venue_takes_its_books_and_nothing_of_ours(desk: Desk) -> None:
    desk.now -= 20 * NS
    desk.trades(T0 + 30 * NS)
    desk.feed(False, (TRADES,), venue="bybit")
    assert desk.other("bybit"), "its book is on another stream"
    desk.feed(False, (DEPTH, TRADES), venue="bybit")
    desk.trades(T0 + 65 * NS)
    assert (desk.home.usable, desk.other("bybit"), desk.other("okx")) == (True, False, True)
    assert len(desk.home.bars(60, 10)) == 1


def test_only_the_book_of_the_named_symbol_goes_and_its_stream_is_remembered(desk: Desk) -> None:
    kinds = desk.feed(False, (DEPTH,), venue="okx", symbol="BTC-USDT-SWAP")
    assert [kind for kind, _ in kinds] == ["FEED_DOWN", "BOOK_RESYNC"]
    assert (desk.other("okx"), desk.other("bybit")) == (False, True)
    assert desk.take("okx", okx("update", 10, 11)) == [], "what was under way is no gap: its snapshot is asked for"


def test_a_new_connection_is_read_by_a_decoder_that_remembers_nothing(desk: Desk) -> None:
    desk.feed(True, (DEPTH, TRADES), venue="bybit")
    kinds = [kind for kind, _ in desk.take("bybit", bybit("delta", 11))]
    assert kinds == ["BAD_FRAME", "BOOK_RESYNC"], "a change of the old connection cannot be continued"
    assert desk.take("okx", okx("update", 10, 11)) == [], "another venue's decoder goes on"


# --- history --------------------------------------------------------------------------------------------------------


def history(first: int, last: int, *, said: bool = True) -> History:
    """Five-minute bars numbered from T0."""
    rows: list[BarRow] = []
    for number in range(first, last):
        close = 65000.0 + number * 7919 % 101
        known = (5e5, 7) if said else (None, None)
        rows.append((T0 + number * WIDTH_NS, 65000.0, 66000.0, 64000.0, close, 1e6, *known))
    return History(instrument=BTC, coin="BTC", width_s=300, bars=rows)


@pytest.mark.parametrize("said", [True, False])
def test_history_fills_the_hole_that_a_gap_tore_and_the_regime_survives(desk: Desk, said: bool) -> None:
    def regime() -> ReadingState:
        return desk.market.reading("regime", BTC, desk.now).state(desk.now)

    desk.now = T0 - 20 * NS
    desk.take("history", history(-101, 0, said=said))
    desk.trades(T0 + WIDTH_NS + 10 * NS)
    assert regime() is ReadingState.FRESH
    desk.feed(False, (TRADES,), venue="binanceusdm")  # in the second bar
    desk.trades(T0 + 3 * WIDTH_NS + 10 * NS)
    assert len(desk.home.bars(300, 200)) == 1, "the third bar alone: before it is a hole"
    assert regime() is ReadingState.MISSING
    assert desk.take("history", history(-101, 2, said=said)) == []
    assert [bar.start_ns for bar in desk.home.bars(300, 3)] == [T0 + number * WIDTH_NS for number in range(3)]
    assert regime() is ReadingState.FRESH


def test_bars_that_cannot_be_are_refused_whole(desk: Desk) -> None:
    good = history(-3, 0)
    start_ns, opened, high, low, close, usd, buys, trades = good.bars[1]
    for row in (
        (start_ns + 1, opened, high, low, close, usd, buys, trades),
        (start_ns, opened, low, high, close, usd, buys, trades),
        (start_ns, opened, high, low, close, usd, usd + 1, trades),
        (start_ns - WIDTH_NS, opened, high, low, close, usd, buys, trades),
    ):
        bad = msgspec.structs.replace(good, bars=[good.bars[0], row, good.bars[2]])
        desk.take("history", bad)
        assert desk.home.bars(300, 9) == ()
    assert desk.intake.bad_frames == 4


# --- damage ---------------------------------------------------------------------------------------------------------

GOOD = [("bybit", bybit("snapshot", 10)), ("bybit", bybit("delta", 11)), ("okx", okx("snapshot", -1, 10))]
GOOD += [("okx", okx("update", 10, 11)), ("okx", b"pong"), ("bybit", b'{"op":"ping","ret_msg":"pong","success":true}')]


@given(st.lists(st.tuples(st.sampled_from(GOOD), st.binary(max_size=20), st.integers(0, 250), st.integers(0, 250))))
def test_no_damage_stops_the_engine_and_a_snapshot_always_heals(damage: list[Any]) -> None:
    desk = Desk()
    for (source, good), junk, start, end in damage:
        desk.take(source, good[:start] + junk + good[end:])
    desk.load()
    assert desk.other("bybit") and desk.other("okx")


# --- frames in any order, any number of times -----------------------------------------------------------------------

LAST = 8  # changes of the true book
Sizes = dict[str, int]


def true_books(sizes: Sequence[int]) -> list[tuple[Sizes, Sizes]]:
    """Bids and asks after each change, of one price a side; the outermost level stays."""
    books = [({"95": 1, "99": 2}, {"105": 1, "101": 2})]
    for number, size in enumerate(sizes, 1):
        bids, asks = books[-1]
        books.append((bids | {str(96 + number % 4): size}, asks | {str(104 - number % 4): size + 1}))
    return books


def told(venue: str, books: Sequence[tuple[Sizes, Sizes]], kind: str, number: int) -> bytes:
    """The whole book after a change, or the change itself, in the venue's words."""
    bids, asks = books[number]
    if kind == "change":
        bids, asks = {k: bids[k] for k in [str(96 + number % 4)]}, {k: asks[k] for k in [str(104 - number % 4)]}
    else:
        bids, asks = ({price: size for price, size in side.items() if size} for side in (bids, asks))
    rows = [[[price, str(size)] for price, size in side.items()] for side in (bids, asks)]
    if venue == "bybit":
        data = {"s": "BTCUSDT", "b": rows[0], "a": rows[1], "u": 100 + number}
        topic = {"topic": "orderbook.1000.BTCUSDT", "type": "delta" if kind == "change" else "snapshot"}
        return json.dumps({**topic, "ts": 1, "data": data}).encode()
    if venue == "okx":
        rows = [[[*row, "0", "1"] for row in side] for side in rows]
        action, before = ("update", number - 1) if kind == "change" else ("snapshot", -1)
        book = {"bids": rows[0], "asks": rows[1], "ts": "1", "seqId": number, "prevSeqId": before, "checksum": 0}
        arg = {"channel": "books", "instId": "BTC-USDT-SWAP"}
        return json.dumps({"arg": arg, "action": action, "data": [book]}).encode()
    if kind == "change":
        ids = {"U": 10 * number - 8, "u": 10 * number, "pu": 10 * (number - 1)}
        return json.dumps(
            {"e": "depthUpdate", "E": 1, "T": 1, "s": "BTCUSDT", **ids, "b": rows[0], "a": rows[1]}
        ).encode()
    whole = {"lastUpdateId": 10 * number, "E": 1, "T": 1, "bids": rows[0], "asks": rows[1]}
    return json.dumps({"stream": "btcusdt@depth_snapshot", "data": whole}).encode()


@given(
    st.sampled_from(["binanceusdm", "bybit", "okx"]),
    st.lists(st.integers(0, 3), min_size=LAST, max_size=LAST),
    st.lists(
        st.one_of(
            st.tuples(st.sampled_from(["change", "change", "snapshot"]), st.integers(1, LAST)),
            st.tuples(st.just("next"), st.just(0)),
        ),
        max_size=40,
    ),
)
def test_a_book_that_is_shown_was_a_true_one_whatever_frames_are_repeated_swapped_or_lost(
    venue: str, sizes: list[int], frames: list[tuple[str, int]]
) -> None:
    desk, books, newest = Desk(), true_books(sizes), 0
    book = desk.home.book if venue == "binanceusdm" else desk.home.others[venue]
    scale = 100.0 if venue == "okx" else 1.0  # contracts a coin
    for kind, number in [("snapshot", 1), *frames]:
        newest = min(LAST, newest + 1) if kind == "next" else number
        desk.take(venue, told(venue, books, "change" if kind == "next" else kind, newest))
        if not book.usable:
            continue
        assert book.last_id is not None
        bids, asks = books[{"binanceusdm": book.last_id // 10, "bybit": book.last_id - 100}.get(venue, book.last_id)]
        for side, true in ((Side.BUY, bids), (Side.SELL, asks)):
            seen = {f"{price:g}": round(size * scale, 6) for price, size in book.levels(side, 99)}
            assert seen == {price: float(size) for price, size in true.items() if size}
    desk.take(venue, told(venue, books, "snapshot", LAST))
    assert book.usable, "whatever came before"
