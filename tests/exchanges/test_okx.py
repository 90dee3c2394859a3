"""OKX messages: sequence and checksum, contracts in base coin, and that nothing else than FeedError is raised."""

from __future__ import annotations

import contextlib
import json
from decimal import Decimal
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.errors import FeedError
from bot.domain.market import BookDiff, BookSnapshot, TradePrint
from bot.exchanges.okx import Decoder, parse_instruments

SYMBOL = "BTC-USDT-SWAP"
BASE = {SYMBOL: Decimal("0.01")}
TS = 1_709_891_679_000


def depth(action: str, prev: int, seq: int, bids: str, asks: str, text: str) -> bytes:
    """`bids` and `asks` are `price:contracts` lists, `text` what the checksum is of."""
    crc = crc32(text.encode())
    rows = [[[*row.split(":"), "0", "1"] for row in side.split()] for side in (bids, asks)]
    data = {"bids": rows[0], "asks": rows[1], "ts": str(TS), "seqId": seq, "prevSeqId": prev}
    data["checksum"] = crc - 2**32 if crc >> 31 else crc
    arg = {"channel": "books", "instId": SYMBOL}
    return json.dumps({"arg": arg, "action": action, "data": [data]}).encode()


SNAPSHOT = depth("snapshot", -1, 10, "99.5:2 99:1", "100.10:5", "99.5:2:100.10:5:99:1")
FIRST = depth("update", 10, 15, "99:0", "100.10:7", "99.5:2:100.10:7")
SECOND = depth("update", 15, 20, "99.5:3", "", "99.5:3:100.10:7")
THIRD = depth("update", 20, 21, "", "101:1", "99.5:3:100.10:7:101:1")
TRADE = (
    b'{"arg":{"channel":"trades","instId":"BTC-USDT-SWAP"},"data":[{"instId":"BTC-USDT-SWAP","tradeId":"7","px":"100.1",'
    b'"sz":"3","side":"sell","ts":"1709891679000","count":"2"}]}'
)


def test_what_each_message_becomes() -> None:
    decoder, at = Decoder(BASE), TS * 1_000_000
    bids, asks = [(99.5, 0.02), (99.0, 0.01)], [(100.1, 0.05)]
    assert decoder.decode(SNAPSHOT) == [BookSnapshot(SYMBOL, 10, at, bids, asks, True)]
    assert decoder.decode(FIRST) == [BookDiff(SYMBOL, 15, 15, 10, at, [(99.0, 0.0)], [(100.1, 0.07)])]
    assert decoder.decode(depth("update", 15, 15, "", "", "99.5:2:100.10:7")) == []
    assert decoder.decode(TRADE) == [TradePrint(SYMBOL, 7, 100.1, 0.03, False, at, True)]
    assert decoder.decode(b"pong") == []


@pytest.mark.parametrize("lost", [0, 1])
def test_any_lost_frame_is_noticed_on_the_next(lost: int) -> None:
    frames = [FIRST, SECOND, THIRD]
    decoder = Decoder(BASE)
    for raw in (SNAPSHOT, *frames[:lost]):
        decoder.decode(raw)
    with pytest.raises(FeedError, match="gap: expected prevSeqId"):
        decoder.decode(frames[lost + 1])
    with pytest.raises(FeedError, match="without a snapshot"):
        decoder.decode(frames[lost])
    decoder.decode(SNAPSHOT)


def test_a_wrong_checksum_is_noticed_and_ids_may_start_again() -> None:
    decoder = Decoder(BASE)
    decoder.decode(SNAPSHOT)
    (again,) = decoder.decode(depth("update", 10, 3, "99:0", "", "99.5:2:100.10:5"))
    assert isinstance(again, BookSnapshot) and (again.last_id, again.restarts) == (3, True)
    with pytest.raises(FeedError, match="checksum"):
        decoder.decode(depth("update", 3, 4, "98:1", "", "99.5:2:100.10:5"))


@given(st.binary(max_size=40), st.integers(0, 250), st.integers(0, 250), st.sampled_from([SNAPSHOT, FIRST, TRADE]))
def test_a_damaged_frame_is_a_feed_error_or_a_message(junk: bytes, start: int, end: int, good: bytes) -> None:
    with contextlib.suppress(FeedError):
        Decoder(BASE).decode(good[:start] + junk + good[end:])


def test_trading_rules_are_in_base_coin() -> None:
    row = {"instType": "SWAP", "ctType": "linear", "state": "live", "instId": SYMBOL, "ctVal": "0.01", "ctMult": "1"}
    row |= {"ctValCcy": "BTC", "settleCcy": "USDT", "tickSz": "0.1", "lotSz": "0.1", "minSz": "0.1"}
    row |= {"maxLmtSz": "1000", "maxMktSz": "100"}
    rows = [row, row | {"instId": "ETH-USDT-SWAP"}, row | {"instId": "X-USDT-SWAP", "ctType": "inverse"}]
    listed = parse_instruments(json.dumps({"code": "0", "data": rows}).encode())
    assert listed.contract_base == BASE and list(listed.left_out) == ["ETH-USDT-SWAP"]
    rules = listed.instruments[SYMBOL]
    assert (rules.step, rules.max_quantity, rules.unified) == (Decimal("0.001"), Decimal(10), "BTC/USDT:USDT")
