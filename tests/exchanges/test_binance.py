"""Binance USD-M messages: what each becomes, and that nothing doubtful gets through."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.domain.errors import FeedError
from bot.domain.instrument import Round
from bot.domain.market import BookDiff, BookSnapshot, MarkPrice, Quote, TradePrint
from bot.exchanges.binance import decode, subscribe
from bot.exchanges.binance_rest import parse_exchange_info
from bot.exchanges.wire import MAX_BYTES

SAMPLES = (
    Path(__file__).resolve().parents[2]
    / "../shared/fixtures/market/nautilus/tests/integration_tests/adapters/binance/resources"
)
NS = 1_723_161_256_298_000_000

DEPTH = (
    b'{"e":"depthUpdate","E":1723161256299,"T":1723161256298,"s":"BTCUSDT","U":12,"u":15,"pu":11,'
    b'"b":[["58710.20","0.014"],["61510.90","0.000"]],"a":[["61800.30","2.510"]]}'
)
TRADE = (
    b'{"e":"trade","E":1723161256322,"T":1723161256298,"s":"BTCUSDT","t":5266583935,"p":"61800.30","q":"0.006",'
    b'"X":"MARKET","m":false}'
)
AGG = (
    b'{"e":"aggTrade","E":1723161256322,"s":"BTCUSDT","a":77,"p":"61800.30","q":"0.006","f":5,"l":6,'
    b'"T":1723161256298,"m":true}'
)
QUOTE = (
    b'{"e":"bookTicker","u":5123107839020,"s":"BTCUSDT","b":"61800.20","B":"2.507","a":"61800.30","A":"2.510",'
    b'"T":1723161256298,"E":1723161256313}'
)
MARK = (
    b'{"e":"markPriceUpdate","E":1723161256298,"s":"BTCUSDT","p":"61800.25","i":"61810.5","P":"61000.1",'
    b'"r":"-0.00010000","T":1723161600000}'
)
SNAPSHOT = (
    b'{"lastUpdateId":14,"E":1723161256300,"T":1723161256298,"bids":[["61800.20","2.909"]],"asks":[["61800.30","1"]]}'
)
EXPECTED = {
    DEPTH: BookDiff("BTCUSDT", 12, 15, 11, NS, [(58710.2, 0.014), (61510.9, 0.0)], [(61800.3, 2.51)]),
    TRADE: TradePrint("BTCUSDT", 5266583935, 61800.3, 0.006, True, NS),
    AGG: TradePrint("BTCUSDT", 77, 61800.3, 0.006, False, NS, True),
    QUOTE: Quote("BTCUSDT", 5123107839020, 61800.2, 2.507, 61800.3, 2.51, NS),
    MARK: MarkPrice("BTCUSDT", 61800.25, 61810.5, -0.0001, 1_723_161_600_000_000_000, NS),
}
EVENTS = list(EXPECTED)
NAMES = ["depth", "trade", "aggTrade", "bookTicker", "markPrice"]


def wrap(event: bytes, stream: str = "btcusdt@x") -> bytes:
    return b'{"stream":"%s","data":%s}' % (stream.encode(), event)


def changed(event: bytes, **values: Any) -> bytes:
    """The event with keys replaced; `...` removes one."""
    fields = json.loads(event) | values
    return json.dumps({k: v for k, v in fields.items() if v is not ...}, separators=(",", ":")).encode()


# --- what a message becomes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("event", EVENTS, ids=NAMES)
def test_an_event_is_the_same_bare_wrapped_spaced_and_reordered(event: bytes) -> None:
    fields = json.loads(event)
    backwards = dict(reversed(fields.items()))
    forms = [
        event,
        wrap(event),
        json.dumps(fields, indent=1).encode(),
        json.dumps(backwards).encode(),
        json.dumps({"data": backwards, "stream": "btcusdt@x"}).encode(),
    ]
    assert [decode(raw) for raw in forms] == [EXPECTED[event]] * len(forms)


@pytest.mark.parametrize("event", EVENTS, ids=NAMES)
@pytest.mark.parametrize("extra", [{"st": 1}, {"st": 1, "ps": "BTCUSDT", "nq": "0.006"}, {"new": [{"e": 1}, {"e": 2}]}])
def test_keys_that_came_later_are_tolerated(event: bytes, extra: dict[str, Any]) -> None:
    assert decode(changed(event, **extra)) == EXPECTED[event]
    assert decode(wrap(changed(event, **extra))) == EXPECTED[event]


def test_numbers_may_come_as_json_numbers() -> None:
    assert decode(changed(TRADE, p=61800.3, q=0.006)) == EXPECTED[TRADE]


def test_a_mark_price_says_only_what_it_knows() -> None:
    assert decode(changed(MARK, i=..., r=..., P=..., T=0)) == MarkPrice("BTCUSDT", 61800.25, None, None, None, NS)


@pytest.mark.parametrize(
    ("raw", "symbol"),
    [
        (SNAPSHOT, None),
        (wrap(SNAPSHOT, "btcusdt@depth_snapshot"), "BTCUSDT"),
        (wrap(SNAPSHOT, "btcusdt@depth@100ms"), None),
        (wrap(SNAPSHOT, "@depth_snapshot"), None),
    ],
)
def test_a_snapshot_takes_its_symbol_from_the_recorder(raw: bytes, symbol: str | None) -> None:
    assert decode(raw) == BookSnapshot(symbol, 14, NS, [(61800.2, 2.909)], [(61800.3, 1.0)])


def test_a_snapshot_without_time_has_none() -> None:
    snapshot = decode(changed(SNAPSHOT, E=..., T=...))
    assert isinstance(snapshot, BookSnapshot)
    assert snapshot.exch_ns == 0


@pytest.mark.parametrize(
    "raw",
    [
        b'{"result":null,"id":1}',
        b'{ "id": "a", "result": null }',
        b'{"e":"kline","E":1,"s":"BTCUSDT","k":{"t":1}}',
        wrap(b'{"e":"kline","E":1,"s":"BTCUSDT","k":{"t":1}}'),
        b'{"e":"24hrMiniTicker","E":1,"s":"BTCUSDT","c":"1"}',
        b'{"e":"contractInfo","E":1,"s":"BTCUSDT"}',
    ],
)
def test_what_is_known_and_not_used_is_none(raw: bytes) -> None:
    assert decode(raw) is None


@pytest.mark.parametrize("odd", [{"X": "NA"}, {"X": "INSURANCE_FUND"}, {"X": "ADL"}, {"p": "0"}, {"q": "0.000"}])
def test_a_trade_that_is_not_one_is_no_print(odd: dict[str, Any]) -> None:
    assert decode(changed(TRADE, **odd)) is None


def test_a_trade_need_not_say_that_it_is_ordinary() -> None:
    assert decode(changed(TRADE, X=...)) == EXPECTED[TRADE]


@pytest.mark.parametrize(("event", "maker_buys"), [(TRADE, True), (TRADE, False), (AGG, True), (AGG, False)])
def test_the_taker_is_the_other_side_of_the_maker(event: bytes, maker_buys: bool) -> None:
    trade = decode(changed(event, m=maker_buys))
    assert isinstance(trade, TradePrint)
    assert trade.taker_buys is not maker_buys


# --- what is refused -----------------------------------------------------------------------------------------------

NOT_A_NUMBER = [
    '"NaN"', '"nan"', '"-nan"', '"Infinity"', '"inf"', '"-inf"', "NaN", "Infinity", "-Infinity", "1e400", '"1e400"', "1e19", '"1e19"',
    '"-1"', "-1", "-0.001", '""', '" 1"', '"1 "', '"+1"', '"0x10"', '"1_0"', '"1,0"', '"one"', "true", "false", "null", "[1]", '{"a":1}',
]  # fmt: skip


@pytest.mark.parametrize("number", NOT_A_NUMBER)
@pytest.mark.parametrize(
    ("event", "old"),
    [
        (DEPTH, b'"58710.20"'),
        (DEPTH, b'"0.014"'),
        (DEPTH, b'"61800.30"'),
        (DEPTH, b'"2.510"'),
        (SNAPSHOT, b'"61800.20"'),
        (SNAPSHOT, b'"2.909"'),
        (SNAPSHOT, b'"61800.30"'),
        (TRADE, b'"61800.30"'),
        (TRADE, b'"0.006"'),
        (AGG, b'"61800.30"'),
        (AGG, b'"0.006"'),
        (QUOTE, b'"61800.20"'),
        (QUOTE, b'"2.507"'),
        (QUOTE, b'"61800.30"'),
        (QUOTE, b'"2.510"'),
        (MARK, b'"61800.25"'),
        (MARK, b'"61810.5"'),
    ],
)
def test_only_plain_finite_numbers_pass(event: bytes, old: bytes, number: str) -> None:
    assert event.count(old) == 1
    bad = event.replace(old, number.encode())
    for raw in (bad, wrap(bad)):
        with pytest.raises(FeedError):
            decode(raw)


@pytest.mark.parametrize(
    ("event", "values"),
    [
        (DEPTH, {"b": [["0", "1"]]}),
        (DEPTH, {"a": [["0.00", "0"]]}),
        (SNAPSHOT, {"bids": [["1", "0.000"]]}),
        (AGG, {"p": "0"}),
        (AGG, {"q": "0"}),
        (QUOTE, {"b": "0"}),
        (QUOTE, {"a": "0.0"}),
        (QUOTE, {"a": "61800.20"}),
        (QUOTE, {"a": "61800.10"}),
        (MARK, {"p": "0"}),
        (MARK, {"i": "0"}),
        (MARK, {"r": "1.5"}),
        (MARK, {"r": "NaN"}),
    ],
)
def test_numbers_outside_their_range_are_refused(event: bytes, values: dict[str, Any]) -> None:
    with pytest.raises(FeedError):
        decode(changed(event, **values))


@pytest.mark.parametrize("event", [*EVENTS, SNAPSHOT], ids=[*NAMES, "snapshot"])
def test_every_key_it_needs_must_be_there_and_of_its_type(event: bytes) -> None:
    optional = {"X", "P", "i", "r"} | ({"T", "E"} if event == SNAPSHOT else {"T"} if event == MARK else set())
    for key in json.loads(event):
        wrong: list[Any] = [..., None, {}, [[]], "x"]
        for bad in wrong:
            if key == "P" or (key == "E" and event == SNAPSHOT) or (key in optional and bad is ...):
                continue
            if bad == "x" and key in ("s", "X"):
                continue
            with pytest.raises(FeedError):
                decode(changed(event, **{key: bad}))


@pytest.mark.parametrize("m", [0, 1, "true", "yes", None, [], {}])
def test_the_maker_flag_is_a_real_boolean(m: Any) -> None:
    with pytest.raises(FeedError):
        decode(changed(TRADE, m=m))


@pytest.mark.parametrize(
    "values", [{"U": 16}, {"U": -1}, {"u": 1.5}, {"pu": None}, {"T": -1}, {"T": 10**13}, {"s": ""}, {"u": 10**30}]
)
def test_ids_and_times_must_make_sense(values: dict[str, Any]) -> None:
    with pytest.raises(FeedError):
        decode(changed(DEPTH, **values))


@pytest.mark.parametrize("event", [*EVENTS, SNAPSHOT], ids=[*NAMES, "snapshot"])
def test_no_key_may_be_given_twice(event: bytes) -> None:
    for key in [*json.loads(event), "new"]:
        value = json.dumps(json.loads(event).get(key, 1)).encode()
        pair = b'"%s":%s' % (key.encode(), value)
        twice = event[:-1] + b"," + pair + (b"," + pair if key == "new" else b"") + b"}"
        alone, other = b'{"data":%s}' % twice, b'{"s":1,"data":%s}' % twice
        for raw in (twice, wrap(twice), alone, other, wrap(event)[:-1] + b',"data":' + event + b"}"):
            with pytest.raises(FeedError, match="twice"):
                decode(raw)


def test_a_missing_optional_key_does_not_hide_a_double_one() -> None:
    twice = changed(TRADE, X=...)[:-1] + b',"p":"1"}'
    escaped = changed(TRADE, X=...)[:-1] + b',"\\u0070":"1"}'
    for raw in (twice, wrap(twice), escaped):
        with pytest.raises(FeedError, match="twice"):
            decode(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"pong",
        b"\xff\xfe",
        b"\xef\xbb\xbf" + TRADE,
        TRADE + b"x",
        TRADE[:-1],
        b'{"stream":"a"}',
        b'{"stream":"a","data":[]}',
        b'{"stream":"a","data":null}',
        b'{"e":"unheardOf","s":"BTCUSDT"}',
        b'{"e":5}',
        b'{"result":null}',
        b'{"result":["btcusdt@trade"],"id":3}',
        b'{"error":{"code":2,"msg":"Invalid request"},"id":1}',
        b'{"code":-1121,"msg":"Invalid symbol."}',
        b'{"e":"kline","k":NaN}',
        b'{"e":"kline","k":' + b"[" * 100_000,
        b'{"stream":"a","data":' + b'{"a":' * 100_000,
        b"<html>502 Bad Gateway</html>",
    ],
)
def test_anything_else_is_a_feed_error(raw: bytes) -> None:
    with pytest.raises(FeedError, match=r"^binanceusdm: "):
        decode(raw)


def test_the_error_shows_the_beginning_of_the_message_and_what_was_wrong() -> None:
    with pytest.raises(FeedError) as caught:
        decode(changed(DEPTH, b=[["1", "-2"]], s="X" * 50, zz="\n" * 1000))
    text = str(caught.value)
    assert "Expected `float` >= 0.0 - at `$.b[0][1]`" in text
    assert '{"e":"depthUpdate"' in text
    assert len(text) < 400
    assert text.isprintable()


def test_the_error_cannot_forge_a_line() -> None:
    with pytest.raises(FeedError) as caught:
        decode(b'{"e":"' + b"\\nERROR all is lost" * 1000 + b'"}')
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500


def test_a_message_over_the_limit_is_not_looked_at() -> None:
    padded = DEPTH[:-1] + b" " * (MAX_BYTES - len(DEPTH)) + b"}"
    assert decode(padded) == EXPECTED[DEPTH]
    with pytest.raises(FeedError, match="more than 8388608"):
        decode(b" " + padded)


# --- fuzz: a value of checked numbers, None, or FeedError; nothing else --------------------------------------------

FRAMES = [*EVENTS, *(wrap(event) for event in EVENTS), SNAPSHOT, b'{"result":null,"id":1}']


def harmless(raw: bytes) -> None:
    try:
        message = decode(raw)
    except FeedError:
        return
    if isinstance(message, (BookDiff, BookSnapshot)):
        lowest = 0.0 if isinstance(message, BookDiff) else 1e-18
        numbers = [(price, quantity) for price, quantity in message.bids + message.asks]
        assert all(0 < price <= 1e18 and lowest <= quantity <= 1e18 for price, quantity in numbers)
    elif isinstance(message, TradePrint):
        assert 0 < message.price <= 1e18
        assert 0 < message.quantity <= 1e18
    elif isinstance(message, Quote):
        assert 0 < message.bid < message.ask <= 1e18
        assert min(message.bid_quantity, message.ask_quantity) >= 0
    elif isinstance(message, MarkPrice):
        assert 0 < message.mark <= 1e18
        assert message.funding_rate is None or math.isfinite(message.funding_rate)
    if message is not None:
        assert 0 <= message.exch_ns < 2**63


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_random_bytes_do_no_harm(raw: bytes) -> None:
    harmless(raw)
    harmless(b'{"e":' + raw)
    harmless(b'{"stream":"a","data":' + raw)


PIECES = [
    b"",
    b"-",
    b"0",
    b"9" * 30,
    b"e400",
    b"NaN",
    b"Infinity",
    b"null",
    b"true",
    b'"',
    b":",
    b",",
    b"[]",
    b"{}",
    b"\\",
    b"\xff",
    b'"p":"1",',
]


@settings(deadline=None)
@given(st.sampled_from(FRAMES), st.data())
def test_damaged_messages_do_no_harm(frame: bytes, data: st.DataObject) -> None:
    raw = frame
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(raw)))
        end = data.draw(st.integers(start, min(len(raw), start + 8)))
        raw = raw[:start] + data.draw(st.sampled_from(PIECES) | st.binary(max_size=3)) + raw[end:]
    harmless(raw)


# --- what is sent --------------------------------------------------------------------------------------------------


def test_subscribe_names_every_channel_of_every_symbol() -> None:
    assert subscribe(["BTCUSDT", "ETHUSDT"], ["depth@100ms", "trade"], 7) == (
        b'{"method":"SUBSCRIBE","params":["btcusdt@depth@100ms","btcusdt@trade","ethusdt@depth@100ms","ethusdt@trade"],"id":7}'
    )


# --- trading rules -------------------------------------------------------------------------------------------------


def listing(symbol: str = "BTCUSDT", **values: Any) -> dict[str, Any]:
    """One entry of exchangeInfo; `TYPE__key` replaces a number in a filter, `...` removes it."""
    filters: dict[str, dict[str, Any]] = {
        "PRICE_FILTER": {"minPrice": "402", "tickSize": "0.10"},
        "LOT_SIZE": {"stepSize": "0.001", "minQty": "0.001", "maxQty": "1000"},
        "MARKET_LOT_SIZE": {"stepSize": "0.001", "minQty": "0.001", "maxQty": "120"},
        "MIN_NOTIONAL": {"notional": "100"},
        "MAX_NUM_ORDERS": {"limit": 200},
    }
    plain: dict[str, Any] = {
        "symbol": symbol,
        "contractType": "PERPETUAL",
        "status": "TRADING",
        "baseAsset": symbol[:-4],
    }
    plain |= {"quoteAsset": "USDT", "marginAsset": "USDT"}
    for name, value in values.items():
        filter_type, _, key = name.partition("__")
        if key:
            filters[filter_type][key] = value
        else:
            plain[name] = value
    kept = [{"filterType": t} | {k: v for k, v in f.items() if v is not ...} for t, f in filters.items()]
    return {"filters": kept} | {k: v for k, v in plain.items() if v is not ...}


def reply(*listings: dict[str, Any]) -> bytes:
    return json.dumps({"timezone": "UTC", "symbols": listings}).encode()


def test_the_rules_of_an_instrument() -> None:
    instruments, left_out = parse_exchange_info(reply(listing()))
    btc = instruments["BTCUSDT"]
    assert left_out == {}
    assert (btc.id, btc.venue, btc.symbol) == ("binanceusdm:BTCUSDT", "binanceusdm", "BTCUSDT")
    assert (btc.unified, btc.base, btc.quote) == ("BTC/USDT:USDT", "BTC", "USDT")
    assert (str(btc.tick), str(btc.step), str(btc.min_quantity)) == ("0.1", "0.001", "0.001")
    assert (str(btc.max_quantity), str(btc.max_market_quantity), str(btc.min_notional)) == ("1000", "120", "100")
    assert str(btc.price(61800.26, Round.UP)) == "61800.3"
    assert str(btc.quantity("2.5009")) == "2.500"


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("0.10", "0.1"),
        ("0.00100", "0.001"),
        ("1", "1"),
        ("10", "10"),
        ("1000.00", "1000"),
        ("5E-1", "0.5"),
        (0.25, "0.25"),
        (10, "10"),
    ],
)
def test_a_tick_is_read_from_its_text_without_needless_digits(text: Any, plain: str) -> None:
    instruments, _ = parse_exchange_info(reply(listing(PRICE_FILTER__tickSize=text)))
    tick = instruments["BTCUSDT"].tick
    assert str(tick) == plain
    assert tick.as_tuple() == Decimal(plain).as_tuple()


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"PRICE_FILTER__tickSize": "0"}, "PRICE_FILTER.tickSize"),
        ({"PRICE_FILTER__tickSize": "-0.1"}, "PRICE_FILTER.tickSize"),
        ({"PRICE_FILTER__tickSize": "NaN"}, "PRICE_FILTER.tickSize"),
        ({"PRICE_FILTER__tickSize": "Infinity"}, "PRICE_FILTER.tickSize"),
        ({"PRICE_FILTER__tickSize": "1e400"}, "PRICE_FILTER.tickSize"),
        ({"PRICE_FILTER__tickSize": "1e19"}, "PRICE_FILTER.tickSize"),
        ({"PRICE_FILTER__tickSize": "1e-19"}, "PRICE_FILTER.tickSize"),
        ({"PRICE_FILTER__tickSize": "0." + "0" * 40 + "1"}, "PRICE_FILTER.tickSize"),
        ({"PRICE_FILTER__tickSize": "1." + "0" * 40}, "PRICE_FILTER.tickSize"),
        ({"PRICE_FILTER__tickSize": "1_0"}, "PRICE_FILTER.tickSize"),
        ({"PRICE_FILTER__tickSize": " 1"}, "PRICE_FILTER.tickSize"),
        ({"PRICE_FILTER__tickSize": "١"}, "PRICE_FILTER.tickSize"),
        ({"PRICE_FILTER__tickSize": None}, "PRICE_FILTER.tickSize"),
        ({"PRICE_FILTER__tickSize": True}, "PRICE_FILTER.tickSize"),
        ({"PRICE_FILTER__tickSize": ["1"]}, "PRICE_FILTER.tickSize"),
        ({"PRICE_FILTER__tickSize": ...}, "PRICE_FILTER.tickSize is missing"),
        ({"LOT_SIZE__stepSize": ...}, "LOT_SIZE.stepSize is missing"),
        ({"LOT_SIZE__minQty": ""}, "LOT_SIZE.minQty"),
        ({"LOT_SIZE__maxQty": "0"}, "LOT_SIZE.maxQty"),
        ({"LOT_SIZE__maxQty": "0.0001"}, "LOT_SIZE.minQty 0.001 > maxQty 0.0001"),
        ({"MARKET_LOT_SIZE__maxQty": ...}, "MARKET_LOT_SIZE.maxQty is missing"),
        ({"MIN_NOTIONAL__notional": ...}, "MIN_NOTIONAL.notional is missing"),
        ({"filters": []}, "PRICE_FILTER.tickSize is missing"),
        ({"marginAsset": ""}, "marginAsset"),
    ],
)  # fmt: skip
def test_a_symbol_with_bad_rules_is_left_out_and_the_others_stay(values: dict[str, Any], why: str) -> None:
    instruments, left_out = parse_exchange_info(reply(listing("BADUSDT", **values), listing()))
    assert list(instruments) == ["BTCUSDT"]
    assert list(left_out) == ["BADUSDT"] or why == "marginAsset"
    assert why in next(iter(left_out.values()))


def test_an_entry_that_is_no_listing_is_reported_by_its_place() -> None:
    instruments, left_out = parse_exchange_info(reply(listing(), {"symbol": "X"}, listing(status=5)))
    assert list(instruments) == ["BTCUSDT"]
    assert list(left_out) == ["symbols[1]", "symbols[2]"]


def test_a_symbol_listed_twice_is_reported() -> None:
    instruments, left_out = parse_exchange_info(reply(listing(), listing(PRICE_FILTER__tickSize="5")))
    assert str(instruments["BTCUSDT"].tick) == "0.1"
    assert "twice" in left_out["BTCUSDT"]


@pytest.mark.parametrize(
    "values",
    [{"contractType": "CURRENT_QUARTER"}, {"contractType": ""}, {"status": "SETTLING"}, {"status": "PENDING_TRADING"}],
)
def test_only_perpetuals_that_trade_are_listed(values: dict[str, Any]) -> None:
    assert parse_exchange_info(reply(listing(**values, PRICE_FILTER__tickSize="0"))) == ({}, {})


@pytest.mark.parametrize(
    "raw",
    [b"", b"[]", b"{}", b'{"symbols":{}}', b'{"symbols":[]', b'{"symbols":[],"symbols":[]}', b'{"symbols":[NaN]}'],
)
def test_a_reply_that_is_no_exchange_info_is_a_feed_error(raw: bytes) -> None:
    with pytest.raises(FeedError, match="exchangeInfo"):
        parse_exchange_info(raw)


@settings(deadline=None)
@given(st.binary(max_size=100), st.integers(0, 600), st.integers(0, 20))
def test_a_damaged_exchange_info_does_no_harm(junk: bytes, at: int, cut: int) -> None:
    whole = reply(listing())
    try:
        instruments, _ = parse_exchange_info(whole[:at] + junk + whole[at + cut :])
    except FeedError:
        return
    for instrument in instruments.values():
        assert min(instrument.tick, instrument.step, instrument.min_quantity, instrument.min_notional) > 0


# --- samples of others ---------------------------------------------------------------------------------------------


@pytest.mark.skipif(not SAMPLES.exists(), reason="sample messages not here: ../shared")
def test_sample_messages_of_others_are_understood() -> None:
    replies = SAMPLES / "http_responses"
    assert isinstance(decode((replies / "http_futures_market_depth.json").read_bytes()), BookSnapshot)
    for path in (SAMPLES / "ws_messages").glob("ws_futures_depth_*.json"):
        assert isinstance(decode(path.read_bytes()), BookDiff), path.name
    assert isinstance(decode((SAMPLES / "ws_messages/ws_futures_book_ticker.json").read_bytes()), Quote)
    assert decode((SAMPLES / "ws_messages/ws_futures_ticker_24hr.json").read_bytes()) is None
    instruments, left_out = parse_exchange_info((replies / "http_futures_market_exchange_info.json").read_bytes())
    assert (sorted(instruments), left_out) == (["BTCUSDT", "ETHUSDT"], {})
