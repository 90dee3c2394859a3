"""The decoder and the book against what Binance really sent: every best price and size it published must come out.

A quote carries the update id it belongs to, so it can be compared with the book at exactly that id; most arrive before
the depth message that ends there, some after it.
"""

from __future__ import annotations

import copy
import gzip
import lzma
from collections.abc import Iterable
from pathlib import Path

import pytest

from bot.domain.market import BookDiff, BookSnapshot, MarketMessage, Quote
from bot.domain.values import Side
from bot.exchanges.binance import decode
from bot.exchanges.binance_rest import parse_exchange_info
from bot.market.book import BUCKETS, Book

MARKET = Path(__file__).resolve().parents[2] / "../shared/fixtures/market"
USDM = MARKET / "hftbacktest/usdm_btcusdt_20240808.gz"
ALTS = MARKET / "cryptofeed/BINANCE_FUTURES.ws.1.0.xz"
ALTS_REST = MARKET / "cryptofeed/BINANCE_FUTURES.http.0.0.xz"
LISTING = MARKET / "cryptofeed/BINANCE_FUTURES.0.xz"

ABSENT = "captures not here: ../shared"
Top = tuple[float | None, float | None, float | None, float | None]


def needs(*paths: Path) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not all(path.exists() for path in paths), reason=ABSENT)


class Comparison:
    """Feeds one book and compares it with the quotes of the same id, whichever comes first."""

    def __init__(self) -> None:
        self.book = Book()
        self.faults: list[str] = []
        self.compared = self.agreed = self.quote_first = 0
        self._quotes: dict[int, Top] = {}
        self._tops: dict[int, Top] = {}

    def take(self, message: MarketMessage | None) -> None:
        if isinstance(message, Quote):
            top = (message.bid, message.bid_quantity, message.ask, message.ask_quantity)
            self._quotes[message.update_id] = top
            self._compare(top, self._tops.get(message.update_id))
        elif isinstance(message, (BookDiff, BookSnapshot)):
            self._apply(message)

    def _apply(self, message: BookDiff | BookSnapshot) -> None:
        book = self.book
        fault = book.apply_diff(message) if isinstance(message, BookDiff) else book.apply_snapshot(message)
        if fault:
            self.faults.append(fault)
        if book.last_id is not None and book.last_id not in self._tops:
            self._tops[book.last_id] = top = (book.bid, book.bid_quantity, book.ask, book.ask_quantity)
            self.quote_first += book.last_id in self._quotes
            self._compare(self._quotes.get(book.last_id), top)

    def _compare(self, quote: Top | None, top: Top | None) -> None:
        if quote is not None and top is not None:
            self.compared += 1
            self.agreed += quote == top


# --- BTCUSDT, 2024 -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def usdm() -> list[MarketMessage]:
    if not USDM.exists():
        pytest.skip(ABSENT)
    with gzip.open(USDM, "rb") as lines:
        messages = [decode(line.split(b" ", 1)[1]) for line in lines]
    return [message for message in messages if message is not None]


def test_the_book_agrees_with_every_quote_of_its_id(usdm: list[MarketMessage]) -> None:
    comparison = Comparison()
    for message in usdm:
        comparison.take(message)
    book = comparison.book
    print(f"compared {comparison.compared} ({comparison.quote_first} quote first), agreed {comparison.agreed}")
    assert len(usdm) == 93_954  # every line was understood
    assert comparison.faults == []
    assert comparison.quote_first == 503
    assert comparison.agreed == comparison.compared == 629
    assert book.usable


def test_bucket_sums_hold_after_thousands_of_messages(usdm: list[MarketMessage]) -> None:
    book = Book()
    for number, message in enumerate(usdm):
        if isinstance(message, BookDiff):
            book.apply_diff(message)
        elif isinstance(message, BookSnapshot):
            book.apply_snapshot(message)
        if number % 5000 == 0:
            book.reanchor_if_moved()
    anchor = book.anchor_price
    assert anchor is not None
    kept = [book.bucket_usd(side) for side in Side]
    book.anchor(anchor)
    for side, before in zip(Side, kept, strict=True):
        assert book.bucket_usd(side) == pytest.approx(before, abs=0.01)
        assert len([usd for usd in before if usd]) == BUCKETS


def test_deleting_any_depth_message_is_noticed_with_the_next(usdm: list[MarketMessage]) -> None:
    snapshot = next(message for message in usdm if isinstance(message, BookSnapshot))
    diffs = [m for m in usdm if isinstance(m, BookDiff) and m.last_id >= snapshot.last_id]
    lost = {round(i * (len(diffs) - 2) / 39) for i in range(40)}
    book = Book()
    assert book.apply_snapshot(snapshot) is None
    noticed = 0
    for position, diff in enumerate(diffs):
        if position in lost:
            torn = copy.deepcopy(book)
            fault = torn.apply_diff(diffs[position + 1])
            assert fault is not None, f"message {position} can be lost without notice"
            assert (torn.usable, torn.levels(Side.BUY, 1), torn.levels(Side.SELL, 1)) == (False, [], [])
            noticed += 1
        assert book.apply_diff(diff) is None
    print(f"deleted and noticed: {noticed}")
    assert noticed == 40


# --- four alts, 2021 -----------------------------------------------------------------------------------------------


def alts() -> Iterable[bytes]:
    """Stream and REST replies in the order of their times; the replies wrapped with their symbol."""
    timed: list[tuple[float, bytes]] = []
    with lzma.open(ALTS, "rb") as lines:
        for line in lines:
            if not line.startswith(b"wss:"):
                stamp, raw = line.rstrip(b"\n").split(b": ", 1)
                timed.append((float(stamp), raw))
    with lzma.open(ALTS_REST, "rb") as lines:
        for line in lines:
            if b"/fapi/v1/depth?symbol=" in line:
                url, answer = line.rstrip(b"\n").split(b" -> ", 1)
                stamp, raw = answer.split(b": ", 1)
                symbol = url.split(b"symbol=")[1].split(b"&")[0].lower()
                timed.append((float(stamp), b'{"stream":"%s@depth_snapshot","data":%s}' % (symbol, raw)))
    return (raw for _, raw in sorted(timed, key=lambda row: row[0]))


@needs(ALTS, ALTS_REST)
def test_four_books_agree_with_their_quotes() -> None:
    books: dict[str, Comparison] = {}
    unused = 0
    for raw in alts():
        message = decode(raw)
        if message is None:
            unused += 1
            continue
        assert message.symbol is not None
        books.setdefault(message.symbol, Comparison()).take(message)
    print({symbol: (c.compared, c.agreed) for symbol, c in books.items()}, f"unused {unused}")
    assert sorted(books) == ["AKROUSDT", "CTKUSDT", "KEEPUSDT", "SUSHIUSDT"]
    assert unused == 67  # candles
    for comparison in books.values():
        assert comparison.faults == []
        assert comparison.book.usable
        assert comparison.agreed == comparison.compared > 0


@needs(LISTING)
def test_a_real_exchange_info_is_read_whole() -> None:
    with lzma.open(LISTING, "rb") as lines:
        instruments, left_out = parse_exchange_info(lines.readline().split(b": ", 1)[1])
    assert left_out == {}
    assert len(instruments) == 119  # the rest of the 122 are two quarterlies and one not yet trading
    btc = instruments["BTCUSDT"]
    assert (btc.id, btc.unified) == ("binanceusdm:BTCUSDT", "BTC/USDT:USDT")
    assert [str(x) for x in (btc.tick, btc.step, btc.max_market_quantity, btc.min_notional)] == [
        "0.01",
        "0.001",
        "1000",
        "5",
    ]
    assert str(instruments["1000SHIBUSDT"].tick) == "0.000001"
    assert instruments["BTCBUSD"].unified == "BTC/BUSD:BUSD"
