"""The capture as Bybit and OKX would have sent it: the same book and trades in their messages, ids, checksums and contracts.

For measuring several venues at once, when the engine follows several: nothing but form is made up. A stream begins with the capture's
snapshot; changes from before it are left out. `test_forms.py` holds the books against Binance's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any
from uuid import UUID
from zlib import crc32

import msgspec

from bot.domain.frames import Frame
from tests.bench.capture import DEPTH, SNAPSHOT, TRADE, kind_of

CONTRACT = Decimal("0.001")  # base coin in one of OKX's contracts: the capture's step, so that all are whole
TOP = 25
Rows = list[list[str]]
Timed = tuple[int, bytes]


def bybit(frames: Iterable[Frame], symbol: str) -> Iterator[Timed]:
    """`orderbook.1000.SYMBOL` and `publicTrade.SYMBOL`; update ids rise by one."""
    number = 0
    for frame, kind, said in _said(frames):
        ms = frame.recv_ns // 1_000_000
        if kind == TRADE:
            trade = {"T": ms, "s": symbol, "S": "Sell" if said["m"] else "Buy", "v": said["q"], "p": said["p"]}
            data: Any = [{**trade, "i": str(UUID(int=said["t"] << 66))}]
            topic, form = f"publicTrade.{symbol}", "snapshot"
        else:
            number += 1
            bids, asks = _sides(kind, said)
            data = {"s": symbol, "b": bids, "a": asks, "u": number, "seq": number}
            topic, form = f"orderbook.1000.{symbol}", "snapshot" if kind == SNAPSHOT else "delta"
        yield frame.recv_ns, msgspec.json.encode({"topic": topic, "type": form, "ts": ms, "data": data})


def okx(frames: Iterable[Frame], symbol: str) -> Iterator[Timed]:
    """`books` with sequence ids and the checksum of the best 25, and `trades-all`; sizes are contracts."""
    number, bids, asks = 0, dict[str, str](), dict[str, str]()
    for frame, kind, said in _said(frames):
        ms = str(frame.recv_ns // 1_000_000)
        if kind == TRADE:
            sold = {"instId": symbol, "tradeId": str(said["t"]), "px": said["p"], "sz": _contracts(said["q"])}
            body: dict[str, Any] = {"data": [{**sold, "side": "sell" if said["m"] else "buy", "ts": ms}]}
            channel = "trades-all"
        else:
            changes = [[[price, _contracts(size), "0", "1"] for price, size in side] for side in _sides(kind, said)]
            for book, rows in zip((bids, asks), changes, strict=True):
                _apply(book, rows)
            book_ids = {"prevSeqId": number or -1, "seqId": number + 1, "checksum": _checksum(bids, asks)}
            number += 1
            body = {"action": "snapshot" if kind == SNAPSHOT else "update"}
            body["data"] = [{"bids": changes[0], "asks": changes[1], "ts": ms, **book_ids}]
            channel = "books"
        yield frame.recv_ns, msgspec.json.encode({"arg": {"channel": channel, "instId": symbol}, **body})


def _said(frames: Iterable[Frame]) -> Iterator[tuple[Frame, str, Any]]:
    """Snapshot, trades and the changes that follow the snapshot, as Binance said them."""
    last_id = None
    for frame in frames:
        kind = kind_of(frame.raw)
        if kind not in (SNAPSHOT, DEPTH, TRADE):
            continue
        said = msgspec.json.decode(frame.raw)
        said = said.get("data", said)
        if kind == SNAPSHOT:
            last_id = said["lastUpdateId"]
        elif (kind == DEPTH and (last_id is None or said["u"] <= last_id)) or (kind == TRADE and not float(said["q"])):
            continue
        yield frame, kind, said


def _sides(kind: str, said: Any) -> tuple[Rows, Rows]:
    return (said["bids"], said["asks"]) if kind == SNAPSHOT else (said["b"], said["a"])


def _contracts(size: str) -> str:
    return str(int(Decimal(size) / CONTRACT))


def _apply(book: dict[str, str], rows: Rows) -> None:
    for price, contracts, *_ in rows:
        if contracts == "0":
            book.pop(price, None)
        else:
            book[price] = contracts


def _checksum(bids: dict[str, str], asks: dict[str, str]) -> int:
    """As the venue documents it: signed CRC32 of `bid:size:ask:size:...`; no side of the capture has fewer than 25 levels."""
    best_bids = sorted(bids, key=float, reverse=True)[:TOP]
    best_asks = sorted(asks, key=float)[:TOP]
    text = ":".join(f"{bid}:{bids[bid]}:{ask}:{asks[ask]}" for bid, ask in zip(best_bids, best_asks, strict=True))
    unsigned = crc32(text.encode())
    return unsigned - (1 << 32) if unsigned >> 31 else unsigned
