"""Books of real captures with checksums or sequence numbers, put into Bybit's and OKX's form: both hold after every update, and a
frame that is missing is noticed on the next. No capture of these two venues' present streams is at hand; Bitget's checksum is made
like OKX's, and Kraken's sequence like Bybit's."""

from __future__ import annotations

import contextlib
import copy
import json
import lzma
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from bot.domain.market import BookDiff, BookSnapshot
from bot.domain.values import Side
from bot.exchanges import bybit, okx
from bot.exchanges.base import BookLost
from bot.market.book import Book

CRYPTOFEED = Path(__file__).resolve().parents[2] / "../shared/fixtures/market/cryptofeed"
BITGET = CRYPTOFEED / "BITGET.ws.2.0.xz"
KRAKEN = CRYPTOFEED / "KRAKEN_FUTURES.ws.1.0.xz"

pytestmark = pytest.mark.skipif(not CRYPTOFEED.exists(), reason="captures not here: ../shared")


def received(path: Path) -> Iterator[dict[str, Any]]:
    with lzma.open(path, "rb") as lines:
        for line in lines:
            if not line.startswith(b"wss:"):
                text = line.split(b": ", 1)[1]
                if text.startswith(b"{"):
                    yield json.loads(text)


class Twin:
    """The same book kept as plainly as it can be."""

    def __init__(self) -> None:
        self.sides: dict[Side, dict[float, float]] = {Side.BUY: {}, Side.SELL: {}}

    def take(self, side: Side, rows: list[list[str]]) -> None:
        for price, size in rows:
            if float(size):
                self.sides[side][float(price)] = float(size)
            else:
                self.sides[side].pop(float(price), None)

    def best(self, side: Side) -> list[tuple[float, float]]:
        return sorted(self.sides[side].items(), reverse=side is Side.BUY)[:25]


def apply(book: Book, message: Any) -> None:
    assert isinstance(message, BookSnapshot | BookDiff)
    reason = book.apply_snapshot(message) if isinstance(message, BookSnapshot) else book.apply_diff(message)
    assert reason is None


# --- checksums ------------------------------------------------------------------------------------------------------


def bitget(symbol: str) -> list[tuple[str, dict[str, Any]]]:
    """Action and book of each message."""
    books = []
    for message in received(BITGET):
        arg = message.get("arg", {})
        if arg.get("channel") == "books" and arg.get("instId") == symbol and "action" in message:
            books.append((message["action"], message["data"][0]))
    return books


def as_okx(symbol: str, action: str, book: dict[str, Any], number: int) -> bytes:
    rows = {side: [[price, size, "0", "1"] for price, size in book[side]] for side in ("asks", "bids")}
    ids = {"seqId": number, "prevSeqId": number - 1, "checksum": int(book["checksum"]), "ts": book["ts"]}
    arg = {"channel": "books", "instId": symbol}
    return json.dumps({"arg": arg, "action": action, "data": [{**rows, **ids}]}).encode()


@pytest.mark.parametrize("symbol", ["DASHUSDT", "UNIUSDT"])
def test_the_checksum_and_the_book_hold_after_every_update(symbol: str) -> None:
    decode = okx.Decoder({symbol: Decimal(1)}).decode
    book, twin, updates = Book(), Twin(), 0
    for number, (action, said) in enumerate(bitget(symbol)):
        twin.take(Side.BUY, said["bids"])
        twin.take(Side.SELL, said["asks"])
        for message in decode(as_okx(symbol, action, said, number)):  # raises where the checksum is another
            apply(book, message)
        assert [book.levels(side, 25) for side in Side] == [twin.best(side) for side in Side]
        updates += action == "update"
    assert updates > 90


@pytest.mark.parametrize(("symbol", "unseen"), [("DASHUSDT", 0), ("UNIUSDT", 1)])
def test_any_deleted_frame_is_noticed_on_the_next(symbol: str, unseen: int) -> None:
    """By its sequence; and where the ids follow as if nothing was missing by the checksum, unless all that was missing lay behind
    the 25 levels that it is of."""
    books = bitget(symbol)
    decoder, unnoticed = okx.Decoder({symbol: Decimal(1)}), 0
    for number, (action, said) in enumerate(books[:-1]):
        if number:
            with pytest.raises(BookLost, match="gap"):
                copy.deepcopy(decoder).decode(as_okx(symbol, *books[number + 1], number + 1))
            with contextlib.suppress(BookLost):
                copy.deepcopy(decoder).decode(as_okx(symbol, *books[number + 1], number))
                unnoticed += 1
        decoder.decode(as_okx(symbol, action, said, number))
    assert unnoticed == unseen


# --- sequence numbers -----------------------------------------------------------------------------------------------


def kraken() -> dict[str, list[bytes]]:
    """Bybit's messages by symbol, the snapshot first."""
    books: dict[str, list[bytes]] = {}
    for said in received(KRAKEN):
        if said.get("feed") == "book_snapshot":
            sides = {side: [[str(r["price"]), str(r["qty"])] for r in said[name]] for side, name in SIDES.items()}
            books[said["product_id"]] = [as_bybit("snapshot", said, sides)]
        elif said.get("feed") == "book" and "seq" in said:
            changed = [[str(said["price"]), str(said["qty"])]]
            sides = {"b": changed, "a": []} if said["side"] == "buy" else {"b": [], "a": changed}
            books[said["product_id"]].append(as_bybit("delta", said, sides))
    return {symbol: messages for symbol, messages in books.items() if len(messages) > 20}


SIDES = {"b": "bids", "a": "asks"}


def as_bybit(kind: str, said: dict[str, Any], sides: dict[str, Any]) -> bytes:
    symbol = said["product_id"]
    data = {"s": symbol, **sides, "u": said["seq"], "seq": 1}
    return json.dumps(
        {"topic": f"orderbook.1000.{symbol}", "type": kind, "ts": said["timestamp"], "data": data}
    ).encode()


def test_the_book_holds_after_every_update_and_any_deleted_frame_is_noticed_on_the_next() -> None:
    updates = 0
    for messages in kraken().values():
        decoder, book, twin = bybit.Decoder(), Book(), Twin()
        for raw, following in zip(messages, [*messages[1:], None], strict=True):
            ids = dict(decoder._last_ids)
            for message in decoder.decode(raw):
                apply(book, message)
            data = json.loads(raw)["data"]
            twin.take(Side.BUY, data["b"])
            twin.take(Side.SELL, data["a"])
            assert [book.levels(side, 5) for side in Side] == [twin.best(side)[:5] for side in Side]
            updates += 1
            if ids and following is not None:
                torn = bybit.Decoder()
                torn._last_ids = ids
                with pytest.raises(BookLost, match="gap"):
                    torn.decode(following)
    assert updates > 7000
