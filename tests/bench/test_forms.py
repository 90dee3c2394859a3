"""The capture in other venues' forms is the same market: their decoders make Binance's book and trades of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice

import pytest

from bot.demo import BUNDLED_TAPE
from bot.domain.frames import Frame
from bot.domain.market import BookDiff, BookSnapshot, TradePrint
from bot.exchanges import binance, bybit, okx
from bot.runtime.tape import Tape
from tests.bench import forms

FRAMES = tuple(islice(Tape.open(BUNDLED_TAPE).frames(), 6000))
Book = tuple[dict[float, float], dict[float, float]]


def folded(messages: Iterable[object]) -> tuple[Book, list[tuple[float, float, bool]]]:
    book: Book = ({}, {})
    trades: list[tuple[float, float, bool]] = []
    last_id = None
    for message in messages:
        if isinstance(message, TradePrint):
            trades.append((message.price, message.quantity, message.taker_buys))
        elif isinstance(message, BookSnapshot):
            book, last_id = (dict(message.bids), dict(message.asks)), message.last_id
        elif isinstance(message, BookDiff) and last_id is not None and message.last_id > last_id:
            for side, rows in zip(book, (message.bids, message.asks), strict=True):
                for price, quantity in rows:
                    side.pop(price, None) if not quantity else side.update({price: quantity})
    return book, trades


def listed(decode: Callable[[bytes], list[object]], stream: Iterable[forms.Timed]) -> Iterable[object]:
    return (message for _, raw in stream for message in decode(raw))


def ours(frames: Iterable[Frame]) -> Iterable[object]:
    return (binance.decode(frame.raw) for frame in frames)


@pytest.mark.parametrize("venue", ["bybit", "okx"])
def test_the_book_and_the_trades_are_those_of_the_capture(venue: str) -> None:
    if venue == "bybit":
        theirs = listed(bybit.Decoder().decode, forms.bybit(FRAMES, "S00USDT"))  # type: ignore[arg-type]
    else:
        decode = okx.Decoder({"S00-USDT-SWAP": forms.CONTRACT}).decode
        theirs = listed(decode, forms.okx(FRAMES, "S00-USDT-SWAP"))  # type: ignore[arg-type]
    book, trades = folded(ours(FRAMES))
    their_book, their_trades = folded(theirs)
    assert len(book[0]) > 900 and len(trades) > 100
    assert their_book == book
    assert their_trades == trades
